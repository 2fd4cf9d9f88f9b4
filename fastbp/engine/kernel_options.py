"""What a run is to do, checked and settled before it starts."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fastbp.checks import check_threads, check_weights
from fastbp.errors import (
    LARGEST_COUNT,
    LARGEST_INTEGER,
    OptionError,
    check_choice,
    check_flag,
    check_integer,
    check_number,
    check_seed,
)
from fastbp.optimizers import SGD, Optimizer
from fastbp.schedules import Adaptive, Constant, Schedule

UPDATES = ("simultaneous", "sequential")
MATHS = ("fast", "exact")

MAX_RECORDS = 1000
"""Losses kept of one run, besides the one before training."""


@dataclass(frozen=True, eq=False)
class KernelOptions:
    """A run's settings."""

    n_steps: int
    batch_size: int
    optimizer: Optimizer
    schedule: Schedule
    """What a run does by itself; the loop sets the learning rate if it is `adaptive`."""
    adaptive: Adaptive | None
    update: str
    shuffle: bool
    generator_state: int
    math: str
    sample_weight: np.ndarray | None = None
    l2: float = 0.0
    dropout: float = 0.0
    gradient_clip_norm: float = 0.0
    threads: int | None = None
    seed: int | None = None

    @property
    def one_sample_sgd(self) -> bool:
        """Whether a step takes one sample at a rate that does not depend on the step, and nothing else."""
        rate = self.optimizer.learning_rate
        return (
            self.batch_size == 1
            and isinstance(rate, float | Adaptive)
            and self.optimizer == SGD(rate)
            and self.sample_weight is None
            and self.l2 == self.dropout == self.gradient_clip_norm == 0
        )


def make_kernel_options(
    n_samples: int,
    *,
    epochs: int | None,
    steps: int | None,
    batch_size: int | None,
    optimizer: Optimizer,
    update: str = "simultaneous",
    shuffle: bool = True,
    seed: int | None = None,
    sample_weight: ArrayLike | None = None,
    l2: float = 0.0,
    dropout: float = 0.0,
    gradient_clip_norm: float | None = None,
    math: str = "fast",
    threads: int | None = None,
) -> KernelOptions:
    """Check the arguments of `fastbp.train` and settle what they leave open."""
    seed = check_seed(seed)
    if (epochs is None) == (steps is None):
        raise OptionError(
            f"give exactly one of epochs and steps; epochs is {epochs!r} and steps is {steps!r}"
        )
    batch_size = min(
        n_samples, n_samples if batch_size is None else check_integer("batch_size", batch_size, 1)
    )
    if not isinstance(optimizer, Optimizer):
        raise OptionError(f"optimizer is {optimizer!r}, and must be one of fastbp's, such as fastbp.Adam()")
    schedule = optimizer.schedule
    if gradient_clip_norm is not None and update == "sequential":
        raise OptionError(
            "gradient_clip_norm needs all gradients at once; update='sequential' never has them"
        )
    if steps is None:
        n_steps = check_integer("epochs", epochs, 1, LARGEST_INTEGER) * -(-n_samples // batch_size)
    else:
        n_steps = check_integer("steps", steps, 1, LARGEST_INTEGER)
    if n_steps > LARGEST_COUNT:
        raise OptionError(f"the run would take {n_steps} steps, and may take at most {LARGEST_COUNT}")
    return KernelOptions(
        n_steps=n_steps,
        batch_size=batch_size,
        optimizer=optimizer,
        schedule=Constant(schedule.initial) if isinstance(schedule, Adaptive) else schedule,
        adaptive=schedule if isinstance(schedule, Adaptive) else None,
        update=check_choice("update", update, UPDATES),
        shuffle=check_flag("shuffle", shuffle),
        generator_state=_generator_state(seed),
        math=check_choice("math", math, MATHS),
        sample_weight=check_weights(sample_weight, n_samples),
        l2=check_number("l2", l2),
        dropout=check_number("dropout", dropout, high=1.0, below=True),
        gradient_clip_norm=0.0
        if gradient_clip_norm is None
        else check_number("gradient_clip_norm", gradient_clip_norm, above=True),
        threads=check_threads(threads),
        seed=seed,
    )


def _generator_state(seed: int | None) -> int:
    return int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])
