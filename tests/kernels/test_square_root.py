"""Square roots by multiply-adds are those of the divider, to the bit."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fastbp import processor
from fastbp._jit import kernel
from fastbp.kernels.square_root import EXPONENTS, quick_root, root_by_products
from fastbp.memory import aligned_zeros
from fastbp.simd import address, store, wide, wide_load
from tests.processes import AVX512, run

NEEDS_AVX512 = pytest.mark.skipif(
    "avx512f" not in processor.FEATURES or processor.WIDTH != 64, reason="the instruction is one of AVX-512"
)
HALVES = pytest.mark.parametrize("parity", [0, 1], ids=["even exponent", "odd exponent"])


@kernel
def roots_by_products(x, y):
    x, y, n = address(x), address(y), len(x)
    for k in range(0, n, wide(x)):
        store(y, k, root_by_products(wide_load(x, k)))


@kernel
def quick_roots(x, y):
    x, y, n = address(x), address(y), len(x)
    for k in range(0, n, wide(x)):
        store(y, k, quick_root(wide_load(x, k)))


def check(numbers: np.ndarray, compute=roots_by_products) -> None:
    """Compare with NumPy's roots, bit by bit."""
    x, y = (aligned_zeros(-(-len(numbers) // 16) * 16, numbers.dtype) for _ in range(2))
    x[: len(numbers)] = numbers
    compute(x, y)
    with np.errstate(invalid="ignore"):
        expected = np.sqrt(x)
    assert_array_equal(y[~np.isnan(expected)], expected[~np.isnan(expected)])
    assert_array_equal(np.signbit(y), np.signbit(expected))
    assert np.isnan(y[np.isnan(expected)]).all()


@NEEDS_AVX512
@HALVES
def test_every_float32_root_of_two_octaves_is_rounded_correctly(parity):
    """A factor of 4 changes no digit, so these are all."""
    check((np.arange(2**23, dtype=np.uint32) | np.uint32(127 + parity << 23)).view(np.float32))


@NEEDS_AVX512
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_roots_of_all_exponents_are_rounded_correctly(dtype):
    bits = np.finfo(dtype).bits
    words = np.random.default_rng(0).integers(0, 2 ** (bits - 1), 2**20, dtype=f"uint{bits}")
    check(words.view(dtype))
    low, high = EXPONENTS[bits]
    edges = np.ldexp(np.ones(4, dtype), [low, high, low - 1, high - 1])
    check(np.concatenate([np.nextafter(edges, edges.dtype.type(0)), edges, np.nextafter(edges, np.inf)]))


@NEEDS_AVX512
@HALVES
def test_float64_roots_next_to_the_middle_of_two_numbers_are_rounded_correctly(parity):
    """The squares of such middles, rounded up and down, are the numbers that are hardest to round."""
    generator, hard = np.random.default_rng(parity), []
    for root in generator.integers(2**53, 2**54, 20_000).tolist():
        square = ((2 * root + 1) ** 2) << parity
        bits = square.bit_length() - 53
        hard += [float(square >> bits) * 2.0**-40, float((square >> bits) + 1) * 2.0**-40]
    check(np.array(hard))


@NEEDS_AVX512
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_without_a_usual_root(dtype):
    check(np.array([0.0, -0.0, 1e-310, 1e-45, np.inf, np.nan, -1.0, 4.0], dtype))
    check(np.zeros(16, dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_roots_of_this_processor_are_rounded_correctly(dtype):
    check(np.random.default_rng(0).exponential(1e-6, 10_000).astype(dtype), quick_roots)


TRAINED = """
import numpy as np
import fastbp

digests = []
X = np.random.default_rng(0).normal(size=(192, 96))
X[:, ::3] = 0  # some states of Adam stay 0
labels = np.arange(192) % 10
for optimizer in (fastbp.Adam(), fastbp.AdamW(0.3), fastbp.RMSprop()):
    network = fastbp.Network(
        [96, 128, 10], output_activation="softmax", loss="categorical_cross_entropy", dtype="float64", seed=0
    )
    fastbp.train(network, X, labels, steps=60, batch_size=64, optimizer=optimizer, seed=0)
    digests.append(network.theta.tobytes().hex())
print(hash(tuple(digests)), np.isfinite(network.theta).all())
"""


@NEEDS_AVX512
def test_training_has_the_same_bits_with_roots_by_products_and_by_the_divider():
    """A Zen 4 takes those of the divider, and an Emerald Rapids the others."""
    outputs = [
        run(
            TRAINED,
            NUMBA_CPU_NAME=name,
            NUMBA_CPU_FEATURES=AVX512,
            PYTHONHASHSEED="0",
        )[0]
        for name in ("znver4", "emeraldrapids")
    ]
    assert outputs[0] == outputs[1]
    assert outputs[0].endswith("True\n")
