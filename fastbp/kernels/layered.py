"""Any MLP, mini-batches and full batches: BLAS for the products, one fused pass for everything else.

Legend: a batch of B rows; layer i turns A_i (B, n_i) into A_{i+1} = f(A_i W_i + b_i); delta = dL/dz.

A step: gather the rows, forward, loss and its delta, backward. In the backward pass the gradient of a layer
is formed and consumed by the optimizer while it is in cache, before the layer below is touched. A batch
larger than a tile goes tile by tile through forward and backward, the gradient adding up, so that what a
tile needs stays in the L2 cache; the parameters change after the last tile.
"""

import math
from typing import NamedTuple

import numpy as np

from fastbp._jit import helper, kernel, routine
from fastbp.activations import (
    ELU,
    GELU,
    IDENTITY,
    LEAKY_RELU,
    LEAKY_RELU_SLOPE,
    RELU,
    SIGMOID,
    SILU,
    SOFTMAX,
    SOFTPLUS,
    TANH,
)
from fastbp.kernels.blas import product
from fastbp.kernels.shuffle import next_position, next_word
from fastbp.losses import (
    BINARY_CROSS_ENTROPY,
    CATEGORICAL_CROSS_ENTROPY,
    HALF_SQUARED_ERROR,
    HUBER,
    MEAN_ABSOLUTE_ERROR,
    MEAN_SQUARED_ERROR,
)
from fastbp.optimizers import ADAM_CODE, ADAMW_CODE, RMSPROP_CODE, SGD_CODE
from fastbp.simd import address, cast, element, put, shifted

STEP, ROW, EPOCH, POSITION, RECORDED, END = range(6)
"""Where `counters` holds the steps taken, the rows of this epoch consumed, the epochs finished, the last
position drawn in `order`, the losses recorded, and the steps of the whole run."""

LOSS_SUM, WEIGHT_SUM = 0, 1
"""Where `totals` holds the sum of this epoch's losses, each times its weight, and that of the weights."""


class Net(NamedTuple):
    """A network: what it is, and its parameters."""

    sizes: np.ndarray
    """int64[L + 1]: the width of every layer."""
    codes: np.ndarray
    """int64[L]: every layer's activation."""
    w_at: np.ndarray
    """int64[L]: where W_i starts in theta."""
    b_at: np.ndarray
    """int64[L]: where b_i starts in theta."""
    theta: np.ndarray
    no_bias: np.ndarray
    """Zeros that stand for the biases of a network without; empty if it has some."""
    loss: int


class Data(NamedTuple):
    """Samples. Either `T` or `labels` is empty."""

    X: np.ndarray
    """[n_samples * n_0], of any type that converts."""
    T: np.ndarray
    """[n_samples * n_L], of the network's type."""
    labels: np.ndarray
    """int64[n_samples]"""
    weights: np.ndarray
    """[n_samples], or empty."""


class Work(NamedTuple):
    """Buffers for one tile of rows."""

    at: np.ndarray
    """int64[L + 1]: where the rows of layer layer start in the four below."""
    a: np.ndarray
    """Activations; A_0 is the gathered rows."""
    z: np.ndarray
    """Pre-activations of the layers that keep them."""
    keeps_z: np.ndarray
    """bool[L]: whether a layer's derivative or loss needs z; else z and a share their place."""
    dropped: np.ndarray
    """Activations after dropout, if there is any, else empty."""
    masks: np.ndarray
    """0, or 1 / (1 - dropout), likewise."""
    delta: np.ndarray
    """Room for the deltas of two layers."""
    gradient: np.ndarray
    """dL/dtheta."""
    tile: int
    """Rows of a tile."""


# --- activations -----------------------------------------------------------------------------------------


@helper
def activation(code, z):
    """Return f(z): the formulas are in `fastbp.activations`."""
    one, zero = cast(1.0, z), cast(0.0, z)
    if code == SIGMOID:
        return one / (one + math.exp(-z))
    if code == TANH:
        return math.tanh(z)
    if code == ELU:
        return z if z > zero else math.expm1(z)
    if code == GELU:
        return cast(0.5, z) * z * math.erfc(cast(-math.sqrt(0.5), z) * z)
    if code == SILU:
        return z / (one + math.exp(-z))
    if code == SOFTPLUS:
        return max(z, zero) + math.log1p(math.exp(-abs(z)))
    return z


