"""Any MLP, mini-batches and full batches: the training loop, and evaluation, in one kernel.

Legend: a batch of B rows, or a tile of them; layer l turns A_l (rows, n_l) into A_{l+1} = f(A_l W_l + b_l);
D_l = dL/dz of boundary l. See `fastbp.kernels.fields` for how arrays and sizes come in.

A step has two phases, with a barrier of the team after each:

1. *rows*: every thread takes its share of the batch's rows through forward pass, loss and backward pass, down
   to D_1. Rows know nothing of each other.
2. *parameters*: the rows of all W_l are items that threads take one by one: dW = A_l^T D_{l+1} for some rows,
   a few kilobytes, which the optimizer consumes while they are in cache. The new W is copied, transposed, to
   where the next backward pass finds it.

A batch that is larger than a tile goes tile by tile through both, the gradients adding up, and then the
optimizer takes all. If the parameters are few, there are *groups* of rows instead: each goes through
forward, backward and gradient by itself, tile by tile, all in one core's cache; then the groups' gradients
are added, from the first to the last.

How rows are divided into tiles and groups depends on the sizes alone, and an element of a product is the same
chain of operations wherever it is computed; so any number of threads gives the same bits.

Gradients of tiles are added in pairs, pairs of pairs, and so on, so that rounding errors grow with the
logarithm of the number of tiles. (Added one after the other, a million rows of float32 that agree were 0.7 %
off.) Sums of 1, 2, 4, ... tiles that wait for their like are in *slots*, like the ones of a binary number:
after i tiles as many slots are in use as i has binary ones.
"""

import math

import numpy as np

from fastbp._jit import helper, kernel, routine
from fastbp.activations import SOFTMAX
from fastbp.kernels.barrier import NEXT, atomic_add, barrier
from fastbp.kernels.elementwise import (
    SMALLEST_NORMAL,
    activate,
    apply_slope,
    at_least,
    at_most,
    constant,
    minus,
)
from fastbp.kernels.fields import (
    A_AT,
    A_ROW,
    B_AT,
    BATCH,
    BATCH_WEIGHT,
    CLIP_FACTOR,
    CLIP_NORM,
    CLIP_SCALE,
    CLIPS,
    CODE,
    CONSTANTS,
    COUNTERS,
    D_AT,
    DIRECT,
    DONE,
    DROPPED_AT,
    DROPS,
    END,
    EPOCH,
    EPOCH_LOSS,
    FIRST_STEP,
    GENERATOR,
    GRADIENT,
    GRADIENT_ONLY,
    HAS_TRANSPOSES,
    HYPER,
    ITEM_FIRST,
    ITEM_LAYER,
    ITEM_ROWS,
    ITEMS,
    KEEP_PROBABILITY,
    L2,
    LOSS,
    LOSS_ONLY,
    LOSS_SUM,
    LOSSES,
    MASK_AT,
    MODE,
    N_GROUPS,
    N_ITEM_FIELDS,
    N_ITEMS,
    N_LAYERS,
    N_PACKED,
    N_RATES,
    N_SAMPLES,
    N_SLOTS,
    N_THREADS,
    NOT_FINITE,
    NUMBERS,
    OPTIMIZER,
    ORDER,
    PIECE,
    POSITION,
    PREDICT,
    RATES,
    RECORD_EVERY,
    RECORDED,
    ROW,
    ROW_LOSSES,
    SCRATCH_AT,
    SEQUENTIAL,
    SHARED,
    SHUFFLES,
    SIZE,
    STATE_1,
    STATE_2,
    STEP,
    THETA,
    TILE,
    TOTALS,
    TRAIN,
    W_AT,
    W_ROW,
    WEIGHT_SUM,
    WEIGHTS,
    WT,
    WT_ROW,
    X_FLOAT32,
    X_KIND,
    X_OWN,
    X_ROW,
    X_STEP,
    X_UINT8,
    Z_AT,
    ZEROS,
    B,
    T,
    W,
    X,
    doubles,
    field,
    floats,
    in_packed,
    input_at,
    integers,
    of,
    outputs_of,
    work_area,
)
from fastbp.kernels.floating_point import FLUSHING, floating_point_state, set_floating_point_state
from fastbp.kernels.output import losses_and_deltas, sample_at, softmax, weight_of
from fastbp.kernels.product import product, whole_vectors
from fastbp.kernels.shuffle import hashed, next_position
from fastbp.kernels.update import step_constants, sum_slots, update
from fastbp.losses import CATEGORICAL_CROSS_ENTROPY
from fastbp.simd import (
    address,
    at_address,
    cast,
    element,
    exponent,
    fma,
    lane_max,
    lane_sum,
    magnitude,
    number_of,
    put,
    same_type,
    scaled,
    shifted,
    splat,
    store,
    transpose_block,
    where_less,
    wide,
    wide_load,
    wide_splat,
    zero_of,
)

