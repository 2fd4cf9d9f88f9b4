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
from fastbp.kernels.fields import GRADIENT_ONLY, LOSS_ONLY, PREDICT, TRAIN, X_FLOAT32, X_OWN, X_UINT8
from fastbp.kernels.floating_point import FLUSHING, floating_point_state, set_floating_point_state
from fastbp.kernels.output import losses_and_deltas, sample_at, softmax, weight_of
from fastbp.kernels.product import product, whole_vectors
from fastbp.kernels.records import (
    get,
    has,
    input_at,
    job_at,
    nth,
    of,
    outputs_of,
    own,
    typed,
    work_area,
    write,
)
from fastbp.kernels.shuffle import hashed, next_position
from fastbp.kernels.update import step_constants, sum_slots, update
from fastbp.losses import CATEGORICAL_CROSS_ENTROPY
from fastbp.simd import (
    address,
    cast,
    element,
    exponent,
    fma,
    lane_max,
    lane_sum,
    magnitude,
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
)

ROWS_TOGETHER = 16
"""Threads share rows in multiples of this: whole vectors of every type."""

SUMMED_ROWS = 1024
"""Rows of a sequential step whose gradients are added one after the other: it has no tiles."""

HIGHEST_EXPONENT = constant(126.0, 1022.0)
"""The power of 2 of which the reciprocal is a normal number."""


