"""Many small networks of one shape at once, a network a SIMD lane.

A *block* is as many networks as a vector has lanes. Its parameters are vectors, ``theta[block, p, lane]``,
and so is every other number of a network. A thread takes blocks one by one, and trains each for many steps.
No operation crosses lanes, and the sums of a network are in an order that its shape alone decides. So a
network's bits do not depend on the other networks, on its lane, on the width of vectors, or on threads.

The networks may have the samples in one order, or each in its own, drawn by its own generator. Sizes,
activations, losses and update rules are those of the layered kernel.

A *bundle* is the blocks that go through a step together: one, or several 2-2-2 networks' blocks, which are in
registers (`fastbp.kernels.population222`).

A number that is not finite stays so. So it suffices to look at a bundle after some steps, a *burst*. If a
network has gone bad, the burst is taken again, step by step, and the network is frozen before its bad step.
It keeps its parameters from then on.

Where the time goes, in float32 on one core of a Zen 2, in nanoseconds of one network's step. Products include
relu, slopes and the update of SGD, which register tiles do with their sums. Adam's update includes what calls
the products.

=========================  ======  ========  ======  ======  ======  ======  ===========
network, batch, rule        total  products    Adam    tanh    loss  gather  of the peak
=========================  ======  ========  ======  ======  ======  ======  ===========
4-10-3 softmax, 16, SGD       200       130       0       0      41      14  26 %
8-16-1 tanh, 32, Adam         660       290     125     165      25      29  28 %
20-64-64-2 tanh, 32, SGD   13,600    11,900       0   1,500      40      80  68 %
=========================  ======  ========  ======  ======  ======  ======  ===========

At the peak, products would take 55, 194 and 9,200 ns. Alone, they reach 60 to 80 %, 80 to 93 % and 80 to 91 %
of it: sums of few terms spend a third of their time on loads, stores and addresses. What else bounds a step:
Adam's square root and division, 10 cycles a vector; a tanh, 7.5 cycles; of a softmax with its loss, the chain
of operations of each e^x and of the logarithm.
"""

import numpy as np

from fastbp._jit import helper, kernel, routine
from fastbp.kernels.fields import LOSS_ONLY, OWN_DRAWN, SHARED, TRAIN
from fastbp.kernels.floating_point import FLUSHING, floating_point_state, set_floating_point_state
from fastbp.kernels.lanes import copy_vectors
from fastbp.kernels.population222 import steps222
from fastbp.kernels.population_curve import is_recorded, place_in_curve
from fastbp.kernels.population_rows import apart, gather_tile, lane_forward, lane_losses
from fastbp.kernels.population_update import lane_backward, lane_constants, update_clipped
from fastbp.kernels.records import get, nth, population_at
from fastbp.kernels.shuffle import next_position
from fastbp.kernels.update_rules import N_CONSTANTS
from fastbp.simd import (
    address,
    converted,
    element,
    fma,
    long_load,
    put,
    shifted,
    splat,
    store,
    wide,
    wide_load,
    wide_splat,
)

MOST_LANES = 64
"""The most lanes of a bundle."""

POISON, SAVED_SUMS, SAVED_LOSSES, SAVED_PARTS = (N_CONSTANTS + i * MOST_LANES for i in range(4))
SCRATCH = N_CONSTANTS + 4 * MOST_LANES
"""A thread's scratch: the constants of a step; then, for each lane of a bundle, NaN if an epoch's loss was
not finite, and the losses from before a burst."""


@helper
def batch_start(job, step):
    """Return the position in the epoch at which the batch of a step begins."""
    return step % get(job, "steps_per_epoch") * get(job, "batch_size")


@helper
def rows_before(job, step):
    """Return how many samples the steps before this one have."""
    return step // get(job, "steps_per_epoch") * get(job, "n_samples") + batch_start(job, step)


