"""The loop around every kernel: chunks, Ctrl-C, epochs, and the search for a run's first bad step."""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol, Self

import numpy as np

from fastbp.engine.kernel_options import KernelOptions
from fastbp.errors import DivergenceError
from fastbp.network import Network
from fastbp.training.epochs import Epochs
from fastbp.training.interrupts import Interrupts
from fastbp.training.keeping import Keeper
from fastbp.training.monitoring import MonitoringOptions
from fastbp.training.progress import ProgressBar, shows_progress
from fastbp.training.result import TrainingResult

CHUNK_SECONDS = 0.05
"""Work between two looks at Ctrl-C, which is not delivered inside compiled code."""

FIRST_CHUNK, FASTEST_GROWTH = 1, 16.0
"""Steps of a run's first chunk, as its pace is unknown, and how many times as many the next may have."""

ANSWER_SECONDS = 0.05
"""What may be computed after Ctrl-C."""

SNAPSHOT_SECONDS = 1.0
"""Work between two snapshots at least: what a search for the step of a divergence repeats."""

SNAPSHOT_SHARE = 0.002
"""The share of the time that looking for divergence and taking snapshots may cost; and proving them, too."""

EPOCHS_WORTH_A_LOOK = 200
"""Epochs of a run after which the loss is evaluated once more, to see that the last steps left it finite.

That takes the third of an epoch and some milliseconds, and so 0.3 % of such a run at most.
"""


class Run(Protocol):
    """What the loop needs of a run, whichever kernel it is on."""

    name: str
    steps_per_epoch: int
    haste: float
    """How many times shorter than `CHUNK_SECONDS` chunks are to be: their pace may suddenly drop."""
    records_means: bool
    """Whether a recorded loss is the mean over an epoch's steps, and not that of all samples after it."""
    learning_rate: float | None
    """If not None, it stands in for the schedule from the next call of `advance` on."""

    @property
    def step(self) -> int:
        """Steps taken."""

    @property
    def recorded(self) -> np.ndarray:
        """The losses recorded so far."""

    @property
    def recorded_steps(self) -> np.ndarray:
        """The steps at which they were recorded."""

    @property
    def epoch_loss(self) -> float:
        """The loss of the last epoch that ended, as the kernel knows it; finite before the first one ends."""

    @property
    def theta(self) -> np.ndarray:
        """A copy of the parameters, laid out as `Network.theta`."""

    def advance(self, until: int, is_stopped: Callable[[], bool] = lambda: False) -> None:
        """Train to step `until`; only ever called in one thread.

        `is_stopped` is asked in the middle of a long step: if so, `advance` returns there, and the step is
        not taken. The run keeps no reference to it, as that would keep the loop in memory, and so the run.
        """

    def loss(self, is_stopped: Callable[[], bool] = lambda: False) -> float:
        """Return the loss over all samples, at the present parameters; NaN if `is_stopped` meanwhile."""

    def is_finite(self) -> bool:
        """Whether no parameter is infinite or NaN, and no loss that the kernel saw: if not, it stays so."""

    def state(self) -> dict[str, np.ndarray]:
        """Return all that training changes, copied into arrays whose layout depends on no processor."""

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go to a state, of arrays that have the shapes and types of this run's: before the first step."""

    def is_possible(self) -> bool:
        """Whether a run could have come to this state: it is asked of arrays that were read from a file."""

    def snapshot(self, instead_of: Self | None = None) -> Self:
        """Return a copy that can be advanced on its own, in the memory of an older one, which is no more."""


