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

import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbp.data.columns import encode, fit_columns
from fastbp.data.reopening import read_for, with_missing
from fastbp.data.table_file import PathLike, Table, read_table
from fastbp.data.target_column import encode_target, fit_target, missing_in
from fastbp.errors import DataError, OptionError, check_choice, check_number, check_seed
from fastbp.preprocessing import MISSING, ClassTarget, NumberTarget, Preprocessing
from fastbp.reading import Reading
from fastbp.specification import DTYPES

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Dataset", "batches", "load", "read_for", "targets", "with_missing"]

TASKS = ("classification", "regression")
UNSEEN = ("error", "zeros")
MISSING_TARGET = ("error", "drop")

IN_MEMORY_BYTES = 2**30
"""The X of a .npy file lies in temporary files if it takes more bytes than this."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """What `load` makes of a file.

    Attributes
    ----------
    X : ndarray, shape (n_samples, n_inputs)
    Y : ndarray, shape (n_samples,) of int64, or (n_samples, 1)
        Class labels, or numbers, standardised as the inputs are.
    X_validation, Y_validation : ndarray, or None
        The samples held out for validation.
    preprocessing : Preprocessing
        What X and Y mean. Assign it to ``network.preprocessing``, and `Network.save` keeps it.
    remarks : list of str
        Notes for the user: what was guessed, constant columns, and missing values that were replaced.
    """

    X: np.ndarray
    Y: np.ndarray
    X_validation: np.ndarray | None
    Y_validation: np.ndarray | None
    preprocessing: Preprocessing
    remarks: list[str] = field(default_factory=list)

    @property
    def validation_data(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The validation samples, as `fastbp.train` takes them."""
        if self.X_validation is None or self.Y_validation is None:
            return None
        return self.X_validation, self.Y_validation

    @property
    def task(self) -> str:
        """The task, "classification" or "regression"."""
        return "regression" if isinstance(self.preprocessing.target, NumberTarget) else "classification"


@np.errstate(all="ignore")
def load(
    path: "PathLike | pl.DataFrame",
    *,
    target: str | int,
    task: str | None = None,
    ignore: Sequence[str | int] = (),
    missing: str = "error",
    standardize: bool = True,
    validation: float | str | os.PathLike[str] | None = None,
    seed: int | None = None,
    dtype: str = "float64",
    missing_target: str = "error",
    unseen: str = "error",
    scratch: str | os.PathLike[str] | None = None,
    **reading: Any,
) -> Dataset:
    """Read a file and prepare it for training.

    Parameters
    ----------
    path : path-like or polars.DataFrame
        "-" is standard input.
    target : str or int
        The column to learn, by name or by position: 0 is the first, -1 the last.
    task : {"classification", "regression"}, optional
        By default, text, booleans, and whole numbers with at most 20 different values are classes.
    ignore : sequence of str or int
        Columns to leave out.
    missing : {"error", "mean", "median", "indicator"}
        What to do with a missing input: see `fastbp.preprocessing.MISSING`.
    standardize : bool
        Whether to scale numbers, also the target of a regression, to mean 0 and standard deviation 1.
    validation : float or path-like, optional
        The fraction of the rows to hold out, drawn at random from each class; or another file.
    seed : int, optional
        Makes the draw reproducible.
    dtype : {"float64", "float32"}
    missing_target : {"error", "drop"}
        What to do with a row whose target is missing: raise an error, or leave the row out.
    unseen : {"error", "zeros"}
        What to do with a category that only the validation file has: see `batches`.
    scratch : path-like, optional
        The folder for temporary files; by default the system's.
    **reading
        What the file's form and types are: the fields of `fastbp.reading.Reading`, such as ``separator=";"``.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        If a file cannot be read or used; it names columns and rows.
    OptionError
        If an argument is not what it may be.
    """
    if task is not None:
        check_choice("task", task, TASKS)
    check_choice("missing", missing, MISSING)
    check_choice("missing_target", missing_target, MISSING_TARGET)
    check_choice("unseen", unseen, UNSEEN)
    number = np.dtype(check_choice("dtype", dtype, DTYPES))
    form = Reading.of(**reading)
    # The target is kept as it is written; its position is not known before the file is read.
    wanted = [target] if isinstance(target, str) and not target.lstrip("-").isdigit() else []
    table = read_table(path, form, wanted=wanted, labels=[str(target)])
    name = table.names[table.find("target", target)]
    if missing_target == "drop":
        table = _with_targets(table, name)
    left_out = {name, *(table.names[table.find("ignore", column)] for column in ignore)}
    names = [column for column in table.names if column not in left_out]
    if not names:
        raise DataError(f"{table.path} has no column beside the target {name!r} to learn it from")
    learned, values, of_target = fit_target(table, name, task)
    fraction = None if validation is None or isinstance(validation, str | os.PathLike) else validation
    training = _training_rows(values, isinstance(learned, ClassTarget), fraction, seed)
    if isinstance(learned, NumberTarget):
        learned = _fit_numbers(table, learned, values[training], standardize)
    columns, remarks = fit_columns(table, names, training, missing)
    remarks = [*table.remarks, *of_target, *remarks]
    preprocessing = Preprocessing(tuple(columns), learned, bool(standardize), missing, form)

    X, X_validation = _split(table, preprocessing, training, number, scratch)
    Y = _scaled(learned, values, number)
    Y, Y_validation = Y[training], Y[~training]
    if validation is not None and fraction is None:
        other = read_for(preprocessing, validation)  # type: ignore[arg-type]
        everything = np.ones(len(other), bool)
        X_validation, _ = _split(other, preprocessing, everything, number, scratch, unseen)
        Y_validation = targets(other, preprocessing, dtype)
    if validation is None:
        return Dataset(X, Y, None, None, preprocessing, remarks)
    return Dataset(X, Y, X_validation, Y_validation, preprocessing, remarks)


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
    """Return the target column of a table as `load` would: class labels, or standardised numbers."""
    table.find("target", preprocessing.target.name)
    values = encode_target(table, preprocessing.target)
    return _scaled(preprocessing.target, values, np.dtype(dtype))


