"""The vectorised functions against high precision.

``python -m tests.kernels.test_elementwise`` measures what the soak tests check and writes docs/accuracy.md.
"""

import functools
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import mpmath
import numpy as np
import pytest
import scipy.special
from mpmath import mp
from numba import njit
from numpy.testing import assert_array_equal

from fastbp import reference
from fastbp.activations import CODES, ELU, EXPONENTIAL, IDENTITY, SIGMOID, SOFTPLUS, SOFTSIGN, TANH
from fastbp.kernels import elementwise
from fastbp.kernels.elementwise import (
    ERF_CODE,
    LOG1P_EXP_MINUS_ABS_CODE,
    LOG_CODE,
    activate,
    apply_slope,
    elementwise_apply,
)
from fastbp.processor import HAS_FMA
from fastbp.simd import address, load, store

mp.dps = 50
DOCUMENT = Path(__file__).parents[2] / "docs" / "accuracy.md"
BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"
LANES = 16
WITHOUT_FMA = 0.5
"""Ulps that an error may be larger where a product is rounded before it is added."""

INF, NAN = math.inf, math.nan


# --- the functions in a wider type: float64 for float32, long double for float64 ---------------------------


def sigmoid(z):
    e = np.exp(-np.abs(z))
    return np.where(z < 0, e, 1) / (1 + e)


def log1p_exp_minus_abs(z):
    return np.log1p(np.exp(-np.abs(z)))


def tail(x):
    """Return Phi(-x) for x >= 0."""
    if x.dtype == np.float64:
        return scipy.special.ndtr(-x)
    x = np.minimum(x, 40)
    near = x.astype(np.float32).astype(x.dtype)  # its square is exact
    bell = np.exp(-near * near / 2) * np.exp(-(x - near) * (x + near) / 2)
    return bell * mills_series()((x - 5) / (x + 5)) / (x + 5)


def erf(x):
    if x.dtype == np.float64:
        return scipy.special.erf(x)
    z = np.minimum(np.abs(x), 8)
    near = z.astype(np.float32).astype(z.dtype)
    bell = np.exp(-near * near) * np.exp(-(z - near) * (z + near))
    u = z * np.sqrt(x.dtype.type(2))
    far = 1 - 2 * bell * mills_series()((u - 5) / (u + 5)) / (u + 5)
    return np.copysign(np.where(z < 0.9, z * erf_series()(np.minimum(z * z, 1)), far), x)


def series(function, low, high, terms):
    """Return a Chebyshev series in long double."""
    nodes = [mp.cos(mp.pi * (2 * j + 1) / (2 * terms)) for j in range(terms)]
    values = [function((high - low) / 2 * x + (low + high) / 2) for x in nodes]
    coefficients = [
        mp.fsum(v * mp.cos(k * mp.pi * (2 * j + 1) / (2 * terms)) for j, v in enumerate(values)) * 2 / terms
        for k in range(terms)
    ]
    coefficients[0] /= 2
    c = np.array([np.longdouble(mp.nstr(v, 25)) for v in coefficients])
    low, high = (np.longdouble(mp.nstr(v, 25)) for v in (low, high))
    return lambda x: np.polynomial.chebyshev.chebval((2 * x - (low + high)) / (high - low), c)


@functools.cache
def mills_series():
    return series(mills(mp.mpf(5), mp.mpf(5)), mp.mpf(-1), mp.mpf(35) / 45, 44)


@functools.cache
def erf_series():
    return series(lambda w: mp.erf(mp.sqrt(w)) / mp.sqrt(w), mp.mpf(0), mp.mpf(1), 24)


def mills(c, shift):
    """Return (x + shift) e^(x^2 / 2) Phi(-x) as a function of t = (x - c) / (x + c)."""

    def function(t):
        x = c * (1 + t) / (1 - t)
        return (x + shift) * mp.exp(x * x / 2) * mp.erfc(x / mp.sqrt(2)) / 2

    return function


def gelu(z):
    x = np.minimum(np.abs(z), 40)
    return np.maximum(z, 0) - x * tail(x)


