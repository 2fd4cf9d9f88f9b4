"""The same numbers as the installed scikit-learn gives, in every configuration."""

import warnings

import numpy as np
import pytest
import sklearn.neural_network as theirs
from numpy.testing import assert_allclose
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

import fastbp

IRIS = load_iris(return_X_y=True)
CANCER = load_breast_cancer(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)


def standardised(X):
    return (X - X.mean(axis=0)) / X.std(axis=0)


YD = (DIABETES[1][:150] - 150) / 50
XD = DIABETES[0][:150] * 10
TASKS = {
    "several classes": ("MLPClassifier", *IRIS, {}),
    "two classes": ("MLPClassifier", standardised(CANCER[0])[:200], CANCER[1][:200], {}),
    "several labels": ("MLPClassifier", IRIS[0], np.c_[IRIS[1] > 0, IRIS[0][:, 0] > 6, IRIS[1] == 1] + 0, {}),
    "regression": ("MLPRegressor", XD, YD, {}),
    "several targets": ("MLPRegressor", XD, np.c_[YD, YD**2], {}),
    "counts": ("MLPRegressor", XD, np.round(np.abs(YD) * 3), {"loss": "poisson"}),
}
SOLVERS = {
    "sgd": {"solver": "sgd", "learning_rate_init": 0.01},
    "sgd, no momentum": {"solver": "sgd", "momentum": 0.0, "nesterovs_momentum": False, "batch_size": 32},
    "sgd, plain momentum, inverse scaling": {
        "solver": "sgd",
        "nesterovs_momentum": False,
        "learning_rate": "invscaling",
        "learning_rate_init": 0.1,
    },
    "sgd, adaptive": {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.01, "n_iter_no_change": 1},
    "adam": {"solver": "adam", "batch_size": 16},
    "adam, early stopping": {"solver": "adam", "early_stopping": True, "n_iter_no_change": 3},
    "lbfgs": {"solver": "lbfgs", "max_iter": 12},
}
ACTIVATIONS = ("relu", "tanh", "logistic", "identity")


def fitted(module, task, X, y, options, calls=(("fit", {}),)):
    """Return an estimator after some calls, and the categories of its warnings."""
    kind, _, _, more = TASKS[task]
    base = {"hidden_layer_sizes": (9, 5), "max_iter": 25, "random_state": 3}
    estimator = getattr(module, kind)(**(base | more | options))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for method, arguments in calls:
            getattr(estimator, method)(X, y, **arguments)
    return estimator, sorted({warning.category.__name__ for warning in caught})


def assert_same(ours, other, X, rtol=1e-8):
    """Compare the results of two estimators: arrays relative to their largest element."""
    assert ours.n_iter_ == other.n_iter_
    assert ours.t_ == other.t_
    assert ours.out_activation_ == other.out_activation_
    for mine, true in zip(
        (*ours.coefs_, *ours.intercepts_), (*other.coefs_, *other.intercepts_), strict=True
    ):
        assert mine.dtype == true.dtype
        assert_allclose(mine, true, rtol=0, atol=rtol * np.abs(true).max())
    for name in ("loss_", "loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_"):
        assert hasattr(ours, name) == hasattr(other, name)
        mine, true = getattr(ours, name, None), getattr(other, name, None)
        if true is None:
            assert mine is None
        else:
            assert_allclose(mine, true, rtol=rtol)
    assert_allclose(ours.predict(X), other.predict(X), rtol=rtol, atol=rtol)
    if hasattr(other, "predict_proba"):
        assert_allclose(ours.predict_proba(X), other.predict_proba(X), rtol=0, atol=rtol)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("task", TASKS)
def test_a_fit_gives_the_same_numbers(task, solver, activation):
    _, X, y, _ = TASKS[task]
    options = SOLVERS[solver] | {"activation": activation}
    (ours, warned), (other, expected) = (fitted(module, task, X, y, options) for module in (fastbp, theirs))
    assert warned == expected
    assert_same(ours, other, X, rtol=1e-6 if solver == "lbfgs" else 1e-8)