@helper
def slope(code, a, z):
    """Return f'(z) from a = f(z), or from z for gelu and silu."""
    one, zero = cast(1.0, a), cast(0.0, a)
    if code == SIGMOID:
        return a * (one - a)
    if code == TANH:
        return one - a * a
    if code == ELU:
        return one if a > zero else a + one
    if code == GELU:
        density = cast(1 / math.sqrt(2 * math.pi), z) * math.exp(cast(-0.5, z) * z * z)
        return cast(0.5, z) * math.erfc(cast(-math.sqrt(0.5), z) * z) + z * density
    if code == SILU:
        s = one / (one + math.exp(-z))
        return s * (one + z * (one - s))
    if code == SOFTPLUS:
        return -math.expm1(-a)
    return one


@routine
def bias_activate(code, z, b, rows, columns, a):
    """Add the bias to the rows at z, and write f to a; z and a may be the same."""
    zero = cast(0.0, element(z, 0))
    leak = cast(LEAKY_RELU_SLOPE, zero)
    for i in range(0, rows * columns, columns):
        if code == RELU:
            for j in range(columns):
                v = element(z, i + j) + element(b, j)
                put(a, i + j, zero if v <= zero else v)
        elif code == LEAKY_RELU:
            for j in range(columns):
                v = element(z, i + j) + element(b, j)
                put(a, i + j, leak * v if v <= zero else v)
        else:
            for j in range(columns):
                v = element(z, i + j) + element(b, j)
                put(z, i + j, v)
                put(a, i + j, activation(code, v))


@routine
def activation_backward(code, a, z, delta, n):
    """Multiply delta by f'."""
    zero = cast(0.0, element(delta, 0))
    leak = cast(LEAKY_RELU_SLOPE, zero)
    if code == RELU:
        for i in range(n):
            put(delta, i, element(delta, i) if element(a, i) > zero else zero)
    elif code == LEAKY_RELU:
        for i in range(n):
            put(delta, i, element(delta, i) if element(a, i) > zero else leak * element(delta, i))
    else:
        for i in range(n):
            put(delta, i, element(delta, i) * slope(code, element(a, i), element(z, i)))


@routine
def softmax(z, rows, columns, a):
    """Write a_j = e^(z_j - m) / sum_k e^(z_k - m), with m = max_k z_k, for every row."""
    for i in range(0, rows * columns, columns):
        top = element(z, i)
        for j in range(1, columns):
            top = max(top, element(z, i + j))
        total = cast(0.0, top)
        for j in range(columns):
            power = math.exp(element(z, i + j) - top)
            put(a, i + j, power)
            total += power
        for j in range(columns):
            put(a, i + j, element(a, i + j) / total)


# --- forward ---------------------------------------------------------------------------------------------


@helper
def bias_of(net, layer):
    """Return the address of b_i, or of zeros."""
    return address(net.no_bias) if net.no_bias.size > 0 else shifted(address(net.theta), net.b_at[layer])


@helper
def input_of(work, layer, keep):
    """Return the address of what goes into a layer."""
    return shifted(address(work.dropped if layer > 0 and keep < 1.0 else work.a), work.at[layer])


@helper
def z_of(work, layer):
    """Return the address of a layer's pre-activations."""
    return shifted(address(work.z if work.keeps_z[layer] else work.a), work.at[layer + 1])


@routine
def drop(a, masks, dropped, n, keep, generator):
    """Keep an activation with probability `keep` and divide it by that, or make it 0 (inverted dropout)."""
    threshold = np.uint64(keep * 2.0**53)
    for i in range(n):
        kept = (next_word(generator) >> np.uint64(11)) < threshold
        factor = cast(1.0 / keep if kept else 0.0, element(a, 0))
        put(masks, i, factor)
        put(dropped, i, factor * element(a, i))


