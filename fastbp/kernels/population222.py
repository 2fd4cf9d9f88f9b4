"""Many 2-2-2 sigmoid networks, one sample a step, plain SGD: all parameters of some blocks in registers.

Several blocks go through a step together. So their operations overlap, and hide each other's latencies.

Legend: ``x``, ``t`` a sample, ``h`` the hidden layer, ``y`` the outputs; ``V`` and ``b`` lead to h, ``W`` and
``c`` to y; ``d`` = dL/dz of the outputs, ``s`` the error that passes back.
"""

from fastbp._jit import helper, routine
from fastbp.kernels.elementwise import minus, sigmoid_slope
from fastbp.kernels.lanes import blocks_load, blocks_store
from fastbp.kernels.quick_functions import quick_sigmoid
from fastbp.kernels.records import get
from fastbp.simd import (
    align_stack,
    converted,
    element,
    fma,
    load_like,
    long_load,
    shifted,
    splat,
    store,
    wide,
)

TOGETHER = 4
"""Blocks that go through a step together. With 2, a step takes 1.4 times as long on a Zen 2; 8 gain 4 %."""

FLUSHED = 32
"""Steps after which losses are added to their float64 sums, counted from the start of an epoch."""


@helper
def forward222(weights, x1, x2):
    """Return the activations of both layers."""
    V11, V12, V21, V22, b1, b2, W11, W12, W21, W22, c1, c2 = weights
    h1 = quick_sigmoid(fma(x2, V21, fma(x1, V11, b1)))
    h2 = quick_sigmoid(fma(x2, V22, fma(x1, V12, b2)))
    y1 = quick_sigmoid(fma(h2, W21, fma(h1, W11, c1)))
    y2 = quick_sigmoid(fma(h2, W22, fma(h1, W12, c2)))
    return h1, h2, y1, y2


@helper
def step222(weights, x1, x2, t1, t2, down, factor_b, pull, decays, part):
    """Return the weights after a step, and `part` plus twice the loss before it.

    `down` is -rate, `pull` is that times l2, and `factor_b` is 1 if biases are trained, and else 0.
    """
    V11, V12, V21, V22, b1, b2, W11, W12, W21, W22, c1, c2 = weights
    h1, h2, y1, y2 = forward222(weights, x1, x2)
    e1, e2 = y1 - t1, y2 - t2
    part = fma(e2, e2, fma(e1, e1, part))
    d1, d2 = e1 * sigmoid_slope(y1, y1), e2 * sigmoid_slope(y2, y2)
    s1, s2 = fma(d2, W12, d1 * W11), fma(d2, W22, d1 * W21)
    g1, g2 = s1 * sigmoid_slope(h1, h1), s2 * sigmoid_slope(h2, h2)
    if decays:
        W11, W12, W21, W22 = (
            fma(pull, W11, W11),
            fma(pull, W12, W12),
            fma(pull, W21, W21),
            fma(pull, W22, W22),
        )
        V11, V12, V21, V22 = (
            fma(pull, V11, V11),
            fma(pull, V12, V12),
            fma(pull, V21, V21),
            fma(pull, V22, V22),
        )
    d1, d2, g1, g2 = down * d1, down * d2, down * g1, down * g2
    c1, c2 = fma(d1, factor_b, c1), fma(d2, factor_b, c2)
    b1, b2 = fma(g1, factor_b, b1), fma(g2, factor_b, b2)
    W11, W12, W21, W22 = fma(d1, h1, W11), fma(d2, h1, W12), fma(d1, h2, W21), fma(d2, h2, W22)
    V11, V12, V21, V22 = fma(g1, x1, V11), fma(g2, x1, V12), fma(g1, x2, V21), fma(g2, x2, V22)
    return (V11, V12, V21, V22, b1, b2, W11, W12, W21, W22, c1, c2), part


