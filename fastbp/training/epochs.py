"""What happens when an epoch ends: evaluation, the history, the adaptive rate, goals and rules, callbacks."""

import math
from collections.abc import Callable

import numpy as np

from fastbp.engine.run import Run
from fastbp.engine.watch import Rules, Watch
from fastbp.kernels.rules import (
    BEST,
    BEST_EPOCH,
    GOAL,
    GOES_ON,
    N_CHANGING,
    N_SHARED,
    OUTCOME,
    PATIENCE,
    RULE,
    STRIP_EPOCHS,
)
from fastbp.schedules import Adaptive, AdaptiveState, Constant, Schedule
from fastbp.specification import Specification
from fastbp.training.callbacks import Callbacks
from fastbp.training.stopping import Diverged, StopReason
from fastbp.training.validation import Evaluation

COLUMNS = ("loss", "learning_rate")
"""The first columns of every history, after the epoch and the step."""

NO_RULES = Rules()

REASONS = {GOAL: StopReason.GOAL, RULE: StopReason.EARLY_STOPPING}


class Epochs:
    """Does the work after every epoch, or every k-th, and keeps the history.

    Compiled code does this work where it can: see `fastbp.kernels.epoch_ends`. Then Python is called for
    callbacks and the adaptive learning rate alone. Otherwise `end` does it. Both give the same bits.

    Attributes
    ----------
    watch : Watch
        Everything that is known about the epochs that ended, except the adaptive learning rate.
    columns : tuple of str
        The names of the columns of the history.
    wanted : bool
        Whether there is anything to do after an epoch.
    every : int
        Epochs between two rows of the history.
    calls_back : bool
        Whether there are callbacks.
    """

    def __init__(
        self,
        run: Run,
        specification: Specification,
        *,
        every: int = 1,
        columns: tuple[str, ...] = COLUMNS,
        rules: Rules = NO_RULES,
        evaluation: Evaluation | None = None,
        adaptive: Adaptive | None = None,
        callbacks: Callbacks | None = None,
    ):
        self._run, self.every, self._evaluation = run, every, evaluation
        self._adaptive, self._callbacks, self._rules = adaptive, callbacks, rules
        self.wanted = bool(evaluation or adaptive or rules.monitored >= 0 or rules.goals or callbacks)
        self.calls_back = callbacks is not None
        self.columns = columns
        self.watch = Watch(
            specification,
            len(columns),
            every,
            run.steps_per_epoch,
            rules,
            flat=evaluation.theta if evaluation else None,
            shows=bool(adaptive or callbacks),
        )
        self._flat = self.watch.flat.data
        self._adapted = (0, adaptive.start()) if adaptive else None
        self._is_stopped = False

    def prepare(self) -> None:
        """Before the first step: compile what is needed, and set the learning rate."""
        if not self.wanted:
            return
        if self._evaluation is not None:
            self._evaluation.prepare()
        self.watch.compile()
        self.watch.attach(self._run.watched(), self._evaluation.compiled() if self._evaluation else {})
        if self.adaptive is not None:
            self._run.schedule = Constant(self.adaptive.rate)

    # --- what is known -----------------------------------------------------------------------------------

    @property
    def rows(self) -> np.ndarray:
        """The rows of the history."""
        return self.watch.rows[: self.watch.n_rows]

    @property
    def last_loss(self) -> float:
        """The loss of the last epoch that has a row."""
        return float(self.rows[-1, 0])

    @property
    def best_epoch(self) -> int:
        """The best epoch, or 0."""
        return int(self.watch.state[BEST_EPOCH])

    @property
    def best_theta(self) -> np.ndarray | None:
        """The parameters of the best epoch, if they are kept and there is one."""
        return self.watch.best if self._rules.keeps_best and self.best_epoch else None

    @property
    def adaptive(self) -> AdaptiveState | None:
        """The state of the adaptive learning rate after the last row."""
        if self._adapted is None or self._adaptive is None:
            return None
        known, state = self._adapted
        for loss in self.rows[known:, 0]:
            state = self._adaptive.after_epoch(state, float(loss))
        self._adapted = self.watch.n_rows, state
        return state

    @property
    def next_end(self) -> int:
        """The step at which the next epoch ends after which there is something to do."""
        ended = self.watch.n_epochs
        epoch = ended + 1 if self._rules.sums_strips else (ended // self.every + 1) * self.every
        return epoch * self._run.steps_per_epoch

    @property
    def stop_reason(self) -> StopReason | None:
        """Why the last epoch ends the run, or None if it does not."""
        if outcome := self.watch.state.item(OUTCOME):
            return REASONS[int(outcome)]
        if self._adapted is not None and self.adaptive.exhausted:  # type: ignore[union-attr]
            return StopReason.LEARNING_RATE_EXHAUSTED
        return StopReason.CALLBACK if self._is_stopped else None

    # --- what checkpoints keep ---------------------------------------------------------------------------

    @property
    def remembers_more(self) -> bool:
        """Whether rules remember more than patience does."""
        rules = self._rules
        return bool(rules.goals or [code for code, _, _ in rules.constants] not in ([], [PATIENCE]))

    def patience_state(self) -> np.ndarray:
        """Return the best value (infinite before there is one), its epoch, and the evaluations since."""
        best, epoch = self.watch.state[BEST], self.watch.state[BEST_EPOCH]
        stalled = 0.0 if self.remembers_more or not self._rules.constants else self.watch.state[N_SHARED + 1]
        return np.array([best if epoch else math.inf, epoch, stalled])

    def restore(self, n_epochs: int, rows: np.ndarray, adaptive: AdaptiveState | None) -> None:
        """Go to a history that was saved."""
        self.watch.set_rows(np.array(rows, np.float64, order="C"))
        self.watch.counters[:] = len(rows), n_epochs
        if adaptive is not None:
            self._adapted = len(rows), adaptive

    def restore_rules(self, patience: np.ndarray, rules: np.ndarray | None, best: np.ndarray | None) -> bool:
        """Go to what rules remembered, after `restore`; return whether that can be."""
        state, (best_value, best_epoch, stalled) = self.watch.state, patience
        if rules is not None:
            state[:] = rules
            counts = state[N_SHARED + 1 :: N_CHANGING]
        else:
            counts = np.array([stalled])
            state[BEST], state[BEST_EPOCH] = best_value if best_epoch else math.nan, best_epoch
            if self._rules.constants:
                _, most, _ = self._rules.constants[0]
                state[N_SHARED : N_SHARED + 2], state[OUTCOME] = (
                    (state[BEST], stalled),
                    RULE if stalled >= most else 0,
                )
        if best is not None and self._rules.keeps_best:
            self.watch.best[:] = best
        n_epochs = self.watch.n_epochs
        return bool(
            0 <= state[BEST_EPOCH] <= n_epochs
            and state[BEST_EPOCH] % self.every == 0
            and ((counts >= 0) & (counts <= n_epochs)).all()
            and state[OUTCOME] in (GOES_ON, GOAL, RULE)
            and 0 <= state[STRIP_EPOCHS] < self.every
            and (best is not None or not (self._rules.keeps_best and state[BEST_EPOCH]))
        )

    def catch_up(self) -> None:
        """Count the epochs of a resumed run that have no row in the history.

        They exist if the run had no callbacks before, and has some now. Their losses are unknown. An epoch
        that ends at the present step is not counted: `end` is still to be called for it.
        """
        step, length = self._run.step, self._run.steps_per_epoch
        passed = step // length - (step % length == 0)
        if not self.wanted or self.watch.n_epochs >= passed:
            return
        known, n_rows = self.watch.n_rows, passed // self.every
        rows = np.full((n_rows, len(self.columns)), np.nan)
        last_steps = np.arange(1, n_rows + 1) * self.every * length - 1
        rows[:, self.columns.index("learning_rate")] = self._run.schedule.at(last_steps)
        rows[:known] = self.rows
        self.restore(passed, rows, self.adaptive)

    # --- the end of an epoch -----------------------------------------------------------------------------

    def end(self) -> None:
        """Do the work after an epoch.

        The results are stored by one call of compiled code, after the evaluation and before the callbacks. So
        an epoch whose evaluation was interrupted has not ended yet. It ends when the run is resumed.

        Raises
        ------
        Diverged
            If the epoch's loss or a parameter is not finite. Then, too, the epoch has not ended.
        """
        run, loss = self._run, self._run.epoch_loss
        if not (math.isfinite(loss) and run.is_finite()):
            raise Diverged
        epoch = run.step // run.steps_per_epoch
        if epoch % self.every:
            self.watch.count(epoch, loss)
            return
        theta = run.theta
        row = {"loss": loss, "learning_rate": run.schedule.rate(run.step - 1)}
        if self._evaluation is not None:
            row |= self._evaluation.evaluate(theta)
        self.watch.settle(epoch, list(row.values()), theta)
        if self._adaptive or self._callbacks:
            self._show()

    def advance(self, until: int, is_stopped: Callable[[], bool]) -> None:
        """Advance the run to a step, with the work after the epochs that end; see `Run.advance`.

        Raises
        ------
        Diverged
            If a value is not finite at the end of an epoch.
        """
        self.watch.show = self._show
        try:
            self._run.advance(until, is_stopped, self.watch)
        finally:
            self.watch.show = None  # else a cycle, which keeps the run in memory
        if self.watch.has_diverged:
            raise Diverged

    def _show(self) -> bool:
        """Adapt the learning rate, and call the callbacks; return whether training just goes on."""
        run, watch, is_adapted = self._run, self.watch, False
        adaptive = self.adaptive if self._adaptive else None  # a property takes a while, and is seldom needed
        if adaptive is not None and adaptive.rate != run.schedule.rate(0):
            run.schedule, is_adapted = Constant(adaptive.rate), True
        if self._callbacks is not None:
            epoch, row = watch.last()
            self._is_stopped |= self._callbacks.call(epoch, epoch * run.steps_per_epoch, row, self._flat)
        return not is_adapted and self.stop_reason is None

    def schedule_from(self, step: int) -> tuple[Schedule, float]:
        """Return the learning rates from a step on, and the next step at which `Adaptive` changes them.

        Parameters
        ----------
        step : int
            A step that has been taken, or the present one.
        """
        length = self._run.steps_per_epoch * self.every
        if self.adaptive is None:
            return self._run.schedule, math.inf
        rates = np.append(self.rows[:, self.columns.index("learning_rate")], self.adaptive.rate)[
            step // length :
        ]
        changes = np.flatnonzero(rates != rates[0])
        change = (step // length + int(changes[0])) * length if changes.size else math.inf
        return Constant(float(rates[0])), change

    def history(self) -> dict[str, np.ndarray]:
        """Return the columns, with a row for each epoch that has one."""
        epoch = np.arange(1, self.watch.n_rows + 1) * self.every
        columns = zip(self.columns, self.rows.T.copy(), strict=True)
        return {"epoch": epoch, "step": epoch * self._run.steps_per_epoch} | dict(columns)
