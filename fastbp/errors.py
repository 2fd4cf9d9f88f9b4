"""The exceptions of fastbp, and helpers that check a user's arguments: choices, numbers, flags.

The helpers return a number of any type as Python's own `float` or `int`, so that later computations and
kernels see one type. (An array made from a NumPy integer would hold other bytes.)
"""

import difflib
import math
import operator
import shlex
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from decimal import Decimal
from numbers import Real
from typing import Any

LARGEST_COUNT = 2**62
"""The largest count: kernels count in int64, and may add two counts."""

LARGEST_INTEGER = 2**4096
"""The largest integer that is not a count, such as a seed: Python can still read and write its digits."""


class FastbpError(Exception):
    """Base of every exception of fastbp."""


class OptionError(FastbpError, ValueError):
    """An argument has a value that it may not have."""


class ShapeError(FastbpError, ValueError):
    """An array's shape does not fit the network or the other arrays."""


class DataError(FastbpError, ValueError):
    """The data cannot be trained on: empty, not numeric, NaN or infinite."""


class ModelFileError(FastbpError, ValueError):
    """A file is damaged, or is not a model or checkpoint, or comes from a newer fastbp."""


class CheckpointError(FastbpError, ValueError):
    """A checkpoint belongs to another run than the one to be resumed, or does not exist."""


class CheckpointWarning(UserWarning):
    """A checkpoint could not be written, or a resumed run may give other bits."""


class PatchWarning(UserWarning):
    """A class was imported before `patch_sklearn` replaced it, or a pickle comes from a newer fastbp."""


class DataWarning(UserWarning):
    """Something about the data was guessed, or is unusual."""


class TargetWarning(UserWarning):
    """Some targets are beyond all that the output activation can give."""


class NotSupportedError(FastbpError, NotImplementedError):
    """The request makes sense, and this version of fastbp cannot do it yet."""


class DivergenceError(FastbpError, ArithmeticError):
    """A parameter or the loss stopped being finite.

    Attributes
    ----------
    step : int
        The first step after which something was not finite; 0 if this was so before training.
    """

    def __init__(self, message: str, step: int):
        super().__init__(message)
        self.step = step

    def __reduce__(self) -> tuple[type, tuple[str, int]]:
        return type(self), (str(self), self.step)  # without this, pickle loses the step


IN_SHELL = {
    "layer_sizes": "hidden",
    "hidden_activation": "activation",
    "early_stopping": "patience",
    "n_networks": "networks",
}
"""Arguments whose option has another name in the shell."""

_in_shell: ContextVar[bool] = ContextVar("in_shell", default=False)


@contextmanager
def shell_options() -> Iterator[None]:
    """Let messages name options as they are typed in the shell."""
    token = _in_shell.set(True)
    try:
        yield
    finally:
        _in_shell.reset(token)


def as_option(name: str, value: object = None) -> str:
    """Return an option, and a value to give it, as the user would write it: in Python or in the shell.

    Examples
    --------
    >>> as_option("decimal", ","), as_option("ignore", ["age"]), as_option("task")
    ("decimal=','", "ignore=['age']", 'task')
    >>> with shell_options():
    ...     as_option("skip_rows", 2), as_option("ignore", ["my age"]), as_option("task")
    ('--skip-rows 2', "--ignore 'my age'", '--task')
    """
    if not _in_shell.get():
        return name if value is None else f"{name}={value!r}"
    dashed = IN_SHELL.get(name, name).replace("_", "-")
    if value is None or value is True:
        return f"--{dashed}"
    if value is False:
        return f"--no-{dashed}"
    values = [str(item) for item in value] if isinstance(value, list | tuple) else [str(value)]
    quoted = [f'"{item}"' if "," in item and len(item) > 1 else item for item in values]
    return f"--{dashed} {shlex.quote(','.join(quoted))}"


