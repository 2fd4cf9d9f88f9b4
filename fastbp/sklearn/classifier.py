"""MLPClassifier, with the parameters, results and attributes of scikit-learn's."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin
from sklearn.utils import column_or_1d
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call
from sklearn.utils.validation import validate_data

from fastbp.sklearn.labels import MULTICLASS, Labels, is_multilabel
from fastbp.sklearn.perceptron import Perceptron, has_partial_fit
from fastbp.sklearn.quick import validate_parameters


class MLPClassifier(ClassifierMixin, Perceptron):
    """Multilayer perceptron for classification, with scikit-learn's parameters, results and attributes."""

    loss = "log_loss"

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: int | np.random.RandomState | None = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun

    @property
    def _output(self) -> str:
        return "softmax" if self._labels.kind == MULTICLASS else "logistic"

    def _validated(self, X: Any, y: Any, is_incremental: bool, reset: bool) -> tuple[Any, Any]:
        if not self._takes_quickly(X, y, reset):
            X, y = validate_data(
                self,
                X,
                y,
                accept_sparse=["csr", "csc"],
                multi_output=True,
                dtype=(np.float64, np.float32),
                reset=reset,
            )
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not hasattr(self, "classes_") or not (self.warm_start or is_incremental):
            self._labels = Labels.of(y)
            self.classes_ = self._labels.classes
        elif self.warm_start:
            self._labels.check_same(y)
        else:
            self._labels.check_known(y)
        self.n_outputs_ = self._labels.n_outputs
        return X, self._labels.encode(y)

    def _encoded(self, y: Any, dtype: np.dtype) -> np.ndarray:
        if self._labels.kind == MULTICLASS:
            return np.ascontiguousarray(y, np.int64)
        return np.ascontiguousarray(y, dtype)

    def _quality(self, outputs: np.ndarray, y: Any, weights: np.ndarray | None) -> float:
        if self._labels.kind == MULTICLASS:
            right = outputs.argmax(axis=1) == y
        else:
            right = ((outputs > 0.5) == y).all(axis=1)
        return float(np.average(right, weights=weights))

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the predicted labels.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)

        Returns
        -------
        ndarray, shape (n_samples,) or (n_samples, n_classes)
        """
        return self._labels.decode(self._outputs(X))

    @available_if(has_partial_fit)
    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        classes: ArrayLike | None = None,
    ) -> Self:
        """Train for one epoch on these samples, from where training is.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)
        y : array_like, shape (n_samples,)
        sample_weight : array_like, shape (n_samples,), optional
        classes : array_like, shape (n_classes,), optional
            All labels that y may have in any call. The first call needs them.

        Returns
        -------
        self
        """
        if not hasattr(self, "coefs_"):
            validate_parameters(self)
        known = vars(self).get("classes_")
        is_known = known is not None and (classes is None or np.array_equal(classes, known))
        if not is_known and _check_partial_fit_first_call(self, classes):
            self._labels = Labels.of(y if is_multilabel(y) else np.asarray(classes))
        return self._fit(X, y, sample_weight, is_incremental=True)

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
        if self.n_outputs_ == 1:
            return np.hstack([1 - outputs, outputs])
        return outputs

    def predict_log_proba(self, X: ArrayLike) -> np.ndarray:
        """Return the logarithm of what `predict_proba` returns."""
        probabilities = self.predict_proba(X)
        return np.log(probabilities, out=probabilities)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
