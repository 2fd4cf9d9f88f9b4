"""Orders and numbers as NumPy's generator draws them."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fastbp.kernels.as_numpy import draw_as_numpy, shuffle_as_numpy
from fastbp.memory import address_in


@pytest.mark.parametrize("generator", [np.random.MT19937, np.random.PCG64], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 9, 150, 1025, 70_000])
def test_orders_and_generator_are_as_after_shuffles_by_numpy(n, generator):
    bits, theirs = generator(7), np.random.RandomState(generator(7))
    order, expected, orders = np.arange(n), np.arange(n), np.empty((3, n), np.int64)
    shuffle_as_numpy(address_in(bits.ctypes.next_uint32), bits.ctypes.state_address, order, orders)
    for row in orders:
        theirs.shuffle(expected)
        assert_array_equal(row, expected)
    assert_array_equal(order, expected)
    assert np.random.RandomState(bits).randint(2**31) == theirs.randint(2**31)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("generator", [np.random.MT19937, np.random.PCG64], ids=lambda kind: kind.__name__)
def test_numbers_and_generator_are_as_after_draws_by_numpy(generator, dtype):
    bits, theirs = generator(7), np.random.RandomState(generator(7))
    counts, bounds, theta = np.array([50, 1, 33]), np.array([0.7, 3.0, 1e-3]), np.empty(84, dtype)
    draw_as_numpy(address_in(bits.ctypes.next_double), bits.ctypes.state_address, counts, bounds, theta)
    expected = [theirs.uniform(-bound, bound, n) for n, bound in zip(counts, bounds, strict=True)]
    assert_array_equal(theta, np.concatenate(expected).astype(dtype))
    assert np.random.RandomState(bits).randint(2**31) == theirs.randint(2**31)
