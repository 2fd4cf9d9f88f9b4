"""Many small networks of one shape at once, a network a SIMD lane.

A *block* is as many networks as a vector has lanes. Its parameters are vectors, ``theta[block, p, lane]``,
and so is every other number of a network. A thread takes blocks one by one, and trains each for many steps.
No operation crosses lanes, and the sums of a network are in an order that its shape alone decides. So a
network's bits do not depend on the other networks, on its lane, on the width of vectors, or on threads.

The networks may have the samples in one order, or each in its own, drawn by its own generator. Sizes,
activations, losses and update rules are those of the layered kernel.

A number that is not finite stays so. So it suffices to look at a block after some steps, a *burst*. If a
network has gone bad, the burst is taken again, step by step, and the network is frozen before its bad step.
It keeps its parameters from then on.
"""

import numpy as np

from fastbp._jit import helper, kernel, routine
from fastbp.kernels.fields import LOSS_ONLY, OWN_DRAWN, SHARED, TRAIN
from fastbp.kernels.floating_point import FLUSHING, floating_point_state, set_floating_point_state
from fastbp.kernels.lanes import copy_vectors
from fastbp.kernels.population_rows import gather_tile, lane_backward, lane_forward, lane_losses
from fastbp.kernels.population_update import update_block
from fastbp.kernels.records import get, nth, population_at
from fastbp.kernels.shuffle import next_position
from fastbp.kernels.update_rules import N_CONSTANTS
from fastbp.simd import (
    address,
    converted,
    element,
    long_load,
    put,
    shifted,
    splat,
    store,
    wide,
    wide_load,
    wide_splat,
)

MOST_LANES = 16
"""Lanes of the widest vector of the shortest type."""

POISON, SAVED_SUMS, SAVED_LOSSES, SUMS = (N_CONSTANTS + i * MOST_LANES for i in range(4))
SCRATCH = N_CONSTANTS + 4 * MOST_LANES
"""A thread's scratch: the constants of a step; then, for each lane, NaN if an epoch's loss was not finite,
the losses from before a burst, and the sums of an evaluation."""


@helper
def batch_start(job, step):
    """Return the position in the epoch at which the batch of a step begins."""
    return step % get(job, "steps_per_epoch") * get(job, "batch_size")


@helper
def rows_before(job, step):
    """Return how many samples the steps before this one have."""
    return step // get(job, "steps_per_epoch") * get(job, "n_samples") + batch_start(job, step)


@routine
def draw_own(job, block, drawn, step, stop):
    """Draw the samples of the coming steps in each network's own order."""
    lanes, n_samples = wide(get(job, "theta")), get(job, "n_samples")
    first, n = batch_start(job, step), rows_before(job, stop) - rows_before(job, step)
    for lane in range(lanes):
        network = block * lanes + lane
        order = shifted(get(job, "orders"), network * n_samples)
        generator, position = shifted(get(job, "generators"), 2 * network), first - 1
        for i in range(n):
            position = next_position(position, order, n_samples, generator, True)
            put(drawn, i * lanes + lane, element(order, position))


@routine
def block_step(job, block, area, scratch, drawn, place, step):
    """Take a step with the networks of a block; its samples begin at `place` of the sequence."""
    lanes, n_samples, tile = wide(area), get(job, "n_samples"), get(job, "tile_rows")
    first = batch_start(job, step)
    rows = min(get(job, "batch_size"), n_samples - first)
    sums = shifted(get(job, "loss_sums"), block * lanes)
    for row in range(0, rows, tile):
        there = min(tile, rows - row)
        gather_tile(job, block, area, drawn, place + row, first + row, there)
        lane_forward(job, block, area, step, row, there)
        lane_losses(job, area, there, 1.0 / rows, sums)
        lane_backward(job, block, area, there, row == 0)
    update_block(job, block, area, scratch, step)
    if first + rows == n_samples:
        end_epoch(job, block, scratch, sums)


