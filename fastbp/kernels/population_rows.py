"""Rows of a tile on their way through the networks of a block, a network a lane.

Legend: ``a[j, r]`` is the activation of neuron j for row r of the tile: a vector, with a lane for each
network. Rows are the fast dimension. Behind the inputs of a layer there is a row of ones, so that the
gradient of b is another row of that of W.
"""

import numpy as np

from fastbp._jit import helper, routine
from fastbp.activations import RELU, SIGMOID, SOFTMAX, TANH
from fastbp.kernels.elementwise import apply_slope, log_from_1, minus
from fastbp.kernels.fields import OWN_DRAWN, PREDICT, SHARED, TRAIN
from fastbp.kernels.lanes import (
    FEW_ROWS,
    RECTIFIED,
    RELU_SLOPED,
    SIGMOID_SLOPED,
    STORED,
    TANH_SLOPED,
    fill,
    multiply,
    rows_product,
)
from fastbp.kernels.output import gives_delta, gradient_of, poisson_cost
from fastbp.kernels.product import ALIASING_BYTES
from fastbp.kernels.quick_functions import quick_activate, quick_exp
from fastbp.kernels.records import get, has, nth, own
from fastbp.kernels.shuffle import hashed
from fastbp.losses import CATEGORICAL_CROSS_ENTROPY, HALF_SQUARED_ERROR, POISSON
from fastbp.simd import (
    align_stack,
    converted,
    element,
    fma,
    item_bytes,
    load_like,
    long_load,
    put,
    shifted,
    splat,
    store,
    where_less,
    wide,
    wide_load,
    wide_splat,
)


@helper
def sample_of(job, network, drawn, place, position, r, lane):
    """Return the sample of a network in row r of a tile.

    In training, the tile begins at `place` of the shared sequence, or of the burst's part of the networks'
    own orders, and at `position` of the epoch. Otherwise samples are taken in order.
    """
    if get(job, "mode") != TRAIN:
        return np.int64(position + r)
    if get(job, "ordering") == SHARED:
        return np.int64(element(get(job, "sequence"), place + r))
    if get(job, "ordering") == OWN_DRAWN:
        return np.int64(element(drawn, (place + r) * wide(get(job, "theta")) + lane))
    return np.int64(element(get(job, "orders"), network * get(job, "n_samples") + position + r))


MANY_COLUMNS = 16
"""From so many columns on, those at aliasing distances would not stay in an L1 cache."""


@helper
def apart(rows, columns, like):
    """Return the distance between the columns of a tile, in numbers.

    It leaves room for one more row if there are many columns, and would be a multiple of `ALIASING_BYTES`.
    """
    distance = rows * wide(like)
    if columns >= MANY_COLUMNS and distance * item_bytes(like) % ALIASING_BYTES == 0:
        distance += wide(like)
    return distance


@helper
def gather_rows(source, columns, sample, target, distance):
    """Write a row of a matrix to a row of the tile, the same in all lanes."""
    for j in range(columns):
        store(target, j * distance, wide_splat(element(source, sample * columns + j), target))


@helper
def gather_lane(source, columns, sample, target, distance):
    """Write a row of a matrix to a row of the tile, in one lane."""
    for j in range(columns):
        put(target, j * distance, element(source, sample * columns + j))