@routine
def forward(net, work, rows, keep, generator):
    """Compute all activations of `rows` rows from A_0; with keep < 1, hidden ones go through dropout."""
    theta = address(net.theta)
    zero = cast(0.0, element(theta, 0))
    n_layers = net.codes.size
    for layer in range(n_layers):
        n_in, n_out, code = net.sizes[layer], net.sizes[layer + 1], net.codes[layer]
        a, z = shifted(address(work.a), work.at[layer + 1]), z_of(work, layer)
        W = shifted(theta, net.w_at[layer])
        product(rows, n_out, n_in, input_of(work, layer, keep), False, W, False, zero, z)
        if code == SOFTMAX:
            bias_activate(IDENTITY, z, bias_of(net, layer), rows, n_out, z)
            softmax(z, rows, n_out, a)
        else:
            bias_activate(code, z, bias_of(net, layer), rows, n_out, a)
        if keep < 1.0 and layer < n_layers - 1:
            masks = shifted(address(work.masks), work.at[layer + 1])
            dropped = shifted(address(work.dropped), work.at[layer + 1])
            drop(a, masks, dropped, rows * n_out, keep, generator)


# --- loss ------------------------------------------------------------------------------------------------


@helper
def sample_weight(data, i):
    """Return the weight of a sample."""
    return np.float64(data.weights[i]) if data.weights.size > 0 else 1.0


@routine
def loss_and_delta(net, data, work, order, first, rows, factor, delta):
    """Return the rows' losses, each times its weight, and write dL/dz times weight times factor to delta.

    The definitions are in `fastbp.losses`. The row at `first + i` of `order` is row i of the tile.
    """
    last = net.codes.size - 1
    code, loss, columns = net.codes[last], net.loss, net.sizes[last + 1]
    z, a = z_of(work, last), shifted(address(work.a), work.at[last + 1])
    T, labels = address(data.T), address(data.labels)
    one, zero, half = cast(1.0, element(a, 0)), cast(0.0, element(a, 0)), cast(0.5, element(a, 0))
    mean = one if loss in (HALF_SQUARED_ERROR, CATEGORICAL_CROSS_ENTROPY) else one / cast(columns, one)
    total = 0.0
    for r in range(rows):
        i = order[first + r]
        weight = sample_weight(data, i)
        scale = cast(weight * factor, one) * mean
        o, t_at = r * columns, i * columns
        row = zero
        if loss == CATEGORICAL_CROSS_ENTROPY:
            top = element(z, o)
            largest = element(a, o)
            for j in range(1, columns):
                top = max(top, element(z, o + j))
                largest = max(largest, element(a, o + j))
            log_sum = top - math.log(largest)  # sum_k e^(z_k - top) is 1 / the largest a
            if data.labels.size > 0:
                label = element(labels, i)
                row = log_sum - element(z, o + label)
                for j in range(columns):
                    put(delta, o + j, scale * element(a, o + j))
                put(delta, o + label, scale * (element(a, o + label) - one))
            else:
                for j in range(columns):
                    t = element(T, t_at + j)
                    row += t * (log_sum - element(z, o + j))
                    put(delta, o + j, scale * (element(a, o + j) - t))
        elif loss == BINARY_CROSS_ENTROPY:
            for j in range(columns):
                t, v = element(T, t_at + j), element(z, o + j)
                row += max(v, zero) - t * v + math.log1p(math.exp(-abs(v)))
                put(delta, o + j, scale * (element(a, o + j) - t))
        else:
            for j in range(columns):
                y, t = element(a, o + j), element(T, t_at + j)
                error = y - t
                if loss == HALF_SQUARED_ERROR:
                    row += half * error * error
                    gradient = error
                elif loss == MEAN_SQUARED_ERROR:
                    row += error * error
                    gradient = error + error
                elif loss == MEAN_ABSOLUTE_ERROR:
                    row += abs(error)
                    gradient = one if error > zero else (-one if error < zero else error)
                elif loss == HUBER:
                    row += half * error * error if abs(error) <= one else abs(error) - half
                    gradient = min(max(error, -one), one)
                else:  # POISSON
                    row += y if t == zero else y - t * math.log(y)
                    gradient = one - t / y
                put(delta, o + j, scale * gradient)
            if code == SOFTMAX:
                inner = zero
                for j in range(columns):
                    inner += element(delta, o + j) * element(a, o + j)
                for j in range(columns):
                    put(delta, o + j, element(a, o + j) * (element(delta, o + j) - inner))
        total += weight * np.float64(row * mean)
    if code != SOFTMAX and loss != BINARY_CROSS_ENTROPY:
        activation_backward(code, a, z, delta, rows * columns)
    return total


