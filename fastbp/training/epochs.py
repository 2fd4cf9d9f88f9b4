"""What happens when an epoch ends: evaluation, the history, the adaptive rate, early stopping, callbacks."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from fastbp.engine.kernel_options import KernelOptions
from fastbp.network import Network
from fastbp.schedules import AdaptiveState
from fastbp.training.early_stopping import Watch
from fastbp.training.evaluation import Evaluation
from fastbp.training.interrupts import Interrupts
from fastbp.training.monitoring import MonitoringOptions

if TYPE_CHECKING:
    from fastbp.training.loop import Run


@dataclass(eq=False)
class EpochState:
    """What a callback is told after an epoch.

    Attributes
    ----------
    epoch : int
        Epochs that have ended; 1 after the first.
    step, n_steps : int
        Steps taken, and steps of the whole run.
    loss : float
        The loss of this epoch, as in `TrainingResult.loss_curve`.
    validation_loss : float or None
        The loss over the validation data, if there are any, at the present parameters.
    metrics : dict of float
        The metrics by the names that they have in `TrainingResult.history`.
    learning_rate : float
        That of the last step.
    network : Network
        The network, with the present parameters, to look at: writing into it has no effect on the run.
    """

    epoch: int
    step: int
    n_steps: int
    loss: float
    validation_loss: float | None
    metrics: Mapping[str, float]
    learning_rate: float
    network: Network = field(repr=False)
    stopped: bool = field(default=False, repr=False)

    def stop(self) -> None:
        """End the run after this epoch."""
        self.stopped = True


@dataclass(frozen=True, eq=False)
class Ended:
    """What is known of the epochs that ended. It is replaced as a whole, so no exception can tear it."""

    n_epochs: int = 0
    watch: Watch = field(default_factory=Watch)
    best_theta: np.ndarray | None = None
    adaptive: AdaptiveState | None = None


class Epochs:
    """Does what is to be done after every epoch, and keeps what it found."""

    def __init__(
        self,
        run: "Run",
        network: Network,
        data: tuple[np.ndarray, np.ndarray],
        plan: KernelOptions,
        options: MonitoringOptions,
        interrupts: Interrupts,
    ):
        self._run, self._network, self._plan, self._options = run, network, plan, options
        self._theta = network.theta.view()
        self._interrupts = interrupts
        self._evaluated = options.validation_data or data
        self._validates = options.validation_data is not None
        prefix = "validation_" if self._validates else ""
        self._metric_columns = tuple(prefix + name for name in options.metrics)
        self.columns = (
            "loss",
            "learning_rate",
            *(("validation_loss",) * self._validates),
            *self._metric_columns,
        )
        self.rows = np.empty((16, len(self.columns)))
        self.ended = Ended(adaptive=plan.adaptive.start() if plan.adaptive else None)
        self.wanted = options.every_epoch or plan.adaptive is not None
        self._evaluation: Evaluation | None = None
        if self._validates or options.metrics:
            self._evaluation = Evaluation(network, interrupts)

    def prepare(self) -> None:
        """Compile what evaluates, before the first step."""
        if self._evaluation is not None:
            self._evaluation.prepare(*self._evaluated)
        if self.ended.adaptive is not None:
            self._run.learning_rate = self.ended.adaptive.rate

    @property
    def last_loss(self) -> float:
        """The loss of the last epoch that ended."""
        return float(self.rows[self.ended.n_epochs - 1, 0])

    @property
    def next_end(self) -> int:
        """The step at which the next epoch ends."""
        return (self.ended.n_epochs + 1) * self._run.steps_per_epoch

    @property
    def stop_reason(self) -> str | None:
        """Why there is no epoch after this one, if so."""
        stopping, ended = self._options.early_stopping, self.ended
        if stopping and ended.watch.stalled >= stopping.patience:
            return "early_stopping"
        return "learning_rate_exhausted" if ended.adaptive and ended.adaptive.exhausted else None

    def catch_up(self) -> None:
        """Count the epochs that nobody looked at: of a run that had no callbacks, and is resumed with some.

        Their losses are not known any more. An epoch that ends at the present step is still to be looked at.
        """
        step, length = self._run.step, self._run.steps_per_epoch
        known, passed = self.ended.n_epochs, step // length - (step % length == 0)
        if not self.wanted or known >= passed:
            return
        rows = np.full((passed - known, len(self.columns)), np.nan)
        last_steps = np.arange(known + 1, passed + 1) * length - 1
        rows[:, self.columns.index("learning_rate")] = self._plan.schedule.at(last_steps)
        self.rows = np.concatenate([self.rows[:known], rows, np.empty((16, len(self.columns)))])
        self.ended = replace(self.ended, n_epochs=passed)

    def end(self) -> str | None:
        """Do what an epoch's end asks for; return why the run stops here, if it does.

        All that is found is committed in one assignment, after the evaluation and before the callbacks. So an
        epoch whose evaluation was interrupted has not ended yet, and ends when the run is resumed.
        """
        run, options, ended = self._run, self._options, self.ended
        epoch, theta, loss = ended.n_epochs + 1, run.theta, run.epoch_loss
        if not (math.isfinite(loss) and run.is_finite()):
            return "diverged"
        row = {"loss": loss, "learning_rate": self._rate()} | self._evaluate(theta)
        if len(self.rows) == ended.n_epochs:
            self.rows = np.concatenate([self.rows, np.empty_like(self.rows)])
        self.rows[ended.n_epochs] = list(row.values())

        new = replace(ended, n_epochs=epoch)
        if options.early_stopping and options.monitor:
            value = options.monitor.sign * row[options.monitor.column]
            watch = ended.watch.after_epoch(epoch, value, options.early_stopping.minimum_improvement)
            new = replace(new, watch=watch)
            if watch.best_epoch == epoch and options.early_stopping.restore_best:
                new = replace(new, best_theta=theta)
        if self._plan.adaptive and ended.adaptive:
            new = replace(new, adaptive=self._plan.adaptive.after_epoch(ended.adaptive, loss))
        self.ended = new

        stopped = bool(options.callbacks) and self._call_back(theta, row)
        return self.stop_reason or ("callback" if stopped else None)

    def _rate(self) -> float:
        if self.ended.adaptive is not None:
            return self.ended.adaptive.rate
        return self._plan.schedule.rate(self._run.step - 1)

    def _evaluate(self, theta: np.ndarray) -> dict[str, float]:
        found: dict[str, float] = {}
        if self._evaluation is None:
            return found
        if self._validates:
            found["validation_loss"] = self._evaluation.loss(theta, *self._evaluated)
        if self._options.metrics:
            values = self._evaluation.metrics(theta, *self._evaluated, self._options.metrics)
            found |= zip(self._metric_columns, values, strict=True)
        return found

    def _call_back(self, theta: np.ndarray, row: dict[str, float]) -> bool:
        """Call all callbacks; return whether one of them stops the run."""
        state = EpochState(
            epoch=self.ended.n_epochs,
            step=self._run.step,
            n_steps=self._plan.n_steps,
            loss=row["loss"],
            validation_loss=row.get("validation_loss"),
            metrics={name: row[name] for name in self._metric_columns},
            learning_rate=row["learning_rate"],
            network=self._network,
        )
        for callback in self._options.callbacks:
            self._theta[:] = theta
            self._interrupts.call(callback, state)
        return state.stopped

    def history(self) -> dict[str, np.ndarray]:
        """Return the columns, with a row for each epoch that ended."""
        n_epochs = self.ended.n_epochs
        epoch = np.arange(1, n_epochs + 1)
        columns = zip(self.columns, self.rows[:n_epochs].T.copy(), strict=True)
        return {"epoch": epoch, "step": epoch * self._run.steps_per_epoch} | dict(columns)
