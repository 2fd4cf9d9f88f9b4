"""Scores of predictions, as commands show them."""

from dataclasses import dataclass

import numpy as np

from fastbp.data import scoring
from fastbp.network import Network
from fastbp.preprocessing import Preprocessing


@dataclass(frozen=True)
class Score:
    """A measure of how good predictions are.

    Attributes
    ----------
    name : str
        "accuracy", "r2", "rmse" or "loss"; with the target's name behind it, if it is of one of several.
    value : float
    """

    name: str
    value: float

    @property
    def label(self) -> str:
        """The name as a table shows it."""
        name, *target = self.name.split(" ", 1)
        return " ".join([{"r2": "R2", "rmse": "RMSE"}.get(name, name), *target])

    def __str__(self) -> str:
        if self.name.startswith("accuracy"):
            return f"{100 * self.value:.1f} %"
        if self.name == "r2" and not abs(self.value) >= 1e4:
            return f"{self.value:.3f}"
        return f"{self.value:#.4g}".rstrip(".")


def scores(preprocessing: Preprocessing, outputs: np.ndarray, Y: np.ndarray) -> list[Score]:
    """Return the scores of a network's outputs: see `fastbp.data.scoring`."""
    return [Score(name, value) for name, value in scoring.scores(preprocessing, outputs, Y).items()]


def evaluate(network: Network, X: np.ndarray, Y: np.ndarray) -> list[Score]:
    """Return the loss and the scores of a network with preprocessing."""
    assert network.preprocessing is not None
    loss = Score("loss", network.loss(X, Y))
    return [loss, *scores(network.preprocessing, network.predict(X, prepared=True), Y)]
