"""Learning-rate schedules: small frozen dataclasses that give the learning rate of every step.

Steps are counted from 0, and a step is one update. For a schedule in epochs, multiply by the steps of an
epoch, ``ceil(n_samples / batch_size)``. All schedules but `Adaptive` are functions of the step alone. So a
run has the same rates if it is divided into other chunks, or stopped and resumed.

>>> schedule = LinearWarmup(CosineDecay(0.1, steps=1000), steps=3)
>>> [round(schedule.rate(step), 6) for step in (0, 1, 2, 3, 503, 1003)]
[0.025, 0.05, 0.075, 0.1, 0.05, 0.0]
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from fastbp.errors import check_integer, check_number, settle

BLOCK = 1024
"""Rates are computed in blocks of this many steps; a block begins at a multiple of it.

NumPy's vector loops may round the last elements of an array differently from the others. In whole blocks
every step has the same place, whatever range was asked for. So its rate always has the same bits.
"""


class Schedule:
    """Base of the schedules that are functions of the step."""

    @property
    def base(self) -> float:
        """The rate that all others scale with: `initial`, or with a warm-up that to which it leads."""
        return self.initial  # type: ignore[attr-defined]

    def rate(self, step: int) -> float:
        """Return the learning rate of a step; the first is step 0."""
        return float(self.rates(step, 1)[0])

    @np.errstate(all="ignore")  # beyond a float's range, 0 or infinity is the right result
    def rates(self, first: int, count: int) -> np.ndarray:
        """Return the learning rates of `count` steps from step `first` on.

        The rate of a step has the same bits for every `first` and `count`.

        Returns
        -------
        float64[count]
        """
        first, count = check_integer("first", first, 0), check_integer("count", count, 0)
        start = first - first % BLOCK
        stop = -(-(first + count) // BLOCK) * BLOCK
        rates = self._formula(np.arange(start, stop, dtype=np.float64))
        return rates[first - start : first - start + count]

    @np.errstate(all="ignore")
    def at(self, steps: np.ndarray) -> np.ndarray:
        """Return the learning rates of any steps; the last bit may differ from that of `rates`.

        Returns
        -------
        float64[steps.size]
        """
        return self._formula(np.asarray(steps, np.float64))

    def _formula(self, step: np.ndarray) -> np.ndarray:
        raise NotImplementedError


@dataclass(frozen=True)
class Constant(Schedule):
    """The same learning rate for every step. A plain number as a learning rate means this.

    Parameters
    ----------
    initial : float
        Finite and at least 0.
    """

    initial: float

    def __post_init__(self) -> None:
        settle(self, check_number, "initial")

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, which is the same for all."""
        check_integer("first", step, 0)
        return self.initial

    def at(self, steps: np.ndarray) -> np.ndarray:
        """Return the learning rates of any steps."""
        return self._formula(np.asarray(steps))

    def _formula(self, step: np.ndarray) -> np.ndarray:
        rates = np.empty(step.shape)
        rates.fill(self.initial)
        return rates


@dataclass(frozen=True)
class InverseScaling(Schedule):
    """``initial / (1 + k / decay_steps)^power``, where k is the step, rounded down to a multiple of `every`.

    Gradient descent with noisy gradients converges if the rates have an infinite sum and a finite sum of
    squares: Robbins & Monro (1951), https://doi.org/10.1214/aoms/1177729586. That is so for a power above
    1/2 and up to 1.

    scikit-learn's ``learning_rate="invscaling"`` counts samples, and changes the rate once an epoch. For
    epochs of S steps and N samples, it is ``every=S, decay_steps=S / N``.

    Parameters
    ----------
    initial : float
        Finite and at least 0.
    power : float, default 0.5
        At least 0.
    decay_steps : float, default 1.0
        After this many steps the rate has fallen by a factor of 2^power.
    every : int, default 1
        Steps that have the same rate, before it changes.

    Examples
    --------
    >>> schedule = InverseScaling(0.1)
    >>> [schedule.rate(step) for step in (0, 3, 99)]
    [0.1, 0.05, 0.01]
    """

    initial: float
    power: float = 0.5
    decay_steps: float = 1.0
    every: int = 1

    def __post_init__(self) -> None:
        settle(self, check_number, "initial")
        settle(self, check_number, "power")
        settle(self, check_number, "decay_steps", above=True)
        settle(self, check_integer, "every", least=1)

    def _formula(self, step: np.ndarray) -> np.ndarray:
        held = step - step % self.every
        return self.initial / (1.0 + held / self.decay_steps) ** self.power