@helper
def lanes_of_bundle(job):
    """Return how many networks a bundle has."""
    return get(job, "together") * wide(get(job, "theta"))


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
            put(drawn, i * lanes_of_bundle(job) + lane, element(order, position))


@helper
def add_penalty(job, block, sums):
    """Add l2 / 2 times the sum of the squared weights to the losses of a step's samples."""
    lanes, n_parameters = wide(get(job, "theta")), get(job, "n_parameters")
    theta = shifted(get(job, "theta"), block * n_parameters * lanes)
    squares = wide_splat(0.0, theta)
    for number in range(get(job, "n_layers")):
        layer = nth(get(job, "layers"), number)
        start = get(layer, "W_at") * lanes
        for k in range(start, start + get(layer, "n_in") * get(layer, "n_out") * lanes, lanes):
            squares = fma(wide_load(theta, k), wide_load(theta, k), squares)
    l2, before = long_load(get(job, "l2"), block * lanes, squares), long_load(sums, 0, squares)
    store(sums, 0, before + splat(0.5, l2) * l2 * converted(squares, sums))


@routine
def block_step(job, block, area, scratch, drawn, place, step):
    """Take a step with the networks of a block; its samples begin at `place` of the sequence."""
    lanes, n_samples, tile = wide(area), get(job, "n_samples"), get(job, "tile_rows")
    first = batch_start(job, step)
    rows = min(get(job, "batch_size"), n_samples - first)
    sums, clips = shifted(get(job, "loss_sums"), block * lanes), get(job, "clips") != 0
    lane_constants(job, block, area, scratch, step, rows)
    if get(job, "divides_l2") != 0:
        add_penalty(job, block, sums)
    for row in range(0, rows, tile):
        there = min(tile, rows - row)
        gather_tile(job, block, area, drawn, place + row, first + row, there)
        lane_forward(job, block, area, step, row, there)
        lane_losses(job, area, there, 1.0 / rows, sums)
        lane_backward(job, block, area, there, row == 0, row + there == rows and not clips)
    if clips:
        update_clipped(job, block, area)
    if first + rows == n_samples:
        end_epoch(job, block, scratch, sums, step)


@helper
def end_epoch(job, block, scratch, sums, step):
    """Record the loss of an epoch whose last step this is."""
    lanes, n_samples = wide(get(job, "theta")), np.float64(get(job, "n_samples"))
    losses = shifted(get(job, "epoch_losses"), block * lanes)
    for lane in range(lanes):
        loss = element(sums, lane) / n_samples
        put(losses, lane, loss)
        put(scratch, POISON + lane, element(scratch, POISON + lane) + 0.0 * loss)
        put(sums, lane, 0.0)
    epoch = step // get(job, "steps_per_epoch") + 1
    if is_recorded(job, epoch):
        row = shifted(get(job, "curve"), place_in_curve(job, epoch, block * lanes))
        for lane in range(lanes):
            put(row, lane, element(losses, lane))


@helper
def bundle_save(job, bundle, area, scratch):
    """Keep what training changes."""
    lanes = lanes_of_bundle(job)
    n = get(job, "n_parameters") * lanes
    n_states = get(job, "n_states") * n
    saved = shifted(area, get(job, "saved_at"))
    copy_vectors(shifted(get(job, "theta"), bundle * n), saved, n)
    copy_vectors(shifted(get(job, "state"), bundle * n_states), shifted(saved, n), n_states)
    for lane in range(lanes):
        put(scratch, POISON + lane, 0.0)
        put(scratch, SAVED_SUMS + lane, element(get(job, "loss_sums"), bundle * lanes + lane))
        put(scratch, SAVED_LOSSES + lane, element(get(job, "epoch_losses"), bundle * lanes + lane))
        put(scratch, SAVED_PARTS + lane, element(get(job, "loss_parts"), bundle * lanes + lane))


