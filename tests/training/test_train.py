"""`fastbp.train`: what it refuses, what it takes, and what it leaves alone."""

import re
from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse

import fastbp
from fastbp import SGD, DataError, Network, OptionError, ShapeError
from fastbp.kernels import fused222 as kernels

X = np.array([[0.05, 0.10], [0.90, 0.20], [0.30, 0.80]])
Y = np.array([[0.01, 0.99], [0.80, 0.30], [0.25, 0.60]])
OPTIONS = {"steps": 50, "batch_size": 1, "optimizer": SGD(learning_rate=0.5), "seed": 1}


def trained(X, Y, *, dtype="float64", **options):
    network = Network([2, 2, 2], dtype=dtype, seed=0)
    fastbp.train(network, X, Y, **(OPTIONS | options))
    return network.theta.tobytes()


def bits(data):
    return data.tobytes() if isinstance(data, np.ndarray) else repr(data)


def refused(error, message, X=X, Y=Y, network=None, **options):
    """Check that `train` raises and changes nothing; no option of `options` is required."""
    network = network or Network([2, 2, 2], seed=0)
    before = network.theta.tobytes(), bits(X), bits(Y)
    with pytest.raises(error, match=message):
        fastbp.train(network, X, Y, **(OPTIONS | options))
    assert (network.theta.tobytes(), bits(X), bits(Y)) == before


# --- bad data ----------------------------------------------------------------------------------------


