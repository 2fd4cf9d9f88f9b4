"""Text files as columns of text, or of numbers where that is plain; and the line of each row."""

import contextlib
import csv
import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbp.data.sources import Source, decoded, polars, without_comments
from fastbp.data.text_form import Form, find_form, listed, reader
from fastbp.errors import DataError, as_option
from fastbp.reading import OFF, Reading

if TYPE_CHECKING:
    import polars as pl

USUAL_MARKS = (
    "", "NA", "N/A", "#N/A", "#NA", "<NA>", "n/a", "NaN", "nan", "-nan", "-NaN", "NaT", "null", "NULL",
    "None", "-", "?", ".", "\\N", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#NULL!", "#N/A N/A",
)  # fmt: skip
"""The marks of a missing value in text: those of pandas, polars and R, and those that people write."""

TYPED_BYTES = 2**20
"""In a text of more bytes, columns that look like plain numbers are read as numbers at once, to save time."""

PLACES = 8
"""At how many places of a long text rows are looked at, to see which columns are plain numbers."""

ROWS_OF_A_PLACE = 200

COLUMNS_AT_ONCE = 128
"""So many columns are looked at together: a question takes 0.4 ms, for one column or for many."""

EXACT_ROWS = 50_000
"""Rows that the exact reader turns into columns at a time."""

WHOLE = r"^-?(?:0|[1-9]\d{0,17})$"
PLAIN = r"^-?(?:0|[1-9]\d*|)(?:\.\d*)?(?:[eE][+-]?\d+)?$"


@dataclass(frozen=True, eq=False)
class Text:
    """What was read from a text file.

    Attributes
    ----------
    form : Form
    frame : polars.DataFrame
        Columns of text without blanks around it, or of numbers. A column of text keeps its marks of missing
        values.
    lines : RowLines
        The line of each row.
    """

    form: Form
    frame: "pl.DataFrame"
    lines: "RowLines"


def read_text(
    source: Source,
    reading: Reading,
    remembered: Reading,
    wanted: Collection[str] = (),
    as_text: Collection[str] = (),
    labels: Collection[str] = (),
) -> Text:
    """Read a text file: see `fastbp.data`.

    Parameters
    ----------
    source : Source
    reading : Reading
        What was said.
    remembered : Reading
        What was said about the training file.
    wanted : collection of str
        Names that the columns are expected to have.
    as_text : collection of str
        Columns that are kept as they are written.
    labels : collection of str
        Columns that may hold labels, which are kept as they are written unless they have fractions.
    """
    content = decoded(source.name, source.read(), reading.encoding, remembered.encoding)
    content = without_comments(content, reading.comment)
    form = find_form(source.name, content, reading, wanted)
    at = _end_of_lines(content, form.n_before)
    if not content[at : at + 4096].strip() and not content[at:].strip():
        raise DataError(f"{source.name} has no rows")
    typed = None
    if len(content) > TYPED_BYTES and _is_regular(content, form, at):
        typed = _fast_typed(content, form, reading, as_text, labels)
    frame, kept = columns_of_text(source.name, content, form, typed, form.n_before)
    return Text(form, frame, RowLines(source, reading, remembered, form, kept))


def columns_of_text(
    name: str, content: bytes, form: Form, typed: "pl.DataFrame | None" = None, n_lines: int = 0
) -> tuple["pl.DataFrame", np.ndarray | None]:
    """Return the columns of a text, and which of its records are the rows, if not all are.

    Parameters
    ----------
    name : str
        The file's, for messages.
    content : bytes
        The text.
    form : Form
    typed : polars.DataFrame, optional
        The columns, if they have been read already.
    n_lines : int
        How many lines of the text are before the rows.
    """
    frame, kept = typed, None
    if typed is None and _is_regular(content, form, _end_of_lines(content, n_lines)):
        frame = _fast(content, form, n_lines)
    if frame is None:
        frame, kept = _exact(name, after_lines(content, n_lines), form)
    elif frame.to_series(-1).null_count():
        frame, kept = _without_blank_lines(name, after_lines(content, n_lines), form, frame)
    frame.columns = list(form.names)
    texts = [column for column in frame if column.dtype == polars().String]
    return frame.with_columns([column.str.strip_chars().fill_null("") for column in texts]), kept


