"""`train_population`: it checks its arguments, makes a run of the population, and the loop around it."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastbp.checks import check_data, warn_of_targets_out_of_reach
from fastbp.engine.population_choice import start_population
from fastbp.errors import OptionError
from fastbp.optimizers import Optimizer
from fastbp.populations.networks import Population
from fastbp.populations.population_assembly import check_validation_weight, make_population_loop
from fastbp.populations.population_result import PopulationResult
from fastbp.populations.settings import PopulationSettings
from fastbp.populations.starts import Seed
from fastbp.training.checkpoint import Checkpoint
from fastbp.training.early_stopping import EarlyStopping
from fastbp.training.metrics import Metric
from fastbp.training.monitoring import MonitoringOptions, apart, check_validation_data


def train_population(
    population: Population,
    X: ArrayLike,
    Y: ArrayLike,
    *,
    epochs: int | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    optimizer: Optimizer,
    learning_rate: ArrayLike | None = None,
    momentum: ArrayLike | None = None,
    l2: ArrayLike = 0.0,
    dropout: ArrayLike = 0.0,
    seed: Seed = None,
    shuffle: bool = True,
    own_order: bool = False,
    order: Any = None,
    sample_weight: ArrayLike | None = None,
    validation_data: tuple[ArrayLike, ArrayLike] | None = None,
    validation_weight: ArrayLike | None = None,
    metrics: Iterable[str | Metric] = (),
    early_stopping: EarlyStopping | None = None,
    goal: float | Mapping[str, float] | None = None,
    every: int = 1,
    callbacks: Iterable[Any] = (),
    checkpoint: Checkpoint | None = None,
    resume: bool | str = "auto",
    max_seconds: float | None = None,
    progress: bool | str = "auto",
    threads: int | None = None,
    kernel: str = "auto",
) -> PopulationResult:
    """Train all networks of a population in place, at once.

    What is written here for one network holds for each. Where "or one for each" is written, a sequence of
    n_networks numbers gives every network its own.

    Parameters
    ----------
    population : Population
    X : array_like, shape (n_samples, n_inputs)
    Y : array_like, shape (n_samples, n_outputs), or (n_samples,) for class labels
        As for `fastbp.train`.
    epochs, steps : int
        How long to train. Give exactly one of them.
    batch_size : int, optional
        Samples of one step; None means all of them.
    optimizer : SGD, RMSprop, Adam, AdamW or RPROP
        Its learning rate may be a number or a schedule from `fastbp.schedules`. With `Adaptive`, the rate of
        each network follows its own losses.
    learning_rate : float, or one for each, optional
        It takes the place of the optimizer's rate. If that is a schedule, the schedule is scaled: it begins
        at this rate (after a warm-up, if there is one).
    momentum : float, or one for each, optional
        It takes the place of the optimizer's, for SGD and RMSprop.
    l2 : float, or one for each
        Adds ``l2 / 2`` times the sum of all squared weights, without biases, to the loss that is minimised.
    dropout : float, or one for each
        The probability that the activation of a hidden neuron is set to 0, as for `fastbp.train`.
    seed : int, or one for each, optional
        Makes shuffling and dropout reproducible. What a network draws derives from the seed and from its
        index in `Population.indices`; the shared order derives from the seed alone, as that of
        `fastbp.train`. A network with a seed of its own draws what it draws in `fastbp.train` with that seed.
    shuffle : bool
        Whether to visit the samples in a new random order in each epoch, and not always in the given order.
    own_order : bool
        Whether each network has a random order of its own, and not all the same.
    order : function, optional
        Takes the number of an epoch, from 0. Returns the samples of that epoch in their order, as n_samples
        integers, or in the order of each network, shape (n_networks, n_samples). They may repeat, as in a
        bootstrap. It may be called several times for an epoch, so its result must depend on the number alone.
        `shuffle` and `own_order` then have no effect.
    sample_weight : array_like, shape (n_samples,) or (n_networks, n_samples), optional
        The loss of a batch is ``sum_i w_i L_i / n``, over its n samples. The weights of a network are first
        divided by their mean over all samples. So a bootstrap, or the folds of a cross-validation, are
        weights.
    validation_data : (array_like, array_like), optional
        Inputs and targets, in the form of X and Y. Their loss is evaluated after every epoch.
    validation_weight : array_like, shape (n_samples,) or (n_networks, n_samples), optional
        Instead of `validation_data`: the validation loss of a network is that of X and Y with these weights.
        For a fold, the weights are 1 where `sample_weight` is 0.
    metrics : sequence of str or callable
        As for `fastbp.train`. With `validation_weight`, a metric is evaluated on the samples whose weight is
        above 0. A metric is a Python function that is called for every network, so it may take longer than
        the training.
    early_stopping : EarlyStopping, optional
        Ends the training of each network when that network does not improve any more, and keeps its best
        parameters. The others go on.
    goal : float or dict of str to float, optional
        Ends the training of each network that has reached it: a loss, or values by names, as for
        `fastbp.train`.
    every : int, default 1
        Do what is done after epochs only after every k-th.
    callbacks : sequence of callable
        Called after every epoch with a `PopulationState`. ``state.stop()`` ends the run, and
        ``state.stop(numbers)`` the training of some networks.
    checkpoint : Checkpoint, optional
        Saves the run to a folder from time to time.
    resume : {"auto", True, False}
        As for `fastbp.train`.
    max_seconds : float, optional
        End the run after this time.
    progress : {"auto", True, False}
        Whether to show a progress bar on standard error. "auto" shows it on a terminal.
    threads : int, optional
        How many threads train, each some of the networks. None takes as many as are useful. The result has
        the same bits for any number.
    kernel : {"auto", "population", "layered"}
        "population" trains a network in each lane of the vectors. "layered" trains one network after the
        other in each thread: that is faster if the parameters of a whole vector of networks do not fit into
        the caches. "auto" takes the faster one, by the layers of the networks alone. The bits of the two
        differ.

    Returns
    -------
    PopulationResult
        Ctrl-C ends the run as in `fastbp.train`: within 0.1 s, and ``interrupted`` is then True.

    Raises
    ------
    OptionError, ShapeError, DataError, NotSupportedError, CheckpointError, ModelFileError, OSError
        As in `fastbp.train`. A network that diverges raises no error: it is frozen at the parameters from
        before the bad step, `PopulationResult.diverged_at` tells the step, and the others go on.

    Notes
    -----
    A network has the same bits in any population, in any part of it, on any number of threads. They are not
    those of `fastbp.train`, which adds in another order: the two agree to rounding.

    Examples
    --------
    >>> import fastbp
    >>> X, Y = [[0, 0], [0, 1], [1, 0], [1, 1]], [[0, 1], [1, 0], [1, 0], [0, 1]]
    >>> population = fastbp.Population([2, 2, 2], 64, seed=0)
    >>> result = train_population(population, X, Y, epochs=5000, batch_size=1, seed=0,
    ...                           optimizer=fastbp.SGD(0.5))
    >>> result.loss.shape, int(result.n_steps[0])
    ((64,), 20000)
    >>> best = population.best(1)[0]
    >>> best.predict(X).round().astype(int).tolist()
    [[0, 1], [1, 0], [1, 0], [0, 1]]

    A learning rate for each network:

    >>> population = fastbp.Population([2, 2, 2], 3, seed=0)
    >>> result = train_population(population, X, Y, epochs=10, optimizer=fastbp.Adam(),
    ...                           learning_rate=[0.001, 0.01, 0.1])
    >>> bool((result.loss_curve[-1] < result.loss_curve[0]).all())
    True
    """
    _check_population(population)
    specification, n = population.specification, len(population)
    X, Y = check_data(specification, X, Y)
    settings = PopulationSettings(
        len(X),
        population.indices,
        epochs=epochs,
        steps=steps,
        batch_size=batch_size,
        optimizer=optimizer,
        learning_rate=learning_rate,
        momentum=momentum,
        l2=l2,
        dropout=dropout,
        seed=seed,
        shuffle=shuffle,
        own_order=own_order,
        order=order,
        sample_weight=sample_weight,
        threads=threads,
        kernel=kernel,
    )
    weights = check_validation_weight(validation_data, validation_weight, n, len(X))
    evaluated = check_validation_data(population, validation_data)
    X, Y = apart(X, population.theta), apart(Y, population.theta)
    options = MonitoringOptions(
        validation_data=evaluated if weights is None else (X, Y),
        metrics=metrics,  # type: ignore[arg-type]  # settled there
        early_stopping=early_stopping,
        goal=goal,
        every=every,
        callbacks=callbacks,  # type: ignore[arg-type]  # settled there
        checkpoint=checkpoint,
        resume=resume,
        max_seconds=max_seconds,
        progress=progress,
    )
    warn_of_targets_out_of_reach(specification, Y)
    with np.errstate(all="ignore"):
        run = start_population(specification, population.theta, X, Y, settings.of_kernel, settings.kernel)
    result = make_population_loop(run, population, (X, Y), settings, options, weights).train()
    population.scores = result.scores.copy()
    return result


def _check_population(population: object) -> None:
    if not isinstance(population, Population):
        raise OptionError(f"population is a {type(population).__name__}, and must be a fastbp.Population")
    if not population.theta.flags.writeable:
        raise OptionError(
            "population.theta is read-only, and training writes to it; "
            "set population.theta.flags.writeable = True"
        )