@helper
def end_epoch(job, block, scratch, sums):
    """Record the loss of an epoch that ends, except of frozen networks."""
    lanes, n_samples = wide(get(job, "theta")), np.float64(get(job, "n_samples"))
    losses = shifted(get(job, "epoch_losses"), block * lanes)
    for lane in range(lanes):
        if element(get(job, "active"), block * lanes + lane) > 0:
            loss = element(sums, lane) / n_samples
            put(losses, lane, loss)
            put(scratch, POISON + lane, element(scratch, POISON + lane) + 0.0 * loss)
        put(sums, lane, 0.0)


@helper
def block_save(job, block, area, scratch):
    """Keep what training changes."""
    lanes, n = wide(area), get(job, "n_parameters") * wide(area)
    n_states = get(job, "n_states") * n
    saved = shifted(area, get(job, "saved_at"))
    copy_vectors(shifted(get(job, "theta"), block * n), saved, n)
    copy_vectors(shifted(get(job, "state"), block * n_states), shifted(saved, n), n_states)
    for lane in range(lanes):
        put(scratch, POISON + lane, 0.0)
        put(scratch, SAVED_SUMS + lane, element(get(job, "loss_sums"), block * lanes + lane))
        put(scratch, SAVED_LOSSES + lane, element(get(job, "epoch_losses"), block * lanes + lane))


@helper
def lane_restore(job, block, area, scratch, lane):
    """Go back to what was kept, in one lane."""
    lanes, n = wide(area), get(job, "n_parameters") * wide(area)
    saved = shifted(area, get(job, "saved_at"))
    theta, n_states = shifted(get(job, "theta"), block * n), get(job, "n_states") * n
    state = shifted(get(job, "state"), block * n_states)
    for k in range(lane, n, lanes):
        put(theta, k, element(saved, k))
    for k in range(lane, n_states, lanes):
        put(state, k, element(saved, n + k))
    put(get(job, "loss_sums"), block * lanes + lane, element(scratch, SAVED_SUMS + lane))
    put(get(job, "epoch_losses"), block * lanes + lane, element(scratch, SAVED_LOSSES + lane))


@helper
def block_poison(job, block, area, scratch):
    """Add NaN to the poison of the networks that have a parameter or a loss that is not finite."""
    lanes, n = wide(area), get(job, "n_parameters") * wide(area)
    theta = shifted(get(job, "theta"), block * n)
    zero = wide_splat(0.0, theta)
    poison = zero
    for k in range(0, n, lanes):
        poison = poison + zero * wide_load(theta, k)
    seen = long_load(scratch, POISON, poison) + converted(poison, scratch)
    losses = long_load(get(job, "loss_sums"), block * lanes, poison)
    store(scratch, POISON, seen + splat(0.0, losses) * losses)


@helper
def is_bad(job, block, scratch, lane):
    """Whether a network that is trained has gone bad."""
    poison = element(scratch, POISON + lane)
    return poison != poison and element(get(job, "active"), block * wide(get(job, "theta")) + lane) > 0


@helper
def any_bad(job, block, scratch):
    """Whether any network of a block has gone bad."""
    found = False
    for lane in range(wide(get(job, "theta"))):
        found = found or is_bad(job, block, scratch, lane)
    return found


@routine
def careful_steps(job, block, area, scratch, drawn, place, step, stop):
    """Take the steps of a burst one by one, and freeze the networks that go bad before their bad step."""
    lanes = wide(area)
    for lane in range(lanes):
        lane_restore(job, block, area, scratch, lane)
    while step < stop:
        block_save(job, block, area, scratch)
        block_step(job, block, area, scratch, drawn, place, step)
        block_poison(job, block, area, scratch)
        for lane in range(lanes):
            if is_bad(job, block, scratch, lane):
                lane_restore(job, block, area, scratch, lane)
                network = block * lanes + lane
                put(get(job, "active"), network, 0)
                put(get(job, "frozen_at"), network, step)
                put(get(job, "diverged_at"), network, step + 1)
        place += rows_before(job, step + 1) - rows_before(job, step)
        step += 1


