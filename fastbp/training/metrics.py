"""Metrics: functions of the targets and the network's outputs that `train` evaluates after every epoch."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from fastbp.errors import OptionError, as_float, check_choice, check_sequence, is_flag, shown

Metric = Callable[[np.ndarray, np.ndarray], float]

RESERVED = ("epoch", "step", "loss", "learning_rate", "validation_loss")
"""The other columns of a history. A metric cannot have one of these names."""


@np.errstate(all="ignore")
def accuracy(Y_true: np.ndarray, Y_pred: np.ndarray) -> float:
    """Return the fraction of samples whose class is predicted correctly.

    The class is the index of the largest output. With one output, it is whether that is at least 1/2.

    Parameters
    ----------
    Y_true : ndarray, shape (n_samples, n_outputs), or class labels, shape (n_samples,)
    Y_pred : ndarray, shape (n_samples, n_outputs)

    Examples
    --------
    >>> accuracy(np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])).round(3)
    np.float64(0.667)
    """
    return np.mean(_classes(Y_true) == _classes(Y_pred))


def _classes(Y: np.ndarray) -> np.ndarray:
    if Y.ndim == 1:
        return Y
    return Y.argmax(axis=1) if Y.shape[1] > 1 else Y[:, 0] >= 0.5


@np.errstate(all="ignore")
def r2(Y_true: np.ndarray, Y_pred: np.ndarray) -> float:
    """Return the coefficient of determination, ``1 - sum (y - p)^2 / sum (y - mean y)^2``.

    It is the unweighted mean over outputs. If all targets of an output are equal, the output counts as 1 if
    it is predicted without an error, and as 0 otherwise, as in scikit-learn.

    Parameters
    ----------
    Y_true, Y_pred : ndarray, shape (n_samples, n_outputs)

    Examples
    --------
    >>> r2(np.array([[1.0], [2.0], [3.0]]), np.array([[1.0], [2.0], [4.0]]))
    0.5
    """
    if Y_true.ndim == 1:
        raise OptionError("metric 'r2' is for targets that are numbers, and Y holds class labels")
    Y_true = Y_true.astype(np.float64)
    rest = ((Y_true - Y_pred) ** 2).sum(axis=0)
    spread = ((Y_true - Y_true.mean(axis=0)) ** 2).sum(axis=0)
    exact = np.where(rest == 0, 1.0, 0.0)
    return float(np.mean(np.where(spread > 0, 1 - rest / np.where(spread > 0, spread, 1.0), exact)))


NAMED: dict[str, Metric] = {"accuracy": accuracy, "r2": r2}
"""Metrics that have a name. For all of them, higher is better."""


def check_metrics(metrics: Iterable[str | Metric]) -> dict[str, Metric]:
    """Return the functions by their names, or say what is wrong."""
    checked: dict[str, Metric] = {}
    for i, metric in enumerate(check_sequence("metrics", metrics, "['accuracy']")):
        name, function = check_metric(f"metrics[{i}]", metric)
        if name in checked:
            raise OptionError(f"metrics[{i}] is the second with the name {name!r}; give it another __name__")
        checked[name] = function
    return checked


def check_metric(argument: str, metric: str | Metric) -> tuple[str, Metric]:
    """Return the name and the function of a metric, or say what is wrong."""
    if isinstance(metric, str):
        return metric, NAMED[check_choice(argument, metric, NAMED)]
    if not callable(metric):
        raise OptionError(f"{argument} is {metric!r}, and must be a function or one of {', '.join(NAMED)}")
    name = getattr(metric, "__name__", type(metric).__name__)
    if name in RESERVED:
        raise OptionError(f"{argument} has the name {name!r}, which a history has already")
    return name, metric


def check_value(name: str, value: Any) -> float:
    """Return the result of a metric as a float, or raise if it is not a number."""
    number = float(value) if is_flag(value) else as_float(value)
    if number is None:
        raise OptionError(f"metric {name!r} returned {shown(value)}, and must return one number")
    return number
