"""Evaluation during a run: losses and metrics of any samples, in parts, at given parameters."""

from collections.abc import Iterator

import numpy as np

from fastbp.engine import layered_run
from fastbp.engine.job import row_work
from fastbp.engine.layered_run import with_room
from fastbp.network import Network
from fastbp.training.interrupts import Interrupts
from fastbp.training.metrics import Metric, check_value

PART_WORK = 2e7
"""Multiplications of one part, some milliseconds: between parts the loop looks at Ctrl-C."""


class Evaluation:
    """Evaluates at any parameters, with parameters of its own, as the user's must be consistent."""

    def __init__(self, network: Network, interrupts: Interrupts):
        self._specification, self._theta = network.specification, with_room(network.theta)
        self._evaluated = self._specification, self._theta
        self._interrupts = interrupts
        self._rows = max(1, int(PART_WORK / row_work(network.specification)))

    def prepare(self, X: np.ndarray, Y: np.ndarray) -> None:
        """Compile what evaluates such samples, or load it."""
        layered_run.loss(*self._evaluated, X[:1], Y[:1])
        layered_run.predict(*self._evaluated, X[:1])

    def loss(self, theta: np.ndarray, X: np.ndarray, Y: np.ndarray) -> float:
        """Return the mean loss; raise KeyboardInterrupt if Ctrl-C is pressed."""
        self._theta[:] = theta
        total = 0.0
        for part in self._parts(len(X)):
            total += layered_run.loss(*self._evaluated, X[part], Y[part]) * len(X[part])
        return total / len(X)

    def metrics(
        self, theta: np.ndarray, X: np.ndarray, Y: np.ndarray, metrics: dict[str, Metric]
    ) -> list[float]:
        """Return the values of metrics; raise KeyboardInterrupt if Ctrl-C is pressed."""
        self._theta[:] = theta
        predicted = np.empty((len(X), self._specification.n_outputs), self._specification.dtype)
        for part in self._parts(len(X)):
            predicted[part] = layered_run.predict(*self._evaluated, X[part])
        predicted.flags.writeable = False
        targets = Y.view()
        targets.flags.writeable = False
        return [
            check_value(name, self._interrupts.call(metric, targets, predicted))
            for name, metric in metrics.items()
        ]

    def _parts(self, n_samples: int) -> Iterator[slice]:
        for start in range(0, n_samples, self._rows):
            self._interrupts.check()
            yield slice(start, start + self._rows)
