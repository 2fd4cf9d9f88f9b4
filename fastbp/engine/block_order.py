"""The order of samples that are on a disk: near ones are visited together, so that it reads large pieces."""

import math

import numpy as np

BLOCK_BYTES, WINDOW_BYTES = 2**20, 2**26
"""Bytes of a block of consecutive samples, and of the blocks whose samples are shuffled together."""


class BlockOrder:
    """Returns the order of the samples of each epoch.

    Blocks of consecutive samples come in a random order. The samples of the next 64 blocks, some 64 MiB, are
    shuffled together. A random order of all samples reads a page of the disk for each of them.

    Parameters
    ----------
    n_samples : int
    sample_bytes : int
        The bytes of a row of X.
    seed : int or None
        None is as 0.

    Examples
    --------
    >>> order = BlockOrder(10, 2**19, seed=0)
    >>> sorted(order(0).tolist()) == list(range(10)), order(0).tolist() == order(1).tolist()
    (True, False)
    """

    def __init__(self, n_samples: int, sample_bytes: int, seed: int | None):
        self._n_samples, self._seed = n_samples, seed or 0
        self._block = max(1, BLOCK_BYTES // sample_bytes)
        self._window = max(1, WINDOW_BYTES // (self._block * sample_bytes))

    def __call__(self, epoch: int) -> np.ndarray:
        """Return the order of epoch `epoch`, counted from 0. It depends on nothing but that and the seed."""
        generator = np.random.default_rng([self._seed, epoch])
        n, size = self._n_samples, self._block
        blocks = generator.permutation(math.ceil(n / size))
        order, end = np.empty(n, np.int64), 0
        for first in range(0, len(blocks), self._window):
            begin = end
            for block in blocks[first : first + self._window]:
                start, stop = block * size, min(n, (block + 1) * size)
                order[end : end + stop - start] = np.arange(start, stop)
                end += stop - start
            generator.shuffle(order[begin:end])
        return order
