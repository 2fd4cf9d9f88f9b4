"""Softmax with cross-entropy inside kernels: exponentials, losses, deltas, of rows and of blocks of rows."""

import math

import numpy as np

from fastbp._jit import helper, routine
from fastbp.kernels.elementwise import at_least, at_most, constant, exp, log
from fastbp.kernels.fields import IN_ORDER
from fastbp.kernels.records import get, has, of, own
from fastbp.kernels.samples import sample_at, shifted_to_batch, weight_of
from fastbp.simd import (
    converted,
    element,
    first_lanes,
    fma,
    lane_max,
    lane_sum,
    masked_load,
    put,
    shifted,
    small_numbers,
    small_numbers_at,
    splat,
    store,
    transpose_4_columns,
    transpose_4_rows,
    transpose_block,
    where_equal,
    where_less,
    wide,
    wide_load,
    wide_splat,
)

SMALLEST_COST = constant(2.0**-23, 2.0**-52)
LARGEST_COST = constant(23 * math.log(2), 52 * math.log(2))
"""-log p of probabilities that lie an epsilon of the type below 1, and above 0."""


@helper
def exponentials(z, columns, a):
    """Write e^(z_j - m), with m = max_k z_k, to a row of whole vectors at `a`; return m and their sum."""
    step = wide(z)
    lowest = wide_splat(-np.inf, z)
    top = lowest
    for j in range(0, columns, step):
        v = first_lanes(columns - j, wide_load(z, j), lowest)
        top = where_less(v, top, top, v)  # NaN stays
    largest = lane_max(top)
    total = wide_splat(0.0, z)
    for j in range(0, columns, step):
        v = first_lanes(columns - j, wide_load(z, j), lowest)
        power = exp(v - splat(largest, v))
        store(a, j, power)
        total = total + power
    return largest, lane_sum(total)


@helper
def clipped(cost):
    """Return -log p, with p at least the type's epsilon, and at most 1 minus that."""
    return at_most(at_least(cost, SMALLEST_COST(cost)), LARGEST_COST(cost))


MOST_BLOCK_COLUMNS = 64
"""The most outputs of `block_cross_entropy`: its vectors, two for each output, stay in an L1 cache."""


def block_numbers(columns: int, n: int) -> int:
    """Return how many numbers of scratch `block_cross_entropy` needs, for vectors of n lanes."""
    return n * (2 * (columns + n) + n + 4) if columns <= MOST_BLOCK_COLUMNS else 0


@routine
def block_cross_entropy(job, z, delta, distance, sample, factor, scratch):
    """Do what `cross_entropy` does, for labels and at most `MOST_BLOCK_COLUMNS` outputs, with a row a lane.

    The function transposes as many rows as a vector has lanes, and at the end transposes them back. A row
    alone would spend most of its time in reductions. A step of 4-10-3 with 16 rows took 0.30 us instead of
    0.45. If outputs fill more than one vector, their exponentials are added in the order of `cross_entropy`.
    """
    step = wide(z)
    columns = of(job, "size", get(job, "n_layers"))
    padded = (columns + step - 1) // step * step
    powers, zero = shifted(scratch, padded * step), wide_splat(0.0, z)
    labels = shifted(powers, padded * step)
    scales, gaps, logs = shifted(labels, step), shifted(labels, 2 * step), shifted(labels, 3 * step)
    weighted, narrow = has(job, "weights"), columns <= 4 < step
    if narrow:
        transpose_4_columns(z, 0, distance, scratch, 0, step)
        for j in range(4):
            store(powers, j * step, zero)
    else:
        for j in range(0, padded, step):
            transpose_block(z, j, distance, scratch, j * step, step)
        for j in range(columns * step, padded * step, step):
            store(powers, j, zero)
    top = wide_load(scratch, 0)
    for j in range(step, columns * step, step):
        v = wide_load(scratch, j)
        top = where_less(v, top, top, v)
    total = zero
    for j in range(0, columns * step, step):
        power = exp(wide_load(scratch, j) - top)
        store(powers, j, power)
        total = total + power
    if columns > step:
        total = sum_as_lanes(powers, padded, shifted(labels, 4 * step))
    label, scale = labels_from(job, sample, zero), wide_splat(factor, z)
    if weighted:
        for r in range(step):
            put(scales, r, own(job, weight_of(job, sample_at(job, sample + r)) * factor))
        scale = wide_load(scales, 0)
    ratio, chosen = scale / total, top
    for j in range(columns):
        number = wide_splat(j, z)
        d = ratio * wide_load(powers, j * step) - where_equal(label, number, scale, zero)
        store(powers, j * step, d)
        chosen = where_equal(label, number, wide_load(scratch, j * step), chosen)
    row_losses = shifted_to_batch(job, sample)
    # The logarithm before the transposing: its chain of operations takes as long, and the other way round a
    # step of 4-10-3 with 16 rows takes 3 % longer.
    cost = log(total) + (top - chosen)
    if columns <= step:
        if get(job, "as_scikit_learn") != 0:
            cost = clipped(cost)
        store(row_losses, 0, converted(cost, row_losses))
    else:
        store(gaps, 0, top - chosen)
        store(logs, 0, log(total))
    if narrow:
        transpose_4_rows(powers, 0, step, delta, 0, distance)
    else:
        for j in range(0, padded, step):
            transpose_block(powers, j * step, step, delta, j, distance)
    if columns <= step:
        if weighted:
            for r in range(step):
                put(row_losses, r, weight_of(job, sample_at(job, sample + r)) * element(row_losses, r))
    else:
        for r in range(step):
            put(row_losses, r, element(gaps, r))
        add_logarithms(job, sample, step, logs, row_losses)


