"""Successive halving: which trials train how long. All of it is a function of numbers, not of time.

Trials are divided into shards. Within a shard, all trials train for the epochs of the first rung; the best
``1 / halving`` of them go on to the next rung, and so on (Jamieson & Talwalkar 2016, "Non-stochastic best arm
identification and hyperparameter optimization", https://proceedings.mlr.press/v51/jamieson16.html). No shard
waits for another. So shards may run in any order, at any time and anywhere, and the result is the same.

Hyperband runs several brackets, from many trials that begin with few epochs to few trials that all train to
the end (Li et al. 2018, https://jmlr.org/papers/v18/16-558.html). Here, a bracket is a range of trials.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np


def rungs_of(epochs: int, halving: int | None, min_epochs: int) -> tuple[int, ...]:
    """Return the epochs after which trials are compared; the last are all epochs.

    Examples
    --------
    >>> rungs_of(81, 3, 1), rungs_of(100, 3, 10), rungs_of(100, None, 1)
    ((1, 3, 9, 27, 81), (12, 34, 100), (100,))
    """
    rungs = [epochs]
    while halving and rungs[0] > 1 and epochs >= min_epochs * halving ** len(rungs):
        rungs.insert(0, -(-epochs // halving ** len(rungs)))
    return tuple(sorted(set(rungs)))


def n_kept(n_trials: int, halving: int) -> int:
    """Return how many of some trials go on.

    Examples
    --------
    >>> n_kept(2048, 3), n_kept(4, 3), n_kept(1, 3)
    (683, 2, 1)
    """
    return -(-n_trials // halving)


def best(scores: np.ndarray, n: int) -> np.ndarray:
    """Return the places of the n lowest scores, the lowest first; of equal ones, the first comes first.

    A score that is not a number counts as infinite.

    Examples
    --------
    >>> best(np.array([0.3, np.nan, 0.1, 0.3]), 3).tolist()
    [2, 0, 3]
    """
    return np.argsort(np.where(np.isnan(scores), np.inf, scores), kind="stable")[:n]


@dataclass(frozen=True)
class Bracket:
    """A range of trials that have the same rungs.

    Attributes
    ----------
    start, stop : int
    rungs : tuple of int
        Epochs after which they are compared.
    """

    start: int
    stop: int
    rungs: tuple[int, ...]


def brackets_of(
    n_trials: int, epochs: int, halving: int | None, min_epochs: int, hyperband: bool
) -> tuple[Bracket, ...]:
    """Return the brackets: one, or those of Hyperband, which have nearly the same number of epochs in all.

    Examples
    --------
    >>> [(bracket.stop - bracket.start, bracket.rungs) for bracket in brackets_of(130, 9, 3, 1, True)]
    [(75, (1, 3, 9)), (35, (3, 9)), (20, (9,))]
    """
    rungs = rungs_of(epochs, halving, min_epochs)
    if not hyperband or halving is None:
        return (Bracket(0, n_trials, rungs),)
    each = [rungs[i:] for i in range(len(rungs))]
    shares = [1 / _epochs_a_trial(one, halving) for one in each]
    ends = [round(n_trials * total / sum(shares)) for total in accumulate(shares)]
    starts = [0, *ends[:-1]]
    return tuple(
        Bracket(start, stop, one) for start, stop, one in zip(starts, ends, each, strict=True) if start < stop
    )


def _epochs_a_trial(rungs: Sequence[int], halving: int | None) -> float:
    """Return the mean of the epochs that a trial trains."""
    total, share, before = 0.0, 1.0, 0
    for rung in rungs:
        total += share * (rung - before)
        share, before = share / (halving or 1), rung
    return total


@dataclass(frozen=True)
class Shard:
    """Trials that one process trains together.

    Attributes
    ----------
    number : int
    start, stop : int
        The range of the trials.
    rungs : tuple of int
    """

    number: int
    start: int
    stop: int
    rungs: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """How the trials of a sweep are divided.

    Attributes
    ----------
    brackets : tuple of Bracket
    shard_size : int
        The most trials of a shard.
    halving : int or None
        One of so many trials goes on to the next rung.
    """

    brackets: tuple[Bracket, ...]
    shard_size: int
    halving: int | None

    def __len__(self) -> int:
        """Return the number of shards."""
        return sum(map(self._n_shards, self.brackets))

    def __iter__(self) -> Iterator[Shard]:
        return map(self.shard, range(len(self)))

    @property
    def n_trials(self) -> int:
        """How many trials there are."""
        return self.brackets[-1].stop

    @property
    def mean_epochs(self) -> float:
        """The epochs that a trial trains in the mean."""
        epochs = [(one.stop - one.start) * _epochs_a_trial(one.rungs, self.halving) for one in self.brackets]
        return sum(epochs) / self.n_trials

    def shard(self, number: int) -> Shard:
        """Return a shard by its number. Those of a bracket differ by at most one trial.

        Examples
        --------
        >>> plan = Plan(brackets_of(1000, 27, 3, 1, False), 300, 3)
        >>> [(shard.start, shard.stop) for shard in plan]
        [(0, 250), (250, 500), (500, 750), (750, 1000)]
        """
        place = number
        for bracket in self.brackets:
            n_shards = self._n_shards(bracket)
            if place < n_shards:
                n = bracket.stop - bracket.start
                start, stop = (bracket.start + n * i // n_shards for i in (place, place + 1))
                return Shard(number, start, stop, bracket.rungs)
            place -= n_shards
        raise IndexError(number)

    def _n_shards(self, bracket: Bracket) -> int:
        return -(-(bracket.stop - bracket.start) // self.shard_size)
