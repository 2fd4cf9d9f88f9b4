import copy
import pickle

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastbp import DataError, Network, OptionError, ShapeError, reference
from fastbp.checks import check_finite
from fastbp.initializers import NAMES

SIZES = [(1, 1), (2, 2, 2), (3, 1, 4), (2, 5, 3, 1), (4, 2)]


def filled(sizes, **options) -> Network:
    network = Network(sizes, **options)
    network.theta[:] = np.random.default_rng(3).normal(size=network.theta.size)
    return network


def data(network, n_samples=3):
    generator = np.random.default_rng(4)
    return generator.normal(size=(n_samples, network.n_inputs)), generator.uniform(
        size=(n_samples, network.n_outputs)
    )


def reference_layers(network, number=float):
    biases = network.biases or [np.zeros(n) for n in network.layer_sizes[1:]]
    return [
        reference.Layer([[number(w) for w in row] for row in W.tolist()], [number(v) for v in b.tolist()])
        for W, b in zip(network.weights, biases, strict=True)
    ]


# --- parameters --------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", ["trainable", "fixed", "none"])
@pytest.mark.parametrize("sizes", SIZES)
def test_theta_is_the_weights_and_biases_layer_by_layer(sizes, bias):
    network = Network(sizes, bias=bias)
    network.theta[:] = range(network.theta.size)
    parts = []
    for i, W in enumerate(network.weights):
        assert W.shape == sizes[i : i + 2]
        parts.append(W.ravel())
        if bias != "none":
            assert network.biases[i].shape == (sizes[i + 1],)
            parts.append(network.biases[i])
    assert len(network.biases) == (0 if bias == "none" else len(sizes) - 1)
    np.testing.assert_array_equal(np.concatenate(parts), range(network.theta.size))


def assert_views_are_live(network):
    network.theta[:] = 0
    network.weights[0][:] = 1
    network.biases[-1][:] = 2
    assert network.theta.tolist() == [1] * 4 + [0] * 6 + [2] * 2
    network.theta[:] = 7
    assert (network.weights[1] == 7).all()
    assert (network.biases[0] == 7).all()


def test_weights_and_biases_are_views_both_ways():
    assert_views_are_live(Network([2, 2, 2]))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda n: pickle.loads(pickle.dumps(n))])
def test_copies_are_equal_and_independent(copied):
    network = filled([2, 2, 2])
    before = network.theta.copy()
    twin = copied(network)
    assert repr(twin) == repr(network)
    np.testing.assert_array_equal(twin.theta, before)
    assert_views_are_live(twin)
    np.testing.assert_array_equal(network.theta, before)


def test_assigning_to_an_item_sets_the_parameters():
    """A list of views would take the assignment and lose it."""
    network = Network([2, 2, 2])
    network.weights[0] = [[1, 2], [3, 4]]
    network.biases[1] = 5
    assert network.theta[:4].tolist() == [1, 2, 3, 4]
    assert network.theta[-2:].tolist() == [5, 5]
    with pytest.raises(ValueError, match="could not broadcast"):
        network.weights[0] = [1, 2, 3]


@pytest.mark.parametrize("name", ["theta", "weights", "biases"])
def test_the_vector_itself_cannot_be_replaced(name):
    with pytest.raises(AttributeError):
        setattr(Network([2, 2, 2]), name, np.zeros(12))


# --- initial weights ---------------------------------------------------------------------------------


@pytest.mark.parametrize("initializer", NAMES)
def test_seed_determines_the_weights(initializer):
    def theta(seed):
        return Network([2, 3, 2], initializer=initializer, seed=seed).theta.tolist()

    assert theta(1) == theta(1) == theta(np.int64(1))
    assert (theta(1) != theta(2)) == (initializer != "zeros")


def test_without_a_seed_networks_differ():
    assert Network([2, 2, 2]).theta.tolist() != Network([2, 2, 2]).theta.tolist()


def test_float32_weights_are_the_rounded_float64_weights():
    single, double = (Network([4, 3, 2], dtype=dtype, seed=5) for dtype in ("float32", "float64"))
    assert single.theta.dtype == np.float32
    np.testing.assert_array_equal(single.theta, double.theta.astype(np.float32))


