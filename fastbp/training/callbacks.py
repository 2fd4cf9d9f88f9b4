"""Callbacks: the user's functions that are called after every epoch."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastbp.errors import OptionError, check_sequence
from fastbp.network import Network
from fastbp.training.interrupts import Interrupts


@dataclass(eq=False)
class EpochState:
    """What a callback receives after an epoch.

    Attributes
    ----------
    epoch : int
        Epochs that have ended; 1 after the first.
    step, n_steps : int
        Steps taken, and steps of the whole run.
    loss : float
        The loss of this epoch, as in `TrainingResult.loss_curve`.
    validation_loss : float or None
        The loss over the validation data, if there are any, at the present parameters.
    metrics : dict of float
        The metrics by the names that they have in `TrainingResult.history`.
    learning_rate : float
        The learning rate of the last step.
    network : Network
        The network with the present parameters. Writing into it has no effect on the run.
    """

    epoch: int
    step: int
    n_steps: int
    loss: float
    validation_loss: float | None
    metrics: Mapping[str, float]
    learning_rate: float
    network: Network = field(repr=False)
    stopped: bool = field(default=False, repr=False)

    def stop(self) -> None:
        """End the run after this epoch."""
        self.stopped = True


class Callbacks:
    """Calls the callbacks of a run, each with the network at the parameters of the epoch.

    Parameters
    ----------
    functions : tuple of callable
    network : Network
    n_steps : int
        Steps of the whole run.
    columns : tuple of str
        The columns of the history: loss, learning rate, what is evaluated.
    interrupts : Interrupts
    """

    def __init__(
        self,
        functions: tuple[Callable[[Any], object], ...],
        network: Network,
        n_steps: int,
        columns: tuple[str, ...],
        interrupts: Interrupts,
    ):
        self._functions, self._network, self._n_steps = functions, network, n_steps
        self._interrupts = interrupts
        # A memory view is written to in a third of the time, even if a callback makes the array read-only.
        self._theta = network.theta.data
        self._validates = "validation_loss" in columns
        self._names = columns[2 + self._validates :]

    def call(self, epoch: int, step: int, row: list[float], theta: memoryview) -> bool:
        """Call all of them after an epoch, with its row of the history; return whether one stops the run."""
        metrics = dict(zip(self._names, row[2 + self._validates :], strict=True)) if self._names else {}
        validation_loss = row[2] if self._validates else None
        state = EpochState(
            epoch, step, self._n_steps, row[0], validation_loss, metrics, row[1], self._network
        )
        for function in self._functions:
            self._theta[:] = theta
            self._interrupts.call(function, state)
        return state.stopped


def check_callbacks(callbacks: Iterable[Any]) -> tuple[Callable[[Any], object], ...]:
    """Return the functions to call, or say what is wrong."""
    checked = []
    for i, callback in enumerate(check_sequence("callbacks", callbacks, "[callback]")):
        function = getattr(callback, "on_epoch_end", callback)
        if not callable(function):
            raise OptionError(f"callbacks[{i}] is {callback!r}, and must be a function, or have on_epoch_end")
        checked.append(function)
    return tuple(checked)
