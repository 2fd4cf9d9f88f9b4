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


WEIGHTS = np.random.default_rng(0).uniform(0.1, 3, 200)


@pytest.mark.parametrize("solver", ["sgd", "adam, early stopping", "lbfgs"])
@pytest.mark.parametrize("task", TASKS)
def test_sample_weights_have_the_same_effect(task, solver):
    _, X, y, _ = TASKS[task]
    calls = (("fit", {"sample_weight": WEIGHTS[: len(y)]}),)
    options = SOLVERS[solver] | {"alpha": 0.05}
    (ours, _), (other, _) = (fitted(module, task, X, y, options, calls) for module in (fastbp, theirs))
    assert_same(ours, other, X, rtol=1e-6 if solver == "lbfgs" else 1e-8)


SEQUENCES = {
    "warm start": ({"warm_start": True, "max_iter": 4}, ("fit", "fit", "fit")),
    "partial_fit": ({}, ("partial_fit",) * 5),
    "partial_fit after fit": ({"max_iter": 4}, ("fit", "partial_fit", "partial_fit")),
    "fit after partial_fit": ({"max_iter": 4}, ("partial_fit", "fit")),
}


@pytest.mark.parametrize("sequence", SEQUENCES)
@pytest.mark.parametrize("solver", ["sgd", "sgd, plain momentum, inverse scaling", "adam"])
@pytest.mark.parametrize("task", TASKS)
def test_calls_go_on_from_each_other_alike(task, solver, sequence):
    kind, X, y, _ = TASKS[task]
    options, methods = SEQUENCES[sequence]
    several = y.ndim == 2
    first = {} if kind == "MLPRegressor" else {"classes": np.arange(y.shape[1]) if several else np.unique(y)}
    calls = [(method, first if method == "partial_fit" else {}) for method in methods]
    options = SOLVERS[solver] | options
    (ours, warned), (other, expected) = (
        fitted(module, task, X, y, options, calls) for module in (fastbp, theirs)
    )
    assert warned == expected
    assert_same(ours, other, X)


@pytest.mark.parametrize("kind", ["csr", "csc", "float32", "columns", "frame"])
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("task", ["several classes", "regression"])
def test_every_form_of_samples_gives_the_same(task, solver, kind):
    import pandas
    from scipy import sparse

    _, X, y, _ = TASKS[task]
    X = {
        "csr": sparse.csr_matrix,
        "csc": sparse.csc_matrix,
        "float32": np.float32,
        "columns": np.asfortranarray,
        "frame": lambda X: pandas.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])]),
    }[kind](X)
    (ours, _), (other, _) = (
        fitted(module, task, X, y, SOLVERS[solver], (("fit", {}),)) for module in (fastbp, theirs)
    )
    single = kind == "float32"  # of which L-BFGS computes the first value only
    assert_same(ours, other, X, rtol=2e-4 if single else 1e-6 if solver == "lbfgs" else 1e-8)
    if kind == "frame":
        assert ours.feature_names_in_.tolist() == other.feature_names_in_.tolist()
