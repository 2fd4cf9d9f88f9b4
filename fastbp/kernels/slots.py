"""Slots: for each sample, the rows of the guess table that it used at its last visit, for `fused222_fast`.

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
def polynomial(e, k0, k1, k2, k3, k4, k5):
    """Return P, q and Q: the value of the polynomial at the distance e is P + q Q (Estrin's scheme)."""
    q = e * e
    return fma(k1, e, k0), q, fma(fma(k5, e, k4), q, fma(k3, e, k2))


@helper
def slot_read(slots, o):
    """Return the centres and the six coefficients of a layer."""
    return (
        load(slots, o, 2),
        load(slots, o + 2, 2),
        load(slots, o + 4, 2),
        load(slots, o + 6, 2),
        load(slots, o + 8, 2),
        load(slots, o + 10, 2),
        load(slots, o + 12, 2),
    )


@helper
def slot_write(slots, o, row):
    """Store what `slot_read` returns."""
    c, k0, k1, k2, k3, k4, k5 = row
    store(slots, o, c)
    store(slots, o + 2, k0)
    store(slots, o + 4, k1)
    store(slots, o + 6, k2)
    store(slots, o + 8, k3)
    store(slots, o + 10, k4)
    store(slots, o + 12, k5)


@helper
def column(table, i, j, k):
    """Return column k of the rows that start at i and j."""
    return pair(element(table, i + k), element(table, j + k))


@helper
def hidden_row(z, table):
    """Return the centres and coefficients of s(z)."""
    i, j = guess_row(lane(z, 0)), guess_row(lane(z, 1))
    return (
        column(table, i, j, CENTRE),
        column(table, i, j, 0),
        column(table, i, j, 1),
        column(table, i, j, 2),
        column(table, i, j, 3),
        column(table, i, j, 4),
        column(table, i, j, 5),
    )


@helper
def delta_column(table, i, j, k, t):
    """Return coefficient k of A - t B."""
    return column(table, i, j, A + k) - t * column(table, i, j, B + k)


@helper
def output_row(z, t, table):
    """Return the centres and coefficients of d(z) = (s(z) - t) s'(z) = A(z) - t B(z)."""
    i, j = guess_row(lane(z, 0)), guess_row(lane(z, 1))
    return (
        column(table, i, j, CENTRE),
        delta_column(table, i, j, 0, t),
        delta_column(table, i, j, 1, t),
        delta_column(table, i, j, 2, t),
        delta_column(table, i, j, 3, t),
        delta_column(table, i, j, 4, t),
        delta_column(table, i, j, 5, t),
    )


@helper
def beyond_table(z, value):
    """Return the row of a constant: distance 0 from z itself, where the polynomial has `value`."""
    zero = splat(0.0, z)
    return z, value, zero, zero, zero, zero, zero


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
    """Return the row for z, and write it to the slot; beyond the table a constant, and empty the slot."""
    if all_within(z, splat(LIMIT, z)):
        row = hidden_row(z, table)
        slot_write(slots, o, row)
    else:
        row = beyond_table(z, saturated_hidden(z))
        store(slots, o, splat(np.nan, z))
    return row


@helper
def output_fetch(z, t, table, slots, o):
    """Do for the output layer what `hidden_fetch` does for the hidden one."""
    if all_within(z, splat(LIMIT, z)):
        row = output_row(z, t, table)
        slot_write(slots, o, row)
    else:
        row = beyond_table(z, saturated_delta(z, t))
        store(slots, o, splat(np.nan, z))
    return row
