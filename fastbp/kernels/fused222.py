"""The 2-2-2 sigmoid network, one sample a step, half squared error: the whole training loop in registers.

Legend, in the worked example's names (two inputs x, two hidden neurons h, two outputs y, targets t):

    parameters = [w1 w3 | w2 w4 | bh1 bh2 | w5 w7 | w6 w8 | by1 by2]     the layout of Network.theta
    z = pre-activation, d = dE/dz of an output neuron, s = sum back-propagated to a hidden neuron

All kernels train from the present step to step `until`. The bits do not depend on how a run is divided into
chunks. `fastbp.kernels.fields.FUSED` lists what they read and write: X and T (flat, two numbers a sample),
the order of the samples, counters, parameters, recorded losses and options.

`fused222_exact` is `fastbp.reference`, operation by operation. It is as fast as C: four exp and four
divisions, one after the other, take most of its 48 ns a step at 3.65 GHz.

`fused222_guess` takes 13 ns. Arithmetic does not limit it. A step is one chain of dependent operations, from
the hidden pre-activations of one step to those of the next, and only the latency of this chain counts. The
ideas that shorten it, with the ns a step that each version took:

- A table replaces exp and division. Its row is found from z (25 ns).
- The row is guessed (16 ns). At most visits, a sample needs the same rows as at its last visit. Their
  coefficients are in the sample's *slot*, and are loaded before z is known. A predicted branch checks the
  guess, and fetches other rows if it was wrong. The right row depends on z alone, so guessing changes no bit.
- Look-ahead: the next hidden pre-activation is m + s k, with m = W x_next + b from *before* the update, and
  k = -learning_rate (x . x_next + 1) h (1 - h). Both are known early. The weights are updated off the chain.
- Two neurons are in one vector. That halves the instructions, so that more of the work beside the chain fits
  into the processor's window. The polynomial of the output layer gives d itself, not y (13.7 ns).
- The last stage of the polynomial is merged with the product that uses it (12.9 ns): with h = P + q Q,
  w h = (w q) Q + w P, and w q and w P are ready when Q is. In the output layer, too, it would be 12.7 ns,
  which is not worth the code.
- The distance from the row's centre is (m - c) + s k, and not (m + s k) - c (14.8 ns).

With many samples, the weights change between two visits to a sample, and guesses fail. A step takes 14 to 21
ns for 100 samples in order or with small steps. It takes 44 ns for 100 shuffled samples with large steps,
because wrong predictions flush the pipeline twice. So for many shuffled samples, `fused222_look_up` finds
rows from z, which takes 33 ns a step for any data. `fastbp.engine.fused222_run` decides. Each form of the
loop is a kernel, because to compile all three would take three times as long.

By its latencies (4 cycles for an fma, 3 for a product or sum, 1 for a shuffle), the chain takes 36 cycles, 10
ns. A step takes 47 cycles, and 43 without the work beside the chain.
"""

import numpy as np

from fastbp._jit import helper, kernel, routine
from fastbp.kernels.floating_point import (
    FLUSHING,
    NEAREST,
    floating_point_state,
    set_floating_point_state,
)
from fastbp.kernels.records import get, own, record_at, write
from fastbp.kernels.shuffle import next_position
from fastbp.kernels.sigmoid_table import LIMIT, RADIUS, fast_sigmoid, lookup_sigmoid, sigmoid_formula
from fastbp.kernels.slots import (
    SLOT,
    hidden_fetch,
    output_fetch,
    polynomial,
    saturated_delta,
    saturated_hidden,
)
from fastbp.simd import (
    all_within,
    cast,
    element,
    fma,
    lane,
    load,
    pair,
    put,
    splat,
    spread,
    store,
)

LOSS_ALONE = -1
"""As `until`: take no step, and write the loss over all samples to `loss`."""

CARRY = 10
"""Numbers that the look-ahead hands from one chunk to the next: m, A1, A2, E and d, two lanes each."""


@helper
def sigmoid(z, table, use_table):
    """Return s(z), from `lookup_table` or the formula."""
    return fast_sigmoid(z, table) if use_table else sigmoid_formula(z)


@helper
def read_parameters(at):
    """Return the twelve parameters at an address."""
    return (
        element(at, 0),
        element(at, 1),
        element(at, 2),
        element(at, 3),
        element(at, 4),
        element(at, 5),
        element(at, 6),
        element(at, 7),
        element(at, 8),
        element(at, 9),
        element(at, 10),
        element(at, 11),
    )


