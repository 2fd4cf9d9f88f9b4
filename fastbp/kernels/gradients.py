"""Gradients of items from the rows of tiles, their sums, and the norm to which they are clipped.

Gradients of tiles are added in pairs, pairs of pairs, and so on. So rounding errors grow with the logarithm
of the number of tiles. (Added one after the other, the gradients of a million equal rows were 0.7 % off in
float32.) A *partial sum* is the gradient of 1, 2, 4, ... tiles. It waits until there is another one of as
many tiles, and then both are added. So after i tiles there are as many partial sums as i has binary ones.
"""

import math

import numpy as np

from fastbp._jit import helper, routine
from fastbp.kernels.elementwise import (
    SMALLEST_NORMAL,
    at_least,
    at_most,
    constant,
    minus,
)
from fastbp.kernels.gradient_product import asking_product, asks_ahead, in_strips, strip_product
from fastbp.kernels.nonzero import nonzero_product
from fastbp.kernels.product import (
    clear_beyond,
    is_small,
    product_and_sum,
    product_of_columns,
    whole_vectors,
)
from fastbp.kernels.records import (
    get,
    input_at,
    nth,
    of,
    outputs_of,
    write,
)
from fastbp.kernels.rows import column_bits
from fastbp.kernels.steps import take
from fastbp.simd import (
    exponent,
    fma,
    lane_max,
    lane_sum,
    magnitude,
    scaled,
    shifted,
    splat,
    store,
    where_less,
    wide,
    wide_load,
    wide_splat,
)

HIGHEST_EXPONENT = constant(126.0, 1022.0)
"""The highest k for which 2^-k is a normal number."""