@helper
def labels_from(job, sample, like):
    """Return the labels of samples from this position of the epoch on, as the numbers of a vector.

    They do not go through memory. A processor that loads a vector of numbers, which it has just written there
    one by one, waits until all of them have arrived: 4-10-3 with 16 rows took 5 to 10 % more time.
    """
    if get(job, "ordering") == IN_ORDER:
        return small_numbers(get(job, "labels"), sample, like)
    return small_numbers_at(
        get(job, "labels"), shifted(get(job, "order"), get(job, "order_at") + sample), like
    )


@helper
def sum_as_lanes(powers, n, scratch):
    """Return the sum of n vectors, added in the order in which a row's sum adds the n numbers.

    That is the order of `exponentials`: whole vectors of numbers are added, then the halves of their sum,
    then halves of halves. n is a multiple of the lanes; `scratch` has room for as many vectors as lanes.
    """
    step = wide(powers)
    for k in range(0, step * step, step):
        total = wide_load(powers, k)
        for j in range(k + step * step, n * step, step * step):
            total = total + wide_load(powers, j)
        store(scratch, k, total)
    half = step // 2
    while half:
        for k in range(0, half * step, step):
            store(scratch, k, wide_load(scratch, k) + wide_load(scratch, k + half * step))
        half //= 2
    return wide_load(scratch, 0)


@routine
def cross_entropy(job, z, delta, distance, sums, sample, rows, factor):
    """Do what `losses_and_deltas` does, for softmax with cross-entropy.

    The loss of a row is log sum_k e^(z_k - m) + rest. The logarithms are computed at the end, for a vector of
    rows at a time. With a label, dL/dz is the scaled softmax, except at the label.
    """
    step = wide(z)
    columns = of(job, "size", get(job, "n_layers"))
    labels, has_labels = get(job, "labels"), has(job, "labels")
    row_losses = shifted_to_batch(job, sample)
    zero = wide_splat(0.0, z)
    for r in range(rows):
        o = r * distance
        i = sample_at(job, sample + r)
        top, total = exponentials(shifted(z, o), columns, shifted(delta, o))
        put(sums, r, total)
        scale = own(job, weight_of(job, i) * factor)
        ratio = wide_splat(scale / total, z)
        if has_labels:
            for j in range(0, columns, step):
                store(delta, o + j, ratio * wide_load(delta, o + j))
            label = o + element(labels, i)
            put(delta, label, element(delta, label) - scale)
            put(row_losses, r, top - element(z, label))
        else:
            targets = shifted(get(job, "Y"), i * columns)
            rest = zero
            scales = wide_splat(scale, z)
            for j in range(0, columns, step):
                left = columns - j
                t = masked_load(targets, j, left, zero)
                d = fma(ratio, wide_load(delta, o + j), zero - scales * t)
                store(delta, o + j, first_lanes(left, d, zero))
                rest = rest + first_lanes(left, t * (wide_splat(top, z) - wide_load(z, o + j)), zero)
            put(row_losses, r, lane_sum(rest))
    for r in range(0, rows, step):
        store(sums, r, log(wide_load(sums, r)))
    add_logarithms(job, sample, rows, sums, row_losses)


@helper
def add_logarithms(job, sample, rows, logarithms, row_losses):
    """Add the logarithms of the sums of exponentials to the rests of losses, and weigh the losses."""
    for r in range(rows):
        weight = weight_of(job, sample_at(job, sample + r))
        cost = element(row_losses, r) + np.float64(element(logarithms, r))
        if get(job, "as_scikit_learn") != 0:
            cost = np.float64(clipped(own(job, cost)))
        put(row_losses, r, weight * cost)
