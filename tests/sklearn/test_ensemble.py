"""Ensembles: each network is that of its estimator, the mean predicts, and scikit-learn's checks pass."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastbp import MLPClassifier, MLPEnsembleClassifier, MLPEnsembleRegressor, MLPRegressor
from fastbp.sklearn.fit_samples import Samples

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore::sklearn.exceptions.SkipTestWarning"
)

IRIS = load_iris(return_X_y=True)
X, Y = load_diabetes(return_X_y=True)
DIABETES = X, (Y - Y.mean()) / Y.std()
SMALL = {"hidden_layer_sizes": (5,), "learning_rate_init": 0.02, "max_iter": 60}
CLASSIFIER, REGRESSOR = MLPClassifier(**SMALL), MLPRegressor(**SMALL)
HOLDS_OUT = SMALL | {"validation_fraction": 0.3}  # some checks have ten samples
SOAK = [
    MLPEnsembleClassifier(MLPClassifier(**HOLDS_OUT), 3, bootstrap=True, selection=2),
    MLPEnsembleRegressor(MLPRegressor(**HOLDS_OUT), 3, bootstrap=True, selection=2),
    MLPEnsembleClassifier(MLPClassifier(solver="lbfgs", **SMALL), 3, bootstrap=True),
    MLPEnsembleRegressor(MLPRegressor(early_stopping=True, **HOLDS_OUT), 3),
]


@parametrize_with_checks([MLPEnsembleClassifier(CLASSIFIER, 3), MLPEnsembleRegressor(REGRESSOR, 3)])
def test_scikit_learn_accepts_the_ensemble(estimator, check):
    check(estimator)


def by_chance(estimator):
    """Return the checks that fail: with other samples held out or drawn, twice the weight is not twice the
    sample."""
    if not (estimator.bootstrap or estimator.selection or estimator.estimator.early_stopping):
        return {}
    reason = "samples are drawn"
    return {f"check_sample_weight_equivalence_on_{kind}_data": reason for kind in ("dense", "sparse")}


@pytest.mark.soak
@parametrize_with_checks(SOAK, expected_failed_checks=by_chance)
def test_scikit_learn_accepts_every_ensemble(estimator, check):
    check(estimator)


def test_each_network_is_that_of_its_estimator_alone():
    ensemble = MLPEnsembleClassifier(CLASSIFIER, 3, random_state=0).fit(*IRIS)
    for member in ensemble.estimators_:
        alone = clone(member).fit(*IRIS)
        assert_allclose(member.coefs_[0], alone.coefs_[0], rtol=1e-8, atol=1e-9)
        assert member.n_iter_ == alone.n_iter_
    assert len({member.random_state for member in ensemble.estimators_}) == 3
    each = [member.predict_proba(IRIS[0]) for member in ensemble.estimators_]
    assert_allclose(ensemble.predict_proba(IRIS[0]), np.mean(each, axis=0), rtol=1e-9, atol=1e-12)
    assert_allclose(np.exp(ensemble.predict_log_proba(IRIS[0])), np.mean(each, axis=0), rtol=1e-9, atol=1e-12)
    assert_array_equal(ensemble.predict(IRIS[0]), np.mean(each, axis=0).argmax(axis=1))


def test_the_spread_of_a_regression_is_that_of_its_networks():
    ensemble = MLPEnsembleRegressor(REGRESSOR, 4, bootstrap=True, random_state=0).fit(*DIABETES)
    each = [member.predict(X) for member in ensemble.estimators_]
    assert_allclose(ensemble.predict(X), np.mean(each, axis=0), rtol=1e-9)
    assert_allclose(ensemble.predict_std(X), np.std(each, axis=0), rtol=1e-9)


def test_same_seed_same_bits_and_another_seed_others():
    def outputs(seed, **options):
        return MLPEnsembleRegressor(REGRESSOR, 3, random_state=seed, **options).fit(*DIABETES).predict(X)

    assert_array_equal(outputs(1), outputs(1))
    assert_array_equal(outputs(1, bootstrap=True), outputs(1, bootstrap=True))
    assert (outputs(1) != outputs(2)).any()
    assert (outputs(1) != outputs(1, bootstrap=True)).any()


def test_networks_stop_by_themselves_on_the_same_samples():
    early = MLPClassifier(early_stopping=True, n_iter_no_change=2, **SMALL)
    ensemble = MLPEnsembleClassifier(early, 6, random_state=3).fit(*IRIS)
    members = ensemble.estimators_
    assert len({member.n_iter_ for member in members}) > 1
    for member in members:
        assert member.best_validation_score_ == max(member.validation_scores_)
        assert len(member.validation_scores_) == member.n_iter_


def test_selection_is_no_worse_than_any_network_on_what_is_held_out():
    labels = np.where(np.random.default_rng(0).uniform(size=150) < 0.2, 0, IRIS[1])
    options = {"random_state": 1, "bootstrap": True}
    all_of_them = MLPEnsembleClassifier(MLPClassifier(early_stopping=True, **SMALL), 12, **options)
    chosen = MLPEnsembleClassifier(MLPClassifier(early_stopping=True, **SMALL), 12, selection=8, **options)
    all_of_them.fit(IRIS[0], labels)
    chosen.fit(IRIS[0], labels)
    assert 1 <= len(chosen.estimators_) <= 8
    assert_allclose(chosen.weights_.sum(), 1)
    assert len(set(chosen.weights_)) > 1
    each = [member.predict_proba(IRIS[0]) for member in chosen.estimators_]
    assert_allclose(
        chosen.predict_proba(IRIS[0]), np.average(each, axis=0, weights=chosen.weights_), rtol=1e-9
    )
    held = np.setdiff1d(np.arange(150), rows_of_all(all_of_them, labels))
    losses = [log_loss(labels[held], one.predict_proba(IRIS[0][held])) for one in all_of_them.estimators_]
    assert log_loss(labels[held], chosen.predict_proba(IRIS[0][held])) <= min(losses) + 1e-9


def rows_of_all(ensemble, labels):
    """Return the samples that the ensemble trains on, drawn as it draws them."""
    template = clone(ensemble.estimator)
    generator = np.random.RandomState(ensemble.random_state)
    template._validated(IRIS[0], labels, False, reset=True)
    return template._split(Samples(IRIS[0], labels), generator)[0]


@pytest.mark.parametrize(
    ("estimator", "y"),
    [
        (MLPClassifier(solver="lbfgs", **SMALL), IRIS[1]),
        (MLPClassifier(class_weight="balanced", **SMALL), IRIS[1] == 1),
        (MLPClassifier(**SMALL), np.stack([IRIS[1] == 0, IRIS[1] == 2], axis=1)),
    ],
    ids=["lbfgs", "class weights", "labels"],
)
def test_what_populations_cannot_do_is_fitted_one_by_one(estimator, y):
    ensemble = MLPEnsembleClassifier(estimator, 3, bootstrap=True, selection=3, random_state=0)
    ensemble.fit(IRIS[0], y)
    assert ensemble.score(IRIS[0], y) > 0.7
    assert ensemble.predict(IRIS[0]).shape == y.shape


@pytest.mark.parametrize("sparse", [False, True])
def test_weights_of_samples_are_those_of_the_fit_of_each_network(sparse):
    weights = np.random.default_rng(0).uniform(0.1, 2, 150)
    X = csr_matrix(IRIS[0]) if sparse else IRIS[0]
    ensemble = MLPEnsembleClassifier(CLASSIFIER, 2, random_state=0).fit(X, IRIS[1], weights)
    for member in ensemble.estimators_:
        alone = clone(member).fit(X, IRIS[1], weights)
        assert_array_equal(member.coefs_[0], alone.coefs_[0])
    plain = MLPEnsembleClassifier(CLASSIFIER, 2, random_state=0).fit(X, IRIS[1])
    assert (plain.estimators_[0].coefs_[0] != ensemble.estimators_[0].coefs_[0]).all()


def test_a_bootstrap_draws_samples_by_their_weights():
    weights = np.where(IRIS[1] == 2, 0.0, 1.0 + IRIS[1])
    fits = []

    class Watched(MLPEnsembleClassifier):
        def _divided(self, *arguments):
            fits.extend(super()._divided(*arguments))
            return fits

    ensemble = Watched(CLASSIFIER, 40, bootstrap=True, random_state=0).fit(*IRIS, weights)
    drawn = np.concatenate([IRIS[1][fit.rows] for fit in fits])
    assert_allclose(np.bincount(drawn, minlength=3) / len(drawn), [1 / 3, 2 / 3, 0], atol=0.02)
    assert ensemble.classes_.tolist() == [0, 1, 2]
    assert ensemble.predict_proba(IRIS[0])[:, 2].max() < 0.5


def test_samples_that_are_held_out_have_their_weights_in_scores_and_selection():
    labels = np.where(np.random.default_rng(0).uniform(size=150) < 0.3, 0, IRIS[1])
    weights = np.random.default_rng(4).exponential(size=150) ** 3 + 0.01
    estimator = MLPClassifier(early_stopping=True, **HOLDS_OUT)
    options = {"n_networks": 12, "bootstrap": True, "random_state": 1}
    all_of_them = MLPEnsembleClassifier(estimator, **options).fit(IRIS[0], labels, weights)
    chosen = MLPEnsembleClassifier(estimator, **options, selection=1).fit(IRIS[0], labels, weights)
    held = np.setdiff1d(np.arange(150), rows_of_all(all_of_them, labels))
    best = [
        np.argmin(
            [
                log_loss(labels[held], one.predict_proba(IRIS[0][held]), sample_weight=of_held)
                for one in all_of_them.estimators_
            ]
        )
        for of_held in (weights[held], None)
    ]
    assert best[0] != best[1]
    for member in all_of_them.estimators_:
        score = member.score(IRIS[0][held], labels[held], weights[held])
        assert_allclose(member.best_validation_score_, score)
    assert chosen.estimators_[0].random_state == all_of_them.estimators_[best[0]].random_state


@pytest.mark.parametrize(
    ("weights", "message"),
    [(np.zeros(150), "zero"), (-np.ones(150), "[Nn]egative"), (np.ones(3), "shape"), (np.nan, "NaN")],
)
@pytest.mark.parametrize("bootstrap", [False, True])
def test_weights_that_cannot_be_are_refused(weights, message, bootstrap):
    with pytest.raises(ValueError, match=message):
        MLPEnsembleClassifier(CLASSIFIER, 2, bootstrap=bootstrap).fit(*IRIS, weights)


def test_a_network_whose_samples_lack_a_class_knows_it_nevertheless():
    labels = np.where(np.arange(150) == 7, 2, IRIS[1] % 2)
    estimator = MLPClassifier(solver="lbfgs", **SMALL)
    ensemble = MLPEnsembleClassifier(estimator, 6, bootstrap=True, random_state=0).fit(IRIS[0], labels)
    assert ensemble.predict_proba(IRIS[0]).shape == (150, 3)


def test_sparse_samples_give_what_dense_ones_give():
    dense = MLPEnsembleRegressor(REGRESSOR, 2, random_state=0).fit(*DIABETES)
    sparse = MLPEnsembleRegressor(REGRESSOR, 2, random_state=0).fit(csr_matrix(X), DIABETES[1])
    assert_allclose(sparse.predict(csr_matrix(X)), dense.predict(X), rtol=1e-6)


def test_a_network_that_diverges_is_left_out():
    wild = MLPRegressor(solver="sgd", activation="identity", learning_rate_init=1e300, max_iter=5)
    with pytest.raises(ValueError, match="non-finite"):
        MLPEnsembleRegressor(wild, 2, random_state=0).fit(*DIABETES)


def test_parameters_of_its_networks_are_searched():
    search = GridSearchCV(
        MLPEnsembleClassifier(CLASSIFIER, 2, random_state=0), {"estimator__alpha": [0.1, 1]}, cv=2
    )
    assert set(search.fit(*IRIS).best_params_) == {"estimator__alpha"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_networks": 0}, "n_networks"),
        ({"bootstrap": "yes"}, "bootstrap"),
        ({"selection": 0}, "selection"),
        ({"estimator": REGRESSOR}, "must be a fastbp.MLPClassifier"),
        ({"estimator": MLPClassifier(alpha=-1)}, "alpha"),
        (
            {"estimator": MLPClassifier(validation_fraction=0.001), "selection": 2},
            "validation set is too",
        ),
    ],
)
def test_bad_parameters_of_an_ensemble_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        MLPEnsembleClassifier(**options).fit(*IRIS)
