import numpy as np
import polars as pl
import pytest
from sklearn.preprocessing import StandardScaler

from fastbp import DataError, OptionError
from fastbp.preprocessing import ClassTarget
from fastbp.sweeping.folds import make_folds

GENERATOR = np.random.default_rng(2)
X = GENERATOR.normal(5.0, 3.0, (53, 4))
Y = X[:, 0] + GENERATOR.normal(size=53)
KINDS = np.array(["a", "b", "c"])[GENERATOR.choice(3, 53, p=[0.6, 0.3, 0.1])]


def test_each_row_validates_one_fold_and_trains_the_others():
    folds = make_folds(X, target=Y, folds=5, seed=1)
    back = [(fold.preprocessing.columns, np.vstack([fold.X, fold.X_validation])) for fold in folds.datasets]
    for columns, both in back:
        rows = both * [column.scale for column in columns] + [column.mean for column in columns]
        assert np.sort(rows, axis=0) == pytest.approx(np.sort(X, axis=0))
    columns = [dataset.preprocessing.columns[0] for dataset in folds.datasets]
    held_out = [
        dataset.X_validation[:, 0] * column.scale + column.mean
        for dataset, column in zip(folds.datasets, columns, strict=True)
    ]
    assert np.sort(np.concatenate(held_out)) == pytest.approx(np.sort(X[:, 0]))
    assert {len(rows) for rows in held_out} == {10, 11}


@pytest.mark.parametrize("options", [{"folds": 4}, {"validation": 0.3}, {}], ids=str)
def test_means_and_scales_are_those_of_the_training_rows_alone(options):
    for dataset in make_folds(X, target=Y, seed=1, **options).datasets:
        columns = dataset.preprocessing.columns
        training = dataset.X * [one.scale for one in columns] + [one.mean for one in columns]
        scaler = StandardScaler().fit(training)
        assert [one.mean for one in columns] == pytest.approx(scaler.mean_)
        assert [one.scale for one in columns] == pytest.approx(scaler.scale_)
        assert dataset.Y.mean() == pytest.approx(0)
        assert dataset.Y.std() == pytest.approx(1)
        assert abs(dataset.X_validation.mean(axis=0)).max() > 1e-3


def test_what_the_validation_rows_hold_changes_nothing_of_what_is_trained():
    one = make_folds(X, target=Y, folds=5, seed=1)
    changed, other_Y = X.copy(), Y.copy()
    changed[:] = np.where(np.arange(53)[:, None] == 7, 1e6, X)
    other_Y[7] = -1e6
    other = make_folds(changed, target=other_Y, folds=5, seed=1)
    same = [
        fold.X.tobytes() == twin.X.tobytes() and fold.Y.tobytes() == twin.Y.tobytes()
        for fold, twin in zip(one.datasets, other.datasets, strict=True)
    ]
    assert sum(same) == 1
    assert one.digest != other.digest


def test_folds_have_the_same_shares_of_the_classes():
    folds = make_folds(X, target=KINDS, folds=5, seed=1)
    counts = np.array([np.bincount(one.Y_validation, minlength=3) for one in folds.datasets])
    assert (counts.max(axis=0) - counts.min(axis=0)).max() <= 1
    assert all(isinstance(one.preprocessing.target, ClassTarget) for one in folds.datasets)


def test_the_same_seed_gives_the_same_folds_and_another_gives_others():
    digests = [make_folds(X, target=Y, folds=5, seed=seed).digest for seed in (1, 1, 2)]
    assert digests[0] == digests[1] != digests[2]


def test_other_data_may_validate():
    folds = make_folds(X[:40], target=Y[:40], validation=(X[40:], Y[40:]))
    (dataset,) = folds.datasets
    assert (len(dataset.X), len(dataset.X_validation), len(folds.whole.X)) == (40, 13, 40)
    assert dataset.X.mean(axis=0) == pytest.approx(np.zeros(4), abs=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folds": 1}, "folds is 1"),
        ({"folds": 54}, "folds is 54, and the data has only 53 rows"),
        ({"folds": 5, "validation": 0.2}, "give validation or folds"),
        ({"validation": 1.0}, "validation is 1.0"),
        ({"validation": (X, Y), "stratify": "x0"}, "stratify is for rows that are held out"),
    ],
    ids=str,
)
def test_folds_that_cannot_be_are_refused(options, message):
    with pytest.raises(OptionError, match=message):
        make_folds(X, target=Y, **options)


@pytest.mark.parametrize("divided", [{"folds": 4}, {"validation": 0.5}])
def test_categories_of_validation_rows_alone_are_unseen(divided):
    frame = pl.DataFrame({"town": [*"aaaabbbb", *"cdefghijk"[:8]], "price": np.arange(16.0) ** 2})
    options = {"target": "price", "task": "regression", "text": ("town",), "seed": 0} | divided
    with pytest.raises(DataError, match=r"'town'.*in no row that trains.*unseen='zeros'"):
        make_folds(frame, **options)
    found = make_folds(frame, unseen="zeros", **options)
    unseen = [~dataset.X.any(axis=0) for dataset in found.datasets]
    assert any(absent.any() for absent in unseen)
    for dataset, absent in zip(found.datasets, unseen, strict=True):
        assert not dataset.X_validation[:, absent].any()
    assert len({dataset.X.shape[1] for dataset in [*found.datasets, found.whole]}) == 1
