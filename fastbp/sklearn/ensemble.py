"""Ensembles of perceptrons that train as one population."""

from abc import ABCMeta
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods
from sklearn.utils.validation import check_is_fitted, validate_data

from fastbp.greedy_selection import greedy_selection
from fastbp.loss_of_outputs import losses_of_outputs
from fastbp.populations.outputs import outputs_of
from fastbp.sklearn.classifier import MLPClassifier
from fastbp.sklearn.fit_parameters import COUNT
from fastbp.sklearn.fit_samples import Samples
from fastbp.sklearn.predictions import PredictsClasses, PredictsNumbers
from fastbp.sklearn.quick import validate_parameters
from fastbp.sklearn.regressor import MLPRegressor
from fastbp.sklearn.together import (
    DATA_ATTRIBUTES,
    CheckedData,
    Fit,
    fit_together,
    has_population_loss,
    trains_in_a_population,
)
from fastbp.sklearn.user_warnings import warn_user
from fastbp.training.interrupts import Interrupts


class PerceptronEnsemble(BaseEstimator, metaclass=ABCMeta):
    """What both ensembles have in common."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "estimator": [HasMethods(["fit", "predict"]), None],
        "n_networks": [COUNT],
        "bootstrap": ["boolean"],
        "selection": [COUNT, None],
        "random_state": ["random_state"],
    }
    _kind: ClassVar[Any]

    def __init__(
        self,
        estimator: Any = None,
        n_networks: int = 10,
        *,
        bootstrap: bool = False,
        selection: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.estimator, self.n_networks, self.bootstrap = estimator, n_networks, bootstrap
        self.selection, self.random_state = selection, random_state

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit all networks to samples, at once.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)
        y : array_like, shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array_like, shape (n_samples,), optional
            With `bootstrap`, samples are drawn with probabilities in proportion to their weights. Without it,
            the weights are those of the `fit` of each network, and networks are fitted one by one. Samples
            that are held out have their weights in the scores, and in the loss of the selection.

        Returns
        -------
        self
        """
        self._validate_params()
        template: Any = self._kind() if self.estimator is None else clone(self.estimator)
        if not isinstance(template, self._kind):
            raise ValueError(f"estimator is {template!r}, and must be a fastbp.{self._kind.__name__}")
        template.set_params(warm_start=False)
        validate_parameters(template)
        generator = check_random_state(self.random_state)
        data = CheckedData(template, X, y, sample_weight)
        for name in DATA_ATTRIBUTES:
            self.__dict__.pop(name, None)
            if hasattr(template, name):
                setattr(self, name, getattr(template, name))
        fits = self._divided(template, data, generator)
        together = data.is_dense and trains_in_a_population(template) and has_population_loss(template)
        if together and not fits[0].weighs:
            with Interrupts() as interrupts:
                if fit_together(fits, data, interrupts=interrupts, threads=template._threads):
                    warn_user("Training interrupted by user.")
        else:
            for fit in fits:
                fit.alone(data)
        self._take(fits, data)
        return self

    def _divided(self, template: Any, data: CheckedData, generator: np.random.RandomState) -> list[Fit]:
        """Return the fits of the networks: what each is trained on, and what is held out from all."""
        rows, held = np.arange(data.X.shape[0]), None
        if template.early_stopping or self.selection is not None:
            rows, held = template._split(Samples(data.X, data.y), generator)
        weights, chances = data.weights_of(rows), None
        if weights is not None and self.bootstrap:
            if not weights.any():
                raise ValueError("the weights of all samples that are not held out are 0")
            chances = weights / weights.sum()
        fits = []
        for seed in generator.randint(2**31 - 1, size=self.n_networks):
            own = np.sort(generator.choice(rows, len(rows), p=chances)) if self.bootstrap else rows
            member = clone(template).set_params(random_state=int(seed))
            weighs = weights is not None and not self.bootstrap
            fits.append(Fit(member, own, np.random.RandomState(seed), held, weighs))
        return fits

    def _take(self, fits: list[Fit], data: CheckedData) -> None:
        """Keep the networks that were trained, or those that greedy selection chooses, and their weights."""
        whole = [fit for fit in fits if fit.error is None]
        if not whole:
            assert fits[0].error is not None
            raise fits[0].error
        begun = [fit for fit in whole if fit.estimator.n_iter_ > 0] or whole
        counts = np.ones(len(begun), np.int64)
        self.estimators_ = [fit.estimator for fit in begun]
        if self.selection is not None:
            held, loss = begun[0].held, self.estimators_[0]._form[1]
            outputs = self._each(data.X[held])
            Y = self.estimators_[0]._targets(data.y[held], outputs.dtype)

            def losses(means: np.ndarray) -> np.ndarray:
                """Return the loss of each mean on the samples that are held out."""
                return losses_of_outputs(loss, means, Y, data.weights_of(held))

            counts = greedy_selection(outputs, losses, self.selection)
            self.estimators_ = [self.estimators_[i] for i in np.flatnonzero(counts)]
        self.weights_ = counts[counts > 0] / counts.sum()

    def _each(self, X: Any) -> np.ndarray:
        """Return the outputs of each network, shape (n_networks, n_samples, n_outputs)."""
        networks = [one._present_network() for one in self.estimators_]
        specification = networks[0].specification
        if hasattr(X, "tocsr") or np.result_type(X.dtype, specification.dtype) != specification.dtype:
            return np.array([one._outputs_of(X) for one in self.estimators_])
        theta = np.array([network.theta for network in networks])
        return outputs_of(specification, theta, X, threads=self.estimators_[0]._threads)

    def _outputs(self, X: Any) -> np.ndarray:
        """Return the mean over the networks of their outputs for X from outside."""
        return self._moments(X)[0]

    def _moments(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation over the networks of their outputs for X from outside."""
        check_is_fitted(self)
        kinds = (np.float64, np.float32)
        X = validate_data(self, X, accept_sparse=["csr", "csc"], dtype=kinds, reset=False)
        each = self._each(X)
        mean = np.average(each, axis=0, weights=self.weights_)
        spread = np.average((each - mean) ** 2, axis=0, weights=self.weights_)
        return mean.astype(each.dtype), np.sqrt(spread).astype(each.dtype)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


class MLPEnsembleClassifier(PredictsClasses, PerceptronEnsemble):
    """Many perceptrons for classification, trained at once as one population; their mean predicts.

    The networks differ in their first parameters and in the order of their samples and, with `bootstrap`, in
    their samples. Each is what the `fit` of its estimator would make of its samples, but for rounding.

    Parameters
    ----------
    estimator : MLPClassifier, optional
        What each network is, and how it is trained; its `random_state` counts for nothing. The default is
        ``MLPClassifier()``. With ``early_stopping=True``, each network stops by itself, and keeps its best
        parameters; all have the same samples held out. With what populations cannot do, such as the solver
        "lbfgs", networks are fitted one by one: see `MLPSearchCV`.
    n_networks : int, default 10
    bootstrap : bool, default False
        Whether each network has as many samples as there are, drawn from them at random, by their weights if
        they have weights: bagging (Breiman 1996).
    selection : int, optional
        The most members that greedy selection chooses, a network perhaps several times, by the loss of their
        mean on samples that are held out, `validation_fraction` of the estimator (Caruana et al. 2004,
        https://doi.org/10.1145/1015330.1015432).
    random_state : int, RandomState or None, default None

    Attributes
    ----------
    estimators_ : list of MLPClassifier
        The networks, without those that diverged or were not selected.
    weights_ : ndarray, shape (len(estimators_),)
        How much each counts in the mean; the sum is 1.
    classes_, n_outputs_, n_features_in_, feature_names_in_
        As in `MLPClassifier`.

    Examples
    --------
    >>> import fastbp
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> network = fastbp.MLPClassifier(8, learning_rate_init=0.02, tol=0.01)
    >>> ensemble = MLPEnsembleClassifier(network, 20, bootstrap=True, random_state=0).fit(X, y)
    >>> len(ensemble.estimators_), bool(ensemble.score(X, y) > 0.95)
    (20, True)
    """

    _kind = MLPClassifier
    classes_: np.ndarray


class MLPEnsembleRegressor(PredictsNumbers, PerceptronEnsemble):
    """Many perceptrons for regression, trained at once as one population; their mean predicts.

    The networks differ in their first parameters and in the order of their samples and, with `bootstrap`, in
    their samples. Each is what the `fit` of its estimator would make of its samples, but for rounding.

    Parameters
    ----------
    estimator : MLPRegressor, optional
        As for `MLPEnsembleClassifier`. The default is ``MLPRegressor()``.
    n_networks, bootstrap, selection, random_state
        As for `MLPEnsembleClassifier`.

    Attributes
    ----------
    estimators_ : list of MLPRegressor
    weights_ : ndarray, shape (len(estimators_),)
    n_outputs_, n_features_in_, feature_names_in_
        As in `MLPEnsembleClassifier`.

    Examples
    --------
    >>> import fastbp
    >>> x = np.linspace(-3, 3, 200).reshape(-1, 1)
    >>> network = fastbp.MLPRegressor(hidden_layer_sizes=20, learning_rate_init=0.02, tol=1e-3)
    >>> ensemble = MLPEnsembleRegressor(network, 16, bootstrap=True, random_state=0).fit(x, np.sin(x.ravel()))
    >>> inside, outside = ensemble.predict_std([[0.5], [9.0]])
    >>> bool(outside > 5 * inside)
    True
    """

    _kind = MLPRegressor

    def predict_std(self, X: ArrayLike) -> np.ndarray:
        """Return the standard deviation of the networks' predictions: how far they disagree.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)

        Returns
        -------
        ndarray, shape (n_samples,) or (n_samples, n_outputs)
            The sum of squares is divided by the number of networks. It is not the error of a prediction:
            noise in the targets is not in it.
        """
        _, spread = self._moments(X)
        return spread.ravel() if spread.shape[1] == 1 else spread
