"""MLPRegressor, with the parameters, results and attributes of scikit-learn's."""

from collections.abc import Sequence
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import r2_score
from sklearn.utils._param_validation import Interval, StrOptions

from fastbp.schedules import Schedule
from fastbp.sklearn.fit_data import validated
from fastbp.sklearn.perceptron import Perceptron
from fastbp.sklearn.predictions import PredictsNumbers

LOSSES = {
    "squared_error": ("identity", "half_squared_error"),
    "poisson": ("exp", "poisson"),
    "absolute_error": ("identity", "mean_absolute_error"),
    "huber": ("identity", "huber"),
}
"""The output activation, and the loss by fastbp's name, besides quantiles."""


class MLPRegressor(PredictsNumbers, Perceptron):
    """Multilayer perceptron for regression: scikit-learn's parameters, numbers and attributes.

    With the same parameters and the same integer `random_state`, ``coefs_``, ``loss_curve_``, ``n_iter_`` and
    predictions are those of ``sklearn.neural_network.MLPRegressor``. Parameters after `max_fun` are ours; by
    default they change nothing. The solver "lbfgs" takes none of them but `quantile`, `coefs_init`,
    `intercepts_init` and `n_threads`. Ctrl-C leaves a fitted estimator.

    Parameters
    ----------
    loss : str, default "squared_error"
        "squared_error" or "poisson". Ours: "absolute_error", "huber", "quantile"; they are means over the
        outputs.
    quantile : float, default 0.5
        The level of the loss "quantile".
    scoring : str or callable, optional
        The score of early stopping: a name or a scorer as scikit-learn takes them. The default is R^2.
    hidden_layer_sizes, activation, solver, alpha, batch_size, learning_rate, learning_rate_init, power_t, \
    max_iter, shuffle, random_state, tol, verbose, warm_start, momentum, nesterovs_momentum, \
    early_stopping, validation_fraction, beta_1, beta_2, epsilon, n_iter_no_change, max_fun
        As for `MLPClassifier`, and in scikit-learn.
    dropout, weight_decay, gradient_clip_norm, callbacks, progress, coefs_init, intercepts_init, \
    max_seconds, checkpoint, checkpoint_every, n_threads
        As for `MLPClassifier`.

    Attributes
    ----------
    coefs_, intercepts_, loss_, loss_curve_, best_loss_, validation_scores_, best_validation_score_, \
    n_iter_, t_, n_layers_, n_outputs_, out_activation_, n_features_in_, feature_names_in_
        As in `MLPClassifier`.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = MLPRegressor(hidden_layer_sizes=5, solver="lbfgs", max_iter=1000, random_state=0, alpha=1.0)
    >>> model.fit(X, y).predict(X[:2]).shape
    (2,)
    """

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
        if y.dtype.kind not in "fiub":
            raise TypeError(f"y has dtype {y.dtype}, and must hold real numbers")
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
        """Train for one epoch on these samples, from where training is; with "lbfgs", as `fit` does.

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
