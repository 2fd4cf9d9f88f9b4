"""Stochastic solvers: epochs in scikit-learn's order of samples, until a loss or a score stops to improve."""

import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from fastbp.engine.batch_run import BatchRun
from fastbp.engine.kernel_options import KernelOptions
from fastbp.engine.layered_run import LayeredRun
from fastbp.errors import LARGEST_COUNT
from fastbp.network import Network
from fastbp.optimizers import Optimizer, UnscaledAdam, VelocitySGD
from fastbp.schedules import Constant
from fastbp.training.interrupts import Interrupts
from fastbp.training.pace import ChunkLength

CHUNK_SECONDS = 0.05
"""Work between two looks at Ctrl-C."""

SMALLEST_RATE = 1e-6
"""The adaptive learning rate at which training stops."""


@dataclass
class Samples:
    """What is trained on.

    Attributes
    ----------
    X : ndarray or CSR matrix, shape (n_samples, n_features)
    Y : ndarray
        Class numbers of int64, or targets of the network's type, C-contiguous.
    weights : ndarray of float64 or None
    """

    X: Any
    Y: np.ndarray
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return int(self.X.shape[0])

    def take(self, rows: np.ndarray) -> "Samples":
        """Return some of them, as copies."""
        return Samples(self.X[rows], self.Y[rows], None if self.weights is None else self.weights[rows])


class OptimizerState:
    """What an optimizer keeps between two calls of `partial_fit`; it can be pickled.

    Attributes
    ----------
    learning_rate : float
        That of the next step.
    vectors : dict of ndarray, or None
        The step and the state vectors, as a run returns them; None before the first step.
    """

    def __init__(self, learning_rate: float):
        self.learning_rate = learning_rate
        self.vectors: dict[str, np.ndarray] | None = None


def optimizer_of(estimator: Any) -> Optimizer:
    """Return the optimizer of the solver that the estimator's parameters say."""
    if estimator.solver == "adam":
        return UnscaledAdam(
            estimator.learning_rate_init, estimator.beta_1, estimator.beta_2, estimator.epsilon
        )
    return VelocitySGD(estimator.learning_rate_init, estimator.momentum, bool(estimator.nesterovs_momentum))


def shuffles(n_samples: int, generator: np.random.RandomState) -> Iterator[np.ndarray]:
    """Yield the order of each epoch: each shuffles that of the epoch before, as scikit-learn does."""
    order = np.arange(n_samples)
    while True:
        places = np.arange(n_samples)
        generator.shuffle(places)
        order = order[places]
        yield order


class WholeRun:
    """Epochs over dense samples, on one prepared run."""

    def __init__(self, network: Network, samples: Samples, options: dict[str, Any], orders: Iterator | None):
        order = None if orders is None else (lambda epoch: next(orders))
        if samples.weights is not None:  # a run divides weights by their mean, and so the sum beside l2
            options = options | {"l2": options["l2"] / float(samples.weights.mean())}
        settled = KernelOptions(
            len(samples),
            steps=LARGEST_COUNT,
            shuffle=False,
            as_scikit_learn=True,
            divides_by_weights=True,
            order=order,
            sample_weight=samples.weights,
            **options,
        )
        self.run = LayeredRun(network.specification, network.theta, samples.X, samples.Y, settled)
        self._chunk = ChunkLength(1, CHUNK_SECONDS)

    def epoch(self, is_stopped: Callable[[], bool]) -> float | None:
        """Train for one epoch; return its mean loss, or None if it was stopped before its end."""
        run, end = self.run, self.run.step + self.run.steps_per_epoch
        while run.step < end:
            before, started = run.step, time.perf_counter()
            run.advance(min(end, before + self._chunk.steps), is_stopped)
            self._chunk.record(run.step - before, time.perf_counter() - started)
            if is_stopped():
                return None if run.step < end else run.epoch_loss
        return run.epoch_loss

    def set_rate(self, rate: float) -> None:
        """Train at another learning rate from now on."""
        self.run.schedule = Constant(rate)

    def state(self) -> dict[str, np.ndarray]:
        """Return what `BatchedRun` goes on from."""
        state = self.run.state()
        return {"step": np.array(self.run.step)} | {
            name: state[name] for name in ("theta", "optimizer_state", "generator")
        }


