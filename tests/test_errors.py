import pickle

import numpy as np
import pytest

from fastbp import DivergenceError, FastbpError, NotSupportedError, OptionError
from fastbp import errors as errors_module
from fastbp.errors import check_choice, check_integer

ERRORS = [
    value
    for value in vars(errors_module).values()
    if isinstance(value, type) and issubclass(value, Exception) and not issubclass(value, Warning)
]


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_is_a_fastbp_error(error):
    assert issubclass(error, FastbpError)


def test_errors_are_also_what_python_calls_them():
    assert issubclass(OptionError, ValueError)
    assert issubclass(NotSupportedError, NotImplementedError)
    assert issubclass(DivergenceError, ArithmeticError)


def test_divergence_error_survives_the_way_between_processes():
    error = pickle.loads(pickle.dumps(DivergenceError("step 3 made a parameter infinite", 3)))
    assert (type(error), str(error), error.step) == (DivergenceError, "step 3 made a parameter infinite", 3)


def test_choice_is_returned():
    assert check_choice("update", "sequential", ("simultaneous", "sequential")) == "sequential"


@pytest.mark.parametrize("value", ["seqential", "squential", "sequentiall"])
def test_near_name_is_suggested(value):
    with pytest.raises(OptionError, match=rf"^update is '{value}', .* did you mean 'sequential'\?$"):
        check_choice("update", value, ("simultaneous", "sequential"))


def test_far_name_gets_the_list_alone():
    with pytest.raises(OptionError, match=r"^update is 'xyz', and may be 'simultaneous', 'sequential'$"):
        check_choice("update", "xyz", ("simultaneous", "sequential"))


@pytest.mark.parametrize("value", [None, True, 3, b"sequential", ["sequential"], np.nan])
def test_other_than_a_name_is_refused(value):
    with pytest.raises(OptionError, match=r"^update is .*, and must be a string: 'sequential'$"):
        check_choice("update", value, ["sequential"])


@pytest.mark.parametrize("value", [3, np.int8(3), np.uint64(3), np.array(3)])
def test_integer_of_any_type_is_returned_as_an_int(value):
    integer = check_integer("steps", value, 1)
    assert (type(integer), integer) == (int, 3)


@pytest.mark.parametrize("value", [0, -1, 1.0, "1", None, True, np.True_, [1], np.array([1, 2]), np.nan])
def test_other_than_an_integer_that_is_large_enough_is_refused(value):
    with pytest.raises(OptionError, match=r"^steps is .*, and must be an integer of at least 1$"):
        check_integer("steps", value, 1)
