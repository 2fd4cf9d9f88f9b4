"""Data of a program as polars columns: frames of pandas and polars, arrays, lists and dictionaries.

Only what has one meaning is taken. Text stays text, whatever it looks like; objects that are all numbers are
numbers; what is mixed is refused.
"""

import datetime
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbp.data.sources import polars
from fastbp.errors import DataError, shown

if TYPE_CHECKING:
    import polars as pl

KINDS: dict[str, tuple[type, ...]] = {
    "booleans": (bool, np.bool_),
    "whole numbers": (int, np.integer),
    "numbers": (float, np.floating, Decimal, Fraction),
    "text": (str,),
    "dates": (datetime.date,),
}
"""What objects may be; the first that fits is taken."""


def as_frame(data: Any) -> tuple["pl.DataFrame", bool]:
    """Return data as a frame of polars, and whether its columns have names of their own.

    Parameters
    ----------
    data : DataFrame of polars or pandas, mapping of names to columns, or array_like of two dimensions

    Raises
    ------
    DataError
        If it is none of these, or a column has values of several kinds.
    """
    pl = polars()
    if isinstance(data, pl.DataFrame):
        return data, True
    if isinstance(data, pl.LazyFrame):
        raise DataError("the data is a LazyFrame; pass data.collect()")
    if hasattr(data, "tocsr"):
        raise DataError("the data is a sparse matrix; pass a dense one: data.toarray()")
    if isinstance(data, Mapping):
        return _together({str(name): as_series(str(name), values) for name, values in data.items()}), True
    if hasattr(data, "columns") and hasattr(data, "iloc"):
        names = [str(name) for name in data.columns]
        if len(set(names)) < len(names):
            raise DataError("the data has two columns of one name")
        return _together({name: _of_pandas(name, data.iloc[:, i]) for i, name in enumerate(names)}), True
    array = _as_array("the data", data)
    if array.ndim != 2:
        hint = "; one row is data.reshape(1, -1), one column data.reshape(-1, 1)" if array.ndim == 1 else ""
        hint = "; as a column it is data.to_frame()" if hasattr(data, "to_frame") else hint
        raise DataError(f"the data has shape {array.shape}, and must have rows and columns{hint}")
    return _together({f"x{i}": as_series(f"x{i}", column) for i, column in enumerate(array.T)}), False


def as_series(name: str, values: Any) -> "pl.Series":
    """Return values of one dimension as a column.

    Examples
    --------
    >>> as_series("age", np.array([31, None, 2.5], object)).to_list()
    [31.0, None, 2.5]
    >>> as_series("age", [31, "old"])
    Traceback (most recent call last):
    ...
    fastbp.errors.DataError: column 'age' mixes whole numbers (31) and text ('old'); convert it to one of them
    """
    pl = polars()
    if isinstance(values, pl.Series):
        return values.alias(name)
    if hasattr(values, "iloc") and hasattr(values, "dtype"):
        return _of_pandas(name, values)
    array = _as_array(f"column {name!r}", values)
    if array.ndim != 1:
        raise DataError(f"column {name!r} has shape {array.shape}, and must have one dimension")
    if array.dtype.kind in "biuf":
        return pl.Series(name, np.ascontiguousarray(array, np.float64 if array.dtype.kind == "f" else None))
    if array.dtype.kind == "M":
        return pl.Series(name, array.astype("datetime64[us]"))
    if array.dtype.kind in "OU":
        return _of_objects(name, array.tolist())
    raise DataError(f"column {name!r} has dtype {array.dtype}, and may hold numbers, booleans, text or dates")


def is_frame(data: Any) -> bool:
    """Whether data has named columns."""
    return isinstance(data, Mapping) or (hasattr(data, "columns") and not isinstance(data, np.ndarray))


def _together(columns: dict[str, "pl.Series"]) -> "pl.DataFrame":
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name!r} {length}" for name, length in list(lengths.items())[:12])
        raise DataError(f"the data has columns of different lengths: {listed}")
    return polars().DataFrame(list(columns.values()))