ROWS_TOGETHER = 16
"""Threads share rows in multiples of this: whole vectors of every type."""

SUMMED_ROWS = 1024
"""Rows of a sequential step whose gradients are added one after the other: it has no tiles."""

HIGHEST_EXPONENT = constant(126.0, 1022.0)
"""The power of 2 of which the reciprocal is a normal number."""


# --- rows: forward and backward --------------------------------------------------------------------------


@routine
def gather(job, area, sample, row, rows, like):
    """Copy rows of X to boundary 0, in the network's type."""
    columns, distance, stride = of(job, 0, SIZE), field(job, X_ROW), field(job, X_STEP)
    kind = field(job, X_KIND)
    for r in range(rows):
        target = outputs_of(job, area, 0, A_AT, row + r)
        start = sample_at(job, sample + row + r) * distance
        if kind == X_OWN and stride == 1:
            source = shifted(floats(job, X, like), start)
            for j in range(columns):
                put(target, j, element(source, j))
        elif kind == X_OWN:
            source = shifted(floats(job, X, like), start)
            for j in range(columns):
                put(target, j, element(source, j * stride))
        elif kind == X_UINT8:
            bytes_ = shifted(at_address(field(job, X), np.uint8(0)), start)
            for j in range(columns):
                put(target, j, element(bytes_, j * stride))
        elif kind == X_FLOAT32:
            singles = shifted(at_address(field(job, X), np.float32(0)), start)
            for j in range(columns):
                put(target, j, element(singles, j * stride))
        else:  # X_FLOAT64
            numbers = shifted(at_address(field(job, X), np.float64(0)), start)
            for j in range(columns):
                put(target, j, element(numbers, j * stride))


@routine
def drop(job, area, boundary, sample, row, rows, like):
    """Keep an activation and divide it by the probability of that, or make it 0 (inverted dropout).

    What is kept depends on the run's seed, the step, the sample's place in the batch and the neuron alone.
    """
    keep = element(doubles(job, NUMBERS), KEEP_PROBABILITY)
    threshold = np.uint64(keep * 2.0**53)
    counters = integers(job, COUNTERS)
    step_key = hashed(element(at_address(field(job, GENERATOR), np.uint64(0)), 1), element(counters, STEP))
    columns = of(job, boundary, SIZE)
    kept, dropped = cast(1.0 / keep, like), cast(0.0, like)
    for r in range(rows):
        a = outputs_of(job, area, boundary, A_AT, row + r)
        masks = outputs_of(job, area, boundary, MASK_AT, row + r)
        out = outputs_of(job, area, boundary, DROPPED_AT, row + r)
        place = sample + row + r - element(counters, ROW)
        key = hashed(step_key, place * field(job, N_LAYERS) + boundary)
        for j in range(columns):
            factor = kept if (hashed(key, j) >> np.uint64(11)) < threshold else dropped
            put(masks, j, factor)
            put(out, j, factor * element(a, j))


