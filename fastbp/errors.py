"""The exceptions that fastbp raises, and the helpers that word a wrong choice and a wrong number."""

import difflib
import operator
from collections.abc import Iterable


class FastbpError(Exception):
    """Base of every exception of fastbp."""


class OptionError(FastbpError, ValueError):
    """An argument has a value that it may not have."""


class ShapeError(FastbpError, ValueError):
    """An array's shape does not fit the network or the other arrays."""


class DataError(FastbpError, ValueError):
    """The data cannot be trained on: empty, not numeric, NaN or infinite."""


class ModelFileError(FastbpError, ValueError):
    """A model file or a checkpoint is damaged, or is none, or comes from a newer fastbp."""


class CheckpointError(FastbpError, ValueError):
    """A checkpoint is of another run than the one that is to be resumed, or there is none."""


class CheckpointWarning(UserWarning):
    """A checkpoint could not be written, or a run is resumed that may not have the same bits."""


class NotSupportedError(FastbpError, NotImplementedError):
    """The request makes sense, and this version of fastbp cannot do it yet."""


class DivergenceError(FastbpError, ArithmeticError):
    """A parameter or the loss stopped being finite.

    Attributes
    ----------
    step : int
        The first step after which something was not finite; 0 if it was so before training.
    """

    def __init__(self, message: str, step: int):
        super().__init__(message)
        self.step = step

    def __reduce__(self) -> tuple[type, tuple[str, int]]:
        return type(self), (str(self), self.step)  # pickle, and so multiprocessing, would leave out the step


def check_choice(argument: str, value: object, choices: Iterable[str]) -> str:
    """Return `value` if it is one of `choices`, and otherwise say what it may be."""
    choices = tuple(choices)
    listed = ", ".join(repr(choice) for choice in choices)
    if isinstance(value, str):
        if value in choices:
            return value
        near = difflib.get_close_matches(value, choices, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise OptionError(f"{argument} is {value!r}, and may be {listed}{hint}")
    raise OptionError(f"{argument} is {value!r}, and must be a string: {listed}")


def check_integer(argument: str, value: object, least: int) -> int:
    """Return `value` as an int if it is an integer of at least `least`, and otherwise say so."""
    try:
        integer = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        integer = least - 1
    if integer < least or isinstance(value, bool):
        raise OptionError(f"{argument} is {value!r}, and must be an integer of at least {least}")
    return integer