# --- backward and update ---------------------------------------------------------------------------------


@routine
def sum_rows(delta, rows, columns, out, add):
    """Write the sums over the rows to `out`, or add them to it."""
    if not add:
        for j in range(columns):
            put(out, j, cast(0.0, element(delta, 0)))
    for i in range(0, rows * columns, columns):
        for j in range(columns):
            put(out, j, element(out, j) + element(delta, i + j))


class Update(NamedTuple):
    """How gradients change parameters; `fastbp.optimizers` has the equations."""

    code: int
    hyper: np.ndarray
    """float64[4]"""
    state: np.ndarray
    """[n_state_vectors * n_parameters]"""
    l2: float
    clip_norm: float
    """0 for no clipping."""
    sequential: bool
    train_biases: bool


@routine
def update_parameters(update, theta, gradient, at, n, l2, rate, step):
    """Take a step with theta[at : at + n], on the gradient plus l2 theta."""
    p, g = shifted(address(theta), at), shifted(address(gradient), at)
    size = theta.size
    state = address(update.state)
    s1, s2 = shifted(state, at), shifted(state, size + at)
    like = element(p, 0)
    zero, one = cast(0.0, like), cast(1.0, like)
    l2_, r = cast(l2, like), cast(rate, like)
    h0, h1 = cast(update.hyper[0], like), cast(update.hyper[1], like)
    h2, h3 = cast(update.hyper[2], like), cast(update.hyper[3], like)
    if update.code == SGD_CODE:
        momentum, nesterov = h1, update.hyper[2] != 0.0
        decay = h0 + l2_
        if update.hyper[1] == 0.0:
            for k in range(n):
                w = element(p, k)
                put(p, k, w - r * (element(g, k) + decay * w))
        else:
            for k in range(n):
                w = element(p, k)
                d = element(g, k) + decay * w
                v = momentum * element(s1, k) + d
                put(s1, k, v)
                put(p, k, w - r * (d + momentum * v if nesterov else v))
    elif update.code == RMSPROP_CODE:
        alpha, epsilon, momentum = h1, h2, h3
        decay = h0 + l2_
        for k in range(n):
            w = element(p, k)
            d = element(g, k) + decay * w
            v = alpha * element(s1, k) + (one - alpha) * d * d
            put(s1, k, v)
            d = d / (math.sqrt(v) + epsilon)
            if update.hyper[3] != 0.0:
                d = momentum * element(s2, k) + d
                put(s2, k, d)
            put(p, k, w - r * d)
    elif update.code == ADAM_CODE or update.code == ADAMW_CODE:
        beta1, beta2 = h1, h2
        root = math.sqrt(1.0 - update.hyper[2] ** step)
        # r / (1 - beta1^k) m / (sqrt(v) / root + epsilon), with both factors of root in one number each
        pace = cast(rate * root / (1.0 - update.hyper[1] ** step), like)
        epsilon = cast(update.hyper[3] * root, like)
        coupled = l2_ + (h0 if update.code == ADAM_CODE else zero)
        keep = one - (r * h0 if update.code == ADAMW_CODE else zero)
        for k in range(n):
            w = element(p, k)
            d = element(g, k) + coupled * w
            m = beta1 * element(s1, k) + (one - beta1) * d
            v = beta2 * element(s2, k) + (one - beta2) * d * d
            put(s1, k, m)
            put(s2, k, v)
            put(p, k, keep * w - pace * m / (math.sqrt(v) + epsilon))
    else:  # RPROP
        for k in range(n):
            d, before = element(g, k) + l2_ * element(p, k), element(s1, k)
            size_ = element(s2, k)
            if d * before > zero:
                size_ = size_ * h1
            elif d * before < zero:
                size_ = size_ * h0
                d = zero
            size_ = min(max(size_, h2), h3)
            put(s1, k, d)
            put(s2, k, size_)
            w = element(p, k)
            put(p, k, w - size_ if d > zero else (w + size_ if d < zero else w))


