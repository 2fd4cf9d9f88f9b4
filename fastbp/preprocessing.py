"""What a network's inputs and outputs mean: the columns of a table, and how they become numbers.

A column of numbers becomes one input: ``(value - mean) / scale`` or the value itself. A column of text
becomes one input for each category: 1 for the category of the value, 0 for the others. A column of dates
becomes a number of days, or sines and cosines. The target is a class, with one output for each class, or a
number, ``mean + scale * output``. Several targets have an output each: all are numbers, or each is one of two
labels. The model file holds all of this, so `fastbp predict` needs nothing else.
`fastbp.data` determines means, scales and categories, and applies them to files.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from fastbp.errors import DataError, ShapeError
from fastbp.reading import Reading, Spelling

MISSING = ("error", "mean", "median", "indicator")
"""What may be done with a missing input. It is an error, or becomes the column's mean or median. "indicator"
is the mean, and a further input that is 1 where the value is missing. Except under "error", a missing text is
a category of its own."""

DATE_PARTS = ("days", "year", "week", "day")
"""What a column of dates becomes: days since 1970; a sine and a cosine of the place in year, week and day."""


@dataclass(frozen=True)
class NumberColumn:
    """A column of numbers.

    Attributes
    ----------
    name : str
    mean : float
        Mean of the training samples.
    scale : float
        Standard deviation of the training samples; 1 if all are equal.
    fill : float, optional
        What replaces a missing value, if missing values are allowed; by default the mean.
    indicator : bool
        Whether a further input is 1 where the value is missing.
    spelling : Spelling, optional
        How text files write the numbers, if not as Python does.
    """

    name: str
    mean: float
    scale: float
    fill: float | None = None
    indicator: bool = False
    spelling: Spelling | None = None

    @property
    def input_names(self) -> list[str]:
        """A name for each input that the column becomes."""
        return [self.name, f"{self.name}=missing"] if self.indicator else [self.name]


@dataclass(frozen=True)
class TextColumn:
    """A column of text, or of categories.

    Attributes
    ----------
    name : str
    categories : tuple of str
        In ascending order, which is also the order of the inputs.
    has_missing : bool
        Whether a missing text is a further category, the last.
    """

    name: str
    categories: tuple[str, ...]
    has_missing: bool = False

    @property
    def input_names(self) -> list[str]:
        """A name for each input that the column becomes."""
        names = [f"{self.name}={category}" for category in self.categories]
        return [*names, f"{self.name}=missing"] if self.has_missing else names


@dataclass(frozen=True)
class DateColumn:
    """A column of dates, times, or both.

    Attributes
    ----------
    name : str
    parts : tuple of {"days", "year", "week", "day"}
        What it becomes: see `DATE_PARTS`.
    mean, scale : float
        Of the days since 1970, in the training samples.
    format : str
        How text files write the dates; "" if the training data had no text.
    indicator : bool
        Whether a further input is 1 where the date is missing.
    """

    name: str
    parts: tuple[str, ...]
    mean: float
    scale: float
    format: str = ""
    indicator: bool = False

    @property
    def input_names(self) -> list[str]:
        """A name for each input that the column becomes."""
        names = []
        for part in self.parts:
            names += ["days"] if part == "days" else [f"sin({part})", f"cos({part})"]
        return [f"{self.name}:{name}" for name in names] + [f"{self.name}=missing"] * self.indicator


Column = NumberColumn | TextColumn | DateColumn


@dataclass(frozen=True)
class ClassTarget:
    """The target of a classifier: one output for each label, in ascending order.

    Attributes
    ----------
    name : str
    labels : tuple of str, int, bool or float
    written : tuple of str
        How text files write false and true, if the labels are booleans and they write them in capitals.
    """

    name: str
    labels: tuple[str, ...] | tuple[int, ...] | tuple[bool, ...] | tuple[float, ...]
    written: tuple[str, ...] = ()

    def chosen(self, codes: np.ndarray) -> np.ndarray:
        """Return the labels of these codes."""
        # Objects: in an array of strings, each takes the memory of the longest.
        return np.array(self.labels, object if isinstance(self.labels[0], str) else None)[codes]


@dataclass(frozen=True)
class NumberTarget:
    """The target of a regression with one output: ``mean + scale * output``.

    Attributes
    ----------
    name : str
    mean, scale : float
    spelling : Spelling, optional
        How text files write the numbers, if not as Python does.
    """

    name: str
    mean: float
    scale: float
    spelling: Spelling | None = None

    def in_units(self, output: np.ndarray) -> np.ndarray:
        """Return outputs of the network in the unit of the target."""
        return self.mean + self.scale * output.astype(np.float64)


@dataclass(frozen=True)
class SeveralTargets:
    """Targets that one network learns together, with an output each: all numbers, or all of two labels."""

    targets: tuple[ClassTarget | NumberTarget, ...]

    @property
    def name(self) -> str:
        """Their names, with commas between."""
        return ", ".join(target.name for target in self.targets)


Target = ClassTarget | NumberTarget | SeveralTargets


@dataclass(frozen=True)
class Preprocessing:
    """How the columns of a table become inputs, and outputs predictions.

    Attributes
    ----------
    columns : tuple of NumberColumn, TextColumn and DateColumn
        In the order of the inputs.
    target : ClassTarget, NumberTarget or SeveralTargets
    standardize : bool
        Whether numbers are standardised, or given to the network as they are.
    missing : {"error", "mean", "median", "indicator"}
        How a missing value is treated: see `MISSING`.
    reading : Reading
        How the training file was read, as far as it was said.
    kept : tuple of str
        Columns that go through to the predictions, as they are.
    ignored : tuple of str
        Other columns of the training data that the network does not take.

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

    columns: tuple[Column, ...]
    target: Target
    standardize: bool = True
    missing: str = "error"
    reading: Reading = Reading()
    kept: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    @property
    def targets(self) -> tuple[ClassTarget | NumberTarget, ...]:
        """The targets, be it one or several."""
        return self.target.targets if isinstance(self.target, SeveralTargets) else (self.target,)

    @property
    def scales_targets(self) -> bool:
        """Whether the network learns standardised numbers, so that its loss is not in the targets' units."""
        return self.standardize and not self.is_of_classes

    @property
    def is_of_classes(self) -> bool:
        """Whether labels are predicted, and not numbers."""
        return isinstance(self.targets[0], ClassTarget)

    @cached_property
    def passes_through(self) -> bool:
        """Whether inputs are the values of the columns, as they are."""
        return not self.standardize and all(type(column) is NumberColumn for column in self.columns)

    @property
    def input_names(self) -> list[str]:
        """A name for each input of the network."""
        return [name for column in self.columns for name in column.input_names]

    @property
    def n_inputs(self) -> int:
        """How many inputs the network has."""
        return sum(len(column.input_names) for column in self.columns)

    @property
    def n_outputs(self) -> int:
        """How many outputs the network has."""
        return len(self.target.labels) if isinstance(self.target, ClassTarget) else len(self.targets)

    @np.errstate(all="ignore")
    def decode(self, outputs: Any) -> np.ndarray:
        """Return the predictions, from the network's outputs.

        Parameters
        ----------
        outputs : array_like, shape (n_samples, n_outputs)

        Returns
        -------
        ndarray, shape (n_samples,), or (n_samples, n_targets) for several targets
            The label of the largest output of each sample; or numbers, in the unit of the target. Of several
            targets of two labels, the second one where the output is at least 1/2.
        """
        outputs = np.asarray(outputs)
        if isinstance(self.target, ClassTarget):
            return self.target.chosen(outputs.argmax(axis=1))
        columns = [
            target.chosen((output >= 0.5).astype(int))
            if isinstance(target, ClassTarget)
            else target.in_units(output)
            for target, output in zip(self.targets, outputs.T, strict=True)
        ]
        if not isinstance(self.target, SeveralTargets):
            return columns[0]
        if len({column.dtype for column in columns}) > 1:
            columns = [column.astype(object) for column in columns]
        return np.stack(columns, axis=1)

    def check_network(self, n_inputs: int, n_outputs: int) -> None:
        """Raise `ShapeError` unless the network has the right numbers of inputs and outputs."""
        if (n_inputs, n_outputs) != (self.n_inputs, self.n_outputs):
            raise ShapeError(
                f"the preprocessing has {self.n_inputs} inputs and {self.n_outputs} outputs, and the network "
                f"{n_inputs} and {n_outputs}"
            )

    def as_document(self) -> dict[str, Any]:
        """Return the preprocessing as JSON values; `from_document` is the inverse."""
        several = isinstance(self.target, SeveralTargets)
        optional = {"reading": self.reading.as_document(), "kept": self.kept, "ignored": self.ignored}
        return {
            "columns": [_plain(column) for column in self.columns],
            "target": [_plain(target) for target in self.targets] if several else _plain(self.target),
            "standardize": bool(self.standardize),
            "missing": self.missing,
        } | {name: value for name, value in optional.items() if value}

    @classmethod
    def from_document(cls, document: Any) -> "Preprocessing":
        """Return the preprocessing that a document describes. The document need not be trusted.

        Raises
        ------
        DataError
            If it is not what `as_document` returns.
        """
        columns, target, standardize, missing, reading, kept, ignored = _values(
            document,
            "the preprocessing",
            ("columns", "target", "standardize", "missing"),
            ("reading", "kept", "ignored"),
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
        form = Reading() if reading is None else Reading.from_document(reading)
        return cls(made, _targets(target), standardize, missing, form, _names(kept), _names(ignored))


def _plain(part: Any) -> dict[str, Any]:
    """Return what differs from its default as JSON values, with Python's own numbers instead of NumPy's."""

    def item(value: Any) -> Any:
        """Return a value as JSON has it."""
        if isinstance(value, Spelling):
            return value.as_document()
        if isinstance(value, tuple):
            return tuple(map(item, value))
        return value.item() if isinstance(value, np.generic) else value

    return {
        field.name: item(getattr(part, field.name))
        for field in fields(part)
        if getattr(part, field.name) != field.default
    }


def _column(document: Any) -> Column:
    if isinstance(document, dict) and "categories" in document:
        name, categories, has_missing = _values(
            document, "a text column", ("name", "categories"), ("has_missing",)
        )
        return TextColumn(_name(name), _distinct("categories", categories, (str,)), _flag(has_missing))
    if isinstance(document, dict) and "parts" in document:
        return _date_column(document)
    name, mean, scale, fill, indicator, spelling = _values(
        document, "a number column", ("name", "mean", "scale"), ("fill", "indicator", "spelling")
    )
    mean, scale = _mean_and_scale(f"column {name!r}", mean, scale)
    if fill is not None:
        fill, _ = _mean_and_scale(f"the filling of column {name!r}", fill, 1.0)
    return NumberColumn(_name(name), mean, scale, fill, _flag(indicator), _spelling(spelling))


def _date_column(document: Any) -> DateColumn:
    name, parts, mean, scale, format, indicator = _values(
        document, "a column of dates", ("name", "parts", "mean", "scale"), ("format", "indicator")
    )
    parts = _distinct("parts", parts, (str,))
    if not set(parts) <= set(DATE_PARTS) or not isinstance(format or "", str):
        raise DataError(
            f"the parts of a date may be {', '.join(DATE_PARTS)}, and its format must be a string"
        )
    mean, scale = _mean_and_scale(f"column {name!r}", mean, scale)
    return DateColumn(_name(name), parts, mean, scale, format or "", _flag(indicator))


def _targets(document: Any) -> Target:
    if not isinstance(document, list):
        return _target(document)
    targets = tuple(_target(one) for one in document)
    if len(targets) < 2 or len({target.name for target in targets}) < len(targets):
        raise DataError("several targets must be two or more, of different names")
    if len({type(target) for target in targets}) > 1 or any(
        isinstance(target, ClassTarget) and len(target.labels) != 2 for target in targets
    ):
        raise DataError("several targets must all be numbers, or all have two labels")
    return SeveralTargets(targets)


def _target(document: Any) -> ClassTarget | NumberTarget:
    if isinstance(document, dict) and "labels" in document:
        name, labels, written = _values(document, "the target", ("name", "labels"), ("written",))
        written = () if written is None else _distinct("written", written, (str,))
        if len(written) not in (0, 2):
            raise DataError("written must be two texts, for false and true")
        return ClassTarget(_name(name), _distinct("labels", labels, (str, int, bool, float)), written)
    name, mean, scale, spelling = _values(document, "the target", ("name", "mean", "scale"), ("spelling",))
    mean, scale = _mean_and_scale(f"the target {name!r}", mean, scale)
    return NumberTarget(_name(name), mean, scale, _spelling(spelling))


def _values(document: Any, what: str, keys: Sequence[str], optional: Sequence[str] = ()) -> list[Any]:
    """Return the values of keys; an optional key that is not there has None."""
    found = set(document) if isinstance(document, dict) else set()
    if not set(keys) <= found or not found <= {*keys, *optional}:
        raise DataError(f"{what} must have {', '.join(keys)}, and nothing else")
    return [document.get(key) for key in (*keys, *optional)]


def _flag(value: Any) -> bool:
    if value is not None and not isinstance(value, bool):
        raise DataError("has_missing and indicator must be true or false")
    return bool(value)


def _spelling(document: Any) -> Spelling | None:
    return None if document is None else Spelling.from_document(document)


def _name(name: Any) -> str:
    if not isinstance(name, str):
        raise DataError("the name of a column must be a string")
    return name


def _names(names: Any) -> tuple[str, ...]:
    if names is not None and not isinstance(names, list | tuple):
        raise DataError("kept and ignored must be lists of names")
    return tuple(_name(name) for name in names or ())


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
    if int in kinds and not all(-(2**63) <= value < 2**64 for value in values):
        raise DataError(f"{what} must be integers of 64 bits")
    if float in kinds and not all(abs(value) < 1e300 for value in values):
        raise DataError(f"{what} must be finite numbers")
    return tuple(values)