@dataclass(frozen=True)
class StepDecay(Schedule):
    """``initial * factor^floor(k / every)``, where k is the step.

    This is PyTorch's ``StepLR``, which usually counts epochs.

    Parameters
    ----------
    initial : float
        Finite and at least 0.
    every : int
        Steps between two decays.
    factor : float, default 0.1
        Above 0 and at most 1.

    Examples
    --------
    >>> schedule = StepDecay(1.0, every=100, factor=0.5)
    >>> [schedule.rate(step) for step in (0, 99, 100, 250)]
    [1.0, 1.0, 0.5, 0.25]
    """

    initial: float
    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        settle(self, check_number, "initial")
        settle(self, check_integer, "every", least=1)
        settle(self, check_number, "factor", high=1.0, above=True)

    def _formula(self, step: np.ndarray) -> np.ndarray:
        return self.initial * self.factor ** np.floor(step / self.every)


@dataclass(frozen=True)
class ExponentialDecay(Schedule):
    """``initial * factor^(k / decay_steps)``, where k is the step.

    With the default ``decay_steps=1`` it is PyTorch's ``ExponentialLR`` with ``gamma=factor``.

    Parameters
    ----------
    initial : float
        Finite and at least 0.
    factor : float
        Above 0 and at most 1. In `decay_steps` steps the rate is multiplied by it once.
    decay_steps : float, default 1.0
        Above 0.

    Examples
    --------
    >>> schedule = ExponentialDecay(1.0, factor=0.25, decay_steps=100)
    >>> [schedule.rate(step) for step in (0, 50, 100)]
    [1.0, 0.5, 0.25]
    """

    initial: float
    factor: float
    decay_steps: float = 1.0

    def __post_init__(self) -> None:
        settle(self, check_number, "initial")
        settle(self, check_number, "factor", high=1.0, above=True)
        settle(self, check_number, "decay_steps", above=True)

    def _formula(self, step: np.ndarray) -> np.ndarray:
        return self.initial * self.factor ** (step / self.decay_steps)


@dataclass(frozen=True)
class CosineDecay(Schedule):
    """``final + (initial - final) (1 + cos(pi k / steps)) / 2`` for step k up to `steps`; then `final`.

    Loshchilov & Hutter (2017), "SGDR: stochastic gradient descent with warm restarts", eq. 5, without the
    restarts, https://arxiv.org/abs/1608.03983. It is PyTorch's ``CosineAnnealingLR``.

    Parameters
    ----------
    initial : float
        Finite and at least 0.
    steps : int
        Steps from `initial` to `final`; usually all steps of the run.
    final : float, default 0.0
        Finite and at least 0.

    Examples
    --------
    >>> schedule = CosineDecay(1.0, steps=100, final=0.5)
    >>> [schedule.rate(step) for step in (0, 50, 100, 1000)]
    [1.0, 0.75, 0.5, 0.5]
    """

    initial: float
    steps: int
    final: float = 0.0

    def __post_init__(self) -> None:
        settle(self, check_number, "initial")
        settle(self, check_integer, "steps", least=1)
        settle(self, check_number, "final")

    def _formula(self, step: np.ndarray) -> np.ndarray:
        cosine = np.cos(np.pi * np.minimum(step / self.steps, 1.0))
        return self.final + (self.initial - self.final) * ((1.0 + cosine) / 2.0)