class Unreadable:
    def __repr__(self):
        return "Unreadable()"


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ([0.1, 0.2], ShapeError, r"has shape \(2,\), and must be 2-D: \(n_samples, n_(features|outputs)\)"),
        (0.5, ShapeError, r"has shape \(\), and must be 2-D"),
        ([], ShapeError, r"has shape \(0,\), and must be 2-D"),
        ([[]], ShapeError, "has 0 (features|outputs), and this network takes 2"),
        (np.zeros((3, 2, 1)), ShapeError, r"has shape \(3, 2, 1\)"),
        (np.zeros((3, 3)), ShapeError, "has 3 (features|outputs), and this network takes 2"),
        (np.zeros((2, 3)), ShapeError, "has 3 (features|outputs), and this network takes 2"),
        ([[1, 2], [3]], ShapeError, "is not rectangular"),
        ([[1, 2], 3], ShapeError, "is not rectangular"),
        (np.empty((0, 2)), DataError, "is empty: it must have at least one sample"),
        ([["a", "b"]] * 3, DataError, "has dtype <U1, and must hold real numbers"),
        ([["1", "2"]] * 3, DataError, "has dtype <U1, and must hold real numbers"),
        ("abc", DataError, "has dtype <U3, and must hold real numbers"),
        (b"abc", DataError, r"has dtype \|S3, and must hold real numbers"),
        ([[1, None]] * 3, DataError, "has dtype object, and must hold real numbers"),
        (None, DataError, "has dtype object, and must hold real numbers"),
        ({"a": [1, 2]}, DataError, "has dtype object, and must hold real numbers"),
        (Unreadable(), DataError, "has dtype object, and must hold real numbers"),
        ([[10**30, 1]] * 3, DataError, "has dtype object, and must hold real numbers"),
        ([[1j, 2]] * 3, DataError, "has dtype complex128, and must hold real numbers"),
        (np.zeros((3, 2), "M8[D]"), DataError, "has dtype datetime64.*, and must hold real numbers"),
        (np.zeros((3, 2), "m8[s]"), DataError, "has dtype timedelta64.*, and must hold real numbers"),
        (np.zeros((3, 2), [("a", float)]), DataError, "and must hold real numbers"),
        (scipy.sparse.csr_matrix(X), DataError, r"is a sparse matrix; pass a dense one: [XY].toarray\(\)"),
        (scipy.sparse.coo_array(X), DataError, r"is a sparse matrix; pass a dense one: [XY].toarray\(\)"),
        (np.ma.masked_array(X, X > 0.8), DataError, "has masked values"),
        ([[0, 1], [2, np.nan], [np.nan, 0]], DataError, r"\[1, 1\] is nan, and must be finite \(2 such"),
        ([[0, 1], [-np.inf, 0], [0, 0]], DataError, r"\[1, 0\] is -inf, and must be finite \(1 such"),
        (
            np.full((3, 2), np.longdouble("1e4000")),
            DataError,
            r"\[0, 0\] is .*, and is too large for float64",
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("argument", ["X", "Y"])
def test_data_that_cannot_be_trained_on_are_refused(argument, data, error, message):
    refused(error, f"^{argument} ?.*{message}", **{argument: data})


def test_number_of_samples_must_agree():
    refused(ShapeError, "^X has 3 samples and Y has 2; they must have as many$", Y=Y[:2])


@pytest.mark.parametrize("argument", ["X", "Y"])
@pytest.mark.parametrize("large", [1e39, -3.5e38, 1e308])
def test_too_large_for_float32_is_refused(argument, large):
    data = [[0, 0], [0, large], [0, 0]]
    network = Network([2, 2, 2], dtype="float32", seed=0)
    message = rf"^{argument}\[1, 1\] is .*, and is too large for float32 \(1 such values\)$"
    refused(DataError, message, network=network, **{argument: data})


# --- bad options -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps is 0, and must be an integer of at least 1"),
        ({"steps": -1}, "steps is -1, and must be an integer of at least 1"),
        ({"steps": 1.0}, "steps is 1.0, and must be an integer of at least 1"),
        ({"steps": True}, "steps is True, and must be an integer of at least 1"),
        ({"steps": "5"}, "steps is '5', and must be an integer of at least 1"),
        ({"steps": np.nan}, "steps is nan, and must be an integer of at least 1"),
        ({"steps": 2**62 + 1}, "the run would take .* steps, and may take at most"),
        ({"steps": None, "epochs": 2**62}, "the run would take .* steps, and may take at most"),
        ({"steps": None, "epochs": 10**40}, "the run would take .* steps, and may take at most"),
        ({"steps": None, "epochs": 0}, "epochs is 0, and must be an integer of at least 1"),
        ({"steps": None, "epochs": 2.5}, "epochs is 2.5, and must be an integer of at least 1"),
        ({"steps": None, "epochs": False}, "epochs is False, and must be an integer of at least 1"),
        ({"steps": None}, "give exactly one of epochs and steps; epochs is None and steps is None"),
        ({"epochs": 3}, "give exactly one of epochs and steps; epochs is 3 and steps is 50"),
        ({"batch_size": 0}, "batch_size is 0, and must be an integer of at least 1"),
        ({"batch_size": -1}, "batch_size is -1, and must be an integer of at least 1"),
        ({"batch_size": 1.0}, "batch_size is 1.0, and must be an integer of at least 1"),
        ({"batch_size": True}, "batch_size is True, and must be an integer of at least 1"),
        ({"optimizer": "sgd"}, "optimizer is 'sgd', and must be one of fastbp's"),
        ({"optimizer": SGD}, "optimizer is <class .*, and must be one of fastbp's"),
        ({"optimizer": None}, "optimizer is None, and must be one of fastbp's"),
        ({"optimizer": 0.5}, "optimizer is 0.5, and must be one of fastbp's"),
        ({"update": "sequental"}, "update is 'sequental'.*did you mean 'sequential'"),
        ({"update": None}, "update is None, and must be a string"),
        ({"math": "exakt"}, "math is 'exakt'.*did you mean 'exact'"),
        ({"math": True}, "math is True, and must be a string"),
        ({"kernel": "fused22"}, "kernel is 'fused22'.*did you mean 'fused222'"),
        ({"shuffle": 1}, "shuffle is 1, and may be 'blocks', True, False"),
        ({"shuffle": "no"}, "shuffle is 'no', and may be 'blocks', True, False"),
        ({"seed": -1}, "seed is -1, and must be an integer of at least 0"),
        ({"seed": 0.5}, "seed is 0.5, and must be an integer of at least 0"),
        ({"seed": "1"}, "seed is '1', and must be an integer of at least 0"),
        ({"seed": True}, "seed is True, and must be an integer of at least 0"),
        ({"seed": [1]}, r"seed is \[1\], and must be an integer of at least 0"),
    ],
    ids=str,
)
def test_bad_options_are_refused(options, message):
    refused(OptionError, message, **options)


@pytest.mark.parametrize("rate", [-0.1, np.nan, np.inf, -np.inf, "0.1", True, None, 1j, [0.1]])
def test_bad_learning_rates_are_refused(rate):
    with pytest.raises(OptionError, match=f"learning_rate is {re.escape(repr(rate))}"):
        SGD(learning_rate=rate)


