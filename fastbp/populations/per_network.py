"""Checks of what may be one number for all networks of a population, or one for each."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastbp.checks import WEIGHT_RATIO, check_weights
from fastbp.errors import DataError, FastbpError, OptionError, ShapeError, check_number, shown


def check_numbers(
    argument: str,
    value: Any,
    n_networks: int,
    *,
    high: float = math.inf,
    below: bool = False,
    alternative: str = "",
) -> np.ndarray:
    """Return a number for each network, or say which of them is wrong.

    Parameters
    ----------
    argument : str
    value : float or array_like, shape (n_networks,)
        Finite numbers from 0 to `high`, or below it.
    alternative : str
        What else it may be, for the message.

    Returns
    -------
    float64[n_networks]

    Examples
    --------
    >>> check_numbers("l2", 1, 3).tolist(), check_numbers("l2", [0, 1, 2], 3).tolist()
    ([1.0, 1.0, 1.0], [0.0, 1.0, 2.0])
    >>> check_numbers("dropout", [0, 1, 0.5], 3, high=1.0, below=True)
    Traceback (most recent call last):
    fastbp.errors.OptionError: dropout[1] is 1.0, and must be a finite number of at least 0 and below 1
    """
    if np.ndim(value) == 0:
        alternative = f", or {n_networks} numbers, one for each network{alternative}"
        return np.full(
            n_networks, check_number(argument, value, high=high, below=below, alternative=alternative)
        )
    array = _real(argument, value)
    if array.shape != (n_networks,):
        raise OptionError(
            f"{argument} has shape {array.shape}, and must be a number, or {n_networks}: one for each network"
        )
    numbers = array.astype(np.float64)
    with np.errstate(invalid="ignore"):
        fits = (numbers >= 0) & (numbers < high if below else (numbers <= high)) & np.isfinite(numbers)
    wrong = np.flatnonzero(~fits)
    if wrong.size:
        check_number(f"{argument}[{wrong[0]}]", numbers.item(wrong[0]), high=high, below=below)
    return numbers


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
    array = _real(argument, weights)
    if array.ndim != 2:
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


def _real(argument: str, value: Any) -> np.ndarray:
    """Return an array of real numbers, or say that it is none."""
    try:
        array = np.asarray(value)
    except ValueError:
        raise ShapeError(f"{argument} is {shown(value)}, and is not rectangular") from None
    if array.dtype.kind not in "fiu":
        raise OptionError(f"{argument} has dtype {array.dtype}, and must hold real numbers")
    return array
