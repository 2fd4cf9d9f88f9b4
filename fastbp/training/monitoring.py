"""What the loop does besides training; the options for it, checked before the run starts."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastbp.checks import check_data
from fastbp.errors import FastbpError, OptionError, check_flag, check_integer, check_number
from fastbp.options import option
from fastbp.training.callbacks import check_callbacks
from fastbp.training.checkpoint import Checkpoint
from fastbp.training.early_stopping import EarlyStopping, MonitoredColumn, find_goals, find_monitored_column
from fastbp.training.metrics import Metric, NamedMetric, check_metrics


@dataclass(frozen=True, eq=False, kw_only=True)
class MonitoringOptions:
    """The options of `fastbp.train` for the loop. They are checked here, and completed.

    Attributes
    ----------
    validation_data : (ndarray, ndarray), optional
        As `check_validation_data` returns them.
    metrics : dict of function
        The functions by their names, with the one that early stopping adds.
    monitored : MonitoredColumn or None
        The column that early stopping looks at.
    goals : tuple of (MonitoredColumn, float)
        The columns of the goals, with their values.
    """

    validation_data: tuple[np.ndarray, np.ndarray] | None = option(None, decides_result=True)
    metrics: dict[str, Metric | NamedMetric] = option((), decides_result=True)
    early_stopping: EarlyStopping | None = option(None, decides_result=True)
    goal: Any = option(None, decides_result=True)
    every: int = option(1, decides_result=True)
    callbacks: tuple[Callable[[Any], object], ...] = option((), decides_result=False)
    checkpoint: Checkpoint | None = option(None, decides_result=False)
    resume: bool | str = option("auto", decides_result=False)
    max_seconds: float | None = option(None, decides_result=False)
    progress: bool | str = option("auto", decides_result=False)
    monitored: MonitoredColumn | None = field(default=None, init=False)
    goals: tuple[tuple[MonitoredColumn, float], ...] = field(default=(), init=False)

    def __post_init__(self) -> None:
        settled: dict[str, Any] = vars(self)  # a frozen dataclass may write what it settles here
        metrics, stopping = check_metrics(self.metrics), self.early_stopping
        if stopping is not None:
            if not isinstance(stopping, EarlyStopping):
                raise OptionError(f"early_stopping is {stopping!r}, and must be a fastbp.EarlyStopping")
            validates = self.validation_data is not None
            settled["monitored"], metrics = find_monitored_column(stopping, metrics, validates)
        settled["goals"], metrics = find_goals(self.goal, metrics, self.validation_data is not None)
        settled["goal"] = tuple((column.name, value) for column, value in self.goals) or None
        settled["metrics"] = metrics
        settled["every"] = check_integer("every", self.every, 1)
        if (
            stopping is not None
            and self.every == 1
            and any(rule.needs_strips for rule in stopping.whole_rule)
        ):
            raise OptionError(
                f"early_stopping.rule is {stopping.rule}, and every is 1; progress is measured over the "
                "epochs between two evaluations, so every must be 2 or more, such as 5"
            )
        if self.max_seconds is not None:
            settled["max_seconds"] = check_number("max_seconds", self.max_seconds, above=True)
        if self.checkpoint is not None and not isinstance(self.checkpoint, Checkpoint):
            raise OptionError(f"checkpoint is {self.checkpoint!r}, and must be a fastbp.Checkpoint")
        settled["resume"] = _check_auto("resume", self.resume)
        settled["progress"] = _check_auto("progress", self.progress)
        if self.resume is True and self.checkpoint is None:
            raise OptionError(
                "resume is True, and there is no checkpoint to resume from; give checkpoint, too"
            )
        settled["callbacks"] = check_callbacks(self.callbacks)

    @property
    def watches(self) -> bool:
        """Whether anything is to be done before the end of the run, or shown."""
        return (
            self.validation_data is not None
            or bool(self.metrics)
            or self.early_stopping is not None
            or bool(self.goals)
            or bool(self.callbacks)
            or self.checkpoint is not None
            or self.max_seconds is not None
            or self.progress is True
        )


def _check_auto(argument: str, value: bool | str) -> bool | str:
    return value if isinstance(value, str) and value == "auto" else check_flag(argument, value, ("auto",))


def check_validation_data(network: Any, validation_data: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Return checked inputs and targets for a network or a population; None if there are none."""
    if validation_data is None:
        return None
    if not isinstance(validation_data, tuple | list) or len(validation_data) != 2:
        raise OptionError("validation_data must be a pair (X, Y) of inputs and targets")
    try:
        X, Y = check_data(network.specification, *validation_data)
    except FastbpError as error:
        raise type(error)(f"validation_data: {error}") from None
    return apart(X, network.theta), apart(Y, network.theta)


def apart(array: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """Return the array, or a copy if it shares memory with the parameters: training writes to them."""
    return array.copy() if np.may_share_memory(array, theta) else array
