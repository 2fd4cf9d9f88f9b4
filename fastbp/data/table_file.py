"""Files as tables: named columns, read some rows at a time."""

import contextlib
import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbp.data.excel import read_excel
from fastbp.data.parts import Parts
from fastbp.data.sources import TEXT_SUFFIXES, Source, check_memory, open_source, polars, readable
from fastbp.data.text_file import Text, describe_dropped, empty_columns, marks_of, read_text
from fastbp.data.text_form import Form, listed, settled_names
from fastbp.errors import DataError, OptionError, as_option, nearest
from fastbp.reading import Reading

if TYPE_CHECKING:
    import polars as pl

BLOCK_BYTES = 2**25
"""Bytes of a .npy file, or of a cache, that are read at a time."""

WHOLE_MARK = re.compile(r"-?[1-9][0-9]*")
"""A mark of missing values that is a whole number."""

PathLike = str | os.PathLike[str]


@dataclass(frozen=True, eq=False)
class Table:
    """The columns of a file.

    Attributes
    ----------
    path : str
        For messages.
    names : list of str
    named : bool
        Whether the names are the file's own, and not x0, x1, ...
    source : polars.DataFrame, Parts or ndarray, shape (n_rows, n_columns)
        Of a text file, columns are text without blanks around it, or plain numbers.
    reading : Reading
        What was said about the file.
    spelled : bool
        Whether text may spell numbers, dates and missing values: so it does in a text file.
    streamed : bool
        Whether it may be larger than memory.
    remarks : list of str
        What was guessed about the form of the file.
    lines : RowLines or BlockLines, optional
        The line of each row of a text file.
    dropped : tuple of str
        Columns that are empty, and were left out.
    known : dict
        What `fastbp.data.meanings` found out about each column.
    """

    path: str
    names: list[str]
    named: bool
    source: "pl.DataFrame | np.ndarray | Parts"
    reading: Reading = Reading()
    spelled: bool = False
    streamed: bool = False
    remarks: list[str] = field(default_factory=list)
    lines: Any = None
    dropped: tuple[str, ...] = ()
    known: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.source)

    @property
    def is_streamed(self) -> bool:
        """Whether it may be larger than memory."""
        return self.streamed

    def find(self, argument: str, column: str | int) -> int:
        """Return the position of a column that is given by name or by position."""
        if isinstance(column, str) and column in self.names:
            return self.names.index(column)
        if column in self.dropped:
            raise DataError(f"column {column!r} of {self.path} is empty")
        position = None
        with contextlib.suppress(ValueError):
            position = int(column)
        if position is not None and -len(self.names) <= position < len(self.names):
            found = self.names[position]
            if str(column) in self.names and found != str(column):
                raise OptionError(
                    f"{as_option(argument)} is {column}, the name of one column of {self.path} and the "
                    f"position of another, {found!r}; as text, {str(column)!r}, it is the name"
                )
            return position % len(self.names)
        near = nearest(column, self.names)
        raise OptionError(
            f"{as_option(argument)} is {column!r}, and {self.path} has the columns {listed(self.names)}{near}"
        )

    def rows(self, rows: np.ndarray) -> "Table":
        """Return some of the rows."""
        lines = None if self.lines is None else self.lines.of(rows)
        source = self.source.rows(rows) if isinstance(self.source, Parts) else self.source[rows]
        known = dict(self.known) if isinstance(self.source, Parts) else {}
        return replace(self, source=source, lines=lines, remarks=list(self.remarks), known=known)

    def place(self, row: int) -> str:
        """Return where a row is, in words: the line of a text file, or the row of another."""
        return f"row {row + 1}" if self.lines is None else f"line {self.lines.line(row)}"

    def place_of(self, name: str, value: Any) -> str:
        """Return where a value is first in a column, in words."""
        return self.place(int(np.argmax((self.raw(name) == value).fill_null(False).to_numpy())))

    def raw(self, name: str) -> "pl.Series":
        """Return a whole column; the marks of missing values of a text file are still in it."""
        pl = polars()
        if isinstance(self.source, np.ndarray):
            return pl.Series(name, for_polars(self.source[:, self.names.index(name)]))
        return self.source[name]

    def column(self, name: str) -> "pl.Series":
        """Return a whole column, with null for missing values."""
        return self.marked(self.raw(name))

    def marked(self, column: "pl.Series") -> "pl.Series":
        """Return a column, or some rows of it, with null for the marks of missing values."""
        pl = polars()
        said = self.reading.marks(column.name)
        if column.dtype == pl.String:
            marks = marks_of(column.name, self.reading) if self.spelled else said
            absent = column.is_in(list(marks))
            if self.spelled and column.name not in self.reading.text:
                for mark in filter(WHOLE_MARK.fullmatch, said):
                    absent |= column.str.contains(rf"^{mark}[.,](?:0{{1,2}}|0{{4,}})$")  # -999 is -999.0
            return column.set(absent, None) if marks else column
        if column.dtype.is_numeric():
            for mark in said:
                with contextlib.suppress(ValueError):
                    column = column.set(column == float(mark), None)
        return column

    def blocks(self, names: Sequence[str]) -> Iterator[tuple[int, "pl.DataFrame"]]:
        """Yield some columns block by block, each block with the number of its first row."""
        if isinstance(self.source, Parts):
            frames = self.source.blocks(names)
        elif isinstance(self.source, np.ndarray):
            frames = self._array_blocks(self.source, names)
        else:
            frames = iter([self.source.select(list(names))])
        start = 0
        for frame in frames:
            yield start, polars().DataFrame([self.marked(column) for column in frame])
            start += len(frame)

    def _array_blocks(self, array: np.ndarray, names: Sequence[str]) -> "Iterator[pl.DataFrame]":
        at = [self.names.index(name) for name in names]
        rows = max(1, BLOCK_BYTES // (8 * array.shape[1]))
        for start in range(0, len(array), rows):
            block = np.asarray(array[start : start + rows])
            yield polars().DataFrame(
                {name: for_polars(block[:, i]) for name, i in zip(names, at, strict=True)}
            )


def read_table(
    source: "PathLike | pl.DataFrame",
    reading: Reading | None = None,
    *,
    remembered: Reading | None = None,
    wanted: Collection[str] = (),
    as_text: Collection[str] = (),
    labels: Collection[str] = (),
    keeps_rows: bool = False,
) -> Table:
    """Open a file: see `fastbp.data`.

    Parameters
    ----------
    source : path-like or polars.DataFrame
        The path "-" is standard input.
    reading : Reading, optional
        What is said about the file.
    remembered : Reading, optional
        What was said about the file that a model was trained on.
    wanted : collection of str
        Names that the columns are expected to have, as far as known. They help to see the form.
    as_text : collection of str
        Columns that are kept as they are written, even if they look like numbers.
    labels : collection of str
        Columns, by name or position, that may hold labels: kept as they are written unless they have
        fractions.
    keeps_rows : bool
        Whether each row counts, as one of a prediction does: then a row without values stays, except at the
        end.

    Raises
    ------
    DataError
        If it cannot be read, or is not a table.
    """
    reading = reading or Reading()
    if not isinstance(source, str | os.PathLike):
        table = Table("the data", settled_names("the data", source.columns), True, source, reading)
        return settled(table, remembered)
    polars()
    with readable(os.fspath(source), os.path.splitext(os.fspath(source))[1].lower()):
        file = open_source(source)
        if file.kind != ".npy":
            check_memory(
                file, f"only .npy files may be larger, and text files with {as_option('cache', True)}"
            )
        if reading.sheet is not None and file.kind != ".xlsx" and remembered is None:
            raise OptionError(f"{as_option('sheet')} is {reading.sheet!r}, and {file.name} is no Excel file")
        if file.kind in TEXT_SUFFIXES or file.kind == ".xlsx":
            if file.kind == ".xlsx":
                text = read_excel(file, reading, wanted)
            else:
                text = read_text(file, reading, remembered or Reading(), wanted, as_text, labels)
            table = _text_table(file, text, reading, keeps_rows)
        elif file.kind in (".parquet", ".arrow", ".feather"):
            table = _read_columns(file, reading)
        else:
            table = _read_numpy(file, reading)
    return settled(table, remembered)


def settled(table: Table, remembered: Reading | None = None) -> Table:
    """Return the table with the columns that the reading speaks of by name; they must be there.

    What is remembered of the training file may speak of others, such as the target.
    """
    if len(table) == 0:
        raise DataError(f"{table.path} has no rows")
    known: set[str] = set()
    if remembered is not None:
        remembered.settled(lambda option, column: known.add(column) or column)  # type: ignore[func-returns-value]

    def find(option: str, column: str) -> str:
        """Return the name of a column; one that the training file had may be missing here."""
        if column in table.names or column in known:
            return column
        return table.names[table.find(option, column)]

    return replace(table, reading=table.reading.settled(find))


def _text_table(file: Source, text: Text, reading: Reading, keeps_rows: bool) -> Table:
    """Return a table without empty columns and rows, and without a running index that has no name."""
    pl = polars()
    frame, form, lines = text.frame, text.form, text.lines
    names, dropped, remarks = settled_columns(
        file.name, form, empty_columns(frame), lambda name: frame[name], keeps_rows
    )
    remarks = [*form.remarks, *remarks]
    frame = frame.select(names)
    there = np.zeros(len(frame), bool)
    for values in frame:
        filled = values.str.len_bytes() > 0 if values.dtype == pl.String else values.is_not_null()
        there |= filled.to_numpy()
        if there.all():
            break
    if frame.width > 1 and not there.all():
        if keeps_rows:
            there[: len(there) - int(np.argmax(there[::-1]))] = True
        rows = np.flatnonzero(there)
        n_dropped = len(frame) - len(rows)
        if n_dropped:
            remarks += describe_empty_rows(file.name, n_dropped)
            frame, lines = frame[rows], lines.of(rows)
    return Table(
        file.name, frame.columns, form.named, frame, reading, True, False, remarks, lines, tuple(dropped)
    )


def describe_empty_rows(path: str, n_rows: int) -> list[str]:
    """Return a remark about rows that were left out because they are empty, if there are any."""
    if n_rows == 0:
        return []
    rows = "1 row" if n_rows == 1 else f"{n_rows:,} rows"
    return [f"{rows} of {path} without values {'is' if n_rows == 1 else 'are'} left out"]


def settled_columns(
    path: str,
    form: Form,
    empty: Collection[str],
    column: "Callable[[str], pl.Series]",
    keeps_rows: bool,
) -> tuple[list[str], list[str], list[str]]:
    """Return the columns of a text that count, those dropped as empty, and remarks.

    A running index that has no name does not count. With `keeps_rows`, an empty column that has a name does.
    """
    names, remarks = list(form.names), []
    if len(empty) == len(names):
        raise DataError(f"{path} has no values")
    unnamed = [name for name in names if form.named and name not in form.first and name not in empty]
    for name in [*unnamed]:
        if is_running(column(name)):
            unnamed.remove(name)
            names.remove(name)
            remarks.append(f"the first line of {path} has no name for a running index, which is left out")
    if unnamed:
        remarks.append(f"{path} has columns without names, which are called {listed(unnamed)}")
    dropped = [name for name in empty if not (form.named and name in form.first and keeps_rows)]
    if dropped:
        remarks.append(describe_dropped(path, dropped))
    return [name for name in names if name not in dropped], dropped, remarks


def is_running(column: "pl.Series") -> bool:
    """Return whether a column counts the rows, from 0 or 1."""
    pl = polars()
    values = column.cast(pl.Int64, strict=False)
    return bool(not values.null_count() and values[0] in (0, 1) and (values.diff().drop_nulls() == 1).all())


def _read_columns(file: Source, reading: Reading) -> Table:
    """Read a Parquet or Arrow file."""
    pl = polars()
    if file.kind == ".parquet":
        options = {"glob": False} if file.content is None else {}
        frame = pl.read_parquet(file.file(), **options)
    else:
        try:
            frame = pl.read_ipc(file.file())
        except pl.exceptions.ComputeError:
            frame = pl.read_ipc_stream(file.file())
    remarks = []
    index = [name for name in frame.columns if name.startswith("__index_level_")]
    if index:  # what pandas writes of an index that has no name
        frame = frame.drop(index)
        remarks.append(f"{file.name} has an index of pandas, {listed(index)}, which is left out")
    return Table(file.name, settled_names(file.name, frame.columns), True, frame, reading, remarks=remarks)


def _read_numpy(file: Source, reading: Reading) -> Table:
    beginning = {".npy": b"\x93N", ".npz": b"PK"}[file.kind]
    if not file.begins(beginning):
        raise DataError(f"{file.name} is not a {file.kind} file: it does not begin like one")
    if file.kind == ".npy":
        array = np.load(file.file(), mmap_mode="r" if file.content is None else None, allow_pickle=False)
        if array.ndim != 2 or array.dtype.kind not in "fiub" or array.shape[1] == 0:
            raise DataError(
                f"{file.name} has an array of shape {array.shape} and dtype {array.dtype}, and must have one "
                "of two dimensions that holds real numbers"
            )
        names = [f"x{i}" for i in range(array.shape[1])]
        return Table(file.name, names, False, array, reading, streamed=True)
    # The file is opened here, so that it is closed even if np.load finds that it is not an archive.
    with contextlib.ExitStack() as stack:
        opened = stack.enter_context(file.open())
        archive = stack.enter_context(np.load(opened, allow_pickle=False))
        arrays = {name: archive[name] for name in archive.files}
    columns: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        if array.ndim not in (1, 2) or array.dtype.kind not in "fiubU":
            raise DataError(
                f"{file.name} has an array {name!r} of shape {array.shape} and dtype {array.dtype}, and may "
                "have arrays of one or two dimensions that hold real numbers or text"
            )
        if len(array) != len(next(iter(arrays.values()))):
            lengths = ", ".join(f"{name!r} {len(array)}" for name, array in arrays.items())
            raise DataError(f"{file.name} has arrays of different lengths: {lengths}")
        new = {name: array} if array.ndim == 1 else {f"{name}{i}": column for i, column in enumerate(array.T)}
        if new.keys() & columns.keys():
            raise DataError(f"{file.name} has the name {listed(sorted(new.keys() & columns.keys()))} twice")
        columns |= new
    if not columns:
        raise DataError(f"{file.name} has no arrays")
    frame = polars().DataFrame({name: for_polars(column) for name, column in columns.items()})
    return Table(file.name, list(columns), True, frame, reading)


def for_polars(array: np.ndarray) -> np.ndarray:
    """Return a contiguous array of a type that polars supports."""
    return np.ascontiguousarray(array, np.float64 if array.dtype.kind == "f" else None)
