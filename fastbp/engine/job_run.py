"""The base of the runs on kernels that take a job: packed parameters, the job, and learning rates."""

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar

import numpy as np

from fastbp.checks import all_finite
from fastbp.engine import evaluation
from fastbp.engine.block_order import BlockOrder
from fastbp.engine.division import Limits
from fastbp.engine.job import Job, take
from fastbp.engine.kernel_options import BLOCKS, MAX_RECORDS, KernelOptions, generator_state
from fastbp.engine.layout import JobOptions, is_read_in_place, make_layout
from fastbp.engine.run import NO_SAMPLES, Run, recorded_at
from fastbp.engine.watch import Watch
from fastbp.errors import OptionError, shown
from fastbp.kernels import fields
from fastbp.kernels.packing import pack, unpack
from fastbp.kernels.update_rules import CODES
from fastbp.memory import aligned_zeros
from fastbp.optimizers import RPROP
from fastbp.schedules import Constant
from fastbp.specification import Specification

RATES_AT_ONCE = 2**14
"""Learning rates for one call of the kernel: 128 kB, which stay in the cache.

The rates of a whole chunk of 2-4-1, a million steps, took 30 MB and 6 % of the time. A constant rate is one
number.
"""

STARTS_OVER_BYTES = 2**20
"""The most memory of a run that starts over: it is kept twice between two calls of `fastbp.train`."""

STEP, POSITION, RECORDED = (fields.place("counters", name) for name in ("step", "position", "recorded"))
EPOCH_LOSS = fields.place("totals", "epoch_loss")
L2, CLIP_NORM, KEEP_PROBABILITY = (
    fields.place("numbers", name) for name in ("l2", "clip_norm", "keep_probability")
)
"""Where these are in a run's arrays."""