def z_density(z):
    """Return z phi(z)."""
    x = np.clip(z, -40, 40)
    near = x.astype(np.float32 if x.dtype == np.longdouble else np.float16).astype(x.dtype)
    bell = np.exp(-near * near / 2) * np.exp(-(x - near) * (x + near) / 2)
    return x * bell / np.sqrt(2 * x.dtype.type(mp.nstr(mp.pi, 25)))


@dataclass(frozen=True)
class Function:
    """A function, its truth, and how far from that it may be: in units in the last place of the truth."""

    name: str
    code: int
    wide: Callable
    interval: tuple[float, float]
    bar: float = 1.5

    def __call__(self, x):
        out = np.empty_like(x)
        elementwise_apply(self.code, x, out)
        return out

    def high_precision(self, x):
        plain = {
            "exp": mp.exp,
            "log": mp.log,
            "erf": mp.erf,
            "log1p_exp_minus_abs": lambda z: mp.log1p(mp.exp(-abs(z))),
        }
        return plain[self.name](x) if self.name in plain else reference.ACTIVATIONS[self.name][0](x, mp)

    def scale(self, x, true):
        return true

    @property
    def allowed(self):
        return self.bar if HAS_FMA else self.bar + WITHOUT_FMA

    def __str__(self):
        return self.name


@dataclass(frozen=True)
class Slope(Function):
    """A slope: its error counts in units in the last place of its largest term."""

    wide_scale: Callable = lambda x: 0 * x

    def __call__(self, x):
        padded = np.concatenate([x, np.full(-x.size % LANES, 1, x.dtype)])
        out = np.ones_like(padded)
        slope_apply(self.code, padded, out)
        return out[: x.size]

    def high_precision(self, x):
        return reference.ACTIVATIONS[self.name.split("'")[0]][1](x, x, mp)

    def scale(self, x, true):
        return np.maximum(np.abs(true), self.wide_scale(x))


@njit
def slope_apply(code, x, delta):
    apply_slope(code, address(x), address(x), address(delta), x.size)


FUNCTIONS = (
    Function("exp", EXPONENTIAL, np.exp, (-746, 710), 1.0),
    Function("sigmoid", SIGMOID, sigmoid, (-746, 40)),
    Function("tanh", TANH, np.tanh, (-20, 20)),
    Function("log", LOG_CODE, np.log, (0, 10), 1.2),
    Function("log1p_exp_minus_abs", LOG1P_EXP_MINUS_ABS_CODE, log1p_exp_minus_abs, (-746, 746), 1.0),
    Function("softplus", SOFTPLUS, lambda z: np.maximum(z, 0) + log1p_exp_minus_abs(z), (-746, 40), 1.3),
    Function("elu", ELU, lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))), (-40, 2), 1.0),
    Function("softsign", SOFTSIGN, lambda z: z / (1 + np.abs(z)), (-1e6, 1e6)),
    Function("silu", CODES["silu"], lambda z: z * sigmoid(z), (-753, 40), 1.1),
    Function("gelu", CODES["gelu"], gelu, (-38.7, 10), 2.5),
    Function("erf", ERF_CODE, erf, (-6, 6), 3.0),
)
SLOPES = (
    Slope("softplus'", SOFTPLUS, lambda a: -np.expm1(-a), (0, 40), 1.0),
    Slope("softsign'", SOFTSIGN, lambda a: (1 - np.abs(a)) ** 2, (-1, 1), 2.0),
    Slope(
        "silu'",
        CODES["silu"],
        lambda z: sigmoid(z) + z * sigmoid(z) * sigmoid(-z),
        (-753, 40),
        6.0,
        lambda z: np.abs(z) * sigmoid(z) * sigmoid(-z),
    ),
    Slope(
        "gelu'",
        CODES["gelu"],
        lambda z: np.abs((z > 0) - tail(np.abs(z))) + z_density(z),
        (-38.7, 10),
        6.0,
        lambda z: np.abs(z_density(z)),
    ),
)
ALL = (*FUNCTIONS, *SLOPES)
EACH = pytest.mark.parametrize("function", ALL, ids=str)
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


# --- how errors are measured -------------------------------------------------------------------------------


