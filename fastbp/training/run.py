"""What the loop needs of a run, whichever kernel it is on."""

from collections.abc import Callable
from typing import Protocol, Self

import numpy as np

from fastbp.schedules import Schedule


class Run(Protocol):
    """A training run that has begun: its state between two chunks, and what can be done with it."""

    name: str
    steps_per_epoch: int
    haste: float
    """How many times shorter than others chunks are to be: their pace may suddenly drop."""
    records_means: bool
    """Whether a recorded loss is the mean over an epoch's steps, and not that of all samples after it."""
    schedule: Schedule
    """The learning rates by step. The loop may replace it; the next call of `advance` takes the new one."""

    @property
    def step(self) -> int:
        """Steps taken."""

    @property
    def recorded(self) -> np.ndarray:
        """The losses recorded so far."""

    @property
    def recorded_steps(self) -> np.ndarray:
        """The steps at which they were recorded."""

    @property
    def epoch_loss(self) -> float:
        """The loss of the last epoch that ended, as the kernel knows it; finite before the first one ends."""

    @property
    def theta(self) -> np.ndarray:
        """A copy of the parameters, laid out as `Network.theta`."""

    def advance(self, until: int, is_stopped: Callable[[], bool] = lambda: False) -> None:
        """Train to step `until`; only ever called in one thread.

        `is_stopped` is asked in the middle of a long step: if so, `advance` returns there, and the step is
        not taken. The run keeps no reference to it, as that would keep the loop in memory, and so the run.
        """

    def loss(self, check: Callable[[], object] = lambda: None) -> float:
        """Return the loss over all samples, at the present parameters.

        Where that takes long, `check` is called every few milliseconds. What it raises comes out.
        """

    def is_finite(self) -> bool:
        """Whether no parameter is infinite or NaN, and no loss that the kernel saw: if not, it stays so."""

    def state(self) -> dict[str, np.ndarray]:
        """Return all that training changes, copied into arrays whose layout depends on no processor."""

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go to a state, of arrays that have the shapes and types of this run's: before the first step."""

    def is_possible(self) -> bool:
        """Whether a run could have come to this state: it is asked of arrays that were read from a file."""

    def snapshot(self, instead_of: Self | None = None) -> Self:
        """Return a copy that can be advanced on its own, in the memory of an older one, which is no more."""
