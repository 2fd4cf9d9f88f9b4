"""Statistics of paired times: the median ratio and its confidence interval."""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike

RESAMPLES = 4000
CONFIDENCE = 95.0


@dataclass(frozen=True)
class Interval:
    """A median, and the ends of its bootstrap interval."""

    median: float
    low: float
    high: float

    def contains(self, value: float) -> bool:
        """Return whether a value lies between the ends."""
        return self.low <= value <= self.high

    def as_dict(self) -> dict[str, float]:
        """Return median, low and high by name."""
        return asdict(self)


def median_interval(values: ArrayLike) -> Interval:
    """Return the median and its 95 % percentile-bootstrap interval.

    Efron & Tibshirani (1993), An Introduction to the Bootstrap, chapter 13. Values are drawn with
    replacement, always with the same seed, so the same times give the same interval.

    Examples
    --------
    >>> median_interval([2.0, 2.0, 2.0])
    Interval(median=2.0, low=2.0, high=2.0)
    """
    numbers = np.asarray(values, float)
    drawn = np.random.default_rng(0).integers(0, len(numbers), (RESAMPLES, len(numbers)))
    medians = np.median(numbers[drawn], axis=1)
    low, high = np.percentile(medians, [50 - CONFIDENCE / 2, 50 + CONFIDENCE / 2])
    return Interval(float(np.median(numbers)), float(low), float(high))
