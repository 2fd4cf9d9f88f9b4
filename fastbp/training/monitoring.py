"""What the loop does beside training, checked before the run starts."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp.checks import check_data
from fastbp.errors import FastbpError, OptionError, check_flag, check_number, check_sequence
from fastbp.network import Network
from fastbp.training.checkpoint import Checkpoint
from fastbp.training.early_stopping import EarlyStopping, Monitor, find_monitor
from fastbp.training.metrics import Metric, check_metrics


@dataclass(frozen=True, eq=False)
class MonitoringOptions:
    """The loop's settings."""

    validation_data: tuple[np.ndarray, np.ndarray] | None
    metrics: dict[str, Metric]
    early_stopping: EarlyStopping | None
    monitor: Monitor | None
    callbacks: tuple[Callable[[Any], object], ...]
    checkpoint: Checkpoint | None
    resume: bool | str
    max_seconds: float | None
    progress: bool | str

    @property
    def every_epoch(self) -> bool:
        """Whether there is something to do after every epoch."""
        return bool(self.validation_data or self.metrics or self.early_stopping or self.callbacks)


def make_monitoring_options(
    network: Network,
    *,
    validation_data: Any,
    metrics: Iterable[str | Metric],
    early_stopping: EarlyStopping | None,
    callbacks: Iterable[Any],
    checkpoint: Checkpoint | None,
    resume: bool | str,
    max_seconds: float | None,
    progress: bool | str,
) -> MonitoringOptions:
    """Check the arguments of `fastbp.train` that the loop is for."""
    validation = None if validation_data is None else _check_validation(network, validation_data)
    checked, monitor = check_metrics(metrics), None
    if early_stopping is not None:
        if not isinstance(early_stopping, EarlyStopping):
            raise OptionError(f"early_stopping is {early_stopping!r}, and must be a fastbp.EarlyStopping")
        monitor, checked = find_monitor(early_stopping, checked, validation is not None)
    if max_seconds is not None:
        max_seconds = check_number("max_seconds", max_seconds, above=True)
    if checkpoint is not None and not isinstance(checkpoint, Checkpoint):
        raise OptionError(f"checkpoint is {checkpoint!r}, and must be a fastbp.Checkpoint")
    resume, progress = _check_auto("resume", resume), _check_auto("progress", progress)
    if resume is True and checkpoint is None:
        raise OptionError("resume is True, and there is no checkpoint to resume from; give checkpoint, too")
    return MonitoringOptions(
        validation_data=validation,
        metrics=checked,
        early_stopping=early_stopping,
        monitor=monitor,
        callbacks=_check_callbacks(callbacks),
        checkpoint=checkpoint,
        resume=resume,
        max_seconds=max_seconds,
        progress=progress,
    )


def _check_auto(argument: str, value: bool | str) -> bool | str:
    return value if isinstance(value, str) and value == "auto" else check_flag(argument, value, ("auto",))


def _check_validation(network: Network, validation_data: Any) -> tuple[np.ndarray, np.ndarray]:
    if not isinstance(validation_data, tuple | list) or len(validation_data) != 2:
        raise OptionError("validation_data must be a pair (X, Y) of inputs and targets")
    try:
        X, Y = check_data(network.specification, *validation_data)
    except FastbpError as error:
        raise type(error)(f"validation_data: {error}") from None
    return apart(X, network), apart(Y, network)


def apart(array: np.ndarray, network: Network) -> np.ndarray:
    """Return the array, or a copy if it views the parameters, which the loop writes to while it trains."""
    return array.copy() if np.may_share_memory(array, network.theta) else array


def _check_callbacks(callbacks: Iterable[Any]) -> tuple[Callable[[Any], object], ...]:
    checked = []
    for i, callback in enumerate(check_sequence("callbacks", callbacks, "[callback]")):
        function = getattr(callback, "on_epoch_end", callback)
        if not callable(function):
            raise OptionError(f"callbacks[{i}] is {callback!r}, and must be a function, or have on_epoch_end")
        checked.append(function)
    return tuple(checked)
