# Plain Numba: what a NumPy user gets by adding a decorator, without explicit vectors. For the 2-2-2
# network see `numba_loop` in `fastbp.benchmark.contenders`. For others, one sample a step: loops over
# flat arrays, a row of W at a time. Batches: `np.dot(..., out)` for the products, loops for everything
# else.
#
# Measured in float32, one sample a step: 1.3 times as long as C, from 2-4-1 to 64-128-10. Tried and
# rejected:
#   tuples of 2-D arrays instead of flat ones: 4 times as long for 2-4-1, no change for 64-128-10
#   one loop for a row's product and its update, theta indexed throughout: not vectorised, 4 times as long
#   no fastmath flags: 1.6 times as long for 64-128-10, no change in batches
#   all of fastmath, which also assumes that nothing is NaN: no faster

import math
from functools import lru_cache

import numba
import numpy as np

import fastbp
from bench.grid import Workload
from bench.peers import Train, UnavailableError
from fastbp.benchmark.contenders import prepare_numba

IDENTITY, SIGMOID, TANH, RELU, SOFTMAX = range(5)
CODES = {"identity": IDENTITY, "sigmoid": SIGMOID, "tanh": TANH, "relu": RELU, "softmax": SOFTMAX}


def prepare(workload: Workload) -> Train:
    if workload.networks > 1:
        raise UnavailableError("one network at a time")
    if workload.case is not None:
        return prepare_numba(workload.case)
    sgd = isinstance(workload.optimizer, fastbp.SGD)
    return prepare_one_sample(workload) if sgd and workload.batch_size == 1 else prepare_batches(workload)


def codes(workload: Workload) -> tuple[int, int, bool, bool]:
    squared = workload.loss == "half_squared_error"
    return CODES[workload.hidden], CODES[workload.output], squared, workload.bias == "trainable"


def prepare_one_sample(workload: Workload) -> Train:
    loop = compiled(one_sample_loop)
    (X, _), T, start = workload.samples(), workload.targets(), workload.starts()[0]
    rate = start.dtype.type(workload.optimizer.learning_rate)
    sizes = np.array(workload.layer_sizes)
    outputs = np.zeros(sum(workload.layer_sizes), start.dtype)
    deltas = np.zeros(2 * max(workload.layer_sizes), start.dtype)

    def train(steps: int) -> np.ndarray:
        theta = start.copy()
        loop(X, T, theta, sizes, outputs, deltas, rate, *codes(workload), steps)
        return theta

    return train


def prepare_batches(workload: Workload) -> Train:
    loop = compiled(batch_loop)
    X = workload.batches(workload.samples()[0])
    T = workload.batches(workload.targets())
    start = workload.starts()[0]
    theta, grad = np.empty_like(start), np.zeros_like(start)
    outputs = tuple(np.empty((workload.batch_size, n), start.dtype) for n in workload.layer_sizes[1:])
    deltas = tuple(np.empty_like(a) for a in outputs)
    Ws, bs = zip(*workload.layers(theta), strict=True)
    dWs, dbs = zip(*workload.layers(grad), strict=True)
    o = workload.optimizer
    adam = isinstance(o, fastbp.Adam)
    hyper = np.array([o.learning_rate, *((o.beta1, o.beta2, o.epsilon) if adam else (0, 0, 0))])

    def train(steps: int) -> np.ndarray:
        theta[:] = start
        moments = np.zeros((2, theta.size if adam else 0), theta.dtype)
        parameters = (theta, grad, Ws, bs, dWs, dbs)
        loop(X, T, *parameters, outputs, deltas, moments, hyper, *codes(workload), steps)
        return theta.copy()

    return train


