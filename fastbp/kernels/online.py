"""Any MLP, one sample a step, plain SGD: every weight is read once forward, and once more to be updated.

Legend as in `fastbp.kernels.layered`, for one row. Sums stay in registers, several at once, because a
chain of dependent multiply-adds waits four cycles for each.

The first layer keeps W in rows of outputs, z = b + sum_i x_i W[i]: its input gets no delta. The others keep
W^T, in rows of inputs, with which z_j = b_j + W^T[j] . a is a reduction, but the way back, s += d_j W^T[j],
is none; it takes the update along, since each row is in registers then: W^T[j] -= r d_j a. The other way
round there would be a reduction on the way back for each input, instead of one for each output.
"""

import numpy as np

from fastbp._jit import helper, kernel, routine
from fastbp.activations import IDENTITY, RELU, SIGMOID, SOFTMAX, TANH
from fastbp.kernels.elementwise import (
    EXP,
    activate,
    apply_slope,
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
from fastbp.kernels.floating_point import FLUSHING, floating_point_state, set_floating_point_state
from fastbp.kernels.layered import count, finish_step, gather
from fastbp.kernels.output import gives_delta, gradient_of, losses_and_deltas, sample_at, softmax, weight_of
from fastbp.kernels.product import dots, row_product, whole_vectors
from fastbp.kernels.records import get, has, job_at, of, outputs_of, own, typed, work_area, write
from fastbp.kernels.shuffle import next_position
from fastbp.losses import CATEGORICAL_CROSS_ENTROPY, HALF_SQUARED_ERROR
from fastbp.simd import (
    address,
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
    wide,
    wide_load,
    wide_splat,
    wide_splat_4,
)


@helper
def clear_beyond(a, size, n):
    """Make 0 what lies between `size` numbers at `a` and n, whole vectors: they meet weights that stay 0."""
    if size < n:
        last = n - wide(a)
        store(a, last, first_lanes(size - last, wide_load(a, last), wide_splat(0.0, a)))


@routine
def forward(job, area, x):
    """Compute the activations from the inputs at x."""
    n_layers = get(job, "n_layers")
    below = x
    for layer in range(n_layers):
        n_in, size, code = (
            of(job, "size", layer),
            of(job, "size", layer + 1),
            of(job, "activation", layer + 1),
        )
        z, a = outputs_of(job, area, "z_at", layer + 1, 0), outputs_of(job, area, "a_at", layer + 1, 0)
        biases, n = of(job, "b", layer), whole_vectors(size, a)
        if layer == 0:
            row_product(n, n_in, below, of(job, "W", 0), of(job, "W_row", 0), biases, z)
        else:
            turned, row = of(job, "WT", layer), of(job, "WT_row", layer)
            dots(size, whole_vectors(n_in, a), below, turned, row, biases, z)
        if code == SOFTMAX:
            if get(job, "loss") != CATEGORICAL_CROSS_ENTROPY:
                softmax(z, n, 1, size, a)
        else:
            activate(code, z, a, n)
            clear_beyond(a, size, n)
        below = a


@helper
def moved(w, pull, push, a, decays):
    """Return a weight's next value: w + pull w + push a.

    Not (1 + pull) w + push a: in float32, 1 + pull would be off by up to 3e-8, which is 3 % of 1e-6.
    """
    return fma(push, a, fma(pull, w, w) if decays else w)


@routine
def backward(job, area, layer, rate, shrink):
    """Compute D_l from D_{l+1}, without f', and update W_l."""
    d, below = outputs_of(job, area, "delta_at", layer + 1, 0), outputs_of(job, area, "delta_at", layer, 0)
    a, turned, row = (
        outputs_of(job, area, "a_at", layer, 0),
        of(job, "WT", layer),
        of(job, "WT_row", layer),
    )
    n_out, n = of(job, "size", layer + 1), whole_vectors(of(job, "size", layer), a)
    step = wide(a)
    zero, down, pull = wide_splat(0.0, a), wide_splat(-rate, a), wide_splat(-shrink, a)
    decays, sequential = shrink != 0.0, get(job, "sequential") != 0
    i = 0
    while i + 4 * step <= n:
        s0, s1, s2, s3 = zero, zero, zero, zero
        a0, a1 = wide_load(a, i), wide_load(a, i + step)
        a2, a3 = wide_load(a, i + 2 * step), wide_load(a, i + 3 * step)
        for j in range(n_out):
            w = shifted(turned, j * row + i)
            error = wide_splat(element(d, j), a)
            push = down * error
            w0, w1 = wide_load(w, 0), wide_load(w, step)
            w2, w3 = wide_load(w, 2 * step), wide_load(w, 3 * step)
            v0, v1 = moved(w0, pull, push, a0, decays), moved(w1, pull, push, a1, decays)
            v2, v3 = moved(w2, pull, push, a2, decays), moved(w3, pull, push, a3, decays)
            if sequential:
                w0, w1, w2, w3 = v0, v1, v2, v3
            s0, s1, s2, s3 = fma(error, w0, s0), fma(error, w1, s1), fma(error, w2, s2), fma(error, w3, s3)
            store(w, 0, v0)
            store(w, step, v1)
            store(w, 2 * step, v2)
            store(w, 3 * step, v3)
        store(below, i, s0)
        store(below, i + step, s1)
        store(below, i + 2 * step, s2)
        store(below, i + 3 * step, s3)
        i += 4 * step
    while i < n:
        s, a0 = zero, wide_load(a, i)
        for j in range(n_out):
            error = wide_splat(element(d, j), a)
            w = wide_load(turned, j * row + i)
            v = moved(w, pull, down * error, a0, decays)
            s = fma(error, v if sequential else w, s)
            store(turned, j * row + i, v)
        store(below, i, s)
        i += step


@routine
def update_first(job, area, x, rate, shrink):
    """Update W_0: W_0[i] -= r x_i D_1."""
    d, weights, row = (
        outputs_of(job, area, "delta_at", 1, 0),
        of(job, "W", 0),
        of(job, "W_row", 0),
    )
    n_in, n = of(job, "size", 0), whole_vectors(of(job, "size", 1), d)
    step = wide(d)
    down, pull, decays = wide_splat(-rate, d), wide_splat(-shrink, d), shrink != 0.0
    j = 0
    while j + 4 * step <= n:
        d0, d1 = down * wide_load(d, j), down * wide_load(d, j + step)
        d2, d3 = down * wide_load(d, j + 2 * step), down * wide_load(d, j + 3 * step)
        for i in range(n_in):
            w = shifted(weights, i * row + j)
            push = wide_splat(element(x, i), d)
            store(w, 0, moved(wide_load(w, 0), pull, push, d0, decays))
            store(w, step, moved(wide_load(w, step), pull, push, d1, decays))
            store(w, 2 * step, moved(wide_load(w, 2 * step), pull, push, d2, decays))
            store(w, 3 * step, moved(wide_load(w, 3 * step), pull, push, d3, decays))
        j += 4 * step
    while j < n:
        d0 = down * wide_load(d, j)
        for i in range(n_in):
            w, push = shifted(weights, i * row + j), wide_splat(element(x, i), d)
            store(w, 0, moved(wide_load(w, 0), pull, push, d0, decays))
        j += step


@routine
def update_biases(job, area, layer, rate, shrink):
    """Update b_l -= r D_{l+1}."""
    d, biases = outputs_of(job, area, "delta_at", layer + 1, 0), of(job, "b", layer)
    down, pull, decays = wide_splat(-rate, d), wide_splat(-shrink, d), shrink != 0.0
    for j in range(0, of(job, "size", layer + 1), wide(d)):
        store(biases, j, moved(wide_load(biases, j), pull, down, wide_load(d, j), decays))


# --- one narrow hidden layer: everything in registers ----------------------------------------------------

MOST_INPUTS = MOST_OUTPUTS = 4
"""Of a network whose weights stay in registers; its hidden layer fits into a vector of four lanes or more."""

NARROW_HIDDEN = (IDENTITY, SIGMOID, TANH, RELU)
"""The activations that such networks may have."""


@helper
def is_narrow(job, vector):
    """Whether `narrow` can train the network; decay and sample weights are left out."""
    plain = element(get(job, "hyper"), 0) == 0.0 and get(get(job, "numbers"), "l2") == 0.0
    if not plain or get(job, "n_layers") != 2 or has(job, "weights"):
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
    """Return s(z) within 2 ulp for |z| <= 88 or 708, and beyond what it is there; 14 ns instead of 18.

    `sigmoid` makes up for roundings on the way, which lengthens the chain of operations.
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
    """Return f'(z) from a = f(z), likewise."""
    if code == SIGMOID:
        return sigmoid_slope(a, a)
    if code == TANH:
        return tanh_slope(a, a)
    if code == RELU:
        return relu_slope(a, a)
    return splat(1.0, a)


@routine
def narrow(job, until):
    """Train a network of up to four inputs, one hidden layer up to a vector wide, and up to four outputs.

    Where a vector has two lanes, two of them are one of four.
    Its parameters are eleven vectors that stay in registers; inputs and outputs that are not there have
    weights 0. What counts is the latency from one sample to the next: 2-4-1 takes 44 ns a step, and 91 with
    parameters in memory.
    """
    counters, totals = get(job, "counters"), get(job, "totals")
    order, generator = get(job, "order"), get(job, "generator")
    n_samples, shuffles = get(job, "n_samples"), get(job, "shuffles") != 0
    rates, last_rate, first_step = get(job, "rates"), get(job, "n_rates") - 1, get(job, "first_step")
    X_at, X_row, T_at = typed(job, "X", "own*"), get(job, "X_row"), get(job, "Y")
    direct, area = get(job, "X_in_place") != 0, work_area(job, 0)
    gathered = outputs_of(job, area, "a_at", 0, 0)
    n_in, n_hidden, n_out = of(job, "size", 0), of(job, "size", 1), of(job, "size", 2)
    hidden, output, loss = of(job, "activation", 1), of(job, "activation", 2), get(job, "loss")
    sequential, few = get(job, "sequential") != 0, n_hidden <= 4
    inner, outer = of(job, "W", 0), of(job, "WT", 1)
    inner_row, outer_row = of(job, "W_row", 0), of(job, "WT_row", 1)
    inner_biases, outer_biases = of(job, "b", 0), of(job, "b", 1)
    mean = 1.0 if loss == HALF_SQUARED_ERROR else 1.0 / n_out

    zero = wide_splat_4(0.0, inner)
    zero4 = low(zero, 4)
    w0 = load_like(inner, 0, zero)
    w1 = load_like(inner, inner_row, zero) if n_in > 1 else zero
    w2 = load_like(inner, 2 * inner_row, zero) if n_in > 2 else zero
    w3 = load_like(inner, 3 * inner_row, zero) if n_in > 3 else zero
    v0 = load_like(outer, 0, zero)
    v1 = load_like(outer, outer_row, zero) if n_out > 1 else zero
    v2 = load_like(outer, 2 * outer_row, zero) if n_out > 2 else zero
    v3 = load_like(outer, 3 * outer_row, zero) if n_out > 3 else zero
    b, c = load_like(inner_biases, 0, zero), load(outer_biases, 0, 4)
    shares = own(job, 1.0 if get(job, "trains_biases") != 0 else 0.0)
    share, share4 = splat(shares, zero), splat(shares, zero4)
    scale = splat(mean, zero4)

    step, position = get(counters, "step"), get(counters, "position")
    while step < until:
        stop = min(until, step + n_samples - get(counters, "row"))
        total = get(totals, "loss_sum")  # added to step by step, so that chunks change no bit
        for now in range(step, stop):
            position = next_position(position, order, n_samples, generator, shuffles)
            sample = element(order, position) if shuffles else position
            if direct:
                x = shifted(X_at, sample * X_row)
            else:
                x = gathered
                gather(job, area, position, 0, 1)
            x0 = splat(element(x, 0), zero)
            x1 = splat(element(x, 1), zero) if n_in > 1 else zero
            rate = element(rates, min(now - first_step, last_rate))
            down, down4 = splat(-rate, zero), splat(-rate, zero4)
            z = fma(x1, w1, fma(x0, w0, b))
            x2, x3 = zero, zero
            if n_in > 2:
                x2 = splat(element(x, 2), zero)
                x3 = splat(element(x, 3), zero) if n_in > 3 else zero
                z = fma(x3, w3, fma(x2, w2, z))
            h = first_lanes(n_hidden, activated(hidden, z), zero)

            if n_out == 1:
                y = splat(lane_sum(low(h, 4) * low(v0, 4)) if few else lane_sum(h * v0), c) + c
            elif few:
                g = low(h, 4)
                y = lane_sums(g * low(v0, 4), g * low(v1, 4), g * low(v2, 4), g * low(v3, 4)) + c
            else:
                y = lane_sums(h * v0, h * v1, h * v2, h * v3) + c
            a = activated(output, y)
            t = masked_load(T_at, sample * n_out, n_out, zero4)
            cost, d = gradient_of(loss, output, a, t, y)
            if not gives_delta(loss):
                d = d * steepness(output, a)
            d = first_lanes(n_out, scale * d, zero4)
            total += mean * np.float64(lane_sum(first_lanes(n_out, cost, zero4)))

            d0 = splat(lane(d, 0), zero)
            s = d0 * v0
            push = down * h
            v0 = fma(d0, push, v0)
            if n_out > 1:
                d1, d2, d3 = splat(lane(d, 1), zero), splat(lane(d, 2), zero), splat(lane(d, 3), zero)
                s = fma(d1, v1, s) + fma(d3, v3, d2 * v2)
                v1, v2, v3 = fma(d1, push, v1), fma(d2, push, v2), fma(d3, push, v3)
                if sequential:
                    s = fma(d1, v1, d0 * v0) + fma(d3, v3, d2 * v2)
            elif sequential:
                s = d0 * v0
            c = fma(down4 * share4, d, c)
            push = s * (down * steepness(hidden, h))
            w0, w1 = fma(push, x0, w0), fma(push, x1, w1)
            if n_in > 2:
                w2, w3 = fma(push, x2, w2), fma(push, x3, w3)
            b = fma(push, share, b)
        write(counters, "position", position)
        write(totals, "loss_sum", total)
        count(job, stop - step, stop - step, 0.0, np.float64(stop - step))
        step = stop

    store(inner, 0, w0)
    store(outer, 0, v0)
    if n_in > 1:
        store(inner, inner_row, w1)
    if n_in > 2:
        store(inner, 2 * inner_row, w2)
    if n_in > 3:
        store(inner, 3 * inner_row, w3)
    if n_out > 1:
        store(outer, outer_row, v1)
    if n_out > 2:
        store(outer, 2 * outer_row, v2)
    if n_out > 3:
        store(outer, 3 * outer_row, v3)
    if get(job, "trains_biases") != 0:
        store(inner_biases, 0, b)
        store(outer_biases, 0, c)


# --- any network -----------------------------------------------------------------------------------------


@routine
def any_network(job, until):
    """Train a network of any layers."""
    counters, totals = get(job, "counters"), get(job, "totals")
    order, generator = get(job, "order"), get(job, "generator")
    n_samples, shuffles, direct = (
        get(job, "n_samples"),
        get(job, "shuffles") != 0,
        get(job, "X_in_place") != 0,
    )
    rates, last_rate, first_step = get(job, "rates"), get(job, "n_rates") - 1, get(job, "first_step")
    decay, l2 = element(get(job, "hyper"), 0), get(get(job, "numbers"), "l2")
    area, n_layers = work_area(job, 0), get(job, "n_layers")
    gathered = outputs_of(job, area, "a_at", 0, 0)
    position = get(counters, "position")
    for step in range(get(counters, "step"), until):
        position = next_position(position, order, n_samples, generator, shuffles)
        write(counters, "position", position)
        sample = sample_at(job, position)
        if direct:
            x = shifted(typed(job, "X", "own*"), sample * get(job, "X_row"))
        else:
            x = gathered
            gather(job, area, position, 0, 1)
        weight = weight_of(job, sample)
        write(totals, "batch_weight", weight)
        rate = element(rates, min(step - first_step, last_rate))
        forward(job, area, x)
        losses_and_deltas(job, area, position, 0, 1, 1.0 / weight if weight > 0.0 else 0.0, area)
        for layer in range(n_layers - 1, -1, -1):
            shrink = rate * (decay + l2)
            if layer > 0:
                backward(job, area, layer, rate, shrink)
            if get(job, "trains_biases") != 0:
                update_biases(job, area, layer, rate, rate * decay)
            if layer > 0:
                a, z = outputs_of(job, area, "a_at", layer, 0), outputs_of(job, area, "z_at", layer, 0)
                n = of(job, "row", layer)
                apply_slope(
                    of(job, "activation", layer), a, z, outputs_of(job, area, "delta_at", layer, 0), n
                )
            else:
                update_first(job, area, x, rate, shrink)
        finish_step(job, 1)


@kernel
def online(job_address, until, unused):
    """Train to step `until`; `unused` is an array of the network's type."""
    job = job_at(job_address, unused)
    state = floating_point_state()
    set_floating_point_state(FLUSHING)
    if is_narrow(job, max(4, wide(address(unused)))):
        narrow(job, until)
    else:
        any_network(job, until)
    set_floating_point_state(state)
