"""The base of the runs of all kernels: a state between two chunks that can be copied and restored."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np

from fastbp.engine.kernel_options import KernelOptions
from fastbp.engine.watch import Watch
from fastbp.schedules import Schedule
from fastbp.specification import Specification

NO_SAMPLES = np.empty((0, 1)), np.empty((0, 1))
"""The samples of a run that has let go of its own."""


def recorded_at(losses: np.ndarray, every: int, wanted: int, n: int) -> np.ndarray:
    """Return n losses, one every `wanted` epochs, from losses recorded every `every` epochs.

    They are NaN where no loss was recorded.

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
    """The name of the kernel, for the option `kernel` of `train`."""
    trains: ClassVar[str]
    """What the kernel is for, in the words of the README and of errors."""
    maths: ClassVar[tuple[str, ...]] = ("fast",)
    """Possible values of the option `math`."""
    records_means: ClassVar[bool]
    """Whether a recorded loss is the mean over the steps of an epoch, and not the loss after the epoch."""
    kept_alike: ClassVar[tuple[str, ...]]
    """The arrays that training changes and that have the same layout on all processors."""
    packed: ClassVar[tuple[str, ...]]
    """The other arrays that training changes."""

    parameters: np.ndarray
    """The parameters in the layout of the kernel."""
    n_parameters: int
    """How many parameters the network has."""
    steps_per_epoch: int
    schedule: Schedule
    """The learning rates by step. `advance` takes the present value."""

    @staticmethod
    @abstractmethod
    def refusal(specification: Specification, options: KernelOptions) -> str | None:
        """Return why the kernel cannot do this run, or None if it can.

        The reason follows the words "kernel is ..., and ".
        """

    may_start_over: bool
    """Whether `start_over` and `finish` may be called. That is so if the run takes one call of the kernel."""

    @abstractmethod
    def start_over(self, theta: np.ndarray, X: np.ndarray, Y: np.ndarray, seed: int | None) -> bool:
        """Begin again after `let_go`, as a new run with the same options would, but with this seed.

        There are as many samples as before; their values may differ.

        Returns
        -------
        bool
            False if the samples must be checked and prepared first. Then the run cannot be used.
        """

    @abstractmethod
    def finish(self) -> None:
        """Take all steps in one call of the kernel, after `start_over`."""

    @abstractmethod
    def let_go(self) -> None:
        """Keep no reference to the samples. After this, the run can only start over."""

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
        """The steps at which these losses were recorded."""

    @property
    @abstractmethod
    def epoch_loss(self) -> float:
        """The loss of the last epoch that ended, as the kernel has it. It is finite before any has ended."""

    @abstractmethod
    def loss(self, check: Callable[[], object] = lambda: None, theta: np.ndarray | None = None) -> float:
        """Return the loss over all samples, at the present parameters or at `theta`.

        If this takes long, `check` is called every few milliseconds. What it raises comes out.
        """

    @abstractmethod
    def is_finite(self) -> bool:
        """Whether all parameters are finite, and all losses that the kernel has seen. False stays False."""

    @abstractmethod
    def is_possible(self) -> bool:
        """Whether a run can have this state. This is a check of arrays that were read from a file."""

    @abstractmethod
    def watched(self) -> dict[str, Any] | None:
        """Return how compiled code advances the run, as words of `fields.WATCH`, or None if it cannot.

        It cannot if a step takes several threads or several calls of the kernel.
        """

    @abstractmethod
    def advance(
        self, until: int, is_stopped: Callable[[], bool] = lambda: False, watch: Watch | None = None
    ) -> None:
        """Train to step `until`. If that is the present step, only compile.

        A run is advanced in one thread only. Between two calls of the kernel, `is_stopped` is called. If it
        returns True, `advance` returns, and an incomplete step is not taken. The run keeps no reference to
        the function: that would keep the loop in memory, and so the run.

        With a watch that is attached to the run, what is due after epochs is done on the way, and `advance`
        may
        return after any epoch: see `Watch.advance`.
        """

    def state(self) -> dict[str, np.ndarray]:
        """Return copies of all arrays that training changes. Their layout is the same on all processors."""
        return {"theta": self.theta} | {name: getattr(self, name).copy() for name in self.kept_alike}

    @abstractmethod
    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Restore a state, before the first step. Its arrays must have the shapes and types of this run's."""

    @abstractmethod
    def longer(self, losses: np.ndarray, counters: np.ndarray, n_steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the losses and counters of a shorter run, of `n_steps` steps, in the form of this run.

        Losses that the shorter run did not record are NaN.
        """

    def snapshot(self, instead_of: Self | None = None) -> Self:
        """Return a copy that can be advanced independently. It takes over the memory of `instead_of`."""
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
        """Return an array of this shape and dtype, for a copy."""
        return np.empty_like(array)

    @abstractmethod
    def was_copied(self) -> None:
        """Drop what belongs to the run of which this one is a copy."""
