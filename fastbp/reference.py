"""Backpropagation in plain Python: the readable form.

No NumPy, no tricks. Every kernel of fastbp is checked against this file, and with ``math="exact"`` a kernel
gives the same bits. Therefore the order of every operation is part of its meaning: sums run from the first
term to the last, and nothing is contracted.

Legend: a layer has weights ``W[i][j]`` (from input i to neuron j) and biases ``b[j]``; ``a`` is a
layer's activation, ``z = a W + b`` a pre-activation, ``t`` a target, ``delta = dL/dz``, ``f`` the
mathematical functions.

Numbers may have any type with + - * / abs and comparisons, and with matching functions: `float` and
`FLOAT64`, `Float32` and `FLOAT32`, or mpmath's `mpf` and `mpmath.mp`.

The equations are those of Rumelhart, Hinton & Williams (1986), "Learning representations by
back-propagating errors", Nature 323, 533-536, https://doi.org/10.1038/323533a0. Other sources are given in
`activations`, `losses` and `optimizers`.

Longer than 500 lines, because the whole algorithm should be readable in one file.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from typing import Any

from fastbp.arithmetic import FLOAT32 as FLOAT32
from fastbp.arithmetic import FLOAT64, Number, total
from fastbp.arithmetic import Float32 as Float32
from fastbp.errors import OptionError

Vector = list[Number]


@dataclass
class Layer:
    """One dense layer: ``W[i][j]`` leads from input i to neuron j, ``b[j]`` is its bias."""

    W: list[Vector]
    b: Vector
    activation: str = "sigmoid"


Network = list[Layer]


# --- activations: a from z, and da/dz from z and a ---------------------------------------------------


def sigmoid(z: Number, f: Any = FLOAT64) -> Number:
    """Return s(z) = 1 / (1 + e^-z)."""
    return 1.0 / (1.0 + f.exp(-z))


def gaussian(z: Number, f: Any) -> Number:
    """Return the standard normal distribution function: Phi(z) = erfc(-z / sqrt 2) / 2."""
    return 0.5 * f.erfc(-z / f.sqrt(2))


def gelu_derivative(z: Number, a: Number, f: Any) -> Number:
    """Return Phi(z) + z phi(z), where phi(z) = e^(-z^2 / 2) / sqrt(2 pi)."""
    return gaussian(z, f) + z * (f.exp(-0.5 * (z * z)) / f.sqrt(2 * f.pi))


def silu_derivative(z: Number, a: Number, f: Any) -> Number:
    """Return s(z) (1 + z (1 - s(z)))."""
    s = sigmoid(z, f)
    return s * (1.0 + z * (1.0 - s))


def softplus(z: Number, f: Any) -> Number:
    """Return log(1 + e^z) = max(z, 0) + log1p(e^-|z|)."""
    return (0.0 if z < 0 else z) + f.log1p(f.exp(-abs(z)))


ACTIVATIONS: dict[str, tuple[Callable[[Number, Any], Number], Callable[[Number, Number, Any], Number]]] = {
    "identity": (lambda z, f: z, lambda z, a, f: 1.0),
    "sigmoid": (sigmoid, lambda z, a, f: a * (1.0 - a)),
    "tanh": (lambda z, f: f.tanh(z), lambda z, a, f: 1.0 - a * a),
    "relu": (lambda z, f: 0.0 if z <= 0 else z, lambda z, a, f: 1.0 if a > 0 else 0.0),
    "leaky_relu": (lambda z, f: z if z > 0 else 0.01 * z, lambda z, a, f: 1.0 if a > 0 else 0.01),
    "elu": (lambda z, f: z if z > 0 else f.expm1(z), lambda z, a, f: 1.0 if a > 0 else a + 1.0),
    "gelu": (lambda z, f: z * gaussian(z, f), gelu_derivative),
    "silu": (lambda z, f: z * sigmoid(z, f), silu_derivative),
    "softplus": (softplus, lambda z, a, f: -f.expm1(-a)),
    "exp": (lambda z, f: f.exp(z), lambda z, a, f: a),
    "softsign": (lambda z, f: z / (1.0 + abs(z)), lambda z, a, f: (1.0 - abs(a)) * (1.0 - abs(a))),
}
"""The formulas of `fastbp.activations`, neuron by neuron. NaN gives NaN in each."""


def softmax(z: Vector, f: Any) -> Vector:
    """Return a_j = e^(z_j - m) / sum_k e^(z_k - m), with m = max_k z_k."""
    m = max(z)
    exps = [f.exp(z_j - m) for z_j in z]
    normaliser = total(exps)
    return [e_j / normaliser for e_j in exps]


def activate(name: str, z: Vector, f: Any) -> Vector:
    """Return the activations of a layer."""
    if name == "softmax":
        return softmax(z, f)
    return [ACTIVATIONS[name][0](z_j, f) for z_j in z]


def activate_backward(name: str, z: Vector, a: Vector, d_a: Vector, f: Any) -> Vector:
    """Return dL/dz from dL/da: dL/dz_j = dL/da_j da_j/dz_j; for softmax a_j (dL/da_j - sum_k a_k dL/da_k)."""
    if name == "softmax":
        average = total([a_k * d_k for a_k, d_k in zip(a, d_a, strict=True)])
        return [a_j * (d_j - average) for a_j, d_j in zip(a, d_a, strict=True)]
    derivative = ACTIVATIONS[name][1]
    return [d_j * derivative(z_j, a_j, f) for z_j, a_j, d_j in zip(z, a, d_a, strict=True)]


# --- losses of one sample: L from the outputs y and targets t, and dL/dy -----------------------------


def half_squared_error(y: Vector, t: Vector, f: Any = FLOAT64) -> Number:
    """Return E = 1/2 sum_j (y_j - t_j)^2, so that dE/dy_j = y_j - t_j."""
    return 0.5 * total([(y_j - t_j) * (y_j - t_j) for y_j, t_j in zip(y, t, strict=True)])


def mean_over(loss: Callable[[Number, Number, Any], Number]) -> Callable[[Vector, Vector, Any], Number]:
    """Return a loss of one sample: the mean of `loss(y_j, t_j, f)` over the outputs."""
    return lambda y, t, f: total([loss(y_j, t_j, f) for y_j, t_j in zip(y, t, strict=True)]) / len(y)


def huber(e: Number) -> Number:
    """Return e^2 / 2 where |e| <= 1, else |e| - 1/2."""
    return 0.5 * (e * e) if abs(e) <= 1 else abs(e) - 0.5


def sign(e: Number) -> Number:
    """Return -1, 0 or 1; NaN for NaN."""
    return 1.0 if e > 0 else -1.0 if e < 0 else e


LOSSES: dict[str, tuple[Callable[..., Number], Callable[[Number, Number, int], Number]]] = {
    "half_squared_error": (half_squared_error, lambda y, t, K: y - t),
    "mean_squared_error": (mean_over(lambda y, t, f: (y - t) * (y - t)), lambda y, t, K: 2.0 * (y - t) / K),
    "mean_absolute_error": (mean_over(lambda y, t, f: abs(y - t)), lambda y, t, K: sign(y - t) / K),
    "huber": (
        mean_over(lambda y, t, f: huber(y - t)),
        lambda y, t, K: (y - t if abs(y - t) <= 1 else sign(y - t)) / K,
    ),
}
"""The formulas of `fastbp.losses`; the derivative is with respect to one of K outputs."""


def quantile(q: float) -> tuple[Callable[..., Number], Callable[[Number, Number, int], Number]]:
    """Return max(q (t - y), (1 - q) (y - t)), averaged over the outputs, and its derivative.

    The derivative is -q / K below t, (1 - q) / K above, and 0 at t.
    """

    def slope(e: Number) -> Number:
        """Return the derivative by y, for y - t = e."""
        return 1.0 - q if e > 0 else -q if e < 0 else e

    return mean_over(lambda y, t, f: slope(y - t) * (y - t)), lambda y, t, K: slope(y - t) / K


def unfused(loss: str) -> tuple[Callable[..., Number], Callable[[Number, Number, int], Number]]:
    """Return the formulas of a loss by its name; "quantile(0.9)" has its level in the name."""
    name, _, level = loss.partition("(")
    return quantile(float(level.removesuffix(")") or 0.5)) if name == "quantile" else LOSSES[loss]


# These losses are computed from z, together with the output's activation: 1 / y and log y are infinite if y
# underflows, but the loss and its derivative with respect to z are not.


def binary_cross_entropy(y: Vector, t: Vector, z: Vector, activation: str, f: Any) -> Number:
    """Return -1/K sum_j [t_j log y_j + (1 - t_j) log(1 - y_j)], with y = s(z)."""
    return mean_over(lambda z, t, f: softplus(z, f) - t * z)(z, t, f)


def binary_cross_entropy_delta(y: Vector, t: Vector, z: Vector, activation: str, f: Any) -> Vector:
    """Return dL/dz_j = (y_j - t_j) / K."""
    return [(y_j - t_j) / len(y) for y_j, t_j in zip(y, t, strict=True)]


def categorical_cross_entropy(y: Vector, t: Vector, z: Vector, activation: str, f: Any) -> Number:
    """Return -sum_j t_j log y_j, with y = softmax(z)."""
    return total([t_j * -log_y for t_j, log_y in zip(t, log_softmax(z, f), strict=True)])


def categorical_cross_entropy_delta(y: Vector, t: Vector, z: Vector, activation: str, f: Any) -> Vector:
    """Return dL/dz_j = y_j - t_j."""
    return [y_j - t_j for y_j, t_j in zip(y, t, strict=True)]


def log_softmax(z: Vector, f: Any) -> Vector:
    """Return log y_j = z_j - (m + log sum_k e^(z_k - m)), with m = max_k z_k."""
    m = max(z)
    log_sum = f.log(total([f.exp(z_j - m) for z_j in z]))
    return [-(m - z_j + log_sum) for z_j in z]


def softplus_over_exp(z: Number, f: Any) -> Number:
    """Return log(1 + e^z) / e^z, which is 1 where e^z underflows."""
    u = f.exp(z)
    return f.log1p(u) / u if u > 0 else 1.0


def log_softplus(z: Number, f: Any) -> Number:
    """Return log log(1 + e^z), below 0 as z + log(log(1 + e^z) / e^z)."""
    return f.log(softplus(z, f)) if z > 0 else z + f.log(softplus_over_exp(z, f))


def softplus_slope_over_value(z: Number, f: Any) -> Number:
    """Return s(z) / log(1 + e^z), below 0 as (1 - s(z)) / (log(1 + e^z) / e^z)."""
    return sigmoid(z, f) / softplus(z, f) if z > 0 else sigmoid(-z, f) / softplus_over_exp(z, f)


def poisson(y: Vector, t: Vector, z: Vector, activation: str, f: Any) -> Number:
    """Return 1/K sum_j (y_j - t_j log y_j), with 0 log 0 = 0."""
    log_y = {
        "sigmoid": lambda: [-softplus(-z_j, f) for z_j in z],
        "softplus": lambda: [log_softplus(z_j, f) for z_j in z],
        "exp": lambda: z,
        "softmax": lambda: log_softmax(z, f),
    }[activation]()
    costs = [y_j - t_j * log_j if t_j != 0 else y_j for y_j, t_j, log_j in zip(y, t, log_y, strict=True)]
    return total(costs) / len(y)


def poisson_delta(y: Vector, t: Vector, z: Vector, activation: str, f: Any) -> Vector:
    """Return dL/dz_j, with K the number of outputs.

    - sigmoid: (y_j - t_j) (1 - y_j) / K
    - softplus: (s(z_j) - t_j s(z_j) / y_j) / K
    - exp: (y_j - t_j) / K
    - softmax: (y_j sum_k t_k - t_j) / K
    """
    if activation == "softmax":
        all_t = total(t)
        d = [y_j * all_t - t_j for y_j, t_j in zip(y, t, strict=True)]
    elif activation == "softplus":
        d = [sigmoid(z_j, f) - t_j * softplus_slope_over_value(z_j, f) for z_j, t_j in zip(z, t, strict=True)]
    elif activation == "exp":
        d = [y_j - t_j for y_j, t_j in zip(y, t, strict=True)]
    else:
        d = [(y_j - t_j) * sigmoid(-z_j, f) for y_j, t_j, z_j in zip(y, t, z, strict=True)]
    return [d_j / len(y) for d_j in d]


FUSED = {
    "binary_cross_entropy": (binary_cross_entropy, binary_cross_entropy_delta),
    "categorical_cross_entropy": (categorical_cross_entropy, categorical_cross_entropy_delta),
    "poisson": (poisson, poisson_delta),
}
"""The losses computed together with the output's activation: L, and dL/dz, from y, t and z."""