@helper
def lane_restore(job, bundle, area, scratch, lane):
    """Go back to what was kept, in one lane of a bundle."""
    lanes, width = lanes_of_bundle(job), wide(area)
    n, n_block = get(job, "n_parameters") * lanes, get(job, "n_parameters") * width
    saved = shifted(area, get(job, "saved_at"))
    theta, n_states = shifted(get(job, "theta"), bundle * n), get(job, "n_states") * n
    state = shifted(get(job, "state"), bundle * n_states)
    start = lane // width * n_block
    for k in range(start + lane % width, start + n_block, width):
        put(theta, k, element(saved, k))
    start *= get(job, "n_states")
    for k in range(start + lane % width, start + n_block * get(job, "n_states"), width):
        put(state, k, element(saved, n + k))
    put(get(job, "loss_sums"), bundle * lanes + lane, element(scratch, SAVED_SUMS + lane))
    put(get(job, "epoch_losses"), bundle * lanes + lane, element(scratch, SAVED_LOSSES + lane))
    put(get(job, "loss_parts"), bundle * lanes + lane, element(scratch, SAVED_PARTS + lane))


@helper
def restore_frozen(job, bundle, area, scratch):
    """Restore the frozen networks. They go through steps with the others, and nothing else heeds them.

    To select the parameters of the others in every step would take longer. LLVM makes masked stores of it,
    each of which takes 12 cycles on a Zen 2.
    """
    lanes = lanes_of_bundle(job)
    for lane in range(lanes):
        if element(get(job, "active"), bundle * lanes + lane) == 0:
            lane_restore(job, bundle, area, scratch, lane)


@helper
def bundle_poison(job, bundle, scratch):
    """Add NaN to the poison of the networks that have a parameter or a loss that is not finite."""
    together, width = get(job, "together"), wide(get(job, "theta"))
    n = get(job, "n_parameters") * width
    for i in range(together):
        block = bundle * together + i
        theta = shifted(get(job, "theta"), block * n)
        zero = wide_splat(0.0, theta)
        poison = zero * wide_load(get(job, "loss_parts"), block * width)
        for k in range(0, n, width):
            poison = fma(zero, wide_load(theta, k), poison)
        at = POISON + i * width
        seen = long_load(scratch, at, poison) + converted(poison, scratch)
        losses = long_load(get(job, "loss_sums"), block * width, poison)
        store(scratch, at, seen + splat(0.0, losses) * losses)


@helper
def is_bad(job, bundle, scratch, lane):
    """Whether a network that is trained has gone bad."""
    poison = element(scratch, POISON + lane)
    return poison != poison and element(get(job, "active"), bundle * lanes_of_bundle(job) + lane) > 0


@helper
def any_bad(job, bundle, scratch):
    """Whether any network of a bundle has gone bad."""
    found = False
    for lane in range(lanes_of_bundle(job)):
        found = found or is_bad(job, bundle, scratch, lane)
    return found


@routine
def bundle_steps(job, bundle, area, scratch, drawn, place, step, stop):
    """Take some steps with the networks of a bundle. Their samples begin at `place` of the sequence."""
    if get(job, "is_222") != 0:
        steps222(job, bundle * get(job, "together"), shifted(scratch, POISON), drawn, place, step, stop)
        return
    for now in range(step, stop):
        block_step(job, bundle, area, scratch, drawn, place, now)
        place += rows_before(job, now + 1) - rows_before(job, now)


@routine
def careful_steps(job, bundle, area, scratch, drawn, place, step, stop):
    """Take the steps of a burst one by one, and freeze the networks that go bad before their bad step."""
    lanes = lanes_of_bundle(job)
    for lane in range(lanes):
        lane_restore(job, bundle, area, scratch, lane)
    while step < stop:
        bundle_save(job, bundle, area, scratch)
        bundle_steps(job, bundle, area, scratch, drawn, place, step, step + 1)
        restore_frozen(job, bundle, area, scratch)
        bundle_poison(job, bundle, scratch)
        for lane in range(lanes):
            if is_bad(job, bundle, scratch, lane):
                lane_restore(job, bundle, area, scratch, lane)
                network = bundle * lanes + lane
                put(get(job, "active"), network, 0)
                put(get(job, "frozen_at"), network, step)
                put(get(job, "diverged_at"), network, step + 1)
        place += rows_before(job, step + 1) - rows_before(job, step)
        step += 1


