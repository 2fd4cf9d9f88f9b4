"""Products against NumPy: every remainder of rows and vectors, any strides, and nothing written outside."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from fastbp._jit import kernel
from fastbp.kernels import product as products
from fastbp.kernels.gradient_product import (
    ASKED_BYTES,
    LEAST_VECTORS,
    SHORTEST_STRIP,
    asking_product,
    asks_ahead,
    in_strips,
    strip_numbers,
    strip_product,
)
from fastbp.kernels.product import ALIASING_BYTES, padded
from fastbp.kernels.row_product import dots, row_product
from fastbp.memory import aligned_zeros
from fastbp.simd import address, lanes, shifted

CANARY = 77.0
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


@kernel
def multiply(m, n, k, a, a_row, a_k, b, b_row, init, init_row, c, c_row, first):
    """Compute rows from `first` on, and then those before it."""
    for start, rows in ((first, m - first), (0, first)):
        products.product(
            rows,
            n,
            k,
            shifted(address(a), start * a_row),
            a_row,
            a_k,
            address(b),
            b_row,
            shifted(address(init), start * init_row),
            init_row,
            shifted(address(c), start * c_row),
            c_row,
        )


@kernel
def multiply_transposed(m, n, k, a, a_k, b, b_row, init, init_row, c, strips, n_parameters):
    a, b, init, c, strips = address(a), address(b), address(init), address(c), address(strips)
    soon = (init, init, init)
    if in_strips(n, k, c):
        strip_product(m, n, k, a, a_k, b, b_row, init, init_row, c, init_row, strips, soon)
    elif asks_ahead(n, k, n_parameters, c):
        asking_product(m, n, k, a, a_k, b, b_row, init, init_row, c, init_row, soon)
    else:
        products.product_of_columns(m, n, k, a, a_k, b, b_row, init, init_row, c, init_row)


@kernel
def multiply_and_sum(m, n, k, a, a_k, b, b_row, init, c, c_row, n_e, e, e_row, e_out):
    a, b, init, c, e = address(a), address(b), address(init), address(c), address(e)
    if not products.is_small(m, n, n_e, c):
        return False
    products.product_and_sum(m, n, k, a, a_k, b, b_row, init, c, c_row, n_e, e, e_row, address(e_out))
    return True


@kernel
def multiply_row(n, k, a, b, b_row, init, c):
    row_product(n, k, address(a), address(b), b_row, address(init), address(c))


@kernel
def multiply_dots(n_rows, k, a, b, b_row, init, c):
    dots(n_rows, k, address(a), address(b), b_row, address(init), address(c))


def up(n, dtype):
    step = lanes(np.dtype(dtype).itemsize)
    return -(-n // step) * step


def matrix(rows, columns, dtype, generator):
    """Return a flat matrix with room for whole vectors in every row, and a view of what counts."""
    row = padded(columns, np.dtype(dtype).itemsize)
    flat = aligned_zeros(rows * row, dtype)
    view = flat.reshape(rows, row)[:, :columns]
    view[:] = generator.uniform(-1, 1, view.shape)
    return flat, row, view


def tolerance(dtype, k):
    return 4 * (k + 2) * np.finfo(dtype).eps


@DTYPES
@settings(max_examples=60, deadline=None)
@given(m=st.integers(1, 40), n=st.integers(1, 120), k=st.integers(0, 40), data=st.data())
def test_product_is_numpys(dtype, m, n, k, data):
    generator = np.random.default_rng(m * 1000 + n * 10 + k)
    turned = data.draw(st.booleans())
    first = data.draw(st.integers(0, m))
    a, a_row, A = matrix(k, m, dtype, generator) if turned else matrix(m, k or 1, dtype, generator)
    A = A.T if turned else A[:, :k]
    b, b_row, B = matrix(k or 1, n, dtype, generator)
    init, init_row, C = matrix(m, n, dtype, generator)
    if data.draw(st.booleans()):
        init_row, C = 0, C[:1]
    c = np.full(m * (up(n, dtype) + 5) + 64, CANARY, dtype)
    strides = (1, a_row) if turned else (a_row, 1)
    multiply(m, up(n, dtype), k, a, *strides, b, b_row, init, init_row, c, up(n, dtype) + 5, first)
    rows = c[: m * (up(n, dtype) + 5)].reshape(m, -1)
    assert_allclose(rows[:, :n], C + A @ B[:k], atol=tolerance(dtype, k), rtol=0)
    assert (rows[:, up(n, dtype) :] == CANARY).all()
    assert (c[rows.size :] == CANARY).all()

    whole = c.copy()
    multiply(m, up(n, dtype), k, a, *strides, b, b_row, init, init_row, c, up(n, dtype) + 5, 0)
    assert_array_equal(c, whole)  # bits do not depend on how rows are divided


@DTYPES
@pytest.mark.parametrize(("m", "n", "k"), [(65, 200, 300), (130, 48, 513), (16, 1024, 64)])
def test_large_products_are_numpys(dtype, m, n, k):
    generator = np.random.default_rng(0)
    a, a_row, A = matrix(m, k, dtype, generator)
    b, b_row, B = matrix(k, n, dtype, generator)
    init, c_row, C = matrix(m, n, dtype, generator)
    expected = C + A @ B
    multiply(m, up(n, dtype), k, a, a_row, 1, b, b_row, init, c_row, init, c_row, 0)  # C += A B
    assert_allclose(C, expected, atol=tolerance(dtype, k), rtol=0)


@DTYPES
@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 300), k=st.integers(1, 60))
def test_row_product_is_numpys(dtype, n, k):
    generator = np.random.default_rng(n * 100 + k)
    a, _, A = matrix(1, k, dtype, generator)
    b, b_row, B = matrix(k, n, dtype, generator)
    init, _, C = matrix(1, n, dtype, generator)
    c = np.full(up(n, dtype) + 64, CANARY, dtype)
    multiply_row(up(n, dtype), k, a, b, b_row, init, c)
    assert_allclose(c[:n], (C + A @ B)[0], atol=tolerance(dtype, k), rtol=0)
    assert (c[up(n, dtype) :] == CANARY).all()


@DTYPES
@settings(max_examples=60, deadline=None)
@given(n_rows=st.integers(1, 40), k=st.integers(1, 200))
def test_dots_are_numpys(dtype, n_rows, k):
    generator = np.random.default_rng(n_rows * 1000 + k)
    a, _, A = matrix(1, k, dtype, generator)
    b, b_row, B = matrix(n_rows, k, dtype, generator)
    init = generator.uniform(-1, 1, n_rows).astype(dtype)
    c = np.full(n_rows + 64, CANARY, dtype)
    multiply_dots(n_rows, up(k, dtype), a, b, b_row, init, c)
    assert_allclose(c[:n_rows], init + (B @ A.T)[:, 0], atol=tolerance(dtype, k), rtol=0)
    assert (c[n_rows:] == CANARY).all()


@pytest.mark.parametrize("itemsize", [4, 8])
def test_rows_are_whole_vectors_apart_and_never_alias(itemsize):
    for n in range(1, 2000):
        row = padded(n, itemsize)
        assert n <= row <= n + 2 * max(4, lanes(itemsize))
        assert row % lanes(itemsize) == 0
        assert row * itemsize % ALIASING_BYTES


SIZES = [(21, 3, 70), (5, 32, 64), (24, 33, 63), (32, 32, 256), (19, 35, 300), (3, 34, 90), (128, 40, 520)]
"""Rows, vectors in a row, and terms: with and without strips, with rows beside them, in blocks."""

ASKING_SIZES = [(1, 5, 32), (3, 6, 33), (47, 7, 40), (48, 5, 128), (31, 8, 500), (48, 6, 31), (48, 4, 64)]
"""The same, for many parameters: the last two do not ask."""


@DTYPES
@pytest.mark.parametrize(
    "sizes", [*((*size, False) for size in SIZES), *((*size, True) for size in ASKING_SIZES)]
)
def test_a_transposed_product_has_the_bits_of_the_product_and_writes_nothing_else(dtype, sizes):
    m, vectors, k, asks = sizes
    generator = np.random.default_rng(m)
    n, itemsize = vectors * lanes(np.dtype(dtype).itemsize), np.dtype(dtype).itemsize
    a, a_row, _ = matrix(k, m, dtype, generator)
    b, b_row, _ = matrix(k, n, dtype, generator)
    init, init_row, _ = matrix(m, n, dtype, generator)
    expected, found = (np.full(m * init_row + 64, CANARY, dtype) for _ in range(2))
    n_strips = strip_numbers(m, n, k, itemsize)
    strips = aligned_zeros(n_strips + 64, dtype)
    strips[:] = CANARY
    multiply(m, n, k, a, 1, a_row, b, b_row, init, init_row, expected, init_row, 0)
    n_parameters = ASKED_BYTES // itemsize if asks else 0
    multiply_transposed(m, n, k, a, a_row, b, b_row, init, init_row, found, strips, n_parameters)
    assert_array_equal(found, expected)
    assert_array_equal(strips[n_strips:], CANARY)
    assert (n_strips > 0) == (vectors >= LEAST_VECTORS and k >= SHORTEST_STRIP)


@DTYPES
@pytest.mark.parametrize(("vectors", "of_e"), [(1, 1), (2, 1), (2, 2)])
@settings(max_examples=30, deadline=None)
@given(m=st.integers(1, products.MOST_SMALL_ROWS), k=st.integers(0, 40))
def test_a_product_and_a_sum_in_one_loop_have_the_bits_of_both(dtype, vectors, of_e, m, k):
    generator, step = np.random.default_rng(m * 100 + k), up(1, dtype)
    n, n_e = vectors * step, of_e * step
    a, a_row, _ = matrix(k or 1, m, dtype, generator)
    b, b_row, _ = matrix(k or 1, n, dtype, generator)
    e, e_row, E = matrix(k or 1, n_e, dtype, generator)
    init = generator.uniform(-1, 1, n).astype(dtype)
    wanted, found = np.full((2, m * (n + 5) + 64), CANARY, dtype)
    multiply(m, n, k, a, 1, a_row, b, b_row, init, 0, wanted, n + 5, 0)
    total = np.full(n_e + 64, CANARY, dtype)
    assert multiply_and_sum(m, n, k, a, a_row, b, b_row, init, found, n + 5, n_e, e, e_row, total)
    assert_array_equal(found, wanted)
    assert_array_equal(total[:n_e], sum(E[:k], start=init[:n_e]))
    assert (total[n_e:] == CANARY).all()


@DTYPES
def test_larger_products_and_sums_take_a_loop_each(dtype):
    nothing, step = np.zeros(1, dtype), up(1, dtype)
    rows = products.MOST_SMALL_ROWS
    for m, n, n_e in ((rows + 1, step, step), (rows, 3 * step, step), (rows, step, 2 * step), (rows, 0, 0)):
        assert not multiply_and_sum(m, n, 0, *[nothing, 0] * 2, *[nothing] * 2, 0, n_e, nothing, 0, nothing)