def sample_loss(y: Vector, t: Vector, z: Vector, activation: str, loss: str, f: Any) -> Number:
    """Return the loss of one sample."""
    return FUSED[loss][0](y, t, z, activation, f) if loss in FUSED else unfused(loss)[0](y, t, f)


def output_delta(
    y: Vector,
    t: Vector,
    z: Vector = (),  # type: ignore[assignment]
    activation: str = "sigmoid",
    loss: str = "half_squared_error",
    f: Any = FLOAT64,
) -> Vector:
    """Return dL/dz of the output layer; only gelu, silu and poisson need its z."""
    if loss in FUSED:
        return FUSED[loss][1](y, t, z, activation, f)
    derivative = unfused(loss)[1]
    d_y = [derivative(y_j, t_j, len(y)) for y_j, t_j in zip(y, t, strict=True)]
    return activate_backward(activation, z or y, y, d_y, f)


# --- one layer, one sample ---------------------------------------------------------------------------


def layer_forward(a: Vector, layer: Layer, f: Any = FLOAT64) -> tuple[Vector, Vector]:
    """Return z and the next activation: z_j = b_j + sum_i a_i W_ij."""
    columns = zip(*layer.W, strict=True)
    z = [
        total([b_j, *(a_i * W_ij for a_i, W_ij in zip(a, column, strict=True))])
        for b_j, column in zip(layer.b, columns, strict=True)
    ]
    return z, activate(layer.activation, z, f)


