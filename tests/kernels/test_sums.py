"""Sums over many rows and over large and small numbers: gradients of long batches, and clipping."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

import fastbp
from fastbp import reference
from fastbp.engine.division import Limits
from fastbp.engine.objective import Objective
from tests.kernels.tasks import divided

# --- long batches ----------------------------------------------------------------------------------------

AGREEING, RARE = "rows that agree", "rare ones"


def samples(kind: str, n: int, sizes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return bytes and targets: rows of which all errors add up, or targets that are mostly 0."""
    generator = np.random.default_rng(0)
    if kind == AGREEING:
        return np.ones((n, sizes[0]), np.uint8), np.full((n, sizes[-1]), 0.3, np.float32)
    X = generator.integers(0, 2, (n, sizes[0]), np.uint8)
    return X, (generator.random((n, sizes[-1])) < 0.01).astype(np.float32)


def relative_errors(kind: str, n: int, sizes: tuple[int, ...], threads: int | None = None) -> list[float]:
    """Return how far float32's gradient is from float64's: as a whole, and of the last biases."""
    X, Y = samples(kind, n, sizes)
    options = {"output_activation": "sigmoid", "loss": "binary_cross_entropy", "seed": 1}
    if kind == AGREEING:
        options = {"output_activation": "identity", "loss": "mean_squared_error", "seed": 1}
    narrow, wide = (fastbp.Network(sizes, dtype=dtype, **options) for dtype in ("float32", "float64"))
    wide.theta[:] = narrow.theta
    found, true = narrow.gradient(X, Y, threads=threads), wide.gradient(X, Y, threads=threads)
    last = slice(-sizes[-1], None)
    return [float(np.linalg.norm((found - true)[part]) / np.linalg.norm(true[part])) for part in (..., last)]


LONG = 3e-5
"""What the error may be, relative to the gradient, however many rows there are.

The rows of two tiles, up to 2048, are added one by one. When all were, 10^6 rows that agree were 7e-3 off.
"""


@pytest.mark.parametrize("kind", [AGREEING, RARE])
@pytest.mark.parametrize(("sizes", "n"), [((64, 512, 10), 30_000), ((2, 4, 1), 300_000), ((8, 1), 1_000_000)])
def test_long_batches_in_float32(sizes, n, kind):
    assert max(relative_errors(kind, n, sizes)) < LONG


@pytest.mark.soak
@pytest.mark.parametrize("kind", [AGREEING, RARE])
@pytest.mark.parametrize("sizes", [(64, 512, 10), (2, 4, 1), (20, 1)], ids=str)
def test_errors_grow_with_the_logarithm_of_the_rows(sizes, kind):
    powers = range(3, 7 if sizes[0] == 64 else 8)
    errors = {10**power: relative_errors(kind, 10**power, sizes) for power in powers}
    print(f"\n{sizes}, {kind}: error of the gradient, and of the last biases'")
    for n, (whole, biases) in errors.items():
        print(f"  {n:>12,} rows  {whole:.1e}  {biases:.1e}")
    assert max(max(pair) for pair in errors.values()) < LONG


@pytest.mark.parametrize("update", ["simultaneous", "sequential"])
@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"tile_bytes": 0, "group_bytes": 0, "large_tile": 40},
        {"tile_bytes": 0, "group_bytes": 2**30, "group_work": 1.0},
    ],
    ids=["as chosen", "shared tiles", "groups"],
)
def test_full_batches_in_float32_train_as_in_float64(sizes, update):
    X, Y = samples(AGREEING, 20_000, (3, 5, 2))
    options = {"steps": 3, "optimizer": fastbp.SGD(0.1), "update": update}
    thetas = []
    for dtype, threads in (("float64", 1), ("float32", 1), ("float32", 2), ("float32", 3)):
        network = fastbp.Network([3, 5, 2], output_activation="identity", dtype="float32", seed=1)
        twin = fastbp.Network([3, 5, 2], output_activation="identity", dtype=dtype)
        twin.theta[:] = network.theta
        after = divided(twin, X, Y, Limits(**sizes), **options, threads=threads)
        thetas.append(after - network.theta)
    assert thetas[1].tobytes() == thetas[2].tobytes() == thetas[3].tobytes()
    assert_allclose(thetas[1], thetas[0], rtol=3e-5, atol=1e-6)


