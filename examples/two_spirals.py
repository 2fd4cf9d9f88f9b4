"""Two spirals, three turns each (Lang & Witbrock 1988): told apart to the last point, in a second.

python examples/two_spirals.py
"""

import numpy as np

import fastbp


def spirals(n: int = 97) -> tuple[np.ndarray, np.ndarray]:
    """Return the points of both arms, and which arm they are on."""
    i = np.arange(n)
    angle, radius = i * np.pi / 16, 6.5 * (104 - i) / 104
    arm = np.column_stack([radius * np.sin(angle), radius * np.cos(angle)]) / 6.5
    return np.vstack([arm, -arm]), np.repeat([0, 1], n)


def main(seed: int = 0) -> float:
    """Train, and return the accuracy on the training points."""
    X, labels = spirals()
    network = fastbp.Network(
        [2, 32, 32, 2],
        hidden_activation="relu",
        output_activation="softmax",
        loss="categorical_cross_entropy",
        initializer="he_uniform",
        seed=seed,
    )
    result = fastbp.train(
        network, X, labels, epochs=3000, batch_size=32, optimizer=fastbp.Adam(0.005), seed=seed
    )
    accuracy = float((network.predict(X).argmax(axis=1) == labels).mean())
    print(f"two spirals: {accuracy:.1%} of the points after {result.n_steps:,} steps, {result.seconds:.2f} s")
    return accuracy


if __name__ == "__main__":
    main()
