"""The values of a column as arrays: numbers, days, texts and codes."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fastbp.data.dates import days, parse_dates
from fastbp.data.meanings import meaning_of
from fastbp.data.sources import polars
from fastbp.data.spelling import parsed
from fastbp.data.table_file import Table
from fastbp.errors import DataError, as_option, shown
from fastbp.reading import Spelling

if TYPE_CHECKING:
    import polars as pl


def numbers(table: Table, start: int, column: "pl.Series", spelling: Spelling | None) -> np.ndarray:
    """Return a column, or some rows of it, as float64, with NaN for missing values."""
    pl = polars()
    if column.dtype == pl.String:
        column = _from_text(table, start, column, spelling)
    elif not (column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null)):
        _complain_of_text(table, start, column)
    values = column.cast(pl.Float64).to_numpy()
    if not math.isfinite(values.sum()) and np.isinf(values).any():
        row = int(np.argmax(np.isinf(values)))
        raise DataError(
            f"column {column.name!r} of {table.path} is {values[row]} in {table.place(start + row)}, and "
            f"must be "
            "finite"
        )
    return values


def _from_text(table: Table, start: int, column: "pl.Series", spelling: Spelling | None) -> "pl.Series":
    """Return text as numbers, in the spelling of the training file or else of this one."""
    if not (table.spelled or column.name in table.reading.number) or column.name in table.reading.text:
        _complain_of_text(table, start, column)
        return column.cast(polars().Float64, strict=False)
    if column.name not in table.known:
        found = parsed(column, spelling)
        if found.null_count() == column.null_count():
            return found
    meaning = meaning_of(table, column.name, spelling.decimal if spelling else None)
    if meaning.kind == "boolean":
        return column.str.to_lowercase() == "true"
    found = parsed(column, meaning.spelling)
    strange = found.is_null() & column.is_not_null()
    if meaning.kind != "number" or strange.any():
        both = (found, parsed(column, spelling))
        _complain_of_text(table, start, column, min(both, key=lambda numbers: numbers.null_count()))
    if _units_differ(spelling, meaning.spelling) and column.name not in table.reading.number:
        row = int(np.argmax(column.is_not_null().to_numpy()))
        raise DataError(
            f"column {column.name!r} of {table.path} has another unit than the training file had: "
            f"{shown(column[row])} in {table.place(start + row)}; {as_option('number', [column.name])} "
            f"takes the "
            "numbers as they are"
        )
    return found


def _units_differ(trained: Spelling | None, found: Spelling | None) -> bool:
    """Return whether numbers have another unit than the training file's."""
    had = (trained.prefix, trained.suffix) if trained else ("", "")
    has = (found.prefix, found.suffix) if found else ("", "")
    return any(has) and has != had


def _complain_of_text(
    table: Table, start: int, column: "pl.Series", found: "pl.Series | None" = None
) -> None:
    """Raise an error about the first value that is no number, unless all are missing."""
    strange = column.is_not_null()
    if found is not None and (found.is_null() & strange).any():
        strange = strange & found.is_null()
    if strange.any():
        row = int(np.argmax(strange.to_numpy()))
        raise DataError(
            f"column {column.name!r} of {table.path} must hold numbers, and is "
            f"{shown(str(column[row]))} in {table.place(start + row)}; "
            f"{as_option('number', [column.name])} and "
            f"{as_option('decimal', ',')} say how it is meant"
        )


def moments(table: Table, start: int, column: "pl.Series", format: str) -> np.ndarray:
    """Return a column of dates, or some rows of it, as days since 1970, with NaN for missing ones."""
    pl = polars()
    if column.dtype.is_integer():
        column = column.cast(pl.String)
    if column.dtype == pl.String:
        found = parse_dates(column, format) if format else column
        if not format or found.null_count() > column.null_count():
            meaning = meaning_of(table, column.name)
            format = meaning.format if meaning.kind == "date" else "%Y-%m-%d"
            found = parse_dates(column, format)
        strange = found.is_null() & column.is_not_null()
        if strange.any():
            row = int(np.argmax(strange.to_numpy()))
            raise DataError(
                f"column {column.name!r} of {table.path} must hold dates, and is {shown(column[row])} in "
                f"{table.place(start + row)}; {as_option('date_format', format)} says how they are written"
            )
        column = found
    if column.dtype not in (pl.Date, pl.Datetime, pl.Time):
        raise DataError(
            f"column {column.name!r} of {table.path} has type {column.dtype}, and must hold dates"
        )
    return days(column)


def texts(column: "pl.Series") -> "pl.Series":
    """Return a column as text."""
    return column.cast(polars().String)


def codes_of(labels: Sequence, column: "pl.Series") -> np.ndarray:
    """Return the index of each value among the labels, or -1 if it is not one of them."""
    pl = polars()
    codes = {label: code for code, label in enumerate(labels)}
    distinct = column.unique()
    places = pl.Series([codes.get(value, -1) for value in distinct], dtype=pl.Int64)
    return column.replace_strict(distinct, places, return_dtype=pl.Int64).to_numpy().astype(np.int64)
