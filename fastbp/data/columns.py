"""Columns as numbers: statistics of the training rows, and the arrays made with them."""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fastbp.data.table_file import Table, listed, polars
from fastbp.errors import DataError
from fastbp.preprocessing import ClassTarget, NumberColumn, NumberTarget, Preprocessing, TextColumn

if TYPE_CHECKING:
    import polars as pl

MOST_CATEGORIES = 256
"""The most categories of a text column. A column with more holds names or sentences, not categories."""

MOST_LABELS = 1000

MOST_NUMERIC_LABELS = 20
"""A target of whole numbers is classes if it has at most this many different values."""

MOSTLY = 0.5
"""A text column is numbers with typing errors if more than this fraction of its values are numbers."""


def fit_columns(
    table: Table, names: Sequence[str], training: np.ndarray, missing: str
) -> tuple[list[NumberColumn | TextColumn], list[str]]:
    """Return what the columns are, and remarks about them.

    Parameters
    ----------
    table : Table
    names : sequence of str
        The columns to look at.
    training : bool[n_rows]
        The rows over which means and scales are computed. Categories come from all rows.
    missing : {"error", "mean"}
    """
    seen: dict[str, _Numbers | _Texts] = {}
    for start, frame in table.blocks(names):
        for column in frame:
            kind = _Numbers if _holds_numbers(table, column) else _Texts
            seen.setdefault(column.name, kind(column.name)).add(table, start, column, training)
    absent = {name: known.n_missing for name, known in seen.items() if known.n_missing}
    if absent and missing == "error":
        counts = [f"{name!r} ({count:,})" for name, count in absent.items()]
        shown = ", ".join(counts[:12]) + (f" and {len(counts) - 12} more columns" if len(counts) > 12 else "")
        raise DataError(
            f"{table.path} has missing values in {shown}; fill them, or let the column's mean stand in: "
            "--missing mean (missing='mean')"
        )
    columns = [known.settle(table) for known in seen.values()]
    constant = [known.name for known in seen.values() if known.is_constant]
    remarks = []
    if constant:
        have = f"column {constant[0]!r} has" if len(constant) == 1 else f"the columns {listed(constant)} have"
        remarks.append(f"{have} the same value in every training row, which tells nothing")
    if absent:
        total = sum(absent.values())
        values = "1 missing value was" if total == 1 else f"{total:,} missing values were"
        remarks.append(f"{values} replaced, in {listed(list(absent))}")
    return columns, remarks


class _Numbers:
    """Mean and scale of a column, block by block.

    Chan, Golub & LeVeque 1983, https://doi.org/10.1080/00031305.1983.10483115, eq. 2.1.
    """

    def __init__(self, name: str):
        self.name = name
        self.n_missing = self.n = 0
        self.mean = self.squares = 0.0
        self.low, self.high = math.inf, -math.inf

    def add(self, table: Table, start: int, column: "pl.Series", training: np.ndarray) -> None:
        values = _numbers(table, start, column)
        absent = np.isnan(values)
        self.n_missing += int(absent.sum())
        values = values[training[start : start + len(values)] & ~absent]
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
        return self.low == self.high

    def settle(self, table: Table) -> NumberColumn:
        if self.n == 0:
            raise DataError(f"column {self.name!r} of {table.path} has no value in any training row")
        scale = 1.0 if self.is_constant else math.sqrt(self.squares / self.n)
        if not 1e-150 < scale < 1e150 or abs(self.mean) > 1e150:
            raise DataError(
                f"column {self.name!r} of {table.path} has values from {self.low:g} to {self.high:g}, whose "
                "squares double precision does not hold; give it another unit"
            )
        mean = self.low if self.is_constant else self.mean  # the mean of equal values may be rounded
        return NumberColumn(self.name, float(mean), scale)


class _Texts:
    """The categories of a column, block by block."""

    def __init__(self, name: str):
        self.name = name
        self.n_missing = 0
        self.categories: set[str] = set()

    def add(self, table: Table, start: int, column: "pl.Series", training: np.ndarray) -> None:
        text = _texts(table, column)
        self.n_missing += text.null_count()
        self.categories.update(text.drop_nulls().unique())
        _complain_of_slips(table, start, text)
        if len(self.categories) > MOST_CATEGORIES:
            raise DataError(
                f"column {self.name!r} of {table.path} has {len(self.categories):,} different texts, such as "
                f"{min(self.categories)!r}, and may have {MOST_CATEGORIES}; leave it out: "
                f"--ignore {self.name} (ignore=[{self.name!r}])"
            )

    @property
    def is_constant(self) -> bool:
        return len(self.categories) == 1

    def settle(self, table: Table) -> TextColumn:
        if not self.categories:
            raise DataError(f"column {self.name!r} of {table.path} has no value in any row")
        return TextColumn(self.name, tuple(sorted(self.categories)))


