"""Vectors of any number of lanes, whatever the processor's have."""

import numpy as np
import pytest
from numba import njit
from numba.extending import intrinsic
from numpy.testing import assert_array_equal

from fastbp import simd
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
