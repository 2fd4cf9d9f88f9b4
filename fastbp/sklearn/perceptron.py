"""What MLPClassifier and MLPRegressor have in common: checks, solvers, and the network behind them."""

from abc import ABCMeta
from numbers import Integral, Real
from operator import is_
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import train_test_split
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from fastbp.engine import evaluation
from fastbp.engine.objective import Objective
from fastbp.errors import DataError
from fastbp.network import Network
from fastbp.sklearn.conversion import to_sklearn
from fastbp.sklearn.epochs_of_fit import (
    BatchedRun,
    OptimizerState,
    Samples,
    WholeRun,
    optimizer_of,
    shuffles,
    train_epochs,
)
from fastbp.sklearn.form import draw_parameters, specification_of
from fastbp.sklearn.lbfgs import count_iterations, minimise
from fastbp.sklearn.quick import is_column, is_matrix, take_features, validate_parameters, with_generator

STOCHASTIC = ("sgd", "adam")
"""The solvers that train batch by batch."""


def has_partial_fit(estimator: Any) -> bool:
    """Whether the estimator's solver can go on with other samples; if not, say why."""
    if estimator.solver not in STOCHASTIC:
        raise AttributeError(
            f"partial_fit is only available for stochastic optimizers. {estimator.solver} is not stochastic."
        )
    return True


