"""What weights of samples mean: in a batch, over an epoch, and where a batch is divided by its weights."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import fastbp
from fastbp import SGD, Adam, reference
from fastbp.checks import check_data, check_weights
from fastbp.engine.kernel_options import KernelOptions
from fastbp.engine.layered_run import LayeredRun
from fastbp.engine.online_run import OnlineRun
from tests.kernels.tasks import as_reference, flat

N = 14
GENERATOR = np.random.default_rng(8)
X, Y = GENERATOR.normal(size=(N, 3)), GENERATOR.normal(size=(N, 2))
WEIGHTS = GENERATOR.integers(0, 4, N).astype(float)

CASES = {
    "layered": (LayeredRun, {"batch_size": 4, "optimizer": Adam(0.01)}),
    "sequential": (LayeredRun, {"batch_size": 4, "optimizer": SGD(0.1), "update": "sequential"}),
    "one": (LayeredRun, {"batch_size": 1, "optimizer": Adam(0.01)}),
    "full": (LayeredRun, {"batch_size": N, "optimizer": Adam(0.01)}),
    "online": (OnlineRun, {"batch_size": 1, "optimizer": SGD(0.1)}),
}


def network():
    return fastbp.Network([3, 6, 2], hidden_activation="tanh", output_activation="identity", seed=1)


def run_of(case, weights, **more):
    kind, options = CASES[case]
    net = network()
    options = KernelOptions(N, epochs=3, shuffle=False, sample_weight=weights, **options, **more)
    run = kind(net.specification, net.theta, *check_data(net.specification, X, Y), options)
    run.advance(options.n_steps)
    return run


def by_reference(case, batch_weights):
    """Return theta and the losses of epochs, where a batch's weights are those that `batch_weights` gives."""
    options = CASES[case][1]
    size, layers, means = options["batch_size"], as_reference(network()), []
    updater = reference.Updater(options["optimizer"])
    for _ in range(3):
        total = 0.0
        for first in range(0, N, size):
            rows = slice(first, first + size)
            w, batch = batch_weights(WEIGHTS[rows]), (X[rows].tolist(), Y[rows].tolist())
            total += reference.loss(layers, *batch, sample_weight=w.tolist()) * len(w)
            reference.batch_step(
                layers,
                *batch,
                updater,
                sample_weight=w.tolist(),
                update=options.get("update", "simultaneous"),
            )
        means.append(total / N)
    return flat(layers, network()), means


def normalized_over_the_data(w):
    return w / WEIGHTS.mean()


def normalized_over_the_batch(w):
    return w * (len(w) / w.sum()) if w.any() else w


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("meaning", [normalized_over_the_data, normalized_over_the_batch])
def test_a_step_and_an_epoch_follow_the_reference(case, meaning):
    run = run_of(case, WEIGHTS, divides_by_weights=meaning is normalized_over_the_batch)
    theta, losses = by_reference(case, meaning)
    assert_allclose(run.theta, theta, rtol=1e-12, atol=1e-14)
    assert_allclose(run.recorded, losses, rtol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_a_weight_has_its_effect_at_any_batch_size(case):
    heavy = np.where(np.arange(N) == 3, 100.0, 1.0)
    assert (run_of(case, heavy).theta != run_of(case, np.ones(N)).theta).all()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("constant", [0.1, 3.0, 1e-310, 1e305])
def test_weights_that_are_all_the_same_are_those_of_one(case, constant):
    assert run_of(case, np.full(N, constant)).theta.tobytes() == run_of(case, np.ones(N)).theta.tobytes()


def test_a_whole_weight_repeats_a_sample_in_a_full_batch():
    repeated = np.repeat(np.arange(N), WEIGHTS.astype(int))
    one, other = network(), network()
    options = {"epochs": 20, "optimizer": Adam(0.01)}
    weighted = fastbp.train(one, X, Y, sample_weight=WEIGHTS, **options)
    plain = fastbp.train(other, X[repeated], Y[repeated], **options)
    assert_allclose(one.theta, other.theta, rtol=1e-10, atol=1e-13)
    assert_allclose(weighted.loss_curve, plain.loss_curve, rtol=1e-12)
    assert_allclose(one.loss(X, Y, sample_weight=WEIGHTS), other.loss(X[repeated], Y[repeated]), rtol=1e-12)


def test_the_mean_of_normalized_weights_is_one_and_their_ratios_stay():
    for weights in (WEIGHTS, WEIGHTS * 1e300, WEIGHTS * 1e-300, [1e-300, 1.0, 2.0]):
        found = check_weights(weights, len(weights))
        assert found.mean() == pytest.approx(1, rel=1e-14)
        assert_allclose(found / found.max(), np.array(weights) / np.max(weights), rtol=1e-14)