@routine
def forward(job, area, sample, row, rows, like):
    """Compute the activations of rows of the tile that begins at position `sample` of the epoch."""
    if field(job, DIRECT) == 0:
        gather(job, area, sample, row, rows, like)
    n_layers = field(job, N_LAYERS)
    for layer in range(n_layers):
        n_in, code = of(job, layer, SIZE), of(job, layer + 1, CODE)
        z, a = outputs_of(job, area, layer + 1, Z_AT, row), outputs_of(job, area, layer + 1, A_AT, row)
        n_out, distance = whole_vectors(of(job, layer + 1, SIZE), a), of(job, layer + 1, A_ROW)
        x, x_row = input_at(job, area, layer, sample, row, like), of(job, layer, A_ROW)
        weights, biases = at_address(of(job, layer, W), like), at_address(of(job, layer, B), like)
        product(rows, n_out, n_in, x, x_row, 1, weights, of(job, layer, W_ROW), biases, 0, z, distance)
        if code == SOFTMAX:
            if field(job, MODE) == PREDICT or field(job, LOSS) != CATEGORICAL_CROSS_ENTROPY:
                softmax(z, distance, rows, of(job, layer + 1, SIZE), a)
        else:
            activate(code, z, a, rows * distance)
        if field(job, DROPS) != 0 and layer < n_layers - 1:
            drop(job, area, layer + 1, sample, row, rows, like)


@routine
def backward(job, area, row, rows, like):
    """Propagate D_L down to D_1: D_l = (D_{l+1} W_l^T) f'(z_l)."""
    for layer in range(field(job, N_LAYERS) - 1, 0, -1):
        propagate(job, area, layer, row, rows, like)


@routine
def propagate(job, area, layer, row, rows, like):
    """Compute D_l from D_{l+1}."""
    above, below = (
        outputs_of(job, area, layer + 1, D_AT, row),
        outputs_of(job, area, layer, D_AT, row),
    )
    distance, n_out = of(job, layer, A_ROW), of(job, layer + 1, SIZE)
    product(
        rows,
        whole_vectors(of(job, layer, SIZE), below),
        n_out,
        above,
        of(job, layer + 1, A_ROW),
        1,
        at_address(of(job, layer, WT), like),
        of(job, layer, WT_ROW),
        floats(job, ZEROS, like),
        0,
        below,
        distance,
    )
    if field(job, DROPS) != 0:
        masks = outputs_of(job, area, layer, MASK_AT, row)
        for k in range(0, rows * distance, wide(below)):
            store(below, k, wide_load(below, k) * wide_load(masks, k))
    a, z = outputs_of(job, area, layer, A_AT, row), outputs_of(job, area, layer, Z_AT, row)
    apply_slope(of(job, layer, CODE), a, z, below, rows * distance)


# --- parameters: gradients and updates -------------------------------------------------------------------


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
        total = wide_load(init, j)
        for o in range(j, j + rows * distance, distance):
            total = total + wide_load(d, o)
        store(out, j, total)
        j += step


@helper
def item_gradient(job, area, item, sample, row, rows, add, out, like):
    """Write an item's gradient, from rows of the tile that begins at `sample`, to `out`, or add it."""
    layer, first = element(item, ITEM_LAYER), element(item, ITEM_FIRST)
    d, d_row = outputs_of(job, area, layer + 1, D_AT, row), of(job, layer + 1, A_ROW)
    n, out_row = whole_vectors(of(job, layer + 1, SIZE), d), of(job, layer, W_ROW)
    init = out if add else floats(job, ZEROS, like)
    if first < 0:
        sum_rows(d, d_row, rows, n, init, out)
    else:
        x, x_row = input_at(job, area, layer, sample, row, like), of(job, layer, A_ROW)
        init_row = out_row if add else 0
        product(
            element(item, ITEM_ROWS),
            n,
            rows,
            shifted(x, first),
            1,
            x_row,
            d,
            d_row,
            init,
            init_row,
            out,
            out_row,
        )


@helper
def item_at(job, item):
    """Return where an item's parameters begin in the packed vectors."""
    layer, first = element(item, ITEM_LAYER), element(item, ITEM_FIRST)
    return of(job, layer, B_AT) if first < 0 else of(job, layer, W_AT) + first * of(job, layer, W_ROW)


@helper
def item_size(job, item):
    """Return how many numbers an item is, from its first row to the end of its last."""
    return element(item, ITEM_ROWS) * of(job, element(item, ITEM_LAYER), W_ROW)


