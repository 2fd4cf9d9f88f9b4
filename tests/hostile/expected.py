"""What a configuration must give, computed by `fastbp.reference`, and how exactly that can be asked for.

Rounding moves a result by what it moves the inputs by. So the reference runs twice, once from
parameters and sample weights that are moved by a few units in the last place; how far its results then lie
apart says how far a kernel may be. A configuration whose results move much further, such as one that steps
by the sign of a gradient that is 0, says nothing, and is left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any

import numpy as np

import fastbp
from fastbp import reference
from fastbp.schedules import Adaptive
from tests.hostile.configurations import Configuration

MOVED = {"float64": 1e-14, "float32": 3e-7}
"""How far the inputs are moved, relative to their size."""

FLOOR = {"float64": 1e-12, "float32": 2e-5}
"""What a result may always be off, relative to the largest number in it."""

CANCELLED = {"float64": 1e-15, "float32": 1e-6}
"""What a result may always be off: a sum of numbers of about 1 may be exactly 0, and not so when rounded."""

TIMES = 100.0
"""How many times as far as the reference a kernel may be moved."""

USELESS = {"float64": 1e-8, "float32": 3e-3}
"""A result that may be off by more of itself says nothing."""

Gradient = tuple[int, reference.Layer]


@dataclass(frozen=True, eq=False)
class Numbers:
    """Results, flat, by their names."""

    loss: np.ndarray
    gradient: np.ndarray
    outputs: np.ndarray
    theta: np.ndarray
    epoch_losses: np.ndarray
    """The means over the batches of each epoch, each at the parameters from before its step."""
    losses: np.ndarray
    """Over all samples: before training, and after each epoch."""
    validation_losses: np.ndarray

    def diverge(self, dtype: str) -> bool:
        """Whether training makes a parameter or a loss that a number of this type cannot be."""
        numbers = np.concatenate([self.theta, self.losses, self.epoch_losses])
        return not (np.abs(numbers) < np.finfo(dtype).max).all()


class Lists:
    """A configuration in plain Python, as a network of its type holds it."""

    def __init__(self, configuration: Configuration, moved_by: float = 0.0):
        network = configuration.make()
        generator = np.random.default_rng(configuration.seed)

        def moved(array: np.ndarray) -> np.ndarray:
            return array * (1 + moved_by * generator.choice([-1.0, 1.0], array.shape))

        exact = configuration.options.get("math") == "exact" and network.dtype == np.float32
        self.number, self.functions = float, reference.FLOAT64
        if exact:
            self.number, self.functions = reference.Float32, reference.FLOAT32
        self.sizes, self.bias, self.loss = network.layer_sizes, network.bias, network.loss_name
        self.network = self._layers(moved(network.theta.astype(np.float64)), network)
        self.X = self._rows(configuration.X.astype(network.dtype))
        Y = configuration.Y
        self.Y = self._rows(np.eye(self.sizes[-1])[Y.astype(int)] if Y.ndim == 1 else Y.astype(network.dtype))
        weights = configuration.options.get("sample_weight")
        if weights is None and moved_by:
            weights = np.ones(len(self.X))
        self.weights = None if weights is None else reference.normalized(moved(np.asarray(weights)).tolist())

    def _rows(self, array: np.ndarray) -> list[list[Any]]:
        return [[self.number(value) for value in row] for row in array.tolist()]

    def _layers(self, theta: np.ndarray, network: fastbp.Network) -> reference.Network:
        names = (*network.hidden_activations, network.output_activation)
        layers, at = [], 0
        for (n_in, n_out), name in zip(pairwise(self.sizes), names, strict=True):
            W = self._rows(theta[at : at + n_in * n_out].reshape(n_in, n_out))
            at += n_in * n_out
            b = [self.number(0)] * n_out
            if self.bias != "none":
                b = self._rows(theta[None, at : at + n_out])[0]
                at += n_out
            layers.append(reference.Layer(W, b, name))
        return layers

    def flat(self, layers: list[reference.Layer]) -> np.ndarray:
        """Return layers as theta has them."""
        parts = []
        for layer in layers:
            parts += [np.ravel(layer.W), layer.b if self.bias != "none" else []]
        return np.concatenate(parts).astype(np.float64)

    def full_loss(self, *, weighted: bool = True) -> float:
        weights = self.weights if weighted else None
        return float(reference.loss(self.network, self.X, self.Y, self.loss, weights, self.functions))


# --- dropout, which the reference has not ----------------------------------------------------------------

WORD = 2**64


def hashed(key: int, n: int) -> int:
    """Return word n of the SplitMix64 sequence that starts at `key`."""
    word = (key + (n + 1) * 0x9E3779B97F4A7C15) % WORD
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 % WORD
    word = (word ^ word >> 27) * 0x94D049BB133111EB % WORD
    return word ^ word >> 31


def mask(
    seed_state: int, step: int, place: int, n_layers: int, layer: int, size: int, p: float
) -> list[float]:
    """Return what the outputs of a hidden layer are multiplied by, for the sample at a place of its batch."""
    key = hashed(hashed(seed_state, step), place * n_layers + layer)
    return [1 / (1 - p) if hashed(key, j) >> 11 < int((1 - p) * 2**53) else 0.0 for j in range(size)]


def backward_with_dropout(
    network: reference.Network,
    X: list[list[float]],
    Y: list[list[float]],
    loss: str,
    weights: list[float] | None,
    l2: float,
    masks: list[list[list[float]]],
    losses: list[float],
) -> Iterator[Gradient]:
    """Yield the gradients as `reference.backward` does, and append the samples' losses to `losses`."""
    f, last = reference.FLOAT64, network[-1].activation
    passes, deltas = [], []
    for x, t, masks_of_sample in zip(X, Y, masks, strict=True):
        inputs, zs, outputs = [x], [], []
        for layer, factors in zip(network, [*masks_of_sample, None], strict=True):
            z, a = reference.layer_forward(inputs[-1], layer, f)
            zs.append(z)
            outputs.append(a)
            inputs.append(a if factors is None else [u * v for u, v in zip(a, factors, strict=True)])
        losses.append(reference.sample_loss(outputs[-1], t, zs[-1], last, loss, f))
        deltas.append(reference.output_delta(outputs[-1], t, zs[-1], last, loss, f))
        passes.append((inputs, zs, outputs))
    for i in reversed(range(len(network))):
        gradients = [
            reference.layer_gradient(inputs[i], d) for (inputs, _, _), d in zip(passes, deltas, strict=True)
        ]
        yield i, reference.with_l2(reference.mean_gradient(gradients, weights), network[i], l2)
        if i == 0:
            return
        below = []
        for (_, zs, outputs), masks_of_sample, delta in zip(passes, masks, deltas, strict=True):
            d_a = [
                factor * reference.total([W_ij * d_j for W_ij, d_j in zip(row, delta, strict=True)])
                for factor, row in zip(masks_of_sample[i - 1], network[i].W, strict=True)
            ]
            name = network[i - 1].activation
            below.append(reference.activate_backward(name, zs[i - 1], outputs[i - 1], d_a, f))
        deltas = below


