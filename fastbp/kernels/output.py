"""The output layer inside kernels: softmax, losses and their deltas; `fastbp.losses` has the definitions."""

import numpy as np

from fastbp._jit import helper, routine
from fastbp.activations import EXPONENTIAL, SIGMOID, SOFTMAX
from fastbp.kernels.cross_entropy import (
    MOST_BLOCK_COLUMNS,
    block_cross_entropy,
    clipped,
    cross_entropy,
    exponentials,
)
from fastbp.kernels.elementwise import (
    apply_slope,
    at_most,
    constant,
    exp_minus_abs,
    log,
    log1p,
    log1p_exp_minus_abs,
    minus,
)
from fastbp.kernels.records import get, has, of, outputs_of, own
from fastbp.kernels.samples import sample_at, shifted_to_batch, weight_of
from fastbp.losses import (
    BINARY_CROSS_ENTROPY,
    CATEGORICAL_CROSS_ENTROPY,
    HALF_SQUARED_ERROR,
    HUBER,
    MEAN_ABSOLUTE_ERROR,
    MEAN_SQUARED_ERROR,
    POISSON,
    QUANTILE,
)
from fastbp.simd import (
    cast,
    element,
    first_lanes,
    fma,
    lane_max,
    lane_sum,
    magnitude,
    masked_load,
    put,
    shifted,
    splat,
    store,
    where_equal,
    where_less,
    wide,
    wide_load,
    wide_splat,
)

NEGLIGIBLE = constant(2.0**-30, 2.0**-60)
"""Below this number u, log(1 + u) and u differ by less than the last bit."""


@routine
def softmax(z, distance, rows, columns, a):
    """Write a_j = e^(z_j - m) / sum_k e^(z_k - m) for every row; z and a may be the same."""
    for o in range(0, rows * distance, distance):
        a_row = shifted(a, o)
        _, total = exponentials(shifted(z, o), columns, a_row)
        scale = wide_splat(cast(1.0, total) / total, a)
        for j in range(0, columns, wide(z)):
            store(a_row, j, wide_load(a_row, j) * scale)


@helper
def gives_delta(loss):
    """Whether `gradient_of` returns the derivative with respect to z, and not to y.

    For these losses, the derivative with respect to y may overflow: 1 / y is infinite if the output
    underflows. Then f'(z) is 0, but the true product of both is of moderate size.
    """
    return loss in (BINARY_CROSS_ENTROPY, POISSON)


@helper
def level_of(job):
    """Return the level of the quantile loss."""
    return element(get(job, "loss_parameters"), 0)


@helper
def gradient_of(loss, level, code, y, t, z):
    """Return the loss of outputs, and its derivative with respect to y, or to z: see `gives_delta`.

    The factor of the mean over outputs is left out. `code` is that of the output activation, y = f(z).
    """
    zero, one, half = splat(0.0, y), splat(1.0, y), splat(0.5, y)
    e = y - t
    if loss == HALF_SQUARED_ERROR:
        return half * e * e, e
    if loss == MEAN_SQUARED_ERROR:
        return e * e, e + e
    if loss == MEAN_ABSOLUTE_ERROR:
        return magnitude(e), where_less(zero, e, one, where_less(e, zero, zero - one, e))
    if loss == HUBER:
        size = magnitude(e)
        return (
            where_less(one, size, size - half, half * e * e),
            where_less(one, e, one, where_less(e, zero - one, zero - one, e)),
        )
    if loss == QUANTILE:
        q = splat(level, y)
        slope = where_less(zero, e, one - q, where_less(e, zero, zero - q, e))
        return slope * e, slope
    if loss == BINARY_CROSS_ENTROPY:
        positive = where_less(z, zero, zero, z)
        return fma(zero - t, z, positive) + log1p_exp_minus_abs(z), e
    if code == EXPONENTIAL:
        return fma(minus(t), z, y), e
    return poisson_of_sigmoid(y, t, z) if code == SIGMOID else poisson_of_softplus(y, t, z)


@helper
def priced(loss, level, code, y, t, z, as_scikit_learn):
    """Return what `gradient_of` does, with the loss that scikit-learn reports if that is asked for."""
    cost, d = gradient_of(loss, level, code, y, t, z)
    if as_scikit_learn:
        cost = clipped(cost) if loss == BINARY_CROSS_ENTROPY else cost
        cost = cost + poisson_constant(t) if loss == POISSON else cost
    return cost, d


