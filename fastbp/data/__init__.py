r"""Data from files: columns of CSV, Parquet, Arrow, Excel, .npy and .npz become X and Y. Needs polars.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as folder:
...     with open(f"{folder}/fruit.csv", "w") as file:
...         _ = file.write("weight;colour;kind\n150,5;green;apple\n120,0;yellow;lemon\n160,1;red;apple\n")
...     dataset = load(f"{folder}/fruit.csv", target="kind")
>>> dataset.preprocessing.input_names, dataset.preprocessing.target.labels
(['weight', 'colour=green', 'colour=red', 'colour=yellow'], ('apple', 'lemon'))
>>> dataset.X.shape, dataset.Y
((3, 4), array([0, 1, 0]))
>>> dataset.remarks
["column 'weight' is read as numbers, with ',' as the decimal mark: '150,5' is 150.5"]

docs/data.md describes what is recognised, what is assumed, and how to say otherwise. In short: what is meant
in one way is read, with a remark if it is not plain; what could be meant in two ways is an error that names
the option that decides.

The steps: `sources` gives the bytes of a file; `text_form` finds separator and names of a text; `text_file`
makes columns of it; `table_file` is a file as a table; `meanings` says whether a column is numbers, dates or
text, with `spelling` and `dates`; `columns` and `target_column` make arrays of columns, with `values`.
"""

import inspect
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fastbp.data import learning
from fastbp.data.columns import encode
from fastbp.data.dataset import Dataset, Rows, split
from fastbp.data.reopening import read_for, with_missing
from fastbp.data.table_file import Table
from fastbp.errors import check_choice, check_flag, check_seed
from fastbp.preprocessing import MISSING, Preprocessing
from fastbp.reading import OPTIONS, Reading
from fastbp.specification import DTYPES

__all__ = [
    "ROW_OPTIONS",
    "Dataset",
    "Rows",
    "batches",
    "load",
    "open_rows",
    "read_for",
    "targets",
    "with_missing",
    "with_validation",
]

TASKS = ("classification", "regression")
UNSEEN = ("error", "zeros")
MISSING_TARGET = ("error", "drop")


@np.errstate(all="ignore")
def load(
    source: Any,
    *,
    validation: Any = None,
    stratify: str | int | None = None,
    seed: int | None = None,
    **options: Any,
) -> Dataset:
    """Read data and prepare them for training.

    Parameters
    ----------
    source : path-like, frame or array_like
        A file, where "-" is standard input; a frame of pandas or polars; a dictionary of columns; or an array
        of two dimensions, whose columns are x0, x1, ...
    validation : float, path-like, frame, array_like or pair, optional
        The fraction of the rows to hold out, drawn at random; or other data with the same columns; or a pair,
        data and target values.
    stratify : str or int, optional
        The column of whose values nearly the same fraction is held out; by default the classes.
    seed : int, optional
        Makes the draw reproducible.
    **options
        What is learned, and how the data are read: see `open_rows`. `target` is needed.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        If the data cannot be read or used; it names columns and rows.
    OptionError
        If an argument is not what it may be.
    """
    seed = check_seed(seed)
    rows = open_rows(source, **options)
    fraction = validation if validation is None or isinstance(validation, float | int) else None
    by = learning.groups(rows.table, rows.target, rows.values, stratify, fraction)
    training = learning.training_rows(len(rows), by, fraction, seed)
    dataset = rows.dataset(training)
    if validation is None or fraction is not None:
        return dataset
    return with_validation(rows, dataset, validation)


@np.errstate(all="ignore")
def with_validation(rows: Rows, dataset: Dataset, validation: Any) -> Dataset:
    """Return a dataset with other data to validate it: a path, a frame, or a pair of data and targets."""
    given = validation if isinstance(validation, tuple) and len(validation) == 2 else (validation,)
    other, _ = learning.open_known(dataset.preprocessing, *given)
    everything = np.ones(len(other), bool)
    X_validation, _ = split(other, dataset.preprocessing, everything, rows.dtype, rows.scratch, rows.unseen)
    Y_validation = targets(other, dataset.preprocessing, rows.dtype.name)
    return replace(dataset, X_validation=X_validation, Y_validation=Y_validation)


