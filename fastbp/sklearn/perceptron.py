"""What MLPClassifier and MLPRegressor have in common: checks, solvers, and the network behind them."""

import copy
import operator
from abc import ABCMeta
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, is_classifier
from sklearn.metrics import check_scoring
from sklearn.model_selection import train_test_split
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from fastbp.checks import all_finite
from fastbp.engine import evaluation
from fastbp.engine.division import WORTH_A_THREAD
from fastbp.engine.objective import Objective
from fastbp.errors import DataError, NotSupportedError
from fastbp.network import FEW_ROWS, Network
from fastbp.sklearn.conversion import Convertible
from fastbp.sklearn.fit_checkpoint import FitCheckpoint
from fastbp.sklearn.fit_data import Validation, check_goes_on, take_given
from fastbp.sklearn.fit_epochs import EpochLoop, Watch, close_all
from fastbp.sklearn.fit_parameters import (
    CONSTRAINTS,
    STOCHASTIC,
    hidden_activations,
    optimizer_of,
    settings_of,
)
from fastbp.sklearn.fit_runs import OptimizerState, WholeRun
from fastbp.sklearn.fit_samples import Samples, Shuffles, check_batches, orders_of
from fastbp.sklearn.form import Form, draw_parameters, form_of
from fastbp.sklearn.lbfgs import SparseObjective, count_iterations, minimise
from fastbp.sklearn.quick import is_seed, parameter_names, validate_parameters, with_generator
from fastbp.sklearn.user_warnings import warn_user
from fastbp.sklearn.watches import Bar, CallbackSupportMixin, TheirCallbacks, UserCallbacks
from fastbp.sklearn.workers import threads_in_worker
from fastbp.training.interrupts import Interrupts

DENSE_ROWS = 1024
"""Rows of a sparse matrix that are dense at a time, in predictions."""


def has_partial_fit(estimator: Any) -> bool:
    """Whether the estimator's solver can go on with other samples; if not, say why."""
    if estimator.solver not in STOCHASTIC:
        raise AttributeError(
            f"partial_fit is only available for stochastic optimizers. {estimator.solver} is not stochastic."
        )
    return True


