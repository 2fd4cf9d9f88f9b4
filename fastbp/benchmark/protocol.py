"""The protocol: first every contender must reach the reference's parameters, then all are timed in turns."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from fastbp.benchmark.cases import Case
from fastbp.benchmark.contenders import PYTHON_LOCALS, C, Contender, Train, UnavailableError

CHECKED_STEPS = (7, 10_000)
"""A few steps show a step too many or samples out of order; many show what adds up."""

RTOL = {"float64": 1e-9, "float32": 1e-4}
"""How far a parameter may be from the float64 reference.

Contenders are seen to differ by up to 4e-15 and 6e-6, since each rounds in its own order. Taking the
update in another order, the nearest wrong answer, is off by 4e-3.
"""

BASELINES = (C, PYTHON_LOCALS)
"""What the others are compared with: the first of these that could be timed."""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Protocol:
    """How contenders are timed: in rounds, in each of which every contender runs for one slice of time."""

    rounds: int = 21
    slice_seconds: float = 0.025


QUICK = Protocol(rounds=3, slice_seconds=0.004)
"""Shows that all works; its numbers are rough."""


@dataclass(frozen=True)
class Result:
    """What became of one contender on one case.

    Attributes
    ----------
    contender : Contender
    status : {"timed", "skipped", "wrong"}
    reason : str
        Why it was not timed.
    ns_per_step : ndarray, shape (n_rounds,)
        Nanoseconds a step in each round; empty if it was not timed.
    """

    contender: Contender
    status: str
    reason: str = ""
    ns_per_step: np.ndarray = field(default_factory=lambda: np.empty(0))


@dataclass(frozen=True)
class Comparison:
    """The results of all contenders on one case."""

    case: Case
    results: tuple[Result, ...]

    @property
    def baseline(self) -> Result | None:
        """What the others are compared with, if it could be timed."""
        timed = {result.contender: result for result in self.results if result.status == "timed"}
        return next((timed[contender] for contender in BASELINES if contender in timed), None)

    def speedup(self, result: Result) -> np.ndarray:
        """Return, for each round, how many times as fast as the baseline a contender was."""
        if self.baseline is None or result.status != "timed":
            return np.empty(0)
        return self.baseline.ns_per_step / result.ns_per_step


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
        Is told now and then what is going on.
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
        reason = difference(train, references, RTOL[contender.dtype])
        if reason:
            results[contender] = Result(contender, "wrong", reason)
        else:
            trains[contender] = train
    times = time_in_turns(
        list(trains.values()),
        protocol,
        lambda done: progress(f"{case.name}: round {done + 1} of {protocol.rounds}"),
    )
    for contender, column in zip(trains, times.T, strict=True):
        results[contender] = Result(contender, "timed", ns_per_step=column)
    return Comparison(case, tuple(results[contender] for contender in contenders))


@np.errstate(all="ignore")
def difference(train: Train, references: dict[int, np.ndarray], rtol: float) -> str:
    """Say where a contender's parameters differ from the reference's, or return "" if they do not."""
    for steps, expected in references.items():
        theta = train(steps).astype(np.float64)
        wrong = ~(np.abs(theta - expected) <= rtol * np.abs(expected))  # NaN is wrong too
        if wrong.any():
            i = int(np.argmax(wrong))
            return f"after {steps:,} steps theta[{i}] is {theta[i]:.9g}, and must be {expected[i]:.9g}"
    return ""


def time_in_turns(trains: Sequence[Train], protocol: Protocol, progress: Callable[[int], None]) -> np.ndarray:
    """Return nanoseconds a step, of shape (n_rounds, n_trains).

    In a round every contender runs for one slice, so what disturbs the machine disturbs all. The order
    is reversed every other round, so that nobody always follows the same one.
    """
    steps = [calibrated_steps(train, protocol.slice_seconds) for train in trains]
    times = np.empty((protocol.rounds, len(trains)))
    for i in range(protocol.rounds):
        progress(i)
        order = range(len(trains)) if i % 2 == 0 else reversed(range(len(trains)))
        for j in order:
            times[i, j] = time_call(trains[j], steps[j]) / steps[j]
    return times


def calibrated_steps(train: Train, seconds: float) -> int:
    """Return how many steps take about that long, judged by a call of half as long or more."""
    steps, nanoseconds = 64, 0
    while nanoseconds < seconds * 1e9 / 2:
        steps *= 2
        nanoseconds = time_call(train, steps)
    return max(1, round(steps * seconds * 1e9 / nanoseconds))


def time_call(train: Train, steps: int) -> int:
    """Return how many nanoseconds a call takes, at least 1."""
    started = time.perf_counter_ns()
    train(steps)
    return max(1, time.perf_counter_ns() - started)
