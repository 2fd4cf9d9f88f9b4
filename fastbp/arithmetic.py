"""The number types of `fastbp.reference`, and their mathematical functions.

`FLOAT64` belongs to `float`, and `FLOAT32` to `Float32`. `mpmath.mp` has the same functions for mpmath's
`mpf`.
"""

import ctypes
import math
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

Number = Any
"""`float`, or a type that behaves like it."""


def total(terms: Sequence[Number]) -> Number:
    """Add from the first term to the last; Python's `sum` compensates, so its bits differ."""
    result = terms[0]
    for term in terms[1:]:
        result = result + term
    return result


def exp(x: float) -> float:
    """Return e^x, or infinity beyond the range of float64 (`math.exp` would raise)."""
    try:
        return math.exp(x)
    except OverflowError:
        return math.inf


def log(x: float) -> float:
    """Return the natural logarithm, minus infinity at 0 (`math.log` would raise)."""
    return math.log(x) if x != 0 else -math.inf


class Float32(float):
    """A number that is rounded to float32 after every operation: the reference for ``dtype="float32"``.

    The float64 result of + - * / on two float32 numbers, rounded once more, is the correctly rounded
    float32 result (Figueroa 1995, https://doi.org/10.1145/221332.221334). The other operand is rounded first
    if it is an ordinary number: constants and hyper-parameters are float64 until they are used.
    """

    def __new__(cls, value: float) -> "Float32":
        """Return `value`, rounded."""
        return super().__new__(cls, ctypes.c_float(value).value)

    def __add__(self, other: float) -> "Float32":
        return Float32(float(self) + ctypes.c_float(other).value)

    def __sub__(self, other: float) -> "Float32":
        return Float32(float(self) - ctypes.c_float(other).value)

    def __mul__(self, other: float) -> "Float32":
        return Float32(float(self) * ctypes.c_float(other).value)

    def __truediv__(self, other: float) -> "Float32":
        return Float32(float(self) / ctypes.c_float(other).value)

    def __rsub__(self, other: float) -> "Float32":
        return Float32(ctypes.c_float(other).value - float(self))

    def __rtruediv__(self, other: float) -> "Float32":
        return Float32(ctypes.c_float(other).value / float(self))

    def __neg__(self) -> "Float32":
        return Float32(-float(self))

    def __abs__(self) -> "Float32":
        return Float32(abs(float(self)))

    __radd__ = __add__
    __rmul__ = __mul__


FLOAT64 = SimpleNamespace(
    exp=exp,
    expm1=math.expm1,
    log=log,
    log1p=math.log1p,
    tanh=math.tanh,
    erfc=math.erfc,
    sqrt=math.sqrt,
    pi=math.pi,
)
"""The functions for `float`."""


def _rounded(function: Callable[[float], float]) -> Callable[[float], Float32]:
    return lambda x: Float32(function(x))


FLOAT32 = SimpleNamespace(
    **{name: _rounded(function) for name, function in vars(FLOAT64).items() if callable(function)},
    pi=Float32(math.pi),
)
"""The functions for `Float32`: computed as float64, and rounded once."""