@helper
def update_layer(net, update, work, layer, l2, rate, step):
    """Update W_i, whose gradient l2 joins, and b_i."""
    n_in, n_out = net.sizes[layer], net.sizes[layer + 1]
    update_parameters(update, net.theta, work.gradient, net.w_at[layer], n_in * n_out, l2, rate, step)
    if update.train_biases:
        update_parameters(update, net.theta, work.gradient, net.b_at[layer], n_out, 0.0, rate, step)


@routine
def backward(net, work, rows, keep, delta, add, update, consume, rate, step):
    """Propagate delta_L back, form every layer's gradient, and with `consume` update it at once.

    dL/dW_i = A_i^T delta, dL/db_i = column sums of delta, and below, delta = (delta W_i^T) f'(z_{i-1}).
    With `add` the gradients join those of the tiles before. `delta` is room for two layers, by turns.
    """
    theta, gradient = address(net.theta), address(work.gradient)
    zero, one = cast(0.0, element(theta, 0)), cast(1.0, element(theta, 0))
    room = work.delta.size // 2
    n_layers = net.codes.size
    for layer in range(n_layers - 1, -1, -1):
        n_in, n_out = net.sizes[layer], net.sizes[layer + 1]
        d = shifted(delta, room * ((n_layers - 1 - layer) & 1))
        below = shifted(delta, room * ((n_layers - layer) & 1))
        W = shifted(theta, net.w_at[layer])
        dW = shifted(gradient, net.w_at[layer])
        product(n_in, n_out, rows, input_of(work, layer, keep), True, d, False, one if add else zero, dW)
        if net.no_bias.size == 0:
            sum_rows(d, rows, n_out, shifted(gradient, net.b_at[layer]), add)
        if consume and update.sequential:
            update_layer(net, update, work, layer, update.l2, rate, step)
        if layer > 0:
            product(rows, n_in, n_out, d, False, W, True, zero, below)
            if keep < 1.0:
                masks = shifted(address(work.masks), work.at[layer])
                for i in range(rows * n_in):
                    put(below, i, element(below, i) * element(masks, i))
            activation_backward(
                net.codes[layer - 1],
                shifted(address(work.a), work.at[layer]),
                z_of(work, layer - 1),
                below,
                rows * n_in,
            )
        if consume and not update.sequential:
            update_layer(net, update, work, layer, update.l2, rate, step)


@routine
def gather(data, n_columns, order, first, rows, a):
    """Copy rows of X to A_0, in the network's type; an empty `order` means the rows as they come."""
    X = address(data.X)
    for r in range(rows):
        sample = order[first + r] if order.size > 0 else first + r
        source, target = sample * n_columns, r * n_columns
        for j in range(n_columns):
            put(a, target + j, element(X, source + j))


@routine
def clip(net, update, gradient):
    """Add l2's part to the gradient, and scale down what is trained to the norm clip_norm if it is larger."""
    g, theta = address(gradient), address(net.theta)
    l2 = cast(update.l2, element(g, 0))
    squares = 0.0
    for layer in range(net.codes.size):
        n_out = net.sizes[layer + 1]
        for k in range(net.w_at[layer], net.w_at[layer] + net.sizes[layer] * n_out):
            put(g, k, element(g, k) + l2 * element(theta, k))
            squares += np.float64(element(g, k)) ** 2
        if update.train_biases:
            for k in range(net.b_at[layer], net.b_at[layer] + n_out):
                squares += np.float64(element(g, k)) ** 2
    norm = math.sqrt(squares)
    if norm > update.clip_norm:
        factor = cast(update.clip_norm / norm, l2)
        for k in range(gradient.size):
            put(g, k, factor * element(g, k))


