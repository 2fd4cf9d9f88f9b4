"""The gate lets through what trained the same network, and nothing else."""

import numpy as np
import pytest

from fastbp.benchmark import gate

START, REFERENCE = np.zeros(4), np.array([3.0, 0.0, 4.0, 0.0])


def test_distance_is_a_part_of_the_way():
    theta = REFERENCE + np.array([0.0, 0.05, 0.0, 0.0])
    assert gate.distance(theta, REFERENCE, START) == pytest.approx(0.01)


@pytest.mark.parametrize("theta", [REFERENCE[:3], np.full(4, np.nan), np.full(4, np.inf), REFERENCE[None]])
def test_what_is_no_such_vector_is_infinitely_far(theta):
    assert gate.distance(theta, REFERENCE, START) == np.inf


def judged(**gaps: float) -> str:
    """Judge parameters that are so far from the reference, as a part of the way there."""
    thetas = {int(steps[1:]): REFERENCE * (1 + gap) for steps, gap in gaps.items()}
    return gate.judge(thetas.__getitem__, dict.fromkeys(thetas, REFERENCE), START, 1e-9)[0]


def test_the_first_number_of_steps_whose_parameters_differ_is_named():
    assert judged(_10=1e-12, _30=9e-10) == ""
    assert judged(_10=1e-12, _30=2e-9).startswith("after 30 steps its parameters are 2.0e-09 of the way")
    assert judged(_10=float("nan")).startswith("after 10 steps")
