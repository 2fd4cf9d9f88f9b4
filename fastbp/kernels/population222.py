"""Many 2-2-2 sigmoid networks, one sample a step, plain SGD: all parameters of some blocks in registers.

Several blocks go through a step together, and the two neurons of a layer as one
vector. So operations overlap, and hide each other's latencies.

Legend: ``x``, ``t`` a sample, ``h`` the hidden layer, ``y`` the outputs; ``V`` and ``b`` lead to h, ``W`` and
``c`` to y; ``d`` = dL/dz of the outputs, ``s`` the error that passes back.
"""

from fastbp._jit import helper, routine
from fastbp.kernels.elementwise import minus, sigmoid_slope
from fastbp.kernels.lanes import blocks_load, blocks_store, half, joined
from fastbp.kernels.population_curve import is_recorded, place_in_curve
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

BYTES_TOGETHER = 128
"""Blocks of so many bytes go through a step together: 32 float32 networks.

With half of that, a step takes 1.4 times as long on a Zen 2, and with twice that as long. There, a step takes
8.4 cycles a network in float32, or 67 for 8 networks in a vector. Their 68 fused multiply-adds,
multiplications and limits take 34 cycles of the two units, so these are idle for half of the time. Latency is
not the bound: with twice the networks, or polynomials of shorter chains but more operations, it takes as long
or longer. There are 161 instructions, 2.4 a cycle, of which 70 move vectors between registers and the stack,
as the 12 parameters of 4 vectors do not fit into 16 registers. Without the four divisions a step would take
0.9 of the time, and without limits to z 0.95.
"""

FLUSHED = 32
"""Steps after which losses are added to their float64 sums, counted from the start of an epoch."""


@helper
def step222(weights, x1, x2, t, down, trains_biases, pull, decays, part):
    """Return the weights after a step, and `part` plus twice the loss before it."""
    V1, V2, b, W1, W2, c = weights
    h = quick_sigmoid(fma(x2, V2, fma(x1, V1, b)))
    h1, h2 = half(h, 0), half(h, 1)
    h1, h2 = joined(h1, h1), joined(h2, h2)
    y = quick_sigmoid(fma(h2, W2, fma(h1, W1, c)))
    e = y - t
    e1, e2 = half(e, 0), half(e, 1)
    part = fma(e2, e2, fma(e1, e1, part))
    d = down * e * sigmoid_slope(y, y)
    d1, d2 = half(d, 0), half(d, 1)
    s1 = fma(d2, half(W1, 1), d1 * half(W1, 0))
    s2 = fma(d2, half(W2, 1), d1 * half(W2, 0))
    g = joined(s1, s2) * sigmoid_slope(h, h)
    if decays:
        W1, W2, V1, V2 = fma(pull, W1, W1), fma(pull, W2, W2), fma(pull, V1, V1), fma(pull, V2, V2)
    if trains_biases:
        c, b = c + d, b + g
    return (fma(g, x1, V1), fma(g, x2, V2), b, fma(d, h1, W1), fma(d, h2, W2), c), part


@helper
def pair_load(theta, offset, distance):
    """Return two parameters of some blocks, the second behind the first."""
    first = blocks_load(theta, offset, distance, BYTES_TOGETHER)
    return joined(first, blocks_load(theta, offset + wide(theta), distance, BYTES_TOGETHER))


@helper
def pair_store(theta, offset, distance, vec):
    """Write what `pair_load` reads."""
    blocks_store(theta, offset, distance, half(vec, 0))
    blocks_store(theta, offset + wide(theta), distance, half(vec, 1))


@helper
def read222(theta, distance, has_biases):
    """Return the weights of some blocks, with zeros for biases that do not exist."""
    n = wide(theta)
    V1, V2 = pair_load(theta, 0, distance), pair_load(theta, 2 * n, distance)
    b = c = splat(0.0, V1)
    if has_biases:
        b, c = pair_load(theta, 4 * n, distance), pair_load(theta, 10 * n, distance)
        theta = shifted(theta, 2 * n)
    return V1, V2, b, pair_load(theta, 4 * n, distance), pair_load(theta, 6 * n, distance), c


@helper
def write222(theta, distance, has_biases, weights):
    """Write the weights of some blocks."""
    V1, V2, b, W1, W2, c = weights
    n = wide(theta)
    pair_store(theta, 0, distance, V1)
    pair_store(theta, 2 * n, distance, V2)
    if has_biases:
        pair_store(theta, 4 * n, distance, b)
        pair_store(theta, 10 * n, distance, c)
        theta = shifted(theta, 2 * n)
    pair_store(theta, 4 * n, distance, W1)
    pair_store(theta, 6 * n, distance, W2)


@helper
def rates222(job, rates, l2, step, theta):
    """Return minus the learning rates of a step, and that times l2, both twice."""
    relative = element(
        get(job, "relative_rates"), min(step - get(job, "first_step"), get(job, "n_rates") - 1)
    )
    down_long = minus(rates) * splat(relative, rates)
    down, pull = converted(down_long, theta), converted(down_long * l2, theta)
    return joined(down, down), joined(pull, pull)


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
    both = splat(0.0, weights[0])
    zero = half(both, 0)
    trains_biases = get(job, "trains_biases") != 0
    seen = zero
    part = load_like(get(job, "loss_parts"), first, zero)
    sums, losses = (
        long_load(get(job, "loss_sums"), first, zero),
        long_load(get(job, "epoch_losses"), first, zero),
    )
    poisons = long_load(poison, 0, zero)
    rates, l2 = long_load(get(job, "rates"), first, zero), long_load(get(job, "l2"), first, zero)
    zero_long = splat(0.0, sums)
    down, pull = rates222(job, rates, l2, step, theta)
    while step < stop:
        position = step % n_samples
        until = min(stop, step + min(n_samples - position, FLUSHED - position % FLUSHED))
        if get(job, "n_rates") > 1:
            until = step + 1
            down, pull = rates222(job, rates, l2, step, theta)
        for i in range(place, place + until - step):
            s = 2 * element(sequence, i)
            x1, x2 = splat(element(X, s), both), splat(element(X, s + 1), both)
            t = joined(splat(element(T, s), zero), splat(element(T, s + 1), zero))
            weights, part = step222(weights, x1, x2, t, down, trains_biases, pull, decays, part)
        place += until - step
        position += until - step
        step = until
        if (
            position == n_samples <= FLUSHED
            and step + n_samples <= stop
            and not is_recorded(job, step // n_samples)
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
            if is_recorded(job, step // n_samples):
                store(get(job, "curve"), place_in_curve(job, step // n_samples, first), mean)
    write222(theta, distance, has_biases, weights)
    store(get(job, "loss_parts"), first, part)
    store(get(job, "loss_sums"), first, sums)
    store(get(job, "epoch_losses"), first, losses)
    store(poison, 0, poisons + converted(seen, poison))
