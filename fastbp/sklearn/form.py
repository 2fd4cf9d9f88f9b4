"""The network of an estimator: its specification, its first parameters, and views for `coefs_`."""

from functools import lru_cache
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from fastbp.interchange.estimators import ACTIVATIONS
from fastbp.specification import Specification

FEW_PARAMETERS = 2**12
"""Up to so many, the bounds of first parameters are kept as arrays: faster than layer after layer."""


class Form(NamedTuple):
    """What the network of an estimator is, and how its first parameters are drawn.

    Attributes
    ----------
    specification : Specification
    ranges : tuple of (slice, lowest, width)
        A part of theta, the lowest values of its parameters, and how far above them the highest are. These
        are numbers, or arrays as long as the part.
    """

    specification: Specification
    ranges: tuple[tuple[slice, Any, Any], ...]


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
    numbers = [(n_in + 1) * n_out for n_in, n_out, _, _ in specification.layers]
    bounds = [
        np.sqrt((2.0 if name == "logistic" else 6.0) / (n_in + n_out))
        for (n_in, n_out, _, _), name in zip(specification.layers, (*hidden, last), strict=True)
    ]
    if specification.n_parameters <= FEW_PARAMETERS:
        numbers, bounds = [specification.n_parameters], [np.repeat(bounds, numbers)]
    ranges = [
        (slice(end - n, end), -bound, bound - -bound)
        for end, n, bound in zip(accumulate(numbers), numbers, bounds, strict=True)
    ]
    return Form(specification, tuple(ranges))


def draw_parameters(theta: np.ndarray, form: Form, generator: np.random.RandomState) -> None:
    """Draw weights and biases as scikit-learn does, layer after layer, W and then b.

    One draw of all numbers takes a quarter of the time of two for each layer.
    """
    draws = generator.random_sample(theta.size)
    for part, lowest, width in form.ranges:
        drawn = draws[part]
        drawn *= width
        drawn += lowest
    theta[:] = draws