class Perceptron(CallbackSupportMixin, Convertible, BaseEstimator, metaclass=ABCMeta):
    """What both estimators have in common."""

    _parameter_constraints: ClassVar[dict[str, Any]] = CONSTRAINTS

    hidden_layer_sizes: Any
    activation: Any
    solver: str
    alpha: float
    batch_size: Any
    max_iter: int
    shuffle: bool
    random_state: Any
    verbose: Any
    warm_start: bool
    early_stopping: bool
    validation_fraction: float
    learning_rate_init: float
    dropout: float
    gradient_clip_norm: float | None
    scoring: Any
    callbacks: Sequence[Any] | None
    progress: bool
    coefs_init: Sequence[Any] | None
    intercepts_init: Sequence[Any] | None
    n_threads: int | None
    n_outputs_: int

    def _keep(self, arguments: dict[str, Any]) -> None:
        """Keep the arguments of `__init__` as attributes."""
        for name, value in arguments.items():
            if name not in ("self", "__class__"):
                setattr(self, name, value)

    # --- what the two estimators differ in -----------------------------------------------------------------

    def _validated(self, X: Any, y: Any, is_incremental: bool, reset: bool) -> tuple[Any, Any]:
        """Return X, and y as the estimator encodes it."""
        raise NotImplementedError

    def _validated_like(self, X: Any, y: Any) -> tuple[Any, Any]:
        """Return validation samples, checked as those of training are."""
        raise NotImplementedError

    def _targets(self, y: Any, dtype: np.dtype) -> np.ndarray:
        """Return the targets that the network is trained on, from y as `_validated` returns it."""
        raise NotImplementedError

    def _labels_of(self, y: Any) -> Any:
        """Return y as the user gives it, from y as `_validated` returns it."""
        raise NotImplementedError

    @property
    def _form(self) -> tuple[str, str]:
        """The output activation, and the loss by fastbp's name."""
        raise NotImplementedError

    def _quality(self, outputs: np.ndarray, y: Any, weights: np.ndarray | None) -> float:
        """Return the score of outputs on validation samples."""
        raise NotImplementedError

    def _weigh_classes(self, y: Any, weights: np.ndarray | None, is_incremental: bool) -> np.ndarray | None:
        """Return the weights for training."""
        return weights

    # --- training ------------------------------------------------------------------------------------------

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
    ) -> Self:
        """Fit the network to samples.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)
        y : array_like, shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array_like, shape (n_samples,), optional
        X_val, y_val, sample_weight_val : optional
            Validation samples, whose scores go to `validation_scores_`. Early stopping takes them instead of
            a part of X.

        Returns
        -------
        self
        """
        validate_parameters(self)
        arguments = X, y, sample_weight, (X_val, y_val, sample_weight_val)
        if "_skl_callbacks" not in vars(self):
            return self._fit(*arguments, is_incremental=False)
        from sklearn.callback._callback_support import callback_management_context

        with callback_management_context(self):
            return self._fit(*arguments, is_incremental=False)

    @with_generator
    def _fit(
        self,
        generator: np.random.RandomState,
        X: Any,
        y: Any,
        sample_weight: Any,
        validation: tuple[Any, Any, Any],
        is_incremental: bool,
    ) -> Self:
        hidden = self._hidden_sizes()
        is_first = not hasattr(self, "coefs_") or not (self.warm_start or is_incremental)
        X, y = self._validated(X, y, is_incremental, reset=is_first)
        weights = None
        if sample_weight is not None:
            weights = np.ascontiguousarray(_check_sample_weight(sample_weight, X), np.float64)
            check_batches(weights, len(weights))
            if self.solver in STOCHASTIC and weights.min() < 0:
                raise NotSupportedError(
                    "sample_weight has negative weights, which only the solver lbfgs takes"
                )
        held = self._held_out(*validation)
        if is_first:
            network = self._begin(X, hidden, held is not None, generator)
        else:
            check_goes_on(self, hidden)
            network = self._present_network()
        if self.solver == "lbfgs":
            weights = self._weigh_classes(y, weights, is_incremental)
            self._fit_lbfgs(network, Samples(X, self._targets(y, network.dtype), weights))
        else:
            self._fit_epochs(network, X, y, weights, held, is_incremental, generator)
        if not all_finite(network.theta):
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large values and "
                "need to be preprocessed."
            )
        return self

    def _fit_part(self, X: Any, y: Any, sample_weight: Any, validation: tuple[Any, Any, Any]) -> Self:
        """Do what `partial_fit` does."""
        if not hasattr(self, "coefs_"):
            validate_parameters(self)
        if self.early_stopping and getattr(self, "is_stopped_", False):
            return self
        return self._fit(X, y, sample_weight, validation, is_incremental=True)

    @classmethod
    def _get_param_names(cls) -> list[str]:
        return list(parameter_names(cls))

    @property
    def _threads(self) -> int | None:
        """How many threads a kernel may have; None for as many as are useful."""
        return threads_in_worker() if self.n_threads is None else self.n_threads

    def _hidden_sizes(self) -> list[int]:
        sizes = self.hidden_layer_sizes
        if type(sizes) is tuple:
            for size in sizes:
                if type(size) is not int or size < 1:
                    break
            else:
                return list(sizes)
        sizes = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
        if np.any(np.array(sizes) <= 0):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        return [operator.index(size) for size in sizes]

    def _held_out(self, X: Any, y: Any, weights: Any) -> Validation | None:
        """Return the validation samples that the user gave, checked."""
        if X is None and y is None:
            return None
        if X is None or y is None:
            raise ValueError("give both X_val and y_val, or neither")
        X, encoded = self._validated_like(X, y)
        if weights is not None:
            weights = np.asarray(_check_sample_weight(weights, X), np.float64)
        return Validation(X, encoded, y, weights)

    def _begin(
        self, X: Any, hidden: list[int], is_validated: bool, generator: np.random.RandomState
    ) -> Network:
        """Make the network, with scikit-learn's first parameters."""
        self.out_activation_, loss = self._form
        sizes = (X.shape[1], *hidden, self.n_outputs_)
        dtype = np.dtype(np.float64) if self.solver == "lbfgs" else X.dtype
        form = self._form_of(sizes, loss, dtype)
        network = Network.from_specification(form.specification)
        theta = network.theta
        draw_parameters(theta, form, generator)
        if dtype != X.dtype:
            theta[:] = theta.astype(X.dtype)
        if self.coefs_init is not None:
            take_given(network.weights, self.coefs_init)
        if self.intercepts_init is not None:
            take_given(network.biases, self.intercepts_init)
        self._take_network(network)
        self.n_iter_ = self.t_ = 0
        self.__dict__.pop("is_stopped_", None)
        self.n_layers_ = len(sizes)
        self._best_theta: np.ndarray | None = theta.copy()
        if self.solver in STOCHASTIC:
            stops_early, is_validated = self.early_stopping, self.early_stopping or is_validated
            self.loss_curve_: list[float] = []
            self._no_improvement_count = 0
            self.validation_scores_: list[float] | None = [] if is_validated else None
            self.best_validation_score_ = -np.inf if stops_early else None
            self.best_loss_ = None if stops_early else np.inf
        return network

    def _form_of(self, sizes: tuple[int, ...], loss: str, dtype: np.dtype) -> Form:
        """Return the form of a network of these sizes, with the present activation."""
        names = hidden_activations(self.activation, len(sizes) - 2)
        last = names[-1] if names else str(self.activation)
        return form_of(sizes, names, last, self.out_activation_, loss, dtype)

    def _fit_lbfgs(self, network: Network, samples: Samples) -> None:
        weights = samples.weights
        total = float(samples.n) if weights is None else float(weights.sum())
        if weights is not None:
            weights = weights / weights.mean()
        data = network.specification, samples.X, samples.Y, weights
        objective: Objective | SparseObjective
        if hasattr(samples.X, "tocsr"):
            objective = SparseObjective(*data, threads=self._threads)
        else:
            objective = Objective(*data, as_scikit_learn=True, threads=self._threads)
        result = minimise(self, objective, self.alpha / total, network.theta)
        self.n_iter_ = count_iterations(result, self.max_iter)
        self.loss_ = result.fun
        network.theta[:] = result.x

    def _fit_epochs(
        self,
        network: Network,
        X: Any,
        y: Any,
        weights: np.ndarray | None,
        held: Validation | None,
        is_incremental: bool,
        generator: np.random.RandomState,
    ) -> None:
        if self.early_stopping and is_incremental and held is None:
            raise ValueError(  # scikit-learn's words, and then ours
                "partial_fit does not support early_stopping=True without validation samples: give X_val and "
                "y_val"
            )
        state = getattr(self, "_optimizer", None)
        if state is None or not is_incremental:
            state = self._optimizer = OptimizerState(settings_of(self))
        training = self._weigh_classes(y, weights, is_incremental)
        samples = Samples(X, self._targets(y, network.dtype), training)
        if self.early_stopping and held is None:
            rows, others = self._split(samples, generator)
            held_y = y[others]
            held_weights = None if weights is None else weights[others]
            held = Validation(X[others], held_y, self._labels_of(held_y), held_weights)
            samples = samples.take(rows)
        batch_size = self._batch_rows(samples.n)
        is_private = is_seed(self.random_state)
        orders = orders_of(samples, generator if self.shuffle else None, batch_size, is_private)
        run = self._run_of(network, samples, batch_size, orders, is_incremental, generator)
        score = None if held is None else self._scorer(network, held, run)
        with Interrupts() as interrupts:
            watches: list[Watch] = []
            try:
                watches += self._watches(network, run, (X, y, weights), interrupts)
                self.n_iter_ = 0
                if self.checkpoint is not None and not is_incremental:
                    kept = FitCheckpoint(self, run, (X, y, weights), orders, generator)
                    kept.resume()
                    watches.append(kept)
                loop = EpochLoop(self, run, samples.n, score, watches, interrupts)
                try:
                    if self.n_iter_ == 0 or self._no_improvement_count <= self.n_iter_no_change:
                        loop.train(is_incremental)
                finally:
                    if is_incremental and self.early_stopping:
                        self.is_stopped_ = loop.has_converged
                    restores = self.early_stopping and (loop.has_converged or not is_incremental)
                    if restores and self._best_theta is not None:
                        network.theta[:] = self._best_theta
                    else:
                        run.copy_theta_to(network.theta)
                    state.keep(run)
            finally:
                close_all(watches)
                run.let_go()
        if restores:  # as in scikit-learn, a warm start changes the best parameters, too
            self._best_theta = None

    def _run_of(
        self,
        network: Network,
        samples: Samples,
        batch_size: int,
        orders: Shuffles | None,
        is_incremental: bool,
        generator: np.random.RandomState,
    ) -> Any:
        """Return a run that trains the network on samples."""
        work = 3 * batch_size * network.specification.n_multiplications
        options: dict[str, Any] = {
            "batch_size": batch_size,
            "optimizer": optimizer_of(self._optimizer.settings),
            "l2": float(self.alpha),
            "dropout": float(self.dropout),
            "gradient_clip_norm": self.gradient_clip_norm,
            # A step without work for two threads has one anyway, and to ask joblib takes 20 us.
            "threads": self._threads if self.n_threads or work >= 2 * WORTH_A_THREAD else None,
        }
        if self.dropout > 0:
            options["seed"] = int(generator.randint(2**31 - 1))
        if not is_incremental and not hasattr(samples.X, "tocsr"):
            return WholeRun.of(network, samples, options, orders)
        return self._optimizer.run_on(network, samples, options, orders)

    def _scorer(self, network: Network, held: Validation, run: Any) -> Callable[[], float]:
        """Return a function that computes the score at the run's present parameters."""
        if self.scoring is None:

            def own() -> float:
                """Return the accuracy, or R^2."""
                network.theta[:] = run.theta
                return self._quality(self._outputs_of(held.X), held.y, held.weights)

            return own
        scorer = check_scoring(self, self.scoring)
        twin = copy.copy(self)
        twin.__dict__.pop("feature_names_in_", None)
        twin._take_network(network)
        more = {} if held.weights is None else {"sample_weight": held.weights}

        def scored() -> float:
            """Return the score that scikit-learn's scorer gives."""
            network.theta[:] = run.theta
            return float(scorer(twin, held.X, held.labels, **more))

        return scored

    def _watches(
        self, network: Network, run: Any, data: tuple[Any, Any, Any], interrupts: Interrupts
    ) -> list[Watch]:
        """Return what is to happen at every epoch besides training."""
        watches: list[Watch] = []
        if hasattr(self, "_skl_callbacks"):
            X, y, weights = data
            metadata = None if weights is None else {"sample_weight": weights}
            context = self._init_callback_context(max_subtasks=self.max_iter)
            told = {"X": X, "y": self._labels_of(y), "metadata": metadata}
            watches.append(TheirCallbacks(self, context, run, told))
        if self.callbacks:
            watches.append(UserCallbacks(self, self.callbacks, network, run, interrupts))
        if self.progress:
            watches.append(Bar(self, run))
        return watches

    def _batch_rows(self, n_samples: int) -> int:
        if self.batch_size == "auto":
            return n_samples if self.solver == "rprop" else min(200, n_samples)
        if self.batch_size > n_samples:
            warn_user("Got `batch_size` less than 1 or larger than sample size. It is going to be clipped")
        return int(min(self.batch_size, n_samples))

    def _split(self, samples: Samples, generator: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
        """Return which samples are trained on, and which are for early stopping."""
        stratify = samples.Y if is_classifier(self) and self.n_outputs_ == 1 else None
        rows, held_out = train_test_split(
            np.arange(samples.n),
            random_state=generator,
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
        self.coefs_, self.intercepts_ = network.specification.views(network.theta)
        self._shown = (*self.coefs_, *self.intercepts_, self.activation)

    def _present_network(self) -> Network:
        """Return the network, made anew if the activation, or an array of `coefs_`, is another one now."""
        present = (*self.coefs_, *self.intercepts_)
        shown = vars(self).get("_shown", ())
        now = (*present, self.activation)
        if len(now) != len(shown) or not all(map(operator.is_, now, shown)):
            sizes = (self.coefs_[0].shape[0], *(W.shape[1] for W in self.coefs_))
            dtype = np.result_type(*present, np.float32)
            network = Network.from_specification(self._form_of(sizes, self._form[1], dtype).specification)
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
                return network.predict(X, threads=None if len(X) <= FEW_ROWS else self._threads)
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
                    self._outputs_of(np.asarray(X[first : first + DENSE_ROWS].toarray()))
                    for first in range(0, X.shape[0], DENSE_ROWS)
                ]
            )
        if np.result_type(X.dtype, network.dtype) != network.dtype:  # X has more digits than the parameters
            narrow = network
            network = Network.from_specification(replace(narrow.specification, dtype=np.dtype(np.float64)))
            network.theta[:] = narrow.theta
        if X.dtype not in (np.float32, np.float64, np.uint8) or not X.flags.aligned:
            X = np.require(X, network.dtype, ["C", "A"])
        return evaluation.predict(network.specification, network.theta, X, threads=self._threads)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
