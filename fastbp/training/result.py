"""What a training run returns."""

from dataclasses import dataclass, field

import numpy as np


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
        Wall-clock time in the training loop, without compilation.
    stop_reason : {"completed", "interrupted"}
        Whether the run took all its steps, or Ctrl-C ended it.
    kernel : str
        The kernel that ran.
    """

    loss_curve: np.ndarray = field(repr=False)
    loss_steps: np.ndarray = field(repr=False)
    n_steps: int
    seconds: float
    stop_reason: str
    kernel: str

    @property
    def loss(self) -> float:
        """The loss at the end."""
        return float(self.loss_curve[-1])
