"""The checkpoints of a population's run: what they hold, and what must be the same to resume it."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp.errors import ModelFileError
from fastbp.options import deciding
from fastbp.populations.looks import LookRecord, Looks
from fastbp.populations.members import Members
from fastbp.populations.monitors import AdaptiveStates
from fastbp.populations.settings import PopulationSettings
from fastbp.specification import Specification
from fastbp.training.checkpoint import Checkpoint, CheckpointFolder, data_digest, plain
from fastbp.training.keeping import Keeper
from fastbp.training.monitoring import MonitoringOptions

DESCRIBED_OTHERWISE = {"epochs": "steps", "validation_data": "digest of the validation data"}
"""Options that decide the result, and what a description has in their place."""


class PopulationKeeper(Keeper):
    """Keeps the run of a population.

    Parameters
    ----------
    members : Members
    looks : Looks
    checkpoint, folder, description, clock
        As for `Keeper`.
    """

    def __init__(
        self,
        members: Members,
        looks: Looks,
        checkpoint: Checkpoint,
        folder: CheckpointFolder,
        description: dict[str, Any],
        clock: Callable[[], float],
    ):
        super().__init__(members, checkpoint, folder, description, clock)
        self._members, self._looks = members, looks

    def _content(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        looks, tensors = self._looks, self._members.state()
        looks.take_recorded()  # the networks that were behind have caught up
        record = looks.record
        tensors["looks"] = np.array([epoch for epoch, _ in looks.rows], np.int64)
        for name, column in looks.history()().items():
            if name in looks.columns:
                tensors[f"history.{name}"] = column
        if record.rules is not None:
            tensors["rules"] = record.rules
        if record.adaptive is not None:
            tensors |= {f"adaptive.{name}": _plain(array) for name, array in vars(record.adaptive).items()}
        if record.best_theta is not None:
            tensors["best_theta"] = record.best_theta
        return {"step": self._members.step, "n_epochs": record.n_epochs}, tensors

    def _restore(self, document: dict[str, Any], tensors: dict[str, np.ndarray], goes_on: bool) -> None:
        members, looks = self._members, self._looks
        n_epochs = int(document["n_epochs"])
        members.restore(tensors)
        possible = members.step == int(document["step"])
        if not possible or not 0 <= n_epochs <= members.step // members.steps_per_epoch:
            raise ModelFileError("the checkpoint is damaged: its counters are not those of a run")
        epochs = tensors["looks"].tolist()
        columns = {
            name: _shaped(tensors[f"history.{name}"], len(epochs), len(members)) for name in looks.columns
        }
        looks.rows = [
            (epoch, {name: column[i].copy() for name, column in columns.items()})
            for i, epoch in enumerate(epochs)
        ]
        rules, adaptive = looks.record.rules, looks.record.adaptive
        best = tensors.get("best_theta")
        looks.record = LookRecord(
            n_epochs,
            None if rules is None else _shaped(tensors["rules"], *rules.shape).copy(),
            None if adaptive is None else _adaptive(adaptive, tensors),
            None if best is None else _shaped(best, *members.theta().shape).copy(),
        )


def _plain(array: np.ndarray) -> np.ndarray:
    return array.astype(np.uint8) if array.dtype == bool else array


def _shaped(array: np.ndarray, *shape: int) -> np.ndarray:
    if array.shape != shape:
        raise ModelFileError("the checkpoint has arrays of other shapes than this run has")
    return array


def _adaptive(like: AdaptiveStates, tensors: dict[str, np.ndarray]) -> AdaptiveStates:
    """Return states as they are in a file, in the shapes and types of those of this run."""
    return AdaptiveStates(
        **{
            name: _shaped(tensors[f"adaptive.{name}"], *array.shape).astype(array.dtype)
            for name, array in vars(like).items()
        }
    )


def describe_population(
    members: Members,
    specification: Specification,
    data: tuple[np.ndarray, np.ndarray],
    settings: PopulationSettings,
    monitoring_options: MonitoringOptions,
    validation_weight: np.ndarray | None,
) -> dict[str, Any]:
    """Return what must be the same for a run to be resumed."""
    options = deciding(settings) | deciding(monitoring_options)
    validation_data = monitoring_options.validation_data
    network = specification.as_document()
    del network["initializer"]  # the parameters are those of the checkpoint
    described = {
        **network,
        **{name: value for name, value in options.items() if name not in DESCRIBED_OTHERWISE},
        "steps": settings.n_steps,
        "kernel": members.run.name,
        "metrics": tuple(monitoring_options.metrics),
        "networks": len(members),
        "indices": settings.indices,
        "shapes of the data": tuple(array.shape for array in data),
        "digest of the data": data_digest(*data),
        "digest of the validation data": validation_data and data_digest(*validation_data),
        "validation_weight": validation_weight,
    }
    return {
        name: f"digest {data_digest(value)}" if isinstance(value, np.ndarray) else plain(value)
        for name, value in described.items()
    }
