"""A training run of many networks, a network a SIMD lane."""

import time
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from fastbp.engine.population_evaluation import PopulationEvaluation, one_hot, weights_in_lanes
from fastbp.engine.population_job import (
    PopulationJob,
    as_lanes,
    copy_from_lanes,
    from_lanes,
    pieces_of,
    reach_of,
    up_to_lanes,
)
from fastbp.engine.population_options import PopulationOptions, check_given_order
from fastbp.engine.recorded_losses import RecordedLosses
from fastbp.engine.team import threads_for
from fastbp.kernels import fields
from fastbp.kernels.population import draw_sequence
from fastbp.kernels.population222 import BYTES_TOGETHER
from fastbp.kernels.population_update import UPDATE_CODES, constant_kinds
from fastbp.kernels.update_rules import CODES, N_CONSTANTS
from fastbp.schedules import Constant
from fastbp.simd import lanes as width_of
from fastbp.specification import Specification

SEQUENCE_ROWS = 2**15
"""The most samples in the order that all networks share which are drawn ahead, unless one step has more."""

CHUNK_SECONDS = 0.1
"""The time of a chunk, or that of a burst if this is longer. After a chunk, all networks are equally far."""

BURST_STEPS, BURST_ROWS = 512, 1024
"""Steps between two checks for numbers that are not finite: up to so many, of so many rows together."""

SECONDS_A_MULTIPLICATION = 4e-10
"""Roughly the time of a multiplication of a forward pass, with all that training adds, for one lane."""


