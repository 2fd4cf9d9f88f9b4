"""A training run on the online kernel: one sample a step."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp.engine.job import Job
from fastbp.engine.job_run import JobRun
from fastbp.engine.kernel_options import KernelOptions
from fastbp.kernels.epoch_ends import ONLINE
from fastbp.kernels.online import online
from fastbp.numba_internals import address_of_code
from fastbp.optimizers import SGD
from fastbp.specification import Specification


class OnlineRun(JobRun):
    """The state of a run on the online kernel, between chunks."""

    name = "online"
    trains = "any network, one sample a step by SGD without momentum"

    def __init__(
        self,
        specification: Specification,
        theta: np.ndarray,
        X: np.ndarray,
        Y: np.ndarray,
        options: KernelOptions,
    ):
        super().__init__(specification, theta, X, Y, options, one_sample=True)

    @staticmethod
    def refusal(specification: Specification, options: KernelOptions) -> str | None:
        """Return why the kernel cannot do what is asked for; None if it can."""
        optimizer = options.optimizer
        if (
            options.batch_size == 1
            and isinstance(optimizer, SGD)
            and optimizer.momentum == options.dropout == options.gradient_clip_norm == 0
        ):
            return None
        return "that takes one sample a step by SGD, no momentum, dropout or clipping"

    def possible_positions(self, drawn: int, begun: int) -> tuple[int, ...]:
        """Return the position of the last sample: the kernel counts positions even if it does not shuffle."""
        return (drawn,)

    def call_kernel(self, job: Job, until: int, is_stopped: Callable[[], bool]) -> None:
        """Let the kernel train to step `until`. A step of one sample is never so long that Ctrl-C waits."""
        online(job.address, until, job.empty)

    def call_kernel_once(self, job: Job, until: int) -> None:
        """Let the kernel train to step `until`."""
        online(job.address, until, job.empty)

    def watched(self) -> dict[str, Any]:
        """Return how compiled code advances the run."""
        job = self.job
        code = address_of_code(online, job.address, 0, job.empty)
        return {"trainer": ONLINE, "train_at": code, "job": job}
