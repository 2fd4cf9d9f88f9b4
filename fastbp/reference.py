"""Backpropagation in plain Python: the readable truth, and the baseline to be faster than.

No NumPy, no cleverness. Every kernel of fastbp is checked against this file, and with
``math="exact"`` a kernel gives its very bits. To that end the order of every operation is part of
its meaning: sums run from the first term to the last, and nothing is contracted.

Legend: a layer has weights ``W[i][j]`` (from input i to neuron j) and biases ``b[j]``; ``a`` is a
layer's activation, ``z = a W + b`` a pre-activation, ``t`` a target, ``delta = dL/dz``.

The numbers may be of any type that has + - * / and comparisons: `float`, `Float32` below, or mpmath's
`mpf`. An ``exp`` of that type goes with them.

The equations are those of Rumelhart, Hinton & Williams (1986), "Learning representations by
back-propagating errors", Nature 323, 533-536, https://doi.org/10.1038/323533a0.
"""

import ctypes
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fastbp.errors import OptionError

Number = Any
"""`float`, or a type that behaves like it."""

Vector = list[Number]


@dataclass
class Layer:
    """One dense sigmoid layer: ``W[i][j]`` leads from input i to neuron j, ``b[j]`` is its bias."""

    W: list[Vector]
    b: Vector


Network = list[Layer]


# --- one layer, one sample ---------------------------------------------------------------------------


def total(terms: Sequence[Number]) -> Number:
    """Add from the first term to the last; Python's `sum` compensates, so its bits differ."""
    result = terms[0]
    for term in terms[1:]:
        result = result + term
    return result


def exp(x: float) -> float:
    """Return e^x, infinite where that leaves the range of a float64 (`math.exp` would raise)."""
    try:
        return math.exp(x)
    except OverflowError:
        return math.inf


def sigmoid(z: Number, exp: Callable[[Number], Number] = exp) -> Number:
    """Return s(z) = 1 / (1 + e^-z)."""
    return 1.0 / (1.0 + exp(-z))


def sigmoid_derivative(a: Number) -> Number:
    """Return ds/dz in terms of the output a = s(z): s'(z) = s(z) (1 - s(z)) = a (1 - a)."""
    return a * (1.0 - a)


def layer_forward(a: Vector, layer: Layer, exp: Callable[[Number], Number] = exp) -> Vector:
    """Return the next activation: z_j = b_j + sum_i a_i W_ij, a_j = s(z_j)."""
    columns = zip(*layer.W, strict=True)
    z = [
        total([b_j, *(a_i * W_ij for a_i, W_ij in zip(a, column, strict=True))])
        for b_j, column in zip(layer.b, columns, strict=True)
    ]
    return [sigmoid(z_j, exp) for z_j in z]


def layer_backward(a: Vector, layer: Layer, delta: Vector) -> Vector:
    """Return dL/dz of the layer below: delta_i = (sum_j W_ij delta_j) s'(z_i)."""
    return [
        total([W_ij * delta_j for W_ij, delta_j in zip(row, delta, strict=True)]) * sigmoid_derivative(a_i)
        for row, a_i in zip(layer.W, a, strict=True)
    ]


def layer_gradient(a: Vector, delta: Vector) -> Layer:
    """Return dL/dW_ij = a_i delta_j and dL/db_j = delta_j."""
    return Layer([[a_i * delta_j for delta_j in delta] for a_i in a], list(delta))


def layer_update(layer: Layer, gradient: Layer, learning_rate: Number, train_biases: bool) -> Layer:
    """Return the layer after one step of gradient descent: W - learning_rate dL/dW, likewise b."""
    W = [
        [W_ij - learning_rate * dW_ij for W_ij, dW_ij in zip(row, row_gradient, strict=True)]
        for row, row_gradient in zip(layer.W, gradient.W, strict=True)
    ]
    if not train_biases:
        return Layer(W, layer.b)
    return Layer(W, [b_j - learning_rate * db_j for b_j, db_j in zip(layer.b, gradient.b, strict=True)])


# --- the network, one sample -------------------------------------------------------------------------


def forward(network: Network, x: Vector, exp: Callable[[Number], Number] = exp) -> list[Vector]:
    """Return the activations of all layers: x first, the network's output last."""
    activations = [x]
    for layer in network:
        activations.append(layer_forward(activations[-1], layer, exp))
    return activations


def half_squared_error(y: Vector, t: Vector) -> Number:
    """Return E = 1/2 sum_j (y_j - t_j)^2, so that dE/dy_j = y_j - t_j."""
    return 0.5 * total([(y_j - t_j) * (y_j - t_j) for y_j, t_j in zip(y, t, strict=True)])


def output_delta(y: Vector, t: Vector) -> Vector:
    """Return dE/dz of the output layer: (y_j - t_j) s'(z_j)."""
    return [(y_j - t_j) * sigmoid_derivative(y_j) for y_j, t_j in zip(y, t, strict=True)]


