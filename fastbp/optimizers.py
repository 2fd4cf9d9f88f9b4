"""Optimizers: small frozen dataclasses that say how a step changes the parameters.

The equations are those of a single parameter ``theta``. ``g`` is its gradient dL/dtheta, ``r`` the learning
rate of the step, and ``k`` the number of the step, counted from 1. The other letters are the state that a
step hands to the next one; it starts at 0 unless the text says otherwise. The defaults and the order of
operations are PyTorch's. `fastbp.reference` has every update in plain Python.

A learning rate is a number, or a schedule from `fastbp.schedules`. Numbers may have every type of real number
of Python and NumPy, and become floats. ``weight_decay`` pulls every trained parameter towards 0, biases too,
as in PyTorch; the option ``l2`` of `fastbp.train` applies to the weights only.

Kernels get the hyper-parameters as float64 numbers, and state vectors as long as theta. What depends on
hyper-parameters alone, such as 1 - beta2, is computed in float64 for float32 networks, too.
`fastbp.kernels.update_rules` computes the updates.
"""

from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastbp.errors import (
    OptionError,
    as_drawn,
    as_option,
    check_flag,
    check_number,
    nearest,
    number_drawn_by,
    settle,
)
from fastbp.schedules import Adaptive, Constant, Schedule

UNIFORM = "uniform"
"""The distribution of the first step sizes of RPROP, where they are drawn."""


class Optimizer:
    """Base of all optimizers: what a run needs to know of one."""

    learning_rate: float | Schedule | Adaptive

    @property
    def rule(self) -> str:
        """The name of the update rule in `fastbp.kernels.update_rules`."""
        raise NotImplementedError

    @property
    def state(self) -> tuple[str, ...]:
        """The names of the state vectors, as in the equations. A state vector has a number per parameter."""
        raise NotImplementedError

    @classmethod
    @cache
    def hyperparameter_names(cls) -> tuple[str, ...]:
        """Return the names of the hyper-parameters in their order; the learning rate is none of them."""
        return tuple(field.name for field in fields(cls) if field.name != "learning_rate")  # type: ignore[arg-type]

    def hyperparameters(self) -> np.ndarray:
        """Return the values of the hyper-parameters, in the order of their names, as float64."""
        return np.array([getattr(self, name) for name in self.hyperparameter_names()], np.float64)

    @property
    def n_state_vectors(self) -> int:
        """How many numbers the optimizer keeps for each parameter."""
        return len(self.state)

    @property
    def draws(self) -> bool:
        """Whether the seed of a run decides its initial state."""
        return False

    def initial_state(self, n_parameters: int, dtype: DTypeLike) -> np.ndarray:
        """Return the state before the first step, the same for all parameters.

        Returns
        -------
        ndarray, shape (n_state_vectors, n_parameters)
        """
        return np.zeros((self.n_state_vectors, n_parameters), dtype)

    @property
    def schedule(self) -> Schedule | Adaptive:
        """The learning rate as a schedule. A number becomes a `Constant`."""
        rate = self.learning_rate
        return Constant(rate) if isinstance(rate, float) else rate

    def _check_learning_rate(self) -> None:
        if not isinstance(self.learning_rate, Schedule | Adaptive):
            settle(self, check_number, "learning_rate", alternative=", or a schedule of fastbp.schedules")