@dataclass(frozen=True)
class LinearWarmup(Schedule):
    """``schedule(0) * (k + 1) / (steps + 1)`` for step k below `steps`, then ``schedule(k - steps)``.

    Goyal et al. (2017), "Accurate, large minibatch SGD", section 2.2, https://arxiv.org/abs/1706.02677.
    The rate of step 0 is above 0, since a step at rate 0 would be wasted. Step `steps` is the first one at
    the full rate.

    Parameters
    ----------
    schedule : float or schedule
        The learning rate after the warm-up, or its schedule: any but `Adaptive`. It starts at step `steps`.
    steps : int
        Steps of the warm-up.

    Examples
    --------
    >>> schedule = LinearWarmup(0.5, steps=4)
    >>> [schedule.rate(step) for step in range(6)]
    [0.1, 0.2, 0.3, 0.4, 0.5, 0.5]
    """

    schedule: "float | Schedule"
    steps: int

    def __post_init__(self) -> None:
        if not isinstance(self.schedule, Schedule):
            settle(self, check_number, "schedule", alternative=", or a schedule by step such as CosineDecay")
        settle(self, check_integer, "steps", least=1)

    @property
    def base(self) -> float:
        """The rate that all others scale with."""
        return self.schedule.base if isinstance(self.schedule, Schedule) else self.schedule

    def _formula(self, step: np.ndarray) -> np.ndarray:
        schedule = self.schedule if isinstance(self.schedule, Schedule) else Constant(self.schedule)
        warming = schedule.rate(0) * ((step + 1.0) / (self.steps + 1.0))
        return np.where(step < self.steps, warming, schedule._formula(np.maximum(step - self.steps, 0.0)))


@dataclass(frozen=True)
class Adaptive:
    """A rate that is divided by `factor` whenever the loss has stalled for more than `patience` epochs.

    An epoch stalls if its loss is above ``best - tolerance``, where `best` is the lowest loss of the epochs
    before it. If the loss stalls while the rate is at most `minimum`, the run ends with
    ``stop_reason="learning_rate_exhausted"``.

    This is scikit-learn's ``learning_rate="adaptive"``. The patience is its ``n_iter_no_change``, and the
    tolerance its ``tol``.

    It is not a function of the step. The loop starts with ``state = schedule.start()``, trains an epoch
    at ``state.rate``, and calls ``state = schedule.after_epoch(state, loss)``.

    Parameters
    ----------
    initial : float
        Finite and at least 0.
    factor : float, default 5.0
        Above 1.
    patience : int, default 10
        At least 1.
    tolerance : float, default 1e-4
        At least 0.
    minimum : float, default 1e-6
        At least 0.

    Examples
    --------
    >>> schedule = Adaptive(0.1, patience=2)
    >>> state = schedule.start()
    >>> for loss in (1.0, 0.5, 0.5, 0.5, 0.5):
    ...     state = schedule.after_epoch(state, loss)
    >>> state
    AdaptiveState(rate=0.02, best_loss=0.5, stalled=0, exhausted=False)
    """

    initial: float
    factor: float = 5.0
    patience: int = 10
    tolerance: float = 1e-4
    minimum: float = 1e-6

    def __post_init__(self) -> None:
        settle(self, check_number, "initial")
        settle(self, check_number, "factor", low=1.0, above=True)
        settle(self, check_integer, "patience", least=1)
        settle(self, check_number, "tolerance")
        settle(self, check_number, "minimum")

    def start(self) -> "AdaptiveState":
        """Return the state before the first epoch."""
        return AdaptiveState(self.initial)

    def after_epoch(self, state: "AdaptiveState", loss: float) -> "AdaptiveState":
        """Return the state after an epoch that had this loss."""
        loss = float(loss)
        stalled = state.stalled + 1 if loss > state.best_loss - self.tolerance else 0
        state = replace(state, best_loss=min(state.best_loss, loss), stalled=stalled)
        if stalled <= self.patience:
            return state
        if state.rate <= self.minimum:
            return replace(state, exhausted=True)
        return replace(state, rate=state.rate / self.factor, stalled=0)


@dataclass(frozen=True)
class AdaptiveState:
    """The state of `Adaptive` between two epochs.

    Attributes
    ----------
    rate : float
        The learning rate of the next epoch.
    best_loss : float
        The lowest loss of an epoch so far.
    stalled : int
        How many epochs have stalled since the last one that did not.
    exhausted : bool
        Whether the loss has stalled at a rate of at most `minimum`.
    """

    rate: float
    best_loss: float = math.inf
    stalled: int = 0
    exhausted: bool = False
