"""The online kernel against `fastbp.reference`, its narrow form, and the kernels against each other."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import fastbp
from fastbp import activations, losses
from fastbp.checks import check_data
from fastbp.engine.kernel_options import KernelOptions
from fastbp.engine.online_run import OnlineRun
from fastbp.kernels.narrow import NARROW_HIDDEN
from tests.every_loss import EVERY_LOSS, fitting_outputs
from tests.kernels.tasks import Task, assert_same_training, trained

ONLINE = {"kernel": "online", "batch_size": 1, "optimizer": fastbp.SGD(0.05)}
NARROW = [name for name in activations.HIDDEN if activations.CODES[name] in NARROW_HIDDEN]
UPDATES = pytest.mark.parametrize("update", ["simultaneous", "sequential"])
BIASES = pytest.mark.parametrize("bias", ["trainable", "fixed", "none"])


@UPDATES
@pytest.mark.parametrize("hidden", activations.HIDDEN)
def test_every_activation_follows_the_reference(hidden, update):
    assert_same_training(Task(hidden=hidden), **ONLINE, update=update)


@UPDATES
@pytest.mark.parametrize("loss", EVERY_LOSS)
def test_every_loss_follows_the_reference(loss, update):
    for output in fitting_outputs(loss):
        assert_same_training(Task(loss=loss, output=output), **ONLINE, update=update, steps=15)


@BIASES
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"shuffle": False},
        {"l2": 0.1},
        {"optimizer": fastbp.SGD(0.05, weight_decay=0.1)},
        {"optimizer": fastbp.SGD(0.05, weight_decay=0.1), "l2": 0.1, "update": "sequential"},
        {"optimizer": fastbp.SGD(fastbp.schedules.CosineDecay(0.1, 30))},
        {"sample_weight": np.arange(11) % 3},
    ],
    ids=str,
)
def test_options_follow_the_reference(options, bias):
    assert_same_training(Task(bias=bias), **(ONLINE | options))
    assert_same_training(Task((3, 4, 2), bias=bias), **(ONLINE | options))


@pytest.mark.parametrize("labels", [True, False])
def test_classes_follow_the_reference(labels):
    task = Task((3, 6, 4), "relu", "softmax", "categorical_cross_entropy", labels=labels)
    assert_same_training(task, **ONLINE)


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.sampled_from([1, 2, 3, 7, 8, 9, 16, 17, 31, 33, 40]), min_size=2, max_size=4),
    hidden=st.sampled_from(activations.HIDDEN),
    update=st.sampled_from(["simultaneous", "sequential"]),
)
def test_any_layer_sizes_follow_the_reference(sizes, hidden, update):
    options = ONLINE | {
        "optimizer": fastbp.SGD(0.005)
    }  # at 0.05 a deep linear network may diverge in 12 steps
    assert_same_training(Task(tuple(sizes), hidden), **options, update=update, steps=12)


# --- one narrow hidden layer -------------------------------------------------------------------------------


@UPDATES
@BIASES
@pytest.mark.parametrize("sizes", [(1, 1, 1), (2, 4, 1), (2, 3, 2), (3, 5, 3), (4, 8, 4), (2, 8, 1)], ids=str)
def test_narrow_networks_follow_the_reference(sizes, bias, update):
    assert_same_training(Task(sizes, "sigmoid", "sigmoid", bias=bias), **ONLINE, update=update)


@pytest.mark.parametrize("loss", [name for name in EVERY_LOSS if name != "categorical_cross_entropy"])
@pytest.mark.parametrize("hidden", NARROW)
def test_narrow_activations_and_losses_follow_the_reference(hidden, loss):
    for output in losses.row_of(loss).outputs or NARROW:
        assert_same_training(Task((2, 4, 2), hidden, output, loss), **ONLINE, steps=20)


@pytest.mark.parametrize("z", [50.0, 1e3, 1e30])
def test_narrow_networks_saturate_without_nan(z):
    network = fastbp.Network([1, 2, 1], seed=0)
    fastbp.train(network, [[z], [-z]], [[0.0], [1.0]], steps=50, **ONLINE)
    assert np.isfinite(network.theta).all()


# --- bits and types ----------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 60), max_size=6),
    sizes=st.sampled_from([(2, 4, 1), (3, 9, 9, 2)]),
    shuffle=st.booleans(),
)
def test_chunks_do_not_change_the_bits(cuts, sizes, shuffle):
    task = Task(sizes, "sigmoid")
    runs = []
    for stops in ([60], [*sorted(cuts), 60]):
        network = task.network()
        X, Y = check_data(network.specification, *task.samples())
        optimizer = fastbp.SGD(fastbp.schedules.ExponentialDecay(0.1, 0.9))
        options = KernelOptions(
            len(X),
            epochs=None,
            steps=60,
            batch_size=1,
            optimizer=optimizer,
            shuffle=shuffle,
            seed=1,
        )
        run = OnlineRun(network.specification, network.theta, X, Y, options)
        for stop in stops:
            run.advance(stop)
        runs.append(run)
    assert runs[0].theta.tobytes() == runs[1].theta.tobytes()
    assert runs[0].recorded.tobytes() == runs[1].recorded.tobytes()


@pytest.mark.parametrize("sizes", [(2, 4, 1), (3, 20, 2)])
def test_float32_follows_float64(sizes):
    task = Task(sizes, "sigmoid")
    wide = trained(task, steps=50, **ONLINE)
    narrow = trained(replace(task, dtype="float32"), steps=50, **ONLINE)
    assert narrow.dtype == np.float32
    assert_allclose(narrow, wide, rtol=1e-4, atol=1e-5)


def test_auto_takes_it_for_one_sample_a_step():
    task = Task()
    X, Y = task.samples()
    for optimizer, kernel in ((fastbp.SGD(0.1), "online"), (fastbp.SGD(0.1, momentum=0.9), "layered")):
        result = fastbp.train(task.network(), X, Y, steps=5, batch_size=1, optimizer=optimizer)
        assert result.kernel == kernel


def test_three_kernels_follow_one_trajectory():
    """The 2-2-2 network, thousands of steps of shuffled samples."""
    generator = np.random.default_rng(0)
    X, Y = generator.uniform(-1, 1, (50, 2)), generator.uniform(0.1, 0.9, (50, 2))
    thetas = {}
    for kernel in ("fused222", "online", "layered"):
        network = fastbp.Network([2, 2, 2], seed=0)
        fastbp.train(
            network, X, Y, steps=3000, batch_size=1, optimizer=fastbp.SGD(0.5), seed=0, kernel=kernel
        )
        thetas[kernel] = network.theta
    assert_allclose(thetas["online"], thetas["layered"], rtol=1e-12, atol=1e-12)
    assert_allclose(thetas["fused222"], thetas["layered"], rtol=1e-12, atol=1e-12)
