"""Activations for populations: half the operations of `fastbp.kernels.elementwise`, and a few more ulp.

Many networks at once are bound by the number of operations: on a Zen 2, a sigmoid of 8 float32 numbers
takes 9 cycles, and a tanh 7.5. (It takes 13 with an approximate reciprocal and a step of Newton's method in
place of the division.) A sigmoid's exponential is a quotient of polynomials, which shares the division: with
a polynomial, as `quick_exp` has it, 2-2-2 networks take 1.2 times as long in float64. The functions of
`elementwise` spend half of their operations on the last bit. These do without it: for |z| below 20, they are
within 8 ulp in float32 and 9 in float64, and within 20 without fused multiply-adds. NaN stays NaN.
"""

import math

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastbp._jit import helper, routine
from fastbp.activations import SIGMOID, TANH
from fastbp.kernels.elementwise import (
    LN2_HIGH,
    ROUNDER,
    activate,
    at_least,
    at_most,
    constant,
    each,
    minus,
    tanh,
)
from fastbp.processor import HAS_FMA
from fastbp.simd import align_stack, emit_fma, fma, splat

# e^r for |r| <= ln 2 / 2, with the least largest relative error
QUICK_EXP = {
    "float32": (1.000000072, 0.9999996918, 0.4999889441, 0.1666757509, 0.04191543147, 0.008297648357),
    "float64": (
        1.00000000000000007, 1.00000000000000645, 0.499999999999972844, 0.166666666665576552,
        0.0416666666684273863, 0.00833333338469624109, 0.00138888884989127571, 0.000198411713452207247,
        2.48019178121747088e-05, 2.76397846140087575e-06, 2.74884324252217317e-07,
    ),
}  # fmt: skip

# tanh x = x P(x^2) / Q(x^2), with a relative error of 1.5e-7 for |x| <= 8
TANH_TOP = (0.9999999, 0.12925671, 0.0029510302, 1.1428442e-05)
TANH_BOTTOM = (1.0, 0.46258888, 0.023815587, 2.3866976e-04, 2.4592077e-07)
TANH_EDGE = 7.767217 if HAS_FMA else 7.634429
"""The smallest float32 for which the quotient is not below 1. It is 1 there, and needs no limit."""

# e^r = (A + B) / (A - B) for |r| <= ln 2 / 2, with A = A0 + A1 u + A2 u^2, B = r (B0 + B1 u + u^2), u = r^2;
# in float32 without the last terms, so that the factor 1 is u's. Relative errors are 1e-10 and 1e-18.
A0, A1, A2 = (
    constant(120.18082, 30265.298748058560),
    constant(12.015053, 3362.7104937355679),
    30.015051583804334,
)
B0, B1 = constant(60.090408, 15132.649374029280), 420.30113236541188

MOST_NEGATIVE = constant(87.0, 708.0)
"""Beyond this number, e^x would leave the range of normal numbers."""

MOST_POSITIVE = constant(83.0, 698.0)
"""Beyond this number, (A + B) e^x would leave it."""


def chain(float32, float64):
    """Return an intrinsic that evaluates a polynomial by Horner's scheme: the fewest operations."""
    coefficients = {types.float32: float32, types.float64: float64}

    def evaluate(typing, x):
        def generate(context, builder, signature, arguments):
            (value,) = arguments
            numbers = coefficients[x.element]

            def number(c):
                return ir.Constant(value.type, [c] * x.lanes)

            total = number(numbers[-1])
            for c in numbers[-2::-1]:
                total = emit_fma(builder, x, total, value, number(c))
            return total

        return x(x), generate

    evaluate.__doc__ = "Return the polynomial's value."
    return intrinsic(evaluate)


quick_power = chain(**QUICK_EXP)
tanh_top, tanh_bottom = chain(TANH_TOP, TANH_TOP), chain(TANH_BOTTOM, TANH_BOTTOM)


@intrinsic
def times_power(typing, vec, shifted):
    """Return vec * 2^n, where `shifted` is n + `ROUNDER`. The result must be a normal number."""
    digits = {types.float32: 23, types.float64: 52}[vec.element]

    def generate(context, builder, signature, arguments):
        value, n = arguments
        integers = ir.VectorType(ir.IntType(vec.element.bitwidth), vec.lanes)
        n = builder.shl(builder.bitcast(n, integers), ir.Constant(integers, [digits] * vec.lanes))
        return builder.bitcast(builder.add(builder.bitcast(value, integers), n), value.type)

    return vec(vec, vec), generate


@intrinsic
def is_short(typing, vec):
    """Whether a vector's numbers are float32: a constant, so that a branch on it costs nothing."""

    def generate(context, builder, signature, arguments):
        return context.get_constant(types.boolean, vec.element == types.float32)

    return types.boolean(vec), generate


@helper
def sigmoid_within(z):
    """Return s(z) = 1 / (1 + e^-z) for |z| up to `MOST_POSITIVE`.

    With e^-z = 2^n (A + B) / (A - B), this is (A - B) / (A - B + 2^n (A + B)).
    """
    rounder = ROUNDER(z)
    n_shifted = fma(z, splat(-1 / math.log(2), z), rounder)
    r = fma(n_shifted - rounder, minus(LN2_HIGH(z)), minus(z))
    u = r * r
    if is_short(z):
        a, b = fma(u, A1(z), A0(z)), r * (u + B0(z))
    else:
        a = fma(u, fma(u, splat(A2, z), A1(z)), A0(z))
        b = r * fma(u, u + splat(B1, z), B0(z))
    rest = a - b
    return rest / (rest + times_power(a + b, n_shifted))


@helper
def quick_sigmoid(z):
    """Return s(z); beyond |z| = 83 (float32) or 698, the value there."""
    limit = MOST_POSITIVE(z)
    return sigmoid_within(at_most(at_least(z, minus(limit)), limit))


@helper
def quick_exp(x):
    """Return e^x for x <= 0; from -87 (float32) or -708 down, the value there."""
    rounder = ROUNDER(x)
    x = at_least(x, minus(MOST_NEGATIVE(x)))
    n_shifted = fma(x, splat(1 / math.log(2), x), rounder)
    r = fma(n_shifted - rounder, minus(LN2_HIGH(x)), x)
    return times_power(quick_power(r), n_shifted)


@helper
def quick_tanh(z):
    """Return tanh z, in float32 as a quotient of polynomials."""
    if not is_short(z):
        return tanh(z)
    edge = splat(TANH_EDGE, z)
    x = at_most(at_least(z, minus(edge)), edge)
    square = x * x
    return x * tanh_top(square) / tanh_bottom(square)


@routine
def quick_activate(code, z, a, n):
    """Write f(z) to a, as `fastbp.kernels.elementwise.activate` does."""
    align_stack()
    if code == SIGMOID:
        each(quick_sigmoid, z, a, n)
    elif code == TANH:
        each(quick_tanh, z, a, n)
    else:
        activate(code, z, a, n)
