"""Which share of the processor's peak a training step of a large network reaches."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from fastbp.benchmark import roofline
from fastbp.benchmark.protocol import Progress, Protocol
from fastbp.network import Network
from fastbp.optimizers import Adam
from fastbp.specification import DTYPES
from fastbp.training.trainer import Trainer

LARGE = (((784, 128, 10), 128), ((784, 512, 512, 10), 128), ((1024, 1024, 1024, 10), 256))
"""The networks, with their batches: relu, softmax, and Adam."""


@dataclass(frozen=True)
class Share:
    """How fast a step was.

    Attributes
    ----------
    layer_sizes : tuple of int
    batch_size : int
    dtype : str
    seconds : float
        The shortest time of a step.
    gflops, peak : float
        Billions of operations a second: those of the step's matrix products, and the most that a loop of
        multiply-adds in registers reaches.
    """

    layer_sizes: tuple[int, ...]
    batch_size: int
    dtype: str
    seconds: float
    gflops: float
    peak: float

    @property
    def name(self) -> str:
        """The network and its batch."""
        return f"{'-'.join(map(str, self.layer_sizes))}, {self.batch_size}"

    @property
    def share(self) -> float:
        """The share of the peak, from 0 to 1."""
        return self.gflops / self.peak


def flops_per_step(layer_sizes: tuple[int, ...], batch_size: int) -> int:
    """Return the additions and multiplications of a step's matrix products.

    There are three products a layer: forward, backward, and the gradient of the weights. The first layer has
    no backward product.

    Examples
    --------
    >>> flops_per_step((2, 3, 1), 10)
    420
    """
    weights = [n_in * n_out for n_in, n_out in pairwise(layer_sizes)]
    return 2 * batch_size * (3 * sum(weights) - weights[0])


def measure_shares(
    networks: Sequence[tuple[tuple[int, ...], int]],
    protocol: Protocol,
    progress: Progress = lambda text: None,
) -> list[Share]:
    """Time steps of large networks on one thread, for both types; the shortest of the rounds counts."""
    effort = roofline.Effort(seconds=protocol.turn_seconds)
    found: list[Share] = []
    for dtype in DTYPES:
        shares, peaks = [], []
        for sizes, batch_size in networks:
            progress(f"{sizes}, {batch_size}, {dtype}")
            step = _step_of(sizes, batch_size, dtype)
            seconds = min(_seconds(step) for _ in range(protocol.rounds))
            gflops = flops_per_step(sizes, batch_size) / seconds / 1e9
            peaks.append(roofline.peak(dtype, 1, effort))
            shares.append(Share(sizes, batch_size, dtype, seconds, gflops, math.nan))
        found += [replace(share, peak=max(peaks)) for share in shares]  # one may have been disturbed
    return found


def _step_of(sizes: tuple[int, ...], batch_size: int, dtype: str) -> Callable[[], object]:
    """Return a function that takes a step on a batch of random samples."""
    generator = np.random.default_rng(0)
    X = generator.random((batch_size, sizes[0])).astype(dtype)
    Y = generator.integers(0, sizes[-1], batch_size)
    network = Network(
        sizes, hidden_activation="relu", output_activation="softmax",
        loss="categorical_cross_entropy", dtype=dtype, seed=0,
    )  # fmt: skip
    trainer = Trainer(network, optimizer=Adam(), batch_size=batch_size, threads=1)
    trainer.step(X, Y)
    return lambda: trainer.step(X, Y)


def _seconds(step: Callable[[], object]) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started
