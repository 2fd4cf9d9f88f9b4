"""The target: which classes or numbers a column holds, with labels exactly as they were written."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbp.data.columns import FEW_CATEGORIES, own_text_per_row
from fastbp.data.meanings import BOOLEANS, Meaning, meaning_of
from fastbp.data.sources import polars
from fastbp.data.table_file import Table
from fastbp.data.text_file import USUAL_MARKS
from fastbp.data.text_form import listed
from fastbp.data.values import codes_of, moments, numbers, texts
from fastbp.errors import DataError, as_option, shown
from fastbp.preprocessing import ClassTarget, NumberTarget

if TYPE_CHECKING:
    import polars as pl

MOST_LABELS = 1000

MOST_NUMERIC_LABELS = 20
"""A target of whole numbers is classes if it has at most this many different values."""

WHOLE = r"^(?:0|-?[1-9]\d{0,19})$"
DECIMAL = r"^-?(?:0|[1-9]\d{0,14})\.(?:0|\d{0,14}[1-9])$"


def fit_target(
    table: Table, name: str, task: str | None
) -> tuple[ClassTarget | NumberTarget, np.ndarray, list[str]]:
    """Return what a target is, its values (class codes, or numbers), and remarks about it."""
    column = table.column(name)
    complain_of_missing_targets(table, column)
    meaning = meaning_of(table, name)
    remarks = [meaning.remark] if meaning.remark else []
    if meaning.kind == "date" and task != "classification":
        remarks.append(f"the target {name!r} is learned as a number of days since 1970")
        return NumberTarget(name, 0.0, 1.0), moments(table, 0, column, meaning.format), remarks
    codes = meaning.codes and task != "regression"
    if meaning.kind == "number" and not codes:
        return _fit_numeric(table, column, meaning, task, remarks)
    if meaning.kind == "boolean" and task == "regression":
        return NumberTarget(name, 0.0, 1.0), numbers(table, 0, column, None), remarks
    if meaning.kind == "boolean":
        flags = as_booleans(column)
        target, found = _classes(table, flags, sorted(flags.unique()))
        return replace(target, written=_written_flags(column)), found, remarks
    column = texts(column)
    remarks += _alike(name, column.unique().to_list())
    if task == "regression":
        raise DataError(
            f"column {name!r} of {table.path} holds text, such as {shown(str(column[0]))}; a regression "
            f"needs "
            f"numbers"
        )
    return *_classes(table, column, sorted(column.unique()), as_text=True), remarks


def _fit_numeric(
    table: Table, column: "pl.Series", meaning: Meaning, task: str | None, remarks: list[str]
) -> tuple[ClassTarget | NumberTarget, np.ndarray, list[str]]:
    values = numbers(table, 0, column, meaning.spelling)
    whole = bool((values == np.floor(values)).all())
    if task == "classification" and not whole:
        raise DataError(
            f"column {column.name!r} of {table.path} holds fractions, which cannot be classes; "
            f"{as_option('text', [column.name])} takes each for a class"
        )
    told = column.name in table.reading.number and task is None
    n_distinct = 0
    if whole:  # integers beyond 2^53 are distinct only as they are
        exact = column.dtype != polars().String or np.abs(values).max() >= 2**53
        n_distinct = column.n_unique() if exact else len(np.unique(values))
    if task == "regression" or told or not whole or (task is None and n_distinct > MOST_NUMERIC_LABELS):
        return NumberTarget(column.name, 0.0, 1.0, meaning.spelling), values, remarks
    if task is None:
        remarks.append(
            f"the target {column.name!r} has {n_distinct} different whole numbers, which are taken for "
            f"classes: "
            f"{as_option('task', 'regression')} takes them for numbers"
        )
    if isinstance(table.source, np.ndarray):  # one type for all columns: it says nothing of this one
        column = column.cast(polars().Int64)
    labels, column = _as_written(column, values)
    return *_classes(table, column, labels), remarks


def _as_written(column: "pl.Series", values: np.ndarray) -> tuple[list[Any], "pl.Series"]:
    """Return numeric labels in ascending order, and the column in their type.

    Numbers in text become integers or floats only if these are written like the text; else the labels are
    text.
    """
    pl = polars()
    if column.dtype != pl.String:
        if column.dtype.is_float():
            column = column.cast(pl.Float64)
        return sorted(column.unique()), column
    distinct = column.unique()
    whole = distinct.str.contains(WHOLE)
    if whole.all():
        labels = {text: int(text) for text in distinct}
        if all(-(2**63) <= label < 2**64 for label in labels.values()):
            kind = pl.Int64 if max(labels.values()) < 2**63 else pl.UInt64
            return sorted(labels.values()), column.cast(kind)
    elif (whole | distinct.str.contains(DECIMAL)).all():
        numbers_ = column.cast(pl.Float64)
        if whole.any():
            return sorted(int(value) for value in numbers_.unique()), numbers_.cast(pl.Int64)
        return sorted(numbers_.unique()), numbers_
    order = dict(zip(column, values, strict=True))
    if len(set(order.values())) < len(order) and max(map(abs, order.values())) < 2**53:  # such as 0 and -0
        return sorted({int(value) for value in values}), pl.Series(column.name, values).cast(pl.Int64)
    return sorted(distinct, key=lambda text: (order[text], text)), column


def _classes(
    table: Table, column: "pl.Series", labels: Sequence[Any], as_text: bool = False
) -> tuple[ClassTarget, np.ndarray]:
    name = column.name
    if len(labels) == 1:
        raise DataError(f"the target {name!r} of {table.path} is {shown(labels[0])} in every row")
    if len(labels) > MOST_LABELS:
        raise DataError(
            f"the target {name!r} of {table.path} has {len(labels):,} different values, such as "
            f"{shown(labels[0])}, and may have {MOST_LABELS:,} classes"
        )
    if as_text and name not in table.reading.text and len(labels) > max(FEW_CATEGORIES, len(column) / 2):
        raise own_text_per_row(table, name, len(labels), len(column), labels[0])
    return ClassTarget(name, tuple(labels)), codes_of(labels, column)


def _alike(name: str, labels: Sequence[str]) -> list[str]:
    """Return a remark if labels differ in capitals alone."""
    seen: dict[str, str] = {}
    for label in sorted(labels):
        other = seen.setdefault(label.casefold(), label)
        if other != label:
            return [
                f"the target {name!r} has the labels {shown(other)} and {label!r}, which differ in "
                f"capitals alone"
            ]
    return []


def _written_flags(column: "pl.Series") -> tuple[str, ...]:
    """Return how a text file writes false and true, if it does so in one way, and not as usual."""
    if column.dtype != polars().String or column.n_unique() != 2:
        return ()
    written = tuple(sorted(column.unique(), key=str.lower))
    return () if written == BOOLEANS else written


def as_booleans(column: "pl.Series") -> "pl.Series":
    """Return a column of booleans, which text files write as true and false in any case."""
    return column if column.dtype == polars().Boolean else column.str.to_lowercase() == BOOLEANS[1]


def complain_of_missing_targets(table: Table, column: "pl.Series") -> None:
    """Raise an error if a target is missing in some rows."""
    absent = missing_in(column)
    if not absent.any():
        return
    name, row = column.name, int(np.argmax(absent))
    raw = table.raw(name)[row]
    mark = raw if isinstance(raw, str) and raw and raw in USUAL_MARKS else None
    class_ = (
        f", {as_option('missing_values', [f'{name}=off'])} takes {shown(mark)} for a class" if mark else ""
    )
    raise DataError(
        f"the target {name!r} of {table.path} is missing in {int(absent.sum()):,} of {len(column):,} rows, "
        f"the "
        f"first in {table.place(row)}; {as_option('missing_target', 'drop')} leaves these rows out{class_}"
    )


def missing_in(column: "pl.Series") -> np.ndarray:
    """Return which values are missing, bool[n_rows]."""
    absent = column.is_null().to_numpy()
    return absent | column.is_nan().fill_null(False).to_numpy() if column.dtype.is_float() else absent


def encode_target(table: Table, target: ClassTarget | NumberTarget) -> np.ndarray:
    """Return the values of a known target: class codes, or numbers."""
    column = table.column(target.name)
    complain_of_missing_targets(table, column)
    pl = polars()
    if isinstance(target, NumberTarget):
        if column.dtype.is_temporal() or (table.spelled and meaning_of(table, target.name).kind == "date"):
            return moments(table, 0, column, meaning_of(table, target.name).format)
        return numbers(table, 0, column, target.spelling)
    find = _finder(target.labels)
    distinct = column.unique()
    places = pl.Series([find(value) for value in distinct.to_list()], dtype=pl.Int64)
    if column.dtype in (pl.Categorical, pl.Enum):
        column, distinct = texts(column), texts(distinct)
    codes = column.replace_strict(distinct, places, return_dtype=pl.Int64).to_numpy().astype(np.int64)
    if (codes < 0).any():
        row = int(np.argmax(codes < 0))
        raise DataError(
            f"column {target.name!r} of {table.path} is {shown(column[row])} in {table.place(row)}, and the "
            f"model's "
            f"classes are {listed([str(label) for label in target.labels])}"
        )
    return codes


def _finder(labels: Sequence[Any]) -> Callable[[Any], int]:
    """Return a function that finds the label of a value, in whatever type a file has it; -1 is none."""
    exact = {_written(label): code for code, label in enumerate(labels)}
    by_number = {number: code for code, label in enumerate(labels) if (number := _number(label)) is not None}
    if len(by_number) < len(labels):
        by_number = {}

    def find(value: Any) -> int:
        """Return the code of a value."""
        text = _written(value)
        code = exact.get(text, exact.get(text.lower(), -1) if text.lower() in BOOLEANS else -1)
        if code < 0 and (number := _number(value)) is not None:
            code = by_number.get(number, -1)
        return code

    return find


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool | np.bool_) else str(value)


def _number(value: Any) -> int | float | None:
    """Return the number that a label is or spells; integers stay exact."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value
    try:
        return int(value) if str(value).lstrip("+-").isdigit() else float(value)
    except ValueError:
        return None
