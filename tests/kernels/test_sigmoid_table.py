"""The tables' sigmoids against high precision."""

from collections.abc import Callable

import mpmath
import numpy as np
import pytest
from numba import njit

from fastbp.kernels.sigmoid_table import (
    EDGE,
    GUESS_PER_UNIT,
    LIMIT,
    fast_sigmoid,
    guess_table,
    lookup_table,
)
from fastbp.kernels.slots import SLOT, hidden_fetch, output_fetch, polynomial
from fastbp.simd import address, fma, lane, pair


@njit
def evaluate_found(z, table, out):
    at = address(table)
    for i in range(z.size):
        out[i] = fast_sigmoid(z[i], at)


@njit
def evaluate_guessed(z, table, slots, out):
    at, room = address(table), address(slots)
    for i in range(z.size):
        both = pair(z[i], z[i])
        c = hidden_fetch(both, at, room, 0)
        P, q, Q = polynomial(both - c, room, 0)
        out[i] = lane(fma(q, Q, P), 0)


@njit
def evaluate_delta(z, t, table, slots, out):
    at, room = address(table), address(slots)
    for i in range(z.size):
        both = pair(z[i], z[i])
        c = output_fetch(both, pair(t, t), at, room, SLOT // 2)
        P, q, Q = polynomial(both - c, room, SLOT // 2)
        out[i] = lane(fma(q, Q, P), 0)


def found(z: np.ndarray) -> np.ndarray:
    out = np.empty_like(z)
    evaluate_found(z, lookup_table(z.dtype), out)
    return out


def guessed(z: np.ndarray) -> np.ndarray:
    out = np.empty_like(z)
    evaluate_guessed(z, guess_table(z.dtype), np.empty(SLOT, z.dtype), out)
    return out


SIGMOIDS = pytest.mark.parametrize("sigmoid", [found, guessed])
DTYPES = pytest.mark.parametrize("dtype", ["float64", "float32"])


def ulps(sigmoid: Callable, z: np.ndarray) -> np.ndarray:
    """Return the error of a table's sigmoid, in units in the last place of the true value."""
    mpmath.mp.dps = 40
    true = [1 / (1 + mpmath.exp(-mpmath.mpf(float(v)))) for v in z]
    rounded = np.array([float(v) for v in true], z.dtype)
    error = [float(mpmath.mpf(float(s)) - v) for s, v in zip(sigmoid(z), true, strict=True)]
    return np.abs(error) / np.spacing(rounded)


def edges(dtype: str) -> np.ndarray:
    """Return the borders and centres of all rows within the limit, and their neighbours."""
    grid = np.arange(-2 * LIMIT * GUESS_PER_UNIT + 1, 2 * LIMIT * GUESS_PER_UNIT, dtype=dtype)
    grid /= 2 * GUESS_PER_UNIT
    return np.concatenate([grid, np.nextafter(grid, np.inf), np.nextafter(grid, -np.inf)]).astype(dtype)


@SIGMOIDS
@DTYPES
def test_sigmoid_is_within_2_ulp(sigmoid, dtype):
    generator = np.random.default_rng(0)
    z = np.concatenate([generator.uniform(-LIMIT, LIMIT, 5000), generator.normal(0, 1, 5000)])
    assert ulps(sigmoid, z.astype(dtype)).max() <= 2
    assert ulps(sigmoid, edges(dtype)[::7]).max() <= 2


@DTYPES
def test_sigmoid_of_special_values(dtype):
    z = np.array([-np.inf, -1e30, -1000, -0.0, 0.0, 1000, 1e30, np.inf, np.nan], dtype)
    np.testing.assert_array_equal(found(z), np.array([0, 0, 0, 0.5, 0.5, 1, 1, 1, np.nan], dtype))


@DTYPES
def test_sigmoid_is_right_around_the_limit(dtype):
    z = np.linspace(LIMIT - 0.5, EDGE + 0.5, 500).astype(dtype)
    assert ulps(found, np.concatenate([z, -z])).max() <= 2


@SIGMOIDS
@DTYPES
def test_sigmoid_rises_from_row_to_row(sigmoid, dtype):
    """A row's end and the next one's beginning may differ by rounding only."""
    z = np.sort(edges(dtype))
    s = sigmoid(z)
    assert (np.diff(s) >= -2 * np.spacing(s[1:])).all()


@DTYPES
@pytest.mark.parametrize("t", [0.0, 0.01, 0.5, 0.99, 1.0, -3.0, 1e6])
def test_delta_is_as_accurate_as_its_terms(dtype, t):
    """d = (s - t) s' may lose digits where s is near t, as the formula does, and no more than that."""
    mpmath.mp.dps = 40
    z = np.random.default_rng(1).uniform(-LIMIT, LIMIT, 2000).astype(dtype)
    t = z.dtype.type(t)
    d = np.empty_like(z)
    evaluate_delta(z, t, guess_table(z.dtype), np.empty(SLOT, z.dtype), d)
    s = [1 / (1 + mpmath.exp(-mpmath.mpf(float(v)))) for v in z]
    slope = [a * (1 - a) for a in s]
    error = [float(mpmath.mpf(float(v)) - (a - float(t)) * b) for v, a, b in zip(d, s, slope, strict=True)]
    scale = np.array([float((a + abs(float(t))) * b) for a, b in zip(s, slope, strict=True)])
    assert (np.abs(error) <= 5 * np.finfo(dtype).eps * scale).all()


def test_tables_cannot_be_written():
    for table in (guess_table(np.dtype("float64")), lookup_table(np.dtype("float32"))):
        with pytest.raises(ValueError, match="read-only"):
            table[0] = 1


def measure(sigmoid: Callable, z: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Return the largest error in ulp and where, given the truth in a wider type."""
    error = np.abs((sigmoid(z) - truth) / np.spacing(truth.astype(z.dtype)))
    worst = int(np.argmax(error))
    return float(error[worst]), float(z[worst])


@pytest.mark.soak
@SIGMOIDS
def test_soak_float64_sigmoid_over_10_million_points(sigmoid):
    """Against long doubles, whose error is below 2^-10 ulp of a float64; the worst point against mpmath."""
    assert np.finfo(np.longdouble).nmant >= 63
    generator = np.random.default_rng(1)
    worst_ulp, worst_z, points = 0.0, 0.0, 0
    for scale in (float(LIMIT), 8.0, 1.0, 1e-3):
        z = np.concatenate([generator.uniform(-scale, scale, 2_500_000), edges("float64")])
        error, where = measure(sigmoid, z, 1 / (1 + np.exp(-z.astype(np.longdouble))))
        points += z.size
        if error > worst_ulp:
            worst_ulp, worst_z = error, where
    confirmed = ulps(sigmoid, np.array([worst_z]))[0]
    name = f"sigmoid, rows {sigmoid.__name__}"
    print(f"\n{name}, float64: max {confirmed:.3f} ulp at z = {worst_z!r}, of {points:,} points")
    assert points >= 10**7
    assert confirmed == pytest.approx(worst_ulp, abs=0.01)
    assert confirmed <= 2


@pytest.mark.soak
def test_soak_float32_sigmoid_over_all_inputs():
    worst_ulp, worst_z, inputs = 0.0, 0.0, 0
    for high in range(2**8):
        z = (np.arange(2**24, dtype=np.uint32) | np.uint32(high << 24)).view(np.float32)
        nan = np.isnan(z)
        assert np.isnan(found(z[nan])).all()
        inputs += z.size
        if nan.all():
            continue
        with np.errstate(over="ignore"):
            truth = 1 / (1 + np.exp(-z[~nan].astype(np.float64)))
        error, where = measure(found, z[~nan], truth)
        if error > worst_ulp:
            worst_ulp, worst_z = error, where
    print(f"\nsigmoid, rows found, float32: max {worst_ulp:.3f} ulp at z = {worst_z!r}, of {inputs:,} inputs")
    assert inputs == 2**32
    assert worst_ulp <= 2
