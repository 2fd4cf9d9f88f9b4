"""Many 2-2-2 sigmoid networks, one sample a step, plain SGD: all parameters of some blocks in registers.

Several blocks go through a step together, in two halves, and the two neurons of a layer as one vector. Each
layer's operations are those of one half, then those of the other. So they overlap, and hide each other's
latencies.

Legend: ``x``, ``t`` a sample, ``h`` the hidden layer, ``y`` the outputs; ``V`` and ``b`` lead to h, ``W`` and
``c`` to y; ``d`` = dL/dz of the outputs, ``s`` the error that passes back.
"""

import math

import numpy as np

from fastbp._jit import helper, routine
from fastbp.kernels.elementwise import minus, sigmoid_slope
from fastbp.kernels.fields import OWN_DRAWN
from fastbp.kernels.lanes import blocks_load, blocks_store, half, joined, lane_pairs
from fastbp.kernels.population_curve import is_recorded, place_in_curve
from fastbp.kernels.quick_functions import is_short, quick_sigmoid, sigmoid_within
from fastbp.kernels.records import get
from fastbp.processor import WIDTH
from fastbp.simd import (
    align_stack,
    converted,
    element,
    fma,
    lane_max,
    load_like,
    long_load,
    magnitude,
    shifted,
    splat,
    store,
    where_less,
    wide,
)

HALF_BYTES = 128 if WIDTH == 64 else 64
BYTES_TOGETHER = 2 * HALF_BYTES
"""Blocks of so many bytes go through a step together: 64 float32 networks, or 32, in two halves.

On a Zen 5 with vectors of 64 bytes, halves of 64 bytes instead of 128 take 1.29 times as long in float32 and
1.34 times in float64, since a step then waits for its chain of operations.

With one half alone, a step takes more than twice as long on a Zen 2, and with three halves, or two of twice
the bytes, as long. If all blocks go through each operation together, instead of half by half, it takes 1.1
times as long in float32 and float64.

There, a step takes some 58 cycles for 8 networks of float32 in a vector, and 65 for 4 of float64; without
limits it would take 56 and 64, with them it takes 60 and 69. The fused multiply-adds, multiplications and
limits of float32 are 60 and take 30 cycles of the two units; the units
take 4 instructions a cycle, and there are 172, of which 71 move vectors between registers and the stack, as
the 12 parameters of 4 vectors do not fit into 16 registers. Without the divisions, limits and losses, a step
would take 0.85 of the time. What did not help, in float32: one division for both neurons of a layer, 1 / (p
q) times q and p (1.1 times as long); four quarters of one block each (1.09); parameters that stay in memory
(1.06 to 1.3); other schedulers and allocators of LLVM (1.0 to 1.8).
"""

WITHIN_SHORT, WITHIN = 82.0, 690.0
"""|z| within which a sigmoid needs no limits, in float32 and in float64: less than `MOST_POSITIVE`."""

FLUSHED = 32
"""Steps after which losses are added to their float64 sums, counted from the start of an epoch."""


@helper
def sigmoid222(z, within):
    """Return the sigmoid; `within` says that z is within its limits."""
    return sigmoid_within(z) if within else quick_sigmoid(z)


@helper
def hidden222(weights, x1, x2, within):
    """Return the activations of the hidden layer."""
    V1, V2, b, _, _, _ = weights
    return sigmoid222(fma(x2, V2, fma(x1, V1, b)), within)


@helper
def both_ways(vec):
    """Return each half of a vector, twice: of two neurons, each for both neurons of the next layer."""
    first, second = half(vec, 0), half(vec, 1)
    return joined(first, first), joined(second, second)


@helper
def outputs222(weights, h, within):
    """Return the outputs."""
    _, _, _, W1, W2, c = weights
    h1, h2 = both_ways(h)
    return sigmoid222(fma(h2, W2, fma(h1, W1, c)), within)