@helper
def write_parameters(at, values):
    """Store what `read_parameters` returns."""
    w1, w3, w2, w4, bh1, bh2, w5, w7, w6, w8, by1, by2 = values
    put(at, 0, w1)
    put(at, 1, w3)
    put(at, 2, w2)
    put(at, 3, w4)
    put(at, 4, bh1)
    put(at, 5, bh2)
    put(at, 6, w5)
    put(at, 7, w7)
    put(at, 8, w6)
    put(at, 9, w8)
    put(at, 10, by1)
    put(at, 11, by2)


@routine
def mean_loss(parameters, X, T, n_samples, table, use_table):
    """Return the loss, in the order of operations of `fastbp.reference.loss`; the arrays are addresses."""
    w1, w3, w2, w4, bh1, bh2, w5, w7, w6, w8, by1, by2 = read_parameters(parameters)
    half, total = cast(0.5, w1), cast(0.0, w1)
    for i in range(0, 2 * n_samples, 2):
        x1, x2 = element(X, i), element(X, i + 1)
        h1 = sigmoid(bh1 + x1 * w1 + x2 * w2, table, use_table)
        h2 = sigmoid(bh2 + x1 * w3 + x2 * w4, table, use_table)
        r1 = sigmoid(by1 + h1 * w5 + h2 * w6, table, use_table) - element(T, i)
        r2 = sigmoid(by2 + h1 * w7 + h2 * w8, table, use_table) - element(T, i + 1)
        total += half * (r1 * r1 + r2 * r2)
    return total / cast(n_samples, total)