def _as_array(what: str, data: Any) -> np.ndarray:
    if isinstance(data, np.ndarray):
        if data.dtype.names:
            raise DataError(f"{what} is a structured array; pass a dictionary of its columns")
        if np.ma.is_masked(data):
            raise DataError(f"{what} has masked values; fill them, or leave their rows out")
        return data
    if hasattr(data, "__array__"):
        return np.asarray(data)
    if isinstance(data, str | bytes) or not isinstance(data, Sequence):
        may_be = "a path, a frame of pandas or polars, an array, or a dictionary of columns"
        if what.startswith("column"):
            may_be = "an array, a Series or a list"
        raise DataError(f"{what} is {shown(data)}, and must be {may_be}")
    try:
        np.asarray(data)
    except ValueError:
        raise DataError(f"{what} is not rectangular") from None
    return np.array(data, object)  # each value as it is: NumPy makes floats of some large integers


def _of_pandas(name: str, column: Any) -> "pl.Series":
    """Return a column of pandas, of whatever type it is."""
    dtype = column.dtype
    if isinstance(dtype, np.dtype):
        return as_series(name, column.to_numpy())
    if hasattr(dtype, "categories"):
        categories = as_series(name, np.asarray(dtype.categories).astype(object))
        codes = np.asarray(column.cat.codes)
        return polars().Series(name, [categories[int(code)] if code >= 0 else None for code in codes],
                               dtype=categories.dtype)  # fmt: skip
    if dtype.kind == "M":
        if getattr(dtype, "tz", None) is not None:
            column = column.dt.tz_convert("UTC").dt.tz_localize(None)
        return as_series(name, column.to_numpy("datetime64[us]"))
    absent = np.asarray(column.isna())
    if dtype.kind in "iufb" and not absent.any():
        kinds = {"i": np.int64, "u": np.uint64, "f": np.float64, "b": np.bool_}
        return as_series(name, column.to_numpy(kinds[dtype.kind]))
    return _of_objects(
        name, [None if missing else value for missing, value in zip(absent, column, strict=True)]
    )


def _of_objects(name: str, values: list[Any]) -> "pl.Series":
    """Return Python objects as a column, if all are of one kind."""
    pl = polars()
    values = [None if _is_missing(value) else value for value in values]
    examples: dict[str, Any] = {}
    for value in values:
        if value is not None:
            examples.setdefault(_kind(name, value), value)
    kinds = set(examples)
    if kinds <= {"whole numbers"} and kinds:
        whole = [None if value is None else int(value) for value in values]
        low, high = (_or_zero(extreme(whole, key=_or_zero)) for extreme in (min, max))
        if not (low >= -(2**63) and high < 2 ** (63 if low < 0 else 64)):
            raise DataError(
                f"column {name!r} holds {low if low < -(2**63) else high}, and integers have 64 bits"
                "; convert it, to float or to str"
            )
        return pl.Series(name, whole, dtype=pl.Int64 if high < 2**63 else pl.UInt64)
    if kinds and kinds <= {"whole numbers", "numbers"}:
        numbers = [None if value is None else float(value) for value in values]
        return pl.Series(name, numbers, dtype=pl.Float64)
    if len(kinds) > 1:
        listed = " and ".join(f"{kind} ({shown(example)})" for kind, example in list(examples.items())[:2])
        raise DataError(f"column {name!r} mixes {listed}; convert it to one of them")
    if kinds == {"booleans"}:
        return pl.Series(name, [None if value is None else bool(value) for value in values], dtype=pl.Boolean)
    if kinds == {"dates"}:
        moments = [
            datetime.datetime.combine(value, datetime.time())
            if value is not None and not isinstance(value, datetime.datetime)
            else value
            for value in values
        ]
        return pl.Series(name, moments, dtype=pl.Datetime("us"))
    return pl.Series(name, values, dtype=pl.String if kinds else pl.Null)


def _or_zero(value: int | None) -> int:
    return 0 if value is None else value


def _is_missing(value: Any) -> bool:
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float | np.floating) and math.isnan(value)


def _kind(name: str, value: Any) -> str:
    for kind, types in KINDS.items():
        if isinstance(value, types):
            return kind
    raise DataError(
        f"column {name!r} holds {shown(value)}, a {type(value).__name__}, and may hold numbers, booleans, "
        "text or dates"
    )