def _with_targets(table: Table, name: str) -> Table:
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


def _training_rows(
    values: np.ndarray, by_class: bool, fraction: float | None, seed: int | None
) -> np.ndarray:
    """Return which rows to train on, bool[n_rows]: nearly the same fraction of every class."""
    training = np.ones(len(values), bool)
    if fraction is None:
        return training
    fraction = check_number(
        "validation", fraction, high=1.0, above=True, below=True, alternative=", or a file"
    )
    n_aside = round(len(values) * fraction)
    if not 1 <= n_aside < len(values):
        raise OptionError(
            f"validation is {fraction:g}, which is {n_aside} of {len(values)} rows; there must be at "
            "least one row on either side"
        )
    generator = np.random.default_rng(check_seed(seed))
    order = generator.permutation(len(values))
    if by_class:
        order = order[np.argsort(values[order], kind="stable")]
    evenly = (np.arange(n_aside) * len(values) + len(values) // 2) // n_aside
    training[order[evenly]] = False
    return training


def _fit_numbers(table: Table, target: NumberTarget, values: np.ndarray, standardize: bool) -> NumberTarget:
    mean, scale = float(values.mean()), float(values.std())
    if values.min() == values.max():
        raise DataError(f"the target {target.name!r} of {table.path} is {values[0]:g} in every row")
    if not (1e-150 < scale < 1e150 and abs(mean) < 1e150):
        raise DataError(
            f"the target {target.name!r} of {table.path} has values from {values.min():g} to "
            f"{values.max():g}, whose squares double precision does not hold; give it another unit"
        )
    return replace(target, mean=mean, scale=scale) if standardize else target


def _scaled(target: ClassTarget | NumberTarget, values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if isinstance(target, ClassTarget):
        return values
    return ((values - target.mean) / target.scale).astype(dtype)[:, None]


def _split(
    table: Table,
    preprocessing: Preprocessing,
    training: np.ndarray,
    dtype: np.dtype,
    scratch: str | os.PathLike[str] | None,
    unseen: str = "error",
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
