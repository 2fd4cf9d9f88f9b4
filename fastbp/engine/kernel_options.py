"""The options of a run for its kernel, checked and completed before it starts."""

import os
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastbp.checks import check_threads, check_weights
from fastbp.errors import (
    LARGEST_COUNT,
    LARGEST_INTEGER,
    OptionError,
    as_option,
    check_choice,
    check_flag,
    check_integer,
    check_number,
    check_seed,
)
from fastbp.optimizers import SGD, Optimizer
from fastbp.options import option
from fastbp.schedules import Adaptive, Constant, Schedule
from fastbp.specification import Specification

UPDATES = ("simultaneous", "sequential")
MATHS = ("fast", "exact")
BLOCKS = "blocks"
"""The value of `shuffle` for samples on a disk."""

AT_ONCE_WORK, AT_ONCE_EPOCHS = 1e6, 200
"""Multiplications and epochs of a run up to which one call of the kernel takes all its steps: about 1 ms."""

MAX_RECORDS = 1000
"""Losses kept of one run, besides the one before training."""


@dataclass(frozen=True, eq=False)
class KernelOptions:
    """The options of `fastbp.train` for the kernel. They are checked here, and completed.

    Parameters
    ----------
    n_samples : int
        How many samples the data have.

    Attributes
    ----------
    order : function, optional
        Takes the number of an epoch, from 0, and returns the samples of that epoch in their order: as many
        integers as there are samples, from 0 on. They may repeat, as in a bootstrap. For the layered kernel,
        it may return several rows: the orders of the epochs from this one on. Such a run can be copied or
        resumed between two calls of the function only. It is called once an
        epoch, and again if the run is resumed within that epoch, so its result must depend on the number
        alone. `shuffle` then has no effect. This is not an option of `train`; it is for estimators and
        populations.
    losses_at_once : int, optional
        Each epoch's loss is recorded, and the caller takes them by `JobRun.take_losses` before there are more
        than this. The default records up to `MAX_RECORDS` losses of the whole run. This is not an
        option of `train` either.
    divides_by_weights : bool
        Whether the loss of a batch is divided by the sum of its weights, and not by its rows; the loss of an
        epoch is then the mean over its rows of the losses of their batches. This is not an option of `train`
        either: it is what scikit-learn computes.
    as_scikit_learn : bool
        Whether the loss has the form that it has in scikit-learn's perceptrons. binary_cross_entropy and
        poisson are then sums over the outputs. half_squared_error is a mean over them, but its gradient stays
        that of the sum. Probabilities are at least the type's epsilon, and at most 1 minus that. poisson has
        the terms t log t - t. `l2` is divided by what the batch's loss is divided by, and the loss contains
        the penalty. This is not an option of `train` either, and only the layered kernel knows it.
    n_steps : int
        The steps of the whole run, from `epochs` or `steps`.
    batch_size : int
        At most the number of samples. None becomes that number.
    label_smoothing : float
        The caller has smoothed the targets: kernels do not.
    gradient_clip_norm : float
        None becomes 0.
    schedule : Schedule
        The learning rates at the start of the run. With `Adaptive`, the loop changes them.
    """

    n_samples: int
    _: KW_ONLY
    epochs: int | None = option(None, decides_result=True)
    steps: int | None = option(None, decides_result=True)
    batch_size: int = option(None, decides_result=True)
    optimizer: Optimizer = option(decides_result=True)
    update: str = option("simultaneous", decides_result=True)
    shuffle: bool | str = option(True, decides_result=True)
    seed: int | None = option(None, decides_result=True)
    sample_weight: np.ndarray | None = option(None, decides_result=True)
    l2: float = option(0.0, decides_result=True)
    dropout: float = option(0.0, decides_result=True)
    label_smoothing: float = option(0.0, decides_result=True)
    gradient_clip_norm: float = option(None, decides_result=True)
    threads: int | None = option(None, decides_result=False)
    math: str = option("fast", decides_result=True)
    order: Callable[[int], ArrayLike] | None = None
    losses_at_once: int | None = None
    divides_by_weights: bool = False
    as_scikit_learn: bool = False
    n_steps: int = field(init=False)
    schedule: Schedule = field(init=False)

    def __post_init__(self) -> None:
        n_samples = self.n_samples
        settled: dict[str, Any] = vars(self)  # a frozen dataclass may write what it settles here
        if self.seed is not None:
            settled["seed"] = check_seed(self.seed)
        if (self.epochs is None) == (self.steps is None):
            raise OptionError(
                f"give exactly one of epochs and steps; epochs is {self.epochs!r} and steps is {self.steps!r}"
            )
        settled["batch_size"] = min(n_samples, _batch_size(self.batch_size, n_samples))
        if not isinstance(self.optimizer, Optimizer):
            raise OptionError(
                f"optimizer is {self.optimizer!r}, and must be one of fastbp's, such as fastbp.Adam()"
            )
        schedule = self.optimizer.schedule
        settled["schedule"] = Constant(schedule.initial) if isinstance(schedule, Adaptive) else schedule
        if self.gradient_clip_norm is not None and self.update == "sequential":
            raise OptionError(
                "gradient_clip_norm needs all gradients at once; update='sequential' never has them"
            )
        settled["n_steps"] = self._count_steps(n_samples)
        check_choice("update", self.update, UPDATES)
        if not (isinstance(self.shuffle, str) and self.shuffle == BLOCKS):
            settled["shuffle"] = check_flag("shuffle", self.shuffle, (BLOCKS,))
        check_choice("math", self.math, MATHS)
        settled["sample_weight"] = check_weights(self.sample_weight, n_samples)
        settled["l2"] = check_number("l2", self.l2)
        settled["dropout"] = check_number("dropout", self.dropout, high=1.0, below=True)
        settled["label_smoothing"] = check_number(
            as_option("label_smoothing"), self.label_smoothing, high=1.0, below=True
        )
        settled["gradient_clip_norm"] = _clip_norm(self.gradient_clip_norm)
        settled["threads"] = check_threads(self.threads)

    def _count_steps(self, n_samples: int) -> int:
        if self.steps is None:
            epochs = check_integer("epochs", self.epochs, 1, LARGEST_INTEGER)
            n_steps = epochs * -(-n_samples // self.batch_size)
        else:
            n_steps = check_integer("steps", self.steps, 1, LARGEST_INTEGER)
        if n_steps > LARGEST_COUNT:
            raise OptionError(f"the run would take {n_steps} steps, and may take at most {LARGEST_COUNT}")
        return n_steps

    @cached_property
    def generator_state(self) -> int:
        """Where the kernel's generator starts, from `seed`."""
        return generator_state(self.seed)

    def is_over_at_once(self, specification: Specification) -> bool:
        """Whether one call of the kernel may take all steps of the run, and nothing differs by sample."""
        work = 3 * specification.n_multiplications * self.n_steps * self.batch_size
        return (
            work <= AT_ONCE_WORK
            and self.n_steps < AT_ONCE_EPOCHS * -(-self.n_samples // self.batch_size)
            and self.threads in (None, 1)
            and self.sample_weight is self.order is None
            and self.shuffle != BLOCKS
            and not isinstance(self.optimizer.learning_rate, Adaptive)
        )

    @property
    def one_sample_sgd(self) -> bool:
        """Whether a step takes one sample at a rate that does not depend on the step, and nothing else."""
        optimizer = self.optimizer
        return (
            self.batch_size == 1
            and type(optimizer) is SGD
            and isinstance(optimizer.learning_rate, (float, Adaptive))
            and not optimizer.nesterov
            and optimizer.momentum == optimizer.weight_decay == 0
            and self.sample_weight is None
            and self.l2 == self.dropout == self.gradient_clip_norm == 0
        )


def generator_state(seed: int | None) -> int:
    """Return where a kernel's generator starts: for None, a different state each time."""
    return int.from_bytes(os.urandom(8)) if seed is None else _seeded_state(seed)


@lru_cache(maxsize=256)
def _seeded_state(seed: int) -> int:
    """Return the state for a seed. NumPy needs 10 us for it."""
    return int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])


def _batch_size(batch_size: object, n_samples: int) -> int:
    return n_samples if batch_size is None else check_integer("batch_size", batch_size, 1)


def _clip_norm(norm: object) -> float:
    return 0.0 if norm is None else check_number("gradient_clip_norm", norm, above=True)
