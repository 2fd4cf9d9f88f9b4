"""Gradients of every activation and loss against differentiation with 50 digits."""

from dataclasses import dataclass

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from fastbp import Network, reference
from fastbp.activations import HIDDEN
from tests.every_loss import EVERY_LOSS, fitting_outputs

RTOL, ATOL = 1e-12, 3e-15
"""Relative to each derivative, and to the largest: sums of terms of that size round."""

SMALLEST = 0.01
"""All derivatives may be 0, as sums of terms that cancel: those of softmax, if all outputs are too large."""

STEP = mpmath.mpf(10) ** -16
"""The error of a central difference is of order STEP^2."""


@dataclass(frozen=True)
class Task:
    """A network of random parameters, and samples that fit its loss."""

    sizes: tuple[int, ...] = (2, 3, 2)
    hidden: str = "tanh"
    output: str = "identity"
    loss: str = "half_squared_error"
    bias: str = "trainable"
    labels: bool = False
    n_samples: int = 2

    def __str__(self) -> str:
        return f"{self.hidden}, {self.output}, {self.loss}"

    def network(self) -> Network:
        network = Network(
            self.sizes,
            hidden_activation=self.hidden,
            output_activation=self.output,
            loss=self.loss,
            bias=self.bias,
        )
        network.theta[:] = np.random.default_rng(3).uniform(-0.9, 0.9, network.theta.size)
        return network

    def samples(self) -> tuple[np.ndarray, np.ndarray]:
        generator = np.random.default_rng(4)
        X = generator.uniform(-1, 1, (self.n_samples, self.sizes[0]))
        Y = generator.uniform(0.1, 0.9, (self.n_samples, self.sizes[-1]))
        if self.loss == "categorical_cross_entropy":
            Y /= Y.sum(axis=1, keepdims=True)
            Y[:, -1] = 1 - Y[:, :-1].sum(axis=1)
        if self.labels:
            return X, generator.integers(0, self.sizes[-1], self.n_samples)
        return X, Y


def exactly(values):
    """Return nested lists of mpmath's numbers, of the same value as the floats."""
    return [exactly(v) for v in values] if isinstance(values, list) else mpmath.mpf(values)


def differentiated(task: Task) -> list[float]:
    """Return the central difference of the reference's loss by every parameter."""
    mpmath.mp.dps = 50
    network, (X, Y) = task.network(), task.samples()
    names = (*network.hidden_activations, network.output_activation)
    biases = network.biases or [np.zeros(n) for n in task.sizes[1:]]
    layers = [
        reference.Layer(exactly(W.tolist()), exactly(b.tolist()), name)
        for W, b, name in zip(network.weights, biases, names, strict=True)
    ]
    X, Y = exactly(X.tolist()), exactly((np.eye(task.sizes[-1])[Y] if task.labels else Y).tolist())

    def slope(row, j):
        middle, values = row[j], []
        for shift in (STEP, -STEP):
            row[j] = middle + shift
            values.append(reference.loss(layers, X, Y, task.loss, functions=mpmath.mp))
        row[j] = middle
        return float((values[0] - values[1]) / (2 * STEP))

    slopes = []
    for layer in layers:
        slopes += [slope(row, j) for row in layer.W for j in range(len(row))]
        slopes += [slope(layer.b, j) for j in range(len(layer.b))] if task.bias != "none" else []
    return slopes


def assert_gradient_is_exact(task: Task) -> None:
    expected = differentiated(task)
    gradient = task.network().gradient(*task.samples())
    largest = max(np.abs(expected).max(), SMALLEST)
    assert_allclose(gradient, expected, rtol=RTOL, atol=ATOL * largest)


EVERY_HIDDEN = [
    Task(hidden=hidden, loss=loss, output=fitting_outputs(loss)[0], labels=loss.startswith("categorical"))
    for hidden in HIDDEN
    for loss in EVERY_LOSS
]
EVERY_OUTPUT = [Task(output=output, loss=loss) for loss in EVERY_LOSS for output in fitting_outputs(loss)]


@pytest.mark.parametrize("task", EVERY_HIDDEN, ids=str)
def test_every_hidden_activation_with_every_loss(task):
    assert_gradient_is_exact(task)


@pytest.mark.parametrize("task", EVERY_OUTPUT, ids=str)
def test_every_output_activation_with_every_loss_that_it_goes_with(task):
    assert_gradient_is_exact(task)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_layer_sizes(data):
    loss = data.draw(st.sampled_from(EVERY_LOSS))
    output = data.draw(st.sampled_from(fitting_outputs(loss)))
    last = data.draw(st.integers(2 if output == "softmax" else 1, 4))
    sizes = (*data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)), last)
    assert_gradient_is_exact(
        Task(
            sizes,
            data.draw(st.sampled_from(HIDDEN)),
            output,
            loss,
            data.draw(st.sampled_from(["trainable", "fixed", "none"])),
            labels=loss == "categorical_cross_entropy" and data.draw(st.booleans()),
            n_samples=data.draw(st.integers(1, 3)),
        )
    )
