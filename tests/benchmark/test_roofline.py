"""The roofline is measured, and counts what it says it counts."""

import numpy as np
import pytest

from fastbp.benchmark import roofline


@pytest.mark.parametrize("lanes", roofline.CHAINS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_lane_runs_twelve_chains_of_multiply_adds(lanes, dtype):
    data = np.full(16, 0.5, dtype)
    roofline.CHAINS[lanes](data, 3)
    chain = 0.5
    for _ in range(3):
        chain = chain * 0.5 + 0.5
    assert data[:lanes].tolist() == [12 * chain] * lanes
    assert data[lanes:].tolist() == [0.5] * (16 - lanes)


def test_triad_is_a_plus_s_b():
    a, b, c = np.arange(5.0), np.ones(5), np.empty(5)
    roofline.triad(a, b, c, 2.0)
    assert c.tolist() == [2.0, 3.0, 4.0, 5.0, 6.0]


def test_measurement_is_positive_and_two_threads_are_counted():
    found = roofline.measure(2, roofline.Effort(seconds=0.002, triad_elements=2**14))
    assert found["threads"] == 2
    assert min(*found["gflops"].values(), *found["gflops_one_thread"].values()) > 0
    assert found["gbytes_per_second"] > 0
    assert roofline.calls_per_second(lambda i: None, 2, 0.002) > 0