def after_lines(content: bytes, n_lines: int) -> bytes:
    """Return a text without its first lines."""
    return content[_end_of_lines(content, n_lines) :]


def _end_of_lines(content: bytes, n_lines: int) -> int:
    """Return where the first lines of a text end."""
    at = 0
    for _ in range(n_lines):
        at = content.find(b"\n", at) + 1 or len(content)
    return at


def _is_regular(content: bytes, form: Form, at: int) -> bool:
    """Return whether polars can read the text from a byte on; for it, a blank before a quote is a value."""
    if form.separator == " ":
        return False
    quote = form.quote.encode()
    if not quote or content.find(quote, at) < 0:
        return True
    return content.find(form.separator.encode() + b" " + quote, at) < 0


def _fast_typed(
    content: bytes, form: Form, reading: Reading, as_text: Collection[str], labels: Collection[str]
) -> "pl.DataFrame | None":
    """Read columns as numbers that are plain numbers wherever one looks; None if others are in them."""
    pl = polars()
    if reading.decimal == "," or any(OFF in mark or "=" in mark for mark in reading.missing_values):
        return None
    sample = _sample(content, form)
    if sample is None:
        return None
    marks = marks_of("", reading)
    typed: dict[str, Any] = {}
    seen: set[str] = set()
    filled: list[int] = []
    whole: list[str] = []
    for at in range(0, sample.width, COLUMNS_AT_ONCE):
        names = sample.columns[at : at + COLUMNS_AT_ONCE]
        texts = pl.concat([sample[name] for name in names]).str.strip_chars().fill_null("")
        shape = len(names), len(sample)
        there = ~texts.is_in(list(marks)).to_numpy().reshape(shape)

        def has(pattern: str, texts: Any = texts, shape: tuple[int, int] = shape) -> np.ndarray:
            """Return which texts contain a pattern."""
            return texts.str.contains(pattern).to_numpy().reshape(shape)

        if (has(r"^\d{1,3}(?:\.\d{3})*,\d+") & there).any():
            return None  # decimal commas, or marks of thousands: what a point means is to be seen
        plain = (has(PLAIN) | ~there).all(axis=1) & there.any(axis=1)
        integral = (has(WHOLE) | ~there).all(axis=1)
        fractional = (has(r"\.\d*[1-9]") & there).any(axis=1)
        typed |= {names[i]: pl.Int64 if integral[i] else pl.Float64 for i in np.flatnonzero(plain)}
        whole += [names[i] for i in np.flatnonzero(plain & ~fractional)]
        seen.update(texts.filter(pl.Series((~there & plain[:, None]).ravel())).unique())
        # A position counts the columns that are not empty.
        filled += (at + np.flatnonzero((texts != "").to_numpy().reshape(shape).any(axis=1))).tolist()
    dates = (item.rpartition("=")[0] or item for item in reading.date)
    for name in (*as_text, *reading.text, *dates, *labels):
        with contextlib.suppress(ValueError, IndexError):
            at = form.names.index(name) if name in form.names else filled[int(name)]
            if name not in labels or f"column_{at + 1}" in whole:
                typed.pop(f"column_{at + 1}", None)
    if not typed:
        return None
    frame = _fast(content, form, form.n_before, typed, seen - {""})  # each mark takes time: 26 double it
    frame = _fast(content, form, form.n_before, typed, marks) if frame is None else frame
    if frame is None or (
        frame.null_count().row(0)[0] and frame.select(pl.all_horizontal(pl.all().is_null())).to_series().any()
    ):
        return None  # a row of marks is to be told from a row of nothing
    return frame


def _sample(content: bytes, form: Form) -> "pl.DataFrame | None":
    """Return rows from several places of a text."""
    first = _end_of_lines(content, form.n_before)
    quoted = bool(form.quote) and content.find(form.quote.encode(), first) >= 0
    parts = []
    for place in range(PLACES):
        start = first + (len(content) - first) * place // PLACES
        start = content.find(b"\n", start) + 1 if place else first
        end = start
        for _ in range(ROWS_OF_A_PLACE):
            end = content.find(b"\n", end) + 1 or len(content)
        parts.append(content[start:end])
        if quoted:  # a line may begin inside quotes
            break
    return _fast(b"".join(parts), form)


