"""How the loop divides its time: how long a chunk is, and how often a snapshot is taken."""

import time
from collections.abc import Callable
from dataclasses import dataclass

FASTEST_GROWTH = 16.0
"""A chunk has at most this many times the steps of the chunk before it."""


@dataclass(frozen=True)
class Pacing:
    """The times that the loop keeps to. Tests shorten them, or give a clock of their own.

    Attributes
    ----------
    clock : function
        Returns seconds.
    first_chunk : int
        Steps of a run's first chunk, when its speed is still unknown.
    chunk_seconds : float
        Work between two checks for Ctrl-C: compiled code cannot check it.
    snapshot_seconds : float
        The least work between two snapshots. A search for the first bad step repeats that work.
    snapshot_fraction : float
        The fraction of the time that snapshots may take. Proving them may take as much again.
    evaluation_work : float
        Multiplications between two checks for Ctrl-C while data are evaluated: some milliseconds.
    """

    clock: Callable[[], float] = time.perf_counter
    first_chunk: int = 1
    chunk_seconds: float = 0.05
    snapshot_seconds: float = 1.0
    snapshot_fraction: float = 0.002
    evaluation_work: float = 2e7


class ChunkLength:
    """The number of steps of the next chunk: as many as take `seconds` at the speed of the last chunk."""

    def __init__(self, first: int, seconds: float):
        self.steps, self.seconds = first, seconds
        self.step_seconds = 0.0
        """Seconds of a step; 0 before the first chunk."""

    def record(self, done: int, seconds: float) -> None:
        """Take note of a chunk of `done` steps.

        A chunk that the end of an epoch cut short tells little about the speed. A chunk without a step tells
        nothing.
        """
        if done == self.steps or (done and seconds > self.seconds):
            self.steps = max(1, int(done * min(FASTEST_GROWTH, self.seconds / max(seconds, 1e-9))))
            self.step_seconds = seconds / done
