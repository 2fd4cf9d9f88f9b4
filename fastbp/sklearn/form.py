"""The network of an estimator: its specification, its first parameters, and views for `coefs_`."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from fastbp.interchange.estimators import ACTIVATIONS
from fastbp.kernels.as_numpy import draw_as_numpy
from fastbp.memory import address_in
from fastbp.specification import Specification


class Form(NamedTuple):
    """What the network of an estimator is, and how its first parameters are drawn.

    Attributes
    ----------
    specification : Specification
    counts : int64[n_layers]
        The parameters of each layer.
    bounds : float64[n_layers]
        The largest value that its first parameters may have.
    """

    specification: Specification
    counts: np.ndarray
    bounds: np.ndarray


@lru_cache(maxsize=64)
def form_of(
    sizes: tuple[int, ...], hidden: tuple[str, ...], last: str, output: str, loss: str, dtype: np.dtype
) -> Form:
    """Return the form of an estimator's network.

    The first parameters are uniform. Their bound is sqrt(6 / (n_in + n_out)), as Glorot & Bengio (2010)
    propose, or sqrt(2 / (n_in + n_out)) for a layer of "logistic".

    Parameters
    ----------
    sizes : tuple of int
        The width of every layer.
    hidden : tuple of str
        scikit-learn's name of the activation of each hidden layer.
    last : str
        The name that the output layer counts as: that of the last hidden layer.
    output : str
        As `out_activation_`.
    loss : str
        The name that it has here.
    dtype : dtype
    """
    *names, own = (ACTIVATIONS.get(name, name) for name in (*hidden, output))
    specification = Specification(sizes, tuple(names), own, loss, dtype=dtype)
    layers = zip(specification.layers, (*hidden, last), strict=True)
    gains = [(layer, 2.0 if name == "logistic" else 6.0) for layer, name in layers]
    return Form(
        specification,
        np.array([(layer.n_in + 1) * layer.n_out for layer, _ in gains]),
        np.array([np.sqrt(gain / (layer.n_in + layer.n_out)) for layer, gain in gains]),
    )


def draw_parameters(theta: np.ndarray, form: Form, generator: np.random.RandomState) -> None:
    """Draw weights and biases as scikit-learn does, layer after layer, W and then b."""
    if type(generator) is np.random.RandomState:
        bits = generator._bit_generator
        c = bits.ctypes
        with bits.lock:
            draw_as_numpy(address_in(c.next_double), c.state_address, form.counts, form.bounds, theta)
    else:  # a class that may draw in another way
        bounds = np.repeat(form.bounds, form.counts)
        theta[:] = generator.uniform(-bounds, bounds)
