"""What is learned from data: `Dataset`, and `Rows`, which makes one for any choice of training rows."""

import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastbp.data import learning
from fastbp.data.columns import encode, fit_columns
from fastbp.data.table_file import Table
from fastbp.errors import DataError
from fastbp.preprocessing import Preprocessing, SeveralTargets, Target

IN_MEMORY_BYTES = 2**30
"""The X of a .npy file lies in temporary files if it takes more bytes than this."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """What `load` makes of a file.

    Attributes
    ----------
    X : ndarray, shape (n_samples, n_inputs)
    Y : ndarray, shape (n_samples,) of int64, or (n_samples, n_targets)
        Class labels, or numbers, standardised as the inputs are; 0 and 1 for several targets of two labels.
    X_validation, Y_validation : ndarray, or None
        The samples held out for validation.
    preprocessing : Preprocessing
        What X and Y mean. Assign it to ``network.preprocessing``, and `Network.save` keeps it.
    remarks : list of str
        Notes for the user: what was guessed, constant columns, and missing values that were replaced.
    sample_weight : ndarray, shape (n_samples,), or None
        Weights of the samples.
    """

    X: np.ndarray
    Y: np.ndarray
    X_validation: np.ndarray | None
    Y_validation: np.ndarray | None
    preprocessing: Preprocessing
    remarks: list[str] = field(default_factory=list)
    sample_weight: np.ndarray | None = None

    @property
    def validation_data(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The validation samples, as `fastbp.train` takes them."""
        if self.X_validation is None or self.Y_validation is None:
            return None
        return self.X_validation, self.Y_validation

    @property
    def shuffle(self) -> bool | str:
        """How to visit the samples: the option of `fastbp.train`."""
        return "blocks" if isinstance(self.X, np.memmap) else True

    @property
    def task(self) -> str:
        """The task, "classification" or "regression"."""
        return "classification" if self.preprocessing.is_of_classes else "regression"


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a table with their targets, before it is said which of them are for training.

    Attributes
    ----------
    table : Table
    target : Target
        Without means and scales.
    values : list of ndarray
        The values of each target.
    weight : str or None
        The column that weighs the rows.
    remarks : list of str
    preprocessing : Preprocessing or None
        That of a network to go on with.
    ignore, keep, missing, standardize, class_weight, unseen, scratch
        As `fastbp.data.load` takes them.
    dtype : dtype
    """

    table: Table
    target: Target
    values: learning.Values
    weight: str | None
    remarks: list[str]
    preprocessing: Preprocessing | None
    ignore: str | int | Sequence[str | int]
    keep: str | int | Sequence[str | int]
    missing: str
    standardize: bool
    class_weight: str | Mapping[Any, float] | None
    unseen: str
    scratch: str | os.PathLike[str] | None
    dtype: np.dtype

    def __len__(self) -> int:
        return len(self.table)

    @np.errstate(all="ignore")
    def dataset(self, training: np.ndarray) -> Dataset:
        """Return the dataset that is trained on some rows, and validated on the others if there are any.

        Means, scales and weights come from the training rows alone.

        Parameters
        ----------
        training : bool[n_rows]
        """
        table, preprocessing, remarks = self.table, self.preprocessing, list(self.remarks)
        learned = self.target
        if preprocessing is None:
            kept, ignored = _names(table, "keep", self.keep), _names(table, "ignore", self.ignore)
            ignored += [] if self.weight is None else [self.weight]
            left_out = {*self._targets, *kept, *ignored}
            inputs = [column for column in table.names if column not in left_out]
            if not inputs:
                raise DataError(
                    f"{table.path} has no column beside the target {self._targets[0]!r} to learn it from"
                )
            learned = learning.with_scales(table, learned, self.values, training, self.standardize)
            columns, of_columns = fit_columns(table, inputs, training, self.missing)
            remarks += of_columns
            preprocessing = Preprocessing(
                tuple(columns),
                learned,
                self.standardize,
                self.missing,
                table.reading,
                tuple(kept),
                tuple(ignored),
            )
        remarks = [*table.remarks, *remarks, *learning.remarks_on_classes(learned, self.values, training)]
        weights = learning.weights_of(table, self.weight, self.class_weight, learned, self.values, training)
        X, X_validation = split(table, preprocessing, training, self.dtype, self.scratch, self.unseen)
        Y = learning.as_targets(learned, self.values, self.dtype)
        if training.all():
            return Dataset(X, Y[training], None, None, preprocessing, remarks, weights)
        return Dataset(X, Y[training], X_validation, Y[~training], preprocessing, remarks, weights)

    @property
    def _targets(self) -> list[str]:
        target = self.target
        return [one.name for one in (target.targets if isinstance(target, SeveralTargets) else (target,))]


def _names(table: Table, option: str, columns: str | int | Sequence[str | int]) -> list[str]:
    """Return the names of columns that are given by name or position; one alone may be given as it is."""
    each = [columns] if isinstance(columns, str | int) else columns
    return [table.names[table.find(option, column)] for column in each]


def split(
    table: Table,
    preprocessing: Preprocessing,
    training: np.ndarray,
    dtype: np.dtype,
    scratch: str | os.PathLike[str] | None,
    unseen: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the inputs of the training rows, and those of the other rows."""
    n_training = int(training.sum())
    if n_training == len(training) and not table.is_streamed:
        ((_, X),) = encode(table, preprocessing, dtype, unseen)
        return X, X[:0]
    filled = [
        _empty((n_rows, preprocessing.n_inputs), dtype, table.is_streamed, scratch)
        for n_rows in (n_training, len(training) - n_training)
    ]
    n_filled = [0, 0]
    for start, X in encode(table, preprocessing, dtype, unseen):
        chosen = training[start : start + len(X)]
        for i, rows in enumerate((X[chosen], X[~chosen])):
            filled[i][n_filled[i] : n_filled[i] + len(rows)] = rows
            n_filled[i] += len(rows)
    return filled[0], filled[1]


def _empty(
    shape: tuple[int, int], dtype: np.dtype, streamed: bool, scratch: str | os.PathLike[str] | None
) -> np.ndarray:
    """Return an array to fill, in memory or in an unnamed temporary file that vanishes with it."""
    if not streamed or math.prod(shape) * dtype.itemsize <= IN_MEMORY_BYTES:
        return np.empty(shape, dtype)
    try:
        with tempfile.TemporaryFile(dir=scratch) as file:
            os.posix_fallocate(file.fileno(), 0, math.prod(shape) * dtype.itemsize)
            return np.memmap(file, dtype, "r+", shape=shape)
    except OSError as error:
        raise DataError(
            f"{math.prod(shape) * dtype.itemsize / 1e9:.1f} GB of temporary files do not fit into "
            f"{scratch or tempfile.gettempdir()}: {error.strerror}"
        ) from None
