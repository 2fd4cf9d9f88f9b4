"""One shard, from its number to its scores: what a worker does."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fastbp.populations.ranking import best_first
from fastbp.sweeping.cohorts import Cohort, Recipe
from fastbp.sweeping.folds import Fold
from fastbp.sweeping.journal import Outcome
from fastbp.sweeping.leaderboard import ranked
from fastbp.sweeping.rungs import Plan, n_kept


@dataclass(frozen=True, eq=False)
class Task:
    """All that a worker needs to know, besides the data and the number of a shard.

    Attributes
    ----------
    recipe : Recipe
    plan : Plan
    top : int or None
        How many of the best trials of a shard are reported; all, if it is None.
    """

    recipe: Recipe
    plan: Plan
    top: int | None = None


def run_shard(
    task: Task,
    folds: Sequence[Fold],
    number: int,
    *,
    threads: int | None = None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Outcome | None:
    """Train the trials of a shard, rung by rung, and return their scores; None if stopped before the end.

    The score of a trial is the mean over the folds of its validation loss, at the last rung that it reached.

    Returns
    -------
    Outcome or None
        A score is infinite if the trial diverged in one of the folds.
    """
    plan, recipe = task.plan, task.recipe
    shard = plan.shard(number)
    trials = np.arange(shard.start, shard.stop)
    structures = recipe.points.structures(trials)
    scores, rungs = np.full(len(trials), np.inf), np.zeros(len(trials), np.int8)
    members = [np.flatnonzero(structures == one) for one in np.unique(structures)]
    cohorts = [
        [
            Cohort(
                recipe,
                int(structures[places[0]]),
                trials[places],
                fold,
                threads=threads,
                is_stopped=is_stopped,
            )
            for fold in folds
        ]
        for places in members
    ]
    for i, epochs in enumerate(shard.rungs):
        for places, of_folds in zip(members, cohorts, strict=True):
            if not all(cohort.train_until(epochs) for cohort in of_folds):
                return None
            scores[places] = np.mean([cohort.scores() for cohort in of_folds], axis=0)
            rungs[places] = i + 1
        if epochs == shard.rungs[-1]:
            break
        alive = np.flatnonzero(rungs == i + 1)
        assert plan.halving is not None
        kept = np.zeros(len(trials), bool)
        kept[alive[best_first(scores[alive], n_kept(len(alive), plan.halving))]] = True
        for places, of_folds in zip(members, cohorts, strict=True):
            if kept[places].any() and not kept[places].all():
                for cohort in of_folds:
                    cohort.keep(np.flatnonzero(kept[places]))
        left = [(places[kept[places]], of) for places, of in zip(members, cohorts, strict=True)]
        members, cohorts = [p for p, _ in left if len(p)], [of for p, of in left if len(p)]
    places = np.arange(len(trials), dtype=np.int32)
    if task.top is not None:
        places = np.sort(ranked(scores, np.array([0, *shard.rungs])[rungs])[: task.top]).astype(np.int32)
    return Outcome(places, scores[places], rungs[places])
