"""MLPClassifier, with the parameters, results and attributes of scikit-learn's."""

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call

from fastbp.schedules import Schedule
from fastbp.sklearn.fit_data import validated
from fastbp.sklearn.labels import MULTICLASS, Labels, is_multilabel, is_quick
from fastbp.sklearn.perceptron import Perceptron, has_partial_fit
from fastbp.sklearn.predictions import PredictsClasses
from fastbp.sklearn.quick import validate_parameters


class MLPClassifier(PredictsClasses, Perceptron):
    """Multilayer perceptron for classification: scikit-learn's parameters, numbers and attributes.

    With the same parameters and the same integer `random_state`, ``coefs_``, ``loss_curve_``, ``n_iter_`` and
    predictions are those of ``sklearn.neural_network.MLPClassifier``. Parameters after `max_fun` are ours; by
    default they change nothing. The solver "lbfgs" takes none of them but `class_weight`, `coefs_init`,
    `intercepts_init` and `n_threads`. Ctrl-C leaves a fitted estimator.

    Parameters
    ----------
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
    class_weight : dict or "balanced", optional
        A factor for the samples of each class.
    dropout : float, default 0.0
        The probability that a hidden activation is dropped in a step.
    weight_decay : float, default 0.01
        Of "adamw".
    gradient_clip_norm : float, optional
        The largest norm of a step's gradient; a larger one is scaled down.
    scoring : str or callable, optional
        The score of early stopping: a name or a scorer of scikit-learn. The default is the accuracy.
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
    classes_ : ndarray
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
    >>> import sklearn.neural_network
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> options = {"hidden_layer_sizes": 10, "tol": 0.05, "random_state": 0}
    >>> ours = MLPClassifier(**options).fit(X, y)
    >>> theirs = sklearn.neural_network.MLPClassifier(**options).fit(X, y)
    >>> ours.n_iter_ == theirs.n_iter_, bool(abs(ours.coefs_[0] - theirs.coefs_[0]).max() < 1e-10)
    (True, True)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **Perceptron._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    loss = "log_loss"
    class_weight: Any

    def __init__(
        self,
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
        class_weight: Any = None,
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
        if self._labels.kind == MULTICLASS:
            return "softmax", "categorical_cross_entropy"
        return "logistic", "binary_cross_entropy"

    def _validated(self, X: Any, y: Any, is_incremental: bool, reset: bool) -> tuple[Any, Any]:
        X, y = validated(self, X, y, reset)
        if not hasattr(self, "classes_") or not (self.warm_start or is_incremental):
            self._labels = Labels.of(y)
            self.classes_ = self._labels.classes
        elif self.warm_start:
            self._labels.check_same(y)
        else:
            self._labels.check_known(y)
        self.n_outputs_ = self._labels.n_outputs
        return X, self._labels.encode(y)

    def _validated_like(self, X: Any, y: Any) -> tuple[Any, Any]:
        X, y = validated(self, X, y, False)
        self._labels.check_known(y)
        return X, self._labels.encode(y)

    def _targets(self, y: Any, dtype: np.dtype) -> np.ndarray:
        if self._labels.kind == MULTICLASS:
            return np.ascontiguousarray(y, np.int64)
        return np.ascontiguousarray(y, dtype)

    def _labels_of(self, y: Any) -> Any:
        return self._labels.named(y)

    def _weigh_classes(self, y: Any, weights: np.ndarray | None, is_incremental: bool) -> np.ndarray | None:
        if self.class_weight is None:
            return weights
        if is_incremental and self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' is not supported for partial_fit, which sees a part of the labels; "
                "give a dict: sklearn.utils.class_weight.compute_class_weight computes it"
            )
        of_classes = compute_sample_weight(self.class_weight, self._labels.named(y))
        return of_classes if weights is None else weights * of_classes

    def _quality(self, outputs: np.ndarray, y: Any, weights: np.ndarray | None) -> float:
        if len(self.classes_) == 1:
            return 1.0
        if self._labels.kind == MULTICLASS:
            right = outputs.argmax(axis=1) == y
        else:
            right = ((outputs > 0.5) == y).all(axis=1)
        return float(np.average(right, weights=weights))

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the accuracy: the part of the samples whose labels are predicted.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)
        y : array_like, shape (n_samples,) or (n_samples, n_classes)
        sample_weight : array_like, shape (n_samples,), optional
        """
        if sample_weight is None and is_quick(y):
            labels = self.predict(X)
            if is_quick(labels) and len(labels) == len(y):  # type: ignore[arg-type]
                return float((labels == y).mean())
        return super().score(X, y, sample_weight)

    @available_if(has_partial_fit)
    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        classes: ArrayLike | None = None,
        *,
        X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
    ) -> Self:
        """Train for one epoch on these samples, from where training is.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)
        y : array_like, shape (n_samples,)
        sample_weight : array_like, shape (n_samples,), optional
        classes : array_like, shape (n_classes,), optional
            All labels that y may have in any call. The first call needs them.
        X_val, y_val, sample_weight_val : optional
            Validation samples, which early stopping needs: see the class.

        Returns
        -------
        self
        """
        known = vars(self).get("classes_")
        is_known = known is not None and (classes is None or np.array_equal(classes, known))
        if not is_known:
            validate_parameters(self)
        if not is_known and _check_partial_fit_first_call(self, classes):
            self._labels = Labels.of(y if is_multilabel(y) else np.asarray(classes))
        return self._fit_part(X, y, sample_weight, (X_val, y_val, sample_weight_val))
