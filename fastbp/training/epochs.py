"""What happens when an epoch ends: evaluation, the history, the adaptive rate, early stopping, callbacks."""

import math
from dataclasses import dataclass, replace

import numpy as np

from fastbp.engine.run import Run
from fastbp.schedules import Adaptive, AdaptiveState, Constant, Schedule
from fastbp.training.callbacks import Callbacks
from fastbp.training.early_stopping import EarlyStopping, EarlyStoppingState, MonitoredColumn
from fastbp.training.stopping import Diverged, StopReason
from fastbp.training.validation import Evaluation

COLUMNS = ("loss", "learning_rate")
"""The first columns of every history, after the epoch and the step."""


NOT_BEGUN = EarlyStoppingState()


@dataclass(frozen=True, eq=False)
class EpochRecord:
    """What is known about the epochs that ended.

    It is replaced as a whole, so an exception never leaves it half changed.
    """

    n_epochs: int = 0
    early_stopping: EarlyStoppingState = NOT_BEGUN
    best_theta: np.ndarray | None = None
    adaptive: AdaptiveState | None = None


NO_EPOCH = EpochRecord()


class Epochs:
    """Does the work after every epoch, and keeps the history.

    The adaptive learning rate lives here: `record` holds its state, `prepare` and `end` give it to the run,
    and `schedule_from` returns earlier rates.

    Attributes
    ----------
    record : EpochRecord
    rows : float64[at least record.n_epochs, len(columns)]
        The history; rows beyond `record.n_epochs` mean nothing.
    columns : tuple of str
        The names of its columns.
    wanted : bool
        Whether there is anything to do after an epoch.
    """

    def __init__(
        self,
        run: Run,
        *,
        evaluation: Evaluation | None = None,
        adaptive: Adaptive | None = None,
        early_stopping: EarlyStopping | None = None,
        monitored: MonitoredColumn | None = None,
        callbacks: Callbacks | None = None,
    ):
        self._run, self._evaluation, self._adaptive = run, evaluation, adaptive
        self._early_stopping, self._monitored, self._callbacks = early_stopping, monitored, callbacks
        self.wanted = bool(evaluation or adaptive or early_stopping or callbacks)
        self.columns = COLUMNS + (evaluation.columns if evaluation else ())
        self.rows = np.empty((0, len(self.columns)))
        self.record = EpochRecord(adaptive=adaptive.start()) if adaptive else NO_EPOCH

    def prepare(self) -> None:
        """Before the first step: compile the evaluation, and set the learning rate."""
        if self._evaluation is not None:
            self._evaluation.prepare()
        if self.record.adaptive is not None:
            self._run.schedule = Constant(self.record.adaptive.rate)

    @property
    def last_loss(self) -> float:
        """The loss of the last epoch that ended."""
        return float(self.rows[self.record.n_epochs - 1, 0])

    @property
    def next_end(self) -> int:
        """The step at which the next epoch ends."""
        return (self.record.n_epochs + 1) * self._run.steps_per_epoch

    @property
    def stop_reason(self) -> StopReason | None:
        """Why the last epoch ends the run, or None if it does not."""
        stopping, record = self._early_stopping, self.record
        if stopping and record.early_stopping.stalled >= stopping.patience:
            return StopReason.EARLY_STOPPING
        if record.adaptive and record.adaptive.exhausted:
            return StopReason.LEARNING_RATE_EXHAUSTED
        return None

    def catch_up(self) -> None:
        """Count the epochs of a resumed run that have no row in the history.

        They exist if the run had no callbacks before, and has some now. Their losses are unknown. An epoch
        that ends at the present step is not counted: `end` is still to be called for it.
        """
        step, length = self._run.step, self._run.steps_per_epoch
        known, passed = self.record.n_epochs, step // length - (step % length == 0)
        if not self.wanted or known >= passed:
            return
        rows = np.full((passed - known, len(self.columns)), np.nan)
        last_steps = np.arange(known + 1, passed + 1) * length - 1
        rows[:, self.columns.index("learning_rate")] = self._run.schedule.at(last_steps)
        self.rows = np.concatenate([self.rows[:known], rows])
        self.record = replace(self.record, n_epochs=passed)

    def end(self) -> StopReason | None:
        """Do the work after an epoch; return why the run stops here, or None if it does not.

        All results are stored in one assignment, after the evaluation and before the callbacks. So an epoch
        whose evaluation was interrupted has not ended yet. It ends when the run is resumed.

        Raises
        ------
        Diverged
            If the epoch's loss or a parameter is not finite. Then, too, the epoch has not ended.
        """
        run, record, stopping = self._run, self.record, self._early_stopping
        epoch, theta, loss = record.n_epochs + 1, run.theta, run.epoch_loss
        if not (math.isfinite(loss) and run.is_finite()):
            raise Diverged
        row = {"loss": loss, "learning_rate": run.schedule.rate(run.step - 1)}
        if self._evaluation is not None:
            row |= self._evaluation.evaluate(theta)
        if len(self.rows) == record.n_epochs:
            more = np.empty((max(16, record.n_epochs), len(self.columns)))
            self.rows = np.concatenate([self.rows, more])
        self.rows[record.n_epochs] = list(row.values())

        new = EpochRecord(epoch, record.early_stopping, record.best_theta, record.adaptive)
        if stopping and self._monitored:
            value = self._monitored.sign * row[self._monitored.name]
            state = record.early_stopping.after_epoch(epoch, value, stopping.minimum_improvement)
            new = replace(new, early_stopping=state)
            if state.best_epoch == epoch and stopping.restore_best:
                new = replace(new, best_theta=theta)
        if self._adaptive and record.adaptive:
            new = replace(new, adaptive=self._adaptive.after_epoch(record.adaptive, loss))
        self.record = new
        if new.adaptive is not None:
            run.schedule = Constant(new.adaptive.rate)

        stopped = self._callbacks is not None and self._callbacks.call(epoch, run.step, row, theta)
        return self.stop_reason or (StopReason.CALLBACK if stopped else None)

    def schedule_from(self, step: int) -> tuple[Schedule, float]:
        """Return the learning rates from a step on, and the next step at which `Adaptive` changes them.

        Parameters
        ----------
        step : int
            A step that has been taken, or the present one.
        """
        record, length = self.record, self._run.steps_per_epoch
        if record.adaptive is None:
            return self._run.schedule, math.inf
        rates = self.rows[: record.n_epochs, self.columns.index("learning_rate")]
        rates = np.append(rates, record.adaptive.rate)[step // length :]
        changes = np.flatnonzero(rates != rates[0])
        change = (step // length + int(changes[0])) * length if changes.size else math.inf
        return Constant(float(rates[0])), change

    def history(self) -> dict[str, np.ndarray]:
        """Return the columns, with a row for each epoch that ended."""
        n_epochs = self.record.n_epochs
        epoch = np.arange(1, n_epochs + 1)
        columns = zip(self.columns, self.rows[:n_epochs].T.copy(), strict=True)
        return {"epoch": epoch, "step": epoch * self._run.steps_per_epoch} | dict(columns)
