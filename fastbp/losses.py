"""Loss functions: each definition states its reduction and its factor once, beside its gradient.

``Y`` has shape (n_samples, n_outputs), and so has the network's output ``A``.
"""

import numpy as np

from fastbp.errors import check_choice

NAMES = ("half_squared_error",)
PLANNED = (
    "mean_squared_error",
    "mean_absolute_error",
    "huber",
    "binary_cross_entropy",
    "categorical_cross_entropy",
    "poisson",
)


def check_loss(name: object) -> str:
    """Return `name` if it is a loss that fastbp has."""
    return check_choice("loss", name, NAMES, PLANNED)


def half_squared_error(A: np.ndarray, Y: np.ndarray) -> float:
    """Return 1/2 the sum over outputs of (a - y)^2, averaged over samples: the worked example's E."""
    return float(0.5 * np.mean(np.sum((A - Y) ** 2, axis=1)))


def half_squared_error_gradient(A: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """Return dL/dA = (A - Y) / n_samples."""
    return (A - Y) / len(A)
