"""Loss functions: their names, codes, and definitions.

``a`` is an output of the network, ``t`` its target, ``z`` the output's pre-activation, ``K`` the number of
outputs. `TABLE` has one row for each loss and defines it for *one sample*. The loss of n samples is the mean
of their losses, or with sample weights ``sum_i w_i L_i / n``, where the mean of the weights over all samples
is 1. So it is the weighted mean of all samples, and a batch of heavy samples counts more than another. The
gradient is averaged in the same way.

half_squared_error is a sum over the outputs, and so is categorical_cross_entropy. The other losses are means
over the outputs, as in PyTorch and Keras: mean_squared_error is 2 / K times half_squared_error. The two
cross-entropies and poisson are computed from ``z``, together with their activation. That is stable for every
``z``, where 1 / a may be infinite. `fastbp.reference` computes all losses in plain Python.

quantile is written with its level: ``"quantile(0.9)"``. A network that is trained with it estimates the 90 %
quantile of the targets: nine of ten lie below it. ``"quantile"`` alone is the median, of level 0.5.
"""

from dataclasses import dataclass

import numpy as np

from fastbp.errors import DataError, OptionError, ShapeError, as_option, check_choice

(
    HALF_SQUARED_ERROR,
    MEAN_SQUARED_ERROR,
    MEAN_ABSOLUTE_ERROR,
    HUBER,
    BINARY_CROSS_ENTROPY,
    CATEGORICAL_CROSS_ENTROPY,
    POISSON,
    QUANTILE,
) = range(8)
"""The codes of the losses. Kernels compare with these names, never with a number."""

MEDIAN = 0.5
"""The level of quantile if none is given."""

SUM_TOLERANCE = 1e-5
"""How far the sum of a row of probabilities may be from 1. Rounding in float32 stays well below."""


@dataclass(frozen=True)
class Loss:
    """One row of `TABLE`.

    Attributes
    ----------
    name : str
    code : int
        What kernels know the loss by.
    formula : str
        The loss of one sample.
    gradient : str
        dL/da_j, or dL/dz_j where it is computed together with the activation.
    targets : str
        What a target may be.
    outputs : tuple of str
        The output activations that it may be combined with; empty if it may be combined with all.
    source : str
    """

    name: str
    code: int
    formula: str
    gradient: str
    targets: str = "any finite number"
    outputs: tuple[str, ...] = ()
    source: str = ""


TABLE = (
    Loss("half_squared_error", HALF_SQUARED_ERROR, "1/2 sum_j (a_j - t_j)^2", "dL/da_j = a_j - t_j"),
    Loss("mean_squared_error", MEAN_SQUARED_ERROR, "1/K sum_j (a_j - t_j)^2", "dL/da_j = 2 (a_j - t_j) / K"),
    Loss(
        "mean_absolute_error",
        MEAN_ABSOLUTE_ERROR,
        "1/K sum_j |a_j - t_j|",
        "dL/da_j = sign(a_j - t_j) / K, and 0 where they are equal",
    ),
    Loss(
        "huber",
        HUBER,
        "1/K sum_j h(a_j - t_j), with h(e) = e^2 / 2 where |e| <= 1, else |e| - 1/2",
        "dL/da_j = min(max(a_j - t_j, -1), 1) / K",
        source="Huber 1964, https://doi.org/10.1214/aoms/1177703732, with delta = 1",
    ),
    Loss(
        "binary_cross_entropy",
        BINARY_CROSS_ENTROPY,
        (
            "-1/K sum_j [t_j log a_j + (1 - t_j) log(1 - a_j)] "
            "= 1/K sum_j [max(z_j, 0) - t_j z_j + log1p(e^-|z_j|)]"
        ),
        "dL/dz_j = (a_j - t_j) / K",
        targets="from 0 to 1",
        outputs=("sigmoid",),
        source="Bishop 2006, Pattern Recognition and Machine Learning, eq. 5.23",
    ),
    Loss(
        "categorical_cross_entropy",
        CATEGORICAL_CROSS_ENTROPY,
        "-sum_j t_j log a_j = sum_j t_j (m - z_j + log sum_k e^(z_k - m)), with m = max_k z_k",
        "dL/dz_j = a_j - t_j",
        targets="integer class labels from 0 to K - 1, or rows of probabilities: at least 0, with sum 1",
        outputs=("softmax",),
        source="Bishop 2006, Pattern Recognition and Machine Learning, eq. 5.24",
    ),
    Loss(
        "poisson",
        POISSON,
        "1/K sum_j (a_j - t_j log a_j), with 0 log 0 = 0",
        (
            "dL/dz_j = (a_j - t_j) (1 - a_j) / K with sigmoid, (s(z_j) - t_j s(z_j) / a_j) / K with "
            "softplus, (a_j - t_j) / K with exp, (a_j sum_k t_k - t_j) / K with softmax"
        ),
        targets="at least 0",
        outputs=("softplus", "exp", "sigmoid", "softmax"),
        source=(
            "minus the log-likelihood of a Poisson count of mean a, without the term log t! that a does not "
            "change: McCullagh & Nelder 1989, Generalized Linear Models, section 6.2; PyTorch's "
            "PoissonNLLLoss with log_input=False, eps=0"
        ),
    ),
    Loss(
        "quantile",
        QUANTILE,
        "1/K sum_j max(q (t_j - a_j), (1 - q) (a_j - t_j)), with q the level",
        "dL/da_j = -q / K where a_j < t_j, (1 - q) / K where a_j > t_j, and 0 where they are equal",
        source="Koenker & Bassett 1978, Regression Quantiles, https://doi.org/10.2307/1913643",
    ),
)

