"""Teams: threads that run one job together. They are Python's: kernels do not hold the interpreter's lock."""

import ctypes
import functools
import math
import os
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np

from fastbp.calls import Call
from fastbp.engine.division import WORTH_A_THREAD
from fastbp.engine.job import Job
from fastbp.kernels import layered as kernels
from fastbp.kernels.barrier import ABORT
from fastbp.numba_internals import prepare

OVERSUBSCRIBE = "FASTBP_OVERSUBSCRIBE"
"""The environment variable that allows more threads than cores if it is 1."""

CHUNK_SECONDS = 0.03
"""The time of one call of the kernel, if a step takes longer. A run can be stopped between two calls."""

SLOW = 5e8
"""Multiplications a second of a slow processor. A run's first chunk is as long as if it ran on one."""

FASTEST_GROWTH = 16.0
"""How many times as long a chunk may be as the one before it."""

START_WORK = 1e6
"""Multiplications that take as long as to start a thread: 22 us, and up to 300 us on a virtual machine."""


def available_cores(most: int | None = None) -> int:
    """Return how many cores this process may use: by affinity, control groups, and Python's own limit.

    `most` replaces the limit of the control groups.
    """
    if hasattr(os, "process_cpu_count"):  # from Python 3.13 on; it knows PYTHON_CPU_COUNT
        cores = os.process_cpu_count() or 1
    else:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, quota() if most is None else most))


@functools.cache
def quota(root: str = "/sys/fs/cgroup", groups: str = "/proc/self/cgroup") -> int:
    """Return how many whole cores Linux's control groups, such as those of containers, allow this process.

    The quota of a control group is in ``cpu.max`` (version 2), or in ``cpu.cfs_quota_us`` and
    ``cpu.cfs_period_us``. The quotas of the control groups above it hold, too:
    https://docs.kernel.org/admin-guide/cgroup-v2.html, "CPU interface files".
    """
    least = sys.maxsize
    try:
        lines = Path(groups).read_text().splitlines()
    except (OSError, ValueError):
        return least
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = Path(root, controllers) if controllers else Path(root)
        group = top / path.lstrip("/")
        for folder in (group, *group.parents):
            cores = _quota_of(folder)
            if cores is not None:
                least = min(least, max(1, cores))
            if folder == top:
                break
    return least


