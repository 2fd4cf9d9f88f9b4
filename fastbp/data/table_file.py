"""Files as tables: named columns, read some rows at a time."""

import contextlib
import csv
import os
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbp.errors import DataError, FastbpError, OptionError

if TYPE_CHECKING:
    import polars as pl

SUFFIXES = (".csv", ".tsv", ".parquet", ".npy", ".npz")

MISSING_MARKS = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "?")
"""The marks of a missing value in a .csv or .tsv file."""

BLOCK_BYTES = 2**25
"""Bytes of a .npy file that are read at a time."""

PathLike = str | os.PathLike[str]


def polars() -> Any:
    """Return the package polars, or say how to install it."""
    try:
        import polars
    except ImportError:
        raise DataError("reading data files needs polars; install it: pip install 'fastbp[data]'") from None
    return polars


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
    source : polars.DataFrame or ndarray, shape (n_rows, n_columns)
    numeric : frozenset of str
        The columns of a text file whose values are all numbers. `source` keeps them as text, because another
        file may have "1" or "007" beside other text in the same column.
    """

    path: str
    names: list[str]
    named: bool
    source: "pl.DataFrame | np.ndarray"
    numeric: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self.source)

    @property
    def is_streamed(self) -> bool:
        """Whether it may be larger than memory."""
        return isinstance(self.source, np.ndarray)

    def find(self, argument: str, column: str | int) -> int:
        """Return the position of a column that is given by name or by position."""
        if isinstance(column, str) and column in self.names:
            return self.names.index(column)
        with contextlib.suppress(ValueError):
            position = int(column)
            if -len(self.names) <= position < len(self.names):
                return position % len(self.names)
        raise OptionError(f"{argument} is {column!r}, and {self.path} has the columns {listed(self.names)}")

    def column(self, name: str, *, as_text: bool = False) -> "pl.Series":
        """Return a whole column; with `as_text`, numbers of a text file stay text."""
        pl = polars()
        if isinstance(self.source, np.ndarray):
            return pl.Series(name, _for_polars(self.source[:, self.names.index(name)]))
        column = self.source[name]
        return column.cast(pl.Float64) if name in self.numeric and not as_text else column

    def blocks(
        self, names: Sequence[str], texts: Collection[str] = ()
    ) -> Iterator[tuple[int, "pl.DataFrame"]]:
        """Yield some columns block by block, each block with the number of its first row.

        Columns in `texts` stay text even if a text file has only numbers there.
        """
        pl = polars()
        if not isinstance(self.source, np.ndarray):
            yield 0, pl.DataFrame([self.column(name, as_text=name in texts) for name in names])
            return
        at = [self.names.index(name) for name in names]
        rows = max(1, BLOCK_BYTES // (8 * self.source.shape[1]))
        for start in range(0, len(self), rows):
            block = np.asarray(self.source[start : start + rows])
            yield (
                start,
                pl.DataFrame({name: _for_polars(block[:, i]) for name, i in zip(names, at, strict=True)}),
            )


def read_table(path: PathLike, *, header: bool = True) -> Table:
    """Open a file according to its suffix: see `fastbp.data`.

    Raises
    ------
    DataError
        If it cannot be read, or is not a table.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{path} ends in {suffix!r}; data files end in {', '.join(SUFFIXES)}")
    polars()
    with _readable(path):
        if not path.is_file():
            if path.is_fifo() or path.is_char_device():
                raise DataError(f"{path} is a pipe or a device, and must be a file")
            raise DataError(f"{path} is a folder" if path.is_dir() else f"there is no file {path}")
        size = path.stat().st_size
        if size == 0:
            raise DataError(f"{path} is empty")
        if suffix != ".npy":
            _check_memory(path, size)
        if suffix in (".csv", ".tsv"):
            table = _read_text(path, header)
        elif suffix == ".parquet":
            table = _read_parquet(path)
        else:
            table = _read_numpy(path)
    if len(table) == 0:
        raise DataError(f"{path} has no rows")
    return table


