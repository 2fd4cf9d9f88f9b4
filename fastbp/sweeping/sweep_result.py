"""What a sweep returns: the leaderboard, and the best networks, trained again to the bit."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from fastbp.data.model import Model
from fastbp.errors import OptionError, check_integer
from fastbp.sweeping import leaderboard
from fastbp.sweeping.averaging import Ensemble, make_ensemble
from fastbp.sweeping.folds import Folds
from fastbp.sweeping.importances import importances
from fastbp.sweeping.journal import Outcome
from fastbp.sweeping.leaderboard import Columns
from fastbp.sweeping.shard_run import Task
from fastbp.sweeping.winners import Winners
from fastbp.training.stopping import StopReason

SHOWN = 10
"""The lines of the leaderboard that are printed."""


class SweepResult:
    """The outcome of `fastbp.sweep`.

    Attributes
    ----------
    n_trials : int
        How many configurations were to be tried.
    scores : ndarray of float64, shape (n_trials,)
        The validation loss of each trial at the last rung that it reached, averaged over the folds. Infinite
        if it diverged; NaN if its shard did not end or did not report it. The loss of a regression is that of
        scaled targets.
    epochs : ndarray of int64, shape (n_trials,)
        The epochs that each trial trained; 0 if it was not reported.
    order : ndarray of int64
        The finished trials, the best first: of those that trained longest, the lowest scores. Those that
        diverged come last.
    best : dict
        The first line of the leaderboard.
    seconds : float
    stop_reason : StopReason
        A str, too: "completed", "interrupted" (Ctrl-C) or "max_seconds".
    n_finished, n_diverged : int
        How many were tried, and how many of those that were reported diverged.
    n_repeated : int
        How many shards ran again, because a worker was lost or slow.
    """

    def __init__(self, task: Task, folds: Folds):
        self.task, self.folds = task, folds
        self.seconds = 0.0
        self.n_finished = self.n_repeated = self.n_diverged = 0
        self.stop_reason = StopReason.INTERRUPTED
        self.lowest: float | None = None
        self._outcomes: dict[int, Outcome] = {}
        self._table: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    def add(self, number: int, outcome: Outcome) -> None:
        """Take a shard's outcome; that of a shard which is known changes nothing."""
        if number in self._outcomes:
            return
        shard = self.task.plan.shard(number)
        self._outcomes[number], self._table = outcome, None
        self.n_finished += shard.stop - shard.start
        self.n_diverged += int(np.isinf(outcome.scores).sum())
        lowest = float(outcome.scores.min())
        self.lowest = lowest if self.lowest is None else min(lowest, self.lowest)

    def has(self, number: int) -> bool:
        """Return whether a shard has ended."""
        return number in self._outcomes

    @property
    def n_trials(self) -> int:
        """How many configurations were to be tried."""
        return self.task.plan.n_trials

    def _reported(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the trials that shards reported, the best first, with their scores and epochs."""
        if self._table is None:
            parts = []
            for number in sorted(self._outcomes):
                shard, (places, scores, rungs) = self.task.plan.shard(number), self._outcomes[number]
                parts.append(
                    (shard.start + places.astype(np.int64), scores, np.array([0, *shard.rungs])[rungs])
                )
            empty = (np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64))
            trials, scores, epochs = map(np.concatenate, zip(*parts or [empty], strict=True))
            order = leaderboard.ranked(scores, epochs)
            self._table = trials[order], scores[order], epochs[order]
        return self._table

    @property
    def order(self) -> np.ndarray:
        """The finished trials, the best first."""
        return self._reported()[0]

    @property
    def scores(self) -> np.ndarray:
        """The score of each trial; NaN if it was not reported."""
        trials, scores, _ = self._reported()
        found = np.full(self.n_trials, np.nan)
        found[trials] = scores
        return found

    @property
    def epochs(self) -> np.ndarray:
        """The epochs that each trial trained; 0 if it was not reported."""
        trials, _, epochs = self._reported()
        found = np.zeros(self.n_trials, np.int64)
        found[trials] = epochs
        return found

    @property
    def best(self) -> dict[str, Any]:
        """The best trial: its hyper-parameters, loss and epochs."""
        self._check_rank(1)
        return leaderboard.rows_of(self.leaderboard(1))[0]

    def leaderboard(self, n: int | None = None) -> Columns:
        """Return the best n trials, or all, as columns: ``polars.DataFrame(result.leaderboard())``.

        Parameters
        ----------
        n : int, optional

        Returns
        -------
        dict of list
            "rank", "trial", "loss", "epochs", and each hyper-parameter of the space.
        """
        end = None if n is None else check_integer("n", n, 0)
        trials, scores, epochs = (column[:end] for column in self._reported())
        return leaderboard.columns_of(self.task.recipe.points, trials, scores, epochs)

    def save(self, path: str | os.PathLike[str], n: int | None = None) -> None:
        """Write the leaderboard, or its best n lines, to a .csv, .json or .parquet file.

        Raises
        ------
        OptionError
            If the file has another suffix.
        OSError
            If it cannot be written. An old file then remains.
        """
        leaderboard.check_suffix(Path(path))
        leaderboard.save(self.leaderboard(n), path, self.as_document())

    def as_document(self) -> dict[str, Any]:
        """Return what there is to say of the sweep as a whole, in JSON values."""
        return {
            "n_networks": self.n_trials,
            "n_finished": self.n_finished,
            "n_diverged": self.n_diverged,
            "folds": len(self.folds.datasets),
            "shards": len(self.task.plan),
            "seed": self.task.recipe.seed,
            "seconds": self.seconds,
            "stop_reason": self.stop_reason.value,
        }

    def __str__(self) -> str:
        n = self.n_trials
        what = f"{self.n_finished:,} of {n:,}" if self.n_finished < n else f"{n:,}"
        head = f"{what} networks in {self.seconds:.3g} s ({self.stop_reason})"
        return f"{head}\n\n{leaderboard.as_table(self.leaderboard(SHOWN))}" if len(self.order) else head

    def __repr__(self) -> str:
        return f"SweepResult({self.n_finished} of {self.n_trials} networks, {self.stop_reason})"

    def importances(self) -> dict[str, float]:
        """Return how much of the variance of the ranks each hyper-parameter explains alone.

        See `fastbp.sweeping.importances`.
        """
        return importances(self.leaderboard())

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draw the loss against each hyper-parameter, and parallel coordinates, to a .png or .svg file.

        Raises
        ------
        OptionError
            If matplotlib is missing, or the file has another suffix.
        """
        from fastbp.sweeping.panels import draw_sweep

        self._check_rank(1)
        draw_sweep(self.leaderboard(), self.task.recipe.points.space, Path(path))

    # --- networks ----------------------------------------------------------------------------------------

    def model(self, rank: int = 1) -> Model:
        """Return the network of a rank as it was when it was scored, with its preprocessing.

        It is trained again, on the training rows, which gives the same bits.

        Parameters
        ----------
        rank : int
            1 is the best.

        Raises
        ------
        OptionError
            If there are folds, so that it was several networks: `refit` trains one on all rows.
        """
        rank = self._check_rank(rank)
        if len(self.folds.datasets) > 1:
            raise OptionError(
                f"a trial of this sweep was {len(self.folds.datasets)} networks, one a fold; "
                "refit() trains one on all rows"
            )
        return self._winners(rank - 1, rank).of_fold(0)[0]

    def refit(self, rank: int = 1) -> Model:
        """Return a network with the hyper-parameters of a rank, trained on all rows for as many epochs.

        Parameters
        ----------
        rank : int
            1 is the best.
        """
        rank = self._check_rank(rank)
        return self._winners(rank - 1, rank).of_all_rows()[0]

    def ensemble(self, size: int = 30, candidates: int = 100, *, refit: bool | None = None) -> Ensemble:
        """Return the mean of several of the best networks, by greedy selection on the validation rows.

        Parameters
        ----------
        size : int
            The most members: a network may count several times.
        candidates : int
            How many of the best to select from.
        refit : bool, optional
            Whether members are trained again on all rows; by default if there are folds.

        See Also
        --------
        fastbp.greedy_selection : The algorithm, by Caruana et al. (2004).
        """
        self._check_rank(1)
        n = int(np.isfinite(self._reported()[1][: check_integer("candidates", candidates, 1)]).sum())
        if not n:
            raise OptionError("every trial diverged, so there is none to select")
        several = len(self.folds.datasets) > 1
        if several and refit is False:
            raise OptionError("refit is False, and with folds there is no network of all training rows")
        return make_ensemble(self._winners(0, n), size, refit=several if refit is None else bool(refit))

    def _winners(self, start: int, stop: int) -> Winners:
        trials, _, epochs = self._reported()
        return Winners(self.task, self.folds, trials[start:stop], epochs[start:stop])

    def _check_rank(self, rank: int) -> int:
        """Return a rank, if a trial has it."""
        rank = check_integer("rank", rank, 1)
        if rank > len(self.order):
            raise OptionError(f"rank is {rank}, and {len(self.order)} trials were finished")
        return rank
