"""What is evaluated after an epoch for each network, and what decides that a network ends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fastbp.kernels import rules
from fastbp.kernels.network_rules import add_to_strips, judge_networks
from fastbp.populations.outputs import blocks, outputs_of
from fastbp.schedules import Adaptive
from fastbp.specification import Specification
from fastbp.training.early_stopping import EarlyStopping, MonitoredColumn, compiled_rule
from fastbp.training.interrupts import Interrupts
from fastbp.training.metrics import Metric, check_value


class RulesOfNetworks:
    """Early stopping and goals, with a state of the rules for each network.

    Parameters
    ----------
    early_stopping : EarlyStopping or None
    monitored : MonitoredColumn or None
        The column that early stopping looks at.
    goals : sequence of (MonitoredColumn, float)
    """

    def __init__(
        self,
        early_stopping: EarlyStopping | None,
        monitored: MonitoredColumn | None,
        goals: Sequence[tuple[MonitoredColumn, float]],
    ):
        self._stopping, self._monitored, self._goals = early_stopping, monitored, goals
        self.keeps_best = self.needs_strips = False
        self._constants, self._program = np.empty((0, rules.N_CONSTANTS)), np.empty(0, np.int64)
        if early_stopping is not None:
            constants, program = compiled_rule(early_stopping.whole_rule)
            self._constants, self._program = np.array(constants), np.array(program)
            self.keeps_best = early_stopping.restore_best
            self.needs_strips = any(rule.needs_strips for rule in early_stopping.whole_rule)

    @property
    def wanted(self) -> bool:
        """Whether there are any."""
        return self._stopping is not None or bool(self._goals)

    def begin(self, n_networks: int) -> np.ndarray | None:
        """Return the states before the first epoch, or None without early stopping."""
        if self._stopping is None:
            return None
        states = np.empty((n_networks, rules.state_size(len(self._constants))))
        rules.begin_states(states)
        return states

    def after_epoch(self, states: np.ndarray | None, losses: np.ndarray, active: np.ndarray) -> None:
        """Take note of the losses of an epoch, if a rule needs them."""
        if states is not None and self.needs_strips:
            add_to_strips(states, losses, active)

    def judge(
        self,
        states: np.ndarray | None,
        epoch: int,
        row: Mapping[str, np.ndarray],
        active: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Show an evaluation to the rules, and change their states.

        Returns
        -------
        better, stopped : bool[n_networks]
            Whether the value is the best so far, and whether the training of the network ends.
        """
        better, stopped = np.zeros(len(active), bool), np.zeros(len(active), bool)
        if states is not None and self._stopping is not None and self._monitored is not None:
            values = self._monitored.sign * row[self._monitored.name]
            minimum = self._stopping.minimum_improvement
            judge_networks(
                states, self._constants, self._program, minimum, epoch, values, active, better, stopped
            )
        return better, stopped

    def reached(self, row: Mapping[str, np.ndarray], active: np.ndarray) -> np.ndarray:
        """Return which networks have reached all goals."""
        met = active & bool(self._goals)
        for column, value in self._goals:
            met &= column.sign * row[column.name] <= column.sign * value
        return met

    @staticmethod
    def best_epochs(states: np.ndarray) -> np.ndarray:
        """Return the best epoch of each network; 0 if there is none."""
        return states[:, rules.BEST_EPOCH].astype(np.int64)


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
