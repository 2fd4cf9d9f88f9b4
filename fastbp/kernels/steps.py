"""What a step draws before its arithmetic and counts after it, and how a team divides the items."""

import numpy as np

from fastbp._jit import helper, routine
from fastbp.kernels.barrier import take_from_queues
from fastbp.kernels.fields import DRAWN, GIVEN
from fastbp.kernels.records import get, of, write
from fastbp.kernels.samples import inverse, sample_at, weight_of
from fastbp.kernels.shuffle import next_position
from fastbp.kernels.update import step_constants
from fastbp.simd import (
    element,
    fma,
    lane_sum,
    put,
    shifted,
    wide,
    wide_load,
    wide_splat,
)


@helper
def take(job, thread, previous, n):
    """Return the number of the next of n items, groups or tiles for this thread; n if all are taken."""
    n_threads = get(job, "n_threads")
    return previous + 1 if n_threads == 1 else take_from_queues(get(job, "shared"), thread, n_threads, n)


@routine
def prepare_step(job):
    """Draw the samples of the coming step, and compute what depends on the step alone."""
    counters, totals = get(job, "counters"), get(job, "totals")
    n_samples, first, step = get(job, "n_samples"), get(counters, "row"), get(counters, "step")
    rows = min(get(job, "batch_size"), n_samples - first)
    position = get(counters, "position")
    # A run that was stopped in the middle of this step, and resumed, has drawn them already.
    if get(job, "ordering") == DRAWN and position != first + rows - 1:
        order, generator = get(job, "order"), get(job, "generator")
        for _ in range(rows):
            position = next_position(position, order, n_samples, generator, True)
        write(counters, "position", position)
    divisor = np.float64(rows)
    if get(job, "divides_by_weights") != 0:
        divisor = 0.0
        for r in range(rows):
            divisor += weight_of(job, sample_at(job, first + r))
    write(totals, "divisor", divisor)
    l2 = get(get(job, "numbers"), "l2")
    write(get(job, "numbers"), "step_l2", l2 * inverse(divisor) if get(job, "as_scikit_learn") != 0 else l2)
    rate = element(get(job, "rates"), min(step - get(job, "first_step"), get(job, "n_rates") - 1))
    step_constants(get(job, "rule"), get(job, "hyper"), rate, step + 1, get(job, "constants"))


@routine
def square_rows(job, thread):
    """Write sums of squares of a thread's share of the rows of all W, if losses include the L2 penalty."""
    if get(job, "as_scikit_learn") == 0 or get(get(job, "numbers"), "step_l2") <= 0.0:
        return
    squares, n_threads = get(job, "squares"), get(job, "n_threads")
    for layer in range(get(job, "n_layers")):
        n = of(job, "size", layer)
        start, end = thread * n // n_threads, (thread + 1) * n // n_threads
        write_squares(of(job, "W", layer), of(job, "W_row", layer), start, end, squares)
        squares = shifted(squares, n)


@routine
def write_squares(W, distance, start, end, squares):
    """Write the sum of squares of each row. Rows are whole vectors, with zeros at the end.

    Four rows at a time: a sum waits for the one before it, and those of four rows do not wait for each other.
    """
    zero = wide_splat(0.0, W)
    whole = start + (end - start) // 4 * 4
    for i in range(start, whole, 4):
        s0, s1, s2, s3 = zero, zero, zero, zero
        for k in range(i * distance, (i + 1) * distance, wide(W)):
            w0, w1 = wide_load(W, k), wide_load(W, k + distance)
            w2, w3 = wide_load(W, k + 2 * distance), wide_load(W, k + 3 * distance)
            s0, s1, s2, s3 = fma(w0, w0, s0), fma(w1, w1, s1), fma(w2, w2, s2), fma(w3, w3, s3)
        put(squares, i, lane_sum(s0))
        put(squares, i + 1, lane_sum(s1))
        put(squares, i + 2, lane_sum(s2))
        put(squares, i + 3, lane_sum(s3))
    for i in range(whole, end):
        s0 = zero
        for k in range(i * distance, (i + 1) * distance, wide(W)):
            s0 = fma(wide_load(W, k), wide_load(W, k), s0)
        put(squares, i, lane_sum(s0))


@routine
def penalty(job):
    """Return the L2 penalty of a step, from what `square_rows` wrote."""
    l2 = get(get(job, "numbers"), "step_l2")
    if l2 <= 0.0:
        return 0.0
    n, total = 0, 0.0
    for layer in range(get(job, "n_layers")):
        n += of(job, "size", layer)
    for i in range(n):
        total += element(get(job, "squares"), i)
    return 0.5 * l2 * total