@routine
def sum_rows(d, distance, rows, n, init, out):
    """Write init plus the sum over the rows of n columns, whole vectors, to `out`."""
    step = wide(d)
    j = 0
    while j + 4 * step <= n:
        s0, s1 = wide_load(init, j), wide_load(init, j + step)
        s2, s3 = wide_load(init, j + 2 * step), wide_load(init, j + 3 * step)
        for o in range(j, j + rows * distance, distance):
            s0, s1 = s0 + wide_load(d, o), s1 + wide_load(d, o + step)
            s2, s3 = s2 + wide_load(d, o + 2 * step), s3 + wide_load(d, o + 3 * step)
        store(out, j, s0)
        store(out, j + step, s1)
        store(out, j + 2 * step, s2)
        store(out, j + 3 * step, s3)
        j += 4 * step
    while j < n:
        total, o = wide_load(init, j), j
        for _ in range(rows // 4):
            total = total + wide_load(d, o) + wide_load(d, o + distance)
            total = total + wide_load(d, o + 2 * distance) + wide_load(d, o + 3 * distance)
            o += 4 * distance
        for _ in range(rows % 4):
            total = total + wide_load(d, o)
            o += distance
        store(out, j, total)
        j += step


@routine
def item_gradient(job, area, item, sample, row, rows, add, strips, out):
    """Compute an item's gradient from rows of the tile at `sample`, and write it to `out` or add it there.

    `strips` is the memory that `strip_product` takes.
    """
    layer, first, m, zeros = get(item, "layer"), get(item, "first"), get(item, "rows"), get(job, "zeros")
    d, d_row = outputs_of(job, area, "delta_at", layer + 1, row), of(job, "row", layer + 1)
    n, n_biases, biases = item_columns(job, item, d), biases_in(job, item), out
    n_out = whole_vectors(of(job, "size", layer + 1), d)
    in_one_loop = first >= 0 and n_biases > 0 and not add and is_small(m, n, n_out, d)
    if n_biases > 0 and not in_one_loop:
        sum_rows(d, d_row, rows, n_out, out if add else zeros, out)
    out = shifted(out, n_biases)
    if first < 0:
        return
    init = out if add else zeros
    out_row = item_row(job, item)
    x, x_row = input_at(job, area, layer, sample, row), of(job, "row", layer)
    init_row, is_transposed = out_row if add else 0, of(job, "is_transposed", layer) != 0
    if is_transposed:  # dW^T = D^T A
        x, x_row, d, d_row = d, d_row, x, x_row
    x = shifted(x, first)
    if in_one_loop:
        e, e_row = outputs_of(job, area, "delta_at", layer + 1, row), of(job, "row", layer + 1)
        product_and_sum(m, n, rows, x, x_row, d, d_row, init, out, out_row, n_out, e, e_row, biases)
    elif layer == 0 and get(job, "skips_zeros") != 0:
        bits, one, of_8 = column_bits(job, area, first, row), np.int64(1), 8 * get(job, "row_bytes")
        nonzero_product(m, n, rows, x, one, x_row, bits, one, of_8, d, d_row, init, init_row, out, out_row)
    elif in_strips(n, rows, out):
        soon = updated_after(job, item, out)
        strip_product(m, n, rows, x, x_row, d, d_row, init, init_row, out, out_row, strips, soon)
    elif asks_ahead(n, rows, get(job, "n_packed"), out):
        soon = updated_after(job, item, out)
        asking_product(m, n, rows, x, x_row, d, d_row, init, init_row, out, out_row, soon)
    else:
        product_of_columns(m, n, rows, x, x_row, d, d_row, init, init_row, out, out_row)
    if is_transposed:  # A is not 0 beyond its last column: sigmoid(0) is 1/2
        for o in range(0, get(item, "rows") * out_row, out_row):
            clear_beyond(shifted(out, o), of(job, "size", layer), n)


@helper
def updated_after(job, item, gradient):
    """Return three addresses of what is updated as soon as the gradient of an item is known.

    If that is done later, it is the gradient itself.
    """
    if get(job, "n_partial_sums") > 0:
        return gradient, gradient, gradient
    at = item_at(job, item) + biases_in(job, item)
    state = shifted(get(job, "state"), at)
    return shifted(get(job, "theta"), at), state, shifted(state, get(job, "n_packed"))


@helper
def item_at(job, item):
    """Return where an item's parameters begin in the packed vectors."""
    layer, first = get(item, "layer"), get(item, "first")
    begins_with_b = first < 0 or get(item, "takes_b") != 0
    return of(job, "b_at", layer) if begins_with_b else of(job, "W_at", layer) + first * item_row(job, item)


@helper
def biases_in(job, item):
    """Return how many numbers at the beginning of an item are biases."""
    layer = get(item, "layer")
    has_b = get(item, "first") < 0 or get(item, "takes_b") != 0
    return of(job, "W_at", layer) - of(job, "b_at", layer) if has_b else 0


@helper
def item_row(job, item):
    """Return the distance between rows of an item in a packed vector."""
    layer = get(item, "layer")
    return of(job, "W_row", layer) if get(item, "first") < 0 else of(job, "packed_row", layer)


@helper
def item_columns(job, item, like):
    """Return the numbers of a row of an item, as whole vectors of the type at the address `like`."""
    layer = get(item, "layer")
    rows_are_inputs = get(item, "first") >= 0 and of(job, "is_transposed", layer) != 0
    return whole_vectors(of(job, "size", layer if rows_are_inputs else layer + 1), like)


@helper
def item_size(job, item):
    """Return how many numbers an item is, from its first to the end of its last row."""
    if get(item, "first") < 0:
        return biases_in(job, item)
    return biases_in(job, item) + get(item, "rows") * item_row(job, item)


@helper
def n_ones(i):
    """Return how many binary ones a number has."""
    count = 0
    while i > 0:
        i &= i - 1
        count += 1
    return count


@routine
def add_item_gradient(job, area, item, sample, row, rows, i, first_sum, strips):
    """Add an item's gradient from tile i to those of the tiles before, in pairs.

    `first_sum` is the number of the first partial sum of these tiles, `strips` memory of this thread.
    """
    distance = get(job, "n_packed")
    waiting = n_ones(i)
    last = waiting - 1 if i % 2 == 1 else waiting  # the second of two tiles is added at once
    gradient = shifted(get(job, "gradient"), (first_sum + last) * distance + item_at(job, item))
    item_gradient(job, area, item, sample, row, rows, i % 2 == 1, strips, gradient)
    after = n_ones(i + 1)
    if last >= after:
        n_sums = last - after + 2
        gradient = shifted(get(job, "gradient"), (first_sum + after - 1) * distance + item_at(job, item))
        add_sums(gradient, distance, n_sums, item_size(job, item))


@routine
def add_sums(gradient, distance, n_sums, n):
    """Add partial sums of n numbers, `distance` apart, to the first one, from the last to the first."""
    for k in range(0, n, wide(gradient)):
        total = wide_load(shifted(gradient, (n_sums - 1) * distance), k)
        for i in range(n_sums - 2, -1, -1):
            total = total + wide_load(shifted(gradient, i * distance), k)
        store(gradient, k, total)


@routine
def add_partial_sums(job, thread, rows, group_rows):
    """Add all partial sums of all groups to the first one, item by item. A group has `group_rows` rows."""
    items, tile, n_groups = get(job, "items"), get(job, "tile_rows"), (rows + group_rows - 1) // group_rows
    distance = get(job, "n_packed")
    n_items = get(job, "n_items")
    k = take(job, thread, -1, n_items)
    while k < n_items:
        item = nth(items, k)
        for group in range(n_groups):
            at = group * get(job, "n_partial_sums") * distance + item_at(job, item)
            n_tiles = (min(group_rows, rows - group * group_rows) + tile - 1) // tile
            add_sums(shifted(get(job, "gradient"), at), distance, n_ones(n_tiles), item_size(job, item))
        first = shifted(get(job, "gradient"), item_at(job, item))
        add_sums(first, get(job, "n_partial_sums") * distance, n_groups, item_size(job, item))
        k = take(job, thread, k, n_items)


@helper
def sum_of_squares(numbers, start, end, scale):
    """Return the sum of the squares of numbers from `start` to `end`, whole vectors, each times `scale`."""
    total = wide_splat(0.0, numbers)
    for o in range(start, end, wide(numbers)):
        v = scale * wide_load(numbers, o)
        total = fma(v, v, total)
    return np.float64(lane_sum(total))


@routine
def clip(job):
    """Add the gradient of the l2 term, and write the factors that bring the norm down to `clip_norm`.

    All trained parameters count. The gradient is first scaled by a power of 2 to numbers of about 1, whose
    squares neither overflow nor vanish.
    """
    numbers, items = get(job, "numbers"), get(job, "items")
    l2 = get(numbers, "step_l2")
    largest = wide_splat(0.0, get(job, "zeros"))
    for k in range(get(job, "n_items")):
        item = nth(items, k)
        at = item_at(job, item)
        g, w = shifted(get(job, "gradient"), at), shifted(get(job, "theta"), at)
        n_biases = biases_in(job, item)
        for o in range(0, item_size(job, item), wide(g)):
            decay = wide_splat(0.0 if o < n_biases else l2, g)
            v = wide_load(g, o) + decay * wide_load(w, o)
            store(g, o, v)
            size = magnitude(v)
            largest = where_less(size, largest, largest, size)  # NaN stays
    top = at_least(splat(lane_max(largest), largest), SMALLEST_NORMAL(largest))
    scale = scaled(splat(1.0, largest), minus(at_most(exponent(top), HIGHEST_EXPONENT(largest))))
    squares = 0.0
    for k in range(get(job, "n_items")):
        item = nth(items, k)
        g = shifted(get(job, "gradient"), item_at(job, item))
        n_biases = biases_in(job, item)
        squares += sum_of_squares(g, n_biases, item_size(job, item), scale)
        squares += sum_of_squares(g, 0, n_biases, scale)
    norm, power = math.sqrt(squares), np.float64(lane_max(scale))
    limit = get(numbers, "clip_norm")
    is_larger = norm > limit * power
    write(numbers, "clip_scale", power if is_larger else 1.0)
    write(numbers, "clip_factor", limit / norm if is_larger else 1.0)
