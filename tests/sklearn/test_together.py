"""Many fits at once give what each fit gives by itself, but for rounding."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.exceptions import ConvergenceWarning

from fastbp import MLPClassifier, MLPRegressor
from fastbp.schedules import CosineDecay
from fastbp.sklearn.together import CheckedData, Fit, fit_together
from fastbp.training.interrupts import Interrupts

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def standardized(data):
    X, y = data(return_X_y=True)
    return (X - X.mean(axis=0)) / X.std(axis=0), (y - y.mean()) / y.std() if len(np.unique(y)) > 3 else y


CANCER, IRIS, DIABETES = map(standardized, (load_breast_cancer, load_iris, load_diabetes))
ALPHAS = [{"alpha": alpha, "learning_rate_init": rate} for alpha in (1e-4, 1.0) for rate in (0.001, 0.01)]
MOMENTA = [{"momentum": momentum} for momentum in (0.0, 0.5, 0.9)]

CASES = {
    "adam": (MLPClassifier(), CANCER, ALPHAS),
    "early stopping": (MLPClassifier(early_stopping=True), IRIS, ALPHAS),
    "adaptive": (
        MLPClassifier(solver="sgd", learning_rate="adaptive", tol=1e-2, n_iter_no_change=3),
        IRIS,
        MOMENTA,
    ),
    "invscaling": (
        MLPClassifier(solver="sgd", learning_rate="invscaling", nesterovs_momentum=False),
        IRIS,
        MOMENTA,
    ),
    "adamw": (MLPClassifier(solver="adamw", learning_rate="cosine", activation="tanh"), IRIS, ALPHAS),
    "dropout": (MLPClassifier(solver="rmsprop", dropout=0.3, gradient_clip_norm=0.5), IRIS, ALPHAS),
    "rprop": (MLPClassifier(solver="rprop"), IRIS, ALPHAS),
    "regression": (MLPRegressor(early_stopping=True), DIABETES, ALPHAS),
    "in order": (MLPRegressor("huber", activation="logistic", shuffle=False), DIABETES, ALPHAS),
    "schedule": (MLPRegressor("quantile", learning_rate=CosineDecay(0.01, 90)), DIABETES, [{}, {"alpha": 1}]),
}


def folds_of(n, k=3):
    return [np.flatnonzero(np.arange(n) % k != fold) for fold in range(k)]


def fitted_together(estimators, rows, X, y):
    """Return the estimators, each fitted to some rows, and the errors of those that cannot be."""
    fits = [
        Fit(clone(one), own, np.random.RandomState(one.random_state))
        for one, own in zip(estimators, rows, strict=True)
    ]
    with Interrupts() as interrupts:
        assert not fit_together(fits, CheckedData(clone(estimators[0]), X, y), interrupts=interrupts)
    return [fit.estimator for fit in fits], [fit.error for fit in fits]


@pytest.mark.parametrize("name", CASES)
def test_each_fit_is_that_of_the_estimator_alone(name):
    estimator, (X, y), grid = CASES[name]
    estimator.set_params(hidden_layer_sizes=(6,), max_iter=25, random_state=3, batch_size=40)
    pairs = [(clone(estimator).set_params(**one), rows) for one in grid for rows in folds_of(len(X))]
    found, errors = fitted_together(*zip(*pairs, strict=True), X, y)
    assert not any(errors)
    for (alone, rows), together in zip(pairs, found, strict=True):
        alone.fit(X[rows], y[rows])
        assert vars(together).keys() == vars(alone).keys()
        assert together.n_iter_ == alone.n_iter_
        assert together.t_ == alone.t_
        assert_allclose(together._network.theta, alone._network.theta, rtol=1e-9, atol=1e-10)
        assert_allclose(together.loss_curve_, alone.loss_curve_, rtol=1e-9)
        if estimator.early_stopping:
            assert_allclose(together.validation_scores_, alone.validation_scores_, rtol=1e-9)


def test_rows_of_other_folds_change_no_bit():
    X, y = IRIS
    estimators, rows = [MLPClassifier(5, max_iter=9, random_state=0)] * 3, folds_of(len(X))
    found, _ = fitted_together(estimators, rows, X, y)
    for fold, own in enumerate(rows):
        changed = np.random.default_rng(fold).normal(size=X.shape)
        changed[own] = X[own]
        again, _ = fitted_together(estimators, rows, changed, y)
        assert_array_equal(again[fold].coefs_[0], found[fold].coefs_[0])
        assert (again[fold - 1].coefs_[0] != found[fold - 1].coefs_[0]).any()


def test_a_fit_that_cannot_be_or_diverges_leaves_the_others_alone():
    X, y = DIABETES
    good = MLPRegressor(hidden_layer_sizes=5, solver="sgd", activation="identity", max_iter=9, random_state=0)
    bad = [clone(good).set_params(learning_rate_init=1e300), clone(good).set_params(coefs_init=[np.ones(3)])]
    rows = np.arange(len(X))
    found, errors = fitted_together([bad[0], good, bad[1]], [rows] * 3, X, y)
    assert "non-finite" in str(errors[0])
    assert errors[1] is None
    assert "coefs_init" in str(errors[2])
    assert_allclose(found[1].coefs_[0], good.fit(X, y).coefs_[0], rtol=1e-9)


def test_one_warning_counts_the_fits_that_did_not_converge():
    X, y = IRIS
    estimators = [MLPClassifier(5, max_iter=n, tol=0.1, random_state=0) for n in (3, 100, 4)]
    with pytest.warns(ConvergenceWarning, match=r"\(4\) reached .* in 2 of 3 networks"):
        fitted_together(estimators, [np.arange(len(X))] * 3, X, y)