@kernel
def layered_train(
    net,
    data,
    work,
    update,
    order,
    generator,
    counters,
    totals,
    losses,
    rates,
    batch_size,
    keep,
    shuffle,
    record_every,
    until,
):
    """Train to step `until`; see the module's legend.

    Parameters
    ----------
    net, data, work, update : Net, Data, Work, Update
    order : int64[n_samples], the shuffled indices of this epoch
    generator : uint64[1], state of the shuffle and of dropout
    counters : int64[5], totals : float64[2], see above
    losses : float64[...], written: the mean loss of every `record_every`-th epoch, and of the last
    rates : float64[1] or float64[until - counters[STEP]], the learning rates
    batch_size, keep, shuffle, record_every, until : scalars
    """
    n_samples = order.size
    order_at, generator_at = address(order), address(generator)
    first_step = counters[STEP]
    for step in range(first_step, until):
        first = counters[ROW]
        rows = min(batch_size, n_samples - first)
        if shuffle:
            position = counters[POSITION]
            for _ in range(rows):
                position = next_position(position, order_at, n_samples, generator_at, True)
            counters[POSITION] = position
        weight = np.float64(rows)
        if data.weights.size > 0:
            weight = 0.0
            for r in range(rows):
                weight += sample_weight(data, order[first + r])
        rate = rates[min(step - first_step, rates.size - 1)]
        clipped = update.clip_norm > 0.0
        loss = 0.0
        for start in range(0, rows, work.tile):
            tile = min(work.tile, rows - start)
            gather(data, net.sizes[0], order, first + start, tile, address(work.a))
            forward(net, work, tile, keep, generator_at)
            factor = 1.0 / weight if weight > 0.0 else 0.0
            delta = address(work.delta)
            loss += loss_and_delta(net, data, work, order, first + start, tile, factor, delta)
            consume = start + tile == rows and not clipped
            backward(net, work, tile, keep, delta, start > 0, update, consume, rate, step + 1)
        if clipped:
            clip(net, update, work.gradient)
            for layer in range(net.codes.size):
                update_layer(net, update, work, layer, 0.0, rate, step + 1)
        totals[LOSS_SUM] += loss
        totals[WEIGHT_SUM] += weight
        counters[ROW] = first + rows
        counters[STEP] = step + 1
        if first + rows == n_samples:
            counters[ROW] = 0
            counters[EPOCH] += 1
        if (counters[ROW] == 0 and counters[EPOCH] % record_every == 0) or step + 1 == counters[END]:
            losses[counters[RECORDED]] = totals[LOSS_SUM] / totals[WEIGHT_SUM]
            counters[RECORDED] += 1
        if counters[ROW] == 0:
            totals[LOSS_SUM] = 0.0
            totals[WEIGHT_SUM] = 0.0


@kernel
def layered_predict(net, data, work, generator, out):
    """Write the outputs for all samples of `data` to `out` [n_samples * n_L], tile by tile."""
    last, columns = net.codes.size, net.sizes[net.codes.size]
    unused = address(generator)
    a, out_at = shifted(address(work.a), work.at[last]), address(out)
    n_samples = out.size // columns
    for first in range(0, n_samples, work.tile):
        rows = min(work.tile, n_samples - first)
        gather(data, net.sizes[0], data.labels, first, rows, address(work.a))
        forward(net, work, rows, 1.0, unused)
        for k in range(rows * columns):
            put(out_at, first * columns + k, element(a, k))


@kernel
def layered_evaluate(net, data, work, update, order, generator, with_gradient):
    """Return the mean loss over the samples in `order`; leave its gradient in `work` if asked."""
    n_samples = order.size
    unused = address(generator)
    weight = np.float64(n_samples)
    if data.weights.size > 0:
        weight = 0.0
        for r in range(n_samples):
            weight += sample_weight(data, order[r])
    total = 0.0
    delta = address(work.delta)
    for first in range(0, n_samples, work.tile):
        rows = min(work.tile, n_samples - first)
        gather(data, net.sizes[0], order, first, rows, address(work.a))
        forward(net, work, rows, 1.0, unused)
        total += loss_and_delta(net, data, work, order, first, rows, 1.0 / weight, delta)
        if with_gradient:
            backward(net, work, rows, 1.0, delta, first > 0, update, False, 0.0, 1)
    return total / weight
