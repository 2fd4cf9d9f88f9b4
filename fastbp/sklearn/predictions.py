"""Outputs as predictions: what perceptrons and ensembles of them have in common."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin, RegressorMixin

from fastbp.sklearn.labels import Labels


class PredictsClasses(ClassifierMixin):
    """A classifier: its `_outputs` for X from outside are probabilities, and its `_labels` say of what."""

    _labels: Labels
    _outputs: Callable[[Any], np.ndarray]

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the predicted labels.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)

        Returns
        -------
        ndarray, shape (n_samples,) or (n_samples, n_classes)
        """
        outputs = self._outputs(X)
        return self._labels.decode(outputs)

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Return the probability of each class, in the order of `classes_`.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)

        Returns
        -------
        ndarray, shape (n_samples, n_classes)
        """
        outputs = self._outputs(X)
        return np.hstack([1 - outputs, outputs]) if outputs.shape[1] == 1 else outputs

    def predict_log_proba(self, X: ArrayLike) -> np.ndarray:
        """Return the logarithm of what `predict_proba` returns."""
        probabilities = self.predict_proba(X)
        return np.log(probabilities, out=probabilities)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class PredictsNumbers(RegressorMixin):
    """A regressor: its `_outputs` for X from outside are its predictions, shape (n_samples, n_outputs)."""

    _outputs: Callable[[Any], np.ndarray]

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the predicted targets.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)

        Returns
        -------
        ndarray, shape (n_samples,) or (n_samples, n_outputs)
        """
        outputs = self._outputs(X)
        return outputs.ravel() if outputs.shape[1] == 1 else outputs
