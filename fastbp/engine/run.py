"""What the runs of all kernels have in common: a state between two chunks that can be copied and restored."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Self

import numpy as np

from fastbp.engine.kernel_options import KernelOptions
from fastbp.schedules import Schedule
from fastbp.specification import Specification

NO_SAMPLES = np.empty((0, 1)), np.empty((0, 1))
"""What a run has that let go of its samples."""


def recorded_at(losses: np.ndarray, every: int, wanted: int, n: int) -> np.ndarray:
    """Return n losses, `wanted` apart, from losses that were recorded `every` so often; NaN for the others.

    Examples
    --------
    >>> recorded_at(np.array([0.4, 0.3, 0.2]), 2, 3, 2)
    array([nan, 0.2])
    """
    places = wanted * np.arange(1, n + 1)
    known = (places % every == 0) & (places <= every * len(losses))
    found = np.full(n, np.nan)
    found[known] = losses[places[known] // every - 1]
    return found


class Run(ABC):
    """A training run on one kernel. Only the kernel changes its state, so it is consistent at any moment.

    A subclass says what its kernel can do, and keeps all that training changes in arrays.
    """

    name: ClassVar[str]
    """The kernel's, as `train` takes it."""
    trains: ClassVar[str]
    """What the kernel is for, as the README and errors have it."""
    maths: ClassVar[tuple[str, ...]] = ("fast",)
    """What `math` may be."""
    records_means: ClassVar[bool]
    """Whether a recorded loss is the mean over an epoch's steps, and not that of all samples after it."""
    kept_alike: ClassVar[tuple[str, ...]]
    """Arrays that training changes, of one layout on all processors."""
    packed: ClassVar[tuple[str, ...]]
    """The other arrays that training changes."""

    parameters: np.ndarray
    """As the kernel has them."""
    n_parameters: int
    """How many the network has."""
    steps_per_epoch: int
    schedule: Schedule
    """The learning rates by step. What stands here when `advance` is called is taken."""

    @staticmethod
    @abstractmethod
    def refusal(specification: Specification, options: KernelOptions) -> str | None:
        """Return why the kernel cannot do what is asked for, to follow "kernel is ..., and ", or None."""

    may_start_over: bool
    """Whether `start_over` and `finish` may be called: for a run that is over at once."""

    @abstractmethod
    def start_over(self, theta: np.ndarray, X: np.ndarray, Y: np.ndarray, seed: int | None) -> bool:
        """Begin as a new run does, with these options but `seed`, on as many other samples: after `let_go`.

        Returns
        -------
        bool
            False if the samples must be checked and prepared first. The run cannot be used then.
        """

    @abstractmethod
    def finish(self) -> None:
        """Take all steps in one call of the kernel, after `start_over`."""

    @abstractmethod
    def let_go(self) -> None:
        """Keep no reference to the samples. The run can only start over then."""

    @property
    @abstractmethod
    def step(self) -> int:
        """Steps taken."""

    @property
    def theta(self) -> np.ndarray:
        """A copy of the parameters, laid out as `Network.theta`."""
        theta = np.empty(self.n_parameters, self.parameters.dtype)
        self.copy_theta_to(theta)
        return theta

    @abstractmethod
    def copy_theta_to(self, theta: np.ndarray) -> None:
        """Copy the parameters into an array that is laid out as `Network.theta`."""

    @property
    @abstractmethod
    def recorded(self) -> np.ndarray:
        """The losses recorded so far."""

    @property
    @abstractmethod
    def recorded_steps(self) -> np.ndarray:
        """The steps at which they were recorded."""

    @property
    @abstractmethod
    def epoch_loss(self) -> float:
        """The loss of the last epoch that ended, as the kernel knows it; finite before the first one ends."""

    @abstractmethod
    def loss(self, check: Callable[[], object] = lambda: None, theta: np.ndarray | None = None) -> float:
        """Return the loss over all samples, at the present parameters, or at those in `theta`.

        Where that takes long, `check` is called every few milliseconds. What it raises comes out.
        """

    @abstractmethod
    def is_finite(self) -> bool:
        """Whether no parameter is infinite or NaN, and no loss that the kernel saw: if not, it stays so."""

    @abstractmethod
    def is_possible(self) -> bool:
        """Whether a run could have come to this state: it is asked of arrays that were read from a file."""

    @abstractmethod
    def advance(self, until: int, is_stopped: Callable[[], bool] = lambda: False) -> None:
        """Train to step `until`; to the present step to compile. Only ever called in one thread.

        `is_stopped` is asked between two calls of the kernel: if so, `advance` returns there, and a step that
        is not complete is not taken. The run keeps no reference to it, as that would keep the loop in memory,
        and so the run.
        """

    def state(self) -> dict[str, np.ndarray]:
        """Return copies of all that training changes, in a layout that depends on no processor."""
        return {"theta": self.theta} | {name: getattr(self, name).copy() for name in self.kept_alike}

    @abstractmethod
    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go to a state, of arrays that have the shapes and types of this run's: before the first step."""

    @abstractmethod
    def longer(self, losses: np.ndarray, counters: np.ndarray, n_steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Return losses and counters of a run of fewer steps, `n_steps`, as this run has them.

        Losses that the shorter run did not record, because it recorded others, are NaN.
        """

    def snapshot(self, instead_of: Self | None = None) -> Self:
        """Return a copy that can be advanced on its own, in the memory of an older one, which is no more."""
        twin = copy.copy(self)
        for name in (*self.packed, *self.kept_alike):
            array = getattr(self, name)
            room = getattr(instead_of, name, None)
            if room is None:
                room = self.room_like(array)
            room[...] = array
            setattr(twin, name, room)
        twin.was_copied()
        return twin

    @staticmethod
    def room_like(array: np.ndarray) -> np.ndarray:
        """Return an array of this shape and dtype for a copy."""
        return np.empty_like(array)

    @abstractmethod
    def was_copied(self) -> None:
        """Drop what belongs to the run that this one is a copy of."""
