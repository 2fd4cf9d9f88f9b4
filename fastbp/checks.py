"""Checks of X, Y, sample weights and threads: they return what kernels can use, or raise an error."""

import math
import warnings

import numpy as np
from numpy.typing import ArrayLike

from fastbp import activations
from fastbp.errors import DataError, FastbpError, ShapeError, TargetWarning, check_integer
from fastbp.losses import HIGHEST_TARGETS, LOWEST_TARGETS, check_targets
from fastbp.specification import Specification

STREAMED = (np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.uint8))
"""Types of X that kernels read without a copy."""

SMALL = 4096
"""The most elements of an array that is checked in one pass."""

LIMITED_TARGETS = frozenset((*LOWEST_TARGETS, *HIGHEST_TARGETS))
"""Losses for which targets may not be just any finite numbers."""

BYTES_AT_ONCE = 2**23
"""Bytes of an array that are checked at a time: it may be a file that is larger than memory."""


@np.errstate(all="ignore")
def check_X(specification: Specification, X: ArrayLike) -> np.ndarray:
    """Return X as an array whose rows kernels can read, or say what is wrong.

    Arrays of float32, float64 and uint8 keep their type; kernels convert them row by row.
    """
    return _as_matrix("X", X, specification.n_inputs, "features", specification.dtype)


