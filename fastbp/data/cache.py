"""Text files that may be larger than memory: read in blocks, once, into a folder of Arrow files.

The first pass divides the text into columns of text; the second makes numbers of the columns that are
numbers. What a column means is found from all of its values, so one column at a time must fit into memory.
"""

import contextlib
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbp._version import __version__
from fastbp.data.dates import parse_dates
from fastbp.data.meanings import DECIMALS, Meaning, decimals_of, meaning_of
from fastbp.data.parts import Parts
from fastbp.data.sources import (
    TEXT_SUFFIXES,
    Source,
    decoded,
    open_source,
    polars,
    readable,
    without_comments,
)
from fastbp.data.spelling import parsed
from fastbp.data.table_file import PathLike, Table, describe_empty_rows, settled, settled_columns
from fastbp.data.text_file import after_lines, columns_of_text, line_of_record, with_comments
from fastbp.data.text_form import Form, find_form
from fastbp.errors import DataError, OptionError, as_option
from fastbp.reading import Reading, Spelling

if TYPE_CHECKING:
    import polars as pl

BLOCK = 2**26
"""Bytes of the text that are read at a time."""


def cached_table(
    path: PathLike,
    reading: Reading,
    cache: bool | PathLike,
    wanted: Collection[str] = (),
    labels: Collection[str] = (),
) -> Table:
    """Return a table of a text file of any size, by way of a folder that is kept for the next time.

    Parameters
    ----------
    path : path-like
    reading : Reading
    cache : bool or path-like
        Where the folder is: beside the file if True, else in this folder.
    wanted, labels : collection of str
        As of `read_table`.
    """
    with readable(os.fspath(path), ".csv"):
        file = open_source(path)
        if reading.encoding in ("utf-16", "utf-32") or file.begins(b"\xff\xfe") or file.begins(b"\xfe\xff"):
            raise DataError(
                f"{file.name} is in UTF-16, which {as_option('cache')} cannot read; save it as UTF-8"
            )
        if file.kind not in TEXT_SUFFIXES or file.content is not None or file.path is None:
            raise DataError(f"{file.name} is no plain text file, and {as_option('cache')} is for these")
        folder = _folder(file, reading, cache)
        if not (folder / "table.json").exists():
            part = _new_part(folder)
            try:
                _write(file, reading, part, wanted, labels)
                with contextlib.suppress(OSError):  # another process was first
                    part.rename(folder)
            finally:
                shutil.rmtree(part, ignore_errors=True)
                with contextlib.suppress(OSError):  # it is not empty, except after an error
                    folder.parent.rmdir()
        return _table(file, reading, folder)


def _folder(file: Source, reading: Reading, cache: bool | PathLike) -> Path:
    """Return the folder for this file as it is now, read in this way."""
    assert file.path is not None
    status = file.path.stat()
    facts = [status.st_size, status.st_mtime_ns, reading.as_document(), __version__]
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
    parent = file.path.parent if cache is True else Path(cache)  # type: ignore[arg-type]
    if not parent.is_dir():
        raise OptionError(f"{as_option('cache')} is {str(parent)!r}, and must be a folder")
    return parent / f"{file.path.name}.fastbp-cache" / key