@routine
def gather_tile(job, block, area, drawn, place, position, rows):
    """Write inputs, targets and weights of a tile's samples to the work area."""
    layers = get(job, "layers")
    X, Y, weights = get(job, "X"), get(job, "Y"), get(job, "weights")
    n_in, n_out = get(layers, "n_in"), get(nth(layers, get(job, "n_layers") - 1), "n_out")
    x = shifted(area, get(layers, "x_at"))
    t, scales = shifted(area, get(job, "targets_at")), shifted(area, get(job, "scales_at"))
    step, has_targets = wide(x), has(job, "Y")
    of_x, of_t = apart(rows, n_in, x), apart(rows, n_out, x)
    shared = get(job, "mode") != TRAIN or get(job, "ordering") == SHARED
    n_rows, network = get(job, "n_rows"), block * step
    if shared:
        for r in range(rows):
            sample = sample_of(job, network, drawn, place, position, r, 0)
            gather_rows(X, n_in, sample, shifted(x, r * step), of_x)
            if has_targets:
                gather_rows(Y, n_out, sample, shifted(t, r * step), of_t)
    else:
        for r in range(rows):
            for lane in range(step):
                sample = sample_of(job, network + lane, drawn, place, position, r, lane)
                gather_lane(X, n_in, sample, shifted(x, r * step + lane), of_x)
                gather_lane(Y, n_out, sample, shifted(t, r * step + lane), of_t)
    if not has(job, "weights"):
        fill(wide_splat(1.0, scales), scales, rows * step)
        return
    for r in range(rows):
        if shared:
            sample = sample_of(job, network, drawn, place, position, r, 0)
            if get(job, "weighs_each") == 0:
                store(scales, r * step, wide_splat(element(weights, sample), scales))
            else:
                store(scales, r * step, wide_load(weights, (block * n_rows + sample) * step))
        else:
            for lane in range(step):
                sample = sample_of(job, network + lane, drawn, place, position, r, lane)
                at = sample
                if get(job, "weighs_each") != 0:
                    at = (block * n_rows + sample) * step + lane
                put(scales, r * step + lane, element(weights, at))


@routine
def lane_softmax(z, rows, columns, a):
    """Write the softmax of every row's z to a."""
    distance = apart(rows, columns, z)
    for r in range(0, rows * wide(z), wide(z)):
        total = wide_splat(0.0, z)
        top = top_of(z, r, distance, columns, total)
        for k in range(columns):
            j = r + k * distance
            power = quick_exp(wide_load(z, j) - top)
            store(a, j, power)
            total = total + power
        scale = splat(1.0, total) / total
        for k in range(columns):
            j = r + k * distance
            store(a, j, wide_load(a, j) * scale)


@helper
def top_of(z, r, distance, columns, like):
    """Return the largest of a row; NaN stays."""
    top = load_like(z, r, like)
    for k in range(1, columns):
        v = load_like(z, r + k * distance, like)
        top = where_less(v, top, top, v)
    return top


@routine
def drop_rows(job, block, area, layer, number, step, position, rows):
    """Set activations to 0 at random as `fastbp.kernels.rows.drop` does, by each network's own generator."""
    lanes, n_out, n_layers = wide(area), get(layer, "n_out"), get(job, "n_layers")
    a, masks = shifted(area, get(layer, "a_at")), shifted(area, get(layer, "mask_at"))
    out, distance = shifted(area, get(layer, "dropped_at")), apart(rows, n_out, area)
    for lane in range(lanes):
        network = block * lanes + lane
        keep = element(get(job, "keep"), network)
        threshold = np.uint64(keep * 2.0**53)
        kept, dropped = own(job, 1.0 / keep), own(job, 0.0)
        step_key = hashed(element(get(job, "generators"), 2 * network + 1), step)
        for r in range(rows):
            key = hashed(step_key, (position + r) * n_layers + number + 1)
            for j in range(n_out):
                factor = kept if (hashed(key, j) >> np.uint64(11)) < threshold else dropped
                put(masks, j * distance + r * lanes + lane, factor)
    for i in range(0, n_out * distance, lanes):
        store(out, i, wide_load(a, i) * wide_load(masks, i))


