"""The protocol: a contender that passes the gate takes turns with the baseline; a ratio compares one turn.

A round times a pair for every contender: A B in one round, B A in the next. A disturbance of the machine then
affects both, and neither always follows the other. The baseline is paired with itself too; the difference of
this ratio from 1 is the noise of the machine.
"""

import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from fastbp.benchmark.cases import Case
from fastbp.benchmark.contenders import PYTHON_LOCALS, C, Contender, Train, UnavailableError
from fastbp.benchmark.gate import TOLERANCE, judge

CHECKED_STEPS = (7, 10_000)
"""A few steps reveal an extra step or a wrong order of samples; many steps reveal small errors."""

BASELINES = (C, PYTHON_LOCALS)
"""The baseline: the first of these that could be timed, or else the first contender that could."""

MOST_CALIBRATIONS, FASTEST_GROWTH = 20, 16.0
"""Lengths that are tried until a turn takes the time that it should, and how fast they may grow."""

Key = TypeVar("Key", bound=Hashable)
Progress = Callable[[str], None]


class LostError(Exception):
    """A contender can no longer be timed: it failed, ended, or does not answer."""


@dataclass(frozen=True)
class Protocol:
    """How many rounds, and for how many seconds each, contenders are timed."""

    rounds: int
    turn_seconds: float


FULL = Protocol(rounds=21, turn_seconds=0.025)
QUICK = Protocol(rounds=3, turn_seconds=0.004)
"""It shows that everything works; its numbers are rough."""


@dataclass(frozen=True)
class Result:
    """The result of one contender on one case.

    Attributes
    ----------
    contender : Contender
    status : {"timed", "skipped", "wrong"}
    reason : str
        Why it was not timed.
    pairs : ndarray, shape (n_rounds, 2)
        Nanoseconds a step in each round, of the baseline and of this contender; empty if it was not timed.
        Each of the baseline's pairs is two timings of the baseline.
    """

    contender: Contender
    status: str
    reason: str = ""
    pairs: np.ndarray = field(default_factory=lambda: np.empty((0, 2)))

    @property
    def speedup(self) -> np.ndarray:
        """How many times as fast as the baseline it was in each round."""
        return self.pairs[:, 0] / self.pairs[:, 1]


@dataclass(frozen=True)
class Comparison:
    """The results of all contenders on one case, and their baseline, or None if none was timed."""

    case: Case
    results: tuple[Result, ...]
    baseline: Contender | None


def compare(
    case: Case, contenders: Sequence[Contender], protocol: Protocol, progress: Progress = lambda text: None
) -> Comparison:
    """Check all contenders on a case, and time those that are right.

    Parameters
    ----------
    case : Case
        In float64; a contender gets it in its own dtype.
    contenders : sequence of Contender
    protocol : Protocol
    progress : callable, optional
        Called now and then with a text that says what is being done.
    """
    references = {steps: case.reference_theta(steps) for steps in CHECKED_STEPS}
    results: dict[Contender, Result] = {}
    trains: dict[Contender, Train] = {}
    for contender in contenders:
        progress(f"{case.name}: checking {contender}")
        try:
            train = contender.prepare(case.with_dtype(contender.dtype))
        except UnavailableError as error:
            results[contender] = Result(contender, "skipped", str(error))
            continue
        reason, _ = judge(train, references, case.theta, TOLERANCE[contender.dtype])
        if reason:
            results[contender] = Result(contender, "wrong", reason)
        else:
            trains[contender] = train
    baseline = next((contender for contender in (*BASELINES, *trains) if contender in trains), None)
    if baseline is not None:
        steps = {each: calibrated_steps(train, protocol.turn_seconds) for each, train in trains.items()}
        pairs = time_pairs(
            baseline,
            trains,
            protocol.rounds,
            lambda contender: time_call(trains[contender], steps[contender]) / steps[contender],
            lambda done: progress(f"{case.name}: round {done + 1} of {protocol.rounds}"),
        )
        results |= {each: Result(each, "timed", pairs=found) for each, found in pairs.items()}
    return Comparison(case, tuple(results[contender] for contender in contenders), baseline)


def time_pairs(
    first: Key,
    others: Iterable[Key],
    rounds: int,
    nanoseconds: Callable[[Key], float],
    progress: Callable[[int], None],
) -> dict[Key, np.ndarray]:
    """Return pairs [first, other] of nanoseconds a step, one per round, for every other that is not lost.

    Parameters
    ----------
    first : hashable
        The one that all others are compared with.
    others : iterable of hashable
    rounds : int
    nanoseconds : callable
        Times a contender once, in nanoseconds a step; it may raise `LostError`.
    progress : callable
        Called with the number of rounds done.
    """
    pairs: dict[Key, list[tuple[float, float]]] = {other: [] for other in others}
    for i in range(rounds):
        progress(i)
        for other in list(pairs):
            order = (first, other) if i % 2 == 0 else (other, first)
            try:
                a, b = (nanoseconds(each) for each in order)
            except LostError:
                del pairs[other]
            else:
                pairs[other].append((a, b) if i % 2 == 0 else (b, a))
    return {other: np.array(found) for other, found in pairs.items()}


def calibrated_steps(train: Train, seconds: float, epoch: int = 1) -> int:
    """Return the steps, in whole epochs, that take about this time: one that was tried.

    Of two calls the shorter is judged. One may take milliseconds more: if it compiles, or if its process was
    suspended before. Both may, when a second thread runs for the first time; longer calls show that.
    """
    time_call(train, epoch)
    epochs = 1
    for _ in range(MOST_CALIBRATIONS):
        nanoseconds = min(time_call(train, epochs * epoch) for _ in range(2))
        factor = seconds * 1e9 / nanoseconds
        if 3 / 4 <= factor <= 4 / 3 or (epochs == 1 and factor < 1):
            break
        epochs = max(1, round(epochs * min(factor, FASTEST_GROWTH)))
    return epoch * epochs


def time_call(train: Train, steps: int) -> int:
    """Return how many nanoseconds a call takes, at least 1."""
    started = time.perf_counter_ns()
    train(steps)
    return max(1, time.perf_counter_ns() - started)
