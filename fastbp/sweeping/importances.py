"""What mattered in a sweep: how much of the variance of the results each hyper-parameter explains alone.

The results are ranks, so that single networks that diverged do not decide. A random forest predicts the rank
from the hyper-parameters. The share of one is the variance of the forest's mean prediction as a function of
this one, divided by the variance of its prediction: its main effect (Hutter, Hoos & Leyton-Brown 2014,
https://proceedings.mlr.press/v32/hutter14.html). What is missing to 1 are effects of several together.

Without scikit-learn, a share is that of the variance between ten bins of the hyper-parameter: the correlation
ratio. It differs little if trials are many.
"""

from typing import Any

import numpy as np

from fastbp.sweeping.leaderboard import OTHERS, Columns

MOST_TRIALS = 4000
"""So many trials are looked at, evenly spaced in the ranking."""

N_BINS = 10

N_TREES = 32

N_POINTS = 256
"""The forest's mean prediction is taken over so many trials."""


def importances(columns: Columns) -> dict[str, float]:
    """Return the share of each hyper-parameter that varies, the largest first.

    Examples
    --------
    >>> momentum = [i % 10 / 10 for i in range(1000)]
    >>> columns = {"rank": list(range(1000)), "l2": [i / 1000 for i in range(1000)], "momentum": momentum}
    >>> shares = importances(columns)
    >>> list(shares), shares["l2"] > 0.9, shares["momentum"] < 0.1
    (['l2', 'momentum'], True, True)
    """
    names = [name for name in columns if name not in OTHERS]
    n = len(columns["rank"])
    chosen = np.unique(np.linspace(0, n - 1, min(n, MOST_TRIALS)).round().astype(np.int64))
    X = np.column_stack([_numbers(columns[name])[chosen] for name in names]) if names else np.empty((0, 0))
    varying = [i for i in range(len(names)) if len(chosen) > 1 and len(np.unique(X[:, i])) > 1]
    ranks = np.asarray(columns["rank"], np.float64)[chosen]
    if not varying:
        return {}
    X = X[:, varying]
    predict = _forest(X, ranks)
    found = _main_effects(predict, X) if predict else [_between_bins(column, ranks) for column in X.T]
    pairs = zip((names[i] for i in varying), found, strict=True)
    return dict(sorted(pairs, key=lambda pair: -pair[1]))


def _numbers(values: list[Any]) -> np.ndarray:
    """Return a hyper-parameter as numbers; names and sizes become their places in order."""
    if all(isinstance(value, int | float) for value in values):
        return np.asarray(values, np.float64)
    texts = [repr(value) for value in values]
    places = {text: i for i, text in enumerate(sorted(set(texts)))}
    return np.array([places[text] for text in texts], np.float64)


def _forest(X: np.ndarray, ranks: np.ndarray) -> Any:
    """Return a function that predicts ranks, or None without scikit-learn."""
    try:
        from sklearn.ensemble import RandomForestRegressor
    except ImportError:
        return None
    forest = RandomForestRegressor(N_TREES, min_samples_leaf=max(1, len(X) // 200), random_state=0)
    return forest.fit(X, ranks).predict


def _main_effects(predict: Any, X: np.ndarray) -> list[float]:
    """Return the variance of the mean prediction over each column, as a share of that of all predictions."""
    rows = np.unique(np.linspace(0, len(X) - 1, min(len(X), N_POINTS)).round().astype(np.int64))
    generator = np.random.default_rng(0)
    some = X[generator.permutation(len(X))[: len(rows)]]
    total = float(np.var(predict(X)))
    shares = []
    for i in range(X.shape[1]):
        levels = np.quantile(X[:, i], (np.arange(32) + 0.5) / 32, method="inverted_cdf")
        values, weights = np.unique(levels, return_counts=True)
        means = []
        for value in values:
            changed = some.copy()
            changed[:, i] = value
            means.append(predict(changed).mean())
        mean = np.average(means, weights=weights)
        spread = np.average((np.array(means) - mean) ** 2, weights=weights)
        shares.append(float(spread / total) if total > 0 else 0.0)
    return shares


def _between_bins(column: np.ndarray, ranks: np.ndarray) -> float:
    """Return the share of the variance of the ranks that lies between bins of a column."""
    edges = np.unique(np.quantile(column, np.arange(1, N_BINS) / N_BINS, method="inverted_cdf"))
    bins = np.searchsorted(edges, column, "right" if len(np.unique(column)) <= N_BINS else "left")
    counts = np.bincount(bins)
    sums = np.bincount(bins, ranks)
    means = sums[counts > 0] / counts[counts > 0]
    total = np.var(ranks)
    return (
        float(np.average((means - ranks.mean()) ** 2, weights=counts[counts > 0]) / total) if total else 0.0
    )