@helper
def learn222(weights, x1, x2, t, h, y, rest, part):
    """Return the weights after a step, and `part` plus twice the loss before it."""
    V1, V2, b, W1, W2, c = weights
    down, trains_biases, pull, decays = rest
    h1, h2 = both_ways(h)
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
def step222(weights, x1, x2, t, rest, part, weights_2, x1_2, x2_2, t_2, rest_2, part_2, within):
    """Return the weights of both halves after a step, each with its `part`, plus twice the loss before it."""
    h, h_2 = hidden222(weights, x1, x2, within), hidden222(weights_2, x1_2, x2_2, within)
    y, y_2 = outputs222(weights, h, within), outputs222(weights_2, h_2, within)
    weights, part = learn222(weights, x1, x2, t, h, y, rest, part)
    weights_2, part_2 = learn222(weights_2, x1_2, x2_2, t_2, h_2, y_2, rest_2, part_2)
    return weights, part, weights_2, part_2


@helper
def pair_load(theta, offset, distance):
    """Return two parameters of some blocks, the second behind the first."""
    first = blocks_load(theta, offset, distance, HALF_BYTES)
    return joined(first, blocks_load(theta, offset + wide(theta), distance, HALF_BYTES))


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
    """Return minus the learning rates of a step, and that times l2."""
    relative = element(
        get(job, "relative_rates"), min(step - get(job, "first_step"), get(job, "n_rates") - 1)
    )
    down = minus(rates) * splat(relative, rates)
    return converted(down, theta), converted(down * l2, theta)


@helper
def doubled(vec, number):
    """Return a half of a vector, twice: once for each neuron of a layer."""
    part = half(vec, number)
    return joined(part, part)


@helper
def shared_steps222(data, place, end, both, weights, rest, part, weights_2, rest_2, part_2, within):
    """Take the steps of a sequence that all networks share, from `place` to before `end`."""
    X, T, sequence = data
    zero = half(both, 0)
    for i in range(place, end):
        s = 2 * element(sequence, i)
        x1, x2 = splat(element(X, s), both), splat(element(X, s + 1), both)
        t = joined(splat(element(T, s), zero), splat(element(T, s + 1), zero))
        weights, part, weights_2, part_2 = step222(
            weights, x1, x2, t, rest, part, weights_2, x1, x2, t, rest_2, part_2, within
        )
    return weights, part, weights_2, part_2


@helper
def largest_of(first, second):
    """Return the larger of two vectors, lane by lane, as a number."""
    return np.float64(lane_max(where_less(first, second, second, first)))


@helper
def reach222(weights, x):
    """Return bounds of |z| of the hidden layer and of the outputs, and of |W|; `x` is one of the inputs."""
    V1, V2, b, W1, W2, c = weights
    W1, W2 = magnitude(W1), magnitude(W2)
    hidden = fma(x, magnitude(V1) + magnitude(V2), magnitude(b))
    return hidden, W1 + W2 + magnitude(c), where_less(W1, W2, W2, W1)


@helper
def steps_within(job, weights, weights_2, rate):
    """Return how many steps no z can leave the limits of the sigmoid, without l2.

    In a step, W and c change by at most p = rate |y - t| y (1 - y). As h (1 - h) is at most 1/4, b changes by
    at most p max |W| / 2, and V by that times an input x. So after some steps, whose p add up to q, z of the
    hidden layer has changed by at most q (max |W| + q) (2 x^2 + 1) / 2, and that of the outputs by 3 q.
    """
    x, slope = element(get(job, "reach"), 0), element(get(job, "reach"), 1)
    inputs = converted(splat(x, converted(weights[0], get(job, "reach"))), get(job, "theta"))
    hidden, outputs, W = reach222(weights, inputs)
    hidden_2, outputs_2, W_2 = reach222(weights_2, inputs)
    limit = WITHIN_SHORT if is_short(W) else WITHIN
    of_hidden, of_outputs = limit - largest_of(hidden, hidden_2), limit - largest_of(outputs, outputs_2)
    if of_hidden > 0.0 and of_outputs > 0.0:
        half_W = 0.5 * largest_of(W, W_2)
        q = math.sqrt(half_W * half_W + 2.0 * of_hidden / (2.0 * x * x + 1.0)) - half_W
        return np.int64(min(min(q, of_outputs / 3.0) / max(rate * slope, 1e-9), 1e9))
    return np.int64(0)


