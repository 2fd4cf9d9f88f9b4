"""What changes between two calls: parameters, samples, labels. scikit-learn decides what comes of it."""

import numpy as np
import pytest
import sklearn
import sklearn.neural_network
from numpy.testing import assert_allclose
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning

import fastbp
from fastbp.errors import NotSupportedError

X, SPECIES = load_iris(return_X_y=True)
Y = X @ [0.1, 0.4, -0.2, 0.3]
OPTIONS = {"hidden_layer_sizes": (5,), "max_iter": 5, "random_state": 0}
SEVERAL = np.eye(3, dtype=int)[SPECIES]

pytestmark = pytest.mark.filterwarnings(f"ignore::{ConvergenceWarning.__module__}.ConvergenceWarning")


def assert_same(work, rtol=1e-9):
    """Compare what `work` returns of the classes of both."""
    found, expected = (work(*classes) for classes in both())
    for mine, true in zip(found, expected, strict=True):
        assert np.asarray(mine).dtype == np.asarray(true).dtype
        assert_allclose(mine, true, rtol=rtol, atol=rtol)


def both():
    module = sklearn.neural_network
    return (fastbp.MLPClassifier, fastbp.MLPRegressor), (module.MLPClassifier, module.MLPRegressor)


def changed(estimator, y, **changes):
    return estimator.fit(X, y).set_params(**changes)


