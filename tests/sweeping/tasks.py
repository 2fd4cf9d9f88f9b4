"""Small sweeps that several tests share: one type and few shapes, so that kernels are compiled once."""

import numpy as np

from fastbp import spaces

SPACE = {
    "hidden": [4, (6, 3)],
    "activation": ["relu", "tanh"],
    "learning_rate": spaces.LogUniform(1e-3, 1e-1),
    "l2": spaces.LogUniform(1e-6, 1e-2),
    "batch_size": [16],
}

OPTIONS = {"epochs": 9, "shard_size": 20, "seed": 3, "progress": False}


def data(n: int = 120) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(5)
    X = generator.normal(3.0, 2.0, (n, 3))
    return X, np.sin(X[:, 0]) + 0.3 * X[:, 1] + 0.1 * generator.normal(size=n)


def same(one, other) -> bool:
    """Return whether two results are the same to the bit."""
    return (
        one.scores.tobytes() == other.scores.tobytes()
        and one.epochs.tolist() == other.epochs.tolist()
        and one.order.tolist() == other.order.tolist()
    )
