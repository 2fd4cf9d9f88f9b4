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
from fastbp.kernels.fields import (
    A_AT,
    A_ROW,
    BATCH_WEIGHT,
    CODE,
    COUNTERS,
    D_AT,
    DIRECT,
    FIRST_STEP,
    GENERATOR,
    HYPER,
    L2,
    LOSS,
    LOSS_SUM,
    N_LAYERS,
    N_RATES,
    N_SAMPLES,
    NUMBERS,
    ORDER,
    POSITION,
    RATES,
    ROW,
    SEQUENTIAL,
    SHUFFLES,
    SIZE,
    STEP,
    TOTALS,
    TRAINS_BIASES,
    W_ROW,
    WEIGHTS,
    WT,
    WT_ROW,
    X_ROW,
    Z_AT,
    B,
    T,
    W,
    X,
    doubles,
    field,
    floats,
    integers,
    of,
    outputs_of,
    work_area,
)
from fastbp.kernels.floating_point import FLUSHING, floating_point_state, set_floating_point_state
from fastbp.kernels.layered import count, finish_step, gather
from fastbp.kernels.output import gives_delta, gradient_of, losses_and_deltas, sample_at, softmax, weight_of
from fastbp.kernels.product import dots, row_product, whole_vectors
from fastbp.kernels.shuffle import next_position
from fastbp.losses import CATEGORICAL_CROSS_ENTROPY, HALF_SQUARED_ERROR
from fastbp.simd import (
    address,
    at_address,
    cast,
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
    put,
    scaled,
    shifted,
    splat,
    store,
    wide,
    wide_load,
    wide_splat,
    wide_splat_4,
    zero_of,
)


@helper
def clear_beyond(a, size, n):
    """Make 0 what lies between `size` numbers at `a` and n, whole vectors: they meet weights that stay 0."""
    if size < n:
        last = n - wide(a)
        store(a, last, first_lanes(size - last, wide_load(a, last), wide_splat(0.0, a)))


@routine
def forward(job, area, x, like):
    """Compute the activations from the inputs at x."""
    n_layers = field(job, N_LAYERS)
    below = x
    for layer in range(n_layers):
        n_in, size, code = of(job, layer, SIZE), of(job, layer + 1, SIZE), of(job, layer + 1, CODE)
        z, a = outputs_of(job, area, layer + 1, Z_AT, 0), outputs_of(job, area, layer + 1, A_AT, 0)
        biases, n = at_address(of(job, layer, B), like), whole_vectors(size, a)
        if layer == 0:
            row_product(n, n_in, below, at_address(of(job, 0, W), like), of(job, 0, W_ROW), biases, z)
        else:
            turned, row = at_address(of(job, layer, WT), like), of(job, layer, WT_ROW)
            dots(size, whole_vectors(n_in, a), below, turned, row, biases, z)
        if code == SOFTMAX:
            if field(job, LOSS) != CATEGORICAL_CROSS_ENTROPY:
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
def backward(job, area, layer, rate, shrink, like):
    """Compute D_l from D_{l+1}, without f', and update W_l."""
    d, below = outputs_of(job, area, layer + 1, D_AT, 0), outputs_of(job, area, layer, D_AT, 0)
    a, turned, row = (
        outputs_of(job, area, layer, A_AT, 0),
        at_address(of(job, layer, WT), like),
        of(job, layer, WT_ROW),
    )
    n_out, n = of(job, layer + 1, SIZE), whole_vectors(of(job, layer, SIZE), a)
    step = wide(a)
    zero, down, pull = wide_splat(0.0, a), wide_splat(-rate, a), wide_splat(-shrink, a)
    decays, sequential = shrink != 0.0, field(job, SEQUENTIAL) != 0
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
def update_first(job, area, x, rate, shrink, like):
    """Update W_0: W_0[i] -= r x_i D_1."""
    d, weights, row = (
        outputs_of(job, area, 1, D_AT, 0),
        at_address(of(job, 0, W), like),
        of(job, 0, W_ROW),
    )
    n_in, n = of(job, 0, SIZE), whole_vectors(of(job, 1, SIZE), d)
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
def update_biases(job, area, layer, rate, shrink, like):
    """Update b_l -= r D_{l+1}."""
    d, biases = outputs_of(job, area, layer + 1, D_AT, 0), at_address(of(job, layer, B), like)
    down, pull, decays = wide_splat(-rate, d), wide_splat(-shrink, d), shrink != 0.0
    for j in range(0, of(job, layer + 1, SIZE), wide(d)):
        store(biases, j, moved(wide_load(biases, j), pull, down, wide_load(d, j), decays))


# --- one narrow hidden layer: everything in registers ----------------------------------------------------

MOST_INPUTS = MOST_OUTPUTS = 4
"""Of a network whose weights stay in registers; its hidden layer fits into a vector of four lanes or more."""

NARROW_HIDDEN = (IDENTITY, SIGMOID, TANH, RELU)
"""The activations that such networks may have."""


