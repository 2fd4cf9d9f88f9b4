"""The data of a sweep: the rows that networks train on, and those that they are compared by, fold by fold.

Means, scales and weights of a fold come from its training rows alone. The rows that validate a fold are in no
array that its networks train on. What none of its training rows has is unseen, as in data that come later.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np

from fastbp import data
from fastbp.data import learning
from fastbp.data.dataset import Dataset, Rows
from fastbp.data.fold_datasets import FoldDatasets, treat_unseen
from fastbp.errors import OptionError, as_option, check_integer

VALIDATION = 0.2
"""The fraction of the rows that is held out if nothing is said."""


class Fold(NamedTuple):
    """The arrays of a fold.

    Attributes
    ----------
    X, Y : ndarray
        To train on.
    X_validation, Y_validation : ndarray or None
    sample_weight : ndarray or None
        Weights of the training rows.
    """

    X: np.ndarray
    Y: np.ndarray
    X_validation: np.ndarray | None
    Y_validation: np.ndarray | None
    sample_weight: np.ndarray | None

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        """Return the arrays of a dataset."""
        return cls(*(getattr(dataset, name) for name in cls._fields))


@dataclass(frozen=True, eq=False)
class Folds:
    """Data, prepared for a sweep.

    Attributes
    ----------
    rows : Rows
        All rows, to train the best configurations on.
    datasets : list of Dataset
        One for each fold, each with its validation rows.
    """

    rows: Rows
    datasets: list[Dataset]

    @property
    def arrays(self) -> list[Fold]:
        """The arrays of each fold."""
        return [Fold.of(dataset) for dataset in self.datasets]

    @property
    def whole(self) -> Dataset:
        """All rows, with means and scales of all."""
        return self.rows.dataset(np.ones(len(self.rows), bool))

    @property
    def digest(self) -> str:
        """A digest of all arrays."""
        found = hashlib.sha256()
        for fold in self.arrays:
            for array in fold:
                if array is None:
                    found.update(b"none")
                    continue
                found.update(f"{array.dtype.str} {array.shape}".encode())
                for start in range(0, len(array), 2**16):
                    found.update(np.ascontiguousarray(array[start : start + 2**16]).tobytes())
        return found.hexdigest()[:16]


def make_folds(
    source: Any,
    *,
    validation: Any = None,
    folds: int | None = None,
    stratify: str | int | None = None,
    seed: int | None = None,
    **options: Any,
) -> Folds:
    """Read data, and divide them.

    Parameters
    ----------
    source : path-like, frame or array_like
    validation : float, path-like, frame, array_like or pair, optional
        The fraction of the rows to hold out, or other data, as `fastbp.data.load` takes them.
    folds : int, optional
        The number of folds: each row validates one of them. Nearly the same share of each class, or of each
        value of the column `stratify`, is in every fold.
    seed : int, optional
        Which rows are held out.
    **options
        Of `fastbp.data.open_rows`.

    Raises
    ------
    DataError, OptionError
        As `fastbp.data.load` raises them.
    """
    if folds is not None:
        if validation is not None:
            raise OptionError(f"give {as_option('validation')} or {as_option('folds')}, and not both")
        folds = check_integer("folds", folds, 2)
    rows = data.open_rows(source, **options)
    if folds is None and validation is None:
        validation = VALIDATION
    if folds is None and not isinstance(validation, float | int):
        if stratify is not None:
            raise OptionError(f"{as_option('stratify')} is for rows that are held out")
        whole = rows.dataset(np.ones(len(rows), bool))
        return Folds(rows, [data.with_validation(rows, whole, validation)])
    by = learning.groups(rows.table, rows.target, rows.values, stratify, 1.0)
    if folds is None:
        training = learning.training_rows(len(rows), by, validation, seed)
        dataset = rows.dataset(training)
        treat_unseen(dataset, training, rows)
        return Folds(rows, [dataset])
    of_folds, numbers = FoldDatasets(rows), learning.fold_numbers(len(rows), by, folds, seed)
    return Folds(rows, [of_folds.dataset(numbers != fold) for fold in range(folds)])
