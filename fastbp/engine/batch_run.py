"""A training run on batches that the caller supplies, one call at a time."""

import time
from functools import partial

import numpy as np

from fastbp.engine.job import take
from fastbp.engine.job_run import EPOCH_LOSS, RATES_AT_ONCE, STEP
from fastbp.engine.kernel_options import KernelOptions
from fastbp.engine.layered_run import LayeredRun
from fastbp.kernels import fields
from fastbp.kernels.layered import layered
from fastbp.numba_internals import address_of_code
from fastbp.schedules import Constant
from fastbp.specification import Specification

EPOCH = fields.place("counters", "epoch")

CHUNK_SECONDS, FASTEST_GROWTH = 0.05, 16.0
"""Work between two checks for Ctrl-C, and how many times as many steps the next chunk may have."""

QUICK_WORK = 1e6
"""A step of up to so many multiplications is one call of the kernel, in the caller's thread."""

VECTORS = ("theta", "optimizer_state", "generator")
"""The arrays that `state` returns besides the step."""


class BatchRun:
    """Parameters, optimizer state, and a prepared job that is pointed to one batch after the other.

    It takes the steps of the layered kernel, each on a batch of up to ``options.batch_size`` rows.

    Attributes
    ----------
    take : function
        Points the job to a batch X, Y, if training can take it as it is, and returns whether: see
        `fastbp.engine.job.take`. The arrays must stay in memory until the step is taken.
    """

    def __init__(self, specification: Specification, theta: np.ndarray, options: KernelOptions):
        self._rows = rows = options.batch_size
        dtype = specification.dtype
        X = np.zeros((rows, specification.n_inputs), dtype)
        Y = np.zeros((rows, specification.n_outputs), dtype)
        self._run = LayeredRun(specification, theta, X, Y, options)
        self._schedule = options.schedule
        self._run.advance(0)
        self._job = self._run.job
        work = 3 * rows * specification.n_multiplications
        self._is_quick = work <= QUICK_WORK and options.threads in (None, 1)
        self._is_weighted = False
        self._address, self._empty = address, empty = self._job.address, self._job.empty
        self.take = partial(take, address, dtype, rows)
        self._layered_at = address_of_code(layered, address, 0, 0, empty, empty) if self._is_quick else None
        self._counters, self._totals = self._run.counters, self._run.totals
        self._rates_end = 0

    @property
    def n_steps(self) -> int:
        """Steps taken."""
        return int(self._counters[STEP])

    @property
    def theta(self) -> np.ndarray:
        """The parameters, laid out as `Network.theta`."""
        return self._run.theta

    def set_theta(self, theta: np.ndarray) -> None:
        """Go on from these parameters, laid out as `Network.theta`; the optimizer's state stays."""
        self._run.set_theta(theta)
        self._job.set("has_transposes", 0)

    def copy_theta_to(self, theta: np.ndarray) -> None:
        """Copy the parameters into an array that is laid out as `Network.theta`."""
        self._run.copy_theta_to(theta)

    def weigh(self, weights: np.ndarray | None) -> None:
        """Weigh the rows of the batch that was taken last, until the next call."""
        if weights is not None or self._is_weighted:
            self._job.replace("weights", weights)
            self._is_weighted = weights is not None

    def step_on(self, X: np.ndarray, Y: np.ndarray) -> float | None:
        """Take a step on a batch, if training can take it as it is; return the loss before it, or else None.

        `take` and `step` do the same in two calls of compiled code, and take 0.6 us longer.
        """
        step = self._counters.item(STEP)
        if self._layered_at is None or step >= self._rates_end:
            return self.step() if self.take(X, Y) else None
        return self._totals.item(EPOCH_LOSS) if self.take(X, Y, step + 1, self._layered_at) else None

    def step(self) -> float:
        """Take a step on the batch that was taken last; return the loss before it.

        An exception of a signal handler comes out between two steps, or in the middle of a long step, which
        is then not taken.
        """
        if not self._is_quick:
            return self.steps(1)
        step = self._counters.item(STEP)
        if step >= self._rates_end:
            self._prepare_steps(step)
        layered(self._address, 0, step + 1, self._empty, self._empty)
        return self._totals.item(EPOCH_LOSS)

    def steps(self, n_steps: int) -> float:
        """Take several steps on this batch; return the loss before the last one."""
        end, chunk = self.n_steps + n_steps, 1
        self._rates_end = 0  # the run sets its own
        try:
            while (before := self.n_steps) < end:
                started = time.perf_counter()
                self._run.advance(min(end, before + chunk))
                seconds = max(time.perf_counter() - started, 1e-9)
                chunk = max(1, int((self.n_steps - before) * min(FASTEST_GROWTH, CHUNK_SECONDS / seconds)))
        finally:
            self._job.set("done_rows", 0)
        return self._totals.item(EPOCH_LOSS)

    def set_rate(self, rate: float | None) -> None:
        """Train at this learning rate from now on; None goes back to the schedule."""
        self._run.schedule = self._schedule if rate is None else Constant(rate)
        self._rates_end = 0

    def _prepare_steps(self, step: int) -> None:
        """Set the rates of the coming steps, and let one call of the kernel take all rows of a step."""
        self._job.set_chunk(self._rows)
        schedule = self._run.schedule
        if isinstance(schedule, Constant):
            self._job.set_rates(step, np.array([schedule.initial]))
            self._rates_end = np.iinfo(np.int64).max
        else:
            self._job.set_rates(step, schedule.rates(step, RATES_AT_ONCE))
            self._rates_end = step + RATES_AT_ONCE

    # --- state -------------------------------------------------------------------------------------------

    def state(self) -> dict[str, np.ndarray]:
        """Return copies of all arrays that steps change. Their layout is the same on all processors."""
        state = self._run.state()
        return {"step": np.array(self.n_steps)} | {name: state[name] for name in VECTORS}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Restore a state. Its arrays must have the shapes and types of this run's."""
        whole = self._run.state()
        counters = whole["counters"]
        counters[STEP] = counters[EPOCH] = state["step"]
        self._run.restore(whole | {name: state[name] for name in VECTORS})
        self._job.set("has_transposes", 0)
        self._rates_end = 0
