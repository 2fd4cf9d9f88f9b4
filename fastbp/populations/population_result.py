"""What `fastbp.train_population` returns."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from fastbp.populations.members import REASONS
from fastbp.populations.ranking import best_first


@dataclass(frozen=True, eq=False, repr=False)
class PopulationResult:
    """The outcome of `fastbp.train_population`. What has a value for each network is an array.

    Attributes
    ----------
    loss : ndarray of float64, shape (n_networks,)
        The loss of each network over all samples, with its sample weights, at the parameters that it has now.
        NaN for a network that diverged, unless early stopping gave it the parameters of its best epoch.
    validation_loss : ndarray of float64, shape (n_networks,), or None
        The same for the validation data. None without them.
    n_steps : ndarray of int64, shape (n_networks,)
        The steps that each network took.
    diverged_at : ndarray of int64, shape (n_networks,)
        The step, counted from 1, whose batch had a loss that is not finite, or that would have made a
        parameter infinite or NaN; -1 if there was none. The network holds the parameters from before that
        step, which is not counted in `n_steps`.
    best_epoch : ndarray of int64, shape (n_networks,), or None
        The best epoch of each network, or 0 if its value was never a number. None without early stopping.
    history : dict of ndarray
        "epoch" and "step", of shape (n_looks,), and columns of shape (n_looks, n_networks): "loss", the mean
        over the batches of the epoch, each before its step; with validation data "validation_loss"; the
        metrics by their names; "learning_rate" if it is adaptive. The looks are evenly spaced epochs and the
        last one: at most 1,000, and fewer for more than 8,000 networks. NaN after a network has ended.
    seconds : float
        Wall-clock time in the training loop, without compilation.
    kernel : str
        The kernel that ran.
    interrupted : bool
        Whether Ctrl-C was pressed.
    """

    loss: np.ndarray
    validation_loss: np.ndarray | None
    n_steps: np.ndarray
    diverged_at: np.ndarray
    best_epoch: np.ndarray | None
    seconds: float
    kernel: str
    interrupted: bool
    reasons: np.ndarray = field(kw_only=True)
    """The stop reasons as indices into `REASONS`."""
    make_history: Callable[[], dict[str, np.ndarray]] = field(kw_only=True)

    def __repr__(self) -> str:
        counts = [
            f"{n} {reason.value}"
            for n, reason in zip(np.bincount(self.reasons, minlength=len(REASONS)), REASONS, strict=True)
            if n
        ]
        return (
            f"PopulationResult({len(self.loss)} networks: {', '.join(counts)}; "
            f"best loss {self.best_loss:.4g}, {self.seconds:.3g} s, kernel {self.kernel!r})"
        )

    @cached_property
    def history(self) -> dict[str, np.ndarray]:
        """Columns of equal length, made when they are first asked for."""
        return self.make_history()

    @property
    def best_loss(self) -> float:
        """The lowest loss of a network; NaN if all are NaN."""
        finite = self.loss[~np.isnan(self.loss)]
        return float(finite.min()) if finite.size else float("nan")

    @property
    def stop_reason(self) -> np.ndarray:
        """Why the training of each network ended: an array of `StopReason`, shape (n_networks,).

        Besides those of `fastbp.train` there is "diverged".
        """
        return np.array(REASONS, object)[self.reasons]

    @property
    def loss_curve(self) -> np.ndarray:
        """The losses at evenly spaced epochs, shape (n_looks, n_networks): the history's."""
        return self.history["loss"]

    @property
    def loss_steps(self) -> np.ndarray:
        """How many steps had been taken at each row of `loss_curve`."""
        return self.history["step"]

    @property
    def scores(self) -> np.ndarray:
        """What `best` compares: the validation losses, or the losses without validation data."""
        return self.loss if self.validation_loss is None else self.validation_loss

    def best(self, k: int = 1) -> np.ndarray:
        """Return the numbers of the k networks with the lowest `scores`, the best first.

        Returns
        -------
        ndarray of int64, shape (k,)
        """
        return best_first(self.scores, k)
