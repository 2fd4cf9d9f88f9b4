"""Optimizers inside kernels, vector by vector; `fastbp.optimizers` has the equations."""

import math

from fastbp._jit import helper, routine
from fastbp.kernels.elementwise import SMALLEST_NORMAL, at_least
from fastbp.optimizers import ADAM_CODE, ADAMW_CODE, RMSPROP_CODE, SGD_CODE
from fastbp.simd import (
    element,
    fma,
    put,
    root,
    store,
    where_less,
    wide,
    wide_load,
    wide_splat,
)

RATE, PACE, EPSILON, SHRINK = range(4)
"""Where `step_constants` puts what an update needs of the step. SHRINK is r times AdamW's weight decay."""

N_STEP_CONSTANTS = 4


@routine
def step_constants(code, hyper, rate, step, constants):
    """Write what depends on the step alone to `constants`; `step` counts from 1.

    Adam's r / (1 - beta1^k) m / (sqrt(v) / root + epsilon), with root = sqrt(1 - beta2^k), is computed as
    pace m / (sqrt(v) + epsilon root), with pace = r root / (1 - beta1^k).
    """
    put(constants, RATE, rate)
    if code in (ADAM_CODE, ADAMW_CODE):
        unbias = math.sqrt(1.0 - element(hyper, 2) ** step)
        put(constants, PACE, rate * unbias / (1.0 - element(hyper, 1) ** step))
        put(constants, EPSILON, element(hyper, 3) * unbias)
        put(constants, SHRINK, rate * element(hyper, 0) if code == ADAMW_CODE else 0.0)


@helper
def constant(numbers, i, theta):
    """Return a vector of the i-th float64 at `numbers`, in the type at `theta`."""
    return wide_splat(element(numbers, i), theta)


@helper
def positive(number, theta):
    """Return a vector of a number above 0, in the type at `theta`: not 0 even where that is too coarse."""
    smallest = SMALLEST_NORMAL(wide_splat(0.0, theta))
    return at_least(wide_splat(number, theta), smallest)


@routine
def update(code, hyper, constants, l2, theta, gradient, first, second, n):
    """Take a step with n parameters, whole vectors, on their gradient plus l2 theta.

    Parameters
    ----------
    code : int
        Of the optimizer.
    hyper, constants
        Addresses of float64 numbers: the optimizer's, and those of `step_constants`. What is computed from
        them alone is computed in float64, and rounded once: in float32, 1 - 0.999 from a rounded 0.999 would
        be off by 5e-5 of itself.
    l2 : float
    theta, gradient, first, second
        Addresses of the parameters, their gradient, and the optimizer's state vectors.
    n : int
    """
    step = wide(theta)
    zero, one = wide_splat(0.0, theta), wide_splat(1.0, theta)
    rate = constant(constants, RATE, theta)
    if code == SGD_CODE:
        decay = wide_splat(element(hyper, 0) + l2, theta)
        momentum = constant(hyper, 1, theta)
        down = zero - rate
        if element(hyper, 1) == 0.0:
            for k in range(0, n, step):
                w = wide_load(theta, k)
                store(theta, k, fma(down, fma(decay, w, wide_load(gradient, k)), w))
        else:
            nesterov = element(hyper, 2) != 0.0
            for k in range(0, n, step):
                w = wide_load(theta, k)
                g = fma(decay, w, wide_load(gradient, k))
                v = fma(momentum, wide_load(first, k), g)
                store(first, k, v)
                store(theta, k, fma(down, fma(momentum, v, g) if nesterov else v, w))
    elif code == RMSPROP_CODE:
        decay = wide_splat(element(hyper, 0) + l2, theta)
        alpha, epsilon = constant(hyper, 1, theta), positive(element(hyper, 2), theta)
        rest, momentum = wide_splat(1.0 - element(hyper, 1), theta), constant(hyper, 3, theta)
        moving = element(hyper, 3) != 0.0
        for k in range(0, n, step):
            w = wide_load(theta, k)
            g = fma(decay, w, wide_load(gradient, k))
            v = fma(alpha, wide_load(first, k), rest * g * g)
            store(first, k, v)
            g = g / (root(v) + epsilon)
            if moving:
                g = fma(momentum, wide_load(second, k), g)
                store(second, k, g)
            store(theta, k, fma(zero - rate, g, w))
    elif code in (ADAM_CODE, ADAMW_CODE):
        decay = wide_splat(l2 + (element(hyper, 0) if code == ADAM_CODE else 0.0), theta)
        beta1, beta2 = constant(hyper, 1, theta), constant(hyper, 2, theta)
        rest1 = wide_splat(1.0 - element(hyper, 1), theta)
        rest2 = wide_splat(1.0 - element(hyper, 2), theta)
        pace, epsilon = constant(constants, PACE, theta), positive(element(constants, EPSILON), theta)
        shrink = constant(constants, SHRINK, theta)
        for k in range(0, n, step):
            w = wide_load(theta, k)
            g = fma(decay, w, wide_load(gradient, k))
            m = fma(beta1, wide_load(first, k), rest1 * g)
            v = fma(beta2, wide_load(second, k), rest2 * g * g)
            store(first, k, m)
            store(second, k, v)
            store(theta, k, w - fma(shrink, w, pace * m / (root(v) + epsilon)))
    else:  # RPROP
        minus, plus = constant(hyper, 0, theta), constant(hyper, 1, theta)
        smallest, largest = positive(element(hyper, 2), theta), constant(hyper, 3, theta)
        decay = wide_splat(l2, theta)
        for k in range(0, n, step):
            w = wide_load(theta, k)
            g = fma(decay, w, wide_load(gradient, k))
            agreement = g * wide_load(first, k)
            size = wide_load(second, k)
            size = size * where_less(zero, agreement, plus, where_less(agreement, zero, minus, one))
            size = where_less(size, smallest, smallest, where_less(largest, size, largest, size))
            g = where_less(agreement, zero, zero, g)
            store(first, k, g)
            store(second, k, size)
            move = where_less(zero, g, size, where_less(g, zero, zero - size, g))
            store(theta, k, w - move)
