"""The order of the samples, drawn inside the kernels: `fastbp.reference.sample_order`, compiled."""

import numpy as np

from fastbp._jit import helper
from fastbp.simd import element, high_word, put

_INCREMENT = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


@helper
def mixed(state):
    """Return SplitMix64's output for a state."""
    word = (state ^ (state >> np.uint64(30))) * _MIX_1
    word = (word ^ (word >> np.uint64(27))) * _MIX_2
    return word ^ (word >> np.uint64(31))


@helper
def next_word(generator):
    """Return the next word of SplitMix64, whose state is at the address `generator`, and advance it."""
    state = element(generator, 0) + _INCREMENT
    put(generator, 0, state)
    return mixed(state)


@helper
def hashed(key, n):
    """Return word n of the SplitMix64 sequence that starts at `key`. The words may be taken in any order."""
    return mixed(key + np.uint64(n + 1) * _INCREMENT)


@helper
def next_position(position, order, n_samples, generator, shuffle):
    """Return the position in `order` of the next sample, after -1 or the present position.

    With `shuffle`, one swap of Fisher and Yates's shuffle happens here, a step ahead of its use. So the
    processor draws while it waits for the arithmetic. To shuffle a whole epoch at its start would add 3 ns to
    every step. `order` and `generator` are addresses.
    """
    position += 1
    if position == n_samples:
        position = 0
    if shuffle:
        other = position + np.int64(high_word(next_word(generator), np.uint64(n_samples - position)))
        here, there = element(order, position), element(order, other)
        put(order, position, there)
        put(order, other, here)
    return position