class PopulationRun:
    """The state of a training run of many networks of one shape, between two chunks.

    Parameters
    ----------
    specification : Specification
    theta : ndarray, shape (n_networks, n_parameters)
        Each row is laid out as `Network.theta`.
    X, Y : ndarray
        As `fastbp.checks.check_data` returns them.
    options : PopulationOptions

    Attributes
    ----------
    learning_rates : float64[n_networks]
        The present rates; they may be assigned between two calls of `advance`. The rate of a step is this
        number times the value of the optimizer's schedule divided by its initial value.
    """

    name = "population"
    records_losses = True

    def __init__(
        self,
        specification: Specification,
        theta: np.ndarray,
        X: np.ndarray,
        Y: np.ndarray,
        options: PopulationOptions,
    ):
        self._specification, self._data, self.options = specification, (X, Y), options
        self.n_networks, self.steps_per_epoch = options.n_networks, options.steps_per_epoch
        dtype, n = specification.dtype, options.n_networks
        bytes_of_block = width_of(dtype.itemsize) * dtype.itemsize
        self._together = BYTES_TOGETHER // bytes_of_block if is_222(specification, options) else 1
        lanes = up_to_lanes(n, dtype, self._together)
        self._n_states = options.optimizer.n_state_vectors
        state = options.optimizer.initial_state(specification.n_parameters, dtype)
        states = np.repeat(state[np.newaxis], n, axis=0)
        if options.optimizer.rule == "rprop":
            states[:, 1] = _first_step_sizes(options, specification.n_parameters)
        self.learning_rates = options.learning_rate.copy()
        self._arrays: dict[str, Any] = {
            "theta": self._as_lanes(np.asarray(theta, dtype)),
            "state": self._as_lanes(states),
            "active": self._as_lanes(np.ones(n, dtype)),
            "loss_parts": np.zeros(lanes, dtype),
            "frozen_at": _in_lanes(np.full(n, -1), lanes),
            "diverged_at": _in_lanes(np.full(n, -1), lanes),
            "loss_sums": np.zeros(lanes),
            "epoch_losses": _in_lanes(np.full(n, np.nan), lanes),
        }
        draws = options.shuffle and options.order is None and options.batch_size < options.n_samples
        self._draws_own, self._draws_shared = draws and options.own_order, draws and not options.own_order
        self._generators = np.zeros((lanes, 2), np.uint64)
        self._generators[:n] = options.seeds[:, np.newaxis]
        self._orders: np.ndarray | None = None
        if self._draws_own:
            self._orders = np.empty((lanes, options.n_samples), np.int32)
            self._orders[:] = np.arange(options.n_samples)
        self._order = np.arange(options.n_samples)  # at the beginning of the sequence, as is the generator
        self._generator = np.array([options.generator_state], np.uint64)
        self._after = self._order, self._generator
        self._sequence_step = self._sequence_end = 0
        self._seconds = 0.0  # of a step of a bundle, measured
        self._job = self._make_job()
        self._steps = self._job.arrays["steps"]
        self._recorded = RecordedLosses(self._job, n, self.steps_per_epoch, self._arrays["frozen_at"][:n])
        theta_of_run = self._arrays["theta"]
        self._evaluation = PopulationEvaluation(specification, theta_of_run, n, options.threads)

    def _as_lanes(self, values: np.ndarray) -> np.ndarray:
        return as_lanes(values, self._specification.dtype, self._together)

    def _make_job(self) -> PopulationJob:
        specification, options = self._specification, self.options
        dtype, (X, Y) = specification.dtype, self._data
        lanes = up_to_lanes(self.n_networks, dtype, self._together)
        weights, weighs_each = weights_in_lanes(options.sample_weight, specification)
        optimizer, batch = options.optimizer, options.batch_size
        burst = max(1, min(BURST_STEPS, BURST_ROWS // batch))
        kinds = np.zeros(N_CONSTANTS, np.int64)
        own_kinds = constant_kinds(optimizer.rule, bool(getattr(optimizer, "nesterov", False)))
        kinds[: len(own_kinds)] = own_kinds
        keep = np.ones(lanes)
        keep[: self.n_networks] = 1 - options.dropout
        rows = max(options.n_samples, SEQUENCE_ROWS)
        hyper = np.zeros(N_CONSTANTS)
        hyper[: len(optimizer.hyperparameters())] = optimizer.hyperparameters()
        arrays = self._arrays | {
            "X": np.ascontiguousarray(X, dtype),
            "Y": one_hot(Y, specification),
            "weights": weights,
            "orders": self._orders,
            "generators": self._generators,
            "sequence": np.zeros(1, np.int32),
            "curve": np.zeros(lanes),
            "steps": np.zeros(lanes // width_of(dtype.itemsize) // self._together, np.int64),
            "hyper": hyper,
            "kinds": kinds,
            "rates": np.zeros(lanes),
            "relative_rates": np.ones(1),
            "momenta": _in_lanes(options.momentum, lanes),
            "l2": _in_lanes(options.l2, lanes),
            "keep": keep,
            "clip_norm": np.array([options.gradient_clip_norm]),
            "reach": reach_of(X, Y),
        }
        numbers = {
            "n_samples": options.n_samples,
            "n_rows": options.n_rows,
            "weighs_each": weighs_each,
            "ordering": fields.OWN_DRAWN if self._draws_own else fields.SHARED,
            "n_states": self._n_states,
            "batch_size": batch,
            "steps_per_epoch": options.steps_per_epoch,
            "burst_steps": burst,
            "rule": CODES[optimizer.rule],
            "update": UPDATE_CODES[optimizer.rule],
            "n_rates": 1,
            "curve_every": 0,
            "curve_first": 0,
            "last_epoch": 0,
            "is_222": is_222(specification, options),
            "decays": bool((options.l2 > 0).any()),
            "trains_biases": specification.bias == "trainable",
            "clips": options.gradient_clip_norm > 0,
            "divides_l2": options.divides_l2,
        }
        return PopulationJob(
            specification,
            fields.TRAIN,
            self.n_networks,
            batch,
            arrays,
            numbers,
            n_threads=self._threads(rows),
            drops=options.drops,
            drawn_rows=burst * batch if self._draws_own else 0,
            together=self._together,
        )

    # --- what is known ------------------------------------------------------------------------------------

    @property
    def step(self) -> int:
        """The step that all active networks have reached."""
        return int(self._steps.min())

    @property
    def n_steps(self) -> np.ndarray:
        """Steps that each network has taken: frozen ones fewer."""
        taken = np.repeat(self._steps, self._job.width * self._together)[: self.n_networks]
        return np.where(self.frozen_at >= 0, self.frozen_at, taken)

    @property
    def frozen_at(self) -> np.ndarray:
        """Steps that each frozen network has taken; -1 for an active one."""
        return np.array(self._arrays["frozen_at"][: self.n_networks])

    @property
    def diverged_at(self) -> np.ndarray:
        """The step, counted from 1, that would have made a number infinite or NaN; -1 if there is none.

        Either the loss of its batch was not finite, or a parameter after it. The network keeps the
        parameters from before that step.
        """
        return np.array(self._arrays["diverged_at"][: self.n_networks])

    @property
    def is_active(self) -> np.ndarray:
        """Whether each network is still trained."""
        return np.asarray(self._arrays["active"][: self.n_networks] > 0)

    def losses(self) -> np.ndarray:
        """Return each network's mean loss over its last epoch that ended; NaN before one ended.

        The loss of a batch is that before its step.
        """
        return np.array(self._arrays["epoch_losses"][: self.n_networks])

    def record_losses(self, every: int, last_epoch: int) -> None:
        """Record what `losses` returns after every such epoch, and after the last, for `take_losses`.

        It is called before the first step of this run.
        """
        self._recorded.begin(self.step, every, last_epoch)

    def take_losses(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the epochs recorded since the last call, counted from 1, and their losses, a row for each.

        They are NaN for networks that were frozen before.
        """
        return self._recorded.take(self.step)

    @property
    def theta(self) -> np.ndarray:
        """A copy of the parameters, shape (n_networks, n_parameters)."""
        theta = np.empty((self.n_networks, self._specification.n_parameters), self._specification.dtype)
        self.copy_theta_to(theta)
        return theta

    def copy_theta_to(self, theta: np.ndarray) -> None:
        """Copy the parameters into a C-contiguous array of this shape."""
        copy_from_lanes(self._arrays["theta"], theta)

    # --- training -----------------------------------------------------------------------------------------

    def compile(self) -> None:
        """Compile the kernel, or load it."""
        self._job.compile()

    def freeze(self, networks: np.ndarray) -> None:
        """Freeze networks, given as a mask or as numbers; they keep their parameters from now on."""
        self._level()
        chosen = np.zeros(self.n_networks, bool)
        chosen[networks] = True
        chosen &= self.is_active
        self._arrays["frozen_at"][: self.n_networks][chosen] = self.step
        self._arrays["active"][: self.n_networks][chosen] = 0

    def advance(self, until: int, is_stopped: Callable[[], bool] = lambda: False) -> None:
        """Train to step `until`. `is_stopped` is called every few milliseconds; if True, `advance` returns.

        Then some networks may be ahead of `step`. The next call lets the others catch up.
        """
        self.compile()
        self._job.arrays["rates"][: self.n_networks] = self.learning_rates
        while (step := self.step) < until:
            if step >= self._sequence_end:
                self._begin_chunk(step, until)
            stop = min(until, self._sequence_end)
            started = time.perf_counter()
            threads = min(self._job.n_threads, self._threads((stop - step) * self.options.batch_size))
            pieces = pieces_of(self._job.n_bundles, self._seconds_per_step() * (stop - step), threads)
            if not self._job.call(pieces, 0, stop, is_stopped, threads):
                return
            self._measure(stop - step, time.perf_counter() - started, threads)

    def _threads(self, rows: int) -> int:
        """Return how many threads a chunk of so many samples is worth: they meet only at its end."""
        work = 3 * self.n_networks * rows * self._specification.n_multiplications
        return threads_for(work, self.options.threads)

    def _seconds_per_step(self) -> float:
        """Return the time of a step of a bundle, as measured, or roughly."""
        if self._seconds:
            return self._seconds
        work = self.options.batch_size * (self._specification.n_multiplications + 50)
        return work * self._job.width * SECONDS_A_MULTIPLICATION

    def _measure(self, steps: int, seconds: float, threads: int) -> None:
        """Note the time of a step of a bundle, if it was measured long enough."""
        if seconds > 1e-3:
            self._seconds = seconds * min(threads, self._job.n_bundles) / (steps * self._job.n_bundles)

    def _chunk_steps(self, step: int, until: int) -> int:
        """Return how many steps a chunk has."""
        affordable = int(
            CHUNK_SECONDS / (self._seconds_per_step() * self._job.n_bundles) * self._job.n_threads
        )
        return min(
            until - step,
            max(1, SEQUENCE_ROWS // self.options.batch_size),
            max(self._job["burst_steps"], affordable),
        )

    def _rows_before(self, step: int) -> int:
        epoch, rest = divmod(step, self.steps_per_epoch)
        return epoch * self.options.n_samples + rest * self.options.batch_size

    def _begin_chunk(self, step: int, until: int) -> None:
        """Draw, or ask for, the samples of the coming steps, and set their rates."""
        options, job = self.options, self._job
        end = step + self._chunk_steps(step, until)
        self._order, self._generator = self._after
        if options.order is not None:
            end = self._take_order(step, end)
        elif not self._draws_own:
            self._draw(step, end)
        job.set("sequence_step", step)
        schedule = options.schedule
        if not isinstance(schedule, Constant) and schedule.base > 0:
            job.set("n_rates", end - step)
            job.replace("relative_rates", schedule.rates(step, end - step) / schedule.base)
            job.set("first_step", step)
        self._recorded.begin_chunk(step, end)
        self._sequence_step, self._sequence_end = step, end

    def _draw(self, step: int, end: int) -> None:
        first = self._rows_before(step)
        sequence = np.empty(self._rows_before(end) - first, np.int32)
        order, generator = self._order.copy(), self._generator.copy()
        draw_sequence(order, generator, sequence, first % self.options.n_samples, self._draws_shared)
        self._after = order, generator
        self._job.replace("sequence", sequence)

    def _take_order(self, step: int, end: int) -> int:
        """Take the given orders of the coming epochs, as far as `end`; return where they end."""
        options, parts = self.options, list[np.ndarray]()
        epoch, first = divmod(step, self.steps_per_epoch)
        while epoch * self.steps_per_epoch < end:
            order = self._given(epoch)
            if order.ndim == 2:
                if parts:
                    end = epoch * self.steps_per_epoch
                    break
                end = min(end, (epoch + 1) * self.steps_per_epoch)
                self._orders = np.zeros((self._job.n_lanes, options.n_samples), np.int32)
                self._orders[: self.n_networks] = order
                self._job.replace("orders", self._orders)
                self._job.set("ordering", fields.OWN_GIVEN)
                return end
            parts.append(order)
            epoch += 1
        self._job.set("ordering", fields.SHARED)
        sequence = np.concatenate(parts)[first * options.batch_size :]
        self._job.replace("sequence", np.ascontiguousarray(sequence))
        return end

    def _given(self, epoch: int) -> np.ndarray:
        options = self.options
        assert options.order is not None
        return check_given_order(options.order(epoch), epoch, options)

    def _level(self) -> None:
        """Let the networks that are behind catch up with the others, after `advance` was stopped."""
        ahead = int(self._steps.max())
        if self.step < ahead:
            self.advance(ahead)

    # --- evaluation ---------------------------------------------------------------------------------------

    def evaluate(
        self,
        X: np.ndarray,
        Y: np.ndarray,
        weights: np.ndarray | None = None,
        check: Callable[[], object] = lambda: None,
    ) -> np.ndarray:
        """Return each network's loss at its present parameters, over samples as `check_data` returns them.

        Parameters
        ----------
        weights : ndarray, shape (n_samples,) or (n_networks, n_samples), optional
            Their mean is 1 for each network.
        check : function
            It is called every few milliseconds. What it raises comes out.
        """
        return self._evaluation.losses(X, Y, weights, check)

    def predict(self, X: np.ndarray, check: Callable[[], object] = lambda: None) -> np.ndarray:
        """Return each network's outputs, shape (n_networks, n_samples, n_outputs)."""
        return self._evaluation.outputs(X, check)

    # --- state --------------------------------------------------------------------------------------------

    def state(self) -> dict[str, np.ndarray]:
        """Return copies of all arrays that training changes: the same on all processors, for any threads.

        All but those in `SHARED_STATE` have a row for each network.
        """
        self._level()
        n, p = self.n_networks, self._specification.n_parameters
        active = self.is_active
        states = from_lanes(self._arrays["state"], n, (self._n_states, p)).copy()
        states[~active] = 0
        state = {
            "theta": self.theta,
            "optimizer_state": states,
            "frozen_at": self.frozen_at,
            "diverged_at": self.diverged_at,
            "loss_sums": np.where(active, self._arrays["loss_sums"][:n], 0.0),
            "loss_parts": np.where(active, self._arrays["loss_parts"][:n], self._specification.dtype.type(0)),
            "epoch_losses": self.losses(),
            "learning_rates": self.learning_rates.copy(),
            "generators": np.where(active[:, np.newaxis], self._generators[:n], np.uint64(0)),
            "order": self._order.copy(),
            "generator": self._generator.copy(),
            "steps": np.array([self.step, self._sequence_step, self._sequence_end]),
        }
        if self._draws_own:
            assert self._orders is not None
            state["orders"] = np.where(active[:, np.newaxis], self._orders[:n], np.int32(0))
        return state

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go to a state, before the first step. Its arrays must have the shapes and types of this run's."""
        n = self.n_networks
        self._arrays["theta"][:] = self._as_lanes(state["theta"])
        self._arrays["state"][:] = self._as_lanes(state["optimizer_state"])
        for name in ("frozen_at", "diverged_at", "loss_sums", "loss_parts", "epoch_losses"):
            self._arrays[name][:n] = state[name]
        self._arrays["active"][:n] = state["frozen_at"] < 0
        self.learning_rates[:] = state["learning_rates"]
        self._generators[:n] = state["generators"]
        if self._draws_own:
            assert self._orders is not None
            self._orders[:n] = state["orders"]
        step, first, end = state["steps"].tolist()
        self._steps[:] = step
        self._order, self._generator = state["order"].copy(), state["generator"].copy()
        self._after = self._order, self._generator
        self._sequence_step = self._sequence_end = step
        if end > first:
            self._redraw(first, step, end)

    def _redraw(self, first: int, step: int, end: int) -> None:
        """Draw the sequence again of which a restored run has taken the steps from `first` to `step`."""
        if self.options.order is not None or self._draws_own:
            return
        self._draw(first, step)
        self._order, self._generator = self._after

    def select(self, networks: np.ndarray) -> Self:
        """Return a run of some networks only, which goes on from where they are.

        Parameters
        ----------
        networks : ndarray
            Their numbers, or a mask.
        """
        state = self.state()
        numbers = np.arange(self.n_networks)[networks]
        chosen = {name: state[name] if name in SHARED_STATE else state[name][numbers] for name in state}
        run = type(self)(self._specification, chosen["theta"], *self._data, self.options.of(numbers))
        run.restore(chosen)
        return run


SHARED_STATE = ("order", "generator", "steps")
"""What a state has once for all networks."""


def is_222(specification: Specification, options: PopulationOptions) -> bool:
    """Whether the networks are trained in registers."""
    return (
        options.is_plain_online()
        and specification.layer_sizes == (2, 2, 2)
        and specification.hidden_activations == ("sigmoid",)
        and specification.output_activation == "sigmoid"
        and specification.loss_name == "half_squared_error"
    )


def _in_lanes(values: np.ndarray, lanes: int) -> np.ndarray:
    """Return a number for each lane: zeros after those of the networks."""
    out = np.zeros(lanes, np.asarray(values).dtype)
    out[: len(values)] = values
    return out


def _first_step_sizes(options: PopulationOptions, n_parameters: int) -> np.ndarray:
    """Return where RPROP begins, a row for each network."""
    if isinstance(getattr(options.optimizer, "learning_rate", 0.0), float):
        return options.learning_rate[:, np.newaxis]
    return np.array([options.first_step_sizes(i, n_parameters) for i in range(options.n_networks)])
