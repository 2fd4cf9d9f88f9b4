from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbp.sweeping.rungs import Plan, brackets_of, n_kept, rungs_of


@given(
    n=st.integers(1, 10**9),
    epochs=st.integers(1, 1000),
    halving=st.sampled_from([None, 2, 3, 4]),
    least=st.integers(1, 50),
    hyperband=st.booleans(),
    size=st.integers(1, 5000),
)
def test_every_trial_is_in_one_shard_and_rungs_ascend_to_all_epochs(
    n, epochs, halving, least, hyperband, size
):
    plan = Plan(brackets_of(n, epochs, halving, least, hyperband), size, halving)
    numbers = sorted({*range(min(len(plan), 50)), *range(max(0, len(plan) - 50), len(plan))})
    shards = [plan.shard(number) for number in numbers]
    assert (shards[0].start, shards[-1].stop, plan.n_trials) == (0, n, n)
    for one, after in pairwise(shards):
        assert one.stop == after.start or one.number + 1 < after.number
    for shard in shards:
        assert 0 < shard.stop - shard.start <= size
        assert shard.rungs[-1] == epochs
        assert list(shard.rungs) == sorted(set(shard.rungs))
        assert shard.rungs[0] >= min(least, epochs)
    with pytest.raises(IndexError):
        plan.shard(len(plan))


@pytest.mark.parametrize("halving", [2, 3, 4])
def test_brackets_of_hyperband_cost_nearly_the_same(halving):
    epochs = halving**4
    costs = []
    for bracket in brackets_of(10_000, epochs, halving, 1, True):
        alive, before, cost = bracket.stop - bracket.start, 0, 0
        for rung in bracket.rungs:
            cost += alive * (rung - before)
            alive, before = n_kept(alive, halving), rung
        costs.append(cost)
    assert len(costs) == 5
    assert np.array(costs) == pytest.approx(np.full(5, np.mean(costs)), rel=0.02)


def test_the_mean_epochs_are_those_of_the_trials():
    plan = Plan(brackets_of(810, 27, 3, 1, False), 81, 3)
    assert plan.mean_epochs == pytest.approx(1 + 2 / 3 + 6 / 9 + 18 / 27)
    assert rungs_of(27, 3, 3) == (3, 9, 27)
