"""Handwritten digits of 8 x 8 pixels (scikit-learn's): 97 % and more of the test images, in half a second.

python examples/digits.py
"""

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import fastbp


def main(dtype: str = "float32", seed: int = 0) -> float:
    """Train, and return the accuracy on the test images."""
    X, labels = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        X / 16, labels, test_size=0.25, random_state=0, stratify=labels
    )
    network = fastbp.Network(
        [64, 128, 10],
        hidden_activation="relu",
        output_activation="softmax",
        loss="categorical_cross_entropy",
        initializer="he_uniform",
        dtype=dtype,
        seed=seed,
    )
    result = fastbp.train(
        network, X_train, y_train, epochs=60, batch_size=32, optimizer=fastbp.Adam(), l2=1e-4, seed=seed
    )
    accuracy = float((network.predict(X_test).argmax(axis=1) == y_test).mean())
    print(f"digits: {accuracy:.1%} of the test images after {result.n_steps:,} steps, {result.seconds:.2f} s")
    return accuracy


if __name__ == "__main__":
    main()
