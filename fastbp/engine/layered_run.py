"""A training run on the layered kernel, and evaluation on the same kernel."""

import copy
import time
from collections.abc import Callable, Iterator
from typing import Self

import numpy as np

from fastbp.engine.division import row_work
from fastbp.engine.job import Job
from fastbp.engine.kernel_options import MAX_RECORDS, KernelOptions
from fastbp.engine.layout import JobOptions, Layout, is_read_in_place, make_layout
from fastbp.engine.packed_vectors import up
from fastbp.engine.team import Pace, Team, threads_for
from fastbp.errors import OptionError, shown
from fastbp.kernels import fields
from fastbp.kernels import layered as kernels
from fastbp.kernels.online import online
from fastbp.kernels.update_rules import CODES, N_HYPERPARAMETERS
from fastbp.memory import LINE, aligned_zeros
from fastbp.optimizers import SGD
from fastbp.schedules import Constant
from fastbp.specification import Specification

PIECE_SECONDS = 0.03
"""What one call of the kernel takes of a step that takes long; between two calls a run can be stopped."""

FASTEST_GROWTH = 16.0
"""How many times as long a piece may be as the one before it: the first is a tile, as its pace is unknown."""

RATES_AT_ONCE = 2**14
"""Learning rates that one call of the kernel takes: 128 kB, which stay in the cache. Those of a whole chunk
of 2-4-1, a million steps, took 30 MB and 6 % of the time, even for a constant rate: now one number."""

UNPACKED = ("order", "generator", "counters", "totals", "losses")
"""The arrays that training changes besides the packed ones, whose layout depends on the width of vectors."""


def next_piece(rows: float, seconds: float) -> float:
    """Return how many rows the next call is to take, after one that took so many in some seconds."""
    return rows * min(FASTEST_GROWTH, PIECE_SECONDS / max(seconds, 1e-9))


STEP, POSITION, RECORDED = (fields.place("counters", name) for name in ("step", "position", "recorded"))
EPOCH_LOSS = fields.place("totals", "epoch_loss")
L2, CLIP_NORM, KEEP_PROBABILITY = (
    fields.place("numbers", name) for name in ("l2", "clip_norm", "keep_probability")
)
"""Where these are in a run's arrays."""


