"""Vectors of any number of lanes, whatever the processor's have."""

from fractions import Fraction

import numpy as np
import pytest
from numba import njit
from numba.extending import intrinsic
from numpy.testing import assert_array_equal

from fastbp import simd
from fastbp.processor import HAS_FMA, WIDTH
from fastbp.simd import Vec, address, emit_lane_sums, load, low, store

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


@intrinsic(prefer_literal=True)
def sums_of(typing, a, count, at):
    """Write the lane sums of `count` vectors (a literal) like `a`, that follow each other in memory."""
    vec, n = a, count.literal_value

    def generate(context, builder, signature, arguments):
        first, _, pointer = arguments
        size = context.get_value_type(count.literal_type)
        parts = [
            builder.load(
                builder.bitcast(builder.gep(pointer, [size(i * vec.lanes)]), first.type.as_pointer()),
                align=vec.element.bitwidth // 8,
            )
            for i in range(n)
        ]
        return emit_lane_sums(builder, parts)

    return Vec(vec.element, n)(vec, count, at), generate


@DTYPES
@pytest.mark.parametrize("lanes", [1, 2, 4, 8, 16])
def test_lane_sums_of_any_number_of_vectors(lanes, dtype):
    @njit
    def one(x, out):
        store(address(out), 0, sums_of(load(address(x), 0, lanes), 1, address(x)))

    @njit
    def two(x, out):
        store(address(out), 0, sums_of(load(address(x), 0, lanes), 2, address(x)))

    @njit
    def eight(x, out):
        store(address(out), 0, sums_of(load(address(x), 0, lanes), 8, address(x)))

    x = np.arange(8 * lanes, dtype=dtype) ** 2
    for n, run in ((1, one), (2, two), (8, eight)):
        out = np.full(n + 1, -7, dtype)
        run(x, out)
        assert_array_equal(out, [*x.reshape(8, lanes)[:n].sum(axis=1), -7])


def test_lanes_that_are_not_there_cannot_be_taken():
    @njit
    def run(x, out):
        store(address(out), 0, low(load(address(x), 0, 2), 4))

    with pytest.raises(IndexError, match="a vector of 2 lanes has none with the number 3"):
        run(np.ones(2), np.ones(4))


@DTYPES
def test_narrow_vectors_have_four_lanes_at_least(dtype):
    @njit
    def run(out):
        store(address(out), 0, simd.wide_splat_4(3.0, address(out)))

    out = np.zeros(40, dtype)
    run(out)
    assert np.count_nonzero(out) == max(4, simd.lanes(out.itemsize))


@DTYPES
def test_products_and_sums_call_no_library(dtype):
    """LLVM calls the C library for every lane where a processor lacks FMA: 12 us a step instead of 0.05."""

    @njit
    def run(x, out):
        v = load(address(x), 0, 4)
        store(address(out), 0, simd.fma_exact(v, v, simd.fma(v, v, line(v))))

    line = simd.polynomial((1.0, 2.0, 3.0), (1.0, 2.0, 3.0))
    x, out = np.array([-2, 0, 1, 3], dtype), np.zeros(4, dtype)
    run(x, out)
    assert_array_equal(out, 5 * x * x + 2 * x + 1)
    (code,) = run.inspect_llvm().values()
    assert ("llvm.fma" in code) == HAS_FMA


@DTYPES
def test_rest_of_a_product_is_exact_with_fma_and_without(dtype):
    @njit
    def rest(x, y, out):
        a, b = load(address(x), 0, 4), load(address(y), 0, 4)
        store(address(out), 0, simd.fma_exact(a, b, simd.splat(-0.0, a) - a * b))

    generator = np.random.default_rng(0)
    for _ in range(200):
        x, y = (generator.normal(size=4) * 10.0 ** generator.uniform(-5, 5, 4) for _ in range(2))
        x, y, out = x.astype(dtype), y.astype(dtype), np.zeros(4, dtype)
        rest(x, y, out)
        for a, b, product, r in zip(x.tolist(), y.tolist(), (x * y).tolist(), out.tolist(), strict=True):
            assert Fraction(a) * Fraction(b) == Fraction(product) + Fraction(r)


@njit
def transpose_first_columns(a, row, out, distance):
    simd.transpose_4_columns(address(a), 2, row, address(out), 1, distance)


@njit
def transpose_first_rows(a, row, out, distance):
    simd.transpose_4_rows(address(a), 2, row, address(out), 1, distance)


@DTYPES
def test_few_columns_and_few_rows_are_transposed(dtype):
    lanes = WIDTH // np.dtype(dtype).itemsize
    few, row = min(4, lanes), lanes + 3
    a, out = np.arange(2.0 + lanes * row, dtype=dtype), np.full((2, 1 + lanes * row), -7, dtype)
    block = a[2:].reshape(lanes, row)
    transpose_first_columns(a, row, out[0], row)
    transpose_first_rows(a, row, out[1], row)
    wanted = np.full((2, lanes, row), -7, dtype)
    wanted[0, :few, :lanes] = block[:, :few].T
    wanted[1, :, :few], wanted[1, :, few:lanes] = block[:few, :lanes].T, 0
    assert (out[:, 0] == -7).all()
    assert_array_equal(out[:, 1:].reshape(wanted.shape), wanted)


@njit
def small_numbers_in_order_and_not(numbers, places, x, out):
    like = simd.wide_load(address(x), 0)
    store(address(out), 0, simd.small_numbers(address(numbers), 1, like))
    store(address(out), simd.wide(address(x)), simd.small_numbers_at(address(numbers), address(places), like))


@DTYPES
def test_small_integers_become_floats(dtype):
    lanes = WIDTH // np.dtype(dtype).itemsize
    numbers = 2**31 - 2 ** np.arange(7, 27)[: lanes + 1]
    places = np.random.default_rng(0).permutation(lanes)
    out = np.zeros(2 * lanes, dtype)
    small_numbers_in_order_and_not(numbers, places, out.copy(), out)
    assert_array_equal(out, [*numbers[1:].astype(dtype), *numbers[places].astype(dtype)])