# --- training --------------------------------------------------------------------------------------------


class Training:
    """A run of the reference, step by step."""

    def __init__(self, lists: Lists, options: dict[str, Any]):
        self._lists, self._options = lists, options
        self._updater = reference.Updater(options["optimizer"], lists.functions)
        self._state = int(np.random.SeedSequence(options["seed"]).generate_state(1, np.uint64)[0])

    def step(self, batch: list[int]) -> list[float]:
        """Take a step on some samples; return their losses at the parameters from before it."""
        lists, options = self._lists, self._options
        X, Y = [lists.X[i] for i in batch], [lists.Y[i] for i in batch]
        weights = None if lists.weights is None else [lists.weights[i] for i in batch]
        train_biases, l2 = lists.bias == "trainable", options.get("l2", 0.0)
        dropout = options.get("dropout", 0.0)
        if not dropout:
            losses = [
                float(reference.loss(lists.network, [x], [t], lists.loss, None, lists.functions))
                for x, t in zip(X, Y, strict=True)
            ]
            reference.batch_step(
                lists.network,
                X,
                Y,
                self._updater,
                loss=lists.loss,
                update=options["update"],
                train_biases=train_biases,
                sample_weight=weights,
                l2=l2,
                gradient_clip_norm=options.get("gradient_clip_norm"),
            )
            return losses
        n_layers, step = len(lists.network), self._updater.steps
        masks = [
            [mask(self._state, step, place, n_layers, i, lists.sizes[i], dropout) for i in range(1, n_layers)]
            for place in range(len(batch))
        ]
        losses = []
        gradients: Any = backward_with_dropout(lists.network, X, Y, lists.loss, weights, l2, masks, losses)
        if options["update"] == "simultaneous":
            numbers, layers = zip(*gradients, strict=True)
            norm = options.get("gradient_clip_norm", np.inf)
            scaled = reference.clipped(list(layers), norm, train_biases, lists.functions)
            gradients = zip(numbers, scaled, strict=True)
        for i, gradient in gradients:
            lists.network[i] = self._updater.update(i, lists.network[i], gradient, train_biases)
        self._updater.steps += 1
        return losses

    def run(self, *, evaluates: bool) -> tuple[list[float], list[float], list[float]]:
        """Train; return the losses of the epochs, over all samples, and over all samples without weights.

        With `evaluates`, an adaptive rate looks at the loss after an epoch, as with the fused kernel.
        """
        lists, options = self._lists, self._options
        n = len(lists.X)
        size = min(n, options["batch_size"] or n)
        per_epoch = -(-n // size)
        steps = options["steps"] if "steps" in options else options["epochs"] * per_epoch
        order = reference.sample_order(n, self._state if options["shuffle"] and size < n else None)
        rate = options["optimizer"].learning_rate
        adaptive = rate.start() if isinstance(rate, Adaptive) else None
        means, losses, unweighted = [], [lists.full_loss()], []
        epoch: list[tuple[float, float]] = []
        for step in range(steps):
            if adaptive is not None:
                self._updater.learning_rate = adaptive.rate
            batch = list(islice(order, min(size, n - step % per_epoch * size)))
            weights = [1.0 if lists.weights is None else lists.weights[i] for i in batch]
            epoch += zip(weights, self.step(batch), strict=True)
            if (step + 1) % per_epoch:
                continue
            means.append(sum(w * loss for w, loss in epoch) / len(epoch))
            losses.append(lists.full_loss())
            unweighted.append(lists.full_loss(weighted=False))
            epoch = []
            if adaptive is not None:
                adaptive = rate.after_epoch(adaptive, losses[-1] if evaluates else means[-1])
                if adaptive.exhausted:
                    break
        return means, losses, unweighted


def compute(configuration: Configuration, moved_by: float = 0.0) -> Numbers:
    """Return the results of the reference."""
    lists, options = Lists(configuration, moved_by), configuration.options
    outputs = [reference.forward(lists.network, x, lists.functions)[-1] for x in lists.X]
    backward = reference.backward(
        lists.network, lists.X, lists.Y, lists.loss, lists.weights, functions=lists.functions
    )
    gradient = lists.flat([layer for _, layer in backward][::-1])
    loss = lists.full_loss()
    evaluates = lists.sizes == (2, 2, 2) and options.get("kernel") != "layered" and "math" in options
    curves = Training(lists, options).run(evaluates=evaluates)
    theta = lists.flat(lists.network)
    return Numbers(np.array([loss]), gradient, np.array(outputs), theta, *map(np.array, curves))


@dataclass(frozen=True, eq=False)
class Expected:
    """Results, and how far each may be off; None where it says nothing."""

    values: Numbers
    tolerances: dict[str, float | None]


def expected(configuration: Configuration) -> Expected:
    """Return what a configuration must give, and how exactly."""
    dtype = configuration.network["dtype"]
    values = compute(configuration)
    other = compute(configuration, MOVED[dtype])
    tolerances: dict[str, float | None] = {}
    for name, value in vars(values).items():
        if not value.size:
            continue
        if getattr(other, name).shape != value.shape or not np.isfinite(value).all():
            tolerances[name] = None
            continue
        size = np.abs(value).max()
        moved = np.abs(getattr(other, name) - value).max()
        tolerance = FLOOR[dtype] * size + TIMES * moved + CANCELLED[dtype]
        tolerances[name] = tolerance if tolerance <= max(USELESS[dtype] * size, FLOOR[dtype]) else None
    return Expected(values, tolerances)
