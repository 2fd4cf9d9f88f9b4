"""Threads that run one job together: Python's, since kernels hold no lock of the interpreter."""

import ctypes
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

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
        cores = _cores_beside_this()
        started = []
        try:
            for thread in range(1, self.n_threads):
                started.append(self._others.submit(_take_part, job, thread, until, cores))
            kernels.layered(job.address, 0, until, job.empty, job.empty)
        except BaseException:
            shared[ABORT] = 1  # nobody waits at the first barrier for who will not come
            raise
        finally:
            for future in started:
                future.result()


def _take_part(job: Job, thread: int, until: int, cores: set[int]) -> None:
    """Do one thread's part, away from the core that the caller is on.

    A thread that wakes up is often put on the core of who woke it, and stays there for some milliseconds:
    steps then take up to five times as long, since the two take turns instead of working at once.
    """
    if cores:
        with suppress(OSError):
            os.sched_setaffinity(0, cores)  # of this thread, which is the team's own
    kernels.layered(job.address, thread, until, job.empty, job.empty)


def _cores_beside_this() -> set[int]:
    """Return the cores that this process may use without the one that this thread is on; empty if unknown."""
    try:
        return os.sched_getaffinity(0) - {ctypes.CDLL(None).sched_getcpu()}
    except (AttributeError, OSError, TypeError):  # not Linux
        return set()