@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent, with or without momentum.

    ::

        g <- g + weight_decay theta
        v <- momentum v + g                             (at the first step v <- g, which is the same)
        theta <- theta - r v                            momentum
        theta <- theta - r (g + momentum v)             Nesterov's momentum
        theta <- theta - r g                            neither

    Robbins & Monro (1951), "A stochastic approximation method", https://doi.org/10.1214/aoms/1177729586;
    momentum: Polyak (1964), https://doi.org/10.1016/0041-5553(64)90137-5; Nesterov's, in PyTorch's form:
    Sutskever, Martens, Dahl & Hinton (2013), "On the importance of initialization and momentum in deep
    learning", https://proceedings.mlr.press/v28/sutskever13.html.

    Parameters
    ----------
    learning_rate : float or schedule, default 0.01
        Finite and at least 0. At 0 the parameters stay as they are.
    momentum : float, default 0.0
        From 0 to below 1.
    nesterov : bool, default False
        Needs a momentum above 0.
    weight_decay : float, default 0.0
        At least 0.

    Raises
    ------
    OptionError
        If an argument has a value that it may not have.

    Examples
    --------
    >>> SGD(learning_rate=0.5)
    SGD(learning_rate=0.5, momentum=0.0, nesterov=False, weight_decay=0.0)
    """

    learning_rate: float | Schedule | Adaptive = 0.01
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        self._check_learning_rate()
        settle(self, check_number, "momentum", high=1.0, below=True)
        settle(self, check_number, "weight_decay")
        settle(self, check_flag, "nesterov")
        if self.nesterov and self.momentum == 0:
            raise OptionError("nesterov=True needs a momentum above 0, such as momentum=0.9")

    @property
    def rule(self) -> str:
        """The name of the update rule: with momentum there is another, and with Nesterov's."""
        if self.momentum == 0:
            return "sgd"
        return "sgd_nesterov" if self.nesterov else "sgd_momentum"

    @property
    def state(self) -> tuple[str, ...]:
        """The velocity v, if there is momentum."""
        return ("v",) if self.momentum > 0 else ()


@dataclass(frozen=True)
class VelocitySGD(Optimizer):
    """Stochastic gradient descent with momentum, in scikit-learn's form: the velocity contains the rate.

    ::

        v <- momentum v - r g
        theta <- theta + v                              momentum
        theta <- theta + momentum v - r g               Nesterov's momentum

    That is `SGD` as long as the rate stays the same. It is for the engine, not for `fastbp.train`.

    Parameters
    ----------
    learning_rate : float or schedule, default 0.001
    momentum : float, default 0.9
        From 0 to 1.
    nesterov : bool, default True

    Raises
    ------
    OptionError
        If an argument has a value that it may not have.
    """

    rule = "sgd_velocity"
    state = ("v",)

    learning_rate: float | Schedule | Adaptive = 0.001
    momentum: float = 0.9
    nesterov: bool = True

    def __post_init__(self) -> None:
        self._check_learning_rate()
        settle(self, check_number, "momentum", high=1.0)
        settle(self, check_flag, "nesterov")


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """Gradient descent divided by a running root mean square of the gradient.

    ::

        g <- g + weight_decay theta
        s <- alpha s + (1 - alpha) g^2
        q = g / (sqrt(s) + epsilon)
        theta <- theta - r q                            without momentum
        v <- momentum v + q,  theta <- theta - r v      with momentum

    Tieleman & Hinton (2012), "Lecture 6.5 - RMSProp", Coursera: Neural Networks for Machine Learning;
    https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf.

    Parameters
    ----------
    learning_rate : float or schedule, default 0.01
        Finite and at least 0.
    alpha : float, default 0.99
        From 0 to below 1: how much of the mean square a step keeps.
    epsilon : float, default 1e-8
        Above 0. It keeps the quotient finite. If it is below the smallest normal number of the network's type
        (1.2e-38 in float32), that number is used.
    momentum : float, default 0.0
        From 0 to below 1.
    weight_decay : float, default 0.0
        At least 0.

    Raises
    ------
    OptionError
        If an argument has a value that it may not have.
    """

    learning_rate: float | Schedule | Adaptive = 0.01
    alpha: float = 0.99
    epsilon: float = 1e-8
    momentum: float = 0.0
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        self._check_learning_rate()
        settle(self, check_number, "alpha", high=1.0, below=True)
        settle(self, check_number, "epsilon", above=True)
        settle(self, check_number, "momentum", high=1.0, below=True)
        settle(self, check_number, "weight_decay")

    @property
    def rule(self) -> str:
        """The name of the update rule: with momentum there is another."""
        return "rmsprop_momentum" if self.momentum > 0 else "rmsprop"

    @property
    def state(self) -> tuple[str, ...]:
        """The mean square s, and the velocity v if there is momentum."""
        return ("s", "v") if self.momentum > 0 else ("s",)


