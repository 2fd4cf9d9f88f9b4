"""Runs of stochastic solvers: an epoch after the other, in scikit-learn's order of samples."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from typing import Any, ClassVar, Self

import numpy as np

from fastbp.engine.batch_run import QUICK_WORK, BatchRun
from fastbp.engine.kernel_options import KernelOptions
from fastbp.engine.layered_run import LayeredRun
from fastbp.errors import LARGEST_COUNT
from fastbp.kernels import fields
from fastbp.network import Network
from fastbp.schedules import Constant, Schedule
from fastbp.sklearn.fit_parameters import Settings
from fastbp.sklearn.fit_samples import NO_SAMPLES, Samples, Shuffles
from fastbp.training.pace import FASTEST_GROWTH

STEP, ROW, EPOCH = (fields.place("counters", name) for name in ("step", "row", "epoch"))

LEAST_TOLERANCE = 1e-290
"""The least tolerance above 0 for `LayeredRun.set_rule`."""

MOST_EPOCHS = 64
MOST_ORDERED = 2**18
"""The most epochs that are trained in one go, and the most samples whose orders are handed over for them."""

CHUNK_SECONDS, FIRST_WORK = 0.05, 1e6
"""Work between two looks at Ctrl-C, and multiplications before the first one, when the pace is unknown."""


Vectors = dict[str, np.ndarray]


class OptimizerState:
    """What an optimizer keeps between two calls of `partial_fit`; it can be pickled.

    Attributes
    ----------
    settings : Settings
        The estimator's parameters of it, as they were when training began.
    learning_rate : float
        That of the next step.
    """

    def __init__(self, settings: Settings):
        self.settings, self.learning_rate = settings, float(settings.learning_rate_init)
        self._vectors: Vectors | Callable[[], Vectors] | None = None
        self._run: BatchedRun | None = None

    @property
    def vectors(self) -> Vectors | None:
        """The step and the state vectors, as a run returns them; None before the first step."""
        run = vars(self).get("_run")
        if run is not None:
            return _vectors_of(run)
        return self._vectors() if callable(self._vectors) else self._vectors

    def run_on(
        self, network: Network, samples: Samples, options: dict[str, Any], orders: Any
    ) -> "BatchedRun":
        """Return a run that goes on from here: the one that was kept, if it can take these samples.

        It is taken out, so that no other thread gets the same one.
        """
        kept = vars(self).pop("_run", None)
        if kept is not None:
            if kept.begin_again(network, samples, options, orders):
                return kept
            self._vectors = _vectors_of(kept)
        run = BatchedRun(network, samples, options, orders)
        if (vectors := self.vectors) is not None:
            run.go_on(vectors, network.theta)
        return run

    def keep(self, run: Any) -> None:
        """Keep the state of a run that has ended: the run itself, if it can take other samples."""
        if run.takes_others:
            self._run = run
        else:
            self._run, self._vectors = None, run.frozen()

    def __getstate__(self) -> dict[str, Any]:
        return {"settings": self.settings, "learning_rate": self.learning_rate, "_vectors": self.vectors}


def _vectors_of(run: Any) -> Vectors:
    return {name: array for name, array in run.state().items() if name != "theta"}


def constant(rate: float, present: Schedule) -> Schedule:
    """Return the schedule of a constant rate: the present one, if it is that."""
    return present if isinstance(present, Constant) and present.initial == rate else Constant(rate)


class EpochRun(ABC):
    """Trains epoch by epoch.

    Attributes
    ----------
    run : LayeredRun or BatchRun
        What takes the steps.
    """

    run: Any
    takes_others: ClassVar[bool]
    """Whether the run can go on with other samples."""

    @property
    def theta(self) -> np.ndarray:
        """The present parameters."""
        return self.run.theta

    def copy_theta_to(self, theta: np.ndarray) -> None:
        """Copy the present parameters into the network's."""
        self.run.copy_theta_to(theta)

    @abstractmethod
    def let_go(self) -> None:
        """Keep no reference to the samples."""

    @property
    @abstractmethod
    def n_steps(self) -> int:
        """Steps taken."""

    @property
    @abstractmethod
    def schedule(self) -> Schedule:
        """The learning rates by step."""

    def stops_by(self, patience: float, tolerance: float, best_loss: float, stale_epochs: int) -> bool:
        """Let `epochs` end after more than `patience` epochs that were not better; return whether it does so.

        See `LayeredRun.set_rule`.
        """
        return False

    @property
    def learning_rate(self) -> float:
        """The learning rate of the last step."""
        return self.schedule.rate(max(0, self.n_steps - 1))


_idle: dict[Hashable, list["WholeRun"]] = {}
"""Runs that have ended, by what they were made for. To make one takes 100 us or more."""

MOST_IDLE = 16
"""The most kinds of runs that are kept; threads that fit at once have several of one kind."""