def test_learning_rate_that_float32_cannot_hold_is_refused():
    network = Network([2, 2, 2], dtype="float32", seed=0)
    message = r"learning_rate is 1e\+300, and is too large for float32"
    refused(OptionError, message, network=network, optimizer=SGD(learning_rate=1e300))


@pytest.mark.parametrize("network", [None, "network", Network, X], ids=["None", "str", "class", "array"])
def test_other_than_a_network_is_refused(network):
    with pytest.raises(OptionError, match=r"(?s)^network is .*, and must be a fastbp.Network$"):
        fastbp.train(network, X, Y, **OPTIONS)


def test_unknown_option_is_a_type_error():
    refused(TypeError, r"train\(\) got an unexpected keyword argument 'learning_rat'", learning_rat=0.1)


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        (np.ones(2), ShapeError, r"sample_weight has shape \(2,\), and must be \(3,\)"),
        (["a", "b", "c"], DataError, "sample_weight has dtype <U1, and must hold real numbers"),
        ([1, np.nan, 1], DataError, r"sample_weight\[1\] is nan, and must be a finite float64"),
        ([1, 1, -1], DataError, r"sample_weight\[2\] is -1, and must be a finite float64 of at least 0"),
        ([1, 1, 1e-310], DataError, r"sample_weight\[2\] is 1e-310, and the largest is 1.0"),
        ([0, 0, 0], DataError, "sample_weight is 0 for every sample"),
    ],
    ids=str,
)
def test_bad_sample_weights_are_refused(weights, error, message):
    refused(error, message, network=Network([2, 2, 2], dtype="float32", seed=0), sample_weight=weights)


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (np.ma.masked_array([0, 1, 1], [0, 0, 1]), DataError, "Y has masked values"),
        ([[1, 0], [1]], ShapeError, "Y is not rectangular"),
        ([0, 1], ShapeError, "X has 3 samples and Y has 2"),
        ([0, 1, 2], DataError, r"Y\[2\] is 2, and class labels must be integers from 0 to 1"),
    ],
    ids=str,
)
def test_bad_labels_are_refused(labels, error, message):
    options = {"output_activation": "softmax", "loss": "categorical_cross_entropy", "seed": 0}
    refused(error, message, Y=labels, network=Network([2, 2, 2], **options))


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2", True])
def test_bad_numbers_of_threads_are_refused(threads):
    refused(OptionError, "threads is .*, and must be an integer of at least 1", threads=threads)


def test_online_kernel_takes_one_sample_a_step_by_plain_sgd():
    refused(
        OptionError, "kernel is 'online', and that takes one sample a step", kernel="online", batch_size=2
    )


# --- odd data ----------------------------------------------------------------------------------------


def read_only(array):
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def every_second_row(array):
    return np.repeat(array, 2, axis=0)[::2]


def inner_columns(array):
    return np.pad(array, 1)[1:-1, 1:-1]


def backwards_in_memory(array):
    return np.flip(np.flip(array).copy())


