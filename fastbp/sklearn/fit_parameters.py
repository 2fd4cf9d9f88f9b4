"""What the parameters of the estimators may be: those of scikit-learn, and then ours, off by default."""

import os
from functools import lru_cache
from numbers import Integral, Real
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils._param_validation import Interval, Options, StrOptions

from fastbp import activations
from fastbp.optimizers import RPROP, AdamW, Optimizer, RMSprop, UnscaledAdam, VelocitySGD
from fastbp.schedules import Schedule

STOCHASTIC = ("sgd", "adam", "adamw", "rmsprop", "rprop")
"""The solvers that train batch by batch."""

HIDDEN = ("logistic", *activations.HIDDEN)
"""What a hidden layer's activation may be."""

RATES = ("constant", "invscaling", "adaptive", "cosine", "step")

POSITIVE = Interval(Real, 0, None, closed="neither")
NOT_NEGATIVE = Interval(Real, 0, None, closed="left")
COUNT = Interval(Integral, 1, None, closed="left")
BELOW_ONE = Interval(Real, 0, 1, closed="left")

CONSTRAINTS: dict[str, Any] = {
    "hidden_layer_sizes": ["array-like", COUNT],
    "activation": [StrOptions(set(HIDDEN)), list, tuple],
    "solver": [StrOptions({"lbfgs", *STOCHASTIC})],
    "alpha": [NOT_NEGATIVE],
    "batch_size": [StrOptions({"auto"}), COUNT],
    "learning_rate": [StrOptions(set(RATES)), Schedule],
    "learning_rate_init": [POSITIVE],
    "power_t": [NOT_NEGATIVE],
    "max_iter": [COUNT],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "tol": [NOT_NEGATIVE],
    "verbose": ["verbose"],
    "warm_start": ["boolean"],
    "momentum": [Interval(Real, 0, 1, closed="both")],
    "nesterovs_momentum": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [BELOW_ONE],
    "beta_1": [BELOW_ONE],
    "beta_2": [BELOW_ONE],
    "epsilon": [POSITIVE],
    "n_iter_no_change": [COUNT, Options(Real, {np.inf})],
    "max_fun": [COUNT],
    "dropout": [BELOW_ONE],
    "weight_decay": [NOT_NEGATIVE],
    "gradient_clip_norm": [POSITIVE, None],
    "scoring": [str, callable, None],
    "callbacks": [list, tuple, None],
    "progress": ["boolean"],
    "coefs_init": [list, tuple, None],
    "intercepts_init": [list, tuple, None],
    "max_seconds": [POSITIVE, None],
    "checkpoint": [str, os.PathLike, None],
    "checkpoint_every": [COUNT],
    "n_threads": [COUNT, None],
}
"""Of both estimators."""


class Settings(NamedTuple):
    """Parameters that `partial_fit` keeps as they were when training began, as in scikit-learn."""

    solver: str
    learning_rate: str | Schedule
    learning_rate_init: float
    power_t: float
    momentum: float
    nesterovs_momentum: bool
    beta_1: float
    beta_2: float
    epsilon: float
    weight_decay: float


_of_optimizer = itemgetter(*Settings._fields)


def settings_of(estimator: Any) -> Settings:
    """Return the present parameters of an estimator's optimizer."""
    return Settings._make(_of_optimizer(vars(estimator)))


@lru_cache(maxsize=64)
def optimizer_of(settings: Settings) -> Optimizer:
    """Return the optimizer that these parameters say."""
    solver, schedule, rate, _, momentum, nesterov, beta1, beta2, epsilon, weight_decay = settings
    if solver == "rprop":
        return RPROP(rate)
    if not isinstance(schedule, str):
        rate = schedule  # type: ignore[assignment]
    if solver == "adam":
        return UnscaledAdam(rate, beta1, beta2, epsilon)
    if solver == "adamw":
        return AdamW(rate, beta1, beta2, epsilon, weight_decay=weight_decay)
    if solver == "rmsprop":
        return RMSprop(rate, alpha=beta2, epsilon=epsilon)
    return VelocitySGD(rate, momentum, bool(nesterov))


def rate_after(settings: Settings, estimator: Any, present: float) -> float:
    """Return the learning rate of the epoch that comes next."""
    kind, rate = settings.learning_rate, float(settings.learning_rate_init)
    if kind == "invscaling" and settings.solver == "sgd":
        return rate / (estimator.t_ + 1) ** settings.power_t
    if kind == "cosine":
        return 0.5 * rate * (1 + np.cos(np.pi * min(1.0, estimator.n_iter_ / estimator.max_iter)))
    if kind == "step":
        return rate * 0.1 ** (3 * estimator.n_iter_ // estimator.max_iter)
    return present


def hidden_activations(activation: Any, n_hidden: int) -> tuple[str, ...]:
    """Return the activation of each hidden layer, from the parameter."""
    if isinstance(activation, str):
        return (activation,) * n_hidden
    names = tuple(activation)
    if len(names) != n_hidden or not all(isinstance(name, str) and name in HIDDEN for name in names):
        raise ValueError(
            f"activation is {activation!r}, and must be one of {list(HIDDEN)}, or a list of {n_hidden} of "
            "these: one for each hidden layer"
        )
    return names
