# Pure Python in its fast form. For the 2-2-2 network every number is a local variable: see
# `fastbp.baselines`. For all others every product is `sum(map(mul, row, column))`: both loops run in C,
# and only boxing remains. Weights are kept as one list a neuron, so the forward pass reads them in order;
# `zip(*...)` transposes them for the backward pass.
#
# Measured: 64-128-10, one sample a step, 585 us; batches of 32 with Adam, 23 ms. Tried and rejected:
#   the generator `sum(w * x for ...)` in place of `map`: 3.3 times as long for a product
#   loops over indices: 3.0 times as long for a product
#   the readable form, `fastbp.reference`: 6.5 times as long for a step

from itertools import pairwise
from math import exp, sqrt, tanh
from operator import mul

import fastbp
from bench.grid import Workload
from bench.peers import Train, UnavailableError
from fastbp.benchmark.contenders import prepare_python_locals

MOST_FLOPS = 2 * 10**7
"""About a second per step; nobody would wait longer."""


def prepare(workload: Workload) -> Train:
    """Return the function that trains."""
    if workload.dtype != "float64":
        raise UnavailableError("Python's numbers are float64")
    if workload.networks > 1:
        raise UnavailableError("one network at a time")
    if workload.flops_per_step > MOST_FLOPS:
        raise UnavailableError(f"a step would take about {workload.flops_per_step / MOST_FLOPS:.0f} s")
    return prepare_python_locals(workload.case) if workload.case else prepare_layers(workload)


def sigmoid(z):
    """Return the logistic function."""
    return 1.0 / (1.0 + exp(-z))


def relu(z):
    """Return z, or 0 if it is negative."""
    return z if z > 0.0 else 0.0


def softmax(z):
    """Return a probability for each number."""
    largest = max(z)
    e = [exp(z_j - largest) for z_j in z]
    scale = 1.0 / sum(e)
    return [scale * e_j for e_j in e]


ACTIVATIONS = {"sigmoid": sigmoid, "tanh": tanh, "relu": relu}
DERIVATIVES = {
    "sigmoid": lambda a: a * (1.0 - a),
    "tanh": lambda a: 1.0 - a * a,
    "relu": lambda a: 1.0 if a > 0.0 else 0.0,
}


def prepare_layers(workload: Workload) -> Train:
    """Prepare a network of any layers. W[j] holds the weights into neuron j, then its bias."""
    X = workload.batches(workload.samples()[0]).tolist()
    T = workload.batches(workload.targets()).tolist()
    start = workload.starts()[0]
    f, slope = ACTIVATIONS[workload.hidden], DERIVATIVES[workload.hidden]
    squared = workload.loss == "half_squared_error"
    output = ACTIVATIONS.get(workload.output)
    adam = isinstance(workload.optimizer, fastbp.Adam)
    one = 1.0 if workload.bias == "trainable" else 0.0  # what a bias is multiplied by, for its gradient

    def forward(W, x):
        """Return the outputs of every layer for one sample; those of the input are x."""
        outputs = [x]
        for layer in W[:-1]:
            x = [f(sum(map(mul, w, x), w[-1])) for w in layer]
            outputs.append(x)
        z = [sum(map(mul, w, x), w[-1]) for w in W[-1]]
        outputs.append(z if workload.output == "identity" else [*map(output, z)] if output else softmax(z))
        return outputs

    def deltas(W, outputs, t, scale):
        """Return dL/dz of every layer for one sample, the last layer first."""
        delta = [scale * (y - t_j) for y, t_j in zip(outputs[-1], t, strict=True)]
        if squared and workload.output == "sigmoid":
            delta = [d * y * (1.0 - y) for d, y in zip(delta, outputs[-1], strict=True)]
        found = [delta]
        for layer, a in zip(W[:0:-1], outputs[-2:0:-1], strict=True):
            columns = zip(*layer, strict=True)
            delta = [sum(map(mul, w, delta)) * slope(a_i) for w, a_i in zip(columns, a, strict=False)]
            found.append(delta)
        return found

    def gradients(W, x_batch, t_batch):
        """Return the gradient of every layer, laid out as W."""
        scale = 1.0 / len(x_batch)
        passes = [forward(W, x) for x in x_batch]
        back = [deltas(W, outputs, t, scale) for outputs, t in zip(passes, t_batch, strict=True)]
        found = []
        for i in range(len(W)):
            inputs = [*zip(*(outputs[i] for outputs in passes), strict=True)]
            errors = zip(*(delta[len(W) - 1 - i] for delta in back), strict=True)
            found.append([[*[sum(map(mul, e, a)) for a in inputs], one * sum(e)] for e in errors])
        return found

    def step_one_sample(W, x, t, rate):
        """Update in place: with one sample, the gradient needs no list of its own."""
        outputs = forward(W, x)
        for layer, delta, a in zip(W, reversed(deltas(W, outputs, t, rate)), outputs, strict=False):
            a = [*a, one]
            layer[:] = [
                [w_i - d * a_i for w_i, a_i in zip(w, a, strict=True)]
                for w, d in zip(layer, delta, strict=True)
            ]

    def train(steps):
        """Train from the start, and return the parameters."""
        W = [
            [[*column, bias] for column, bias in zip(weights.T.tolist(), biases.tolist(), strict=True)]
            for weights, biases in workload.layers(start)
        ]
        moments = [[[[0.0] * len(w), [0.0] * len(w)] for w in layer] for layer in W] if adam else []
        for k in range(steps):
            x, t = X[k % len(X)], T[k % len(X)]
            if adam:
                update_by_adam(W, moments, gradients(W, x, t), k + 1, workload.optimizer)
            elif workload.batch_size == 1:
                step_one_sample(W, x[0], t[0], workload.optimizer.learning_rate)
            else:
                update(W, gradients(W, x, t), workload.optimizer.learning_rate)
        sizes = pairwise(workload.layer_sizes)
        return workload.flat(
            ([[w[i] for w in layer] for i in range(n_in)], [w[-1] for w in layer])
            for layer, (n_in, _) in zip(W, sizes, strict=True)
        )

    return train


def update(W, gradient, rate):
    """Take a plain step, in place."""
    for layer, of_layer in zip(W, gradient, strict=True):
        layer[:] = [
            [w - rate * g for w, g in zip(w, g, strict=True)] for w, g in zip(layer, of_layer, strict=True)
        ]


def update_by_adam(W, moments, gradient, k, optimizer):
    """Take step k of Adam, in place; `moments` has m and v of each neuron."""
    beta1, beta2, epsilon = optimizer.beta1, optimizer.beta2, optimizer.epsilon
    r, root = optimizer.learning_rate / (1.0 - beta1**k), sqrt(1.0 - beta2**k)
    for layer, memory, of_layer in zip(W, moments, gradient, strict=True):
        for j, g in enumerate(of_layer):
            m = memory[j][0] = [beta1 * m + (1.0 - beta1) * g for m, g in zip(memory[j][0], g, strict=True)]
            v = memory[j][1] = [
                beta2 * v + (1.0 - beta2) * g * g for v, g in zip(memory[j][1], g, strict=True)
            ]
            layer[j] = [
                w - r * m / (sqrt(v) / root + epsilon) for w, m, v in zip(layer[j], m, v, strict=True)
            ]
