"""Updates of items by the optimizer, and the W^T that the next backward pass reads."""

from fastbp._jit import routine
from fastbp.kernels.gradients import item_at, item_size
from fastbp.kernels.product import whole_vectors
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
    transpose_block,
    wide,
    wide_load,
    wide_splat,
)


@routine
def update_item(job, item, gradient, l2):
    """Update an item by the optimizer's rule, and copy its rows to W^T."""
    layer, first, rows = get(item, "layer"), get(item, "first"), get(item, "rows")
    at, distance = item_at(job, item), of(job, "W_row", layer)
    if first < 0:
        l2 = 0.0
    n = whole_vectors(of(job, "size", layer + 1), gradient)
    runs, length = (1, rows * distance) if n == distance else (rows, n)
    for r in range(runs):
        update(
            get(job, "rule"),
            get(job, "constants"),
            l2,
            shifted(get(job, "theta"), at + r * distance),
            shifted(gradient, r * distance),
            shifted(get(job, "state"), at + r * distance),
            get(job, "n_packed"),
            length,
        )
    if first >= 0 and layer > 0:
        transpose(job, layer, first, rows)


@routine
def transpose(job, layer, first, rows):
    """Copy rows of W_l to columns of W_l^T, in whole vectors. Beyond the end of W there are zeros."""
    theta, transposed = of(job, "W", layer), of(job, "WT", layer)
    distance, transposed_row = of(job, "W_row", layer), of(job, "WT_row", layer)
    step = wide(theta)
    for i in range(first, first + rows, step):
        for j in range(0, of(job, "size", layer + 1), step):
            transpose_block(
                theta, i * distance + j, distance, transposed, j * transposed_row + i, transposed_row
            )


@routine
def renew_transposes(job):
    """Copy all W to W^T. A job needs this once, because every update copies its own rows."""
    items = get(job, "items")
    k = take(job, -1)
    while k < get(job, "n_items"):
        item = nth(items, k)
        layer, first = get(item, "layer"), get(item, "first")
        if layer > 0 and first >= 0:
            transpose(job, layer, first, get(item, "rows"))
        k = take(job, k)


@routine
def update_all(job):
    """Update every item by the optimizer's rule, with the gradient in the first partial sum."""
    items, numbers = get(job, "items"), get(job, "numbers")
    clips = get(job, "clips") != 0
    l2 = 0.0 if clips else get(numbers, "step_l2")  # clipping has added it
    k = take(job, -1)
    while k < get(job, "n_items"):
        item = nth(items, k)
        gradient = shifted(get(job, "gradient"), item_at(job, item))
        if clips:
            scale = wide_splat(get(numbers, "clip_scale"), gradient)
            factor = wide_splat(get(numbers, "clip_factor"), gradient)
            for o in range(0, item_size(job, item), wide(gradient)):
                store(gradient, o, factor * (scale * wide_load(gradient, o)))
        update_item(job, item, gradient, l2)
        k = take(job, k)
