"""A training run on the layered kernel: a team of threads, and long steps that are taken chunk by chunk."""

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp.engine.division import Limits, row_work
from fastbp.engine.job import Job
from fastbp.engine.job_run import JobRun
from fastbp.engine.kernel_options import KernelOptions
from fastbp.engine.team import FASTEST_GROWTH, Pace, Team, threads_for
from fastbp.engine.watch import Watch
from fastbp.kernels import fields
from fastbp.kernels.epoch_ends import LAYERED
from fastbp.kernels.layered import layered
from fastbp.numba_internals import address_of_code
from fastbp.specification import Specification

CROWDED_SECONDS = 0.006
"""The time of one call of the kernel on a team that has more threads than pay.

Such threads meet at a barrier every microsecond. A call takes six times as long if one of them waits for its
core.
"""

LOOK_PART = 16
"""A single thread that is to show its speed takes one part in so many of a chunk: some 5 ms."""

QUICK_WORK = 5e6
"""A step of up to so many multiplications may be taken without a look at Ctrl-C."""

HAS_STOPPED = fields.place_in_job("has_stopped")
RULE = slice(fields.place("numbers", "patience"), fields.place("numbers", "stale_epochs") + 1)
"""Where these are in a run's arrays."""


class LayeredRun(JobRun):
    """The state of a run on the layered kernel, between chunks."""

    name = "layered"
    trains = "everything"
    takes_epochs_at_once = True

    def __init__(
        self,
        specification: Specification,
        theta: np.ndarray,
        X: np.ndarray,
        Y: np.ndarray,
        options: KernelOptions,
        pace: Pace | None = None,
        *,
        make_team: Callable[[int], Team] = Team,
        limits: Limits | None = None,
    ):
        work = 3 * options.batch_size * specification.n_multiplications
        n_threads = threads_for(work, options.threads, whole=math.inf)
        self._team = make_team(1 if options.update == "sequential" else n_threads)
        self._is_crowded = self._team.n_threads > threads_for(work, None, whole=math.inf)
        self._pace = pace or Pace(self._team.n_threads, fixed=options.threads is not None)
        self._chunk_rows = self._team.first_chunk_rows(3 * row_work(specification))
        self._chunk_steps, self._step_work = 1, work
        super().__init__(specification, theta, X, Y, options, n_threads=self._team.n_threads, limits=limits)

    @staticmethod
    def refusal(specification: Specification, options: KernelOptions) -> str | None:
        """Return None: the kernel can do everything."""

    def set_rule(self, patience: float, tolerance: float, best_loss: float, stale_epochs: int) -> None:
        """Let training stop, as scikit-learn's, after more than `patience` epochs that were not better.

        Parameters
        ----------
        patience : float
            1 or more; it may be infinite.
        tolerance : float
            An epoch is not better if its mean loss is above the best one minus this. Kernels take denormal
            numbers for 0, and this difference must not be one. So this is 0, or at least 1e-290.
        best_loss : float
            The least mean loss of the epochs before.
        stale_epochs : int
            How many epochs were not better, up to the last one.
        """
        self.job.arrays["numbers"][RULE] = patience, tolerance, best_loss, stale_epochs
        self.job.integers[HAS_STOPPED] = 0

    @property
    def has_stopped(self) -> bool:
        """Whether the rule has ended training, since it was set."""
        return bool(self.job.integers[HAS_STOPPED])

    def call_kernel(self, job: Job, until: int, is_stopped: Callable[[], bool]) -> None:
        """Let the kernel train to step `until`, in several calls if a step is long or the team is crowded."""
        before = self.step
        if before == until:  # there is nothing for a team to do
            self._team.run(job, until, 1)
            return
        if self._pace.begins_look():
            look = before + max(1, (until - before) // LOOK_PART)
            self._call_until(job, look, is_stopped)
            if self.step < look:
                return
        if self.step < until:
            self._call_until(job, until, is_stopped)

    def _call_until(self, job: Job, until: int, is_stopped: Callable[[], bool]) -> None:
        """Let the kernel train to step `until`, and take note of the time."""
        before, started = self.step, time.perf_counter()
        self._call(job, until)
        while self.step < until:
            if self.has_stopped or is_stopped():
                return
            self._call(job, until)
        self._pace.record(until - before, time.perf_counter() - started)

    def call_kernel_once(self, job: Job, until: int) -> None:
        """Let the kernel train to step `until` in one call: a chunk has all rows of a step."""
        layered(job.address, 0, until, job.empty, job.empty)

    def watched(self) -> dict[str, Any] | None:
        """Return how compiled code advances the run, if one thread takes a step at once."""
        if self._team.n_threads > 1 or self._step_work > QUICK_WORK:
            return None
        job = self.job
        code = address_of_code(layered, job.address, 0, 0, job.empty, job.empty)
        return {"trainer": LAYERED, "train_at": code, "job": job}

    def advance_watched(self, job: Job, until: int, is_stopped: Callable[[], bool], watch: Watch) -> bool:
        """Let compiled code advance the run: a chunk has all rows of a step."""
        job.set("n_threads", 1)
        job.set_chunk(self._options.batch_size)
        return super().advance_watched(job, until, is_stopped, watch)

    def _call(self, job: Job, until: int) -> None:
        """Call the kernel once; from its time, choose the length of the next call."""
        before, started = self.step, time.perf_counter()
        stop = min(until, before + self._chunk_steps) if self._is_crowded else until
        job.set_chunk(self._chunk_rows)
        self._team.run(job, stop, min(self._pace.threads(), self._worth(stop - before)))
        seconds = max(time.perf_counter() - started, 1e-9)
        if self.has_stopped:
            return
        if self.step < stop:  # in the middle of a long step
            self._chunk_rows = self._team.next_chunk_rows(self._chunk_rows, seconds)
        elif stop == before + self._chunk_steps:
            growth = min(FASTEST_GROWTH, CROWDED_SECONDS / seconds)
            self._chunk_steps = max(1, int(self._chunk_steps * growth))

    def _worth(self, steps: int) -> int:
        """Return how many threads are worth their start in a call of so many steps, or of a part of one."""
        if self._options.threads is not None:
            return self._team.n_threads
        part = min(1.0, self._chunk_rows / self._options.batch_size)
        return threads_for(self._step_work, None, whole=self._step_work * (part if part < 1 else steps))