CODES = {loss.name: loss.code for loss in TABLE}
NAMES = tuple(CODES)


def check_loss(name: object) -> str:
    """Return `name` if it is a loss that fastbp has; quantile always with its level.

    Examples
    --------
    >>> check_loss("huber"), check_loss("quantile"), check_loss("quantile( .90 )")
    ('huber', 'quantile(0.5)', 'quantile(0.9)')
    """
    if isinstance(name, str) and name.startswith("quantile"):
        return f"quantile({_check_level(name)!r})"
    return check_choice("loss", name, NAMES)


def _check_level(name: str) -> float:
    text = name.removeprefix("quantile")
    if not text:
        return MEDIAN
    try:
        level = float(text.removeprefix("(").removesuffix(")"))
    except ValueError:
        level = -1.0
    if not (text.startswith("(") and text.endswith(")") and 0.0 < level < 1.0):
        raise OptionError(
            f"loss is {name!r}, and the level of a quantile must be between 0 and 1, as in 'quantile(0.9)'"
        )
    return level


def row_of(loss: str) -> Loss:
    """Return the row of `TABLE` for a loss that `check_loss` has returned.

    Examples
    --------
    >>> row_of("quantile(0.9)").code == QUANTILE
    True
    """
    return TABLE[CODES[loss.partition("(")[0]]]


def level_of(loss: str) -> float:
    """Return the level of quantile; that of other losses counts for nothing.

    Examples
    --------
    >>> level_of("quantile(0.9)"), level_of("huber")
    (0.9, 0.5)
    """
    return _check_level(loss) if row_of(loss).code == QUANTILE else MEDIAN


def check_output(loss: str, output_activation: str, n_outputs: int) -> None:
    """Raise `OptionError` unless the loss and the output layer go together.

    The cross-entropies take the logarithm of a probability, so they need an activation that returns
    probabilities. poisson takes the logarithm of a mean, so it needs positive outputs. The squared and
    absolute errors, huber and quantile go with every activation.

    Examples
    --------
    >>> check_output("categorical_cross_entropy", "softmax", 3)
    >>> check_output("binary_cross_entropy", "tanh", 1)
    Traceback (most recent call last):
    ...
    fastbp.errors.OptionError: loss='binary_cross_entropy' goes with output_activation 'sigmoid', not 'tanh'
    """
    fitting = row_of(loss).outputs
    if fitting and output_activation not in fitting:
        listed = ", ".join(map(repr, fitting))
        raise OptionError(f"loss={loss!r} goes with output_activation {listed}, not {output_activation!r}")
    if output_activation == "softmax" and n_outputs == 1:
        raise OptionError(
            "output_activation is 'softmax', and softmax of a single output is always 1; for two classes "
            "take two outputs, or one with output_activation='sigmoid', loss='binary_cross_entropy'"
        )


