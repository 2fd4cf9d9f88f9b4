"""Scores of predictions, as commands show them."""

from dataclasses import dataclass

import numpy as np

from fastbp.network import Network
from fastbp.preprocessing import ClassTarget, Preprocessing
from fastbp.training.metrics import Decisions, accuracy, r2


@dataclass(frozen=True)
class Score:
    """A measure of how good predictions are.

    Attributes
    ----------
    name : {"accuracy", "r2", "rmse", "loss"}
    value : float
    """

    name: str
    value: float

    @property
    def label(self) -> str:
        """The name as a table shows it."""
        return {"r2": "R2", "rmse": "RMSE"}.get(self.name, self.name)

    def __str__(self) -> str:
        if self.name == "accuracy":
            return f"{100 * self.value:.1f} %"
        if self.name == "r2" and not abs(self.value) >= 1e4:
            return f"{self.value:.3f}"
        return f"{self.value:#.4g}".rstrip(".")


@np.errstate(all="ignore")
def scores(preprocessing: Preprocessing, outputs: np.ndarray, Y: np.ndarray) -> list[Score]:
    """Return the accuracy of a classifier's outputs; R2 and the root mean square error of a regression's.

    Parameters
    ----------
    preprocessing : Preprocessing
    outputs : ndarray, shape (n_samples, n_outputs)
        The outputs of the network.
    Y : ndarray
        Class labels, shape (n_samples,), or standardised targets, shape (n_samples, 1).
    """
    if isinstance(preprocessing.target, ClassTarget):
        return [Score("accuracy", accuracy(Decisions(True), Y, outputs))]
    with np.errstate(over="ignore", invalid="ignore"):  # outputs may be infinite
        errors = (outputs.astype(np.float64) - Y) * preprocessing.target.scale
        return [Score("r2", r2(Y, outputs)), Score("rmse", float(np.sqrt(np.mean(errors**2))))]


def evaluate(network: Network, X: np.ndarray, Y: np.ndarray) -> list[Score]:
    """Return the loss and the scores of a network with preprocessing."""
    assert network.preprocessing is not None
    loss = Score("loss", network.loss(X, Y))
    return [loss, *scores(network.preprocessing, network.predict(X), Y)]
