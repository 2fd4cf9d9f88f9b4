"""One narrow hidden layer, one sample a step, plain SGD: all parameters stay in registers.

The online kernel takes this form where the network, its activations and the options allow it.
"""

import numpy as np

from fastbp._jit import helper, routine
from fastbp.activations import IDENTITY, RELU, SIGMOID, TANH
from fastbp.kernels.elementwise import (
    EXP,
    at_least,
    at_most,
    minus,
    reduced,
    relu,
    relu_slope,
    sigmoid_slope,
    tanh,
    tanh_slope,
)
from fastbp.kernels.fields import DRAWN, IN_ORDER
from fastbp.kernels.output import gives_delta, gradient_of, level_of
from fastbp.kernels.records import get, has, of, outputs_of, own, typed, work_area, write
from fastbp.kernels.rows import gather
from fastbp.kernels.shuffle import next_position
from fastbp.kernels.steps import count
from fastbp.kernels.update import sgd_hyperparameters
from fastbp.losses import CATEGORICAL_CROSS_ENTROPY, HALF_SQUARED_ERROR
from fastbp.simd import (
    element,
    first_lanes,
    fma,
    lane,
    lane_sum,
    lane_sums,
    load,
    load_like,
    low,
    masked_load,
    polynomial,
    scaled,
    shifted,
    splat,
    store,
    wide_splat_4,
)

MOST_INPUTS = MOST_OUTPUTS = 4
"""The most inputs and outputs of such a network. Its hidden layer fits into a vector of at least 4 lanes."""


NARROW_HIDDEN = (IDENTITY, SIGMOID, TANH, RELU)
"""The activations that such networks may have."""


@helper
def is_narrow(job, vector):
    """Whether `narrow` can train the network. It takes neither decay nor sample weights."""
    decay, l2 = sgd_hyperparameters(get(job, "hyper")).weight_decay, get(get(job, "numbers"), "l2")
    if decay != 0.0 or l2 != 0.0 or get(job, "n_layers") != 2 or has(job, "weights"):
        return False
    return (
        of(job, "size", 0) <= MOST_INPUTS
        and of(job, "size", 1) <= vector
        and of(job, "size", 2) <= MOST_OUTPUTS
        and of(job, "activation", 1) in NARROW_HIDDEN
        and of(job, "activation", 2) in NARROW_HIDDEN
        and get(job, "loss") != CATEGORICAL_CROSS_ENTROPY
    )


prompt_exp = polynomial(*((1.0, 1.0, *EXP[dtype]) for dtype in ("float32", "float64")))


MOST = polynomial((88.0,), (708.0,))


@helper
def prompt_sigmoid(z):
    """Return s(z) within 2 ulp for |z| <= 88 (float32) or 708, and beyond that the value at this limit.

    It takes 14 ns. `sigmoid` takes 18, because it corrects rounding errors on the way.
    """
    one = splat(1.0, z)
    n, r, s = reduced(at_most(at_least(minus(z), minus(MOST(z))), MOST(z)))
    return one / (one + scaled(prompt_exp(r + s), n))


@helper
def activated(code, z):
    """Return f(z), for the activations of narrow networks."""
    if code == SIGMOID:
        return prompt_sigmoid(z)
    if code == TANH:
        return tanh(z)
    if code == RELU:
        return relu(z)
    return z


@helper
def steepness(code, a):
    """Return f'(z) from a = f(z), for the activations of narrow networks."""
    if code == SIGMOID:
        return sigmoid_slope(a, a)
    if code == TANH:
        return tanh_slope(a, a)
    if code == RELU:
        return relu_slope(a, a)
    return splat(1.0, a)


@helper
def read_rows(at, row, n, zero):
    """Return four rows of weights: the n rows that exist, and then zeros."""
    w0 = load_like(at, 0, zero)
    w1 = load_like(at, row, zero) if n > 1 else zero
    w2 = load_like(at, 2 * row, zero) if n > 2 else zero
    w3 = load_like(at, 3 * row, zero) if n > 3 else zero
    return w0, w1, w2, w3


@helper
def write_rows(at, row, n, rows):
    """Store the n rows that exist."""
    w0, w1, w2, w3 = rows
    store(at, 0, w0)
    if n > 1:
        store(at, row, w1)
    if n > 2:
        store(at, 2 * row, w2)
    if n > 3:
        store(at, 3 * row, w3)


@helper
def inner_sums(x, weights, b, n_in):
    """Return z of the hidden layer, and four inputs, each in all lanes: n_in exist, the others are 0."""
    w0, w1, w2, w3 = weights
    zero = splat(0.0, b)
    x0 = splat(element(x, 0), zero)
    x1 = splat(element(x, 1), zero) if n_in > 1 else zero
    z = fma(x1, w1, fma(x0, w0, b))
    x2, x3 = zero, zero
    if n_in > 2:
        x2 = splat(element(x, 2), zero)
        x3 = splat(element(x, 3), zero) if n_in > 3 else zero
        z = fma(x3, w3, fma(x2, w2, z))
    return z, (x0, x1, x2, x3)


@helper
def outer_sums(h, weights, c, n_out, few):
    """Return z of the output layer. `few` says that the hidden layer fits into four lanes."""
    v0, v1, v2, v3 = weights
    if n_out == 1:
        return splat(lane_sum(low(h, 4) * low(v0, 4)) if few else lane_sum(h * v0), c) + c
    if few:
        g = low(h, 4)
        return lane_sums(g * low(v0, 4), g * low(v1, 4), g * low(v2, 4), g * low(v3, 4)) + c
    return lane_sums(h * v0, h * v1, h * v2, h * v3) + c