@dataclass(frozen=True)
class Adam(Optimizer):
    """Momentum divided by a running root mean square; both are corrected for their start at 0.

    ::

        g <- g + weight_decay theta
        m <- beta1 m + (1 - beta1) g
        v <- beta2 v + (1 - beta2) g^2
        theta <- theta - r / (1 - beta1^k) m / (sqrt(v) / sqrt(1 - beta2^k) + epsilon)

    Kingma & Ba (2015), "Adam: a method for stochastic optimization", algorithm 1,
    https://arxiv.org/abs/1412.6980.

    Parameters
    ----------
    learning_rate : float or schedule, default 0.001
        Finite and at least 0.
    beta1, beta2 : float, default 0.9 and 0.999
        From 0 to below 1: how much of the two moments a step keeps.
    epsilon : float, default 1e-8
        Above 0. It keeps the quotient finite. If it is below the smallest normal number of the network's type
        (1.2e-38 in float32), that number is used.
    weight_decay : float, default 0.0
        At least 0. Its term joins the gradient, and is divided with it; `AdamW` differs in this.

    Raises
    ------
    OptionError
        If an argument has a value that it may not have.
    """

    rule = "adam"
    state = ("m", "v")

    learning_rate: float | Schedule | Adaptive = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        self._check_learning_rate()
        settle(self, check_number, "beta1", high=1.0, below=True)
        settle(self, check_number, "beta2", high=1.0, below=True)
        settle(self, check_number, "epsilon", above=True)
        settle(self, check_number, "weight_decay")


