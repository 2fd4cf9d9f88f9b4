"""Slots: for each sample, the rows of the guess table that it used at its last visit, for `fused222_guess`.

A *slot* has a row for the two hidden neurons, and one for the two output neurons. A row consists of the
centres and then six coefficients, each a vector of two lanes, one lane a neuron. A slot whose centres are NaN
is empty.
"""

import numpy as np

from fastbp._jit import helper, routine
from fastbp.kernels.sigmoid_table import CENTRE, LIMIT, A, B, guess_row, saturated_sigmoid
from fastbp.simd import all_within, element, fma, lane, load, pair, splat, store

SLOT = 32
"""Numbers in a slot: 14 of the hidden layer and two of padding, then as many of the output layer."""


@helper
def polynomial(e, slots, o):
    """Return P, q and Q: at the distance e, the row at o has the value P + q Q (Estrin's scheme)."""
    q = e * e
    P = fma(load(slots, o + 4, 2), e, load(slots, o + 2, 2))
    middle = fma(load(slots, o + 8, 2), e, load(slots, o + 6, 2))
    return P, q, fma(fma(load(slots, o + 12, 2), e, load(slots, o + 10, 2)), q, middle)


@helper
def column(table, i, j):
    """Return the numbers at i and j."""
    return pair(element(table, i), element(table, j))


@helper
def write_constant(slots, o, value):
    """Write a row whose polynomial has this value at the distance 0; the slot stays empty."""
    store(slots, o, splat(np.nan, value))
    store(slots, o + 2, value)
    for k in range(1, 6):
        store(slots, o + 2 + 2 * k, splat(0.0, value))


@routine
def saturated_hidden(z):
    """Return s(z) where the tables end."""
    return pair(saturated_sigmoid(lane(z, 0)), saturated_sigmoid(lane(z, 1)))


@routine
def saturated_delta(z, t):
    """Return d(z) = (s(z) - t) s'(z) where the tables end, with s'(z) = s(z) s(-z)."""
    y = saturated_hidden(z)
    return (y - t) * (y * saturated_hidden(splat(0.0, z) - z))


@helper
def hidden_fetch(z, table, slots, o):
    """Write the row of s(z) to the slot, and return its centres; beyond the table, a constant and z itself.

    The coefficients are read there again: in registers, they would take the places of what a step waits for.
    """
    if not all_within(z, splat(LIMIT, z)):
        write_constant(slots, o, saturated_hidden(z))
        return z
    i, j = guess_row(lane(z, 0)), guess_row(lane(z, 1))
    centres = column(table, i + CENTRE, j + CENTRE)
    store(slots, o, centres)
    for k in range(6):
        store(slots, o + 2 + 2 * k, column(table, i + k, j + k))
    return centres


@helper
def output_fetch(z, t, table, slots, o):
    """Do for d(z) = (s(z) - t) s'(z) = A(z) - t B(z) what `hidden_fetch` does for s(z)."""
    if not all_within(z, splat(LIMIT, z)):
        write_constant(slots, o, saturated_delta(z, t))
        return z
    i, j = guess_row(lane(z, 0)), guess_row(lane(z, 1))
    centres = column(table, i + CENTRE, j + CENTRE)
    store(slots, o, centres)
    for k in range(6):
        A_k, B_k = column(table, i + A + k, j + A + k), column(table, i + B + k, j + B + k)
        store(slots, o + 2 + 2 * k, A_k - t * B_k)
    return centres
