"""Checks that take microseconds where nothing is to be converted or refused; else, scikit-learn's are made.

scikit-learn's checks of a small array and its labels take ten times as long as an epoch of training on them.
Here are the questions whose answer "yes" proves that they would change and raise nothing.
"""

import math
from collections.abc import Callable
from functools import cache, wraps
from operator import is_
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from fastbp.checks import SMALL

FLOATS = (np.dtype(np.float64), np.dtype(np.float32))

PLAIN = (bool, int, float, str, type(None))
"""Types of parameters whose equality says all about them."""

_valid: set[tuple] = set()
"""Parameters of estimators that scikit-learn has found valid."""

_last: dict[type, tuple] = {}
"""The last of them, for each class: the same objects are found valid in a third of the time of equal ones."""

MOST_VALID = 10_000


def is_matrix(X: Any) -> bool:
    """Whether X is a matrix of finite floats with rows and columns, to be read as it is."""
    return (
        type(X) is np.ndarray
        and X.dtype in FLOATS
        and X.ndim == 2
        and X.size > 0
        and (flags := X.flags).c_contiguous
        and flags.aligned
        and _is_finite(X)
    )


def is_column(y: Any, n: int) -> bool:
    """Whether y is an array of n finite numbers, in one dimension."""
    return (
        type(y) is np.ndarray
        and y.shape == (n,)
        and (y.dtype.kind in "iub" or (y.dtype in FLOATS and _is_finite(y)))
    )


def _is_finite(array: np.ndarray) -> bool:
    """Whether a sum over all elements proves that they are finite.

    A product of a large array with itself would be faster, but starts threads of the linear algebra library,
    which go on waiting for work and take the cores from the fit.
    """
    if array.size <= SMALL:
        return math.isfinite(np.vdot(array, array))
    with np.errstate(over="ignore", invalid="ignore"):
        return math.isfinite(array.sum())


def take_features(estimator: Any, X: np.ndarray, reset: bool) -> bool:
    """Note that a matrix has so many features, without names, or say whether the fit before had the same."""
    known = vars(estimator)
    if reset:
        known["n_features_in_"] = X.shape[1]
        known.pop("feature_names_in_", None)
        return True
    return known.get("n_features_in_") == X.shape[1] and "feature_names_in_" not in known


@cache
def parameter_names(cls: Any) -> tuple[str, ...]:
    """Return the names of the parameters of an estimator's class; scikit-learn reads its signature anew."""
    return tuple(BaseEstimator._get_param_names.__func__(cls))


def validate_parameters(estimator: Any) -> None:
    """Do what the estimator's `_validate_params` does, once for parameters of equal types and values."""
    cls = estimator.__class__
    values = tuple(map(vars(estimator).get, parameter_names(cls)))
    last = _last.get(cls)
    if last is not None and all(map(is_, values, last)):
        return
    key = (cls, tuple(map(type, values)), values)
    try:
        if key in _valid:
            _last[cls] = values
            return
    except TypeError:  # a list or an array among them
        pass
    if get_config()["skip_parameter_validation"]:
        return
    estimator._validate_params()
    if all(map(_is_plain, values)) and len(_valid) < MOST_VALID:
        _valid.add(key)


def _is_plain(value: Any) -> bool:
    return type(value) in PLAIN or (type(value) is tuple and all(type(item) is int for item in value))


_idle: list[np.random.RandomState] = []
"""Generators that no fit uses. To make one takes 100 us or more, to seed one takes 2."""


def is_seed(random_state: Any) -> bool:
    """Whether a fit with this `random_state` draws from a generator that nobody else has."""
    return isinstance(random_state, (int, np.integer)) and not isinstance(random_state, bool)


def with_generator(fit: Callable[..., Any]) -> Callable[..., Any]:
    """Give a method of an estimator, as its first argument, the generator that its `random_state` says."""

    @wraps(fit)
    def run(estimator: Any, *arguments: Any, **options: Any) -> Any:
        seed = estimator.random_state
        if not is_seed(seed):
            return fit(estimator, check_random_state(seed), *arguments, **options)
        generator = _idle.pop() if _idle else np.random.RandomState()
        try:
            generator.seed(seed)
            return fit(estimator, generator, *arguments, **options)
        finally:
            _idle.append(generator)

    return run
