"""What paired times say: the median ratio, and how sure one may be of it."""

from dataclasses import asdict, dataclass

import numpy as np

RESAMPLES = 4000
CONFIDENCE = 95.0

FEW = 5
"""Fewer medians than this have no interval worth the name."""


@dataclass(frozen=True)
class Interval:
    """A median, and the ends of its bootstrap interval."""

    median: float
    low: float
    high: float

    def contains(self, value: float) -> bool:
        return self.low <= value <= self.high

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


def median_interval(values) -> Interval:
    """Return the median and its 95 % percentile-bootstrap interval.

    Efron & Tibshirani (1993), An Introduction to the Bootstrap, chapter 13. The pairs are drawn with
    replacement, always by the same generator: the same times give the same interval.

    Examples
    --------
    >>> median_interval([2.0, 2.0, 2.0])
    Interval(median=2.0, low=2.0, high=2.0)
    """
    values = np.asarray(values, float)
    drawn = np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))
    medians = np.median(values[drawn], axis=1)
    low, high = np.percentile(medians, [50 - CONFIDENCE / 2, 50 + CONFIDENCE / 2])
    return Interval(float(np.median(values)), float(low), float(high))


def control_interval(groups: list[list[float]]) -> Interval:
    """Return the interval of the A/A control over all workloads.

    What is drawn is workloads, each with its median: two processes on the same code differ a little in where
    their arrays happen to lie, the same way in every pair of one workload, so pairs alone would
    promise more than is known. With too few workloads to draw from, pairs must do.
    """
    if len(groups) < FEW:
        return median_interval(np.concatenate(groups))
    return median_interval([float(np.median(group)) for group in groups])
