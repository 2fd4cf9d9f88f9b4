"""The table's sigmoid against high precision."""

import mpmath
import numpy as np
import pytest
from numba import njit

from fastbp.kernels.sigmoid_table import LIMIT, PER_UNIT, sigmoid_table, table_sigmoid
from fastbp.simd import address


@njit
def evaluate(z, table, out):
    at = address(table)
    for i in range(z.size):
        out[i] = table_sigmoid(z[i], at)


def sigmoid(z: np.ndarray) -> np.ndarray:
    out = np.empty_like(z)
    evaluate(z, sigmoid_table(z.dtype), out)
    return out


def ulps(z: np.ndarray) -> np.ndarray:
    """Return the error of the table's sigmoid, in units in the last place of the true value."""
    mpmath.mp.dps = 40
    true = [1 / (1 + mpmath.exp(-mpmath.mpf(float(v)))) for v in z]
    rounded = np.array([float(v) for v in true], z.dtype)
    error = [float(mpmath.mpf(float(s)) - v) for s, v in zip(sigmoid(z), true, strict=True)]
    return np.abs(error) / np.spacing(rounded)


def edges(dtype: str) -> np.ndarray:
    """Return the borders and centres of all rows, and their neighbours."""
    grid = np.arange(-2 * LIMIT * PER_UNIT - 8, 2 * LIMIT * PER_UNIT + 9, dtype=dtype) / (2 * PER_UNIT)
    return np.concatenate([grid, np.nextafter(grid, np.inf), np.nextafter(grid, -np.inf)]).astype(dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_sigmoid_is_within_2_ulp(dtype):
    generator = np.random.default_rng(0)
    z = np.concatenate([generator.uniform(-LIMIT, LIMIT, 10_000), generator.normal(0, 1, 10_000)])
    assert ulps(z.astype(dtype)).max() <= 2
    assert ulps(edges(dtype)[::3]).max() <= 2


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_sigmoid_of_special_values(dtype):
    z = np.array([-np.inf, -1e30, -1000, -0.0, 0.0, 1000, 1e30, np.inf, np.nan], dtype)
    np.testing.assert_array_equal(sigmoid(z), np.array([0, 0, 0, 0.5, 0.5, 1, 1, 1, np.nan], dtype))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_sigmoid_rises_from_row_to_row(dtype):
    """A row's end and the next one's beginning may differ by rounding only."""
    z = np.sort(edges(dtype))
    s = sigmoid(z)
    assert (np.diff(s) >= -2 * np.spacing(s[1:])).all()


def measure(z: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Return the largest error in ulp and where, given the truth in a wider type."""
    error = np.abs((sigmoid(z) - truth) / np.spacing(truth.astype(z.dtype)))
    worst = int(np.nanargmax(error))
    return float(error[worst]), float(z[worst])


@pytest.mark.soak
def test_soak_float64_sigmoid_over_10_million_points():
    """Against long doubles, whose error is below 2^-10 ulp of a float64; the worst point against mpmath."""
    assert np.finfo(np.longdouble).nmant >= 63
    generator = np.random.default_rng(1)
    worst_ulp, worst_z, points = 0.0, 0.0, 0
    for scale in (40.0, 8.0, 1.0, 1e-3):
        z = np.concatenate([generator.uniform(-scale, scale, 2_500_000), edges("float64")])
        truth = 1 / (1 + np.exp(-z.astype(np.longdouble)))
        error, where = measure(z, truth)
        points += z.size
        if error > worst_ulp:
            worst_ulp, worst_z = error, where
    confirmed = ulps(np.array([worst_z]))[0]
    print(f"\nsigmoid float64: max {confirmed:.3f} ulp at z = {worst_z!r}, of {points:,} points")
    assert points >= 10**7
    assert confirmed == pytest.approx(worst_ulp, abs=0.01)
    assert confirmed <= 2


@pytest.mark.soak
def test_soak_float32_sigmoid_over_all_inputs():
    worst_ulp, worst_z = 0.0, 0.0
    for high in range(2**32 >> 24):
        bits = np.arange(2**24, dtype=np.uint32) | np.uint32(high << 24)
        z = bits.view(np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            truth = 1 / (1 + np.exp(-z.astype(np.float64)))
            finite = np.isfinite(z)
            if not finite.any():
                assert np.isnan(sigmoid(z[np.isnan(z)])).all()
                continue
            error, where = measure(z[finite], truth[finite])
        if error > worst_ulp:
            worst_ulp, worst_z = error, where
    print(f"\nsigmoid float32: max {worst_ulp:.3f} ulp at z = {worst_z!r}, of all 2^32 inputs")
    assert worst_ulp <= 2
