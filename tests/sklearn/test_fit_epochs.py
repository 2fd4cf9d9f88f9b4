"""A fit that stops in the middle of a kernel's call is where one stops that is called for each epoch."""

import warnings

import numpy as np
import pytest
import sklearn.neural_network as theirs

import fastbp
from fastbp.sklearn import fit_runs
from tests.sklearn.test_parity import TASKS, assert_same

N_CASES = 24


def fit(estimator, task, **arguments):
    """Fit without a warning."""
    _, X, y, _ = TASKS[task]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return estimator.fit(X, y, **arguments)


def case(number):
    """Return a task, options that scikit-learn has, and how often `fit` is called."""
    generator = np.random.default_rng(number)
    task = str(generator.choice(list(TASKS)))
    options = TASKS[task][3] | {
        "hidden_layer_sizes": (int(generator.integers(2, 60)),),
        "solver": str(generator.choice(["sgd", "adam"])),
        "learning_rate": str(generator.choice(["constant", "adaptive", "adaptive"])),
        "learning_rate_init": float(generator.choice([1e-3, 1e-2, 3e-2])),
        "batch_size": int(generator.choice([16, 64, 150])),
        "shuffle": bool(generator.integers(4)),
        "tol": float(generator.choice([0.0, 1e-4, 1e-3, 1e-2, 0.1, 5.0])),
        "n_iter_no_change": int(generator.integers(1, 13)),
        "max_iter": int(generator.integers(1, 120)),
        "warm_start": bool(generator.integers(2)),
    }
    return task, options, int(generator.integers(1, 4))


def made(module, task, options):
    return getattr(module, TASKS[task][0])(**options)


def state_of(estimator):
    """Return what a fit leaves in an estimator."""
    known, optimizer = vars(estimator), estimator._optimizer
    names = ("n_iter_", "t_", "loss_", "best_loss_", "loss_curve_", "_no_improvement_count")
    vectors = optimizer.vectors | {"theta": estimator._network.theta}
    numbers = {name: known[name] for name in names} | {"rate": optimizer.learning_rate}
    return numbers | {name: array.tobytes() for name, array in vectors.items()}


@pytest.fixture
def asked(monkeypatch):
    """Return a list that becomes that of the epochs which runs were asked for, and of those they trained."""
    calls, epochs = [], fit_runs.WholeRun.epochs

    def noted(run, n_epochs, is_stopped):
        losses = epochs(run, n_epochs, is_stopped)
        calls.append((n_epochs, len(losses)))
        return losses

    monkeypatch.setattr(fit_runs.WholeRun, "epochs", noted)
    return calls


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("number", range(N_CASES))
def test_where_it_stops_does_not_depend_on_the_calls(number, threads, monkeypatch):
    task, options, n_fits = case(number)
    own = {"random_state": 3, "n_threads": threads, "dropout": 0.2 * (number % 3 == 0)}
    own["gradient_clip_norm"] = 0.5 if number % 4 == 0 else None
    estimators = [made(fastbp, task, options | own) for _ in range(2)]
    for _ in range(n_fits):
        fit(estimators[0], task)
        with monkeypatch.context() as patch:
            patch.setattr(fit_runs.WholeRun, "most_epochs", 1)
            fit(estimators[1], task)
        assert state_of(estimators[0]) == state_of(estimators[1])


@pytest.mark.parametrize("gives", ["seed", "generator"])
@pytest.mark.parametrize("number", range(N_CASES))
def test_it_stops_where_scikit_learn_stops(number, gives):
    task, options, n_fits = case(number)
    estimators, draws = [], []
    for module in (fastbp, theirs):
        generator = np.random.RandomState(5)
        state = 5 if gives == "seed" else generator
        estimator = made(module, task, options | {"random_state": state})
        for _ in range(n_fits):
            fit(estimator, task)
        estimators.append(estimator)
        draws.append(generator.randint(2**31))
    assert_same(*estimators, TASKS[task][1], rtol=1e-7)
    assert estimators[0]._no_improvement_count == estimators[1]._no_improvement_count
    assert draws[0] == draws[1]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("rate", ["constant", "adaptive"])
def test_the_kernel_stops_in_the_middle_of_a_call(threads, rate, asked):
    options = {"solver": "sgd", "learning_rate": rate, "learning_rate_init": 0.01, "tol": 0.001}
    options |= {"n_iter_no_change": 4, "max_iter": 500, "random_state": 0, "n_threads": threads}
    model = fit(made(fastbp, "regression", options), "regression")
    assert 20 < model.n_iter_ < 500
    assert sum(trained for _, trained in asked) == model.n_iter_
    assert asked[-1][0] > asked[-1][1]
    assert len(asked) < model.n_iter_ / 4


def test_a_generator_of_the_user_draws_no_order_in_vain(asked):
    options = {"tol": 0.1, "n_iter_no_change": 4, "random_state": np.random.RandomState(0)}
    fit(made(fastbp, "regression", options), "regression")
    assert all(wanted == trained for wanted, trained in asked)


@pytest.mark.parametrize("seed", range(20))
def test_a_batch_without_weight_after_the_stop_is_no_error(seed):
    X, y, weights = np.random.default_rng(0).normal(size=(40, 2)), np.arange(40) / 40, np.ones(40)
    weights[:3] = 0
    options = {"batch_size": 2, "tol": 10.0, "n_iter_no_change": 2, "random_state": seed}
    ends = []
    for module in (fastbp, theirs):
        estimator = module.MLPRegressor(hidden_layer_sizes=3, **options)
        try:
            ends.append(estimator.fit(X, y, weights).n_iter_)
        except ZeroDivisionError:
            ends.append("error")
    assert ends[0] == ends[1]


@pytest.mark.parametrize("tol", [0.0, 5e-324, 1e-310, 1e-300, 1e-280, 1.0])
def test_a_tolerance_may_be_tiny(tol):
    """The loss is 0 from the first epoch on: kernels take denormal numbers for 0, and the rule must not."""
    X, zeros = np.ones((20, 2)), [np.zeros((2, 3)), np.zeros((3, 1))]
    model = fastbp.MLPRegressor(coefs_init=zeros, intercepts_init=[np.zeros(3), np.zeros(1)])
    model.set_params(
        hidden_layer_sizes=3, tol=tol, alpha=0.0, max_iter=40, n_iter_no_change=5, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, np.zeros(20))
    assert model.loss_curve_ == [0.0] * model.n_iter_
    assert model.n_iter_ == (7 if tol else 40)


@pytest.mark.parametrize("patience", [10**6, 10**400, np.inf])
def test_patience_may_have_no_end(patience):
    model = made(fastbp, "regression", {"tol": 1.0, "n_iter_no_change": patience, "random_state": 0})
    assert fit(model.set_params(max_iter=150), "regression").n_iter_ == 150