class Loop:
    """Advances a run to its end, and leaves its parameters in the network however it ends."""

    def __init__(
        self,
        run: Run,
        network: Network,
        data: tuple[np.ndarray, np.ndarray],
        plan: KernelOptions,
        options: MonitoringOptions,
    ):
        self._run, self._network, self._plan, self._options = run, network, plan, options
        # What a callback does to the flags of `network.theta` must not be in the way at the end.
        self._theta = network.theta.view()
        self._interrupts = Interrupts()
        self._epochs = Epochs(run, network, data, plan, options, self._interrupts)
        self._keeper = Keeper(run, self._epochs, network, data, plan, options)
        self._chunk = FIRST_CHUNK
        self._step_seconds = 0.0
        self._deadline = math.inf

    @np.errstate(all="ignore")
    def train(self) -> TrainingResult:
        """Run the loop; what can take seconds before it starts is left to Ctrl-C as it is."""
        run = self._run
        self._keeper.resume()
        run.advance(run.step)  # compiles, or loads the compiled kernel; records the initial loss
        self._epochs.prepare()
        if not run.is_finite():
            raise _diverged_before(0)
        self._first_step = run.step
        started = time.perf_counter()
        self._good = self._proven = run.snapshot()
        self._spare: Run | None = None
        self._rates: list[tuple[int, float | None]] = [(run.step, run.learning_rate)]
        cost = time.perf_counter() - started
        self._progress = ProgressBar(shows_progress(self._options.progress), run.step, self._plan.n_steps)
        self._started = self._proved = time.perf_counter()
        self._proof = 0.0
        self._snapshot_due = self._started + max(SNAPSHOT_SECONDS, cost / SNAPSHOT_SHARE)
        with self._interrupts:
            stop_reason, last_loss = "failed", None
            try:
                self._keeper.start()
                self._started = time.perf_counter()  # a sync of the disk may take longer than a run
                # A callback may have interrupted a run just where it ended.
                ended = self._keeper.stop_reason or self._epochs.stop_reason
                stop_reason = ended or self._advance_to_end()
                seconds = self._keeper.seconds + time.perf_counter() - self._started
                self._deadline = math.inf
                last_loss = self._loss_at_end(stop_reason)
                if last_loss is not None and not math.isfinite(last_loss):
                    stop_reason = "diverged"
            except KeyboardInterrupt:
                stop_reason = "interrupted"
                seconds = self._keeper.seconds + time.perf_counter() - self._started
            finally:
                sound = stop_reason != "diverged" and run.is_finite()
                self._theta[:] = (run if sound else self._good).theta
                self._progress.close()
            if not sound:
                self._raise_divergence()
            self._keeper.write(stop_reason)
            result = self._result(stop_reason, seconds, last_loss)
            if self._epochs.ended.best_theta is not None:
                self._theta[:] = self._epochs.ended.best_theta
        if self._interrupts.pressed:  # be it after the last step: whoever called is to know
            return replace(result, stop_reason="interrupted")
        return result

    def _advance_to_end(self) -> str:
        """Return why the run ended: a `stop_reason`, or "diverged"."""
        run, epochs, n_steps = self._run, self._epochs, self._plan.n_steps
        self._deadline = self._started + (self._options.max_seconds or math.inf)
        while True:
            if self._interrupts.pressed:
                return "interrupted"
            if epochs.wanted and run.step == epochs.next_end:
                if stop_reason := epochs.end():
                    return stop_reason
                self._set_rate()
                if self._interrupts.pressed:
                    return "interrupted"
            if run.step == n_steps:
                return "completed"
            now = time.perf_counter()
            if now >= self._deadline:
                return "max_seconds"
            keep, take = self._keeper.is_due(now), now >= self._snapshot_due
            if (keep or take) and not run.is_finite():
                return "diverged"
            if take:
                self._take_snapshot()
            if keep:
                self._keeper.write()
            self._advance_a_chunk(self._next_stop())
            self._progress.update(run.step, self._last_loss())

    def _is_stopped(self) -> bool:
        return self._interrupts.pressed or time.perf_counter() >= self._deadline

    def _next_stop(self) -> int:
        """Return the step at which the loop has something to do at the latest."""
        next_end = self._epochs.next_end if self._epochs.wanted else math.inf
        return int(min(self._plan.n_steps, next_end, self._keeper.next_step))

    def _advance_a_chunk(self, limit: int) -> None:
        before, started = self._run.step, time.perf_counter()
        self._run.advance(min(before + self._chunk, limit), self._is_stopped)
        done, elapsed = self._run.step - before, time.perf_counter() - started
        # A rest of an epoch tells little about the pace, and a step that was not taken nothing.
        if done == self._chunk or (done and elapsed > CHUNK_SECONDS):
            wanted = CHUNK_SECONDS / self._run.haste
            self._chunk = max(1, int(done * min(FASTEST_GROWTH, wanted / max(elapsed, 1e-9))))
            self._step_seconds = elapsed / done

    def _take_snapshot(self) -> None:
        """Take a snapshot of a run of which all is finite that the kernel saw, and prove it now and then.

        That the loss of some sample became infinite, the kernel sees when it comes to that sample, up to two
        epochs later. So there are two snapshots: the newest, and one of which the loss over all samples was
        finite, to go back to if that of the newest is not. They are written over older ones, as fresh memory
        may cost ten times what the copy does.
        """
        started = time.perf_counter()
        room = self._spare if self._good is self._proven else self._good
        self._good = self._run.snapshot(room)
        ended = time.perf_counter()
        self._snapshot_due = ended + max(SNAPSHOT_SECONDS, (ended - started) / SNAPSHOT_SHARE)
        if ended - self._proved > max(self._proof, self._loss_seconds()) / SNAPSHOT_SHARE:
            if math.isfinite(self._run.loss(self._is_stopped)):
                self._spare, self._proven = self._proven, self._good
                self._rates = [rate for rate in self._rates if rate[0] > self._good.step]
                self._rates.insert(0, (self._good.step, self._good.learning_rate))
            self._proved = time.perf_counter()
            self._proof = self._proved - ended

    def _loss_seconds(self) -> float:
        """Return what evaluating the loss over all samples takes, roughly."""
        return self._run.steps_per_epoch * self._step_seconds / 3

    def _set_rate(self) -> None:
        """Give the run its adaptive rate."""
        adaptive = self._epochs.ended.adaptive
        if adaptive and adaptive.rate != self._run.learning_rate:
            self._run.learning_rate = adaptive.rate
            self._rates.append((self._run.step, adaptive.rate))

    def _last_loss(self) -> float | None:
        if self._epochs.wanted and self._epochs.ended.n_epochs:
            return self._epochs.last_loss
        return self._run.recorded[-1] if len(self._run.recorded) else None

    def _result(self, stop_reason: str, seconds: float, last_loss: float | None) -> TrainingResult:
        run, epochs = self._run, self._epochs
        losses, steps = run.recorded.copy(), run.recorded_steps
        if not self._is_recorded():
            losses = np.append(losses, math.nan if last_loss is None else last_loss)
            steps = np.append(steps, run.step)
        if epochs.wanted:
            history = epochs.history()
        else:
            rates = self._plan.schedule.at(np.maximum(steps - 1, 0))
            epoch = steps // run.steps_per_epoch
            history = {"epoch": epoch, "step": steps, "loss": losses, "learning_rate": rates}
        return TrainingResult(
            losses,
            steps,
            run.step,
            seconds,
            stop_reason,
            run.name,
            history,
            epochs.ended.watch.best_epoch or None,
        )

    def _is_recorded(self) -> bool:
        """Whether there is a loss of the present step."""
        steps = self._run.recorded_steps
        return len(steps) > 0 and steps[-1] == self._run.step

    def _loss_at_end(self, stop_reason: str) -> float | None:
        """Return the loss at the present parameters, if it is wanted.

        It is not if an epoch's is recorded and the run was short, and not after Ctrl-C if it takes longer
        than anybody wants to wait now.
        """
        run = self._run
        short = run.step < EPOCHS_WORTH_A_LOOK * run.steps_per_epoch
        if self._is_recorded() and (short or not run.records_means):
            return None
        if stop_reason == "interrupted" and 3 * self._loss_seconds() >= ANSWER_SECONDS:
            return None
        loss = run.loss(self._is_stopped)
        return None if self._interrupts.pressed and math.isnan(loss) else loss

    def _raise_divergence(self) -> None:
        """Find the first step after which something was not finite, by halving, and raise.

        What stopped being finite never is again, and a run repeats itself to the bit; so the
        search costs at most the work since the last snapshot twice, and looking for divergence costs
        next to nothing before it happens. No leap is longer than a chunk, for Ctrl-C.
        """
        good, bad_step, plan = self._good, self._run.step, self._plan
        self._deadline = math.inf
        if not self._is_sound(good):
            good = self._proven
            if good.step == self._first_step and not self._is_sound(good):
                self._theta[:] = good.theta
                raise _diverged_before(good.step)
        while bad_step - good.step > 1:
            middle = good.snapshot()
            middle.learning_rate, change = self._rate_after(good.step)
            stop = int(min((good.step + bad_step) // 2, good.step + self._chunk, change))
            middle.advance(stop, self._is_stopped)
            if self._is_sound(middle):
                good = middle
            else:
                bad_step = middle.step
        self._theta[:] = good.theta
        adaptive, _ = self._rate_after(good.step)
        rate = plan.schedule.rate(bad_step - 1) if adaptive is None else adaptive
        raise DivergenceError(
            f"step {bad_step} of {plan.n_steps} made a parameter or the loss infinite or NaN, "
            f"at learning rate {rate:g}; the network holds the parameters from after step {good.step}. "
            "Try a smaller learning rate, or scale the inputs and targets",
            bad_step,
        )

    def _is_sound(self, run: Run) -> bool:
        """Whether all is finite, the loss over all samples included."""
        self._interrupts.check()
        sound = run.is_finite() and math.isfinite(run.loss(self._is_stopped))
        self._interrupts.check()  # which would have made the loss NaN
        return sound

    def _rate_after(self, step: int) -> tuple[float | None, float]:
        """Return the adaptive rate after a step, if there is one, and the step of its next change."""
        passed = [rate for at, rate in self._rates if at <= step]
        return passed[-1], min((at for at, _ in self._rates if at > step), default=math.inf)


def _diverged_before(step: int) -> DivergenceError:
    if step == 0:
        return DivergenceError(
            "before training, a parameter or the loss is not finite; "
            "check the initial weights, and the size of the inputs and targets",
            0,
        )
    return DivergenceError(
        f"the loss was infinite or NaN already at step {step}, from which the run was resumed; "
        "resume=False starts anew. Try a smaller learning rate, or scale the inputs and targets",
        step,
    )