class Perceptron(BaseEstimator, metaclass=ABCMeta):
    """What both estimators have in common."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions({"identity", "logistic", "tanh", "relu"})],
        "solver": [StrOptions({"lbfgs", "sgd", "adam"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
    }

    # --- what the two estimators differ in -----------------------------------------------------------------

    def _validated(self, X: Any, y: Any, is_incremental: bool, reset: bool) -> tuple[Any, Any]:
        """Return X, and y as the estimator keeps it."""
        raise NotImplementedError

    def _encoded(self, y: Any, dtype: np.dtype) -> np.ndarray:
        """Return the targets that the network is trained on."""
        raise NotImplementedError

    @property
    def _output(self) -> str:
        """The output activation."""
        raise NotImplementedError

    def _quality(self, outputs: np.ndarray, y: Any, weights: np.ndarray | None) -> float:
        """Return the score of outputs on validation samples."""
        raise NotImplementedError

    # --- training ------------------------------------------------------------------------------------------

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the network to samples.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)
        y : array_like, shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array_like, shape (n_samples,), optional

        Returns
        -------
        self
        """
        validate_parameters(self)
        return self._fit(X, y, sample_weight, is_incremental=False)

    def _takes_quickly(self, X: Any, y: Any, reset: bool) -> bool:
        """Whether X and y can be taken as they are, without scikit-learn's checks; X's features are noted."""
        return is_matrix(X) and is_column(y, len(X)) and take_features(self, X, reset)

    def _hidden_sizes(self) -> list[int]:
        sizes = self.hidden_layer_sizes
        sizes = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
        if np.any(np.array(sizes) <= 0):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        return sizes

    @with_generator
    def _fit(self, X: Any, y: Any, sample_weight: Any, is_incremental: bool) -> Self:
        hidden = self._hidden_sizes()
        is_first = not hasattr(self, "coefs_") or not (self.warm_start or is_incremental)
        X, y = self._validated(X, y, is_incremental, reset=is_first)
        weights = None
        if sample_weight is not None:
            weights = np.ascontiguousarray(_check_sample_weight(sample_weight, X), np.float64)
        if is_first:
            self._begin(X, hidden)
        network = self._present_network()
        Y = self._encoded(y, network.dtype)
        if self.solver == "lbfgs":
            self._fit_lbfgs(network, Samples(X, Y, weights))
        else:
            self._fit_epochs(network, Samples(X, Y, weights), y, is_incremental)
        if not np.isfinite(self._network.theta).all():
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large values and "
                "need to be preprocessed."
            )
        return self

    def _begin(self, X: Any, hidden: list[int]) -> None:
        """Make the network, with scikit-learn's first parameters."""
        self.out_activation_ = self._output
        sizes = (X.shape[1], *(int(size) for size in hidden), self.n_outputs_)
        dtype = np.dtype(np.float64) if self.solver == "lbfgs" else X.dtype
        names = (self.activation,) * len(hidden)
        network = Network.from_specification(specification_of(sizes, names, self.out_activation_, dtype))
        draw_parameters(network, (self.activation,) * (len(hidden) + 1), self._random_state)
        if dtype != X.dtype:
            network.theta[:] = network.theta.astype(X.dtype)
        self._take_network(network)
        self.n_iter_ = self.t_ = 0
        self.n_layers_ = len(sizes)
        self._best_theta = network.theta.copy()
        if self.solver in STOCHASTIC:
            self.loss_curve_: list[float] = []
            self._no_improvement_count = 0
            self.validation_scores_: list[float] | None = [] if self.early_stopping else None
            self.best_validation_score_ = -np.inf if self.early_stopping else None
            self.best_loss_ = None if self.early_stopping else np.inf

    def _fit_lbfgs(self, network: Network, samples: Samples) -> None:
        weights = samples.weights
        total = float(len(samples)) if weights is None else float(weights.sum())
        if weights is not None:
            weights = weights / weights.mean()
        X = samples.X.toarray() if hasattr(samples.X, "toarray") else samples.X
        objective = Objective(network.specification, X, samples.Y, weights, as_scikit_learn=True)
        result = minimise(self, objective, self.alpha / total, network.theta)
        self.n_iter_ = count_iterations(result, self.max_iter)
        self.loss_ = result.fun
        network.theta[:] = result.x

    def _fit_epochs(self, network: Network, samples: Samples, y: Any, is_incremental: bool) -> None:
        if self.early_stopping and is_incremental:
            raise ValueError("partial_fit does not support early_stopping=True")
        state = getattr(self, "_optimizer", None)
        if state is None or not is_incremental:
            state = self._optimizer = OptimizerState(float(self.learning_rate_init))
        score = None
        if self.early_stopping:
            rows, held_out = self._split(samples, y)
            held = samples.take(held_out)
            y_held = y[held_out]
            samples = samples.take(rows)
        options = {
            "batch_size": self._batch_rows(len(samples)),
            "optimizer": optimizer_of(self),
            "l2": float(self.alpha),
        }
        orders = shuffles(len(samples), self._random_state) if self.shuffle else None
        run: Any
        if is_incremental or hasattr(samples.X, "tocsr"):
            run = BatchedRun(network, samples, options, orders)
            if state.vectors is not None:
                run.go_on(state.vectors, network.theta)
        else:
            run = WholeRun(network, samples, options, orders)
        if self.early_stopping:

            def score() -> float:
                network.theta[:] = run.run.theta
                outputs = self._outputs_of(held.X)
                return self._quality(outputs, y_held, held.weights)

        try:
            train_epochs(self, run, len(samples), score, is_incremental)
        finally:
            network.theta[:] = self._best_theta if self.early_stopping else run.run.theta
            state.vectors = {name: array for name, array in run.state().items() if name != "theta"}

    def _batch_rows(self, n_samples: int) -> int:
        if self.batch_size == "auto":
            return min(200, n_samples)
        if self.batch_size > n_samples:
            import warnings

            warnings.warn(
                "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped",
                stacklevel=2,
            )
        return int(min(self.batch_size, n_samples))

    def _split(self, samples: Samples, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return which samples are trained on, and which are for early stopping."""
        stratify = samples.Y if isinstance(self, ClassifierMixin) and self.n_outputs_ == 1 else None
        rows, held_out = train_test_split(
            np.arange(len(samples)),
            random_state=self._random_state,
            test_size=self.validation_fraction,
            stratify=stratify,
        )
        if len(held_out) < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
            )
        return rows, held_out

    # --- the network ---------------------------------------------------------------------------------------

    def _take_network(self, network: Network) -> None:
        """Show a network's parameters as `coefs_` and `intercepts_`: views, so that changes reach it."""
        self._network = network
        self.coefs_, self.intercepts_ = list(network.weights), list(network.biases)
        self._shown = (*self.coefs_, *self.intercepts_)

    def _present_network(self) -> Network:
        """Return the network, made anew if somebody has put other arrays into `coefs_` or `intercepts_`."""
        present = (*self.coefs_, *self.intercepts_)
        shown = vars(self).get("_shown", ())
        if len(present) != len(shown) or not all(map(is_, present, shown)):
            sizes = (self.coefs_[0].shape[0], *(W.shape[1] for W in self.coefs_))
            names = (self.activation,) * (len(sizes) - 2)
            dtype = np.result_type(*present, np.float32)
            network = Network.from_specification(specification_of(sizes, names, self.out_activation_, dtype))
            for mine, other in zip((*network.weights, *network.biases), present, strict=True):
                mine[...] = other
            self._take_network(network)
        return self._network

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        return {name: value for name, value in state.items() if name not in ("_network", "_shown")}

    def _outputs(self, X: Any) -> np.ndarray:
        """Return the network's outputs for X from outside."""
        if "coefs_" not in vars(self):
            check_is_fitted(self)
        network = self._present_network()
        if type(X) is np.ndarray and X.dtype == network.dtype and "feature_names_in_" not in vars(self):
            try:
                return network.predict(X)
            except (DataError, ValueError):
                pass  # what is wrong is said below
        X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        return self._outputs_of(X)

    def _outputs_of(self, X: Any) -> np.ndarray:
        """Return the network's outputs for X that has been checked."""
        network = self._network
        if hasattr(X, "tocsr"):
            X = X.tocsr()
            return np.concatenate(
                [
                    self._outputs_of(np.asarray(X[first : first + 1024].toarray()))
                    for first in range(0, X.shape[0], 1024)
                ]
            )
        if X.dtype not in (np.float32, np.float64, np.uint8) or not X.flags.aligned:
            X = np.require(X, network.dtype, ["C", "A"])
        return evaluation.predict(network.specification, network.theta, X)

    def to_sklearn(self) -> Any:
        """Return scikit-learn's own estimator with the same parameters, coefficients and predictions.

        Its pickle needs no fastbp. Parameters that scikit-learn lacks are left out; a solver, rate or loss
        that it does not know becomes its default, which changes no prediction.

        Returns
        -------
        sklearn.neural_network.MLPClassifier or sklearn.neural_network.MLPRegressor
            A copy, fitted if this estimator is.

        Raises
        ------
        NotSupportedError
            If scikit-learn's perceptrons do not have the activations of this one.
        """
        return to_sklearn(self)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
