import numpy as np
import pytest

from fastbp import OptionError
from fastbp.greedy_selection import greedy_selection

TARGET = np.random.default_rng(0).normal(size=(40, 2))


def losses(outputs: np.ndarray) -> np.ndarray:
    return ((outputs - TARGET) ** 2).mean(axis=(1, 2))


def by_hand(outputs: np.ndarray, size: int) -> np.ndarray:
    """Caruana's algorithm, word for word."""
    chosen, trace = [], []
    for _ in range(size):
        each = [losses(np.mean([*(outputs[j] for j in chosen), one], axis=0)[None])[0] for one in outputs]
        chosen.append(int(np.argmin(each)))
        trace.append(min(each))
    chosen = chosen[: int(np.argmin(trace)) + 1]
    return np.bincount(chosen, minlength=len(outputs))


@pytest.mark.parametrize("seed", range(8))
def test_it_selects_what_the_algorithm_says(seed):
    generator = np.random.default_rng(seed)
    outputs = TARGET + generator.normal(size=(12, 40, 2)) * generator.uniform(0.2, 2, (12, 1, 1))
    counts = greedy_selection(outputs, losses, 15)
    assert counts.tolist() == by_hand(outputs, 15).tolist()
    ensemble = (counts[:, None, None] * outputs).sum(axis=0) / counts.sum()
    assert losses(ensemble[None])[0] < losses(outputs).min()


def test_networks_that_diverged_are_never_selected(monkeypatch):
    monkeypatch.setattr("fastbp.greedy_selection.NUMBERS_AT_ONCE", 100)
    outputs = np.array([np.full((40, 2), np.nan), TARGET + 1, np.full((40, 2), np.inf), TARGET - 1])
    assert greedy_selection(outputs, losses, 5).tolist() == [0, 1, 0, 1]
    with pytest.raises(OptionError, match="no network has a finite loss"):
        greedy_selection(outputs[[0, 2]], losses, 5)
