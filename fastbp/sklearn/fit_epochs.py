"""The loop over epochs: scikit-learn's rules of when to stop, and what is told to whom after an epoch."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from fastbp.sklearn.fit_parameters import rate_after
from fastbp.sklearn.fit_runs import OptimizerState
from fastbp.sklearn.user_warnings import warn_user
from fastbp.training.interrupts import Interrupts

SMALLEST_RATE = 1e-6
"""The adaptive learning rate at which training stops."""


class Watch:
    """What is to happen at every epoch besides training: a callback, a bar, a checkpoint."""

    def begin_epoch(self) -> None:
        """Do what is due before an epoch."""

    def end_epoch(self) -> bool:
        """Do what is due after an epoch; return whether training must stop."""
        return False

    def close(self) -> None:
        """Do what is due when training has ended, however it has."""


def close_all(watches: Sequence[Watch]) -> None:
    """Close watches, the last one first, even if closing one of them raises an error."""
    if watches:
        with ExitStack() as stack:
            for watch in watches:
                stack.callback(watch.close)


class EpochLoop:
    """Trains until the estimator's rules say stop, and keeps its attributes up to date.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
    run : WholeRun or BatchedRun
    n_samples : int
        That are trained on.
    score : function, optional
        Returns the score on validation samples at the run's present parameters.
    watches : sequence of Watch
    interrupts : Interrupts

    Attributes
    ----------
    has_converged : bool
        Whether training ended because loss or score did not improve any more.
    """

    def __init__(
        self,
        estimator: Any,
        run: Any,
        n_samples: int,
        score: Callable[[], float] | None,
        watches: Sequence[Watch],
        interrupts: Interrupts,
    ):
        self._estimator, self._run, self._n_samples = estimator, run, n_samples
        self._score, self._watches, self._interrupts = score, watches, interrupts
        self._state: OptimizerState = estimator._optimizer
        limit = estimator.max_seconds
        self._deadline = None if limit is None else time.perf_counter() + limit
        self.has_converged = False
        settings = self._state.settings
        rates = settings.learning_rate
        changes_rates = isinstance(rates, str) and rates in ("invscaling", "cosine", "step")
        self._looks = bool(score or watches or estimator.verbose or changes_rates)
        self._is_scheduled = not isinstance(rates, str) or settings.solver == "rprop"

    def _is_stopped(self) -> bool:
        if self._interrupts.pressed:
            return True
        return self._deadline is not None and time.perf_counter() >= self._deadline

    def train(self, is_incremental: bool) -> None:
        """Train for `max_iter` epochs at most, or for one."""
        try:
            self._train(is_incremental)
        except KeyboardInterrupt:  # in a callback: those between kernels are in `interrupts`
            warn_user("Training interrupted by user.")

    def _train(self, is_incremental: bool) -> None:
        estimator = self._estimator
        while estimator.n_iter_ < estimator.max_iter:
            for watch in self._watches:
                watch.begin_epoch()
            if self._epochs(1 if is_incremental else self._epochs_ahead()) or is_incremental:
                return
            if estimator.n_iter_ == estimator.max_iter:
                warn_user(
                    f"Stochastic Optimizer: Maximum iterations ({estimator.max_iter}) reached and the "
                    "optimization hasn't converged yet.",
                    ConvergenceWarning,
                )

    def _epochs_ahead(self) -> int:
        """Return for how many epochs training goes on before Python must look, or ends.

        If the run itself stops, these are some more than those that are sure. Orders of samples are drawn for
        all of them, and those after the stop in vain: 0.5 us each for 150 samples. To call the kernel again
        takes 6 us, and 60 more for a team, on a Zen 5.
        """
        estimator = self._estimator
        if self._looks:
            return 1
        patience, stale = estimator.n_iter_no_change, estimator._no_improvement_count
        ahead = patience + 1 - stale  # the rule stops none of them but the last
        if self._run.stops_by(patience, float(estimator.tol), estimator.best_loss_, stale):
            ahead = 3 * ahead + estimator.n_iter_ // 2
        return max(1, int(min(estimator.max_iter - estimator.n_iter_, ahead, self._run.most_epochs)))

    def _epochs(self, n_epochs: int) -> bool:
        """Train for some epochs; return whether training is to stop."""
        if not self._is_scheduled:
            self._run.set_rate(self._state.learning_rate)
        losses = self._run.epochs(n_epochs, self._is_stopped)
        ends = self.end_epochs(losses) if losses else False
        if self._is_stopped() and not ends:
            self._tell_why()
            return True
        return ends

    def end_epochs(self, losses: Sequence[float]) -> bool:
        """Do what is due after epochs with these losses; return whether training is to stop.

        Nothing but the last epoch may stop it, and only one has ended if anybody looks.
        """
        estimator, state = self._estimator, self._state
        estimator.n_iter_ += len(losses)
        estimator.loss_ = losses[-1]
        estimator.t_ += len(losses) * self._n_samples
        estimator.loss_curve_ += losses
        if estimator.verbose:
            print(f"Iteration {estimator.n_iter_}, loss = {losses[-1]:.8f}")
        score = None if self._score is None else self._score()
        take_note(estimator, losses, score, lambda: self._run.theta)
        state.learning_rate = rate_after(state.settings, estimator, state.learning_rate)
        ends = False
        if estimator._no_improvement_count > estimator.n_iter_no_change:
            ends = self.has_converged = is_at_end(estimator, state)
            if not ends:
                estimator._no_improvement_count = 0
        if self._watches:
            stops = [watch.end_epoch() for watch in self._watches]
            ends |= any(stops)
        return ends

    def _tell_why(self) -> None:
        if self._interrupts.pressed:
            warn_user("Training interrupted by user.")
        else:
            warn_user(
                f"Stochastic Optimizer: max_seconds={self._estimator.max_seconds} are over and the "
                "optimization hasn't converged yet.",
                ConvergenceWarning,
            )


def take_note(
    estimator: Any, losses: Sequence[float], score: float | None, theta: Callable[[], np.ndarray]
) -> None:
    """Keep the last epoch's score, and count the epochs after which loss or score was not better by `tol`.

    `theta` returns the parameters: those of the best score are kept, with early stopping.
    """
    count, tol = estimator._no_improvement_count, float(estimator.tol)
    if score is not None:
        estimator.validation_scores_.append(score)
        if estimator.verbose:
            print(f"Validation score: {score:f}")
    if score is not None and estimator.early_stopping:
        count = count + 1 if score < estimator.best_validation_score_ + tol else 0
        if score > estimator.best_validation_score_:
            estimator.best_validation_score_ = score
            estimator._best_theta = theta()
    else:
        best = estimator.best_loss_
        for loss in losses:
            count = count + 1 if loss > best - tol else 0
            best = loss if loss < best else best
        estimator.best_loss_ = best
    estimator._no_improvement_count = count


def is_at_end(estimator: Any, state: OptimizerState) -> bool:
    """Whether training stops after epochs without improvement; if not, the rate has become smaller."""
    what = "Validation score" if estimator.early_stopping else "Training loss"
    message = (
        f"{what} did not improve more than tol={estimator.tol:f} for {estimator.n_iter_no_change:d} "
        "consecutive epochs."
    )
    adapts = state.settings.solver == "sgd" and state.settings.learning_rate == "adaptive"
    if not adapts or state.learning_rate <= SMALLEST_RATE:
        if estimator.verbose:
            print(message, "Learning rate too small. Stopping." if adapts else "Stopping.")
        return True
    state.learning_rate /= 5.0
    if estimator.verbose:
        print(message, f"Setting learning rate to {state.learning_rate:f}")
    return False
