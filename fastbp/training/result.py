"""What a training run returns."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from fastbp.training.stopping import StopReason


@dataclass(eq=False)
class TrainingResult:
    """The outcome of `fastbp.train`.

    Attributes
    ----------
    loss_curve : ndarray of float64
        The loss at evenly spaced epochs and at the end. The kernel "fused222" evaluates it over all samples,
        and also before training. The other kernels give the mean over the batches of an epoch, each before
        its step, without the l2 term: that costs nothing. `Network.loss` evaluates the loss of any data.
    loss_steps : ndarray of int64
        How many steps had been taken when each of these losses was recorded.
    n_steps : int
        Steps taken.
    seconds : float
        Wall-clock time in the training loop, without compilation, and without the first and last checkpoint.
    stop_reason : StopReason
        A str, too: "completed", if the run took all its steps; else what ended it: "interrupted" (Ctrl-C),
        "early_stopping", "goal", "max_seconds", "callback", or "learning_rate_exhausted"
        (`schedules.Adaptive` could not lower the rate any further).
    kernel : str
        The kernel that ran.
    history : dict of ndarray
        Columns of equal length: "epoch", "step", "loss", "learning_rate" (of the last step), with validation
        data "validation_loss", and the metrics by their names. Metrics of validation data are named
        "validation_accuracy" and so on. There is a row for each epoch, or with `every=k` for every k-th, if
        there are validation data, metrics, a goal, early stopping, callbacks or an adaptive learning rate.
        Otherwise the rows are those of `loss_steps`,
        as it takes time to look at every epoch. If a run without callbacks is resumed with some, the loss of
        its earlier epochs is NaN.
    best_epoch : int or None
        The best epoch; None without early stopping.
    best_loss : float or None
        The loss over all samples at the parameters of the best epoch, if the network got those.
    """

    loss_curve: np.ndarray = field(repr=False)
    loss_steps: np.ndarray = field(repr=False)
    n_steps: int
    seconds: float
    stop_reason: StopReason
    kernel: str
    best_epoch: int | None = None
    best_loss: float | None = None
    make_history: Callable[[], dict[str, np.ndarray]] = field(kw_only=True, repr=False)

    @cached_property
    def history(self) -> dict[str, np.ndarray]:
        """Columns of equal length, made when they are first asked for."""
        return self.make_history()

    @property
    def loss(self) -> float:
        """The loss of the network: `best_loss` if there is one, or else the last of `loss_curve`.

        NaN if the run was interrupted and computing the loss would have delayed the return.
        """
        return float(self.loss_curve[-1]) if self.best_loss is None else self.best_loss