CHANGES = {
    "another activation predicts": lambda C, R: [
        changed(C(**OPTIONS), SPECIES, activation="tanh").predict_proba(X)
    ],
    "another activation goes on": lambda C, R: (
        changed(C(warm_start=True, **OPTIONS), SPECIES, activation="tanh", solver="sgd")
        .fit(X, SPECIES)
        .coefs_
    ),
    "another solver and rate": lambda C, R: (
        changed(R(warm_start=True, **OPTIONS), Y, solver="lbfgs", alpha=0.1).fit(X, Y).coefs_
    ),
    "partial_fit of lbfgs": lambda C, R: (
        R(**OPTIONS, solver="lbfgs", alpha=1.0).partial_fit(X, Y).partial_fit(X, Y).coefs_
    ),
    "one label a sample after several": lambda C, R: (
        C(**OPTIONS).partial_fit(X, SEVERAL, classes=[0, 1, 2]).partial_fit(X, SPECIES).coefs_
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_estimator_does_what_scikit_learns_does(name):
    assert_same(CHANGES[name], rtol=1e-6 if "solver" in name or "lbfgs" in name else 1e-9)


@pytest.mark.parametrize(
    "changes", [{"solver": "sgd"}, {"beta_1": 0.5}, {"learning_rate_init": 0.1}], ids=str
)
@pytest.mark.parametrize("begin", ["fit", "partial_fit"])
def test_partial_fit_goes_on_with_the_optimizer_that_began(begin, changes):
    """Its parameters are those of the first call: in scikit-learn, a new one begins with `fit` alone."""

    def work(C, R):
        model = getattr(R(**OPTIONS), begin)(X, Y).set_params(**changes)
        return model.partial_fit(X, Y).partial_fit(X, Y).coefs_

    def rates(C, R):
        model = R(**OPTIONS, solver="sgd", learning_rate="invscaling").partial_fit(X, Y)
        return (
            model.set_params(learning_rate="constant", power_t=0.1).partial_fit(X, Y).partial_fit(X, Y).coefs_
        )

    assert_same(work)
    assert_same(rates)


@pytest.mark.parametrize("seed", range(4))
def test_a_warm_start_that_finds_no_better_score_keeps_what_scikit_learn_keeps(seed):
    options = OPTIONS | {
        "early_stopping": True,
        "warm_start": True,
        "n_iter_no_change": 1,
        "random_state": seed,
    }
    assert_same(lambda C, R: C(**options).fit(X, SPECIES).fit(X, SPECIES).fit(X, SPECIES).coefs_)


@pytest.mark.parametrize("dtype", ["float64", "int64", "int8", "float16", "float32"])
def test_predictions_have_the_digits_of_the_samples_or_of_the_parameters(dtype):
    samples = X.astype(dtype)
    rtol = 1e-5 if dtype in ("float16", "float32", "int8") else 1e-6
    assert_same(
        lambda C, R: [
            C(**OPTIONS).fit(X.astype(np.float32), SPECIES).predict_proba(samples),
            R(**OPTIONS).fit(X.astype(np.float32), Y).predict(samples),
        ],
        rtol,
    )


def test_parameters_are_not_checked_if_scikit_learn_is_told_so():
    with sklearn.config_context(skip_parameter_validation=True):
        assert_same(lambda C, R: C(**OPTIONS, power_t=-1.0).fit(X, SPECIES).coefs_)
    with pytest.raises(sklearn.utils._param_validation.InvalidParameterError, match="power_t"):
        fastbp.MLPClassifier(**OPTIONS, power_t=-1.0).fit(X, SPECIES)


OTHERS = {
    "more targets": (
        lambda C, R: R(warm_start=True, **OPTIONS).fit(X, Y).fit(X, np.c_[Y, Y]),
        "y has 2 outputs, and that of the fit before had 1",
    ),
    "more targets, in parts": (
        lambda C, R: R(**OPTIONS).partial_fit(X, Y).partial_fit(X, np.c_[Y, Y]),
        "y has 2 outputs, and that of the fit before had 1",
    ),
    "several labels": (
        lambda C, R: C(warm_start=True, **OPTIONS).fit(X, SPECIES).fit(X, SEVERAL),
        "y has 3 labels a sample",
    ),
    "several labels, in parts": (
        lambda C, R: C(**OPTIONS).partial_fit(X, SPECIES, classes=[0, 1, 2]).partial_fit(X, SEVERAL),
        "y has 3 labels a sample",
    ),
    "fewer labels": (
        lambda C, R: C(**OPTIONS).partial_fit(X, SEVERAL, classes=[0, 1, 2]).partial_fit(X, SEVERAL[:, :2]),
        "y has 2 labels a sample, and there are 3",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_samples_of_another_network_are_refused(name):
    work, words = OTHERS[name]
    ours, theirs = both()
    with pytest.raises(ValueError, match=words):
        work(*ours)
    with pytest.raises(ValueError):  # noqa: PT011 - in words of its own
        work(*theirs)


def test_more_hidden_layers_need_a_new_fit():
    model = changed(fastbp.MLPRegressor(warm_start=True, **OPTIONS), Y, hidden_layer_sizes=(5, 5))
    with pytest.raises(ValueError, match="hidden_layer_sizes has 2 layers, and the fit before had 1"):
        model.fit(X, Y)


def test_a_warm_start_takes_another_loss_of_the_same_outputs():
    options = OPTIONS | {"shuffle": False}
    first = fastbp.MLPRegressor(warm_start=True, **options).fit(X, Y)
    begin = {
        "coefs_init": [W.copy() for W in first.coefs_],
        "intercepts_init": [b.copy() for b in first.intercepts_],
    }
    new = fastbp.MLPRegressor("huber", **options, **begin).fit(X, Y)
    first.set_params(loss="huber").fit(X, Y)
    assert_allclose(first.loss_curve_[-5:], new.loss_curve_, rtol=1e-12)
    with pytest.raises(ValueError, match="loss is 'poisson', whose output activation is exp"):
        first.set_params(loss="poisson").fit(X, Y)


def test_negative_weights_are_refused_by_name():
    weights = np.where(np.arange(150) == 3, -0.5, 1.0)
    with pytest.raises(NotSupportedError, match="negative weights"):
        fastbp.MLPClassifier(**OPTIONS).fit(X, SPECIES, weights)
    assert_same(lambda C, R: R(**OPTIONS, solver="lbfgs").fit(X, Y, weights).coefs_, 1e-6)


@pytest.mark.parametrize("words", [["a"] * 150, ["1"] * 150])
def test_targets_that_are_texts_are_no_numbers(words):
    for _, Regressor in both():
        with pytest.raises(TypeError):
            Regressor(**OPTIONS).fit(X, words)
