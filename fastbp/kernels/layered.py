"""Any MLP, mini-batches and full batches: the training loop, and evaluation, in one kernel.

Legend: A_l (rows, n_l) are the activations at boundary l, for the rows of a tile. Layer l computes
A_{l+1} = f(A_l W_l + b_l). D_l is dL/dz at boundary l. `fastbp.kernels.fields` lists all arrays and sizes.

A step has two phases, with a barrier of the team after each:

1. *rows*: every thread takes some rows of the batch through forward pass, loss and backward pass, down to
   D_1. No row needs another one.
2. *parameters*: threads take the items one by one, each one mostly those of the step before, whose states
   are in its core's cache. A thread computes dW = A_l^T D_{l+1} for an item, a few kilobytes. The optimizer
   updates the item while they are in cache. Then the thread copies the new rows, transposed, to the W^T that
   the next backward pass reads. (A layer of few outputs has its parameters as W^T, and the copy is the W that
   the next forward pass reads.)

A batch that is larger than a tile goes through both phases tile by tile. The gradients of its tiles are
added, and then all items are updated. If the parameters are few, the rows are divided into *groups* instead.
A thread takes a group through forward pass, backward pass and gradient, tile by tile, in the cache of its
core. Then the gradients of the groups are added, from the first to the last. If they are not clipped, the
optimizer updates some parameters as soon as their gradient is added up.

Only the sizes decide how rows are divided into tiles and groups. An element of a product is the same chain of
operations wherever it is computed. So any number of threads gives the same bits.

The phases are in modules of their own: `rows` (forward and backward pass), `gradients` (of items, and their
sums), `parameters` (updates, and copies of W), `steps` (what a step draws and counts).
"""

import numpy as np

from fastbp._jit import helper, kernel, routine
from fastbp.kernels.barrier import barrier
from fastbp.kernels.fields import GRADIENT_ONLY, LOSS_ONLY, PREDICT, TRAIN
from fastbp.kernels.floating_point import FLUSHING, floating_point_state, set_floating_point_state
from fastbp.kernels.gradients import (
    add_item_gradient,
    add_partial_sums,
    add_sums,
    clip,
    item_at,
    item_gradient,
    item_size,
    n_ones,
)
from fastbp.kernels.nonzero import ROW_UNIT
from fastbp.kernels.output import losses_and_deltas
from fastbp.kernels.packing import begin_at, unpack_from
from fastbp.kernels.parameters import add_and_update_all, renew_transposes, update_clipped, update_item
from fastbp.kernels.product import USUAL_ROWS
from fastbp.kernels.records import (
    get,
    input_at,
    job_at,
    nth,
    of,
    outputs_of,
    own,
    work_area,
    write,
)
from fastbp.kernels.rows import forward, look_for_zeros, pass_rows, propagate, scratch_of, strips_of
from fastbp.kernels.samples import inverse
from fastbp.kernels.steps import FEW, finish_step, prepare_step, square_rows, sum_of_few, take
from fastbp.simd import (
    address,
    cast,
    element,
    fma,
    lane_sum,
    put,
    same_type,
    shifted,
    wide,
    wide_load,
    wide_splat,
)

ROWS_TOGETHER = 16
"""A work area has room for a multiple of this number of rows: whole vectors of every type."""


SUMMED_ROWS = 1024
"""A sequential step sums gradients over this many rows at a time, as other steps do over a tile."""


