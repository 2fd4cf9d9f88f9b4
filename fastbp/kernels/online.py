"""Any MLP, one sample a step, plain SGD: each weight is read once forward, and once more to be updated.

Legend as in `fastbp.kernels.layered`, for one row. Several sums run in registers at the same time: in a chain
of dependent multiply-adds, each one waits four cycles.

The first layer stores W. Its forward pass is z = b + sum_i x_i W[i], and its input needs no delta. The other
layers store W^T. Their forward pass is z_j = b_j + W^T[j] . a, a reduction for each output. Their backward
pass, s += d_j W^T[j], needs no reduction. It updates the row, W^T[j] -= r d_j a, while that is in registers.
With W instead, the backward pass would need a reduction for each input.
"""

from fastbp._jit import kernel, routine
from fastbp.activations import SOFTMAX
from fastbp.kernels.elementwise import (
    activate,
    apply_slope,
)
from fastbp.kernels.fields import DRAWN
from fastbp.kernels.floating_point import FLUSHING, floating_point_state, set_floating_point_state
from fastbp.kernels.narrow import is_narrow, narrow
from fastbp.kernels.output import losses_and_deltas, softmax
from fastbp.kernels.product import clear_beyond, whole_vectors
from fastbp.kernels.records import get, job_at, of, outputs_of, typed, work_area, write
from fastbp.kernels.row_product import dots, row_product
from fastbp.kernels.rows import gather
from fastbp.kernels.samples import inverse, sample_at, weight_of
from fastbp.kernels.shuffle import next_position
from fastbp.kernels.steps import count
from fastbp.kernels.update import sgd_hyperparameters
from fastbp.kernels.update_rules import moved
from fastbp.losses import CATEGORICAL_CROSS_ENTROPY
from fastbp.simd import (
    address,
    element,
    fma,
    shifted,
    store,
    wide,
    wide_load,
    wide_splat,
)


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
            transposed, row = of(job, "WT", layer), of(job, "WT_row", layer)
            dots(size, whole_vectors(n_in, a), below, transposed, row, biases, z)
        if code == SOFTMAX:
            if get(job, "loss") != CATEGORICAL_CROSS_ENTROPY:
                softmax(z, n, 1, size, a)
        else:
            activate(code, z, a, n)
            clear_beyond(a, size, n)
        below = a


@routine
def backward(job, area, layer, rate, shrink):
    """Compute D_l from D_{l+1}, without the factor f', and update W_l."""
    d, below = outputs_of(job, area, "delta_at", layer + 1, 0), outputs_of(job, area, "delta_at", layer, 0)
    a, transposed, row = (
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
            w = shifted(transposed, j * row + i)
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
            w = wide_load(transposed, j * row + i)
            v = moved(w, pull, down * error, a0, decays)
            s = fma(error, v if sequential else w, s)
            store(transposed, j * row + i, v)
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


@routine
def any_network(job, until):
    """Train a network of any layers."""
    counters = get(job, "counters")
    order, generator = get(job, "order"), get(job, "generator")
    n_samples, draws, direct = (
        get(job, "n_samples"),
        get(job, "ordering") == DRAWN,
        get(job, "X_in_place") != 0,
    )
    rates, last_rate, first_step = get(job, "rates"), get(job, "n_rates") - 1, get(job, "first_step")
    decay, l2 = sgd_hyperparameters(get(job, "hyper")).weight_decay, get(get(job, "numbers"), "l2")
    area, n_layers = work_area(job, 0), get(job, "n_layers")
    gathered = outputs_of(job, area, "a_at", 0, 0)
    position = get(counters, "position")
    for step in range(get(counters, "step"), until):
        position = next_position(position, order, n_samples, generator, draws)
        write(counters, "position", position)
        sample = sample_at(job, position)
        if direct:
            x = shifted(typed(job, "X", "own*"), sample * get(job, "X_row"))
        else:
            x = gathered
            gather(job, area, position, 0, 1)
        divisor = weight_of(job, sample) if get(job, "divides_by_weights") != 0 else 1.0
        rate = element(rates, min(step - first_step, last_rate))
        forward(job, area, x)
        losses_and_deltas(job, area, position, 0, 1, inverse(divisor), area)
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
        # The loss is the sample's own: its weight is in it, or in it and in the divisor.
        count(job, 1, 1, element(get(job, "row_losses"), 0) * inverse(divisor))


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