def gradients(network: Network, x: Vector, t: Vector, exp: Callable[[Number], Number] = exp) -> list[Layer]:
    """Return dE/dW and dE/db of every layer for one sample, all taken at the present weights."""
    activations = forward(network, x, exp)
    delta = output_delta(activations[-1], t)
    result: list[Layer] = []
    for i in reversed(range(len(network))):
        result.insert(0, layer_gradient(activations[i], delta))
        if i > 0:
            delta = layer_backward(activations[i], network[i], delta)
    return result


def step(
    network: Network,
    x: Vector,
    t: Vector,
    learning_rate: Number,
    *,
    update: str = "simultaneous",
    train_biases: bool = True,
    exp: Callable[[Number], Number] = exp,
) -> None:
    """Train on one sample, in place.

    With ``update="simultaneous"`` every gradient is taken at the weights from before the step: true
    gradient descent. With ``update="sequential"`` each layer is updated before the error passes
    back through it, so that the layers below see its new weights.
    """
    if update == "simultaneous":
        for i, gradient in enumerate(gradients(network, x, t, exp)):
            network[i] = layer_update(network[i], gradient, learning_rate, train_biases)
    elif update == "sequential":
        activations = forward(network, x, exp)
        delta = output_delta(activations[-1], t)
        for i in reversed(range(len(network))):
            gradient = layer_gradient(activations[i], delta)
            network[i] = layer_update(network[i], gradient, learning_rate, train_biases)
            if i > 0:
                delta = layer_backward(activations[i], network[i], delta)
    else:
        raise OptionError(f"update is {update!r}, and may be 'simultaneous', 'sequential'")


def loss(network: Network, X: list[Vector], Y: list[Vector], exp: Callable[[Number], Number] = exp) -> Number:
    """Return the half squared error, averaged over the samples."""
    errors = [half_squared_error(forward(network, x, exp)[-1], t) for x, t in zip(X, Y, strict=True)]
    return total(errors) / len(errors)


# --- training ----------------------------------------------------------------------------------------


def sample_order(n_samples: int, generator_state: int | None = None) -> Iterator[int]:
    """Yield the indices of the samples, epoch after epoch, without end.

    Without a generator state they come in order. With one, each epoch shuffles the order of the
    epoch before it by Fisher and Yates's method, forwards, drawing one number a sample: the
    generator is SplitMix64 (Steele, Lea & Flood 2014, https://doi.org/10.1145/2660193.2660195), and a
    number below n is the high word of its product with n.
    """
    order = list(range(n_samples))
    while True:
        for i in range(n_samples):
            if generator_state is not None and n_samples > 1:
                generator_state = (generator_state + 0x9E3779B97F4A7C15) % 2**64
                word = generator_state
                word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 % 2**64
                word = (word ^ word >> 27) * 0x94D049BB133111EB % 2**64
                word ^= word >> 31
                j = i + (word * (n_samples - i) >> 64)
                order[i], order[j] = order[j], order[i]
            yield order[i]


def train(
    network: Network,
    X: list[Vector],
    Y: list[Vector],
    *,
    steps: int,
    learning_rate: Number,
    update: str = "simultaneous",
    train_biases: bool = True,
    generator_state: int | None = None,
    exp: Callable[[Number], Number] = exp,
) -> None:
    """Train in place, one sample a step, in order or shuffled by `sample_order`.

    Examples
    --------
    >>> network = [Layer([[0.15, 0.25], [0.20, 0.30]], [0.35, 0.35]),
    ...            Layer([[0.40, 0.50], [0.45, 0.55]], [0.60, 0.60])]
    >>> train(network, [[0.05, 0.10]], [[0.01, 0.99]], steps=1, learning_rate=0.5, train_biases=False)
    >>> round(network[1].W[0][0], 8)
    0.35891648
    """
    order = sample_order(len(X), generator_state)
    for _ in range(steps):
        i = next(order)
        step(network, X[i], Y[i], learning_rate, update=update, train_biases=train_biases, exp=exp)


# --- float32 -----------------------------------------------------------------------------------------


class Float32(float):
    """A number that is rounded to float32 after every operation: the truth for ``dtype="float32"``.

    The float64 result of + - * / on two float32 numbers, rounded once more, is the correctly rounded
    float32 result (Figueroa 1995, https://doi.org/10.1145/221332.221334).
    """

    def __new__(cls, value: float) -> "Float32":
        """Return `value`, rounded."""
        return super().__new__(cls, ctypes.c_float(value).value)

    def __add__(self, other: float) -> "Float32":
        return Float32(float(self) + float(other))

    def __sub__(self, other: float) -> "Float32":
        return Float32(float(self) - float(other))

    def __mul__(self, other: float) -> "Float32":
        return Float32(float(self) * float(other))

    def __truediv__(self, other: float) -> "Float32":
        return Float32(float(self) / float(other))

    def __rsub__(self, other: float) -> "Float32":
        return Float32(float(other) - float(self))

    def __rtruediv__(self, other: float) -> "Float32":
        return Float32(float(other) / float(self))

    def __neg__(self) -> "Float32":
        return Float32(-float(self))

    __radd__ = __add__
    __rmul__ = __mul__

    @staticmethod
    def exp(x: float) -> "Float32":
        """Return e^x, computed as a float64 and rounded once."""
        return Float32(exp(x))