@routine
def sequential_step(job, area, first, rows):
    """Take a step that updates each layer before the error passes back through it.

    One thread does this, with the whole batch as one tile.
    """
    factor, top = (
        inverse(get(get(job, "totals"), "divisor")),
        np.int64(0),
    )  # no literal: see `add_item_gradient`
    square_rows(job, top)
    forward(job, area, first, top, rows)
    losses_and_deltas(job, area, first, top, rows, factor, scratch_of(job, top))
    items, l2 = get(job, "items"), get(get(job, "numbers"), "step_l2")
    for layer in range(get(job, "n_layers") - 1, -1, -1):
        for k in range(get(job, "n_items")):
            item = nth(items, k)
            if get(item, "layer") == layer:
                n_tiles = 0
                for row in range(0, rows, SUMMED_ROWS):
                    there = min(SUMMED_ROWS, rows - row)
                    add_item_gradient(job, area, item, first, row, there, n_tiles, top, strips_of(job, top))
                    n_tiles += 1
                gradient = shifted(get(job, "gradient"), item_at(job, item))
                add_sums(gradient, get(job, "n_packed"), n_ones(n_tiles), item_size(job, item))
                update_item(job, item, gradient, l2)
        if layer > 0:
            propagate(job, area, layer, top, rows)


@routine
def group_gradients(job, thread, first, rows, done, end):
    """Take groups of the batch, of each group its rows from `done` to `end`, and add up their gradients."""
    n_groups, tile, items = get(job, "n_groups"), get(job, "tile_rows"), get(job, "items")
    area, top = work_area(job, thread), np.int64(0)
    group_rows = rows_of_group(rows, n_groups)
    n_there = (rows + group_rows - 1) // group_rows
    group = take(job, thread, -1, n_there)
    while group < n_there:
        start, stop = first + group * group_rows, first + min(rows, group * group_rows + end)
        for sample in range(start + done, stop, tile):
            there = min(tile, stop - sample)
            pass_rows(job, area, thread, sample, top, there)
            for k in range(get(job, "n_items")):
                item, i, at = nth(items, k), (sample - start) // tile, group * get(job, "n_partial_sums")
                add_item_gradient(job, area, item, sample, top, there, i, at, strips_of(job, thread))
        group = take(job, thread, group, n_there)
    if done == 0:
        square_rows(job, thread)


@helper
def rows_of_group(rows, n_groups):
    """Return how many rows a group has. The last group may have fewer, and groups after it have none."""
    return (rows + n_groups - 1) // n_groups


@helper
def first_unit(k, n_units, n_parts):
    """Return where part k of some rows begins. The sizes of the last parts mirror those of the first.

    A thread that began with a small part ends with a large one: two threads take 12 + 13 and 13 + 12 units.
    """
    mirrored = 2 * k > n_parts
    i = n_parts - k if mirrored else k
    at = i * n_units // n_parts
    return n_units - at if mirrored else at


@routine
def share_rows(job, thread, sample, rows, is_first):
    """Take rows of a tile through forward and backward pass; in a step's first tile, square the weights."""
    area = work_area(job, 0)
    together = max(USUAL_ROWS, wide(area), ROW_UNIT)
    n_units = (rows + together - 1) // together
    # A thread takes rows about twice. Of one whose core is busy with other work, others take the second part.
    n_parts = min(n_units, 2 * get(job, "n_threads"))
    k = take(job, thread, -1, n_parts)
    while k < n_parts:
        row, end = first_unit(k, n_units, n_parts) * together, first_unit(k + 1, n_units, n_parts) * together
        pass_rows(job, area, thread, sample, row, min(end, rows) - row)
        k = take(job, thread, k, n_parts)
    if is_first:
        square_rows(job, thread)


@routine
def step_alone(job, first, rows):
    """Take a step as the only thread, with the whole batch as one tile; update each item at once.

    `team_gradients` does the same for teams. Its preparations take 3 % of a step of 4-10-3 with 16 rows.
    """
    top = np.int64(0)  # no literal, with which functions would be compiled again
    area, scratch, strips = work_area(job, top), scratch_of(job, top), strips_of(job, top)
    items, l2 = get(job, "items"), get(get(job, "numbers"), "step_l2")
    pass_rows(job, area, top, first, top, rows)
    square_rows(job, top)
    finish_step(job, rows)
    for k in range(get(job, "n_items")):
        item = nth(items, k)
        item_gradient(job, area, item, first, top, rows, False, strips, scratch)
        update_item(job, item, scratch, l2)


