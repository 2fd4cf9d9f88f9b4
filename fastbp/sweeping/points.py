"""Points of a search space by their number: any process makes those that it needs, and all make the same.

A trial is a point of the space and the start of a network, by a global number. What is random about trial i
is a function of the sweep's seed and of i alone, by the mixing function of SplitMix64 (Steele, Lea & Flood
2014, "Fast splittable pseudorandom number generators", https://doi.org/10.1145/2714064.2660195).
"""

import copy
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from fastbp.errors import OptionError, as_option
from fastbp.spaces import NETWORK, Integers, Space

SAMPLINGS = ("random", "halton", "grid")

LONGEST_STRETCH = 64
"""The most trials with consecutive numbers that share a structure: they fill the lanes of a kernel."""

SHORTEST_STRETCH = 16
"""So many share one, if the space has more structures than all trials could try in the longest stretches."""

HALTON_PART = 1024
"""Points of Halton's sequence are made in parts of so many."""

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def mixed(numbers: np.ndarray) -> np.ndarray:
    """Return SplitMix64's function of 64-bit numbers: a bijection whose values look random."""
    z = numbers + GOLDEN
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def hashed(seed: int, numbers: np.ndarray, stream: int = 0) -> np.ndarray:
    """Return a random 64-bit number for each of some numbers.

    Parameters
    ----------
    seed : int
        Its parts of 64 bits count one after the other.
    numbers : int64[n]
    stream : int
        Another stream has other numbers.

    Returns
    -------
    uint64[n]
    """
    key = np.array([stream], np.uint64)
    while True:
        key = mixed(key ^ mixed(np.array([seed & (2**64 - 1)], np.uint64)))
        seed >>= 64
        if not seed:
            return mixed(key ^ mixed(numbers.astype(np.uint64)))


def fractions(seed: int, numbers: np.ndarray, stream: int = 0) -> np.ndarray:
    """Return a random number, at least 0 and below 1, for each of some numbers; float64[n].

    Examples
    --------
    >>> fractions(0, np.arange(3)).round(3).tolist() == fractions(0, np.arange(5))[:3].round(3).tolist()
    True
    """
    return (hashed(seed, numbers, stream) >> np.uint64(11)).astype(np.float64) * 2.0**-53


