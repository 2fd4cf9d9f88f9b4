"""The loss and its gradient at pre-activations from -1000 to 1000, against their definitions in 500 digits.

The definitions are written down once more here, as plainly as they can be: with enough digits nothing
underflows, and nothing cancels.
"""

from functools import cache

import mpmath
import numpy as np
import pytest
from mpmath import mpf

from fastbp import Network
from fastbp.errors import DataError
from tests.every_loss import EVERY_LOSS, fitting_outputs

DIGITS = 500
"""e^-1000 has 435 zeros, and 1 + e^-1000 is to keep some digits of it."""

SIZES = (
    1e-3,
    0.1,
    0.7,
    1,
    2,
    5,
    10,
    17,
    20,
    30,
    36,
    37,
    40,
    50,
    70,
    80,
    86,
    87,
    88,
    89,
    90,
    95,
    100,
    103,
    104,
    110,
)
SIZES += (150, 300, 500, 700, 707, 709, 710, 740, 744, 745, 746, 750, 800, 1000)
Z = [-z for z in reversed(SIZES)] + list(SIZES)

HIGHEST_EXP = {"float32": 40, "float64": 300}
"""The largest z of the output activation exp: the square of e^z is still finite."""

TARGETS = {
    "binary_cross_entropy": (0.0, 1e-30, 0.3, 1.0),
    "poisson": (0.0, 1e-30, 0.5, 1.0, 7.0, 1e4),
}
OTHER_TARGETS = (-987.5, -1.25, 0.0, 0.625, 1.125, 987.5)

ROWS = (
    (0.0, -110.0),
    (0.0, -95.0),
    (0.0, 0.0),
    (1000.0, -1000.0),
    (0.0, -800.0, -100.0),
    (-1000.0, -999.5, -1000.0),
)
"""Pre-activations of softmax."""

EPSILON = {"float32": 2.0**-23, "float64": 2.0**-52}
SMALLEST = {"float32": 2.0**-126, "float64": 2.0**-1022}


@cache
def activation(name: str, z: float) -> tuple[mpf, mpf]:
    """Return a and da/dz."""
    with mpmath.workdps(DIGITS):
        z, one = mpf(z), mpf(1)
        sigmoid = 1 / (1 + mpmath.exp(-z))
        if name == "gelu":
            gaussian = mpmath.erfc(-z / mpmath.sqrt(2)) / 2
            phi = mpmath.exp(-z * z / 2) / mpmath.sqrt(2 * mpmath.pi)
            return z * gaussian, gaussian + z * phi
        return {
            "identity": lambda: (z, one),
            "sigmoid": lambda: (sigmoid, sigmoid * (1 - sigmoid)),
            "tanh": lambda: (mpmath.tanh(z), 1 - mpmath.tanh(z) ** 2),
            "relu": lambda: (max(z, mpf(0)), one if z > 0 else mpf(0)),
            "leaky_relu": lambda: (z, one) if z > 0 else (z * mpf(0.01), mpf(0.01)),
            "elu": lambda: (z, one) if z > 0 else (mpmath.exp(z) - 1, mpmath.exp(z)),
            "silu": lambda: (z * sigmoid, sigmoid * (1 + z * (1 - sigmoid))),
            "softplus": lambda: (mpmath.log(1 + mpmath.exp(z)), sigmoid),
            "exp": lambda: (mpmath.exp(z), mpmath.exp(z)),
            "softsign": lambda: (z / (1 + abs(z)), 1 / (1 + abs(z)) ** 2),
        }[name]()


def softmax(z: tuple[float, ...]) -> list[mpf]:
    powers = [mpmath.exp(mpf(z_j)) for z_j in z]
    return [power / sum(powers) for power in powers]


def loss_and_slope(name: str, a: mpf, t: mpf) -> tuple[mpf, mpf]:
    """Return an output's part of the loss, and its derivative by the output, without the factor 1 / K."""
    e = a - t
    return {
        "half_squared_error": lambda: (e * e / 2, e),
        "mean_squared_error": lambda: (e * e, 2 * e),
        "mean_absolute_error": lambda: (abs(e), mpmath.sign(e)),
        "quantile(0.8)": lambda: (max(mpf(0.8) * -e, (1 - mpf(0.8)) * e), (e > 0) - mpf(0.8) * (e != 0)),
        "huber": lambda: (e * e / 2, e) if abs(e) <= 1 else (abs(e) - mpf(1) / 2, mpmath.sign(e)),
        "binary_cross_entropy": lambda: (
            -(t * mpmath.log(a) + ((1 - t) * mpmath.log(1 - a) if t != 1 else 0)),
            e / (a * (1 - a)),
        ),
        "categorical_cross_entropy": lambda: (-t * mpmath.log(a), -t / a),
        "poisson": lambda: (a - (t * mpmath.log(a) if t else 0), 1 - t / a),
    }[name]()


def mean(name: str, n_outputs: int) -> int:
    return 1 if name in ("half_squared_error", "categorical_cross_entropy") else n_outputs


def evaluated(output: str, loss: str, dtype: str, z: list[float], t: list[float]) -> tuple[float, np.ndarray]:
    """Return the loss and dL/dz: a network with these biases, and an input of 0."""
    network = Network([1, len(z)], output_activation=output, loss=loss, dtype=dtype)
    network.theta[:] = 0
    network.biases[0][:] = z
    X, Y = [[0.0]], [t]
    return network.loss(X, Y), network.gradient(X, Y)[len(z) :].astype(np.float64)


