"""scikit-learn's own checks of estimators, none expected to fail, and bad input as scikit-learn takes it."""

import re

import numpy as np
import pytest
from sklearn import neural_network
from sklearn.utils.estimator_checks import parametrize_with_checks

import fastbp
from fastbp import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore::sklearn.exceptions.SkipTestWarning"
)

QUICK = {"hidden_layer_sizes": (10,), "max_iter": 50}


@parametrize_with_checks(
    [
        MLPClassifier(),
        MLPRegressor(),
        MLPClassifier(solver="lbfgs", **QUICK),
        MLPClassifier(
            solver="sgd", activation="tanh", learning_rate="adaptive", learning_rate_init=0.05, **QUICK
        ),
        MLPRegressor(loss="huber", solver="rmsprop", activation=["gelu"], learning_rate_init=0.02, **QUICK),
    ]
)
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)


# --- bad input -------------------------------------------------------------------------------------------

GENERATOR = np.random.default_rng(0)
X, Y, LABELS = GENERATOR.normal(size=(20, 3)), GENERATOR.normal(size=20), np.arange(20) % 3


def put(array, place, value):
    changed = np.array(array, object if isinstance(value, str) else None)
    changed[place] = value
    return changed


BAD_DATA = {
    "X with NaN": (put(X, (3, 1), np.nan), Y),
    "X with infinity": (put(X, (3, 1), np.inf), Y),
    "X float32 with NaN": (put(X, (3, 1), np.nan).astype(np.float32), Y),
    "X of one dimension": (X[:, 0], Y),
    "X of three dimensions": (X.reshape(5, 4, 3), Y[:5]),
    "X without rows": (X[:0], Y[:0]),
    "X without columns": (X[:, :0], Y),
    "X of strings": (put(X, (0, 0), "a"), Y),
    "X complex": (X + 1j, Y),
    "X a number": (3.0, Y),
    "X None": (None, Y),
    "X a string": ("abc", Y),
    "X ragged": ([[1.0, 2.0], [3.0]], [0, 1]),
    "X of dicts": ([{"a": 1}, {"a": 2}], [0, 1]),
    "X too short": (X[:10], Y),
    "y too short": (X, Y[:10]),
    "y None": (X, None),
    "y with NaN": (X, put(Y, 2, np.nan)),
    "y with infinity": (X, put(Y, 2, np.inf)),
    "y of three dimensions": (X, Y.reshape(20, 1, 1)),
    "y a number": (X, 1.0),
    "y of mixed objects": (X, np.array([1, "a"] * 10, object)),
    "y complex": (X, Y + 1j),
    "y without rows": (X, Y[:0]),
}

BAD_PARAMETERS = {
    "hidden_layer_sizes": [0, -1, (3, 0), (3, -2), "abc", 2.5, (2.5,), None, {"a": 1}, (3, "a")],
    "activation": ["RELU", "", 3, None],
    "solver": ["sag", None, 1],
    "alpha": [-1, "a", None, np.nan],
    "batch_size": [0, -5, "all", 2.5, None],
    "learning_rate": ["fast", 0.1, None],
    "learning_rate_init": [0, -1, "a", None],
    "power_t": [-1, "a"],
    "max_iter": [0, -1, 2.5, "a", None],
    "shuffle": ["yes", 2, None],
    "random_state": ["a", -1, 2.5, 2**40],
    "tol": [-1, "a", None],
    "verbose": ["a", -1],
    "warm_start": ["a", 3],
    "momentum": [-0.1, 1.1, "a"],
    "nesterovs_momentum": ["a", None],
    "early_stopping": ["a", 5],
    "validation_fraction": [-0.1, 1.0, 1.5, "a"],
    "beta_1": [-0.1, 1.0, "a"],
    "beta_2": [-0.1, 1.0],
    "epsilon": [0, -1, "a"],
    "n_iter_no_change": [0, -1, 2.5, "a"],
    "max_fun": [0, -1, 2.5],
}


def raised(call):
    """Return the exception of a call, or None."""
    try:
        call()
    except Exception as error:
        return error
    return None


def words(error):
    """Return what a message is about: its words of three letters or more, without the names of packages."""
    return set(re.findall(r"[a-z_]{3,}", str(error).lower()))


def assert_alike(ours, theirs):
    """Both raised nothing, or the same type of exception; a third of their words are in our message."""
    if theirs is None:
        assert ours is None
        return
    assert isinstance(ours, type(theirs)), (ours, theirs)
    assert len(words(ours) & words(theirs)) >= len(words(theirs)) / 3, (ours, theirs)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