@routine
def lane_forward(job, block, area, step, position, rows):
    """Compute the activations of a tile's rows. The tile begins at `position` of the batch of a step."""
    lanes = wide(area)
    theta = shifted(get(job, "theta"), block * get(job, "n_parameters") * lanes)
    zero = shifted(area, 0)
    training = get(job, "mode") == TRAIN
    for number in range(get(job, "n_layers")):
        layer = nth(get(job, "layers"), number)
        n_in, n_out, code = get(layer, "n_in"), get(layer, "n_out"), get(layer, "activation")
        x, W = shifted(area, get(layer, "x_at")), shifted(theta, get(layer, "W_at") * lanes)
        z, a = shifted(area, get(layer, "z_at")), shifted(area, get(layer, "a_at"))
        init, init_column = zero, 0
        if get(job, "has_biases") != 0:
            init, init_column = shifted(W, n_in * n_out * lanes), lanes
        distance = apart(rows, n_out, z)
        rectifies = code == RELU and rows >= FEW_ROWS
        rows_product(
            rows, n_out, n_in,
            x, apart(rows, n_in, x),
            W, lanes, n_out * lanes,
            init, init_column,
            z, distance,
            RECTIFIED if rectifies else STORED, a,
        )  # fmt: skip
        if code == SOFTMAX:
            if get(job, "mode") == PREDICT or not is_fused(get(job, "loss")):
                lane_softmax(z, rows, n_out, a)
        elif not rectifies:
            quick_activate(code, z, a, n_out * distance)
        if training and get(layer, "mask_at") >= 0:
            drop_rows(job, block, area, layer, number, step, position, rows)


@helper
def fused_slope(code):
    """Return how `rows_product` multiplies by the slope of an activation, or `STORED` if it cannot."""
    if code == RELU:
        return RELU_SLOPED
    if code == TANH:
        return TANH_SLOPED
    return SIGMOID_SLOPED if code == SIGMOID else STORED


@helper
def lane_propagate(job, area, theta, layer, number, rows):
    """Compute dL/dz of the layer below."""
    lanes = wide(area)
    n_in, n_out, at = get(layer, "n_in"), get(layer, "n_out"), get(layer, "W_at") * lanes
    below = nth(get(job, "layers"), number - 1)
    target, code = shifted(area, get(below, "delta_at")), get(below, "activation")
    distance = apart(rows, n_in, area)
    a, z = shifted(area, get(below, "a_at")), shifted(area, get(below, "z_at"))
    drops, finish = get(below, "mask_at") >= 0, STORED
    if rows >= FEW_ROWS and not drops:
        finish = fused_slope(code)
    rows_product(
        rows, n_in, n_out,
        shifted(area, get(layer, "delta_at")), apart(rows, n_out, area),
        shifted(theta, at), n_out * lanes, lanes,
        shifted(area, 0), np.int64(0),  # no literal, for which `rows_product` would be compiled again
        target, distance,
        finish, a,
    )  # fmt: skip
    n = n_in * distance
    if drops:
        multiply(shifted(area, get(below, "mask_at")), target, n)
    if finish == STORED:
        apply_slope(code, a, z, target, n)


@helper
def is_fused(loss):
    """Whether the loss computes softmax itself."""
    return loss in (CATEGORICAL_CROSS_ENTROPY, POISSON)


# --- losses ----------------------------------------------------------------------------------------------


@helper
def add_to(sums, cost, weight, mean):
    """Return float64 sums plus losses times weight and mean."""
    return fma(converted(weight, sums) * splat(mean, sums), converted(cost, sums), sums)