@helper
def poisson_cost(y, t, log_y):
    """Return y - t log y, with 0 log 0 = 0."""
    return where_equal(t, splat(0.0, y), y, fma(minus(t), log_y, y))


@helper
def poisson_constant(t):
    """Return t log t - t, the part of half the Poisson deviance that no output changes."""
    zero = splat(0.0, t)
    return where_less(zero, t, t * log(t), zero) - t


@helper
def poisson_of_sigmoid(y, t, z):
    """Return the Poisson loss and dL/dz = (y - t) (1 - y), with log y = min(z, 0) - log(1 + e^-|z|)."""
    zero, one = splat(0.0, y), splat(1.0, y)
    u, u_rest = exp_minus_abs(z)
    rest_of_one = where_less(zero, z, u, one) / (one + u)
    return poisson_cost(y, t, at_most(z, zero) - log1p(u, u_rest)), (y - t) * rest_of_one


@helper
def poisson_of_softplus(y, t, z):
    """Return the Poisson loss and dL/dz = s(z) (1 - t / y), as (u - t / r) / (1 + u) below 0.

    With u = e^-|z|. Below 0, r = y / e^z = log(1 + u) / u and log y = z + log r. Above 0, r = y.
    """
    zero, one = splat(0.0, y), splat(1.0, y)
    u, u_rest = exp_minus_abs(z)
    least = where_less(u, NEGLIGIBLE(u), NEGLIGIBLE(u), u)  # there log(1 + u) is u
    r = where_less(zero, z, y, log1p(least, where_less(u, NEGLIGIBLE(u), zero, u_rest)) / least)
    slope = (where_less(zero, z, one, u) - t / r) / (one + u)
    return poisson_cost(y, t, at_most(z, zero) + log(r)), slope


@helper
def poisson_row(y, t, z, columns, scale, delta):
    """Write dL/dz_j = y_j sum_k t_k - t_j, times `scale`, for softmax outputs; return sum_j of the losses.

    log y_j = z_j - m + log max_k y_k, with m = max_k z_k. Numbers beyond the last output become 0.
    """
    step = wide(y)
    zero, lowest = wide_splat(0.0, y), wide_splat(-np.inf, y)
    top, largest, total = lowest, zero, zero
    for j in range(0, columns, step):
        left = columns - j
        v, a = first_lanes(left, wide_load(z, j), lowest), first_lanes(left, wide_load(y, j), zero)
        top = where_less(v, top, top, v)
        largest = where_less(a, largest, largest, a)
        total = total + masked_load(t, j, left, zero)
    m, log_largest = wide_splat(lane_max(top), y), log(wide_splat(lane_max(largest), y))
    sum_of_targets = wide_splat(lane_sum(total), y)
    cost = zero
    for j in range(0, columns, step):
        left = columns - j
        a, targets = wide_load(y, j), masked_load(t, j, left, zero)
        log_y = (wide_load(z, j) - m) + log_largest
        cost = cost + first_lanes(left, poisson_cost(a, targets, log_y), zero)
        d = scale * fma(a, sum_of_targets, minus(targets))
        store(delta, j, first_lanes(left, d, zero))
    return lane_sum(cost)


