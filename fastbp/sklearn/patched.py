"""The classes that `fastbp.patch_sklearn` puts in place of scikit-learn's.

A fit is fastbp's. What fastbp cannot do, scikit-learn's own code does:

- what fastbp's estimator refuses with `NotSupportedError`;
- estimators that scikit-learn's code fitted, and that pickle brought here: they predict with it until they
  are fitted again;
- classes derived from these that replace a method of scikit-learn's inside, such as ``_backprop``: they are
  derived from scikit-learn's own class.

Each fit writes a line to the logger ``fastbp.sklearn``, at level INFO: which of the two ran it, and why. With
``FASTBP_VERBOSE=1`` in the environment, it is also printed on standard error.

A pickle of such an estimator names fastbp, and can be loaded with or without a patch. If fastbp is missing,
pickle says ``No module named 'fastbp'``. If it is older than the fastbp that wrote the pickle, a warning says
so. A pickle of ``estimator.to_sklearn()`` needs scikit-learn alone.
"""

import importlib
import inspect
import logging
import operator
import os
import sys
import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

from sklearn.base import BaseEstimator
from sklearn.utils.metaestimators import available_if

from fastbp import sklearn as estimators
from fastbp._version import __version__
from fastbp.errors import NotSupportedError, PatchWarning
from fastbp.sklearn.conversion import FITTED, ORIGINALS, to_sklearn
from fastbp.sklearn.perceptron import has_partial_fit

VERBOSE = "FASTBP_VERBOSE"
"""The environment variable that says, as 1, that each fit prints which of the two ran it."""

logger = logging.getLogger("fastbp.sklearn")


def inner_names(original: type) -> frozenset[str]:
    """Return the names of the methods that scikit-learn's class has inside."""
    return frozenset(
        name
        for cls in original.__mro__
        if cls.__module__.startswith("sklearn.neural_network")
        for name, value in vars(cls).items()
        if name.startswith("_") and not name.startswith("__") and inspect.isfunction(value)
    )


class _Derivable(type(estimators.MLPClassifier)):  # type: ignore[misc]
    """Makes a class that replaces methods inside scikit-learn's derive from scikit-learn's own class."""

    def __new__(metaclass, name: str, bases: tuple, namespace: dict[str, Any], **options: Any) -> type:
        originals = {base: base.original for base in bases if isinstance(base, _Derivable)}
        inner = sorted(set(namespace).intersection(*map(inner_names, originals.values())))
        if not originals or not inner:
            return super().__new__(metaclass, name, bases, namespace, **options)
        logger.info("%s derives from scikit-learn's own class: it replaces %s", name, ", ".join(inner))
        own = tuple(originals.get(base, base) for base in bases)
        return type(own[0])(name, own, namespace, **options)


