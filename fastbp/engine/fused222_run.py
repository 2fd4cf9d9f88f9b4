"""A training run on the fused 2-2-2 kernel: its arrays, and the calls that advance them."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp.checks import SMALL, all_finite
from fastbp.engine.kernel_options import BLOCKS, MAX_RECORDS, KernelOptions, generator_state
from fastbp.engine.run import NO_SAMPLES, Run, recorded_at
from fastbp.engine.watch import Watch
from fastbp.engine.words import Words
from fastbp.errors import OptionError
from fastbp.kernels import fields
from fastbp.kernels import fused222 as kernels
from fastbp.kernels.epoch_ends import FUSED
from fastbp.kernels.fused222_start import start_fused_over
from fastbp.kernels.sigmoid_table import guess_table, lookup_table
from fastbp.kernels.slots import SLOT
from fastbp.numba_internals import address_of_code
from fastbp.specification import Specification

FREE_EVALUATIONS = 2**16
"""Any run may evaluate losses of so many samples, about 1 ms; more only up to 1/100 of the steps."""

GUESSED_SHUFFLED, GUESSED_IN_ORDER = 64, 1024
"""The most samples, shuffled and in order, for which the fast kernel guesses the rows of the sigmoid's table.

Nanoseconds a step, for random samples and learning rate 0.5: with guesses, 15 for 100 samples in order, 17
for 1000, and 45 for both if shuffled; without guesses, 33 for all. 1024 slots take 256 kB, a quarter of an L2
cache.
"""

WEIGHTS = np.array([0, 1, 2, 3, 6, 7, 8, 9])
"""The places of the kernel's parameters that are in the theta of a network without biases."""


STEP, POSITION, RECORDED, END = (fields.place("fused_counters", name) for name in fields.FUSED_COUNTERS)

UNKNOWN = -1.0
"""Stands for a loss that was not recorded, and is not to be taken for one that is not finite."""


