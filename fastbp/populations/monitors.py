"""What is evaluated after an epoch for each network, and what decides that a network ends."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fastbp.populations.outputs import blocks, outputs_of
from fastbp.schedules import Adaptive
from fastbp.specification import Specification
from fastbp.training.interrupts import Interrupts
from fastbp.training.metrics import Metric, check_value


@dataclass(frozen=True, eq=False)
class EarlyStoppingStates:
    """What `EarlyStopping` knows of each network between epochs; see `EarlyStoppingState`."""

    best_value: np.ndarray
    best_epoch: np.ndarray
    stalled: np.ndarray

    @classmethod
    def before(cls, n_networks: int) -> "EarlyStoppingStates":
        """Return the states before the first epoch."""
        counts = np.zeros(n_networks, np.int64)
        return cls(np.full(n_networks, np.inf), counts, counts)

    def after_epoch(
        self, epoch: int, values: np.ndarray, minimum_improvement: float, active: np.ndarray
    ) -> "EarlyStoppingStates":
        """Return the states after an epoch; they change for active networks only."""
        first = (self.best_epoch == 0) & ~np.isnan(values)
        better = active & ((values < self.best_value - minimum_improvement) | first)
        return EarlyStoppingStates(
            np.where(better, values, self.best_value),
            np.where(better, epoch, self.best_epoch),
            np.where(better, 0, self.stalled + active),
        )


@dataclass(frozen=True, eq=False)
class AdaptiveStates:
    """The state of `Adaptive` of each network; see `AdaptiveState`."""

    rate: np.ndarray
    best_loss: np.ndarray
    stalled: np.ndarray
    exhausted: np.ndarray

    @classmethod
    def before(cls, rates: np.ndarray) -> "AdaptiveStates":
        """Return the states before the first epoch, at these rates."""
        n = len(rates)
        return cls(rates, np.full(n, np.inf), np.zeros(n, np.int64), np.zeros(n, bool))

    def after_epoch(self, schedule: Adaptive, losses: np.ndarray, active: np.ndarray) -> "AdaptiveStates":
        """Return the states after an epoch; they change for active networks only."""
        stalled = np.where(losses > self.best_loss - schedule.tolerance, self.stalled + 1, 0)
        best_loss = np.where(losses < self.best_loss, losses, self.best_loss)
        falls = stalled > schedule.patience
        exhausted = falls & (self.rate <= schedule.minimum)
        falls &= ~exhausted
        rate = np.where(falls, self.rate / schedule.factor, self.rate)
        return AdaptiveStates(
            np.where(active, rate, self.rate),
            np.where(active, best_loss, self.best_loss),
            np.where(active, np.where(falls, 0, stalled), self.stalled),
            self.exhausted | (active & exhausted),
        )


class MetricsOfNetworks:
    """Evaluates metrics for one network after the other.

    Parameters
    ----------
    specification : Specification
    X, Y : ndarray
    weights : float64[n_networks, n_samples], float64[n_samples] or None
        A network is evaluated on the samples that have a weight above 0.
    prefix : str
        What the names of the columns begin with.
    metrics : dict
        Functions by their names.
    interrupts : Interrupts
    threads : int or None
    """

    def __init__(
        self,
        specification: Specification,
        X: np.ndarray,
        Y: np.ndarray,
        weights: np.ndarray | None,
        prefix: str,
        metrics: Mapping[str, Metric],
        interrupts: Interrupts,
        threads: int | None = None,
    ):
        self._specification, self._X, self._Y = specification, X, Y.view()
        self._Y.flags.writeable = False
        self._weights, self._prefix, self._metrics = weights, prefix, metrics
        self._interrupts, self._threads = interrupts, threads
        self.columns = tuple(prefix + name for name in metrics)

    def evaluate(self, theta: np.ndarray, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """Return the metrics by the names of their columns, for networks with these numbers."""
        values = {column: np.empty(len(numbers)) for column in self.columns}
        numbers_a_network = len(self._X) * self._specification.n_outputs
        for block in blocks(len(numbers), numbers_a_network):
            self._interrupts.check()
            outputs = outputs_of(self._specification, theta[block], self._X, threads=self._threads)
            outputs.flags.writeable = False
            for i, predicted in enumerate(outputs, block.start):
                targets, predicted = self._seen_by(numbers[i], predicted)
                for column, (name, metric) in zip(self.columns, self._metrics.items(), strict=True):
                    self._interrupts.check()
                    values[column][i] = check_value(name, self._interrupts.call(metric, targets, predicted))
        return values

    def _seen_by(self, number: int, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return targets and outputs of the samples that count for a network."""
        if self._weights is None:
            return self._Y, predicted
        weights = self._weights if self._weights.ndim == 1 else self._weights[number]
        seen = weights > 0
        return self._Y[seen], predicted[seen]
