"""Columns as numbers: statistics of the training rows, and the arrays made with them."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbp.data.dates import features, parts_of
from fastbp.data.meanings import Meaning, meaning_of
from fastbp.data.table_file import Table, is_running
from fastbp.data.text_form import listed
from fastbp.data.threads import in_threads
from fastbp.data.values import codes_of, moments, numbers, texts
from fastbp.errors import DataError, as_option, nearest, shown
from fastbp.preprocessing import Column, DateColumn, NumberColumn, Preprocessing, TextColumn

if TYPE_CHECKING:
    import polars as pl

MOST_CATEGORIES = 256
"""The most categories of a text column. A column with more holds names or sentences, not categories."""

MOST_TOLD_CATEGORIES = 10_000
"""The most categories of a column that is said to be text."""

FEW_CATEGORIES = 20
"""A text column with more categories than this is refused if most of its rows have one of their own."""

MOSTLY_DIFFERENT = 0.8
"""A text column is remarked on if at least this fraction of its values differ."""

BEGINS_WITH_A_NUMBER = re.compile(r"[^\w]*\d")

ROWS_AT_A_TIME = 2**16
"""So many rows of a block go through each step together, so that they stay in a cache."""

COUNTING_ROWS = 10
"""A column of at least so many numbers that counts the rows is remarked on."""


def fit_columns(
    table: Table, names: Sequence[str], training: np.ndarray, missing: str
) -> tuple[list[Column], list[str]]:
    """Return what the columns are, and remarks about them.

    Parameters
    ----------
    table : Table
    names : sequence of str
        The columns to look at.
    training : bool[n_rows]
        The rows over which means and scales are computed. Categories come from all rows.
    missing : {"error", "mean", "median", "indicator"}
    """
    meanings = {name: meaning_of(table, name) for name in names}
    kinds = {"number": NumberStatistics, "boolean": NumberStatistics, "text": _Texts, "date": _Dates}
    seen: dict[str, Any] = {name: kinds[meaning.kind](name, meaning) for name, meaning in meanings.items()}
    for name, meaning in meanings.items():
        if meaning.codes:
            _complain_of_codes(table, name)
    for start, frame in table.blocks(names):

        def add(column: "pl.Series", start: int = start) -> None:
            seen[column.name].add(table, start, column, training[start : start + len(column)])

        in_threads(add, frame, len(frame) > ROWS_AT_A_TIME)
    absent = {name: known.n_missing for name, known in seen.items() if known.n_missing}
    if absent and missing == "error":
        _complain_of_missing(table, absent)
    remarks = _remarks_on_spellings(meanings)
    columns = [known.settle(table, missing, training, remarks) for known in seen.values()]
    constant = [name for name, known in seen.items() if known.is_constant and not known.n_missing]
    if constant:
        have = f"column {constant[0]!r} has" if len(constant) == 1 else f"the columns {listed(constant)} have"
        remarks.append(f"{have} the same value in every training row, which tells nothing")
    if absent:
        total = sum(absent.values())
        values = "1 missing value was" if total == 1 else f"{total:,} missing values were"
        remarks.append(f"{values} replaced, in {listed(list(absent))}")
    return columns, remarks


def _remarks_on_spellings(meanings: dict[str, Meaning]) -> list[str]:
    """Return what was understood that is not plain: one remark for columns that are spelled in one way."""
    alike: dict[Any, list[str]] = {}
    for name, meaning in meanings.items():
        if meaning.remark:
            alike.setdefault(meaning.spelling, []).append(name)
    remarks = []
    for names in alike.values():
        remark = meanings[names[0]].remark
        if len(names) > 1:
            understood = remark.removeprefix(f"column {names[0]!r} is ")
            remark = f"the columns {listed(names)} are {understood}"
        remarks.append(remark)
    return remarks


def _complain_of_codes(table: Table, name: str) -> None:
    column = table.column(name).drop_nulls()
    example = column.filter(column.str.contains(r"^[+-]?0\d"))[0]
    raise DataError(
        f"column {name!r} of {table.path} has numbers that begin with 0, such as {shown(example)} in "
        f"{table.place_of(name, example)}: {as_option('text', [name])} takes them for categories, "
        f"{as_option('number', [name])} for numbers"
    )


def _complain_of_missing(table: Table, absent: dict[str, int]) -> None:
    counts = [f"{name!r} ({count:,})" for name, count in absent.items()]
    listing = ", ".join(counts[:12]) + (f" and {len(counts) - 12} more columns" if len(counts) > 12 else "")
    name = next(iter(absent))
    column, raw = table.column(name), table.raw(name)
    row = int(np.argmax(column.is_null().to_numpy()))
    mark = raw[row] if column.null_count() else None
    is_text = isinstance(mark, str) and mark != "" and meaning_of(table, name).kind == "text"
    class_ = (
        f", {as_option('missing_values', [f'{name}=off'])} takes {shown(mark)} for a text" if is_text else ""
    )
    where = f", the first in {table.place(row)}" if column.null_count() else ""
    raise DataError(
        f"{table.path} has missing values in {listing}{where}; {as_option('missing', 'mean')} fills them "
        f"with the "
        f"column's mean, {as_option('missing', 'indicator')} also adds an input that says so{class_}"
    )


class NumberStatistics:
    """Mean and scale of a column, block by block.

    Chan, Golub & LeVeque 1983, https://doi.org/10.1080/00031305.1983.10483115, eq. 2.1.
    """

    def __init__(self, name: str, meaning: Meaning):
        self.name = name
        self.meaning = meaning
        self.n_missing = self.n = 0
        self.mean = self.squares = 0.0
        self.low, self.high = math.inf, -math.inf

    @classmethod
    def of_each(cls, meanings: Mapping[str, Meaning], values: np.ndarray) -> "dict[str, NumberStatistics]":
        """Return those of several columns, from values without missing ones.

        Parameters
        ----------
        meanings : mapping
            By name.
        values : float64[n_columns, n_rows], C-contiguous
            So sums have the bits of those of single columns.
        """
        means = values.mean(axis=1)
        squares = np.square(values - means[:, np.newaxis]).sum(axis=1)
        numbers = (means, squares, values.min(axis=1), values.max(axis=1))
        found = {}
        for (name, meaning), mean, square, low, high in zip(meanings.items(), *numbers, strict=True):
            known = found[name] = cls(name, meaning)
            known.n, known.mean, known.squares, known.low, known.high = (
                values.shape[1],
                mean,
                square,
                low,
                high,
            )
        return found

    def add(self, table: Table, start: int, column: "pl.Series", training: np.ndarray) -> None:
        """Add a block of the column; `training` says which of its rows count."""
        for at in range(0, len(column), ROWS_AT_A_TIME):
            part = slice(at, at + ROWS_AT_A_TIME)
            self._add(table, start + at, column[part], training[part])

    def _add(self, table: Table, start: int, column: "pl.Series", training: np.ndarray) -> None:
        self.take(numbers(table, start, column, self.meaning.spelling), training)

    def take(self, values: np.ndarray, training: np.ndarray) -> None:
        """Add some rows of the column, as numbers, with NaN for missing values."""
        if math.isnan(values.sum()) or not training.all():
            absent = np.isnan(values)
            self.n_missing += int(absent.sum())
            values = values[training & ~absent]
        if not len(values):
            return
        mean = values.mean()
        squares = np.square(values - mean).sum()
        n, shift = self.n + len(values), mean - self.mean
        self.squares += squares + shift * shift * (self.n * len(values) / n)
        self.mean += shift * (len(values) / n)
        self.n = n
        self.low, self.high = min(self.low, values.min()), max(self.high, values.max())

    @property
    def is_constant(self) -> bool:
        """Whether all training rows have the same value."""
        return self.low == self.high

    def settle(self, table: Table, missing: str, training: np.ndarray, remarks: list[str]) -> NumberColumn:
        """Return what the column is, or say why it cannot be used; add remarks about it."""
        if self.n == 0:
            raise DataError(
                f"column {self.name!r} of {table.path} has no value in any training row; leave it out: "
                f"{as_option('ignore', [self.name])}"
            )
        scale = 1.0 if self.is_constant else math.sqrt(self.squares / self.n)
        if not 1e-150 < scale < 1e150 or abs(self.mean) > 1e150:
            raise DataError(
                f"column {self.name!r} of {table.path} has values from {self.low:g} to {self.high:g}, whose "
                "squares double precision does not hold; give it another unit"
            )
        mean = float(self.low if self.is_constant else self.mean)  # the mean of equal values may be rounded
        fill = None
        if missing == "median":
            values = numbers(table, 0, table.column(self.name), self.meaning.spelling)[training]
            fill = float(np.median(values[~np.isnan(values)]))
        has_indicator = missing == "indicator" and self.n_missing > 0
        if self.is_constant and self.n_missing and not has_indicator:
            remarks.append(
                f"column {self.name!r} has the value {self.low:.15g} in every training row that is not "
                f"missing; "
                f"only {as_option('missing', 'indicator')} tells one from the other"
            )
        if len(table.names) > 2:  # beside the target, it is not the only one
            self._remark_on_counting(table, remarks)
        return NumberColumn(self.name, mean, scale, fill, has_indicator, self.meaning.spelling)

    def _remark_on_counting(self, table: Table, remarks: list[str]) -> None:
        if self.low in (0, 1) and self.high - self.low + 1 == len(table) >= COUNTING_ROWS:
            column = table.raw(self.name)
            if is_running(column):
                remarks.append(
                    f"column {self.name!r} counts the rows; if that tells nothing, "
                    f"{as_option('ignore', [self.name])} leaves it out"
                )


class _Texts:
    """The categories of a column, block by block."""

    def __init__(self, name: str, meaning: Meaning):
        self.name = name
        self.n_missing = self.n = 0
        self.categories: set[str] = set()

    def add(self, table: Table, start: int, column: "pl.Series", training: np.ndarray) -> None:
        """Add the texts of a block, of all its rows."""
        text = texts(column)
        n_missing = text.null_count()
        self.n_missing += n_missing
        self.n += len(text) - n_missing
        self.categories.update(text.drop_nulls().unique())
        told = self.name in table.reading.text
        most = MOST_TOLD_CATEGORIES if told else MOST_CATEGORIES
        if len(self.categories) > most:
            raise DataError(
                f"column {self.name!r} of {table.path} has {len(self.categories):,} different texts, such as "
                f"{shown(min(self.categories))}, and may have {most:,}; leave it out: "
                f"{as_option('ignore', [self.name])}{'' if told else ', or say that it is text: '}"
                f"{'' if told else as_option('text', [self.name])}"
            )

    @property
    def is_constant(self) -> bool:
        """Whether all rows have the same text."""
        return len(self.categories) == 1

    def settle(self, table: Table, missing: str, training: np.ndarray, remarks: list[str]) -> TextColumn:
        """Return what the column is, or say why it cannot be used; add remarks about it."""
        if not self.categories:
            raise DataError(
                f"column {self.name!r} of {table.path} has no value in any row; leave it out: "
                f"{as_option('ignore', [self.name])}"
            )
        n = len(self.categories)
        if self.name not in table.reading.text:
            if n > FEW_CATEGORIES and n > self.n / 2:
                raise own_text_per_row(table, self.name, n, self.n, min(self.categories))
            begins = [text for text in self.categories if BEGINS_WITH_A_NUMBER.match(text)]
            if n >= 3 and len(begins) > n / 2:
                remarks.append(
                    f"column {self.name!r} has texts that begin with numbers, such as "
                    f"{shown(min(begins))}, and "
                    f"each is a "
                    f"category: {as_option('text', [self.name])} says that this is meant"
                )
            elif n >= 5 and n >= MOSTLY_DIFFERENT * self.n:
                every = "every row" if n == self.n else f"nearly every row ({n} in {self.n})"
                remarks.append(
                    f"column {self.name!r} has another text in {every}, which tells nothing: "
                    f"{as_option('ignore', [self.name])} leaves it out"
                )
        return TextColumn(
            self.name, tuple(sorted(self.categories)), missing != "error" and self.n_missing > 0
        )


def own_text_per_row(table: Table, name: str, n: int, n_rows: int, example: str) -> DataError:
    """Return the error for a column of which most rows have a text of their own, as names and ids have."""
    return DataError(
        f"column {name!r} of {table.path} has {n:,} different texts in {n_rows:,} rows, such as "
        f"{shown(example)}, like "
        f"names or ids: {as_option('ignore', [name])} leaves it out, {as_option('text', [name])} takes "
        f"each for a "
        "category"
    )


class _Dates:
    """A column of dates, block by block."""

    def __init__(self, name: str, meaning: Meaning):
        self.name = name
        self.meaning = meaning
        self.blocks: list[np.ndarray] = []

    def add(self, table: Table, start: int, column: "pl.Series", training: np.ndarray) -> None:
        """Add the dates of a block."""
        self.blocks.append(moments(table, start, column, self.meaning.format))

    @property
    def n_missing(self) -> int:
        """How many dates are missing."""
        return sum(int(np.isnan(block).sum()) for block in self.blocks)

    @property
    def is_constant(self) -> bool:
        """Whether all rows have the same date."""
        values = np.concatenate(self.blocks)
        values = values[~np.isnan(values)]
        return bool(len(values)) and values.min() == values.max()

    def settle(self, table: Table, missing: str, training: np.ndarray, remarks: list[str]) -> DateColumn:
        """Return what the column is, or say why it cannot be used."""
        values = np.concatenate(self.blocks)
        known = values[training & ~np.isnan(values)]
        if not len(known):
            raise DataError(f"column {self.name!r} of {table.path} has no value in any training row")
        parts = parts_of(values, table.reading.dates(self.name) or "number")
        scale = float(known.std()) or 1.0
        has_indicator = missing == "indicator" and bool(np.isnan(values).any())
        return DateColumn(self.name, parts, float(known.mean()), scale, self.meaning.format, has_indicator)


# --- inputs ------------------------------------------------------------------------------------------


def encode(
    table: Table, preprocessing: Preprocessing, dtype: np.dtype, unseen: str
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield a table as a network's inputs, block by block, each with the number of its first row."""
    names = columns_of(table, preprocessing)
    for start, frame in table.blocks(names):
        X = np.zeros((len(frame), preprocessing.n_inputs), dtype)

        def encode_rows(
            first: int, start: int = start, frame: "pl.DataFrame" = frame, X: np.ndarray = X
        ) -> None:
            rows = slice(first, first + ROWS_AT_A_TIME)
            _encode_rows(table, start + first, frame[rows], preprocessing, unseen, X[rows])

        in_threads(encode_rows, range(0, len(frame), ROWS_AT_A_TIME), len(frame) > ROWS_AT_A_TIME)
        yield start, X


