"""Stopping rules: each against its formula over whole histories, in plain Python."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastbp
from fastbp import EarlyStopping, OptionError
from fastbp.engine.watch import Rules, Watch
from fastbp.kernels.rules import OUTCOME, RULE, begin_states, state_size
from fastbp.stopping_rules import GL, PQ, UP, AllOf, AnyOf, LowProgress, Patience, Tolerance, rule_of
from fastbp.training.early_stopping import compiled_rule

SPECIFICATION = fastbp.Network([1, 1]).specification


def best_of(values):
    numbers = [value for value in values if not math.isnan(value)]
    return min(numbers) if numbers else math.nan


def divided(a, b):
    with np.errstate(all="ignore"):
        return float(np.float64(a) / np.float64(b))


def generalisation_loss(values):
    return 100 * (divided(values[-1], best_of(values)) - 1)


def progress(losses):
    return 1000 * (divided(sum(losses), len(losses) * min(losses)) - 1)


def stalled(values, minimum):
    best, count = math.nan, 0
    for value in values:
        if value < best - minimum or (math.isnan(best) and not math.isnan(value)):
            best, count = value, 0
        else:
            count += 1
    return count


def rises(values):
    count = 0
    while len(values) > count + 1 and values[-1 - count] > values[-2 - count]:
        count += 1
    return count


def unimproved(values, tol):
    """Count as scikit-learn's `_update_no_improvement_count` does."""
    best, count = math.inf, 0
    for value in values:
        count = count + 1 if value > best - tol else 0
        best = min(best, value)
    return count


def stops(rule, values, losses):
    """Say whether the run ends at the last of these evaluations; `losses` are those of its strip."""
    match rule:
        case AllOf():
            return all(stops(part, values, losses) for part in rule.rules)
        case AnyOf():
            return any(stops(part, values, losses) for part in rule.rules)
        case Patience(evaluations, minimum):
            return stalled(values, minimum) >= evaluations
        case GL(alpha):
            return generalisation_loss(values) > alpha
        case PQ(alpha):
            return divided(generalisation_loss(values), progress(losses)) > alpha
        case UP(strips):
            return rises(values) >= strips
        case LowProgress(alpha):
            return progress(losses) < alpha
        case Tolerance(tol, most):
            return unimproved(values, tol) > most


def watched(rule, every):
    constants, program = compiled_rule(rule)
    strips = any(one.needs_strips for one in rule)
    rules = Rules(monitored=0, constants=constants, program=program, sums_strips=strips)
    return Watch(SPECIFICATION, 2, every, 1, rules)


RULES = [
    Patience(3),
    Patience(2, 0.5),
    GL(20),
    PQ(0.5),
    UP(1),
    UP(3),
    LowProgress(50.0),
    Tolerance(0.5, 2),
    GL(20) | UP(2),
    GL(20) & UP(2),
    Tolerance(0.0, 1) & Patience(2) | LowProgress(20.0) | PQ(5) & GL(1),
    (GL(1) | UP(1)) & Patience(2),
]
NUMBERS = st.floats(0.0, 4.0) | st.integers(0, 4).map(float)


@pytest.mark.parametrize("rule", RULES, ids=repr)
@settings(max_examples=30)
@given(values=st.lists(NUMBERS, min_size=1, max_size=16), every=st.integers(2, 4))
def test_rule_stops_where_its_formula_says(rule, values, every):
    """The values are the losses of epochs, and at evaluations what the rule looks at, too."""
    watch, theta = watched(rule, every), np.zeros(2)
    for epoch, loss in enumerate(values, 1):
        if epoch % every:
            watch.count(epoch, loss)
            continue
        watch.settle(epoch, [loss, 0.1], theta)
        expected = stops(rule, values[every - 1 : epoch : every], values[epoch - every : epoch])
        assert (watch.state[OUTCOME] == RULE) == expected, epoch


@pytest.mark.parametrize("rule", [Patience(2), GL(1), UP(1), Tolerance(0.0, 1)], ids=repr)
def test_nan_is_never_better(rule):
    watch, theta, values = watched(rule, 1), np.zeros(2), [math.nan, 2.0, math.nan, 1.0, math.nan, math.nan]
    for epoch, value in enumerate(values, 1):
        watch.settle(epoch, [value, 0.1], theta)
        if isinstance(rule, Tolerance):  # as in scikit-learn, NaN does not count
            assert watch.state[OUTCOME] != RULE
        else:
            assert (watch.state[OUTCOME] == RULE) == stops(rule, values[:epoch], [1.0])


def test_states_of_many_runs_are_rows_of_one_array():
    states = np.empty((3, state_size(2)))
    begin_states(states)
    assert states.tobytes() == np.tile(watched(GL(1) | UP(1), 1).state, (3, 1)).tobytes()


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("GL5", GL(5)),
        (" GL ( 5 ) ", GL(5)),
        ("PQ0.5|UP3", PQ(0.5) | UP(3)),
        ("GL(5) | LowProgress", GL(5) | LowProgress(0.1)),
        ("Patience(20, 0.1) & UP3 | Tolerance(1e-3, 4)", Patience(20, 0.1) & UP(3) | Tolerance(1e-3, 4)),
    ],
)
def test_text_and_rule_are_the_same(text, rule):
    assert rule_of(text) == rule == EarlyStopping(rule=text).rule
    assert EarlyStopping(rule=rule) == EarlyStopping(rule=text)


def test_combinations_are_flat_and_remember_brackets():
    assert GL(5) | UP(1) | UP(2) == AnyOf(GL(5), UP(1), UP(2))
    assert repr((GL(5) | UP(1)) & UP(2)) == "(GL(alpha=5.0) | UP(strips=1)) & UP(strips=2)"
    assert list((GL(5) | UP(1)) & UP(2)) == [GL(5), UP(1), UP(2)]
    assert GL(5) | UP(1) != GL(5) & UP(1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GL(-1), "alpha is -1"),
        (lambda: UP(0), "strips is 0"),
        (lambda: GL(5) | 3, "3 is no stopping rule; there are Patience, GL"),
        (lambda: rule_of("Patiense 5"), "'Patiense', and may be .*did you mean 'Patience'"),
        (lambda: rule_of("GL"), "'GL' has 0 numbers, and takes alpha$"),
        (lambda: rule_of("GL(1, 2)"), "has 2 numbers, and takes alpha"),
        (lambda: rule_of("GL(x)"), "has 'x' where a number must be"),
        (lambda: rule_of("GL5 |"), "has the part ''"),
        (lambda: rule_of("GL5 | UP(2.5)"), r"stopping rule 'UP\(2.5\)': strips is 2.5"),
        (lambda: AnyOf(*[UP(1)] * 33), "combines 33 rules, and may combine 32"),
        (lambda: EarlyStopping(3, rule="GL5"), "patience is 3, and there is a rule, too"),
        (lambda: EarlyStopping(rule=5), "rule is 5, and must be one of fastbp.stopping_rules"),
    ],
)
def test_a_mistake_is_named(make, message):
    with pytest.raises(OptionError, match=message):
        make()
