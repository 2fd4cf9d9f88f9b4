"""The interval means what it says."""

import doctest

import numpy as np
import pytest

from bench import charts, page, statistics
from bench.statistics import FEW, Interval, control_interval, median_interval


def test_interval_covers_the_true_median_as_often_as_it_says():
    generator = np.random.default_rng(1)
    samples = np.exp(generator.normal(0.0, 0.1, (300, 20)))
    covered = np.mean([median_interval(sample).contains(1.0) for sample in samples])
    assert 0.90 <= covered <= 0.99


def test_same_times_same_interval():
    values = np.random.default_rng(2).uniform(1, 2, 20)
    assert median_interval(values) == median_interval(values.copy())


def test_interval_is_ordered_and_within_the_values():
    values = [1.0, 5.0, 2.0, 3.0, 4.0]
    interval = median_interval(values)
    assert 1.0 <= interval.low <= interval.median == 3.0 <= interval.high <= 5.0


def test_a_difference_in_every_pair_of_one_workload_does_not_make_a_session_unsound():
    groups = [[1.02] * 20, [0.99] * 20, [1.01] * 20, [0.98] * 20, [1.0] * 20, [1.005] * 20]
    assert len(groups) >= FEW
    assert control_interval(groups).contains(1.0)
    assert not control_interval([[1.02] * 20] * 6).contains(1.0)


def test_few_workloads_are_judged_by_their_pairs():
    assert control_interval([[0.9, 1.1, 1.0, 1.05, 0.95]]).contains(1.0)
    assert control_interval([[1.0, 2.0]]) != Interval(1.5, 1.5, 1.5)


@pytest.mark.parametrize("module", [charts, page, statistics], ids=lambda module: module.__name__)
def test_examples_in_docstrings_run(module):
    failed, attempted = doctest.testmod(module)
    assert attempted > 0
    assert failed == 0
