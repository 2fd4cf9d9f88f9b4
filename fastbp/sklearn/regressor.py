"""MLPRegressor, with the parameters, results and attributes of scikit-learn's."""

from collections.abc import Sequence
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if

from fastbp.schedules import Schedule
from fastbp.sklearn.perceptron import Perceptron, has_partial_fit, validated

LOSSES = {
    "squared_error": ("identity", "half_squared_error"),
    "poisson": ("exp", "poisson"),
    "absolute_error": ("identity", "mean_absolute_error"),
    "huber": ("identity", "huber"),
}
"""The output activation, and the loss by fastbp's name, besides quantiles."""


class MLPRegressor(RegressorMixin, Perceptron):
    """Multilayer perceptron for regression, with scikit-learn's parameters, results and attributes."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **Perceptron._parameter_constraints,
        "loss": [StrOptions({*LOSSES, "quantile"})],
        "quantile": [Interval(Real, 0, 1, closed="neither")],
    }

    loss: str
    quantile: float

    def __init__(
        self,
        loss: str = "squared_error",
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str | Sequence[str] = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str | Schedule = "constant",
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
        quantile: float = 0.5,
        dropout: float = 0.0,
        weight_decay: float = 0.01,
        gradient_clip_norm: float | None = None,
        scoring: Any = None,
        callbacks: Sequence[Any] | None = None,
        progress: bool = False,
        coefs_init: Sequence[Any] | None = None,
        intercepts_init: Sequence[Any] | None = None,
        max_seconds: float | None = None,
        checkpoint: Any = None,
        checkpoint_every: int = 10,
        n_threads: int | None = None,
    ):
        self._keep(locals())

    @property
    def _form(self) -> tuple[str, str]:
        if self.loss == "quantile":
            return "identity", f"quantile({self.quantile})"
        return LOSSES[self.loss]

    def _validated(self, X: Any, y: Any, is_incremental: bool, reset: bool) -> tuple[Any, Any]:
        X, y = validated(self, X, y, reset, y_numeric=True)
        y = y.reshape(len(y), -1)
        self.n_outputs_ = y.shape[1]
        return X, y

    def _validated_like(self, X: Any, y: Any) -> tuple[Any, Any]:
        X, y = validated(self, X, y, False, y_numeric=True)
        y = y.reshape(len(y), -1)
        if y.shape[1] != self.n_outputs_:
            raise ValueError(f"y_val has {y.shape[1]} outputs, and y has {self.n_outputs_}")
        return X, y

    def _targets(self, y: Any, dtype: np.dtype) -> np.ndarray:
        return np.ascontiguousarray(y, dtype)

    def _labels_of(self, y: Any) -> Any:
        return y.ravel() if y.shape[1] == 1 else y

    def _quality(self, outputs: np.ndarray, y: Any, weights: np.ndarray | None) -> float:
        if not np.isfinite(outputs).all():
            return float("nan")
        return r2_score(y, outputs, sample_weight=weights)

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

    @available_if(has_partial_fit)
    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
    ) -> Self:
        """Train for one epoch on these samples, from where training is.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)
        y : array_like, shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array_like, shape (n_samples,), optional
        X_val, y_val, sample_weight_val : optional
            Validation samples, which early stopping needs: see the class.

        Returns
        -------
        self
        """
        return self._fit_part(X, y, sample_weight, (X_val, y_val, sample_weight_val))
