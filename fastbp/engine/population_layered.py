"""A training run of many wide networks: each on the layered kernel, one network a thread."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

import numpy as np

from fastbp.engine import evaluation
from fastbp.engine.kernel_options import KernelOptions
from fastbp.engine.layered_run import LayeredRun
from fastbp.engine.population_job import in_threads
from fastbp.engine.population_options import PopulationOptions, check_given_order
from fastbp.engine.team import threads_for
from fastbp.errors import LARGEST_COUNT
from fastbp.optimizers import RPROP, Optimizer
from fastbp.schedules import Constant, Schedule
from fastbp.specification import Specification

CHUNK_SECONDS = 0.01
"""The time that a network trains before its thread takes another one, unless a step takes longer."""

KEPT = ("theta", "optimizer_state", "order", "generator", "counters", "totals")
"""The arrays of a network's run that its state consists of."""


LEAST_MOMENTUM = 5e-324
"""Kernels take this momentum for 0, as it is subnormal. It has the rule and the state of one above 0."""


@dataclass(frozen=True)
class Scaled(Schedule):
    """A schedule, times a factor."""

    schedule: Schedule
    factor: float

    def _formula(self, step: np.ndarray) -> np.ndarray:
        return self.schedule._formula(step) * self.factor


class LayeredPopulationRun:
    """What `fastbp.engine.population_run.PopulationRun` is, for networks that fill the vectors alone."""

    name = "layered"
    records_losses = False

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
        self.learning_rates = options.learning_rate.copy()
        self._runs = [self._make(i, np.asarray(theta[i])) for i in range(self.n_networks)]
        self.frozen_at = np.full(self.n_networks, -1)
        self.diverged_at = np.full(self.n_networks, -1)
        self._ahead = 0
        self._seconds = 0.0
        work = 3 * self.n_networks * options.n_samples * specification.n_multiplications
        self._n_threads = threads_for(work, options.threads)

    def _make(self, i: int, theta: np.ndarray) -> LayeredRun:
        """Return the run of a network."""
        options, (X, Y), weights = self.options, self._data, self.options.sample_weight
        if options.own_parts:
            part = slice(self._start_of_part(i), self._start_of_part(i) + options.n_samples)
            X, Y, weights = X[part], Y[part], weights if weights is None else weights[..., part]
        own = KernelOptions(
            len(X),
            steps=LARGEST_COUNT,
            batch_size=options.batch_size,
            optimizer=own_optimizer(options, i, self._specification.n_parameters),
            shuffle=options.shuffle,
            seed=options.given_seeds[i],
            sample_weight=weights if weights is None or weights.ndim == 1 else weights[i],
            l2=float(options.l2[i]),
            dropout=float(options.dropout[i]),
            gradient_clip_norm=options.gradient_clip_norm or None,  # type: ignore[arg-type]
            threads=1,
            order=None if options.order is None else lambda epoch: self._order(i, epoch),
        )
        run = LayeredRun(self._specification, theta, X, Y, own)
        states = (int(options.seeds[i]) if options.own_order else options.generator_state, options.seeds[i])
        run.generator[:] = np.array(states, np.uint64)[: run.generator.size]
        return run

    def _order(self, i: int, epoch: int) -> np.ndarray:
        options = self.options
        assert options.order is not None
        order = check_given_order(options.order(epoch), epoch, options)
        return (order if order.ndim == 1 else order[i]) - self._start_of_part(i)

    def _start_of_part(self, i: int) -> int:
        """Return where the rows of a network begin."""
        return int(self.options.rows[i]) * self.options.n_samples if self.options.own_parts else 0

    # --- what is known ------------------------------------------------------------------------------------

    @property
    def is_active(self) -> np.ndarray:
        """Whether each network is still trained."""
        return self.frozen_at < 0

    @property
    def step(self) -> int:
        """The step that all active networks have reached."""
        return int(self.n_steps[self.is_active].min(initial=self._ahead))

    @property
    def n_steps(self) -> np.ndarray:
        """Steps that each network has taken."""
        return np.array([run.step for run in self._runs])

    def losses(self) -> np.ndarray:
        """Return each network's mean loss over its last epoch that ended; NaN before one ended."""
        first = self.steps_per_epoch
        return np.array([run.epoch_loss if run.step >= first else np.nan for run in self._runs])

    @property
    def theta(self) -> np.ndarray:
        """A copy of the parameters, shape (n_networks, n_parameters)."""
        theta = np.empty((self.n_networks, self._specification.n_parameters), self._specification.dtype)
        self.copy_theta_to(theta)
        return theta

    def copy_theta_to(self, theta: np.ndarray) -> None:
        """Copy the parameters into an array of this shape."""
        for row, run in zip(theta, self._runs, strict=True):
            row[:] = run.theta

    # --- training -----------------------------------------------------------------------------------------

    def compile(self) -> None:
        """Compile the kernel, or load it."""
        self._runs[0].advance(self._runs[0].step)

    def freeze(self, networks: np.ndarray) -> None:
        """Freeze networks, given as a mask or as numbers; they keep their parameters from now on."""
        self._level()
        chosen = np.zeros(self.n_networks, bool)
        chosen[networks] = True
        chosen &= self.is_active
        self.frozen_at[chosen] = self.n_steps[chosen]

    def advance(self, until: int, is_stopped: Callable[[], bool] = lambda: False) -> None:
        """Train to step `until`, or less far; see `PopulationRun.advance`."""
        self.compile()
        for run, rate in zip(self._runs, self.learning_rates.tolist(), strict=True):
            schedule = self.options.schedule
            base = schedule.base
            scaled = isinstance(schedule, Constant) or base == 0
            run.schedule = Constant(rate) if scaled else Scaled(schedule, rate / base)
        while (step := self.step) < until:
            stop = min(until, self._ahead if step < self._ahead else step + self._chunk_steps())
            waiting = deque(np.flatnonzero(self.is_active & (self.n_steps < stop)).tolist())
            self._ahead = max(self._ahead, stop)
            started, n = time.perf_counter(), len(waiting)
            if not in_threads(partial(self._train, stop), waiting, self._n_threads, is_stopped):
                return
            seconds = (time.perf_counter() - started) * min(self._n_threads, max(n, 1))
            self._seconds = seconds / (max(n, 1) * (stop - step))

    def _chunk_steps(self) -> int:
        """Return how many steps a network takes before another one trains."""
        return max(1, min(4096, int(CHUNK_SECONDS / self._seconds))) if self._seconds else 1

    @np.errstate(all="ignore")
    def _train(self, stop: int, thread: int, i: int) -> None:
        """Train one network to a step; if it goes bad, find its bad step, and freeze it before that."""
        run = self._runs[i]
        good = run.snapshot()
        run.advance(stop)
        if run.is_finite():
            return
        bad = stop
        while bad - good.step > 1:
            middle = good.snapshot()
            middle.schedule = run.schedule
            middle.advance((good.step + bad) // 2)
            if middle.is_finite():
                good = middle
            else:
                bad = middle.step
        self._runs[i], self.diverged_at[i], self.frozen_at[i] = good, bad, good.step

    def _level(self) -> None:
        """Let the networks that are behind catch up with the others, after `advance` was stopped."""
        if self.step < self._ahead:
            self.advance(self._ahead)

    # --- evaluation ---------------------------------------------------------------------------------------

    def evaluate(
        self,
        X: np.ndarray,
        Y: np.ndarray,
        weights: np.ndarray | None = None,
        check: Callable[[], object] = lambda: None,
    ) -> np.ndarray:
        """Return each network's loss at its present parameters; see `PopulationRun.evaluate`."""
        losses = np.empty(self.n_networks)
        for i, run in enumerate(self._runs):
            check()
            losses[i] = evaluation.loss(
                self._specification,
                evaluation.with_room(run.theta),
                X,
                Y,
                weights if weights is None or weights.ndim == 1 else weights[i],
                threads=self.options.threads,
                check=check,
            )
        return losses

    def predict(self, X: np.ndarray, check: Callable[[], object] = lambda: None) -> np.ndarray:
        """Return each network's outputs, shape (n_networks, n_samples, n_outputs)."""
        outputs = []
        for run in self._runs:
            check()
            theta = evaluation.with_room(run.theta)
            outputs.append(evaluation.predict(self._specification, theta, X, threads=self.options.threads))
        return np.stack(outputs)

    # --- state --------------------------------------------------------------------------------------------

    def state(self) -> dict[str, np.ndarray]:
        """Return copies of all arrays that training changes; each has a row for each network."""
        self._level()
        states = [run.state() for run in self._runs]
        stacked = {name: np.stack([state[name] for state in states]) for name in KEPT}
        own = {"frozen_at": self.frozen_at, "diverged_at": self.diverged_at}
        own |= {"learning_rates": self.learning_rates, "reached": np.full(self.n_networks, self._ahead)}
        return stacked | {name: array.copy() for name, array in own.items()}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go to a state, before the first step. Its arrays must have the shapes and types of this run's."""
        for i, run in enumerate(self._runs):
            run.restore({"losses": run.losses} | {name: state[name][i] for name in KEPT})
        self.frozen_at[:], self.diverged_at[:] = state["frozen_at"], state["diverged_at"]
        self.learning_rates[:] = state["learning_rates"]
        self._ahead = int(state["reached"].max(initial=0))

    def select(self, networks: np.ndarray) -> Self:
        """Return a run of some networks only, given as a mask or as numbers, which goes on from there."""
        numbers = np.arange(self.n_networks)[networks]
        chosen = {name: array[numbers] for name, array in self.state().items()}
        run = type(self)(self._specification, chosen["theta"], *self._data, self.options.of(numbers))
        run.restore(chosen)
        return run


def own_optimizer(options: PopulationOptions, i: int, n_parameters: int) -> Optimizer:
    """Return the optimizer of a network, with its momentum; RPROP's has its first step sizes, too."""
    changed: dict[str, Any] = {}
    if hasattr(options.optimizer, "momentum"):
        least = LEAST_MOMENTUM if options.optimizer.momentum > 0 else 0.0
        changed["momentum"] = max(float(options.momentum[i]), least)
    if isinstance(options.optimizer, RPROP):
        sizes = options.first_step_sizes(i, n_parameters)
        changed["learning_rate"] = sizes if isinstance(sizes, float) else tuple(sizes.tolist())
    return replace(options.optimizer, **changed)  # type: ignore[type-var]
