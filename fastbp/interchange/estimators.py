"""Fitted multilayer perceptrons of scikit-learn, and estimators like them, as networks.

Only public attributes are read, so scikit-learn is not imported and need not be installed. ``coefs_`` become
W, ``intercepts_`` become b, and ``activation``, ``out_activation_`` and ``loss`` get the names that they have
here.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbp.errors import OptionError, shown
from fastbp.interchange.model_file import StoredModel
from fastbp.preprocessing import ClassTarget, NumberColumn, NumberTarget, Preprocessing
from fastbp.specification import Specification

ACTIVATIONS = {"logistic": "sigmoid"}
"""Activations of scikit-learn that have another name here."""

LOSSES = {"squared_error": "half_squared_error", "absolute_error": "mean_absolute_error"}
"""Losses of scikit-learn that have another name here."""

LOG_LOSSES = {"softmax": "categorical_cross_entropy", "logistic": "binary_cross_entropy"}
"""What log_loss is, by the activation of the output."""

KINDS = ({str}, {int}, {bool})
"""Types of labels that a model file can hold."""


def stored_model(estimator: Any) -> StoredModel:
    """Return what a model file stores of a fitted estimator: see `Network.from_sklearn`."""
    coefs, intercepts = _parameters(estimator)
    activation = estimator.activation
    hidden = [activation] * (len(coefs) - 1) if isinstance(activation, str) else list(activation)
    output = estimator.out_activation_
    specification = Specification(
        (len(coefs[0]), *(W.shape[1] for W in coefs)),
        tuple(ACTIVATIONS.get(name, name) for name in hidden),
        output_activation=ACTIVATIONS.get(output, output),
        loss_name=_loss(estimator, output),
        dtype=coefs[0].dtype,
    )
    theta = np.concatenate([np.ravel(part) for pair in zip(coefs, intercepts, strict=True) for part in pair])
    preprocessing = _preprocessing(estimator, specification)
    return StoredModel(specification, theta, preprocessing, {"made_by": type(estimator).__name__})


def _parameters(estimator: Any) -> tuple[Sequence[np.ndarray], Sequence[np.ndarray]]:
    if not all(hasattr(estimator, name) for name in ("hidden_layer_sizes", "activation", "fit")):
        raise OptionError(
            f"estimator is {shown(estimator)}, and must be an MLPClassifier or MLPRegressor; of a pipeline "
            "or a search, take the fitted step: pipeline[-1], search.best_estimator_"
        )
    if not hasattr(estimator, "coefs_"):
        raise OptionError(f"estimator is {shown(estimator)}, and is not fitted: call fit first")
    return estimator.coefs_, estimator.intercepts_


def _loss(estimator: Any, output: str) -> str:
    name: str = getattr(estimator, "loss", "squared_error")
    if name == "quantile":
        return f"quantile({estimator.quantile})"
    return LOG_LOSSES[output] if name == "log_loss" else LOSSES.get(name, name)


def _preprocessing(estimator: Any, specification: Specification) -> Preprocessing | None:
    """Return the names of the inputs and the labels, where a model file has a form for them."""
    target: NumberTarget | ClassTarget | None
    classes = getattr(estimator, "classes_", None)
    if classes is None:
        target = NumberTarget("y", 0.0, 1.0) if specification.n_outputs == 1 else None
    elif (
        specification.output_activation == "softmax" and {type(label) for label in classes.tolist()} in KINDS
    ):
        target = ClassTarget("y", tuple(classes.tolist()))
    else:
        target = None
    names = getattr(estimator, "feature_names_in_", [f"x{i}" for i in range(specification.n_inputs)])
    if target is None or "y" in names:
        return None
    columns = tuple(NumberColumn(str(name), 0.0, 1.0) for name in names)
    return Preprocessing(columns, target, standardize=False)
