"""The best trials, trained again: from its number, a trial gets the same bits as in its shard."""

from dataclasses import dataclass

import numpy as np

from fastbp.data.dataset import Dataset
from fastbp.data.model import Model
from fastbp.network import Network
from fastbp.sweeping.cohorts import Cohort
from fastbp.sweeping.folds import Fold, Folds
from fastbp.sweeping.shard_run import Task


@dataclass(frozen=True, eq=False)
class Winners:
    """Some trials, to be trained again.

    Attributes
    ----------
    task : Task
    folds : Folds
    trials : int64[n]
    epochs : int64[n]
        How long each is trained.
    """

    task: Task
    folds: Folds
    trials: np.ndarray
    epochs: np.ndarray

    def of_fold(self, fold: int) -> list[Model]:
        """Return each trial as a model, as it was scored in a fold."""
        return self._models(self.folds.datasets[fold])

    def of_all_rows(self) -> list[Model]:
        """Return each trial as a model that is trained on all rows."""
        return self._models(self.folds.whole)

    def _models(self, dataset: Dataset) -> list[Model]:
        """Train the trials on a dataset: those of one structure together."""
        found: dict[int, Model] = {}
        structures = self.task.recipe.points.structures(self.trials)
        for structure, epochs in sorted({*zip(structures.tolist(), self.epochs.tolist(), strict=True)}):
            places = np.flatnonzero((structures == structure) & (self.epochs == epochs))
            cohort = Cohort(self.task.recipe, structure, self.trials[places], Fold.of(dataset))
            cohort.train_until(epochs)
            for place, theta in zip(places.tolist(), cohort.theta, strict=True):
                network = Network.from_specification(cohort.specification)
                network.theta[:] = theta
                network.preprocessing = dataset.preprocessing
                found[place] = Model(network, remarks=dataset.remarks)
        return [found[place] for place in range(len(self.trials))]