@helper
def is_narrow(job, vector):
    """Whether `narrow` can train the network; decay and sample weights are left out."""
    plain = element(doubles(job, HYPER), 0) == 0.0 and element(doubles(job, NUMBERS), L2) == 0.0
    if not plain or field(job, N_LAYERS) != 2 or field(job, WEIGHTS) != 0:
        return False
    return (
        of(job, 0, SIZE) <= MOST_INPUTS
        and of(job, 1, SIZE) <= vector
        and of(job, 2, SIZE) <= MOST_OUTPUTS
        and of(job, 1, CODE) in NARROW_HIDDEN
        and of(job, 2, CODE) in NARROW_HIDDEN
        and field(job, LOSS) != CATEGORICAL_CROSS_ENTROPY
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
def narrow(job, until, like):
    """Train a network of up to four inputs, one hidden layer up to a vector wide, and up to four outputs.

    Where a vector has two lanes, two of them are one of four.
    Its parameters are eleven vectors that stay in registers; inputs and outputs that are not there have
    weights 0. What counts is the latency from one sample to the next: 2-4-1 takes 44 ns a step, and 91 with
    parameters in memory.
    """
    counters, totals = integers(job, COUNTERS), doubles(job, TOTALS)
    order, generator = integers(job, ORDER), at_address(field(job, GENERATOR), np.uint64(0))
    n_samples, shuffles = field(job, N_SAMPLES), field(job, SHUFFLES) != 0
    rates, last_rate, first_step = doubles(job, RATES), field(job, N_RATES) - 1, field(job, FIRST_STEP)
    X_at, X_row, T_at = floats(job, X, like), field(job, X_ROW), floats(job, T, like)
    direct, area = field(job, DIRECT) != 0, work_area(job, 0, like)
    gathered = outputs_of(job, area, 0, A_AT, 0)
    n_in, n_hidden, n_out = of(job, 0, SIZE), of(job, 1, SIZE), of(job, 2, SIZE)
    hidden, output, loss = of(job, 1, CODE), of(job, 2, CODE), field(job, LOSS)
    sequential, few = field(job, SEQUENTIAL) != 0, n_hidden <= 4
    inner, outer = at_address(of(job, 0, W), like), at_address(of(job, 1, WT), like)
    inner_row, outer_row = of(job, 0, W_ROW), of(job, 1, WT_ROW)
    inner_biases, outer_biases = at_address(of(job, 0, B), like), at_address(of(job, 1, B), like)
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
    shares = cast(1.0 if field(job, TRAINS_BIASES) != 0 else 0.0, like)
    share, share4 = splat(shares, zero), splat(shares, zero4)
    scale = splat(mean, zero4)

    step, position = element(counters, STEP), element(counters, POSITION)
    while step < until:
        stop = min(until, step + n_samples - element(counters, ROW))
        total = element(totals, LOSS_SUM)  # added to step by step, so that chunks change no bit
        for now in range(step, stop):
            position = next_position(position, order, n_samples, generator, shuffles)
            sample = element(order, position) if shuffles else position
            if direct:
                x = shifted(X_at, sample * X_row)
            else:
                x = gathered
                gather(job, area, position, 0, 1, like)
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
        put(counters, POSITION, position)
        put(totals, LOSS_SUM, total)
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
    if field(job, TRAINS_BIASES) != 0:
        store(inner_biases, 0, b)
        store(outer_biases, 0, c)


# --- any network -----------------------------------------------------------------------------------------


@routine
def any_network(job, until, like):
    """Train a network of any layers."""
    counters, totals = integers(job, COUNTERS), doubles(job, TOTALS)
    order, generator = integers(job, ORDER), at_address(field(job, GENERATOR), np.uint64(0))
    n_samples, shuffles, direct = field(job, N_SAMPLES), field(job, SHUFFLES) != 0, field(job, DIRECT) != 0
    rates, last_rate, first_step = doubles(job, RATES), field(job, N_RATES) - 1, field(job, FIRST_STEP)
    decay, l2 = element(doubles(job, HYPER), 0), element(doubles(job, NUMBERS), L2)
    area, n_layers = work_area(job, 0, like), field(job, N_LAYERS)
    gathered = outputs_of(job, area, 0, A_AT, 0)
    position = element(counters, POSITION)
    for step in range(element(counters, STEP), until):
        position = next_position(position, order, n_samples, generator, shuffles)
        put(counters, POSITION, position)
        sample = sample_at(job, position)
        if direct:
            x = shifted(floats(job, X, like), sample * field(job, X_ROW))
        else:
            x = gathered
            gather(job, area, position, 0, 1, like)
        weight = weight_of(job, sample)
        put(totals, BATCH_WEIGHT, weight)
        rate = element(rates, min(step - first_step, last_rate))
        forward(job, area, x, like)
        losses_and_deltas(job, area, position, 0, 1, 1.0 / weight if weight > 0.0 else 0.0, area, like)
        for layer in range(n_layers - 1, -1, -1):
            shrink = rate * (decay + l2)
            if layer > 0:
                backward(job, area, layer, rate, shrink, like)
            if field(job, TRAINS_BIASES) != 0:
                update_biases(job, area, layer, rate, rate * decay, like)
            if layer > 0:
                a, z = outputs_of(job, area, layer, A_AT, 0), outputs_of(job, area, layer, Z_AT, 0)
                n = of(job, layer, A_ROW)
                apply_slope(of(job, layer, CODE), a, z, outputs_of(job, area, layer, D_AT, 0), n)
            else:
                update_first(job, area, x, rate, shrink, like)
        finish_step(job, 1)


@kernel
def online(job_address, until, unused):
    """Train to step `until`; `unused` is an array of the network's type."""
    job = at_address(job_address, job_address)
    like = zero_of(address(unused))
    state = floating_point_state()
    set_floating_point_state(FLUSHING)
    if is_narrow(job, max(4, wide(address(unused)))):
        narrow(job, until, like)
    else:
        any_network(job, until, like)
    set_floating_point_state(state)
