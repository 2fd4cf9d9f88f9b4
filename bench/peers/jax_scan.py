# JAX in its fast form: the whole run is one compiled program, `jit` of a `lax.scan` over the batches of
# an epoch inside a loop over epochs. The number of epochs is an argument, so one compilation serves every
# length; for many networks, `vmap` of that. The optimizers are written by hand, in the form that XLA fuses:
# optax's Adam takes as long, and has epsilon elsewhere. The scan is unrolled by 1 or by 4, whichever is
# faster for the workload on this machine, which is measured while preparing.
#
# Measured on 2 cores, float32, us a step; networks and batches 2-4-1, 1 | 4-10-3, 16 | 20-64-64-2, 1 |
# 64-128-10, 1 | 64-128-10, 32:
#   this, unrolled by 1                           0.053 | 3.6 | 1.26 | 1.89 | 16.9
#   this, unrolled by 4                           0.108 | 3.5 | 1.12 | 1.66 | 21.7
#   one scan over step numbers, batch by index    0.053 | 3.7 | 1.39 | 1.94 | 16.9
#   the same, unrolled by 8                       0.280 | 3.3 | 1.04 | 1.76 | 20.7
#   fori_loop over step numbers                   0.053 | 3.5 | 1.30 | 1.94 | 16.8
#   batches of one sample as vectors              0.052 | -   | 1.33 | 1.97 | -

import os
import time
from functools import partial

import numpy as np

import fastbp
from bench.grid import Workload
from bench.peers import Train

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp

jax.config.update("jax_enable_x64", True)

UNROLL = (1, 4)
TRIAL_SECONDS = 0.01
LONG_BATCH = 256
"""From this many samples a step on, unrolling only adds compile time."""

ACTIVATIONS = {
    "identity": lambda z: z,
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
    "relu": lambda z: jnp.maximum(z, 0),
}


def prepare(workload: Workload) -> Train:
    batches = tuple(jnp.asarray(workload.batches(a)) for a in (workload.samples()[0], workload.targets()))
    starts = [
        [tuple(map(jnp.asarray, layer)) for layer in workload.layers(theta)] for theta in workload.starts()
    ]
    start = jax.tree.map(lambda *arrays: jnp.stack(arrays), *starts) if workload.networks > 1 else starts[0]
    epochs_of = fastest(workload, start, batches)

    def train(steps: int) -> np.ndarray:
        layers = jax.block_until_ready(epochs_of(start, *batches, steps // workload.steps_per_epoch))
        if workload.networks == 1:
            return workload.flat(layers)
        parts = [np.asarray(a).reshape(workload.networks, -1) for layer in layers for a in layer]
        return np.concatenate(parts, axis=1)

    return train


def fastest(workload: Workload, start, batches):
    """Return the compiled program with the faster unrolling."""
    if min(UNROLL[1], workload.steps_per_epoch) == 1 or workload.batch_size >= LONG_BATCH:
        return compiled(workload, 1)
    programs = [compiled(workload, unroll) for unroll in UNROLL]
    return min(programs, key=lambda program: seconds_an_epoch(program, start, batches))


def seconds_an_epoch(program, start, batches) -> float:
    """Return the time of an epoch, from runs that grow until one is long enough; the best of three."""

    def seconds(epochs):
        started = time.perf_counter()
        jax.block_until_ready(program(start, *batches, epochs))
        return time.perf_counter() - started

    epochs = 1
    seconds(epochs)  # compiles
    while seconds(epochs) < TRIAL_SECONDS:
        epochs *= 4
    return min(seconds(epochs) for _ in range(3)) / epochs


def compiled(workload: Workload, unroll: int):
    """Return the program that trains for some epochs: (layers, X, T, epochs) -> layers."""
    optimizer, trainable = workload.optimizer, workload.bias == "trainable"
    f, output = ACTIVATIONS[workload.hidden], ACTIVATIONS.get(workload.output)
    tree = jax.tree.map

    def loss(layers, x, t):
        for W, b in layers[:-1]:
            x = f(x @ W + b)
        W, b = layers[-1]
        z = x @ W + b
        if output is None:
            return -jnp.mean(jnp.sum(t * jax.nn.log_softmax(z), axis=-1))
        return 0.5 * jnp.mean(jnp.sum((output(z) - t) ** 2, axis=-1))

    def gradient(layers, x, t):
        if trainable:
            return jax.grad(loss)(layers, x, t)
        held = [b for _, b in layers]
        weights = [W for W, _ in layers]
        found = jax.grad(lambda weights: loss([*zip(weights, held, strict=True)], x, t))(weights)
        return [(dW, jnp.zeros_like(b)) for dW, b in zip(found, held, strict=True)]

    def sgd(rate, carry, batch):
        (layers,) = carry
        return (tree(lambda p, g: p - rate * g, layers, gradient(layers, *batch)),), None

    def adam(rate, carry, batch):
        layers, m, v, k = carry
        k = k + 1
        g = gradient(layers, *batch)
        m = tree(lambda m, g: optimizer.beta1 * m + (1 - optimizer.beta1) * g, m, g)
        v = tree(lambda v, g: optimizer.beta2 * v + (1 - optimizer.beta2) * g * g, v, g)
        r = (rate / (1 - optimizer.beta1**k)).astype(workload.dtype)
        root = (1 / jnp.sqrt(1 - optimizer.beta2**k)).astype(workload.dtype)
        layers = tree(lambda p, m, v: p - r * (m / (jnp.sqrt(v) * root + optimizer.epsilon)), layers, m, v)
        return (layers, m, v, k), None

    is_adam = isinstance(optimizer, fastbp.Adam)

    def train(layers, X, T, epochs, rate=optimizer.learning_rate):
        zeros = tree(jnp.zeros_like, layers)
        carry = (layers, zeros, zeros, jnp.zeros((), "float64")) if is_adam else (layers,)
        step = partial(adam if is_adam else sgd, rate)
        unrolled = min(unroll, workload.steps_per_epoch)

        def epoch(i, carry):
            return jax.lax.scan(step, carry, (X, T), unroll=unrolled)[0]

        return jax.lax.fori_loop(0, epochs, epoch, carry)[0]

    if workload.own_rates:
        rates = jnp.asarray(workload.rates(), workload.dtype)
        each = jax.vmap(train, in_axes=(0, None, None, None, 0))
        return jax.jit(lambda *arguments: each(*arguments, rates))
    if workload.networks > 1:
        train = jax.vmap(train, in_axes=(0, None, None, None))
    return jax.jit(train)
