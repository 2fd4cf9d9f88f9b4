"""Makes the loop of a population from the options of `fastbp.train_population`."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp.checks import check_weights_of_networks
from fastbp.errors import OptionError
from fastbp.populations.looks import Looks
from fastbp.populations.members import Members
from fastbp.populations.monitors import MetricsOfNetworks, RulesOfNetworks
from fastbp.populations.networks import Population
from fastbp.populations.outputs import losses_of
from fastbp.populations.population_callbacks import PopulationCallbacks
from fastbp.populations.population_keeping import PopulationKeeper, describe_population
from fastbp.populations.population_loop import FinalLosses, Losses, PopulationLoop
from fastbp.populations.settings import PopulationSettings
from fastbp.training.checkpoint import CheckpointFolder
from fastbp.training.interrupts import Interrupts
from fastbp.training.metrics import bind
from fastbp.training.monitoring import MonitoringOptions
from fastbp.training.pace import Pacing
from fastbp.training.progress import ProgressBar, shows_progress

PACING = Pacing(first_chunk=64, chunk_seconds=0.25)
"""Longer chunks than those of one network: a run of a population can be stopped within a chunk.

Networks are trained one block after the other. Where all of them do not fit into the caches, every chunk
reads them from memory.
"""


def make_population_loop(
    run: Any,
    population: Population,
    data: tuple[np.ndarray, np.ndarray],
    settings: PopulationSettings,
    options: MonitoringOptions,
    validation_weight: np.ndarray | None = None,
    *,
    pacing: Pacing = PACING,
    interrupts: Interrupts | None = None,
    progress: ProgressBar | None = None,
    folder: CheckpointFolder | None = None,
) -> PopulationLoop:
    """Return the loop that trains `population` by advancing `run`.

    The arguments after `validation_weight` are for tests, which watch or replace what is inside.
    """
    specification, interrupts = population.specification, interrupts or Interrupts()
    members = Members(run, population.theta)
    if options.metrics or options.callbacks:
        interrupts.keep_settings()
    looks = _make_looks(members, population, data, settings, options, validation_weight, interrupts)
    keeper = None
    if options.checkpoint is not None:
        keeper = PopulationKeeper(
            members,
            looks,
            options.checkpoint,
            folder or CheckpointFolder(options.checkpoint.path, options.checkpoint.keep),
            describe_population(members, specification, data, settings, options, validation_weight),
            pacing.clock,
        )

    def losses_on(samples: tuple[np.ndarray, np.ndarray], weights: np.ndarray | None) -> Losses:
        """Return a function that computes the losses of networks on some samples."""

        def losses(theta: np.ndarray, check: Callable[[], None]) -> np.ndarray:
            """Return the loss of each network."""
            return losses_of(specification, theta, *samples, weights, threads=settings.threads, check=check)

        return losses

    validation = options.validation_data
    return PopulationLoop(
        members,
        population.theta,
        settings.n_steps,
        looks=looks,
        final_losses=FinalLosses(
            losses_on(data, settings.of_kernel.sample_weight),
            losses_on(validation, validation_weight) if validation else None,
        ),
        keeper=keeper,
        resume=options.resume,
        progress=progress or (ProgressBar("best loss") if shows_progress(options.progress) else None),
        max_seconds=options.max_seconds,
        interrupts=interrupts,
        pacing=pacing,
    )


def _make_looks(
    members: Members,
    population: Population,
    data: tuple[np.ndarray, np.ndarray],
    settings: PopulationSettings,
    options: MonitoringOptions,
    validation_weight: np.ndarray | None,
    interrupts: Interrupts,
) -> Looks:
    """Return what is to be done after every epoch."""
    specification, validation = population.specification, options.validation_data
    evaluated = validation or data
    metrics = None
    if options.metrics:
        metrics = MetricsOfNetworks(
            specification,
            *evaluated,
            validation_weight if validation else None,
            "validation_" if validation else "",
            bind(options.metrics, specification, data[1], evaluated[1]),
            interrupts,
            settings.threads,
        )

    weights, numbers = validation_weight, members.numbers

    def validation_losses() -> np.ndarray:
        nonlocal weights, numbers
        if numbers is not members.numbers and validation_weight is not None and validation_weight.ndim == 2:
            weights, numbers = validation_weight[members.numbers], members.numbers
        losses: np.ndarray = members.run.evaluate(*evaluated, weights, interrupts.check)
        return losses

    return Looks(
        members,
        settings.n_steps,
        every=options.every,
        rules=RulesOfNetworks(options.early_stopping, options.monitored, options.goals),
        validation_losses=validation_losses if validation else None,
        metrics=metrics,
        adaptive=settings.adaptive,
        rates=settings.of_kernel.learning_rate,
        callbacks=PopulationCallbacks(options.callbacks, interrupts.call) if options.callbacks else None,
        make_population=lambda theta: Population.from_theta(specification, theta, population.indices.copy()),
    )


def check_validation_weight(
    validation_data: Any, validation_weight: Any, n_networks: int, n_samples: int
) -> np.ndarray | None:
    """Return the weights of X and Y as validation data, or say what is wrong."""
    if validation_weight is not None and validation_data is not None:
        raise OptionError(
            "validation_weight makes validation samples of X and Y, and validation_data are others: give one"
        )
    return check_weights_of_networks("validation_weight", validation_weight, n_networks, n_samples)
