"""Ends of epochs in compiled code: a run advances over many of them, and Python looks between two calls.

After every `every` epochs, this kernel does what `fastbp.training.epochs` describes: it evaluates the loss
and the metrics of the validation data, writes a row of the history, applies goals and stopping rules, and
keeps the best parameters. It calls the kernels that train and evaluate by their addresses. So it compiles in
a few seconds, and they are not compiled again.
"""

from fastbp._jit import helper, kernel, routine
from fastbp.kernels.calls_by_address import call_layered, call_trainer
from fastbp.kernels.fused222 import LOSS_ALONE
from fastbp.kernels.fused222_start import place_of_parameter
from fastbp.kernels.layered import times_zero
from fastbp.kernels.measures import measured, sum_as_numpy
from fastbp.kernels.packing import unpack_from
from fastbp.kernels.records import address_in, get, has, record_at, write
from fastbp.kernels.rules import (
    BEST,
    BEST_EPOCH,
    GOAL,
    GOES_ON,
    OUTCOME,
    RULE,
    add_to_strip,
    improves,
    judge,
    progress_of_strip,
)
from fastbp.simd import element, put, shifted

LAYERED, ONLINE, FUSED = range(3)
"""The kernels that may train."""

SETTLE, COUNT, COMPILE = -1, -2, -3
"""As `until`: apply the rules to a row that Python wrote, count an epoch without a row, or do nothing."""

REACHED, UNFINISHED, FULL, LOOKED, OVER, DIVERGED = range(6)
"""Why the kernel returned: it is at step `until`; a step takes several calls; there is no room for a row;
there is a row that Python wants to see; the run is over; a value is not finite."""


@helper
def step_of(watch):
    """Return how many steps the run has taken."""
    if get(watch, "trainer") == FUSED:
        return get(get(get(watch, "fused"), "counters"), "step")
    return get(get(get(watch, "job"), "counters"), "step")


@routine
def train(watch, until, unused):
    """Advance the run to a step."""
    function, trainer = get(watch, "train_at"), get(watch, "trainer")
    if trainer == LAYERED:
        call_layered(function, address_in(watch, "job"), until, unused)
    elif trainer == ONLINE:
        call_trainer(function, address_in(watch, "job"), until, unused)
    else:
        call_trainer(function, address_in(watch, "fused"), until, unused)


@routine
def loss_of_epoch(watch, unused):
    """Return the loss of the epoch that has ended."""
    if get(watch, "trainer") != FUSED:
        return get(get(get(watch, "job"), "totals"), "epoch_loss")
    call_trainer(get(watch, "train_at"), address_in(watch, "fused"), LOSS_ALONE, unused)
    return element(get(get(watch, "fused"), "loss"), 0)


@routine
def is_finite(watch):
    """Whether all parameters are finite, and all losses that the kernel has seen."""
    if get(watch, "trainer") == FUSED:
        fused = get(watch, "fused")
        last = element(get(fused, "losses"), get(get(fused, "counters"), "recorded") - 1)
        return last - last == 0.0 and times_zero(get(fused, "parameters"), 12) == 0.0
    job = get(watch, "job")
    totals = get(job, "totals")
    seen = (
        get(totals, "loss_sum")
        + get(totals, "epoch_loss")
        + get(totals, "divisor")
        + get(totals, "not_finite")
    )
    return 0.0 * seen == 0.0 and times_zero(get(job, "theta"), get(job, "n_packed")) == 0.0


@routine
def flatten(watch):
    """Write the parameters as `Network.theta` has them to `flat`."""
    flat = get(watch, "flat")
    if get(watch, "trainer") == FUSED:
        parameters, n = get(get(watch, "fused"), "parameters"), get(watch, "n_parameters")
        for k in range(n):
            put(flat, k, element(parameters, place_of_parameter(k, n)))
        return
    job = get(watch, "job")
    unpack_from(job, get(job, "theta"), flat, get(watch, "has_bias") != 0)


@helper
def rate_of_last_step(watch, step):
    """Return the learning rate of the step before this one."""
    if get(watch, "trainer") == FUSED:
        return element(get(get(watch, "fused"), "rate"), 0)
    job = get(watch, "job")
    return element(get(job, "rates"), min(step - 1 - get(job, "first_step"), get(job, "n_rates") - 1))