@pytest.mark.parametrize("initializer", NAMES)
def test_weights_have_the_variance_and_the_bounds_of_their_initializer(initializer):
    n_in, n_out = 300, 700
    W = Network([n_in, n_out], initializer=initializer, seed=0).weights[0]
    method, _, distribution = initializer.partition("_")
    if initializer == "zeros":
        assert not W.any()
        return
    variance = {"glorot": 2 / (n_in + n_out), "he": 2 / n_in, "lecun": 1 / n_in}[method]
    assert W.var() == pytest.approx(variance, rel=0.02)
    assert abs(W.mean()) < 5 * np.sqrt(variance / W.size)
    limit = np.sqrt(3 * variance)
    if distribution == "uniform":
        assert 0.999 * limit < abs(W).max() <= limit
    else:  # 210,000 normal draws reach four standard deviations, and hardly six
        assert 4 < abs(W).max() / np.sqrt(variance) < 6.5


def test_biases_start_at_zero():
    assert not any(b.any() for b in Network([3, 4, 2], seed=0).biases)


# --- outputs, loss, gradient -------------------------------------------------------------------------


@pytest.mark.parametrize("bias", ["trainable", "none"])
@pytest.mark.parametrize("sizes", SIZES)
def test_outputs_and_loss_are_those_of_the_reference(sizes, bias):
    network = filled(sizes, bias=bias)
    X, Y = data(network)
    layers = reference_layers(network)
    outputs = [reference.forward(layers, x)[-1] for x in X.tolist()]
    np.testing.assert_allclose(network.predict(X), outputs, rtol=1e-14)
    assert network.predict(X).shape == (3, sizes[-1])
    loss = network.loss(X, Y)
    assert type(loss) is float
    assert loss == pytest.approx(reference.loss(layers, X.tolist(), Y.tolist()), rel=1e-14)


@pytest.mark.parametrize("bias", ["trainable", "fixed", "none"])
@pytest.mark.parametrize("sizes", SIZES)
def test_gradient_matches_high_precision_differentiation(sizes, bias):
    mpmath.mp.dps = 50
    network = filled(sizes, bias=bias)
    X, Y = data(network)
    layers = reference_layers(network, mpmath.mpf)
    X_exact, Y_exact = ([[mpmath.mpf(v) for v in row] for row in array.tolist()] for array in (X, Y))
    h = mpmath.mpf(10) ** -16

    def slope(row, j):
        """Return the central difference of the loss by row[j]: its error is of order h^2 = 1e-32."""
        middle, losses = row[j], []
        for shift in (h, -h):
            row[j] = middle + shift
            losses.append(reference.loss(layers, X_exact, Y_exact, functions=mpmath.mp))
        row[j] = middle
        return float((losses[0] - losses[1]) / (2 * h))

    expected = []
    for layer in layers:
        expected += [slope(row, j) for row in layer.W for j in range(len(row))]
        expected += [slope(layer.b, j) for j in range(len(layer.b))] if bias != "none" else []
    gradient = network.gradient(X, Y)
    assert gradient.shape == network.theta.shape
    loss, same = network.loss_and_gradient(X, Y)
    assert loss == network.loss(X, Y)
    assert same.tobytes() == gradient.tobytes()
    np.testing.assert_allclose(gradient, expected, rtol=1e-12, atol=1e-17)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=2, max_size=5), st.integers(1, 5))
def test_gradient_is_the_mean_of_the_gradients_of_the_samples(sizes, n_samples):
    network = filled(sizes)
    X, Y = data(network, n_samples)
    each = [network.gradient(X[i : i + 1], Y[i : i + 1]) for i in range(n_samples)]
    np.testing.assert_allclose(network.gradient(X, Y), np.mean(each, axis=0), rtol=1e-12, atol=1e-16)


def test_float32_network_computes_in_float32():
    network = filled([3, 4, 2], dtype="float32")
    X, Y = data(network)
    assert network.predict(X).dtype == network.gradient(X, Y).dtype == np.float32
    double = filled([3, 4, 2])
    np.testing.assert_allclose(network.gradient(X, Y), double.gradient(X, Y), rtol=1e-4, atol=1e-7)


def test_looking_changes_nothing():
    network = filled([3, 4, 2])
    X, Y = data(network)
    before = network.theta.tobytes(), X.tobytes(), Y.tobytes()
    network.predict(X), network.loss(X, Y), network.gradient(X, Y), repr(network)
    assert (network.theta.tobytes(), X.tobytes(), Y.tobytes()) == before


@pytest.mark.parametrize("method", ["loss", "gradient"])
def test_mismatched_samples_are_refused(method):
    network = Network([2, 2, 1])
    with pytest.raises(ShapeError, match="X has 2 samples and Y has 1"):
        getattr(network, method)(np.zeros((2, 2)), np.zeros((1, 1)))


