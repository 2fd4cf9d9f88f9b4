"""What a network's inputs and outputs mean: the columns of a table, and how they become numbers.

A column of numbers becomes one input: ``(value - mean) / scale`` or the value itself. A column of text
becomes one input for each category: 1 for the category of the value, 0 for the others. The target is a class,
with one output for each class, or a number, ``mean + scale * output``. The model file holds all of this, so
`fastbp predict` needs nothing else. `fastbp.data` determines means, scales and categories, and applies them
to files.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fastbp.errors import DataError, ShapeError

MISSING = ("error", "mean")


@dataclass(frozen=True)
class NumberColumn:
    """A column of numbers.

    Attributes
    ----------
    name : str
    mean : float
        Mean of the training samples. It replaces a missing value, if missing values are allowed.
    scale : float
        Standard deviation of the training samples; 1 if all are equal.
    """

    name: str
    mean: float
    scale: float


@dataclass(frozen=True)
class TextColumn:
    """A column of text, or of categories.

    Attributes
    ----------
    name : str
    categories : tuple of str
        In ascending order, which is also the order of the inputs.
    """

    name: str
    categories: tuple[str, ...]


@dataclass(frozen=True)
class ClassTarget:
    """The target of a classifier: one output for each label, in ascending order."""

    name: str
    labels: tuple[str, ...] | tuple[int, ...] | tuple[bool, ...]


@dataclass(frozen=True)
class NumberTarget:
    """The target of a regression with one output: ``mean + scale * output``."""

    name: str
    mean: float
    scale: float


@dataclass(frozen=True)
class Preprocessing:
    """How the columns of a table become inputs, and outputs predictions.

    Attributes
    ----------
    columns : tuple of NumberColumn and TextColumn
        In the order of the inputs.
    target : ClassTarget or NumberTarget
    standardize : bool
        Whether numbers are standardised, or given to the network as they are.
    missing : {"error", "mean"}
        How a missing value is treated: as an error, or as the column's mean (for text, as no category).

    Examples
    --------
    >>> preprocessing = Preprocessing(
    ...     (NumberColumn("length", 5.8, 0.8), TextColumn("colour", ("blue", "red"))),
    ...     ClassTarget("species", ("setosa", "virginica")),
    ... )
    >>> preprocessing.input_names, preprocessing.n_outputs
    (['length', 'colour=blue', 'colour=red'], 2)
    >>> preprocessing.decode([[0.9, 0.1], [0.2, 0.8]]).tolist()
    ['setosa', 'virginica']
    >>> Preprocessing.from_document(preprocessing.as_document()) == preprocessing
    True
    """

    columns: tuple[NumberColumn | TextColumn, ...]
    target: ClassTarget | NumberTarget
    standardize: bool = True
    missing: str = "error"

    @property
    def input_names(self) -> list[str]:
        """A name for each input of the network."""
        return [
            name
            for column in self.columns
            for name in (
                [f"{column.name}={category}" for category in column.categories]
                if isinstance(column, TextColumn)
                else [column.name]
            )
        ]

    @property
    def n_inputs(self) -> int:
        """How many inputs the network has."""
        return sum(len(column.categories) if isinstance(column, TextColumn) else 1 for column in self.columns)

    @property
    def n_outputs(self) -> int:
        """How many outputs the network has."""
        return len(self.target.labels) if isinstance(self.target, ClassTarget) else 1

    @np.errstate(all="ignore")
    def decode(self, outputs: Any) -> np.ndarray:
        """Return the predictions, from the network's outputs.

        Parameters
        ----------
        outputs : array_like, shape (n_samples, n_outputs)

        Returns
        -------
        ndarray, shape (n_samples,)
            The label of the largest output of each sample; or numbers, in the unit of the target.
        """
        outputs = np.asarray(outputs)
        if isinstance(self.target, ClassTarget):
            labels = self.target.labels
            # Objects: in an array of strings, each takes the memory of the longest.
            array = np.array(labels, object if isinstance(labels[0], str) else None)
            return array[outputs.argmax(axis=1)]
        return self.target.mean + self.target.scale * outputs[:, 0].astype(np.float64)

    def check_network(self, n_inputs: int, n_outputs: int) -> None:
        """Raise `ShapeError` unless the network has the right numbers of inputs and outputs."""
        if (n_inputs, n_outputs) != (self.n_inputs, self.n_outputs):
            raise ShapeError(
                f"the preprocessing has {self.n_inputs} inputs and {self.n_outputs} outputs, and the network "
                f"{n_inputs} and {n_outputs}"
            )

    def as_document(self) -> dict[str, Any]:
        """Return the preprocessing as JSON values; `from_document` is the inverse."""
        return {
            "columns": [asdict(column, dict_factory=_plain) for column in self.columns],
            "target": asdict(self.target, dict_factory=_plain),
            "standardize": bool(self.standardize),
            "missing": self.missing,
        }

    @classmethod
    def from_document(cls, document: Any) -> "Preprocessing":
        """Return the preprocessing that a document describes. The document need not be trusted.

        Raises
        ------
        DataError
            If it is not what `as_document` returns.
        """
        columns, target, standardize, missing = _values(
            document, "the preprocessing", ("columns", "target", "standardize", "missing")
        )
        if not isinstance(columns, list) or not columns:
            raise DataError("the preprocessing must have a list of columns")
        if not isinstance(standardize, bool) or missing not in MISSING:
            raise DataError(
                f"the preprocessing's standardize must be true or false, its missing one of {MISSING}"
            )
        made = tuple(_column(column) for column in columns)
        names = [column.name for column in made]
        if len(set(names)) < len(names):
            raise DataError("the preprocessing names a column twice")
        return cls(made, _target(target), standardize, missing)


def _plain(fields: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return the fields of a dataclass, with Python's own values instead of NumPy's."""

    def item(value: Any) -> Any:
        return value.item() if isinstance(value, np.generic) else value

    return {
        name: tuple(map(item, value)) if isinstance(value, tuple) else item(value) for name, value in fields
    }


