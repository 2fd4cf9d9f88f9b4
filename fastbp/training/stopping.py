"""Why a run stops, and the question whether it is to stop now: Ctrl-C was pressed, or its time is over."""

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
    """It did not get better."""
    MAX_SECONDS = "max_seconds"
    """Its time was over."""
    CALLBACK = "callback"
    """A callback called ``state.stop()``."""
    LEARNING_RATE_EXHAUSTED = "learning_rate_exhausted"
    """`schedules.Adaptive` had nothing left to divide."""

    @property
    def is_final(self) -> bool:
        """Whether there is nothing to resume."""
        return self not in (StopReason.INTERRUPTED, StopReason.MAX_SECONDS)

    def __repr__(self) -> str:
        return repr(self.value)


class Diverged(Exception):
    """A parameter or the loss is not finite any more. The loop finds the step and tells the user."""


class Stopped(Exception):
    """Something that takes long was left, as the run is to stop."""


class Limits:
    """What may stop a run at any moment: Ctrl-C, and a time limit.

    Attributes
    ----------
    deadline : float
        When to stop, by the clock; infinite without a limit.
    """

    def __init__(self, interrupts: Interrupts, clock: Callable[[], float] = time.perf_counter):
        self._interrupts, self._clock = interrupts, clock
        self.deadline = math.inf

    def is_over(self) -> bool:
        """Whether the run is to stop now."""
        return self._interrupts.pressed or self._clock() >= self.deadline

    def check(self) -> None:
        """Raise `Stopped` if the run is to stop now."""
        if self.is_over():
            raise Stopped
