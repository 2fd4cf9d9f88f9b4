"""Where arrays are in memory, whatever they look like."""

import numpy as np
import pytest

from fastbp.memory import address_of

ARRAY = np.arange(24.0).reshape(4, 6)
READ_ONLY = ARRAY.copy()
READ_ONLY.flags.writeable = False

ARRAYS = {
    "float64": ARRAY,
    "a part": ARRAY[1:, 2:],
    "read-only": READ_ONLY,
    "backwards": ARRAY[::-1, ::-2],
    "Fortran's order": np.asfortranarray(ARRAY),
    "no elements": ARRAY[2:2],
    "no dimensions": np.array(3.0),
    "float16": ARRAY.astype(np.float16),
    "booleans": ARRAY > 3,
    "times": ARRAY.astype("datetime64[s]"),
    "other byte order": ARRAY.astype(">f8"),
    "objects": ARRAY.astype(object),
    "not aligned": np.zeros(25, np.uint8)[1:].view(np.float64),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_the_address_is_that_of_the_first_element(name):
    assert address_of(ARRAYS[name]) == ARRAYS[name].ctypes.data


def test_an_array_can_be_resized_after_its_address_was_asked_for():
    array = np.zeros(3)
    address_of(array)
    array.resize(5, refcheck=False)
    assert array.shape == (5,)
