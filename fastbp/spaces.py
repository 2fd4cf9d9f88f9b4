"""Search spaces: what the hyper-parameters of a sweep may be.

A space is a dictionary. Each value is a list of choices, one of the distributions here, or a single value.

>>> space = Space({"hidden": [16, (32, 32)], "learning_rate": LogUniform(1e-4, 1e-1), "batch_size": 32})
>>> space.of_structure, space.of_networks, space.n_structures
(('hidden', 'batch_size'), ('learning_rate',), 2)

Networks that differ only in learning rate, momentum, l2, dropout and seed train together, as one population.
The other hyper-parameters, the structure, make populations of their own.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp.errors import (
    OptionError,
    as_option,
    check_integer,
    check_number,
    is_flag,
    nearest,
    settle,
    shown,
)

STRUCTURE = ("hidden", "activation", "optimizer", "batch_size")
"""Hyper-parameters that all networks of a population share."""

NETWORK = ("learning_rate", "momentum", "l2", "dropout", "seed")
"""Hyper-parameters that each network of a population has for itself."""

NAMES = STRUCTURE + NETWORK

LARGEST_SEED = 2**53 - 1
"""The largest seed that a space may have: seeds go through float64 numbers."""


@dataclass(frozen=True)
class Uniform:
    """A number between two bounds, all equally likely.

    Parameters
    ----------
    low, high : float

    Examples
    --------
    >>> Uniform(0.0, 2.0).at(np.array([0.0, 0.25, 0.5])).tolist()
    [0.0, 0.5, 1.0]
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        settle(self, check_number, "low", "high", low=-math.inf)
        if self.low >= self.high:
            raise OptionError(f"low is {self.low:g} and high is {self.high:g}, and low must be below high")

    def at(self, u: np.ndarray) -> np.ndarray:
        """Return the values at these fractions, each at least 0 and below 1, of the distribution."""
        return np.minimum(self.low + (self.high - self.low) * u, self.high)

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g}"


