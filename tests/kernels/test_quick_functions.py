"""The activations of populations: how many ulp they are off, and what they do at the ends."""

import numpy as np
import pytest

from fastbp import activations
from fastbp._jit import kernel
from fastbp.kernels.quick_functions import quick_activate
from fastbp.processor import HAS_FMA
from fastbp.simd import address

MOST = {"float32": 8, "float64": 9} if HAS_FMA else {"float32": 20, "float64": 20}
"""Units in the last place. Without fused multiply-adds, the far end of a sigmoid loses some more."""

TRUE = {
    "sigmoid": lambda z: np.where(z > 0, 1 / (1 + np.exp(-np.abs(z))), np.exp(z) / (1 + np.exp(z))),
    "tanh": np.tanh,
}


@kernel
def apply_quick(code, z, a):
    quick_activate(code, address(z), address(a), z.size)


def computed(name: str, z: np.ndarray) -> np.ndarray:
    a = np.empty_like(z)
    apply_quick(activations.CODES[name], z, a)
    return a


@pytest.mark.parametrize("name", TRUE)
def test_float32_is_within_some_ulp(name):
    z = np.concatenate([np.linspace(-20, 20, 2**16), np.geomspace(1e-30, 1, 2**12)]).astype("f")
    true = TRUE[name](z.astype(np.longdouble))
    ulps = np.abs(computed(name, z) - true) / np.spacing(np.abs(true).astype("f"))
    assert ulps.max() < MOST["float32"]


@pytest.mark.parametrize("name", TRUE)
def test_float64_is_within_some_ulp(name):
    z = np.linspace(-20, 20, 2**16)
    true = TRUE[name](z.astype(np.longdouble))
    ulps = np.abs(computed(name, z) - true) / np.spacing(np.abs(true).astype("d"))
    assert ulps.max() < MOST["float64"]


def test_no_float32_tanh_is_beyond_1():
    first, last = np.array([6, 9], "f").view(np.int32)
    z = np.arange(first, last, dtype=np.int32).view("f")  # a multiple of every vector's width
    assert computed("tanh", z).max() == 1.0
    assert computed("tanh", -z).min() == -1.0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ends_are_those_of_the_functions_and_nan_stays(dtype):
    z = np.zeros(64, dtype)
    z[:6] = -np.inf, -1e4, 1e4, np.inf, np.nan, 0.0
    sigmoid, tanh = computed("sigmoid", z)[:6], computed("tanh", z)[:6]
    assert sigmoid[:2].max() < 1e-35
    assert sigmoid[2:4].tolist() == [1.0, 1.0]
    assert tanh[:4].tolist() == [-1.0, -1.0, 1.0, 1.0]
    assert np.isnan(sigmoid[4])
    assert np.isnan(tanh[4])
    assert (sigmoid[5], tanh[5]) == (0.5, 0.0)
