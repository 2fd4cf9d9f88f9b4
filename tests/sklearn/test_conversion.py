"""`to_sklearn` gives scikit-learn's own estimators, with the same predictions."""

import pickle
import subprocess
import sys

import pytest
from numpy.testing import assert_allclose
from sklearn import neural_network
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning, NotFittedError

import fastbp
from fastbp import Network, NotSupportedError
from tests.interchange.test_estimators import ACTIVATIONS, CLASSES, TARGETS, X

pytestmark = pytest.mark.filterwarnings(f"ignore::{ConvergenceWarning.__module__}.ConvergenceWarning")


@pytest.mark.parametrize("y", CLASSES.values(), ids=CLASSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_classifier_predicts_the_same_in_scikit_learn(activation, y):
    ours = fastbp.MLPClassifier((7, 5), activation, max_iter=20, random_state=0).fit(X, y)
    theirs = ours.to_sklearn()
    assert type(theirs) is neural_network.MLPClassifier
    assert_allclose(theirs.predict_proba(X), ours.predict_proba(X), rtol=1e-12, atol=1e-15)
    assert (theirs.predict(X) == ours.predict(X)).all()
    assert theirs.score(X, y) == ours.score(X, y)
    assert_allclose(
        Network.from_sklearn(ours).predict(X), Network.from_sklearn(theirs).predict(X), rtol=1e-12
    )


@pytest.mark.parametrize("y", [TARGETS[:, 0], TARGETS], ids=["one", "two"])
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_a_regressor_predicts_the_same_in_scikit_learn(loss, y):
    ours = fastbp.MLPRegressor(loss, (7, 5), max_iter=20, random_state=0).fit(X, y)
    theirs = ours.to_sklearn()
    assert_allclose(theirs.predict(X), ours.predict(X), rtol=1e-12, atol=1e-12)
    assert theirs.loss == loss
    assert theirs.loss_curve_ == ours.loss_curve_


def test_names_of_ours_become_scikit_learns_where_it_has_one():
    options = {
        "solver": "rmsprop",
        "learning_rate": "cosine",
        "dropout": 0.1,
        "max_iter": 5,
        "random_state": 0,
    }
    ours = fastbp.MLPRegressor("huber", (4, 3), ["sigmoid", "logistic"], **options).fit(X, TARGETS)
    theirs = ours.to_sklearn()
    assert (theirs.activation, theirs.solver, theirs.loss) == ("logistic", "adam", "squared_error")
    assert_allclose(theirs.predict(X), ours.predict(X), rtol=1e-12)


@pytest.mark.parametrize("activation", ["gelu", ["relu", "tanh"]], ids=str)
def test_what_scikit_learn_cannot_predict_is_refused(activation):
    ours = fastbp.MLPRegressor(hidden_layer_sizes=(4, 3), activation=activation, max_iter=3).fit(X, TARGETS)
    with pytest.raises(NotSupportedError, match="scikit-learn has one of"):
        ours.to_sklearn()
    assert_allclose(Network.from_sklearn(ours).predict(X), ours.predict(X), rtol=1e-12)


def test_a_network_has_the_level_of_the_quantile():
    ours = fastbp.MLPRegressor("quantile", (4,), quantile=0.8, max_iter=3).fit(X, TARGETS)
    assert Network.from_sklearn(ours).loss_name == "quantile(0.8)"


def test_training_can_go_on_in_scikit_learn():
    ours = fastbp.MLPClassifier((7,), max_iter=20, random_state=0).fit(X, CLASSES["texts"])
    theirs = ours.to_sklearn()
    before = theirs.loss_
    for _ in range(20):
        theirs.partial_fit(X, CLASSES["texts"])
    assert theirs.loss_ < before
    theirs.set_params(warm_start=True).fit(X, CLASSES["texts"])


def test_it_is_a_copy():
    ours = fastbp.MLPRegressor(hidden_layer_sizes=(3,), max_iter=5).fit(X, TARGETS)
    theirs = ours.to_sklearn()
    theirs.coefs_[0][:] = 0
    assert ours.coefs_[0].any()


def test_an_estimator_that_is_not_fitted_keeps_its_parameters():
    ours = fastbp.MLPClassifier((3,), alpha=0.5, solver="sgd")
    theirs = ours.to_sklearn()
    assert is_classifier(theirs)
    assert theirs.get_params().items() <= ours.get_params().items()
    with pytest.raises(NotFittedError):
        theirs.predict(X)


def test_a_pickle_needs_scikit_learn_alone():
    ours = fastbp.MLPClassifier((3,), max_iter=5).fit(X, CLASSES["texts"])
    code = "import sys, pickle; sys.modules['fastbp'] = None; print(type(pickle.load(sys.stdin.buffer)))"
    done = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(ours.to_sklearn()), capture_output=True, check=True
    )
    assert b"sklearn.neural_network" in done.stdout
