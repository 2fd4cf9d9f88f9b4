import itertools

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastbp import reference
from fastbp.benchmark.cases import SPEED_CASES
from fastbp.errors import OptionError


def random_network(sizes, seed, number=float):
    draw = np.random.default_rng(seed).normal
    return [
        reference.Layer(
            [[number(v) for v in row] for row in draw(size=(n_in, n_out))],
            [number(v) for v in draw(size=n_out)],
        )
        for n_in, n_out in itertools.pairwise(sizes)
    ]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=2, max_size=4), st.integers(0, 99))
def test_gradients_match_high_precision_differentiation(sizes, seed):
    mpmath.mp.dps = 60
    network = random_network(sizes, seed)
    draw = np.random.default_rng(seed + 100)
    x, t = list(draw.normal(size=sizes[0])), list(draw.uniform(size=sizes[-1]))
    exact = random_network(sizes, seed, mpmath.mpf)
    X, Y = [[mpmath.mpf(v) for v in x]], [[mpmath.mpf(v) for v in t]]
    h = mpmath.mpf(10) ** -20

    def slope(row, j):
        """Return the central difference of the loss by row[j]: its error is of order h^2 = 1e-40."""
        middle = row[j]
        row[j] = middle + h
        above = reference.loss(exact, X, Y, mpmath.exp)
        row[j] = middle - h
        below = reference.loss(exact, X, Y, mpmath.exp)
        row[j] = middle
        return float((above - below) / (2 * h))

    for gradient, layer in zip(reference.gradients(network, x, t), exact, strict=True):
        expected = [[slope(row, j) for j in range(len(row))] for row in layer.W]
        np.testing.assert_allclose(gradient.W, expected, rtol=1e-12, atol=1e-18)
        expected = [slope(layer.b, j) for j in range(len(layer.b))]
        np.testing.assert_allclose(gradient.b, expected, rtol=1e-12, atol=1e-18)


def test_simultaneous_step_is_gradient_descent():
    network = random_network([3, 4, 2], 1)
    x, t = [0.1, -0.7, 0.4], [0.2, 0.9]
    before, gradients = network.copy(), reference.gradients(network, x, t)
    reference.step(network, x, t, 0.3)
    for old, gradient, new in zip(before, gradients, network, strict=True):
        np.testing.assert_array_equal(new.W, np.array(old.W) - 0.3 * np.array(gradient.W))
        np.testing.assert_array_equal(new.b, np.array(old.b) - 0.3 * np.array(gradient.b))


def test_sequential_step_propagates_back_through_new_weights():
    network = random_network([3, 4, 2], 1)
    x, t = [0.1, -0.7, 0.4], [0.2, 0.9]
    before = network.copy()
    reference.step(network, x, t, 0.3, update="sequential")
    gradients = reference.gradients(before, x, t)
    np.testing.assert_array_equal(network[1].W, np.array(before[1].W) - 0.3 * np.array(gradients[1].W))
    activations = reference.forward(before, x)
    delta = reference.layer_backward(activations[1], network[1], reference.output_delta(activations[2], t))
    expected = np.array(before[0].W) - 0.3 * np.outer(x, delta)
    np.testing.assert_allclose(network[0].W, expected, rtol=1e-15)
    assert not np.allclose(network[0].W, np.array(before[0].W) - 0.3 * np.array(gradients[0].W), rtol=1e-9)


def test_fixed_biases_stay():
    network = random_network([2, 2, 2], 1)
    before = [layer.b for layer in network]
    reference.train(network, [[1, 2]], [[0, 1]], steps=5, learning_rate=0.5, train_biases=False)
    assert [layer.b for layer in network] == before


def test_unknown_update_is_named():
    with pytest.raises(OptionError, match=r"'both'.*'simultaneous', 'sequential'"):
        reference.step(random_network([1, 1], 0), [1], [1], 0.1, update="both")


def test_sigmoid_saturates_without_overflow():
    assert reference.sigmoid(-1e6) == 0
    assert reference.sigmoid(1e6) == 1
    assert np.isnan(reference.sigmoid(float("nan")))


def test_shuffled_order_is_a_permutation_each_epoch():
    order = reference.sample_order(7, generator_state=3)
    epochs = [[next(order) for _ in range(7)] for _ in range(50)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 40


def test_shuffled_order_is_uniform():
    counts = np.zeros((5, 5))
    for state in range(4000):
        for position, sample in zip(range(5), reference.sample_order(5, state), strict=False):
            counts[position, sample] += 1
    # chi-squared with 16 degrees of freedom for each table of 4000 permutations: 99.99 % lie below 44.
    assert ((counts - 800) ** 2 / 800).sum() < 44


def test_splitmix64_matches_its_published_sequence():
    """With 2^64 samples, the index drawn for the first position is the generator's word itself."""

    def word(state):
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        z = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
        return z ^ z >> 31

    assert word(0) == 0xE220A8397B1DCDAF  # the first output for seed 0 in Vigna's reference code
    first = [next(reference.sample_order(10**6, state)) for state in range(20)]
    assert first == [word(state) * 10**6 >> 64 for state in range(20)]


@settings(max_examples=200)
@given(st.floats(-(2.0**100), 2.0**100, width=32), st.floats(-(2.0**100), 2.0**100, width=32))
def test_float32_rounds_after_every_operation(a, b):
    x, y = reference.Float32(a), reference.Float32(b)
    with np.errstate(all="ignore"):
        f, g = np.float32(a), np.float32(b)
        assert (x + y, x - y, x * y, -x) == (f + g, f - g, f * g, -f)
        assert (1.0 - x, 0.5 * x, 1.0 + x) == (1 - f, np.float32(0.5) * f, 1 + f)
        if b != 0:
            assert x / y == f / g
    assert all(isinstance(v, reference.Float32) for v in (x + y, 1.0 - x, 1.0 / (x * x + 1.0), -x))


@pytest.mark.parametrize("case", SPEED_CASES, ids=str)
def test_baselines_agree_with_the_reference(case):
    steps = 500
    W1, _, W2, _ = np.split(case.reference_theta(steps), [4, 6, 10])
    expected = [W1[0], W1[2], W1[1], W1[3], W2[0], W2[2], W2[1], W2[3]]
    w1, w3, w2, w4, bh1, bh2, w5, w7, w6, w8, by1, by2 = case.theta.tolist()
    samples = [(*x, *t) for x, t in zip(case.X.tolist(), case.Y.tolist(), strict=True)]

    trained = reference.train_222_locals(
        (w1, w2, w3, w4, w5, w6, w7, w8), (bh1, bh2, by1, by2), samples, case.learning_rate, steps
    )
    np.testing.assert_allclose(trained, expected, rtol=1e-13)

    textbook = reference.TextbookNetwork(
        [reference.Neuron([w1, w2], bh1), reference.Neuron([w3, w4], bh2)],
        [reference.Neuron([w5, w6], by1), reference.Neuron([w7, w8], by2)],
    )
    for i in range(steps):
        x1, x2, t1, t2 = samples[i % len(samples)]
        textbook.train([x1, x2], [t1, t2], case.learning_rate)
    neurons = [*textbook.hidden, *textbook.output]
    np.testing.assert_allclose([w for neuron in neurons for w in neuron.weights], expected, rtol=1e-13)
