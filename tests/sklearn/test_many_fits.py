"""Many fits at once, in threads and in processes of joblib: the results of one after the other."""

import os

import numpy as np
import pytest
from joblib import Parallel, delayed, parallel_config
from sklearn.datasets import load_iris
from sklearn.ensemble import BaggingClassifier
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastbp
from fastbp.kernels.layered import layered
from fastbp.sklearn.workers import threads_in_worker

X, y = load_iris(return_X_y=True)

pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer")


def perceptron():
    return fastbp.MLPClassifier((8,), batch_size=32, max_iter=15, random_state=0)


def searched(n_jobs):
    grid = {"mlpclassifier__alpha": [1e-4, 1e-2], "mlpclassifier__hidden_layer_sizes": [(4,), (8,)]}
    search = GridSearchCV(make_pipeline(StandardScaler(), perceptron()), grid, cv=3, n_jobs=n_jobs)
    search.fit(X, y)
    return search.cv_results_["mean_test_score"], search.best_estimator_.predict_proba(X)


def validated(n_jobs):
    return (cross_val_score(perceptron(), X, y, cv=4, n_jobs=n_jobs),)


def bagged(n_jobs):
    bag = BaggingClassifier(perceptron(), 4, n_jobs=n_jobs, random_state=0).fit(X, y)
    return [one.predict_proba(X) for one in bag.estimators_]  # their sum rounds as n_jobs has it


def one_against_rest(n_jobs):
    return (OneVsRestClassifier(perceptron(), n_jobs=n_jobs).fit(X, y).predict_proba(X),)


@pytest.mark.parametrize("backend", ["threading", "loky"])
@pytest.mark.parametrize("work", [searched, validated, bagged, one_against_rest])
def test_the_results_are_those_of_one_after_the_other(work, backend):
    with parallel_config(backend=backend):
        found = work(2)
    for one, expected in zip(found, work(1), strict=True):
        assert one.tobytes() == expected.tobytes()


def fit_and_count():
    """Return the coefficients of a fit, and how often kernels were compiled here and taken from a cache."""
    estimator = perceptron().fit(X, y)
    stats = layered.stats
    return estimator.coefs_[0], sum(stats.cache_misses.values()), sum(stats.cache_hits.values())


def test_a_worker_compiles_nothing():
    expected = fit_and_count()[0]
    with parallel_config(backend="loky", n_jobs=2):
        for coefs, misses, hits in Parallel()(delayed(fit_and_count)() for _ in range(2)):
            assert (coefs == expected).all()
            assert (misses, hits) == (0, 1)


def threads_of_a_fit(limit=None):
    """Return the threads of fits; `limit` stands for joblib's ``inner_max_num_threads`` in a process."""
    if limit:
        os.environ["OMP_NUM_THREADS"] = limit
    return perceptron()._threads, perceptron().set_params(n_threads=2)._threads


def test_a_worker_leaves_the_other_cores_to_the_others():
    assert threads_in_worker() is None
    assert threads_of_a_fit() == (None, 2)
    assert Parallel(n_jobs=1)(delayed(threads_in_worker)() for _ in range(2)) == [None, None]
    in_threads = Parallel(n_jobs=2, backend="threading")(delayed(threads_of_a_fit)() for _ in range(2))
    assert in_threads == [(1, 2), (1, 2)]
    with parallel_config(backend="loky"):
        limits = Parallel(n_jobs=2)(delayed(threads_of_a_fit)(limit) for limit in ("3", "1"))
    assert limits == [(3, 2), (1, 2)]


def test_estimators_of_a_patch_go_to_workers():
    from fastbp.sklearn import patched

    estimator = patched.MLPClassifier((8,), max_iter=5, random_state=0)
    with parallel_config(backend="loky"):
        found = cross_val_score(estimator, X, y, cv=2, n_jobs=2)
    np.testing.assert_array_equal(found, cross_val_score(estimator, X, y, cv=2))
