"""Products without the terms of inputs that are 0: the bits are those of the whole product."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import fastbp
from fastbp._jit import kernel
from fastbp.checks import check_data
from fastbp.engine import layout
from fastbp.engine.kernel_options import KernelOptions
from fastbp.engine.layered_run import LayeredRun
from fastbp.engine.objective import Objective
from fastbp.kernels import nonzero, product
from fastbp.memory import aligned_zeros
from fastbp.simd import address, lanes
from tests.kernels.tasks import Task, assert_same_training
from tests.kernels.test_product import CANARY, matrix, up

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


@kernel
def marked(x, distance, rows, n, bits, row_bytes, columns):
    nonzero.mark_rows(address(x), distance, rows, n, address(bits), row_bytes)
    nonzero.mark_columns(address(bits), row_bytes, rows, address(columns))


@kernel
def multiplied(m, n, k, a, a_row, a_k, bits, bits_row, bits_k, b, b_row, init, init_row, c, whole, c_row):
    a, b, init, bits = address(a), address(b), address(init), address(bits)
    nonzero.nonzero_product(
        m, n, k, a, a_row, a_k, bits, bits_row, bits_k, b, b_row, init, init_row, address(c), c_row
    )
    product.product(m, n, k, a, a_row, a_k, b, b_row, init, init_row, address(whole), c_row)


def bits_of(x, distance, rows, n):
    """Return the bits of the rows, those of the columns, and the bytes of a row."""
    row_bytes = up_to_words(n) // 8
    bits = np.full((rows + nonzero.ROW_UNIT) * row_bytes, 255, np.uint8)
    columns = np.full(up_to_words(rows) * row_bytes, 255, np.uint8)
    marked(x, distance, rows, n, bits, row_bytes, columns)
    return bits, row_bytes, columns


def up_to_words(n):
    return -(-n // nonzero.BLOCK) * nonzero.BLOCK


def with_zeros(view, share, generator):
    view[generator.random(view.shape) < share] = 0


@DTYPES
@settings(max_examples=60, deadline=None)
@given(rows=st.integers(1, 80), n=st.integers(1, 200), share=st.sampled_from([0.0, 0.5, 0.9, 1.0]))
def test_bits_say_which_numbers_are_not_0(dtype, rows, n, share):
    generator = np.random.default_rng(rows * 1000 + n)
    x, distance, X = matrix(rows, n, dtype, generator)
    with_zeros(X, share, generator)
    X[0, 0], X[-1, -1] = np.nan, -0.0
    bits, row_bytes, columns = bits_of(x, distance, rows, n)
    is_set = np.unpackbits(bits.reshape(-1, row_bytes), axis=1, bitorder="little")
    assert_array_equal(is_set[:rows, :n], X != 0)
    is_set = np.unpackbits(columns.reshape(-1, 8 * row_bytes), axis=0, bitorder="little")
    assert_array_equal(is_set[:rows, :n], X != 0)


@DTYPES
@settings(max_examples=150, deadline=None)
@given(m=st.integers(1, 70), vectors=st.integers(4, 30), k=st.integers(1, 150), data=st.data())
def test_a_product_without_zeros_has_the_bits_of_the_whole(dtype, m, vectors, k, data):
    generator = np.random.default_rng(m * 1000 + vectors * 10 + k)
    turned, share = data.draw(st.booleans()), data.draw(st.sampled_from([0.0, 0.3, 0.5, 0.9, 1.0]))
    n = vectors * lanes(np.dtype(dtype).itemsize)
    x, distance, X = matrix(k, m, dtype, generator) if turned else matrix(m, k, dtype, generator)
    with_zeros(X, share, generator)
    bits, row_bytes, columns = bits_of(x, distance, *X.shape)
    of_a = (columns, 1, 8 * row_bytes) if turned else (bits, row_bytes, 1)
    strides = (1, distance) if turned else (distance, 1)
    b, b_row, _ = matrix(k, n, dtype, generator)
    init, init_row, _ = matrix(m, n, dtype, generator)
    c_row = up(n, dtype) + 5
    c, whole = (np.full(m * c_row + 64, CANARY, dtype) for _ in range(2))
    init_row = data.draw(st.sampled_from([0, init_row]))
    multiplied(m, n, k, x, *strides, *of_a, b, b_row, init, init_row, c, whole, c_row)
    assert_array_equal(c, whole)


# --- training --------------------------------------------------------------------------------------------

WIDE = (70, 65, 3)
"""Enough inputs and neurons for every type and width."""


def data_of(n_samples, share, *, n_inputs=WIDE[0], dtype="float64"):
    generator = np.random.default_rng(5)
    X = generator.integers(1, 200, (n_samples, n_inputs)).astype(dtype)
    with_zeros(X, share, generator)
    return X, generator.integers(0, WIDE[-1], n_samples)


def network_of(dtype, sizes=WIDE):
    return fastbp.Network(
        sizes,
        hidden_activation="relu",
        output_activation="softmax",
        loss="categorical_cross_entropy",
        dtype=dtype,
        seed=0,
    )


def trained_run(dtype, X, labels, **options):
    network = network_of(dtype)
    X, labels = check_data(network.specification, X, labels)
    run = LayeredRun(network.specification, network.theta, X, labels, KernelOptions(len(X), **options))
    while run.step < options["steps"]:
        run.advance(options["steps"])
    return run


@pytest.fixture
def whole(monkeypatch):
    """Return a function after which no job leaves out zeros."""

    def leave_nothing_out():
        monkeypatch.setattr(layout, "bytes_of_bits", lambda *_: 0)
        layout._make_layout.cache_clear()

    layout._make_layout.cache_clear()
    yield leave_nothing_out
    layout._make_layout.cache_clear()


KINDS = {
    "shuffled": {"batch_size": 32},
    "in place": {"batch_size": 40, "shuffle": False},
    "a rest": {"batch_size": 90, "shuffle": False},
    "full": {"batch_size": 200},
    "sequential": {"batch_size": 50, "update": "sequential", "threads": 1},
    "clipped": {"batch_size": 64, "gradient_clip_norm": 0.1},
    "dropout": {"batch_size": 64, "dropout": 0.3},
    "l2": {"batch_size": 64, "l2": 0.01},
}


@DTYPES
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("of_type", ["own", "uint8"])
def test_training_that_leaves_out_zeros_has_the_bits_of_training_that_does_not(dtype, kind, of_type, whole):
    X, labels = data_of(200, 0.6, dtype=dtype if of_type == "own" else "uint8")
    options = {"steps": 7, "seed": 1, "optimizer": fastbp.Adam(0.001), "threads": 2} | KINDS[kind]
    run = trained_run(dtype, X, labels, **options)
    assert run.job["skips_zeros"]
    whole()
    all_terms = trained_run(dtype, X, labels, **options)
    assert not all_terms.job["skips_zeros"]
    assert_array_equal(run.theta, all_terms.theta)
    assert_array_equal(run.losses, all_terms.losses)


@DTYPES
def test_any_number_of_threads_gives_the_same_bits_where_zeros_are_left_out(dtype, monkeypatch):
    monkeypatch.setenv("FASTBP_OVERSUBSCRIBE", "1")
    X, labels = data_of(300, 0.7, dtype=dtype)
    options = {"steps": 5, "seed": 1, "optimizer": fastbp.Adam(0.001), "batch_size": 130}
    one, *others = (trained_run(dtype, X, labels, threads=n, **options).theta for n in (1, 2, 3))
    for theta in others:
        assert_array_equal(theta, one)


@DTYPES
def test_predictions_losses_and_gradients_have_the_bits_of_those_with_all_terms(dtype, whole):
    network = network_of(dtype)
    X, labels = data_of(150, 0.8, dtype=dtype)

    def results():
        objective = Objective(network.specification, *check_data(network.specification, X, labels))
        value, gradient = objective.value_and_gradient(network.theta)
        return network.predict(X), network.loss(X, labels), value, gradient

    left_out = results()
    whole()
    for found, expected in zip(left_out, results(), strict=True):
        assert_array_equal(found, expected)


def test_few_zeros_few_inputs_and_few_neurons_are_multiplied_as_ever():
    X, labels = data_of(64, 0.1)
    options = {"steps": 1, "seed": 1, "batch_size": 16, "optimizer": fastbp.SGD()}
    assert not trained_run("float64", X, labels, **options).job["skips_zeros"]
    for sizes in ((nonzero.FEWEST_INPUTS - 1, 100, 3), (100, 3 * lanes(8), 3)):
        network = network_of("float64", sizes)
        made = layout.make_layout(
            network.specification, layout.JobOptions(layout.fields.TRAIN, 64, batch_size=8)
        )
        assert made["row_bytes"] == 0


@pytest.mark.parametrize("share", [0.5, 0.9])
@DTYPES
def test_training_that_leaves_out_zeros_follows_the_reference(dtype, share):
    task = Task((40, 65, 2), dtype=dtype, n_samples=60, zeros=share)
    tolerance = {"float32": 2e-4, "float64": 1e-9}[dtype]
    for batch_size in (10, 60):
        assert_same_training(task, steps=5, batch_size=batch_size, tolerance=tolerance)


def test_samples_without_any_number_that_is_not_0_train_the_biases():
    X = aligned_zeros(64 * WIDE[0], np.float64).reshape(64, WIDE[0])
    run = trained_run("float64", X, np.arange(64) % 3, steps=3, batch_size=16, optimizer=fastbp.Adam())
    network = network_of("float64")
    before = network.weights[0].copy()
    network.theta[:] = run.theta
    assert_array_equal(network.weights[0], before)
    assert np.isfinite(run.theta).all()