def check_data(specification: Specification, X: ArrayLike, Y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return X as `check_X` does, and Y as a C-contiguous array of the network's dtype or of labels.

    Arrays that have this form already are not copied.
    """
    if (
        specification.loss_name not in LIMITED_TARGETS
        and is_ready(X, specification.n_inputs, specification.dtype)
        and is_ready(Y, specification.n_outputs, specification.dtype)
        and len(X) == len(Y)  # type: ignore[arg-type]
    ):
        return X, Y  # type: ignore[return-value]
    return _check_data(specification, X, Y)


def is_ready(array: ArrayLike, n_columns: int, dtype: np.dtype) -> bool:
    """Return whether an array is small and readable by kernels. It takes 2 us; all checks take 15."""
    return (
        type(array) is np.ndarray
        and array.dtype == dtype
        and array.ndim == 2
        and array.shape[1] == n_columns
        and 0 < array.size <= SMALL
        and array.flags.carray
        and math.isfinite(np.vdot(array, array))
    )


def all_finite(array: np.ndarray) -> bool:
    """Return whether no element is infinite or NaN; a finite sum of squares proves it for a small array."""
    if array.size <= SMALL and math.isfinite(np.vdot(array, array)):  # dot would raise where errors do
        return True
    return bool(np.isfinite(array).all())


@np.errstate(all="ignore")
def _check_data(specification: Specification, X: ArrayLike, Y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    X = check_X(specification, X)
    Y = _as_array("Y", Y)
    if Y.ndim == 1 and specification.n_outputs == 1:
        Y = Y[:, np.newaxis]
    if specification.loss_name != "categorical_cross_entropy" or Y.ndim != 1:  # else, class labels
        Y = _as_matrix("Y", Y, specification.n_outputs, "outputs", specification.dtype)
        Y = np.require(Y, specification.dtype, ["C_CONTIGUOUS", "ALIGNED"])
    Y = check_targets(specification.loss_name, Y, specification.n_outputs)
    if len(X) != len(Y):
        raise ShapeError(f"X has {len(X)} samples and Y has {len(Y)}; they must have as many")
    return X, Y


def warn_of_targets_out_of_reach(specification: Specification, Y: np.ndarray) -> None:
    """Warn if there are targets that no output can come to, such as 81 with a sigmoid."""
    activation = activations.TABLE[activations.CODES[specification.output_activation]]
    lowest, highest = activation.lowest, activation.highest
    if Y.ndim == 1 or lowest == -math.inf or specification.loss_name in HIGHEST_TARGETS:
        return
    low, high = float(Y.min()), float(Y.max())
    if lowest <= low and high <= highest:
        return
    reach = f"are above {lowest:g}" if highest == math.inf else f"lie between {lowest:g} and {highest:g}"
    warnings.warn(
        f"Y has targets from {low:g} to {high:g}, and {activation.name} outputs {reach}: scale Y, or take "
        "output_activation='identity'",
        TargetWarning,
        stacklevel=3,
    )


def _as_array(name: str, data: ArrayLike) -> np.ndarray:
    if hasattr(data, "tocsr"):
        raise DataError(f"{name} is a sparse matrix; pass a dense one: {name}.toarray()")
    if np.ma.is_masked(data):
        raise DataError(f"{name} has masked values; fill them, or leave their rows out")
    try:
        return np.asarray(data)
    except ValueError as error:
        raise ShapeError(f"{name} is not rectangular: {error}") from error


def _as_matrix(name: str, data: ArrayLike, n_columns: int, what: str, dtype: np.dtype) -> np.ndarray:
    array = _as_array(name, data)
    if array.dtype.kind not in "fiub":
        remedy = "; fastbp.fit takes text, objects and frames" if array.dtype.kind in "OUS" else ""
        raise DataError(f"{name} has dtype {array.dtype}, and must hold real numbers{remedy}")
    if array.ndim != 2:
        raise ShapeError(f"{name} has shape {array.shape}, and must be 2-D: (n_samples, n_{what})")
    if array.shape[1] != n_columns:
        raise ShapeError(f"{name} has {array.shape[1]} {what}, and this network takes {n_columns}")
    if len(array) == 0:
        raise DataError(f"{name} is empty: it must have at least one sample")
    check_finite(name, array, dtype)
    readable = array.dtype in STREAMED and array.dtype.isnative and array.flags.aligned
    if not readable or any(stride % array.itemsize for stride in array.strides):
        array = np.require(array, dtype, ["C_CONTIGUOUS", "ALIGNED"])
    return array


def check_finite(name: str, array: np.ndarray, dtype: np.dtype, bytes_at_once: int = BYTES_AT_ONCE) -> None:
    """Raise an error if a value is not finite, or would not be in `dtype`; check some megabytes at a time."""
    if array.dtype.kind != "f":
        return
    largest = np.finfo(dtype).max
    rows = max(1, bytes_at_once // (array.shape[1] * array.itemsize))
    found, n_found = None, 0
    for start in range(0, len(array), rows):
        values = array[start : start + rows]
        if not (-largest <= values.min() and values.max() <= largest):  # NaN is neither
            bad = np.argwhere(~(np.abs(values) <= largest))
            found = found or (start + bad[0][0], bad[0][1])
            n_found += len(bad)
    if found:
        value = array[found]
        reason = "must be finite" if not np.isfinite(value) else f"is too large for {dtype}"
        raise DataError(f"{name}[{found[0]}, {found[1]}] is {value}, and {reason} ({n_found} such values)")


def check_threads(threads: int | None) -> int | None:
    """Return `threads` if it may be a number of threads, or say what it may be."""
    return None if threads is None else check_integer("threads", threads, 1)


WEIGHT_RATIO = 2.0**1000
"""Largest allowed ratio of two sample weights above 0."""


def check_weights(sample_weight: ArrayLike | None, n_samples: int) -> np.ndarray | None:
    """Return sample weights as a C-contiguous float64 array whose mean is 1, or say what is wrong.

    Only the ratios of weights matter. Weights that are all the same become exactly 1.
    """
    return None if sample_weight is None else _normalized(check_batch_weights(sample_weight, n_samples))


@np.errstate(all="ignore")
def _normalized(weights: np.ndarray) -> np.ndarray:
    """Return the weights divided by their mean."""
    smallest, largest = weights.min(), weights.max()
    if largest == 0:
        raise DataError("sample_weight is 0 for every sample; at least one must be above 0")
    if smallest == largest:
        return np.ones_like(weights)
    scaled = np.ldexp(weights, -np.frexp(largest)[1])  # no sum of these leaves the range of float64
    lost = np.flatnonzero((scaled < 1 / WEIGHT_RATIO) & (weights > 0))
    if len(lost):
        raise DataError(
            f"sample_weight[{lost[0]}] is {weights[lost[0]]}, and the largest is {largest}; "
            f"that may be at most {WEIGHT_RATIO:.1e} times the smallest one above 0"
        )
    return scaled / scaled.mean()


@np.errstate(all="ignore")
def check_batch_weights(sample_weight: ArrayLike, n_samples: int) -> np.ndarray:
    """Return weights as a C-contiguous float64 array, as large as they are, or say what is wrong."""
    weights = np.asarray(sample_weight)
    if weights.shape != (n_samples,):
        raise ShapeError(f"sample_weight has shape {weights.shape}, and must be ({n_samples},)")
    if weights.dtype.kind not in "fiub":
        raise DataError(f"sample_weight has dtype {weights.dtype}, and must hold real numbers")
    converted = weights.astype(np.float64)
    wrong = np.flatnonzero(~(np.isfinite(converted) & (converted >= 0)))
    if len(wrong):
        raise DataError(
            f"sample_weight[{wrong[0]}] is {weights[wrong[0]]}, and must be a finite float64 of at least 0"
        )
    return converted


def check_weights_of_networks(
    argument: str, weights: ArrayLike | None, n_networks: int, n_samples: int
) -> np.ndarray | None:
    """Return weights whose mean is 1, those of all networks or of each, or say what is wrong.

    Parameters
    ----------
    argument : str
    weights : array_like, shape (n_samples,) or (n_networks, n_samples), or None

    Returns
    -------
    float64[n_samples], float64[n_networks, n_samples] or None
        Each network's are divided by their own mean, as `fastbp.checks.check_weights` does it.

    Examples
    --------
    >>> check_weights_of_networks("sample_weight", [[1, 3], [2, 2]], 2, 2).tolist()
    [[0.5, 1.5], [1.0, 1.0]]
    """
    if weights is None:
        return None
    array = _as_array(argument, weights)
    if array.dtype.kind not in "fiub":
        raise DataError(f"{argument} has dtype {array.dtype}, and must hold real numbers")
    if array.ndim == 1:
        try:
            return check_weights(array, n_samples)
        except FastbpError as error:
            raise type(error)(str(error).replace("sample_weight", argument)) from None
    if array.shape != (n_networks, n_samples):
        raise ShapeError(
            f"{argument} has shape {array.shape}, and must be ({n_samples},), or ({n_networks}, {n_samples}) "
            "with a row for each network"
        )
    numbers = array.astype(np.float64)
    with np.errstate(all="ignore"):
        fits = np.isfinite(numbers) & (numbers >= 0)
        if not fits.all():
            i, j = np.argwhere(~fits)[0]
            raise DataError(
                f"{argument}[{i}, {j}] is {array[i, j]}, and must be a finite float64 of at least 0"
            )
        return _normalized_rows(argument, numbers)


def _normalized_rows(argument: str, weights: np.ndarray) -> np.ndarray:
    """Divide each row by its mean."""
    smallest, largest = weights.min(axis=1), weights.max(axis=1)
    empty = np.flatnonzero(largest == 0)
    if empty.size:
        raise DataError(
            f"{argument}[{empty[0]}] is 0 for every sample; each network needs one sample above 0 at least"
        )
    scaled = np.ldexp(weights, -np.frexp(largest)[1][:, np.newaxis])
    lost = np.argwhere((scaled < 1 / WEIGHT_RATIO) & (weights > 0))
    if len(lost):
        i, j = lost[0]
        raise DataError(
            f"{argument}[{i}, {j}] is {weights[i, j]}, and the largest of that network is {largest[i]}; "
            f"that may be at most {WEIGHT_RATIO:.1e} times the smallest one above 0"
        )
    scaled /= scaled.mean(axis=1)[:, np.newaxis]
    scaled[smallest == largest] = 1.0
    return scaled