def listed(names: Sequence[str]) -> str:
    """Return names for a message: a dozen at most."""
    shown = ", ".join(repr(name) for name in names[:12])
    return shown if len(names) <= 12 else f"{shown} and {len(names) - 12} more"


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn any exception of a reader into a `DataError` about this file."""
    try:
        yield
    except FastbpError:
        raise
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    except MemoryError:
        raise DataError(f"{path} does not fit into memory") from None
    except UnicodeDecodeError:
        _complain_of_letters(path)
        raise
    except (Exception, polars().exceptions.PanicException) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path} is not a {path.suffix} file that can be read: {reason}") from None


def _complain_of_letters(path: Path) -> None:
    """Raise an error that says what a file is that is not UTF-8, or which line is not."""
    with open(path, "rb") as file:
        start = file.read(4)
        if start[:2] == b"\x1f\x8b":
            raise DataError(f"{path} is compressed; unpack it, with gunzip for example")
        if start[:4] == b"PAR1":
            raise DataError(f"{path} is a Parquet file, and must be named so: .parquet")
        if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise DataError(f"{path} is text in UTF-16; save it as UTF-8")
        file.seek(0)
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{path} is not text in UTF-8: line {number} has the byte 0x{line[error.start]:02x}; "
                    "save it as UTF-8; if it is in Latin-1: iconv -f latin1 -t utf-8"
                ) from None


def _check_memory(path: Path, size: int) -> None:
    """Raise an error for a file that is larger than memory, before memory is full."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 2**63
    if size > memory:
        raise DataError(
            f"{path} takes {size / 1e9:.1f} GB and this machine has {memory / 1e9:.1f} GB of memory; only "
            ".npy files may be larger"
        )


def _read_text(path: Path, header: bool) -> Table:
    """Read all columns as text, then decide for each whole column whether it holds numbers."""
    pl = polars()
    separator = _separator(path)
    with open(path, encoding="utf-8-sig", newline="") as file:
        first = next(csv.reader(file, delimiter=separator), [])
    names = _checked_names(path, first) if header else [f"x{i}" for i in range(len(first))]
    try:
        frame = pl.read_csv(
            path,
            has_header=header,
            separator=separator,
            infer_schema=False,
            null_values=list(MISSING_MARKS),
            glob=False,
        )
    except pl.exceptions.ComputeError:
        _complain_of_a_row(path, separator, len(names))
        raise
    except pl.exceptions.NoDataError:
        raise DataError(f"{path} has no rows") from None
    frame.columns = names
    if len(names) > 1 and frame.to_series(-1).null_count():
        frame = _without_blank_lines(path, separator, header, frame)
    frame = frame.with_columns([_stripped(column) for column in frame])
    return Table(str(path), names, header, frame, frozenset(c.name for c in frame if _all_numbers(c)))


def _separator(path: Path) -> str:
    with open(path, "rb") as file:
        first = file.readline(2**20)
    if b"\r" in first and b"\n" not in first:
        raise DataError(f"{path} has lines that end as on old Macs, in CR alone; save it with LF or CR LF")
    if path.suffix.lower() == ".tsv":
        return "\t"
    return ";" if b";" in first and b"," not in first else ","


def _checked_names(path: Path, first: Sequence[str]) -> list[str]:
    names = [name.strip() for name in first]
    if not any(names):
        raise DataError(f"{path} has an empty first line, and must have the columns' names there")
    if all(_is_number(name) for name in names):
        raise DataError(
            f"{path} has numbers in its first line, and not names; say --no-header (header=False)"
        )
    return _distinct(path, names)


