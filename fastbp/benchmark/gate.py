"""The gate: a contender that does not reach the reference's parameters gets no number."""

from collections.abc import Callable, Mapping

import numpy as np

TOLERANCE = {"float64": 1e-9, "float32": 1e-4}
"""Largest allowed distance from the float64 reference, divided by the reference's distance from the start.

On the 2-2-2 network, contenders differ by up to 5e-16 and 2e-6, because each rounds in its own order. The
nearest wrong result, an update in another order, differs by 2e-3.
"""


def distance(theta: np.ndarray, reference: np.ndarray, start: np.ndarray) -> float:
    """Return |theta - reference| / |reference - start|, Euclidean; infinite if theta has another shape."""
    if theta.shape != reference.shape:
        return float("inf")
    with np.errstate(all="ignore"):
        gap = np.linalg.norm(theta.astype(np.float64) - reference) / np.linalg.norm(reference - start)
    return float(gap) if np.isfinite(gap) else float("inf")


def judge(
    train: Callable[[int], np.ndarray],
    references: Mapping[int, np.ndarray],
    start: np.ndarray,
    tolerance: float,
) -> tuple[str, float]:
    """Train for each of the reference's numbers of steps, and compare.

    Parameters
    ----------
    train : callable
        Takes a number of steps from the start, and returns theta.
    references : mapping of int to ndarray
        The float64 reference's theta after so many steps.
    start : ndarray
        Theta before the first step, in float64.
    tolerance : float

    Returns
    -------
    reason : str
        Which distance is too large; "" if none is.
    gap : float
        The largest distance.
    """
    gaps = {steps: distance(train(steps), reference, start) for steps, reference in references.items()}
    for steps, gap in gaps.items():
        if not gap <= tolerance:
            return (
                f"after {steps:,} steps its parameters are {gap:.1e} of the way from the reference's "
                f"(allowed: {tolerance:.0e})"
            ), max(gaps.values())
    return "", max(gaps.values())
