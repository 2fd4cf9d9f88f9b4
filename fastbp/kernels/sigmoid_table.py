"""The sigmoid as tables of polynomials, for a training step whose time is the latency of its operations.

`exp` and then a division have a latency of about 70 cycles. A polynomial around the nearest centre c takes 12
cycles from the distance z - c on. To find its row from z takes 16 more, unless the row is guessed. There are
two tables, both for |z| < LIMIT. Beyond that, the formula is evaluated.

`lookup_table` is for rows that are found from z. It has s(z) in eight coefficients, around multiples of 1/16.
Its rows are cache lines, and those in use fit into the L1 cache.

`guess_table` is for rows that are mostly known before z (see `fused222`). Around multiples of 1/64 it has six
coefficients of each of these functions, for |z - c| <= 1/128,

    s(z),    A(z) = s(z) s'(z),    B(z) = s'(z)

so that the delta of an output neuron, (s - t) s' = A - t B, is one polynomial for each target t.

The coefficients are Taylor's, from s' = s (1 - s); s(c) itself is computed in decimals and correctly rounded.
The first term that is left out is economised. This reduces the truncation error to 1/32 (degree 6) or 1/128
(degree 8) of that term, below 0.1 ulp of s. Measured (``make soak``): s(z) is within 1.5 ulp by
`lookup_table` and within 1.94 by `guess_table`; the error of the delta is at most 5 units of rounding of its
larger term.
"""

import math
from decimal import Context, Decimal, localcontext
from functools import lru_cache

import numpy as np

from fastbp._jit import helper
from fastbp.simd import bits, cast, element, fma, rounder

EDGE = 32
LIMIT = 31
"""The tables reach from -EDGE to EDGE and are used for |z| < LIMIT."""

LOOKUP_PER_UNIT = 16
LOOKUP_WIDTH = 8
LOOKUP_ROWS = 2 * EDGE * LOOKUP_PER_UNIT

GUESS_PER_UNIT = 64
RADIUS = 0.5 / GUESS_PER_UNIT
GUESS_WIDTH = 20
"""Numbers in a row: six of s, the centre c, one of padding, six of A, six of B."""

CENTRE, A, B = 6, 8, 14


def _taylor(per_unit: int, terms: int) -> list[np.ndarray]:
    """Return Taylor coefficients of s around all multiples of 1 / per_unit from -EDGE to EDGE."""
    n = per_unit * EDGE
    s = np.empty(2 * n + 1)
    with localcontext(Context(prec=30)):  # instead of the user's precision, rounding and traps
        ratio, power = (Decimal(-1) / per_unit).exp(), Decimal(1)
        for k in range(n + 1):  # power = e^(-k / per_unit)
            s[n - k], s[n + k] = float(power / (1 + power)), float(1 / (1 + power))
            power *= ratio
    taylor = [s, s * s[::-1]]  # s'(c) = s(c) s(-c), without the cancellation of 1 - s
    for k in range(1, terms - 1):
        taylor.append((taylor[k] - _product(taylor, taylor, k)) / (k + 1))
    return taylor


def _product(f: list[np.ndarray], g: list[np.ndarray], k: int) -> np.ndarray:
    """Return the k-th Taylor coefficient of f g."""
    return sum((f[j] * g[k - j] for j in range(1, k + 1)), f[0] * g[k])


def _economised(taylor: list[np.ndarray], radius: float) -> np.ndarray:
    """Return, as columns, coefficients that approximate the polynomial without its last term.

    With n its degree, x^n is replaced by x^n - T_n(x) / 2^(n-1), which has degree n - 2: Lanczos (1938),
    "Trigonometric interpolation of empirical and analytical functions".
    """
    *kept, last = taylor
    n = len(kept)
    chebyshev = np.polynomial.chebyshev.cheb2poly([0.0] * n + [1.0]) / 2 ** (n - 1)
    return np.stack([c - last * radius ** (n - k) * chebyshev[k] for k, c in enumerate(kept)], axis=1)


