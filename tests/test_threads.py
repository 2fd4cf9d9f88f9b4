"""`in_threads`: the error of the first item is raised, and NumPy says nothing."""

import time
import warnings

import numpy as np
import pytest

from fastbp.data.threads import in_threads


@pytest.mark.parametrize("worthwhile", [False, True])
def test_the_error_is_that_of_the_first_item_that_has_one(worthwhile):
    def late_then_early(item):
        if item == 3:
            time.sleep(0.02)
        if item >= 3:
            raise ValueError(f"item {item}")

    with pytest.raises(ValueError, match="item 3"):
        in_threads(late_then_early, range(8), worthwhile)


def test_every_item_is_done_once_and_numpy_does_not_warn():
    out = np.zeros(1000)

    def divide(item):
        out[item] += np.divide(1.0, np.float64(item))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        in_threads(divide, range(1000), True)
    np.testing.assert_array_equal(out, np.concatenate([[np.inf], 1 / np.arange(1, 1000)]))