class Fused222Run(Run):
    """The state of a run on the fused 2-2-2 kernel, between chunks."""

    name = "fused222"
    trains = "the 2-2-2 sigmoid network, half the squared error and plain SGD, one sample a step"
    maths = ("fast", "exact")
    records_means = False
    kept_alike = ("counters", "losses", "order", "generator", "carry")
    packed = ("parameters",)

    def __init__(
        self,
        specification: Specification,
        theta: np.ndarray,
        X: np.ndarray,
        Y: np.ndarray,
        options: KernelOptions,
        *,
        guesses: bool | None = None,
    ):
        dtype = specification.dtype
        n_samples = len(X)
        self.steps_per_epoch, self.n_parameters = n_samples, theta.size
        self.schedule = options.schedule
        self.has_bias = specification.has_bias
        self.parameters = np.zeros(12, dtype)
        self._in_theta = slice(None) if self.has_bias else WEIGHTS
        self.counters = np.array([0, -1, 0, options.n_steps])
        self._n_steps, self._record_every = options.n_steps, _record_every(options.n_steps, n_samples)
        self.losses = np.zeros(1 + -(-options.n_steps // self._record_every))
        self._lacks_losses = False
        self.order = np.arange(n_samples)
        self._draws = options.shuffle and n_samples > 1
        self.generator = np.array([options.generator_state if self._draws else 0], np.uint64)
        self.carry = np.zeros(kernels.CARRY, dtype)
        self._dtype, self._empty = dtype, np.empty((0, 1), dtype)
        _learning_rate(options.schedule.rate(0), dtype)
        self._rate, self._loss = np.zeros(1), np.empty(1)
        self._kernel = kernels.fused222_exact
        self.slots = np.empty(0, dtype)
        self._fixed: dict[str, Any] = {
            "n_samples": n_samples,
            "trains_biases": specification.bias == "trainable",
            "sequential": options.update == "sequential",
            "shuffles": self._draws,
            "record_every": self._record_every,
        }
        if options.math == "fast":
            if guesses is None:
                guesses = n_samples <= (GUESSED_SHUFFLED if options.shuffle else GUESSED_IN_ORDER)
            self.slots = np.full(n_samples * SLOT if guesses else 0, np.nan, dtype)
            self._kernel = _fast_kernel(guesses, options.update == "sequential")
            self._fixed |= {
                "guesses": guesses,
                "guess_table": guess_table(dtype),
                "lookup_table": lookup_table(dtype),
            }
        self._words: Words | None = None
        self.may_start_over = options.is_over_at_once(specification) and n_samples <= SMALL
        self._data = _read_only(np.ascontiguousarray(X, dtype)), _read_only(Y)
        self.parameters[self._in_theta] = theta

    def start_over(self, theta: np.ndarray, X: np.ndarray, Y: np.ndarray, seed: int | None) -> bool:
        """Begin as a new run does, with the same options but `seed`, on as many other samples."""
        if not (
            X.dtype == Y.dtype == self._dtype
            and X.shape == Y.shape == (self.order.size, 2)
            and X.flags.carray
            and Y.flags.carray
        ):
            return False
        self._data = X, Y
        if self._draws:
            self.generator[0] = generator_state(seed)
        return start_fused_over(self.words.address, theta, X, Y)

    def finish(self) -> None:
        """Take all steps in one call of the kernel, after `start_over`."""
        self.advance(self._n_steps)

    def let_go(self) -> None:
        """Keep no reference to the samples."""
        self._data = NO_SAMPLES

    @property
    def step(self) -> int:
        """Steps taken."""
        return self.counters.item(STEP)

    @property
    def recorded(self) -> np.ndarray:
        """The losses recorded so far."""
        return np.where(self._losses < 0, np.nan, self._losses) if self._lacks_losses else self._losses

    @property
    def _losses(self) -> np.ndarray:
        return self.losses[: self.counters[RECORDED]]

    @property
    def recorded_steps(self) -> np.ndarray:
        """The steps at which these losses were recorded."""
        every = self._record_every
        steps = np.arange(0, self.counters.item(RECORDED) * every, every)
        if steps.size and steps[-1] > self._n_steps:
            steps[-1] = self._n_steps  # the rest of an epoch
        return steps

    def copy_theta_to(self, theta: np.ndarray) -> None:
        """Copy the parameters into an array that is laid out as `Network.theta`."""
        theta[:] = self.parameters[self._in_theta]

    @property
    def epoch_loss(self) -> float:
        """The loss over all samples at the present parameters: this kernel keeps no other."""
        return self.loss_at_once()

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go to a state."""
        self.parameters[self._in_theta] = state["theta"]
        for name in self.kept_alike:
            getattr(self, name)[...] = state[name]
        self._lacks_losses = bool((self.losses == UNKNOWN).any())

    def longer(self, losses: np.ndarray, counters: np.ndarray, n_steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Return losses and counters of a run of fewer steps as this run has them."""
        every, n_recorded = _record_every(n_steps, self.steps_per_epoch), len(self.losses) - 1
        n = max(0, min(int(counters[STEP]) // self._record_every, n_recorded))
        found = np.zeros(1 + n_recorded)
        known = losses[1 : max(1, counters[RECORDED])]
        found[0], found[1 : n + 1] = losses[0], recorded_at(known, every, self._record_every, n)
        found[np.isnan(found)] = UNKNOWN
        counters = counters.copy()
        counters[RECORDED], counters[END] = n + 1, self._n_steps
        return found, counters

    def is_finite(self) -> bool:
        """Whether all parameters and recorded losses are finite.

        A parameter that is not stays so. With finite parameters, a loss is infinite only if a target is too
        large: then all losses are infinite.
        """
        return all_finite(self.parameters) and math.isfinite(
            self.losses.item(self.counters.item(RECORDED) - 1)
        )

    def is_possible(self) -> bool:
        """Whether a run could have come to this state."""
        step, position, recorded, end = self.counters
        return bool(
            0 <= step <= end == self._n_steps
            and -1 <= position < self.order.size
            and recorded == 1 + step // self._record_every + (step == end and step % self._record_every > 0)
            and (np.sort(self.order) == np.arange(self.order.size)).all()
        )

    def watched(self) -> dict[str, Any]:
        """Return how compiled code advances the run."""
        code = address_of_code(self._kernel, 0, 0, self._empty)
        return {"trainer": FUSED, "train_at": code, "fused": self.words}

    def advance(
        self, until: int, is_stopped: Callable[[], bool] = lambda: False, watch: Watch | None = None
    ) -> None:
        """Train to step `until`. If that is the present step, only compile, and record the initial loss."""
        self._rate[0] = self.schedule.rate(self.step)  # the same one for every step
        if watch is None:
            self._kernel(self.words.address, until, self._empty)
        else:
            watch.advance(until, is_stopped)

    @property
    def words(self) -> Words:
        """What the kernel is told."""
        if self._words is None:
            arrays = {name: getattr(self, name) for name in (*self.kept_alike, *self.packed, "slots")}
            numbers = {"rate": self._rate, "loss": self._loss}
            self._words = Words("fused", self._dtype, **numbers, **arrays, **self._fixed)
            X, T = self._data
            self._words.point("X", X)
            self._words.point("T", T)
        return self._words

    def loss(self, check: Callable[[], object] = lambda: None, theta: np.ndarray | None = None) -> float:
        """Return the loss over all samples."""
        if theta is None:
            return self.loss_at_once()
        twin = self.snapshot()
        twin.parameters[self._in_theta] = theta
        return twin.loss_at_once()

    def loss_at_once(self) -> float:
        """Return the loss over all samples at the present parameters, by a call of the kernel."""
        self._kernel(self.words.address, kernels.LOSS_ALONE, self._empty)
        return float(self._loss[0])

    def was_copied(self) -> None:
        """Share the slots: their content changes no bit."""
        self._words, self._loss, self._rate = None, np.empty(1), self._rate.copy()

    @staticmethod
    def refusal(specification: Specification, options: KernelOptions) -> str | None:
        """Return why the kernel cannot do what is asked for; None if it can."""
        if (
            options.one_sample_sgd
            and options.order is None
            and options.shuffle != BLOCKS
            and specification.layer_sizes == (2, 2, 2)
            and specification.hidden_activations == ("sigmoid",)
            and specification.output_activation == "sigmoid"
            and specification.loss_name == "half_squared_error"
        ):
            return None
        return "that trains 2-2-2 sigmoid networks on half_squared_error by plain SGD, one sample a step"


def _fast_kernel(guesses: bool, sequential: bool) -> Any:
    if not guesses:
        return kernels.fused222_look_up
    return kernels.fused222_guess_sequential if sequential else kernels.fused222_guess


def _record_every(n_steps: int, n_samples: int) -> int:
    """Return the steps between two recorded losses: whole epochs, and as few as cost next to nothing.

    To record a loss, the kernel evaluates every sample. This costs up to as much as a step on that sample.
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
    """Return a flat, read-only view: the kernel gets one type, whatever the flags of the user's array."""
    view = array.reshape(-1)
    view.setflags(write=False)
    return view
