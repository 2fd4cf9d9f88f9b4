"""Activation functions: their names and formulas.

Each derivative is written in terms of the activation's *output* ``a``, which the forward pass has
already computed and stored.
"""

import numpy as np

from fastbp.errors import check_choice

HIDDEN = ("sigmoid",)
OUTPUT = ("sigmoid",)
PLANNED = ("identity", "tanh", "relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "softmax")


def check_activation(argument: str, name: object) -> str:
    """Return `name` if it is an activation that fastbp has."""
    return check_choice(argument, name, HIDDEN, PLANNED)


def activate(name: str, z: np.ndarray) -> np.ndarray:
    """Return the activation a of the pre-activation z: for "sigmoid", s(z) = 1 / (1 + e^-z)."""
    from scipy.special import expit  # here, because SciPy takes longer to import than all of fastbp

    check_activation("activation", name)
    return expit(z)


def derivative(name: str, a: np.ndarray) -> np.ndarray:
    """Return da/dz in terms of a: for "sigmoid", a (1 - a)."""
    check_activation("activation", name)
    return a * (1.0 - a)