def _quota_of(folder: Path) -> int | None:
    """Return the whole cores of one control group, or None if it has no limit."""
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota, period = (
                (folder / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period")
            )
        return int(quota) // int(period) if int(quota) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):  # "max", or no such file
        return None


def threads_for(
    work: float, threads: int | None, cores: int | None = None, *, whole: float | None = None
) -> int:
    """Return how many threads to take: those asked for, or what pays.

    Every call of a kernel starts its team, one thread after the other. So n threads take W / n + n S, with W
    the work of the call and S that of a start; this is least for n = sqrt(W / S). On a virtual machine with
    16 cores, a call on all of them took 5 ms more than its work.

    Parameters
    ----------
    work : float
        Multiplications between two meetings of the threads.
    threads : int or None
        As the user gave them. If there are more threads than cores, they wait for each other most of the
        time: 16 threads on one core took 33 s to answer Ctrl-C. So there are more only if the environment
        says that this is meant.
    cores : int, optional
        `available_cores` by default.
    whole : float, optional
        Multiplications of the whole call; by default, the threads meet once.
    """
    cores = available_cores() if cores is None else cores
    if threads is None:
        started = math.sqrt((work if whole is None else whole) / START_WORK)
        return max(1, int(min(cores, work / WORTH_A_THREAD, started)))
    return threads if os.environ.get(OVERSUBSCRIBE) == "1" else min(threads, cores)


class Pace:
    """Chooses between the whole team and one thread for each chunk, by the speed of the last chunks.

    If other work keeps the cores busy, a step waits at every barrier for a thread that does not run. A step
    of 784-128-10 was seen to take 1,500 us on two threads, and 230 on one. And a core may wait for what the
    other one wrote or read: on a virtual machine, a step of 256-256-256-10 with 64 rows took 120 us on two
    threads, at other times 240, and 207 on one. The bits are the same.
    """

    SLOW = 1.5
    """If a chunk takes this many times as long as the team's fastest, the next one tries a single thread."""

    LONGEST_ALONE = 16
    """The most chunks that the single thread takes, if it was faster, before the team is tried again.

    It takes one chunk at first, and twice as many each time that the team is still slower: other work is
    often over after some milliseconds.
    """

    SHORTEST = 0.005
    """Chunks of fewer seconds say little about the speed, and are left out, if nothing else is said."""

    LOOK_AFTER = 0.25
    """The seconds after which a team that had no reason to leave looks once at the speed of one thread."""

    def __init__(self, n_threads: int, *, fixed: bool, shortest: float = SHORTEST):
        self._team, self._fixed, self._shortest = n_threads, fixed, shortest
        self._fastest = self._last = self._single = math.inf
        self._alone, self._wait, self._spent = 0, 1, 0.0

    def threads(self) -> int:
        """Return how many threads take the next chunk."""
        return 1 if self._alone else self._team

    def begins_look(self) -> bool:
        """Return whether a single thread takes the next chunk, for the first time; a short one is enough."""
        begins = self._spent > self.LOOK_AFTER and self._single == math.inf and self._alone == 0
        if begins:
            self._alone = -1
        return begins

    def record(self, steps: int, seconds: float) -> None:
        """Take note of the time of a chunk."""
        shortest = self._shortest / 5 if self._alone < 0 else self._shortest
        if self._fixed or self._team == 1 or seconds < shortest:
            return
        pace = seconds / steps
        if self._alone:
            self._single = pace
        if self._alone > 0:
            self._alone -= 1
        elif self._alone < 0:  # the chunk to see
            self._alone = 0
            if pace < self._last:
                self._alone, self._wait = self._wait, min(2 * self._wait, self.LONGEST_ALONE)
        else:
            self._last, self._fastest = pace, min(pace, self._fastest)
            self._spent += seconds
            if pace > min(self.SLOW * self._fastest, self._single):
                self._alone = -1
            else:
                self._wait = 1


_compiled: set[np.dtype] = set()
"""The types for which this process has compiled the kernel, or has loaded it. Numba takes 60 us to say so."""


class Team:
    """Runs a job on `n_threads` threads, of which the caller's is one."""

    def __init__(self, n_threads: int, chunk_seconds: float = CHUNK_SECONDS):
        self.n_threads, self._chunk_seconds = n_threads, chunk_seconds

    def first_chunk_rows(self, row_work: float) -> float:
        """Return how many rows of a long step the first call takes; a row has so many multiplications."""
        return self._chunk_seconds * SLOW / row_work

    def next_chunk_rows(self, rows: float, seconds: float) -> float:
        """Return how many rows of a long step the next call takes, after `rows` took so many seconds."""
        return rows * min(FASTEST_GROWTH, self._chunk_seconds / max(seconds, 1e-9))

    def run(self, job: Job, until: int = 0, n_threads: int | None = None) -> None:
        """Do the job, or train to step `until`, on all threads or on `n_threads`.

        If a signal handler raises an exception meanwhile, it comes out after all threads have ended.
        """
        n_threads = n_threads or self.n_threads
        if n_threads > 1 and self._run_together(job, until, n_threads):
            return
        job.set("n_threads", 1)
        kernels.layered(job.address, 0, until, job.empty, job.empty)

    @staticmethod
    def _run_together(job: Job, until: int, n_threads: int) -> bool:
        """Return False if a thread cannot be started. Then nothing is done."""
        if job.empty.dtype not in _compiled:
            prepare(kernels.layered, job.address, 0, until, job.empty, job.empty)
            _compiled.add(job.empty.dtype)
        job.set("n_threads", n_threads)
        shared = job.arrays["shared"]
        shared[:] = 0
        cores = cores_beside_this()
        others = [Call(_take_part, job, thread, until, cores) for thread in range(1, n_threads)]
        raised: BaseException | None = None
        try:
            started = all(call.start() for call in others)
            if started:
                kernels.layered(job.address, 0, until, job.empty, job.empty)
        except BaseException as error:
            started, raised = False, error
        while not all(call.is_done for call in others):
            try:
                if not started:
                    shared[ABORT] = 1  # no thread waits at a barrier for one that never comes
                    for call in others:
                        call.cancel()
                for call in others:
                    call.wait()
            except BaseException as error:
                raised = raised or error
        raised = raised or next((call.error for call in others if call.error), None)
        try:
            if raised:
                raise raised
            return started
        finally:
            raised = None  # else a cycle: of an error, its traceback, and this frame


def _take_part(job: Job, thread: int, until: int, cores: set[int]) -> None:
    """Run the kernel as one thread of the team, on another core than the caller's."""
    go_to(cores)
    kernels.layered(job.address, thread, until, job.empty, job.empty)


def go_to(cores: set[int]) -> None:
    """Let this thread, which serves one call only, run on these cores; on an empty set, on any.

    The system often puts a new thread on the core of the thread that started it, for some milliseconds. Then
    the two take turns: steps take up to five times as long. Two threads of a virtual machine that had slept
    for 50 ms shared a core for 70 ms.
    """
    if cores:
        with suppress(OSError):
            os.sched_setaffinity(0, cores)


def cores_beside_this() -> set[int]:
    """Return the cores that this process may use, except that of this thread; an empty set if unknown."""
    try:
        return os.sched_getaffinity(0) - {_library().sched_getcpu()}
    except (AttributeError, OSError, TypeError):  # not Linux
        return set()


@functools.cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None)
