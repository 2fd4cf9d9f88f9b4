"""The loop around a run of a population: it advances the run chunk by chunk, and stops it."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fastbp.populations.looks import Looks
from fastbp.populations.members import ACTIVE, REASONS, Members
from fastbp.populations.monitors import RulesOfNetworks
from fastbp.populations.population_result import PopulationResult
from fastbp.training.interrupts import Interrupts
from fastbp.training.keeping import Keeper
from fastbp.training.loop import ANSWER_SECONDS
from fastbp.training.pace import ChunkLength, Pacing
from fastbp.training.progress import ProgressBar
from fastbp.training.stopping import Limits, Stopped, StopReason

QUICK_BYTES = 2**25
"""The most parameters that are put into lanes for an evaluation after Ctrl-C: some milliseconds' worth."""

Losses = Callable[[np.ndarray, Callable[[], None]], np.ndarray]


@dataclass(frozen=True, eq=False)
class FinalLosses:
    """Functions of the parameters at the end: the losses over the training and the validation data.

    They call their second argument every few milliseconds.
    """

    training: Losses
    validation: Losses | None


class PopulationLoop:
    """Advances a run to its end. However it ends, its parameters are then in the population.

    Parameters
    ----------
    members : Members
    theta : ndarray, shape (n_networks, n_parameters)
        The population's parameters.
    n_steps : int
    looks : Looks
    final_losses : FinalLosses
    keeper : Keeper or None
    resume : {"auto", True, False}
    progress : ProgressBar or None
    max_seconds : float or None
    interrupts : Interrupts
    pacing : Pacing
    """

    def __init__(
        self,
        members: Members,
        theta: np.ndarray,
        n_steps: int,
        *,
        looks: Looks,
        final_losses: FinalLosses,
        keeper: Keeper | None = None,
        resume: bool | str = "auto",
        progress: ProgressBar | None = None,
        max_seconds: float | None = None,
        interrupts: Interrupts,
        pacing: Pacing,
    ):
        self._members, self._theta, self._n_steps, self._looks = members, theta, n_steps, looks
        self._final_losses, self._keeper, self._resume = final_losses, keeper, resume
        self._progress, self._max_seconds = progress, max_seconds or math.inf
        self._interrupts, self._clock = interrupts, pacing.clock
        self._limits = Limits(interrupts, pacing.clock)
        self._chunk = ChunkLength(pacing.first_chunk, pacing.chunk_seconds)

    @np.errstate(all="ignore")
    def train(self) -> PopulationResult:
        """Run the loop. Before it starts, Ctrl-C raises KeyboardInterrupt: this may take seconds."""
        members, keeper = self._members, self._keeper
        if keeper is not None:
            keeper.resume(self._resume)
        self._looks.prepare()
        members.advance(members.step, self._limits.is_over)  # compiles, or loads the compiled kernel
        if self._progress is not None:
            self._progress.start(members.step, self._n_steps)
        with self._interrupts:
            stop_reason, seconds = self._train_and_leave_theta()
            if keeper is not None:
                keeper.write(stop_reason)
            return self._result(stop_reason, seconds)

    def _train_and_leave_theta(self) -> tuple[StopReason, float]:
        """Train to the end, and in any case write the parameters into the population."""
        keeper = self._keeper
        started = self._clock()
        try:
            if keeper is not None:
                keeper.start()
                started = self._clock()  # a sync of the disk may take longer than a run
            ended = keeper.stop_reason if keeper is not None else None
            stop_reason = ended or self._advance_to_end(started)
        except KeyboardInterrupt:
            stop_reason = StopReason.INTERRUPTED
        finally:
            seconds = (0.0 if keeper is None else keeper.seconds) + self._clock() - started
            self._members.find_diverged()
            self._members.copy_theta_to(self._theta)
            if self._progress is not None:
                self._progress.close()
        return stop_reason, seconds

    def _advance_to_end(self, started: float) -> StopReason:
        """Return why the run ended for those networks that did not end before."""
        members, looks, keeper = self._members, self._looks, self._keeper
        self._limits.deadline = started + self._max_seconds
        while True:
            step = members.step
            if self._interrupts.pressed:
                return StopReason.INTERRUPTED
            if step == looks.next_end:
                goes_on = looks.end()
                if self._interrupts.pressed:
                    return StopReason.INTERRUPTED
                if not goes_on:
                    return StopReason.COMPLETED
            if step == self._n_steps:
                return StopReason.COMPLETED
            now = self._clock()
            if now >= self._limits.deadline:
                return StopReason.MAX_SECONDS
            if keeper is not None and keeper.is_due(now):
                keeper.write()
            self._advance_a_chunk(step)
            goes_on = looks.take_recorded()
            if self._progress is not None:
                self._progress.update(members.step, self._best_loss())
            if not goes_on:
                return StopReason.COMPLETED

    def _advance_a_chunk(self, before: int) -> None:
        stop = min(before + self._chunk.steps, self._looks.next_end, self._n_steps)
        if self._keeper is not None:
            stop = int(min(stop, self._keeper.next_step))
        started = self._clock()
        self._members.advance(stop, self._limits.is_over)
        self._chunk.record(self._members.step - before, self._clock() - started)

    def _best_loss(self) -> float | None:
        rows = self._looks.rows
        losses = rows[-1][1]["loss"] if rows else np.empty(0)
        losses = losses[~np.isnan(losses)]
        return float(losses.min()) if losses.size else None

    def _result(self, stop_reason: StopReason, seconds: float) -> PopulationResult:
        members, record = self._members, self._looks.record
        reasons, n_steps = members.reasons, members.n_steps()
        diverged = reasons == REASONS.index(StopReason.DIVERGED)
        best_epoch, restored = None, np.zeros(len(members), bool)
        if record.rules is not None:
            best_epoch = RulesOfNetworks.best_epochs(record.rules)
            if record.best_theta is not None:
                restored = best_epoch > 0
                self._theta[restored] = record.best_theta[restored]
        loss, validation_loss = self._losses_at_end()
        for losses in (loss, validation_loss):
            if losses is not None:
                losses[diverged & ~restored] = np.nan
        return PopulationResult(
            loss,
            validation_loss,
            n_steps,
            members.diverged_at,
            best_epoch,
            seconds,
            members.run.name,
            self._interrupts.pressed,
            make_history=self._looks.history(),
            reasons=np.where(reasons == ACTIVE, REASONS.index(stop_reason), reasons),
        )

    def _losses_at_end(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the losses at the present parameters; NaN if Ctrl-C was pressed and they take long."""
        final, answer_at = self._final_losses, math.inf
        unknown = np.full(len(self._members), np.nan)

        def check() -> None:
            """Give up soon after Ctrl-C."""
            nonlocal answer_at
            if self._interrupts.pressed:
                now = self._clock()
                answer_at = min(answer_at, now + ANSWER_SECONDS)
                if now >= answer_at or self._theta.nbytes > QUICK_BYTES:
                    raise Stopped

        try:
            check()
            loss = final.training(self._theta, check)
            if final.validation is None:
                return loss, None
            return loss, final.validation(self._theta, check)
        except Stopped:
            return unknown, None if final.validation is None else unknown.copy()
