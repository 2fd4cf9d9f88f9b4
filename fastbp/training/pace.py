"""How the loop divides its time: chunks of the length that suits Ctrl-C, and snapshots now and then."""

import time
from collections.abc import Callable
from dataclasses import dataclass

FASTEST_GROWTH = 16.0
"""How many times as many steps a chunk may have as the one before it."""


@dataclass(frozen=True)
class Pacing:
    """Times that the loop keeps to; tests shorten them, or bring a clock of their own.

    Attributes
    ----------
    clock : function
        Returns seconds.
    first_chunk : int
        Steps of a run's first chunk, as its pace is unknown.
    chunk_seconds : float
        Work between two looks at Ctrl-C, which is not delivered inside compiled code.
    snapshot_seconds : float
        Work between two snapshots at least: what a search for the step of a divergence repeats.
    snapshot_share : float
        The share of the time that snapshots may cost, and the same for proving them.
    evaluation_work : float
        Multiplications between two looks at Ctrl-C while data are evaluated: some milliseconds.
    """

    clock: Callable[[], float] = time.perf_counter
    first_chunk: int = 1
    chunk_seconds: float = 0.05
    snapshot_seconds: float = 1.0
    snapshot_share: float = 0.002
    evaluation_work: float = 2e7


class ChunkLength:
    """How many steps the next chunk is to have: as many as take `seconds` at the pace of the last one."""

    def __init__(self, first: int, seconds: float):
        self.steps, self._wanted = first, seconds
        self.step_seconds = 0.0
        """What a step took; 0 before the first chunk."""

    def record(self, done: int, seconds: float) -> None:
        """Take note of a chunk of so many steps.

        A rest of an epoch tells little about the pace, and a step that was not taken nothing.
        """
        if done == self.steps or (done and seconds > self._wanted):
            self.steps = max(1, int(done * min(FASTEST_GROWTH, self._wanted / max(seconds, 1e-9))))
            self.step_seconds = seconds / done