def ulp(x):
    """Return the distance from |x| to the next larger number: of the largest one, that to infinity."""
    largest = np.nextafter(np.finfo(x.dtype).max, x.dtype.type(0))
    bits = np.minimum(np.abs(x), largest).view(f"i{x.itemsize}")
    return (bits + 1).view(x.dtype) - bits.view(x.dtype)


def measure(function, x):
    """Return the largest error in ulp over numbers x, and where it is."""
    wide = np.float64 if x.dtype == np.float32 else np.longdouble
    limit = wide(2.0) ** np.finfo(x.dtype).maxexp  # what infinity stands for, as a rounded result
    with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
        true = function.wide(x.astype(wide))
        unit = ulp(function.scale(x.astype(wide), true).astype(x.dtype))
        true, y = (np.clip(v.astype(wide), -limit, limit) for v in (true, function(x)))
        error = np.abs(y - true) / unit
    assert not np.isnan(error).any()
    worst = int(np.argmax(error))
    return float(error[worst]), float(x[worst])


def error_in_high_precision(function, x):
    """Return the error in ulp at one point."""
    true = function.high_precision(mp.mpf(float(x)))
    scale = function.scale(np.array([x], np.float64), np.array([float(true)]))
    return float(abs(mp.mpf(float(function(np.array([x]))[0])) - true) / float(ulp(scale.astype(x.dtype))[0]))


def points(function, dtype, n, seed=0):
    """Return n random numbers and the special ones: where the reduction, a limit or the exponent changes."""
    generator = np.random.default_rng(seed)
    low, high = function.interval
    part = n // 4
    if dtype == "float32":
        low, high = max(low, -110), min(high, 110)
    log2 = np.arange(-2200, 2200) * (math.log(2) / 2)
    borders = np.concatenate([log2, [low, high, 0.5, -0.5, 1, -1], np.ldexp(1.0, np.arange(-149, 120))])
    x = np.concatenate(
        [
            generator.uniform(low, high, part),
            generator.uniform(-6, 6, part),
            generator.normal(0, 1, part) * 10.0 ** generator.uniform(-12, 0, part),
            10.0 ** generator.uniform(-37, 37, n - 3 * part) * generator.choice([-1, 1], n - 3 * part),
            borders,
        ]
    ).astype(dtype)
    x = np.concatenate([x, np.nextafter(x[n:], x.dtype.type(INF)), np.nextafter(x[n:], x.dtype.type(-INF))])
    return np.abs(x) if low == 0 else x


def need_wider_type(dtype):
    if dtype == "float64" and np.finfo(np.longdouble).nmant < 63:
        pytest.skip("no type here is wider than float64")


# --- accuracy ----------------------------------------------------------------------------------------------


@EACH
@DTYPES
def test_errors_stay_below_the_bar(function, dtype):
    need_wider_type(dtype)
    error, where = measure(function, points(function, dtype, 200_000))
    assert error <= function.allowed, where


@EACH
@DTYPES
def test_errors_against_high_precision_stay_below_the_bar(function, dtype):
    x = np.random.default_rng(1).permutation(points(function, dtype, 20_000))
    low, high = function.interval
    x = x[(x >= low) & (x <= high) & np.isfinite(function(x))][:300]
    errors = [error_in_high_precision(function, v) for v in x]
    assert max(errors) <= function.allowed, x[int(np.argmax(errors))]


@DTYPES
@pytest.mark.parametrize("function", [sigmoid, gelu, erf, np.exp], ids=lambda f: f.__name__)
def test_wider_truth_agrees_with_high_precision(function, dtype):
    """The truth that the sweeps compare with is itself good to 1/100 ulp."""
    need_wider_type(dtype)
    wide = np.float64 if dtype == "float32" else np.longdouble
    row = next(row for row in ALL if row.wide is function)
    x = np.random.default_rng(2).uniform(-14, 6, 200).astype(dtype)
    for v, got in zip(x, function(x.astype(wide)), strict=True):
        true = row.high_precision(mp.mpf(float(v)))
        split = mp.mpf(float(got)) + mp.mpf(float(got - wide(float(got))))
        assert abs(split - true) <= 0.01 * np.finfo(dtype).eps * abs(true)