@dataclass(frozen=True)
class LogUniform:
    """A number between two bounds above 0, whose logarithm is uniform.

    Parameters
    ----------
    low, high : float
        Above 0.

    Examples
    --------
    >>> LogUniform(1e-4, 1.0).at(np.array([0.0, 0.25, 0.5])).round(6).tolist()
    [0.0001, 0.001, 0.01]
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        settle(self, check_number, "low", "high", above=True)
        if self.low >= self.high:
            raise OptionError(f"low is {self.low:g} and high is {self.high:g}, and low must be below high")

    def at(self, u: np.ndarray) -> np.ndarray:
        """Return the values at these fractions, each at least 0 and below 1, of the distribution."""
        low, high = math.log(self.low), math.log(self.high)
        return np.clip(np.exp(low + (high - low) * u), self.low, self.high)

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g} (log)"


@dataclass(frozen=True)
class Integers:
    """An integer between two bounds, both included.

    Parameters
    ----------
    low, high : int
    log : bool, default False
        Whether its logarithm is uniform instead of itself; `low` is then at least 1.

    Examples
    --------
    >>> Integers(1, 4).at(np.array([0.0, 0.25, 0.999])).tolist()
    [1, 2, 4]
    >>> Integers(1, 64, log=True).at(np.array([0.0, 0.5, 0.999])).tolist()
    [1, 8, 64]
    """

    low: int
    high: int
    log: bool = False

    def __post_init__(self) -> None:
        settle(self, check_integer, "low", "high", least=1 if self.log else 0, most=LARGEST_SEED)
        if self.low > self.high:
            raise OptionError(f"low is {self.low} and high is {self.high}, and low must be at most high")

    def __len__(self) -> int:
        return self.high - self.low + 1

    def at(self, u: np.ndarray) -> np.ndarray:
        """Return the values at these fractions, each at least 0 and below 1, of the distribution."""
        if not self.log:
            return self.low + np.minimum((u * len(self)).astype(np.int64), len(self) - 1)
        low, high = math.log(self.low), math.log(self.high + 1)
        return np.clip(np.exp(low + (high - low) * u).astype(np.int64), self.low, self.high)

    def __str__(self) -> str:
        return f"{self.low}..{self.high}" + (" (log)" if self.log else "")


Distribution = Uniform | LogUniform | Integers

BOUNDS: dict[str, dict[str, Any]] = {
    "learning_rate": {},
    "momentum": {"high": 1.0, "below": True},
    "l2": {},
    "dropout": {"high": 1.0, "below": True},
}
"""What numbers each hyper-parameter may be."""

USUAL: dict[str, Any] = {
    "hidden": [8, 16, 32, 64, (32, 32)],
    "activation": ["relu", "tanh"],
    "optimizer": "adam",
    "learning_rate": LogUniform(1e-4, 1e-1),
    "l2": LogUniform(1e-7, 1e-2),
    "batch_size": 32,
}
"""The space of a sweep if none is given."""


class Space:
    """A search space, checked.

    Parameters
    ----------
    values : mapping
        A list of choices, a distribution or a single value, by the name of the hyper-parameter: "hidden" (the
        sizes of the hidden layers: an integer, or a tuple of them), "activation", "optimizer" (a name, or an
        optimizer of fastbp), "learning_rate", "momentum", "l2", "dropout", "batch_size" and "seed".

    Attributes
    ----------
    choices : dict of tuple
        The choices of each hyper-parameter that has some; one, for a single value.
    distributions : dict
        The distribution of each of the others.
    of_structure, of_networks : tuple of str
        What varies of the structure, and within a population.
    n_structures : int
        How many structures there are.

    Raises
    ------
    OptionError
        If a name is unknown, or a value is not what it may be.
    """

    def __init__(self, values: Mapping[str, Any]):
        if not isinstance(values, Mapping):
            raise OptionError(
                f"space is {shown(values)}, and must be a dictionary, such as "
                "{'learning_rate': fastbp.spaces.LogUniform(1e-4, 1e-1)}"
            )
        self.choices: dict[str, tuple[Any, ...]] = {}
        self.distributions: dict[str, Distribution] = {}
        for name, value in values.items():
            if name not in NAMES:
                raise OptionError(
                    f"the space has {name!r}, and may have {', '.join(NAMES)}{nearest(name, NAMES)}"
                )
            if isinstance(value, Distribution):
                self.distributions[name] = _checked(name, value)
            else:
                self.choices[name] = _as_choices(name, value)
        for name in STRUCTURE:
            if name in self.distributions:  # a population of its own for each value
                integers = self.distributions.pop(name)
                assert isinstance(integers, Integers)
                self.choices[name] = tuple(range(integers.low, integers.high + 1))
        self.of_structure = tuple(name for name in STRUCTURE if name in self.choices)
        self.of_networks = tuple(name for name in NETWORK if name in values)
        self.n_structures = math.prod(len(self.choices[name]) for name in self.of_structure)

    def structure(self, number: int) -> dict[str, Any]:
        """Return a structure by its number: the last hyper-parameter changes fastest.

        Examples
        --------
        >>> Space({"hidden": [8, 16], "activation": ["relu", "tanh"]}).structure(1)
        {'hidden': (8,), 'activation': 'tanh'}
        """
        found = {}
        for name in reversed(self.of_structure):
            number, place = divmod(number, len(self.choices[name]))
            found[name] = self.choices[name][place]
        return {name: found[name] for name in self.of_structure}

    def as_document(self) -> dict[str, Any]:
        """Return the space as JSON values, to compare it with another."""
        choices = {name: [_plain(value) for value in values] for name, values in self.choices.items()}
        return choices | {
            name: {"distribution": type(one).__name__, **vars(one)}
            for name, one in self.distributions.items()
        }


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return value if value is None or isinstance(value, str | int | float) else repr(value)


def _as_choices(name: str, value: Any) -> tuple[Any, ...]:
    """Return checked choices, or the single value as one."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    several = isinstance(value, list) or (isinstance(value, tuple) and name != "hidden")
    values = list(value) if several else [value]
    if not values:
        raise OptionError(f"{name} of the space is an empty list; it must have a choice")
    checked = tuple(_check_value(f"{name} of the space", name, item) for item in values)
    for i, item in enumerate(checked):
        if item in checked[:i]:
            raise OptionError(f"{name} of the space has the choice {shown(item)} twice")
    return checked


