"""Updates in float32 against those in float64: hyper-parameters that float32 does not hold."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import fastbp

OPTIMIZERS = [
    fastbp.SGD(0.01, momentum=0.99999999),
    fastbp.SGD(0.01, momentum=0.9, nesterov=True, weight_decay=1e-10),
    fastbp.RMSprop(0.01),
    fastbp.RMSprop(0.01, alpha=0.99999999, momentum=0.9),
    fastbp.RMSprop(0.01, epsilon=1e-50),
    fastbp.Adam(0.01),
    fastbp.Adam(0.01, beta1=0.99999999),
    fastbp.Adam(0.01, beta2=0.9999),
    fastbp.Adam(0.01, beta2=0.9999999),
    fastbp.Adam(0.01, beta2=0.99999999),
    fastbp.Adam(0.01, epsilon=1e-50),
    fastbp.Adam(0.01, epsilon=1e-300),
    fastbp.AdamW(0.01, weight_decay=1e-6),
    fastbp.AdamW(0.01, beta1=0.1, beta2=0.2, weight_decay=0.5),
    fastbp.RPROP(0.01, eta_minus=0.1, eta_plus=1.00001, smallest_step=1e-50, largest_step=1e50),
]


def trained(optimizer: fastbp.Adam, dtype: str, steps: int) -> np.ndarray:
    """Return the weights after steps whose gradients are all the same: -x for each of them, and 0."""
    X = np.array([[0.75, -3.0, 2.0**-20, 0.0]])
    network = fastbp.Network(
        [4, 1], output_activation="identity", loss="mean_absolute_error", bias="none", dtype=dtype, seed=0
    )
    network.theta[:] = [0.5, 0.25, 0.0, 1.0]
    fastbp.train(network, X, [[1e30]], steps=steps, optimizer=optimizer)
    return network.theta.astype(np.float64)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_hyperparameters_that_float32_does_not_hold(optimizer):
    for steps in (1, 2, 50):
        found, expected = (trained(optimizer, dtype, steps) for dtype in ("float32", "float64"))
        assert_allclose(found, expected, rtol=2e-7 * (1 + steps), atol=2e-8 * steps)


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
def test_adam_in_float32_is_as_exact_as_its_numbers(name):
    """1 - beta2 from a beta2 that was rounded to float32 would put the second moment 5e-5 of itself off."""
    for beta1, beta2 in ((0.9, 0.999), (0.99, 0.9999), (0.9, 0.99999)):
        optimizer = getattr(fastbp, name)(0.3125, beta1=beta1, beta2=beta2, weight_decay=0.0)
        found, expected = (trained(optimizer, dtype, 1) for dtype in ("float32", "float64"))
        assert_allclose(found, expected, rtol=2e-7, atol=2e-8)
