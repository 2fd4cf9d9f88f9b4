"""Updates of the networks of a block by the rules of `fastbp.kernels.update_rules`, a network a lane."""

import numpy as np

from fastbp._jit import routine
from fastbp.kernels.elementwise import SMALLEST_NORMAL, at_least
from fastbp.kernels.records import get, nth
from fastbp.kernels.tuples import replaced, store_each, wide_load_each
from fastbp.kernels.update import by_code, step_constants
from fastbp.kernels.update_rules import N_CONSTANTS, RULES
from fastbp.simd import (
    converted,
    element,
    fma,
    long_load,
    magnitude,
    root,
    shifted,
    splat,
    store,
    where_less,
    wide,
    wide_load,
    wide_splat,
)

SAME, BY_RATE, BY_MOMENTUM = range(3)
"""What a constant of a step depends on, besides the step: nothing, the network's rate, or its momentum."""

RATE_FIELDS = ("down", "down_ahead", "pace", "shrink")
"""The constants that are proportional to the learning rate."""


def constant_kinds(rule: str, nesterov: bool) -> list[int]:
    """Return what each constant of a rule depends on.

    Examples
    --------
    >>> constant_kinds("sgd_momentum", False)
    [0, 1, 2]
    """
    (fields,) = (found.Constants._fields for found in RULES if found.name == rule)
    by_momentum = ("momentum", "ahead") if nesterov else ("momentum",)
    return [BY_RATE if name in RATE_FIELDS else BY_MOMENTUM * (name in by_momentum) for name in fields]


@routine
def lane_constants(job, block, area, scratch, step, rows):
    """Write the constants of a step of some rows, a vector each, and the networks' l2 after them."""
    lanes, constants = wide(area), shifted(area, get(job, "constants_at"))
    last = get(job, "n_rates") - 1
    relative = element(get(job, "relative_rates"), min(step - get(job, "first_step"), last))
    step_constants(get(job, "rule"), get(job, "hyper"), 1.0, step + 1, scratch)
    like, first = wide_splat(0.0, area), block * lanes
    for i in range(N_CONSTANTS):
        kind, number = element(get(job, "kinds"), i), element(scratch, i)
        if kind == BY_RATE:
            rates = long_load(get(job, "rates"), first, like)
            store(constants, i * lanes, converted(rates * splat(number * relative, rates), area))
        elif kind == BY_MOMENTUM:
            momenta = long_load(get(job, "momenta"), first, like)
            store(constants, i * lanes, converted(momenta, area))
        else:
            store(constants, i * lanes, wide_splat(number, area))
    l2 = long_load(get(job, "l2"), first, like)
    if get(job, "divides_l2") != 0:
        l2 = l2 / splat(np.float64(rows), l2)
    store(constants, N_CONSTANTS * lanes, converted(l2, area))


def lane_update_by(rule):
    """Return a routine that takes a rule's step with n numbers: parameters of a block, vector by vector."""
    Constants, rule_on_registers, n_states = rule.Constants, rule.update, rule.n_states
    n_constants = len(Constants._fields)

    @routine
    def lane_update(constants, l2, active, theta, gradient, state, distance, n):
        lanes = wide(theta)
        c = Constants(*wide_load_each(constants, 0, lanes, n_constants))
        c = replaced(c, "decay", c.decay + wide_load(l2, 0))
        trained, zero = wide_load(active, 0), wide_splat(0.0, theta)
        for k in range(0, n, lanes):
            states = wide_load_each(state, k, distance, n_states)
            before = wide_load(theta, k)
            after = rule_on_registers(before, wide_load(gradient, k), *states, c)
            store(theta, k, where_less(zero, trained, after[0], before))
            store_each(state, k, distance, after[1:])

    return lane_update


UPDATES = tuple({rule.update: rule for rule in RULES}.values())
"""A rule for each different update function."""

UPDATE_CODES = {rule.name: [other.update for other in UPDATES].index(rule.update) for rule in RULES}
"""The code of each rule's update function."""

lane_update_vectors = by_code([lane_update_by(rule) for rule in UPDATES])


@routine
def clip_lanes(job, block, area):
    """Add the gradient of the l2 term, and bring the norm of each network's gradient down to the limit."""
    lanes, n_parameters = wide(area), get(job, "n_parameters")
    gradient, constants = shifted(area, get(job, "gradient_at")), shifted(area, get(job, "constants_at"))
    theta = shifted(get(job, "theta"), block * n_parameters * lanes)
    l2 = wide_load(constants, N_CONSTANTS * lanes)
    for number in range(get(job, "n_layers")):
        layer = nth(get(job, "layers"), number)
        start = get(layer, "W_at") * lanes
        for k in range(start, start + get(layer, "n_in") * get(layer, "n_out") * lanes, lanes):
            store(gradient, k, fma(l2, wide_load(theta, k), wide_load(gradient, k)))
    store(constants, N_CONSTANTS * lanes, wide_splat(0.0, area))
    largest = wide_splat(0.0, area)
    squares = largest
    for k in range(0, n_parameters * lanes, lanes):
        size = magnitude(wide_load(gradient, k))
        largest = where_less(size, largest, largest, size)
    largest = at_least(largest, SMALLEST_NORMAL(largest))
    for k in range(0, n_parameters * lanes, lanes):
        part = wide_load(gradient, k) / largest
        squares = fma(part, part, squares)
    length, norm = root(squares), wide_splat(element(get(job, "clip_norm"), 0), area)
    factor = norm / length
    for k in range(0, n_parameters * lanes, lanes):
        g = wide_load(gradient, k)
        store(gradient, k, where_less(norm, largest * length, g / largest * factor, g))


@routine
def update_block(job, block, area, scratch, step, rows):
    """Take the step with the gradient in the work area; frozen networks keep their parameters."""
    lanes, n_parameters = wide(area), get(job, "n_parameters")
    lane_constants(job, block, area, scratch, step, rows)
    if get(job, "clips") != 0:
        clip_lanes(job, block, area)
    constants, zero = shifted(area, get(job, "constants_at")), shifted(area, 0)
    l2, active = shifted(constants, N_CONSTANTS * lanes), shifted(get(job, "active"), block * lanes)
    distance = n_parameters * lanes
    theta, gradient = shifted(get(job, "theta"), block * distance), shifted(area, get(job, "gradient_at"))
    state, code = shifted(get(job, "state"), block * get(job, "n_states") * distance), get(job, "update")
    for number in range(get(job, "n_layers")):
        layer = nth(get(job, "layers"), number)
        at, n_out = get(layer, "W_at") * lanes, get(layer, "n_out") * lanes
        n = get(layer, "n_in") * n_out
        lane_update_vectors(
            code,
            constants,
            l2,
            active,
            shifted(theta, at),
            shifted(gradient, at),
            shifted(state, at),
            distance,
            n,
        )
        if get(job, "trains_biases") != 0:
            at += n
            lane_update_vectors(
                code,
                constants,
                zero,
                active,
                shifted(theta, at),
                shifted(gradient, at),
                shifted(state, at),
                distance,
                n_out,
            )
