"""Callbacks on a population: the user's functions that are called after every epoch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from fastbp.errors import OptionError, shown
from fastbp.populations.networks import Population


@dataclass(eq=False)
class PopulationState:
    """What a callback of `fastbp.train_population` receives after an epoch.

    Attributes
    ----------
    epoch : int
        Epochs that have ended; 1 after the first.
    step, n_steps : int
        Steps taken, and steps of the whole run.
    loss : ndarray of float64, shape (n_networks,)
        The losses of this epoch; NaN for a network that is not trained any more.
    validation_loss : ndarray of float64, shape (n_networks,), or None
        The losses over the validation data, if there are any, at the present parameters.
    metrics : dict of ndarray
        The metrics by the names that they have in the history.
    active : ndarray of bool, shape (n_networks,)
        Whether each network is still trained.
    """

    epoch: int
    step: int
    n_steps: int
    loss: np.ndarray
    validation_loss: np.ndarray | None
    metrics: Mapping[str, np.ndarray]
    active: np.ndarray
    make_population: Callable[[], Population] = field(repr=False)
    stopped: np.ndarray = field(repr=False)

    @cached_property
    def population(self) -> Population:
        """The population at the present parameters, a copy. It is made when it is first asked for."""
        return self.make_population()

    def stop(self, which: Any = None) -> None:
        """End the training of all networks after this epoch, or of those that are chosen.

        Parameters
        ----------
        which : slice, or array_like of int or bool, optional
            Networks by their numbers in the population.

        Raises
        ------
        OptionError, IndexError
            If it chooses no networks of this population.
        """
        try:
            self.stopped[slice(None) if which is None else which] = True
        except (TypeError, ValueError):
            raise OptionError(
                f"which is {shown(which)}, and must choose networks: by integers, booleans or a slice"
            ) from None


@dataclass(frozen=True)
class PopulationCallbacks:
    """Calls the callbacks of a run."""

    functions: tuple[Callable[[Any], object], ...]
    call_function: Callable[..., object]

    def call(self, state: PopulationState) -> np.ndarray:
        """Call all of them after an epoch; return which networks they stop."""
        for function in self.functions:
            self.call_function(function, state)
        return state.stopped
