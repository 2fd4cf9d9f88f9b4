"""What is done after epochs costs: validation, callbacks, and a recipe of 1994. Run ``python -m bench.ends``.

The recipe is that of the Proben1 report (L. Prechelt 1994, Technical Report 21/94, Universität Karlsruhe):
half of the rows train, a quarter decides when to stop, a quarter is the test; RPROP on full batches, the
validation loss after every fifth epoch, the rule GL5, an end when training makes no progress or after 3000
epochs, and the parameters of the lowest validation loss.
"""

import argparse
import json
import time
from statistics import median
from typing import Any, NamedTuple

import numpy as np

import fastbp
from fastbp import RPROP, EarlyStopping

NETWORKS = {"1-5-1": (41, 1000), "9-8-2": (350, 200), "9-4-2-2": (350, 200)}
"""Small networks, how many rows train, and how many epochs a run has: some milliseconds.

Of many short runs, some are disturbed by nothing else on the machine.
"""

LOOKS = ("bare", "callback", "validation of 1 row", "validation")

RECIPE: dict[str, Any] = {
    "epochs": 3000,
    "optimizer": RPROP(),
    "every": 5,
    "early_stopping": EarlyStopping(rule="GL5 | LowProgress(0.1)"),
}

SETS = {"breast_cancer": (4, 2), "iris": (4,), "wine": (4,), "diabetes": (8,)}
"""Data sets of scikit-learn, and the hidden layers."""

OF_REPORT = 40
"""How many data sets the report has."""


def options_of(look: str, generator: np.random.Generator, sizes: list[int], n_rows: int) -> dict[str, Any]:
    """Return what a run does after its epochs; half as many rows validate as train."""
    if look == "callback":
        return {"callbacks": [lambda state: None]}
    if look == "bare":
        return {}
    n = 1 if look == "validation of 1 row" else n_rows // 2
    return {"validation_data": (generator.normal(size=(n, sizes[0])), generator.uniform(size=(n, sizes[-1])))}


def epoch_microseconds(name: str, repeats: int) -> dict[str, float]:
    """Return the microseconds of an epoch for each look: the least of some runs, interleaved."""
    sizes, (n_rows, epochs), generator = (
        [int(n) for n in name.split("-")],
        NETWORKS[name],
        np.random.default_rng(0),
    )
    X, Y = generator.normal(size=(n_rows, sizes[0])), generator.uniform(size=(n_rows, sizes[-1]))
    looks = {look: options_of(look, generator, sizes, n_rows) for look in LOOKS}
    found: dict[str, list[float]] = {look: [] for look in LOOKS}
    for repeat in range(repeats + 1):
        for look, options in looks.items():
            network = fastbp.Network(sizes, seed=0)
            result = fastbp.train(network, X, Y, epochs=epochs, optimizer=RPROP(), progress=False, **options)
            if repeat:  # the first one loads kernels
                found[look].append(1e6 * result.seconds / epochs)
    return {look: min(seconds) for look, seconds in found.items()}


class Recipe(NamedTuple):
    """The outcome of the recipe on a data set."""

    cpu_seconds: float
    epochs: float
    error: float
    spread: float


def data_of(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return scaled inputs, and class labels or a scaled target."""
    from sklearn import datasets

    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    if name == "diabetes":
        return X, ((y - y.min()) / (y.max() - y.min()))[:, np.newaxis]
    return X, y


def recipe(name: str, runs: int) -> Recipe:
    """Train by the recipe from so many seeds; return the CPU seconds of all, and the error on the test rows.

    The error is the share of rows of another class, or the root of the mean squared error.
    """
    X, y = data_of(name)
    order = np.random.default_rng(0).permutation(len(X))
    train, validation, test = np.split(order, [len(X) // 2, len(X) * 3 // 4])
    n_outputs = int(y.max()) + 1 if y.ndim == 1 else 1
    kind = {"hidden_activation": "sigmoid", "output_activation": "sigmoid"}
    if y.ndim == 1:
        kind |= {"output_activation": "softmax", "loss": "categorical_cross_entropy"}
    epochs, errors, started = [], [], time.process_time()
    for seed in range(runs):
        network = fastbp.Network([X.shape[1], *SETS[name], n_outputs], seed=seed, **kind)
        samples = X[train], y[train]
        result = fastbp.train(
            network, *samples, seed=seed, validation_data=(X[validation], y[validation]), **RECIPE
        )
        outputs = network.predict(X[test])
        wrong = (outputs.argmax(axis=1) != y[test]) if y.ndim == 1 else (outputs - y[test]) ** 2
        errors.append(float(wrong.mean() if y.ndim == 1 else np.sqrt(wrong.mean())))
        epochs.append(result.n_steps)
    spent = time.process_time() - started
    return Recipe(spent, median(epochs), float(np.mean(errors)), float(np.std(errors)))


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description="what is done after epochs costs")
    parser.add_argument("--repeats", type=int, default=200, help="runs of which the least counts")
    parser.add_argument("--runs", type=int, default=60, help="runs of the recipe on each data set")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    options = parser.parse_args()
    costs = {name: epoch_microseconds(name, options.repeats) for name in NETWORKS}
    recipe("iris", 1)  # loads kernels
    recipes = {name: recipe(name, options.runs) for name in SETS}
    per_set = sum(one.cpu_seconds for one in recipes.values()) / len(recipes) * 60 / options.runs
    if options.json:
        found = {name: one._asdict() for name, one in recipes.items()}
        report = {"epochs": costs, "recipe": found, "cpu_seconds_of_report": OF_REPORT * per_set}
        print(json.dumps(report, indent=2))
        return
    print(f"{'microseconds an epoch':24}" + "".join(f"{look:>22}" for look in LOOKS))
    for name, cost in costs.items():
        print(f"{f'{name}, {NETWORKS[name][0]} rows':24}" + "".join(f"{cost[look]:22.2f}" for look in LOOKS))
    print(f"\n{f'{options.runs} runs of':24}{'CPU seconds':>22}{'median epochs':>22}{'error':>22}")
    for name, one in recipes.items():
        error = f"{one.error:.3f} +- {one.spread:.3f}"
        print(f"{name:24}{one.cpu_seconds:22.2f}{one.epochs:22.0f}{error:>22}")
    print(f"\n{OF_REPORT} such sets, 60 runs each: {OF_REPORT * per_set:.1f} CPU seconds")


if __name__ == "__main__":
    main()
