"""Every peer that is installed trains the network that it is asked to, as `fastbp.reference` does."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import fastbp
from bench import grid, peers
from bench.peers import PEERS, UnavailableError, numpy_arrays
from fastbp import reference
from fastbp.benchmark.gate import judge

SGD, ADAM = fastbp.SGD(0.125), fastbp.Adam(0.01)  # 1/8, since the rate of FANN is float32
SQUARED = "half_squared_error"

TASKS = (
    *grid.GRID[:3],
    grid.Workload("one sample, sigmoid", (2, 4, 1), 1, 4, SGD, "sigmoid", "sigmoid", SQUARED),
    grid.Workload("one sample, tanh", (3, 9, 4, 2), 1, 6, SGD, "tanh", "identity", SQUARED),
    grid.Workload("one sample, relu", (5, 19, 3), 1, 6, SGD),
    grid.Workload("batch, SGD", (4, 10, 3), 4, 12, SGD),
    grid.Workload("batch, Adam", (5, 33, 7, 3), 7, 28, ADAM),
    grid.Workload("full batch, Adam", (4, 6, 5, 4), 10, 10, ADAM, "tanh", "identity", SQUARED),
    grid.Workload("no hidden layer", (4, 3), 4, 12, SGD),
    grid.Workload("fixed biases", (4, 8, 3), 4, 12, SGD, bias="fixed"),
)


def reference_theta(workload, steps):
    network = workload.network()
    names = (*network.hidden_activations, network.output_activation)
    layers = [
        reference.Layer(W.tolist(), b.tolist(), name)
        for W, b, name in zip(network.weights, network.biases, names, strict=True)
    ]
    reference.train(
        layers,
        workload.samples()[0].tolist(),
        workload.targets().tolist(),
        steps=steps,
        optimizer=workload.optimizer,
        batch_size=workload.batch_size,
        loss=workload.loss,
        train_biases=workload.bias == "trainable",
    )
    return workload.flat((layer.W, layer.b) for layer in layers)


def prepared(name, workload):
    try:
        return peers.prepare(name, workload)
    except UnavailableError as error:
        pytest.skip(str(error))


def every_training() -> Iterator[Any]:
    """Name every peer, workload and type. Numba compiles each for a second: of it, one type in turn."""
    for name, workload, dtype in itertools.product(PEERS, TASKS, grid.DTYPES):
        is_long = name == "Numba" and TASKS.index(workload) % 2 == grid.DTYPES.index(dtype)
        if name != "PyTorch compiled":
            marks = pytest.mark.soak if is_long else ()
            yield pytest.param(workload, name, dtype, id=f"{workload.name}-{name}-{dtype}", marks=marks)


@pytest.mark.parametrize(("workload", "name", "dtype"), [*every_training()])
def test_it_ends_where_the_reference_does(workload, name, dtype):
    workload, double = workload.with_dtype(dtype), workload.with_dtype("float64")
    if name == "FANN" and workload.hidden == "tanh":
        pytest.skip("FANN clips the slopes of tanh, and trains another network")
    train = prepared(name, workload)
    steps = 3 * workload.steps_per_epoch
    theta = train(steps)
    assert theta.dtype == dtype
    expected = {steps: reference_theta(double, steps)}
    assert judge(lambda _: theta, expected, double.starts()[0], workload.tolerance)[0] == ""
    assert train(steps).tobytes() == theta.tobytes()  # a call starts where the one before it started


@pytest.mark.parametrize("workload", TASKS, ids=lambda w: w.name)
def test_the_gates_own_reference_is_the_readable_one(workload):
    workload = workload.with_dtype("float64")
    steps = 2 * workload.steps_per_epoch
    np.testing.assert_allclose(
        numpy_arrays.prepare_layers(workload)(steps), reference_theta(workload, steps), rtol=1e-12, atol=1e-14
    )


def test_jax_trains_many_networks_each_as_if_alone():
    workload = replace(grid.POPULATIONS[0].with_dtype("float64"), networks=5)
    thetas = prepared("JAX", workload)(8)
    for theta, start in zip(thetas, workload.starts(), strict=True):
        alone = numpy_arrays.prepare_layers(replace(workload, networks=1), start)(8)
        np.testing.assert_allclose(theta, alone, rtol=1e-12)


def test_who_cannot_train_many_networks_says_so():
    for name in PEERS:
        if name not in ("fastbp", "JAX", "Python, objects", "Python, lists"):
            with pytest.raises(UnavailableError, match=r"one network at a time|not installed"):
                peers.prepare(name, grid.POPULATIONS[0])


def test_a_package_that_is_missing_makes_the_peer_unavailable():
    with pytest.raises(UnavailableError, match="not installed: No module named 'nowhere'"):
        peers.load("nowhere:prepare")


def test_every_peers_file_opens_with_why_it_is_the_fast_form():
    for peer in PEERS.values():
        lines = (peers_folder() / f"{peer.module}.py").read_text(encoding="utf-8").splitlines()
        comment = [line for line in lines[: lines.index("")] if line.startswith("#")]
        assert len(comment) >= 3, peer.module


def peers_folder():
    from pathlib import Path

    return Path(peers.__file__).parent


def test_scikit_learn_is_as_it_was_after_its_peer_has_run():
    from sklearn.neural_network import _multilayer_perceptron, _stochastic_optimizers

    workload = next(w for w in TASKS if w.name == "batch, Adam")
    prepared("scikit-learn", workload)(workload.steps_per_epoch)
    assert _multilayer_perceptron.AdamOptimizer is _stochastic_optimizers.AdamOptimizer