def layer_backward(
    a: Vector,
    layer: Layer,
    delta: Vector,
    z: Vector = (),  # type: ignore[assignment]
    activation: str = "sigmoid",
    f: Any = FLOAT64,
) -> Vector:
    """Return dL/dz of the layer below, whose a, z and activation are given: dL/da_i = sum_j W_ij delta_j."""
    d_a = [total([W_ij * delta_j for W_ij, delta_j in zip(row, delta, strict=True)]) for row in layer.W]
    return activate_backward(activation, z or a, a, d_a, f)


def layer_gradient(a: Vector, delta: Vector) -> Layer:
    """Return dL/dW_ij = a_i delta_j and dL/db_j = delta_j."""
    return Layer([[a_i * delta_j for delta_j in delta] for a_i in a], list(delta))


# --- the network -------------------------------------------------------------------------------------


def forward_pass(network: Network, x: Vector, functions: Any = FLOAT64) -> tuple[list[Vector], list[Vector]]:
    """Return the pre-activations and the activations of all layers; x stands first in both."""
    zs, activations = [x], [x]
    for layer in network:
        z, a = layer_forward(activations[-1], layer, functions)
        zs.append(z)
        activations.append(a)
    return zs, activations


def forward(network: Network, x: Vector, functions: Any = FLOAT64) -> list[Vector]:
    """Return the activations of all layers: x first, the network's output last."""
    return forward_pass(network, x, functions)[1]


