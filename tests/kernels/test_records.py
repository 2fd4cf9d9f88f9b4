"""Kernels read a job by name: what the tables say, and nothing else, compiles."""

import numpy as np
import pytest
from numba import TypingError, njit

from fastbp.kernels import fields
from fastbp.kernels.records import get, has, job_at, nth, of, outputs_of, own, typed, write
from fastbp.simd import element, shifted

OWN = np.zeros(1, np.float32)
"""An array of the network's type."""


@pytest.fixture
def block() -> np.ndarray:
    """Return the integers of a job with three boundaries, each its own number."""
    return np.arange(len(fields.JOB) + 3 * len(fields.BOUNDARY))


def compiled(function):
    """Return what the function finds in a job at an address."""

    @njit
    def found(number, array):
        return function(job_at(number, array))

    function = njit(function)
    return lambda block: found(block.ctypes.data, OWN)


def test_a_number_is_read_where_the_table_has_it(block):
    assert compiled(lambda job: get(job, "batch_size"))(block) == fields.place("job", "batch_size")


@pytest.mark.parametrize("boundary", [0, 1, 2])
def test_a_number_of_a_boundary_is_read_where_the_table_has_it(block, boundary):
    @njit
    def read(number, array, boundary):
        return of(job_at(number, array), "W_row", boundary)

    assert read(block.ctypes.data, OWN, boundary) == fields.place_in_job("W_row", boundary)


@pytest.mark.parametrize(
    ("read", "dtype"),
    [
        (lambda job: element(get(job, "rates"), 1), np.float64),
        (lambda job: element(get(job, "order"), 1), np.int64),
        (lambda job: element(get(job, "generator"), 1), np.uint64),
        (lambda job: element(get(job, "theta"), 1), np.float32),
        (lambda job: element(typed(job, "X", "uint8*"), 1), np.uint8),
        (lambda job: element(typed(job, "X", "own*"), 1), np.float32),
        (lambda job: get(get(job, "counters"), "row"), np.int64),
        (lambda job: get(get(job, "totals"), "row_sum"), np.float64),
        (lambda job: get(nth(get(job, "items"), 0), "first"), np.int64),
    ],
)
def test_an_address_has_the_type_in_the_table(block, read, dtype):
    numbers = np.array([5, 6, 7], dtype)
    for name in ("rates", "order", "generator", "theta", "X", "counters", "totals", "items"):
        block[fields.place("job", name)] = numbers.ctypes.data
    found = compiled(read)(block)
    assert (found, type(found)) == (6, type(numbers[0].item()))


def test_items_lie_one_behind_the_other(block):
    items = np.arange(12)
    block[fields.place("job", "items")] = items.ctypes.data
    assert compiled(lambda job: get(nth(get(job, "items"), 2), "rows"))(block) == 10


def test_numbers_and_addresses_are_written_where_they_are_read(block):
    def change(job):
        write(job, "done_rows", 12)
        write(job, "Y", shifted(get(job, "theta"), 2))
        write(get(job, "totals"), "epoch_loss", 3)
        return own(job, 0.1)

    totals, theta = np.zeros(len(fields.TOTALS)), np.zeros(3, np.float32)
    block[fields.place("job", "totals")] = totals.ctypes.data
    block[fields.place("job", "theta")] = theta.ctypes.data
    assert compiled(change)(block) == np.float32(0.1)
    assert block[fields.place("job", "done_rows")] == 12
    assert block[fields.place("job", "Y")] == theta.ctypes.data + 8
    assert totals[fields.place("totals", "epoch_loss")] == 3


@pytest.mark.parametrize("address", [0, 4096])
def test_an_array_may_be_missing(block, address):
    block[fields.place("job", "weights")] = address
    assert compiled(lambda job: has(job, "weights"))(block) == (address != 0)


NAME = "batch_size"

MISTAKES = {
    "did you mean 'batch_size'": lambda job: get(job, "batchsize"),
    "job has no field 'size'": lambda job: get(job, "size"),
    "boundary has no field 'batch_size'": lambda job: of(job, "batch_size", 1),
    "counters has no field 'loss_sum'": lambda job: get(get(job, "counters"), "loss_sum"),
    "must be a literal": lambda job: get(job, NAME + NAME[:job]),
    "is no record": lambda job: get(get(job, "order"), "step"),
    "use `typed`": lambda job: get(job, "X"),
    "may be own[*] float32[*] float64[*] uint8[*]": lambda job: typed(job, "X", "int64*"),
    "may be float64[*]": lambda job: typed(job, "rates", "own*"),
    "batch_size of job is a number": lambda job: has(job, "batch_size"),
    "done_rows of job is int64, and not float64": lambda job: write(job, "done_rows", 1.0),
    "Y of job is own[*], and not float64[*]": lambda job: write(job, "Y", get(job, "rates")),
    "Y of job is own[*], and not int64": lambda job: write(job, "Y", 1),
    "epoch_loss of totals is float64": lambda job: write(get(job, "totals"), "epoch_loss", get(job, "Y")),
    "W is no place": lambda job: outputs_of(job, get(job, "work"), "W", 0, 0),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_a_wrong_name_or_type_does_not_compile(block, message):
    with pytest.raises(TypingError, match=message):
        compiled(MISTAKES[message])(block)


@pytest.mark.parametrize(
    "read", [lambda job: get(job, "batch_size"), lambda job: of(job, "size", 2)], ids=["get", "of"]
)
def test_reading_a_field_is_one_load(read):
    read = njit(read)

    @njit
    def found(number, array):
        return read(job_at(number, array))

    found.compile("int64(int64, float32[::1])")
    text = found.inspect_llvm(found.signatures[0])
    start = text.index("\ndefine ")
    lines = text[start : text.index("\n}", start)].splitlines()
    assert sum(" load " in line for line in lines) == 1
    assert not any(" call " in line or " br " in line for line in lines)
