"""A training run on the fused 2-2-2 kernel: its arrays, and the calls that advance them."""

import copy
import math
from collections.abc import Callable
from typing import Self

import numpy as np

from fastbp.checks import all_finite
from fastbp.engine.kernel_options import MAX_RECORDS, KernelOptions
from fastbp.errors import OptionError
from fastbp.kernels import fused222 as kernels
from fastbp.kernels.sigmoid_table import guess_table, lookup_table
from fastbp.specification import Specification

FREE_EVALUATIONS = 2**16
"""Samples whose loss may be evaluated before that must stay under 1/100 of the steps: about 1 ms."""

GUESSED_SHUFFLED, GUESSED_IN_ORDER = 64, 1024
"""Up to how many samples the fast kernel guesses the sigmoid's rows.

Nanoseconds a step, random samples, learning rate 0.5: guessing takes 15 in order for 100 samples, 17 for
1000, and shuffled 45 for both; finding the rows takes 33 for all. 1024 slots are 256 kB, a quarter of
an L2 cache.
"""

WEIGHTS = np.array([0, 1, 2, 3, 6, 7, 8, 9])
"""Which of the parameters are in the theta of a network without biases."""

BESIDE_PARAMETERS = ("counters", "losses", "order", "generator", "carry")
"""The arrays that training changes. The slots only save time: what is in them changes no bit."""


class Fused222Run:
    """The state of a run between chunks. Only the kernel changes it, so it is consistent at any moment."""

    name = "fused222"
    haste = 1.0
    records_means = False

    def __init__(
        self,
        specification: Specification,
        theta: np.ndarray,
        X: np.ndarray,
        Y: np.ndarray,
        plan: KernelOptions,
    ):
        dtype = specification.dtype
        n_samples = len(X)
        self.steps_per_epoch = n_samples
        self.schedule = plan.schedule
        self.has_bias = specification.has_bias
        self.parameters = np.zeros(12, dtype)
        self._in_theta = slice(None) if self.has_bias else WEIGHTS
        self.parameters[self._in_theta] = theta
        self.counters = np.array([0, -1, 0, plan.n_steps])
        self._n_steps, self._record_every = plan.n_steps, _record_every(plan.n_steps, n_samples)
        self.losses = np.zeros(1 + -(-plan.n_steps // self._record_every))
        self.order = np.arange(n_samples)
        shuffles = plan.shuffle and n_samples > 1
        self.generator = np.array([plan.generator_state if shuffles else 0], np.uint64)
        self.carry = np.zeros(kernels.CARRY, dtype)

        self._data = _read_only(np.ascontiguousarray(X, dtype)), _read_only(Y)
        self._dtype = dtype
        _learning_rate(plan.schedule.rate(0), dtype)
        self._options = (
            specification.bias == "trainable",
            plan.update == "sequential",
            shuffles,
            self._record_every,
        )
        self._kernel = kernels.fused222_fast if plan.math == "fast" else kernels.fused222_exact
        self._fast_only: tuple[np.ndarray, ...] = ()
        if plan.math == "fast":
            guess = n_samples <= (GUESSED_SHUFFLED if plan.shuffle else GUESSED_IN_ORDER)
            slots = np.empty(n_samples * kernels.SLOT if guess else 0, dtype)
            slots.fill(np.nan)
            self._fast_only = (self.carry, slots, guess_table(dtype), lookup_table(dtype))

    @property
    def step(self) -> int:
        """Steps taken."""
        return self.counters.item(kernels.STEP)

    @property
    def recorded(self) -> np.ndarray:
        """The losses recorded so far."""
        return self.losses[: self.counters[kernels.RECORDED]]

    @property
    def recorded_steps(self) -> np.ndarray:
        """The steps after which these losses were taken."""
        steps = np.arange(self.counters.item(kernels.RECORDED)) * self._record_every
        if steps.size and steps[-1] > self._n_steps:
            steps[-1] = self._n_steps  # the rest of an epoch
        return steps

    @property
    def theta(self) -> np.ndarray:
        """A copy of the parameters, laid out as `Network.theta`."""
        return np.array(self.parameters[self._in_theta])

    @property
    def epoch_loss(self) -> float:
        """The loss over all samples at the present parameters: this kernel keeps no other."""
        return self.loss()

    def state(self) -> dict[str, np.ndarray]:
        """Return all that training changes; the parameters laid out as theta."""
        return {"theta": self.theta} | {name: getattr(self, name).copy() for name in BESIDE_PARAMETERS}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go to a state."""
        self.parameters[self._in_theta] = state["theta"]
        for name in BESIDE_PARAMETERS:
            getattr(self, name)[...] = state[name]

    def is_finite(self) -> bool:
        """Whether no parameter and no recorded loss is infinite or NaN: a parameter that was stays so."""
        return all_finite(self.parameters) and all_finite(self.recorded)

    def is_possible(self) -> bool:
        """Whether a run could have come to this state."""
        step, position, recorded, end = self.counters
        return bool(
            0 <= step <= end == self._n_steps
            and -1 <= position < self.order.size
            and recorded == 1 + step // self._record_every + (step == end and step % self._record_every > 0)
            and (np.sort(self.order) == np.arange(self.order.size)).all()
        )

    def advance(self, until: int, is_stopped: Callable[[], bool] = lambda: False) -> None:
        """Train to step `until`; to the present step to compile, and to record the initial loss."""
        rate = self._dtype.type(self.schedule.rate(self.step))  # the same one for every step
        self._kernel(
            *self._data,
            self.order,
            self.generator,
            self.counters,
            self.parameters,
            self.losses,
            rate,
            *self._options,
            until,
            *self._fast_only,
        )

    def loss(self, check: Callable[[], object] = lambda: None) -> float:
        """Return the loss over all samples, at the present parameters."""
        twin = self.snapshot()
        twin.counters[kernels.POSITION] = -1  # as before the first call, which records the loss
        twin.advance(self.step)
        return float(twin.losses[0])

    def snapshot(self, instead_of: Self | None = None) -> Self:
        """Return a copy that can be advanced on its own, with the same slots: its arrays are small."""
        twin = copy.copy(self)
        for name in ("parameters", *BESIDE_PARAMETERS):
            setattr(twin, name, getattr(self, name).copy())
        if self._fast_only:
            twin._fast_only = (twin.carry, *self._fast_only[1:])
        return twin


def supports(specification: Specification, plan: KernelOptions) -> bool:
    """Whether this kernel can do what is planned."""
    return (
        plan.one_sample_sgd
        and plan.order is None
        and specification.layer_sizes == (2, 2, 2)
        and specification.hidden_activations == ("sigmoid",)
        and specification.output_activation == "sigmoid"
        and specification.loss_name == "half_squared_error"
    )


def _record_every(n_steps: int, n_samples: int) -> int:
    """Return the steps between two recorded losses: whole epochs, as few as cost next to nothing.

    A record evaluates the loss of every sample, which costs up to what a step on that sample costs.
    """
    epochs = -(-n_steps // n_samples)
    affordable = max(FREE_EVALUATIONS // n_samples, epochs // 100, 1)
    return -(-epochs // min(MAX_RECORDS, affordable)) * n_samples


def _learning_rate(given: float, dtype: np.dtype) -> np.floating:
    rate = dtype.type(given)
    if not math.isfinite(rate):
        raise OptionError(f"learning_rate is {given:g}, and is too large for {dtype}")
    return rate


def _read_only(array: np.ndarray) -> np.ndarray:
    """Return a flat view that cannot be written: one type for the kernel, whatever the user's flags."""
    view = array.reshape(-1)
    view.setflags(write=False)
    return view
