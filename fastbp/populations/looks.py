"""What happens when an epoch of a population ends: evaluation, history, early stopping, callbacks."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from fastbp.populations.members import Members
from fastbp.populations.monitors import AdaptiveStates, MetricsOfNetworks, RulesOfNetworks
from fastbp.populations.population_callbacks import PopulationCallbacks, PopulationState
from fastbp.schedules import Adaptive
from fastbp.training.stopping import StopReason

MOST_LOOKS, FEWEST_LOOKS = 1000, 8
LOOK_NUMBERS = 2**23
"""Numbers in a column of the history: 64 MB."""


def epochs_between_looks(n_epochs: int, n_networks: int) -> int:
    """Return how many epochs one row of the history stands for.

    Examples
    --------
    >>> epochs_between_looks(500, 1000), epochs_between_looks(5000, 1000)
    (1, 5)
    >>> epochs_between_looks(250, 1_000_000)
    32
    """
    most = min(MOST_LOOKS, max(FEWEST_LOOKS, LOOK_NUMBERS // n_networks))
    return max(1, -(-n_epochs // most))


@dataclass(frozen=True, eq=False)
class LookRecord:
    """What is known about the epochs that ended. It is replaced as a whole."""

    n_epochs: int = 0
    rules: np.ndarray | None = None
    adaptive: AdaptiveStates | None = None
    best_theta: np.ndarray | None = None


class Looks:
    """Does the work after an epoch, or every k-th, and keeps the history.

    Parameters
    ----------
    members : Members
    n_steps : int
        Steps of the whole run.
    every : int
        Epochs between two evaluations.
    rules : RulesOfNetworks
    validation_losses : function or None
        Returns the losses of the run's networks over the validation data.
    metrics : MetricsOfNetworks or None
    adaptive : Adaptive or None
    rates : float64[n_networks]
        The learning rates at the start, which `adaptive` changes.
    callbacks : PopulationCallbacks or None
    make_population : function
        Returns the population at given parameters, for callbacks.

    Attributes
    ----------
    record : LookRecord
    rows : list of (int, dict of ndarray)
        The rows of the history: an epoch, and values for all networks by the name of their column.
    """

    def __init__(
        self,
        members: Members,
        n_steps: int,
        *,
        every: int,
        rules: RulesOfNetworks,
        validation_losses: Callable[[], np.ndarray] | None = None,
        metrics: MetricsOfNetworks | None = None,
        adaptive: Adaptive | None = None,
        rates: np.ndarray,
        callbacks: PopulationCallbacks | None = None,
        make_population: Callable[[np.ndarray], Any],
    ):
        self._members, self._n_steps, self._every, self._rules = members, n_steps, every, rules
        self._validation_losses, self._metrics, self._adaptive = validation_losses, metrics, adaptive
        self._callbacks, self._make_population = callbacks, make_population
        self._n_epochs = n_steps // members.steps_per_epoch
        self._wanted = any((rules.wanted, validation_losses, metrics, adaptive, callbacks))
        self._every = every if self._wanted else 1
        self._looks_a_row = epochs_between_looks(self._n_epochs // self._every, len(members))
        self._is_recorded = not self._wanted and members.run.records_losses
        self.columns = ("loss",) + ("validation_loss",) * (validation_losses is not None)
        self.columns += metrics.columns if metrics is not None else ()
        self.columns += ("learning_rate",) * (adaptive is not None)
        self.rows: list[tuple[int, dict[str, np.ndarray]]] = []
        self.record = LookRecord(
            rules=rules.begin(len(members)), adaptive=AdaptiveStates.before(rates) if adaptive else None
        )

    def prepare(self) -> None:
        """Set the learning rates before the first step, if they are adaptive; let the run record losses."""
        if self._is_recorded:
            self._members.run.record_losses(self._looks_a_row, self._n_epochs)
        if self.record.adaptive is not None:
            self._members.run.learning_rates = self.record.adaptive.rate[self._members.numbers]

    @property
    def next_end(self) -> int:
        """The step at which the next epoch ends after which there is something to do."""
        length = self._members.steps_per_epoch
        first = max(self.record.n_epochs + 1, -(-self._members.step // length))
        if self._wanted:
            unit = 1 if self._rules.needs_strips else self._every
            return -(-first // unit) * unit * length
        if self._is_recorded:
            return max(first, self._n_epochs) * length
        wanted = -(-first // self._looks_a_row) * self._looks_a_row
        return max(first, min(wanted, self._n_epochs)) * length

    def take_recorded(self) -> bool:
        """Take the losses that the run has recorded; return whether a network is still trained."""
        members = self._members
        if not self._is_recorded:
            return True
        epochs, losses = members.take_losses()
        self.rows += [(epoch, {"loss": row}) for epoch, row in zip(epochs.tolist(), losses, strict=True)]
        self.record = replace(self.record, n_epochs=members.step // members.steps_per_epoch)
        members.find_diverged()
        return bool(members.active.any())

    def end(self) -> bool:
        """Do the work after an epoch; return whether a network is still trained.

        All results are stored after the evaluation and before the callbacks. So an epoch whose evaluation was
        interrupted has not ended yet.
        """
        members, record = self._members, self.record
        epoch = members.step // members.steps_per_epoch
        members.find_diverged()
        active = members.active
        losses = members.spread(members.run.losses())
        if not self._wanted:
            self.record = replace(record, n_epochs=epoch)
            self.rows.append((epoch, {"loss": losses}))
            return bool(active.any())
        states = None if record.rules is None else record.rules.copy()
        self._rules.after_epoch(states, losses, active)
        new = replace(record, n_epochs=epoch, rules=states)
        if epoch % self._every:
            self.record = new
            return bool(active.any())
        row = {"loss": losses}
        if self._validation_losses is not None:
            row["validation_loss"] = members.spread(self._validation_losses())
        if self._metrics is not None:
            found = self._metrics.evaluate(members.run.theta, members.numbers)
            row |= {column: members.spread(values) for column, values in found.items()}
        if record.adaptive is not None and self._adaptive is not None:
            row["learning_rate"] = np.where(active, record.adaptive.rate, np.nan)
            new = replace(new, adaptive=record.adaptive.after_epoch(self._adaptive, losses, active))
        better, stopped = self._rules.judge(states, epoch, row, active)
        self.record = self._with_best(new, better)
        members.end(self._rules.reached(row, active), StopReason.GOAL)
        members.end(stopped, StopReason.EARLY_STOPPING)
        if new.adaptive is not None:
            members.end(new.adaptive.exhausted, StopReason.LEARNING_RATE_EXHAUSTED)
        look, last = epoch // self._every, self._n_epochs // self._every
        if look % self._looks_a_row == 0 or look == last:
            self.rows.append((epoch, row))
        if self._callbacks is not None:
            self._call(epoch, row)
        if not members.active.any() and (not self.rows or self.rows[-1][0] < epoch):
            self.rows.append((epoch, row))
        members.pack()
        self.prepare()
        return bool(members.active.any())

    def _with_best(self, new: LookRecord, better: np.ndarray) -> LookRecord:
        """Return the record with the parameters of the networks that are better than before."""
        if not self._rules.keeps_best or not better.any():
            return new
        members, best = self._members, new.best_theta
        rows, theta = better[members.numbers], members.run.theta
        if best is None:
            best = np.zeros((len(members), theta.shape[1]), theta.dtype)
        best[members.numbers[rows]] = theta[rows]
        return replace(new, best_theta=best)

    def _call(self, epoch: int, row: dict[str, np.ndarray]) -> None:
        members, callbacks = self._members, self._callbacks
        assert callbacks is not None
        own = ("loss", "validation_loss", "learning_rate")
        state = PopulationState(
            epoch=epoch,
            step=members.step,
            n_steps=self._n_steps,
            loss=row["loss"].copy(),
            validation_loss=row["validation_loss"].copy() if "validation_loss" in row else None,
            metrics={name: values.copy() for name, values in row.items() if name not in own},
            active=members.active,
            make_population=lambda: self._make_population(members.theta()),
            stopped=np.zeros(len(members), bool),
        )
        members.end(callbacks.call(state), StopReason.CALLBACK)

    def history(self) -> Callable[[], dict[str, np.ndarray]]:
        """Return a function that makes the columns of the history; it keeps the rows, and nothing else."""
        length, n_networks = self._members.steps_per_epoch, len(self._members)
        return partial(_columns, self.columns, tuple(self.rows), length, n_networks)


def _columns(
    names: tuple[str, ...],
    rows: tuple[tuple[int, dict[str, np.ndarray]], ...],
    steps_per_epoch: int,
    n_networks: int,
) -> dict[str, np.ndarray]:
    epochs = np.array([epoch for epoch, _ in rows], np.int64)
    shape = len(rows), n_networks
    columns = {name: np.array([row[name] for _, row in rows]).reshape(shape) for name in names}
    return {"epoch": epochs, "step": epochs * steps_per_epoch, **columns}
