"""What a run is to do, checked and settled before it starts."""

import math
from dataclasses import dataclass

import numpy as np

from fastbp.errors import NotSupportedError, OptionError, check_choice, check_integer
from fastbp.optimizers import SGD

UPDATES = ("simultaneous", "sequential")
MATHS = ("fast", "exact")

MAX_RECORDS = 1000
"""Losses kept of one run, besides the one before training."""

FREE_EVALUATIONS = 2**16
"""Samples whose loss may be evaluated before that must stay under 1/100 of the steps: about 1 ms."""


@dataclass(frozen=True)
class Plan:
    """A run's settings."""

    n_steps: int
    record_every: int
    learning_rate: float
    update: str
    shuffle: bool
    generator_state: int
    math: str

    @property
    def n_records(self) -> int:
        """How many losses the run records: the first, one each `record_every` steps, and the last."""
        return 1 + math.ceil(self.n_steps / self.record_every)

    def record_steps(self, n_recorded: int) -> np.ndarray:
        """Return the steps after which the first `n_recorded` losses were taken."""
        return np.minimum(np.arange(n_recorded) * self.record_every, self.n_steps)


def make_plan(
    n_samples: int,
    *,
    epochs: int | None,
    steps: int | None,
    batch_size: int | None,
    optimizer: SGD,
    update: str,
    shuffle: bool,
    seed: int | None,
    math: str,
) -> Plan:
    """Check the arguments of `fastbp.train` and settle what they leave open."""
    if (epochs is None) == (steps is None):
        raise OptionError(
            f"give exactly one of epochs and steps; epochs is {epochs!r} and steps is {steps!r}"
        )
    batch_size = n_samples if batch_size is None else check_integer("batch_size", batch_size, 1)
    if min(batch_size, n_samples) != 1:
        raise NotSupportedError(
            f"batch_size is {batch_size} of {n_samples} samples, and this version trains one sample a step: "
            "pass batch_size=1"
        )
    if not isinstance(optimizer, SGD):
        raise OptionError(f"optimizer is {optimizer!r}, and may be fastbp.SGD(learning_rate=...)")
    if not isinstance(shuffle, bool | np.bool_):
        raise OptionError(f"shuffle is {shuffle!r}, and may be True, False")
    if steps is None:
        n_steps = check_integer("epochs", epochs, 1) * n_samples
    else:
        n_steps = check_integer("steps", steps, 1)
    if n_steps > 2**62:
        raise OptionError(f"the run would take {n_steps} steps, and may take at most {2**62}")
    return Plan(
        n_steps=n_steps,
        record_every=_record_every(n_steps, n_samples),
        learning_rate=float(optimizer.learning_rate),
        update=check_choice("update", update, UPDATES),
        shuffle=bool(shuffle),
        generator_state=_generator_state(seed),
        math=check_choice("math", math, MATHS),
    )


def _record_every(n_steps: int, n_samples: int) -> int:
    """Return the steps between two recorded losses: whole epochs, as few as cost next to nothing.

    A record evaluates the loss of every sample, which costs up to what a step on that sample costs.
    """
    epochs = -(-n_steps // n_samples)
    affordable = max(FREE_EVALUATIONS // n_samples, epochs // 100, 1)
    return -(-epochs // min(MAX_RECORDS, affordable)) * n_samples


def _generator_state(seed: int | None) -> int:
    if seed is not None:
        seed = check_integer("seed", seed, 0)
    return int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])
