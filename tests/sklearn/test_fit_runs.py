"""A run that is kept between calls of `partial_fit` does what a new one would."""

import copy
import pickle
import threading
import warnings
import weakref

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.neural_network import MLPClassifier, MLPRegressor

import fastbp
from fastbp.sklearn import fit_runs

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(90, 4))
LABELS, NUMBERS = np.arange(90) % 3, X[:, :2] * X[:, 2:]
WEIGHTS = GENERATOR.uniform(0.5, 2, 90)
OPTIONS = {"hidden_layer_sizes": (6,), "random_state": 3, "batch_size": 20, "alpha": 0.01}


def parts():
    """Yield slices of the samples, whether they are weighted, and what happens to the estimator before."""
    for first in (0, 30, 30, 60):
        yield slice(first, first + 30), False, {}
    yield slice(0, 10), False, {}  # fewer than a batch
    yield slice(0, 30), False, {}
    yield slice(0, 90), True, {}
    yield slice(30, 90), True, {}
    yield slice(0, 30), False, {"alpha": 0.3}
    yield slice(30, 60), False, {"shuffle": False}
    yield slice(30, 90), False, {"random_state": 4}


@pytest.mark.filterwarnings("ignore:Got `batch_size` less than 1")
@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("kind", ["classifier", "regressor"])
def test_calls_of_partial_fit_give_scikit_learns_numbers_and_those_of_a_copy(kind, solver):
    ours, theirs, y = {
        "classifier": (fastbp.MLPClassifier, MLPClassifier, LABELS),
        "regressor": (fastbp.MLPRegressor, MLPRegressor, NUMBERS),
    }[kind]
    estimator, own, anew = (cls(solver=solver, **OPTIONS) for cls in (ours, theirs, ours))
    first = {"classes": [0, 1, 2]} if kind == "classifier" else {}
    for number, (rows, is_weighted, options) in enumerate(parts()):
        anew = pickle.loads(pickle.dumps(anew)) if number % 2 else copy.deepcopy(anew)
        for one in (estimator, own, anew):
            weights = {"sample_weight": WEIGHTS[rows]} if is_weighted else {}
            one.set_params(**options).partial_fit(X[rows], y[rows], **weights, **first)
            if number == 5:
                one.coefs_[0][:] *= 0.5
        for found, twin, expected in zip(estimator.coefs_, anew.coefs_, own.coefs_, strict=True):
            assert_allclose(found, expected, rtol=1e-8, atol=1e-12)
            assert found.tobytes() == twin.tobytes()
        assert estimator.loss_ == pytest.approx(own.loss_, rel=1e-9)


def test_a_fit_in_between_begins_anew():
    estimator = fastbp.MLPRegressor(max_iter=2, **OPTIONS)
    fresh = fastbp.MLPRegressor(max_iter=2, **OPTIONS)
    for _ in range(3):
        estimator.partial_fit(X, NUMBERS)
    for one in (estimator, fresh):
        with pytest.warns(UserWarning, match="Maximum iterations"):
            one.fit(X, NUMBERS)
        one.partial_fit(X, NUMBERS)
    assert (estimator.coefs_[0] == fresh.coefs_[0]).all()


def test_samples_are_not_kept():
    estimator = fastbp.MLPRegressor(**OPTIONS)
    samples = X.copy()
    estimator.partial_fit(samples, NUMBERS)
    samples[:] = np.nan
    estimator.partial_fit(X, NUMBERS)
    assert np.isfinite(estimator.coefs_[0]).all()


def test_threads_on_one_estimator_share_no_run():
    estimator = fastbp.MLPRegressor(**OPTIONS).partial_fit(X, NUMBERS)

    def work():
        for _ in range(50):
            estimator.partial_fit(X[:30].copy(), NUMBERS[:30].copy())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert np.isfinite(estimator.coefs_[0]).all()


def test_a_run_that_was_kept_gives_the_numbers_of_a_new_one():
    generator = np.random.default_rng(0)
    options = {"hidden_layer_sizes": 6, "max_iter": 7, "batch_size": 16, "random_state": 0}
    for solver in ("adam", "sgd", "rprop"):
        for _ in range(3):
            X, y = generator.normal(size=(70, 5)), generator.integers(0, 3, 70)
            fits = []
            for forgets in (True, False):
                if forgets:
                    fit_runs._idle.clear()
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    fits.append(fastbp.MLPClassifier(solver=solver, **options).fit(X, y))
            assert len(fit_runs._idle) == 1
            assert fits[0].loss_curve_ == fits[1].loss_curve_
            assert all((a == b).all() for a, b in zip(fits[0].coefs_, fits[1].coefs_, strict=True))


def test_runs_that_are_kept_hold_no_samples():
    X, y = np.random.default_rng(0).normal(size=(70, 5)), np.arange(70) % 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fastbp.MLPClassifier(5, max_iter=2).fit(X, y)
    gone = weakref.ref(X)
    del X
    assert gone() is None


def test_fits_at_the_same_time_keep_a_run_each():
    fit_runs._idle.clear()
    options = {"hidden_layer_sizes": 3, "max_iter": 2, "random_state": 0}
    inner = fastbp.MLPClassifier(**options)
    outer = fastbp.MLPClassifier(**options, callbacks=[lambda state: inner.fit(X, LABELS)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(3):
            outer.fit(X, LABELS)
    (kept,) = fit_runs._idle.values()
    assert len(kept) == 2
    assert all((a == b).all() for a, b in zip(inner.coefs_, outer.coefs_, strict=True))


class Generator(np.random.RandomState):
    """It might draw in another way: its methods are called."""

    def uniform(self, *arguments):
        self.has_drawn = True
        return super().uniform(*arguments)

    def shuffle(self, x):
        self.has_shuffled = True
        return super().shuffle(x)


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_generator_of_another_class_draws_by_its_own_methods(dtype):
    own = Generator(3)
    options = {"hidden_layer_sizes": (6, 4), "max_iter": 3}
    mine = fastbp.MLPRegressor(**options, random_state=own).fit(X.astype(dtype), NUMBERS)
    plain = fastbp.MLPRegressor(**options, random_state=3).fit(X.astype(dtype), NUMBERS)
    assert own.has_drawn
    assert own.has_shuffled
    assert all((a == b).all() for a, b in zip(mine.coefs_, plain.coefs_, strict=True))


def test_few_runs_are_kept():
    X, y = np.random.default_rng(0).normal(size=(70, 5)), np.arange(70) % 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for size in range(1, 25):
            fastbp.MLPClassifier(size, max_iter=1).fit(X, y)
    assert len(fit_runs._idle) <= fit_runs.MOST_IDLE


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_threads_may_fit_one_estimator():
    """Its attributes are those of one of the fits; no thread takes from another what it needs."""
    model = fastbp.MLPClassifier(**OPTIONS, max_iter=20, n_iter_no_change=50)
    expected = [W.copy() for W in model.fit(X, LABELS).coefs_]
    errors = []

    def fit():
        try:
            for _ in range(40):
                model.fit(X, LABELS)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=fit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    for mine, true in zip(model.fit(X, LABELS).coefs_, expected, strict=True):
        assert (mine == true).all()
