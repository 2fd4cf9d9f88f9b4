"""Start weights depend on the seed and on the network's index alone, and have the right distribution."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

import fastbp
from fastbp import OptionError, Population
from fastbp.initializers import NAMES, weight_width
from fastbp.populations.starts import PURPOSES, keys_of

WORD = 2**64


def splitmix(state):
    """Return SplitMix64's output for a state, in Python's integers."""
    word = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % WORD
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB % WORD
    return word ^ (word >> 31)


def word(key, n):
    return splitmix((key + (n + 1) * 0x9E3779B97F4A7C15) % WORD)


def key(seed, purpose, index):
    state = int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])
    return word(word(state, 2**62 + PURPOSES[purpose]), index)


def number(name, key, j, begin, n_in, n_out):
    width, is_normal = weight_width(name, n_in, n_out)
    if not is_normal:
        return width * (2 * ((word(key, j) >> 11) / 2**53) - 1)
    is_second = (j - begin) % 2
    first, second = ((word(key, j - is_second + i) >> 11) / 2**53 for i in (0, 1))
    coordinate = (math.cos, math.sin)[is_second](2 * math.pi * second)
    return width * math.sqrt(-2 * math.log(first + 2**-54)) * coordinate


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_weights_are_those_that_plain_python_draws(name, dtype):
    population = Population([2, 3, 1], 3, initializer=name, dtype=dtype, seed=7, first=40)
    for i, theta in enumerate(population.theta):
        own = key(7, "starting parameters", 40 + i)
        expected = [number(name, own, j, 0, 2, 3) for j in range(6)] + [0.0] * 3
        expected += [number(name, own, j, 9, 3, 1) for j in range(9, 12)] + [0.0]
        assert_allclose(theta, np.array(expected, dtype), rtol=1e-15 if dtype == "float64" else 1e-7)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_part_of_a_population_has_the_bits_of_the_whole(dtype):
    whole = Population([4, 5, 3], 50, seed=3, dtype=dtype)
    for first, n in ((0, 1), (0, 7), (13, 20), (49, 1)):
        part = Population([4, 5, 3], n, seed=3, dtype=dtype, first=first)
        assert part.theta.tobytes() == whole.theta[first : first + n].tobytes()
        assert part.indices.tolist() == list(range(first, first + n))


def test_weights_have_the_mean_and_the_spread_of_their_initializer():
    for name in NAMES[:-1]:
        W = Population([6, 2], 20_000, initializer=name, seed=0).weights[0]
        width, is_normal = weight_width(name, 6, 2)
        deviation = width if is_normal else width / math.sqrt(3)
        n = W.size
        assert abs(W.mean()) < 5 * deviation / math.sqrt(n)
        assert abs(W.std() / deviation - 1) < 5 / math.sqrt(n)
        assert is_normal or abs(W).max() <= width
        assert abs(np.corrcoef(W.reshape(-1, 12).T) - np.eye(12)).max() < 5 / math.sqrt(20_000)
        assert abs(np.corrcoef(W.reshape(-1, 12)[:-1, 0], W.reshape(-1, 12)[1:, 0])[0, 1]) < 0.05


def test_seeds_of_two_networks_and_of_two_purposes_give_different_numbers():
    population = Population([3, 3], 10_000, seed=0)
    assert len(np.unique(population.theta)) == 10_000 * 9 + 1
    indices = np.arange(10_000)
    keys = np.concatenate([keys_of(0, purpose, indices) for purpose in PURPOSES])
    assert len(np.unique(keys)) == 20_000
    assert (Population([3, 3], 4, seed=1).theta != population.theta[:4]).any(axis=1).all()
    assert (Population([3, 3], 4).theta != Population([3, 3], 4).theta).any()


def test_a_network_may_have_a_seed_of_its_own_whatever_its_index():
    population = Population([3, 2], 3, seed=[5, 2**70, 5])
    assert population.theta[0].tobytes() == population.theta[2].tobytes()
    assert population.theta[0].tobytes() != population.theta[1].tobytes()
    alone = Population([3, 2], 1, seed=np.array([5]), first=9)
    assert alone.theta[0].tobytes() == population.theta[0].tobytes()
    assert alone.theta[0].tobytes() == Population([3, 2], 1, seed=5).theta[0].tobytes()


@pytest.mark.parametrize(
    ("seed", "message"),
    [
        (-1, "seed is -1, and must be an integer of at least 0"),
        (1.5, "seed is 1.5, and must be an integer of at least 0"),
        (True, "seed is True, and must be an integer of at least 0"),
        (
            [1, 2],
            r"seed is \[1, 2\], and must be an integer, or a sequence of 3 integers: one for each network",
        ),
        ("abc", "seed is 'abc', and must be an integer, or a sequence of 3 integers"),
        ([1, 2, -3], r"seed\[2\] is -3, and must be an integer of at least 0"),
        ([1, 2.5, 3], r"seed\[1\] is 2.5, and must be an integer of at least 0"),
    ],
)
def test_seeds_that_are_none_are_refused(seed, message):
    with pytest.raises(OptionError, match=message):
        fastbp.Population([2, 2], 3, seed=seed)