class LayeredRun:
    """The state of a run between chunks. Only the kernel changes it, so it is consistent at any moment."""

    name = "layered"
    records_means = True
    _one_sample = False

    def __init__(
        self,
        specification: Specification,
        theta: np.ndarray,
        X: np.ndarray,
        Y: np.ndarray,
        plan: KernelOptions,
    ):
        n_samples, dtype = len(X), specification.dtype
        self.schedule = plan.schedule
        self.steps_per_epoch = -(-n_samples // plan.batch_size)
        epochs = -(-plan.n_steps // self.steps_per_epoch)
        self._record_every = -(-epochs // MAX_RECORDS)
        self._specification, self._data, self._plan = specification, (X, Y), plan
        self._ordering = _ordering(plan, n_samples)

        work = 3 * plan.batch_size * specification.n_multiplications
        self._team = Team(1 if plan.update == "sequential" else threads_for(work, plan.threads))
        job_options = JobOptions(
            fields.TRAIN,
            n_samples,
            batch_size=plan.batch_size,
            n_threads=self._team.n_threads,
            X_in_place=is_read_in_place(X, dtype) and (self._one_sample or not self._ordering),
            ordering=self._ordering,
            transposed=self._one_sample,
            rule=CODES[plan.optimizer.rule],
            trains_biases=specification.bias == "trainable",
            sequential=plan.update == "sequential",
            clips=plan.gradient_clip_norm > 0,
            drops=plan.dropout > 0,
            n_steps=plan.n_steps,
            record_every=self._record_every,
        )
        self._layout = make_layout(specification, job_options)
        self._packing = self._layout.packing
        self.parameters = aligned_zeros(self._packing.size, dtype)
        self._packing.pack(theta, self.parameters)
        initial = plan.optimizer.initial_state(self._packing.size, dtype)
        self.optimizer_state = aligned_zeros(initial.size, dtype).reshape(initial.shape)
        self.optimizer_state[:] = initial
        self.order = np.arange(n_samples if self._ordering else 0)
        self.generator = np.array([plan.generator_state] * 2, np.uint64)
        self.losses = np.zeros(1 + epochs // self._record_every)
        self.totals = np.zeros(len(fields.TOTALS))
        self.counters = np.zeros(len(fields.COUNTERS), np.int64)
        self.counters[POSITION] = -1

        # Threads that were asked for where they do not pay wait at a barrier every microsecond, and a chunk
        # takes six times as long whenever one of them has to wait for its core.
        self.haste = 8.0 if self._team.n_threads > threads_for(work, None) else 1.0
        self._pace = Pace(self._team.n_threads, fixed=plan.threads is not None)
        self._piece = 1.0
        self._job: Job | None = None

    @property
    def step(self) -> int:
        """Steps taken."""
        return int(self.counters[STEP])

    @property
    def recorded(self) -> np.ndarray:
        """The mean losses of the epochs recorded so far."""
        return self.losses[: self.counters[RECORDED]]

    @property
    def recorded_steps(self) -> np.ndarray:
        """The steps at which those epochs ended."""
        ends = np.arange(1, len(self.recorded) + 1) * self._record_every * self.steps_per_epoch
        return np.minimum(ends, self._plan.n_steps)

    @property
    def epoch_loss(self) -> float:
        """The mean loss of the last epoch that ended."""
        return float(self.totals[EPOCH_LOSS])

    @property
    def theta(self) -> np.ndarray:
        """The parameters, laid out as `Network.theta`."""
        return self._packing.unpack(self.parameters)

    def state(self) -> dict[str, np.ndarray]:
        """Return all that training changes; parameters, and what goes with each, laid out as theta."""
        theta = self.theta
        vectors = np.empty((len(self.optimizer_state), theta.size), theta.dtype)
        for vector, packed in zip(vectors, self.optimizer_state, strict=True):
            vector[:] = self._packing.unpack(packed)
        packed_ones = {"theta": theta, "optimizer_state": vectors}
        return packed_ones | {name: getattr(self, name).copy() for name in UNPACKED}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go to a state; what lies between the parts of packed vectors stays as it was at first."""
        self._packing.pack(state["theta"], self.parameters)
        for vector, packed in zip(state["optimizer_state"], self.optimizer_state, strict=True):
            self._packing.pack(vector, packed)
        for name in UNPACKED:
            getattr(self, name)[...] = state[name]

    def is_finite(self) -> bool:
        """Whether no parameter is infinite or NaN, and no batch's loss has been: once one was, this is False.

        The sum of an epoch's losses keeps what one step did to it, and the kernel keeps what an epoch's was.
        """
        return bool(np.isfinite(self.totals).all() and np.isfinite(self.parameters).all())

    def is_possible(self) -> bool:
        """Whether a run could have come to this state."""
        step, row, epoch, position, recorded = self.counters.tolist()
        steps, n_samples, batch = self.steps_per_epoch, len(self._data[0]), self._plan.batch_size
        due = step // (steps * self._record_every)
        drawn = (row - 1) % n_samples if step else -1
        begun = min(row + batch, n_samples) - 1  # a step that was left in the middle has drawn its rows
        drawn_ahead = (drawn, begun) if self._ordering == fields.DRAWN else (-1,)
        positions = (drawn,) if self._one_sample else drawn_ahead
        return bool(
            0 <= step <= self._plan.n_steps
            and (epoch, row) == (step // steps, step % steps * batch)
            and position in positions
            and due <= recorded <= due + (step == self._plan.n_steps)
            and self._is_order(self.order)
        )

    def advance(self, until: int, is_stopped: Callable[[], bool] = lambda: False) -> None:
        """Train to step `until`, or less far if `is_stopped` says so; to the present step to compile."""
        if self._job is None:
            self._job = self._make_job()
        schedule, until = self.schedule, min(until, self._plan.n_steps)
        rate = schedule.initial if isinstance(schedule, Constant) else None
        stop = -1
        while stop < until:
            first = self.step
            stop = until if rate is not None else min(until, first + RATES_AT_ONCE)
            if self._ordering == fields.GIVEN:
                stop = min(stop, self._order_epoch())
            rates = schedule.rates(first, max(1, stop - first)) if rate is None else np.array([rate])
            self._job.set_rates(first, rates)
            self._run(self._job, stop, is_stopped)
            if self.step < stop:
                return

    def _order_epoch(self) -> int:
        """Write the order of an epoch that is about to begin; return the step at which this epoch ends."""
        epoch, step = divmod(self.step, self.steps_per_epoch)
        if step == 0:
            assert self._plan.order is not None
            order = np.asarray(self._plan.order(epoch))
            if order.shape != self.order.shape or order.dtype.kind not in "iu" or not self._is_order(order):
                raise OptionError(
                    f"order({epoch}) is {shown(order)}, and must be {self.order.size} integers from 0 to "
                    f"{self.order.size - 1}"
                )
            self.order[:] = order
        return (epoch + 1) * self.steps_per_epoch

    def _is_order(self, order: np.ndarray) -> bool:
        """Whether samples may be visited in this order: a drawn one has all, a given one may repeat some."""
        if self._ordering == fields.GIVEN:
            return bool(order.min() >= 0 and order.max() < order.size)
        return bool((np.sort(order) == np.arange(order.size)).all())

    @property
    def job(self) -> Job:
        """The job that the kernel gets, once the run was first advanced."""
        assert self._job is not None
        return self._job

    def loss(self, check: Callable[[], object] = lambda: None) -> float:
        """Return the loss over all samples, at the present parameters; what `check` raises comes out."""
        plan = self._plan
        return loss(
            self._specification,
            with_room(self.theta),
            *self._data,
            plan.sample_weight,
            threads=plan.threads,
            check=check,
        )

    def snapshot(self, instead_of: Self | None = None) -> Self:
        """Return a copy that can be advanced on its own, in the memory of an older one if there is one."""
        twin = copy.copy(self)
        twin._job = None
        for name in ("parameters", "optimizer_state", *UNPACKED):
            array = getattr(self, name)
            room = getattr(instead_of, name, None)
            if room is None:
                room = aligned_zeros(array.size, array.dtype).reshape(array.shape)
            room[...] = array
            setattr(twin, name, room)
        return twin

    def _run(self, job: Job, until: int, is_stopped: Callable[[], bool]) -> None:
        before, started = self.step, time.perf_counter()
        self._run_piece(job, until)
        while self.step < until:  # in the middle of a step that takes long
            if is_stopped():
                return
            self._run_piece(job, until)
        if until > before:
            self._pace.record(until - before, time.perf_counter() - started)

    def _run_piece(self, job: Job, until: int) -> None:
        started = time.perf_counter()
        job.set_chunk(self._piece)
        self._team.run(job, until, self._pace.threads())
        if self.step < until:
            self._piece = next_piece(self._piece, time.perf_counter() - started)

    def _make_job(self) -> Job:
        X, Y = self._data
        numbers = np.zeros(len(fields.NUMBERS))
        numbers[L2], numbers[CLIP_NORM] = self._plan.l2, self._plan.gradient_clip_norm
        numbers[KEEP_PROBABILITY] = 1 - self._plan.dropout
        hyper = np.zeros(N_HYPERPARAMETERS)
        given = self._plan.optimizer.hyperparameters()
        hyper[: given.size] = given
        arrays = {name: getattr(self, name) for name in UNPACKED} | {
            "X": X,
            "labels" if Y.ndim == 1 else "Y": Y,
            "weights": self._plan.sample_weight,
            "theta": self.parameters,
            "state": self.optimizer_state,
            "hyper": hyper,
            "numbers": numbers,
        }
        return Job(self._layout, arrays)


def _ordering(plan: KernelOptions, n_samples: int) -> int:
    """Return how the samples are ordered: for a full batch, a random order would change nothing."""
    if plan.order is not None:
        return fields.GIVEN
    return fields.DRAWN if plan.shuffle and plan.batch_size < n_samples else fields.IN_ORDER


class OnlineRun(LayeredRun):
    """The state of a run on the online kernel, between chunks."""

    name = "online"
    _one_sample = True

    def _run(self, job: Job, until: int, is_stopped: Callable[[], bool]) -> None:
        online(job.address, until, job.empty)


def online_supports(plan: KernelOptions) -> bool:
    """Whether the online kernel can do what is planned: plain SGD, one sample a step."""
    optimizer = plan.optimizer
    return (
        plan.batch_size == 1
        and isinstance(optimizer, SGD)
        and optimizer.momentum == plan.dropout == plan.gradient_clip_norm == 0
    )


# --- evaluation ------------------------------------------------------------------------------------------

PART_WORK = 1e8
"""Multiplications of one part of an evaluation, at most some 0.05 s: between parts Ctrl-C is answered."""


def _parts(specification: Specification, n_samples: int) -> Iterator[slice]:
    """Yield the parts of samples that are evaluated in one call of the kernel."""
    rows = up(int(PART_WORK / row_work(specification)) + 1, LINE)
    for first in range(0, n_samples, rows):
        yield slice(first, min(n_samples, first + rows))


def _forward_layout(specification: Specification, mode: int, X: np.ndarray, team: Team) -> Layout:
    in_place = is_read_in_place(X, specification.dtype)
    return make_layout(specification, JobOptions(mode, len(X), team.n_threads, in_place))


def loss(
    specification: Specification,
    theta: np.ndarray,
    X: np.ndarray,
    Y: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    threads: int | None = None,
    check: Callable[[], object] = lambda: None,
) -> float:
    """Return the loss over checked samples; theta has room after it.

    `check` is called between parts of some milliseconds; what it raises comes out.
    """
    losses = aligned_zeros(len(X), np.float64)
    team = Team(threads_for(min(PART_WORK, len(X) * specification.n_multiplications), threads))
    for part in _parts(specification, len(X)):
        if part.start:
            check()
        arrays = {
            "theta": theta,
            "X": X[part],
            "labels" if Y.ndim == 1 else "Y": Y[part],
            "weights": None if weights is None else weights[part],
            "row_losses": losses[part],
        }
        team.run(Job(_forward_layout(specification, fields.LOSS_ONLY, X[part], team), arrays))
    return float(losses.sum() / (len(X) if weights is None else weights.sum(dtype=np.float64)))


def gradient(
    specification: Specification,
    theta: np.ndarray,
    X: np.ndarray,
    Y: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    threads: int | None = None,
) -> np.ndarray:
    """Return the gradient of the loss over checked samples, laid out as `Network.theta`."""
    team = Team(threads_for(3 * len(X) * specification.n_multiplications, threads))
    options = JobOptions(
        fields.GRADIENT_ONLY,
        len(X),
        team.n_threads,
        X_in_place=is_read_in_place(X, specification.dtype),
        batch_size=len(X),
        trains_biases=specification.has_bias,
    )
    layout = make_layout(specification, options)
    packing = layout.packing
    packed = aligned_zeros(packing.size, specification.dtype)
    packing.pack(theta, packed)
    job = Job(layout, {"theta": packed, "X": X, "labels" if Y.ndim == 1 else "Y": Y, "weights": weights})
    counters, rows = job.arrays["counters"], 1.0
    while counters[STEP] < 1:  # piece by piece, so that Ctrl-C is answered
        started = time.perf_counter()
        job.set_chunk(rows)
        team.run(job, 1)
        rows = next_piece(rows, time.perf_counter() - started)
    return packing.unpack(job.arrays["gradient"][: packing.size])


def with_room(theta: np.ndarray) -> np.ndarray:
    """Return a copy of which the last row may be loaded in whole vectors."""
    copied = aligned_zeros(theta.size, theta.dtype)
    copied[:] = theta
    return copied


class Predictor:
    """Predicts repeatedly with buffers that are prepared once; keeps no reference to the network."""

    def __init__(self, specification: Specification, theta: np.ndarray):
        self._job = Job(make_layout(specification, JobOptions(fields.PREDICT)), {"theta": theta})

    def __call__(self, X: np.ndarray, out: np.ndarray) -> bool:
        """Write the outputs for C-contiguous inputs of the network's type; return whether all are finite."""
        return kernels.layered(self._job.address, 0, 0, X, out)


def predict(
    specification: Specification, theta: np.ndarray, X: np.ndarray, *, threads: int | None = None
) -> np.ndarray:
    """Return the outputs for inputs as `fastbp.checks.check_X` returns them; theta has room after it."""
    team = Team(threads_for(min(PART_WORK, len(X) * specification.n_multiplications), threads))
    out = np.empty((len(X), specification.n_outputs), specification.dtype)
    for part in _parts(specification, len(X)):
        arrays = {"theta": theta, "X": X[part], "Y": out[part]}
        team.run(Job(_forward_layout(specification, fields.PREDICT, X[part], team), arrays))
    return out