def backward(
    network: Network,
    X: list[Vector],
    Y: list[Vector],
    loss: str = "half_squared_error",
    sample_weight: Vector | None = None,
    l2: Number = 0.0,
    functions: Any = FLOAT64,
) -> Iterator[tuple[int, Layer]]:
    """Yield (i, the gradient of layer i) from the last layer to the first.

    The deltas of the layer below are computed when the next gradient is requested, with the layer's weights
    at that time. If the caller has updated the layer, the error passes back through its new weights.
    """
    passes = [forward_pass(network, x, functions) for x in X]
    deltas = [
        output_delta(activations[-1], t, zs[-1], network[-1].activation, loss, functions)
        for (zs, activations), t in zip(passes, Y, strict=True)
    ]
    for i in reversed(range(len(network))):
        gradients = [
            layer_gradient(activations[i], delta)
            for (_, activations), delta in zip(passes, deltas, strict=True)
        ]
        yield i, with_l2(mean_gradient(gradients, sample_weight), network[i], l2)
        if i > 0:
            deltas = [
                layer_backward(activations[i], network[i], delta, zs[i], network[i - 1].activation, functions)
                for (zs, activations), delta in zip(passes, deltas, strict=True)
            ]


def mean(values: Sequence[Number], weights: Vector | None) -> Number:
    """Return sum_i w_i v_i / n; without weights, each w_i is 1."""
    if weights is None:
        return total(values) / len(values)
    return total([w * value for w, value in zip(weights, values, strict=True)]) / len(values)


