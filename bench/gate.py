"""The equality gate: a peer that did not train the same network gets no number."""

import numpy as np

TOLERANCE = {"float64": 1e-9, "float32": 2e-3}
"""How far a peer may end from the float64 reference, as a part of the way that the reference went.

Seen over the whole grid: at most 4e-13 in float64, and 1.4e-3 in float32 (784-512-512-10, where Adam makes a
step of full length of a gradient that is only rounding; 4e-4 elsewhere). A step too few is 1e-2 and more.
"""


def distance(theta: np.ndarray, reference: np.ndarray, start: np.ndarray) -> float:
    """Return |theta - reference| / |reference - start|, Euclidean; infinite if theta is no such vector."""
    if theta.shape != reference.shape:
        return float("inf")
    gap = float(np.linalg.norm(theta.astype(np.float64) - reference) / np.linalg.norm(reference - start))
    return gap if np.isfinite(gap) else float("inf")


def verdict(gaps: dict[int, float], dtype: str) -> str:
    """Return "" if all distances are within the tolerance, or say which is not."""
    for steps, gap in gaps.items():
        if not gap <= TOLERANCE[dtype]:
            return (
                f"after {steps:,} steps its parameters are {gap:.1e} of the way from the reference's "
                f"(allowed: {TOLERANCE[dtype]:.0e})"
            )
    return ""
