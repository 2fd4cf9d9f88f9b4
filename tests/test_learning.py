"""Real learning on real tasks: each recipe runs in seconds and reaches its accuracy for every seed tried."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import fastbp


def classifier(sizes, **options):
    return fastbp.Network(
        sizes,
        hidden_activation=options.pop("hidden_activation", "relu"),
        output_activation="softmax",
        loss="categorical_cross_entropy",
        initializer="he_uniform",
        **options,
    )


def accuracy(network, X, labels):
    return float(np.mean(network.predict(X).argmax(axis=1) == labels))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_digits_to_97_percent(dtype):
    X, labels = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        X / 16, labels, test_size=0.25, random_state=0, stratify=labels
    )
    network = classifier([64, 128, 10], dtype=dtype, seed=0)
    fastbp.train(
        network, X_train, y_train, epochs=60, batch_size=32, optimizer=fastbp.Adam(), l2=1e-4, seed=0
    )
    assert accuracy(network, X_test, y_test) >= 0.97


def test_breast_cancer_to_95_percent():
    X, y = load_breast_cancer(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, random_state=0, stratify=y)
    scaler = StandardScaler().fit(X_train)
    network = fastbp.Network([30, 16, 1], hidden_activation="tanh", loss="binary_cross_entropy", seed=0)
    fastbp.train(
        network,
        scaler.transform(X_train),
        y_train[:, np.newaxis],
        epochs=60,
        batch_size=16,
        optimizer=fastbp.AdamW(0.003, weight_decay=0.1),
        seed=0,
    )
    predicted = network.predict(scaler.transform(X_test))[:, 0] > 0.5
    assert np.mean(predicted == y_test) >= 0.95


def test_diabetes_explains_as_much_as_a_linear_model_does():
    X, y = load_diabetes(return_X_y=True)
    X, y = StandardScaler().fit_transform(X), (y - y.mean()) / y.std()
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, random_state=0)
    network = fastbp.Network(
        [10, 8, 1], hidden_activation="silu", output_activation="identity", loss="mean_squared_error", seed=0
    )
    fastbp.train(
        network,
        X_train,
        y_train[:, np.newaxis],
        epochs=150,
        batch_size=32,
        optimizer=fastbp.Adam(0.003),
        l2=0.01,
        seed=0,
    )
    residual = y_test - network.predict(X_test)[:, 0]
    linear = np.linalg.lstsq(np.c_[X_train, np.ones(len(X_train))], y_train, rcond=None)[0]
    linear_residual = y_test - np.c_[X_test, np.ones(len(X_test))] @ linear
    assert np.mean(residual**2) <= 1.05 * np.mean(linear_residual**2)


def two_spirals(n: int = 97) -> tuple[np.ndarray, np.ndarray]:
    """Return Lang & Witbrock's two spirals (1988): three turns, 97 points each."""
    i = np.arange(n)
    angle, radius = i * np.pi / 16, 6.5 * (104 - i) / 104
    arm = np.column_stack([radius * np.sin(angle), radius * np.cos(angle)]) / 6.5
    return np.vstack([arm, -arm]), np.repeat([0, 1], n)


@pytest.mark.parametrize("seed", range(4))
def test_two_spirals_to_the_last_point(seed):
    X, labels = two_spirals()
    network = classifier([2, 32, 32, 2], seed=seed)
    fastbp.train(network, X, labels, epochs=3000, batch_size=32, optimizer=fastbp.Adam(0.005), seed=seed)
    assert accuracy(network, X, labels) == 1.0


@pytest.mark.parametrize("seed", range(20))
def test_exclusive_or_is_solved_from_every_seed(seed):
    X, Y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([[0], [1], [1], [0]])
    network = fastbp.Network([2, 8, 1], hidden_activation="tanh", loss="binary_cross_entropy", seed=seed)
    fastbp.train(network, X, Y, epochs=1000, optimizer=fastbp.Adam(0.05), seed=seed)
    assert (network.predict(X).round() == Y).all()
