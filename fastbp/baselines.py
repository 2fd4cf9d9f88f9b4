"""Two baselines: backpropagation in pure Python, as people write it.

Both train a network of two inputs, two hidden and two output neurons, all sigmoid, on the half squared
error, one sample per step, with fixed biases and gradients at the weights from before the step.
"""

import itertools
import math
from collections.abc import Sequence


class Neuron:
    """A neuron that remembers its last input and output, as in textbook programs."""

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
    """Baseline 2: the fastest 2-2-2 loop in pure Python, with every number in a local variable.

    Parameters
    ----------
    weights : eight numbers
        w1 to w8 of the worked example.
    biases : four numbers
        Those of h1, h2, y1 and y2. They are not trained.
    samples : sequence of tuples (x1, x2, t1, t2)
        They are taken in order, one a step.
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