def _new_part(folder: Path) -> Path:
    """Return a new folder to write in; remove what an earlier state of the file or a killed process left."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for older in folder.parent.iterdir():
        if older != folder and not _is_at_work(older):
            shutil.rmtree(older, ignore_errors=True)
    part = folder.parent / f"{folder.name}.{os.getpid()}.{threading.get_ident()}"
    part.mkdir()
    return part


def _is_at_work(part: Path) -> bool:
    """Return whether the process that writes this folder, if one does, is alive."""
    _, dot, rest = part.name.partition(".")
    if not dot:
        return False
    if os.name != "posix":
        return True  # there, to ask may end it
    try:
        os.kill(int(rest.partition(".")[0]), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, ValueError):
        return True
    return True


# --- writing -----------------------------------------------------------------------------------------


@dataclass
class _Pass:
    """The state of the first pass."""

    file: Source
    reading: Reading
    wanted: Collection[str]
    form: Form | None = None
    n_lines: int = 0
    n_empty: int = 0
    blocks: list[list[int]] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    filled: set[str] = field(default_factory=set)

    def frame(self, start: int, block: bytes) -> "pl.DataFrame | None":
        """Return the rows of a block as text; None if there are none."""
        n_lines = block.count(b"\n")
        text = without_comments(decoded(self.file.name, block, self.reading.encoding), self.reading.comment)
        n_before = self.n_lines
        self.n_lines += n_lines
        if self.form is None:
            self.form = find_form(self.file.name, text, self.reading, self.wanted)
            text, n_before = after_lines(text, self.form.n_before), self.form.n_before
        if not text.strip():
            return None
        frame, records = _rows(self.file.name, text, replace(self.form, n_before=n_before))
        self.n_empty += int((records < 0).sum())
        self.filled.update(column.name for column in frame if (column != "").any())
        self.blocks.append([start, len(block), self.n_lines - n_lines])
        self.counts.append(len(frame))
        return frame


def _rows(name: str, text: bytes, form: Form) -> tuple["pl.DataFrame", np.ndarray]:
    """Return the rows of a block, and the record of each; -1 is a record without values, which is no row."""
    frame, kept = columns_of_text(name, text, form)
    records = np.arange(len(frame)) if kept is None else kept
    if frame.width == 1:
        return frame, records
    there = frame.select(polars().any_horizontal(polars().all() != "")).to_series()
    return frame.filter(there), np.where(there.to_numpy(), records, -1)


@dataclass(frozen=True, eq=False)
class BlockLines:
    """In which line of its file each row is; for this, one block is read again."""

    file: Source
    reading: Reading
    form: Form
    blocks: list[list[int]]
    rows: np.ndarray
    ends: np.ndarray

    def of(self, rows: np.ndarray) -> "BlockLines":
        """Return the lines of some of the rows."""
        return replace(self, rows=self.rows[rows])

    def line(self, row: int) -> int:
        """Return the line of a row, from 1."""
        place = int(self.rows[row])
        block = int(np.searchsorted(self.ends, place, side="right"))
        start, n_bytes, n_before = self.blocks[block]
        with self.file.open() as opened:
            opened.seek(start)
            content = decoded(self.file.name, opened.read(n_bytes), self.reading.encoding)
        skipped = self.form.n_before if block == 0 else 0
        text = after_lines(without_comments(content, self.reading.comment), skipped)
        _, records = _rows(self.file.name, text, self.form)
        first = int(self.ends[block - 1]) if block else 0
        record = int(records[records >= 0][place - first])
        line = skipped + line_of_record(text, self.form, record)
        return n_before + with_comments(content, self.reading.comment, line)


def _write(
    file: Source, reading: Reading, folder: Path, wanted: Collection[str], labels: Collection[str]
) -> None:
    first = _Pass(file, reading, wanted)
    rough = folder / "text"
    rough.mkdir()
    for start, block in _blocks(file, reading):
        frame = first.frame(start, block)
        if frame is not None:
            frame.write_ipc(rough / f"{len(first.counts) - 1:05}.arrow")
    form = first.form
    if form is None or not sum(first.counts):
        raise DataError(f"{file.name} has no rows")
    files = tuple(sorted(rough.iterdir()))
    parts = Parts(files, tuple(first.counts))
    empty = [name for name in form.names if name not in first.filled]
    names, dropped, remarks = settled_columns(file.name, form, empty, lambda name: parts[name], False)
    remarks += describe_empty_rows(file.name, first.n_empty)
    lines = BlockLines(file, reading, form, first.blocks, np.arange(len(parts)), np.cumsum(first.counts))
    table = settled(
        Table(
            file.name,
            names,
            form.named,
            parts,
            reading,
            True,
            True,
            [*form.remarks, *remarks],
            lines,
            tuple(dropped),
        )
    )
    kept = {names[table.find("target", label)] for label in labels if label in names or _is_position(label)}
    meanings = {name: _meaning(table, name) for name in names}
    # Only a column that is not sure asks for them, and then the parts are gone.
    decimals = sorted(decimals_of(table)) if None in meanings.values() else []
    for i, source in enumerate(files):
        frame = polars().read_ipc(source)
        typed = [_typed_column(table, frame[name], meanings[name], name in kept) for name in names]
        polars().DataFrame(typed).write_ipc(folder / f"{i:05}.arrow")
        del frame, typed
        source.unlink()
    rough.rmdir()
    document = {
        "names": names,
        "named": form.named,
        "remarks": table.remarks,
        "dropped": dropped,
        "counts": first.counts,
        "blocks": first.blocks,
        "decimals": decimals,
        "form": [form.separator, form.quote, list(form.names), form.n_before],
        "meanings": {name: _as_document(meaning) for name, meaning in meanings.items() if meaning},
    }
    (folder / "table.json").write_text(json.dumps(document), encoding="utf-8")


def _is_position(label: str) -> bool:
    return label.lstrip("-").isdigit()


def _blocks(file: Source, reading: Reading) -> Iterator[tuple[int, bytes]]:
    """Yield the text in blocks of whole rows: a line end inside quotes ends no block."""
    quote = reading.quote.encode()
    start, rest = 0, b""
    with file.open() as opened:
        while True:
            more = opened.read(BLOCK)
            block = rest + more
            if not more:
                if block:
                    yield start, block
                return
            end = block.rfind(b"\n") + 1
            while end and quote and block.count(quote, 0, end) % 2:
                end = block.rfind(b"\n", 0, end - 1) + 1
            if not end:  # no whole row yet, or a quote that nothing closes
                rest = block
                continue
            yield start, block[:end]
            start, rest = start + end, block[end:]


def _meaning(table: Table, name: str) -> Meaning | None:
    """Return what a column means; None if that is not sure, and an error if the column is used."""
    try:
        return meaning_of(table, name)
    except DataError:
        return None


def _typed_column(
    table: Table, column: "pl.Series", meaning: Meaning | None, as_written: bool
) -> "pl.Series":
    """Return a column in the type that it means; a column that may hold labels stays as it is written."""
    if as_written or meaning is None or meaning.codes or meaning.kind == "text":
        return column
    marked = table.marked(column)
    if meaning.kind == "date":
        return parse_dates(marked, meaning.format)
    if meaning.kind == "boolean":
        return marked.str.to_lowercase() == "true"
    return parsed(marked, meaning.spelling)


def _as_document(meaning: Meaning) -> dict[str, Any]:
    spelling = meaning.spelling.as_document() if meaning.spelling else None
    return {
        "kind": meaning.kind, "spelling": spelling, "format": meaning.format, "remark": meaning.remark,
        "codes": meaning.codes,
    }  # fmt: skip


# --- reading -----------------------------------------------------------------------------------------


def _table(file: Source, reading: Reading, folder: Path) -> Table:
    document = json.loads((folder / "table.json").read_text(encoding="utf-8"))
    files = tuple(sorted(folder.glob("*.arrow")))
    separator, quote, names, n_before = document["form"]
    form = Form(separator, quote, tuple(names), document["named"], n_before)
    counts = np.cumsum(document["counts"])
    lines = BlockLines(file, reading, form, document["blocks"], np.arange(counts[-1]), counts)
    known: dict[str, Any] = {DECIMALS: set(document["decimals"])}
    for name, found in document["meanings"].items():
        spelling = found["spelling"] and Spelling.from_document(found["spelling"])
        known[name] = Meaning(found["kind"], spelling, found["format"], found["remark"], found["codes"])
    return settled(
        Table(
            file.name,
            document["names"],
            document["named"],
            Parts(files, tuple(document["counts"])),
            reading,
            True,
            True,
            document["remarks"],
            lines,
            tuple(document["dropped"]),
            known,
        )
    )
