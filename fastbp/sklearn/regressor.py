"""MLPRegressor, with the parameters, results and attributes of scikit-learn's."""

from collections.abc import Sequence
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils._param_validation import Interval, StrOptions

from fastbp.schedules import Schedule
from fastbp.sklearn.fit_data import validated
from fastbp.sklearn.perceptron import Perceptron

LOSSES = {
    "squared_error": ("identity", "half_squared_error"),
    "poisson": ("exp", "poisson"),
    "absolute_error": ("identity", "mean_absolute_error"),
    "huber": ("identity", "huber"),
}
"""The output activation, and the loss by fastbp's name, besides quantiles."""


class MLPRegressor(RegressorMixin, Perceptron):
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
    hidden_layer_sizes : int or sequence of int, default (100,)
        The width of each hidden layer. There may be none: ``()``.
    activation : str or list of str, default "relu"
        Of the hidden layers: "identity", "logistic", "tanh", "relu". Ours: "sigmoid" (which is "logistic"),
        "leaky_relu", "elu", "gelu", "silu", "softplus", "softsign"; a list has a name for each layer.
    solver : str, default "adam"
        "lbfgs", "sgd" or "adam". Ours: "adamw", "rmsprop" (`beta_2` is how much of the mean square a step
        keeps), "rprop" (on the full batch unless `batch_size` says otherwise).
    alpha : float, default 0.0001
        Strength of the L2 penalty, which is divided by the number of the batch's samples.
    batch_size : int or "auto", default "auto"
        "auto" is 200, or all samples if there are fewer.
    learning_rate : str or schedule, default "constant"
        With the solver "sgd": "constant", "invscaling", "adaptive". Ours, with every stochastic solver but
        "rprop": "cosine" (down to 0 at `max_iter`), "step" (divided by 10 after each third of `max_iter`), or
        a schedule of `fastbp.schedules`, by steps.
    learning_rate_init : float, default 0.001
        That of the first step; with "constant", of all.
    power_t : float, default 0.5
        The exponent of "invscaling".
    max_iter : int, default 200
        The most epochs, or iterations of "lbfgs".
    shuffle : bool, default True
        Whether each epoch has the samples in another order.
    random_state : int, RandomState or None, default None
        The first parameters, splits and orders come from it: the same as in scikit-learn.
    tol : float, default 1e-4
        By how much loss or score must improve; for "lbfgs", the largest element of the gradient at the end.
    verbose : bool or int, default False
        Whether to print the loss of every epoch.
    warm_start : bool, default False
        Whether `fit` begins at the parameters of the fit before.
    momentum : float, default 0.9
    nesterovs_momentum : bool, default True
        Both are for the solver "sgd".
    early_stopping : bool, default False
        Whether training stops when the score on validation samples no longer improves by `tol`. The best
        parameters are kept. Ours: `partial_fit` stops early, too, if it gets X_val and y_val; then
        `is_stopped_` is True, and further calls change nothing.
    validation_fraction : float, default 0.1
        The part of the samples that early stopping holds out.
    beta_1, beta_2, epsilon : float, default 0.9, 0.999 and 1e-8
        Of "adam" and "adamw".
    n_iter_no_change : int, default 10
        After more epochs than these without improvement, training stops, or an adaptive rate becomes smaller.
    max_fun : int, default 15000
        The most evaluations of "lbfgs".
    quantile : float, default 0.5
        The level of the loss "quantile".
    dropout : float, default 0.0
        The probability that a hidden activation is dropped in a step.
    weight_decay : float, default 0.01
        Of "adamw".
    gradient_clip_norm : float, optional
        The largest norm of a step's gradient; a larger one is scaled down.
    scoring : str or callable, optional
        The score of early stopping: a name or a scorer as scikit-learn takes them. The default is R^2.
    callbacks : list, optional
        Functions that get a `fastbp.EpochState` after each epoch; `set_callbacks` takes scikit-learn's own.
    progress : bool, default False
        Whether to show a progress bar.
    coefs_init, intercepts_init : list of ndarray, optional
        The first weights and biases.
    max_seconds : float, optional
        The time after which training stops with a warning.
    checkpoint : path-like, optional
        A file for the state of a fit. It is written every `checkpoint_every` epochs and at the end, and the
        same fit goes on from it. A file of another fit is a `fastbp.CheckpointError`.
    checkpoint_every : int, default 10
        Epochs between two writes.
    n_threads : int, optional
        The default is as many as pay. The bits of the result do not depend on it.

    Attributes
    ----------
    coefs_, intercepts_ : list of ndarray
        The weights and biases of each layer; what is written into them is what predicts.
    loss_, loss_curve_, best_loss_
        The loss of the last epoch, of each, and the smallest.
    validation_scores_, best_validation_score_
        With early stopping, or X_val and y_val; else None.
    n_iter_, t_, n_layers_, n_outputs_, out_activation_, n_features_in_, feature_names_in_
        As in scikit-learn.

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
