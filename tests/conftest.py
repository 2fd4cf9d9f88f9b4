"""What all tests share."""

import os
import re
import signal
import subprocess
import sys
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import fastbp
from fastbp.benchmark.cases import WORKED_EXAMPLE, Case
from fastbp.engine.team import OVERSUBSCRIBE
from fastbp.specification import DTYPES

os.environ[OVERSUBSCRIBE] = "1"  # tests of three threads, on machines of two cores

# Shells let what they run in the background ignore SIGINT, and nohup ignores SIGHUP; children inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")  # no test fails because a machine is slow


AT_OTHER_WIDTHS = (
    "tests/hostile/test_configurations.py",
    "tests/kernels/test_widths.py",
    "tests/training/test_processors.py",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--one-in", type=int, default=1, metavar="N", help="run one in N cases of each test")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Before several workers begin, compile all kernels once: else two would compile the same one at once."""
    if session.config.getoption("numprocesses", None) and not hasattr(session.config, "workerinput"):
        commands = [[sys.executable, "-m", "fastbp", "warmup", "--dtype", dtype] for dtype in DTYPES]
        for process in [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in commands]:
            assert process.wait() == 0


@pytest.hookimpl(trylast=True)  # after -k has chosen
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put tests of other widths first, and leave out cases by their names, random ones, the same each time.

    Tests of other widths compile for them. One after the other, in one worker, they compile everything once.
    One case of each test stays.
    """
    items.sort(key=lambda item: not item.nodeid.startswith(AT_OTHER_WIDTHS))
    n = config.getoption("--one-in")
    if n > 1:
        chosen: dict[str, list[pytest.Item]] = {}
        for item in items:
            chosen.setdefault(item.nodeid.split("[")[0], []).append(item)
        items[:] = [
            item
            for cases in chosen.values()
            for i, item in enumerate(cases)
            if i == 0 or zlib.crc32(item.nodeid.encode()) % n == 0
        ]


def described(value: object) -> str:
    """Return a parameter's name for a test: the same in every process, so without addresses of functions."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(value))


@pytest.fixture
def worked() -> Case:
    return WORKED_EXAMPLE


@pytest.fixture
def many() -> Case:
    """A task of 300 generated samples."""
    generator = np.random.default_rng(5)
    X = generator.uniform(-1, 1, (300, 2))
    Y = np.column_stack([X[:, 0] * X[:, 1] > 0, X[:, 0] + X[:, 1] > 0]) * 0.8 + 0.1
    theta = generator.uniform(-1, 1, 12)
    return Case("300 samples", X, Y, theta, bias="trainable")


def train(case: Case, **options) -> tuple[fastbp.Network, fastbp.TrainingResult]:
    """Train a case's network, one sample a step, in order unless told otherwise."""
    network = case.network()
    defaults = {"batch_size": 1, "shuffle": False, "update": case.update}
    optimizer = fastbp.SGD(learning_rate=case.learning_rate)
    result = fastbp.train(network, case.X, case.Y, optimizer=optimizer, **(defaults | options))
    return network, result


@pytest.fixture(name="train")
def train_fixture():
    return train
