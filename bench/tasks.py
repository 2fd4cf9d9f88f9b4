"""The end-to-end tasks: from the start of a process to a network that is trained to a target."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import fastbp
from bench import datasets
from bench.grid import ALL, Workload


@dataclass(frozen=True)
class Task:
    """A number of steps of a workload, and the score that they must reach.

    Attributes
    ----------
    workload : Workload
    steps : int
        Whole epochs.
    target : float
        The least score; a peer that does not reach it gets no number.
    score : callable
        Function of the workload and theta; larger is better.
    says : str
        The name of the score.
    peers : tuple of str
        The peers that take part; empty for all.
    """

    workload: Workload
    steps: int
    target: float
    score: Callable[[Workload, np.ndarray], float]
    says: str
    peers: tuple[str, ...] = ()


def trained(workload: Workload, theta: np.ndarray) -> fastbp.Network:
    network = workload.network()
    network.theta[:] = theta
    return network


def accuracy(workload: Workload, theta: np.ndarray) -> float:
    """Return the fraction of the test set that is classified correctly."""
    _, _, X, labels = getattr(datasets, workload.data)()
    return float(np.mean(trained(workload, theta).predict(X).argmax(axis=1) == labels))


def explained(workload: Workload, theta: np.ndarray) -> float:
    """Return R^2, the fraction of the outputs' variance that the network explains."""
    _, _, X, Y = getattr(datasets, workload.data)()
    residual = trained(workload, theta).predict(X) - Y
    return float(1 - (residual**2).sum() / ((Y - Y.mean(axis=0)) ** 2).sum())


def reached_error(workload: Workload, theta: np.ndarray) -> float:
    """Return minus the loss over the samples."""
    return -trained(workload, theta).loss(*workload.samples())


def _classify(data: str, sizes, batch: int, n: int, epochs: int, rate: float, target: float) -> Task:
    name = f"{data}, {'-'.join(map(str, sizes))}"
    workload = Workload(name, sizes, batch, n, fastbp.Adam(rate), data=data)
    says = f"{target:.0%} of the test set right"
    return Task(workload, epochs * n // batch, target, accuracy, says)


MATRIX_EXPONENTIAL = Workload(
    "matrix exponential, 4-32-16-4",
    (4, 32, 16, 4),
    10_000,
    10_000,
    fastbp.Adam(0.003),
    "tanh",
    "identity",
    "half_squared_error",
    data="matrix_exponentials",
)

TASKS = {
    task.workload.key: task
    for task in (
        Task(
            ALL["2-2-2, 1 sample, float64"],
            10_000,
            -3.52e-5,
            reached_error,
            "the worked example's error, at most 3.52e-5",
        ),
        _classify("digits", (64, 128, 10), 32, 1344, 40, 0.001, 0.97),
        _classify("mnist_5k", (784, 128, 10), 128, 3968, 40, 0.001, 0.93),
        _classify("breast_cancer", (30, 16, 2), 16, 384, 20, 0.003, 0.95),
        Task(
            MATRIX_EXPONENTIAL,
            10_000,
            0.99,
            explained,
            "99 % of the variance explained",
            ("fastbp", "C", "PyTorch", "JAX"),
        ),
    )
}
"""Every task by the name of its workload."""

PUBLISHED = {
    MATRIX_EXPONENTIAL.key: (
        "SimpleChains.jl's announcement (https://julialang.org/blog/2022/04/simple-chains/) gives 1.64 s on "
        "a 4-core i7-1165G7 and 0.41 s on an 18-core i9-10980XE, and PyTorch about 15 s there"
    )
}
