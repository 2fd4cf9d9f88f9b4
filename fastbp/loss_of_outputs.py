"""The losses as functions of outputs, with NumPy, for outputs that no single network gave: means of several.

`fastbp.losses` defines them. Those that training computes from pre-activations are computed from the outputs
here, which are kept away from 0, and from 1 in a binary cross-entropy, by the smallest step of float32.
"""

import numpy as np

from fastbp.losses import level_of

LEAST = float(np.finfo(np.float32).tiny)
BELOW_ONE = 1.0 - float(np.finfo(np.float32).epsneg)


@np.errstate(all="ignore")
def losses_of_outputs(
    loss_name: str, outputs: np.ndarray, Y: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Return the loss of each of several outputs, averaged over the samples.

    Parameters
    ----------
    loss_name : str
    outputs : ndarray, shape (..., n_samples, n_outputs)
    Y : ndarray, shape (n_samples, n_outputs), or class labels, shape (n_samples,)
    weights : ndarray, shape (n_samples,), optional
        Of the samples, in the average.

    Returns
    -------
    ndarray of float64, shape (...)

    Examples
    --------
    >>> outputs = np.array([[[0.5, 0.5]], [[0.25, 0.75]]])
    >>> losses_of_outputs("categorical_cross_entropy", outputs, np.array([0])).round(3).tolist()
    [0.693, 1.386]
    """
    each, adds_outputs = _losses_of_each(loss_name, np.asarray(outputs, np.float64), Y)
    if weights is None and not adds_outputs:
        return each.mean(axis=(-2, -1))
    of_samples = each.sum(axis=-1) if adds_outputs else each.mean(axis=-1)
    return np.average(of_samples, axis=-1, weights=weights)


def _losses_of_each(loss_name: str, a: np.ndarray, Y: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return the terms of the loss, and whether those of a sample are added, and not averaged."""
    if Y.ndim == 1:
        chosen = np.take_along_axis(a, np.broadcast_to(Y[:, None], (*a.shape[:-1], 1)), axis=-1)
        return -np.log(np.maximum(chosen, LEAST)), False
    t = np.asarray(Y, np.float64)
    if loss_name == "categorical_cross_entropy":
        return -np.where(t > 0, t * np.log(np.maximum(a, LEAST)), 0.0), True
    if loss_name == "half_squared_error":
        return (a - t) ** 2 / 2, True
    if loss_name == "binary_cross_entropy":
        inside = np.clip(a, LEAST, BELOW_ONE)
        each = -(t * np.log(inside) + (1 - t) * np.log1p(-inside))
    elif loss_name == "poisson":
        each = a - np.where(t > 0, t * np.log(np.maximum(a, LEAST)), 0.0)
    elif loss_name == "mean_absolute_error":
        each = np.abs(a - t)
    elif loss_name == "huber":
        far = np.abs(a - t)
        each = np.where(far <= 1, far * far / 2, far - 0.5)
    elif loss_name.startswith("quantile"):
        level = level_of(loss_name)
        each = np.maximum(level * (t - a), (1 - level) * (a - t))
    else:
        each = (a - t) ** 2
    return each, False
