"""Updates of the networks of a block by the rules of `fastbp.kernels.update_rules`, a network a lane."""

import numpy as np

from fastbp._jit import helper, routine
from fastbp.kernels.elementwise import SMALLEST_NORMAL, at_least
from fastbp.kernels.lanes import fill, gradient_product
from fastbp.kernels.population_rows import apart, lane_propagate
from fastbp.kernels.records import get, nth
from fastbp.kernels.register_tiles import TILE_VECTORS
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


PART_VECTORS = 512
"""Vectors of the gradient that are computed, and then used, at a time."""


@routine
def lane_constants(job, block, area, scratch, step, rows):
    """Write the constants of a step of some rows, a vector each; after them l2, and decay plus l2."""
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
    l2_here = converted(l2, area)
    store(constants, N_CONSTANTS * lanes, l2_here)
    store(constants, (N_CONSTANTS + 1) * lanes, wide_load(constants, 0) + l2_here)


def lane_update_by(rule):
    """Return a routine that takes a rule's step with n numbers: parameters of a block, vector by vector."""
    Constants, rule_on_registers, n_states = rule.Constants, rule.update, rule.n_states
    n_constants = len(Constants._fields)

    @routine
    def lane_update(constants, l2, theta, gradient, state, distance, n):
        lanes = wide(theta)
        c = Constants(*wide_load_each(constants, 0, lanes, n_constants))
        c = replaced(c, "decay", c.decay + wide_load(l2, 0))
        for k in range(0, n, lanes):
            states = wide_load_each(state, k, distance, n_states)
            after = rule_on_registers(wide_load(theta, k), wide_load(gradient, k), *states, c)
            store(theta, k, after[0])
            store_each(state, k, distance, after[1:])

    return lane_update


UPDATES = tuple({rule.update: rule for rule in RULES}.values())
"""A rule for each different update function."""

UPDATE_CODES = {rule.name: [other.update for other in UPDATES].index(rule.update) for rule in RULES}
"""The code of each rule's update function."""

SGD_UPDATE = UPDATE_CODES["sgd"]
"""The code of `gradient_product`'s own update. It takes the constants `decay`, with l2 or not, and `down`."""

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


@helper
def update_part(job, block, area, start, n, gradient, with_l2):
    """Update n numbers of a block's parameters, from `start` on."""
    lanes, constants = wide(area), shifted(area, get(job, "constants_at"))
    distance = get(job, "n_parameters") * lanes
    state = shifted(get(job, "state"), block * get(job, "n_states") * distance)
    l2 = shifted(constants, N_CONSTANTS * lanes) if with_l2 else shifted(area, 0)
    lane_update_vectors(
        get(job, "update"),
        constants,
        l2,
        shifted(get(job, "theta"), block * distance + start),
        gradient,
        shifted(state, start),
        distance,
        n,
    )


@routine
def lane_backward(job, block, area, rows, begins, ends):
    """Compute the gradient of a tile's rows; add it to that of the tiles before, unless this one begins.

    With the last tile, parameters are updated as soon as their gradient is known, some rows of W at a time,
    while both are in the L1 cache.
    """
    lanes, trains_biases = wide(area), get(job, "trains_biases") != 0
    theta = shifted(get(job, "theta"), block * get(job, "n_parameters") * lanes)
    zero, gradient = shifted(area, 0), shifted(area, get(job, "gradient_at"))
    constants = shifted(area, get(job, "constants_at"))
    for number in range(get(job, "n_layers") - 1, -1, -1):
        layer = nth(get(job, "layers"), number)
        n_in, n_out, at = get(layer, "n_in"), get(layer, "n_out"), get(layer, "W_at") * lanes
        x, delta = shifted(area, get(layer, "x_at")), shifted(area, get(layer, "delta_at"))
        if number > 0:
            lane_propagate(job, area, theta, layer, number, rows)
        n_rows, distance = n_in, apart(rows, n_in, area)
        if trains_biases:
            fill(wide_splat(1.0, x), shifted(x, n_in * distance), rows * lanes)
            n_rows += 1
        moves = ends and get(job, "update") == SGD_UPDATE
        some = n_rows if moves or not ends else max(TILE_VECTORS + 1, PART_VECTORS // n_out // 4 * 4)
        for first in range(0, n_rows, some):
            there, start = min(some, n_rows - first), at + first * n_out * lanes
            dW = shifted(gradient, start)
            init, init_row, init_column = dW, n_out * lanes, lanes
            if begins:
                init, init_row, init_column = zero, 0, 0
            gradient_product(
                there, n_out, rows,
                shifted(x, first * distance), distance,
                delta, apart(rows, n_out, area),
                init, init_row, init_column,
                shifted(theta, start) if moves else dW, n_out * lanes,
                moves, shifted(constants, (N_CONSTANTS + 1) * lanes), constants, shifted(constants, lanes),
                n_in,
            )  # fmt: skip
            if ends and not moves:
                n = min(there, n_in - first) * n_out * lanes
                update_part(job, block, area, start, n, dW, True)
                if first + there > n_in:
                    update_part(job, block, area, start + n, n_out * lanes, shifted(dW, n), False)


@routine
def update_clipped(job, block, area):
    """Take the step with the gradient in the work area, after clipping it."""
    lanes, gradient = wide(area), shifted(area, get(job, "gradient_at"))
    clip_lanes(job, block, area)
    for number in range(get(job, "n_layers")):
        layer = nth(get(job, "layers"), number)
        start, n_out = get(layer, "W_at") * lanes, get(layer, "n_out") * lanes
        n = get(layer, "n_in") * n_out
        n += n_out if get(job, "trains_biases") != 0 else 0
        update_part(job, block, area, start, n, shifted(gradient, start), False)
