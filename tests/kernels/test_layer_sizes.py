"""Every kernel on layers around every multiple of a vector, against `fastbp.reference` and each other."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import fastbp
from fastbp import activations
from tests.every_loss import EVERY_LOSS, fitting_outputs
from tests.kernels.tasks import Task, expected, trained

SIZES = (*range(1, 10), 15, 16, 17, 31, 32, 33)
"""At, below and above 16, 32 and 64 bytes of either type, and twice that."""

TOLERANCE = {"float32": 1e-3, "float64": 1e-8}
DTYPES = pytest.mark.parametrize("dtype", TOLERANCE)


LARGEST = 1e3
"""A random network whose parameters become larger within its few steps diverges, and says nothing."""


def assert_kernels_agree(task: Task, kernels: tuple[str, ...], truth: np.ndarray, **options: Any) -> None:
    tolerance = TOLERANCE[task.dtype]
    for kernel in kernels:
        found = trained(task, kernel=kernel, **options)
        assert_allclose(found, truth, rtol=tolerance, atol=tolerance, err_msg=f"{kernel}, {task}")


@DTYPES
@pytest.mark.parametrize("n", SIZES)
def test_layers_around_every_multiple_of_a_vector(n, dtype):
    online = {"steps": 6, "batch_size": 1, "shuffle": True, "optimizer": fastbp.SGD(0.02)}
    layered = {"steps": 3, "batch_size": 5, "shuffle": True, "optimizer": fastbp.Adam(0.01)}
    for sizes in ((3, n, 2), (n, 3), (2, 3, n), (2, n, n)):
        task = Task(sizes, dtype=dtype)
        assert_kernels_agree(task, ("online", "layered"), expected(task, **online), **online)
        assert_kernels_agree(task, ("layered",), expected(task, **layered), **layered)


def check_random_network(data: st.DataObject, dtype: str) -> None:
    """Train a random network by every kernel that can."""
    if data.draw(st.integers(0, 9)) == 0:
        task = Task((2, 2, 2), "sigmoid", "sigmoid", "half_squared_error", dtype=dtype)
        kernels = ("fused222", "online", "layered")
        batch_size, l2 = 1, 0.0
    else:
        loss = data.draw(st.sampled_from(EVERY_LOSS))
        output = data.draw(st.sampled_from(fitting_outputs(loss)))
        size = st.one_of(st.sampled_from(SIZES), st.integers(1, 70))
        last = data.draw(size) + (output == "softmax")
        sizes = (*data.draw(st.lists(size, min_size=1, max_size=3)), last)
        bias = data.draw(st.sampled_from(["trainable", "fixed", "none"]))
        labels = loss == "categorical_cross_entropy" and data.draw(st.booleans())
        hidden = data.draw(st.sampled_from(activations.HIDDEN))
        n_samples, zeros = data.draw(st.sampled_from([1, 7, 33])), data.draw(st.sampled_from([0.0, 0.6, 0.9]))
        task = Task(sizes, hidden, output, loss, bias, dtype, labels, n_samples, zeros=zeros)
        batch_size = data.draw(st.sampled_from([1, 1, 5, 16, 33]))
        kernels = ("online", "layered") if batch_size == 1 else ("layered",)
        l2 = data.draw(st.sampled_from([0.0, 0.1]))
    options = {
        "steps": 4,
        "batch_size": batch_size,
        "shuffle": data.draw(st.booleans()),
        "optimizer": fastbp.SGD(1e-3),
        "update": data.draw(st.sampled_from(["simultaneous", "sequential"])),
        "l2": l2,
    }
    truth = expected(task, **options)
    assume(np.abs(truth).max() < LARGEST)
    assert_kernels_agree(task, kernels, truth, **options)


@DTYPES
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_random_networks_are_trained_alike_by_every_kernel(dtype, data):
    check_random_network(data, dtype)


@pytest.mark.soak
@DTYPES
@settings(max_examples=1000, deadline=None)
@given(data=st.data())
def test_soak_random_networks_are_trained_alike_by_every_kernel(dtype, data):
    check_random_network(data, dtype)