@DTYPES
@pytest.mark.parametrize("name", ["sigmoid", "tanh", "elu"])
def test_slopes_that_are_one_operation_are_rounded_once(name, dtype):
    x = np.random.default_rng(3).uniform(0 if name == "sigmoid" else -1, 1, 1000).astype(dtype)
    largest_term = (lambda a: 0 * a) if HAS_FMA else (lambda a: np.maximum(np.abs(a), name == "tanh"))
    slope = Slope(f"{name}'", CODES[name], None, (0, 1), wide_scale=largest_term)
    errors = [error_in_high_precision(slope, v) for v in x]
    assert max(errors) <= (0.5 if HAS_FMA else 0.5 + WITHOUT_FMA)


# --- special values ----------------------------------------------------------------------------------------

BIG = 1e30
TINY = {"float32": 2.0**-149, "float64": 2.0**-1074}

SPECIAL = {
    "exp": ([-INF, -BIG, -0.0, 0.0, BIG, INF, NAN], [0, 0, 1, 1, INF, INF, NAN]),
    "log": ([-INF, -1, -0.0, 0.0, 1, INF, NAN], [NAN, NAN, -INF, -INF, 0, INF, NAN]),
    "erf": ([-INF, -BIG, -0.0, 0.0, BIG, INF, NAN], [-1, -1, -0.0, 0.0, 1, 1, NAN]),
    "log1p_exp_minus_abs": ([-INF, -BIG, BIG, INF, NAN], [0, 0, 0, 0, NAN]),
    "sigmoid": ([-INF, -BIG, -0.0, 0.0, BIG, INF, NAN], [0, 0, 0.5, 0.5, 1, 1, NAN]),
    "tanh": ([-INF, -BIG, -0.0, 0.0, BIG, INF, NAN], [-1, -1, -0.0, 0.0, 1, 1, NAN]),
    "softplus": ([-INF, -BIG, BIG, INF, NAN], [0, 0, BIG, INF, NAN]),
    "softsign": ([-INF, -BIG, -0.0, 0.0, BIG, INF, NAN], [-1, -1, -0.0, 0.0, 1, 1, NAN]),
    "softsign'": ([-1.0, -0.0, 0.0, 1.0, NAN], [0, 1, 1, 0, NAN]),
    "elu": ([-INF, -BIG, -0.0, 0.0, BIG, INF, NAN], [-1, -1, -0.0, 0.0, BIG, INF, NAN]),
    "silu": ([-INF, -BIG, -0.0, 0.0, BIG, INF, NAN], [-0.0, -0.0, -0.0, 0.0, BIG, INF, NAN]),
    "gelu": ([-INF, -BIG, -0.0, 0.0, BIG, INF, NAN], [-0.0, -0.0, -0.0, 0.0, BIG, INF, NAN]),
    "softplus'": ([0.0, BIG, INF, NAN], [0, 1, 1, NAN]),
    "silu'": ([-INF, -BIG, -0.0, 0.0, BIG, INF, NAN], [-0.0, -0.0, 0.5, 0.5, 1, 1, NAN]),
    "gelu'": ([-INF, -BIG, -0.0, 0.0, BIG, INF, NAN], [-0.0, -0.0, 0.5, 0.5, 1, 1, NAN]),
}


@EACH
@DTYPES
def test_special_values(function, dtype):
    x, expected = (np.array(v, dtype) for v in SPECIAL[function.name])
    y = function(x)
    assert_array_equal(y, expected)
    minus_zero = (expected == 0) & np.signbit(expected)
    assert_array_equal(np.signbit(y[minus_zero]), True)


@DTYPES
@pytest.mark.parametrize("name", ["tanh", "softsign", "elu", "erf", "silu", "gelu"])
def test_subnormal_numbers_come_through(name, dtype):
    function = next(f for f in FUNCTIONS if f.name == name)
    x = np.array([k * TINY[dtype] for k in (1, 2, 3, 1000, -1, -7)], dtype)
    for v in x:
        assert error_in_high_precision(function, v) <= function.allowed


