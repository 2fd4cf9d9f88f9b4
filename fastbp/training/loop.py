"""The loop around every kernel: it advances a run chunk by chunk, and stops it."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NoReturn

import numpy as np

from fastbp.engine.run import Run
from fastbp.training.at_once import plain_result
from fastbp.training.epochs import Epochs
from fastbp.training.interrupts import Interrupts
from fastbp.training.keeping import CheckpointKeeper
from fastbp.training.lookout import Lookout, diverged_before
from fastbp.training.pace import ChunkLength, Pacing
from fastbp.training.progress import ProgressBar
from fastbp.training.result import TrainingResult
from fastbp.training.stopping import Diverged, Limits, Stopped, StopReason

ANSWER_SECONDS = 0.05
"""The longest computation that may follow Ctrl-C."""

EPOCHS_WORTH_A_LOOK = 200
"""A run of at least so many epochs evaluates the loss at its end, to see whether it is still finite.

That takes the time of a third of an epoch and some milliseconds: at most 0.3 % of such a run.
"""

LONG_CHUNK = 2.0
"""Python has a look after so many times the time of a chunk, if callbacks take longer than before."""


class Loop:
    """Advances a run to its end. However it ends, its parameters are then in the network.

    Parameters
    ----------
    run : Run
    theta : ndarray
        The network's parameters, as a view: a callback may make `network.theta` read-only.
    n_steps : int
    epochs : Epochs
    keeper : CheckpointKeeper or None
    resume : {"auto", True, False}
    progress : ProgressBar or None
    max_seconds : float or None
    interrupts : Interrupts
    pacing : Pacing
    begin_again : function or None
        See `Lookout`.
    """

    def __init__(
        self,
        run: Run,
        theta: np.ndarray,
        n_steps: int,
        *,
        epochs: Epochs,
        keeper: CheckpointKeeper | None = None,
        resume: bool | str = "auto",
        progress: ProgressBar | None = None,
        max_seconds: float | None = None,
        interrupts: Interrupts,
        pacing: Pacing,
        begin_again: Callable[[], Run] | None = None,
    ):
        self._run, self._theta, self._n_steps = run, theta, n_steps
        self._epochs, self._keeper, self._resume, self._progress = epochs, keeper, resume, progress
        self._is_plain = begin_again is not None and keeper is None and not epochs.wanted
        self._max_seconds = max_seconds or math.inf
        self._interrupts, self._clock = interrupts, pacing.clock
        self._limits = Limits(interrupts, pacing.clock)
        self._chunk = ChunkLength(pacing.first_chunk, pacing.chunk_seconds)
        self._lookout = Lookout(run, epochs.schedule_from, interrupts, self._limits, pacing, begin_again)

    @np.errstate(all="ignore")
    def train(self) -> TrainingResult:
        """Run the loop. Before it starts, Ctrl-C raises KeyboardInterrupt: this may take seconds."""
        run, epochs, keeper = self._run, self._epochs, self._keeper
        if keeper is not None:
            keeper.resume(self._resume)
        run.advance(run.step)  # compiles, or loads the compiled kernel; records the initial loss
        epochs.prepare()
        # A run of one chunk is checked once, at its end. If it was bad before, the search finds that.
        if not ((self._is_plain and self._n_steps <= self._chunk.steps) or run.is_finite()):
            raise diverged_before(0)
        self._lookout.start()
        if self._progress is not None:
            self._progress.start(run.step, self._n_steps)
        with self._interrupts:
            stop_reason, seconds, last_loss = self._train_and_leave_theta()
            if stop_reason is None:
                self._raise_divergence()
            if keeper is not None:
                keeper.write(stop_reason)
            result = self._result(stop_reason, seconds, last_loss)
            best = epochs.best_theta
            if best is not None:
                self._theta[:] = best
                loss = self._evaluated(stop_reason, best)
                result = replace(result, best_loss=math.nan if loss is None else loss)
        if self._interrupts.pressed:  # even after the last step: the caller must know
            return replace(result, stop_reason=StopReason.INTERRUPTED)
        return result

    def _train_and_leave_theta(self) -> tuple[StopReason | None, float, float | None]:
        """Train to the end, and in any case write the last finite parameters into the network.

        Returns
        -------
        (StopReason or None, float, float or None)
            Why the run ended, or None if it diverged; its seconds; the loss at the end, if it was evaluated.
        """
        run, keeper, diverged, last_loss = self._run, self._keeper, False, None
        started = self._clock()
        try:
            if keeper is not None:
                keeper.start()
                started = self._clock()  # a sync of the disk may take longer than a run
            # A callback may have interrupted a run just where it ended.
            ended = (keeper.stop_reason if keeper is not None else None) or self._epochs.stop_reason
            stop_reason = ended or self._advance_to_end(started)
            seconds = self._seconds_since(started)
            last_loss = self._loss_at_end(stop_reason)
            diverged = last_loss is not None and not math.isfinite(last_loss)
        except KeyboardInterrupt:
            stop_reason, seconds = StopReason.INTERRUPTED, self._seconds_since(started)
        except Diverged:
            diverged = True
        finally:
            sound = not diverged and run.is_finite()
            (run if sound else self._lookout.newest()).copy_theta_to(self._theta)
            if self._progress is not None:
                self._progress.close()
        return (stop_reason, seconds, last_loss) if sound else (None, 0.0, None)

    def _seconds_since(self, started: float) -> float:
        """Return the time of the run, including the time before it was resumed."""
        before = 0.0 if self._keeper is None else self._keeper.seconds
        return before + self._clock() - started

    def _advance_to_end(self, started: float) -> StopReason:
        """Return why the run ended; raise `Diverged` if a value is not finite any more."""
        run, epochs, keeper, lookout = self._run, self._epochs, self._keeper, self._lookout
        self._limits.deadline = started + self._max_seconds
        while True:
            step = run.step
            if self._interrupts.pressed:
                return StopReason.INTERRUPTED
            if epochs.wanted:
                if step == epochs.next_end:
                    epochs.end()
                if stop_reason := epochs.stop_reason:
                    return stop_reason
                if self._interrupts.pressed:
                    return StopReason.INTERRUPTED
            if step == self._n_steps:
                return StopReason.COMPLETED
            now = self._clock()
            if now >= self._limits.deadline:
                return StopReason.MAX_SECONDS
            keeps, looks = keeper is not None and keeper.is_due(now), lookout.is_due(now)
            if (keeps or looks) and not run.is_finite():
                raise Diverged
            if looks:
                lookout.look(self._loss_seconds())
            if keeper is not None and keeps:
                keeper.write()
            self._advance_a_chunk(step, self._next_stop())
            if self._progress is not None:
                self._progress.update(run.step, self._last_loss())

    def _next_stop(self) -> int:
        """Return the latest step at which the kernel must return to the loop."""
        stop = self._n_steps
        if self._epochs.wanted and not self._epochs.watch.is_attached:
            stop = min(stop, self._epochs.next_end)
        return stop if self._keeper is None else int(min(stop, self._keeper.next_step))

    def _advance_a_chunk(self, before: int, limit: int) -> None:
        started, until, epochs = self._clock(), min(before + self._chunk.steps, limit), self._epochs
        if not epochs.watch.is_attached:
            self._run.advance(until, self._limits.is_over)
        elif not epochs.calls_back:
            epochs.advance(until, self._limits.is_over)
        else:
            self._limits.chunk_end = min(self._limits.deadline, started + LONG_CHUNK * self._chunk.seconds)
            with self._interrupts.in_settings():
                epochs.advance(until, self._limits.is_chunk_over)
        self._chunk.record(self._run.step - before, self._clock() - started)

    def _loss_seconds(self) -> float:
        """Return roughly the time of evaluating the loss over all samples."""
        return self._run.steps_per_epoch * self._chunk.step_seconds / 3

    def _last_loss(self) -> float | None:
        if self._epochs.wanted and len(self._epochs.rows):
            return self._epochs.last_loss
        return self._run.recorded[-1] if len(self._run.recorded) else None

    def _result(self, stop_reason: StopReason, seconds: float, last_loss: float | None) -> TrainingResult:
        result, epochs = plain_result(self._run, stop_reason, seconds, last_loss), self._epochs
        if not epochs.wanted:
            return result
        return replace(
            result, best_epoch=epochs.best_epoch or None, make_history=partial(dict, epochs.history())
        )

    def _is_recorded(self) -> bool:
        """Whether a loss was recorded at the present step."""
        steps = self._run.recorded_steps
        return len(steps) > 0 and steps[-1] == self._run.step

    def _loss_at_end(self, stop_reason: StopReason) -> float | None:
        """Return the loss at the present parameters, if it is wanted and Ctrl-C does not come before it.

        It is not wanted if an epoch's is recorded and the run was short, nor after Ctrl-C if it takes longer
        than anybody wants to wait now.
        """
        run = self._run
        short = run.step < EPOCHS_WORTH_A_LOOK * run.steps_per_epoch
        if (short or not run.records_means) and self._is_recorded():
            return None
        return self._evaluated(stop_reason)

    def _evaluated(self, stop_reason: StopReason, theta: np.ndarray | None = None) -> float | None:
        """Return the loss over all samples, at `theta` or as it is; None if Ctrl-C is pressed."""
        if stop_reason == StopReason.INTERRUPTED and 3 * self._loss_seconds() >= ANSWER_SECONDS:
            return None
        self._limits.deadline = math.inf
        try:
            return self._run.loss(self._limits.check, theta)
        except Stopped:
            return None

    def _raise_divergence(self) -> NoReturn:
        """Find the first bad step, leave the parameters from before it, and raise."""
        self._limits.deadline = math.inf
        before, bad_step = self._lookout.find_first_bad_step(self._chunk.steps)
        before.copy_theta_to(self._theta)
        raise self._lookout.error(before, bad_step, self._n_steps)