@helper
def ones(i):
    """Return how many binary ones a number has."""
    count = 0
    while i > 0:
        i &= i - 1
        count += 1
    return count


@routine
def add_item_gradient(job, area, item, sample, row, rows, i, first_slot, like):
    """Add an item's gradient, from the rows of tile number i, to those of the tiles before, in pairs.

    `first_slot` is the number of the first of these tiles' slots.
    """
    distance = field(job, N_PACKED)
    waiting = ones(i)
    slot = waiting - 1 if i % 2 == 1 else waiting  # the second of two tiles is added at once
    gradient = in_packed(job, GRADIENT, (first_slot + slot) * distance + item_at(job, item), like)
    item_gradient(job, area, item, sample, row, rows, i % 2 == 1, gradient, like)
    after = ones(i + 1)
    if slot >= after:
        n_slots = slot - after + 2
        gradient = in_packed(job, GRADIENT, (first_slot + after - 1) * distance + item_at(job, item), like)
        sum_slots(gradient, distance, n_slots, item_size(job, item))


@routine
def update_item(job, item, gradient, l2, like):
    """Take the optimizer's step with an item, and renew its part of W^T."""
    layer, first, rows = element(item, ITEM_LAYER), element(item, ITEM_FIRST), element(item, ITEM_ROWS)
    at, distance = item_at(job, item), of(job, layer, W_ROW)
    if first < 0:
        l2 = 0.0
    n = whole_vectors(of(job, layer + 1, SIZE), gradient)
    runs, length = (1, rows * distance) if n == distance else (rows, n)
    for r in range(runs):
        update(
            field(job, OPTIMIZER),
            doubles(job, HYPER),
            doubles(job, CONSTANTS),
            l2,
            in_packed(job, THETA, at + r * distance, like),
            shifted(gradient, r * distance),
            in_packed(job, STATE_1, at + r * distance, like),
            in_packed(job, STATE_2, at + r * distance, like),
            length,
        )
    if first >= 0 and layer > 0:
        transpose(job, layer, first, rows, like)


@routine
def transpose(job, layer, first, rows, like):
    """Copy rows of W_l to columns of W_l^T, in whole vectors: beyond W there are zeros."""
    theta, turned = at_address(of(job, layer, W), like), at_address(of(job, layer, WT), like)
    distance, turned_row = of(job, layer, W_ROW), of(job, layer, WT_ROW)
    step = wide(theta)
    for i in range(first, first + rows, step):
        for j in range(0, of(job, layer + 1, SIZE), step):
            transpose_block(theta, i * distance + j, distance, turned, j * turned_row + i, turned_row)


@routine
def renew_transposes(job, like):
    """Copy all W to W^T: once for a job, as every update renews its part."""
    items = integers(job, ITEMS)
    k = take(job, -1)
    while k < field(job, N_ITEMS):
        item = shifted(items, k * N_ITEM_FIELDS)
        layer, first = element(item, ITEM_LAYER), element(item, ITEM_FIRST)
        if layer > 0 and first >= 0:
            transpose(job, layer, first, element(item, ITEM_ROWS), like)
        k = take(job, k)


@helper
def take(job, previous):
    """Return the number of the next item, or group, that is this thread's."""
    if field(job, N_THREADS) == 1:
        return previous + 1
    return atomic_add(integers(job, SHARED), NEXT, 1)