def fit_target(table: Table, name: str, task: str | None) -> tuple[ClassTarget | NumberTarget, np.ndarray]:
    """Return what a target is, and its values: class codes, or numbers."""
    column = table.column(name)
    _complain_of_missing_targets(table, column)
    if _holds_numbers(table, column) and column.dtype != polars().Boolean:
        values = _numbers(table, 0, column)
        whole = bool((values == np.floor(values)).all()) and bool((np.abs(values) < 2**53).all())
        distinct = np.unique(values)
        if task == "classification" and not whole:
            raise DataError(f"column {name!r} of {table.path} holds fractions, which cannot be classes")
        if task == "regression" or (task is None and not (whole and len(distinct) <= MOST_NUMERIC_LABELS)):
            return NumberTarget(name, 0.0, 1.0), values
        labels: tuple = tuple(int(value) for value in distinct)
        codes = np.searchsorted(distinct, values)
    else:
        if column.dtype != polars().Boolean:
            column = _texts(table, column)
            _complain_of_slips(table, 0, column)
        if task == "regression":
            raise DataError(
                f"column {name!r} of {table.path} holds text, such as {str(column[0])!r}; a regression needs "
                "numbers"
            )
        labels = tuple(sorted(column.unique()))
        codes = _codes(labels, column)
    if len(labels) == 1:
        raise DataError(f"the target {name!r} of {table.path} is {labels[0]!r} in every row")
    if len(labels) > MOST_LABELS:
        raise DataError(
            f"the target {name!r} of {table.path} has {len(labels):,} different values, such as "
            f"{labels[0]!r}, and may have {MOST_LABELS:,} classes"
        )
    return ClassTarget(name, labels), codes


def encode_target(table: Table, target: ClassTarget | NumberTarget) -> np.ndarray:
    """Return the values of a known target: class codes, or numbers."""
    text = isinstance(target, ClassTarget) and isinstance(target.labels[0], str)
    column = table.column(target.name, as_text=text)
    _complain_of_missing_targets(table, column)
    if isinstance(target, NumberTarget):
        return _numbers(table, 0, column)
    if text:
        column = _texts(table, column)
    elif column.dtype != polars().Boolean:
        column = polars().Series(target.name, _numbers(table, 0, column))
    codes = _codes(target.labels, column)
    if (codes < 0).any():
        row = int(np.argmax(codes < 0))
        raise DataError(
            f"column {target.name!r} of {table.path} is {column[row]!r} in row {row + 1}, and the model's "
            f"classes are {listed([str(label) for label in target.labels])}"
        )
    return codes


