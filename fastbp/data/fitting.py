"""How a dataset is fitted: by one network, the best of several, their average, or one that all rows refit."""

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from fastbp.data import Dataset
from fastbp.data.defaults import Defaults, steps_of
from fastbp.data.pooling import average_of
from fastbp.errors import DivergenceError, OptionError, as_option, check_flag, check_integer, check_number
from fastbp.network import Network
from fastbp.optimizers import Optimizer
from fastbp.training import Checkpoint, StopReason, TrainingResult, train

MEMBER = "training-"
"""How the folders of further trainings are called, within that of a run's checkpoints."""

OWN_BATCH_SIZE = "auto"
"""The batch size that stands for the one of `Defaults`; None is the full batch."""


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """What is asked for, besides the options of `fastbp.train` that go through as they are.

    Parameters
    ----------
    epochs, steps, batch_size, optimizer
        As for `fastbp.fit`; None, and "auto" for the batch size, stand for the defaults.
    learning_rate : float, optional
        Where the default optimizer's cosine begins.
    seed : int, optional
    ensemble : int
        How many networks are averaged.
    n_starts : int
        From how many initial weights it is tried; the network of the lowest loss is kept.
    refit : bool
        Whether the rows put aside are learned from in the end.
    goes_on : bool
        Whether networks begin at the parameters of a given one.
    """

    epochs: int | None = None
    steps: int | None = None
    batch_size: int | str | None = OWN_BATCH_SIZE
    optimizer: Optimizer | None = None
    learning_rate: float | None = None
    seed: int | None = None
    ensemble: int = 1
    n_starts: int = 1
    refit: bool = False
    goes_on: bool = False

    def __post_init__(self) -> None:
        for name in ("ensemble", "n_starts"):
            check_integer(as_option(name), getattr(self, name), 1)
        if self.learning_rate is not None:
            check_number(as_option("learning_rate"), self.learning_rate)
        check_flag(as_option("refit"), self.refit)
        asked = {"ensemble": self.ensemble > 1, "n_starts": self.n_starts > 1, "refit": self.refit}
        given = [as_option(name) for name, is_asked in asked.items() if is_asked]
        if len(given) > 1:
            raise OptionError(f"{given[0]} and {given[1]} do not go together; give one")
        if self.n_starts > 1 and self.goes_on:
            raise OptionError(
                f"{as_option('n_starts')} and {as_option('start_from')} do not go together: all networks "
                "would start from the same weights; give one"
            )
        if self.refit and self.steps is not None:
            raise OptionError("refit counts epochs, and steps are given; give epochs")

    def options(self, n_rows: int) -> dict[str, Any]:
        """Return the options of `fastbp.train` for so many rows."""
        defaults = Defaults.of(n_rows)
        batch_size = defaults.batch_size if self.batch_size == OWN_BATCH_SIZE else self.batch_size
        epochs = defaults.epochs if self.epochs is None else self.epochs
        epochs = epochs if self.steps is None else None  # type: ignore[assignment]
        optimizer = self.optimizer
        if optimizer is None:
            n_steps = steps_of(n_rows, epochs, self.steps, batch_size)  # type: ignore[arg-type]
            optimizer = defaults.optimizer(n_steps, self.learning_rate)
        return {"epochs": epochs, "steps": self.steps, "batch_size": batch_size, "optimizer": optimizer}

    def seeds(self) -> list[int | None]:
        """Return a seed for each network: the first has the one that is given."""
        n = max(self.ensemble, self.n_starts)
        if self.seed is None:
            return [None] * n
        drawn = np.random.SeedSequence(self.seed).generate_state(n, np.uint32).tolist()
        return [self.seed, *drawn[1:]]


@dataclass(frozen=True)
class Fitted:
    """A fitted network.

    Attributes
    ----------
    network : Network
    results : list of TrainingResult
        One for each training, in their order.
    judged : Network
        The network by which the rows put aside judge: the one before `refit`, if there was one.
    ended : StopReason or None
        What ended it before all was trained: Ctrl-C or the time. None if nothing did.
    """

    network: Network
    results: list[TrainingResult] = field(repr=False)
    judged: Network
    ended: StopReason | None

    @property
    def result(self) -> TrainingResult:
        """The result of the first training; if not all was trained, with that as its reason."""
        first = self.results[0]
        return first if self.ended is None else replace(first, stop_reason=self.ended)


