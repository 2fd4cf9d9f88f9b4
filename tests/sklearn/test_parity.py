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
    "warm start, early stopping": (
        {"warm_start": True, "max_iter": 6, "early_stopping": True, "n_iter_no_change": 1, "tol": 0.02},
        ("fit", "fit", "fit"),
    ),
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


LABELS = {
    "strings": np.array(["setosa", "versicolor", "virginica"]),
    "objects": np.array(["a", "bb", "c"], object),
    "small integers": np.array([-3, 0, 7], np.int8),
    "floats": np.array([0.0, 1.0, 5.0]),
    "two strings": np.array(["no", "yes", "yes"]),
    "booleans": np.array([False, True, True]),
    "one class": np.array([4, 4, 4]),
}


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("stops", [False, True])
def test_labels_of_every_type_give_the_same(labels, stops):
    y = LABELS[labels][IRIS[1]]
    options = {"early_stopping": stops, "n_iter_no_change": 2}
    ours, _ = fitted(fastbp, "several classes", IRIS[0], y, options)
    try:
        other, _ = fitted(theirs, "several classes", IRIS[0], y, options)
    except TypeError:
        pytest.skip("scikit-learn 1.7 cannot score strings")
    assert ours.classes_.dtype == other.classes_.dtype
    assert ours.classes_.tolist() == other.classes_.tolist()
    mine, true = ours.predict(IRIS[0]), other.predict(IRIS[0])
    assert mine.dtype == true.dtype
    assert (mine == true).all()
    assert_allclose(ours.predict_log_proba(IRIS[0]), other.predict_log_proba(IRIS[0]), rtol=1e-7, atol=1e-9)
    assert ours.n_iter_ == other.n_iter_
    assert ours.validation_scores_ == other.validation_scores_


def test_sparse_labels_give_sparse_predictions():
    from scipy import sparse

    _, X, y, _ = TASKS["several labels"]
    (ours, _), (other, _) = (
        fitted(module, "several labels", X, sparse.csr_matrix(y), {}) for module in (fastbp, theirs)
    )
    assert sparse.issparse(ours.predict(X))
    assert (ours.predict(X) != other.predict(X)).nnz == 0


@pytest.mark.parametrize("solver", ["sgd, adaptive", "adam, early stopping", "adam"])
def test_the_same_is_printed(solver, capsys):
    printed = []
    for module in (fastbp, theirs):
        fitted(module, "regression", XD, YD, SOLVERS[solver] | {"verbose": True, "max_iter": 60, "tol": 0.05})
        printed.append(capsys.readouterr().out)
    assert "Iteration 1, loss = " in printed[1]
    assert "Stopping" in printed[1] or "Setting learning rate" in printed[1]
    assert printed[0] == printed[1]


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_generator_of_the_user_is_left_where_scikit_learn_leaves_it(shuffle):
    draws = []
    for module in (fastbp, theirs):
        generator = np.random.RandomState(5)
        fitted(
            module, "regression", XD, YD, {"random_state": generator, "shuffle": shuffle, "batch_size": 40}
        )
        draws.append(generator.randint(2**31))
    assert draws[0] == draws[1]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("task", ["several classes", "two classes", "several labels"])
def test_losses_of_hopeless_samples_are_bounded_alike(task, dtype):
    """Far out, scikit-learn's probabilities are at least the type's epsilon, in the loss alone.

    Nearer, its 1 - p has few digits, where p is almost 1.
    """
    _, X, y, _ = TASKS[task]
    options = {"solver": "sgd", "learning_rate_init": 2.0, "activation": "identity", "max_iter": 3}
    (ours, _), (other, _) = (
        fitted(module, task, (30 * X).astype(dtype), y, options | {"alpha": 0.0})
        for module in (fastbp, theirs)
    )
    if np.isfinite(other.loss_curve_).all():
        assert_allclose(ours.loss_curve_, other.loss_curve_, rtol=1e-3 if dtype == "float32" else 1e-5)


@pytest.mark.parametrize("seed", range(12))
def test_random_configurations_give_the_same(seed):
    generator = np.random.default_rng(seed)
    task = generator.choice(list(TASKS))
    _, X, y, _ = TASKS[task]
    options = {
        "solver": str(generator.choice(["sgd", "adam"])),
        "activation": str(generator.choice(ACTIVATIONS)),
        "hidden_layer_sizes": tuple(int(n) for n in generator.integers(1, 40, generator.integers(0, 4))),
        "alpha": float(generator.choice([0.0, 1e-4, 0.3])),
        "batch_size": int(generator.integers(1, 150)),
        "learning_rate": str(generator.choice(["constant", "invscaling", "adaptive"])),
        "learning_rate_init": float(generator.choice([1e-4, 1e-3, 1e-2])),
        "power_t": float(generator.uniform(0, 1)),
        "shuffle": bool(generator.integers(2)),
        "random_state": int(generator.integers(2**32)),
        "tol": float(generator.choice([0.0, 1e-4, 1e-2])),
        "momentum": float(generator.choice([0.0, 0.5, 1.0])),
        "nesterovs_momentum": bool(generator.integers(2)),
        "early_stopping": bool(generator.integers(2)),
        "validation_fraction": float(generator.uniform(0.05, 0.5)),
        "beta_1": float(generator.choice([0.0, 0.9])),
        "beta_2": float(generator.choice([0.0, 0.99])),
        "epsilon": float(generator.choice([1e-8, 1e-2])),
        "n_iter_no_change": int(generator.integers(1, 5)),
        "max_iter": int(generator.integers(1, 12)),
    }
    calls = (("fit", {"sample_weight": WEIGHTS[: len(y)]} if generator.integers(2) else {}),)
    (ours, warned), (other, expected) = (
        fitted(module, task, X, y, options, calls) for module in (fastbp, theirs)
    )
    assert warned == expected
    assert_same(ours, other, X, rtol=1e-7)


def test_a_sparse_matrix_of_several_blocks_has_the_loss_and_gradient_of_a_dense_one():
    from scipy import sparse

    from fastbp.engine.objective import Objective
    from fastbp.sklearn.lbfgs import SparseObjective

    network = fastbp.Network([10, 4, 1], output_activation="identity", seed=0)
    weights, Y = WEIGHTS[:150] / WEIGHTS[:150].mean(), YD[:, None].copy()
    whole = Objective(network.specification, XD, Y, weights, as_scikit_learn=True)
    blocks = SparseObjective(network.specification, sparse.csr_matrix(XD), Y, weights, None, 400)
    value, gradient = blocks.value_and_gradient(network.theta, np.empty(network.theta.size))
    assert value == pytest.approx(whole.value(network.theta), rel=1e-13)
    assert_allclose(gradient, whole.value_and_gradient(network.theta)[1], rtol=1e-11, atol=1e-14)
