"""MLPSearchCV: a grid search whose fits are populations."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike
from sklearn import get_config
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.metrics import check_scoring
from sklearn.model_selection import GridSearchCV, ParameterGrid, check_cv
from sklearn.utils import _safe_indexing, check_random_state, get_tags, indexable

from fastbp.sklearn.classifier import MLPClassifier
from fastbp.sklearn.quick import validate_parameters
from fastbp.sklearn.regressor import MLPRegressor
from fastbp.sklearn.together import (
    CheckedData,
    Fit,
    fit_together,
    has_population_loss,
    trains_in_a_population,
)
from fastbp.sklearn.workers import threads_in_worker
from fastbp.training.interrupts import Interrupts


class MLPSearchCV(GridSearchCV):
    """Grid search over perceptrons whose candidates and folds train at once, as networks of populations.

    It is scikit-learn's `GridSearchCV` with the same parameters, attributes and results. Candidates that
    share layers, activations, solver and batch size are networks of one population, and so are their folds.
    Each network trains on the rows of its fold alone, in the order in which `fit` would take them. So
    ``cv_results_`` has the scores that `GridSearchCV` finds, but for rounding.

    The estimator is `fastbp.MLPClassifier` or `fastbp.MLPRegressor`. These are fitted one by one, with the
    same scores: candidates with the solver "lbfgs", `class_weight`, `scoring`, `callbacks`, `checkpoint`,
    `max_seconds`, `verbose` or a momentum of 1; several targets or labels, and the loss "poisson"; folds that
    lack a class; sparse X; fits with `sample_weight`; and all other estimators, such as pipelines.

    Parameters
    ----------
    estimator, param_grid, scoring, n_jobs, refit, cv, verbose, pre_dispatch, error_score, return_train_score
        As for `sklearn.model_selection.GridSearchCV`. `n_jobs` is for fits one by one; populations have as
        many threads as pay, or `n_threads` of the estimator.

    Attributes
    ----------
    cv_results_, best_estimator_, best_params_, best_score_, best_index_, scorer_, n_splits_, refit_time_, \
    multimetric_, classes_, n_features_in_, feature_names_in_
        As in `GridSearchCV`. The time of a fit is its share of the time of all that trained together.

    Examples
    --------
    >>> import fastbp
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> network = fastbp.MLPClassifier(4, solver="sgd", momentum=0.5, max_iter=20, tol=0.1, random_state=0)
    >>> search = MLPSearchCV(network, {"learning_rate_init": [0.1, 0.01], "alpha": [0.1, 0.01]}, cv=3)
    >>> search.fit(X, y).best_params_
    {'alpha': 0.1, 'learning_rate_init': 0.1}
    >>> search.cv_results_["mean_test_score"].shape
    (4,)
    """

    def fit(self, X: ArrayLike, y: ArrayLike | None = None, **params: Any) -> Self:
        """Fit all candidates to all folds, and the best one to all samples.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
        y : array_like, shape (n_samples,)
        **params
            ``groups`` for the splitter. Others, such as ``sample_weight``, as in `GridSearchCV`.

        Returns
        -------
        self
        """
        groups = params.get("groups")
        others = [name for name, value in params.items() if name != "groups" and value is not None]
        if (
            others
            or get_config()["enable_metadata_routing"]
            or type(self.estimator) not in (MLPClassifier, MLPRegressor)
        ):
            return super().fit(X, y, **params)
        self._validate_params()
        X, y, groups = indexable(X, y, groups)
        cv = check_cv(self.cv, y, classifier=is_classifier(self.estimator))
        splits = [(_numbers(train), _numbers(test)) for train, test in cv.split(X, y, groups)]
        candidates = list(ParameterGrid(self.param_grid))
        plan = Plan(self.estimator, candidates, splits, X, y)
        if not plan.fit_populations():
            return super().fit(X, y, **params)
        plan.fit_others(self.n_jobs, self.verbose)
        self._take_results(plan, X, y)
        return self

    def _take_results(self, plan: "Plan", X: Any, y: Any) -> None:
        """Let scikit-learn's search score the fits, choose the best and fit that."""
        scorer = check_scoring(self.estimator, self.scoring)

        def score(planned: Planned, numbers: np.ndarray, of_rows: Any = None) -> Any:
            """Return the score of a fit on some samples."""
            return scorer(planned.fitted, *plan.samples(numbers))

        inner = Scoring(
            Planned(plan),
            {"candidate": range(len(plan.candidates))},
            scoring=score,
            refit=self.refit,
            cv=plan.splits,
            verbose=self.verbose,
            error_score=self.error_score,
            return_train_score=self.return_train_score,
        )
        inner.fit(np.arange(len(plan)).reshape(-1, 1), y)
        for name, value in vars(inner).items():
            if name.endswith("_") and not name.startswith("_"):
                setattr(self, name, value)
        self.scorer_ = getattr(scorer, "_scorers", scorer)
        self.multimetric_ = isinstance(self.scorer_, dict) or inner.multimetric_
        if self.refit:
            self.best_estimator_ = inner.best_estimator_.fitted
            if hasattr(self.best_estimator_, "feature_names_in_"):
                self.feature_names_in_ = self.best_estimator_.feature_names_in_