def _distinct(path: Path, names: Sequence[str]) -> list[str]:
    """Return the names if none is empty and none occurs twice."""
    if "" in names:
        raise DataError(f"{path} has no name for column {names.index('') + 1} of {len(names)}")
    twice = sorted({name for name, count in Counter(names).items() if count > 1})
    if twice:
        raise DataError(f"{path} has the name {listed(twice)} for more than one column")
    return list(names)


def _without_blank_lines(path: Path, separator: str, header: bool, frame: "pl.DataFrame") -> "pl.DataFrame":
    """Return the rows without blank lines; polars turns blank and short lines into missing values.

    A short line is an error. A row of missing values stays, because predictions keep its position.
    """
    n_columns = frame.width
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=separator)
        if header:
            next(reader)
        there = []
        for values in reader:
            there.append(len(values) > 1 or bool(values and values[0].strip()))
            if there[-1] and len(values) < n_columns:
                raise DataError(f"{path} has {len(values)} of {n_columns} values in line {reader.line_num}")
    return frame.filter(there) if len(there) == len(frame) else frame


def _complain_of_a_row(path: Path, separator: str, n_columns: int) -> None:
    """Raise an error that locates what polars could not read."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=separator, strict=True)
        try:
            for values in reader:
                if len(values) > n_columns:
                    raise DataError(
                        f"{path} has {len(values)} values in line {reader.line_num}, and {n_columns} in "
                        "its first"
                    )
        except csv.Error as error:
            raise DataError(f"{path} is broken at line {reader.line_num}: {error}") from None


def _stripped(column: "pl.Series") -> "pl.Series":
    """Return a column of text without the blanks around it."""
    text = column.str.strip_chars()
    return text.set(text.is_in(list(MISSING_MARKS)), None)


def _all_numbers(text: "pl.Series") -> bool:
    return text.cast(polars().Float64, strict=False).null_count() == text.null_count()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.lower() not in ("nan", "inf", "infinity")


def _read_parquet(path: Path) -> Table:
    frame = polars().read_parquet(path, glob=False)
    return Table(str(path), _distinct(path, frame.columns), True, frame)


def _read_numpy(path: Path) -> Table:
    with open(path, "rb") as file:
        if file.read(2) != {".npy": b"\x93N", ".npz": b"PK"}[path.suffix.lower()]:
            raise DataError(f"{path} is not a {path.suffix} file: it does not begin like one")
    if path.suffix.lower() == ".npy":
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if array.ndim != 2 or array.dtype.kind not in "fiub" or array.shape[1] == 0:
            raise DataError(
                f"{path} has an array of shape {array.shape} and dtype {array.dtype}, and must have one "
                "of two dimensions that holds real numbers"
            )
        return Table(str(path), [f"x{i}" for i in range(array.shape[1])], False, array)
    # The file is opened here, so that it is closed even if np.load finds that it is not an archive.
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    columns: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        if array.ndim not in (1, 2) or array.dtype.kind not in "fiubU":
            raise DataError(
                f"{path} has an array {name!r} of shape {array.shape} and dtype {array.dtype}, and may "
                "have arrays of one or two dimensions that hold real numbers or text"
            )
        if len(array) != len(next(iter(arrays.values()))):
            lengths = ", ".join(f"{name!r} {len(array)}" for name, array in arrays.items())
            raise DataError(f"{path} has arrays of different lengths: {lengths}")
        new = {name: array} if array.ndim == 1 else {f"{name}{i}": column for i, column in enumerate(array.T)}
        if new.keys() & columns.keys():
            raise DataError(f"{path} has the name {listed(sorted(new.keys() & columns.keys()))} twice")
        columns |= new
    if not columns:
        raise DataError(f"{path} has no arrays")
    frame = polars().DataFrame({name: _for_polars(column) for name, column in columns.items()})
    return Table(str(path), list(columns), True, frame)


def _for_polars(array: np.ndarray) -> np.ndarray:
    """Return a contiguous array of a type that polars supports."""
    return np.ascontiguousarray(array, np.float64 if array.dtype.kind == "f" else None)
