"""`fastbp.sweep`: many networks with different hyper-parameters, compared by validation data."""

import inspect
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fastbp.checks import check_threads
from fastbp.data import ROW_OPTIONS
from fastbp.errors import (
    LARGEST_INTEGER,
    OptionError,
    as_option,
    check_choice,
    check_flag,
    check_integer,
    check_number,
    nearest,
)
from fastbp.spaces import USUAL, Space
from fastbp.sweeping.cohorts import Recipe
from fastbp.sweeping.dispatch import Dispatcher
from fastbp.sweeping.folds import Folds, make_folds
from fastbp.sweeping.journal import Journal, Outcome
from fastbp.sweeping.points import SAMPLINGS, Points, grid_size
from fastbp.sweeping.rungs import Plan, brackets_of, rungs_of
from fastbp.sweeping.shard_run import Task, run_shard
from fastbp.sweeping.sweep_result import SweepResult
from fastbp.sweeping.transport import on_workers
from fastbp.training.interrupts import Interrupts
from fastbp.training.progress import ProgressBar, shows_progress
from fastbp.training.stopping import Limits, StopReason

N_NETWORKS = 1000
"""The trials of a sweep if nothing is said, and there is no grid."""

WORK_OF_A_SHARD = 2e10
"""Multiplications of a shard: about a second of one core."""

SHARD_SIZES = (16, 2048)
"""The fewest and the most trials of a shard if nothing is said."""

SAMPLED_STRUCTURES = 64
"""The mean size of the networks is estimated from so many structures."""


