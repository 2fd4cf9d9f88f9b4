"""Quick checks: they let nothing pass that scikit-learn refuses or converts, and results are the same."""

import inspect
import threading
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score
from sklearn.neural_network import MLPClassifier, MLPRegressor

import fastbp
from fastbp.sklearn.quick import is_column, is_matrix, validate_parameters, with_generator

X = np.random.default_rng(0).normal(size=(30, 4))
y = np.arange(30) % 3

pytestmark = pytest.mark.filterwarnings(f"ignore::{ConvergenceWarning.__module__}.ConvergenceWarning")


def spoilt(number):
    bad = X.copy()
    bad[7, 2] = number
    return bad


NO_MATRICES = {
    "NaN": spoilt(np.nan),
    "infinity": spoilt(np.inf),
    "minus infinity": spoilt(-np.inf),
    "lists": X.tolist(),
    "integers": X.astype(int),
    "float16": X.astype(np.float16),
    "objects": X.astype(object),
    "texts": X.astype(str),
    "other byte order": X.astype(">f8"),
    "Fortran order": np.asfortranarray(X),
    "every other row": X[::2],
    "no rows": X[:0],
    "no columns": X[:, :0],
    "a column": X[:, 0],
    "three dimensions": X.reshape(30, 2, 2),
    "a matrix": X.view(np.matrix),  # without the warning of its constructor
    "masked": np.ma.array(X),
    "complex": X + 1j,
    "nothing": None,
}


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize("name", NO_MATRICES)
def test_what_needs_a_look_is_no_quick_matrix(name):
    assert not is_matrix(NO_MATRICES[name])


def test_finite_floats_are():
    for matrix in (X, X.astype(np.float32), X[:1], X[3:]):
        assert is_matrix(matrix)


def test_a_column_has_one_dimension_and_finite_numbers():
    for good in (y, y.astype(float), y.astype(np.uint8), y > 1, X[:, 1]):
        assert is_column(good, 30)
    for bad in (y[:29], y.reshape(-1, 1), y.tolist(), y.astype(object), y.astype(str), spoilt(np.nan)[:, 2]):
        assert not is_column(bad, 30)


@pytest.mark.parametrize("name", NO_MATRICES)
@pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::UserWarning", "ignore::PendingDeprecationWarning"
)
@pytest.mark.parametrize("method", ["fit", "partial_fit", "predict"])
def test_strange_input_has_scikit_learns_fate(name, method):
    bad = NO_MATRICES[name]
    n = len(bad) if bad is not None else 30
    fates = []
    for cls in (fastbp.MLPClassifier, MLPClassifier):
        estimator = cls((3,), max_iter=2, random_state=0)
        if method != "fit":
            estimator.fit(X, y)
        try:
            arguments = (bad,) if method == "predict" else (bad, y[:n])
            result = getattr(estimator, method)(*arguments)
            fates.append(result if method == "predict" else estimator.predict(X))
        except Exception as error:
            fates.append((type(error), str(error).replace("fastbp.sklearn.", "")))
    ours, theirs = fates
    if isinstance(theirs, tuple):
        assert isinstance(ours, tuple), theirs
        assert issubclass(ours[0], theirs[0])
        assert ours[1] == theirs[1]
    else:
        np.testing.assert_array_equal(ours, theirs)


def test_fewer_features_and_forgotten_names_are_found():
    pandas = pytest.importorskip("pandas")
    estimator = fastbp.MLPClassifier((3,), max_iter=2).fit(X, y)
    for method, arguments in (("partial_fit", (X[:, :3].copy(), y)), ("predict", (X[:, :3].copy(),))):
        with pytest.raises(ValueError, match="X has 3 features, but MLPClassifier is expecting 4"):
            getattr(estimator, method)(*arguments)
    named = pandas.DataFrame(X, columns=list("abcd"))
    estimator.fit(named, y)
    for method, arguments in (("partial_fit", (X, y)), ("predict", (X,))):
        with pytest.warns(UserWarning, match="X does not have valid feature names"):
            getattr(estimator, method)(*arguments)
    estimator.fit(X, y)
    assert not hasattr(estimator, "feature_names_in_")


