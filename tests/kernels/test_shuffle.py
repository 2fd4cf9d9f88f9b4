"""Orders of samples as NumPy's generator draws them."""

import ctypes

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fastbp.kernels.shuffle import shuffle_as_numpy


@pytest.mark.parametrize("generator", [np.random.MT19937, np.random.PCG64], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 9, 150, 1025, 70_000])
def test_orders_and_generator_are_as_after_shuffles_by_numpy(n, generator):
    bits, theirs = generator(7), np.random.RandomState(generator(7))
    order, expected, orders = np.arange(n), np.arange(n), np.empty((3, n), np.int64)
    function = ctypes.cast(bits.ctypes.next_uint32, ctypes.c_void_p).value
    shuffle_as_numpy(function, bits.ctypes.state_address, order, orders)
    for row in orders:
        theirs.shuffle(expected)
        assert_array_equal(row, expected)
    assert_array_equal(order, expected)
    assert np.random.RandomState(bits).randint(2**31) == theirs.randint(2**31)