def sweep(
    X: Any,
    y: Any = None,
    space: Mapping[str, Any] | None = None,
    n_networks: int | None = None,
    *,
    epochs: int = 100,
    halving: int | None = 3,
    min_epochs: int = 1,
    hyperband: bool = False,
    sampling: str = "random",
    validation: Any = None,
    folds: int | None = None,
    stratify: str | int | None = None,
    loss: str | None = None,
    dtype: str = "float32",
    seed: int = 0,
    executor: Any = None,
    journal: str | os.PathLike[str] | None = None,
    resume: bool = True,
    shard_size: int | None = None,
    top: int | None = None,
    threads: int | None = None,
    max_seconds: float | None = None,
    progress: bool | str = "auto",
    **options: Any,
) -> SweepResult:
    """Train many networks with different hyper-parameters, and compare them by validation data.

    Numbers are standardised, texts become categories, and labels are encoded, as `fastbp.fit` does it. Means
    and scales of each fold come from its training rows.

    Parameters
    ----------
    X : path-like, frame or array_like
        The data: see `fastbp.fit`.
    y : str, int, sequence of these, or array_like
        The column to learn, by name or by position, or several; or the values themselves.
    space : mapping, optional
        What the hyper-parameters may be: see `fastbp.spaces`. The default is `fastbp.spaces.USUAL`.
    n_networks : int, optional
        How many configurations to try, each with start weights of its own. The default is 1000, or the size
        of the grid.
    epochs : int, default 100
        The most passes over the training rows.
    halving : int or None, default 3
        One of so many goes on to the next rung, which has so many times the epochs; the others end. With
        None, all train for all epochs.
    min_epochs : int, default 1
        The fewest epochs of the first rung.
    hyperband : bool
        Whether some of the trials begin with a later rung: for data where few epochs tell little.
    sampling : {"random", "halton", "grid"}
        "halton" spreads the points more evenly than chance does, and needs SciPy. "grid" takes every
        combination.
    validation : float, path-like, frame, array_like or pair, optional
        The fraction of the rows to hold out, by default 0.2; or other data.
    folds : int, optional
        Validate by so many folds instead: each row is held out in one of them.
    stratify : str or int, optional
        The column whose values are in each fold in nearly the same shares; by default the classes.
    loss : str, optional
        Of a regression; the default is mean_squared_error.
    dtype : {"float32", "float64"}
        The type of all arithmetic. float32 is about twice as fast.
    seed : int, default 0
        The same seed gives the same result, to the bit, whatever the executor, and stopped or not.
    executor : Executor, dask.distributed.Client, or callable, optional
        Where shards run; by default in this process, on all cores. A callable returns an executor, and is
        called again if that one broke.
    journal : path-like, optional
        A folder that keeps finished shards. The same call goes on with a sweep that was stopped or killed.
        It must be visible to all workers, unless they are Dask's.
    resume : bool
        False forgets what is in the journal.
    shard_size : int, optional
        The most trials that train together in one process, and are compared with each other at each rung. By
        default, about a second of work.
    top : int, optional
        Report only the best so many trials of each shard. The leaderboard of a sweep of many millions then
        fits into memory.
    threads : int, optional
        Threads of a shard; by default all in this process, and one on an executor.
    max_seconds : float, optional
        End after this time.
    progress : bool or "auto"
        Whether to show a bar; "auto" shows it on a terminal and in a notebook.
    **options
        Further options of `fastbp.data.load`, such as ``task``, ``ignore``, ``missing``, ``sample_weight``
        and ``separator``.

    Returns
    -------
    SweepResult
        Of all shards that ended. Ctrl-C and `max_seconds` end the sweep early.

    Raises
    ------
    DataError, OptionError
        If the data or an option are not what they may be; before any training.
    CheckpointError
        If the journal is of another sweep.

    Examples
    --------
    >>> import fastbp
    >>> import numpy as np
    >>> X = np.random.default_rng(0).uniform(-1, 1, (200, 2))
    >>> space = {"hidden": [4, 8], "learning_rate": fastbp.spaces.LogUniform(1e-3, 1e-1)}
    >>> result = fastbp.sweep(X, X[:, 0] * X[:, 1], space, 27, epochs=9)
    >>> result.n_trials, result.stop_reason, sorted(result.best)
    (27, 'completed', ['epochs', 'hidden', 'learning_rate', 'loss', 'rank', 'trial'])
    >>> result.model().predict(X[:3]).shape
    (3,)
    """
    begun = time.perf_counter()
    settled = Space(USUAL if space is None else space)
    check_choice("sampling", sampling, SAMPLINGS)
    seed = check_integer("seed", seed, 0, LARGEST_INTEGER)
    _check_names(options)
    if n_networks is None:
        n_networks = grid_size(settled) if sampling == "grid" else N_NETWORKS
    points = Points(settled, check_integer("n_networks", n_networks, 1), sampling, seed)
    epochs = check_integer("epochs", epochs, 1)
    halving = None if halving is None else check_integer("halving", halving, 2)
    min_epochs = check_integer("min_epochs", min_epochs, 1)
    hyperband = check_flag("hyperband", hyperband)
    if hyperband and halving is None:
        raise OptionError(f"{as_option('hyperband')} needs {as_option('halving')}, such as 3")
    threads = check_threads(threads)
    if max_seconds is not None:
        max_seconds = check_number("max_seconds", max_seconds, above=True)
    data = make_folds(
        X,
        target=y,
        validation=validation,
        folds=folds,
        stratify=stratify,
        seed=seed,
        dtype=dtype,
        **options,
    )
    recipe = Recipe(points, data.datasets[0].preprocessing, loss, dtype)
    recipe.check()
    if shard_size is None:
        shard_size = usual_shard_size(recipe, data, rungs_of(epochs, halving, min_epochs), halving)
    shard_size = check_integer("shard_size", shard_size, 1)
    brackets = brackets_of(points.n_trials, epochs, halving, min_epochs, hyperband)
    top = None if top is None else check_integer("top", top, 1)
    task = Task(recipe, Plan(brackets, shard_size, halving), top)
    result = SweepResult(task, data)
    with Interrupts() as interrupts:
        limits = Limits(interrupts)
        limits.deadline = np.inf if max_seconds is None else time.perf_counter() + max_seconds
        kept = None if journal is None else Journal(journal, description(task, data), resume=bool(resume))
        bar = ProgressBar("lowest loss", "trial") if shows_progress(progress) else None
        try:
            _run(result, kept, bar, limits, executor, threads)
        finally:
            if bar is not None:
                bar.close()
            if kept is not None:
                kept.close()
        result.stop_reason = _reason(result, interrupts)
    result.seconds = time.perf_counter() - begun
    return result