# --- the two baselines -------------------------------------------------------------------------------


class Neuron:
    """A neuron that remembers what it last saw, as textbook programs have it."""

    def __init__(self, weights: list[float], bias: float):
        self.weights = weights
        self.bias = bias
        self.inputs: list[float] = []
        self.output = 0.0

    def activate(self, inputs: list[float]) -> float:
        """Return s(w . x + b), and remember x and the output."""
        self.inputs = inputs
        z = self.bias
        for weight, x in zip(self.weights, inputs, strict=True):
            z += weight * x
        self.output = 1.0 / (1.0 + math.exp(-z))
        return self.output

    def output_delta(self, target: float) -> float:
        """Return dE/dz of an output neuron."""
        return (self.output - target) * self.output * (1.0 - self.output)

    def hidden_delta(self, back_propagated: float) -> float:
        """Return dE/dz of a hidden neuron, given dE/d(output)."""
        return back_propagated * self.output * (1.0 - self.output)


class TextbookNetwork:
    """Baseline 1: one object a neuron, the form that people write when they learn backpropagation.

    Two layers of sigmoid neurons, half squared error, gradients from before the step, fixed biases.
    """

    def __init__(self, hidden: list[Neuron], output: list[Neuron]):
        self.hidden = hidden
        self.output = output

    def predict(self, x: list[float]) -> list[float]:
        """Return the outputs for one sample."""
        hidden = [neuron.activate(x) for neuron in self.hidden]
        return [neuron.activate(hidden) for neuron in self.output]

    def train(self, x: list[float], target: list[float], learning_rate: float) -> None:
        """Take one step of gradient descent on one sample."""
        self.predict(x)
        output_deltas = [neuron.output_delta(t) for neuron, t in zip(self.output, target, strict=True)]
        hidden_deltas = []
        for i, neuron in enumerate(self.hidden):
            back = 0.0
            for output, delta in zip(self.output, output_deltas, strict=True):
                back += delta * output.weights[i]
            hidden_deltas.append(neuron.hidden_delta(back))
        layers = ((self.output, output_deltas), (self.hidden, hidden_deltas))
        for neurons, deltas in layers:
            for neuron, delta in zip(neurons, deltas, strict=True):
                for i, x_i in enumerate(neuron.inputs):
                    neuron.weights[i] -= learning_rate * delta * x_i


def train_222_locals(
    weights: Sequence[float],
    biases: Sequence[float],
    samples: Sequence[tuple[float, float, float, float]],
    learning_rate: float,
    steps: int,
) -> tuple[float, ...]:
    """Baseline 2: the fastest honest 2-2-2 loop in pure Python, everything a local variable.

    Parameters
    ----------
    weights : eight numbers, w1 to w8 of the worked example
    biases : four numbers, of h1, h2, y1, y2; they stay as they are
    samples : tuples (x1, x2, t1, t2), taken in order, one a step
    learning_rate : float
    steps : int

    Returns
    -------
    tuple of eight numbers
        The trained w1 to w8.
    """
    w1, w2, w3, w4, w5, w6, w7, w8 = weights
    bh1, bh2, by1, by2 = biases
    exp = math.exp
    for x1, x2, t1, t2 in itertools.islice(itertools.cycle(samples), steps):
        h1 = 1.0 / (1.0 + exp(-(w1 * x1 + w2 * x2 + bh1)))
        h2 = 1.0 / (1.0 + exp(-(w3 * x1 + w4 * x2 + bh2)))
        y1 = 1.0 / (1.0 + exp(-(w5 * h1 + w6 * h2 + by1)))
        y2 = 1.0 / (1.0 + exp(-(w7 * h1 + w8 * h2 + by2)))
        d1 = learning_rate * (y1 - t1) * y1 * (1.0 - y1)
        d2 = learning_rate * (y2 - t2) * y2 * (1.0 - y2)
        g1 = (d1 * w5 + d2 * w7) * h1 * (1.0 - h1)
        g2 = (d1 * w6 + d2 * w8) * h2 * (1.0 - h2)
        w5 -= d1 * h1
        w6 -= d1 * h2
        w7 -= d2 * h1
        w8 -= d2 * h2
        w1 -= g1 * x1
        w2 -= g1 * x2
        w3 -= g2 * x1
        w4 -= g2 * x2
    return w1, w2, w3, w4, w5, w6, w7, w8
