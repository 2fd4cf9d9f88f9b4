"""Estimators of fastbp as scikit-learn's own, with the same predictions."""

import copy
import inspect
from typing import Any

import numpy as np
from sklearn import neural_network
from sklearn.preprocessing import LabelBinarizer

from fastbp.errors import NotSupportedError

FITTED = (
    "n_features_in_",
    "feature_names_in_",
    "n_layers_",
    "n_outputs_",
    "out_activation_",
    "classes_",
    "coefs_",
    "intercepts_",
    "loss_",
    "loss_curve_",
    "best_loss_",
    "validation_scores_",
    "best_validation_score_",
    "n_iter_",
    "t_",
)
"""The attributes of a fitted estimator, where it has them."""

CHOICES = {
    "solver": ("lbfgs", "sgd", "adam"),
    "learning_rate": ("constant", "invscaling", "adaptive"),
    "loss": ("squared_error", "poisson"),
}
"""Values that scikit-learn knows. Others do not change predictions; scikit-learn's default replaces them."""

ORIGINALS: dict[str, Any] = {
    name: getattr(neural_network, name) for name in ("MLPClassifier", "MLPRegressor")
}
"""scikit-learn's own classes: this module is imported before `fastbp.patch_sklearn` replaces any."""

ACTIVATIONS = ("identity", "logistic", "tanh", "relu")


def to_sklearn(estimator: Any, original: type | None = None) -> Any:
    """Return scikit-learn's own estimator with the parameters, coefficients and predictions of one of ours.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        Fitted or not.
    original : type, optional
        scikit-learn's class. The default is the one that has the estimator's name there.

    Raises
    ------
    NotSupportedError
        If scikit-learn's perceptrons do not have its activations.
    """
    original = original or _original(estimator)
    made = original(**_parameters(estimator, original))
    for name in FITTED:
        if hasattr(estimator, name):
            setattr(made, name, copy.deepcopy(getattr(estimator, name)))
    if hasattr(estimator, "coefs_"):
        made._no_improvement_count = 0
        if hasattr(estimator, "classes_"):
            made._label_binarizer = _label_binarizer(made)
    return made


def _original(estimator: Any) -> type:
    """Return scikit-learn's class for an estimator."""
    return next(ORIGINALS[cls.__name__] for cls in type(estimator).__mro__ if cls.__name__ in ORIGINALS)


def _parameters(estimator: Any, original: type) -> dict[str, Any]:
    """Return the parameters that scikit-learn's class has, with values that it knows."""
    known = inspect.signature(original).parameters
    given = {name: value for name, value in estimator.get_params(deep=False).items() if name in known}
    activations = given["activation"]
    names = {activations} if isinstance(activations, str) else set(activations)
    names = {"logistic" if name == "sigmoid" else name for name in names}
    if len(names) > 1 or not names <= set(ACTIVATIONS):
        raise NotSupportedError(
            f"activation is {activations!r}: scikit-learn has one of {ACTIVATIONS} for all hidden layers"
        )
    given["activation"] = next(iter(names), known["activation"].default)
    for name, values in CHOICES.items():
        if name in given and given[name] not in values:
            given[name] = known[name].default
    return given


def _label_binarizer(estimator: Any) -> LabelBinarizer:
    """Return what scikit-learn's classifier turns outputs into labels with."""
    several = estimator.out_activation_ == "logistic" and estimator.n_outputs_ > 1
    return LabelBinarizer().fit(np.zeros((2, estimator.n_outputs_), int) if several else estimator.classes_)


class Convertible:
    """An estimator that scikit-learn has, too."""

    def to_sklearn(self) -> Any:
        """Return scikit-learn's own estimator with the same parameters, coefficients and predictions.

        Its pickle needs no fastbp. Parameters that scikit-learn lacks are left out; a solver, rate or loss
        that it does not know becomes its default, which changes no prediction.

        Returns
        -------
        sklearn.neural_network.MLPClassifier or sklearn.neural_network.MLPRegressor
            A copy, fitted if this estimator is.

        Raises
        ------
        NotSupportedError
            If scikit-learn's perceptrons do not have the activations of this one.
        """
        return to_sklearn(self)