def _encode_rows(
    table: Table, start: int, frame: "pl.DataFrame", preprocessing: Preprocessing, unseen: str, X: np.ndarray
) -> None:
    at = 0
    for known, column in zip(preprocessing.columns, frame, strict=True):
        out = X[:, at : at + len(known.input_names)]
        if isinstance(known, NumberColumn):
            _encode_number(table, start, column, known, preprocessing, out)
        elif isinstance(known, DateColumn):
            _encode_date(table, start, column, known, preprocessing, out)
        else:
            _encode_text(table, start, column, known, preprocessing, unseen, out)
        at += out.shape[1]


def columns_of(table: Table, preprocessing: Preprocessing) -> list[str]:
    """Return the names, in this table, of the columns that a model uses."""
    wanted = [column.name for column in preprocessing.columns]
    if not table.named and len(table.names) == len(wanted):
        return table.names  # by position: at training time, the target may have been one of them
    absent = [name for name in wanted if name not in table.names]
    if absent:
        raise DataError(
            f"{table.path} lacks {listed(absent)}, which the model takes; it has the columns "
            f"{listed(table.names)}{nearest(absent[0], table.names)}"
        )
    return wanted


def _encode_number(
    table: Table,
    start: int,
    column: "pl.Series",
    known: NumberColumn,
    preprocessing: Preprocessing,
    out: np.ndarray,
) -> None:
    values = numbers(table, start, column, known.spelling)
    if math.isnan(values.sum()):
        absent = np.isnan(values)
        if absent.any():
            _refuse_missing(table, start, column, absent, preprocessing)
    write_scaled(values, known, preprocessing.standardize, out)


