"""The same coefficients as scikit-learn's, side by side with the time that each took.

python examples/scikit_learn.py
"""

import time
import warnings

import numpy as np
from sklearn import neural_network
from sklearn.datasets import load_iris

import fastbp


def main(max_iter: int = 200) -> float:
    """Fit both, print what they found, and return the largest difference of two coefficients."""
    X, y = load_iris(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    options = {"hidden_layer_sizes": (4,), "batch_size": 16, "max_iter": max_iter, "random_state": 0}
    fastbp.MLPClassifier(**(options | {"max_iter": 1})).fit(X, y)  # compiles, once on a machine
    found, seconds = [], []
    for cls in (neural_network.MLPClassifier, fastbp.MLPClassifier):
        started = time.perf_counter()
        found.append(cls(**options).fit(X, y))
        seconds.append(time.perf_counter() - started)
    theirs, ours = found
    print(f"{'':24}{'scikit-learn':>22}{'fastbp':>22}")
    for layer, (W, V) in enumerate(zip(theirs.coefs_, ours.coefs_, strict=True)):
        for (i, j), weight in np.ndenumerate(W):
            print(f"coefs_[{layer}][{i}, {j}]".ljust(24) + f"{weight:22.15f}{V[i, j]:22.15f}")
    print(f"{'loss_':24}{theirs.loss_:22.15f}{ours.loss_:22.15f}")
    print(f"{'n_iter_':24}{theirs.n_iter_:22}{ours.n_iter_:22}")
    print(f"{'milliseconds':24}{1e3 * seconds[0]:22.1f}{1e3 * seconds[1]:22.1f}")
    return max(float(abs(W - V).max()) for W, V in zip(theirs.coefs_, ours.coefs_, strict=True))


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # 200 epochs are enough to compare
    main()
