"""Only contenders that are right are timed, and all that are right are."""

import time

import numpy as np
import pytest

from fastbp.benchmark import protocol
from fastbp.benchmark.cases import SPEED_CASES, WORKED_EXAMPLE
from fastbp.benchmark.contenders import (
    CONTENDERS,
    FASTBP,
    PYTHON_LOCALS,
    C,
    Contender,
    UnavailableError,
    prepare_python_locals,
)
from fastbp.benchmark.protocol import LostError, Protocol, Result, calibrated_steps, compare, time_pairs

BRIEF = Protocol(rounds=2, turn_seconds=0.0002)


def broken(change, dtype="float64"):
    """Return a contender whose answer is changed."""

    def prepare(case):
        train = prepare_python_locals(case)
        return lambda steps: change(train, steps)

    return Contender("broken", dtype, prepare)


def nudged(train, steps):
    theta = train(steps)
    theta[9] *= 1 + 1e-8
    return theta


def overwritten(train, steps):
    theta = train(steps)
    theta[0] = np.nan
    return theta


BROKEN = {
    "a step too many": broken(lambda train, steps: train(steps + 1)),
    "a step too few": broken(lambda train, steps: train(steps - 1)),
    "a step too many, in float32": broken(lambda train, steps: train(steps + 1), "float32"),
    "no steps": broken(lambda train, steps: train(0)),
    "few steps of many": broken(lambda train, steps: train(min(steps, 100))),
    "one weight off by a little": broken(nudged),
    "NaN": broken(overwritten),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_contender_that_computes_something_else_gets_no_number(name):
    comparison = compare(WORKED_EXAMPLE, [BROKEN[name], PYTHON_LOCALS], BRIEF)
    wrong, right = comparison.results
    assert (wrong.status, right.status) == ("wrong", "timed")
    assert "of the way from the reference's" in wrong.reason
    assert wrong.pairs.size == wrong.speedup.size == 0


def test_samples_out_of_order_are_found():
    def prepare(case):
        reordered = type(case)(case.name, case.X[::-1].copy(), case.Y[::-1].copy(), case.theta)
        return prepare_python_locals(reordered)

    (result,) = compare(SPEED_CASES[1], [Contender("reordered", "float64", prepare)], BRIEF).results
    assert result.status == "wrong"


@pytest.mark.parametrize("case", SPEED_CASES, ids=str)
def test_all_contenders_are_right_or_cannot_run(case):
    comparison = compare(case, CONTENDERS, BRIEF)
    assert [result.contender for result in comparison.results] == list(CONTENDERS)
    for result in comparison.results:
        assert result.status in ("timed", "skipped"), f"{result.contender}: {result.reason}"
        if result.status == "timed":
            assert result.pairs.shape == (BRIEF.rounds, 2)
            assert (result.pairs > 0).all()


def test_a_contender_that_cannot_run_is_skipped_with_its_reason():
    def prepare(case):
        raise UnavailableError("not today")

    (result,) = compare(WORKED_EXAMPLE, [Contender("absent", "float64", prepare)], BRIEF).results
    assert (result.status, result.reason) == ("skipped", "not today")


def test_speedup_is_the_ratio_within_each_round():
    result = Result(FASTBP, "timed", pairs=np.array([[40.0, 10.0], [60.0, 20.0]]))
    assert result.speedup.tolist() == [4.0, 3.0]


def absent(contender):
    def prepare(case):
        raise UnavailableError("not here")

    return Contender(contender.name, contender.dtype, prepare)


def test_baseline_is_c_or_else_python_or_else_the_first_that_is_right():
    right = Contender("right", "float64", prepare_python_locals)
    assert compare(WORKED_EXAMPLE, [BROKEN["NaN"], right], BRIEF).baseline is right
    assert compare(WORKED_EXAMPLE, [right, PYTHON_LOCALS], BRIEF).baseline is PYTHON_LOCALS
    assert compare(WORKED_EXAMPLE, [absent(C)], BRIEF).baseline is None
    both = compare(WORKED_EXAMPLE, [PYTHON_LOCALS, C], BRIEF)
    assert both.baseline is (C if both.results[1].status == "timed" else PYTHON_LOCALS)


def test_turns_are_a_b_then_b_a_and_who_is_lost_has_no_pairs():
    calls, done = [], []

    def nanoseconds(name):
        calls.append(name)
        if name == "c" and calls.count("c") == 2:
            raise LostError
        return {"a": 1.0, "b": 2.0, "c": 3.0}[name]

    pairs = time_pairs("a", "abc", 3, nanoseconds, done.append)
    assert "".join(calls) == "aaabac" + "aabac" + "aaab"
    assert {name: found.tolist() for name, found in pairs.items()} == {"a": [[1, 1]] * 3, "b": [[1, 2]] * 3}
    assert done == [0, 1, 2]


@pytest.mark.parametrize("disturbed", [0, 1, 2, 3, 4, 7, 8, 9])
def test_calibration_sees_that_its_first_calls_took_too_long(disturbed, monkeypatch):
    """Each step takes a microsecond, and some calls 12 ms more."""
    called = []

    def time_call(train, steps):
        called.append(steps)
        return 1000 * steps + 12_000_000 * (len(called) <= disturbed)

    monkeypatch.setattr(protocol, "time_call", time_call)
    assert 0.03 <= 1e-6 * calibrated_steps(lambda steps: None, 0.04, 10) <= 0.05


def test_calibration_asks_for_whole_epochs_and_at_least_one():
    assert calibrated_steps(lambda steps: None, 1e-9) >= 1
    steps = calibrated_steps(lambda steps: sum(range(steps)), 1e-4, 7)
    assert steps >= 7
    assert steps % 7 == 0


def test_a_call_that_is_slow_at_first_does_not_decide_the_number_of_steps():
    pauses = [0.02, 0.02]

    def train(steps):
        if pauses:
            time.sleep(pauses.pop())
        sum(range(100 * steps))

    assert calibrated_steps(train, 1e-3) > 1
