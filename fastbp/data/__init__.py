r"""Data from files: columns of CSV, TSV, Parquet, .npy and .npz become X and Y. Needs polars.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as folder:
...     with open(f"{folder}/fruit.csv", "w") as file:
...         _ = file.write("weight,colour,kind\n150,green,apple\n120,yellow,lemon\n160,red,apple\n")
...     dataset = load(f"{folder}/fruit.csv", target="kind")
>>> dataset.preprocessing.input_names, dataset.preprocessing.target.labels
(['weight', 'colour=green', 'colour=red', 'colour=yellow'], ('apple', 'lemon'))
>>> dataset.X.shape, dataset.Y
((3, 4), array([0, 1, 0]))

Kinds of files:

.csv, .tsv
    Text in UTF-8, with a first line of names (or ``header=False``: then the columns are x0, x1, ...). A
    .csv file whose first line has semicolons and no comma is split at semicolons. A column is numeric if all
    its values are numbers. Blanks around values and blank lines are ignored. Nothing, NA, N/A, NaN, nan,
    null, NULL and ? are missing values; a line that has too few or too many values is an error.
.parquet
    Columns of numbers, booleans, text or categories.
.npy
    A 2-D array of numbers; its columns are x0, x1, ... It is read some rows at a time, and may be larger than
    memory. X then lies in temporary files, which vanish with the arrays.
.npz
    Arrays of one length. A 2-D array X gives columns X0, X1, ...; a 1-D array gives a column of its own name.

Numbers and booleans become one input each, standardised (by the training rows alone) unless asked otherwise;
a column that is the same in all training rows becomes 0. Each category of text becomes an input. Messages
count rows from 1, without the line of names and blank lines.
"""

import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from fastbp.data.columns import encode, encode_target, fit_columns, fit_target
from fastbp.data.table_file import Table, read_table
from fastbp.errors import DataError, OptionError, check_choice, check_number, check_seed
from fastbp.preprocessing import MISSING, ClassTarget, NumberTarget, Preprocessing
from fastbp.specification import DTYPES

__all__ = ["Dataset", "batches", "load", "targets"]

TASKS = ("classification", "regression")
UNSEEN = ("error", "zeros")

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
        Notes for the user: constant columns, and missing values that were replaced.
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
    path: str | os.PathLike[str],
    *,
    target: str | int,
    task: str | None = None,
    ignore: Sequence[str | int] = (),
    missing: str = "error",
    standardize: bool = True,
    validation: float | str | os.PathLike[str] | None = None,
    seed: int | None = None,
    dtype: str = "float64",
    header: bool = True,
    scratch: str | os.PathLike[str] | None = None,
) -> Dataset:
    """Read a file and prepare it for training.

    Parameters
    ----------
    path : path-like
    target : str or int
        The column to learn, by name or by position: 0 is the first, -1 the last.
    task : {"classification", "regression"}, optional
        By default, text, booleans, and whole numbers with at most 20 different values are classes.
    ignore : sequence of str or int
        Columns to leave out.
    missing : {"error", "mean"}
        What to do with a missing input: raise an error, or use the column's mean (for text, no category). A
        missing target is always an error.
    standardize : bool
        Whether to scale numbers, also the target of a regression, to mean 0 and standard deviation 1.
    validation : float or path-like, optional
        The fraction of the rows to hold out, drawn at random from each class; or another file.
    seed : int, optional
        Makes the draw reproducible.
    dtype : {"float64", "float32"}
    header : bool
        Whether the first line of a .csv or .tsv file names the columns.
    scratch : path-like, optional
        The folder for temporary files; by default the system's.

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
    number = np.dtype(check_choice("dtype", dtype, DTYPES))
    table = read_table(path, header=header)
    name = table.names[table.find("target", target)]
    left_out = {name, *(table.names[table.find("ignore", column)] for column in ignore)}
    names = [column for column in table.names if column not in left_out]
    if not names:
        raise DataError(f"{table.path} has no column beside the target {name!r} to learn it from")
    learned, values = fit_target(table, name, task)
    fraction = None if validation is None or isinstance(validation, str | os.PathLike) else validation
    training = _training_rows(values, isinstance(learned, ClassTarget), fraction, seed)
    if isinstance(learned, NumberTarget):
        learned = _fit_numbers(table, learned, values[training], standardize)
    columns, remarks = fit_columns(table, names, training, missing)
    preprocessing = Preprocessing(tuple(columns), learned, bool(standardize), missing)

    X, X_validation = _split(table, preprocessing, training, number, scratch)
    Y = _scaled(learned, values, number)
    Y, Y_validation = Y[training], Y[~training]
    if validation is not None and fraction is None:
        other = read_table(validation, header=header)  # type: ignore[arg-type]
        everything = np.ones(len(other), bool)
        X_validation, _ = _split(other, preprocessing, everything, number, scratch)
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
    hint = "; --unseen zeros (unseen='zeros') treats it as none of these"
    for _, X in encode(table, preprocessing, np.dtype(check_choice("dtype", dtype, DTYPES)), unseen, hint):
        yield X


@np.errstate(all="ignore")
def targets(table: Table, preprocessing: Preprocessing, dtype: str = "float64") -> np.ndarray:
    """Return the target column of a table as `load` would: class labels, or standardised numbers."""
    table.find("target", preprocessing.target.name)
    values = encode_target(table, preprocessing.target)
    return _scaled(preprocessing.target, values, np.dtype(dtype))


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
) -> tuple[np.ndarray, np.ndarray]:
    """Return the inputs of the training rows, and those of the other rows."""
    n_training = int(training.sum())
    filled = [
        _empty((n_rows, preprocessing.n_inputs), dtype, table.is_streamed, scratch)
        for n_rows in (n_training, len(training) - n_training)
    ]
    n_filled = [0, 0]
    for start, X in encode(table, preprocessing, dtype, "error"):
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
