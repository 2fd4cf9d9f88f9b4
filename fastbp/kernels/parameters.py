"""Updates of items by the optimizer, and copies of W and W^T, of which only one is packed."""

from fastbp._jit import helper, routine
from fastbp.kernels.gradients import add_sums, biases_in, item_at, item_columns, item_row, item_size, n_ones
from fastbp.kernels.records import (
    get,
    nth,
    of,
)
from fastbp.kernels.steps import take
from fastbp.kernels.update import update
from fastbp.simd import (
    shifted,
    store,
    transpose_4_rows,
    transpose_block,
    wide,
    wide_load,
    wide_splat,
)


@helper
def update_part(job, l2, at, gradient, n):
    """Update n parameters, which begin at `at` in the packed vectors."""
    theta, state = shifted(get(job, "theta"), at), shifted(get(job, "state"), at)
    update(get(job, "rule"), get(job, "constants"), l2, theta, gradient, state, get(job, "n_packed"), n)


@routine
def update_item(job, item, gradient, l2):
    """Update an item by the optimizer's rule, and copy it to what is not packed: W^T, or W."""
    layer, first, rows = get(item, "layer"), get(item, "first"), get(item, "rows")
    at, distance = item_at(job, item), item_row(job, item)
    n, size = item_columns(job, item, gradient), item_size(job, item)
    if first < 0:
        l2 = 0.0
    n_biases = biases_in(job, item) if l2 != 0.0 else 0  # without l2, b and W are updated alike
    if n_biases > 0:
        update_part(job, 0.0, at, gradient, n_biases)
        at, gradient, size = at + n_biases, shifted(gradient, n_biases), size - n_biases
    if n == distance:
        update_part(job, l2, at, gradient, size)
    else:
        for r in range(rows):
            update_part(job, l2, at + r * distance, shifted(gradient, r * distance), n)
    if first >= 0 and layer > 0:
        transpose(job, layer, first, rows)


@routine
def transpose(job, layer, first, rows):
    """Copy rows of W_l to columns of W_l^T, or the other way round, in whole vectors.

    Beyond the last row there are zeros.
    """
    source, distance, columns = of(job, "W", layer), of(job, "W_row", layer), of(job, "size", layer + 1)
    target, target_row = of(job, "WT", layer), of(job, "WT_row", layer)
    if of(job, "is_transposed", layer) != 0:
        source, distance, target, target_row = target, target_row, source, distance
        columns = of(job, "size", layer)
    step = wide(source)
    if rows <= 4 < step:
        for j in range(0, columns, step):
            transpose_4_rows(
                source, first * distance + j, distance, target, j * target_row + first, target_row
            )
        return
    for i in range(first, first + rows, step):
        for j in range(0, columns, step):
            transpose_block(source, i * distance + j, distance, target, j * target_row + i, target_row)


@routine
def renew_transposes(job, thread):
    """Copy all W to W^T, or W^T to W. A job needs this once, because every update copies its own rows."""
    items = get(job, "items")
    n_items = get(job, "n_items")
    k = take(job, thread, -1, n_items)
    while k < n_items:
        item = nth(items, k)
        layer, first = get(item, "layer"), get(item, "first")
        if layer > 0 and first >= 0:
            transpose(job, layer, first, get(item, "rows"))
        k = take(job, thread, k, n_items)


@routine
def update_clipped(job, thread):
    """Update every item by the optimizer's rule, with the clipped gradient in the first partial sum."""
    items, numbers = get(job, "items"), get(job, "numbers")
    n_items = get(job, "n_items")
    k = take(job, thread, -1, n_items)
    while k < n_items:
        item = nth(items, k)
        gradient = shifted(get(job, "gradient"), item_at(job, item))
        scale = wide_splat(get(numbers, "clip_scale"), gradient)
        factor = wide_splat(get(numbers, "clip_factor"), gradient)
        for o in range(0, item_size(job, item), wide(gradient)):
            store(gradient, o, factor * (scale * wide_load(gradient, o)))
        update_item(job, item, gradient, 0.0)  # clipping has added the gradient of the l2 term
        k = take(job, thread, k, n_items)


UPDATED_VECTORS = 32
"""How many vectors of a gradient are added up and then updated.

The processor divides for the ones while it adds up the next ones.
"""


@routine
def add_and_update_all(job, thread, rows, group_rows):
    """Add all partial sums, as `add_partial_sums` does, and update the parameters a few at a time."""
    items, tile, n_groups = get(job, "items"), get(job, "tile_rows"), (rows + group_rows - 1) // group_rows
    step_l2, distance = get(get(job, "numbers"), "step_l2"), get(job, "n_packed")
    theta, state, gradient = get(job, "theta"), get(job, "state"), get(job, "gradient")
    group_distance = get(job, "n_partial_sums") * distance
    together = UPDATED_VECTORS * wide(theta)
    last_tiles = n_ones((min(group_rows, rows - (n_groups - 1) * group_rows) + tile - 1) // tile)
    tiles = n_ones((group_rows + tile - 1) // tile) if n_groups > 1 else last_tiles
    n_items = get(job, "n_items")
    k = take(job, thread, -1, n_items)
    while k < n_items:
        item = nth(items, k)
        layer, first, at = get(item, "layer"), get(item, "first"), item_at(job, item)
        row = item_row(job, item)
        n, end = item_columns(job, item, theta), at + item_size(job, item)
        l2_of_W = 0.0 if first < 0 else step_l2
        middle = at + biases_in(job, item) if l2_of_W != 0.0 else at
        while at < end:
            l2 = 0.0 if at < middle else l2_of_W
            length = middle - at if at < middle else (end - at if n == row else n)
            for o in range(at, at + length, together):
                there = min(together, at + length - o)
                for group in range(n_groups):
                    sums = tiles if group < n_groups - 1 else last_tiles
                    if sums > 1:
                        add_sums(shifted(gradient, group * group_distance + o), distance, sums, there)
                g = shifted(gradient, o)
                if n_groups > 1:
                    add_sums(g, group_distance, n_groups, there)
                w, s = shifted(theta, o), shifted(state, o)
                update(get(job, "rule"), get(job, "constants"), l2, w, g, s, distance, there)
            at += length if n == row or at < middle else row
        if first >= 0 and layer > 0:
            transpose(job, layer, first, get(item, "rows"))
        k = take(job, thread, k, n_items)