@dataclass(frozen=True)
class UnscaledAdam(Adam):
    """Adam in scikit-learn's form: the square root of the second moment is not corrected beside epsilon.

    ::

        theta <- theta - r sqrt(1 - beta2^k) / (1 - beta1^k) m / (sqrt(v) + epsilon)

    Kingma & Ba (2015), end of section 2. The moments are those of `Adam`. It is for the engine, not for
    `fastbp.train`.
    """

    rule = "adam_unscaled"


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with a weight decay that is separate from the gradient.

    ::

        theta <- theta - r weight_decay theta
        m <- beta1 m + (1 - beta1) g
        v <- beta2 v + (1 - beta2) g^2
        theta <- theta - r / (1 - beta1^k) m / (sqrt(v) / sqrt(1 - beta2^k) + epsilon)

    Loshchilov & Hutter (2019), "Decoupled weight decay regularization", algorithm 2,
    https://arxiv.org/abs/1711.05101.

    Parameters
    ----------
    learning_rate : float or schedule, default 0.001
        Finite and at least 0.
    beta1, beta2 : float, default 0.9 and 0.999
        From 0 to below 1: how much of the two moments a step keeps.
    epsilon : float, default 1e-8
        Above 0. It keeps the quotient finite. If it is below the smallest normal number of the network's type
        (1.2e-38 in float32), that number is used.
    weight_decay : float, default 0.01
        At least 0.

    Raises
    ------
    OptionError
        If an argument has a value that it may not have.
    """

    rule = "adamw"

    weight_decay: float = 0.01


@dataclass(frozen=True)
class RPROP(Optimizer):
    """Resilient backpropagation: it uses only the sign of the gradient. It is for full batches.

    ::

        p = g * g_previous
        d <- min(eta_plus d, largest_step)       where p > 0
        d <- max(eta_minus d, smallest_step)     where p < 0, and then g <- 0
        theta <- theta - sign(g) d
        g_previous <- g

    Every parameter has a step size `d`. It starts at the learning rate, which cannot be a schedule. Every
    step clips it to both bounds, so it may start outside them. Recipes that draw it, as Prechelt's Proben1
    does, give ``("uniform", 0.05, 0.2)``.

    Riedmiller & Braun (1993), "A direct adaptive method for faster backpropagation learning: the RPROP
    algorithm", https://doi.org/10.1109/ICNN.1993.298623. This is PyTorch's variant, iRprop-, which has no
    weight backtracking: Igel & Hüsken (2003), https://doi.org/10.1016/S0925-2312(01)00700-7.

    Parameters
    ----------
    learning_rate : float, array_like or tuple, default 0.01
        The initial step size: finite and at least 0. Or one for each parameter, laid out as `Network.theta`;
        it is kept as a tuple. Or ``("uniform", low, high)``: the seed of the run draws them.
    eta_minus : float, default 0.5
        Above 0 and below 1.
    eta_plus : float, default 1.2
        Above 1.
    smallest_step, largest_step : float, default 1e-6 and 50.0
        The bounds of a step size: the first is at least 0, and at most the second. If the first is below
        the smallest normal number of the network's type, that number is used.

    Raises
    ------
    OptionError
        If an argument has a value that it may not have.
    """

    rule = "rprop"
    state = ("g_previous", "d")

    learning_rate: float | tuple[Any, ...] = 0.01  # type: ignore[assignment]
    eta_minus: float = 0.5
    eta_plus: float = 1.2
    smallest_step: float = 1e-6
    largest_step: float = 50.0

    def __post_init__(self) -> None:
        settle(self, _check_sizes, "learning_rate")
        settle(self, check_number, "eta_minus", high=1.0, above=True, below=True)
        settle(self, check_number, "eta_plus", low=1.0, above=True)
        settle(self, check_number, "smallest_step")
        settle(self, check_number, "largest_step", low=self.smallest_step)

    @property
    def schedule(self) -> Schedule:
        """The initial step size; of several, the mean."""
        if isinstance(self.learning_rate, tuple):
            low_and_high = self.learning_rate[1:] if self.draws else self.learning_rate
            return Constant(float(np.mean(low_and_high)))
        return Constant(self.learning_rate)

    @property
    def draws(self) -> bool:
        """Whether the seed of a run draws the step sizes."""
        return isinstance(self.learning_rate, tuple) and self.learning_rate[0] == UNIFORM

    def initial_state(self, n_parameters: int, dtype: DTypeLike) -> np.ndarray:
        """Return the state before the first step: no gradient yet, and the learning rate for a step size."""
        state = super().initial_state(n_parameters, dtype)
        state[1] = self.schedule.rate(0)
        return state

    def step_sizes(self, n_parameters: int, seed: int | None = None) -> np.ndarray | None:
        """Return the initial step size of each parameter, or None if all have the same.

        Returns
        -------
        float64[n_parameters], laid out as `Network.theta`

        Raises
        ------
        OptionError
            If there are as many sizes as another network has parameters.

        Examples
        --------
        >>> RPROP(("uniform", 0.05, 0.2)).step_sizes(2, seed=0).round(3)
        array([0.1..., 0.09...])
        """
        if not isinstance(self.learning_rate, tuple):
            return None
        if self.draws:
            _, low, high = self.learning_rate
            return np.random.default_rng(seed).uniform(low, high, n_parameters)
        if len(self.learning_rate) != n_parameters:
            raise OptionError(
                f"learning_rate has {len(self.learning_rate)} step sizes, and the network has {n_parameters} "
                "parameters"
            )
        return np.array(self.learning_rate)


def _check_sizes(argument: str, value: object) -> float | tuple[Any, ...]:
    """Return the initial step size of RPROP, or that of each parameter, or the rule that draws them."""
    if isinstance(value, Schedule | Adaptive) or not (
        isinstance(value, tuple | list) or (isinstance(value, np.ndarray) and value.ndim == 1)
    ):
        return check_number(argument, value, alternative=f", {_several_sizes()}; RPROP takes no schedule")
    if len(value) == 3 and isinstance(value[0], str) and value[0] == UNIFORM:
        low = check_number(number_drawn_by(argument, 1), value[1])
        return UNIFORM, low, check_number(number_drawn_by(argument, 2), value[2], low=low)
    if len(value) < 2 or isinstance(value[0], str):
        near = nearest(value[0], (UNIFORM,)) if len(value) and value[0] != UNIFORM else ""
        raise OptionError(
            f"{as_option(argument)} is {as_drawn(value)}, and must be a number, {_several_sizes()}{near}"
        )
    return tuple(check_number(f"{argument}[{i}]", size) for i, size in enumerate(value))


def _several_sizes() -> str:
    """Return what RPROP's step sizes may be besides a number."""
    return f"one for each parameter, or be like {as_drawn((UNIFORM, 0.05, 0.2))}"


BY_NAME: dict[str, type[Optimizer]] = {
    "adam": Adam,
    "adamw": AdamW,
    "rmsprop": RMSprop,
    "rprop": RPROP,
    "sgd": SGD,
}
"""The optimizers, as the shell and search spaces name them."""