def smoothed_targets(loss: str, Y: np.ndarray, share: float, n_outputs: int, dtype: np.dtype) -> np.ndarray:
    """Return targets of classes with a share of the probability divided among all of them.

    A target t becomes ``(1 - s) t + s / K`` for the K classes of categorical_cross_entropy, and
    ``(1 - s) t + s / 2`` for yes and no of binary_cross_entropy: Szegedy et al. (2016), "Rethinking the
    Inception architecture", section 7, https://arxiv.org/abs/1512.00567.

    Parameters
    ----------
    loss : str
    Y : ndarray
        As `check_targets` returns them.
    share : float
        s, from 0 to below 1. With 0, Y itself is returned.
    n_outputs : int
    dtype : dtype
        That of the result.

    Raises
    ------
    OptionError
        If the loss is not one of classes.

    Examples
    --------
    >>> smoothed_targets("categorical_cross_entropy", np.array([0, 2]), 0.3, 3, np.dtype("float64"))
    array([[0.8, 0.1, 0.1],
           [0.1, 0.1, 0.8]])
    """
    if share == 0:
        return Y
    if loss not in OF_CLASSES:
        raise OptionError(
            f"{as_option('label_smoothing')} is for classes, and goes with the losses "
            f"{' and '.join(map(repr, OF_CLASSES))}, not {loss!r}"
        )
    if Y.ndim == 1:
        Y = np.eye(n_outputs, dtype=dtype)[Y]
    smoothed: np.ndarray = Y * (1 - share) + share / (n_outputs if loss == OF_CLASSES[0] else 2)
    return smoothed.astype(dtype, copy=False)


OF_CLASSES = ("categorical_cross_entropy", "binary_cross_entropy")
"""Losses whose targets are probabilities."""

LOWEST_TARGETS = {"binary_cross_entropy": 0.0, "categorical_cross_entropy": 0.0, "poisson": 0.0}
HIGHEST_TARGETS = {"binary_cross_entropy": 1.0}
"""What targets may be at least and at most, with losses that do not take any finite number."""


def check_targets(loss: str, Y: np.ndarray, n_outputs: int) -> np.ndarray:
    """Return the targets in the form that kernels take, or name the first that the loss does not allow.

    Parameters
    ----------
    loss : str
        One of `NAMES`.
    Y : ndarray, shape (n_samples, n_outputs), or (n_samples,) for class labels
        Finite real numbers.
    n_outputs : int
        Outputs of the network.

    Returns
    -------
    ndarray
        Class labels as C-contiguous, aligned int64, shape (n_samples,). Other targets are returned unchanged.

    Raises
    ------
    DataError
        If a target is out of range. The message names the first one by its row and column.
    ShapeError
        If Y has the wrong shape, as class labels have for every loss but categorical_cross_entropy.

    Examples
    --------
    >>> check_targets("categorical_cross_entropy", np.array([2, 0, 1]), 3)
    array([2, 0, 1])
    >>> check_targets("binary_cross_entropy", np.array([[0.0], [2.0]]), 1)
    Traceback (most recent call last):
    ...
    fastbp.errors.DataError: Y[1, 0] is 2.0, and with loss='binary_cross_entropy' targets must be from 0 to 1
    """
    if Y.ndim == 1 and loss == "categorical_cross_entropy":
        return _check_labels(Y, n_outputs)
    if Y.ndim != 2 or Y.shape[1] != n_outputs:
        raise ShapeError(f"Y has shape {Y.shape}, and with loss={loss!r} must be (n_samples, {n_outputs})")
    lowest, highest = LOWEST_TARGETS.get(loss, -np.inf), HIGHEST_TARGETS.get(loss, np.inf)
    if not (Y.min() >= lowest and Y.max() <= highest):
        row, column = np.argwhere(~((lowest <= Y) & (highest >= Y)))[0]
        _refuse(loss, f"Y[{row}, {column}] is {Y[row, column]}")
    if loss == "categorical_cross_entropy":
        sums = Y.sum(axis=1, dtype=np.float64)
        wrong = np.flatnonzero(np.abs(sums - 1.0) > SUM_TOLERANCE)
        if wrong.size:
            _refuse(loss, f"the sum of row Y[{wrong[0]}] is {sums[wrong[0]]:.6g}")
    return Y


def _check_labels(labels: np.ndarray, n_outputs: int) -> np.ndarray:
    allowed = f"and class labels must be integers from 0 to {n_outputs - 1}"
    if labels.dtype.kind not in "iubf":
        raise DataError(f"Y has dtype {labels.dtype}, {allowed}")
    wrong = np.flatnonzero(~((labels >= 0) & (labels < n_outputs) & (labels == np.floor(labels))))
    if wrong.size:
        raise DataError(f"Y[{wrong[0]}] is {labels[wrong[0]]}, {allowed}")
    return np.require(labels, np.int64, ["C_CONTIGUOUS", "ALIGNED"])


def _refuse(loss: str, found: str) -> None:
    raise DataError(f"{found}, and with loss={loss!r} targets must be {row_of(loss).targets}")
