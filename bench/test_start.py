"""Start: the time of a new process until it has trained the worked example.

Compiled kernels are stored on disk, so only the first process on a machine compiles.
"""

import os
import subprocess
import sys

import pytest

from fastbp.worked_example import FIGURES

TRAIN = """
import fastbp
from fastbp import worked_example as example

network = example.network()
sgd = fastbp.SGD(learning_rate=example.LEARNING_RATE)
options = {"steps": example.ROUNDS, "optimizer": sgd, "update": "sequential"}
print(fastbp.train(network, example.X, example.Y, **options).loss)
"""

(EXPECTED_LOSS,) = (figure.computed for figure in FIGURES if figure.rounds > 1 and figure.quantity == "E")


def run(code, cache):
    """Run code in a new Python process whose compiled kernels are in a folder; return its output."""
    process = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"NUMBA_CACHE_DIR": str(cache)},
        check=True,
        capture_output=True,
        text=True,
    )
    return process.stdout


def train_worked_example(cache):
    assert float(run(TRAIN, cache)) == pytest.approx(EXPECTED_LOSS, rel=1e-9)


@pytest.fixture(scope="module")
def warm_cache(tmp_path_factory):
    cache = tmp_path_factory.mktemp("warm")
    train_worked_example(cache)
    return cache


@pytest.mark.benchmark(group="start")
@pytest.mark.parametrize("code", ["pass", "import numpy", "import numba", "import fastbp"])
def test_import(benchmark, code, warm_cache):
    benchmark.pedantic(run, (code, warm_cache), rounds=5, warmup_rounds=1)


@pytest.mark.benchmark(group="start")
def test_worked_example_with_compiled_kernels(benchmark, warm_cache):
    benchmark.pedantic(train_worked_example, (warm_cache,), rounds=5, warmup_rounds=1)


@pytest.mark.benchmark(group="start")
def test_worked_example_with_compilation(benchmark, tmp_path_factory):
    def empty_cache():
        return (tmp_path_factory.mktemp("empty"),), {}

    benchmark.pedantic(train_worked_example, setup=empty_cache, rounds=3)