@routine
def team_gradients(job, thread, first, rows, done, end, fused):
    """Take the tiles from row `done` to `end` through both phases; return whether to go on.

    If `fused`, an item is updated as soon as its gradient is known. Otherwise the gradients of the tiles are
    added up.
    """
    n_threads, shared, tile = get(job, "n_threads"), get(job, "shared"), get(job, "tile_rows")
    items, n_items = get(job, "items"), get(job, "n_items")
    area, scratch, strips = work_area(job, 0), scratch_of(job, thread), strips_of(job, thread)
    l2, top = get(get(job, "numbers"), "step_l2"), np.int64(0)
    for start in range(done, end, tile):
        there, sample = min(tile, rows - start), first + start
        if n_threads == 1:
            pass_rows(job, area, thread, sample, top, there)
            if start == 0:
                square_rows(job, thread)
        else:
            share_rows(job, thread, sample, there, start == 0)
        if not barrier(shared, thread, n_threads):
            return False
        if fused and thread == 0:
            finish_step(job, rows)
        k = take(job, thread, -1, n_items)
        while k < n_items:
            item = nth(items, k)
            if fused:
                item_gradient(job, area, item, sample, top, there, False, strips, scratch)
                update_item(job, item, scratch, l2)
            else:
                add_item_gradient(job, area, item, sample, top, there, start // tile, top, strips)
            k = take(job, thread, k, n_items)
        if not barrier(shared, thread, n_threads):
            return False
    return True


@routine
def train_to(job, thread, until):
    """Train to step `until`, or to the end of a chunk of a long step, as one thread of the team.

    The stopping rule may end it before, after an epoch. All threads know of it at the barrier after a step.
    For `GRADIENT_ONLY`, leave the gradient over all rows in the first partial sum instead.
    """
    counters, shared, n_threads = get(job, "counters"), get(job, "shared"), get(job, "n_threads")
    clips, grouped, sequential = get(job, "clips") != 0, get(job, "n_groups") > 0, get(job, "sequential") != 0
    updates = get(job, "mode") == TRAIN
    if thread == 0:
        look_for_zeros(job, work_area(job, 0))
    if get(job, "has_transposes") == 0:
        renew_transposes(job, thread)
    if not barrier(shared, thread, n_threads):
        return
    if thread == 0:
        write(job, "has_transposes", 1)
    while get(counters, "step") < until:
        done = get(job, "done_rows")
        if done == 0:
            if get(counters, "row") == 0 and get(job, "has_stopped") != 0:
                return
            if thread == 0:
                prepare_step(job)
            if not barrier(shared, thread, n_threads):
                return
        first = get(counters, "row")
        rows = min(get(job, "batch_size"), get(job, "n_samples") - first)
        group_rows = rows_of_group(rows, get(job, "n_groups")) if grouped else rows
        end = min(group_rows, done + get(job, "chunk_rows"))
        fused = updates and not grouped and not sequential and not clips and rows <= get(job, "tile_rows")
        if fused and n_threads == 1:
            step_alone(job, first, rows)
            continue
        if sequential:
            sequential_step(job, work_area(job, 0), first, rows)
        elif grouped:
            group_gradients(job, thread, first, rows, done, end)
            if not barrier(shared, thread, n_threads):
                return
        elif not team_gradients(job, thread, first, rows, done, end, fused):
            return
        if end < group_rows and not sequential:
            if thread == 0:
                write(job, "done_rows", end)
            return
        if fused:
            continue
        if updates and not sequential and not clips:
            if thread == 0:
                write(job, "done_rows", 0)
                finish_step(job, rows)
            add_and_update_all(job, thread, rows, group_rows)
            if not barrier(shared, thread, n_threads):
                return
            continue
        if not sequential and (grouped or rows > get(job, "tile_rows")):
            add_partial_sums(job, thread, rows, group_rows)
            if not barrier(shared, thread, n_threads):
                return
        if updates and not sequential:
            if thread == 0:
                clip(job)
            if not barrier(shared, thread, n_threads):
                return
            update_clipped(job, thread)
        if thread == 0:
            write(job, "done_rows", 0)
            finish_step(job, rows)
        if not barrier(shared, thread, n_threads):
            return


@routine
def evaluate_rows(job, thread):
    """Take tiles through the forward pass; return whether all inputs were finite.

    Their outputs go to `Y`, or their losses to `row_losses`.
    """
    n_samples, tile, last = get(job, "n_samples"), get(job, "tile_rows"), get(job, "n_layers")
    area, columns = work_area(job, thread), of(job, "size", last)
    suspicious, top = own(job, 0.0), np.int64(0)
    look_for_zeros(job, area)
    n_tiles = (n_samples + tile - 1) // tile
    k = take(job, thread, -1, n_tiles)
    while k < n_tiles:
        first = k * tile
        rows = min(tile, n_samples - first)
        forward(job, area, first, top, rows)
        if get(job, "mode") == LOSS_ONLY:
            losses_and_deltas(job, area, first, top, rows, 0.0, scratch_of(job, thread))
        else:
            for r in range(rows):
                suspicious += times_zero(input_at(job, area, 0, first, r), of(job, "size", 0))
                a = outputs_of(job, area, "a_at", last, r)
                target = shifted(get(job, "Y"), (first + r) * columns)
                for j in range(columns):
                    put(target, j, element(a, j))
        k = take(job, thread, k, n_tiles)
    return suspicious == own(job, 0.0)


@helper
def times_zero(a, n):
    """Return the sum of n numbers, each times 0: it is NaN if one is not finite, and 0 otherwise."""
    zero = wide_splat(0.0, a)
    total = zero
    whole = n // wide(a) * wide(a)
    for k in range(0, whole, wide(a)):
        total = fma(zero, wide_load(a, k), total)
    result = lane_sum(total)
    for k in range(whole, n):
        result += cast(0.0, result) * element(a, k)
    return result


@kernel
def layered(job_address, thread, until, inputs, outputs):
    """Do the work of one thread on a job.

    Parameters
    ----------
    job_address : int
        The address of the job's integers.
    thread : int
        The number of the thread, from 0.
    until : int
        The step to train to.
    inputs, outputs : array, two-dimensional
        Arrays of the network's type; with inputs of another type, this does not compile. For `PREDICT`, X and
        the array for its outputs, if the job does not name them. For `GRADIENT_ONLY` by one thread, theta and
        the array for the whole gradient, each as one row. Otherwise they are empty.

    Returns
    -------
    bool
        For `PREDICT`, whether the inputs were finite; False, with nothing done, if a shape is wrong.

    Notes
    -----
    If one thread computes the loss or gradient of up to `FEW` samples, the sum of their losses is in the
    totals afterwards.
    """
    job = job_at(job_address, outputs)
    mode, given = get(job, "mode"), outputs.size > 0
    if given and mode == PREDICT:
        n, last = inputs.shape[0], get(job, "n_layers")
        if inputs.shape[1] != of(job, "size", 0) or outputs.shape != (n, of(job, "size", last)):
            return False
        write(job, "Y", address(outputs))
        write(job, "X", same_type(address(inputs), address(outputs)))
        write(job, "n_samples", n)
    state = floating_point_state()
    set_floating_point_state(FLUSHING)
    finite = True
    if given and mode == GRADIENT_ONLY:
        begin_at(job, same_type(address(inputs), address(outputs)))
    if mode in (TRAIN, GRADIENT_ONLY):
        train_to(job, thread, until)
    else:
        finite = evaluate_rows(job, thread)
    if given and mode == GRADIENT_ONLY:
        unpack_from(job, get(job, "gradient"), address(outputs), get(job, "trains_biases") != 0)
    if mode in (GRADIENT_ONLY, LOSS_ONLY) and get(job, "n_samples") <= FEW and get(job, "n_threads") == 1:
        write(get(job, "totals"), "loss_sum", sum_of_few(get(job, "row_losses"), get(job, "n_samples")))
    set_floating_point_state(state)
    return finite