@routine
def softmaxed_losses(job, area, rows, factor, mean, sums):
    """Do what `lane_losses` does, for a loss that computes softmax itself.

    There are three passes over the rows. One pass would have a chain of operations for each row, of which the
    processor could begin only two before the first ends. A row behind those of a and delta holds what belongs
    to a sample: log sum_k e^(z_k - m), and the inverse of that sum.
    """
    align_stack()
    layer, loss = nth(get(job, "layers"), get(job, "n_layers") - 1), get(job, "loss")
    z, a = shifted(area, get(layer, "z_at")), shifted(area, get(layer, "a_at"))
    delta, t = shifted(area, get(layer, "delta_at")), shifted(area, get(job, "targets_at"))
    scales, lanes, columns = shifted(area, get(job, "scales_at")), wide(area), get(layer, "n_out")
    distance = apart(rows, columns, area)
    end = columns * distance
    logs, inverses = shifted(a, end), shifted(delta, end)
    zero, one = wide_splat(0.0, area), wide_splat(1.0, area)
    for r in range(0, rows * lanes, lanes):
        top, total = top_of(z, r, distance, columns, zero), zero
        for k in range(columns):
            j = r + k * distance
            v = wide_load(z, j) - top
            power = quick_exp(v)
            store(z, j, v)
            store(a, j, power)
            total = total + power
        store(logs, r, total)
    for r in range(0, rows * lanes, lanes):
        total = wide_load(logs, r)
        store(inverses, r, one / total)
        store(logs, r, log_from_1(total))
    total_losses = long_load(sums, 0, zero)
    for r in range(0, rows * lanes, lanes):
        weight, inverse, log_total = wide_load(scales, r), wide_load(inverses, r), wide_load(logs, r)
        scale, cost = weight * wide_splat(factor, area), zero
        if loss == POISSON:
            all_targets = zero
            for k in range(columns):
                j = r + k * distance
                all_targets = all_targets + wide_load(t, j)
            for k in range(columns):
                j = r + k * distance
                target, y = wide_load(t, j), inverse * wide_load(a, j)
                cost = cost + poisson_cost(y, target, wide_load(z, j) - log_total)
                store(delta, j, scale * fma(y, all_targets, minus(target)))
        else:
            for k in range(columns):
                j = r + k * distance
                target, y = wide_load(t, j), inverse * wide_load(a, j)
                cost = fma(minus(target), wide_load(z, j) - log_total, cost)
                store(delta, j, scale * (y - target))
        total_losses = add_to(total_losses, cost, weight, mean)
    store(sums, 0, total_losses)


@routine
def lane_losses(job, area, rows, factor, sums):
    """Write dL/dz times weight times factor of a tile's rows, and add their losses to `sums`."""
    layer = nth(get(job, "layers"), get(job, "n_layers") - 1)
    loss, columns, code = get(job, "loss"), get(layer, "n_out"), get(layer, "activation")
    level = element(get(job, "loss_parameters"), 0)
    z, a = shifted(area, get(layer, "z_at")), shifted(area, get(layer, "a_at"))
    delta, t = shifted(area, get(layer, "delta_at")), shifted(area, get(job, "targets_at"))
    scales, lanes = shifted(area, get(job, "scales_at")), wide(area)
    mean = 1.0 if loss in (HALF_SQUARED_ERROR, CATEGORICAL_CROSS_ENTROPY) else 1.0 / columns
    distance = apart(rows, columns, area)
    softmaxed = code == SOFTMAX
    if softmaxed and is_fused(loss):
        softmaxed_losses(job, area, rows, factor * mean, mean, sums)
        return
    zero = wide_splat(0.0, a)
    total_losses = long_load(sums, 0, zero)
    for r in range(0, rows * lanes, lanes):
        weight = wide_load(scales, r)
        scale = weight * wide_splat(factor * mean, a)
        total, inner = zero, zero
        for k in range(columns):
            j = r + k * distance
            y = wide_load(a, j)
            cost, d = gradient_of(loss, level, code, y, wide_load(t, j), wide_load(z, j))
            d = scale * d
            total, inner = total + cost, fma(d, y, inner)
            store(delta, j, d)
        if softmaxed:
            for k in range(columns):
                j = r + k * distance
                store(delta, j, wide_load(a, j) * (wide_load(delta, j) - inner))
        total_losses = add_to(total_losses, total, weight, mean)
    store(sums, 0, total_losses)
    if not softmaxed and not gives_delta(loss):
        apply_slope(code, a, z, delta, columns * distance)
