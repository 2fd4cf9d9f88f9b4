"""Several networks of one dataset that train as one population, each as `fastbp.train` trains it alone."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from fastbp.data.dataset import Dataset
from fastbp.data.defaults import steps_of
from fastbp.engine.kernel_options import MAX_RECORDS
from fastbp.engine.population_choice import are_faster_together
from fastbp.errors import DivergenceError
from fastbp.network import Network
from fastbp.optimizers import Optimizer
from fastbp.populations import Population, PopulationResult, train_population
from fastbp.schedules import Adaptive
from fastbp.training import EarlyStopping, StopReason, TrainingResult
from fastbp.training.lookout import divergence

OPTIONS = {
    *("epochs", "steps", "batch_size", "optimizer", "shuffle"),
    *("l2", "dropout", "early_stopping", "threads", "progress"),
}
"""The options of `fastbp.train` with which networks may train together; with others they go one by one."""

LOSSES = (None, "loss", "validation_loss")
"""What early stopping may look at. A metric is a Python function, which is called for each network."""


def train_together(
    networks: Sequence[Network], dataset: Dataset, seeds: Sequence[int | None], options: Mapping[str, Any]
) -> list[TrainingResult | DivergenceError] | None:
    """Train networks of one shape in place; return None if they must train one by one, or do so faster.

    Parameters
    ----------
    networks : sequence of Network
    dataset : Dataset
    seeds : sequence of int or None
        Those of `fastbp.train`, or all None.
    options : mapping
        The options of `fastbp.train`, unchecked.
    """
    if not _go_together(networks, dataset, options):
        return None
    population = Population.from_networks(networks)
    result = train_population(
        population,
        dataset.X,
        dataset.Y,
        sample_weight=dataset.sample_weight,
        validation_data=dataset.validation_data,
        seed=None if seeds[0] is None else list(seeds),  # type: ignore[arg-type]  # all are integers
        own_order=True,
        **options,
    )
    for network, theta in zip(networks, population.theta, strict=True):
        network.theta[:] = theta
    return [_outcome(result, i, dataset, options) for i in range(len(networks))]


def _go_together(networks: Sequence[Network], dataset: Dataset, options: Mapping[str, Any]) -> bool:
    """Whether a population can do what the options say, and does it faster.

    What may be an error is for `fastbp.train`, which says so.
    """
    optimizer, epochs, stopping = options["optimizer"], options["epochs"], options.get("early_stopping")
    is_plain_stopping = stopping is None or (
        isinstance(stopping, EarlyStopping) and stopping.rule is None and stopping.monitor in LOSSES
    )
    has_row_for_each = stopping is not None or dataset.validation_data is not None
    return (
        are_faster_together(
            networks[0].specification,
            len(networks),
            len(dataset.X),
            batch_size=options["batch_size"],
            looks=has_row_for_each,
        )
        and options.keys() <= OPTIONS
        and options["shuffle"] in (True, False)
        and isinstance(epochs, int)
        and (epochs <= MAX_RECORDS or not has_row_for_each)
        and all(np.ndim(options.get(name, 0)) == 0 for name in ("l2", "dropout"))
        and isinstance(optimizer, Optimizer)
        and not isinstance(optimizer.learning_rate, Adaptive | tuple)
        and is_plain_stopping
    )


def _outcome(
    result: PopulationResult, i: int, dataset: Dataset, options: Mapping[str, Any]
) -> TrainingResult | DivergenceError:
    """Return what `fastbp.train` returns for one network, or the error that it raises."""
    schedule, stopping = options["optimizer"].schedule, options.get("early_stopping")
    length, n_steps = (
        steps_of(len(dataset.X), epochs, None, options["batch_size"]) for epochs in (1, options["epochs"])
    )
    if (bad_step := int(result.diverged_at[i])) > 0:
        return divergence(bad_step, n_steps, schedule.rate(bad_step - 1))
    taken, best_epoch = int(result.n_steps[i]), None
    if result.best_epoch is not None:
        best_epoch = int(result.best_epoch[i]) or None
    rows = result.history["step"] <= taken
    columns = {name: (one if one.ndim == 1 else one[:, i])[rows] for name, one in result.history.items()}
    if not rows.any() or columns["step"][-1] != taken:  # Ctrl-C came between two rows
        last: dict[str, Any] = {"epoch": taken // length, "step": taken, "loss": result.loss[i]}
        if result.validation_loss is not None:
            last["validation_loss"] = result.validation_loss[i]
        columns = {name: np.append(column, last[name]) for name, column in columns.items()}
    columns["learning_rate"] = schedule.at(np.maximum(columns["step"] - 1, 0))
    return TrainingResult(
        columns["loss"],
        columns["step"],
        taken,
        result.seconds,
        StopReason.INTERRUPTED if result.interrupted else result.stop_reason[i],
        result.kernel,
        best_epoch,
        float(result.loss[i]) if stopping and stopping.restore_best and best_epoch else None,
        make_history=partial(dict, columns),
    )