def unaligned(array):
    buffer = np.zeros(array.nbytes + 1, np.uint8)
    view = buffer[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    assert not view.flags.aligned
    return view


class Frame:
    """What a data frame shows to NumPy."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return np.array(self.array, dtype)

    def tobytes(self):
        return self.array.tobytes()


ODD = {
    "read-only": read_only,
    "Fortran order": np.asfortranarray,
    "every second row": every_second_row,
    "inner columns": inner_columns,
    "negative strides": backwards_in_memory,
    "big-endian": lambda array: array.astype(">f8"),
    "unaligned": unaligned,
    "list": np.ndarray.tolist,
    "tuple of arrays": tuple,
    "array of a wider type": lambda array: array.astype(np.longdouble),
    "masked array without masked values": np.ma.masked_array,
    "data frame": Frame,
}


@pytest.mark.parametrize("math", ["fast", "exact"])
@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_odd_arrays_give_the_same_bits_and_stay_as_they_are(odd, math):
    odd_X, odd_Y = odd(X), odd(Y)
    before = bits(odd_X), bits(odd_Y)
    assert trained(odd_X, odd_Y, math=math) == trained(X, Y, math=math)
    assert (bits(odd_X), bits(odd_Y)) == before
    kernel = kernels.fused222_guess if math == "fast" else kernels.fused222_exact
    assert sum(signature[2].dtype.name == "float64" for signature in kernel.signatures) == 1


@pytest.mark.parametrize("kind", ["<i8", ">i8", "u2", "f4"])
@pytest.mark.parametrize("odd", [read_only, every_second_row, backwards_in_memory, unaligned, list])
def test_odd_labels_give_the_same_bits(odd, kind):
    labels = np.array([1, 0, 1])
    thetas = []
    for Y in (labels, odd(labels.astype(kind))):
        options = {"output_activation": "softmax", "loss": "categorical_cross_entropy", "seed": 0}
        network = Network([2, 2, 2], **options)
        fastbp.train(network, X, Y, **OPTIONS)
        thetas.append(network.theta.tobytes())
    assert thetas[0] == thetas[1]


def test_arrays_are_not_written_to():
    before = bits(X), bits(Y)
    trained(X, Y)
    assert (bits(X), bits(Y)) == before


@pytest.mark.parametrize("kind", [bool, np.int8, np.uint64, np.float16, object, int])
def test_whole_numbers_of_any_type_are_numbers(kind):
    ones = np.array([[0, 1], [1, 1], [1, 0]])
    data = ones.astype(kind)
    if kind is object:
        refused(DataError, "X has dtype object", X=data)
    else:
        assert trained(data, data) == trained(ones.astype(float), ones.astype(float))
        assert trained(data.tolist(), data.tolist()) == trained(ones.astype(float), ones.astype(float))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("given", ["float64", "float32"])
def test_data_are_converted_to_the_networks_dtype(dtype, given):
    expected = trained(X.astype(given).astype(dtype), Y.astype(given).astype(dtype), dtype=dtype)
    assert trained(X.astype(given), Y.astype(given), dtype=dtype) == expected


@pytest.mark.parametrize("mode", ["r", "c", "r+"])
def test_memory_mapped_files_are_trained_on(mode, tmp_path):
    np.save(tmp_path / "X.npy", X)
    stored = (tmp_path / "X.npy").read_bytes()
    mapped = np.load(tmp_path / "X.npy", mmap_mode=mode)
    assert trained(mapped, Y) == trained(X, Y)
    assert (tmp_path / "X.npy").read_bytes() == stored


def test_broadcast_arrays_are_trained_on():
    row = np.array([0.3, 0.7])
    assert trained(np.broadcast_to(row, (3, 2)), Y) == trained(np.tile(row, (3, 1)), Y)
    assert trained(np.broadcast_to(0.5, (3, 2)), Y) == trained(np.full((3, 2), 0.5), Y)


def test_inputs_may_be_the_targets():
    assert trained(Y, Y) == trained(Y.copy(), Y.copy())


@pytest.mark.parametrize("math", ["fast", "exact"])
def test_data_may_be_a_view_of_the_parameters(math):
    network = Network([2, 2, 2], seed=0)
    X, Y = network.theta.reshape(6, 2)[:3], network.theta.reshape(6, 2)[3:]
    expected = trained(X.copy(), Y.copy(), math=math)
    result = fastbp.train(network, X, Y, **(OPTIONS | {"math": math}))
    assert network.theta.tobytes() == expected
    assert result.n_steps == 50


@pytest.mark.parametrize(
    "options",
    [
        {"steps": np.int32(50)},
        {"batch_size": np.uint8(1)},
        {"seed": np.int64(1)},
        {"shuffle": np.True_},
        {"optimizer": SGD(np.float32(0.5))},
        {"optimizer": SGD(Fraction(1, 2))},
        {"kernel": "fused222"},
    ],
    ids=str,
)
def test_numbers_of_any_type_are_numbers(options):
    assert trained(X, Y, **options) == trained(X, Y)


@pytest.mark.parametrize("batch_size", [None, 1, 7])
def test_one_sample_is_a_full_batch(batch_size):
    assert trained(X[:1], Y[:1], batch_size=batch_size) == trained(X[:1], Y[:1])


@pytest.mark.parametrize("math", ["fast", "exact"])
def test_learning_rate_zero_changes_nothing(math):
    before = Network([2, 2, 2], seed=0).theta.tobytes()
    assert trained(X, Y, optimizer=SGD(learning_rate=0), math=math) == before
    assert trained(X, Y, optimizer=SGD(learning_rate=-0.0), math=math) == before


@pytest.mark.parametrize("update", ["simultaneous", "sequential"])
@pytest.mark.parametrize("math", ["fast", "exact"])
def test_fixed_biases_stay(math, update):
    network = Network([2, 2, 2], bias="fixed", seed=0)
    network.biases[0], network.biases[1] = [0.1, 0.2], [0.3, 0.4]
    fastbp.train(network, X, Y, **(OPTIONS | {"math": math, "update": update}))
    assert [b.tolist() for b in network.biases] == [[0.1, 0.2], [0.3, 0.4]]


@pytest.mark.parametrize("loss", ["mean_squared_error", "binary_cross_entropy"])
def test_targets_of_one_output_may_have_one_dimension(loss):
    X, y = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 2
    one, two = (Network([3, 4, 1], loss=loss, seed=0) for _ in range(2))
    options = {"epochs": 3, "batch_size": 4, "optimizer": fastbp.Adam(), "seed": 0}
    fastbp.train(one, X, y, validation_data=(X, y), **options)
    fastbp.train(two, X, y[:, None], **options)
    assert one.theta.tobytes() == two.theta.tobytes()
    assert one.loss(X, y.astype(float)) == one.loss(X, y[:, None])


# --- smoothed labels ---------------------------------------------------------------------------------

LABELS = np.array([2, 0, 1, 1, 2])
INPUTS = np.random.default_rng(5).normal(size=(5, 4))


def classifier(output="softmax", loss="categorical_cross_entropy", dtype="float64"):
    return Network([4, 5, 3], output_activation=output, loss=loss, dtype=dtype, seed=0)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("kind", "of_class", "of_others"),
    [
        (("softmax", "categorical_cross_entropy"), 0.8, 0.1),
        (("sigmoid", "binary_cross_entropy"), 0.85, 0.15),
    ],
    ids=["labels of one target", "labels of several"],
)
def test_smoothed_labels_are_targets_between(kind, of_class, of_others, dtype):
    one_hot = np.eye(3)[LABELS]
    between = np.where(one_hot == 1, of_class, of_others)
    options = {"epochs": 20, "optimizer": fastbp.Adam(0.01), "seed": 0}
    expected = classifier(*kind, dtype)
    result = fastbp.train(expected, INPUTS, between, **options)
    for targets in (one_hot, LABELS) if kind[0] == "softmax" else (one_hot,):
        for _ in range(2):  # a second short run may use what the first prepared
            network = classifier(*kind, dtype)
            found = fastbp.train(network, INPUTS, targets, label_smoothing=0.3, **options)
            np.testing.assert_allclose(
                network.theta, expected.theta, rtol=1e-5 if dtype == "float32" else 1e-12
            )
            assert found.loss == pytest.approx(result.loss, rel=1e-6)


def test_metrics_and_validation_have_the_labels_that_are_given():
    options = {"epochs": 3, "optimizer": SGD(), "seed": 0, "metrics": ["accuracy"], "label_smoothing": 0.4}
    network = classifier()
    found = fastbp.train(network, INPUTS, LABELS, **options).history
    assert found["accuracy"][-1] == np.mean(network.predict(INPUTS).argmax(axis=1) == LABELS)
    found = fastbp.train(network, INPUTS, LABELS, validation_data=(INPUTS, LABELS), **options).history
    assert found["validation_loss"][-1] == pytest.approx(network.loss(INPUTS, LABELS), rel=1e-14)


def test_only_labels_can_be_smoothed():
    refused(OptionError, "label_smoothing is for classes.*not 'half_squared_error'", label_smoothing=0.1)
    refused(OptionError, "label_smoothing is 1.0, and must be", label_smoothing=1.0)


def test_a_run_goes_on_with_its_own_smoothing_only(tmp_path):
    options = {"optimizer": SGD(), "checkpoint": fastbp.Checkpoint(tmp_path), "seed": 0}
    fastbp.train(classifier(), INPUTS, LABELS, label_smoothing=0.1, epochs=4, **options)
    with pytest.raises(fastbp.CheckpointError, match="label_smoothing"):
        fastbp.train(classifier(), INPUTS, LABELS, epochs=8, **options)
    result = fastbp.train(classifier(), INPUTS, LABELS, label_smoothing=0.1, epochs=8, **options)
    assert result.n_steps == 8
