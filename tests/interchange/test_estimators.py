"""Networks made of scikit-learn's estimators give the same predictions."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbp import Network, OptionError

X, SPECIES = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])
TARGETS = np.c_[X[:, 3], X[:, 2] * X[:, 3]]
ACTIVATIONS = ("identity", "logistic", "tanh", "relu")

CLASSES = {
    "numbers": SPECIES,
    "floats": SPECIES * 2.0,
    "texts": NAMES[SPECIES],
    "objects": NAMES.astype(object)[SPECIES],
    "two": SPECIES > 1,
    "two texts": NAMES[SPECIES // 2],
    "multilabel": np.c_[SPECIES == 0, SPECIES > 1].astype(int),
}


def fitted(estimator, X, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(X, y)


@pytest.mark.parametrize("y", CLASSES.values(), ids=CLASSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_classifier_has_the_same_probabilities_as_a_network(activation, y):
    estimator = fitted(MLPClassifier((7, 5), activation, max_iter=20, random_state=0), X, y)
    network = Network.from_sklearn(estimator)
    probabilities = estimator.predict_proba(X)
    expected = (
        probabilities[:, 1:] if estimator.out_activation_ == "logistic" and y.ndim == 1 else probabilities
    )
    assert_allclose(network.predict(X), expected, rtol=1e-12, atol=1e-15)
    for W, b, coefs, intercepts in zip(
        network.weights, network.biases, estimator.coefs_, estimator.intercepts_, strict=True
    ):
        assert (coefs == W).all()
        assert (b == intercepts).all()


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("y", [TARGETS[:, 0], TARGETS], ids=["one", "two"])
def test_a_regressor_has_the_same_predictions_as_a_network(y, activation):
    estimator = fitted(
        MLPRegressor(hidden_layer_sizes=(7, 5), activation=activation, max_iter=20, random_state=0), X, y
    )
    found = Network.from_sklearn(estimator).predict(X)
    assert_allclose(found if y.ndim == 2 else found[:, 0], estimator.predict(X), rtol=1e-12, atol=1e-12)


def test_outputs_of_a_poisson_regression_are_exponential():
    estimator = fitted(
        MLPRegressor(hidden_layer_sizes=(4,), loss="poisson", max_iter=20, random_state=0), X, TARGETS[:, 0]
    )
    network = Network.from_sklearn(estimator)
    assert (network.output_activation, network.loss_name) == ("exp", "poisson")
    assert_allclose(network.predict(X)[:, 0], estimator.predict(X), rtol=1e-12)


@pytest.mark.parametrize("name", ["numbers", "texts", "objects"])
def test_a_model_file_keeps_the_labels_and_the_names_of_features(name, tmp_path):
    pandas = pytest.importorskip("pandas")
    columns = ["length", "width", "petal length", "petal width"]
    estimator = fitted(MLPClassifier((5,), max_iter=200), pandas.DataFrame(X, columns=columns), CLASSES[name])
    Network.from_sklearn(estimator).save(tmp_path / "iris.safetensors")
    network = Network.load(tmp_path / "iris.safetensors")
    assert network.preprocessing.input_names == columns
    labels = network.preprocessing.decode(network.predict(X))
    assert (labels == estimator.predict(pandas.DataFrame(X, columns=columns))).all()


def test_float32_stays_float32():
    estimator = fitted(MLPRegressor(hidden_layer_sizes=(5,), max_iter=5), X.astype(np.float32), TARGETS[:, 0])
    network = Network.from_sklearn(estimator)
    assert network.dtype == np.float32
    found = network.predict(X.astype(np.float32))[:, 0]
    assert_allclose(found, estimator.predict(X.astype(np.float32)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (MLPClassifier(), "is not fitted"),
        (LogisticRegression(), "must be an MLPClassifier or MLPRegressor"),
        (make_pipeline(StandardScaler(), MLPClassifier()), r"pipeline\[-1\]"),
        (None, "must be an MLPClassifier"),
        (MLPClassifier, "must be an"),
    ],
    ids=["not fitted", "another", "pipeline", "none", "class"],
)
def test_what_is_no_fitted_perceptron_is_named(estimator, message):
    with pytest.raises(OptionError, match=message):
        Network.from_sklearn(estimator)
