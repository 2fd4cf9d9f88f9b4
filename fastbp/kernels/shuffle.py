"""The order of the samples, drawn inside the kernels: `fastbp.reference.sample_order`, compiled."""

import numpy as np

from fastbp._jit import helper, kernel
from fastbp.kernels.calls_by_address import call_generator
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


@kernel
def shuffle_as_numpy(function, state, order, orders):
    """Shuffle as `numpy.random.RandomState.shuffle` does, once for each row of `orders`, and copy it there.

    Fisher and Yates's shuffle, from the last place to the second. The other place is drawn anew until it is
    not above the first one. This loop has no branch for that, which a processor would often guess wrong: a
    place that is refused is replaced by the first one. An order of 1,344 samples takes half of NumPy's time.

    Parameters
    ----------
    function, state : int
        The addresses of NumPy's function that returns 32 random bits, and of its argument.
    order : int64[n], written
    orders : int64[m, n], written
    """
    for row in range(len(orders)):
        i, mask = len(order) - 1, 1
        while mask < i:
            mask = 2 * mask + 1
        while i > 0:
            smallest = mask // 2 + 1  # the smallest number with as many binary digits as i
            while i >= smallest:
                drawn = call_generator(function, state) & mask
                orders[row, i] = drawn
                i -= drawn <= i
            mask //= 2
        for i in range(len(order) - 1, 0, -1):
            other = orders[row, i]
            here, there = order[i], order[other]
            order[i] = there
            order[other] = here
        for i in range(len(order)):
            orders[row, i] = order[i]