@helper
def is_block_active(job, block):
    """Whether any network of a block is trained."""
    found, lanes = False, wide(get(job, "theta"))
    for network in range(block * lanes, (block + 1) * lanes):
        found = found or element(get(job, "active"), network) > 0
    return found


@routine
def train_block(job, block, thread, until):
    """Train the networks of a block to step `until`."""
    area = shifted(get(job, "work"), thread * get(job, "work_size"))
    scratch = shifted(get(job, "scratch"), thread * get(job, "scratch_size"))
    drawn = shifted(get(job, "drawn"), thread * get(job, "drawn_size"))
    steps, draws = get(job, "steps"), get(job, "ordering") == OWN_DRAWN
    shared = get(job, "ordering") == SHARED
    step = element(steps, block)
    while step < until and is_block_active(job, block):
        stop = min(until, step + get(job, "burst_steps"))
        place = rows_before(job, step) - rows_before(job, get(job, "sequence_step")) if shared else 0
        if draws:
            draw_own(job, block, drawn, step, stop)
        block_save(job, block, area, scratch)
        at = place
        for now in range(step, stop):
            block_step(job, block, area, scratch, drawn, at, now)
            at += rows_before(job, now + 1) - rows_before(job, now)
        block_poison(job, block, area, scratch)
        if any_bad(job, block, scratch):
            careful_steps(job, block, area, scratch, drawn, place, step, stop)
        step = stop
    put(steps, block, until)


@routine
def evaluate_block(job, block, thread, begin, end):
    """Add up the losses of samples, or write their outputs."""
    area = shifted(get(job, "work"), thread * get(job, "work_size"))
    lanes, tile, n_samples = wide(area), get(job, "tile_rows"), get(job, "n_samples")
    last = nth(get(job, "layers"), get(job, "n_layers") - 1)
    columns, a = get(last, "n_out"), shifted(area, get(last, "a_at"))
    for row in range(begin, end, tile):
        rows = min(tile, end - row)
        gather_tile(job, block, area, get(job, "drawn"), 0, row, rows)
        lane_forward(job, block, area, 0, 0, rows)
        if get(job, "mode") == LOSS_ONLY:
            lane_losses(job, area, rows, 1.0, shifted(get(job, "losses"), block * lanes))
            continue
        for lane in range(lanes):
            start = ((block * lanes + lane) * n_samples + row) * columns
            out = shifted(get(job, "outputs"), start)
            for r in range(rows):
                for j in range(columns):
                    put(out, r * columns + j, element(a, (j * rows + r) * lanes + lane))


@kernel
def population(job_address, thread, first, last, begin, end, own):
    """Train blocks to step `end`, or evaluate their networks on the samples from `begin` to `end`.

    Parameters
    ----------
    job_address : int
        The address of a record `POPULATION`.
    thread : int
        The number of the thread, which chooses its work area.
    first, last : int
        The blocks: from the first to before the last.
    begin, end : int
        In training, only the end counts.
    own : array
        An array of the networks' type.
    """
    state = floating_point_state()
    set_floating_point_state(FLUSHING)
    job = population_at(job_address, own)
    for block in range(first, last):
        if get(job, "mode") == TRAIN:
            train_block(job, block, thread, end)
        else:
            evaluate_block(job, block, thread, begin, end)
    set_floating_point_state(state)


@kernel
def draw_sequence(order, generator, sequence, first, shuffle):
    """Write the samples of the coming rows to `sequence`; the first is at position `first` of an epoch.

    Parameters
    ----------
    order : int64[n_samples], written
    generator : uint64[1], written
    sequence : int32[n], written
    first : int
    shuffle : bool
        Whether the order is drawn at random; without it, samples come in order.
    """
    position, order_at, generator_at = first - 1, address(order), address(generator)
    for i in range(sequence.size):
        position = next_position(position, order_at, order.size, generator_at, shuffle)
        sequence[i] = order[position]