class Either(BaseEstimator):
    """An estimator of fastbp that turns to scikit-learn's own code for what fastbp cannot do."""

    original: Any
    _own: Any = None
    """scikit-learn's estimator, if its code made the last fit."""

    def _run(self, ours: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Run a fit on fastbp, or else on scikit-learn, and say on which."""
        method = ours.__name__
        if self._own is not None and (method == "partial_fit" or self.warm_start):
            reason, own = "it made the fit before", self._own.set_params(**self._shared_parameters())
        else:
            try:
                ours(self, *arguments, **options)
            except NotSupportedError as error:
                if beyond := [*self._beyond(), *options.keys() - {"sample_weight", "classes"}]:
                    raise NotSupportedError(
                        f"{error}; nor can scikit-learn, with {', '.join(beyond)}"
                    ) from None
                reason = str(error)
                goes_on = method == "partial_fit" or self.warm_start
                own = to_sklearn(self) if goes_on else self.original(**self._shared_parameters())
            else:
                self.__dict__.pop("_own", None)
                self._tell(method, "fastbp")
                return self
        getattr(own, method)(*arguments, **options)
        self._take(own)
        self._tell(method, f"scikit-learn's own code: {reason}")
        return self

    def _tell(self, method: str, by: str) -> None:
        name = type(self).__name__
        logger.info("%s.%s ran on %s", name, method, by)
        if os.environ.get(VERBOSE) == "1":
            print(f"fastbp: {name}.{method} ran on {by}", file=sys.stderr)

    def _take(self, own: Any) -> None:
        """Predict with scikit-learn's estimator from now on, and show its attributes."""
        self._own = own
        self.__dict__.update((name, getattr(own, name)) for name in FITTED if hasattr(own, name))

    def _shared_parameters(self) -> dict[str, Any]:
        known = inspect.signature(self.original).parameters
        return {name: value for name, value in self.get_params(deep=False).items() if name in known}

    def _beyond(self) -> list[str]:
        """Return the parameters that differ from their defaults and that scikit-learn lacks."""
        known, ours = (inspect.signature(cls).parameters for cls in (self.original, type(self)))
        return [
            name
            for name, value in self.get_params(deep=False).items()
            if name not in known and value is not ours[name].default
        ]

    def to_sklearn(self) -> Any:
        """Return scikit-learn's own estimator: see fastbp's estimator of this name."""
        return to_sklearn(self, self.original)

    def __getstate__(self) -> dict[str, Any]:
        state = {**super().__getstate__(), "_fastbp_version": __version__}
        return state if self._own is None else state | {"_own": self._own.__getstate__()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        version = state.pop("_fastbp_version", None)
        if version is None:  # scikit-learn's own estimator
            state = self._state_of(state)
        elif _numbers(version) > _numbers(__version__):
            warnings.warn(
                f"this {type(self).__name__} was pickled by fastbp {version}, and this is {__version__}: "
                f"it may need the newer one, pip install 'fastbp[sklearn]>={version}'",
                PatchWarning,
                stacklevel=2,
            )
        if "_own" in state:
            state["_own"] = self._made_own(state["_own"])
        super().__setstate__(state)

    def _made_own(self, state: dict[str, Any]) -> Any:
        own = self.original.__new__(self.original)
        own.__setstate__(state)
        return own

    def _state_of(self, state: dict[str, Any]) -> dict[str, Any]:
        """Return the state of one of ours that scikit-learn's own estimator of this state has fitted."""
        defaults = {name: p.default for name, p in inspect.signature(type(self)).parameters.items()}
        given = {name: value for name, value in state.items() if name in defaults or name in FITTED}
        return defaults | given | ({"_own": state} if "coefs_" in state else {})


def _numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, for comparisons."""
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def fitting(ours: Callable[..., Any]) -> Any:
    """Return a method that fits on fastbp by a method of its estimator, or else on scikit-learn."""

    @wraps(ours)
    def fit(self: Either, *arguments: Any, **options: Any) -> Any:
        return self._run(ours, *arguments, **options)

    return fit


def predicting(ours: Callable[..., Any]) -> Any:
    """Return a method of whichever estimator was fitted."""

    @wraps(ours)
    def predict(self: Either, *arguments: Any, **options: Any) -> Any:
        if self._own is None:
            return ours(self, *arguments, **options)
        return getattr(self._own, ours.__name__)(*arguments, **options)

    return predict


class MLPClassifier(Either, estimators.MLPClassifier, metaclass=_Derivable):
    """fastbp's classifier in place of scikit-learn's."""

    original = ORIGINALS["MLPClassifier"]
    fit = fitting(estimators.MLPClassifier.fit)
    partial_fit = available_if(has_partial_fit)(fitting(estimators.MLPClassifier.partial_fit))
    predict = predicting(estimators.MLPClassifier.predict)
    predict_proba = predicting(estimators.MLPClassifier.predict_proba)


class MLPRegressor(Either, estimators.MLPRegressor, metaclass=_Derivable):
    """fastbp's regressor in place of scikit-learn's."""

    original = ORIGINALS["MLPRegressor"]
    fit = fitting(estimators.MLPRegressor.fit)
    partial_fit = fitting(estimators.MLPRegressor.partial_fit)
    predict = predicting(estimators.MLPRegressor.predict)


class _Import:
    """Is pickled as a call that imports a module."""

    def __init__(self, name: str):
        self._name = name

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return importlib.import_module, (self._name,)


class Pair(NamedTuple):
    """A class of scikit-learn, and the one that replaces it."""

    original: Any
    replacement: Any

    @property
    def obstacle(self) -> str:
        """Why the one cannot replace the other: a parameter of another name, place or default; or nothing."""
        theirs, ours = (list(inspect.signature(cls).parameters.values()) for cls in self)
        for parameter, own in zip(theirs, [*ours, *[None] * len(theirs)], strict=False):
            if own is None or own.name != parameter.name:
                return f"its parameter {parameter.name} is unknown"
            if own.default != parameter.default:
                return f"the default of its parameter {parameter.name} is {parameter.default!r}"
        return ""

    def reduce_original(self, estimator: Any) -> tuple[Any, ...]:
        """Return how scikit-learn's estimator is pickled while its class is replaced.

        It is made by whatever has the class's name in scikit-learn when it is loaded, and needs no fastbp.
        """
        name = self.original.__name__
        return operator.methodcaller(name), (_Import("sklearn.neural_network"),), estimator.__getstate__()


PAIRS = {
    "MLPClassifier": Pair(ORIGINALS["MLPClassifier"], MLPClassifier),
    "MLPRegressor": Pair(ORIGINALS["MLPRegressor"], MLPRegressor),
}

for pair in PAIRS.values():  # so that isinstance with scikit-learn's own class, imported before, is true
    pair.original.register(pair.replacement)
