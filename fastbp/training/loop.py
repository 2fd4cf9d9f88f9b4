"""The loop around every kernel: chunks, Ctrl-C, and the search for the step at which a run diverged."""

import time
from typing import Protocol, Self

import numpy as np

from fastbp.errors import DivergenceError
from fastbp.network import Network
from fastbp.training.plan import Plan
from fastbp.training.result import TrainingResult

CHUNK_SECONDS = 0.05
"""Work between two looks at Ctrl-C, which is not delivered inside compiled code."""

SNAPSHOT_SECONDS = 1.0
"""Work between two snapshots: what a search for the step of a divergence repeats."""


class Run(Protocol):
    """What the loop needs of a run, whichever kernel it is on."""

    name: str
    first_chunk: int
    """Steps that surely take less than `CHUNK_SECONDS`."""

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
    def theta(self) -> np.ndarray:
        """The parameters, laid out as `Network.theta`."""

    def advance(self, until: int) -> None:
        """Train to step `until`."""

    def loss(self) -> float:
        """Return the loss over all samples, at the present parameters."""

    def snapshot(self) -> Self:
        """Return a copy that can be advanced on its own."""


def train_in_chunks(run: Run, network: Network, plan: Plan) -> TrainingResult:
    """Advance the run to its end, and leave its parameters in the network however it ends."""
    run.advance(0)  # compiles, or loads the compiled kernel; records the initial loss
    if not _finite(run):
        raise DivergenceError(
            "before training, a parameter or the loss is not finite; "
            "check the initial weights, and the size of the inputs and targets",
            0,
        )
    started = time.perf_counter()
    stop_reason = "completed"
    good = run.snapshot()
    chunk = run.first_chunk
    snapshot_taken = started
    try:
        while run.step < plan.n_steps and _finite(run):
            chunk_started = time.perf_counter()
            if chunk_started - snapshot_taken > SNAPSHOT_SECONDS:
                good, snapshot_taken = run.snapshot(), chunk_started
            run.advance(min(run.step + chunk, plan.n_steps))
            elapsed = time.perf_counter() - chunk_started
            chunk = max(1, int(chunk * min(16.0, CHUNK_SECONDS / max(elapsed, 1e-9))))
    except KeyboardInterrupt:
        stop_reason = "interrupted"
    finally:
        network.theta[:] = (run if _finite(run) else good).theta
    if not _finite(run):
        _raise_divergence(good, run.step, chunk, network, plan)
    seconds = time.perf_counter() - started
    losses, steps = run.recorded.copy(), run.recorded_steps
    if len(steps) == 0 or steps[-1] != run.step:
        losses, steps = np.append(losses, run.loss()), np.append(steps, run.step)
    return TrainingResult(losses, steps, run.step, seconds, stop_reason, run.name)


def _finite(run: Run) -> bool:
    return bool(np.isfinite(run.theta).all() and np.isfinite(run.recorded).all())


def _raise_divergence(good: Run, bad_step: int, chunk: int, network: Network, plan: Plan) -> None:
    """Find the first step after which something was not finite, by halving, and raise.

    A parameter that stopped being finite never is again, and a run repeats itself to the bit; so the
    search costs at most the work since the last snapshot twice, and looking for divergence costs
    nothing before it happens. No leap is longer than a chunk, for Ctrl-C.
    """
    while bad_step - good.step > 1:
        middle = good.snapshot()
        middle.advance(min((good.step + bad_step) // 2, good.step + chunk))
        if _finite(middle) and np.isfinite(middle.loss()):
            good = middle
        else:
            bad_step = middle.step
    network.theta[:] = good.theta
    raise DivergenceError(
        f"step {bad_step} of {plan.n_steps} made a parameter or the loss infinite or NaN, at learning rate "
        f"{plan.schedule.rate(bad_step - 1):g}; the network holds the parameters from after step "
        f"{good.step}. "
        "Try a smaller learning rate, or scale the inputs and targets",
        bad_step,
    )
