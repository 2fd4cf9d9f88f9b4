"""Losses and deltas of softmax outputs, which are computed for several rows at once, or row by row."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastbp
from fastbp.engine.evaluation import loss_job, with_room
from fastbp.kernels.cross_entropy import MOST_BLOCK_COLUMNS
from fastbp.kernels.layered import layered
from fastbp.simd import lanes


def a_network(n_outputs: int, dtype: str) -> fastbp.Network:
    options = {"output_activation": "softmax", "loss": "categorical_cross_entropy"}
    network = fastbp.Network((3, n_outputs), seed=0, dtype=dtype, **options)
    network.theta[:] *= 9
    return network


def row_losses(
    network: fastbp.Network, X: np.ndarray, labels: np.ndarray, as_scikit_learn: bool
) -> np.ndarray:
    losses = np.zeros(len(X))
    arrays = {"theta": with_room(network.theta), "X": X, "labels": labels, "row_losses": losses}
    job = loss_job(network.specification, arrays | {"weights": None}, as_scikit_learn=as_scikit_learn)
    layered(job.address, 0, 0, job.empty, job.empty)
    return losses


@pytest.mark.parametrize("as_scikit_learn", [False, True], ids=["plain", "as scikit-learn"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("more", [1, 2, 5, 40, MOST_BLOCK_COLUMNS])
def test_a_row_has_the_same_loss_alone_and_among_others(more, dtype, as_scikit_learn):
    n_outputs = lanes(np.dtype(dtype).itemsize) + more
    network, generator = a_network(n_outputs, dtype), np.random.default_rng(1)
    X = generator.normal(size=(35, 3)).astype(dtype)
    labels = generator.integers(0, n_outputs, 35)
    alone = [row_losses(network, X[i : i + 1], labels[i : i + 1], as_scikit_learn)[0] for i in range(35)]
    assert_array_equal(row_losses(network, X, labels, as_scikit_learn), alone)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_outputs", [2, 3, 4, 7, 8, 9, 10, 17, MOST_BLOCK_COLUMNS, MOST_BLOCK_COLUMNS + 1])
def test_the_gradient_of_labels_is_the_softmax_but_for_one_at_the_label(n_outputs, dtype):
    network, generator = a_network(n_outputs, dtype), np.random.default_rng(2)
    X = generator.normal(size=(35, 3)).astype(dtype)
    labels = generator.integers(0, n_outputs, 35)
    powers = np.exp(X.astype(float) @ network.weights[0] + network.biases[0])
    delta = (powers / powers.sum(axis=1, keepdims=True) - np.eye(n_outputs)[labels]) / 35
    expected = np.concatenate([(X.T @ delta).ravel(), delta.sum(axis=0)])
    tolerance = 1e-13 if dtype == "float64" else 1e-5
    assert_allclose(network.gradient(X, labels), expected, rtol=0, atol=tolerance)
