"""Runs in many threads and processes, and what a run needs of memory."""

import multiprocessing
import os
import signal
import tracemalloc
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

import fastbp
from fastbp import SGD, Adam, Network

KINDS = ["fast", "exact", "layered"]


def train(kind: str, seed: int, steps: int = 30_000) -> bytes:
    """Train a network on data of its own, all made from the seed, and return the bits of its parameters."""
    generator = np.random.default_rng(seed)
    n_samples = 1 + seed % 5
    X, Y = generator.uniform(-1, 1, (n_samples, 2)), generator.uniform(0, 1, (n_samples, 2))
    if kind == "layered":
        network = Network([2, 5, 2], hidden_activation="tanh", seed=seed)
        options = {"batch_size": 2, "optimizer": Adam(learning_rate=0.01), "steps": steps // 30}
    else:
        network = Network([2, 2, 2], seed=seed)
        options = {"batch_size": 1, "optimizer": SGD(learning_rate=0.5), "math": kind, "steps": steps}
    fastbp.train(network, X, Y, seed=seed, **options)
    return network.theta.tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_gives_the_same_bits(kind):
    assert train(kind, 4) == train(kind, 4)


@pytest.mark.parametrize("kind", KINDS)
def test_seed_of_the_shuffle_matters(kind):
    def shuffled(seed):
        network = Network([2, 2 if kind != "layered" else 3, 1 if kind == "layered" else 2], seed=0)
        X = np.random.default_rng(0).uniform(size=(9, 2))
        Y = X[:, : network.n_outputs]
        math = "fast" if kind == "layered" else kind
        options = {"batch_size": 1, "optimizer": SGD(learning_rate=0.5), "math": math, "steps": 100}
        fastbp.train(network, X, Y, seed=seed, **options)
        return network.theta.tobytes()

    assert shuffled(1) == shuffled(1)
    assert len({shuffled(seed) for seed in (0, 1, 2, None)}) == 4


@pytest.mark.parametrize("kind", KINDS)
def test_eight_threads_train_at_once(kind):
    with ThreadPoolExecutor(8) as threads:
        trained = list(threads.map(train, [kind] * 24, range(24)))
    assert trained == [train(kind, seed) for seed in range(24)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the process is forked")
def test_run_with_threads_goes_on_in_both_processes_after_a_fork():
    X = np.linspace(0, 1, 20).reshape(10, 2)
    children = []

    def fork(state):
        if state.epoch == 3:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # from Python 3.12 on, of forks beside threads
                children.append(os.fork())
            if children == [0]:
                signal.alarm(60)  # ends a child that hangs

    def run(callbacks):
        network = Network([2, 5, 2], seed=0)
        fastbp.train(network, X, X, epochs=9, optimizer=Adam(0.01), threads=2, callbacks=callbacks)
        return network.theta.tobytes()

    whole, same = run([]), False
    try:
        same = run([fork]) == whole
    finally:
        if children == [0]:
            os._exit(not same)
    assert same
    assert os.waitpid(children[0], 0)[1] == 0


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_may_fork_or_spawn(method):
    """After this process has compiled, trained and used threads."""
    test_eight_threads_train_at_once("fast")
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(2, mp_context=context) as processes:
        trained = list(processes.map(train, KINDS * 2, range(6)))
    assert trained == [train(kind, seed) for kind, seed in zip(KINDS * 2, range(6), strict=True)]


def diverge():
    network = Network([2, 2, 2], initializer="zeros")
    fastbp.train(network, [[1, 1]], [[1e150, 0.5]], steps=9, optimizer=SGD(learning_rate=1e200))


def test_divergence_in_a_worker_reaches_the_one_who_asked():
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as processes:
        error = processes.submit(diverge).exception()
    assert isinstance(error, fastbp.DivergenceError)
    assert error.step == 1


@pytest.mark.parametrize("kind", ["fast", "exact"])
def test_long_runs_need_no_more_memory_than_short_ones(kind):
    def peak(steps):
        tracemalloc.start()
        train(kind, 7, steps)
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    peak(30_000)
    assert peak(6_000_000) < peak(60_000) + 100_000
