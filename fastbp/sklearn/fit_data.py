"""What a fit is given, checked: samples, validation samples, first parameters, those of the fit before."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.utils import column_or_1d
from sklearn.utils.validation import validate_data

from fastbp.sklearn.quick import is_column, is_matrix, take_features


def validated(estimator: Any, X: Any, y: Any, reset: bool, **more: Any) -> tuple[Any, Any]:
    """Return X and y as scikit-learn checks them, or raise what it raises."""
    if is_matrix(X) and is_column(y, len(X)) and take_features(estimator, X, reset):
        return X, y
    X, y = validate_data(
        estimator,
        X,
        y,
        accept_sparse=["csr", "csc"],
        multi_output=True,
        dtype=(np.float64, np.float32),
        reset=reset,
        **more,
    )
    if y.ndim == 2 and y.shape[1] == 1:
        y = column_or_1d(y, warn=True)
    return X.tocsr() if hasattr(X, "tocsr") else X, y


def check_goes_on(estimator: Any, hidden: list[int]) -> None:
    """Raise `ValueError` if a fit would need another network than the one before it had."""
    (output, loss), n_outputs = estimator._form, estimator.coefs_[-1].shape[1]
    if estimator.n_outputs_ != n_outputs:
        raise ValueError(f"y has {estimator.n_outputs_} outputs, and that of the fit before had {n_outputs}")
    if len(hidden) != len(estimator.coefs_) - 1:
        raise ValueError(
            f"hidden_layer_sizes has {len(hidden)} layers, and the fit before had {len(estimator.coefs_) - 1}"
        )
    if output != estimator.out_activation_:
        raise ValueError(
            f"loss is {estimator.loss!r}, whose output activation is {output}; that of the fit before was "
            f"{estimator.out_activation_}"
        )
    if estimator._present_network().specification.loss_name != loss:
        del estimator._shown  # a network of the present loss is made


class Validation:
    """Samples on which the score is computed after every epoch.

    Attributes
    ----------
    X, y, weights
        Checked. y is as the estimator encodes it.
    labels
        y as the user gave it, for scorers.
    """

    def __init__(self, X: Any, y: Any, labels: Any, weights: np.ndarray | None):
        self.X, self.y, self.labels, self.weights = X, y, labels, weights


def take_given(views: list[np.ndarray], given: Sequence[Any]) -> None:
    """Write the user's first parameters into those of the network."""
    shapes = [np.shape(array) for array in given]
    if shapes != [view.shape for view in views]:
        raise ValueError(
            f"coefs_init or intercepts_init have the shapes {shapes}, and must have "
            f"{[view.shape for view in views]}"
        )
    for view, array in zip(views, given, strict=True):
        view[...] = array