def _column(document: Any) -> NumberColumn | TextColumn:
    if isinstance(document, dict) and "categories" in document:
        name, categories = _values(document, "a text column", ("name", "categories"))
        return TextColumn(_name(name), _distinct("categories", categories, (str,)))
    name, mean, scale = _values(document, "a number column", ("name", "mean", "scale"))
    return NumberColumn(_name(name), *_mean_and_scale(f"column {name!r}", mean, scale))


def _target(document: Any) -> ClassTarget | NumberTarget:
    if isinstance(document, dict) and "labels" in document:
        name, labels = _values(document, "the target", ("name", "labels"))
        return ClassTarget(_name(name), _distinct("labels", labels, (str, int, bool)))
    name, mean, scale = _values(document, "the target", ("name", "mean", "scale"))
    return NumberTarget(_name(name), *_mean_and_scale(f"the target {name!r}", mean, scale))


def _values(document: Any, what: str, keys: Sequence[str]) -> list[Any]:
    if not isinstance(document, dict) or set(document) != set(keys):
        raise DataError(f"{what} must have {', '.join(keys)}, and nothing else")
    return [document[key] for key in keys]


def _name(name: Any) -> str:
    if not isinstance(name, str):
        raise DataError("the name of a column must be a string")
    return name


def _mean_and_scale(what: str, mean: Any, scale: Any) -> tuple[float, float]:
    numbers = all(type(number) in (int, float) and abs(number) < 1e300 for number in (mean, scale))
    if not numbers or not scale > 0:
        raise DataError(f"{what} must have a finite number as its mean, and one above 0 as its scale")
    return float(mean), float(scale)


def _distinct(what: str, values: Any, types: tuple[type, ...]) -> tuple[Any, ...]:
    """Return a list of distinct values of one of the types as a tuple."""
    kinds = {type(value) for value in values} if isinstance(values, list | tuple) else set()
    if len(kinds) != 1 or not kinds <= set(types) or len(set(values)) < len(values):
        raise DataError(f"{what} must be a list of different values of one kind")
    if int in kinds and not all(-(2**63) <= value < 2**63 for value in values):
        raise DataError(f"{what} must be integers of 64 bits")
    return tuple(values)
