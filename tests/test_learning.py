"""Real learning on real tasks: the examples reach what they say, and other recipes their accuracy."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import fastbp
from examples import (
    digits,
    ensemble_sine,
    mnist_5k,
    rate_map,
    scikit_learn,
    two_spirals,
    xor,
    xor_basins,
)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_digits_to_97_percent(dtype):
    assert digits.main(dtype) >= 0.97


def test_mnist_5k_to_93_percent():
    assert mnist_5k.main() >= 0.93


@pytest.mark.parametrize("seed", range(4))
def test_two_spirals_to_the_last_point(seed):
    assert two_spirals.main(seed) == 1.0


def test_exclusive_or_is_solved_from_every_start():
    assert xor.main(20) == 20


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_scikit_learn_finds_the_same_coefficients(capsys):
    assert scikit_learn.main(20) < 1e-10
    printed = capsys.readouterr().out
    assert "coefs_[1][3, 2]" in printed
    assert "milliseconds" in printed


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


def test_about_half_of_many_networks_solve_exclusive_or(capsys):
    assert 0.4 < xor_basins.main(["--networks", "2000"]) < 0.6
    assert "2,000 networks of 2-2-2, 1,000 steps each" in capsys.readouterr().out


def test_networks_that_start_alike_end_alike(tmp_path):
    ends = xor_basins.basins(side=40, steps=1000)
    assert (ends[:, 1:] == ends[:, :-1]).mean() > 0.8
    xor_basins.draw(str(tmp_path / "basins.png"), ends.ravel(), np.linspace(0, 0.3, ends.size), 1000, side=10)
    assert (tmp_path / "basins.png").stat().st_size > 10_000


def test_larger_batches_want_larger_learning_rates(tmp_path, capsys):
    best = rate_map.main(["--epochs", "10", "--starts", "5", "--picture", str(tmp_path / "map.png")])
    assert best[0] < best[1] < best[2] < best[3]
    assert "batch size 128: best learning rate" in capsys.readouterr().out


def test_an_ensemble_disagrees_where_there_are_no_samples(tmp_path):
    picture = tmp_path / "sine.png"
    assert ensemble_sine.main(["--epochs", "200", "--picture", str(picture)]) > 2
    assert picture.stat().st_size > 10_000
