"""The order of networks by a score: the lowest first, and what is not a number last."""

import numpy as np

from fastbp.errors import OptionError, check_integer


def best_first(scores: np.ndarray, k: int) -> np.ndarray:
    """Return the numbers of the k networks with the lowest scores; of equal ones, the first come first.

    Examples
    --------
    >>> best_first(np.array([0.5, np.nan, 0.1, 0.5]), 3).tolist()
    [2, 0, 3]
    """
    n = check_integer("k", k, 1)
    if n > len(scores):
        raise OptionError(f"k is {n}, and there are {len(scores)} networks")
    return np.argsort(scores, kind="stable")[:n]
