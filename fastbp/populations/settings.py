"""The options of `fastbp.train_population` for the kernel, checked and completed before the run starts."""

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import numpy as np

from fastbp.engine.kernel_options import KernelOptions, generator_state
from fastbp.engine.population_choice import POPULATION_KERNELS
from fastbp.engine.population_options import PopulationOptions
from fastbp.errors import OptionError, check_choice, shown
from fastbp.optimizers import Optimizer
from fastbp.options import option
from fastbp.populations.starts import Seed, check_seeds, keys_of
from fastbp.schedules import Adaptive, Schedule


@dataclass(frozen=True, eq=False)
class PopulationSettings:
    """The options of `fastbp.train_population` for the kernel. They are checked here, and completed.

    Parameters
    ----------
    n_samples : int
    indices : int64[n_networks]
        The global indices of the networks.

    Attributes
    ----------
    n_steps : int
        The steps of the whole run, from `epochs` or `steps`.
    seed : int, None or uint64[n_networks]
        As `check_seeds` returns it.
    of_kernel : PopulationOptions
        What the run needs to know: it has all numbers that may differ by network as arrays.
    """

    n_samples: int
    indices: np.ndarray
    _: KW_ONLY
    epochs: int | None = option(None, decides_result=True)
    steps: int | None = option(None, decides_result=True)
    batch_size: int | None = option(None, decides_result=True)
    optimizer: Optimizer = option(decides_result=True)
    learning_rate: Any = option(None, decides_result=True)
    momentum: Any = option(None, decides_result=True)
    l2: Any = option(0.0, decides_result=True)
    dropout: Any = option(0.0, decides_result=True)
    seed: Seed = option(None, decides_result=True)
    shuffle: bool = option(True, decides_result=True)
    own_order: bool = option(False, decides_result=True)
    order: Any = option(None, decides_result=True)
    sample_weight: Any = option(None, decides_result=True)
    threads: int | None = option(None, decides_result=False)
    kernel: str = option("auto", decides_result=True)
    n_steps: int = field(init=False)
    of_kernel: PopulationOptions = field(init=False)

    def __post_init__(self) -> None:
        n = len(self.indices)
        settled: dict[str, Any] = vars(self)  # a frozen dataclass may write what it settles here
        check_choice("kernel", self.kernel, POPULATION_KERNELS)
        given: Any = list(self.seed) if isinstance(self.seed, Iterator) else self.seed
        seed = settled["seed"] = check_seeds(given, n)
        each = isinstance(seed, np.ndarray)
        self._check_scale()
        shared = {name: getattr(self, name) for name in ("batch_size", "optimizer", "shuffle", "threads")}
        of_one = KernelOptions(self.n_samples, epochs=self.epochs, steps=self.steps, **shared)
        settled |= {"n_steps": of_one.n_steps, "batch_size": of_one.batch_size}
        if self.order is not None and not callable(self.order):
            raise OptionError(f"order is {shown(self.order)}, and must be a function of the epoch, or None")
        names = ("learning_rate", "momentum", "l2", "dropout", "own_order", "order", "sample_weight")
        settled["of_kernel"] = PopulationOptions(
            n,
            self.n_samples,
            # The shared order is that of `fastbp.train` with this seed.
            generator_state=0 if isinstance(seed, np.ndarray) else generator_state(seed),
            seeds=seed if isinstance(seed, np.ndarray) else keys_of(seed, "training", self.indices),
            given_seeds=[int(one) for one in given] if each else None,  # type: ignore[arg-type]  # settled there
            **shared,
            **{name: getattr(self, name) for name in names},
        )
        draws = of_one.shuffle and self.order is None and of_one.batch_size < self.n_samples
        if each and draws and not self.own_order:
            raise OptionError(
                "seed has a value for each network, and there is one order of the samples for all; "
                "own_order=True draws one for each network, and shuffle=False draws none"
            )
        # As arrays: numbers that mean the same have the same digest in a checkpoint.
        numbers = ("learning_rate", "momentum", "l2", "dropout", "sample_weight")
        settled |= {
            name: getattr(self.of_kernel, name) for name in numbers if getattr(self, name) is not None
        }

    def _check_scale(self) -> None:
        """Refuse a rate that is to scale a schedule which begins at 0."""
        rate = getattr(self.optimizer, "learning_rate", None)
        if self.learning_rate is not None and isinstance(rate, Schedule) and rate.base == 0:
            raise OptionError(
                f"learning_rate scales the optimizer's schedule, and that begins at 0: {self.optimizer!r}"
            )

    @property
    def adaptive(self) -> Adaptive | None:
        """The schedule of the rates if it depends on the losses."""
        rate = self.optimizer.learning_rate
        return rate if isinstance(rate, Adaptive) else None