class JobRun(Run):
    """A run on a kernel that takes a job."""

    records_means = True
    kept_alike = ("order", "generator", "counters", "totals", "losses")
    packed = ("parameters", "optimizer_state")
    takes_epochs_at_once: ClassVar[bool] = False
    """Whether `KernelOptions.order` may return the orders of several epochs."""

    def __init__(
        self,
        specification: Specification,
        theta: np.ndarray,
        X: np.ndarray,
        Y: np.ndarray,
        options: KernelOptions,
        *,
        one_sample: bool = False,
        n_threads: int = 1,
        limits: Limits | None = None,
    ):
        n_samples, dtype = len(X), specification.dtype
        self.schedule = options.schedule
        self.n_parameters = specification.n_parameters
        self.steps_per_epoch = -(-n_samples // options.batch_size)
        every = record_every(options.n_steps, self.steps_per_epoch)
        self._record_every = 1 if options.losses_at_once else every
        self._ordered = range(0)
        self._specification, self._data, self._options = specification, (X, Y), options
        self._epoch_order = options.order
        if options.shuffle == BLOCKS and self._epoch_order is None and options.batch_size < n_samples:
            sample_bytes = max(1, abs(X.strides[0]))
            self._epoch_order = BlockOrder(n_samples, sample_bytes, options.seed)
        self._ordering = (
            fields.GIVEN
            if self._epoch_order is not None
            else fields.DRAWN
            if options.shuffle and options.batch_size < n_samples
            else fields.IN_ORDER  # with a full batch, a random order would change nothing
        )

        job_options = JobOptions(
            fields.TRAIN,
            n_samples,
            batch_size=options.batch_size,
            n_threads=n_threads,
            X_in_place=is_read_in_place(X, dtype) and (one_sample or not self._ordering),
            ordering=self._ordering,
            transposed=one_sample,
            rule=CODES[options.optimizer.rule],
            trains_biases=specification.bias == "trainable",
            sequential=options.update == "sequential",
            as_scikit_learn=options.as_scikit_learn,
            clips=options.gradient_clip_norm > 0,
            drops=options.dropout > 0,
            divides_by_weights=options.divides_by_weights and options.sample_weight is not None,
            n_steps=options.n_steps,
            record_every=self._record_every,
            losses_at_once=options.losses_at_once or 0,
        )
        self._layout = make_layout(specification, job_options, limits)
        self._packing = self._layout.packing
        job = self.make_job({})
        self._job: Job | None = job
        self._packer = job
        self._draws = self._ordering == fields.DRAWN or options.dropout > 0
        arrays = job.arrays
        self.parameters, self.order, self.generator = arrays["theta"], arrays["order"], arrays["generator"]
        self.losses, self.totals, self.counters = arrays["losses"], arrays["totals"], arrays["counters"]
        self.optimizer_state = arrays["state"].reshape(-1, self._packing.size)
        self._begin_optimizer()
        if self._ordering:
            self.order[:] = np.arange(n_samples)
        self.counters[POSITION] = -1
        self.may_start_over = (
            options.is_over_at_once(specification)
            and not options.optimizer.draws
            and job.n_bytes <= STARTS_OVER_BYTES
            and X.dtype == dtype
            and X.flags.carray
        )
        if self.may_start_over:
            job.keep_start()
        self._begin(theta, options.generator_state if self._draws else 0)

    def _begin_optimizer(self) -> None:
        """Set the optimizer's state to what it is before the first step."""
        optimizer, state = self._options.optimizer, self.optimizer_state
        if len(state):
            state[:] = optimizer.initial_state(self._packing.size, state.dtype)
        if isinstance(optimizer, RPROP):
            sizes = optimizer.step_sizes(self._specification.n_parameters, self._options.seed)
            if sizes is not None:
                self._packing.pack(sizes, state[1])

    def _begin(self, theta: np.ndarray, generator_state: int) -> None:
        """Begin at these parameters."""
        self.set_theta(theta)
        if self._draws:
            self.generator.fill(generator_state)

    def keep_start(self) -> bool:
        """Let the run start over after `let_go`, before its first step; return False if it is too large."""
        may = self.job.n_bytes <= STARTS_OVER_BYTES
        if may:
            self.job.keep_start()
        return may

    def start_over(self, theta: np.ndarray, X: np.ndarray, Y: np.ndarray, seed: int | None) -> bool:
        """Begin as a new run does, with the same options but `seed`, on as many other samples."""
        n_samples, dtype = self._options.n_samples, self._specification.dtype
        job = self._job
        assert job is not None
        self._begin(theta, generator_state(seed) if self._draws else 0)
        self._data = X, Y
        return len(X) == n_samples and take(job.address, dtype, n_samples, X, Y)

    def finish(self) -> None:
        """Take all steps in one call of the kernel, after `start_over`."""
        n_steps, schedule = self._options.n_steps, self.schedule
        rates = schedule.initial if isinstance(schedule, Constant) else schedule.rates(0, n_steps)
        self.job.set_rates(0, rates)
        self.call_kernel_once(self.job, n_steps)

    def let_go(self) -> None:
        """Go back to where the run can start over, and keep no reference to the samples."""
        self._data, self._ordered = NO_SAMPLES, range(0)
        self.job.rewind()

    @property
    def step(self) -> int:
        """Steps taken."""
        return self.counters.item(STEP)

    @property
    def recorded(self) -> np.ndarray:
        """The mean losses of the epochs recorded so far."""
        return self.losses[: self.counters[RECORDED]]

    @property
    def recorded_steps(self) -> np.ndarray:
        """The steps at which those epochs ended."""
        n_recorded, every = self.counters.item(RECORDED), self._record_every * self.steps_per_epoch
        ends = np.arange(every, (n_recorded + 1) * every, every)
        if n_recorded and n_recorded * every > self._options.n_steps:
            ends[-1] = self._options.n_steps  # the rest of some epochs
        return ends

    @property
    def epoch_loss(self) -> float:
        """The mean loss of the last epoch that ended."""
        return float(self.totals[EPOCH_LOSS])

    def set_theta(self, theta: np.ndarray) -> None:
        """Copy the parameters from an array that is laid out as `Network.theta`."""
        pack(self._packer.address, theta, self.parameters, self._packing.has_bias)

    def copy_theta_to(self, theta: np.ndarray) -> None:
        """Copy the parameters into an array that is laid out as `Network.theta`."""
        unpack(self._packer.address, self.parameters, theta, self._packing.has_bias)

    def state(self) -> dict[str, np.ndarray]:
        """Return all arrays that training changes; parameters and optimizer state are laid out as theta."""
        return super().state() | {"optimizer_state": self.frozen_optimizer_state()()}

    def frozen_optimizer_state(self) -> Callable[[], np.ndarray]:
        """Return a function that returns the optimizer's present state, laid out as theta, at any later time.

        It keeps a copy of the state, and nothing else of the run.
        """
        packing, n, frozen = self._packing, self.n_parameters, self.optimizer_state.copy()

        def unpacked() -> np.ndarray:
            """Return the vectors without the padding of the kernels."""
            vectors = np.empty((len(frozen), n), frozen.dtype)
            for vector, packed in zip(vectors, frozen, strict=True):
                vector[:] = packing.unpack(packed)
            return vectors

        return unpacked

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go to a state; what lies between the arrays in packed vectors stays as it was at first."""
        self._ordered = range(0)
        self._packing.pack(state["theta"], self.parameters)
        for vector, packed in zip(state["optimizer_state"], self.optimizer_state, strict=True):
            self._packing.pack(vector, packed)
        for name in self.kept_alike:
            getattr(self, name)[...] = state[name]

    def longer(self, losses: np.ndarray, counters: np.ndarray, n_steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Return losses and counters of a run of fewer steps as this run has them."""
        every, n_recorded = record_every(n_steps, self.steps_per_epoch), len(self.losses)
        epochs = int(counters[STEP]) // self.steps_per_epoch
        n = max(0, min(epochs // self._record_every, n_recorded))
        found = np.zeros(n_recorded)
        found[:n] = recorded_at(losses[: max(0, counters[RECORDED])], every, self._record_every, n)
        counters = counters.copy()
        counters[RECORDED] = n
        return found, counters

    def is_finite(self) -> bool:
        """Whether all parameters are finite, and the losses of all batches so far. False stays False.

        The sum of an epoch's losses stays infinite or NaN after a step made it so, and the kernel remembers
        whether the sum of an earlier epoch was.
        """
        return all_finite(self.totals) and all_finite(self.parameters)

    def is_possible(self) -> bool:
        """Whether a run can have this state."""
        step, row, epoch, position, recorded = self.counters.tolist()
        steps, n_samples, batch = self.steps_per_epoch, len(self._data[0]), self._options.batch_size
        due = step // (steps * self._record_every)
        drawn = (row - 1) % n_samples if step else -1
        begun = min(row + batch, n_samples) - 1  # a step that was left in the middle has drawn its rows
        positions = self.possible_positions(drawn, begun)
        return bool(
            0 <= step <= self._options.n_steps
            and (epoch, row) == (step // steps, step % steps * batch)
            and position in positions
            and due <= recorded <= due + (step == self._options.n_steps)
            and self._is_order(self.order)
        )

    def possible_positions(self, drawn: int, begun: int) -> tuple[int, ...]:
        """Return where a kernel may be in the order.

        `drawn` is the last position drawn before the present step, and `begun` the last one of that step.
        """
        return (drawn, begun) if self._ordering == fields.DRAWN else (-1,)

    def advance(
        self, until: int, is_stopped: Callable[[], bool] = lambda: False, watch: Watch | None = None
    ) -> None:
        """Train to step `until`, or less far if `is_stopped` says so; see `Run.advance`."""
        if self._job is None:
            own = {name: getattr(self, name) for name in self.kept_alike}
            self._job = self.make_job(own | {"theta": self.parameters, "state": self.optimizer_state})
        schedule, until = self.schedule, min(until, self._options.n_steps)
        rate = schedule.initial if isinstance(schedule, Constant) else None
        stop = -1
        while stop < until:
            first = self.step
            stop = until if rate is not None else min(until, first + RATES_AT_ONCE)
            if self._ordering == fields.GIVEN:
                stop = min(stop, self._order_epochs())
            self._job.set_rates(first, schedule.rates(first, max(1, stop - first)) if rate is None else rate)
            if watch is None:
                self.call_kernel(self._job, stop, is_stopped)
            elif not self.advance_watched(self._job, stop, is_stopped, watch):
                return
            if self.step < stop:
                return

    def advance_watched(self, job: Job, until: int, is_stopped: Callable[[], bool], watch: Watch) -> bool:
        """Let compiled code advance the run to step `until`; return whether the run may go on."""
        return watch.advance(until, is_stopped)

    def advance_at_once(self, until: int) -> None:
        """Do what `advance` does, by a call of the kernel in this thread: for steps that take little time."""
        job, schedule = self.job, self.schedule
        while (step := self.step) < until:
            stop = min(until, self._order_epochs()) if self._ordering == fields.GIVEN else until
            rates = schedule.initial if isinstance(schedule, Constant) else schedule.rates(step, stop - step)
            job.set_rates(step, rates)
            self.call_kernel_once(job, stop)
            if self.step < stop:  # a stopping rule has ended training
                return

    def _order_epochs(self) -> int:
        """Hand over the order of the epochs that are about to begin; return the step at which they end."""
        epoch, step = divmod(self.step, self.steps_per_epoch)
        if epoch not in self._ordered:
            n_epochs = self._take_order(epoch) if step == 0 else 1  # else, it was restored within an epoch
            self._ordered = range(epoch, epoch + n_epochs)
        return self._ordered.stop * self.steps_per_epoch

    def _take_order(self, epoch: int) -> int:
        """Take the order of an epoch, and maybe of those after it; return of how many."""
        assert self._epoch_order is not None
        order, size = np.asarray(self._epoch_order(epoch)), len(self._data[0])
        several = self.takes_epochs_at_once and order.ndim == 2 and len(order) > 0
        if order.shape == ((len(order), size) if several else (size,)) and order.dtype.kind in "iu":
            if not several:
                self.order[:] = order
                order = self.order.reshape(1, size)
            if self.job.take_orders(np.ascontiguousarray(order, np.int64)):
                return len(order)
        raise OptionError(
            f"order({epoch}) is {shown(order)}, and must be {size} integers from 0 to {size - 1}"
        )

    def take_losses(self) -> list[float]:
        """Return the losses recorded since the last call; see `KernelOptions.losses_at_once`."""
        losses: list[float] = self.losses[: self.counters.item(RECORDED)].tolist()
        self.counters[RECORDED] = 0
        return losses

    def _is_order(self, order: np.ndarray) -> bool:
        """Whether samples may be visited in this order. A drawn one has all; a given one may repeat some."""
        if self._ordering == fields.GIVEN:
            unsigned = order.astype(np.int64, copy=False).view(np.uint64)  # negative numbers are large ones
            return bool(unsigned.max() < len(self._data[0]))
        return bool((np.sort(order) == np.arange(order.size)).all())

    @abstractmethod
    def call_kernel(self, job: Job, until: int, is_stopped: Callable[[], bool]) -> None:
        """Let the kernel train to step `until`, or less far if `is_stopped` says so."""

    @abstractmethod
    def call_kernel_once(self, job: Job, until: int) -> None:
        """Let the kernel train to step `until` in one call, in this thread."""

    @property
    def job(self) -> Job:
        """The job of the kernel, after the run was first advanced."""
        assert self._job is not None
        return self._job

    def loss(self, check: Callable[[], object] = lambda: None, theta: np.ndarray | None = None) -> float:
        """Return the loss over all samples; what `check` raises comes out."""
        options = self._options
        return evaluation.loss(
            self._specification,
            evaluation.with_room(self.theta if theta is None else theta),
            *self._data,
            options.sample_weight,
            threads=options.threads,
            check=check,
        )

    @staticmethod
    def room_like(array: np.ndarray) -> np.ndarray:
        """Return an array for a copy that vectors can be loaded from."""
        return aligned_zeros(array.size, array.dtype).reshape(array.shape)

    def was_copied(self) -> None:
        """Drop the job. `advance` makes a new one."""
        self._job, self._ordered = None, range(0)

    def make_job(self, own: dict[str, np.ndarray]) -> Job:
        """Return a job on the data and the options with these arrays. The job makes the missing ones."""
        X, Y = self._data
        data = {"X": X, "labels" if Y.ndim == 1 else "Y": Y, "weights": self._options.sample_weight}
        job = Job(self._layout, data | own)
        numbers, hyper = job.arrays["numbers"], self._options.optimizer.hyperparameters()
        numbers[L2], numbers[CLIP_NORM] = self._options.l2, self._options.gradient_clip_norm
        numbers[KEEP_PROBABILITY] = 1 - self._options.dropout
        job.arrays["hyper"][: hyper.size] = hyper
        return job


def record_every(n_steps: int, steps_per_epoch: int) -> int:
    """Return the epochs between two recorded losses."""
    epochs = -(-n_steps // steps_per_epoch)
    return -(-epochs // MAX_RECORDS)
