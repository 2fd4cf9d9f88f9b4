"""The sigmoid as a table of polynomials: what the latency of one network's training step needs.

`exp` and a division cost about 70 cycles of latency one after the other. A polynomial around the nearest
multiple c of 1/64 costs 12 after the distance z - c is known, and which row to take is
mostly known beforehand: it is the row of this sample's last visit (see `fused222`).

Three functions share the table, each as six coefficients for |z - c| <= 1/128:

    s(z),    A(z) = s(z) s'(z),    B(z) = s'(z)

so that the delta of an output neuron, (s - t) s' = A - t B, is one polynomial too, for each target t.

The coefficients are Taylor's, from s' = s (1 - s), with the degree-6 term economised: replacing x^6 by
(48 x^4 - 18 x^2 + 1) / 32, which differs from it by the Chebyshev polynomial T_6 / 32, makes the
truncation error at most r^6 c_6 / 32, below 0.1 ulp. s(c) itself is correctly rounded, from decimals.
Measured: s(z) is within 1.5 ulp (``make soak``).
"""

import math
from decimal import Decimal, localcontext
from functools import lru_cache

import numpy as np

from fastbp._jit import helper
from fastbp.simd import cast, element, fma

PER_UNIT = 64
LIMIT = 32
"""The table covers |z| < LIMIT; beyond, the formula is evaluated."""

RADIUS = 0.5 / PER_UNIT
WIDTH = 20
"""Numbers in a row: six of s, the centre c, one of padding, six of A, six of B."""

CENTRE, A, B = 6, 8, 14


@lru_cache
def sigmoid_table(dtype: np.dtype) -> np.ndarray:
    """Return the table, flat and read-only: 4097 rows of WIDTH numbers, 655 kB in float64."""
    n = PER_UNIT * LIMIT
    s = np.empty(2 * n + 1)
    with localcontext() as context:
        context.prec = 30
        ratio, power = (Decimal(-1) / PER_UNIT).exp(), Decimal(1)
        for k in range(n + 1):  # power = e^(-k / PER_UNIT)
            s[n - k], s[n + k] = float(power / (1 + power)), float(1 / (1 + power))
            power *= ratio
    s_taylor = [s, s * s[::-1]]  # s'(c) = s(c) s(-c), without the cancellation of 1 - s
    for k in range(1, 7):
        s_taylor.append((s_taylor[k] - _product(s_taylor, s_taylor, k)) / (k + 1))
    b_taylor = [(k + 1) * s_taylor[k + 1] for k in range(7)]
    a_taylor = [_product(s_taylor, b_taylor, k) for k in range(7)]
    table = np.zeros((2 * n + 1, WIDTH))
    table[:, CENTRE] = np.arange(-n, n + 1) / PER_UNIT
    for column, taylor in ((0, s_taylor), (A, a_taylor), (B, b_taylor)):
        table[:, column : column + 6] = _economised(taylor)
    table = table.astype(dtype).ravel()
    table.flags.writeable = False
    return table


def _product(f: list[np.ndarray], g: list[np.ndarray], k: int) -> np.ndarray:
    """Return the k-th Taylor coefficient of f g."""
    return sum((f[j] * g[k - j] for j in range(1, k + 1)), f[0] * g[k])


def _economised(taylor: list[np.ndarray]) -> np.ndarray:
    """Return six coefficients that stand for the first seven; 1/32 r^6 c_6 on c_0 is below its rounding."""
    c0, c1, c2, c3, c4, c5, c6 = taylor[:7]
    return np.stack([c0, c1, c2 - c6 * RADIUS**4 * 18 / 32, c3, c4 + c6 * RADIUS**2 * 48 / 32, c5], axis=1)


@helper
def table_row(z):
    """Return the offset of the row whose centre is nearest to z; of the middle row if |z| >= LIMIT or NaN."""
    inside = z if abs(z) < cast(LIMIT, z) else cast(0.0, z)
    return (np.int64(np.rint(inside * cast(PER_UNIT, z))) + PER_UNIT * LIMIT) * WIDTH


@helper
def sigmoid_formula(z):
    """Return 1 / (1 + e^-z) in the order of operations of `fastbp.reference.sigmoid`, for any z."""
    one = cast(1.0, z)
    return one / (one + cast(math.exp(np.float64(-z)), z))


@helper
def table_sigmoid(z, table):
    """Return s(z) for any z: the latency-bound kernel's sigmoid, one number at a time."""
    if not abs(z) < cast(LIMIT, z):
        return sigmoid_formula(z)
    row = table_row(z)
    d = z - element(table, row + CENTRE)
    d2 = d * d
    p01 = fma(element(table, row + 1), d, element(table, row))
    p23 = fma(element(table, row + 3), d, element(table, row + 2))
    p45 = fma(element(table, row + 5), d, element(table, row + 4))
    return fma(fma(p45, d2, p23), d2, p01)
