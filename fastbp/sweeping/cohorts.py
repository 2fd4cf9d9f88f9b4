"""The trials of one structure in one fold: a population that trains from rung to rung."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from fastbp.checks import check_data
from fastbp.data.model import network_options
from fastbp.engine.kernel_options import generator_state
from fastbp.engine.population_choice import start_population
from fastbp.engine.population_options import PopulationOptions
from fastbp.errors import OptionError, as_option
from fastbp.network import Network
from fastbp.optimizers import BY_NAME, RPROP, Adam, Optimizer
from fastbp.populations.starts import draw_parameters, keys_of
from fastbp.preprocessing import Preprocessing
from fastbp.specification import Specification
from fastbp.sweeping.folds import Fold
from fastbp.sweeping.points import Points

BATCH_SIZE = 32
"""The samples of a step if the space does not say."""

SOME_MOMENTUM = 0.9
"""Each trial has a momentum of its own; this one says that the update rule is the one with momentum."""


@dataclass(frozen=True, eq=False)
class Recipe:
    """What trains a trial, except its data: any process can make any trial from it.

    Attributes
    ----------
    points : Points
    preprocessing : Preprocessing
        Of one of the folds: all have as many inputs and outputs.
    loss : str or None
        Of a regression.
    dtype : str
    """

    points: Points
    preprocessing: Preprocessing
    loss: str | None
    dtype: str

    @property
    def seed(self) -> int:
        """The seed of the sweep."""
        return self.points.seed

    def specification(self, structure: dict[str, Any]) -> Specification:
        """Return what the networks of a structure are."""
        options = network_options(
            self.preprocessing,
            hidden=structure.get("hidden"),
            activation=structure.get("activation"),
            loss=self.loss,
            dtype=self.dtype,
        )
        return Network(**options, seed=0).specification

    def optimizer(self, structure: dict[str, Any]) -> Optimizer:
        """Return the optimizer of a structure."""
        return as_optimizer(structure.get("optimizer", "adam"))

    def batch_size(self, structure: dict[str, Any]) -> int | None:
        """Return the samples of a step, or None for all."""
        return structure.get("batch_size", BATCH_SIZE)

    def check(self) -> None:
        """Raise an error if a structure of the space cannot be trained."""
        space = self.points.space
        for name in space.choices.get("activation", ()):
            self.specification({"activation": name, "hidden": (1,)})
        optimizers = [as_optimizer(one) for one in space.choices.get("optimizer", (Adam(),))]
        batches = space.choices.get("batch_size", (BATCH_SIZE,))
        if any(isinstance(one, RPROP) for one in optimizers) and batches != (None,):
            raise OptionError(
                f"the space has the optimizer RPROP, which is for full batches: {as_option('batch_size')} of "
                "the space must be None"
            )
        if "momentum" in space.of_networks and not any(map(has_momentum, optimizers)):
            raise OptionError("the space has momentum, and none of its optimizers: SGD and RMSprop have one")


def as_optimizer(value: Any) -> Optimizer:
    """Return an optimizer that is given itself or by its name."""
    if isinstance(value, Optimizer):
        return value
    if isinstance(value, str) and value in BY_NAME:
        return BY_NAME[value]()
    raise OptionError(
        f"optimizer of the space has {value!r}, and may have {', '.join(BY_NAME)}, or optimizers of fastbp"
    )


def has_momentum(optimizer: Optimizer) -> bool:
    """Return whether an optimizer has a momentum of its own."""
    return "momentum" in {field.name for field in fields(optimizer)}  # type: ignore[arg-type]


class Cohort:
    """Trials of one structure that train on one fold, as one population.

    Parameters
    ----------
    recipe : Recipe
    structure : int
        Its number.
    trials : int64[n]
        The trials, by their global numbers.
    fold : Fold
    threads : int or None
    is_stopped : callable
        Asked several times a second; `train_until` ends early if it returns true.
    """

    def __init__(
        self,
        recipe: Recipe,
        structure: int,
        trials: np.ndarray,
        fold: Fold,
        *,
        threads: int | None = None,
        is_stopped: Callable[[], bool] = lambda: False,
    ):
        points, chosen = recipe.points, recipe.points.space.structure(structure)
        self.specification = recipe.specification(chosen)
        self._validation = None
        if fold.X_validation is not None and fold.Y_validation is not None:
            self._validation = check_data(self.specification, fold.X_validation, fold.Y_validation)
        self._is_stopped = is_stopped
        optimizer, values, numbers = recipe.optimizer(chosen), points.values(trials), points.numbers(trials)
        theta = np.zeros((len(trials), self.specification.n_parameters), self.specification.dtype)
        draw_parameters(self.specification, theta, keys_of(recipe.seed, "starting parameters", numbers))
        own: dict[str, Any] = {
            name: values[name] for name in ("learning_rate", "l2", "dropout") if name in values
        }
        if "momentum" in values and has_momentum(optimizer):
            own["momentum"] = values["momentum"]
            optimizer = replace(optimizer, momentum=SOME_MOMENTUM)  # type: ignore[type-var]
        options = PopulationOptions(
            len(trials),
            len(fold.X),
            optimizer=optimizer,
            batch_size=recipe.batch_size(chosen),  # type: ignore[arg-type]
            sample_weight=fold.sample_weight,
            generator_state=generator_state(recipe.seed),
            seeds=keys_of(recipe.seed, "training", numbers),
            threads=threads,
            **own,
        )
        X, Y = check_data(self.specification, fold.X, fold.Y)
        self._run = start_population(self.specification, theta, X, Y, options)

    def train_until(self, epochs: int) -> bool:
        """Train until so many epochs are done in all; return False if stopped before."""
        until = epochs * self._run.steps_per_epoch
        while self._run.step < until:
            if self._is_stopped():
                return False
            self._run.advance(until, self._is_stopped)
        return True

    def scores(self) -> np.ndarray:
        """Return the validation loss of each trial, float64[n]; infinite if it diverged."""
        assert self._validation is not None
        with np.errstate(all="ignore"):
            losses = self._run.evaluate(*self._validation)
        return np.where((self._run.frozen_at < 0) & np.isfinite(losses), losses, np.inf)

    @property
    def theta(self) -> np.ndarray:
        """The parameters of each trial, shape (n, n_parameters)."""
        return self._run.theta

    def keep(self, places: np.ndarray) -> None:
        """Go on with some trials only: they move together, and fill the lanes again."""
        self._run = self._run.select(places)
