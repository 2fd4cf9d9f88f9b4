"""Threads that run one job together: Python's, since kernels hold no lock of the interpreter."""

import os
from concurrent.futures import ThreadPoolExecutor

from fastbp.kernels import layered as kernels
from fastbp.kernels.team import ABORT
from fastbp.training.job import Job, fields


def available_cores() -> int:
    """Return how many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


WORTH_A_TEAM = 1e6
"""Multiplications, before the next barrier, from which on a second thread pays."""


def threads_for(work: float, threads: int | None) -> int:
    """Return how many threads to take for so many multiplications: those asked for, or what pays."""
    if threads is not None:
        return threads
    return max(1, min(available_cores(), int(work / WORTH_A_TEAM)))


class Team:
    """Runs a job on its number of threads, of which the caller's is one."""

    def __init__(self, n_threads: int):
        self.n_threads = n_threads
        self._others = ThreadPoolExecutor(n_threads - 1, "fastbp") if n_threads > 1 else None

    def run(self, job: Job, until: int = 0) -> None:
        """Do the job, or train to step `until`."""
        if self._others is None:
            kernels.layered(job.address, 0, until, job.empty, job.empty)
            return
        shared = job.arrays[fields.SHARED]
        shared[:] = 0
        started = []
        try:
            for thread in range(1, self.n_threads):
                started.append(
                    self._others.submit(kernels.layered, job.address, thread, until, job.empty, job.empty)
                )
            kernels.layered(job.address, 0, until, job.empty, job.empty)
        except BaseException:
            shared[ABORT] = 1  # nobody waits at the first barrier for who will not come
            raise
        finally:
            for future in started:
                future.result()