def _check_names(options: Mapping[str, Any]) -> None:
    """Raise an error if an option is none of reading data."""
    known = ROW_OPTIONS - {"target", "dtype", "preprocessing", "scratch"}
    for name in options:
        if name not in known:
            near = nearest(name, known | {*inspect.signature(sweep).parameters})
            raise OptionError(f"{name!r} is no option of sweep, load or reading{near}")


def _run(
    result: SweepResult,
    journal: Journal | None,
    bar: ProgressBar | None,
    limits: Limits,
    executor: Any,
    threads: int | None,
) -> None:
    """Run the shards that the journal has not, and put all outcomes into the result."""
    plan = result.task.plan
    for number, outcome in (journal.outcomes if journal else {}).items():
        result.add(number, outcome)
    if bar is not None:
        bar.start(result.n_finished, plan.n_trials)
    missing = (number for number in range(len(plan)) if not result.has(number))
    scratch = None if journal is None else journal.path.parent
    for outcomes in _outcomes(result, missing, limits, executor, threads, scratch):
        if journal is not None:
            journal.append(outcomes)
        for number, outcome in outcomes:
            result.add(number, outcome)
        if bar is not None:
            bar.update(result.n_finished, result.lowest)


def _outcomes(
    result: SweepResult,
    missing: Iterator[int],
    limits: Limits,
    executor: Any,
    threads: int | None,
    scratch: Path | None,
) -> Iterator[list[tuple[int, Outcome]]]:
    """Yield the outcomes of shards as they come: from this process, or from an executor."""
    task, arrays = result.task, result.folds.arrays
    if executor is None:
        for number in missing:
            outcome = run_shard(task, arrays, number, threads=threads, is_stopped=limits.is_over)
            if outcome is None:
                return
            yield [(number, outcome)]
        return
    with on_workers(executor, task, arrays, threads=threads or 1, scratch=scratch) as workers:
        dispatcher = Dispatcher(
            workers.make_executor,
            workers.submit,
            in_flight=workers.in_flight,
            is_stopped=limits.is_over,
        )
        yield from dispatcher.run(missing)
        result.n_repeated = dispatcher.n_repeated


def _reason(result: SweepResult, interrupts: Interrupts) -> StopReason:
    if result.n_finished == result.n_trials:
        return StopReason.COMPLETED
    return StopReason.INTERRUPTED if interrupts.pressed else StopReason.MAX_SECONDS


def usual_shard_size(recipe: Recipe, data: Folds, rungs: tuple[int, ...], halving: int | None) -> int:
    """Return how many trials are about a second of work for one core.

    It depends on the sweep alone, and not on the machine: the trials of a shard are compared with each other.
    """
    space = recipe.points.space
    numbers = np.unique(np.linspace(0, space.n_structures - 1, SAMPLED_STRUCTURES).astype(np.int64))
    sizes = [recipe.specification(space.structure(int(number))).n_multiplications for number in numbers]
    n_rows = sum(len(dataset.X) for dataset in data.datasets)
    epochs = Plan(brackets_of(1, rungs[-1], halving, rungs[0], False), 1, halving).mean_epochs
    fit = WORK_OF_A_SHARD / (6 * float(np.mean(sizes)) * n_rows * epochs)
    fewest, most = SHARD_SIZES
    return int(min(max(fit, fewest, (halving or 1) ** (len(rungs) - 1)), most))


def description(task: Task, data: Folds) -> dict[str, Any]:
    """Return what decides the result, in JSON values: a journal is for one sweep."""
    recipe, plan = task.recipe, task.plan
    return {
        "space": recipe.points.space.as_document(),
        "n_networks": recipe.points.n_trials,
        "sampling": recipe.points.sampling,
        "seed": recipe.points.seed,
        "rungs": [[bracket.start, bracket.stop, list(bracket.rungs)] for bracket in plan.brackets],
        "halving": plan.halving,
        "shard_size": plan.shard_size,
        "top": task.top,
        "loss": recipe.loss,
        "dtype": recipe.dtype,
        "data": data.digest,
    }
