"""The classes that replace scikit-learn's: what runs where, pickles, and derived classes."""

import copy
import inspect
import logging
import pickle
import subprocess
import sys

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning

import fastbp
from fastbp.errors import NotSupportedError, PatchWarning
from fastbp.sklearn import patched

X, SPECIES = load_iris(return_X_y=True)
TARGETS = np.c_[X[:, 3], X[:, 2] * X[:, 3]]
PAIRS = pytest.mark.parametrize("pair", patched.PAIRS.values(), ids=patched.PAIRS)
OPTIONS = {"hidden_layer_sizes": (5,), "max_iter": 8, "random_state": 0}

pytestmark = pytest.mark.filterwarnings(f"ignore::{ConvergenceWarning.__module__}.ConvergenceWarning")


def targets(pair):
    return SPECIES if pair.original.__name__ == "MLPClassifier" else TARGETS


def outputs(estimator):
    return getattr(estimator, "predict_proba", estimator.predict)(X)


class Refusing:
    """An estimator of fastbp that cannot do what is asked for."""

    def fit(self, X, y, sample_weight=None):
        raise NotSupportedError("it is Monday")

    def partial_fit(self, X, y, sample_weight=None):
        raise NotSupportedError("it is Monday")


class RefusingClassifier(Refusing, fastbp.MLPClassifier):
    pass


class RefusingRegressor(Refusing, fastbp.MLPRegressor):
    pass


class EitherClassifier(patched.Either, RefusingClassifier):
    original = patched.ORIGINALS["MLPClassifier"]
    fit = patched.fitting(Refusing.fit)
    partial_fit = patched.fitting(Refusing.partial_fit)
    predict_proba = patched.predicting(fastbp.MLPClassifier.predict_proba)


class EitherRegressor(patched.Either, RefusingRegressor):
    original = patched.ORIGINALS["MLPRegressor"]
    fit = patched.fitting(Refusing.fit)
    partial_fit = patched.fitting(Refusing.partial_fit)
    predict = patched.predicting(fastbp.MLPRegressor.predict)


@PAIRS
def test_a_fit_is_fastbps_and_says_so(pair, caplog, capsys, monkeypatch):
    monkeypatch.setenv("FASTBP_VERBOSE", "1")
    with caplog.at_level(logging.INFO, "fastbp.sklearn"):
        found = pair.replacement(**OPTIONS).fit(X, targets(pair))
    name = pair.original.__name__
    assert caplog.messages == [f"{name}.fit ran on fastbp"]
    assert capsys.readouterr().err.endswith(f"fastbp: {name}.fit ran on fastbp\n")
    assert_allclose(outputs(found), outputs(pair.original(**OPTIONS).fit(X, targets(pair))), rtol=1e-9)


def test_nothing_is_printed_unless_asked(capfd):
    patched.MLPRegressor(**OPTIONS).fit(X, TARGETS)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("cls", [EitherClassifier, EitherRegressor])
def test_what_fastbp_cannot_do_scikit_learn_does_and_it_says_why(cls, caplog):
    y = SPECIES if cls is EitherClassifier else TARGETS
    own = cls.original(**OPTIONS).fit(X, y)
    with caplog.at_level(logging.INFO, "fastbp.sklearn"):
        found = cls(**OPTIONS).fit(X, y)
    assert caplog.messages == [f"{cls.__name__}.fit ran on scikit-learn's own code: it is Monday"]
    assert (outputs(found) == outputs(own)).all()
    assert found.loss_curve_ == own.loss_curve_
    assert (found.coefs_[0] == own.coefs_[0]).all()
    again = pickle.loads(pickle.dumps(found))
    assert (outputs(again) == outputs(own)).all()
    own.partial_fit(X, y)
    for one in (found, again):
        one.partial_fit(X, y)
        assert (outputs(one) == outputs(own)).all()


def test_what_neither_can_do_is_an_error():
    class Beyond(EitherClassifier):
        def _beyond(self):
            return ["dropout"]

    with pytest.raises(NotSupportedError, match="it is Monday; nor can scikit-learn, with dropout"):
        Beyond().fit(X, SPECIES)


