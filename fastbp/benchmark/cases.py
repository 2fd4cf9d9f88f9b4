"""The cases that tests and benchmarks share: data, start parameters and settings of 2-2-2 training runs."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from fastbp import reference, worked_example
from fastbp.network import Network
from fastbp.specification import BIASES, DTYPES

ARITHMETIC = {
    "float64": (float, reference.FLOAT64),
    "float32": (reference.Float32, reference.FLOAT32),
}
"""For each dtype, the number type of `fastbp.reference` with the same rounding, and its functions."""


@dataclass(frozen=True, eq=False)
class Case:
    """One training run: one sample a step, in the order given.

    Attributes
    ----------
    name : str
        The name of the data.
    X, Y : ndarray, shapes (n_samples, 2)
        Inputs and targets.
    theta : ndarray, shape (n_parameters,)
        The parameters at the start, laid out as `Network.theta`.
    learning_rate : float
    update, bias, dtype : str
        As `fastbp.train` and `fastbp.Network` take them.
    """

    name: str
    X: np.ndarray
    Y: np.ndarray
    theta: np.ndarray
    learning_rate: float = 0.5
    update: str = "simultaneous"
    bias: str = "fixed"
    dtype: str = "float64"

    def __str__(self) -> str:
        return f"{self.name}, {self.update}, bias {self.bias}, {self.dtype}"

    def with_dtype(self, dtype: str) -> "Case":
        """Return the case in another dtype, its numbers rounded to it."""
        X, Y, theta = (array.astype(dtype) for array in (self.X, self.Y, self.theta))
        return replace(self, X=X, Y=Y, theta=theta, dtype=dtype)

    def network(self) -> Network:
        """Return a new network that holds the start parameters."""
        network = Network([2, 2, 2], bias=self.bias, dtype=self.dtype)
        network.theta[:] = self.theta
        return network

    def reference_network(self) -> reference.Network:
        """Return the start parameters in the form of `fastbp.reference`."""
        network = self.network()
        biases = network.biases or [np.zeros(2), np.zeros(2)]
        return [
            reference.Layer(self.numbers(W), self.numbers(b))
            for W, b in zip(network.weights, biases, strict=True)
        ]

    def reference_theta(self, steps: int, generator_state: int | None = None) -> np.ndarray:
        """Return theta after some steps of `fastbp.reference`, in the arithmetic of the case's dtype."""
        layers = self.reference_network()
        reference.train(
            layers,
            self.numbers(self.X),
            self.numbers(self.Y),
            steps=steps,
            learning_rate=self.numbers(self.learning_rate),
            update=self.update,
            train_biases=self.bias == "trainable",
            generator_state=generator_state,
            functions=ARITHMETIC[self.dtype][1],
        )
        network = self.network()
        for W, layer in zip(network.weights, layers, strict=True):
            W[:] = layer.W
        if network.biases:
            for b, layer in zip(network.biases, layers, strict=True):
                b[:] = layer.b
        return network.theta

    def numbers(self, values: Any) -> Any:
        """Return an array as nested lists of the numbers that `fastbp.reference` computes with."""
        return _map_nested(ARITHMETIC[self.dtype][0], np.asarray(values).tolist())


def _map_nested(function: Callable[[Any], Any], values: Any) -> Any:
    if isinstance(values, list):
        return [_map_nested(function, value) for value in values]
    return function(values)


WORKED_EXAMPLE = Case(
    "1 sample",
    worked_example.X,
    worked_example.Y,
    worked_example.network().theta,
    worked_example.LEARNING_RATE,
)


def generated(n_samples: int) -> Case:
    """Return the first samples of one fixed stream: a noisy function of the inputs, inside (0, 1)."""
    generator = np.random.default_rng(20_240_222)
    X = generator.uniform(-1.0, 1.0, (1000, 2))
    noise = generator.uniform(-0.05, 0.05, (1000, 2))
    Y = 0.5 + 0.4 * np.sin(2.0 * X + X[:, ::-1]) + noise
    theta = WORKED_EXAMPLE.theta * [1, -1, 1, 1, 1, -1, 1, 1, -1, 1, 1, -1]
    return Case(f"{n_samples} samples", X[:n_samples], Y[:n_samples], theta)


FOUR_SAMPLES = Case(
    "4 samples",
    np.array([[0.05, 0.10], [0.90, 0.20], [0.30, 0.80], [0.70, 0.95]]),
    np.array([[0.01, 0.99], [0.80, 0.30], [0.25, 0.60], [0.95, 0.10]]),
    WORKED_EXAMPLE.theta,
)

SPEED_CASES = (WORKED_EXAMPLE, FOUR_SAMPLES)
"""The cases of `fastbp bench`, with fixed biases as in the worked example."""


def _variants() -> list[Case]:
    data = (WORKED_EXAMPLE, generated(2), FOUR_SAMPLES, generated(7), generated(100))
    cases = []
    for case, update, bias, dtype in product(data, ("simultaneous", "sequential"), BIASES, DTYPES):
        in_theta = np.array([0, 1, 2, 3, 6, 7, 8, 9]) if bias == "none" else np.arange(12)
        case = replace(case, update=update, bias=bias, theta=case.theta[in_theta])
        cases.append(case.with_dtype(dtype))
    return cases


CASES = _variants()
"""The cases that kernels are tested on: every number of samples, update, kind of bias and dtype."""