@helper
def cost_and_delta(loss, level, output, y, t):
    """Return the losses and deltas of the outputs, from z of the output layer."""
    a = activated(output, y)
    cost, d = gradient_of(loss, level, output, a, t, y)
    if not gives_delta(loss):
        d = d * steepness(output, a)
    return cost, d


@helper
def passed_back(d, h, down, weights, n_out, sequential):
    """Return dL/da of the hidden layer, and the output weights after the update."""
    v0, v1, v2, v3 = weights
    d0 = splat(lane(d, 0), h)
    s = d0 * v0
    push = down * h
    v0 = fma(d0, push, v0)
    if n_out > 1:
        d1, d2, d3 = splat(lane(d, 1), h), splat(lane(d, 2), h), splat(lane(d, 3), h)
        s = fma(d1, v1, s) + fma(d3, v3, d2 * v2)
        v1, v2, v3 = fma(d1, push, v1), fma(d2, push, v2), fma(d3, push, v3)
        if sequential:
            s = fma(d1, v1, d0 * v0) + fma(d3, v3, d2 * v2)
    elif sequential:
        s = d0 * v0
    return s, (v0, v1, v2, v3)


@helper
def moved_rows(push, x, weights, n_in):
    """Return the hidden weights after the update."""
    (x0, x1, x2, x3), (w0, w1, w2, w3) = x, weights
    w0, w1 = fma(push, x0, w0), fma(push, x1, w1)
    if n_in > 2:
        w2, w3 = fma(push, x2, w2), fma(push, x3, w3)
    return w0, w1, w2, w3


@routine
def narrow(job, until):
    """Train a network of up to four inputs, one hidden layer up to a vector wide, and up to four outputs.

    The parameters are eleven vectors that stay in registers. Inputs and outputs that do not exist have
    weights 0. If the processor's vectors have two lanes, two of them make up one vector of four. Only the
    latency from one sample to the next counts: 2-4-1 takes 44 ns a step, and 91 with parameters in memory.
    """
    counters, totals = get(job, "counters"), get(job, "totals")
    order, generator = get(job, "order"), get(job, "generator")
    n_samples, ordering = get(job, "n_samples"), get(job, "ordering")
    draws, is_ordered = ordering == DRAWN, ordering != IN_ORDER
    rates, last_rate, first_step = get(job, "rates"), get(job, "n_rates") - 1, get(job, "first_step")
    X_at, X_row, T_at = typed(job, "X", "own*"), get(job, "X_row"), get(job, "Y")
    direct, area = get(job, "X_in_place") != 0, work_area(job, 0)
    gathered = outputs_of(job, area, "a_at", 0, 0)
    n_in, n_hidden, n_out = of(job, "size", 0), of(job, "size", 1), of(job, "size", 2)
    hidden, output, loss = of(job, "activation", 1), of(job, "activation", 2), get(job, "loss")
    level, sequential, few = level_of(job), get(job, "sequential") != 0, n_hidden <= 4
    inner, outer = of(job, "W", 0), of(job, "WT", 1)
    inner_row, outer_row = of(job, "W_row", 0), of(job, "WT_row", 1)
    inner_biases, outer_biases = of(job, "b", 0), of(job, "b", 1)
    mean = 1.0 if loss == HALF_SQUARED_ERROR else 1.0 / n_out

    zero = wide_splat_4(0.0, inner)
    zero4 = low(zero, 4)
    weights = read_rows(inner, inner_row, n_in, zero)
    outer_weights = read_rows(outer, outer_row, n_out, zero)
    b, c = load_like(inner_biases, 0, zero), load(outer_biases, 0, 4)
    trains = own(job, 1.0 if get(job, "trains_biases") != 0 else 0.0)
    trained, trained4 = splat(trains, zero), splat(trains, zero4)
    scale = splat(mean, zero4)

    step, position = get(counters, "step"), get(counters, "position")
    while step < until:
        stop = min(until, step + n_samples - get(counters, "row"))
        total = get(totals, "loss_sum")  # continued step by step, so that chunks change no bit
        for now in range(step, stop):
            position = next_position(position, order, n_samples, generator, draws)
            sample = element(order, position) if is_ordered else position
            if direct:
                x = shifted(X_at, sample * X_row)
            else:
                x = gathered
                gather(job, area, position, 0, 1)
            rate = element(rates, min(now - first_step, last_rate))
            down, down4 = splat(-rate, zero), splat(-rate, zero4)

            z, inputs = inner_sums(x, weights, b, n_in)
            h = first_lanes(n_hidden, activated(hidden, z), zero)
            y = outer_sums(h, outer_weights, c, n_out, few)
            t = masked_load(T_at, sample * n_out, n_out, zero4)
            cost, d = cost_and_delta(loss, level, output, y, t)
            d = first_lanes(n_out, scale * d, zero4)
            total += mean * np.float64(lane_sum(first_lanes(n_out, cost, zero4)))

            s, outer_weights = passed_back(d, h, down, outer_weights, n_out, sequential)
            c = fma(down4 * trained4, d, c)
            push = s * (down * steepness(hidden, h))
            weights = moved_rows(push, inputs, weights, n_in)
            b = fma(push, trained, b)
        write(counters, "position", position)
        write(totals, "loss_sum", total)
        count(job, stop - step, stop - step, 0.0)
        step = stop

    write_rows(inner, inner_row, n_in, weights)
    write_rows(outer, outer_row, n_out, outer_weights)
    if get(job, "trains_biases") != 0:
        store(inner_biases, 0, b)
        store(outer_biases, 0, c)
