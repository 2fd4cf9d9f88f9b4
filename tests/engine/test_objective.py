"""The loss as a function of theta: values, gradients and Jacobians, called again and again."""

import tracemalloc

import numpy as np
import pytest

import fastbp
from fastbp.checks import check_data, check_weights
from fastbp.engine.objective import Objective

GENERATOR = np.random.default_rng(8)


def problem(
    n_rows=50, dtype="float64", sizes=(4, 10, 3), hidden="tanh", output="softmax", loss="", bias="trainable"
):
    network = fastbp.Network(
        sizes,
        hidden_activation=hidden,
        output_activation=output,
        loss=loss or ("categorical_cross_entropy" if output == "softmax" else "half_squared_error"),
        dtype=dtype,
        bias=bias,
        seed=2,
    )
    X = GENERATOR.uniform(-1, 1, (n_rows, sizes[0])).astype(dtype)
    if network.loss_name == "categorical_cross_entropy":
        return network, X, GENERATOR.integers(0, sizes[-1], n_rows)
    return network, X, GENERATOR.uniform(0, 1, (n_rows, sizes[-1])).astype(dtype)


def objective(network, X, Y, weights=None, **options):
    checked = check_data(network.specification, X, Y)
    return Objective(network.specification, *checked, check_weights(weights, len(X)), **options)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("n_rows", [1, 7, 128, 129, 3000])
@pytest.mark.parametrize("bias", ["trainable", "none"])
def test_it_says_what_the_network_says_at_every_theta(n_rows, dtype, bias):
    network, X, Y = problem(n_rows, dtype, bias=bias)
    weights = GENERATOR.uniform(0.1, 2, n_rows)
    for options in ({}, {"sample_weight": weights}):
        asked = objective(network, X, Y, options.get("sample_weight"))
        for _ in range(3):
            value, gradient = asked.value_and_gradient(network.theta)
            assert gradient.tobytes() == network.gradient(X, Y, **options).tobytes()
            assert asked.value(network.theta) == network.loss(X, Y, **options)
            assert value == pytest.approx(
                network.loss(X, Y, **options), rel=1e-6 if dtype == "float32" else 1e-14
            )
            assert asked.predict(network.theta).tobytes() == network.predict(X).tobytes()
            network.theta[:] -= 0.1 * gradient


def test_any_number_of_threads_gives_the_same_bits():
    network, X, Y = problem(700, sizes=(20, 30, 5))
    found = [objective(network, X, Y, threads=threads) for threads in (1, 2, 3)]
    values = [asked.value_and_gradient(network.theta) for asked in found]
    assert len({value for value, _ in values}) == 1
    assert len({gradient.tobytes() for _, gradient in values}) == 1
    assert len({asked.value(network.theta) for asked in found}) == 1


def test_a_call_allocates_nothing_when_it_is_told_where_the_gradient_goes():
    network, X, Y = problem(200, sizes=(20, 50, 5))
    asked, theta, gradient = objective(network, X, Y), network.theta.copy(), np.empty_like(network.theta)
    asked.value_and_gradient(theta, gradient)
    asked.value(theta)
    tracemalloc.start()
    try:
        for _ in range(100):
            asked.value_and_gradient(theta, gradient)
            asked.value(theta)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < theta.nbytes


JACOBIANS = [
    {"output": "identity"},
    {"output": "sigmoid", "hidden": "relu", "bias": "none"},
    {"output": "softmax"},
    {"output": "softmax", "loss": "half_squared_error", "hidden": "gelu"},
    {"output": "silu", "sizes": (3, 5, 4, 2), "hidden": "softplus"},
    {"output": "softplus", "sizes": (3, 2)},
]


@pytest.mark.parametrize("options", JACOBIANS, ids=str)
def test_the_jacobian_is_that_of_central_differences(options):
    network, X, Y = problem(37, **options)
    asked, theta, h = objective(network, X, Y), network.theta.copy(), 1e-6
    whole = np.empty((len(X), network.n_outputs, theta.size))
    residuals = np.empty((len(X), network.n_outputs))
    for rows, of_rows, derivatives in asked.jacobian_tiles(theta):
        residuals[rows], whole[rows] = of_rows, derivatives
    np.testing.assert_allclose(residuals, asked.residuals(theta), rtol=1e-12, atol=1e-15)
    for i, step in enumerate(h * np.eye(theta.size)):
        slope = (asked.predict(theta + step) - asked.predict(theta - step)) / (2 * h)
        np.testing.assert_allclose(whole[:, :, i], slope, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_residuals_times_the_jacobian_are_the_gradient_of_the_squared_error(dtype):
    network, X, Y = problem(2100, dtype, output="tanh")
    asked = objective(network, X, Y)
    total = np.zeros(network.theta.size)
    for _, residuals, derivatives in asked.jacobian_tiles(network.theta):
        total += np.einsum("rk,rkp->p", residuals.astype(float), derivatives.astype(float))
    expected = network.gradient(X, Y)
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    np.testing.assert_allclose(total / len(X), expected, rtol=tolerance, atol=tolerance * abs(expected).max())