@DTYPES
@pytest.mark.parametrize("name", ["exp", "sigmoid", "softplus", "silu", "gelu"])
def test_results_below_the_normal_range_are_not_flushed(name, dtype):
    function = next(f for f in FUNCTIONS if f.name == name)
    low = {"float32": -100.0, "float64": -740.0}[dtype] if name != "gelu" else -14.0
    low = -38.3 if (name, dtype) == ("gelu", "float64") else low
    x = np.array([low], dtype)
    y = function(x)[0]
    assert 0 < abs(y) < np.finfo(dtype).tiny
    assert error_in_high_precision(function, x[0]) <= function.allowed


@DTYPES
@pytest.mark.parametrize("name", ["identity", "relu", "leaky_relu"])
def test_piecewise_linear_functions_and_their_slopes(name, dtype):
    x = np.array([-INF, -2.5, -0.0, 0.0, 1.5, INF, NAN], dtype)
    y = np.empty_like(x)
    elementwise_apply(CODES[name], x, y)
    leak = x.dtype.type({"identity": 1, "relu": 0, "leaky_relu": 0.01}[name])
    with np.errstate(invalid="ignore"):
        below = np.zeros_like(x) if name == "relu" else leak * x
    assert_array_equal(y, np.where(x <= 0, below, x))
    slopes = Slope(name, CODES[name], None, (0, 1))(x[:-1])
    assert_array_equal(slopes, np.where(x[:-1] > 0, 1, leak))


# --- over arrays -------------------------------------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize("n", [0, 1, 7, 16, 17, 48, 65])
def test_any_length(n, dtype):
    x = np.linspace(-3, 3, n).astype(dtype)
    room = np.full(n + 1, 7, dtype)
    elementwise_apply(EXPONENTIAL, x, room[:n])
    np.testing.assert_allclose(room[:n], np.exp(x), rtol=1e-6)
    assert room[n] == 7


@njit
def activate_at(code, z, a, offset):
    activate(code, address(z), address(a), z.size)


@DTYPES
@pytest.mark.parametrize("code", [IDENTITY, SIGMOID, ELU])
def test_activation_in_place_is_the_same(code, dtype):
    z = np.linspace(-3, 3, 5 * LANES).astype(dtype)
    a = np.empty_like(z)
    activate_at(code, z, a, 0)
    activate_at(code, z, z, 0)
    assert_array_equal(a, z)


@DTYPES
def test_slope_multiplies_delta(dtype):
    a = np.linspace(0, 1, LANES).astype(dtype)
    delta = np.full(LANES, 3, dtype)
    slope_apply(SIGMOID, a, delta)
    np.testing.assert_allclose(delta, 3 * a * (1 - a), rtol=1e-6)


def lanes_of(lanes):
    @njit
    def run(x, out):
        store(address(out), 0, elementwise.tanh(load(address(x), 0, lanes)))

    return run


@DTYPES
@pytest.mark.parametrize(
    "lanes", [1, 3, 16, 40, *(pytest.param(n, marks=pytest.mark.soak) for n in (2, 8, 32, 64))]
)
def test_any_number_of_lanes_gives_the_same_bits(lanes, dtype):
    x = np.linspace(-3, 3, 64).astype(dtype)
    many, few = np.empty_like(x), np.zeros_like(x)
    elementwise_apply(TANH, x, many)
    lanes_of(lanes)(x, few)
    assert_array_equal(few[:lanes], many[:lanes])
    assert not few[lanes:].any()


# --- the polynomials ---------------------------------------------------------------------------------------


def exp_curve(x):
    return (mp.expm1(x) - x) / x**2 if abs(x) > 1e-20 else mp.mpf(0.5) + x / 6


def log_curve(w2):
    w = mp.sqrt(w2)
    return (2 * mp.atanh(w / 2) - w) / w**3


