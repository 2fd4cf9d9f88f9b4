"""Rows of a tile on their way through the network: forward pass, loss, and backward pass.

Legend as in `fastbp.kernels.layered`. No row needs another one.
"""

import numpy as np

from fastbp._jit import helper, routine
from fastbp.activations import SOFTMAX
from fastbp.kernels.elementwise import (
    activate,
    apply_slope,
)
from fastbp.kernels.fields import GRADIENT_ONLY, PREDICT, TRAIN, X_FLOAT32, X_OWN, X_UINT8
from fastbp.kernels.nonzero import (
    MOST_NONZERO,
    count_nonzero,
    mark_columns,
    mark_rows,
    nonzero_product,
)
from fastbp.kernels.output import losses_and_deltas, softmax
from fastbp.kernels.product import product, whole_vectors
from fastbp.kernels.records import (
    get,
    input_at,
    of,
    outputs_of,
    own,
    typed,
    work_area,
    write,
)
from fastbp.kernels.samples import inverse, sample_at
from fastbp.kernels.shuffle import hashed
from fastbp.losses import CATEGORICAL_CROSS_ENTROPY
from fastbp.memory import LINE
from fastbp.processor import WIDTH
from fastbp.simd import (
    as_bytes,
    element,
    prefetch,
    put,
    shifted,
    store,
    wide,
    wide_load,
)

SAMPLES_AHEAD = 4
"""Samples between the one that is copied and the one that is asked for: no processor foresees their order.

A fit of 784-100-10 to 5,000 samples takes 1.5 % less.
"""