@pytest.mark.parametrize("n_tiles", [*range(1, 20), 31, 32, 33])
def test_any_number_of_tiles_adds_up(n_tiles):
    n = 32 * n_tiles - 5
    generator = np.random.default_rng(n)
    X, Y = generator.normal(size=(n, 3)), generator.normal(size=(n, 2))
    network = fastbp.Network([3, 4, 2], output_activation="identity", seed=0)
    expected = sum(network.gradient(X[i : i + 1], Y[i : i + 1]) for i in range(n)) / n
    for groups in ({"group_bytes": 0}, {"group_work": 1.0}, {"group_work": 1e9}):
        limits = Limits(tile_bytes=0, large_tile=32, **groups)
        objective = Objective(network.specification, X, Y, limits=limits)
        found = objective.value_and_gradient(network.theta)[1]
        assert_allclose(found, expected, rtol=1e-12, atol=1e-15)


# --- clipping --------------------------------------------------------------------------------------------

LARGE = {"float32": 1e38, "float64": 1e307}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("limit", [1e-30, 1.0, 1e30])
@pytest.mark.parametrize("power", [-0.96, -0.9, -0.7, -0.5, 0.0, 0.3, 0.5, 0.7, 0.9, 1.0])
def test_gradients_of_any_size_are_clipped(power, limit, dtype):
    size = LARGE[dtype] ** power
    X, Y = np.array([[3 * size, 0.0, -4 * size]]) / 5, [[1.0]]
    network = fastbp.Network(
        [3, 1], output_activation="identity", loss="mean_absolute_error", bias="none", dtype=dtype
    )
    network.theta[:] = 0
    fastbp.train(network, X, Y, steps=1, optimizer=fastbp.SGD(1.0), gradient_clip_norm=limit)
    expected = np.array([0.6, 0.0, -0.8]) * min(size, limit)
    assert_allclose(network.theta, expected, rtol=1e-6 if dtype == "float32" else 1e-14)


@pytest.mark.parametrize("size", [1e-300, 1e-160, 1.0, 1e155, 1e300])
def test_the_reference_clips_gradients_of_any_size(size):
    layer = reference.Layer([[0.6 * size, 0.0]], [-0.8 * size, 0.0])
    (found,) = reference.clipped([layer], 0.5 * size, True, reference.FLOAT64)
    assert_allclose([*found.W[0], *found.b], np.array([0.3, 0, -0.4, 0]) * size, rtol=1e-15)
    assert reference.clipped([layer], 2 * size, True, reference.FLOAT64) == [layer]


def test_a_gradient_of_zeros_is_not_clipped():
    network = fastbp.Network([2, 1], output_activation="identity", bias="none", seed=0)
    before = network.theta.copy()
    fastbp.train(
        network, [[0.0, 0.0]], [[1.0]], steps=3, optimizer=fastbp.SGD(1.0), gradient_clip_norm=1e-300
    )
    assert (network.theta == before).all()


def test_an_infinite_gradient_in_float32_is_a_divergence():
    network = fastbp.Network(
        [1, 1, 1], hidden_activation="identity", output_activation="identity", dtype="float32"
    )
    network.theta[:] = [1e30, 0, 1e-30, 0]
    with pytest.raises(fastbp.DivergenceError):
        fastbp.train(network, [[1e25]], [[1.0]], steps=3, optimizer=fastbp.SGD(1.0), gradient_clip_norm=1.0)
    assert math.isfinite(network.theta.sum())