HALF_LN2 = mp.log(2) / 2 * (1 + mp.mpf(2) ** -10)
FITS = [
    ("EXP", "float32", exp_curve, -HALF_LN2, HALF_LN2),
    ("EXP", "float64", exp_curve, -HALF_LN2, HALF_LN2),
    ("LOG", "float32", log_curve, 0, mp.mpf(4) / 9),
    ("LOG", "float64", log_curve, 0, mp.mpf(4) / 9),
    ("ERF", "float32", lambda w: mp.erf(mp.sqrt(w)) / mp.sqrt(w) - 1, 0, mp.mpf(1) / 4),
    ("ERF", "float64", lambda w: mp.erf(mp.sqrt(w)) / mp.sqrt(w) - 1, 0, mp.mpf(1) / 4),
    ("MILLS", "float32", mills(mp.mpf(4), mp.mpf("1.25")), -1, mp.mpf("10.7") / mp.mpf("18.7")),
    ("MILLS", "float64", mills(mp.mpf(5), mp.mpf("1.25")), -1, mp.mpf("33.8") / mp.mpf("43.8")),
]


@pytest.mark.filterwarnings("ignore:Descending:DeprecationWarning")
@pytest.mark.parametrize(("name", "dtype", "function", "low", "high"), FITS, ids=lambda v: str(v)[:8])
def test_coefficients_are_those_that_chebyfit_gives(name, dtype, function, low, high):
    there = np.array(getattr(elementwise, name)[dtype], dtype)
    made = mpmath.chebyfit(function, [low, high], len(there))[::-1]
    np.testing.assert_allclose(there, np.array([float(c) for c in made], dtype), rtol=1e-12)


# --- the sweeps --------------------------------------------------------------------------------------------

ROW = "| {:19} | {:7} | {:13} | {:5.3f} | {:24} | {:5.1f} |\n"


def chunks(function, dtype) -> Iterator[np.ndarray]:
    """Yield all finite float32 numbers, or 10 million float64 points, as many at a time as the cache holds.

    Where the domain begins at 0, only numbers that are not negative.
    """
    if dtype == "float64":
        for seed in range(25):
            yield from np.array_split(points(function, dtype, 400_000, seed), 13)
        return
    low = np.arange(2**15, dtype=np.uint32)
    for high in range(0, 2**31 if function.interval[0] == 0 else 2**32, low.size):
        x = (low | np.uint32(high)).view(np.float32)
        if np.isfinite(x[0]):
            yield x


def sweep(function, dtype):
    """Return the table's row, and the largest error."""
    error, where, n = -1.0, 0.0, 0
    for x in chunks(function, dtype):
        here, at = measure(function, x)
        n += x.size
        if here > error:
            error, where = here, at
    confirmed = error_in_high_precision(function, np.dtype(dtype).type(where))
    assert confirmed == pytest.approx(error, abs=0.01)
    assert n >= 10**7
    shown = repr(np.dtype(dtype).type(where)).split("(")[1].rstrip(")")
    return ROW.format(function.name, dtype, f"{n:,}", error, shown, function.bar), error


def documented() -> str:
    return DOCUMENT.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0]


@pytest.mark.soak
@EACH
@DTYPES
def test_soak_errors_are_those_of_the_document(function, dtype):
    need_wider_type(dtype)
    row, error = sweep(function, dtype)
    print(f"\n{row}", end="")
    assert error <= function.allowed
    if not HAS_FMA:
        return  # the document is of processors that have it
    written = next(line for line in documented().splitlines() if line.startswith(row[:31]))
    assert float(written.split("|")[4]) == pytest.approx(error, abs=0.01)  # tanh has no table without AVX-512


@pytest.mark.soak
@EACH
def test_soak_every_nan_gives_nan(function):
    for sign in (0, 2**31):
        x = (np.arange(1, 2**23, dtype=np.uint32) | np.uint32(0x7F800000 | sign)).view(np.float32)
        assert np.isnan(function(x)).all()


def write_document() -> None:
    rows = [
        "| function | type | numbers | largest error, ulp | at | allowed |\n",
        "|---|---|--:|--:|--:|--:|\n",
    ]
    for function in ALL:
        for dtype in ("float32", "float64"):
            rows.append(sweep(function, dtype)[0])
            print(rows[-1], end="", flush=True)
    before, rest = DOCUMENT.read_text(encoding="utf-8").split(BEGIN)
    DOCUMENT.write_text(before + BEGIN + "".join(rows) + END + rest.split(END)[1], encoding="utf-8")


if __name__ == "__main__":
    sys.exit(write_document())