def assert_close(found, expected, scale, dtype):
    """Check numbers to some units in the last place, of the number or of the terms that it is a sum of.

    What underflows on the way is 0, and the largest target may multiply it.
    """
    for one, true, size in zip(found, expected, scale, strict=True):
        allowed = 12 * EPSILON[dtype] * (abs(true) + size) + 1e4 * SMALLEST[dtype]
        assert np.isfinite(one)
        assert abs(mpf(float(one)) - true) <= allowed, (one, mpmath.nstr(true, 20))


def rounded(values, dtype: str) -> list[float]:
    return [float(np.dtype(dtype).type(value)) for value in values]


PAIRS = [(output, loss) for loss in EVERY_LOSS for output in fitting_outputs(loss) if output != "softmax"]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("output", "loss"), PAIRS)
def test_every_output_with_every_loss_far_out(output, loss, dtype):
    z = rounded([z_j for z_j in Z if output != "exp" or z_j <= HIGHEST_EXP[dtype]], dtype)
    with mpmath.workdps(DIGITS):
        outputs = [activation(output, z_j) for z_j in z]
        for target in rounded(TARGETS.get(loss, OTHER_TARGETS), dtype):
            t, K = mpf(target), mean(loss, len(z))
            parts = [loss_and_slope(loss, a, t) for a, _ in outputs]
            total, gradient = evaluated(output, loss, dtype, z, [target] * len(z))
            expected = sum(part for part, _ in parts) / K
            size = sum(abs(part) for part, _ in parts) / K
            assert_close([total], [expected], [size], dtype)
            slopes = [slope * da / K for (_, slope), (_, da) in zip(parts, outputs, strict=True)]
            if loss == "poisson":  # the two terms of (1 - t / a) da/dz
                scales = [abs(da) * (1 + t / a) / K for a, da in outputs]
            elif loss == "binary_cross_entropy":
                scales = [(a + t) / K for a, _ in outputs]
            else:  # the slope of an activation is a difference of numbers of about 1
                scales = [(1 + abs(slope)) / K for _, slope in parts]
            assert_close(gradient, slopes, scales, dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("loss", [loss for loss in EVERY_LOSS if loss != "binary_cross_entropy"])
def test_softmax_with_every_loss_far_out(loss, dtype):
    with mpmath.workdps(DIGITS):
        for row in ROWS:
            z, a = rounded(row, dtype), softmax(tuple(rounded(row, dtype)))
            targets = list(np.eye(len(z)))
            if loss != "categorical_cross_entropy":
                targets += [3 * target for target in targets] + [np.zeros(len(z)), np.ones(len(z))]
            for target in targets:
                t, K = [mpf(t_j) for t_j in target.tolist()], mean(loss, len(z))
                parts = [loss_and_slope(loss, a_j, t_j) for a_j, t_j in zip(a, t, strict=True)]
                average = sum(a_j * slope for a_j, (_, slope) in zip(a, parts, strict=True))
                slopes = [a_j * (slope - average) / K for a_j, (_, slope) in zip(a, parts, strict=True)]
                scales = [max(1, sum(t)) / mpf(K)] * len(z)
                total, gradient = evaluated("softmax", loss, dtype, z, target.tolist())
                expected = sum(part for part, _ in parts) / K
                assert_close([total], [expected], [mpf(1)], dtype)
                assert_close(gradient, slopes, scales, dtype)


# --- sample weights --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("size", [1e-320, 1e-310, 1e-200, 1e-45, 1e39, 1e300, 1e308])
def test_the_size_of_sample_weights_does_not_count(size, dtype):
    generator = np.random.default_rng(0)
    X, Y = generator.normal(size=(40, 3)), generator.normal(size=(40, 2))
    network = Network([3, 5, 2], output_activation="identity", dtype=dtype, seed=0)
    weights = generator.integers(1, 9, 40)
    given = weights * (size / 16)  # a number of subnormal ones has few digits, and these are whole
    found = network.gradient(X, Y, sample_weight=given), network.loss(X, Y, sample_weight=given)
    usual = network.gradient(X, Y, sample_weight=weights), network.loss(X, Y, sample_weight=weights)
    rtol = 8 * EPSILON[dtype] if size > 1e-300 else 0.2 if size < 1e-315 else 1e-5
    np.testing.assert_allclose(found[0], usual[0], rtol=rtol, atol=rtol)
    assert found[1] == pytest.approx(usual[1], rel=rtol)


def test_a_power_of_two_in_all_sample_weights_changes_no_bit():
    generator = np.random.default_rng(0)
    X, Y, weights = generator.normal(size=(40, 3)), generator.normal(size=(40, 2)), generator.random(40)
    network = Network([3, 5, 2], output_activation="identity", seed=0)
    usual = network.gradient(X, Y, sample_weight=weights)
    for power in (-1000, -3, 1, 900):
        found = network.gradient(X, Y, sample_weight=weights * 2.0**power)
        assert found.tobytes() == usual.tobytes()


def test_sample_weights_that_differ_too_much_are_refused():
    network = Network([3, 2], seed=0)
    with pytest.raises(DataError, match=r"sample_weight\[1\] is 1e-310, and the largest is 1.0"):
        network.loss(np.ones((2, 3)), np.ones((2, 2)), sample_weight=[1.0, 1e-310])