@routine
def clip(job, like):
    """Add l2's part to the gradient, and write what brings it to CLIP_NORM if its norm is larger.

    All trained parameters count. The gradient is first scaled by a power of 2 to numbers of about 1, whose
    squares neither overflow nor vanish.
    """
    numbers, items = doubles(job, NUMBERS), integers(job, ITEMS)
    l2 = element(numbers, L2)
    largest = wide_splat(0.0, floats(job, ZEROS, like))
    for k in range(field(job, N_ITEMS)):
        item = shifted(items, k * N_ITEM_FIELDS)
        at = item_at(job, item)
        g, w = in_packed(job, GRADIENT, at, like), in_packed(job, THETA, at, like)
        decay = wide_splat(0.0 if element(item, ITEM_FIRST) < 0 else l2, g)
        for o in range(0, item_size(job, item), wide(g)):
            v = wide_load(g, o) + decay * wide_load(w, o)
            store(g, o, v)
            size = magnitude(v)
            largest = where_less(size, largest, largest, size)  # NaN stays
    top = at_least(splat(lane_max(largest), largest), SMALLEST_NORMAL(largest))
    scale = scaled(splat(1.0, largest), minus(at_most(exponent(top), HIGHEST_EXPONENT(largest))))
    squares = 0.0
    for k in range(field(job, N_ITEMS)):
        item = shifted(items, k * N_ITEM_FIELDS)
        g = in_packed(job, GRADIENT, item_at(job, item), like)
        total = wide_splat(0.0, g)
        for o in range(0, item_size(job, item), wide(g)):
            v = scale * wide_load(g, o)
            total = fma(v, v, total)
        squares += np.float64(lane_sum(total))
    norm, power = math.sqrt(squares), np.float64(lane_max(scale))
    limit = element(numbers, CLIP_NORM)
    is_larger = norm > limit * power
    put(numbers, CLIP_SCALE, power if is_larger else 1.0)
    put(numbers, CLIP_FACTOR, limit / norm if is_larger else 1.0)


# --- a step ----------------------------------------------------------------------------------------------


@routine
def prepare_step(job, like):
    """Draw the samples of the coming step, and compute what depends on the step alone."""
    counters, totals = integers(job, COUNTERS), doubles(job, TOTALS)
    n_samples, first, step = field(job, N_SAMPLES), element(counters, ROW), element(counters, STEP)
    rows = min(field(job, BATCH), n_samples - first)
    position = element(counters, POSITION)
    # A run that was stopped in the middle of this step, and resumed, has drawn them already.
    if field(job, SHUFFLES) != 0 and position != first + rows - 1:
        order, generator = integers(job, ORDER), at_address(field(job, GENERATOR), np.uint64(0))
        for _ in range(rows):
            position = next_position(position, order, n_samples, generator, True)
        put(counters, POSITION, position)
    weight = np.float64(rows)
    if field(job, WEIGHTS) != 0:
        weight = 0.0
        for r in range(rows):
            weight += weight_of(job, sample_at(job, first + r))
    put(totals, BATCH_WEIGHT, weight)
    rate = element(doubles(job, RATES), min(step - field(job, FIRST_STEP), field(job, N_RATES) - 1))
    step_constants(field(job, OPTIMIZER), doubles(job, HYPER), rate, step + 1, doubles(job, CONSTANTS))


@routine
def sum_losses(losses, n):
    """Return the sum of n float64 numbers, in an order that is always the same."""
    step = wide(losses)
    whole = n // step * step
    total = wide_splat(0.0, losses)
    for k in range(0, whole, step):
        total = total + wide_load(losses, k)
    result = lane_sum(total)
    for k in range(whole, n):
        result += element(losses, k)
    return result


@routine
def finish_step(job, rows):
    """Count a step, and record the loss of an epoch that ends with it."""
    count(
        job, 1, rows, sum_losses(doubles(job, ROW_LOSSES), rows), element(doubles(job, TOTALS), BATCH_WEIGHT)
    )


@routine
def count(job, steps, rows, loss, weight):
    """Count steps of one epoch, and record the loss of an epoch that ends with them.

    `loss` and `weight` are the sums of the rows' losses, times their weights, and of their weights.
    """
    counters, totals, losses = integers(job, COUNTERS), doubles(job, TOTALS), doubles(job, LOSSES)
    put(totals, LOSS_SUM, element(totals, LOSS_SUM) + loss)
    put(totals, WEIGHT_SUM, element(totals, WEIGHT_SUM) + weight)
    step, row, epoch = (
        element(counters, STEP) + steps,
        element(counters, ROW) + rows,
        element(counters, EPOCH),
    )
    ends = row == field(job, N_SAMPLES)
    if ends:
        row, epoch = 0, epoch + 1
    put(counters, STEP, step)
    put(counters, ROW, row)
    put(counters, EPOCH, epoch)
    if ends or step == field(job, END):
        weights = element(totals, WEIGHT_SUM)
        mean = element(totals, LOSS_SUM) / weights if weights > 0.0 else 0.0
        put(totals, NOT_FINITE, element(totals, NOT_FINITE) + 0.0 * mean)
        if step == field(job, END) or epoch % field(job, RECORD_EVERY) == 0:
            recorded = element(counters, RECORDED)
            put(losses, recorded, mean)
            put(counters, RECORDED, recorded + 1)
        if ends:
            put(totals, EPOCH_LOSS, mean)
            put(totals, LOSS_SUM, 0.0)
            put(totals, WEIGHT_SUM, 0.0)


