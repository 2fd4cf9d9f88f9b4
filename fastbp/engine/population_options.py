"""The options of a run of a population, checked and completed before it starts."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastbp.checks import check_threads, check_weights_of_networks
from fastbp.errors import OptionError, ShapeError, check_flag, check_integer, check_number, shown
from fastbp.optimizers import RPROP, SGD, Optimizer
from fastbp.schedules import Adaptive, Constant, Schedule


@dataclass(frozen=True, eq=False)
class PopulationOptions:
    """What a population's run needs to know, besides the networks and the data.

    Where a number may differ by network, it is a number for all or an array with one for each. It is kept as
    an array.

    Parameters
    ----------
    n_networks, n_samples : int
    optimizer : Optimizer
    batch_size : int, optional
        The default is the full batch.
    learning_rate : float or ndarray, optional
        The default is the optimizer's. The optimizer's schedule is scaled, so that its base is this rate.
    momentum : float or ndarray, optional
        The default is the optimizer's.
    l2, dropout : float or ndarray
    sample_weight : ndarray, shape (n_samples,) or (n_networks, n_samples), optional
        The weights of a network are divided by their mean.
    shuffle : bool
        Whether the order of the samples is drawn at random.
    own_order : bool
        Whether each network draws its own order, from its seed.
    order : function, optional
        Takes the number of an epoch, and returns the samples in its order: one order for all networks, or a
        row for each. Samples may repeat. `shuffle` and `own_order` then have no effect.
    generator_state : int
        Where the generator of the shared order starts.
    seeds : ndarray of uint64, shape (n_networks,), optional
        Where the generators of the networks start: of own orders, and of dropout. The default is 0 for all.
    given_seeds : sequence of int, optional
        From these, RPROP draws the first step sizes of each network as `fastbp.train` does. The default is
        `seeds`.
    gradient_clip_norm : float, optional
    threads : int, optional
    n_rows : int, optional
        The rows of X, if these are more than the samples of an epoch: `order` chooses from them. Then
        networks may have data of their own, which are parts of one X. Weights are those of all rows.
    own_parts : bool
        Whether network i visits only the rows from ``i * n_samples`` on, as many as an epoch has samples.
        Then wide networks may go through the layered kernel, each with its part.
    divides_l2 : bool
        Whether l2 is divided by the rows of each step, and losses contain the penalty, as in scikit-learn.

    Attributes
    ----------
    schedule : Schedule
    rows : ndarray of int64
        The number of each network in what `order` returns.
    n_ordered : int
        How many rows that may have.
    drops : bool
        Whether there is dropout. It is so if networks have their own, even if all are 0: which form of the
        kernel trains a network does not depend on other networks.
    """

    n_networks: int
    n_samples: int
    _: KW_ONLY
    optimizer: Optimizer
    batch_size: int = None  # type: ignore[assignment]
    learning_rate: np.ndarray = None  # type: ignore[assignment]
    momentum: np.ndarray = None  # type: ignore[assignment]
    l2: np.ndarray = 0.0  # type: ignore[assignment]
    dropout: np.ndarray = 0.0  # type: ignore[assignment]
    sample_weight: np.ndarray | None = None
    shuffle: bool = True
    own_order: bool = False
    order: Callable[[int], ArrayLike] | None = None
    generator_state: int = 0
    seeds: np.ndarray = None  # type: ignore[assignment]
    given_seeds: Sequence[int] = None  # type: ignore[assignment]
    gradient_clip_norm: float = None  # type: ignore[assignment]
    threads: int | None = None
    n_rows: int = None  # type: ignore[assignment]
    own_parts: bool = False
    divides_l2: bool = False
    schedule: Schedule = field(init=False)
    rows: np.ndarray = field(init=False)
    n_ordered: int = field(init=False)
    drops: bool = field(init=False)

    def __post_init__(self) -> None:
        n, settled = self.n_networks, vars(self)  # a frozen dataclass may write what it settles here
        settled["n_rows"] = self.n_samples if self.n_rows is None else self.n_rows
        batch = self.n_samples if self.batch_size is None else check_integer("batch_size", self.batch_size, 1)
        settled["batch_size"] = min(batch, self.n_samples)
        if not isinstance(self.optimizer, Optimizer):
            raise OptionError(
                f"optimizer is {self.optimizer!r}, and must be one of fastbp's, such as fastbp.Adam()"
            )
        schedule = self.optimizer.schedule
        settled["schedule"] = Constant(schedule.initial) if isinstance(schedule, Adaptive) else schedule
        rate = self.schedule.base if self.learning_rate is None else self.learning_rate
        settled["learning_rate"] = per_network("learning_rate", rate, n)
        self._settle_momentum(settled)
        settled["l2"] = per_network("l2", self.l2, n)
        settled["drops"] = bool(np.ndim(self.dropout) > 0 or self.dropout)
        settled["dropout"] = per_network("dropout", self.dropout, n, high=1.0, below=True)
        settled["sample_weight"] = check_weights_of_networks(
            "sample_weight", self.sample_weight, n, self.n_rows
        )
        settled["shuffle"] = check_flag("shuffle", self.shuffle)
        settled["own_order"] = check_flag("own_order", self.own_order)
        seeds = np.zeros(n, np.uint64) if self.seeds is None else np.ascontiguousarray(self.seeds, np.uint64)
        if seeds.shape != (n,):
            raise ShapeError(f"seeds has shape {seeds.shape}, and must be ({n},)")
        settled["seeds"] = seeds
        if self.given_seeds is None:
            settled["given_seeds"] = seeds.tolist()
        norm = self.gradient_clip_norm
        settled["gradient_clip_norm"] = (
            0.0 if norm is None else check_number("gradient_clip_norm", norm, above=True)
        )
        settled["threads"] = check_threads(self.threads)
        settled["rows"], settled["n_ordered"] = np.arange(n), n

    def _settle_momentum(self, settled: dict[str, Any]) -> None:
        """Give every network a momentum, and the optimizer one above 0 if a network has."""
        own = getattr(self.optimizer, "momentum", None)
        if self.momentum is None:
            settled["momentum"] = np.full(self.n_networks, own or 0.0)
            return
        if own is None:
            raise OptionError(
                f"momentum is given, and {type(self.optimizer).__name__} has none; SGD and RMSprop have"
            )
        momenta = per_network("momentum", self.momentum, self.n_networks, high=1.0, below=True)
        settled["momentum"] = momenta
        if own == 0:  # another rule, even if all are 0: no network's bits depend on those of others
            settled["optimizer"] = replace(self.optimizer, momentum=0.5)  # type: ignore[type-var]

    def is_plain_online(self) -> bool:
        """Whether a step takes one sample of an order that is drawn, by plain SGD, and nothing else."""
        return (
            self.batch_size == 1
            and type(self.optimizer) is SGD
            and self.optimizer.momentum == self.optimizer.weight_decay == 0
            and self.order is None
            and self.sample_weight is None
            and self.gradient_clip_norm == 0
            and not self.drops
            and not self.divides_l2
        )

    def first_step_sizes(self, i: int, n_parameters: int) -> float | np.ndarray:
        """Return where RPROP begins for a network: its rate, or that times what is given or drawn."""
        assert isinstance(self.optimizer, RPROP)
        rate = float(self.learning_rate[i])
        sizes = self.optimizer.step_sizes(n_parameters, self.given_seeds[i])
        if sizes is None:
            return rate
        mean = self.optimizer.schedule.rate(0)
        return sizes * (rate / mean if mean > 0 else 1.0)

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch."""
        return -(-self.n_samples // self.batch_size)

    def of(self, networks: np.ndarray) -> "PopulationOptions":
        """Return the options of some of the networks.

        Parameters
        ----------
        networks : ndarray of int64
            Their numbers.
        """
        chosen = copy.copy(self)
        names = ("learning_rate", "momentum", "l2", "dropout", "seeds", "rows")
        vars(chosen).update({name: getattr(self, name)[networks] for name in names})
        if self.sample_weight is not None and self.sample_weight.ndim == 2:
            vars(chosen)["sample_weight"] = self.sample_weight[networks]
        places = np.arange(self.n_networks)[networks]
        vars(chosen)["n_networks"] = len(places)
        vars(chosen)["given_seeds"] = [self.given_seeds[i] for i in places]
        return chosen


def per_network(name: str, value: Any, n: int, high: float = np.inf, below: bool = False) -> np.ndarray:
    """Return a number for each of n networks, from 0 up to `high`.

    Examples
    --------
    >>> per_network("l2", 0.1, 3)
    array([0.1, 0.1, 0.1])
    >>> per_network("l2", [0.1, -1.0], 2)
    Traceback (most recent call last):
    ...
    fastbp.errors.OptionError: l2[1] is -1.0, and must be a finite number of at least 0
    """
    if np.ndim(value) == 0:
        return np.full(n, check_number(name, value, high=high, below=below))
    values = np.asarray(value)
    if values.shape != (n,):
        raise ShapeError(f"{name} has shape {values.shape}, and must be a number or ({n},)")
    if values.dtype.kind not in "fiu":
        raise OptionError(f"{name} has dtype {values.dtype}, and must hold real numbers")
    values = values.astype(np.float64)
    fits = np.isfinite(values) & (values >= 0) & (values < high if below else values <= high)
    if not fits.all():
        i = int(np.flatnonzero(~fits)[0])
        check_number(f"{name}[{i}]", values.item(i), high=high, below=below)
    return values


def check_given_order(order: Any, epoch: int, options: PopulationOptions) -> np.ndarray:
    """Return an order for all networks, or those of the networks `options.rows`, as int32."""
    n_samples, n_networks, n_rows = options.n_samples, options.n_ordered, options.n_rows
    found = np.asarray(order)
    shapes = ((n_samples,), (n_networks, n_samples))
    if (
        found.shape not in shapes
        or found.dtype.kind not in "iu"
        or int(found.min()) < 0
        or int(found.max()) >= n_rows
    ):
        raise OptionError(
            f"order({epoch}) is {shown(order)}, and must be {n_samples} integers from 0 to {n_rows - 1}, "
            f"or such a row for each of {n_networks} networks"
        )
    return np.ascontiguousarray(found if found.ndim == 1 else found[options.rows], np.int32)
