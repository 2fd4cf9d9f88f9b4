"""Shards on an executor: what to submit when, and what to do if a worker dies or is slow.

The loop knows nothing of networks. It submits shards by their numbers, and hands each result on as it comes.
A shard that runs twice gives the same result twice, and the second is dropped. So it does not matter where,
when or how often a shard runs.
"""

import math
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from fastbp.errors import FastbpError

IN_FLIGHT = 64
"""How many shards are submitted and not finished, if nothing is known of the number of workers."""

FEWEST_ENDED = 5
"""So many shards must have ended before another can be slow in comparison."""

SLOW = 4.0
"""A shard is slow if it takes so many times as long as the middle one of those that ended last."""

RECENT = 101
"""A shard is compared with so many that ended last."""

LEAST_SECONDS = 2.0
"""No shard is slow before this time."""

LOOK = 0.05
"""Seconds between two looks at the clock."""

MOST_TOGETHER = 256
"""So many results are handed on together at most."""

MOST_LOSSES = 5
"""A shard that was lost so many times is an error: it may be what ends the workers."""

LOST_IN_DASK = ("KilledWorker", "CommClosedError", "FutureCancelledError", "FutureLostError", "TimeoutError")
"""What distributed raises if a worker or its data are lost, and not what a shard raised."""


class WorkersLostError(FastbpError, RuntimeError):
    """Workers died again and again. The shards that had ended are in the journal."""


class Dispatcher:
    """Runs shards on an executor, and yields results in the order in which they come.

    The work of a shard here does not grow with the number of workers: futures report to a queue.

    Parameters
    ----------
    make_executor : callable
        Returns an executor. It is called again if that one broke.
    submit : callable
        ``submit(executor, shard)`` returns the future of a shard's result.
    in_flight : int
        The most shards that are submitted and not finished.
    is_stopped : callable
        Returns whether to end now. It is asked several times a second.
    clock : callable
        Returns seconds.
    wait : callable, optional
        ``wait(seconds)`` is called before the queue is looked into, which then waits no more. A simulation
        lets time pass there.

    Attributes
    ----------
    n_repeated : int
        How often a shard was submitted again, because it was lost or slow.
    """

    def __init__(
        self,
        make_executor: Callable[[], Executor],
        submit: Callable[[Executor, int], Future],
        *,
        in_flight: int = IN_FLIGHT,
        is_stopped: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] | None = None,
    ):
        self._make_executor, self._submit = make_executor, submit
        self._in_flight, self._is_stopped, self._clock, self._wait = in_flight, is_stopped, clock, wait
        self._executor: Executor | None = None
        self._queue: SimpleQueue[Future] = SimpleQueue()
        self._running: dict[Future, tuple[int, float]] = {}
        """The shard of each future, and when it was submitted."""
        self._open: dict[int, list[Future]] = {}
        """The futures of each shard that is not finished."""
        self._lost: dict[int, int] = {}
        self._seconds: deque[float] = deque(maxlen=RECENT)
        self._next_look = -math.inf
        self.n_repeated = 0

    def run(self, shards: Iterable[int]) -> Iterator[list[tuple[int, Any]]]:
        """Yield the numbers and results of shards, each once, those together that came together.

        Raises
        ------
        WorkersLostError
            If a shard was lost again and again.
        Exception
            What a shard raised.
        """
        waiting, again = iter(shards), list[int]()
        try:
            while not self._is_stopped():
                self._fill(waiting, again)
                if not self._running:
                    return
                results = []
                for future in self._ended():
                    if future not in self._running:  # its shard has ended elsewhere
                        continue
                    shard, begun = self._running.pop(future)
                    error = CancelledError() if future.cancelled() else future.exception()
                    if error is not None:
                        self._lose(shard, future, again, error)
                        continue
                    self._seconds.append(self._clock() - begun)
                    self._end(shard)
                    results.append((shard, future.result()))
                if results:
                    yield results
                self._repeat_slow()
        finally:
            self.close()

    def close(self) -> None:
        """Cancel what has not begun, and forget what runs."""
        running = list(self._running)
        self._running.clear()
        self._open.clear()
        for future in running:
            future.cancel()

    def _ended(self) -> list[Future]:
        """Return the futures that have ended; wait a moment for the first."""
        ended: list[Future] = []
        with suppress(Empty):
            if self._wait is not None:
                self._wait(LOOK)
            ended.append(self._queue.get(timeout=LOOK) if self._wait is None else self._queue.get_nowait())
            while len(ended) < MOST_TOGETHER:
                ended.append(self._queue.get_nowait())
        return ended

    def _fill(self, waiting: Iterator[int], again: list[int]) -> None:
        while len(self._open) < self._in_flight:
            shard = again.pop() if again else next(waiting, None)
            if shard is None:
                return
            self._start(shard)

    def _start(self, shard: int) -> None:
        if self._executor is None:
            self._executor = self._make_executor()
        try:
            future = self._submit(self._executor, shard)
        except BrokenExecutor as error:
            future = Future()
            future.set_exception(error)
        self._open.setdefault(shard, []).append(future)
        self._running[future] = (shard, self._clock())
        future.add_done_callback(self._queue.put)

    def _end(self, shard: int) -> None:
        """Take note of a shard that has ended, and cancel other runs of it."""
        self._lost.pop(shard, None)
        for future in self._open.pop(shard):
            if self._running.pop(future, None):
                future.cancel()

    def _lose(self, shard: int, future: Future, again: list[int], error: BaseException) -> None:
        """Take note of a run that came to nothing; raise the error if it is the shard's own."""
        if isinstance(error, BrokenExecutor):
            self._executor = None
        elif not is_loss(error):
            raise error
        self._open[shard].remove(future)
        self._lost[shard] = self._lost.get(shard, 0) + 1
        if self._lost[shard] >= MOST_LOSSES:
            raise WorkersLostError(
                f"the workers of shard {shard} died {MOST_LOSSES} times: {error!r}; what had ended is kept "
                "in the journal, if there is one"
            ) from error
        if not self._open[shard]:
            del self._open[shard]
            again.append(shard)
            self.n_repeated += 1

    def _repeat_slow(self) -> None:
        """Submit slow shards a second time, if there is room: another worker may be faster."""
        now = self._clock()
        if now < self._next_look or len(self._seconds) < FEWEST_ENDED:
            return
        self._next_look = now + LEAST_SECONDS / 4
        if len(self._running) >= self._in_flight:
            return
        limit = max(LEAST_SECONDS, SLOW * statistics.median(self._seconds))
        for shard, begun in list(self._running.values()):
            if now - begun > limit and len(self._open[shard]) == 1:
                self.n_repeated += 1
                self._start(shard)


def is_loss(error: BaseException) -> bool:
    """Return whether an error says that a worker was lost, and not that a shard failed."""
    if isinstance(
        error, BrokenExecutor | CancelledError | KeyboardInterrupt
    ):  # Ctrl-C may reach workers, too
        return True
    kind = type(error)
    return kind.__module__.partition(".")[0] == "distributed" and kind.__name__ in LOST_IN_DASK
