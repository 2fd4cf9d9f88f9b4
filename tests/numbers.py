"""Numbers as users write them: every type that may stand for a float or for an integer."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from typing import Any

import numpy as np


class Small(IntEnum):
    NONE, ONE = 0, 1


INTEGER_TYPES: dict[str, Callable[[int], Any]] = {
    "int": int,
    **{kind.__name__: kind for kind in (np.int8, np.int16, np.int32, np.int64)},
    **{kind.__name__: kind for kind in (np.uint8, np.uint16, np.uint32, np.uint64)},
    "IntEnum": Small,
    "0-d int64": lambda value: np.array(value, np.int64),
    "0-d uint8": lambda value: np.array(value, np.uint8),
}
"""Types of an integer, which hold 0 and 1."""

REAL_TYPES: dict[str, Callable[[float], Any]] = {
    "float": float,
    **{kind.__name__: kind for kind in (np.float16, np.float32, np.float64, np.longdouble)},
    "Fraction": Fraction,
    "Decimal": Decimal,
    "0-d float32": lambda value: np.array(value, np.float32),
    "0-d longdouble": lambda value: np.array(value, np.longdouble),
    "0-d object": lambda value: np.array(Fraction(value), object),
}
"""Types of a number that is no integer, which hold 0.5."""


def numbers() -> Iterator[tuple[str, Any]]:
    """Go through 0.5, 0 and 1 in every type that holds them."""
    for name, kind in REAL_TYPES.items():
        for value in (0.5, 0.0, 1.0, 4.0):
            yield f"{name} {value}", kind(value)
    for name, kind in INTEGER_TYPES.items():
        for value in (0, 1):
            yield f"{name} {value}", kind(value)


def same(value: Any) -> float:
    """Return a number of any type as Python's float."""
    return float(value[()] if isinstance(value, np.ndarray) else value)
