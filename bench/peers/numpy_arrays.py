# NumPy in its fast form. For the 2-2-2 network, what counts is the number of calls: see `prepare_numpy`
# in `fastbp.benchmark.contenders`, where each idea has its number. For all others: batches are cut, and
# arrays allocated, before the loop; every call has `out=`; the gradients of all layers are views into one
# vector, so that the optimizer is a dozen calls however many layers there are.
#
# Measured on 64-128-10, batches of 32, Adam, float32: 44 us a step. Tried and rejected:
# the usual form, which allocates everywhere: 1.3 times as long
#   `out=` everywhere, but the optimizer called for each array: 1.4 times as long

import numpy as np
from scipy.special import expit

import fastbp
from bench.grid import Workload
from bench.peers import Train, UnavailableError
from fastbp.benchmark.contenders import prepare_numpy


def prepare(workload: Workload) -> Train:
    if workload.networks > 1:
        raise UnavailableError("one network at a time")
    if workload.case is not None and workload.dtype == "float64":
        return prepare_numpy(workload.case)
    return prepare_layers(workload)


def references(workload: Workload) -> dict[int, np.ndarray]:
    """Return the reference for the gate: theta in float64 after each checked number of steps."""
    train = prepare_layers(workload.with_dtype("float64"))
    return {steps: train(steps) for steps in workload.checked_steps}


add, subtract, multiply, divide, dot = np.add, np.subtract, np.multiply, np.divide, np.dot
exp, tanh, maximum = np.exp, np.tanh, np.maximum


def activate(name: str, z: np.ndarray) -> None:
    """Put an activation in the place of z."""
    if name == "relu":
        maximum(z, 0.0, out=z)
    elif name == "tanh":
        tanh(z, z)
    elif name == "sigmoid":
        expit(z, z)
    elif name == "softmax":
        subtract(z, z.max(axis=1, keepdims=True), z)
        exp(z, z)
        divide(z, add.reduce(z, 1, keepdims=True), z)


def multiply_by_slope(name: str, a: np.ndarray, slope: np.ndarray, delta: np.ndarray) -> None:
    """Multiply delta by the derivative of an activation, given its outputs; `slope` is overwritten."""
    if name == "relu":
        multiply(delta, a > 0.0, delta)
    elif name == "tanh":
        multiply(a, a, slope)
        subtract(1.0, slope, slope)
        multiply(delta, slope, delta)
    elif name == "sigmoid":
        subtract(1.0, a, slope)
        multiply(slope, a, slope)
        multiply(delta, slope, delta)


def prepare_layers(workload: Workload, start: np.ndarray | None = None) -> Train:
    """Prepare a network of any layers, from `start` if it is given."""
    dtype, optimizer = workload.dtype, workload.optimizer
    start = workload.starts()[0] if start is None else start
    theta, grad = np.empty_like(start), np.zeros_like(start)
    layers, gradients = list(workload.layers(theta)), list(workload.layers(grad))
    X = [*workload.batches(workload.samples()[0])]
    T = [*workload.batches(workload.targets())]
    outputs = [np.empty((workload.batch_size, n), dtype) for n in workload.layer_sizes[1:]]
    deltas = [np.empty_like(a) for a in outputs]
    slopes = [np.empty_like(a) for a in outputs]
    last, n_layers = len(layers) - 1, len(layers)
    fixed = workload.bias != "trainable"
    scale = 1.0 / workload.batch_size
    rate = optimizer.learning_rate

    def compute_gradient(x, t):
        """Write the gradient of a batch."""
        a = x
        for i in range(n_layers):
            W, b = layers[i]
            z = dot(a, W, outputs[i])
            add(z, b, z)
            activate(workload.output if i == last else workload.hidden, z)
            a = z
        delta = subtract(a, t, deltas[last])
        if scale != 1.0:
            multiply(delta, scale, delta)
        if workload.loss == "half_squared_error":
            multiply_by_slope(workload.output, a, slopes[last], delta)
        for i in range(last, -1, -1):
            below = outputs[i - 1] if i else x
            dW, db = gradients[i]
            dot(below.T, delta, dW)
            if not fixed:
                add.reduce(delta, 0, None, db)
            if i:
                delta = dot(delta, layers[i][0].T, deltas[i - 1])
                multiply_by_slope(workload.hidden, below, slopes[i - 1], delta)

    def sgd(steps):
        """Take plain steps."""
        for k in range(steps):
            compute_gradient(X[k % len(X)], T[k % len(X)])
            multiply(grad, rate, grad)
            subtract(theta, grad, theta)

    def adam(steps):
        """Take steps of Adam, whose vectors are those of all layers."""
        m, v, scratch = np.zeros_like(theta), np.zeros_like(theta), np.empty_like(theta)
        beta1, beta2, epsilon = optimizer.beta1, optimizer.beta2, optimizer.epsilon
        for k in range(1, steps + 1):
            compute_gradient(X[(k - 1) % len(X)], T[(k - 1) % len(X)])
            multiply(m, beta1, m)
            multiply(grad, 1.0 - beta1, scratch)
            add(m, scratch, m)
            multiply(v, beta2, v)
            multiply(grad, grad, grad)
            multiply(grad, 1.0 - beta2, grad)
            add(v, grad, v)
            np.sqrt(v, scratch)
            # r m / (sqrt(v) / root + epsilon), with root multiplied out of the vectors
            root = (1.0 - beta2**k) ** 0.5
            add(scratch, epsilon * root, scratch)
            divide(m, scratch, scratch)
            multiply(scratch, rate / (1.0 - beta1**k) * root, scratch)
            subtract(theta, scratch, theta)

    def train(steps):
        """Train from the start, and return the parameters."""
        theta[:] = start
        (adam if isinstance(optimizer, fastbp.Adam) else sgd)(steps)
        return theta.copy()

    return train
