"""Exclusive or, from 20 random starts: solved from every one, in some milliseconds each.

python examples/xor.py
"""

import numpy as np

import fastbp

X, Y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([[0], [1], [1], [0]])


def solved(seed: int) -> bool:
    """Train from one start, and return whether all four outputs are right."""
    network = fastbp.Network([2, 8, 1], hidden_activation="tanh", loss="binary_cross_entropy", seed=seed)
    fastbp.train(network, X, Y, epochs=1000, optimizer=fastbp.Adam(0.05), seed=seed)
    return bool((network.predict(X).round() == Y).all())


def main(starts: int = 20) -> int:
    """Train from all starts, and return how many solve it."""
    n_solved = sum(solved(seed) for seed in range(starts))
    print(f"exclusive or: solved from {n_solved} of {starts} starts")
    return n_solved


if __name__ == "__main__":
    main()
