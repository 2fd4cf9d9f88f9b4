"""Ensembles by greedy selection: which networks to average, and how often to count each.

Caruana, Niculescu-Mizil, Crew & Ksikes (2004), "Ensemble selection from libraries of models",
https://doi.org/10.1145/1015330.1015432: begin with nothing; again and again add the network, one that is in
already or a new one, with which the mean of all outputs has the lowest loss. Networks that were added twice
count twice.
"""

from collections.abc import Callable

import numpy as np

from fastbp.errors import OptionError, check_integer

Losses = Callable[[np.ndarray], np.ndarray]
"""A function of outputs, shape (n, n_samples, n_outputs), that returns the loss of each; float64[n]."""

NUMBERS_AT_ONCE = 2**22
"""Mean outputs are formed for some networks at a time: so many numbers."""


@np.errstate(all="ignore")
def greedy_selection(outputs: np.ndarray, losses: Losses, size: int) -> np.ndarray:
    """Return how often each network counts in the best ensemble that greedy selection finds.

    Parameters
    ----------
    outputs : ndarray, shape (n_networks, n_samples, n_outputs)
        The outputs of each network for samples that it was not trained on.
    losses : callable
        Returns the loss of each of several outputs.
    size : int
        The most members, counted as often as they were added. The ensemble with the lowest loss on the way
        there is taken; of equal ones, the smallest.

    Returns
    -------
    int64[n_networks]
        Their sum is at least 1 and at most `size`.

    Raises
    ------
    OptionError
        If no network has a finite loss.

    Examples
    --------
    >>> target = np.array([[1.0], [0.0]])
    >>> outputs = np.array([[[0.8], [0.2]], [[1.3], [-0.3]], [[0.0], [1.0]]])
    >>> greedy_selection(outputs, lambda means: ((means - target) ** 2).mean(axis=(1, 2)), size=10).tolist()
    [3, 2, 0]
    """
    n_networks = len(outputs)
    size = check_integer("size", size, 1)
    counts = np.zeros(n_networks, np.int64)
    total = np.zeros(outputs.shape[1:], np.float64)
    best_loss, best_counts = np.inf, counts
    for n_members in range(1, size + 1):
        found = _losses_with_one_more(total, outputs, n_members, losses)
        added = int(np.argmin(found))
        if not np.isfinite(found[added]):
            break
        counts[added] += 1
        total += outputs[added]
        if found[added] < best_loss:
            best_loss, best_counts = float(found[added]), counts.copy()
    if not np.isfinite(best_loss):
        raise OptionError("no network has a finite loss, so there is none to select")
    return best_counts


def _losses_with_one_more(
    total: np.ndarray, outputs: np.ndarray, n_members: int, losses: Losses
) -> np.ndarray:
    """Return the loss of the mean with each network added, infinite where it is not a number."""
    at_once = max(1, NUMBERS_AT_ONCE // max(1, total.size))
    parts = [
        losses((total + outputs[start : start + at_once]) / n_members)
        for start in range(0, len(outputs), at_once)
    ]
    found = np.concatenate(parts)
    return np.where(np.isfinite(found), found, np.inf)