@helper
def read222(theta, distance, has_biases):
    """Return the weights of some blocks, with zeros for biases that do not exist."""
    n = wide(theta)
    V11, V12 = blocks_load(theta, 0, distance, TOGETHER), blocks_load(theta, n, distance, TOGETHER)
    V21, V22 = blocks_load(theta, 2 * n, distance, TOGETHER), blocks_load(theta, 3 * n, distance, TOGETHER)
    zero = splat(0.0, V11)
    b1, b2, c1, c2 = zero, zero, zero, zero
    if has_biases:
        b1, b2 = blocks_load(theta, 4 * n, distance, TOGETHER), blocks_load(theta, 5 * n, distance, TOGETHER)
        c1, c2 = (
            blocks_load(theta, 10 * n, distance, TOGETHER),
            blocks_load(theta, 11 * n, distance, TOGETHER),
        )
        theta = shifted(theta, 2 * n)
    W11, W12 = blocks_load(theta, 4 * n, distance, TOGETHER), blocks_load(theta, 5 * n, distance, TOGETHER)
    W21, W22 = blocks_load(theta, 6 * n, distance, TOGETHER), blocks_load(theta, 7 * n, distance, TOGETHER)
    return V11, V12, V21, V22, b1, b2, W11, W12, W21, W22, c1, c2


@helper
def write222(theta, distance, has_biases, weights):
    """Write the weights of some blocks."""
    V11, V12, V21, V22, b1, b2, W11, W12, W21, W22, c1, c2 = weights
    n = wide(theta)
    blocks_store(theta, 0, distance, V11)
    blocks_store(theta, n, distance, V12)
    blocks_store(theta, 2 * n, distance, V21)
    blocks_store(theta, 3 * n, distance, V22)
    if has_biases:
        blocks_store(theta, 4 * n, distance, b1)
        blocks_store(theta, 5 * n, distance, b2)
        blocks_store(theta, 10 * n, distance, c1)
        blocks_store(theta, 11 * n, distance, c2)
        theta = shifted(theta, 2 * n)
    blocks_store(theta, 4 * n, distance, W11)
    blocks_store(theta, 5 * n, distance, W12)
    blocks_store(theta, 6 * n, distance, W21)
    blocks_store(theta, 7 * n, distance, W22)


@routine
def steps222(job, block, poison, place, step, stop):
    """Take some steps with `TOGETHER` blocks."""
    align_stack()
    n, n_samples = wide(get(job, "theta")), get(job, "n_samples")
    distance, first = get(job, "n_parameters") * n, block * n
    theta, has_biases = shifted(get(job, "theta"), block * distance), get(job, "has_biases") != 0
    X, T, sequence = get(job, "X"), get(job, "Y"), get(job, "sequence")
    decays = get(job, "decays") != 0
    weights = read222(theta, distance, has_biases)
    zero = splat(0.0, weights[0])
    factor_b = splat(1.0 if get(job, "trains_biases") != 0 else 0.0, zero)
    seen = zero
    part = load_like(get(job, "loss_parts"), first, zero)
    sums, losses = (
        long_load(get(job, "loss_sums"), first, zero),
        long_load(get(job, "epoch_losses"), first, zero),
    )
    poisons = long_load(poison, 0, zero)
    rates, l2 = long_load(get(job, "rates"), first, zero), long_load(get(job, "l2"), first, zero)
    zero_long = splat(0.0, sums)
    while step < stop:
        position = step % n_samples
        until = min(stop, step + min(n_samples - position, FLUSHED - position % FLUSHED))
        if get(job, "n_rates") > 1:
            until = step + 1
        relative = element(
            get(job, "relative_rates"), min(step - get(job, "first_step"), get(job, "n_rates") - 1)
        )
        down_long = minus(rates) * splat(relative, rates)
        down, pull = converted(down_long, theta), converted(down_long * l2, theta)
        for i in range(place, place + until - step):
            s = 2 * element(sequence, i)
            x1, x2 = splat(element(X, s), zero), splat(element(X, s + 1), zero)
            t1, t2 = splat(element(T, s), zero), splat(element(T, s + 1), zero)
            weights, part = step222(weights, x1, x2, t1, t2, down, factor_b, pull, decays, part)
        place += until - step
        position += until - step
        step = until
        if (
            position == n_samples <= FLUSHED and step + n_samples <= stop
        ):  # the loss of an epoch to come counts
            seen, part = fma(zero, part, seen), zero
            continue
        if position % FLUSHED == 0 or position == n_samples:
            sums = fma(splat(0.5, sums), converted(part, poison), sums)
            part = zero
        if position == n_samples:
            mean = sums * splat(1.0 / n_samples, sums)
            poisons = fma(zero_long, mean, poisons)
            losses = mean
            sums = zero_long
    write222(theta, distance, has_biases, weights)
    store(get(job, "loss_parts"), first, part)
    store(get(job, "loss_sums"), first, sums)
    store(get(job, "epoch_losses"), first, losses)
    store(poison, 0, poisons + converted(seen, poison))
