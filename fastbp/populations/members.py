"""The networks of a population in training: those of the run, and those that have ended before the others."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp.training.stopping import StopReason

REASONS = (
    StopReason.COMPLETED,
    StopReason.INTERRUPTED,
    StopReason.EARLY_STOPPING,
    StopReason.MAX_SECONDS,
    StopReason.CALLBACK,
    StopReason.LEARNING_RATE_EXHAUSTED,
    StopReason.DIVERGED,
    StopReason.GOAL,
)
"""All reasons, in an order that stays: checkpoints have their places in it."""

ACTIVE = -1
"""Stands for a stop reason, an index into `REASONS`, as long as a network is trained."""

WORTH_PACKING = 2
"""The run is packed when there are this many times as many networks in it as still train."""


class Members:
    """A run, and what the networks left that are not in it any more.

    The run starts with all networks. A network that ends is frozen in it. When few are left, the run of these
    goes on alone, so that the others take no time.

    Parameters
    ----------
    run : PopulationRun
    theta : ndarray, shape (n_networks, n_parameters)
        The parameters at the start.

    Attributes
    ----------
    run : PopulationRun
    numbers : int64[n_rows]
        The networks in the run, by their numbers in the population.
    reasons : int8[n_networks]
        Why a network ended, an index into `REASONS`; -1 while it is trained.
    diverged_at : int64[n_networks]
        The first bad step of a network that diverged; -1 for the others.
    """

    def __init__(self, run: Any, theta: np.ndarray):
        self.run, self._shape, self._dtype = run, theta.shape, theta.dtype
        self.numbers = np.arange(len(theta))
        self.reasons = np.full(len(theta), ACTIVE, np.int8)
        self.diverged_at = np.full(len(theta), -1)
        self._steps_of_ended = np.zeros(len(theta), np.int64)
        self._theta_of_others: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.reasons)

    @property
    def step(self) -> int:
        """The step that every network in training has taken."""
        return int(self.run.step)

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch."""
        return int(self.run.steps_per_epoch)

    @property
    def active(self) -> np.ndarray:
        """Whether each network of the population is still trained."""
        return self.reasons == ACTIVE

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Return values of the run's networks as values of all, NaN for those that have ended.

        The networks are the last dimension.
        """
        if len(self.numbers) == len(self):
            everyone = np.array(values, np.float64)
        else:
            everyone = np.full((*values.shape[:-1], len(self)), np.nan)
            everyone[..., self.numbers] = values
        if not (active := self.active).all():
            everyone[..., ~active] = np.nan
        return everyone

    def advance(self, until: int, is_stopped: Callable[[], bool]) -> None:
        """Train to a step, or until `is_stopped` says that the run must stop."""
        self.run.advance(until, is_stopped)

    def take_losses(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the epochs that the run has recorded since the last call, and the losses of all networks."""
        epochs, losses = self.run.take_losses()
        return epochs, self.spread(losses)

    def find_diverged(self) -> None:
        """Take note of the networks that the run has frozen."""
        diverged_at = self.run.diverged_at
        if diverged_at.max() < 0:
            return
        found = (diverged_at >= 0) & (self.reasons[self.numbers] == ACTIVE)
        if found.any():
            self.reasons[self.numbers[found]] = REASONS.index(StopReason.DIVERGED)
            self.diverged_at[self.numbers[found]] = diverged_at[found]
            self._steps_of_ended[self.numbers[found]] = self.run.n_steps[found]

    def end(self, which: np.ndarray, reason: StopReason) -> None:
        """End the training of some networks; `which` has a bool for each network of the population."""
        ending = which & self.active
        if not ending.any():
            return
        self._steps_of_ended[ending] = self.step
        self.reasons[ending] = REASONS.index(reason)
        self.run.freeze(ending[self.numbers])

    def pack(self) -> None:
        """Let the run go on without the networks that have ended, if these are more than half of it."""
        n_active = np.count_nonzero(self.active)
        if n_active > 0 and WORTH_PACKING * n_active <= len(self.numbers):
            self._keep(np.flatnonzero(self.reasons[self.numbers] == ACTIVE))

    def _keep(self, rows: np.ndarray) -> None:
        others = self.theta()
        self.run = self.run.select(rows)
        self.numbers, self._theta_of_others = self.numbers[rows], others

    def theta(self) -> np.ndarray:
        """Return the present parameters of all networks."""
        theta = np.empty(self._shape, self._dtype)
        self.copy_theta_to(theta)
        return theta

    def copy_theta_to(self, theta: np.ndarray) -> None:
        """Write the present parameters of all networks into an array."""
        if self._theta_of_others is None:
            self.run.copy_theta_to(theta)
        else:
            theta[:] = self._theta_of_others
            theta[self.numbers] = self.run.theta

    def n_steps(self) -> np.ndarray:
        """Return how many steps each network has taken."""
        n_steps, active = self._steps_of_ended.copy(), self.active
        rows = active[self.numbers]
        n_steps[self.numbers[rows]] = self.run.n_steps[rows]
        return n_steps

    def state(self) -> dict[str, np.ndarray]:
        """Return all arrays that training changes, for a checkpoint."""
        state = {f"run.{name}": _storable(array) for name, array in self.run.state().items()}
        state |= {
            "numbers": self.numbers,
            "reasons": self.reasons.astype(np.int64),
            "diverged_at": self.diverged_at,
            "steps_of_ended": self._steps_of_ended,
        }
        if self._theta_of_others is not None:
            state["theta_of_others"] = self._theta_of_others
        return state

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go to a state, before the first step."""
        n, numbers, reasons = len(self), state["numbers"], state["reasons"]
        sound = (
            numbers.ndim == 1
            and numbers.dtype == reasons.dtype == np.int64
            and 0 < len(numbers) <= n
            and bool((np.diff(numbers, prepend=-1) > 0).all())
            and numbers[-1] < n
            and reasons.shape == state["steps_of_ended"].shape == state["diverged_at"].shape == (n,)
            and bool(((reasons >= ACTIVE) & (reasons < len(REASONS))).all())
        )
        if not sound:
            raise ValueError("the networks of the checkpoint are not those of a population")
        if len(numbers) < n:
            self._keep(numbers)
            self._theta_of_others = _like(state["theta_of_others"], self._shape)
        self.reasons = reasons.astype(np.int8)
        self._steps_of_ended, self.diverged_at = state["steps_of_ended"].copy(), state["diverged_at"].copy()
        own = {name.removeprefix("run."): array for name, array in state.items() if name.startswith("run.")}
        expected = {name: _storable(array) for name, array in self.run.state().items()}
        if {name: (array.shape, array.dtype) for name, array in own.items()} != {
            name: (array.shape, array.dtype) for name, array in expected.items()
        }:
            raise ValueError("the run of the checkpoint has other arrays than this one")
        self.run.restore(own)


def _storable(array: np.ndarray) -> np.ndarray:
    """Return an array in a type that files have: they have no short integers."""
    return array.astype(np.int64) if array.dtype == np.int32 else array


def _like(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if array.shape != shape:
        raise ValueError(f"the parameters of the checkpoint have shape {array.shape}")
    return array.copy()