@helper
def is_bundle_active(job, bundle):
    """Whether any network of a bundle is trained."""
    found, lanes = False, lanes_of_bundle(job)
    for network in range(bundle * lanes, (bundle + 1) * lanes):
        found = found or element(get(job, "active"), network) > 0
    return found


@routine
def train_bundle(job, bundle, thread, until):
    """Train the networks of a bundle to step `until`."""
    area = shifted(get(job, "work"), thread * get(job, "work_size"))
    scratch = shifted(get(job, "scratch"), thread * get(job, "scratch_size"))
    drawn = shifted(get(job, "drawn"), thread * get(job, "drawn_size"))
    steps, draws = get(job, "steps"), get(job, "ordering") == OWN_DRAWN
    shared = get(job, "ordering") == SHARED
    step, width = element(steps, bundle), wide(area)
    if step >= until:
        return
    while step < until and is_bundle_active(job, bundle):
        stop = min(until, step + get(job, "burst_steps"))
        place = rows_before(job, step) - rows_before(job, get(job, "sequence_step")) if shared else 0
        if draws:
            for i in range(get(job, "together")):
                draw_own(job, bundle * get(job, "together") + i, shifted(drawn, i * width), step, stop)
        bundle_save(job, bundle, area, scratch)
        bundle_steps(job, bundle, area, scratch, drawn, place, step, stop)
        restore_frozen(job, bundle, area, scratch)
        bundle_poison(job, bundle, scratch)
        if any_bad(job, bundle, scratch):
            careful_steps(job, bundle, area, scratch, drawn, place, step, stop)
        step = stop
    put(steps, bundle, until)


@routine
def evaluate_block(job, block, thread, begin, end):
    """Add up the losses of samples, or write their outputs."""
    area = shifted(get(job, "work"), thread * get(job, "work_size"))
    lanes, tile, n_samples = wide(area), get(job, "tile_rows"), get(job, "n_samples")
    last = nth(get(job, "layers"), get(job, "n_layers") - 1)
    columns, a = get(last, "n_out"), shifted(area, get(last, "a_at"))
    none = np.int64(0)  # no literal, for which functions would be compiled again
    for row in range(begin, end, tile):
        rows = min(tile, end - row)
        gather_tile(job, block, area, get(job, "drawn"), none, row, rows)
        lane_forward(job, block, area, none, none, rows)
        if get(job, "mode") == LOSS_ONLY:
            lane_losses(job, area, rows, 1.0, shifted(get(job, "losses"), block * lanes))
            continue
        distance = apart(rows, columns, a)
        for lane in range(lanes):
            start = ((block * lanes + lane) * n_samples + row) * columns
            out = shifted(get(job, "outputs"), start)
            for r in range(rows):
                for j in range(columns):
                    put(out, r * columns + j, element(a, j * distance + r * lanes + lane))


@kernel
def population(job_address, thread, first, last, begin, end, own):
    """Train bundles to step `end`, or evaluate blocks on the samples from `begin` to `end`.

    Parameters
    ----------
    job_address : int
        The address of a record `POPULATION`.
    thread : int
        The number of the thread, which chooses its work area.
    first, last : int
        The bundles, or blocks: from the first to before the last.
    begin, end : int
        In training, only the end counts.
    own : array
        An array of the networks' type.
    """
    state = floating_point_state()
    set_floating_point_state(FLUSHING)
    job = population_at(job_address, own)
    for bundle in range(first, last):
        if get(job, "mode") == TRAIN:
            train_bundle(job, bundle, thread, end)
        else:
            evaluate_block(job, bundle, thread, begin, end)
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
