"""Class labels as numbers for the network, and the network's outputs as class labels."""

from typing import Any

import numpy as np
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.multiclass import type_of_target, unique_labels

BINARY, MULTICLASS, MULTILABEL = "binary", "multiclass", "multilabel-indicator"

QUICK_KINDS = "iub"
"""Kinds of arrays of labels that need no look at every element: integers and booleans."""


class Labels:
    """The classes of a classifier, and how they become targets.

    Attributes
    ----------
    kind : {"binary", "multiclass", "multilabel-indicator"}
    classes : ndarray
        In ascending order.
    is_sparse : bool
        Whether predictions of several labels are sparse matrices, as the labels were.
    """

    def __init__(self, kind: str, classes: np.ndarray, is_sparse: bool = False):
        self.kind, self.classes, self.is_sparse = kind, classes, is_sparse
        is_numbered = kind == MULTICLASS and classes.dtype.kind in "iu"
        self._are_numbers = is_numbered and classes.item(0) == 0 and classes.item(-1) == len(classes) - 1

    @classmethod
    def of(cls, y: Any) -> "Labels":
        """Return those of a training set, or raise what scikit-learn's LabelBinarizer raises.

        Examples
        --------
        >>> labels = Labels.of(np.array(["b", "a", "c"]))
        >>> labels.kind, labels.encode(np.array(["c", "b"])).tolist()
        ('multiclass', [2, 1])
        """
        if is_quick(y):
            classes = distinct(y)
            return cls(BINARY if len(classes) <= 2 else MULTICLASS, classes)
        binarizer = LabelBinarizer().fit(y)
        return cls(binarizer.y_type_, binarizer.classes_, binarizer.sparse_input_)

    @property
    def n_outputs(self) -> int:
        """Outputs of the network."""
        return 1 if self.kind == BINARY else len(self.classes)

    def encode(self, y: Any) -> np.ndarray:
        """Return class numbers of several classes, else a matrix with a 0 or 1 for each output.

        All labels of y are among the classes.

        Raises
        ------
        ValueError
            If y has another number of labels a sample.
        """
        if self.kind == MULTILABEL and y.ndim == 1:
            return y[:, None] == self.classes
        if self.kind == MULTILABEL:
            matrix = y.toarray() if hasattr(y, "toarray") else np.asarray(y)
            if matrix.shape[1] != len(self.classes):
                raise ValueError(
                    f"y has {matrix.shape[1]} labels a sample, and there are {len(self.classes)}"
                )
            return matrix != 0
        if y.ndim == 2:
            raise ValueError(f"y has {y.shape[1]} labels a sample, and the estimator was fitted with one")
        if self._are_numbers and y.dtype.kind in "iu":
            return y
        numbers = self.classes.searchsorted(y)
        return numbers if self.kind == MULTICLASS else (numbers == 1).reshape(-1, 1)

    def named(self, y: np.ndarray) -> np.ndarray:
        """Return labels as the user gives them, from what `encode` returned."""
        if self.kind == MULTILABEL:
            return y.astype(int)
        numbers = y if self.kind == MULTICLASS else y.ravel().astype(int)
        return self.classes.take(numbers)

    def decode(self, outputs: np.ndarray) -> Any:
        """Return the labels that the network's outputs say."""
        if self.kind == MULTICLASS:
            return self.classes.take(outputs.argmax(axis=1))
        if self.kind == MULTILABEL:
            chosen = (outputs > 0.5).astype(int)
            return _as_csr(chosen) if self.is_sparse else chosen
        if len(self.classes) == 1:
            return np.repeat(self.classes, len(outputs))
        return self.classes.take(outputs.ravel() > 0.5)

    def check_same(self, y: Any) -> None:
        """Raise `ValueError` unless y has exactly the classes of the fit before."""
        if is_quick(y) and np.array_equal(distinct(y), self.classes):
            return
        found = unique_labels(y)
        if set(found) != set(self.classes):
            raise ValueError(
                f"with warm_start=True, y must have the classes of the previous call to fit: it has {found}, "
                f"and they are {self.classes}"
            )

    def check_known(self, y: Any) -> None:
        """Raise `ValueError` if y has a class that is not among those of the first fit."""
        if is_quick(y) and self.kind != MULTILABEL:
            places = np.searchsorted(self.classes, y)
            if (self.classes.take(places, mode="clip") == y).all():
                return
        found = unique_labels(y)
        if len(np.setdiff1d(found, self.classes, assume_unique=True)):
            raise ValueError(
                f"`y` has classes not in `self.classes_`: it has {found}, and `self.classes_` has "
                f"{self.classes}"
            )


def distinct(y: np.ndarray) -> np.ndarray:
    """Return what `numpy.unique` returns, which takes 20 us or more: integers that are near are counted.

    Examples
    --------
    >>> distinct(np.array([7, -2, 7, 3]))
    array([-2,  3,  7])
    """
    if y.dtype == np.int64:
        unsigned = y.view(np.uint64)  # negative numbers are large ones without a sign
        if unsigned.item(unsigned.argmax()) <= 4 * y.size:
            return np.bincount(y).nonzero()[0]
        lowest = int(y.min())
        if int(y.max()) - lowest <= 4 * y.size:
            return np.bincount(y - lowest).nonzero()[0] + lowest
    return np.unique(y)


def is_quick(y: Any) -> bool:
    """Whether y is an array of integers or booleans in one dimension."""
    return type(y) is np.ndarray and y.ndim == 1 and y.dtype.kind in QUICK_KINDS and y.size > 0


def is_multilabel(y: Any) -> bool:
    """Whether y has several labels a sample."""
    return type_of_target(y).startswith("multilabel")


def _as_csr(matrix: np.ndarray) -> Any:
    from scipy.sparse import csr_matrix

    return csr_matrix(matrix)