@routine
def steps222(job, block, poison, drawn, place, step, stop):
    """Take some steps with the blocks of a bundle, whose own orders may be drawn."""
    align_stack()
    n, n_samples = wide(get(job, "theta")), get(job, "n_samples")
    distance, first = get(job, "n_parameters") * n, block * n
    theta, has_biases = shifted(get(job, "theta"), block * distance), get(job, "has_biases") != 0
    theta_2 = shifted(theta, get(job, "together") // 2 * distance)
    X, T = get(job, "X"), get(job, "Y")
    data = X, T, get(job, "sequence")
    own, half_lanes = get(job, "ordering") == OWN_DRAWN, get(job, "together") // 2 * n
    decays, trains_biases = get(job, "decays") != 0, get(job, "trains_biases") != 0
    weights, weights_2 = read222(theta, distance, has_biases), read222(theta_2, distance, has_biases)
    both = splat(0.0, weights[0])  # as long as the blocks of a bundle, or two neurons of half of them
    zero = half(both, 0)
    seen, loss = both, load_like(get(job, "loss_parts"), first, both)
    part, part_2 = half(loss, 0), half(loss, 1)
    sums = long_load(get(job, "loss_sums"), first, both)
    losses = long_load(get(job, "epoch_losses"), first, both)
    poisons = long_load(poison, 0, both)
    rates, l2 = long_load(get(job, "rates"), first, both), long_load(get(job, "l2"), first, both)
    zero_long = splat(0.0, sums)
    down, pull = rates222(job, rates, l2, step, theta)
    may_be_within, within, checked = get(job, "n_rates") == 1 and not decays, False, step
    rate = np.float64(lane_max(magnitude(down)))
    while step < stop:
        position = step % n_samples
        until = min(stop, step + min(n_samples - position, FLUSHED - position % FLUSHED))
        if get(job, "n_rates") > 1:
            until = step + 1
            down, pull = rates222(job, rates, l2, step, theta)
        rest = doubled(down, 0), trains_biases, doubled(pull, 0), decays
        rest_2 = doubled(down, 1), trains_biases, doubled(pull, 1), decays
        if own:
            for i in range(2 * place, 2 * (place + until - step), 2):
                at, at_2 = i * half_lanes, (i + 1) * half_lanes
                x, t = lane_pairs(X, drawn, at, zero), lane_pairs(T, drawn, at, zero)
                x_2, t_2 = lane_pairs(X, drawn, at_2, zero), lane_pairs(T, drawn, at_2, zero)
                weights, part, weights_2, part_2 = step222(
                    weights, doubled(x, 0), doubled(x, 1), t, rest, part,
                    weights_2, doubled(x_2, 0), doubled(x_2, 1), t_2, rest_2, part_2, False,
                )  # fmt: skip
        else:
            if may_be_within and until > checked:
                n_within = steps_within(job, weights, weights_2, rate)
                within = n_within >= until - step
                checked = step + (n_within if within else 4 * FLUSHED)
            end = place + until - step
            if within:
                weights, part, weights_2, part_2 = shared_steps222(
                    data, place, end, both, weights, rest, part, weights_2, rest_2, part_2, True
                )
            else:
                weights, part, weights_2, part_2 = shared_steps222(
                    data, place, end, both, weights, rest, part, weights_2, rest_2, part_2, False
                )
        place, position, step = place + until - step, position + until - step, until
        loss = joined(part, part_2)
        if (
            position == n_samples <= FLUSHED
            and step + n_samples <= stop
            and not is_recorded(job, step // n_samples)
        ):  # the loss of an epoch to come counts
            seen, part, part_2 = fma(both, loss, seen), zero, zero
            continue
        if position % FLUSHED == 0 or position == n_samples:
            sums = fma(splat(0.5, sums), converted(loss, poison), sums)
            part, part_2 = zero, zero
        if position == n_samples:
            mean = sums * splat(1.0 / n_samples, sums)
            poisons = fma(zero_long, mean, poisons)
            losses = mean
            sums = zero_long
            if is_recorded(job, step // n_samples):
                store(get(job, "curve"), place_in_curve(job, step // n_samples, first), mean)
    write222(theta, distance, has_biases, weights)
    write222(theta_2, distance, has_biases, weights_2)
    store(get(job, "loss_parts"), first, joined(part, part_2))
    store(get(job, "loss_sums"), first, sums)
    store(get(job, "epoch_losses"), first, losses)
    store(poison, 0, poisons + converted(seen, poison))
