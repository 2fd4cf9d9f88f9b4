"""The mean of several models."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbp.data.model import Model
from fastbp.errors import OptionError
from fastbp.greedy_selection import greedy_selection
from fastbp.loss_of_outputs import losses_of_outputs
from fastbp.preprocessing import Preprocessing
from fastbp.sweeping.winners import Winners


class Ensemble:
    """Several models, whose outputs are averaged.

    Attributes
    ----------
    models : list of Model
    counts : ndarray of int64
        How often each counts.
    loss : float
        The validation loss of the mean.

    Examples
    --------
    >>> import fastbp
    >>> import numpy as np
    >>> X = np.random.default_rng(0).uniform(-1, 1, (200, 2))
    >>> result = fastbp.sweep(X, X[:, 0] * X[:, 1], {"hidden": [4, 8]}, 20, epochs=9)
    >>> ensemble = result.ensemble(size=5)
    >>> int(ensemble.counts.sum()) <= 5, ensemble.predict(X).shape, ensemble.loss <= result.best["loss"]
    (True, (200,), True)
    """

    def __init__(self, models: Sequence[Model], counts: np.ndarray, loss: float):
        self.models, self.counts, self.loss = list(models), counts, loss

    def __repr__(self) -> str:
        return f"Ensemble({len(self.models)} models, loss {self.loss:.4g})"

    @property
    def _preprocessing(self) -> Preprocessing:
        return self.models[0].preprocessing

    @property
    def labels(self) -> tuple[Any, ...]:
        """The labels that may be predicted, in the order of `predict_proba`; empty for numbers."""
        return self.models[0].labels

    def predict(self, data: Any, **options: Any) -> np.ndarray:
        """Return labels, or numbers in the unit of the target.

        Parameters
        ----------
        data, **options
            As for `Model.predict`.
        """
        if self._preprocessing.is_of_classes:
            return self._preprocessing.decode(self.predict_proba(data, **options))
        return self._mean([model.predict(data, **options) for model in self.models])

    def predict_proba(self, data: Any, **options: Any) -> np.ndarray:
        """Return the mean of the models' probabilities of each label, in the order of `labels`.

        Parameters
        ----------
        data, **options
            As for `Model.predict_proba`.
        """
        return self._mean([model.predict_proba(data, **options) for model in self.models])

    def predict_std(self, data: Any, **options: Any) -> np.ndarray:
        """Return how far the models differ: the standard deviation of their predictions of numbers.

        Parameters
        ----------
        data, **options
            As for `Model.predict`.
        """
        if self._preprocessing.is_of_classes:
            raise OptionError("predict_std is for numbers, and these predict labels; see predict_proba")
        each = [model.predict(data, **options) for model in self.models]
        mean = self._mean(each)
        return np.sqrt(self._mean([(one - mean) ** 2 for one in each]))

    def _mean(self, each: Sequence[np.ndarray]) -> np.ndarray:
        return np.average(np.array(each), axis=0, weights=self.counts)


def make_ensemble(winners: Winners, size: int, *, refit: bool) -> Ensemble:
    """Return the ensemble that greedy selection makes of some trials.

    Parameters
    ----------
    winners : Winners
    size : int
    refit : bool
        Whether its members are trained on all rows; else they are those of the first fold.
    """
    datasets = winners.folds.datasets
    models = [winners.of_fold(fold) for fold in range(len(datasets))]
    parts, targets = [], []
    for of_fold, dataset in zip(models, datasets, strict=True):
        X, Y_of_fold = dataset.validation_data or (dataset.X[:0], dataset.Y[:0])
        parts.append(np.stack([model.network.predict(X, prepared=True) for model in of_fold]))
        targets.append(Y_of_fold)
    outputs, Y = np.concatenate(parts, axis=1), np.concatenate(targets)
    loss_name = models[0][0].network.loss_name
    counts = greedy_selection(outputs, lambda means: losses_of_outputs(loss_name, means, Y), size)
    chosen = np.flatnonzero(counts)
    mean = np.average(outputs[chosen], axis=0, weights=counts[chosen])
    members = winners.of_all_rows() if refit else models[0]
    return Ensemble(
        [members[i] for i in chosen], counts[chosen], float(losses_of_outputs(loss_name, mean, Y))
    )