@routine
def losses_and_deltas(job, area, sample, row, rows, factor, scratch):
    """Write the losses of rows of a tile, each times its weight, and dL/dz times weight times factor.

    The tile begins at position `sample` of the epoch. `row_losses` begins at the first row of the batch. In
    the rows of deltas, numbers beyond the last output become 0.
    """
    last = get(job, "n_layers")
    loss, columns, distance = get(job, "loss"), of(job, "size", last), of(job, "row", last)
    level = level_of(job)
    z, a = outputs_of(job, area, "z_at", last, row), outputs_of(job, area, "a_at", last, row)
    delta = outputs_of(job, area, "delta_at", last, row)
    row_losses = shifted_to_batch(job, sample + row)
    if loss == CATEGORICAL_CROSS_ENTROPY:
        sums = shifted(area, get(job, "row_sums_at") + row)
        done = 0
        if columns <= MOST_BLOCK_COLUMNS and has(job, "labels"):
            while done + wide(z) <= rows:
                o, first = done * distance, sample + row + done
                block_cross_entropy(job, shifted(z, o), shifted(delta, o), distance, first, factor, scratch)
                done += wide(z)
        if done == rows:
            return
        z, delta = shifted(z, done * distance), shifted(delta, done * distance)
        cross_entropy(job, z, delta, distance, sums, sample + row + done, rows - done, factor)
        return
    softmaxed = of(job, "activation", last) == SOFTMAX
    mean = 1.0 if loss == HALF_SQUARED_ERROR else 1.0 / columns
    part = mean
    as_scikit_learn = get(job, "as_scikit_learn") != 0
    if as_scikit_learn:
        mean = 1.0 if gives_delta(loss) else mean
        part = 1.0 / columns if loss == HALF_SQUARED_ERROR else mean
    zero = wide_splat(0.0, a)
    code = of(job, "activation", last)
    done = 0
    if columns == 1:
        while done + wide(a) <= rows:
            block_of_one_output(job, area, sample, row + done, factor * mean, part, scratch)
            done += wide(a)
    for r in range(done, rows):
        o = r * distance
        i = sample_at(job, sample + row + r)
        weight = weight_of(job, i)
        scale = wide_splat(weight * factor * mean, a)
        targets = shifted(get(job, "Y"), i * columns)
        if softmaxed and loss == POISSON:
            cost = poisson_row(shifted(a, o), targets, shifted(z, o), columns, scale, shifted(delta, o))
            put(row_losses, r, weight * mean * np.float64(cost))
            continue
        total = zero
        inner = zero
        for j in range(0, columns, wide(a)):
            left = columns - j
            t = masked_load(targets, j, left, zero)
            y = wide_load(a, o + j)
            cost, d = priced(loss, level, code, y, t, wide_load(z, o + j), as_scikit_learn)
            total = total + first_lanes(left, cost, zero)
            d = first_lanes(left, scale * d, zero)
            inner = fma(d, y, inner) if softmaxed else inner
            store(delta, o + j, d)
        if softmaxed:
            average = wide_splat(lane_sum(inner), a)
            for j in range(0, columns, wide(a)):
                d = wide_load(a, o + j) * (wide_load(delta, o + j) - average)
                store(delta, o + j, first_lanes(columns - j, d, zero))
        put(row_losses, r, weight * part * np.float64(lane_sum(total)))
    if not softmaxed and not gives_delta(loss):
        apply_slope(code, a, z, delta, rows * distance)


@routine
def block_of_one_output(job, area, sample, row, factor, part, scratch):
    """Do what `losses_and_deltas` does, for one output and as many rows as a vector has lanes, a row a lane.

    It leaves out the slope of the output activation. A row alone would fill one lane of a vector: the loss
    and gradient of 30-50-1 on 569 rows take 54 us instead of 58, on a Zen 5.
    """
    last = get(job, "n_layers")
    distance = of(job, "row", last)
    z, a = outputs_of(job, area, "z_at", last, row), outputs_of(job, area, "a_at", last, row)
    delta, row_losses = outputs_of(job, area, "delta_at", last, row), shifted_to_batch(job, sample + row)
    step, zero, weighted = wide(a), wide_splat(0.0, a), has(job, "weights")
    outputs, targets = shifted(scratch, step), shifted(scratch, 2 * step)
    scales, costs = shifted(scratch, 3 * step), shifted(scratch, 4 * step)
    store(scales, 0, wide_splat(factor, a))
    for r in range(step):
        put(scratch, r, element(z, r * distance))
        put(outputs, r, element(a, r * distance))
        i = sample_at(job, sample + row + r)
        put(targets, r, element(get(job, "Y"), i))
        if weighted:
            put(scales, r, own(job, weight_of(job, i) * factor))
    cost, d = priced(
        get(job, "loss"), level_of(job), of(job, "activation", last), wide_load(outputs, 0),
        wide_load(targets, 0), wide_load(scratch, 0), get(job, "as_scikit_learn") != 0,
    )  # fmt: skip
    store(costs, 0, cost)
    store(scratch, 0, wide_load(scales, 0) * d)
    for r in range(step):
        store(delta, r * distance, zero)
        put(delta, r * distance, element(scratch, r))
        put(row_losses, r, part * np.float64(element(costs, r)))
    if weighted:
        for r in range(step):
            weight = weight_of(job, sample_at(job, sample + row + r))
            put(row_losses, r, weight * part * np.float64(element(costs, r)))
