"""Activation functions: their names, codes, and formulas.

``z`` is a pre-activation, ``a`` the activation, ``s`` the sigmoid, ``Phi`` and ``phi`` the standard normal
distribution function and density. `TABLE` has one row for each function.

Where possible, a derivative is computed from the *output* ``a``, which the forward pass has already stored.
Then ``z`` need not be stored, and mostly no ``exp`` is needed. gelu and silu need ``z`` itself: they are not
monotonic, so ``a`` does not determine the slope.

At a kink the derivative is the one from the left, as in PyTorch: relu'(0) = 0. `fastbp.reference` computes
all functions in plain Python.
"""

import math
from dataclasses import dataclass

from fastbp.errors import check_choice

(
    IDENTITY,
    SIGMOID,
    TANH,
    RELU,
    LEAKY_RELU,
    ELU,
    GELU,
    SILU,
    SOFTPLUS,
    SOFTMAX,
    EXPONENTIAL,
    SOFTSIGN,
) = range(12)
"""The codes of the activations. Kernels compare with these names, never with a number."""

LEAKY_RELU_SLOPE = 0.01
ELU_ALPHA = 1.0


@dataclass(frozen=True)
class Activation:
    """One row of `TABLE`.

    Attributes
    ----------
    name : str
    code : int
        What kernels know the activation by.
    formula : str
        a as a function of z.
    derivative : str
        da/dz.
    derivative_of : {"a", "z"}
        What the derivative is computed from: the output, or the pre-activation.
    source : str
        Who proposed it; empty for the classical functions.
    lowest, highest : float
        No value is below, or above.
    output_only : bool
        Whether only the output layer may have it.
    """

    name: str
    code: int
    formula: str
    derivative: str
    derivative_of: str = "a"
    source: str = ""
    lowest: float = -math.inf
    highest: float = math.inf
    output_only: bool = False


TABLE = (
    Activation("identity", IDENTITY, "z", "1"),
    Activation("sigmoid", SIGMOID, "s(z) = 1 / (1 + e^-z)", "a (1 - a)", lowest=0.0, highest=1.0),
    Activation("tanh", TANH, "tanh z", "1 - a^2", lowest=-1.0, highest=1.0),
    Activation("relu", RELU, "max(z, 0)", "1 where a > 0, else 0", lowest=0.0),
    Activation(
        "leaky_relu",
        LEAKY_RELU,
        "z where z > 0, else 0.01 z",
        "1 where a > 0, else 0.01",
        source="Maas, Hannun & Ng 2013, Rectifier nonlinearities improve neural network acoustic models",
    ),
    Activation(
        "elu",
        ELU,
        "z where z > 0, else e^z - 1",
        "1 where a > 0, else a + 1",
        source="Clevert, Unterthiner & Hochreiter 2016, https://arxiv.org/abs/1511.07289",
        lowest=-ELU_ALPHA,
    ),
    Activation(
        "gelu",
        GELU,
        "z Phi(z), with Phi(z) = erfc(-z / sqrt 2) / 2",
        "Phi(z) + z phi(z), with phi(z) = e^(-z^2 / 2) / sqrt(2 pi)",
        derivative_of="z",
        source="Hendrycks & Gimpel 2016, https://arxiv.org/abs/1606.08415 (the exact form)",
        lowest=-0.16997120747990369,
    ),
    Activation(
        "silu",
        SILU,
        "z s(z)",
        "s(z) (1 + z (1 - s(z)))",
        derivative_of="z",
        source="Elfwing, Uchibe & Doya 2018, https://doi.org/10.1016/j.neunet.2017.12.012",
        lowest=-0.27846454276107380,
    ),
    Activation(
        "softplus",
        SOFTPLUS,
        "log(1 + e^z) = max(z, 0) + log1p(e^-|z|)",
        "s(z) = 1 - e^-a = -expm1(-a)",
        source="Dugas, Bengio, Bélisle, Nadeau & Garcia 2001, NeurIPS 13",
        lowest=0.0,
    ),
    Activation(
        "softmax",
        SOFTMAX,
        "a_j = e^(z_j - m) / sum_k e^(z_k - m), with m = max_k z_k",
        "da_j / dz_k = a_j (1 - a_j) where j = k, else -a_j a_k",
        source="Bridle 1990, https://doi.org/10.1007/978-3-642-76153-9_28",
        lowest=0.0,
        highest=1.0,
        output_only=True,
    ),
    Activation("exp", EXPONENTIAL, "e^z", "a", lowest=0.0, output_only=True),
    Activation(
        "softsign",
        SOFTSIGN,
        "z / (1 + |z|)",
        "(1 - |a|)^2",
        source="Elliott 1993, A better activation function for artificial neural networks, Univ. of Maryland",
        lowest=-1.0,
        highest=1.0,
    ),
)

CODES = {activation.name: activation.code for activation in TABLE}
OUTPUT = tuple(activation.name for activation in TABLE)
HIDDEN = tuple(activation.name for activation in TABLE if not activation.output_only)


def check_activation(argument: str, name: object) -> str:
    """Return `name` if it is an activation that fastbp has for this argument.

    Parameters
    ----------
    argument : {"hidden_activation", "output_activation"}
        The argument that the user gave it for. Only the output layer may have softmax and exp.
    name : object
        What the user gave.

    Examples
    --------
    >>> check_activation("hidden_activation", "sigmoid")
    'sigmoid'
    >>> check_activation("hidden_activation", "sigmoyd")
    Traceback (most recent call last):
    ...
    fastbp.errors.OptionError: hidden_activation is 'sigmoyd', and may be ...; did you mean 'sigmoid'?
    """
    return check_choice(argument, name, HIDDEN if argument == "hidden_activation" else OUTPUT)
