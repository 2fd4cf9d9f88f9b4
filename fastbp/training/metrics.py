"""Metrics: functions of the targets and the network's outputs that `train` evaluates after every epoch."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from fastbp.errors import OptionError, as_float, check_choice, check_sequence, is_flag, shown
from fastbp.specification import Specification

Metric = Callable[[np.ndarray, np.ndarray], float]

RESERVED = ("epoch", "step", "loss", "learning_rate", "validation_loss")
"""The other columns of a history. A metric cannot have one of these names."""


# --- what targets and outputs say --------------------------------------------------------------------


@dataclass(frozen=True)
class Decisions:
    """How targets and outputs are read as classes.

    Attributes
    ----------
    one_of_many : bool
        Whether each sample has exactly one of the classes: that of the largest output. If not, each output
        decides for itself.
    threshold : float
        An output decides for yes from here on.
    """

    one_of_many: bool
    threshold: float = 0.5

    def classes(self, Y: np.ndarray) -> np.ndarray:
        """Return what targets or outputs say: labels, shape (n_samples,), or booleans, shaped as Y."""
        if Y.ndim == 1:
            return Y
        return Y.argmax(axis=1) if self.one_of_many else self.threshold <= Y

    def questions(self, Y: np.ndarray, n_outputs: int) -> np.ndarray:
        """Return the same as answers yes or no: of two classes, whether it is the second; else for each."""
        classes = self.classes(Y)
        if not self.one_of_many:
            return classes
        return classes[:, None] == (np.arange(n_outputs) if n_outputs > 2 else np.array([1]))


def find_decisions(specification: Specification, Y: np.ndarray) -> Decisions | str:
    """Return how targets and outputs are read as classes, or why they are none.

    - Class labels, or softmax: the largest output.
    - Targets of two values, 0 and 1, -1 and 1, or any two on both sides of 1/2 with sigmoid: if each sample
      has exactly one high target of several, the largest output; else each output decides for itself, from
      halfway between the two values on.
    - binary_cross_entropy with other targets, which are probabilities: each output for itself, from 1/2 on.

    Examples
    --------
    >>> network = Specification([4, 3])
    >>> find_decisions(network, np.array([[1, 0, 0], [0, 0, 1]]))
    Decisions(one_of_many=True, threshold=0.5)
    >>> find_decisions(network, np.array([[1, 1, 0], [0, 0, 1]]))
    Decisions(one_of_many=False, threshold=0.5)
    >>> find_decisions(Specification([4, 1], output_activation="tanh"), np.array([[-1], [1]]))
    Decisions(one_of_many=False, threshold=0.0)
    """
    if Y.ndim == 1 or specification.output_activation == "softmax":
        return Decisions(True)
    low, high = float(Y.min()), float(Y.max())
    is_probability = specification.loss_name == "binary_cross_entropy"
    between = np.argwhere((low != Y) & (high != Y))
    if len(between):
        if is_probability:
            return Decisions(False)
        row, column = between[0]
        return f"Y has more than two values, such as {low:g}, {high:g} and {Y[row, column]:g}"
    pairs = {(0.0, 1.0), (-1.0, 1.0)}
    is_sigmoid = specification.output_activation == "sigmoid" and 0 <= low < 0.5 < high <= 1
    if (low, high) not in pairs and not is_sigmoid:
        if low == high and low in (-1.0, 0.0, 1.0):
            return Decisions(False, 0.0 if low == -1 else 0.5)
        return f"Y has the values {low:g} and {high:g}, and not 0 and 1, or -1 and 1"
    threshold = (low + high) / 2
    return Decisions(Y.shape[1] > 1 and bool((np.equal(Y, high).sum(axis=1) == 1).all()), threshold)


# --- metrics of classes ------------------------------------------------------------------------------


@np.errstate(all="ignore")
def accuracy(decisions: Decisions, Y_true: np.ndarray, Y_pred: np.ndarray) -> float:
    """Return the fraction of samples whose class is predicted right, or of outputs that decide right.

    Parameters
    ----------
    decisions : Decisions
    Y_true : ndarray, shape (n_samples, n_outputs), or class labels, shape (n_samples,)
    Y_pred : ndarray, shape (n_samples, n_outputs)

    Examples
    --------
    >>> outputs = np.array([[0.9, 0.8], [0.2, 0.8], [0.6, 0.4]])
    >>> round(accuracy(Decisions(True), np.array([0, 1, 1]), outputs), 3)
    0.667
    >>> accuracy(Decisions(False), np.array([[1, 1], [0, 1], [1, 0]]), outputs)
    1.0
    """
    return float(np.mean(decisions.classes(Y_true) == decisions.classes(Y_pred)))


@np.errstate(all="ignore")
def f1(decisions: Decisions, Y_true: np.ndarray, Y_pred: np.ndarray) -> float:
    """Return F1, ``2 TP / (2 TP + FP + FN)``, which is 0 where nothing is true and nothing predicted.

    Of two classes, it is that of the second one. Of more, it is the mean over the classes that occur in
    targets or predictions; of several outputs that decide for themselves, the mean over them (scikit-learn's
    ``average="macro"``).

    Parameters
    ----------
    decisions, Y_true, Y_pred
        As for `accuracy`.

    Examples
    --------
    >>> round(f1(Decisions(True), np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])), 3)
    0.667
    """
    true, predicted = (decisions.questions(Y, Y_pred.shape[1]) for Y in (Y_true, Y_pred))
    hits, wrong = (true & predicted).sum(axis=0), (true != predicted).sum(axis=0)
    values = np.divide(2 * hits, 2 * hits + wrong, out=np.zeros(len(hits)), where=2 * hits + wrong > 0)
    if decisions.one_of_many and len(values) > 1:
        values = values[true.any(axis=0) | predicted.any(axis=0)]
    return float(values.mean())


@np.errstate(all="ignore")
def auc(decisions: Decisions, Y_true: np.ndarray, Y_pred: np.ndarray) -> float:
    """Return the area under the ROC curve: how often a yes has a higher output than a no; ties count half.

    Of two classes, it is that of the second one. Of more, each is compared with all others, and the areas are
    averaged; so are those of several outputs that decide for themselves. A class that no sample has, or every
    sample, is left out; without any other, the area is NaN. (Hanley & McNeil 1982,
    https://doi.org/10.1148/radiology.143.1.7063747)

    Parameters
    ----------
    decisions, Y_true, Y_pred
        As for `accuracy`.

    Examples
    --------
    >>> auc(Decisions(False), np.array([[0], [0], [1], [1]]), np.array([[0.1], [0.4], [0.35], [0.8]]))
    0.75
    """
    true = decisions.questions(Y_true, Y_pred.shape[1])
    scores = Y_pred if true.shape[1] == Y_pred.shape[1] else Y_pred[:, 1:]
    areas = [
        _area(column[yes], column[~yes])
        for yes, column in zip(true.T, scores.T, strict=True)
        if 0 < yes.sum() < len(yes)
    ]
    return float(np.mean(areas)) if areas else np.nan


def _area(positive: np.ndarray, negative: np.ndarray) -> float:
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, "left") + np.searchsorted(ordered, positive, "right")
    return float(below.mean() / (2 * len(negative)))


# --- metrics of numbers ------------------------------------------------------------------------------


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
    Y_true = Y_true.astype(np.float64)
    rest = ((Y_true - Y_pred) ** 2).sum(axis=0)
    spread = spread_of(Y_true)
    exact = np.where(rest == 0, 1.0, 0.0)
    return float(np.mean(np.where(spread > 0, 1 - rest / np.where(spread > 0, spread, 1.0), exact)))


@np.errstate(all="ignore")
def spread_of(Y_true: np.ndarray) -> np.ndarray:
    """Return the sum of the squared distances from the mean, for each output."""
    Y_true = Y_true.astype(np.float64)
    spread: np.ndarray = ((Y_true - Y_true.mean(axis=0)) ** 2).sum(axis=0)
    return spread


@np.errstate(all="ignore")
def mae(Y_true: np.ndarray, Y_pred: np.ndarray) -> float:
    """Return the mean absolute error, over samples and outputs.

    Examples
    --------
    >>> mae(np.array([[1.0], [2.0]]), np.array([[1.5], [2.0]]))
    0.25
    """
    return float(np.abs(Y_true - Y_pred.astype(np.float64)).mean())


@np.errstate(all="ignore")
def rmse(Y_true: np.ndarray, Y_pred: np.ndarray) -> float:
    """Return the root of the mean squared error over samples; of several outputs, the mean of their roots.

    Examples
    --------
    >>> rmse(np.array([[1.0], [2.0]]), np.array([[1.0], [4.0]])) == 2**0.5
    True
    """
    return float(np.sqrt(((Y_true - Y_pred.astype(np.float64)) ** 2).mean(axis=0)).mean())


# --- names -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class NamedMetric:
    """A metric that has a name; what it is depends on the network and the targets: see `bound`."""

    name: str
    function: Callable[..., float]
    of_classes: bool
    higher_is_better: bool = True

    def bound(self, specification: Specification, Y: np.ndarray, evaluated: np.ndarray) -> Metric:
        """Return the function for a network that learns Y and is evaluated with other targets, or refuse."""
        if not self.of_classes:
            if 1 in (Y.ndim, evaluated.ndim):
                raise OptionError(
                    f"metric {self.name!r} is for targets that are numbers, and Y holds class labels; "
                    f"for classes there are {_names(of_classes=True)}"
                )
            return self.function
        decisions = find_decisions(specification, Y)
        if isinstance(decisions, str):
            raise OptionError(
                f"metric {self.name!r} is for classes, and this is a regression: {decisions}; "
                f"for numbers there are {_names(of_classes=False)}"
            )
        return partial(self.function, decisions)


NAMED = {
    metric.name: metric
    for metric in (
        NamedMetric("accuracy", accuracy, True),
        NamedMetric("f1", f1, True),
        NamedMetric("auc", auc, True),
        NamedMetric("r2", r2, False),
        NamedMetric("mae", mae, False, higher_is_better=False),
        NamedMetric("rmse", rmse, False, higher_is_better=False),
    )
}


def _names(*, of_classes: bool) -> str:
    return ", ".join(repr(name) for name, metric in NAMED.items() if metric.of_classes == of_classes)


def check_metrics(metrics: Iterable[str | Metric]) -> dict[str, Metric | NamedMetric]:
    """Return the metrics by their names, or say what is wrong."""
    checked: dict[str, Metric | NamedMetric] = {}
    for i, metric in enumerate(check_sequence("metrics", metrics, "['accuracy']")):
        name, function = check_metric(f"metrics[{i}]", metric)
        if name in checked:
            raise OptionError(f"metrics[{i}] is the second with the name {name!r}; give it another __name__")
        checked[name] = function
    return checked


def check_metric(argument: str, metric: str | Metric) -> tuple[str, Metric | NamedMetric]:
    """Return the name of a metric, and its function or what its name means, or say what is wrong."""
    if isinstance(metric, str):
        return metric, NAMED[check_choice(argument, metric, NAMED)]
    if not callable(metric):
        raise OptionError(f"{argument} is {metric!r}, and must be a function or one of {', '.join(NAMED)}")
    name = getattr(metric, "__name__", type(metric).__name__)
    if name in RESERVED:
        raise OptionError(f"{argument} has the name {name!r}, which a history has already")
    return name, metric


def bind(
    metrics: dict[str, Metric | NamedMetric],
    specification: Specification,
    Y: np.ndarray,
    evaluated: np.ndarray,
) -> dict[str, Metric]:
    """Return the functions, as `NamedMetric.bound` makes those that have names."""
    return {
        name: metric.bound(specification, Y, evaluated) if isinstance(metric, NamedMetric) else metric
        for name, metric in metrics.items()
    }


def check_value(name: str, value: Any) -> float:
    """Return the result of a metric as a float, or raise if it is not a number."""
    number = float(value) if is_flag(value) else as_float(value)
    if number is None:
        raise OptionError(f"metric {name!r} returned {shown(value)}, and must return one number")
    return number