def _as_table(columns: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return the rows one after the other, from a cache line on, as a read-only array."""
    room = np.empty(columns.size + 16, dtype)
    start = -room.ctypes.data % 64 // room.itemsize
    table = room[start : start + columns.size]
    table[:] = columns.ravel()
    table.flags.writeable = False
    return table


@lru_cache
def lookup_table(dtype: np.dtype) -> np.ndarray:
    """Return the table for rows found from z, flat: 1024 rows of LOOKUP_WIDTH numbers, 66 kB in float64."""
    taylor = _taylor(LOOKUP_PER_UNIT, LOOKUP_WIDTH + 1)
    return _as_table(_economised(taylor, 0.5 / LOOKUP_PER_UNIT)[:LOOKUP_ROWS], dtype)


@lru_cache
def guess_table(dtype: np.dtype) -> np.ndarray:
    """Return the table for guessed rows, flat: 4097 rows of GUESS_WIDTH numbers, 655 kB in float64."""
    s = _taylor(GUESS_PER_UNIT, 8)
    b = [(k + 1) * s[k + 1] for k in range(7)]
    a = [_product(s, b, k) for k in range(7)]
    table = np.zeros((len(s[0]), GUESS_WIDTH))
    table[:, CENTRE] = np.arange(len(table)) / GUESS_PER_UNIT - EDGE
    for column, taylor in ((0, s), (A, a), (B, b)):
        table[:, column : column + 6] = _economised(taylor[:7], RADIUS)
    return _as_table(table, dtype)


@helper
def guess_row(z):
    """Return where in `guess_table` the row begins whose centre is nearest to z, for |z| < LIMIT."""
    nearest = np.int64(np.rint(z * cast(GUESS_PER_UNIT, z)))
    return (nearest + GUESS_PER_UNIT * EDGE) * GUESS_WIDTH


@helper
def sigmoid_formula(z):
    """Return 1 / (1 + e^-z) in the order of operations of `fastbp.reference.sigmoid`, for any z."""
    one = cast(1.0, z)
    return one / (one + cast(math.exp(np.float64(-z)), z))


@helper
def lookup_sigmoid(z, table):
    """Return s(z) from `lookup_table`, for |z| < LIMIT."""
    rounded = fma(z, cast(LOOKUP_PER_UNIT, z), rounder(z))
    d = fma(rounded - rounder(z), cast(-1 / LOOKUP_PER_UNIT, z), z)
    # The low bits of `rounded` hold the nearest multiple, from -512 to 511; the rows begin at -512.
    row = LOOKUP_WIDTH * ((np.int64(bits(rounded)) + LOOKUP_ROWS // 2) & (LOOKUP_ROWS - 1))
    # c0 + d (c1 + ...) has two roundings of the result's size, 1.5 ulp. Estrin's scheme on all eight
    # coefficients has four: it would save 2 ns a step, and its error is up to 2.4 ulp.
    d2 = d * d
    p12 = fma(element(table, row + 2), d, element(table, row + 1))
    p34 = fma(element(table, row + 4), d, element(table, row + 3))
    p567 = fma(element(table, row + 7), d2, fma(element(table, row + 6), d, element(table, row + 5)))
    return fma(fma(p567, d2 * d2, fma(p34, d2, p12)), d, element(table, row))


@helper
def saturated_sigmoid(z):
    """Return s(z) beyond the tables, within an ulp of `exp` and a rounding: subnormal results too."""
    power = math.exp(-abs(np.float64(z)))
    return cast((power if z < cast(0.0, z) else 1.0) / (1.0 + power), z)


@helper
def fast_sigmoid(z, table):
    """Return s(z) for any z: from `lookup_table`, or beyond it from the formula."""
    return lookup_sigmoid(z, table) if abs(z) < cast(LIMIT, z) else saturated_sigmoid(z)