@helper
def next_stop(step, record_every, until):
    """Return the step at which the next loss is due, or the last step of the chunk."""
    return min((step // record_every + 1) * record_every, until)


@helper
def begin(fused, until, loss_arguments):
    """Return the position of the next sample; before the first step, draw it and record the loss.

    For `LOSS_ALONE`, write the loss, and return any position. Here is one of two calls of `mean_loss`: with a
    third one, LLVM would not make it part of the kernel, and steps on one sample would take a sixth longer.
    """
    counters = get(fused, "counters")
    position = get(counters, "position")
    if position < 0 or until == LOSS_ALONE:
        loss = np.float64(mean_loss(*loss_arguments))
        if until == LOSS_ALONE:
            put(get(fused, "loss"), 0, loss)
            return 0
        order, generator, n_samples = get(fused, "order"), get(fused, "generator"), get(fused, "n_samples")
        position = next_position(position, order, n_samples, generator, get(fused, "shuffles") != 0)
        write(counters, "position", position)
        put(get(fused, "losses"), 0, loss)
        write(counters, "recorded", 1)
    return position


@helper
def finish(fused, step, position, loss_arguments):
    """Count the steps up to `step`, and record the loss if it is due."""
    counters = get(fused, "counters")
    write(counters, "step", step)
    write(counters, "position", position)
    if step % get(fused, "record_every") == 0 or step == get(counters, "end"):
        recorded = get(counters, "recorded")
        put(get(fused, "losses"), recorded, np.float64(mean_loss(*loss_arguments)))
        write(counters, "recorded", recorded + 1)


@helper
def exact_step(parameters, x1, x2, t1, t2, learning_rate, train_biases, sequential):
    """Return the parameters after a step."""
    w1, w3, w2, w4, bh1, bh2, w5, w7, w6, w8, by1, by2 = parameters
    one = cast(1.0, learning_rate)
    h1 = sigmoid_formula(bh1 + x1 * w1 + x2 * w2)
    h2 = sigmoid_formula(bh2 + x1 * w3 + x2 * w4)
    y1 = sigmoid_formula(by1 + h1 * w5 + h2 * w6)
    y2 = sigmoid_formula(by2 + h1 * w7 + h2 * w8)
    d1 = (y1 - t1) * (y1 * (one - y1))
    d2 = (y2 - t2) * (y2 * (one - y2))
    s1 = w5 * d1 + w7 * d2
    s2 = w6 * d1 + w8 * d2
    w5 = w5 - learning_rate * (h1 * d1)
    w7 = w7 - learning_rate * (h1 * d2)
    w6 = w6 - learning_rate * (h2 * d1)
    w8 = w8 - learning_rate * (h2 * d2)
    if sequential:
        s1 = w5 * d1 + w7 * d2
        s2 = w6 * d1 + w8 * d2
    g1 = s1 * (h1 * (one - h1))
    g2 = s2 * (h2 * (one - h2))
    w1 = w1 - learning_rate * (x1 * g1)
    w3 = w3 - learning_rate * (x1 * g2)
    w2 = w2 - learning_rate * (x2 * g1)
    w4 = w4 - learning_rate * (x2 * g2)
    if train_biases:
        bh1 = bh1 - learning_rate * g1
        bh2 = bh2 - learning_rate * g2
        by1 = by1 - learning_rate * d1
        by2 = by2 - learning_rate * d2
    return w1, w3, w2, w4, bh1, bh2, w5, w7, w6, w8, by1, by2


@kernel
def fused222_exact(fused_address, until, unused):
    """Train to step `until` with the bits of `fastbp.reference`; see the module's legend.

    Parameters
    ----------
    fused_address : int
        The address of the words of `FUSED`.
    until : int
        The step to train to, or `LOSS_ALONE`.
    unused : array, two-dimensional
        An array of the network's type.
    """
    fused = record_at("fused", fused_address, unused)
    state = floating_point_state()
    set_floating_point_state(NEAREST)
    X, T, parameters, counters = (
        get(fused, "X"),
        get(fused, "T"),
        get(fused, "parameters"),
        get(fused, "counters"),
    )
    order, generator, n_samples = get(fused, "order"), get(fused, "generator"), get(fused, "n_samples")
    shuffles, record_every = get(fused, "shuffles") != 0, get(fused, "record_every")
    trains_biases, sequential = get(fused, "trains_biases") != 0, get(fused, "sequential") != 0
    learning_rate = own(fused, element(get(fused, "rate"), 0))
    loss_arguments = parameters, X, T, n_samples, parameters, False
    parameters_now = read_parameters(parameters)
    position, step = begin(fused, until, loss_arguments), get(counters, "step")
    while step < until:
        stop = next_stop(step, record_every, until)
        for _ in range(step, stop):
            i = 2 * element(order, position)
            x1, x2, t1, t2 = element(X, i), element(X, i + 1), element(T, i), element(T, i + 1)
            parameters_now = exact_step(
                parameters_now, x1, x2, t1, t2, learning_rate, trains_biases, sequential
            )
            position = next_position(position, order, n_samples, generator, shuffles)
        write_parameters(parameters, parameters_now)
        finish(fused, stop, position, loss_arguments)
        step = stop
    set_floating_point_state(state)


# --- the fast kernel ---------------------------------------------------------------------------------


@helper
def lookup_hidden(z, table):
    """Return s(z), with rows found from z."""
    if all_within(z, splat(LIMIT, z)):
        return pair(lookup_sigmoid(lane(z, 0), table), lookup_sigmoid(lane(z, 1), table))
    return saturated_hidden(z)


@helper
def lookup_delta(z, t, table):
    """Return d(z), with rows found from z."""
    if all_within(z, splat(LIMIT, z)):
        y = pair(lookup_sigmoid(lane(z, 0), table), lookup_sigmoid(lane(z, 1), table))
        return (y - t) * fma(splat(0.0, y) - y, y, y)
    return saturated_delta(z, t)


@helper
def look_ahead(m, A1, A2, E, d, sequential):
    """Return m + s k: the hidden pre-activation of the next sample, from what was known before.

    s = w d is a sum over outputs, and A1, A2 are w k. If the output weights are updated first
    (sequential), s changes by -learning_rate h (d1^2 + d2^2), and E is the factor of this bracket.
    """
    d1, d2 = spread(d, 0), spread(d, 1)
    z = fma(d1, A1, m) + d2 * A2
    if sequential:
        z = fma(fma(d1, d1, d2 * d2), E, z)
    return z


@helper
def read_pairs(at):
    """Return V1, V2, bh, W1, W2 and by; then the output weights again, by output: [w5 w6], [w7 w8]."""
    W1, W2 = load(at, 6, 2), load(at, 8, 2)
    U1, U2 = pair(lane(W1, 0), lane(W2, 0)), pair(lane(W1, 1), lane(W2, 1))
    return load(at, 0, 2), load(at, 2, 2), load(at, 4, 2), W1, W2, load(at, 10, 2), U1, U2


@helper
def write_pairs(at, weights):
    """Store what `read_pairs` returns."""
    V1, V2, bh, W1, W2, by, _, _ = weights
    store(at, 0, V1)
    store(at, 2, V2)
    store(at, 4, bh)
    store(at, 6, W1)
    store(at, 8, W2)
    store(at, 10, by)


@helper
def read_carry(at):
    """Return m, A1, A2, E and d: what `look_ahead` needs."""
    return load(at, 0, 2), load(at, 2, 2), load(at, 4, 2), load(at, 6, 2), load(at, 8, 2)


@helper
def write_carry(at, ahead):
    """Store what `read_carry` returns."""
    m, A1, A2, E, d = ahead
    store(at, 0, m)
    store(at, 2, A1)
    store(at, 4, A2)
    store(at, 6, E)
    store(at, 8, d)


@helper
def guessed_forward(weights, ahead, T, sample, slots, table, sequential):
    """Return h and d from the rows in the sample's slot. If these are wrong, others are fetched.

    A row knows the targets. They are loaded only for another one, which leaves a register to the chain.
    """
    o = SLOT * sample
    _, _, _, W1, W2, by, _, _ = weights
    m, A1, A2, E, d = ahead
    radius = splat(RADIUS, m)
    # Hidden layer: e is z's distance from the guessed row's centre, h = P + q Q.
    z = look_ahead(m, A1, A2, E, d, sequential)
    c = load(slots, o, 2)
    if not all_within(z - c, radius):
        c = hidden_fetch(z, table, slots, o)
    e = look_ahead(m - c, A1, A2, E, d, sequential)
    P, q, Q = polynomial(e, slots, o)
    h = fma(q, Q, P)
    # Output layer: the same; its polynomial gives d.
    o += SLOT // 2
    c = load(slots, o, 2)
    z = fma(W1, spread(h, 0), by) + W2 * spread(h, 1)
    if not all_within(z - c, radius):
        c = output_fetch(z, load(T, 2 * sample, 2), table, slots, o)
    e = fma(W1 * spread(q, 0), spread(Q, 0), fma(W1, spread(P, 0), by - c)) + fma(
        W2 * spread(q, 1), spread(Q, 1), W2 * spread(P, 1)
    )
    P, q, Q = polynomial(e, slots, o)
    return h, fma(q, Q, P)


@helper
def lookup_forward(weights, ahead, T, sample, table, sequential):
    """Return h and d, with rows found from z."""
    _, _, _, W1, W2, by, _, _ = weights
    m, A1, A2, E, d = ahead
    h = lookup_hidden(look_ahead(m, A1, A2, E, d, sequential), table)
    z = fma(W1, spread(h, 0), by) + W2 * spread(h, 1)
    return h, lookup_delta(z, load(T, 2 * sample, 2), table)


@helper
def next_ahead(weights, x, next_x, h, d, E, learning_rate, bias_factor, sequential):
    """Return what `look_ahead` needs for the next sample, from the weights before the update."""
    V1, V2, bh, _, _, _, U1, U2 = weights
    (x1, x2), (next_x1, next_x2) = x, next_x
    zero = splat(0.0, h)
    m = fma(V1, splat(next_x1, h), fma(V2, splat(next_x2, h), bh))
    k = splat(-learning_rate * fma(x1, next_x1, fma(x2, next_x2, bias_factor)), h) * fma(zero - h, h, h)
    if sequential:
        E = (zero - splat(learning_rate, h)) * h * k
    return m, U1 * k, U2 * k, E, d


@helper
def updated(weights, x, h, d, learning_rate, bias_factor, sequential):
    """Return the weights after a step."""
    V1, V2, bh, W1, W2, by, U1, U2 = weights
    zero, factors = splat(0.0, h), splat(bias_factor, h)
    rate = zero - splat(learning_rate, h)
    step_y = rate * d
    s = fma(spread(d, 0), U1, spread(d, 1) * U2)
    W1, W2, by = fma(step_y, spread(h, 0), W1), fma(step_y, spread(h, 1), W2), fma(step_y, factors, by)
    U1, U2 = fma(spread(step_y, 0), h, U1), fma(spread(step_y, 1), h, U2)
    if sequential:
        s = fma(spread(d, 0), U1, spread(d, 1) * U2)
    step_h = s * (rate * fma(zero - h, h, h))
    V1, V2 = fma(step_h, splat(x[0], h), V1), fma(step_h, splat(x[1], h), V2)
    return V1, V2, fma(step_h, factors, bh), W1, W2, by, U1, U2


@routine
def fast_steps(
    n_steps, position, samples, parameters, carry, slots, guess_table, lookup_table, rates, sequential
):
    """Take some steps; return the position of the next sample.

    One table is None, and Numba leaves its branch out.

    The loop is compiled for itself, for the sake of registers. With 16 of them, what a step hands to the next
    one went through memory: on a Zen 2, a step of one sample takes 19 ns so, and one of four shuffled samples
    20; as a part of the kernel, 26 and 33; with `sequential` at run time, 22 and 24.
    """
    X, T, order, n_samples, generator, shuffles = samples
    learning_rate, bias_factor = rates
    weights, ahead = read_pairs(parameters), read_carry(carry)
    sample = element(order, position)
    x = element(X, 2 * sample), element(X, 2 * sample + 1)
    for _ in range(n_steps):
        visited = sample
        position = next_position(position, order, n_samples, generator, shuffles)
        sample = element(order, position)
        next_x = element(X, 2 * sample), element(X, 2 * sample + 1)
        h = d = ahead[4]  # one of two branches is there
        if guess_table is not None:
            h, d = guessed_forward(weights, ahead, T, visited, slots, guess_table, sequential)
        if lookup_table is not None:
            h, d = lookup_forward(weights, ahead, T, visited, lookup_table, sequential)
        ahead = next_ahead(weights, x, next_x, h, d, ahead[3], learning_rate, bias_factor, sequential)
        weights = updated(weights, x, h, d, learning_rate, bias_factor, sequential)
        x = next_x
    write_pairs(parameters, weights)
    write_carry(carry, ahead)
    return position


@routine
def train_fast(fused, until, guess_table, lookup_table, sequential):
    """Train to step `until`, as fast as the latencies allow; the tables are those of `fast_steps`."""
    state = floating_point_state()
    set_floating_point_state(FLUSHING)
    X, T, parameters, counters = (
        get(fused, "X"),
        get(fused, "T"),
        get(fused, "parameters"),
        get(fused, "counters"),
    )
    order, generator, n_samples = get(fused, "order"), get(fused, "generator"), get(fused, "n_samples")
    shuffles, record_every = get(fused, "shuffles") != 0, get(fused, "record_every")
    carry, slots = get(fused, "carry"), get(fused, "slots")
    learning_rate = own(fused, element(get(fused, "rate"), 0))
    bias_factor = own(fused, 1.0 if get(fused, "trains_biases") != 0 else 0.0)
    loss_arguments = parameters, X, T, n_samples, get(fused, "lookup_table"), True
    starts = get(counters, "position") < 0 and until != LOSS_ALONE
    position, step = begin(fused, until, loss_arguments), get(counters, "step")
    if starts:
        sample = element(order, position)
        V1, V2, bh, _, _, _, _, _ = read_pairs(parameters)
        x1, x2 = element(X, 2 * sample), element(X, 2 * sample + 1)
        store(carry, 0, fma(V1, splat(x1, V1), fma(V2, splat(x2, V1), bh)))
    samples, rates = (X, T, order, n_samples, generator, shuffles), (learning_rate, bias_factor)
    while step < until:
        stop = next_stop(step, record_every, until)
        position = fast_steps(
            stop - step,
            position,
            samples,
            parameters,
            carry,
            slots,
            guess_table,
            lookup_table,
            rates,
            sequential,
        )
        finish(fused, stop, position, loss_arguments)
        step = stop
    set_floating_point_state(state)


@kernel
def fused222_guess(fused_address, until, unused):
    """Train to step `until` with guessed rows: see the module's legend, and `fused222_exact`'s parameters."""
    fused = record_at("fused", fused_address, unused)
    train_fast(fused, until, get(fused, "guess_table"), None, False)


@kernel
def fused222_guess_sequential(fused_address, until, unused):
    """Train as `fused222_guess` does, with the output weights updated first."""
    fused = record_at("fused", fused_address, unused)
    train_fast(fused, until, get(fused, "guess_table"), None, True)


@kernel
def fused222_look_up(fused_address, until, unused):
    """Train as `fused222_guess` does, with rows found from z; the output weights may be updated first."""
    fused = record_at("fused", fused_address, unused)
    train_fast(fused, until, None, get(fused, "lookup_table"), get(fused, "sequential") != 0)
