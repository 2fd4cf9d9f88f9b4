import numpy as np
import pytest

from fastbp import OptionError, spaces
from fastbp.sweeping.points import Points, fractions, grid_size, mixed

SPACE = spaces.Space(
    {
        "hidden": [8, (16, 8), 0],
        "activation": ["relu", "tanh"],
        "learning_rate": spaces.LogUniform(1e-4, 1e-1),
        "momentum": [0.0, 0.5, 0.9],
        "l2": spaces.Uniform(0.0, 0.1),
        "seed": spaces.Integers(0, 9),
    }
)
GRID = spaces.Space({"hidden": [8, 16], "learning_rate": [0.1, 0.01], "seed": spaces.Integers(3, 5)})


@pytest.mark.parametrize(
    ("space", "sampling"),
    [(SPACE, "random"), (SPACE, "halton"), (GRID, "grid")],
    ids=["random", "halton", "grid"],
)
def test_a_trial_is_the_same_point_in_whatever_company(space, sampling):
    points = Points(space, 10_000, sampling, 7)
    trials = np.arange(10_000)
    whole, structures = points.values(trials), points.structures(trials)
    generator = np.random.default_rng(0)
    for _ in range(20):
        some = generator.choice(10_000, generator.integers(1, 50), replace=False)
        assert points.structures(some).tolist() == structures[some].tolist()
        assert all((values == whole[name][some]).all() for name, values in points.values(some).items())
    one = points.configuration(int(some[0]))
    assert {name: value for name, value in one.items() if name in whole} == {
        name: values[some[0]] for name, values in whole.items()
    }


def test_numbers_are_those_of_splitmix64():
    """The first outputs of the published generator for the seed 1234567."""
    states = (1234567 + np.arange(3, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)).astype(np.uint64)
    assert mixed(states).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_streams_and_seeds_are_independent():
    trials = np.arange(200_000)
    columns = [fractions(seed, trials, stream) for seed in (0, 1, 2**70) for stream in (0, 1)]
    correlations = np.corrcoef([*columns, columns[0][::-1], np.roll(columns[0], 1)])
    assert abs(correlations - np.eye(8)).max() < 0.012
    for column in columns:
        assert np.histogram(column, 16, (0, 1))[0] == pytest.approx(np.full(16, 12500), rel=0.05)


@pytest.mark.parametrize("sampling", ["random", "halton"])
def test_values_lie_within_bounds_and_are_distributed_as_said(sampling):
    values = Points(SPACE, 20_000, sampling, 3).values(np.arange(20_000))
    rates = values["learning_rate"]
    assert 1e-4 <= rates.min() < 1.1e-4
    assert 0.09 < rates.max() <= 0.1
    assert np.mean(rates < 1e-3) == pytest.approx(1 / 3, abs=0.015)
    assert np.mean(values["l2"]) == pytest.approx(0.05, abs=0.002)
    assert np.unique(values["momentum"], return_counts=True)[1] == pytest.approx([6667] * 3, rel=0.05)
    assert np.unique(values["seed"]).tolist() == list(range(10))


def test_halton_points_are_more_even_than_random_ones():
    from scipy.stats import qmc

    space = spaces.Space({"learning_rate": spaces.LogUniform(1e-4, 1e-1), "l2": spaces.Uniform(0.0, 0.1)})
    spread = {}
    for sampling in ("random", "halton"):
        values = Points(space, 512, sampling, 1).values(np.arange(512))
        unit = np.column_stack([(np.log10(values["learning_rate"]) + 4) / 3, values["l2"] / 0.1])
        spread[sampling] = qmc.discrepancy(np.clip(unit, 0, 1))
    assert spread["halton"] < spread["random"] / 10


@pytest.mark.parametrize("n", [6, 60, 1000, 4000])
def test_every_structure_is_tried_equally_often_in_whole_stretches(n):
    points = Points(SPACE, n, "random", 5)
    numbers = points.structures(np.arange(n))
    counts = np.bincount(numbers, minlength=6)
    assert counts.max() - counts.min() <= points.stretch
    assert all(len(set(numbers[at : at + points.stretch])) == 1 for at in range(0, n, points.stretch))


def test_the_grid_has_every_combination_once_before_any_comes_again():
    assert grid_size(GRID) == 12
    points = Points(GRID, 24, "grid", 0)
    each = [tuple(points.configuration(trial).values()) for trial in range(24)]
    assert len(set(each[:12])) == 12
    assert each[:12] == each[12:]
    assert {one[0] for one in each} == {(8,), (16,)}


def test_a_grid_of_a_range_says_what_to_give_instead():
    with pytest.raises(
        OptionError, match=r"learning_rate of the space is LogUniform\(low=0.0001, high=0.1\); give"
    ):
        Points(SPACE, 10, "grid", 0)


def test_the_seed_of_a_space_draws_the_weights_and_otherwise_the_number_of_the_trial():
    trials = np.arange(5, 10)
    assert Points(GRID, 24, "grid", 0).numbers(trials).tolist() == [5, 3, 4, 5, 3]
    other = spaces.Space({"l2": spaces.Uniform(0.0, 0.1)})
    assert Points(other, 24, "random", 0).numbers(trials).tolist() == trials.tolist()