@helper
def scratch_of(job, thread, like):
    """Return the address of a thread's scratch."""
    return shifted(work_area(job, thread, like), field(job, SCRATCH_AT))


@routine
def pass_rows(job, area, thread, sample, row, rows, like):
    """Take rows of a tile through forward pass, loss and backward pass."""
    weight = element(doubles(job, TOTALS), BATCH_WEIGHT)
    forward(job, area, sample, row, rows, like)
    factor = 1.0 / weight if weight > 0.0 else 0.0
    losses_and_deltas(job, area, sample, row, rows, factor, scratch_of(job, thread, like), like)
    backward(job, area, row, rows, like)


@routine
def sequential_step(job, area, first, rows, like):
    """Take a step that updates each layer before the error passes back through it: one thread, one tile."""
    weight = element(doubles(job, TOTALS), BATCH_WEIGHT)
    forward(job, area, first, 0, rows, like)
    factor = 1.0 / weight if weight > 0.0 else 0.0
    losses_and_deltas(job, area, first, 0, rows, factor, scratch_of(job, 0, like), like)
    items, l2 = integers(job, ITEMS), element(doubles(job, NUMBERS), L2)
    for layer in range(field(job, N_LAYERS) - 1, -1, -1):
        for k in range(field(job, N_ITEMS)):
            item = shifted(items, k * N_ITEM_FIELDS)
            if element(item, ITEM_LAYER) == layer:
                n_tiles = 0
                for row in range(0, rows, SUMMED_ROWS):
                    there = min(SUMMED_ROWS, rows - row)
                    add_item_gradient(job, area, item, first, row, there, n_tiles, 0, like)
                    n_tiles += 1
                gradient = in_packed(job, GRADIENT, item_at(job, item), like)
                sum_slots(gradient, field(job, N_PACKED), ones(n_tiles), item_size(job, item))
                update_item(job, item, gradient, l2, like)
        if layer > 0:
            propagate(job, area, layer, 0, rows, like)


@routine
def group_gradients(job, thread, first, rows, done, end, like):
    """Take groups of the batch's rows, of each those from `done` to `end`; each adds up its gradients."""
    n_groups, tile, items = field(job, N_GROUPS), field(job, TILE), integers(job, ITEMS)
    area = work_area(job, thread, like)
    share = group_share(rows, n_groups)
    group = take(job, -1)
    while group * share < rows:
        start, stop = first + group * share, first + min(rows, group * share + end)
        for sample in range(start + done, stop, tile):
            there = min(tile, stop - sample)
            pass_rows(job, area, thread, sample, 0, there, like)
            for k in range(field(job, N_ITEMS)):
                item, i = shifted(items, k * N_ITEM_FIELDS), (sample - start) // tile
                add_item_gradient(job, area, item, sample, 0, there, i, group * field(job, N_SLOTS), like)
        group = take(job, group)


@helper
def group_share(rows, n_groups):
    """Return how many rows a group has; the last may have fewer, and groups after it none."""
    return (rows + n_groups - 1) // n_groups