@pytest.mark.parametrize("name", BAD_DATA)
@pytest.mark.filterwarnings("ignore")
def test_bad_data_raise_what_scikit_learn_raises(name, kind, method):
    X, y = BAD_DATA[name]
    if kind == "MLPClassifier" and isinstance(y, np.ndarray) and y.dtype.kind == "f" and np.isfinite(y).all():
        y = LABELS[: len(y)].reshape(y.shape)
    more = {"classes": [0, 1, 2]} if (kind, method) == ("MLPClassifier", "partial_fit") else {}
    errors = [
        raised(lambda module=module: getattr(getattr(module, kind)(max_iter=1), method)(X, y, **more))
        for module in (fastbp, neural_network)
    ]
    assert errors[1] is not None
    assert_alike(*errors)


@pytest.mark.parametrize("name", BAD_PARAMETERS)
@pytest.mark.filterwarnings("ignore")
def test_bad_parameters_raise_what_scikit_learn_raises(name):
    for value in BAD_PARAMETERS[name]:
        options = {"max_iter": 1, name: value}
        errors = [
            raised(lambda module=module, options=options: module.MLPClassifier(**options).fit(X, LABELS))
            for module in (fastbp, neural_network)
        ]
        assert errors[1] is not None, (name, value)
        assert_alike(*errors)


BAD_CALLS = {
    "predict before fit": lambda new: new().predict(X),
    "score before fit": lambda new: new().score(X, LABELS),
    "probabilities before fit": lambda new: new().predict_proba(X),
    "other number of features": lambda new: new().fit(X, LABELS).predict(X[:, :2]),
    "NaN in a prediction": lambda new: new().fit(X, LABELS).predict(put(X, (0, 0), np.nan)),
    "one row as a vector": lambda new: new().fit(X, LABELS).predict(X[0]),
    "an empty prediction": lambda new: new().fit(X, LABELS).predict(X[:0]),
    "continuous labels": lambda new: new().fit(X, Y),
    "labels of several outputs": lambda new: new().fit(X, np.c_[LABELS, LABELS]),
    "weights too short": lambda new: new().fit(X, LABELS, np.ones(5)),
    "weights of two dimensions": lambda new: new().fit(X, LABELS, np.ones((20, 2))),
    "weights with NaN": lambda new: new().fit(X, LABELS, put(np.ones(20), 3, np.nan)),
    "weights that are words": lambda new: new().fit(X, LABELS, ["a"] * 20),
    "weights that are all 0": lambda new: new().fit(X, LABELS, np.zeros(20)),
    "a batch without weight": lambda new: new(batch_size=5, shuffle=False).fit(
        X, LABELS, np.repeat([1.0, 0.0], 10)
    ),
    "no classes at first": lambda new: new().partial_fit(X, LABELS),
    "other classes later": lambda new: (
        new().partial_fit(X, LABELS, classes=[0, 1, 2]).partial_fit(X, LABELS, classes=[0, 1])
    ),
    "unknown labels later": lambda new: (
        new().partial_fit(X, LABELS, classes=[0, 1, 2]).partial_fit(X, LABELS + 1)
    ),
    "more features later": lambda new: (
        new().partial_fit(X, LABELS, classes=[0, 1, 2]).partial_fit(X[:, :2], LABELS)
    ),
    "partial_fit of lbfgs": lambda new: new(solver="lbfgs").partial_fit(X, LABELS),
    "partial_fit that stops early": lambda new: new(early_stopping=True).partial_fit(
        X, LABELS, classes=[0, 1, 2]
    ),
    "a warm start with other labels": lambda new: new(warm_start=True).fit(X, LABELS).fit(X, LABELS % 2),
    "a warm start with other features": lambda new: new(warm_start=True).fit(X, LABELS).fit(X[:, :2], LABELS),
    "too few to hold out": lambda new: new(early_stopping=True).fit(X[:10], LABELS[:10]),
    "a class of one sample": lambda new: new(early_stopping=True).fit(X, np.arange(20) == 3),
    "numbers that diverge": lambda new: new(
        solver="sgd", learning_rate_init=1e300, activation="identity", max_iter=5
    ).fit(1e10 * X, LABELS),
    "an unknown parameter": lambda new: new(hidden=3),
    "set_params of an unknown one": lambda new: new().set_params(hidden=3),
}


@pytest.mark.parametrize("name", BAD_CALLS)
@pytest.mark.filterwarnings("ignore")
def test_bad_calls_raise_what_scikit_learn_raises(name):
    def new(module):
        return lambda **options: module.MLPClassifier(
            **({"hidden_layer_sizes": 4, "max_iter": 1, "random_state": 0} | options)
        )

    call = BAD_CALLS[name]
    errors = [raised(lambda module=module: call(new(module))) for module in (fastbp, neural_network)]
    assert errors[1] is not None
    assert_alike(*errors)