@dataclass(eq=False)
class Made:
    """A fit of a candidate to a fold.

    Attributes
    ----------
    estimator : MLPClassifier or MLPRegressor
    error : Exception or None
        What its `fit` raised.
    seconds : float
    """

    estimator: Any
    error: Exception | None
    seconds: float


class Plan:
    """All fits of a search.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
    candidates : sequence of dict
        Parameters.
    splits : sequence of (ndarray, ndarray)
        The training and the test samples of each fold.
    X, y
        As the user gave them.

    Attributes
    ----------
    made : dict of Made
        By the number of the candidate and that of the fold.
    """

    def __init__(
        self,
        estimator: Any,
        candidates: Sequence[dict[str, Any]],
        splits: Sequence[tuple[np.ndarray, np.ndarray]],
        X: Any,
        y: Any,
    ):
        self.estimator, self.candidates, self.splits = estimator, candidates, splits
        self._X, self._y = X, y
        self.made: dict[tuple[int, int], Made] = {}
        self._folds = {train.tobytes(): i for i, (train, _) in enumerate(splits)}

    def __len__(self) -> int:
        return int(self._X.shape[0]) if hasattr(self._X, "shape") else len(self._X)

    def samples(self, rows: np.ndarray) -> tuple[Any, ...]:
        """Return samples by the array of one column that stands for X."""
        numbers = rows[:, 0]
        X = _safe_indexing(self._X, numbers)
        return (X,) if self._y is None else (X, _safe_indexing(self._y, numbers))

    def with_parameters(self, candidate: int) -> Any:
        """Return a new estimator with the parameters of a candidate."""
        return self.refitted(self.candidates[candidate])

    def refitted(self, parameters: dict[str, Any]) -> Any:
        """Return a new estimator with these parameters."""
        return clone(self.estimator).set_params(**clone(parameters, safe=False))

    def made_for(self, candidate: int, rows: np.ndarray) -> Made:
        """Return the fit of a candidate to these rows."""
        return self.made[candidate, self._folds[np.ascontiguousarray(rows[:, 0]).tobytes()]]

    def fit_populations(self) -> bool:
        """Make the fits that populations can do; return whether there are any."""
        estimators = [self.with_parameters(candidate) for candidate in range(len(self.candidates))]
        eligible = [i for i, one in enumerate(estimators) if _is_valid(one) and trains_in_a_population(one)]
        if not eligible:
            return False
        try:
            data = CheckedData(self.with_parameters(eligible[0]), self._X, self._y)
        except (ValueError, TypeError):
            return False  # each fit says what is wrong
        if not data.is_dense:
            return False
        for i in eligible:
            data.tell(estimators[i])
        eligible = [i for i in eligible if has_population_loss(estimators[i])]
        folds = [fold for fold, (train, _) in enumerate(self.splits) if data.has_all_classes(train)]
        fits = {
            (i, fold): Fit(one := clone(estimators[i]), rows, check_random_state(one.random_state))
            for i in eligible
            for fold in folds
            if len(rows := self.splits[fold][0])
        }
        if not fits:
            return False
        started = time.perf_counter()
        threads = threads_in_worker() if self.estimator.n_threads is None else self.estimator.n_threads
        with Interrupts() as interrupts:
            if fit_together(list(fits.values()), data, threads=threads, interrupts=interrupts):
                raise KeyboardInterrupt
        seconds = (time.perf_counter() - started) / len(fits)
        self.made |= {name: Made(fit.estimator, fit.error, seconds) for name, fit in fits.items()}
        return True

    def fit_others(self, n_jobs: int | None, verbose: int) -> None:
        """Make the other fits, one by one."""
        left = [
            (i, fold)
            for i in range(len(self.candidates))
            for fold in range(len(self.splits))
            if (i, fold) not in self.made
        ]
        made = Parallel(n_jobs=n_jobs, verbose=max(0, verbose - 1))(
            delayed(_fit_one)(self.with_parameters(i), *self.samples(self._column(fold))) for i, fold in left
        )
        self.made |= dict(zip(left, made, strict=True))

    def _column(self, fold: int) -> np.ndarray:
        return self.splits[fold][0].reshape(-1, 1)


