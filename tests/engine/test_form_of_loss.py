"""The form that losses and l2 have in scikit-learn, against plain Python."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

import fastbp
from fastbp import reference
from fastbp.checks import check_data
from fastbp.engine.kernel_options import KernelOptions
from fastbp.engine.layered_run import LayeredRun
from fastbp.engine.objective import Objective
from fastbp.optimizers import UnscaledAdam, VelocitySGD
from tests.kernels.tasks import as_reference, flat

N, K, L2 = 14, 3, 0.3
GENERATOR = np.random.default_rng(8)
X = GENERATOR.normal(size=(N, 4))
WEIGHTS = GENERATOR.integers(1, 4, N).astype(float)

CASES = {
    "half_squared_error": ("identity", GENERATOR.normal(size=(N, K))),
    "binary_cross_entropy": ("sigmoid", GENERATOR.integers(0, 2, (N, K)).astype(float)),
    "categorical_cross_entropy": ("softmax", np.eye(K)[GENERATOR.integers(0, K, N)]),
    "poisson": ("exp", GENERATOR.integers(0, 5, (N, K)).astype(float)),
    "huber": ("identity", GENERATOR.normal(size=(N, K))),
}


def network(loss):
    output, _ = CASES[loss]
    sizes = (4, 6, K)
    return fastbp.Network(sizes, hidden_activation="tanh", output_activation=output, loss=loss, seed=1)


def factors(loss):
    """Return what the loss, and what its gradient, is multiplied by."""
    if loss == "half_squared_error":
        return 1 / K, 1
    return (K, K) if loss in ("binary_cross_entropy", "poisson") else (1, 1)


def constant(loss, rows, w):
    """Return what is added to the loss of a batch."""
    if loss != "poisson":
        return 0.0
    t = CASES[loss][1][rows]
    terms = [sum(v * math.log(v) - v if v else 0.0 for v in row) for row in t.tolist()]
    return float(np.average(terms, weights=w))


def by_reference(loss, optimizer, size, weights):
    layers, updater, means = as_reference(network(loss)), reference.Updater(optimizer), []
    of_loss, of_gradient = factors(loss)
    for _ in range(2):
        total = 0.0
        for first in range(0, N, size):
            rows = slice(first, first + size)
            w, batch = weights[rows], (X[rows].tolist(), CASES[loss][1][rows].tolist())
            mean = w * len(w) / w.sum()
            squares = sum(W_ij * W_ij for layer in layers for row in layer.W for W_ij in row)
            value = of_loss * reference.loss(layers, *batch, loss=loss, sample_weight=mean.tolist())
            value += constant(loss, rows, w) + 0.5 * L2 * squares / w.sum()
            total += len(w) * value
            reference.batch_step(
                layers,
                *batch,
                updater,
                loss=loss,
                sample_weight=(of_gradient * mean).tolist(),
                l2=L2 / w.sum(),
            )
        means.append(total / N)
    return flat(layers, network(loss)), means


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["", "weights"])
@pytest.mark.parametrize("size", [4, N])
@pytest.mark.parametrize("loss", CASES)
def test_steps_and_losses_follow_the_reference(loss, size, weights):
    optimizer = UnscaledAdam(0.02) if size == 4 else VelocitySGD(0.02)
    net = network(loss)
    options = KernelOptions(
        N,
        epochs=2,
        shuffle=False,
        batch_size=size,
        optimizer=optimizer,
        l2=L2 if weights is None else L2 / weights.mean(),
        sample_weight=weights,
        divides_by_weights=True,
        as_scikit_learn=True,
    )
    run = LayeredRun(net.specification, net.theta, *check_data(net.specification, X, CASES[loss][1]), options)
    run.advance(options.n_steps)
    theta, losses = by_reference(loss, optimizer, size, np.ones(N) if weights is None else weights)
    assert_allclose(run.theta, theta, rtol=1e-12, atol=1e-14)
    assert_allclose(run.recorded, losses, rtol=1e-12)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("loss", CASES)
def test_an_objective_has_this_form_without_l2(loss, threads):
    net, (of_loss, of_gradient) = network(loss), factors(loss)
    Y = CASES[loss][1]
    objective = Objective(net.specification, X, Y, as_scikit_learn=True, threads=threads)
    value, gradient = objective.value_and_gradient(net.theta)
    expected = of_loss * net.loss(X, Y) + constant(loss, slice(0, N), np.ones(N))
    assert value == pytest.approx(expected, rel=1e-12)
    assert objective.value(net.theta) == pytest.approx(expected, rel=1e-12)
    assert_allclose(gradient, of_gradient * net.gradient(X, Y), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("loss", ["binary_cross_entropy", "categorical_cross_entropy"])
def test_probabilities_are_an_epsilon_from_0_and_1(loss, labels, dtype):
    output, size = CASES[loss][0], 1 if loss == "binary_cross_entropy" else 2
    if labels and size == 1:
        pytest.skip("labels are for softmax")
    net = fastbp.Network([1, size], output_activation=output, loss=loss, dtype=dtype)
    net.weights[0][:] = [[1000.0, -1000.0][:size]]
    inputs = np.ones((20, 1), dtype)
    right, wrong = ([0] * 20, [1] * 20) if labels else (np.eye(2, dtype=dtype)[[0] * 20], 0)
    if not labels and size == 2:
        wrong = np.eye(2, dtype=dtype)[[1] * 20]
    elif not labels:
        right, wrong = np.ones((20, 1), dtype), np.zeros((20, 1), dtype)
    epsilon = float(np.finfo(dtype).eps)
    for targets, expected in ((right, -math.log1p(-epsilon)), (wrong, -math.log(epsilon))):
        X1, Y1 = check_data(net.specification, inputs, targets)
        objective = Objective(net.specification, X1, Y1, as_scikit_learn=True)
        assert objective.value(net.theta) == pytest.approx(expected, rel=1e-6)
        assert objective.value_and_gradient(net.theta)[0] == pytest.approx(expected, rel=1e-6)
