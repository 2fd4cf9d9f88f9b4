"""scikit-learn's classes replaced by fastbp's, and put back: `fastbp.patch_sklearn` and its kin."""

import copyreg
import logging
import sys
import threading
import warnings
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

from fastbp._version import __version__
from fastbp.errors import PatchWarning, check_choice

NAMES = ("MLPClassifier", "MLPRegressor")
"""The classes of scikit-learn that can be replaced."""

logger = logging.getLogger("fastbp.sklearn")

_lock = threading.RLock()


def patch_sklearn(names: str | Iterable[str] | None = None, *, verbose: bool = False) -> None:
    """Replace scikit-learn's multilayer perceptrons by fastbp's, wherever they are imported from afterwards.

    What fastbp cannot do, scikit-learn's own code does: see `fastbp.sklearn.patched`. With
    ``FASTBP_VERBOSE=1`` in the environment, each fit prints which of the two ran it.

    Parameters
    ----------
    names : str or sequence of str, optional
        "MLPClassifier", "MLPRegressor" or both, the default.
    verbose : bool, default False
        Whether to print what was replaced.

    Warns
    -----
    PatchWarning
        If a module has imported a class before: its name there still is scikit-learn's own class.

    Raises
    ------
    OptionError
        If a name is not one of these.
    ModuleNotFoundError
        If scikit-learn is not installed.

    Notes
    -----
    A class stays scikit-learn's own if this version of scikit-learn has parameters or defaults that fastbp
    does not know; a line of the log (logger ``fastbp.sklearn``) says so. A second call does no harm. Any
    thread may call these functions.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.patch_sklearn("MLPRegressor")
    >>> from sklearn.neural_network import MLPClassifier, MLPRegressor
    >>> MLPRegressor.__module__, MLPClassifier.__module__
    ('fastbp.sklearn.patched', 'sklearn.neural_network._multilayer_perceptron')
    >>> fastbp.sklearn_is_patched(), fastbp.sklearn_is_patched("MLPClassifier")
    (True, False)
    >>> fastbp.unpatch_sklearn()
    >>> fastbp.sklearn_is_patched()
    False
    """
    import sklearn

    chosen = _check_names(names)
    replaced: list[str] = []
    early: list[str] = []
    with _lock:
        for name, pair in _pairs().items():
            if name not in chosen:
                continue
            if pair.obstacle:
                logger.warning("%s stays scikit-learn's own: %s", name, pair.obstacle)
                continue
            copyreg.pickle(pair.original, pair.reduce_original)
            early += _replace(pair.original, pair.replacement)
            replaced.append(name)
    for place in early:
        warnings.warn(
            f"{place} was imported before fastbp.patch_sklearn(), and still is scikit-learn's own class. "
            "Call patch_sklearn() before that import.",
            PatchWarning,
            stacklevel=2,
        )
    if verbose:
        listed = ", ".join(replaced) or "nothing"
        print(
            f"fastbp {__version__} replaces of scikit-learn {sklearn.__version__}: {listed}", file=sys.stderr
        )


def unpatch_sklearn(names: str | Iterable[str] | None = None) -> None:
    """Put scikit-learn's own classes back.

    What was imported or made in between stays as it is, and works.

    Parameters
    ----------
    names : str or sequence of str, optional
        "MLPClassifier", "MLPRegressor" or both, the default.
    """
    chosen = _check_names(names)
    with _lock:
        for name, pair in _pairs().items() if "fastbp.sklearn.patched" in sys.modules else ():
            if name in chosen:
                _replace(pair.replacement, pair.original)
                copyreg.dispatch_table.pop(pair.original, None)


def sklearn_is_patched(names: str | Iterable[str] | None = None) -> bool:
    """Return whether all these classes are fastbp's; without names, whether any is.

    Parameters
    ----------
    names : str or sequence of str, optional
        "MLPClassifier", "MLPRegressor" or both.
    """
    chosen = _check_names(names)
    home = sys.modules.get("sklearn.neural_network")
    pairs = _pairs() if "fastbp.sklearn.patched" in sys.modules else {}
    found = [name in pairs and getattr(home, name) is pairs[name].replacement for name in chosen]
    return any(found) if names is None else all(found)


def _check_names(names: str | Iterable[str] | None) -> tuple[str, ...]:
    given = NAMES if names is None else (names,) if isinstance(names, str) else tuple(names)
    return tuple(check_choice("names", name, NAMES) for name in given)


def _pairs() -> dict[str, Any]:
    """Return scikit-learn's classes with ours: pairs, or none if it lacks what ours are built on."""
    try:
        from fastbp.sklearn.patched import PAIRS
    except (ImportError, AttributeError, TypeError) as error:
        logger.warning("nothing of scikit-learn is replaced: %s", error)
        return {}
    return PAIRS


def _replace(old: type, new: type) -> list[str]:
    """Replace a class in scikit-learn's modules, and return the other places where it is."""
    elsewhere = []
    for module, name in list(_holders(old)):
        package = module.__name__.partition(".")[0]
        if package == "sklearn":
            setattr(module, name, new)
        elif package != "fastbp":
            elsewhere.append(f"{module.__name__}.{name}")
    return elsewhere


def _holders(cls: type) -> Iterator[tuple[ModuleType, str]]:
    """Yield each imported module that has a class among its names, with that name."""
    modules = {id(module): module for module in list(sys.modules.values())}  # one may have two names
    for module in modules.values():
        names: Any = getattr(module, "__dict__", None)
        if isinstance(module, ModuleType) and isinstance(names, dict):
            for name, value in list(names.items()):
                if value is cls:
                    yield module, name