@np.errstate(all="ignore")
def write_scaled(values: np.ndarray, known: NumberColumn, standardize: bool, out: np.ndarray) -> None:
    """Write numbers as inputs, with NaN for those that are missing and to be replaced."""
    # The caller finds values that do not fit into float32.
    if math.isnan(values.sum()):
        absent = np.isnan(values)
        values = np.where(absent, known.mean if known.fill is None else known.fill, values)
        if known.indicator:
            out[:, 1] = absent
    if standardize:
        values = values - known.mean
        np.divide(values, known.scale, out=values)
    out[:, 0] = values


def _encode_date(
    table: Table,
    start: int,
    column: "pl.Series",
    known: DateColumn,
    preprocessing: Preprocessing,
    out: np.ndarray,
) -> None:
    values = moments(table, start, column, known.format)
    absent = np.isnan(values)
    if absent.any():
        _refuse_missing(table, start, column, absent, preprocessing)
    mean, scale = (known.mean, known.scale) if preprocessing.standardize else (0.0, 1.0)
    features(np.where(absent, np.nan, values), known.parts, mean, scale, out)
    if absent.any() and "days" in known.parts and not preprocessing.standardize:
        out[absent, known.parts.index("days")] = known.mean
    if known.indicator:
        out[:, -1] = absent


