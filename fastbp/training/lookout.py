"""Divergence: snapshots of a run to go back to, and the search for its first bad step."""

import math
from collections.abc import Callable

from fastbp.engine.run import Run
from fastbp.errors import DivergenceError
from fastbp.schedules import Schedule
from fastbp.training.interrupts import Interrupts
from fastbp.training.pace import Pacing
from fastbp.training.stopping import Limits, Stopped


class Lookout:
    """Takes snapshots of a run in which the kernel has seen only finite values.

    The loss of a sample may become infinite up to two epochs before the kernel visits that sample. So there
    are two snapshots: the newest one, and a proven one, at which the loss over all samples was finite. The
    search begins at the proven one if the loss at the newest one is not finite.

    A value that is not finite stays so, and a run repeats itself to the bit. So the search can halve the
    steps in question: it costs at most twice the work since the last snapshot. Before it is needed, snapshots
    cost next to nothing.

    Parameters
    ----------
    run : Run
    schedule_from : function
        Takes a step. Returns the learning rates from there on, and the step of their next change.
    begin_again : function or None
        Makes the run again, as it was before its first step. It must be None if others write into the
        network. With it, nothing is copied before the first snapshot is due.
    """

    def __init__(
        self,
        run: Run,
        schedule_from: Callable[[int], tuple[Schedule, float]],
        interrupts: Interrupts,
        limits: Limits,
        pacing: Pacing,
        begin_again: Callable[[], Run] | None = None,
    ):
        self._run, self._schedule_from, self._pacing = run, schedule_from, pacing
        self._interrupts, self._limits, self._begin_again = interrupts, limits, begin_again
        self._newest: Run | None = None
        self._proven: Run | None = None
        self._spare: Run | None = None
        self._proof_seconds = 0.0

    def start(self) -> None:
        """Begin to look out before the first step, with a snapshot unless `begin_again` can make one."""
        started = self._pacing.clock()
        self._first_step = self._run.step
        if self._begin_again is None:
            self._newest = self._proven = self._run.snapshot()
        self._set_due(started)
        self._proven_at = self._due - self._pacing.snapshot_seconds

    def newest(self) -> Run:
        """Return the newest snapshot."""
        if self._newest is None:
            assert self._begin_again is not None
            self._newest = self._proven = self._begin_again()
            self._newest.advance(self._first_step)  # records the initial loss
        return self._newest

    def is_due(self, now: float) -> bool:
        """Whether it is time for a snapshot."""
        return now >= self._due

    def look(self, loss_seconds: float) -> None:
        """Take a snapshot; now and then, prove it by the loss over all samples.

        It is written over an older one: fresh memory may cost ten times as much as the copy.

        Parameters
        ----------
        loss_seconds : float
            Roughly the time that evaluating the loss takes.
        """
        clock = self._pacing.clock
        started = clock()
        room = self._spare if self.newest() is self._proven else self._newest
        self._newest = self._run.snapshot(room)
        self._set_due(started)
        taken_at = clock()
        proof_seconds = max(self._proof_seconds, loss_seconds)
        if taken_at - self._proven_at > proof_seconds / self._pacing.snapshot_fraction:
            if self._is_loss_finite():
                self._spare, self._proven = self._proven, self._newest
            self._proven_at = clock()
            self._proof_seconds = self._proven_at - taken_at

    def _set_due(self, started: float) -> None:
        ended = self._pacing.clock()
        between = max(self._pacing.snapshot_seconds, (ended - started) / self._pacing.snapshot_fraction)
        self._due = ended + between

    def _is_loss_finite(self) -> bool:
        """Whether the loss over all samples is finite; False if the run must stop before that is known."""
        try:
            return math.isfinite(self._run.loss(self._limits.check))
        except Stopped:
            return False

    def find_first_bad_step(self, chunk_steps: int) -> tuple[Run, int]:
        """Find the first step after which something is not finite, by bisection.

        Ctrl-C raises KeyboardInterrupt here. It is checked at least every `chunk_steps` steps.

        Returns
        -------
        (Run, int)
            The run as it was before that step, and the step. If the run was bad where it began, they are
            the run there and its own step.
        """
        good, bad_step = self.newest(), self._run.step
        assert self._proven is not None
        if not self._is_sound(good):
            good = self._proven
            if good.step == self._first_step and not self._is_sound(good):
                return good, good.step
        while bad_step - good.step > 1:
            middle = good.snapshot()
            middle.schedule, change = self._schedule_from(good.step)
            until = int(min((good.step + bad_step) // 2, good.step + chunk_steps, change))
            middle.advance(until, lambda: self._interrupts.pressed)
            if self._is_sound(middle):
                good = middle
            else:
                bad_step = middle.step
        return good, bad_step

    def error(self, before: Run, bad_step: int, n_steps: int) -> DivergenceError:
        """Return the error that tells the user what `find_first_bad_step` found."""
        if bad_step == before.step:
            return diverged_before(bad_step)
        return divergence(bad_step, n_steps, self._schedule_from(before.step)[0].rate(before.step))

    def _is_sound(self, run: Run) -> bool:
        """Whether everything is finite, the loss over all samples included."""
        self._interrupts.check()
        sound = run.is_finite() and math.isfinite(run.loss(self._interrupts.check))
        self._interrupts.check()  # Ctrl-C during the evaluation counts, too
        return sound


def divergence(bad_step: int, n_steps: int, rate: float) -> DivergenceError:
    """Return the error that names the first bad step, counted from 1."""
    return DivergenceError(
        f"step {bad_step} of {n_steps} made a parameter or the loss infinite or NaN, "
        f"at learning rate {rate:g}; the network holds the parameters from after step {bad_step - 1}. "
        "Try a smaller learning rate, or scale the inputs and targets",
        bad_step,
    )


def diverged_before(step: int) -> DivergenceError:
    """Return the error for values that were not finite before the first step of this call."""
    if step == 0:
        return DivergenceError(
            "before training, a parameter or the loss is not finite; "
            "check the initial weights, and the size of the inputs and targets",
            0,
        )
    return DivergenceError(
        f"the loss was infinite or NaN already at step {step}, from which the run was resumed; "
        "resume=False starts a new run. Try a smaller learning rate, or scale the inputs and targets",
        step,
    )