def as_drawn(value: Any) -> str:
    """Return a distribution with its numbers as the user would write it: in Python or in the shell.

    Examples
    --------
    >>> as_drawn(("uniform", 0.5))
    "('uniform', 0.5)"
    >>> with shell_options():
    ...     as_drawn(("uniform", 0.05, 0.2))
    'uniform(0.05,0.2)'
    """
    if not _in_shell.get() or len(value) == 0:
        return shown(value)
    return f"{value[0]}({','.join(map(str, value[1:]))})"


def number_drawn_by(argument: str, i: int) -> str:
    """Return the name of number i of an argument that is a distribution: in Python or in the shell.

    Examples
    --------
    >>> number_drawn_by("initializer", 1)
    'initializer[1]'
    >>> with shell_options():
    ...     number_drawn_by("initializer", 1)
    'number 1 of --initializer'
    """
    return f"number {i} of {as_option(argument)}" if _in_shell.get() else f"{argument}[{i}]"


def _named(argument: str) -> str:
    """Return an argument as the user writes it: in the shell, an option; ``metrics[0]`` is none there."""
    return as_option(argument) if argument.isidentifier() else argument


def nearest(name: object, names: Iterable[str]) -> str:
    """Return the end of a message that asks for the name that is nearest to one that does not exist.

    Examples
    --------
    >>> nearest("spezies", ["sepal", "species"]), nearest("x", ["sepal"])
    ("; did you mean 'species'?", '')
    """
    found = difflib.get_close_matches(str(name), list(names), n=1)
    if not found:
        lower = {other.lower(): other for other in names}
        found = [lower[near] for near in difflib.get_close_matches(str(name).lower(), lower, n=1)]
    return f"; did you mean {found[0]!r}?" if found else ""


def check_choice(argument: str, value: object, choices: Iterable[str]) -> str:
    """Return `value` if it is one of `choices`, and otherwise say what it may be."""
    choices = tuple(choices)
    if isinstance(value, str) and value in choices:
        return value
    listed = ", ".join(repr(choice) for choice in choices)
    if isinstance(value, str):
        raise OptionError(f"{_named(argument)} is {value!r}, and may be {listed}{nearest(value, choices)}")
    raise OptionError(f"{_named(argument)} is {value!r}, and must be a string: {listed}")


def check_integer(argument: str, value: object, least: int, most: int = LARGEST_COUNT) -> int:
    """Return `value` as an int if it is an integer from `least` to `most`, and otherwise say so."""
    if type(value) is int and least <= value <= most:
        return value
    try:
        # Older versions of NumPy take their bool for an index, with a warning.
        integer = least - 1 if is_flag(value) else int(operator.index(value))  # type: ignore[arg-type]
    except TypeError:
        integer = least - 1
    if integer < least:
        raise OptionError(f"{_named(argument)} is {shown(value)}, and must be an integer of at least {least}")
    if integer > most:
        raise OptionError(
            f"{_named(argument)} is {shown(value)}, and may be at most 2^{most.bit_length() - 1}"
        )
    return integer


def check_sequence(argument: str, value: object, such_as: str) -> tuple[Any, ...]:
    """Return the elements of a sequence that is not a string, and otherwise say what it must be."""
    if type(value) is tuple:
        return value
    try:
        items = iter(() if isinstance(value, str) else value)  # type: ignore[call-overload]
    except TypeError:  # also an array without dimensions, which claims to be iterable
        items = None
    if items is None or isinstance(value, str):
        raise OptionError(f"{_named(argument)} is {shown(value)}, and must be a sequence, such as {such_as}")
    return tuple(items)


def check_seed(seed: object) -> int | None:
    """Return `seed` as an int, or None if it is None, and otherwise say what it may be."""
    return None if seed is None else check_integer("seed", seed, 0, LARGEST_INTEGER)