FEW = 128
"""The most numbers that `sum_of_few` takes."""


@routine
def sum_of_few(numbers, n):
    """Return the sum of up to `FEW` float64 numbers, with the bits of `numpy.sum`.

    A call of `numpy.sum` takes more than a microsecond. This function is part of a kernel's call.
    """
    if n < 8:
        total = 0.0
        for i in range(n):
            total += element(numbers, i)
        return total
    r0, r1, r2, r3 = element(numbers, 0), element(numbers, 1), element(numbers, 2), element(numbers, 3)
    r4, r5, r6, r7 = element(numbers, 4), element(numbers, 5), element(numbers, 6), element(numbers, 7)
    whole = n // 8 * 8
    for i in range(8, whole, 8):
        r0, r1 = r0 + element(numbers, i), r1 + element(numbers, i + 1)
        r2, r3 = r2 + element(numbers, i + 2), r3 + element(numbers, i + 3)
        r4, r5 = r4 + element(numbers, i + 4), r5 + element(numbers, i + 5)
        r6, r7 = r6 + element(numbers, i + 6), r7 + element(numbers, i + 7)
    total = ((r0 + r1) + (r2 + r3)) + ((r4 + r5) + (r6 + r7))
    for i in range(whole, n):
        total += element(numbers, i)
    return total


@routine
def sum_losses(losses, n):
    """Return the sum of n float64 numbers, in an order that is always the same."""
    step = wide(losses)
    whole = n // step * step
    total = wide_splat(0.0, losses)
    for k in range(0, whole, step):
        total = total + wide_load(losses, k)
    result = lane_sum(total)
    for k in range(whole, n):
        result += element(losses, k)
    return result


@routine
def finish_step(job, rows):
    """Count a step, and record the loss of an epoch that ends with it."""
    loss = sum_losses(get(job, "row_losses"), rows)
    if get(job, "divides_by_weights") != 0:
        loss *= rows * inverse(get(get(job, "totals"), "divisor"))
    if get(job, "as_scikit_learn") != 0:
        loss += rows * penalty(job)
    if count(job, 1, rows, loss) and get(get(job, "numbers"), "patience") > 0.0:
        apply_rule(job)


@routine
def count(job, steps, rows, loss):
    """Count steps of one epoch, and record the loss of an epoch that ends with them; return whether one does.

    `loss` is the sum over the steps of the batch's loss, times its rows.
    """
    counters, totals, losses = get(job, "counters"), get(job, "totals"), get(job, "losses")
    write(totals, "loss_sum", get(totals, "loss_sum") + loss)
    write(totals, "row_sum", get(totals, "row_sum") + rows)
    step, row, epoch = (
        get(counters, "step") + steps,
        get(counters, "row") + rows,
        get(counters, "epoch"),
    )
    ends = row == get(job, "n_samples")
    if ends:
        row, epoch = 0, epoch + 1
        if get(job, "ordering") == GIVEN:
            write(job, "order_at", get(job, "order_at") + get(job, "n_samples"))
    write(counters, "step", step)
    write(counters, "row", row)
    write(counters, "epoch", epoch)
    if ends or step == get(job, "n_steps"):
        mean = get(totals, "loss_sum") / get(totals, "row_sum")
        write(totals, "not_finite", get(totals, "not_finite") + 0.0 * mean)
        if step == get(job, "n_steps") or epoch % get(job, "record_every") == 0:
            recorded = get(counters, "recorded")
            put(losses, recorded, mean)
            write(counters, "recorded", recorded + 1)
        if ends:
            write(totals, "epoch_loss", mean)
            write(totals, "loss_sum", 0.0)
            write(totals, "row_sum", 0.0)
    return ends


@routine
def apply_rule(job):
    """Stop training if the loss of the epoch that has ended, and of those before it, was not better.

    This is the rule of scikit-learn's perceptrons for the training loss, with the same comparisons. NaN is
    an improvement there, too.
    """
    numbers, loss = get(job, "numbers"), get(get(job, "totals"), "epoch_loss")
    best, stale = get(numbers, "best_loss"), 0.0
    if loss > best - get(numbers, "tolerance"):
        stale = get(numbers, "stale_epochs") + 1.0
    write(numbers, "stale_epochs", stale)
    if loss < best:
        write(numbers, "best_loss", loss)
    if stale > get(numbers, "patience"):
        write(job, "has_stopped", 1)
