"""Outputs and losses of all networks of a population, and the moments of outputs over the networks."""

from collections.abc import Callable, Iterator

import numpy as np

from fastbp.engine.population_evaluation import PopulationEvaluation
from fastbp.engine.population_job import as_lanes
from fastbp.specification import Specification

BLOCK_NUMBERS = 2**22
"""Outputs of a block: 32 MB in float64. The bits of a mean depend on the blocks, and these on X alone."""


def outputs_of(
    specification: Specification,
    theta: np.ndarray,
    X: np.ndarray,
    *,
    threads: int | None = None,
    check: Callable[[], object] = lambda: None,
) -> np.ndarray:
    """Return the outputs of each network, shape (n_networks, n_samples, n_outputs).

    `check` is called every few milliseconds. What it raises comes out.
    """
    packed = as_lanes(theta, specification.dtype)
    return PopulationEvaluation(specification, packed, len(theta), threads).outputs(X, check)


def losses_of(
    specification: Specification,
    theta: np.ndarray,
    X: np.ndarray,
    Y: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    threads: int | None = None,
    check: Callable[[], object] = lambda: None,
) -> np.ndarray:
    """Return the loss of each network; weights are as `check_weights_of_networks` returns them."""
    packed = as_lanes(theta, specification.dtype)
    return PopulationEvaluation(specification, packed, len(theta), threads).losses(X, Y, weights, check)


def blocks(n_networks: int, numbers_a_network: int, numbers_a_block: int = BLOCK_NUMBERS) -> Iterator[slice]:
    """Yield the networks of one block after another."""
    n = max(1, numbers_a_block // numbers_a_network)
    for first in range(0, n_networks, n):
        yield slice(first, min(n_networks, first + n))


class Moments:
    """Mean and standard deviation of arrays that come in blocks.

    The moments of two blocks are combined as in Chan, Golub & LeVeque (1983), "Algorithms for computing the
    sample variance", https://doi.org/10.1080/00031305.1983.10483115.

    Parameters
    ----------
    shape : tuple of int
        The shape of an array.

    Examples
    --------
    >>> moments = Moments((1,))
    >>> moments.add(np.array([[1.0], [2.0]])), moments.add(np.array([[3.0]]))
    (None, None)
    >>> moments.mean, moments.std**2
    (array([2.]), array([0.66666667]))
    """

    def __init__(self, shape: tuple[int, ...]):
        self._n = 0
        self.mean = np.zeros(shape)
        self._squares = np.zeros(shape)

    def add(self, arrays: np.ndarray) -> None:
        """Take in a block of arrays."""
        n = len(arrays)
        mean = arrays.mean(axis=0, dtype=np.float64)
        self._squares += np.square(arrays - mean).sum(axis=0, dtype=np.float64)
        difference = mean - self.mean
        self._squares += difference * difference * (self._n * n / (self._n + n))
        self.mean += difference * (n / (self._n + n))
        self._n += n

    @property
    def std(self) -> np.ndarray:
        """The standard deviation, divided by the number of arrays."""
        return np.sqrt(self._squares / self._n)