@routine
def team_gradients(job, thread, first, rows, done, end, fused, like):
    """Take the tiles from row `done` to `end` through both phases.

    `fused` updates, else the gradients of tiles are added up. Returns whether to go on.
    """
    n_threads, shared, tile = field(job, N_THREADS), integers(job, SHARED), field(job, TILE)
    items, n_items = integers(job, ITEMS), field(job, N_ITEMS)
    area, scratch = work_area(job, 0, like), scratch_of(job, thread, like)
    l2 = element(doubles(job, NUMBERS), L2)
    for start in range(done, end, tile):
        there, sample = min(tile, rows - start), first + start
        blocks = (there + ROWS_TOGETHER - 1) // ROWS_TOGETHER
        # Two shares a thread: a core that is busy with other work takes fewer.
        share = ROWS_TOGETHER * ((blocks + 2 * n_threads - 1) // (2 * n_threads) if n_threads > 1 else blocks)
        k = take(job, -1)
        while k * share < there:
            pass_rows(job, area, thread, sample, k * share, min(share, there - k * share), like)
            k = take(job, k)
        if not barrier(shared, n_threads):
            return False
        if fused and thread == 0:
            finish_step(job, rows)
        k = take(job, -1)
        while k < n_items:
            item = shifted(items, k * N_ITEM_FIELDS)
            if fused:
                item_gradient(job, area, item, sample, 0, there, False, scratch, like)
                update_item(job, item, scratch, l2, like)
            else:
                add_item_gradient(job, area, item, sample, 0, there, start // tile, 0, like)
            k = take(job, k)
        if not barrier(shared, n_threads):
            return False
    return True


@routine
def add_slots(job, rows, share, like):
    """Add what is in slots, item by item, to the first slot: of groups of `share` rows each, one or more."""
    items, tile, n_groups = integers(job, ITEMS), field(job, TILE), (rows + share - 1) // share
    distance = field(job, N_PACKED)
    k = take(job, -1)
    while k < field(job, N_ITEMS):
        item = shifted(items, k * N_ITEM_FIELDS)
        for group in range(n_groups):
            at = group * field(job, N_SLOTS) * distance + item_at(job, item)
            n_tiles = (min(share, rows - group * share) + tile - 1) // tile
            sum_slots(in_packed(job, GRADIENT, at, like), distance, ones(n_tiles), item_size(job, item))
        first = in_packed(job, GRADIENT, item_at(job, item), like)
        sum_slots(first, field(job, N_SLOTS) * distance, n_groups, item_size(job, item))
        k = take(job, k)


@routine
def update_all(job, like):
    """Take the optimizer's step with every item, from the first slot."""
    items, numbers = integers(job, ITEMS), doubles(job, NUMBERS)
    clips = field(job, CLIPS) != 0
    l2 = 0.0 if clips else element(numbers, L2)  # clipping has added it
    k = take(job, -1)
    while k < field(job, N_ITEMS):
        item = shifted(items, k * N_ITEM_FIELDS)
        gradient = in_packed(job, GRADIENT, item_at(job, item), like)
        if clips:
            scale = wide_splat(element(numbers, CLIP_SCALE), gradient)
            factor = wide_splat(element(numbers, CLIP_FACTOR), gradient)
            for o in range(0, item_size(job, item), wide(gradient)):
                store(gradient, o, factor * (scale * wide_load(gradient, o)))
        update_item(job, item, gradient, l2, like)
        k = take(job, k)


@routine
def train_to(job, thread, until, like):
    """Train to step `until`, as one of the team, or to the end of a piece of a long step.

    Or leave the gradient over all rows in the first slot.
    """
    counters, shared, n_threads = integers(job, COUNTERS), integers(job, SHARED), field(job, N_THREADS)
    clips, grouped, sequential = field(job, CLIPS) != 0, field(job, N_GROUPS) > 0, field(job, SEQUENTIAL) != 0
    updates = field(job, MODE) == TRAIN
    if field(job, HAS_TRANSPOSES) == 0:
        renew_transposes(job, like)
    if not barrier(shared, n_threads):
        return
    if thread == 0:
        put(job, HAS_TRANSPOSES, 1)
    while element(counters, STEP) < until:
        done = field(job, DONE)
        if done == 0:
            if thread == 0:
                prepare_step(job, like)
            if not barrier(shared, n_threads):
                return
        first = element(counters, ROW)
        rows = min(field(job, BATCH), field(job, N_SAMPLES) - first)
        share = group_share(rows, field(job, N_GROUPS)) if grouped else rows
        end = min(share, done + field(job, PIECE))
        fused = updates and not grouped and not sequential and not clips and rows <= field(job, TILE)
        if sequential:
            sequential_step(job, work_area(job, 0, like), first, rows, like)
        elif grouped:
            group_gradients(job, thread, first, rows, done, end, like)
            if not barrier(shared, n_threads):
                return
        elif not team_gradients(job, thread, first, rows, done, end, fused, like):
            return
        if end < share and not sequential:
            if thread == 0:
                put(job, DONE, end)
            return
        if not sequential and (grouped or rows > field(job, TILE)):
            add_slots(job, rows, share, like)
            if not barrier(shared, n_threads):
                return
        if fused:
            continue
        if updates and not sequential:
            if clips:
                if thread == 0:
                    clip(job, like)
                if not barrier(shared, n_threads):
                    return
            update_all(job, like)
        if thread == 0:
            put(job, DONE, 0)
            finish_step(job, rows)
        if not barrier(shared, n_threads):
            return


@routine
def evaluate_rows(job, thread, like):
    """Take tiles through the forward pass, and write their outputs to T, or their losses to ROW_LOSSES.

    Returns whether all inputs were finite.
    """
    n_samples, tile, last = field(job, N_SAMPLES), field(job, TILE), field(job, N_LAYERS)
    area, columns = work_area(job, thread, like), of(job, last, SIZE)
    suspicious = cast(0.0, like)
    k = take(job, -1)
    while k * tile < n_samples:
        first = k * tile
        rows = min(tile, n_samples - first)
        forward(job, area, first, 0, rows, like)
        if field(job, MODE) == LOSS_ONLY:
            losses_and_deltas(job, area, first, 0, rows, 0.0, scratch_of(job, thread, like), like)
        else:
            for r in range(rows):
                suspicious += times_zero(input_at(job, area, 0, first, r, like), of(job, 0, SIZE))
                a = outputs_of(job, area, last, A_AT, r)
                target = shifted(floats(job, T, like), (first + r) * columns)
                for j in range(columns):
                    put(target, j, element(a, j))
        k = take(job, k)
    return suspicious == cast(0.0, like)


@helper
def times_zero(a, n):
    """Return the sum of n numbers, each times 0: NaN if one is not finite."""
    zero = wide_splat(0.0, a)
    total = zero
    whole = n // wide(a) * wide(a)
    for k in range(0, whole, wide(a)):
        total = fma(zero, wide_load(a, k), total)
    result = lane_sum(total)
    for k in range(whole, n):
        result += cast(0.0, result) * element(a, k)
    return result


@kernel
def layered(job_address, thread, until, inputs, outputs):
    """Do one thread's part of a job.

    Parameters
    ----------
    job_address : int
        Of the job's integers.
    thread : int
        Its number, from 0.
    until : int
        The step to train to.
    inputs, outputs : array, shapes (n_samples, n_0) and (n_samples, n_L)
        For `PREDICT`, X and where its outputs go, if the job does not name them; else empty. Both have the
        type of the network: another type of the inputs does not compile.

    Returns
    -------
    bool
        For `PREDICT`, whether the inputs were finite; False, with nothing done, if a shape is wrong.
    """
    job = at_address(job_address, job_address)
    like = zero_of(address(outputs))
    if outputs.size > 0:
        n, last = inputs.shape[0], field(job, N_LAYERS)
        if inputs.shape[1] != of(job, 0, SIZE) or outputs.shape != (n, of(job, last, SIZE)):
            return False
        put(job, T, number_of(address(outputs)))
        put(job, X, number_of(same_type(address(inputs), address(outputs))))
        put(job, N_SAMPLES, n)
    state = floating_point_state()
    set_floating_point_state(FLUSHING)
    finite = True
    if field(job, MODE) in (TRAIN, GRADIENT_ONLY):
        train_to(job, thread, until, like)
    else:
        finite = evaluate_rows(job, thread, like)
    set_floating_point_state(state)
    return finite
