"""The gate lets through what trained the same network, and nothing else."""

import numpy as np
import pytest

from bench import gate

START, REFERENCE = np.zeros(4), np.array([3.0, 0.0, 4.0, 0.0])


def test_distance_is_a_part_of_the_way():
    theta = REFERENCE + np.array([0.0, 0.05, 0.0, 0.0])
    assert gate.distance(theta, REFERENCE, START) == pytest.approx(0.01)


@pytest.mark.parametrize("theta", [REFERENCE[:3], np.full(4, np.nan), np.full(4, np.inf), REFERENCE[None]])
def test_what_is_no_such_vector_is_infinitely_far(theta):
    with np.errstate(invalid="ignore"):
        assert gate.distance(theta, REFERENCE, START) == np.inf


def test_verdict_names_the_first_steps_that_differ():
    assert gate.verdict({10: 1e-12, 30: 9e-10}, "float64") == ""
    assert gate.verdict({10: 1e-12, 30: 2e-9}, "float64").startswith("after 30 steps")
    assert gate.verdict({10: float("nan")}, "float32").startswith("after 10 steps")