def normalized(weights: Vector) -> Vector:
    """Return the weights divided by their mean: over all samples, it is then 1."""
    average = mean(weights, None)
    return [w / average for w in weights]


def mean_gradient(gradients: list[Layer], weights: Vector | None) -> Layer:
    """Return the mean over samples of one layer's gradients, summed in the order of the batch."""
    if len(gradients) == 1 and weights is None:
        return gradients[0]  # the mean of one is that one, bit for bit
    W = [
        [mean(values, weights) for values in zip(*rows, strict=True)]
        for rows in zip(*(gradient.W for gradient in gradients), strict=True)
    ]
    b = [mean(values, weights) for values in zip(*(gradient.b for gradient in gradients), strict=True)]
    return Layer(W, b)


def with_l2(gradient: Layer, layer: Layer, l2: Number) -> Layer:
    """Return the gradient of the loss plus l2/2 times the sum of all squared weights, biases left out."""
    if l2 == 0:
        return gradient
    W = [
        [dW_ij + l2 * W_ij for dW_ij, W_ij in zip(row_gradient, row, strict=True)]
        for row_gradient, row in zip(gradient.W, layer.W, strict=True)
    ]
    return Layer(W, gradient.b)


def clipped(gradients: list[Layer], norm: Number, train_biases: bool, functions: Any) -> list[Layer]:
    """Return the gradients; if their joint Euclidean norm is above `norm`, scaled to it.

    Pascanu, Mikolov & Bengio (2013), algorithm 1, https://arxiv.org/abs/1211.5063. Fixed biases do not count.
    Numbers are divided by the largest before they are squared, so that no square overflows or vanishes.
    """
    numbers = [g for G in gradients for row in (*G.W, *([G.b] if train_biases else [])) for g in row]
    m = max(abs(g) for g in numbers)
    length = functions.sqrt(total([(g / m) * (g / m) for g in numbers])) if m > 0 else m
    if m * length <= norm:
        return gradients
    scale = norm / length
    return [
        Layer([[g / m * scale for g in row] for row in G.W], [g / m * scale for g in G.b]) for G in gradients
    ]


def gradients(
    network: Network,
    x: Vector,
    t: Vector,
    loss: str = "half_squared_error",
    functions: Any = FLOAT64,
) -> list[Layer]:
    """Return dL/dW and dL/db of every layer for one sample, all taken at the current weights."""
    return [gradient for _, gradient in backward(network, [x], [t], loss, functions=functions)][::-1]


def loss(
    network: Network,
    X: list[Vector],
    Y: list[Vector],
    loss: str = "half_squared_error",
    sample_weight: Vector | None = None,
    functions: Any = FLOAT64,
) -> Number:
    """Return the loss, averaged over the samples, without the l2 penalty."""
    losses = []
    for x, t in zip(X, Y, strict=True):
        zs, activations = forward_pass(network, x, functions)
        losses.append(sample_loss(activations[-1], t, zs[-1], network[-1].activation, loss, functions))
    return mean(losses, sample_weight)


# --- optimizers: one parameter, one step -------------------------------------------------------------
#
# A rule takes the parameter, its gradient g, the learning rate r, the number k of the step (from 1), its
# memory of the parameter (a list, empty at first), and the optimizer's hyper-parameters. It returns the new
# parameter. Sources and defaults are in `fastbp.optimizers`. The order of operations is PyTorch's. Values
# that depend only on hyper-parameters are computed in float64, whatever type the parameters have.


def sgd(theta, g, r, k, memory, f, *, momentum=0.0, nesterov=False, weight_decay=0.0):
    """Step down the gradient, or along its running sum."""
    if weight_decay:
        g = g + weight_decay * theta
    if momentum:
        v = momentum * memory[0] + g if memory else g
        memory[:] = [v]
        g = g + momentum * v if nesterov else v
    return theta - r * g


def velocity_sgd(theta, g, r, k, memory, f, *, momentum, nesterov):
    """Step along a velocity that contains the learning rate."""
    v = momentum * (memory[0] if memory else 0.0) - r * g
    memory[:] = [v]
    return theta + (momentum * v - r * g if nesterov else v)