def _home_of(kind: Hashable) -> list[Any]:
    """Return the runs of a kind that have ended; forget those of the oldest kind, if there are many."""
    home = _idle.get(kind)
    if home is None:
        home = _idle[kind] = []
        for oldest in list(_idle)[:-MOST_IDLE]:
            _idle.pop(oldest, None)
    return home


class WholeRun(EpochRun):
    """Epochs over dense samples, on one prepared run."""

    takes_others = False
    _home: list[Any] | None = None
    """Where it goes when it has ended, if it can start over."""
    _orders: Shuffles | None

    @classmethod
    def of(cls, network: Network, samples: Samples, options: dict[str, Any], orders: Shuffles | None) -> Self:
        """Return a run: one that has ended, if it was made for as many samples and the same options."""
        X, Y, specification = samples.X, samples.Y, network.specification
        home: list[Any] | None = None
        if (
            samples.weights is None
            and "seed" not in options
            and X.dtype == specification.dtype
            and X.flags.carray
        ):
            home = _home_of((cls, specification, samples.n, Y.ndim, orders is None, *options.values()))
            try:
                kept = home.pop()
            except IndexError:  # there is none, or another thread has just taken it
                pass
            else:
                if kept.run.start_over(network.theta, X, Y, None):
                    kept._orders, kept._home = orders, home
                    return kept
        run = cls(network, samples, options, orders)
        if home is not None and run.run.keep_start():
            run._home = home
        return run

    def let_go(self) -> None:
        """Keep no reference to the samples, and be there for another fit."""
        self._orders, home, self._home = None, self._home, None
        if home is not None and len(home) < MOST_IDLE:
            self.run.let_go()
            home.append(self)

    def __init__(self, network: Network, samples: Samples, options: dict[str, Any], orders: Shuffles | None):
        self._orders = orders
        self._end_epoch, self._n_samples = 1, samples.n
        if samples.weights is not None:  # a run divides weights by their mean, and so the sum beside l2
            options = options | {"l2": options["l2"] / float(samples.weights.mean())}
        settled = KernelOptions(
            samples.n,
            steps=LARGEST_COUNT,
            shuffle=False,
            as_scikit_learn=True,
            divides_by_weights=True,
            order=None if orders is None else self._order,
            losses_at_once=MOST_EPOCHS + 1,
            sample_weight=samples.weights,
            **options,
        )
        self.run = LayeredRun(network.specification, network.theta, samples.X, samples.Y, settled)
        step = 3 * options["batch_size"] * network.specification.n_multiplications
        self._chunk_steps = max(1, int(FIRST_WORK / step))
        self._is_quick = step <= QUICK_WORK and options["threads"] in (None, 1)

    def _order(self, epoch: int) -> np.ndarray:
        """Return the orders of the epochs that are trained next."""
        assert self._orders is not None
        return self._orders.several(self._end_epoch - epoch)

    @property
    def most_epochs(self) -> int:
        """How many epochs take no longer than Ctrl-C may wait."""
        fast = self._chunk_steps // self.run.steps_per_epoch
        return max(1, min(fast, MOST_EPOCHS, MOST_ORDERED // self._n_samples))

    def stops_by(self, patience: float, tolerance: float, best_loss: float, stale_epochs: int) -> bool:
        """Let the kernel apply the rule, if it can, and if spare orders may be drawn."""
        may = (self._orders is None or self._orders.may_be_spare) and patience >= 1
        if may and (tolerance == 0 or tolerance >= LEAST_TOLERANCE):
            self.run.set_rule(min(patience, LARGEST_COUNT), tolerance, best_loss, stale_epochs)
            return True
        return False

    def epochs(self, n_epochs: int, is_stopped: Callable[[], bool]) -> list[float]:
        """Train for some epochs; return the mean losses of those that ended before it was stopped."""
        run, step = self.run, self.run.step
        end = step + n_epochs * run.steps_per_epoch
        self._end_epoch = end // run.steps_per_epoch
        while step < end:
            before, started = step, time.perf_counter()
            if self._is_quick:
                run.advance_at_once(min(end, before + self._chunk_steps))
            else:
                run.advance(min(end, before + self._chunk_steps), is_stopped)
            step, seconds = run.step, time.perf_counter() - started
            done = step - before
            if FASTEST_GROWTH * done > self._chunk_steps or seconds > CHUNK_SECONDS:
                wanted = max(1, int(done * min(FASTEST_GROWTH, CHUNK_SECONDS / max(seconds, 1e-9))))
                if wanted > self._chunk_steps or seconds > CHUNK_SECONDS:  # a small rest tells little
                    self._chunk_steps = wanted
            if run.has_stopped or is_stopped():
                break
        return run.take_losses()

    @property
    def n_steps(self) -> int:
        """Steps taken."""
        return self.run.step

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch."""
        return self.run.steps_per_epoch

    @property
    def is_at_epoch_end(self) -> bool:
        """Whether no epoch was left in the middle."""
        return self.run.step % self.run.steps_per_epoch == 0

    @property
    def schedule(self) -> Schedule:
        """The learning rates by step."""
        return self.run.schedule

    def set_rate(self, rate: float) -> None:
        """Train at another learning rate from now on."""
        self.run.schedule = constant(rate, self.run.schedule)

    def go_on(self, state: dict[str, np.ndarray], theta: np.ndarray) -> None:
        """Go on from a state at the end of an epoch."""
        counters = self.run.state()["counters"]
        steps, size = state["step"].item(), self.run.steps_per_epoch
        counters[STEP], counters[EPOCH], counters[ROW] = steps, steps // size, 0
        kept = {name: state[name] for name in ("optimizer_state", "generator")}
        self.run.restore(self.run.state() | kept | {"theta": theta, "counters": counters})

    def frozen(self) -> Callable[[], Vectors]:
        """Return a function that returns the present state without theta, at any later time."""
        step, generator = self.run.step, self.run.generator.copy()
        optimizer_state = self.run.frozen_optimizer_state()
        return lambda: {"step": np.array(step), "optimizer_state": optimizer_state(), "generator": generator}

    def state(self) -> dict[str, np.ndarray]:
        """Return what `BatchedRun` goes on from."""
        state = self.run.state()
        return {"step": np.array(self.run.step)} | {
            name: state[name] for name in ("theta", "optimizer_state", "generator")
        }


class BatchedRun(EpochRun):
    """Epochs batch by batch: for sparse samples, of which one batch is dense at a time, and `partial_fit`."""

    def __init__(self, network: Network, samples: Samples, options: dict[str, Any], orders: Shuffles | None):
        self._network, self._options = network, options
        self._batch_size = min(options["batch_size"], samples.n)
        self._is_weighted = samples.weights is not None
        settled = KernelOptions(
            self._batch_size,
            steps=LARGEST_COUNT,
            shuffle=False,
            as_scikit_learn=True,
            divides_by_weights=True,
            sample_weight=np.ones(self._batch_size) if self._is_weighted else None,
            **options,
        )
        self.run = BatchRun(network.specification, network.theta, settled)
        self._schedule = settled.schedule
        self._dtype = network.dtype
        self._take(samples, orders)

    def _take(self, samples: Samples, orders: Shuffles | None) -> None:
        self._samples, self._orders = samples, orders
        self._is_sparse = hasattr(samples.X, "tocsr")

    def begin_again(
        self, network: Network, samples: Samples, options: dict[str, Any], orders: Shuffles | None
    ) -> bool:
        """Go on with other samples, as a new run would that goes on from this one's state.

        Returns
        -------
        bool
            False if the network, the options, or what samples the run has room for, are not the same.
        """
        if network is not self._network or options != self._options:
            return False
        if samples.n < self._batch_size or (samples.weights is not None) != self._is_weighted:
            return False
        self._take(samples, orders)
        self.run.set_theta(network.theta)
        return True

    def let_go(self) -> None:
        """Keep no reference to the samples."""
        self._samples, self._orders = NO_SAMPLES, None

    def go_on(self, state: dict[str, np.ndarray], theta: np.ndarray) -> None:
        """Go on with an optimizer's state."""
        self.run.restore(state | {"theta": theta, "step": state["step"].item()})

    takes_others = True
    most_epochs = 1
    is_at_epoch_end = True

    def epochs(self, n_epochs: int, is_stopped: Callable[[], bool]) -> list[float]:
        """Train for one epoch; return its mean loss, or nothing if it was stopped before its end."""
        samples, order = self._samples, None if self._orders is None else next(self._orders)
        total, self.is_at_epoch_end = 0.0, False
        for first in range(0, samples.n, self._batch_size):
            rows: Any = slice(first, first + self._batch_size)
            rows = rows if order is None else order[rows]
            X, Y = samples.X[rows], samples.Y[rows]
            X = np.require(X.toarray() if self._is_sparse else X, self._dtype, ["C", "A", "W"])
            Y = np.require(Y, requirements=["C", "A", "W"])
            taken = self.run.take(X, Y)
            assert taken, "validated samples that the kernel refuses"
            self.run.weigh(None if samples.weights is None else samples.weights[rows])
            total += self.run.step() * len(X)
            if is_stopped():
                self.is_at_epoch_end = first + len(X) == samples.n
                return [total / samples.n] if self.is_at_epoch_end else []
        self.is_at_epoch_end = True
        return [total / samples.n]

    @property
    def n_steps(self) -> int:
        """Steps taken."""
        return self.run.n_steps

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch."""
        return -(-self._samples.n // self._batch_size)

    @property
    def schedule(self) -> Schedule:
        """The learning rates by step."""
        return self._schedule

    def set_rate(self, rate: float) -> None:
        """Train at another learning rate from now on."""
        schedule = constant(rate, self._schedule)
        if schedule is not self._schedule:
            self._schedule = schedule
            self.run.set_rate(rate)

    def state(self) -> dict[str, np.ndarray]:
        """Return what another run goes on from."""
        return self.run.state()
