"""Threads that run one job together: Python's, since kernels hold no lock of the interpreter."""

import ctypes
import functools
import math
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


class Pace:
    """Chooses, chunk by chunk, between the whole team and one thread: by what the last chunks took.

    On cores that other work keeps busy, a step waits at every barrier for the thread that does not run: one
    of 784-128-10 was seen to take 1,500 us on two threads, and 230 on one. The bits are the same.
    """

    SLOW = 1.5
    """A chunk this many times as slow as the team's fastest makes the next one try a single thread."""

    ALONE = 16
    """Chunks for which a single thread goes on where it was faster, until the team is tried again."""

    SHORTEST = 0.005
    """Seconds: what took less says little."""

    def __init__(self, n_threads: int, *, fixed: bool):
        self._team, self._fixed = n_threads, fixed
        self._fastest = self._last = math.inf
        self._alone = 0

    def threads(self) -> int:
        """Return how many threads the next chunk is to have."""
        return 1 if self._alone else self._team

    def record(self, steps: int, seconds: float) -> None:
        """Take note of what the chunk took."""
        if self._fixed or self._team == 1 or seconds < self.SHORTEST:
            return
        pace = seconds / steps
        if self._alone:
            self._alone = self.ALONE if self._alone < 0 and pace < self._last else max(0, self._alone - 1)
            return
        self._last, self._fastest = pace, min(pace, self._fastest)
        if pace > self.SLOW * self._fastest:
            self._alone = -1  # one chunk, to see


class Team:
    """Runs a job on its number of threads, of which the caller's is one."""

    def __init__(self, n_threads: int):
        self.n_threads = n_threads
        self._process = 0

    def _pool(self) -> ThreadPoolExecutor:
        """Return the other threads: in the child of a fork, new ones, as it has none of its parent's."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self._others = ThreadPoolExecutor(self.n_threads - 1, "fastbp")
        return self._others

    def run(self, job: Job, until: int = 0, n_threads: int | None = None) -> None:
        """Do the job, or train to step `until`, on all threads or on fewer."""
        n_threads = n_threads or self.n_threads
        job.set(fields.N_THREADS, n_threads)
        if n_threads == 1:
            kernels.layered(job.address, 0, until, job.empty, job.empty)
            return
        others = self._pool()
        shared = job.arrays[fields.SHARED]
        shared[:] = 0
        cores = _cores_beside_this()
        started = []
        try:
            for thread in range(1, n_threads):
                started.append(others.submit(_take_part, job, thread, until, cores))
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
        return os.sched_getaffinity(0) - {_library().sched_getcpu()}
    except (AttributeError, OSError, TypeError):  # not Linux
        return set()


@functools.cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None)