@dataclass(frozen=True, eq=False)
class Points:
    """The points of a sweep.

    Parameters
    ----------
    space : Space
    n_trials : int
    sampling : {"random", "halton", "grid"}
    seed : int

    Attributes
    ----------
    stretch : int
        How many trials with consecutive numbers share a structure. Every structure comes once before one
        comes again, in an order that is drawn anew each time.
    """

    space: Space
    n_trials: int
    sampling: str
    seed: int

    def __post_init__(self) -> None:
        if self.sampling == "grid":
            grid_size(self.space)
        elif self.sampling == "halton" and self.space.of_networks:
            _halton(len(self.space.of_networks), self.seed)

    @property
    def stretch(self) -> int:
        """How many trials with consecutive numbers share a structure."""
        fair = self.n_trials // self.space.n_structures
        return min(LONGEST_STRETCH, max(1, fair, min(SHORTEST_STRETCH, self.n_trials // LONGEST_STRETCH)))

    def structures(self, trials: np.ndarray) -> np.ndarray:
        """Return the number of the structure of each trial; int64[n]."""
        n = self.space.n_structures
        if self.sampling == "grid":
            return trials % grid_size(self.space) // (grid_size(self.space) // n)
        if n == 1:
            return np.zeros(len(trials), np.int64)
        rounds, places = np.divmod(trials // self.stretch, n)
        found = np.empty(len(trials), np.int64)
        for number in np.unique(rounds):
            chosen = rounds == number
            found[chosen] = _order(self.seed, n, int(number))[places[chosen]]
        return found

    def values(self, trials: np.ndarray) -> dict[str, np.ndarray]:
        """Return the hyper-parameters of each network that the space has; float64[n] or int64[n] each."""
        names = self.space.of_networks
        if self.sampling == "grid":
            return self._of_grid(trials)
        if self.sampling == "halton" and names:
            u = list(_halton_points(len(names), self.seed, trials))
        else:
            u = [fractions(self.seed, trials, 1 + NETWORK.index(name)) for name in names]
        return {name: self._at(name, one) for name, one in zip(names, u, strict=True)}

    def numbers(self, trials: np.ndarray) -> np.ndarray:
        """Return the number that the start weights of each network are drawn by; int64[n].

        It is that of the trial, or the seed that the space gives it.
        """
        return self.values(trials)["seed"] if "seed" in self.space.of_networks else trials

    def configuration(self, trial: int) -> dict[str, Any]:
        """Return the hyper-parameters of one trial."""
        at = np.array([trial])
        structure = self.space.structure(int(self.structures(at)[0]))
        return structure | {name: column[0].item() for name, column in self.values(at).items()}

    def _at(self, name: str, u: np.ndarray) -> np.ndarray:
        if name in self.space.distributions:
            return self.space.distributions[name].at(u)
        choices = np.array(self.space.choices[name])
        return choices[np.minimum((u * len(choices)).astype(np.int64), len(choices) - 1)]

    def _of_grid(self, trials: np.ndarray) -> dict[str, np.ndarray]:
        place = trials % (grid_size(self.space) // self.space.n_structures)
        found = {}
        for name in reversed(self.space.of_networks):
            levels = _levels(self.space, name)
            place, at = np.divmod(place, len(levels))
            found[name] = levels[at]
        return {name: found[name] for name in self.space.of_networks}


def grid_size(space: Space) -> int:
    """Return how many points the grid of a space has.

    Examples
    --------
    >>> grid_size(Space({"hidden": [8, 16], "learning_rate": [0.1, 0.01, 0.001]}))
    6
    """
    return int(np.prod([len(_levels(space, name)) for name in space.of_networks], initial=space.n_structures))


def _levels(space: Space, name: str) -> np.ndarray:
    if name in space.choices:
        return np.array(space.choices[name])
    found = space.distributions[name]
    if not isinstance(found, Integers):
        raise OptionError(
            f"{as_option('sampling')} is 'grid', and {name} of the space is {found!r}; give a list, such as "
            f"numpy.linspace({found.low:g}, {found.high:g}, 5)"
        )
    if len(found) > 2**20:
        raise OptionError(
            f"{as_option('sampling')} is 'grid', and {name} of the space has {len(found):,} values"
        )
    return np.arange(found.low, found.high + 1)


@lru_cache(maxsize=16)
def _order(seed: int, n_structures: int, number: int) -> np.ndarray:
    """Return the order in which the structures come the next time."""
    each = np.arange(number * n_structures, (number + 1) * n_structures)
    return np.argsort(hashed(seed, each, 100), kind="stable")


@lru_cache(maxsize=4)
def _halton(n_dimensions: int, seed: int) -> Any:
    """Return Halton's sequence, which takes some time to scramble."""
    try:
        from scipy.stats import qmc
    except ImportError:
        raise OptionError(
            f"{as_option('sampling', 'halton')} needs SciPy; install it: pip install 'fastbp[sweep]'"
        ) from None
    return qmc.Halton(n_dimensions, scramble=True, rng=np.random.default_rng([seed, 7]))


@lru_cache(maxsize=64)
def _halton_part(n_dimensions: int, seed: int, part: int) -> np.ndarray:
    """Return a part of Halton's sequence; a point has the same bits in every order of parts."""
    sequence = copy.copy(_halton(n_dimensions, seed))  # of its own, at its beginning
    sequence.fast_forward(part * HALTON_PART)
    return sequence.random(HALTON_PART).T


def _halton_points(n_dimensions: int, seed: int, trials: np.ndarray) -> np.ndarray:
    points = np.empty((n_dimensions, len(trials)))
    parts, places = np.divmod(trials, HALTON_PART)
    for part in np.unique(parts):
        chosen = parts == part
        points[:, chosen] = _halton_part(n_dimensions, seed, int(part))[:, places[chosen]]
    return points
