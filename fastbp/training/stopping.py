"""Why a run stops, and whether it must stop now, because of Ctrl-C or a time limit."""

import math
import time
from collections.abc import Callable
from enum import StrEnum

from fastbp.training.interrupts import Interrupts


class StopReason(StrEnum):
    """Why a run ended. Each is a str, too: ``StopReason.COMPLETED == "completed"``."""

    COMPLETED = "completed"
    """It took all its steps."""
    INTERRUPTED = "interrupted"
    """Ctrl-C was pressed."""
    EARLY_STOPPING = "early_stopping"
    """Its rule of early stopping said so: by default, it did not improve any more."""
    GOAL = "goal"
    """It reached its goal."""
    MAX_SECONDS = "max_seconds"
    """Its time was over."""
    CALLBACK = "callback"
    """A callback called ``state.stop()``."""
    LEARNING_RATE_EXHAUSTED = "learning_rate_exhausted"
    """`schedules.Adaptive` could not lower the learning rate any further."""
    DIVERGED = "diverged"
    """A network of a population had a value that is not finite. `fastbp.train` raises DivergenceError."""

    @property
    def is_final(self) -> bool:
        """Whether there is nothing to resume."""
        return self not in (StopReason.INTERRUPTED, StopReason.MAX_SECONDS)

    def __repr__(self) -> str:
        return repr(self.value)


class Diverged(Exception):
    """A parameter or the loss is not finite any more. The loop finds the step and tells the user."""


class Stopped(Exception):
    """A long computation was left, because the run must stop."""


class Limits:
    """What may stop a run at any moment: Ctrl-C, and a time limit.

    Attributes
    ----------
    deadline : float
        When to stop, by the clock; infinite without a limit.
    chunk_end : float
        When Python should have a look, by the clock: not after the deadline.
    """

    def __init__(self, interrupts: Interrupts, clock: Callable[[], float] = time.perf_counter):
        self._interrupts, self._clock = interrupts, clock
        self.deadline = self.chunk_end = math.inf

    def is_over(self) -> bool:
        """Whether the run must stop now."""
        return self._interrupts.pressed or self._clock() >= self.deadline

    def is_chunk_over(self) -> bool:
        """Whether the run must stop now, or the chunk at hand takes longer than it should."""
        return self._interrupts.pressed or self._clock() >= self.chunk_end

    def check(self) -> None:
        """Raise `Stopped` if the run must stop now."""
        if self.is_over():
            raise Stopped