@routine
def evaluate(watch, row, unused):
    """Write the loss of the validation data and the metrics to their columns."""
    n, column = get(watch, "n_evaluated"), 2
    if has(watch, "losses_job"):
        call_layered(get(watch, "evaluate_at"), address_in(watch, "losses_job"), 0, unused)
        loss = sum_as_numpy(get(get(watch, "losses_job"), "row_losses"), n) / n
        put(row, column, loss * n / n)  # the bits of a mean over slices
        column += 1
    if has(watch, "outputs_job"):
        call_layered(get(watch, "evaluate_at"), address_in(watch, "outputs_job"), 0, unused)
        for k in range(get(watch, "n_measures")):
            put(row, column + k, measured(watch, element(get(watch, "measures"), k)))


@routine
def goals_are_met(watch, row):
    """Whether there are goals, and all are met."""
    met = get(watch, "n_goals") > 0
    for k in range(get(watch, "n_goals")):
        goal = shifted(get(watch, "goals"), 3 * k)  # column, sign, and sign times value
        met &= element(goal, 1) * element(row, int(element(goal, 0))) <= element(goal, 2)
    return met


@routine
def settle(watch):
    """Apply goals and rules to the row at hand, keep the parameters if they are the best, count the row."""
    counters, state = get(watch, "counters"), get(watch, "state")
    epoch = get(counters, "epochs") + 1
    row = shifted(get(watch, "rows"), get(counters, "rows") * get(watch, "n_columns"))
    outcome = GOES_ON
    if get(watch, "sums_strips") != 0:
        add_to_strip(state, element(row, 0))
    if get(watch, "monitored") >= 0:
        constants = get(watch, "monitoring")  # the sign, and the minimum improvement
        value = element(constants, 0) * element(row, get(watch, "monitored"))
        if improves(value, element(state, BEST), element(constants, 1)):
            put(state, BEST, value)
            put(state, BEST_EPOCH, float(epoch))
            if get(watch, "keeps_best") != 0:
                for k in range(get(watch, "n_parameters")):
                    put(get(watch, "best"), k, element(get(watch, "flat"), k))
        progress = progress_of_strip(state)
        if judge(get(watch, "rules"), get(watch, "program"), get(watch, "n_program"), state, value, progress):
            outcome = RULE
    if goals_are_met(watch, row):
        outcome = GOAL
    put(state, OUTCOME, float(outcome))
    write(counters, "rows", get(counters, "rows") + 1)
    write(counters, "epochs", epoch)


@routine
def count(watch, loss):
    """Count an epoch that has no row."""
    counters = get(watch, "counters")
    if get(watch, "sums_strips") != 0:
        add_to_strip(get(watch, "state"), loss)
    write(counters, "epochs", get(counters, "epochs") + 1)


@routine
def end_epoch(watch, step, unused):
    """Do what is due after an epoch; return `REACHED`, or why Python must look."""
    counters = get(watch, "counters")
    looks = (get(counters, "epochs") + 1) % get(watch, "every") == 0
    if not looks and get(watch, "sums_strips") == 0:
        count(watch, 0.0)
        return REACHED
    loss = loss_of_epoch(watch, unused)
    if not (loss - loss == 0.0 and is_finite(watch)):
        return DIVERGED
    if not looks:
        count(watch, loss)
        return REACHED
    row = shifted(get(watch, "rows"), get(counters, "rows") * get(watch, "n_columns"))
    put(row, 0, loss)
    put(row, 1, rate_of_last_step(watch, step))
    if get(watch, "flattens") != 0:
        flatten(watch)
        evaluate(watch, row, unused)
    settle(watch)
    if get(watch, "shows") != 0:
        return LOOKED
    return REACHED if element(get(watch, "state"), OUTCOME) == GOES_ON else OVER


@kernel
def epoch_ends(watch_address, until, unused):
    """Advance a run to step `until` or to the end of an epoch at which Python must look.

    Parameters
    ----------
    watch_address : int
        The address of the words of `fields.WATCH`.
    until : int
        The step, or `SETTLE`, `COUNT` or `COMPILE`.
    unused : array, two-dimensional
        An array of the network's type.

    Returns
    -------
    int
        `REACHED`, `UNFINISHED`, ...
    """
    watch = record_at("watch", watch_address, unused)
    counters, length = get(watch, "counters"), get(watch, "steps_per_epoch")
    if until == SETTLE:
        settle(watch)
    if until == COUNT:
        row = shifted(get(watch, "rows"), get(counters, "rows") * get(watch, "n_columns"))
        count(watch, element(row, 0))
    if until < 0:
        return REACHED
    while step_of(watch) < until:
        if get(counters, "rows") == get(watch, "n_room"):
            return FULL
        end = (get(counters, "epochs") + 1) * length
        stop = min(until, end)
        train(watch, stop, unused)
        if step_of(watch) < stop:
            return UNFINISHED
        if stop == end:
            why = end_epoch(watch, stop, unused)
            if why != REACHED:
                return why
    return REACHED
