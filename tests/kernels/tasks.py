"""Networks and data that fit each other, for tests of kernels, and their form in `fastbp.reference`."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.testing import assert_allclose

import fastbp
from fastbp import reference
from fastbp.checks import check_data
from fastbp.engine.division import Limits
from fastbp.engine.kernel_options import KernelOptions
from fastbp.engine.layered_run import LayeredRun
from fastbp.engine.team import Pace


@dataclass(frozen=True)
class Task:
    """A network and data that fit each other."""

    sizes: tuple[int, ...] = (3, 5, 4, 2)
    hidden: tuple[str, ...] | str = "tanh"
    output: str = "identity"
    loss: str = "mean_squared_error"
    bias: str = "trainable"
    dtype: str = "float64"
    labels: bool = False
    n_samples: int = 11
    zeros: float = 0.0

    def network(self) -> fastbp.Network:
        network = fastbp.Network(
            self.sizes,
            hidden_activation=self.hidden,
            output_activation=self.output,
            loss=self.loss,
            bias=self.bias,
            dtype=self.dtype,
            seed=7,
        )
        generator = np.random.default_rng(8)
        for b in network.biases:
            b[:] = generator.normal(0, 0.3, b.shape)
        return network

    def samples(self) -> tuple[np.ndarray, np.ndarray]:
        generator = np.random.default_rng(9)
        X = generator.normal(size=(self.n_samples, self.sizes[0]))
        X[np.random.default_rng(10).random(X.shape) < self.zeros] = 0
        Y = generator.uniform(0.1, 0.9, (self.n_samples, self.sizes[-1]))
        if self.labels:
            return X, generator.integers(0, self.sizes[-1], self.n_samples)
        return X, Y / Y.sum(axis=1, keepdims=True) if self.loss == "categorical_cross_entropy" else Y


def as_reference(network: fastbp.Network) -> reference.Network:
    names = (*network.hidden_activations, network.output_activation)
    biases = network.biases or [np.zeros(W.shape[1]) for W in network.weights]
    return [
        reference.Layer(W.tolist(), b.tolist(), name)
        for W, b, name in zip(network.weights, biases, names, strict=True)
    ]


def flat(layers: list[reference.Layer], network: fastbp.Network) -> np.ndarray:
    parts = []
    for layer in layers:
        parts.append(np.ravel(layer.W))
        if network.bias != "none":
            parts.append(np.ravel(layer.b))
    return np.concatenate(parts)


def targets(task: Task, Y: np.ndarray) -> list:
    return (np.eye(task.sizes[-1])[Y] if task.labels else Y).tolist()


def trained(task: Task, *, steps: int, kernel: str = "layered", **options: Any) -> np.ndarray:
    """Return theta after some steps of a kernel."""
    network, (X, Y) = task.network(), task.samples()
    result = fastbp.train(network, X, Y, steps=steps, kernel=kernel, seed=3, **options)
    assert result.kernel == kernel
    return network.theta


def divided(network: fastbp.Network, X: Any, Y: Any, limits: Limits, **options: Any) -> np.ndarray:
    """Return theta after steps whose rows are divided by these limits."""
    X, Y = check_data(network.specification, X, Y)
    options = KernelOptions(len(X), epochs=None, **options)
    run = LayeredRun(network.specification, network.theta, X, Y, options, limits=limits)
    run.advance(options.n_steps)
    return run.theta


def expected(task: Task, *, steps: int, batch_size: int, shuffle: bool, **options: Any) -> np.ndarray:
    """Return theta after as many of the reference, in the same order."""
    network, (X, Y) = task.network(), task.samples()
    layers = as_reference(network)
    state = int(np.random.SeedSequence(3).generate_state(1, np.uint64)[0])
    reference.train(
        layers,
        X.tolist(),
        targets(task, Y),
        steps=steps,
        batch_size=batch_size,
        generator_state=state if shuffle else None,
        loss=task.loss,
        train_biases=task.bias == "trainable",
        **options,
    )
    return flat(layers, network)


def assert_same_training(
    task: Task, *, kernel: str = "layered", tolerance: float = 1e-9, **options: Any
) -> None:
    """Check that a kernel follows the reference; by default with Adam in batches of 4."""
    options = {"steps": 40, "batch_size": 4, "shuffle": True, "optimizer": fastbp.Adam(0.01)} | options
    found = trained(task, kernel=kernel, **options)
    assert_allclose(found, expected(task, **options), rtol=tolerance, atol=tolerance)


class Turns(Pace):
    """Takes a number of threads, one after the other, for so many chunks."""

    def __init__(self, turns: Sequence[int]):
        super().__init__(max(turns), fixed=True)
        self._turns = itertools.cycle(turns)

    def threads(self) -> int:
        return next(self._turns)