# --- arguments ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(2, 3), [2, 3], np.array([2, 3]), (n for n in (2, 3)), range(2, 4)])
def test_sizes_may_be_any_sequence_of_integers(sizes):
    assert Network(sizes).layer_sizes == (2, 3)


@pytest.mark.parametrize(
    "sizes", [(), [2], [2, 0, 2], [-1, 2], "222", 5, None, [2.0, 2], [2, "2"], [[2, 2], [2, 2]], [2, None]]
)
def test_bad_sizes_are_refused(sizes):
    with pytest.raises(OptionError, match="layer_sizes is"):
        Network(sizes)


@pytest.mark.parametrize("sizes", [[10**30, 2], [2**62, 2**62], [2**61, 1]])
def test_sizes_that_no_memory_holds_are_refused(sizes):
    with pytest.raises(OptionError, match=r"layer_sizes is .* parameters fit in no memory"):
        Network(sizes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_activation": "sigmod"}, "hidden_activation is 'sigmod'.*did you mean 'sigmoid'"),
        ({"hidden_activation": None}, "hidden_activation is None, and must be a string"),
        ({"hidden_activation": 5}, "hidden_activation is 5, and must be a string"),
        ({"hidden_activation": [None]}, "hidden_activation is None, and must be a string"),
        ({"hidden_activation": ["sigmoid"] * 2}, "has 2 names, and there are 1 hidden layers"),
        ({"hidden_activation": []}, "has 0 names, and there are 1 hidden layers"),
        ({"output_activation": "sigmoyd"}, "output_activation is 'sigmoyd'.*did you mean 'sigmoid'"),
        ({"output_activation": ["sigmoid"]}, r"output_activation is \['sigmoid'\], and must be a string"),
        ({"loss": "half_square_error"}, "loss is .*did you mean 'half_squared_error'"),
        ({"loss": None}, "loss is None, and must be a string"),
        ({"bias": "trained"}, "bias is 'trained'.*did you mean 'trainable'"),
        ({"bias": True}, "bias is True, and must be a string"),
        ({"initializer": "glorot"}, "initializer is 'glorot'.*did you mean 'glorot_normal'"),
        ({"dtype": "flaot32"}, "dtype is 'flaot32'.*did you mean 'float32'"),
        ({"dtype": "float16"}, "dtype is 'float16'"),
        ({"dtype": int}, "dtype is 'int64'"),
        ({"dtype": object}, "dtype is 'object'"),
        ({"dtype": {"a": 1}}, "dtype is"),
        ({"dtype": ","}, "dtype is ','"),
        ({"dtype": [("a", float)]}, "dtype is 'void64'"),
        ({"seed": -1}, "seed is -1, and must be an integer of at least 0"),
        ({"seed": 1.5}, "seed is 1.5, and must be an integer"),
        ({"seed": "1"}, "seed is '1', and must be an integer"),
        ({"seed": True}, "seed is True, and must be an integer"),
        ({"seed": [1, 2]}, "seed is .*, and must be an integer"),
    ],
    ids=str,
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(OptionError, match=message):
        Network([2, 2, 2], **options)


@pytest.mark.parametrize("dtype", ["float32", np.float32, np.dtype("float32"), ">f4", "f"])
def test_dtype_may_be_given_as_numpy_takes_it(dtype):
    assert Network([2, 2], dtype=dtype).theta.dtype == np.dtype("float32")
    assert Network([2, 2], dtype=dtype).theta.dtype.isnative


@pytest.mark.parametrize("bytes_at_once", [7, 48, 10**6])
def test_what_is_not_finite_is_found_wherever_it_is(bytes_at_once):
    X = np.zeros((10, 2))
    X[8, 1], X[9, 0] = np.nan, np.inf
    message = r"^X\[8, 1\] is nan, and must be finite \(2 such values\)$"
    with pytest.raises(DataError, match=message):
        Network([2, 1]).predict(X)
    with pytest.raises(DataError, match=message):
        check_finite("X", X, np.dtype(np.float64), bytes_at_once)
    X[:] = 0
    X[9, 1] = 1e39
    message = r"^X\[9, 1\] is 1e\+39, and is too large for float32"
    with pytest.raises(DataError, match=message):
        Network([2, 1], dtype="float32").predict(X)
    with pytest.raises(DataError, match=message):
        check_finite("X", X, np.dtype(np.float32), bytes_at_once)