# --- rows: forward and backward --------------------------------------------------------------------------


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
    """Keep an activation and divide it by the probability of that, or make it 0 (inverted dropout).

    What is kept depends on the run's seed, the step, the sample's place in the batch and the neuron alone.
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
        weights, biases = of(job, "W", layer), of(job, "b", layer)
        product(rows, n_out, n_in, x, x_row, 1, weights, of(job, "W_row", layer), biases, 0, z, distance)
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
def item_gradient(job, area, item, sample, row, rows, add, out):
    """Write an item's gradient, from rows of the tile that begins at `sample`, to `out`, or add it."""
    layer, first = get(item, "layer"), get(item, "first")
    d, d_row = outputs_of(job, area, "delta_at", layer + 1, row), of(job, "row", layer + 1)
    n, out_row = whole_vectors(of(job, "size", layer + 1), d), of(job, "W_row", layer)
    init = out if add else get(job, "zeros")
    if first < 0:
        sum_rows(d, d_row, rows, n, init, out)
    else:
        x, x_row = input_at(job, area, layer, sample, row), of(job, "row", layer)
        init_row = out_row if add else 0
        product(
            get(item, "rows"),
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
    layer, first = get(item, "layer"), get(item, "first")
    return of(job, "b_at", layer) if first < 0 else of(job, "W_at", layer) + first * of(job, "W_row", layer)


@helper
def item_size(job, item):
    """Return how many numbers an item is, from its first row to the end of its last."""
    return get(item, "rows") * of(job, "W_row", get(item, "layer"))


@helper
def ones(i):
    """Return how many binary ones a number has."""
    count = 0
    while i > 0:
        i &= i - 1
        count += 1
    return count


@routine
def add_item_gradient(job, area, item, sample, row, rows, i, first_slot):
    """Add an item's gradient, from the rows of tile number i, to those of the tiles before, in pairs.

    `first_slot` is the number of the first of these tiles' slots.
    """
    distance = get(job, "n_packed")
    waiting = ones(i)
    slot = waiting - 1 if i % 2 == 1 else waiting  # the second of two tiles is added at once
    gradient = shifted(get(job, "gradient"), (first_slot + slot) * distance + item_at(job, item))
    item_gradient(job, area, item, sample, row, rows, i % 2 == 1, gradient)
    after = ones(i + 1)
    if slot >= after:
        n_slots = slot - after + 2
        gradient = shifted(get(job, "gradient"), (first_slot + after - 1) * distance + item_at(job, item))
        sum_slots(gradient, distance, n_slots, item_size(job, item))


@routine
def update_item(job, item, gradient, l2):
    """Take the optimizer's step with an item, and renew its part of W^T."""
    layer, first, rows = get(item, "layer"), get(item, "first"), get(item, "rows")
    at, distance = item_at(job, item), of(job, "W_row", layer)
    if first < 0:
        l2 = 0.0
    n = whole_vectors(of(job, "size", layer + 1), gradient)
    runs, length = (1, rows * distance) if n == distance else (rows, n)
    for r in range(runs):
        update(
            get(job, "optimizer"),
            get(job, "hyper"),
            get(job, "constants"),
            l2,
            shifted(get(job, "theta"), at + r * distance),
            shifted(gradient, r * distance),
            shifted(get(job, "state_1"), at + r * distance),
            shifted(get(job, "state_2"), at + r * distance),
            length,
        )
    if first >= 0 and layer > 0:
        transpose(job, layer, first, rows)


@routine
def transpose(job, layer, first, rows):
    """Copy rows of W_l to columns of W_l^T, in whole vectors: beyond W there are zeros."""
    theta, turned = of(job, "W", layer), of(job, "WT", layer)
    distance, turned_row = of(job, "W_row", layer), of(job, "WT_row", layer)
    step = wide(theta)
    for i in range(first, first + rows, step):
        for j in range(0, of(job, "size", layer + 1), step):
            transpose_block(theta, i * distance + j, distance, turned, j * turned_row + i, turned_row)


@routine
def renew_transposes(job):
    """Copy all W to W^T: once for a job, as every update renews its part."""
    items = get(job, "items")
    k = take(job, -1)
    while k < get(job, "n_items"):
        item = nth(items, k)
        layer, first = get(item, "layer"), get(item, "first")
        if layer > 0 and first >= 0:
            transpose(job, layer, first, get(item, "rows"))
        k = take(job, k)


@helper
def take(job, previous):
    """Return the number of the next item, or group, that is this thread's."""
    if get(job, "n_threads") == 1:
        return previous + 1
    return atomic_add(get(job, "shared"), NEXT, 1)


@routine
def clip(job):
    """Add l2's part to the gradient, and write what brings it to CLIP_NORM if its norm is larger.

    All trained parameters count. The gradient is first scaled by a power of 2 to numbers of about 1, whose
    squares neither overflow nor vanish.
    """
    numbers, items = get(job, "numbers"), get(job, "items")
    l2 = get(numbers, "l2")
    largest = wide_splat(0.0, get(job, "zeros"))
    for k in range(get(job, "n_items")):
        item = nth(items, k)
        at = item_at(job, item)
        g, w = shifted(get(job, "gradient"), at), shifted(get(job, "theta"), at)
        decay = wide_splat(0.0 if get(item, "first") < 0 else l2, g)
        for o in range(0, item_size(job, item), wide(g)):
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
        total = wide_splat(0.0, g)
        for o in range(0, item_size(job, item), wide(g)):
            v = scale * wide_load(g, o)
            total = fma(v, v, total)
        squares += np.float64(lane_sum(total))
    norm, power = math.sqrt(squares), np.float64(lane_max(scale))
    limit = get(numbers, "clip_norm")
    is_larger = norm > limit * power
    write(numbers, "clip_scale", power if is_larger else 1.0)
    write(numbers, "clip_factor", limit / norm if is_larger else 1.0)


# --- a step ----------------------------------------------------------------------------------------------


@routine
def prepare_step(job):
    """Draw the samples of the coming step, and compute what depends on the step alone."""
    counters, totals = get(job, "counters"), get(job, "totals")
    n_samples, first, step = get(job, "n_samples"), get(counters, "row"), get(counters, "step")
    rows = min(get(job, "batch_size"), n_samples - first)
    position = get(counters, "position")
    # A run that was stopped in the middle of this step, and resumed, has drawn them already.
    if get(job, "shuffles") != 0 and position != first + rows - 1:
        order, generator = get(job, "order"), get(job, "generator")
        for _ in range(rows):
            position = next_position(position, order, n_samples, generator, True)
        write(counters, "position", position)
    weight = np.float64(rows)
    if has(job, "weights"):
        weight = 0.0
        for r in range(rows):
            weight += weight_of(job, sample_at(job, first + r))
    write(totals, "batch_weight", weight)
    rate = element(get(job, "rates"), min(step - get(job, "first_step"), get(job, "n_rates") - 1))
    step_constants(get(job, "optimizer"), get(job, "hyper"), rate, step + 1, get(job, "constants"))


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
    count(job, 1, rows, sum_losses(get(job, "row_losses"), rows), get(get(job, "totals"), "batch_weight"))


@routine
def count(job, steps, rows, loss, weight):
    """Count steps of one epoch, and record the loss of an epoch that ends with them.

    `loss` and `weight` are the sums of the rows' losses, times their weights, and of their weights.
    """
    counters, totals, losses = get(job, "counters"), get(job, "totals"), get(job, "losses")
    write(totals, "loss_sum", get(totals, "loss_sum") + loss)
    write(totals, "weight_sum", get(totals, "weight_sum") + weight)
    step, row, epoch = (
        get(counters, "step") + steps,
        get(counters, "row") + rows,
        get(counters, "epoch"),
    )
    ends = row == get(job, "n_samples")
    if ends:
        row, epoch = 0, epoch + 1
    write(counters, "step", step)
    write(counters, "row", row)
    write(counters, "epoch", epoch)
    if ends or step == get(job, "n_steps"):
        weights = get(totals, "weight_sum")
        mean = get(totals, "loss_sum") / weights if weights > 0.0 else 0.0
        write(totals, "not_finite", get(totals, "not_finite") + 0.0 * mean)
        if step == get(job, "n_steps") or epoch % get(job, "record_every") == 0:
            recorded = get(counters, "recorded")
            put(losses, recorded, mean)
            write(counters, "recorded", recorded + 1)
        if ends:
            write(totals, "epoch_loss", mean)
            write(totals, "loss_sum", 0.0)
            write(totals, "weight_sum", 0.0)


@helper
def scratch_of(job, thread):
    """Return the address of a thread's scratch."""
    return shifted(work_area(job, thread), get(job, "scratch_at"))


@routine
def pass_rows(job, area, thread, sample, row, rows):
    """Take rows of a tile through forward pass, loss and backward pass."""
    weight = get(get(job, "totals"), "batch_weight")
    forward(job, area, sample, row, rows)
    factor = 1.0 / weight if weight > 0.0 else 0.0
    losses_and_deltas(job, area, sample, row, rows, factor, scratch_of(job, thread))
    backward(job, area, row, rows)


@routine
def sequential_step(job, area, first, rows):
    """Take a step that updates each layer before the error passes back through it: one thread, one tile."""
    weight = get(get(job, "totals"), "batch_weight")
    forward(job, area, first, 0, rows)
    factor = 1.0 / weight if weight > 0.0 else 0.0
    losses_and_deltas(job, area, first, 0, rows, factor, scratch_of(job, 0))
    items, l2 = get(job, "items"), get(get(job, "numbers"), "l2")
    for layer in range(get(job, "n_layers") - 1, -1, -1):
        for k in range(get(job, "n_items")):
            item = nth(items, k)
            if get(item, "layer") == layer:
                n_tiles = 0
                for row in range(0, rows, SUMMED_ROWS):
                    there = min(SUMMED_ROWS, rows - row)
                    add_item_gradient(job, area, item, first, row, there, n_tiles, 0)
                    n_tiles += 1
                gradient = shifted(get(job, "gradient"), item_at(job, item))
                sum_slots(gradient, get(job, "n_packed"), ones(n_tiles), item_size(job, item))
                update_item(job, item, gradient, l2)
        if layer > 0:
            propagate(job, area, layer, 0, rows)


@routine
def group_gradients(job, thread, first, rows, done, end):
    """Take groups of the batch's rows, of each those from `done` to `end`; each adds up its gradients."""
    n_groups, tile, items = get(job, "n_groups"), get(job, "tile_rows"), get(job, "items")
    area = work_area(job, thread)
    share = group_share(rows, n_groups)
    group = take(job, -1)
    while group * share < rows:
        start, stop = first + group * share, first + min(rows, group * share + end)
        for sample in range(start + done, stop, tile):
            there = min(tile, stop - sample)
            pass_rows(job, area, thread, sample, 0, there)
            for k in range(get(job, "n_items")):
                item, i = nth(items, k), (sample - start) // tile
                add_item_gradient(job, area, item, sample, 0, there, i, group * get(job, "n_partial_sums"))
        group = take(job, group)


@helper
def group_share(rows, n_groups):
    """Return how many rows a group has; the last may have fewer, and groups after it none."""
    return (rows + n_groups - 1) // n_groups


@routine
def team_gradients(job, thread, first, rows, done, end, fused):
    """Take the tiles from row `done` to `end` through both phases.

    `fused` updates, else the gradients of tiles are added up. Returns whether to go on.
    """
    n_threads, shared, tile = get(job, "n_threads"), get(job, "shared"), get(job, "tile_rows")
    items, n_items = get(job, "items"), get(job, "n_items")
    area, scratch = work_area(job, 0), scratch_of(job, thread)
    l2 = get(get(job, "numbers"), "l2")
    for start in range(done, end, tile):
        there, sample = min(tile, rows - start), first + start
        blocks = (there + ROWS_TOGETHER - 1) // ROWS_TOGETHER
        # Two shares a thread: a core that is busy with other work takes fewer.
        share = ROWS_TOGETHER * ((blocks + 2 * n_threads - 1) // (2 * n_threads) if n_threads > 1 else blocks)
        k = take(job, -1)
        while k * share < there:
            pass_rows(job, area, thread, sample, k * share, min(share, there - k * share))
            k = take(job, k)
        if not barrier(shared, n_threads):
            return False
        if fused and thread == 0:
            finish_step(job, rows)
        k = take(job, -1)
        while k < n_items:
            item = nth(items, k)
            if fused:
                item_gradient(job, area, item, sample, 0, there, False, scratch)
                update_item(job, item, scratch, l2)
            else:
                add_item_gradient(job, area, item, sample, 0, there, start // tile, 0)
            k = take(job, k)
        if not barrier(shared, n_threads):
            return False
    return True


@routine
def add_slots(job, rows, share):
    """Add what is in slots, item by item, to the first slot: of groups of `share` rows each, one or more."""
    items, tile, n_groups = get(job, "items"), get(job, "tile_rows"), (rows + share - 1) // share
    distance = get(job, "n_packed")
    k = take(job, -1)
    while k < get(job, "n_items"):
        item = nth(items, k)
        for group in range(n_groups):
            at = group * get(job, "n_partial_sums") * distance + item_at(job, item)
            n_tiles = (min(share, rows - group * share) + tile - 1) // tile
            sum_slots(shifted(get(job, "gradient"), at), distance, ones(n_tiles), item_size(job, item))
        first = shifted(get(job, "gradient"), item_at(job, item))
        sum_slots(first, get(job, "n_partial_sums") * distance, n_groups, item_size(job, item))
        k = take(job, k)


@routine
def update_all(job):
    """Take the optimizer's step with every item, from the first slot."""
    items, numbers = get(job, "items"), get(job, "numbers")
    clips = get(job, "clips") != 0
    l2 = 0.0 if clips else get(numbers, "l2")  # clipping has added it
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


@routine
def train_to(job, thread, until):
    """Train to step `until`, as one of the team, or to the end of a piece of a long step.

    Or leave the gradient over all rows in the first slot.
    """
    counters, shared, n_threads = get(job, "counters"), get(job, "shared"), get(job, "n_threads")
    clips, grouped, sequential = get(job, "clips") != 0, get(job, "n_groups") > 0, get(job, "sequential") != 0
    updates = get(job, "mode") == TRAIN
    if get(job, "has_transposes") == 0:
        renew_transposes(job)
    if not barrier(shared, n_threads):
        return
    if thread == 0:
        write(job, "has_transposes", 1)
    while get(counters, "step") < until:
        done = get(job, "done_rows")
        if done == 0:
            if thread == 0:
                prepare_step(job)
            if not barrier(shared, n_threads):
                return
        first = get(counters, "row")
        rows = min(get(job, "batch_size"), get(job, "n_samples") - first)
        share = group_share(rows, get(job, "n_groups")) if grouped else rows
        end = min(share, done + get(job, "chunk_rows"))
        fused = updates and not grouped and not sequential and not clips and rows <= get(job, "tile_rows")
        if sequential:
            sequential_step(job, work_area(job, 0), first, rows)
        elif grouped:
            group_gradients(job, thread, first, rows, done, end)
            if not barrier(shared, n_threads):
                return
        elif not team_gradients(job, thread, first, rows, done, end, fused):
            return
        if end < share and not sequential:
            if thread == 0:
                write(job, "done_rows", end)
            return
        if not sequential and (grouped or rows > get(job, "tile_rows")):
            add_slots(job, rows, share)
            if not barrier(shared, n_threads):
                return
        if fused:
            continue
        if updates and not sequential:
            if clips:
                if thread == 0:
                    clip(job)
                if not barrier(shared, n_threads):
                    return
            update_all(job)
        if thread == 0:
            write(job, "done_rows", 0)
            finish_step(job, rows)
        if not barrier(shared, n_threads):
            return


@routine
def evaluate_rows(job, thread):
    """Take tiles through the forward pass, and write their outputs to T, or their losses to ROW_LOSSES.

    Returns whether all inputs were finite.
    """
    n_samples, tile, last = get(job, "n_samples"), get(job, "tile_rows"), get(job, "n_layers")
    area, columns = work_area(job, thread), of(job, "size", last)
    suspicious = own(job, 0.0)
    k = take(job, -1)
    while k * tile < n_samples:
        first = k * tile
        rows = min(tile, n_samples - first)
        forward(job, area, first, 0, rows)
        if get(job, "mode") == LOSS_ONLY:
            losses_and_deltas(job, area, first, 0, rows, 0.0, scratch_of(job, thread))
        else:
            for r in range(rows):
                suspicious += times_zero(input_at(job, area, 0, first, r), of(job, "size", 0))
                a = outputs_of(job, area, "a_at", last, r)
                target = shifted(get(job, "Y"), (first + r) * columns)
                for j in range(columns):
                    put(target, j, element(a, j))
        k = take(job, k)
    return suspicious == own(job, 0.0)


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
    job = job_at(job_address, outputs)
    if outputs.size > 0:
        n, last = inputs.shape[0], get(job, "n_layers")
        if inputs.shape[1] != of(job, "size", 0) or outputs.shape != (n, of(job, "size", last)):
            return False
        write(job, "Y", address(outputs))
        write(job, "X", same_type(address(inputs), address(outputs)))
        write(job, "n_samples", n)
    state = floating_point_state()
    set_floating_point_state(FLUSHING)
    finite = True
    if get(job, "mode") in (TRAIN, GRADIENT_ONLY):
        train_to(job, thread, until)
    else:
        finite = evaluate_rows(job, thread)
    set_floating_point_state(state)
    return finite