def _check_value(argument: str, name: str, value: Any) -> Any:
    """Return one choice, checked as far as it can be without the data."""
    if name == "hidden":
        if isinstance(value, list | tuple):
            return tuple(check_integer(argument, size, 1) for size in value)
        size = check_integer(argument, value, 0)
        return (size,) if size else ()
    if name == "batch_size":
        return None if value is None else check_integer(argument, value, 1)
    if name == "seed":
        return check_integer(argument, value, 0, LARGEST_SEED)
    if name in BOUNDS:
        return check_number(argument, value, **BOUNDS[name])
    if name == "activation" and not isinstance(value, str):
        raise OptionError(f"{argument} has {shown(value)}, and must have names, such as 'relu'")
    if value is None or is_flag(value):
        raise OptionError(f"{argument} has {shown(value)}")
    return value


def _checked(name: str, value: Distribution) -> Distribution:
    """Return a distribution, if it may be that of the hyper-parameter."""
    argument = f"{as_option(name)} of the space"
    if name in ("seed", "batch_size"):
        if not isinstance(value, Integers):
            raise OptionError(f"{argument} is {value!r}, and must be Integers or a list of integers")
        if name == "batch_size" and value.low < 1:
            raise OptionError(f"{argument} is {value!r}, and must be at least 1")
        if name == "batch_size" and len(value) > 4096:
            raise OptionError(f"{argument} has {len(value):,} values; give a list of some of them")
        return value
    if name not in BOUNDS:
        raise OptionError(f"{argument} is {value!r}, and must be a list of choices")
    for bound in (value.low, value.high):
        if not (name in ("momentum", "dropout") and bound == value.high == 1.0):
            check_number(argument, bound, **BOUNDS[name])
    return value


def parse(name: str, text: str) -> Any:
    """Return what a text says of a hyper-parameter: choices with / between, or a range with .. between.

    A range of learning rates or l2 is uniform in its logarithm, others are uniform; a range that ends in
    ``:log`` or ``:linear`` is as it says.

    Raises
    ------
    OptionError
        If the text says nothing of the kind.

    Examples
    --------
    >>> parse("hidden", "8/32,32/0"), parse("batch_size", "16/all"), parse("activation", "relu/tanh")
    ([(8,), (32, 32), ()], [16, None], ['relu', 'tanh'])
    >>> parse("learning_rate", "1e-4..0.1"), parse("l2", "0..0.1:linear"), parse("seed", "0..9")
    (LogUniform(low=0.0001, high=0.1), Uniform(low=0.0, high=0.1), Integers(low=0, high=9, log=False))
    """
    if ".." in text and name not in ("hidden", "activation", "optimizer"):
        bounds, _, scale = text.partition(":")
        low, _, high = bounds.partition("..")
        if scale not in ("", "log", "linear"):
            raise OptionError(f"{as_option(name)} is {text!r}, and a range may end in :log or :linear")
        if name in ("batch_size", "seed"):
            return Integers(_number(name, low, int), _number(name, high, int), scale == "log")
        kind = LogUniform if scale == "log" or (not scale and name in ("learning_rate", "l2")) else Uniform
        return kind(_number(name, low, float), _number(name, high, float))
    return [_parse_choice(name, choice.strip()) for choice in text.split("/")]


def _parse_choice(name: str, text: str) -> Any:
    if name in ("activation", "optimizer"):
        return text
    if name == "hidden":
        sizes = tuple(_number(name, size, int) for size in text.split(","))
        return () if sizes == (0,) else sizes
    if name == "batch_size" and text == "all":
        return None
    return _number(name, text, int if name in ("batch_size", "seed") else float)


def _number(name: str, text: str, kind: type[int] | type[float]) -> Any:
    try:
        return kind(text)
    except ValueError:
        example = {int: "8/16/32", float: "0.1/0.01, or 1e-4..1e-1"}[kind]
        raise OptionError(f"{as_option(name)} has {text!r}, and may be such as {example}") from None
