import itertools
import math
from functools import partial

import mpmath
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastbp import activations, baselines, reference
from fastbp.benchmark.cases import SPEED_CASES
from fastbp.errors import OptionError
from tests.data import flat, torch_data
from tests.every_loss import EVERY_LOSS, fitting_outputs


def random_network(sizes, seed, number=float, names=None):
    draw = partial(np.random.default_rng(seed).normal, 0.0, 0.5)
    names = names or ["sigmoid"] * (len(sizes) - 1)
    return [
        reference.Layer(
            [[number(v) for v in row] for row in draw(size=(n_in, n_out))],
            [number(v) for v in draw(size=n_out)],
            name,
        )
        for (n_in, n_out), name in zip(itertools.pairwise(sizes), names, strict=True)
    ]


def random_data(sizes, n_samples, seed, loss, output="identity"):
    """Return inputs and targets that the loss allows; a row of probabilities has the sum 1 exactly."""
    generator = np.random.default_rng(seed)
    X = generator.normal(size=(n_samples, sizes[0]))
    if loss == "poisson":
        Y = generator.poisson(2.0, (n_samples, sizes[-1])).astype(float)
    elif output == "softmax":
        counts = generator.multinomial(64, np.full(sizes[-1], 1 / sizes[-1]), n_samples)
        Y = counts / 64
    else:
        Y = generator.uniform(size=(n_samples, sizes[-1]))
    return X.tolist(), Y.tolist()


def exact(values):
    """Return nested lists of numbers as mpmath's."""
    return [exact(v) for v in values] if isinstance(values, list) else mpmath.mpf(values)


def high_precision_gradient(network, error):
    """Return dE/dW and dE/db by central differences: their error is of order h^2 = 1e-40."""
    h = mpmath.mpf(10) ** -20

    def slope(row, j):
        middle = row[j]
        row[j] = middle + h
        above = error()
        row[j] = middle - h
        below = error()
        row[j] = middle
        return float((above - below) / (2 * h))

    return [
        reference.Layer(
            [[slope(row, j) for j in range(len(row))] for row in layer.W],
            [slope(layer.b, j) for j in range(len(layer.b))],
        )
        for layer in network
    ]


def assert_gradients_match(gradients, expected):
    # A small element has the rounding errors of the terms that it is a sum of; and a slope near 0, of a
    # neuron that saturates, is a difference of numbers near 1.
    largest = max(1.0, *abs(flat(expected)))
    for gradient, layer in zip(gradients, expected, strict=True):
        for part, expected_part in ((gradient.W, layer.W), (gradient.b, layer.b)):
            np.testing.assert_allclose(part, expected_part, rtol=1e-12, atol=2e-15 * largest)


@pytest.fixture(autouse=True)
def _precision():
    with mpmath.workdps(60):
        yield


OUTPUTS_AND_LOSSES = [(output, loss) for loss in EVERY_LOSS for output in fitting_outputs(loss)]


@pytest.mark.parametrize(("output", "loss"), OUTPUTS_AND_LOSSES)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(1, 3), min_size=1, max_size=2),
    n_outputs=st.integers(2, 3),
    hidden=st.lists(st.sampled_from(activations.HIDDEN), min_size=2, max_size=2),
    seed=st.integers(0, 999),
)
def test_gradient_matches_high_precision_differentiation(output, loss, sizes, n_outputs, hidden, seed):
    sizes = [*sizes, n_outputs]
    names = [*hidden[: len(sizes) - 2], output]
    X, Y = random_data(sizes, 2, seed, loss, output)
    network = random_network(sizes, seed, names=names)
    layers = random_network(sizes, seed, mpmath.mpf, names)
    X_exact, Y_exact = exact(X), exact(Y)
    expected = high_precision_gradient(
        layers, lambda: reference.loss(layers, X_exact, Y_exact, loss, functions=mpmath.mp)
    )
    found = [gradient for _, gradient in reference.backward(network, X, Y, loss)][::-1]
    assert_gradients_match(found, expected)


@pytest.mark.parametrize("hidden", activations.HIDDEN)
def test_gradient_through_two_hidden_layers_matches_high_precision_differentiation(hidden):
    """With sample weights and an l2 penalty: both belong to the loss that is differentiated."""
    sizes, l2, weights = [3, 3, 2, 2], 0.25, [0.5, 2.0, 0.0, 1.25]
    names = [hidden, hidden, "identity"]
    X, Y = random_data(sizes, 4, 5, "huber")
    layers = random_network(sizes, 8, mpmath.mpf, names)
    X_exact, Y_exact = exact(X), exact(Y)

    def error():
        squares = sum(w**2 for layer in layers for row in layer.W for w in row)
        return reference.loss(layers, X_exact, Y_exact, "huber", weights, mpmath.mp) + l2 / 2 * squares

    network = random_network(sizes, 8, names=names)
    found = [g for _, g in reference.backward(network, X, Y, "huber", weights, l2)][::-1]
    assert_gradients_match(found, high_precision_gradient(layers, error))


