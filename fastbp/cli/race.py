"""The race: fastbp over all requested steps, against an extrapolation for pure Python."""

import platform
import textwrap
from dataclasses import dataclass, replace

import numpy as np

import fastbp
from fastbp.benchmark.cases import WORKED_EXAMPLE
from fastbp.benchmark.contenders import FASTBP, PYTHON_LOCALS, PYTHON_OBJECTS
from fastbp.benchmark.protocol import calibrated_steps, time_call
from fastbp.cli.tables import WIDTH, rounded, table

MEASURED_SECONDS = 0.5
"""Seconds for which each pure Python contender is measured."""

TOLERANCE = 1e-9
"""Largest allowed difference of the contenders' weights after 1,000 steps; rounding makes about 1e-15.

`fastbp.benchmark.gate` divides by the change of the weights, which may be 0 at the user's learning rate.
"""

NAMES = {
    FASTBP: "fastbp",
    PYTHON_LOCALS: f"Python {platform.python_version()}, local variables",
    PYTHON_OBJECTS: f"Python {platform.python_version()}, an object a neuron",
}


@dataclass(frozen=True)
class Racer:
    """A way to train: how many steps were measured, and the time of all steps at that pace."""

    name: str
    measured_steps: int
    nanoseconds_per_step: float
    seconds: float
    times_as_slow: float


@dataclass(frozen=True)
class Race:
    """The racers over `n_steps` steps; the first is fastbp, the baseline of the others."""

    n_steps: int
    largest_difference: float
    contenders: list[Racer]

    @property
    def agreed(self) -> bool:
        """Whether all reached the same weights; NaN means no."""
        return self.largest_difference < TOLERANCE


@np.errstate(all="ignore")
def run_race(n_steps: int, learning_rate: float, measured_seconds: float = MEASURED_SECONDS) -> Race:
    """Check that all reach the same weights, then time fastbp over all steps and Python over half a second.

    The check also compiles the kernel, so that the race does not wait for it.
    """
    case = replace(WORKED_EXAMPLE, learning_rate=learning_rate)
    trains = {name: contender.prepare(case) for contender, name in NAMES.items()}
    try:
        outcomes = [train(1000) for train in trains.values()]
    except OverflowError:
        raise fastbp.OptionError(
            f"--race at learning rate {learning_rate:g}: exp overflows in plain Python; "
            "race at a smaller rate"
        ) from None
    racers: list[Racer] = []
    for name, train in trains.items():
        measured = calibrated_steps(train, measured_seconds, 1000) if racers else n_steps
        pace = time_call(train, measured) / measured
        slower = pace / racers[0].nanoseconds_per_step if racers else 1.0
        racers.append(Racer(name, measured, pace, pace * n_steps * 1e-9, slower))
    return Race(n_steps, float(np.max(np.abs(np.subtract(outcomes[1:], outcomes[0])))), racers)


def race_text(race: Race) -> str:
    """Return the race as a table."""
    lines = [
        [
            contender.name,
            rounded(contender.nanoseconds_per_step),
            f"{rounded(contender.seconds)} s",
            rounded(contender.times_as_slow),
        ]
        for contender in race.contenders
    ]
    header = ["", "ns a step", f"time for {race.n_steps:,}", "times as slow"]
    agreement = (
        f"After 1,000 steps, the weights of all agree to within {race.largest_difference:.0e}."
        if race.agreed
        else f"Their weights do NOT agree: after 1,000 steps they differ by {race.largest_difference:.0e}."
    )
    python_steps = " and ".join(f"{contender.measured_steps:,}" for contender in race.contenders[1:])
    remark = (
        f"fastbp took all {race.n_steps:,} steps. Pure Python was measured on {python_steps} steps, and "
        f"extrapolated. {agreement}"
    )
    return "\n\n".join(
        [
            f"The race: {race.n_steps:,} training steps on one core, simultaneous update.",
            table(header, {"": lines}, ["left", "right", "right", "right"]),
            textwrap.fill(remark, WIDTH),
        ]
    )
