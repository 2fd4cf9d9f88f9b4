"""Predictions, losses and gradients of many rows: in chunks, between which Ctrl-C is answered."""

import signal

import numpy as np
import pytest

from fastbp import Network
from fastbp.engine import evaluation, team
from fastbp.engine.team import Team

EVALUATIONS = {
    "predict": lambda network, X, Y: network.predict(X),
    "loss": lambda network, X, Y: network.loss(X, Y),
    "gradient": lambda network, X, Y: network.gradient(X, Y),
}


@pytest.fixture
def samples():
    generator = np.random.default_rng(0)
    return generator.normal(size=(5000, 7)), generator.normal(size=(5000, 3))


@pytest.fixture
def network():
    return Network([7, 33, 3], hidden_activation="tanh", output_activation="identity", seed=0)


@pytest.fixture
def calls(monkeypatch):
    """Make chunks as small as they can be, and list the calls of the kernel."""
    monkeypatch.setattr(evaluation, "CHUNK_WORK", 0.0)
    monkeypatch.setattr(team, "CHUNK_SECONDS", 0.0)
    listed, run = [], Team.run

    def watched(self, *arguments):
        run(self, *arguments)
        listed.append(self)
        if len(listed) == press_at[0]:
            signal.raise_signal(signal.SIGINT)

    press_at = [0]
    monkeypatch.setattr(Team, "run", watched)
    return listed, press_at


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_chunks_change_no_bit(dtype, threads, samples, monkeypatch):
    X, Y = samples
    network = Network([7, 33, 3], hidden_activation="tanh", output_activation="identity", dtype=dtype, seed=0)

    def evaluated() -> bytes:
        options = {"threads": threads}
        results = (
            network.predict(X, **options),
            network.loss(X, Y, **options),
            network.gradient(X, Y, **options),
        )
        return b"".join(np.asarray(result).tobytes() for result in results)

    whole = evaluated()
    for work, seconds in ((0.0, 0.0), (1e5, 1e-5)):
        monkeypatch.setattr(evaluation, "CHUNK_WORK", work)
        monkeypatch.setattr(team, "CHUNK_SECONDS", seconds)
        assert evaluated() == whole


@pytest.mark.parametrize("name", EVALUATIONS)
def test_ctrl_c_is_answered_between_two_chunks(name, samples, network, calls):
    listed, press_at = calls
    EVALUATIONS[name](network, *samples)
    assert len(listed) >= 4
    listed.clear()
    press_at[0] = 3
    with pytest.raises(KeyboardInterrupt):
        EVALUATIONS[name](network, *samples)
    assert len(listed) == 3


def test_rows_are_predicted_in_one_call_only_if_they_are_little_work():
    few = [
        Network(sizes, initializer="zeros")._few_rows
        for sizes in ([7, 33, 3], [3000, 1000], [11_000, 10_000])
    ]
    assert few == [64, 33, 0]