@PAIRS
def test_an_estimator_that_scikit_learn_fitted_predicts_goes_on_and_can_be_fitted_anew(pair):
    own = pair.original(**OPTIONS).fit(X, targets(pair))
    arrived = pair.replacement.__new__(pair.replacement)
    arrived.__setstate__(own.__getstate__())
    assert (outputs(arrived) == outputs(own)).all()
    assert arrived.get_params().items() >= own.get_params().items()
    assert (outputs(clone(arrived).fit(X, targets(pair))) != 0).any()
    own.partial_fit(X, targets(pair))
    arrived.partial_fit(X, targets(pair))
    assert (outputs(arrived) == outputs(own)).all()
    arrived.fit(X, targets(pair))
    assert "_own" not in vars(arrived)


@PAIRS
@pytest.mark.parametrize("how", [pickle.dumps, copy.deepcopy], ids=["pickled", "copied"])
def test_a_pickle_needs_no_patch_and_predicts_the_same(pair, how):
    estimator = pair.replacement(**OPTIONS).fit(X, targets(pair))
    other = how(estimator)
    other = pickle.loads(other) if isinstance(other, bytes) else other
    assert type(other) is pair.replacement
    assert outputs(other).tobytes() == outputs(estimator).tobytes()


def test_a_pickle_says_what_it_needs():
    estimator = patched.MLPClassifier(**OPTIONS).fit(X, SPECIES)
    without_packages = [sys.executable, "-I", "-S", "-c", "import sys, pickle; pickle.load(sys.stdin.buffer)"]
    done = subprocess.run(without_packages, input=pickle.dumps(estimator), capture_output=True, check=False)
    assert b"ModuleNotFoundError: No module named 'fastbp'" in done.stderr
    state = estimator.__getstate__() | {"_fastbp_version": "999.0"}
    with pytest.warns(PatchWarning, match=r"pickled by fastbp 999.0.*pip install 'fastbp\[sklearn\]>=999.0'"):
        patched.MLPClassifier().__setstate__(state)


def test_a_class_that_replaces_what_is_inside_scikit_learns_derives_from_scikit_learns(caplog):
    with caplog.at_level(logging.INFO, "fastbp.sklearn"):

        class Counting(patched.MLPClassifier):
            calls = 0

            def _backprop(self, *arguments):
                type(self).calls += 1
                return super()._backprop(*arguments)

    assert caplog.messages == ["Counting derives from scikit-learn's own class: it replaces _backprop"]
    assert Counting.__mro__[1] is patched.ORIGINALS["MLPClassifier"]
    Counting(**OPTIONS).fit(X, SPECIES)
    assert Counting.calls == 8


def test_other_derived_classes_are_fastbps():
    class Renamed(patched.MLPRegressor):
        def fit(self, X, y):
            return super().fit(X, y)

    assert issubclass(Renamed, fastbp.MLPRegressor)
    estimator = Renamed(**OPTIONS).fit(X, TARGETS)
    assert_allclose(estimator.predict(X), patched.MLPRegressor(**OPTIONS).fit(X, TARGETS).predict(X))


@PAIRS
def test_signatures_and_requests_of_metadata_are_those_of_fastbps_estimator(pair):
    ours = getattr(fastbp, pair.original.__name__)
    for method in ("fit", "partial_fit", "predict"):
        assert inspect.signature(getattr(pair.replacement, method)) == inspect.signature(
            getattr(ours, method)
        )
    with sklearn.config_context(enable_metadata_routing=True):
        assert "sample_weight" in pair.replacement().get_metadata_routing().fit.requests


@PAIRS
def test_it_is_an_instance_of_scikit_learns_class(pair):
    assert isinstance(pair.replacement(), pair.original)


def test_partial_fit_is_there_for_the_same_solvers():
    assert not hasattr(patched.MLPClassifier(solver="lbfgs"), "partial_fit")
    with pytest.raises(AttributeError, match="partial_fit"):
        patched.MLPClassifier(solver="lbfgs").partial_fit(X, SPECIES)


def test_an_unknown_parameter_or_default_is_an_obstacle():
    class Later(patched.ORIGINALS["MLPClassifier"]):
        def __init__(self, hidden_layer_sizes=(100,), activation="relu", *, quantum=False):
            pass

    class Other(patched.ORIGINALS["MLPClassifier"]):
        def __init__(self, hidden_layer_sizes=(64,), activation="relu"):
            pass

    assert all(not pair.obstacle for pair in patched.PAIRS.values())
    assert "quantum is unknown" in patched.Pair(Later, patched.MLPClassifier).obstacle
    assert "hidden_layer_sizes is (64,)" in patched.Pair(Other, patched.MLPClassifier).obstacle