@pytest.mark.parametrize("number", [float, reference.Float32], ids=["float64", "float32"])
@pytest.mark.parametrize("name", activations.HIDDEN)
def test_activations_saturate_without_overflow_and_keep_nan(name, number):
    f = reference.FLOAT64 if number is float else reference.FLOAT32
    for z in map(number, (-1e4, -800.0, 0.0, 800.0, 1e4)):
        (a,) = reference.activate(name, [z], f)
        (slope,) = reference.activate_backward(name, [z], [a], [number(1)], f)
        assert np.isfinite([a, slope]).all()
        assert isinstance(a, number) or a in (0, 1)
    assert np.isnan(reference.activate(name, [number(math.nan)], f)[0])


def test_softmax_is_the_same_for_shifted_inputs_and_keeps_nan():
    shifted = reference.softmax([1000.0, 1001.0, 999.0], reference.FLOAT64)
    assert shifted == reference.softmax([0.0, 1.0, -1.0], reference.FLOAT64)
    assert np.isnan(reference.softmax([0.0, float("nan"), 1.0], reference.FLOAT64)).all()


@pytest.mark.parametrize("stored", torch_data()["activations"], ids=lambda stored: stored["activation"])
def test_activations_are_those_of_pytorch(stored):
    z, name, f = stored["z"], stored["activation"], reference.FLOAT64
    a = reference.activate(name, z, f)
    slopes = reference.activate_backward(name, z, a, [1.0 + i for i in range(len(z))], f)
    # PyTorch computes gelu's tail as 1 + erf(z), which cancels.
    atol = 1e-14 if name == "gelu" else 1e-300
    np.testing.assert_allclose(a, stored["a"], rtol=1e-14, atol=atol)
    # In terms of the output, a slope near 0 is a difference of numbers near 1.
    np.testing.assert_allclose(slopes, stored["gradient"], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("stored", torch_data()["losses"], ids=lambda stored: stored["loss"])
def test_losses_are_those_of_pytorch(stored):
    Z, Y, loss, activation = (stored[key] for key in ("z", "t", "loss", "activation"))
    K = len(Z[0])
    identity = [[float(i == j) for j in range(K)] for i in range(K)]
    network = [reference.Layer(identity, [0.0] * K, activation)]
    assert reference.loss(network, Z, Y, loss) == pytest.approx(stored["value"], rel=1e-14)
    for z, t, gradient in zip(Z, Y, stored["gradient"], strict=True):
        y = reference.forward(network, z)[-1]
        delta = reference.output_delta(y, t, z, activation, loss)
        np.testing.assert_allclose(np.array(delta) / len(Z), gradient, rtol=1e-13)


@pytest.mark.parametrize("loss", ["binary_cross_entropy", "categorical_cross_entropy"])
def test_cross_entropies_are_finite_however_sure_the_network_is(loss):
    z, t = [900.0, -900.0, 0.0], [0.0, 1.0, 0.0]
    activation = "sigmoid" if loss == "binary_cross_entropy" else "softmax"
    y = reference.activate(activation, z, reference.FLOAT64)
    error = reference.sample_loss(y, t, z, activation, loss, reference.FLOAT64)
    expected = (900.0 + 900.0 + math.log(2)) / 3 if loss == "binary_cross_entropy" else 1800.0
    assert error == pytest.approx(expected, rel=1e-15)


def test_a_batch_is_the_mean_of_its_samples_and_a_weight_repeats_one():
    network = random_network([3, 4, 2], 1)
    X, Y = random_data([3, 4, 2], 3, 4, "half_squared_error")
    singles = [flat(reference.gradients(network, x, t)) for x, t in zip(X, Y, strict=True)]
    batch = flat([g for _, g in reference.backward(network, X, Y)][::-1])
    np.testing.assert_allclose(batch, np.mean(singles, axis=0), rtol=1e-14)
    weighted = flat([g for _, g in reference.backward(network, X, Y, sample_weight=[1, 0, 3])][::-1])
    np.testing.assert_allclose(weighted, (singles[0] + 3 * singles[2]) / 3, rtol=1e-14)
    nothing = [g for _, g in reference.backward(network, X, Y, sample_weight=[0, 0, 0])][::-1]
    assert not flat(nothing).any()


@pytest.mark.parametrize("train_biases", [True, False])
def test_gradients_are_clipped_to_the_norm_of_all_that_train(train_biases):
    X, Y = random_data([3, 4, 2], 1, 4, "half_squared_error")
    for norm in (1e-3, 1e3):
        network = random_network([3, 4, 2], 1)
        free = reference.gradients(network, X[0], Y[0])
        length = np.linalg.norm(flat(free) if train_biases else np.concatenate([np.ravel(g.W) for g in free]))
        before = network.copy()
        reference.step(network, X[0], Y[0], 1.0, gradient_clip_norm=norm, train_biases=train_biases)
        moved = [np.subtract(old.W, new.W) for old, new in zip(before, network, strict=True)]
        scale = min(1.0, norm / length)
        for difference, gradient in zip(moved, free, strict=True):
            np.testing.assert_allclose(difference, scale * np.array(gradient.W), rtol=1e-11)


def test_clipping_needs_all_gradients():
    with pytest.raises(OptionError, match="gradient_clip_norm"):
        reference.step(
            random_network([1, 1], 0), [1.0], [1.0], 0.1, update="sequential", gradient_clip_norm=1.0
        )


def test_batches_of_an_epoch_take_every_sample_once_and_the_last_is_short():
    """Each sample moves a weight of its own towards its target, by 1/2 divided by the rows of the batch."""
    X, Y = np.eye(7).tolist(), [[2.0 ** (10 * i)] for i in range(7)]
    options = {"learning_rate": 0.5, "batch_size": 3, "generator_state": 5, "train_biases": False}
    for epochs in (1, 2):
        network = [reference.Layer([[0.0]] * 7, [0.0], "identity")]
        reference.train(network, X, Y, steps=3 * epochs, **options)
        distances = [1 - row[0] / target for row, (target,) in zip(network[0].W, Y, strict=True)]
        of_3, of_1 = 1 - 0.5 / 3, 1 - 0.5
        possible = [of_3, of_1] if epochs == 1 else [of_3**2, of_3 * of_1, of_1**2]
        for distance in distances:
            assert min(abs(distance - each) for each in possible) < 1e-12
        assert math.prod(distances) == pytest.approx((of_3**6 * of_1) ** epochs, rel=1e-12)


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
    outputs = reference.forward(before, x)
    delta = reference.layer_backward(outputs[1], network[1], reference.output_delta(outputs[2], t))
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
        assert (0.1 - x, 0.1 * x, 0.1 + x) == (np.float32(0.1) - f, np.float32(0.1) * f, np.float32(0.1) + f)
        assert abs(x) == abs(f)
        if b != 0:
            assert x / y == f / g
    assert all(isinstance(v, reference.Float32) for v in (x + y, 1.0 - x, 1.0 / (x * x + 1.0), -x, abs(x)))


@pytest.mark.parametrize("case", SPEED_CASES, ids=str)
def test_baselines_agree_with_the_reference(case):
    steps = 500
    W1, _, W2, _ = np.split(case.reference_theta(steps), [4, 6, 10])
    expected = [W1[0], W1[2], W1[1], W1[3], W2[0], W2[2], W2[1], W2[3]]
    w1, w3, w2, w4, bh1, bh2, w5, w7, w6, w8, by1, by2 = case.theta.tolist()
    samples = [(*x, *t) for x, t in zip(case.X.tolist(), case.Y.tolist(), strict=True)]

    trained = baselines.train_222_locals(
        (w1, w2, w3, w4, w5, w6, w7, w8), (bh1, bh2, by1, by2), samples, case.learning_rate, steps
    )
    np.testing.assert_allclose(trained, expected, rtol=1e-13)

    textbook = baselines.TextbookNetwork(
        [baselines.Neuron([w1, w2], bh1), baselines.Neuron([w3, w4], bh2)],
        [baselines.Neuron([w5, w6], by1), baselines.Neuron([w7, w8], by2)],
    )
    for i in range(steps):
        x1, x2, t1, t2 = samples[i % len(samples)]
        textbook.train([x1, x2], [t1, t2], case.learning_rate)
    neurons = [*textbook.hidden, *textbook.output]
    np.testing.assert_allclose([w for neuron in neurons for w in neuron.weights], expected, rtol=1e-13)