def marks_of(column: str, reading: Reading) -> tuple[str, ...]:
    """Return the marks of a missing value in a column of a text file."""
    said = reading.marks(column)
    return tuple(mark for mark in said if mark != OFF) + (("",) if OFF in said else USUAL_MARKS)


def _fast(
    content: bytes,
    form: Form,
    n_lines: int = 0,
    typed: Mapping[str, Any] | None = None,
    marks: Collection[str] = (),
) -> "pl.DataFrame | None":
    """Read what comes after the first lines with polars; None if it cannot."""
    pl = polars()
    names = [f"column_{i + 1}" for i in range(len(form.names))]
    try:
        return pl.read_csv(
            content,
            has_header=False,
            skip_lines=n_lines,
            separator=form.separator,
            quote_char=form.quote or None,
            schema={name: (typed or {}).get(name, pl.String) for name in names},
            null_values=list(marks) or None,
        )
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None


# --- exactly ------------------------------------------------------------------------------------------


def _exact(name: str, body: bytes, form: Form) -> tuple["pl.DataFrame", np.ndarray]:
    """Read with the standard library, which takes blanks for separators and says which line is wrong."""
    pl = polars()
    n_columns = len(form.names)
    schema = {f"column_{i + 1}": pl.String for i in range(n_columns)}
    frames, kept = [], []
    records = _records(name, body, form)
    n_records = 0
    while chunk := list(itertools.islice(records, EXACT_ROWS)):
        there = [i for i, row in enumerate(chunk) if len(row) > 1 or bool(row and row[0].strip())]
        for i in there:
            if len(chunk[i]) != n_columns:
                chunk[i] = _of_width(name, chunk[i], n_columns, n_records + i, body, form)
        frames.append(pl.DataFrame([chunk[i] for i in there], schema=schema, orient="row"))
        kept.append(np.array(there, int) + n_records)
        n_records += len(chunk)
    if not frames or not sum(map(len, frames)):
        raise DataError(f"{name} has no rows")
    return pl.concat(frames), np.concatenate(kept)


def lines_of(content: bytes) -> Iterable[str]:
    """Return the lines of a text; LF alone ends a line, as other readers have it."""
    return StringIO(content.decode("utf-8", "replace"), newline="\n")


def _records(name: str, body: bytes, form: Form) -> Iterator[list[str]]:
    records = reader(lines_of(body), form.separator, form.quote, strict=True)
    while True:
        before = records.line_num
        try:
            yield next(records)
        except StopIteration:
            return
        except csv.Error as error:
            _complain_of_a_quote(name, form, before, records.line_num, str(error))


def _complain_of_a_quote(name: str, form: Form, before: int, at: int, reason: str) -> None:
    """Raise an error that names the line in which the quotes go wrong."""
    line = form.n_before + before + 1
    if "end of data" in reason:
        what = f"opens a quote ({form.quote}) in line {line} that nothing closes"
    elif "larger than field limit" in reason:
        what = f"has a value of more than {csv.field_size_limit():,} characters from line {line} on"
    else:
        what = f"has a stray quote ({form.quote}) in line {form.n_before + at}"
    raise DataError(f"{name} {what}; {as_option('quote', 'none')} reads quotes as they are")


def _of_width(name: str, row: list[str], n_columns: int, record: int, body: bytes, form: Form) -> list[str]:
    """Return a row without empty values too many, or say which line has too many or too few."""
    if len(row) > n_columns and not any(value.strip() for value in row[n_columns:]):
        return row[:n_columns]
    line = form.n_before + line_of_record(body, form, record)
    if len(row) > n_columns:
        raise DataError(
            f"{name} has {len(row)} values in line {line}, and {_in_the_names(form, n_columns)}; "
            f"{_help(form)}"
        )
    raise DataError(f"{name} has {len(row)} of {n_columns} values in line {line}; {_help(form)}")


