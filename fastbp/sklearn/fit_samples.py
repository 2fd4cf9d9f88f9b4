"""What a fit trains on: samples, and their order in each epoch."""

from typing import Any, Self

import numpy as np

from fastbp.kernels.as_numpy import shuffle_as_numpy
from fastbp.memory import address_in


class Samples:
    """What is trained on.

    Attributes
    ----------
    X : ndarray or CSR matrix, shape (n_samples, n_features)
    Y : ndarray
        Class numbers of int64, or targets of the network's type, C-contiguous.
    weights : ndarray of float64 or None
    n : int
        How many samples there are.
    """

    def __init__(self, X: Any, Y: np.ndarray, weights: np.ndarray | None = None):
        self.X, self.Y, self.weights, self.n = X, Y, weights, int(X.shape[0])

    def take(self, rows: np.ndarray) -> "Samples":
        """Return some of them, as copies."""
        return Samples(self.X[rows], self.Y[rows], None if self.weights is None else self.weights[rows])


NO_SAMPLES = Samples(np.empty((0, 0)), np.empty(0))


class Shuffles:
    """The order of each epoch: each shuffles that of the epoch before.

    scikit-learn shuffles the places, and takes the samples that were there: the same swaps, the same order.

    Attributes
    ----------
    order : ndarray of int64
        That of the last epoch.
    may_be_spare : bool
        Whether orders may be drawn for epochs that are never trained: nobody else draws from the generator.
    """

    def __init__(self, n_samples: int, generator: np.random.RandomState, may_be_spare: bool = False):
        self.order, self._generator = np.arange(n_samples, dtype=np.int64), generator
        self.may_be_spare = may_be_spare

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> np.ndarray:
        return self.several(1)[0]

    def several(self, n_epochs: int) -> np.ndarray:
        """Return the orders of the next epochs, as rows."""
        orders = np.empty((n_epochs, len(self.order)), np.int64)
        generator = self._generator
        if type(generator) is np.random.RandomState:
            bits = generator._bit_generator
            c = bits.ctypes
            with bits.lock:
                shuffle_as_numpy(address_in(c.next_uint32), c.state_address, self.order, orders)
        else:  # a class that may shuffle in another way
            for row in orders:
                generator.shuffle(self.order)
                row[:] = self.order
        return orders


class CheckedShuffles(Shuffles):
    """Orders of samples of which some have no weight: a batch of only such ones is a `ZeroDivisionError`.

    So an order may be drawn only if its epoch is trained.
    """

    def __init__(self, generator: np.random.RandomState, weights: np.ndarray, batch_size: int):
        super().__init__(len(weights), generator)
        self._weights, self._batch_size = weights, batch_size

    def several(self, n_epochs: int) -> np.ndarray:
        """Return the orders of the next epochs, as rows."""
        orders = super().several(n_epochs)
        for order in orders:
            check_batches(self._weights[order], self._batch_size)
        return orders


def check_batches(weights: np.ndarray, batch_size: int) -> None:
    """Raise `ZeroDivisionError`, as scikit-learn does, if all weights of a batch are 0."""
    if not np.add.reduceat(weights, np.arange(0, len(weights), batch_size)).all():
        raise ZeroDivisionError("Weights sum to zero, can't be normalized: those of a whole batch are 0")


def orders_of(
    samples: Samples, generator: np.random.RandomState | None, batch_size: int, is_private: bool
) -> Shuffles | None:
    """Return the orders of the epochs; None if samples stay in their order.

    `is_private` says that nobody else draws from the generator.
    """
    weights = samples.weights
    if weights is not None and weights.min() <= 0:
        if generator is not None:
            return CheckedShuffles(generator, weights, batch_size)
        check_batches(weights, batch_size)
    return None if generator is None else Shuffles(samples.n, generator, is_private)