def rmsprop(theta, g, r, k, memory, f, *, alpha, epsilon, momentum, weight_decay):
    """Divide the gradient by its running root mean square."""
    s, v = memory or (0.0, 0.0)
    if weight_decay:
        g = g + weight_decay * theta
    s = alpha * s + (1.0 - alpha) * (g * g)
    q = g / (f.sqrt(s) + epsilon)
    v = momentum * v + q if momentum else q
    memory[:] = [s, v]
    return theta - r * v


def adam(theta, g, r, k, memory, f, *, beta1, beta2, epsilon, weight_decay):
    """Divide the running mean of the gradient by its running root mean square."""
    m, v = memory or (0.0, 0.0)
    if weight_decay:
        g = g + weight_decay * theta
    m = beta1 * m + (1.0 - beta1) * g
    v = beta2 * v + (1.0 - beta2) * (g * g)
    memory[:] = [m, v]
    return theta - r / (1.0 - beta1**k) * (m / (f.sqrt(v) / math.sqrt(1.0 - beta2**k) + epsilon))


def unscaled_adam(theta, g, r, k, memory, f, *, beta2, epsilon, **others):
    """Take Adam's step with an epsilon that shrinks as the second moment's correction does."""
    scaled = epsilon / math.sqrt(1.0 - beta2**k)
    return adam(theta, g, r, k, memory, f, beta2=beta2, epsilon=scaled, **others)


def adamw(theta, g, r, k, memory, f, *, weight_decay, **others):
    """Take Adam's step from a parameter that has decayed."""
    return adam(theta * (1.0 - r * weight_decay), g, r, k, memory, f, weight_decay=0.0, **others)


def rprop(theta, g, r, k, memory, f, *, eta_minus, eta_plus, smallest_step, largest_step):
    """Take a step whose size grows while the gradient keeps its sign, and shrinks when the sign changes."""
    previous, size = memory or (0.0, r)
    product = g * previous
    size = size * (eta_plus if product > 0 else eta_minus if product < 0 else 1.0)
    size = min(max(size, smallest_step), largest_step)
    if product < 0:
        g = 0.0
    memory[:] = [g, size]
    return theta - sign(g) * size


RULES: dict[str, Callable[..., Number]] = {
    "SGD": sgd,
    "VelocitySGD": velocity_sgd,
    "RMSprop": rmsprop,
    "Adam": adam,
    "UnscaledAdam": unscaled_adam,
    "AdamW": adamw,
    "RPROP": rprop,
}
"""The rule of each class of `fastbp.optimizers`."""


class Updater:
    """The state of an optimizer: its memory of every parameter, and the number of steps taken.

    Parameters
    ----------
    optimizer : number or optimizer
        A number is the learning rate of plain gradient descent; otherwise, an optimizer of
        `fastbp.optimizers`.
    functions
        The functions for the type of the parameters.
    """

    def __init__(self, optimizer: Any, functions: Any = FLOAT64):
        self.functions = functions
        self.hyperparameters: dict[str, Any] = {}
        self.rule, self.learning_rate = RULES["SGD"], optimizer
        if type(optimizer).__name__ in RULES:
            self.rule = RULES[type(optimizer).__name__]
            self.hyperparameters = {f.name: getattr(optimizer, f.name) for f in fields(optimizer)}
            self.learning_rate = self.hyperparameters.pop("learning_rate")
        self.steps = 0
        self.memory: dict[int, Layer] = {}

    def begin(self, network: Network) -> None:
        """Give RPROP the first step size of each parameter, if it has them, laid out as theta."""
        if not isinstance(self.learning_rate, tuple) or self.memory:
            return
        sizes = iter(self.learning_rate)
        for i, layer in enumerate(network):
            W = [[[0.0, next(sizes)] for _ in row] for row in layer.W]
            self.memory[i] = Layer(W, [[0.0, next(sizes)] for _ in layer.b])

    def update(self, i: int, layer: Layer, gradient: Layer, train_biases: bool) -> Layer:
        """Return layer i after the current step; `steps` counts the steps before it."""
        if i not in self.memory:
            self.memory[i] = Layer([[[] for _ in row] for row in layer.W], [[] for _ in layer.b])
        rate = self.learning_rate
        r = rate.rate(self.steps) if hasattr(rate, "rate") else rate
        k, f, others = self.steps + 1, self.functions, self.hyperparameters

        def updated(parameters: Vector, gradients: Vector, memories: list[Vector]) -> Vector:
            """Return the parameters of a row after the step."""
            return [
                self.rule(theta, g, r, k, memory, f, **others)
                for theta, g, memory in zip(parameters, gradients, memories, strict=True)
            ]

        W = [updated(*rows) for rows in zip(layer.W, gradient.W, self.memory[i].W, strict=True)]
        b = updated(layer.b, gradient.b, self.memory[i].b) if train_biases else layer.b
        return Layer(W, b, layer.activation)