@np.errstate(all="ignore")
def open_rows(
    source: Any,
    *,
    target: Any = None,
    task: str | None = None,
    ignore: str | int | Sequence[str | int] = (),
    keep: str | int | Sequence[str | int] = (),
    missing: str = "error",
    standardize: bool = True,
    sample_weight: Any = None,
    class_weight: str | Mapping[Any, float] | None = None,
    dtype: str = "float64",
    missing_target: str = "error",
    unseen: str = "error",
    scratch: str | os.PathLike[str] | None = None,
    preprocessing: Preprocessing | None = None,
    cache: bool | str | os.PathLike[str] = False,
    **reading: Any,
) -> Rows:
    """Read data as `load` does, and leave open which rows are for training.

    Parameters
    ----------
    source : path-like, frame or array_like
        As for `load`.
    target : str, int, sequence of these, or array_like
        The column to learn, by name or by position: 0 is the first, -1 the last. Several columns are learned
        together, if all are numbers, or all have two labels. If `source` is not a file, the values
        themselves may be given.
    task : {"classification", "regression"}, optional
        By default, text, booleans, and whole numbers with at most 20 different values are classes.
    ignore : str, int or sequence of these
        Columns to leave out.
    keep : str, int or sequence of these
        Columns that are no inputs either, and go through to the predictions.
    missing : {"error", "mean", "median", "indicator"}
        What to do with a missing input: see `fastbp.preprocessing.MISSING`.
    standardize : bool
        Whether to scale numbers, also the targets of a regression, to mean 0 and standard deviation 1.
    sample_weight : str, int or array_like, optional
        The column that weighs the rows, or the weights themselves.
    class_weight : {"balanced"} or mapping, optional
        Weights of classes, by which those of their rows are multiplied. "balanced" gives all classes the same
        total.
    dtype : {"float64", "float32"}
    missing_target : {"error", "drop"}
        What to do with a row whose target is missing: raise an error, or leave the row out.
    unseen : {"error", "zeros"}
        What to do with a category that only the validation data have, or that the network to go on with does
        not know: see `batches`.
    scratch : path-like, optional
        The folder for temporary files; by default the system's.
    preprocessing : Preprocessing, optional
        That of a network to go on with: columns, targets and scales are as it says. `missing` may be given
        anew; the default is what it was.
    cache : bool or path-like
        Whether a text file is read by way of a folder of Arrow files, so that it may be larger than memory:
        see `fastbp.data.cache`. The folder is kept for the next time, beside the file if True, or in this
        one.
    **reading
        What the file's form and types are: the fields of `fastbp.reading.Reading`, such as ``separator=";"``.

    Returns
    -------
    Rows

    Raises
    ------
    DataError
        If the data cannot be read or used; it names columns and rows.
    OptionError
        If an argument is not what it may be.
    """
    if task is not None:
        check_choice("task", task, TASKS)
    check_choice("missing", missing, MISSING)
    check_choice("missing_target", missing_target, MISSING_TARGET)
    check_choice("unseen", unseen, UNSEEN)
    number = np.dtype(check_choice("dtype", dtype, DTYPES))
    standardize = check_flag("standardize", standardize)
    form = Reading.of(**reading)
    if preprocessing is None:
        table, names, weight = learning.open_table(source, form, target, sample_weight, cache)
    else:
        preprocessing = learning.gone_on_with(
            preprocessing, missing, task=task, ignore=ignore, keep=keep, standardize=standardize
        )
        names = [one.name for one in preprocessing.targets]
        table, weight = learning.open_known(preprocessing, source, target, sample_weight, **reading)
    if missing_target == "drop":
        for name in names:
            table = learning.with_targets(table, name)
    if preprocessing is None:
        learned, values, remarks = learning.fit_targets(table, names, task)
    else:
        learned, values, remarks = preprocessing.target, learning.known_values(table, preprocessing), []
    return Rows(
        table,
        learned,
        values,
        weight,
        remarks,
        preprocessing,
        ignore,
        keep,
        missing,
        standardize,
        class_weight,
        unseen,
        scratch,
        number,
    )


ROW_OPTIONS = frozenset({*inspect.signature(open_rows).parameters, *OPTIONS} - {"source", "reading"})
"""The names of the options of `open_rows`, with those of reading."""


def batches(
    table: Table, preprocessing: Preprocessing, *, dtype: str = "float64", unseen: str = "error"
) -> Iterator[np.ndarray]:
    """Yield a table's rows as inputs of a network that was trained with this preprocessing.

    Parameters
    ----------
    table : Table
        As `read_table` returns it. Columns that the network does not use are ignored.
    preprocessing : Preprocessing
    dtype : {"float64", "float32"}
    unseen : {"error", "zeros"}
        What to do with a category that no training row had: raise an error, or set its inputs to 0.

    Yields
    ------
    ndarray, shape (some rows, n_inputs)
    """
    check_choice("unseen", unseen, UNSEEN)
    for _, X in encode(table, preprocessing, np.dtype(check_choice("dtype", dtype, DTYPES)), unseen):
        yield X


@np.errstate(all="ignore")
def targets(table: Table, preprocessing: Preprocessing, dtype: str = "float64") -> np.ndarray:
    """Return the targets of a table as `load` would: class labels, standardised numbers, or 0 and 1."""
    values = learning.known_values(table, preprocessing)
    return learning.as_targets(preprocessing.target, values, np.dtype(dtype))
