"""The network of an estimator: its specification, its first parameters, and views for `coefs_`."""

from functools import lru_cache

import numpy as np

from fastbp.interchange.estimators import ACTIVATIONS
from fastbp.network import Network
from fastbp.specification import Specification


@lru_cache(maxsize=64)
def specification_of(
    sizes: tuple[int, ...], hidden: tuple[str, ...], output: str, loss: str, dtype: np.dtype
) -> Specification:
    """Return the specification of an estimator's network.

    Parameters
    ----------
    sizes : tuple of int
        The width of every layer.
    hidden : tuple of str
        scikit-learn's name of the activation of each hidden layer.
    output : str
        As `out_activation_`.
    loss : str
        The name that it has here.
    dtype : dtype
    """
    *names, last = (ACTIVATIONS.get(name, name) for name in (*hidden, output))
    return Specification(sizes, tuple(names), last, loss, dtype=dtype)


def draw_parameters(network: Network, activations: tuple[str, ...], generator: np.random.RandomState) -> None:
    """Draw weights and biases as scikit-learn does: uniformly, layer after layer, W and then b.

    The bound is sqrt(6 / (n_in + n_out)), as Glorot & Bengio (2010) propose, or sqrt(2 / (n_in + n_out)) for
    a layer whose name in `activations` is "logistic". That of the output layer counts as the last hidden one.
    One draw of all numbers takes a quarter of the time of two for each layer.
    """
    lowest, width = bounds(network.specification, activations)
    draws = generator.random_sample(network.theta.size)
    draws *= width
    draws += lowest
    network.theta[:] = draws


@lru_cache(maxsize=64)
def bounds(specification: Specification, activations: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest value of each parameter, laid out as theta, and how far above it the highest is."""
    bound = np.empty(specification.n_parameters)
    for W, b, name in zip(*specification.views(bound), activations, strict=True):
        W[:] = b[:] = np.sqrt((2.0 if name == "logistic" else 6.0) / sum(W.shape))
    return -bound, bound - -bound