def _encode_text(
    table: Table,
    start: int,
    column: "pl.Series",
    known: TextColumn,
    preprocessing: Preprocessing,
    unseen: str,
    out: np.ndarray,
) -> None:
    text = texts(column)
    absent = text.is_null().to_numpy()
    if absent.any():
        _refuse_missing(table, start, column, absent, preprocessing)
    found = codes_of(known.categories, text)
    new = (found < 0) & ~absent
    if new.any() and unseen == "error":
        row = int(np.argmax(new))
        raise DataError(
            f"column {column.name!r} of {table.path} is {shown(text[row])} in {table.place(start + row)}, "
            f"and the "
            f"model knows {listed(known.categories)}; {as_option('unseen', 'zeros')} treats it as none of "
            f"these"
        )
    rows = np.flatnonzero(found >= 0)
    out[rows, found[rows]] = 1
    if known.has_missing:
        out[:, -1] = absent


def _refuse_missing(
    table: Table, start: int, column: "pl.Series", absent: np.ndarray, preprocessing: Preprocessing
) -> None:
    if preprocessing.missing == "error":
        row, count = start + int(np.argmax(absent)), int(absent.sum())
        raise DataError(
            f"column {column.name!r} of {table.path} has {count:,} missing value{'' if count == 1 else 's'}, "
            f"the first in {table.place(row)}; {as_option('missing', 'mean')} fills them with the training "
            "rows' mean"
        )