def _in_the_names(form: Form, n_columns: int) -> str:
    if not form.named:
        return f"{n_columns} in the others"
    return f"{n_columns} name{'' if n_columns == 1 else 's'} in line {form.n_before}"


def _help(form: Form) -> str:
    said = [as_option("separator"), as_option("quote"), as_option("skip_rows"), as_option("comment")]
    return f"quote a value that has {form.separator!r} in it, or see {', '.join(said)}"


def line_of_record(body: bytes, form: Form, record: int) -> int:
    """Return in which line of a text, from 1, a record begins."""
    records = reader(lines_of(body), form.separator, form.quote, strict=False)
    for _ in range(record):
        next(records, None)
    return records.line_num + 1


def _without_blank_lines(
    name: str, body: bytes, form: Form, frame: "pl.DataFrame"
) -> tuple["pl.DataFrame", np.ndarray | None]:
    """Return the rows that are no blank lines; polars turns blank and short lines into missing values.

    A short line is an error. A row of missing values stays.
    """
    pl = polars()
    lines = pl.read_csv(
        body, has_header=False, separator="\x01", quote_char=None, schema={"line": pl.String}
    )["line"].fill_null("")
    if form.quote:
        quotes = lines.str.count_matches(form.quote, literal=True)
        if (quotes % 2 > 0).any():
            return _exact(name, body, form)  # values of several lines
        if (quotes > 0).any():
            quote = re.escape(form.quote)
            lines = lines.str.replace_all(f"{quote}[^{quote}]*{quote}", "q")
    if len(lines) != len(frame):
        return _exact(name, body, form)
    there = lines.str.strip_chars().str.len_bytes() > 0
    n_separators = lines.str.count_matches(form.separator, literal=True)
    short = there & (n_separators < frame.width - 1)
    if short.any():
        row = int(np.argmax(short.to_numpy()))
        raise DataError(
            f"{name} has {n_separators[row] + 1} of {frame.width} values in line {form.n_before + row + 1}; "
            f"{_help(form)}"
        )
    if there.all():
        return frame, None
    if frame.width == 1:  # a blank line is a missing value, except at the end
        n_rows = len(there) - int(np.argmax(there.to_numpy()[::-1]))
        return frame.head(n_rows), None
    return frame.filter(there), np.flatnonzero(there.to_numpy())


@dataclass(frozen=True, eq=False)
class RowLines:
    """In which line of its file each row is. The file is read again for this, so it is for messages alone."""

    source: Source
    reading: Reading
    remembered: Reading
    form: Form
    kept: np.ndarray | None = None

    def of(self, rows: Sequence[int] | np.ndarray) -> "RowLines":
        """Return the lines of some of the rows."""
        kept = np.asarray(rows) if self.kept is None else self.kept[rows]
        return RowLines(self.source, self.reading, self.remembered, self.form, kept)

    def line(self, row: int) -> int:
        """Return the line of a row, from 1."""
        record = row if self.kept is None else int(self.kept[row])
        content = decoded(
            self.source.name, self.source.read(), self.reading.encoding, self.remembered.encoding
        )
        plain = without_comments(content, self.reading.comment)
        body = after_lines(plain, self.form.n_before)
        line = self.form.n_before + line_of_record(body, self.form, record)
        return with_comments(content, self.reading.comment, line)


def with_comments(content: bytes, comment: str | None, line: int) -> int:
    """Return which line of a text it is that is this line without the comments."""
    if comment is None:
        return line
    left = (
        number
        for number, text in enumerate(content.decode().split("\n"), 1)
        if not text.lstrip(" \t").startswith(comment)
    )
    return next(itertools.islice(left, line - 1, None))


def empty_columns(frame: "pl.DataFrame") -> list[str]:
    """Return the columns of a text file that have no value in any row, not even a mark of a missing one."""
    text = polars().String
    return [c.name for c in frame if (c.dtype == text and not (c != "").any()) or c.null_count() == len(c)]


def describe_dropped(name: str, columns: Sequence[str]) -> str:
    """Return a remark about columns that were left out because they are empty."""
    have = "column" if len(columns) == 1 else "columns"
    return (
        f"the {have} {listed(columns)} of {name} {'is' if len(columns) == 1 else 'are'} empty, and left out"
    )