def _numbers(rows: Any) -> np.ndarray:
    """Return the numbers of rows that are given so, or by a mask."""
    rows = np.asarray(rows)
    return np.flatnonzero(rows) if rows.dtype == bool else rows


def _fit_one(estimator: Any, *samples: Any) -> Made:
    """Fit an estimator, and return it, or what it raised."""
    started, error = time.perf_counter(), None
    try:
        estimator.fit(*samples)
    except Exception as raised:
        error = raised
    return Made(estimator, error, time.perf_counter() - started)


def _is_valid(estimator: Any) -> bool:
    """Whether its parameters are what they may be; if not, its `fit` says so."""
    try:
        validate_parameters(estimator)
        estimator._hidden_sizes()
    except (ValueError, TypeError):
        return False
    return True


class Planned(BaseEstimator):
    """A candidate that has been fitted already: what scikit-learn's search gets as its estimator.

    Its X is a column of the numbers of samples.

    Parameters
    ----------
    plan : Plan
    candidate : int
    """

    def __init__(self, plan: Plan | None = None, candidate: int | None = None):
        self.plan, self.candidate = plan, candidate

    def __sklearn_clone__(self) -> "Planned":
        return Planned(self.plan, self.candidate)

    def set_params(self, **parameters: Any) -> Self:
        """Choose a candidate, or take the best parameters."""
        if [*parameters] == ["candidate"]:
            self.candidate = parameters["candidate"]
        else:
            self._parameters = parameters
        return self

    def fit(self, rows: np.ndarray, y: Any = None) -> Self:
        """Look the fit up, or fit the best candidate to all samples."""
        assert self.plan is not None
        if self.candidate is None:
            self.fitted = self.plan.refitted(self._parameters).fit(*self.plan.samples(rows))
            return self
        made = self.plan.made_for(self.candidate, rows)
        if made.error is not None:
            raise made.error
        self.fitted = made.estimator
        return self

    def __sklearn_tags__(self) -> Any:
        assert self.plan is not None
        return get_tags(self.plan.estimator)


class Scoring(GridSearchCV):
    """Scores the fits of a plan, and names the candidates by their parameters."""

    def _format_results(
        self, candidate_params: Any, n_splits: int, out: Any, more_results: Any = None
    ) -> Any:
        plan: Plan = self.estimator.plan
        results = super()._format_results(plan.candidates, n_splits, out, more_results)
        seconds = np.array(
            [[plan.made[i, fold].seconds for fold in range(n_splits)] for i in range(len(plan.candidates))]
        )
        return results | {"mean_fit_time": seconds.mean(axis=1), "std_fit_time": seconds.std(axis=1)}
