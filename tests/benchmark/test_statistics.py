"""The interval means what it says."""

import numpy as np

from fastbp.benchmark.statistics import median_interval


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
