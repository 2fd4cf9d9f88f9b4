"""The numbers that a network of a population draws: they derive from a seed and from the network's index.

The index is global: that of the network in the whole population, and not in a part of it. So a part of a
population has the bits that it has in the whole, in any process.
"""

import numpy as np
from numpy.typing import ArrayLike

from fastbp.engine.kernel_options import generator_state
from fastbp.errors import LARGEST_INTEGER, OptionError, check_integer, check_seed, shown
from fastbp.initializers import weight_width
from fastbp.kernels.starting_parameters import derive_keys, draw_weights
from fastbp.specification import Specification

PURPOSES = {"starting parameters": 0, "training": 1}
"""What keys are for. Two purposes draw different numbers from the same seed."""

Seed = int | ArrayLike | None
"""One seed for a population, or one for each of its networks; None is a different one each time."""


def check_seeds(seed: Seed, n_networks: int) -> int | np.ndarray | None:
    """Return a seed, or the states of the generators of networks that have a seed each.

    Returns
    -------
    int, None or uint64[n_networks]
        States are those that `fastbp.train` has with these seeds.
    """
    if seed is None or isinstance(seed, int | np.integer):
        return check_seed(seed)
    try:
        seeds = list(seed)  # type: ignore[arg-type]
    except TypeError:
        return check_seed(seed)  # it says what a seed may be
    if isinstance(seed, str | bytes) or len(seeds) != n_networks:
        raise OptionError(
            f"seed is {shown(seed)}, and must be an integer, or a sequence of {n_networks} integers: "
            "one for each network"
        )
    states = [
        generator_state(check_integer(f"seed[{i}]", one, 0, LARGEST_INTEGER)) for i, one in enumerate(seeds)
    ]
    return np.array(states, np.uint64)


def keys_of(seed: int | np.ndarray | None, purpose: str, indices: np.ndarray) -> np.ndarray:
    """Return the key of each network: a 64-bit number from which all its random numbers derive.

    Parameters
    ----------
    seed : int, None or uint64[n_networks]
        As `check_seeds` returns it. If each network has a seed, its index counts for nothing.
    purpose : str
        One of `PURPOSES`.
    indices : int64[n_networks]
        The networks' global indices.

    Returns
    -------
    uint64[n_networks]
    """
    if isinstance(seed, np.ndarray):
        states, indices = seed, np.zeros_like(indices)
    else:
        states = np.array([generator_state(seed)], np.uint64)
    keys = np.empty(indices.size, np.uint64)
    derive_keys(states, PURPOSES[purpose], indices, keys)
    return keys


def draw_parameters(specification: Specification, theta: np.ndarray, keys: np.ndarray) -> None:
    """Draw the weights of every network as its initializer says; biases stay 0."""
    layers = specification.layers
    widths = [weight_width(specification.initializer, layer.n_in, layer.n_out) for layer in layers]
    spans = [(layer.w_at, layer.w_at + layer.n_in * layer.n_out) for layer in layers]
    draw_weights(
        theta,
        keys,
        np.array(spans, np.int64),
        np.array([width for width, _ in widths]),
        widths[0][1],
    )
