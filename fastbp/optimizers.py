"""Optimizers: small frozen dataclasses that say how a step changes the parameters."""

import math
from dataclasses import dataclass
from numbers import Real

from fastbp.errors import NotSupportedError, OptionError


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent: theta <- theta - learning_rate dL/dtheta.

    Robbins & Monro (1951), "A stochastic approximation method",
    https://doi.org/10.1214/aoms/1177729586.

    Parameters
    ----------
    learning_rate : float, default 0.01
        Finite and at least 0. At 0 the parameters stay as they are.
    momentum, weight_decay : float, default 0.0
        Not supported yet: 0.0.
    nesterov : bool, default False
        Not supported yet: False.

    Raises
    ------
    OptionError
        If the learning rate is negative, not finite or not a number.
    NotSupportedError
        If momentum, Nesterov's momentum or weight decay is asked for.

    Examples
    --------
    >>> SGD(learning_rate=0.5)
    SGD(learning_rate=0.5, momentum=0.0, nesterov=False, weight_decay=0.0)
    """

    learning_rate: float = 0.01
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        rate = self.learning_rate
        if isinstance(rate, bool) or not isinstance(rate, Real) or not math.isfinite(rate) or rate < 0:
            raise OptionError(f"learning_rate is {rate!r}, and must be a finite number of at least 0")
        for name in ("momentum", "nesterov", "weight_decay"):
            if getattr(self, name) != 0:
                raise NotSupportedError(
                    f"SGD({name}={getattr(self, name)!r}) is not supported yet; this version has plain SGD"
                )
