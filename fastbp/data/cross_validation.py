"""Cross-validation of a network: all folds, of all repeats, train as networks of populations.

Each network has its own training rows, with means and scales of these rows alone. The training rows of
several networks lie in one array, one part after the other, and each network visits its own part. The rows
that validate a network are not in it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp.data import learning
from fastbp.data.dataset import Dataset, Rows
from fastbp.data.fold_datasets import FoldDatasets
from fastbp.data.model import network_options
from fastbp.data.scoring import scores
from fastbp.engine.kernel_options import generator_state
from fastbp.engine.population_choice import AnyPopulationRun, start_population
from fastbp.engine.population_options import PopulationOptions
from fastbp.errors import DataError, as_option, check_integer
from fastbp.loss_of_outputs import losses_of_outputs
from fastbp.network import Network
from fastbp.optimizers import Optimizer
from fastbp.populations.starts import draw_parameters, keys_of
from fastbp.preprocessing import ClassTarget
from fastbp.training.progress import ProgressBar, shows_progress

NUMBERS_TOGETHER = 2**25
"""The most inputs of networks that train together: 256 MB of float64."""


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """The scores of all networks.

    Attributes
    ----------
    scores : dict of ndarray of float64, shape (repeats, folds)
        By name: "loss", and "accuracy", or "r2" and "rmse". NaN for a network that diverged.
    confusion : ndarray of int64, shape (n_classes, n_classes), or None
        How often a row of one class, the first index, was taken for another, over all repeats.
    labels : tuple
        The classes.
    layer_sizes : list of int
    n_rows : int
    n_diverged : int
    remarks : list of str
    """

    scores: dict[str, np.ndarray]
    confusion: np.ndarray | None
    labels: tuple[Any, ...]
    layer_sizes: list[int]
    n_rows: int
    n_diverged: int
    remarks: list[str]


@dataclass(frozen=True)
class NetworkAndSteps:
    """What is cross-validated: a network, and how it is trained.

    Attributes
    ----------
    hidden, activation, loss, dtype
        As `fastbp.fit` takes them.
    optimizer : Optimizer
    epochs : int
    batch_size : int or None
    l2, dropout : float
    seed : int
        Start weights derive from it and from the number of the network.
    """

    hidden: Sequence[int] | None
    activation: str | None
    loss: str | None
    dtype: str
    optimizer: Optimizer
    epochs: int
    batch_size: int | None
    l2: float
    dropout: float
    seed: int


def cross_validate(
    rows: Rows,
    recipe: NetworkAndSteps,
    *,
    folds: int,
    repeats: int = 1,
    stratify: str | int | None = None,
    threads: int | None = None,
    progress: bool | str = False,
    is_stopped: Callable[[], bool] = lambda: False,
) -> CrossValidation:
    """Train a network for each fold of each repeat, and score it on the rows of that fold.

    Parameters
    ----------
    rows : Rows
        As `fastbp.data.open_rows` returns them.
    recipe : NetworkAndSteps
    folds : int
        Nearly the same share of each class, or of each value of the column `stratify`, is in every fold.
    repeats : int
        How often the rows are divided anew.
    stratify : str or int, optional
    threads : int, optional
    progress : {"auto", True, False}
        Whether to show a bar: the steps of all networks, and their mean training loss.
    is_stopped : callable
        Asked several times a second.

    Raises
    ------
    KeyboardInterrupt
        If `is_stopped` returned true.
    DataError, OptionError
        As `fastbp.data.load` raises them.
    """
    folds, repeats = check_integer("folds", folds, 2), check_integer("repeats", repeats, 1)
    by = learning.groups(rows.table, rows.target, rows.values, stratify, 1.0)
    numbers = [learning.fold_numbers(len(rows), by, folds, recipe.seed + i) for i in range(repeats)]
    of_folds = FoldDatasets(rows)
    datasets = [of_folds.dataset(one != fold) for one in numbers for fold in range(folds)]
    bar = ProgressBar("mean loss") if shows_progress(progress) else None
    networks, diverged = train_each(datasets, recipe, threads=threads, is_stopped=is_stopped, bar=bar)
    found = [_scores(network, dataset) for network, dataset in zip(networks, datasets, strict=True)]
    table = {name: np.array([one[name] for one in found]) for name in found[0]}
    for column in table.values():
        column[diverged] = np.nan
    labels = rows.target.labels if isinstance(rows.target, ClassTarget) else ()
    return CrossValidation(
        scores={name: column.reshape(repeats, folds) for name, column in table.items()},
        confusion=_confusion(networks, datasets, len(labels)) if labels else None,
        labels=labels,
        layer_sizes=list(networks[0].layer_sizes),
        n_rows=len(rows),
        n_diverged=int(diverged.sum()),
        remarks=list(dict.fromkeys(remark for dataset in datasets for remark in dataset.remarks)),
    )


def train_each(
    datasets: Sequence[Dataset],
    recipe: NetworkAndSteps,
    *,
    threads: int | None = None,
    is_stopped: Callable[[], bool] = lambda: False,
    bar: ProgressBar | None = None,
) -> tuple[list[Network], np.ndarray]:
    """Train a network on each dataset; return the networks, and whether each diverged."""
    networks, diverged = [], np.zeros(len(datasets), bool)
    for dataset in datasets:
        options = network_options(
            dataset.preprocessing,
            hidden=recipe.hidden,
            activation=recipe.activation,
            loss=recipe.loss,
            dtype=recipe.dtype,
        )
        networks.append(Network(**options, seed=0))
        networks[-1].preprocessing = dataset.preprocessing
    trained = _Trained(datasets, recipe, bar, is_stopped)
    try:
        for members in _groups(datasets):
            run = _run([datasets[i] for i in members], members, networks[members[0]], recipe, threads)
            trained.advance(run, recipe.epochs * run.steps_per_epoch)
            for i, theta, bad in zip(members, run.theta, run.diverged_at >= 0, strict=True):
                networks[i].theta[:] = theta
                diverged[i] = bad
    finally:
        if bar is not None:
            bar.close()
    return networks, diverged


class _Trained:
    """Advances the runs one after the other, and shows how far they are in all."""

    def __init__(
        self,
        datasets: Sequence[Dataset],
        recipe: NetworkAndSteps,
        bar: ProgressBar | None,
        is_stopped: Callable[[], bool],
    ):
        self._bar, self._is_stopped, self._n_before = bar, is_stopped, 0
        if bar is not None:
            steps = [-(-len(one.X) // (recipe.batch_size or len(one.X))) for one in datasets]
            bar.start(0, recipe.epochs * sum(steps))

    def advance(self, run: AnyPopulationRun, until: int) -> None:
        """Train all networks of a run to a step; Ctrl-C is an error."""

        def is_stopped() -> bool:
            """Show how far the training is, and ask whether to stop."""
            self._show(run)
            return self._is_stopped()

        while run.step < until:
            if is_stopped():
                raise KeyboardInterrupt
            run.advance(until, is_stopped)
        self._show(run)
        self._n_before += until * run.n_networks

    def _show(self, run: AnyPopulationRun) -> None:
        if self._bar is not None:
            losses = run.losses()
            known = losses[np.isfinite(losses)]
            mean = float(known.mean()) if known.size else None
            self._bar.update(self._n_before + run.step * run.n_networks, mean)


def _groups(datasets: Sequence[Dataset]) -> Iterator[list[int]]:
    """Yield the numbers of datasets whose networks are of one shape, and have as many rows."""
    groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for i, dataset in enumerate(datasets):
        groups[dataset.X.shape].append(i)
    for shape, members in groups.items():
        most = max(1, NUMBERS_TOGETHER // max(1, shape[0] * shape[1]))
        for start in range(0, len(members), most):
            yield members[start : start + most]


def _run(
    datasets: list[Dataset],
    members: list[int],
    network: Network,
    recipe: NetworkAndSteps,
    threads: int | None,
) -> AnyPopulationRun:
    """Return the run of some networks; each visits its own part of all rows."""
    n, n_samples, specification = len(datasets), len(datasets[0].X), network.specification
    numbers = np.array(members)
    theta = np.zeros((n, specification.n_parameters), specification.dtype)
    draw_parameters(specification, theta, keys_of(recipe.seed, "starting parameters", numbers))
    starts = np.arange(n)[:, np.newaxis] * n_samples

    def order(epoch: int) -> np.ndarray:
        """Return the rows of each network in their order, which is the same within each part."""
        return starts + np.random.default_rng([recipe.seed, epoch]).permutation(n_samples)

    weights = [
        one.sample_weight / one.sample_weight.mean() for one in datasets if one.sample_weight is not None
    ]
    options = PopulationOptions(
        n,
        n_samples,
        n_rows=n * n_samples,
        own_parts=True,
        optimizer=recipe.optimizer,
        batch_size=recipe.batch_size,  # type: ignore[arg-type]
        l2=recipe.l2,  # type: ignore[arg-type]
        dropout=recipe.dropout,  # type: ignore[arg-type]
        sample_weight=np.concatenate(weights) if weights else None,
        order=order,
        generator_state=generator_state(recipe.seed),
        seeds=keys_of(recipe.seed, "training", numbers),
        threads=threads,
    )
    X = np.concatenate([dataset.X for dataset in datasets])
    Y = np.concatenate([dataset.Y for dataset in datasets])
    return start_population(specification, theta, X, Y, options)


def _scores(network: Network, dataset: Dataset) -> dict[str, float]:
    """Return the loss and the scores of a network on the rows that validate it."""
    assert network.preprocessing is not None
    X, Y = _validation(dataset)
    outputs = network.predict(X, prepared=True)
    loss = float(losses_of_outputs(network.loss_name, outputs, Y))
    return {"loss": loss} | scores(network.preprocessing, outputs, Y)


def _confusion(networks: Sequence[Network], datasets: Sequence[Dataset], n_classes: int) -> np.ndarray:
    counts = np.zeros((n_classes, n_classes), np.int64)
    for network, dataset in zip(networks, datasets, strict=True):
        X, Y = _validation(dataset)
        np.add.at(counts, (Y, network.predict(X, prepared=True).argmax(axis=1)), 1)
    return counts


def _validation(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    if dataset.validation_data is None:
        raise DataError(f"a fold has no rows; {as_option('folds')} is larger than the data")
    return dataset.validation_data
