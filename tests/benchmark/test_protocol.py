"""Only contenders that are right are timed, and all that are right are."""

import numpy as np
import pytest

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
from fastbp.benchmark.protocol import Comparison, Protocol, Result, calibrated_steps, compare, time_in_turns

BRIEF = Protocol(rounds=2, slice_seconds=0.0002)


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
    assert "theta[" in wrong.reason
    assert wrong.ns_per_step.size == comparison.speedup(wrong).size == 0


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
            assert result.ns_per_step.shape == (BRIEF.rounds,)
            assert (result.ns_per_step > 0).all()


def test_a_contender_that_cannot_run_is_skipped_with_its_reason():
    def prepare(case):
        raise UnavailableError("not today")

    (result,) = compare(WORKED_EXAMPLE, [Contender("absent", "float64", prepare)], BRIEF).results
    assert (result.status, result.reason) == ("skipped", "not today")


def test_speedup_is_the_ratio_within_each_round():
    results = (
        Result(FASTBP, "timed", ns_per_step=np.array([10.0, 20.0])),
        Result(C, "timed", ns_per_step=np.array([40.0, 60.0])),
    )
    assert Comparison(WORKED_EXAMPLE, results).speedup(results[0]).tolist() == [4.0, 3.0]


def test_baseline_is_c_or_else_python():
    c, python = (Result(contender, "timed", ns_per_step=np.ones(2)) for contender in (C, PYTHON_LOCALS))
    no_c = Result(C, "skipped", "no C compiler found")
    assert Comparison(WORKED_EXAMPLE, (python, c)).baseline is c
    assert Comparison(WORKED_EXAMPLE, (python, no_c)).baseline is python
    assert Comparison(WORKED_EXAMPLE, (no_c,)).baseline is None
    assert Comparison(WORKED_EXAMPLE, (no_c,)).speedup(no_c).size == 0


def test_turns_reverse_every_other_round():
    calls = []
    trains = [lambda steps, name=name: calls.append(name) for name in "abc"]
    times = time_in_turns(trains, Protocol(rounds=3, slice_seconds=1e-9), lambda done: None)
    assert times.shape == (3, 3)
    assert "".join(calls).endswith("abccbaabc")


def test_calibration_asks_for_at_least_one_step():
    assert calibrated_steps(lambda steps: None, 1e-9) >= 1