@lru_cache
def compiled(function):
    """Return a function compiled at its first call, or read from Numba's cache if that has a folder."""
    options = {"fastmath": {"reassoc", "contract", "nsz", "arcp"}, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:
        return numba.njit(**options)(function)


@numba.njit(inline="always")
def activate(code, z):
    """Replace one sample's pre-activations by its activations."""
    one = z.dtype.type(1)
    if code == SIGMOID:
        for j in range(z.size):
            z[j] = one / (one + math.exp(-z[j]))
    elif code == TANH:
        for j in range(z.size):
            z[j] = math.tanh(z[j])
    elif code == RELU:
        for j in range(z.size):
            z[j] = max(z[j], one - one)
    elif code == SOFTMAX:
        largest, total = z[0], one - one
        for j in range(1, z.size):
            largest = max(largest, z[j])
        for j in range(z.size):
            z[j] = math.exp(z[j] - largest)
            total += z[j]
        for j in range(z.size):
            z[j] /= total


@numba.njit(inline="always")
def multiply_by_slope(code, a, delta):
    """Multiply dL/da by the activation's derivative, for one sample."""
    one = a.dtype.type(1)
    if code == SIGMOID:
        for j in range(a.size):
            delta[j] *= a[j] * (one - a[j])
    elif code == TANH:
        for j in range(a.size):
            delta[j] *= one - a[j] * a[j]
    elif code == RELU:
        for j in range(a.size):
            if a[j] <= 0:
                delta[j] = 0


def one_sample_loop(X, T, theta, sizes, outputs, deltas, rate, hidden, output, squared, trains_biases, steps):
    """Descend one sample a step; gradients are used as they are formed. All arrays are flat."""
    n_layers, widest = sizes.size - 1, deltas.size // 2
    for k in range(steps):
        sample = k % X.shape[0]
        for j in range(sizes[0]):
            outputs[j] = X[sample, j]
        a_at, w_at = 0, 0
        for i in range(n_layers):
            n_in, n_out = sizes[i], sizes[i + 1]
            z = outputs[a_at + n_in : a_at + n_in + n_out]
            z[:] = theta[w_at + n_in * n_out : w_at + n_in * n_out + n_out]
            for m in range(n_in):
                a_m = outputs[a_at + m]
                row = theta[w_at + m * n_out : w_at + (m + 1) * n_out]
                for j in range(n_out):
                    z[j] += a_m * row[j]
            activate(output if i == n_layers - 1 else hidden, z)
            a_at += n_in
            w_at += (n_in + 1) * n_out
        delta, below = deltas[: sizes[n_layers]], deltas[widest:]
        for j in range(sizes[n_layers]):
            delta[j] = outputs[a_at + j] - T[sample, j]
        if squared:
            multiply_by_slope(output, outputs[a_at : a_at + sizes[n_layers]], delta)
        for i in range(n_layers - 1, -1, -1):
            n_in, n_out = sizes[i], sizes[i + 1]
            w_at -= (n_in + 1) * n_out
            a_at -= n_in
            if trains_biases:
                for j in range(n_out):
                    theta[w_at + n_in * n_out + j] -= rate * delta[j]
            for m in range(n_in):
                row = theta[w_at + m * n_out : w_at + (m + 1) * n_out]
                step, total = rate * outputs[a_at + m], rate - rate
                if i > 0:
                    for j in range(n_out):
                        total += row[j] * delta[j]
                    below[m] = total
                for j in range(n_out):
                    row[j] -= step * delta[j]
            if i > 0:
                multiply_by_slope(hidden, outputs[a_at : a_at + n_in], below[:n_in])
            delta, below = below, delta


def batch_loop(
    X, T, theta, grad, Ws, bs, dWs, dbs, outputs, deltas, moments, hyper,
    hidden, output, squared, trains_biases, steps,
):  # fmt: skip
    """Descend, or take Adam's steps if there are moments, one batch a step."""
    n_batches, batch = X.shape[0], X.shape[1]
    last = len(Ws) - 1
    number = theta.dtype.type
    one, rate, scale = number(1), number(hyper[0]), number(1) / number(batch)
    beta1, beta2, epsilon = number(hyper[1]), number(hyper[2]), number(hyper[3])
    for k in range(steps):
        x, t = X[k % n_batches], T[k % n_batches]
        for i in range(last + 1):
            z, b = outputs[i], bs[i]
            np.dot(outputs[i - 1] if i > 0 else x, Ws[i], z)
            for r in range(batch):
                row = z[r]
                for j in range(b.size):
                    row[j] += b[j]
                activate(output if i == last else hidden, row)
        y, delta = outputs[last], deltas[last]
        for r in range(batch):
            for j in range(y.shape[1]):
                delta[r, j] = (y[r, j] - t[r, j]) * scale
            if squared:
                multiply_by_slope(output, y[r], delta[r])
        for i in range(last, -1, -1):
            delta, db = deltas[i], dbs[i]
            if i > 0:
                np.dot(delta, Ws[i].T, deltas[i - 1])
                for r in range(batch):
                    multiply_by_slope(hidden, outputs[i - 1][r], deltas[i - 1][r])
            np.dot((outputs[i - 1] if i > 0 else x).T, delta, dWs[i])
            if trains_biases:
                db[:] = 0
                for r in range(batch):
                    for j in range(db.size):
                        db[j] += delta[r, j]
        if moments.shape[1]:
            m, v = moments[0], moments[1]
            r = number(hyper[0] / (1.0 - hyper[1] ** (k + 1)))
            root = number(1.0 / math.sqrt(1.0 - hyper[2] ** (k + 1)))
            for j in range(theta.size):
                m[j] = beta1 * m[j] + (one - beta1) * grad[j]
                v[j] = beta2 * v[j] + (one - beta2) * grad[j] * grad[j]
                theta[j] -= r * m[j] / (math.sqrt(v[j]) * root + epsilon)
        else:
            for j in range(theta.size):
                theta[j] -= rate * grad[j]
