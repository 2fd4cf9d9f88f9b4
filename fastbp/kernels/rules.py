"""Stopping rules as state machines on scalars; `fastbp.stopping_rules` has the formulas and their sources.

A rule is three numbers that stay, its code and two parameters, and two that change. A combination of rules is
a program in postfix order: a number from 0 on is a rule, `ANY` and `ALL` combine the last two results. What
all rules of a run share, is in front of their states, at the places below. So a run's whole state is one row
of `state_size` numbers, and many runs have one array.
"""

import numpy as np

from fastbp._jit import helper, routine
from fastbp.simd import element, put, shifted

PATIENCE, GL, PQ, UP, LOW_PROGRESS, TOLERANCE = range(6)
"""Codes of the rules."""

CODES = {
    "Patience": PATIENCE,
    "GL": GL,
    "PQ": PQ,
    "UP": UP,
    "LowProgress": LOW_PROGRESS,
    "Tolerance": TOLERANCE,
}
"""The codes by the names of the classes in `fastbp.stopping_rules`."""

ANY, ALL = -1, -2
"""Operators of a program."""

N_CONSTANTS, N_CHANGING = 3, 2
"""Numbers of a rule that stay, and numbers that change."""

BEST, BEST_EPOCH, STRIP_SUM, STRIP_LEAST, STRIP_EPOCHS, OUTCOME, N_SHARED = range(7)
"""Places in a state: the best value (NaN before there is one) and its epoch; the sum, the least and the
number of the losses of the epochs since the last evaluation; why the run is over. And where the states of the
rules begin."""

GOES_ON, GOAL, RULE = range(3)
"""Values of OUTCOME."""


def state_size(n_rules: int) -> int:
    """Return how many numbers change for a run with so many rules."""
    return N_SHARED + N_CHANGING * n_rules


def begin_states(states: np.ndarray) -> None:
    """Write the state before the first epoch to an array of `state_size` numbers, or to rows of them."""
    states[...] = 0.0
    states[..., BEST] = np.nan
    states[..., STRIP_LEAST] = np.inf
    states[..., N_SHARED::N_CHANGING] = np.nan


@helper
def improves(value, best, minimum):
    """Whether a value is lower than the best one by more than the minimum; any number is, than none (NaN)."""
    return value < best - minimum or (best != best and value == value)


@helper
def add_to_strip(state, loss):
    """Take note of the loss of an epoch."""
    put(state, STRIP_SUM, element(state, STRIP_SUM) + loss)
    put(state, STRIP_LEAST, min(element(state, STRIP_LEAST), loss))
    put(state, STRIP_EPOCHS, element(state, STRIP_EPOCHS) + 1.0)


@helper
def progress_of_strip(state):
    """Return Prechelt's P_k of the epochs since the last evaluation, and begin the next strip."""
    n, total, least = element(state, STRIP_EPOCHS), element(state, STRIP_SUM), element(state, STRIP_LEAST)
    put(state, STRIP_SUM, 0.0)
    put(state, STRIP_LEAST, np.inf)
    put(state, STRIP_EPOCHS, 0.0)
    return 1000.0 * (total / (n * least) - 1.0)


@helper
def rule_stops(constants, state, value, progress):
    """Whether a rule ends the run at this evaluation; its state becomes that after it.

    Parameters
    ----------
    constants : address of float64[N_CONSTANTS]
    state : address of float64[N_CHANGING], written
    value : float64
        What the rule looks at; lower is better.
    progress : float64
        `progress_of_strip`.
    """
    code, a, b = element(constants, 0), element(constants, 1), element(constants, 2)
    first, count = element(state, 0), element(state, 1)
    if code == LOW_PROGRESS:
        return progress < a
    if code == PATIENCE:
        better = improves(value, first, b)
        first, count = value if better else first, 0.0 if better else count + 1.0
        stops = count >= a
    elif code == UP:
        first, count = value, count + 1.0 if value > first else 0.0
        stops = count >= a
    elif code == TOLERANCE:
        count = count + 1.0 if value > first - a else 0.0
        first = value if improves(value, first, 0.0) else first
        stops = count > b
    else:
        first = value if improves(value, first, 0.0) else first
        lost = 100.0 * (value / first - 1.0)
        stops = (lost / progress if code == PQ else lost) > a
    put(state, 0, first)
    put(state, 1, count)
    return stops


@routine
def judge(constants, program, n_program, state, value, progress):
    """Whether a combination of rules ends the run at this evaluation. Every rule looks at every evaluation.

    Parameters
    ----------
    constants : address of float64[n_rules * N_CONSTANTS]
    program : address of int64[n_program]
    state : address of the run's state, written
    value, progress : float64
        As for `rule_stops`.
    """
    results = 0  # a stack of bits
    for i in range(n_program):
        word = element(program, i)
        if word >= 0:
            stops = rule_stops(
                shifted(constants, N_CONSTANTS * word),
                shifted(state, N_SHARED + N_CHANGING * word),
                value,
                progress,
            )
            results = 2 * results + (1 if stops else 0)
        else:
            last, before = results & 1, (results >> 1) & 1
            results = ((results >> 2) << 1) + (last | before if word == ANY else last & before)
    return (results & 1) == 1
