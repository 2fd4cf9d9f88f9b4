"""What is left in memory of what has ended: nothing."""

import gc
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest

import fastbp
from fastbp.engine.job import Job
from fastbp.engine.run import Run
from fastbp.training import loop
from tests.processes import run

KINDS = (loop.Loop, Run, Job)


def alive():
    """Return the loops, runs and jobs that are in memory."""
    return [kept for kept in gc.get_objects() if issubclass(type(kept), KINDS)]  # a proxy may be dead


@pytest.fixture
def resting():
    """Let the cyclic collector rest, and return how many loops, runs and jobs there were before."""
    gc.collect()
    gc.disable()
    yield len(alive())
    gc.enable()


RUNS = {
    "fused222": ([2, 2, 2], {"batch_size": 1, "optimizer": fastbp.SGD()}),
    "online": ([2, 5, 2], {"batch_size": 1, "optimizer": fastbp.SGD()}),
    "layered": ([2, 5, 2], {"batch_size": 7, "optimizer": fastbp.Adam()}),
    "team": ([2, 5, 2], {"batch_size": 40, "optimizer": fastbp.Adam(), "threads": 2}),
}


def task(name):
    sizes, options = RUNS[name]
    generator = np.random.default_rng(0)
    X, Y = generator.integers(0, 9, (50, 2)).astype(np.int16), generator.uniform(size=(50, 2))
    return fastbp.Network(sizes, seed=0), X, Y, options


@pytest.mark.parametrize("name", RUNS)
def test_a_run_that_has_ended_is_freed_at_once(name, resting, tmp_path):
    network, X, Y, options = task(name)
    seen = []
    more = {
        "validation_data": (X, Y),
        "early_stopping": fastbp.EarlyStopping(patience=100),
        "checkpoint": fastbp.Checkpoint(tmp_path),
        "metrics": ["r2"],
        "callbacks": [lambda state: seen.append(len(alive()))],
    }
    for extra in ({}, more, more):  # the last one resumes
        fastbp.train(network, X, Y, epochs=3, **options, **extra)
    network.predict(X, threads=2)
    network.gradient(X, Y, threads=2)
    network.loss(X, Y, threads=2)
    assert min(seen) > resting + 2
    assert len(alive()) == resting
    assert threading.active_count() == 1 or threading.enumerate() == [threading.main_thread()]


@pytest.mark.parametrize("name", RUNS)
def test_a_run_that_failed_is_freed_with_its_exception(name, resting):
    network, X, Y, options = task(name)

    def fail(state):
        raise ValueError("of the callback")

    with pytest.raises(ValueError, match="of the callback") as caught:
        fastbp.train(network, X, Y, epochs=3, callbacks=[fail], **options)
    del caught
    assert len(alive()) == resting


def test_a_network_that_has_predicted_is_freed_at_once(resting):
    network = fastbp.Network([2, 3, 1], seed=0)
    left = weakref.ref(network)
    network.predict(np.ones((1, 2)))
    network.predict(np.ones((1, 2)))
    del network
    assert left() is None
    assert len(alive()) == resting


GROWTH = """
import gc, os, threading, numpy as np, fastbp
gc.disable()
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 2**20
X, Y = np.ones((40_000, 250), np.int16), np.ones((40_000, 1))  # 20 MB, and 80 MB as float64
sizes = []
for _ in range(6):
    network = fastbp.Network([250, 1], output_activation="identity", seed=0)
    fastbp.train(network, X, Y, epochs=1, batch_size=1000, optimizer=fastbp.SGD(1e-6), threads=2)
    sizes.append(resident())
print(sizes[-1] - sizes[0], threading.active_count())
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="Linux tells the resident size")
def test_the_process_does_not_grow_from_training_to_training():
    grown, threads = map(int, run(GROWTH)[0].split())
    assert grown < 60  # less than one converted X, in MB
    assert threads == 1