def test_parameters_are_checked_by_value_and_type():
    for good, bad in ((True, 1), (False, 0)):
        validate_parameters(fastbp.MLPClassifier(shuffle=good))
        with pytest.raises(ValueError, match="'shuffle' parameter of MLPClassifier"):
            validate_parameters(fastbp.MLPClassifier(shuffle=bad))
    validate_parameters(fastbp.MLPClassifier(alpha=0.5))
    for bad in (-0.5, "a", None, np.array([0.5])):
        with pytest.raises(ValueError, match="'alpha' parameter of MLPClassifier"):
            validate_parameters(fastbp.MLPClassifier(alpha=bad))
    for fine in ((3, 4), [3, 4], np.array([3, 4]), 3):
        validate_parameters(fastbp.MLPClassifier(fine))
    with pytest.raises(ValueError, match="'loss' parameter of MLPRegressor"):
        validate_parameters(fastbp.MLPRegressor("log_loss"))


def test_parameters_that_change_after_a_fit_are_checked_again():
    for name, bad in (("alpha", -0.5), ("shuffle", 1), ("max_iter", 2.0), ("hidden_layer_sizes", "a")):
        estimator = fastbp.MLPClassifier((3,), max_iter=2)
        for _ in range(3):
            validate_parameters(estimator)
        setattr(estimator, name, bad)
        with pytest.raises(ValueError, match=f"'{name}' parameter of MLPClassifier"):
            validate_parameters(estimator)


def test_unknown_labels_are_found():
    estimator = fastbp.MLPClassifier((3,), max_iter=2).fit(X, y)
    for bad in (np.where(y == 2, 3, y), np.where(y == 0, -1, y), y + 0.5):
        with pytest.raises(ValueError, match=r"classes|Unknown label type"):
            estimator.partial_fit(X, bad)
    with pytest.raises(ValueError, match="is not the same as on last call"):
        estimator.partial_fit(X, y, classes=[0, 1])
    estimator.set_params(warm_start=True)
    with pytest.raises(ValueError, match="classes"):
        estimator.fit(X, np.minimum(y, 1))


def test_every_fit_has_a_generator_of_its_own():
    """Also a fit within another fit, of a callback for example, and fits in threads."""

    class Estimator:
        def __init__(self, seed, inner=None):
            self.random_state, self.inner = seed, inner

        @with_generator
        def fit(self, generator):
            first = generator.random_sample()
            if self.inner:
                self.inner.fit()
            return first, generator.random_sample()

    def expected(seed):
        generator = np.random.RandomState(seed)
        return generator.random_sample(), generator.random_sample()

    assert Estimator(3, Estimator(3, Estimator(4))).fit() == expected(3)
    assert Estimator(np.int64(5)).fit() == expected(5)
    instance = np.random.RandomState(6)
    assert (*Estimator(instance).fit(), instance.random_sample()) == (
        *expected(6),
        np.random.RandomState(6).random_sample(3)[2],
    )
    with pytest.raises(ValueError, match="Seed must be between"):
        Estimator(-1).fit()
    found = {}
    threads = [threading.Thread(target=lambda i=i: found.update({i: Estimator(i).fit()})) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found[i] == expected(i) for i in range(20))


def test_regression_takes_the_same_way():
    targets = X[:, 0] * X[:, 1]
    for t in (targets, targets.astype(np.float32), y, targets.reshape(-1, 1)):
        fitted = []
        for cls in (fastbp.MLPRegressor, MLPRegressor):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                fitted.append(cls(hidden_layer_sizes=(3,), max_iter=3, random_state=0).fit(X, t).predict(X))
        np.testing.assert_allclose(*fitted, rtol=1e-9)


def test_a_score_is_scikit_learns():
    estimator = fastbp.MLPClassifier((3,), max_iter=2, random_state=0)
    texts = np.array(["a", "b", "c"])[y]
    for labels in (y, y > 1, texts, y.astype(float), y.tolist()):
        estimator.fit(X, labels)
        for weights in (None, X[:, 0] ** 2):
            expected = accuracy_score(labels, estimator.predict(X), sample_weight=weights)
            assert estimator.score(X, labels, weights) == expected
    estimator.fit(X, y)
    assert estimator.score(X, y + 1) == accuracy_score(y + 1, estimator.predict(X))
    for bad in (y[:5], X):
        with pytest.raises(ValueError, match=r"inconsistent numbers of samples|can't handle a mix"):
            estimator.score(X, bad)


def test_names_of_parameters_are_those_of_the_signature():
    class Derived(fastbp.MLPRegressor):
        def __init__(self, alpha=1.0):
            super().__init__(alpha=alpha)

    for cls in (fastbp.MLPClassifier, fastbp.MLPRegressor, Derived):
        names = set(inspect.signature(cls).parameters)
        assert set(cls().get_params()) == names
        assert cls._get_param_names() == sorted(names)
