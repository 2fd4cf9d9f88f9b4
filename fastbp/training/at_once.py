"""Short runs that are kept: the next call of `train` with the same options uses what was prepared.

A call for one small step is mostly preparation: to check options, and to make a job and a loop. A program
that calls `train` repeatedly changes the samples or the network, and seldom the options. The samples are
checked each time. The warning about targets out of reach comes with the first call alone.
"""

import math
import threading
import time
from collections.abc import Hashable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastbp.engine.run import Run
from fastbp.errors import check_seed
from fastbp.network import Network
from fastbp.schedules import Schedule
from fastbp.training.interrupts import Interrupts
from fastbp.training.result import TrainingResult
from fastbp.training.stopping import StopReason


class IdleRuns:
    """Keeps the runs of recent calls. A run serves one call at a time, in any thread.

    Parameters
    ----------
    most : int
        How many runs are kept.
    """

    def __init__(self, most: int = 16):
        self._most = most
        self._runs: dict[Hashable, tuple[threading.Lock, Run]] = {}

    def __len__(self) -> int:
        return len(self._runs)

    def forget(self) -> None:
        """Drop all runs, and their memory."""
        self._runs.clear()

    def train(
        self, call: tuple[Any, ...], network: Network, X: ArrayLike, Y: ArrayLike, seed: int | None
    ) -> TrainingResult | None:
        """Train as `fastbp.train` does, by a run that is kept for such a call.

        Parameters
        ----------
        call : tuple
            All other arguments of `fastbp.train`. They need no check: only correct ones are ever kept.

        Returns
        -------
        TrainingResult or None
            None if there is no such run, if kernels cannot read the samples in place, or if a value stopped
            being finite. Then nothing is changed, and `fastbp.train` proceeds as usual.
        """
        if not self._runs or not type(X) is type(Y) is np.ndarray:
            return None
        if seed is not None:
            seed = check_seed(seed)
        key = _key(call, network, X, Y)
        try:
            kept = self._runs.get(key)
        except TypeError:  # an argument has no hash
            return None
        if kept is None or not kept[0].acquire(blocking=False):
            return None
        lock, run = kept
        result = _train_at_once(run, network, X, Y, seed)
        if result is None:
            self._runs.pop(key, None)
            return None
        run.let_go()
        lock.release()
        return result

    def keep(self, call: tuple[Any, ...], network: Network, X: Any, Y: Any, run: Run) -> None:
        """Keep a run that was completed for the next such call; drop the oldest if there are too many."""
        run.let_go()
        try:
            self._runs[_key(call, network, X, Y)] = threading.Lock(), run
        except TypeError:  # an argument has no hash
            return
        for oldest in list(self._runs)[: -self._most]:
            self._runs.pop(oldest, None)


def _key(call: tuple[Any, ...], network: Network, X: np.ndarray, Y: np.ndarray) -> tuple[Any, ...]:
    """Return a key that is equal for calls which the same run can serve; 1, 1.0 and True give different keys.

    It has no hash if an argument has none.
    """
    return network.specification, X.shape[:1], Y.ndim, call, tuple(map(type, call))


def _train_at_once(
    run: Run, network: Network, X: np.ndarray, Y: np.ndarray, seed: int | None
) -> TrainingResult | None:
    """Start a run over, and take all its steps in one call of the kernel; return None if that fails."""
    with Interrupts() as interrupts:
        if not run.start_over(network.theta, X, Y, seed):
            return None
        started = time.perf_counter()
        run.finish()
        seconds = time.perf_counter() - started
        if not run.is_finite():
            return None
        run.copy_theta_to(network.theta)
        result = plain_result(run, StopReason.COMPLETED, seconds, None)
    return replace(result, stop_reason=StopReason.INTERRUPTED) if interrupts.pressed else result


def plain_result(
    run: Run, stop_reason: StopReason, seconds: float, last_loss: float | None
) -> TrainingResult:
    """Return the result of a run in which nothing was done after each epoch.

    Parameters
    ----------
    run : Run
    stop_reason : StopReason
    seconds : float
    last_loss : float or None
        The loss at the end, if it was evaluated.
    """
    losses, steps, n_steps = run.recorded.copy(), run.recorded_steps, run.step
    if not len(steps) or steps[-1] != n_steps:
        losses = np.append(losses, math.nan if last_loss is None else last_loss)
        steps = np.append(steps, n_steps)
    make_history = partial(_plain_history, losses, steps, run.steps_per_epoch, run.schedule)
    return TrainingResult(losses, steps, n_steps, seconds, stop_reason, run.name, make_history=make_history)


def _plain_history(
    losses: np.ndarray, steps: np.ndarray, steps_per_epoch: int, schedule: Schedule
) -> dict[str, np.ndarray]:
    before = steps - 1
    if len(steps) and not steps[0]:
        before[0] = 0  # the first step's, for the loss from before it
    return {
        "epoch": steps // steps_per_epoch,
        "step": steps,
        "loss": losses,
        "learning_rate": schedule.at(before),
    }
