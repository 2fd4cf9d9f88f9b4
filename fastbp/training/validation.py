"""Evaluation after an epoch: losses and metrics of given data, some rows at a time, at given parameters."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from fastbp.engine import evaluation
from fastbp.engine.division import row_work
from fastbp.engine.evaluation import Predictor, with_room
from fastbp.engine.objective import QUICK_WORK, Objective
from fastbp.kernels import measures
from fastbp.specification import Specification
from fastbp.training.interrupts import Interrupts
from fastbp.training.metrics import Decisions, Metric, accuracy, check_value, mae, r2, rmse, spread_of


class Evaluation:
    """Evaluates the columns of the history that are computed after an epoch.

    Parameters
    ----------
    specification : Specification
    X, Y : ndarray
        The validation data, or the training data.
    validates : bool
        Whether they are validation data. Then their loss is evaluated, and the names of the columns say so.
    metrics : dict
        Functions by their names.
    interrupts : Interrupts
    work : float
        Multiplications between two checks for Ctrl-C.

    Notes
    -----
    What takes few multiplications is prepared once. It then takes some microseconds more than its arithmetic.
    """

    def __init__(
        self,
        specification: Specification,
        X: np.ndarray,
        Y: np.ndarray,
        *,
        validates: bool,
        metrics: dict[str, Metric],
        interrupts: Interrupts,
        work: float,
    ):
        self._specification = specification
        self.theta = with_room(np.zeros(specification.n_parameters, specification.dtype))
        self._X, self._Y, self._validates, self._metrics = X, Y, validates, metrics
        self._interrupts = interrupts
        self._rows = max(1, int(work / row_work(specification)))
        self._objective: Objective | None = None
        if len(X) <= self._rows and 3 * len(X) * specification.n_multiplications <= QUICK_WORK:
            self._objective = Objective(specification, X, Y)
            self._inputs = np.require(X, specification.dtype, ["C", "A", "W"])
            self._predictor = Predictor(specification, self.theta)
        prefix = "validation_" if validates else ""
        self._metric_columns = tuple(prefix + name for name in metrics)
        self.columns = (("validation_loss",) if validates else ()) + self._metric_columns

    def prepare(self) -> None:
        """Compile the evaluation, or load it."""
        evaluation.loss(self._specification, self.theta, self._X[:1], self._Y[:1])
        evaluation.predict(self._specification, self.theta, self._X[:1])
        if self._objective is not None:
            self._objective.value(self.theta)

    def compiled(self) -> dict[str, Any] | None:
        """Return how compiled code does the same, as words of `fields.WATCH`; None if it cannot.

        It can if this takes few multiplications, and if it has all metrics. It reads the parameters at
        `theta`.
        """
        codes = [_code(metric) for metric in self._metrics.values()]
        if self._objective is None or None in codes:
            return None
        specification, X, Y = self._specification, self._X, self._Y
        words: dict[str, Any] = {"n_evaluated": len(X), "n_measures": len(codes)}
        if self._validates:
            arrays = {"theta": self.theta, "X": X, "labels" if Y.ndim == 1 else "Y": Y}
            words["losses_job"] = evaluation.loss_job(specification, arrays)
        if not codes:
            return words
        outputs = np.empty((len(X), specification.n_outputs), specification.dtype)
        words |= {
            "outputs_job": evaluation.output_job(specification, self.theta, X, outputs),
            "outputs": outputs,
            "measures": np.array(codes, np.int64),
            "scratch": np.empty((len(X) + 1) * specification.n_outputs),
        }
        for metric in self._metrics.values():
            if decisions := _decisions_of(metric):
                words["truth"] = np.ascontiguousarray(decisions.classes(Y), np.int64)
                words["threshold"] = np.array([decisions.threshold])
        if Y.ndim == 2:
            words |= {"targets": Y, "spread": spread_of(Y)}
        return words

    def evaluate(self, theta: np.ndarray) -> dict[str, float]:
        """Return the columns' values; raise KeyboardInterrupt if Ctrl-C is pressed."""
        if self._objective is None or self._metrics:
            self.theta[:] = theta
        found = {"validation_loss": self._loss(theta)} if self._validates else {}
        if self._metrics:
            found |= zip(self._metric_columns, self._metric_values(), strict=True)
        return found

    def _loss(self, theta: np.ndarray) -> float:
        X, Y, total = self._X, self._Y, 0.0
        if self._objective is not None:
            self._interrupts.check()
            return self._objective.value(theta) * len(X) / len(X)  # the bits of the sum below
        for rows in self._slices():
            total += evaluation.loss(self._specification, self.theta, X[rows], Y[rows]) * len(X[rows])
        return total / len(X)

    def _metric_values(self) -> list[float]:
        predicted = np.empty((len(self._X), self._specification.n_outputs), self._specification.dtype)
        is_predicted = self._objective is not None and self._predictor(self._inputs, predicted)
        for rows in () if is_predicted else self._slices():
            predicted[rows] = evaluation.predict(self._specification, self.theta, self._X[rows])
        predicted.flags.writeable = False
        targets = self._Y.view()
        targets.flags.writeable = False
        return [
            check_value(name, self._interrupts.call(metric, targets, predicted))
            for name, metric in self._metrics.items()
        ]

    def _slices(self) -> Iterator[slice]:
        for start in range(0, len(self._X), self._rows):
            self._interrupts.check()
            yield slice(start, start + self._rows)


def _decisions_of(metric: Metric) -> Decisions | None:
    """Return how an accuracy reads classes; None for any other metric."""
    is_accuracy = isinstance(metric, partial) and metric.func is accuracy
    return metric.args[0] if is_accuracy else None  # type: ignore[attr-defined]


def _code(metric: Metric) -> int | None:
    """Return the code of a metric that compiled code has."""
    if decisions := _decisions_of(metric):
        return measures.LARGEST if decisions.one_of_many else measures.EACH
    codes: dict[Metric, int] = {r2: measures.R2, mae: measures.MAE, rmse: measures.RMSE}
    return codes.get(metric)