def fit_dataset(
    dataset: Dataset,
    make: Callable[[int | None], Network],
    fitting: Fitting,
    *,
    checkpoint: Checkpoint | None = None,
    resume: bool | str = "auto",
    max_seconds: float | None = None,
    callbacks: Sequence[Any] = (),
    **options: Any,
) -> Fitted:
    """Fit networks that `make` returns for a seed; callbacks and the history are of the first training."""
    if fitting.refit and dataset.validation_data is None:
        raise OptionError(
            f"{as_option('refit')} learns from the rows that {as_option('validation')} puts aside"
        )
    if fitting.refit and isinstance(dataset.X, np.memmap):
        raise OptionError(f"{as_option('refit')} needs all rows in memory, and these are too many")
    if fitting.refit and dataset.sample_weight is not None:
        raise OptionError(f"{as_option('refit')} does not go with weights: the rows put aside have none")
    seeds = fitting.seeds()
    networks = [make(seed) for seed in seeds]
    of_train = fitting.options(len(dataset.X)) | {"shuffle": dataset.shuffle} | options
    outcomes, ended, started = None, None, time.perf_counter()
    if len(networks) > 1 and checkpoint is None and max_seconds is None and not callbacks:
        from fastbp.data.several_networks import train_together  # populations take a while to load

        outcomes = train_together(networks, dataset, seeds, of_train)
        if outcomes and any(_is_unfinished(outcome) for outcome in outcomes):
            ended = StopReason.INTERRUPTED
    if outcomes is None:
        outcomes, ended = _train_one_by_one(
            networks,
            dataset,
            fitting,
            of_train,
            checkpoint=checkpoint,
            resume=resume,
            max_seconds=max_seconds,
            callbacks=callbacks,
        )
    diverged = [outcome for outcome in outcomes if isinstance(outcome, DivergenceError)]
    if diverged and (fitting.n_starts == 1 or len(diverged) == len(outcomes)):
        raise diverged[0]
    members = [
        (_loss(network, dataset, outcome), network, outcome)
        for network, outcome in zip(networks, outcomes, strict=False)
        if isinstance(outcome, TrainingResult)
    ]
    results = [result for _, _, result in members]
    if fitting.n_starts > 1:
        _, network, result = min(members, key=lambda member: member[0])
        return Fitted(network, [result, *(one for one in results if one is not result)], network, ended)
    if not fitting.refit:
        network = average_of([network for _, network, _ in members])
        return Fitted(network, results, network, ended)
    _, network, result = members[0]
    if ended:
        return Fitted(network, results, network, ended)
    left = None if max_seconds is None else max(max_seconds - (time.perf_counter() - started), 1e-9)
    of_refit = options | {"checkpoint": _of_member(checkpoint, "refit"), "max_seconds": left}
    refitted, again = _refitted(dataset, make, fitting, result, of_refit)
    if _is_unfinished(again):
        return Fitted(network, [result, again], network, again.stop_reason)
    return Fitted(refitted, [result, again], network, None)


def _train_one_by_one(
    networks: Sequence[Network],
    dataset: Dataset,
    fitting: Fitting,
    of_train: Mapping[str, Any],
    *,
    checkpoint: Checkpoint | None,
    resume: bool | str,
    max_seconds: float | None,
    callbacks: Sequence[Any],
) -> tuple[list[TrainingResult | DivergenceError], StopReason | None]:
    """Train networks one after the other; return the outcomes, and why there are fewer, if there are.

    Ctrl-C or the time ends it. The training that they end counts only if none before it was finished. A
    network of an average that diverges ends it, too.
    """
    started = time.perf_counter()
    outcomes: list[TrainingResult | DivergenceError] = []
    for i, (network, seed) in enumerate(zip(networks, fitting.seeds(), strict=True)):
        left = max_seconds
        if i and max_seconds is not None:
            left = max_seconds - (time.perf_counter() - started)
            if left <= 0:
                return outcomes, StopReason.MAX_SECONDS
        try:
            result = train(
                network,
                dataset.X,
                dataset.Y,
                sample_weight=dataset.sample_weight,
                validation_data=dataset.validation_data,
                seed=seed,
                checkpoint=_of_member(checkpoint, i),
                resume=resume if i == 0 or resume is False else "auto",
                max_seconds=left,
                callbacks=callbacks if i == 0 else (),
                **of_train,
            )
        except DivergenceError as error:
            outcomes.append(error)
            if fitting.n_starts == 1:
                break
            continue
        if _is_unfinished(result):
            is_first = all(isinstance(outcome, DivergenceError) for outcome in outcomes)
            return [*outcomes, *([result] if is_first else [])], result.stop_reason
        outcomes.append(result)
    return outcomes, None


def _is_unfinished(outcome: TrainingResult | DivergenceError) -> bool:
    return isinstance(outcome, TrainingResult) and not outcome.stop_reason.is_final


def _refitted(
    dataset: Dataset,
    make: Callable[[int | None], Network],
    fitting: Fitting,
    result: TrainingResult,
    options: dict[str, Any],
) -> tuple[Network, TrainingResult]:
    """Train on all rows, from the same weights, for the epochs that were best; the rate falls as it did."""
    assert dataset.X_validation is not None
    assert dataset.Y_validation is not None
    whole = replace(
        dataset,
        X=np.concatenate([dataset.X, dataset.X_validation]),
        Y=np.concatenate([dataset.Y, dataset.Y_validation]),
    )
    of_train = fitting.options(len(whole.X))
    n_epochs = result.best_epoch or result.n_steps // steps_of(
        len(dataset.X), 1, None, fitting.options(len(dataset.X))["batch_size"]
    )
    others = {name: value for name, value in options.items() if name not in ("early_stopping", "goal")}
    network = make(fitting.seed)
    again = train(
        network,
        whole.X,
        whole.Y,
        seed=fitting.seed,
        **of_train | others | {"epochs": n_epochs},
    )
    return network, again


def _loss(network: Network, dataset: Dataset, result: TrainingResult) -> float:
    """Return the loss by which starts are compared: of the rows put aside, if there are any."""
    data = dataset.validation_data
    loss = result.loss if data is None else network.loss(*data)
    return loss if math.isfinite(loss) else math.inf


def member_folders(path: str | os.PathLike[str]) -> list[Path]:
    """Return the folders, within that of a run's checkpoints, of its further trainings."""
    return sorted(Path(path).glob(f"{MEMBER}*"))


def _of_member(checkpoint: Checkpoint | None, member: int | str) -> Checkpoint | None:
    """Return where a training is kept: the first in the folder, others in folders within."""
    if checkpoint is None or member == 0:
        return checkpoint
    return replace(checkpoint, path=os.path.join(os.fsdecode(checkpoint.path), f"{MEMBER}{member}"))
