"""What a training run returns."""

from dataclasses import dataclass, field

import numpy as np

from fastbp.training.stopping import StopReason


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """The outcome of `fastbp.train`.

    Attributes
    ----------
    loss_curve : ndarray of float64
        The loss at evenly spaced epochs and at the end. The kernel "fused222" evaluates it over all samples,
        and before training too. The kernel "layered" gives an epoch's mean, each batch taken before its
        step, without l2's part, as that costs nothing; `Network.loss` evaluates.
    loss_steps : ndarray of int64
        The number of steps taken when each of these losses was recorded.
    n_steps : int
        Steps taken.
    seconds : float
        Wall-clock time in the training loop, without compilation, and without the first and last checkpoint.
    stop_reason : StopReason
        A str, too: "completed", if the run took all its steps; else what ended it: "interrupted" (Ctrl-C),
        "early_stopping", "max_seconds", "callback", or "learning_rate_exhausted" (`schedules.Adaptive` had
        nothing left to divide).
    kernel : str
        The kernel that ran.
    history : dict of ndarray
        Columns of equal length: "epoch", "step", "loss", "learning_rate", "validation_loss" if there are
        validation data, and the metrics by their names, or as "validation_accuracy" and so on if it is the
        validation data that they were taken of. A row for each epoch, if there are validation data, metrics,
        early stopping, callbacks or an adaptive learning rate; else the epochs of `loss_steps`, as looking at
        every epoch takes time. The learning rate is that of the last step. The loss is NaN for the epochs
        from before a run without callbacks was resumed with some.
    best_epoch : int or None
        The best epoch, with early stopping.
    """

    loss_curve: np.ndarray = field(repr=False)
    loss_steps: np.ndarray = field(repr=False)
    n_steps: int
    seconds: float
    stop_reason: StopReason
    kernel: str
    history: dict[str, np.ndarray] = field(repr=False)
    best_epoch: int | None = None

    @property
    def loss(self) -> float:
        """The loss at the end.

        NaN if the run was interrupted and computing the loss would have delayed the return.
        """
        return float(self.loss_curve[-1])