@routine
def gather(job, area, sample, row, rows):
    """Copy rows of X to boundary 0, in the network's type."""
    columns, distance, stride = of(job, "size", 0), get(job, "X_row"), get(job, "X_column")
    kind = get(job, "X_kind")
    for r in range(rows):
        target = outputs_of(job, area, "a_at", 0, row + r)
        start = sample_at(job, sample + row + r) * distance
        if kind == X_OWN and stride == 1:
            source = shifted(typed(job, "X", "own*"), start)
            coming = sample_at(job, sample + row + min(r + SAMPLES_AHEAD, rows - 1)) * distance - start
            for j in range(0, columns, LINE * wide(target) // WIDTH):
                prefetch(source, coming + j)
            for j in range(columns):
                put(target, j, element(source, j))
        elif kind == X_OWN:
            source = shifted(typed(job, "X", "own*"), start)
            for j in range(columns):
                put(target, j, element(source, j * stride))
        elif kind == X_UINT8:
            bytes_ = shifted(typed(job, "X", "uint8*"), start)
            for j in range(columns):
                put(target, j, element(bytes_, j * stride))
        elif kind == X_FLOAT32:
            singles = shifted(typed(job, "X", "float32*"), start)
            for j in range(columns):
                put(target, j, element(singles, j * stride))
        else:  # X_FLOAT64
            numbers = shifted(typed(job, "X", "float64*"), start)
            for j in range(columns):
                put(target, j, element(numbers, j * stride))


@routine
def drop(job, area, boundary, sample, row, rows):
    """Set activations to 0 at random, and divide the others by the probability of being kept.

    This is inverted dropout. Which ones are kept depends on the run's seed, the step, the sample's place in
    the batch, and the neuron, and on nothing else.
    """
    keep = get(get(job, "numbers"), "keep_probability")
    threshold = np.uint64(keep * 2.0**53)
    counters = get(job, "counters")
    step_key = hashed(element(get(job, "generator"), 1), get(counters, "step"))
    columns = of(job, "size", boundary)
    kept, dropped = own(job, 1.0 / keep), own(job, 0.0)
    for r in range(rows):
        a = outputs_of(job, area, "a_at", boundary, row + r)
        masks = outputs_of(job, area, "mask_at", boundary, row + r)
        out = outputs_of(job, area, "dropped_at", boundary, row + r)
        place = sample + row + r - get(counters, "row")
        key = hashed(step_key, place * get(job, "n_layers") + boundary)
        for j in range(columns):
            factor = kept if (hashed(key, j) >> np.uint64(11)) < threshold else dropped
            put(masks, j, factor)
            put(out, j, factor * element(a, j))


@helper
def row_bits(job, area, row):
    """Return the address of the bits of a row of the tile."""
    return shifted(as_bytes(shifted(area, get(job, "row_bits_at"))), row * get(job, "row_bytes"))


@helper
def column_bits(job, area, column, row):
    """Return the address of the bits of a column of the tile's inputs, from a row on: a multiple of 8."""
    start = as_bytes(shifted(area, get(job, "column_bits_at")))
    return shifted(start, row * get(job, "row_bytes") + column)


@helper
def mark(job, area, x, distance, row, rows):
    """Write which inputs of rows are not 0, by rows and by columns; return the address of the rows' bits."""
    bits, row_bytes = row_bits(job, area, row), get(job, "row_bytes")
    mark_rows(x, distance, rows, of(job, "size", 0), bits, row_bytes)
    if get(job, "mode") in (TRAIN, GRADIENT_ONLY):
        mark_columns(bits, row_bytes, rows, column_bits(job, area, 0, row))
    return bits


PROBED_SAMPLES = 8
"""The samples in which zeros are counted, before it is decided whether to leave them out."""


@routine
def look_for_zeros(job, area):
    """Decide whether layer 0 leaves out inputs that are 0. No result depends on this, but the time does."""
    if get(job, "row_bytes") == 0:
        return
    n_samples, n, count = get(job, "n_samples"), of(job, "size", 0), 0
    n_probed = min(PROBED_SAMPLES, n_samples)
    first, one = np.int64(0), np.int64(1)  # no literals: `gather` is not compiled once more
    for i in range(n_probed):
        sample = i * n_samples // n_probed
        if get(job, "X_in_place") == 0:
            gather(job, area, sample, first, one)
        count += count_nonzero(input_at(job, area, 0, sample, 0), n)
    write(job, "skips_zeros", count <= MOST_NONZERO * n_probed * n)


@routine
def forward(job, area, sample, row, rows):
    """Compute the activations of rows of the tile that begins at position `sample` of the epoch."""
    if get(job, "X_in_place") == 0:
        gather(job, area, sample, row, rows)
    n_layers = get(job, "n_layers")
    for layer in range(n_layers):
        n_in, code = of(job, "size", layer), of(job, "activation", layer + 1)
        z, a = outputs_of(job, area, "z_at", layer + 1, row), outputs_of(job, area, "a_at", layer + 1, row)
        n_out, distance = whole_vectors(of(job, "size", layer + 1), a), of(job, "row", layer + 1)
        x, x_row = input_at(job, area, layer, sample, row), of(job, "row", layer)
        weights, biases, W_row = of(job, "W", layer), of(job, "b", layer), of(job, "W_row", layer)
        if layer == 0 and get(job, "skips_zeros") != 0:
            bits, row_bytes = mark(job, area, x, x_row, row, rows), get(job, "row_bytes")
            one, none = np.int64(1), np.int64(0)  # no literals: the gradient calls the same function
            nonzero_product(
                rows,
                n_out,
                n_in,
                x,
                x_row,
                one,
                bits,
                row_bytes,
                one,
                weights,
                W_row,
                biases,
                none,
                z,
                distance,
            )
        else:
            product(rows, n_out, n_in, x, x_row, 1, weights, W_row, biases, 0, z, distance)
        if code == SOFTMAX:
            if get(job, "mode") == PREDICT or get(job, "loss") != CATEGORICAL_CROSS_ENTROPY:
                softmax(z, distance, rows, of(job, "size", layer + 1), a)
        else:
            activate(code, z, a, rows * distance)
        if get(job, "drops") != 0 and layer < n_layers - 1:
            drop(job, area, layer + 1, sample, row, rows)


@routine
def backward(job, area, row, rows):
    """Propagate D_L down to D_1: D_l = (D_{l+1} W_l^T) f'(z_l)."""
    for layer in range(get(job, "n_layers") - 1, 0, -1):
        propagate(job, area, layer, row, rows)


@routine
def propagate(job, area, layer, row, rows):
    """Compute D_l from D_{l+1}."""
    above, below = (
        outputs_of(job, area, "delta_at", layer + 1, row),
        outputs_of(job, area, "delta_at", layer, row),
    )
    distance, n_out = of(job, "row", layer), of(job, "size", layer + 1)
    product(
        rows,
        whole_vectors(of(job, "size", layer), below),
        n_out,
        above,
        of(job, "row", layer + 1),
        1,
        of(job, "WT", layer),
        of(job, "WT_row", layer),
        get(job, "zeros"),
        0,
        below,
        distance,
    )
    if get(job, "drops") != 0:
        masks = outputs_of(job, area, "mask_at", layer, row)
        for k in range(0, rows * distance, wide(below)):
            store(below, k, wide_load(below, k) * wide_load(masks, k))
    a, z = outputs_of(job, area, "a_at", layer, row), outputs_of(job, area, "z_at", layer, row)
    apply_slope(of(job, "activation", layer), a, z, below, rows * distance)


@helper
def scratch_of(job, thread):
    """Return the address of a thread's scratch."""
    return shifted(work_area(job, thread), get(job, "scratch_at"))


@helper
def strips_of(job, thread):
    """Return the address of a thread's memory for strips of A^T."""
    return shifted(work_area(job, thread), get(job, "strips_at"))


@routine
def pass_rows(job, area, thread, sample, row, rows):
    """Take rows of a tile through forward pass, loss and backward pass."""
    factor = inverse(get(get(job, "totals"), "divisor"))
    forward(job, area, sample, row, rows)
    losses_and_deltas(job, area, sample, row, rows, factor, scratch_of(job, thread))
    backward(job, area, row, rows)