# --- training ----------------------------------------------------------------------------------------


def batch_step(
    network: Network,
    X: list[Vector],
    Y: list[Vector],
    updater: Updater,
    *,
    loss: str = "half_squared_error",
    update: str = "simultaneous",
    train_biases: bool = True,
    sample_weight: Vector | None = None,
    l2: Number = 0.0,
    gradient_clip_norm: Number | None = None,
) -> None:
    """Train on one batch, in place.

    With ``update="simultaneous"`` every gradient is taken at the weights from before the step: true
    gradient descent. With ``update="sequential"`` each layer is updated before the error passes
    back through it, so that the layers below see its new weights.
    """
    if update not in ("simultaneous", "sequential"):
        raise OptionError(f"update is {update!r}, and may be 'simultaneous', 'sequential'")
    updater.begin(network)
    gradients: Any = backward(network, X, Y, loss, sample_weight, l2, updater.functions)
    if update == "simultaneous":
        gradients = list(gradients)
    if gradient_clip_norm is not None:
        if update == "sequential":
            raise OptionError("gradient_clip_norm needs all gradients, which update='sequential' never has")
        numbers, layers = zip(*gradients, strict=True)
        scaled = clipped(list(layers), gradient_clip_norm, train_biases, updater.functions)
        gradients = zip(numbers, scaled, strict=True)
    for i, gradient in gradients:
        network[i] = updater.update(i, network[i], gradient, train_biases)
    updater.steps += 1


def step(
    network: Network,
    x: Vector,
    t: Vector,
    learning_rate: Number,
    *,
    functions: Any = FLOAT64,
    **options: Any,
) -> None:
    """Train on one sample by plain gradient descent, in place; the options are those of `batch_step`."""
    batch_step(network, [x], [t], Updater(learning_rate, functions), **options)


def sample_order(n_samples: int, generator_state: int | None = None) -> Iterator[int]:
    """Yield the indices of the samples, epoch after epoch, without end.

    Without a generator state, they come in order. With one, each epoch shuffles the order of the epoch before
    by the Fisher-Yates method, forwards, with one random number per sample. The generator is SplitMix64
    (Steele, Lea & Flood 2014, https://doi.org/10.1145/2660193.2660195); a random number below n is the high
    word of the generator's number times n.
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
    learning_rate: Number = None,
    optimizer: Any = None,
    batch_size: int = 1,
    generator_state: int | None = None,
    sample_weight: Vector | None = None,
    functions: Any = FLOAT64,
    **options: Any,
) -> None:
    """Train in place, in the order of the samples or shuffled by `sample_order`.

    The last batch of an epoch has the remaining samples, and counts as one step. A learning rate alone means
    plain gradient descent; an `optimizer` has its own learning rate. Weights of samples are first divided by
    their mean; `batch_step`, `backward` and `loss` take them as they are. The other options are those of
    `batch_step`.

    Examples
    --------
    >>> network = [Layer([[0.15, 0.25], [0.20, 0.30]], [0.35, 0.35]),
    ...            Layer([[0.40, 0.50], [0.45, 0.55]], [0.60, 0.60])]
    >>> train(network, [[0.05, 0.10]], [[0.01, 0.99]], steps=1, learning_rate=0.5, train_biases=False)
    >>> round(network[1].W[0][0], 8)
    0.35891648
    """
    updater = Updater(learning_rate if optimizer is None else optimizer, functions)
    weights = None if sample_weight is None else normalized(sample_weight)
    order = sample_order(len(X), generator_state)
    left = len(X)
    for _ in range(steps):
        batch = list(islice(order, min(batch_size, left)))
        left = left - len(batch) or len(X)
        batch_step(
            network,
            [X[i] for i in batch],
            [Y[i] for i in batch],
            updater,
            sample_weight=None if weights is None else [weights[i] for i in batch],
            **options,
        )
