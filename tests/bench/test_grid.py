"""The workloads are what they say they are."""

import numpy as np
import pytest

import fastbp
from bench import grid
from fastbp.checks import check_data

SMALL = [
    w for w in grid.ALL.values() if w.network().specification.n_multiplications < 20_000 and w.networks == 1
]


def test_names_are_unique():
    assert len(grid.ALL) == len(grid.DTYPES) * len(grid.GRID + grid.WIDTHS + grid.POPULATIONS)


@pytest.mark.parametrize("workload", grid.ALL.values(), ids=str)
def test_batches_are_full(workload):
    assert workload.steps_per_epoch * workload.batch_size == workload.n_samples
    assert all(steps % workload.steps_per_epoch == 0 for steps in workload.checked_steps)
    assert workload.checked_steps[-1] >= 2 * workload.steps_per_epoch  # so that a second epoch is compared


@pytest.mark.parametrize("workload", SMALL, ids=str)
def test_data_fit_the_network_and_are_the_same_every_time(workload):
    X, Y = workload.samples()
    checked_X, _ = check_data(workload.network().specification, X, Y)
    assert checked_X is X
    grid._samples.cache_clear()
    assert workload.samples()[0].tobytes() == X.tobytes()
    assert workload.network().theta.tobytes() == workload.starts()[0].tobytes()
    assert workload.targets().shape == (workload.n_samples, workload.layer_sizes[-1])


@pytest.mark.parametrize("workload", SMALL, ids=str)
def test_layers_are_views_laid_out_as_theta(workload):
    theta = workload.starts()[0]
    layers = list(workload.layers(theta))
    for (W, b), expected_W, expected_b in zip(
        layers, workload.network().weights, workload.network().biases, strict=True
    ):
        assert np.shares_memory(W, theta)
        assert W.tolist() == expected_W.tolist()
        assert b.tolist() == expected_b.tolist()
    assert workload.flat(layers).tobytes() == theta.tobytes()


def test_operations_are_those_of_the_three_products():
    workload = grid.Workload("", (5, 3, 2), 7, 7, fastbp.SGD(0.1))
    forward = 7 * (5 * 3 + 3 * 2)
    gradients = forward
    back = 7 * 3 * 2
    assert workload.flops_per_step == 2 * (forward + gradients + back)


def test_bytes_are_theta_and_the_optimizers_state_read_and_written():
    workload = grid.Workload("", (5, 3, 2), 7, 7, fastbp.Adam())
    assert workload.bytes_per_step == 2 * 3 * (5 * 3 + 3 + 3 * 2 + 2) * 4


def test_networks_of_a_population_start_apart():
    starts = grid.POPULATIONS[0].starts()
    assert starts.shape == (1024, 12)
    assert len(np.unique(starts[:, 0])) == 1024


def test_networks_with_rates_of_their_own_are_alone_at_these():
    workload = grid.POPULATIONS[-1]
    rates = workload.rates()
    assert len(np.unique(rates)) == 1024
    assert rates.max() / rates.min() == pytest.approx(4)
    assert workload.alone(3).optimizer.learning_rate == rates[3]
    assert workload.alone(3).rates() == [rates[3]]
