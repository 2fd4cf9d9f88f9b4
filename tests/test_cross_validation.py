"""Cross-validation: each network is that of its fold alone, and no validation row reaches it."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_diabetes, load_iris
from sklearn.metrics import accuracy_score, confusion_matrix, r2_score

import fastbp
from fastbp import data
from fastbp.data.cross_validation import NetworkAndSteps, cross_validate, train_each
from fastbp.data.fold_datasets import FoldDatasets
from fastbp.data.model import Model

RECIPE = NetworkAndSteps((4,), "tanh", None, "float64", fastbp.Adam(0.02), 12, 16, 1e-3, 0.0, 3)
IRIS, DIABETES = load_iris(return_X_y=True), load_diabetes(return_X_y=True)


def rows_of(bunch, **options):
    X, y = bunch
    return data.open_rows(X, target=y, **options)


def divided(rows, folds):
    return [rows.dataset(np.arange(len(rows)) % folds != fold) for fold in range(folds)]


@pytest.mark.parametrize("bunch", [IRIS, DIABETES], ids=["iris", "diabetes"])
@pytest.mark.parametrize("hidden", [(4,), (100, 100)], ids=["narrow", "wide"])
def test_each_network_is_that_of_its_fold_alone(bunch, hidden):
    datasets = divided(rows_of(bunch), 4)
    networks, diverged = train_each(datasets, replace(RECIPE, hidden=hidden))
    assert not diverged.any()
    for i, (network, dataset) in enumerate(zip(networks, datasets, strict=True)):
        start = fastbp.Population(
            network.layer_sizes,
            1,
            hidden_activation="tanh",
            output_activation=network.output_activation,
            loss=network.loss_name,
            seed=3,
            first=i,
        )
        n = len(dataset.X)
        fastbp.train_population(
            start,
            dataset.X,
            dataset.Y,
            epochs=12,
            batch_size=16,
            optimizer=fastbp.Adam(0.02),
            l2=1e-3,
            order=lambda epoch, n=n: np.random.default_rng([3, epoch]).permutation(n),
        )
        assert_array_equal(network.theta, start.theta[0])


def test_rows_that_validate_change_no_bit_of_a_network():
    X, y = DIABETES
    networks, _ = train_each(divided(rows_of((X, y)), 3), RECIPE)
    changed, targets = X.copy(), y.copy()
    changed[::3], targets[::3] = 9 * X[::3] + 1, y[::3] + 500  # the rows that validate the first
    again, _ = train_each(divided(rows_of((changed, targets)), 3), RECIPE)
    assert_array_equal(again[0].theta, networks[0].theta)
    assert (again[1].theta != networks[1].theta).any()


def test_scores_are_those_of_predictions_for_the_rows_of_each_fold():
    rows = rows_of(IRIS)
    result = cross_validate(rows, RECIPE, folds=5, repeats=2)
    numbers = [data.learning.fold_numbers(150, IRIS[1], 5, 3 + repeat) for repeat in range(2)]
    datasets = [rows.dataset(one != fold) for one in numbers for fold in range(5)]
    networks, _ = train_each(datasets, RECIPE)
    total = np.zeros((3, 3), int)
    for i, network in enumerate(networks):
        own = numbers[i // 5] == i % 5
        assert np.bincount(IRIS[1][own]).tolist() == [10, 10, 10]
        predicted = Model(network).predict(IRIS[0][own])
        assert_allclose(result.scores["accuracy"].ravel()[i], accuracy_score(IRIS[1][own], predicted))
        total += confusion_matrix(IRIS[1][own], predicted, labels=[0, 1, 2])
    assert_array_equal(result.confusion, total)
    assert result.confusion.sum() == 300


def test_scores_of_a_regression_are_in_the_unit_of_its_target():
    rows = rows_of(DIABETES)
    result = cross_validate(rows, RECIPE, folds=3)
    numbers = data.learning.fold_numbers(len(rows), None, 3, 3)
    networks, _ = train_each([rows.dataset(numbers != fold) for fold in range(3)], RECIPE)
    for fold, network in enumerate(networks):
        own = numbers == fold
        predicted = Model(network).predict(DIABETES[0][own])
        assert_allclose(result.scores["r2"][0, fold], r2_score(DIABETES[1][own], predicted))
        rmse = np.sqrt(np.mean((DIABETES[1][own] - predicted) ** 2))
        assert_allclose(result.scores["rmse"][0, fold], rmse)
    assert result.confusion is None


def test_weights_of_rows_weigh_in_each_fold():
    X, y = DIABETES
    doubled = np.where(np.arange(len(X)) % 2, 2.0, 1.0)
    plain, weighted = (
        cross_validate(data.open_rows(X, target=y, sample_weight=one), RECIPE, folds=3).scores["r2"]
        for one in (np.full(len(X), 7.0), doubled)
    )
    assert_array_equal(plain, cross_validate(rows_of(DIABETES), RECIPE, folds=3).scores["r2"])
    assert (plain != weighted).all()


def test_a_network_that_diverges_has_no_scores():
    wild = NetworkAndSteps((4,), None, None, "float32", fastbp.SGD(1e30), 2, 16, 0.0, 0.0, 0)
    result = cross_validate(rows_of(DIABETES), wild, folds=3)
    assert result.n_diverged == 3
    assert np.isnan(result.scores["r2"]).all()


TOWNS = {
    "size": [1.0, None, 3.0, 4.0, 5.0, 7.0],
    "town": ["Bern", "Bern", None, "Ulm", "Bern", "Jena"],
    "price": [3.0, 1.0, 4.0, 1.5, 9.0, 2.0],
}


@pytest.mark.parametrize("missing", ["mean", "indicator"])
@pytest.mark.parametrize("dated", [False, True])
def test_what_only_validating_rows_have_is_unseen_for_the_network_of_that_fold(missing, dated):
    """A fold has the inputs of data that were read without its validation rows, and zeros beside them."""
    days = [f"2020-01-0{1 + i}" for i in range(6)] if dated else [*range(6)]
    frame = pl.DataFrame(TOWNS | {"day": days})
    options = {"target": "price", "task": "regression", "missing": missing, "unseen": "zeros"}
    options["date"] = ("number",)
    of_folds = FoldDatasets(data.open_rows(frame, **options))
    for held in ([1, 3], [2, 5], [0, 4]):
        training = ~np.isin(np.arange(6), held)
        found = of_folds.dataset(training)
        alone = data.load(frame.filter(training), validation=frame[held], **options)
        places = [found.preprocessing.input_names.index(name) for name in alone.preprocessing.input_names]
        assert_array_equal(found.X[:, places], alone.X)
        assert_array_equal(found.X_validation[:, places], alone.X_validation)
        others = np.setdiff1d(np.arange(found.X.shape[1]), places)
        assert len(others) > 0 or held == [0, 4]
        assert not found.X[:, others].any()
        assert not found.X_validation[:, others].any()


def test_a_category_that_only_validating_rows_have_is_an_error_unless_said_otherwise():
    frame = pl.DataFrame(TOWNS).drop("size")[[0, 1, 3, 4, 5]]
    options = {"target": "price", "task": "regression"}
    with pytest.raises(fastbp.DataError, match=r"'town'.* is '(Ulm|Jena)' in row [35],.*unseen='zeros'"):
        cross_validate(data.open_rows(frame, **options), RECIPE, folds=5)
    result = cross_validate(data.open_rows(frame, unseen="zeros", **options), RECIPE, folds=5)
    assert np.isfinite(result.scores["loss"]).all()


def test_progress_shows_the_steps_of_all_networks(capsys):
    cross_validate(rows_of(IRIS), RECIPE, folds=4, repeats=2, progress=True)
    n_steps = 12 * (4 * -(-112 // 16) + 4 * -(-113 // 16))
    error = capsys.readouterr().err
    assert "mean loss" in error
    assert f"{n_steps}/{n_steps}" in error


def test_it_stops_when_told():
    with pytest.raises(KeyboardInterrupt):
        cross_validate(rows_of(IRIS), RECIPE, folds=3, is_stopped=lambda: True)


@pytest.mark.parametrize(("folds", "repeats"), [(1, 1), (151, 1), (3, 0)])
def test_numbers_of_folds_that_cannot_be_are_named(folds, repeats):
    with pytest.raises(fastbp.OptionError, match=r"folds|repeats"):
        cross_validate(rows_of(IRIS), RECIPE, folds=folds, repeats=repeats)


@pytest.mark.parametrize("missing", ["mean", "median", "indicator"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["numbers and texts", "dates", "as they are"])
def test_a_fold_has_the_data_that_are_made_of_its_rows_alone(tmp_path, kind, dtype, missing):
    generator = np.random.default_rng(0)
    path, lines = tmp_path / "table.csv", ["size;colour;flag;same;weight;day;price"]
    for i in range(60):
        size = "" if i % 7 == 3 else f"{generator.normal(5, 2):.2f}".replace(".", ",")
        colour = ("", "red", "green", "blue")[generator.integers(4)]
        day = f"2020-0{1 + i % 9}-1{i % 10}" if kind == "dates" else f"{i % 4}"
        lines.append(
            f"{size};{colour};{'yes' if i % 3 else 'no'};{int(i < 15)};{1 + i % 2};{day};{i * i % 17}"
        )
    path.write_text("\n".join(lines))
    rows = data.open_rows(
        path,
        target="price",
        task="regression",
        sample_weight="weight",
        missing=missing,
        dtype=dtype,
        standardize=kind != "as they are",
        date=("number",),
    )
    of_folds = FoldDatasets(rows)
    for fold in range(4):
        training = np.arange(60) // 15 != fold
        found, expected = of_folds.dataset(training), rows.dataset(training)
        for name in ("X", "Y", "X_validation", "Y_validation", "sample_weight"):
            assert getattr(found, name).dtype == getattr(expected, name).dtype
            assert_array_equal(getattr(found, name), getattr(expected, name))
        assert found.preprocessing == expected.preprocessing
