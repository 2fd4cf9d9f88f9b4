"""Starting parameters of many networks: every number depends on its network's key and on its place alone.

The generator is counter-based, as that of Salmon, Moraes, Dror & Shaw (2011), "Parallel random numbers: as
easy as 1, 2, 3", https://doi.org/10.1145/2063384.2063405: a number is a hash of its place, and needs no
number before it. The hash is SplitMix64's: Steele, Lea & Flood (2014), "Fast splittable pseudorandom number
generators", https://doi.org/10.1145/2660193.2660195.
"""

import math

import numpy as np

from fastbp._jit import helper, kernel
from fastbp.kernels.shuffle import hashed

_BEYOND_COUNTS = 2**62
"""Word numbers from here on belong to purposes, and those below to networks."""


@kernel
def derive_keys(states, purpose, indices, keys):
    """Derive the key of each network from the state of a generator and the network's index.

    Parameters
    ----------
    states : uint64[n_networks] or uint64[1]
        One for each network, or one for all.
    purpose : int
        The keys of two purposes have nothing to do with each other.
    indices : int64[n_networks]
        From 0 to below 2^62.
    keys : uint64[n_networks], written
    """
    stride = np.int64(states.size > 1)
    for i in range(indices.size):
        root = hashed(states[i * stride], _BEYOND_COUNTS + purpose)
        keys[i] = hashed(root, indices[i])


@helper
def _fraction(word):
    """Return the upper 53 bits of a word as a number from 0 to below 1."""
    return np.float64(np.int64(word >> np.uint64(11))) * 2.0**-53


@helper
def _polar(key, j):
    """Return the polar coordinates of two normal numbers, from the words j and j + 1 of a key.

    Box & Muller (1958), https://doi.org/10.1214/aoms/1177706645.
    """
    radius = math.sqrt(-2.0 * math.log(_fraction(hashed(key, j)) + 2.0**-54))
    return radius, 2.0 * math.pi * _fraction(hashed(key, j + 1))


@kernel
def draw_weights(theta, keys, spans, widths, is_normal):
    """Draw every W of every network; b stays as it is.

    Parameters
    ----------
    theta : float[n_networks, n_parameters], C-contiguous, written
    keys : uint64[n_networks]
    spans : int64[n_layers, 2]
        Where W begins and ends in a row of theta.
    widths : float64[n_layers]
        The standard deviation of a layer's weights, or the largest value of uniform ones.
    is_normal : bool
    """
    for i in range(keys.size):
        key = keys[i]
        for layer in range(widths.size):
            width = widths[layer]
            begin, end = spans[layer, 0], spans[layer, 1]
            if is_normal:
                for j in range(begin, end, 2):
                    radius, angle = _polar(key, j)
                    theta[i, j] = width * (radius * math.cos(angle))
                    if j + 1 < end:
                        theta[i, j + 1] = width * (radius * math.sin(angle))
            else:
                for j in range(begin, end):
                    theta[i, j] = width * (2.0 * _fraction(hashed(key, j)) - 1.0)