def check_flag(argument: str, value: object, others: tuple[str | None, ...] = ()) -> bool:
    """Return `value` as a bool if it is Python's or NumPy's, and otherwise say what it may be."""
    if is_flag(value):
        return bool(value)
    may_be = ", ".join(repr(choice) for choice in (*others, True, False))
    raise OptionError(f"{_named(argument)} is {shown(value)}, and may be {may_be}")


def is_flag(value: object) -> bool:
    """Return whether a value is a bool of Python or of NumPy."""
    return isinstance(value, bool) or (_is_scalar(value) and value.dtype == bool)  # type: ignore[attr-defined]


def check_number(
    argument: str,
    value: object,
    low: float = 0.0,
    high: float = math.inf,
    *,
    above: bool = False,
    below: bool = False,
    alternative: str = "",
) -> float:
    """Return `value` as a float if it is a finite number from `low` to `high`, and otherwise say so.

    Parameters
    ----------
    argument : str
        Its name.
    value : object
        A number of any type: see `as_float`.
    low, high : float
    above, below : bool
        Whether the number must lie strictly above `low`, strictly below `high`, as a float.
    alternative : str
        What else the argument may be, in words.

    Examples
    --------
    >>> from fractions import Fraction
    >>> check_number("momentum", Fraction(1, 2), high=1.0, below=True)
    0.5
    >>> check_number("momentum", 1, high=1.0, below=True)
    Traceback (most recent call last):
    ...
    fastbp.errors.OptionError: momentum is 1, and must be a finite number of at least 0 and below 1
    """
    number = value if type(value) is float else as_float(value)
    if (
        number is not None
        and math.isfinite(number)
        and (low < number if above else low <= number)
        and (number < high if below else number <= high)
    ):
        return number
    bounds = "" if low == -math.inf else f" above {low:g}" if above else f" of at least {low:g}"
    if high < math.inf:
        bounds += " and " if bounds else " of "
        bounds += f"below {high:g}" if below else f"at most {high:g}"
    if number is not None and number != value and not math.isnan(number):
        bounds += f"; as a float64 it is {number:g}"
    raise OptionError(
        f"{_named(argument)} is {shown(value)}, and must be a finite number{bounds}{alternative}"
    )


def as_float(value: object) -> float | None:
    """Return a number of any type as a float, or None if the value is not a number.

    Numbers are Python's int, float, Fraction and Decimal, NumPy's numbers, and arrays without dimensions that
    hold one. A bool is not a number. A number too large for a float becomes infinity.

    Examples
    --------
    >>> import numpy as np
    >>> [as_float(value) for value in (1, np.float32(0.5), np.array(2), 10**400, True, "1")]
    [1.0, 0.5, 2.0, inf, None, None]
    """
    if _is_scalar(value):
        value = value[()]  # type: ignore[index]
    if not isinstance(value, Real | Decimal) or isinstance(value, bool):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf  # type: ignore[operator]
    except (TypeError, ValueError):  # NumPy's timedelta, which claims to be an integer; Decimal("sNaN")
        return None


def settle(owner: object, check: Callable[..., object], *fields: str, **bounds: Any) -> None:
    """Replace fields of a frozen dataclass by what their check returns.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Rate:
    ...     initial: float
    ...
    ...     def __post_init__(self):
    ...         settle(self, check_number, "initial", high=1.0)
    >>> Rate(1)
    Rate(initial=1.0)
    """
    for field in fields:
        object.__setattr__(owner, field, check(field, getattr(owner, field), **bounds))


def _is_scalar(value: object) -> bool:
    """Return whether a value is a NumPy scalar or an array without dimensions."""
    return hasattr(value, "dtype") and getattr(value, "shape", None) == ()


def shown(value: object) -> str:
    """Return a value as text for a message, shortened. Python writes no integer of over 4300 digits."""
    try:
        text = repr(value)
    except ValueError:
        return f"a {type(value).__name__} of thousands of digits"
    return text if len(text) <= 200 else f"{text[:180]} ... {text[-15:]}"