def encode(
    table: Table, preprocessing: Preprocessing, dtype: np.dtype, unseen: str, hint: str = ""
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield a table as a network's inputs, block by block, each with the number of its first row.

    The error about an unseen category ends with `hint`.
    """
    names = _columns_of(table, preprocessing)
    pairs = zip(names, preprocessing.columns, strict=True)
    texts = {name for name, known in pairs if isinstance(known, TextColumn)}
    for start, frame in table.blocks(names, texts):
        X = np.zeros((len(frame), preprocessing.n_inputs), dtype)
        at = 0
        for known, column in zip(preprocessing.columns, frame, strict=True):
            if isinstance(known, NumberColumn):
                _encode_number(table, start, column, known, preprocessing, X[:, at])
                at += 1
            else:
                width = len(known.categories)
                _encode_text(table, start, column, known, preprocessing, unseen, hint, X[:, at : at + width])
                at += width
        yield start, X


def _columns_of(table: Table, preprocessing: Preprocessing) -> list[str]:
    """Return the names, in this table, of the columns that a model uses."""
    wanted = [column.name for column in preprocessing.columns]
    if not table.named and len(table.names) == len(wanted):
        return table.names  # by position: at training time, the target may have been one of them
    absent = [name for name in wanted if name not in table.names]
    if absent:
        raise DataError(
            f"{table.path} lacks {listed(absent)}, which the model takes; it has the columns "
            f"{listed(table.names)}"
        )
    return wanted


@np.errstate(all="ignore")
def _encode_number(
    table: Table,
    start: int,
    column: "pl.Series",
    known: NumberColumn,
    preprocessing: Preprocessing,
    out: np.ndarray,
) -> None:
    values = _numbers(table, start, column)
    absent = np.isnan(values)
    if absent.any():
        _refuse_missing(table, start, column, absent, preprocessing)
        values = np.where(absent, known.mean, values)
    # The caller finds values that do not fit into float32.
    out[:] = (values - known.mean) / known.scale if preprocessing.standardize else values


def _encode_text(
    table: Table,
    start: int,
    column: "pl.Series",
    known: TextColumn,
    preprocessing: Preprocessing,
    unseen: str,
    hint: str,
    out: np.ndarray,
) -> None:
    text = _texts(table, column)
    absent = text.is_null().to_numpy()
    if absent.any():
        _refuse_missing(table, start, column, absent, preprocessing)
    codes = _codes(known.categories, text)
    new = (codes < 0) & ~absent
    if new.any() and unseen == "error":
        row = int(np.argmax(new))
        raise DataError(
            f"column {column.name!r} of {table.path} is {text[row]!r} in row {start + row + 1}, and the "
            f"model knows {listed(known.categories)}{hint}"
        )
    rows = np.flatnonzero(codes >= 0)
    out[rows, codes[rows]] = 1


def _refuse_missing(
    table: Table, start: int, column: "pl.Series", absent: np.ndarray, preprocessing: Preprocessing
) -> None:
    if preprocessing.missing == "error":
        row = start + int(np.argmax(absent)) + 1
        raise DataError(
            f"column {column.name!r} of {table.path} has {int(absent.sum()):,} missing values, the first in "
            f"row {row}; the model was trained without any"
        )


def _complain_of_missing_targets(table: Table, column: "pl.Series") -> None:
    absent = column.null_count()
    if column.dtype.is_float():
        absent += int(column.is_nan().sum())
    if absent:
        raise DataError(
            f"the target {column.name!r} of {table.path} is missing in {absent:,} of {len(column):,} rows; "
            "leave these rows out"
        )


def _complain_of_slips(table: Table, start: int, text: "pl.Series") -> None:
    """Raise an error that locates the text in a column that mostly holds numbers."""
    slips = text.cast(polars().Float64, strict=False).is_null() & text.is_not_null()
    n_slips, n_values = int(slips.sum()), len(text) - text.null_count()
    if n_slips < (1 - MOSTLY) * n_values:
        row = int(np.argmax(slips.to_numpy()))
        raise DataError(
            f"column {text.name!r} of {table.path} holds numbers, and in {n_slips:,} of {n_values:,} rows "
            f"text: {text[row]!r} in row {start + row + 1}"
        )


def _holds_numbers(table: Table, column: "pl.Series") -> bool:
    pl = polars()
    if column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null):
        return True
    if column.dtype in (pl.String, pl.Categorical, pl.Enum):
        return False
    raise DataError(
        f"column {column.name!r} of {table.path} has type {column.dtype}, and may hold numbers, booleans or "
        f"text; leave it out: --ignore {column.name} (ignore=[{column.name!r}])"
    )


def _numbers(table: Table, start: int, column: "pl.Series") -> np.ndarray:
    """Return a column as float64, with NaN for missing values."""
    if not _holds_numbers(table, column):
        text = _texts(table, column)
        present = text.is_not_null().to_numpy()
        if present.any():
            row = int(np.argmax(present))
            raise DataError(
                f"column {column.name!r} of {table.path} must hold numbers, and is {text[row]!r} in row "
                f"{start + row + 1}"
            )
        return np.full(len(column), np.nan)
    values = column.cast(polars().Float64).to_numpy()
    if np.isinf(values).any():
        row = int(np.argmax(np.isinf(values)))
        raise DataError(
            f"column {column.name!r} of {table.path} is {values[row]} in row {start + row + 1}, and must be "
            "finite"
        )
    return values


def _texts(table: Table, column: "pl.Series") -> "pl.Series":
    """Return a column as text."""
    _holds_numbers(table, column)  # complains of other types
    return column.cast(polars().String)


def _codes(labels: Sequence, column: "pl.Series") -> np.ndarray:
    """Return the index of each value among the labels, or -1 if it is not one of them."""
    pl = polars()
    codes = {label: code for code, label in enumerate(labels)}
    distinct = column.unique()
    places = pl.Series([codes.get(value, -1) for value in distinct], dtype=pl.Int64)
    return column.replace_strict(distinct, places, return_dtype=pl.Int64).to_numpy().astype(np.int64)
