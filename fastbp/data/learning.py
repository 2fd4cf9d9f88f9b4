"""What is learned from a table: its targets, the weights of its rows, and which rows are held out."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbp.checks import check_batch_weights
from fastbp.data.cache import cached_table
from fastbp.data.frames import as_frame, as_series, is_frame
from fastbp.data.meanings import meaning_of
from fastbp.data.reopening import read_for, with_missing
from fastbp.data.table_file import Table, read_table
from fastbp.data.target_column import encode_target, fit_target, missing_in
from fastbp.data.text_form import listed
from fastbp.data.values import codes_of, numbers
from fastbp.errors import DataError, OptionError, as_option, check_number, check_seed, nearest, shown
from fastbp.preprocessing import ClassTarget, NumberTarget, Preprocessing, SeveralTargets, Target
from fastbp.reading import Reading

if TYPE_CHECKING:
    import polars as pl

Values = list[np.ndarray]
"""The values of each target: codes of classes, or numbers."""


# --- columns that are named, or given as values ----------------------------------------------------------


def open_table(
    source: Any,
    form: Reading,
    target: Any,
    sample_weight: Any,
    cache: bool | str | os.PathLike[str] = False,
) -> tuple[Table, list[str], str | None]:
    """Return the table to learn from, and the names of its targets and of its weights.

    Targets and weights may be columns of the table, or values, which then become columns.
    """
    if target is None:
        raise OptionError("target is None, and must name the column to learn, or hold its values")
    if isinstance(source, str | os.PathLike):
        for name, value in (("target", target), ("sample_weight", sample_weight)):
            if value is not None and not _names_columns(value):
                raise OptionError(f"{as_option(name)} is {shown(value)}, and must name columns of {source}")
        wanted = [name for name in _as_list(target) if isinstance(name, str) and not _is_position(name)]
        labels = [str(name) for name in _as_list(target)]
        if cache is False:
            table = read_table(source, form, wanted=wanted, labels=labels)
        else:
            table = cached_table(source, form, cache, wanted, labels)
    else:
        frame, named = as_frame(source)
        frame, target = _with_values(frame, named, "target", target)
        frame, sample_weight = _with_values(frame, named, "sample_weight", sample_weight)
        _check_one_weight(sample_weight, len(frame))
        table = replace(read_table(frame, form), named=named)
    names = [table.names[table.find("target", column)] for column in _as_list(target)]
    twice = [name for i, name in enumerate(names) if name in names[:i]]
    if twice:
        raise OptionError(f"{as_option('target')} names the column {twice[0]!r} twice")
    if not names:
        raise OptionError(f"{as_option('target')} is {shown(target)}, and must name one column or several")
    weight = None if sample_weight is None else table.names[table.find("sample_weight", sample_weight)]
    return table, names, weight


def open_known(
    preprocessing: Preprocessing,
    source: Any,
    target: Any = None,
    sample_weight: Any = None,
    **reading: Any,
) -> tuple[Table, str | None]:
    """Return a table for a network that has a preprocessing, and the name of its weights.

    Targets and weights may be values, if the source is not a file.
    """
    names = [one.name for one in preprocessing.targets]
    if isinstance(source, str | os.PathLike):
        table = read_for(preprocessing, source, **reading)
        _check_same_target(table, names, target)
    else:
        frame, named = as_frame(source)
        if not (target is None or isinstance(target, str) or _names_one_of(frame, False, target)):
            frame, given = _with_values(frame.drop(names, strict=False), False, "target", target)
            given = _as_list(given)
            if len(given) != len(names):
                raise DataError(f"target has {len(given)} columns, and the model has {len(names)} targets")
            frame, target = frame.rename(dict(zip(given, names, strict=True))), None
        frame, sample_weight = _with_values(frame, named, "sample_weight", sample_weight)
        _check_one_weight(sample_weight, len(frame))
        table = replace(read_for(preprocessing, frame, **reading), named=named)
        _check_same_target(table, names, target)
    return table, None if sample_weight is None else table.names[table.find("sample_weight", sample_weight)]


def gone_on_with(preprocessing: Preprocessing, missing: str, **given: Any) -> Preprocessing:
    """Return the preprocessing of a network to go on with, under this policy for missing values if it is one.

    Raises
    ------
    OptionError
        If anything else is given of what the network has.
    """
    for name, value in given.items():
        if value not in (None, True, (), []):
            raise OptionError(
                f"{as_option(name, None if value else value)} is given, and the model to go on with has its "
                "own; leave it out"
            )
    return with_missing(preprocessing, None if missing == "error" else missing)


def _check_one_weight(sample_weight: Any, n_rows: int) -> None:
    if isinstance(sample_weight, list | tuple):
        raise OptionError(
            f"sample_weight is {shown(sample_weight)}, and must name a column or hold a weight for each of "
            f"the {n_rows:,} rows"
        )


def _check_same_target(table: Table, names: list[str], target: Any) -> None:
    if target is None:
        return
    given = [table.names[table.find("target", column)] for column in _as_list(target)]
    if given != names:
        raise OptionError(
            f"{as_option('target')} is {shown(target)}, and the model to go on with learns {listed(names)}"
        )


def _as_list(columns: Any) -> list[Any]:
    return list(columns) if isinstance(columns, list | tuple) else [columns]


def _is_position(text: str) -> bool:
    return text.lstrip("-").isdigit()


def _names_columns(value: Any) -> bool:
    return all(isinstance(name, str | int) and not isinstance(name, bool) for name in _as_list(value))


def _with_values(frame: "pl.DataFrame", named: bool, argument: str, value: Any) -> tuple["pl.DataFrame", Any]:
    """Return the frame with the values as columns, if they are values, and the names of the columns."""
    if value is None or isinstance(value, str) or _names_one_of(frame, named, value):
        return frame, value
    columns: list[pl.Series]
    if is_frame(value):
        columns = list(as_frame(value)[0])
    else:
        name = getattr(value, "name", None)
        array = value if hasattr(value, "iloc") or not hasattr(value, "__array__") else np.asarray(value)
        if isinstance(array, np.ndarray) and array.ndim == 2 and array.shape[1] > 1:
            columns = list(as_frame(array)[0])
            columns = [column.alias(f"y{i}") for i, column in enumerate(columns)]
        else:
            array = array[:, 0] if isinstance(array, np.ndarray) and array.ndim == 2 else array
            if isinstance(array, list | tuple) and array and all(_is_single(item) for item in array):
                array = [item[0] for item in array]
            columns = [as_series(name if isinstance(name, str) and name else argument, array)]
    for i, column in enumerate(columns):
        if len(column) != len(frame):
            raise DataError(f"{argument} has {len(column):,} values, and the data has {len(frame):,} rows")
        name = column.name
        while name in frame.columns:
            name = f"{name}_"
        columns[i] = column.alias(name)
        frame = frame.with_columns(columns[i])
    names = [column.name for column in columns]
    return frame, names if len(names) > 1 else names[0]


def _is_single(item: Any) -> bool:
    return isinstance(item, list | tuple) and len(item) == 1


def _names_one_of(frame: "pl.DataFrame", named: bool, value: Any) -> bool:
    """Whether a value that is not a string names columns, and is not a column itself."""
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return True
    if not isinstance(value, list | tuple) or not value or not _names_columns(value):
        return False
    if all(isinstance(name, str) and name in frame.columns for name in value):
        return True
    return named and len(value) != len(frame)


# --- targets ---------------------------------------------------------------------------------------------


def with_targets(table: Table, name: str) -> Table:
    """Return the rows that have a target."""
    absent = missing_in(table.column(name))
    if not absent.any():
        return table
    if absent.all():
        raise DataError(f"the target {name!r} of {table.path} is missing in every row")
    n_absent = int(absent.sum())
    left_out = "1 row without a target is" if n_absent == 1 else f"{n_absent:,} rows without a target are"
    kept = table.rows(np.flatnonzero(~absent))
    kept.remarks.append(f"{left_out} left out")
    return kept


def fit_targets(table: Table, names: Sequence[str], task: str | None) -> tuple[Target, Values, list[str]]:
    """Return what the targets are, their values, and remarks about them."""
    found = [fit_target(table, name, task) for name in names]
    if len(found) > 1 and len({type(target) for target, _, _ in found}) > 1:
        # A few whole numbers beside other numbers are numbers, too; text is not.
        numbers_ = next(one for one, _, _ in found if isinstance(one, NumberTarget))
        for one, _, _ in found:
            if isinstance(one, ClassTarget) and any(isinstance(label, str) for label in one.labels):
                raise DataError(
                    f"the target {one.name!r} of {table.path} is classes, such as {one.labels[0]!r}, and "
                    f"{numbers_.name!r} is numbers; targets that are learned together are of one kind"
                )
        found = [fit_target(table, name, "regression") for name in names]
    targets = tuple(target for target, _, _ in found)
    values, remarks = [values for _, values, _ in found], [remark for _, _, more in found for remark in more]
    if len(targets) == 1:
        return targets[0], values, remarks
    for target in targets:
        if isinstance(target, ClassTarget) and len(target.labels) != 2:
            numeric = all(isinstance(label, int | float) for label in target.labels)
            hint = f"; {as_option('task', 'regression')} takes them for numbers" if numeric else ""
            raise DataError(
                f"{target.name!r} has {len(target.labels)} classes, and targets that are learned together "
                f"have two each, or are numbers: learn it alone{hint}"
            )
    return SeveralTargets(targets), values, remarks


def with_scales(
    table: Table, target: Target, values: Values, training: np.ndarray, standardize: bool
) -> Target:
    """Return a target whose numbers are standardised by the training rows, if so; refuse what cannot be."""
    if isinstance(target, SeveralTargets):
        pairs = zip(target.targets, values, strict=True)
        return SeveralTargets(
            tuple(_with_scale(table, one, column, training, standardize) for one, column in pairs)
        )
    return _with_scale(table, target, values[0], training, standardize)


def _with_scale(
    table: Table,
    target: ClassTarget | NumberTarget,
    values: np.ndarray,
    training: np.ndarray,
    standardize: bool,
) -> ClassTarget | NumberTarget:
    if isinstance(target, ClassTarget):
        return target
    known = values[training]
    mean, scale = float(known.mean()), float(known.std())
    if known.min() == known.max():
        raise DataError(f"the target {target.name!r} of {table.path} is {known[0]:g} in every row")
    if not (1e-150 < scale < 1e150 and abs(mean) < 1e150):
        raise DataError(
            f"the target {target.name!r} of {table.path} has values from {known.min():g} to "
            f"{known.max():g}, whose squares double precision does not hold; give it another unit"
        )
    return replace(target, mean=mean, scale=scale) if standardize else target


def known_values(table: Table, preprocessing: Preprocessing) -> Values:
    """Return the values of targets that a model knows."""
    for target in preprocessing.targets:
        if target.name not in table.names:
            raise DataError(
                f"{table.path} has no column {target.name!r}, which is the target; it has the columns "
                f"{listed(table.names)}{nearest(target.name, table.names)}"
            )
    return [encode_target(table, target) for target in preprocessing.targets]


def as_targets(target: Target, values: Values, dtype: np.dtype) -> np.ndarray:
    """Return Y: labels, shape (n_samples,); or standardised numbers, or 0 and 1, a column a target."""
    if isinstance(target, ClassTarget):
        return values[0]
    targets = target.targets if isinstance(target, SeveralTargets) else (target,)
    columns = [
        (column - one.mean) / one.scale if isinstance(one, NumberTarget) else column
        for one, column in zip(targets, values, strict=True)
    ]
    return np.stack(columns, axis=1).astype(dtype)


# --- rows ------------------------------------------------------------------------------------------------


def groups(
    table: Table, target: Target, values: Values, stratify: str | int | None, fraction: float | None
) -> np.ndarray | None:
    """Return numbers by which rows are held out evenly, of a column or of the classes, or None."""
    if stratify is not None:
        if fraction is None:
            raise OptionError(
                f"{as_option('stratify')} is for a fraction that {as_option('validation')} holds out"
            )
        column = table.column(table.names[table.find("stratify", stratify)])
        return codes_of(sorted(column.drop_nulls().unique()), column)
    if isinstance(target, ClassTarget):
        return values[0]
    if isinstance(target, SeveralTargets) and isinstance(target.targets[0], ClassTarget):
        return np.asarray(sum(codes << i for i, codes in enumerate(values[:62])))
    return None


def training_rows(n_rows: int, by: np.ndarray | None, fraction: float | None, seed: int | None) -> np.ndarray:
    """Return which rows to train on, bool[n_rows]: nearly the same fraction of each value of `by`."""
    training = np.ones(n_rows, bool)
    if fraction is None:
        return training
    fraction = check_number(
        as_option("validation"), fraction, high=1.0, above=True, below=True, alternative=", or a file"
    )
    n_aside = round(n_rows * fraction)
    if not 1 <= n_aside < n_rows:
        raise OptionError(
            f"{as_option('validation')} is {fraction:g}, which is {n_aside} of {n_rows} rows; there must be "
            "at least one row on either side"
        )
    generator = np.random.default_rng(check_seed(seed))
    order = generator.permutation(n_rows)
    if by is not None:
        order = order[np.argsort(by[order], kind="stable")]
    evenly = (np.arange(n_aside) * n_rows + n_rows // 2) // n_aside
    training[order[evenly]] = False
    return training


def fold_numbers(n_rows: int, by: np.ndarray | None, n_folds: int, seed: int | None) -> np.ndarray:
    """Return the fold of each row, int64[n_rows]: folds of nearly the same size, and the same of each value.

    Parameters
    ----------
    by : int64[n_rows], optional
        Numbers whose values are divided evenly.

    Examples
    --------
    >>> np.bincount(fold_numbers(10, np.arange(10) < 6, 3, seed=0)).tolist()
    [4, 3, 3]
    """
    if n_folds > n_rows:
        raise OptionError(f"{as_option('folds')} is {n_folds}, and the data has only {n_rows} rows")
    order = np.random.default_rng(check_seed(seed)).permutation(n_rows)
    if by is not None:
        order = order[np.argsort(by[order], kind="stable")]
    numbers = np.empty(n_rows, np.int64)
    numbers[order] = np.arange(n_rows) % n_folds
    return numbers


def remarks_on_classes(target: Target, values: Values, training: np.ndarray) -> list[str]:
    """Return remarks about classes that no training row has."""
    targets = target.targets if isinstance(target, SeveralTargets) else (target,)
    remarks = []
    for one, codes in zip(targets, values, strict=True):
        if isinstance(one, ClassTarget):
            counts = np.bincount(codes[training], minlength=len(one.labels))
            absent = [str(label) for label, count in zip(one.labels, counts, strict=True) if not count]
            if absent:
                which = "class" if len(absent) == 1 else "classes"
                remarks.append(
                    f"no training row has the {which} {listed(absent)} of {one.name!r}, which the network "
                    "cannot learn"
                )
    return remarks


# --- weights ---------------------------------------------------------------------------------------------


def weights_of(
    table: Table,
    name: str | None,
    class_weight: str | Mapping[Any, float] | None,
    target: Target,
    values: Values,
    training: np.ndarray,
) -> np.ndarray | None:
    """Return the weights of the training rows: those of a column, times those of their classes; or None."""
    weights = None
    if name is not None:
        column = table.column(name)
        weights = numbers(table, 0, column, meaning_of(table, name).spelling)
        if np.isnan(weights).any():
            row = int(np.argmax(np.isnan(weights)))
            raise DataError(f"the weight {name!r} of {table.path} is missing in {table.place(row)}")
        weights = check_batch_weights(weights[training], int(training.sum()))
    if class_weight is None:
        return weights
    if not isinstance(target, ClassTarget):
        raise OptionError(
            f"{as_option('class_weight')} is for one target of classes, and {target.name!r} is none"
        )
    codes = values[0][training]
    of_class = _class_weights(target, class_weight, codes)
    return of_class[codes] if weights is None else weights * of_class[codes]


def _class_weights(
    target: ClassTarget, class_weight: str | Mapping[Any, float], codes: np.ndarray
) -> np.ndarray:
    if isinstance(class_weight, Mapping):
        unknown = [label for label in class_weight if label not in target.labels]
        if unknown:
            raise OptionError(
                f"class_weight has {shown(unknown[0])}, and the classes of {target.name!r} are "
                f"{listed([str(label) for label in target.labels])}"
            )
        return np.array(
            [
                check_number(f"class_weight[{label!r}]", class_weight.get(label, 1.0))
                for label in target.labels
            ]
        )
    if class_weight != "balanced":
        raise OptionError(
            f"{as_option('class_weight')} is {shown(class_weight)}, and may be 'balanced' or, in Python, a "
            "dictionary of classes"
        )
    counts = np.bincount(codes, minlength=len(target.labels))
    return len(codes) / ((counts > 0).sum() * np.maximum(counts, 1))