class BatchedRun:
    """Epochs batch by batch: for sparse samples, of which one batch is dense at a time, and `partial_fit`."""

    def __init__(self, network: Network, samples: Samples, options: dict[str, Any], orders: Iterator | None):
        self._samples, self._orders = samples, orders
        self._batch_size = min(options["batch_size"], len(samples))
        settled = KernelOptions(
            self._batch_size,
            steps=LARGEST_COUNT,
            shuffle=False,
            as_scikit_learn=True,
            divides_by_weights=True,
            sample_weight=None if samples.weights is None else np.ones(self._batch_size),
            **options,
        )
        self.run = BatchRun(network.specification, network.theta, settled)
        self._dtype, self._is_sparse = network.dtype, hasattr(samples.X, "tocsr")

    def go_on(self, state: dict[str, np.ndarray], theta: np.ndarray) -> None:
        """Go on with an optimizer's state."""
        self.run.restore(state | {"theta": theta})

    def epoch(self, is_stopped: Callable[[], bool]) -> float | None:
        """Train for one epoch; return its mean loss, or None if it was stopped before its end."""
        samples, order = self._samples, None if self._orders is None else next(self._orders)
        total = 0.0
        for first in range(0, len(samples), self._batch_size):
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
                return None
        return total / len(samples)

    def set_rate(self, rate: float) -> None:
        """Train at another learning rate from now on."""
        self.run.set_rate(rate)

    def state(self) -> dict[str, np.ndarray]:
        """Return what another run goes on from."""
        return self.run.state()


def train_epochs(
    estimator: Any, run: Any, n_samples: int, score: Callable[[], float] | None, is_incremental: bool
) -> None:
    """Train until the estimator's rules say stop, and keep its attributes up to date.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
    run : WholeRun or BatchedRun
    n_samples : int
        That are trained on.
    score : function, optional
        Returns the score on validation samples, with early stopping.
    is_incremental : bool
        Whether there is one epoch only, as in `partial_fit`.
    """
    state = estimator._optimizer
    with Interrupts() as interrupts:
        estimator.n_iter_ = 0
        for _ in range(estimator.max_iter):
            run.set_rate(state.learning_rate)
            loss = run.epoch(lambda: interrupts.pressed)
            if loss is None:
                warnings.warn("Training interrupted by user.", stacklevel=2)
                break
            estimator.n_iter_ += 1
            estimator.loss_ = loss
            estimator.t_ += n_samples
            estimator.loss_curve_.append(loss)
            if estimator.verbose:
                print(f"Iteration {estimator.n_iter_}, loss = {loss:.8f}")
            count_no_improvement(estimator, loss, score)
            if estimator.solver == "sgd" and estimator.learning_rate == "invscaling":
                scale = (estimator.t_ + 1) ** estimator.power_t
                state.learning_rate = float(estimator.learning_rate_init) / scale
            if estimator._no_improvement_count > estimator.n_iter_no_change:
                if is_at_end(estimator, state, score is not None):
                    break
                estimator._no_improvement_count = 0
            if is_incremental:
                break
            if estimator.n_iter_ == estimator.max_iter:
                warnings.warn(
                    f"Stochastic Optimizer: Maximum iterations ({estimator.max_iter}) reached and the "
                    "optimization hasn't converged yet.",
                    ConvergenceWarning,
                    stacklevel=2,
                )
            if interrupts.pressed:
                warnings.warn("Training interrupted by user.", stacklevel=2)
                break


def count_no_improvement(estimator: Any, loss: float, score: Callable[[], float] | None) -> None:
    """Take note of an epoch's loss, or of the score after it, and whether it improved by `tol`."""
    if score is None:
        worse = loss > estimator.best_loss_ - estimator.tol
        estimator.best_loss_ = loss if loss < estimator.best_loss_ else estimator.best_loss_
    else:
        value = score()
        estimator.validation_scores_.append(value)
        if estimator.verbose:
            print(f"Validation score: {value:f}")
        worse = value < estimator.best_validation_score_ + estimator.tol
        if value > estimator.best_validation_score_:
            estimator.best_validation_score_ = value
            estimator._best_theta = estimator._network.theta.copy()
    estimator._no_improvement_count = estimator._no_improvement_count + 1 if worse else 0


def is_at_end(estimator: Any, state: OptimizerState, on_scores: bool) -> bool:
    """Whether training stops after epochs without improvement; if not, the rate has become smaller."""
    what = "Validation score" if on_scores else "Training loss"
    message = (
        f"{what} did not improve more than tol={estimator.tol:f} for {estimator.n_iter_no_change:d} "
        "consecutive epochs."
    )
    adapts = estimator.solver == "sgd" and estimator.learning_rate == "adaptive"
    if not adapts or state.learning_rate <= SMALLEST_RATE:
        if estimator.verbose:
            print(message, "Learning rate too small. Stopping." if adapts else "Stopping.")
        return True
    state.learning_rate /= 5.0
    if estimator.verbose:
        print(message, f"Setting learning rate to {state.learning_rate:f}")
    return False
