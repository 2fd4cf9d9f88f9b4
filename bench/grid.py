"""The workloads: one table of networks, data and optimizers, for both benchmarks and the tests.

A workload has everything that a peer needs to take the same steps as the others: the initial parameters, the
samples in order, and the optimizer. Batches are consecutive samples, epoch after epoch in the same order, and
every batch is full, so that no framework compiles for a second shape.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

import numpy as np

import fastbp
from bench import datasets
from fastbp.benchmark import cases, gate
from fastbp.benchmark.peak_shares import flops_per_step

DTYPES = ("float64", "float32")

TOLERANCE = gate.TOLERANCE | {"float32": 2e-3}
"""The tolerances of the gate: see `fastbp.benchmark.gate`.

Largest over the whole grid: 4e-13 in float64, and 1.4e-3 in float32 (784-512-512-10, where Adam turns a
gradient that is only rounding error into a full step; 4e-4 elsewhere). A missing step makes 1e-2 or more.
"""

WIDE, WIDE_TOLERANCE = 2048, 2e-2
"""The float32 tolerance from this width on.

A relu whose pre-activation is within rounding of 0 opens for one peer and not for another, and Adam moves all
its weights. The wider the network, the more of them: at width 2048 and after 24 steps, peers are 9e-4 to 9e-3
from the reference. A missing step makes 4e-2.
"""


@dataclass(frozen=True)
class Workload:
    """One training run.

    Attributes
    ----------
    name : str
    layer_sizes : tuple of int
    batch_size, n_samples : int
        `n_samples` is a multiple of `batch_size`.
    optimizer : fastbp.SGD or fastbp.Adam
    hidden, output, loss, bias, dtype : str
        As `fastbp.Network` takes them.
    networks : int
        How many networks train at once, each from its own start, on the same samples.
    own_rates : bool
        Whether each network has a learning rate of its own: from half the optimizer's to twice that.
    data : str
        A function of `bench.datasets`; if empty, the samples are generated.
    """

    name: str
    layer_sizes: tuple[int, ...]
    batch_size: int
    n_samples: int
    optimizer: fastbp.SGD | fastbp.Adam
    hidden: str = "relu"
    output: str = "softmax"
    loss: str = "categorical_cross_entropy"
    bias: str = "trainable"
    dtype: str = "float32"
    networks: int = 1
    own_rates: bool = False
    data: str = ""

    def __str__(self) -> str:
        return self.key

    @property
    def key(self) -> str:
        """Its name in `ALL`."""
        return f"{self.name}, {self.dtype}"

    def with_dtype(self, dtype: str) -> "Workload":
        """Return the workload in another dtype, with the numbers of float64 rounded to it."""
        return replace(self, dtype=dtype)

    @property
    def steps_per_epoch(self) -> int:
        """Batches of one pass over the samples."""
        return self.n_samples // self.batch_size

    @property
    def flops_per_step(self) -> int:
        """Additions and multiplications of one step's matrix products."""
        return self.networks * flops_per_step(self.layer_sizes, self.batch_size)

    @property
    def bytes_per_step(self) -> int:
        """Bytes that a step moves if parameters and optimizer state are in main memory.

        Theta and each state vector are read once and written once.
        """
        vectors = 1 + self.optimizer.n_state_vectors
        return 2 * vectors * self.network().theta.size * self.networks * np.dtype(self.dtype).itemsize

    @property
    def checked_steps(self) -> tuple[int, int]:
        """Numbers of steps after which peers are compared: one epoch, and several, at least eight steps.

        Whole epochs, because scikit-learn's `fit` can do nothing else.
        """
        epoch = self.steps_per_epoch
        enough = min(1000, max(8, 2 * 10**7 // self.flops_per_step))
        return epoch, epoch * max(3, -(-enough // epoch))

    @property
    def case(self) -> cases.Case | None:
        """The 2-2-2 workloads as the cases of `fastbp bench`; None for all others."""
        base = SMALLEST.get(self.name)
        return base.with_dtype(self.dtype) if base else None

    @property
    def tolerance(self) -> float:
        """The largest distance from the reference that the gate allows."""
        is_wide = max(self.layer_sizes) >= WIDE and self.dtype == "float32"
        return WIDE_TOLERANCE if is_wide else TOLERANCE[self.dtype]

    def network(self) -> fastbp.Network:
        """Return a network with the initial parameters of the first network."""
        return _network(self, 0)

    def alone(self, number: int) -> "Workload":
        """Return the workload of one of the networks, without its start."""
        optimizer = replace(self.optimizer, learning_rate=float(self.rates()[number]))
        return replace(self, networks=1, own_rates=False, optimizer=optimizer)

    def starts(self) -> np.ndarray:
        """Return the initial parameters of all networks, shape (networks, n_parameters)."""
        return np.stack([_network(self, i).theta for i in range(self.networks)])

    def rates(self) -> np.ndarray:
        """Return the learning rate of each network, shape (networks,)."""
        reach = 2.0 if self.own_rates else 1.0
        return self.optimizer.learning_rate * np.geomspace(1 / reach, reach, self.networks)

    def samples(self) -> tuple[np.ndarray, np.ndarray]:
        """Return X of shape (n_samples, n_inputs), and Y: class labels, or (n_samples, n_outputs)."""
        return _samples(self)

    def targets(self) -> np.ndarray:
        """Return Y as numbers, with labels one-hot encoded."""
        Y = self.samples()[1]
        return np.eye(self.layer_sizes[-1], dtype=self.dtype)[Y] if Y.ndim == 1 else Y

    def batches(self, array: np.ndarray) -> np.ndarray:
        """Return an array of samples cut into batches, shape (steps_per_epoch, batch_size, ...)."""
        return array.reshape(self.steps_per_epoch, self.batch_size, *array.shape[1:])

    def layers(self, theta: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield W and b of every layer, as views into a vector that is laid out as theta."""
        start = 0
        for n_in, n_out in pairwise(self.layer_sizes):
            middle, end = start + n_in * n_out, start + (n_in + 1) * n_out
            yield theta[start:middle].reshape(n_in, n_out), theta[middle:end]
            start = end

    def flat(self, layers) -> np.ndarray:
        """Return pairs (W, b) as one vector that is laid out as theta."""
        return np.concatenate([np.ravel(array) for layer in layers for array in layer]).astype(self.dtype)


def _network(workload: Workload, seed: int) -> fastbp.Network:
    case = workload.case
    network = fastbp.Network(
        workload.layer_sizes,
        hidden_activation=workload.hidden,
        output_activation=workload.output,
        loss=workload.loss,
        bias=workload.bias,
        dtype=workload.dtype,
        initializer="he_uniform" if workload.hidden == "relu" else "glorot_uniform",
        seed=seed,
    )
    generator = np.random.default_rng(seed)
    for b in network.biases:
        b[:] = generator.uniform(-0.1, 0.1, b.shape)
    if case is not None and seed == 0:
        network.theta[:] = case.theta
    return network


@lru_cache(maxsize=4)
def _samples(workload: Workload) -> tuple[np.ndarray, np.ndarray]:
    """Return data that can be learned: the outputs of another, random network, with noise."""
    if workload.case is not None:
        return workload.case.X, workload.case.Y
    if workload.data:
        X, Y = getattr(datasets, workload.data)()[:2]
        return X.astype(workload.dtype), Y if Y.ndim == 1 else Y.astype(workload.dtype)
    generator = np.random.default_rng(sum(workload.layer_sizes))
    n_in, n_out = workload.layer_sizes[0], workload.layer_sizes[-1]
    X = generator.normal(size=(workload.n_samples, n_in))
    hidden = np.tanh(X @ generator.normal(size=(n_in, 16)) / np.sqrt(n_in))
    signal = hidden @ generator.normal(size=(16, n_out))
    signal += 0.1 * generator.normal(size=signal.shape)
    if workload.loss == "categorical_cross_entropy":
        return X.astype(workload.dtype), signal.argmax(axis=1)
    return X.astype(workload.dtype), (1 / (1 + np.exp(-signal))).astype(workload.dtype)


# --- the table ---------------------------------------------------------------------------------------

SMALLEST = {
    "2-2-2, 1 sample": cases.WORKED_EXAMPLE,
    "2-2-2, 4 samples": cases.FOUR_SAMPLES,
    "2-2-2, 1,000 samples": cases.generated(1000),
}


def _smallest(name: str) -> Workload:
    case = SMALLEST[name]
    return Workload(
        name,
        (2, 2, 2),
        1,
        len(case.X),
        fastbp.SGD(learning_rate=case.learning_rate),
        "sigmoid",
        "sigmoid",
        "half_squared_error",
        case.bias,
    )


def _squared(name: str, sizes: tuple[int, ...], batch: int, n: int, optimizer, hidden: str, output: str):
    return Workload(name, sizes, batch, n, optimizer, hidden, output, "half_squared_error")


GRID = (
    *map(_smallest, SMALLEST),
    _squared("2-4-1 sigmoid, 1, SGD", (2, 4, 1), 1, 4, fastbp.SGD(0.5), "sigmoid", "sigmoid"),
    Workload("4-10-3 relu, 16, SGD", (4, 10, 3), 16, 160, fastbp.SGD(0.01)),
    _squared("20-64-64-2 tanh, 1, SGD", (20, 64, 64, 2), 1, 512, fastbp.SGD(0.01), "tanh", "identity"),
    Workload("64-128-10 relu, 1, SGD", (64, 128, 10), 1, 512, fastbp.SGD(0.01)),
    Workload("20-64-64-2 relu, 32, Adam", (20, 64, 64, 2), 32, 512, fastbp.Adam(0.001)),
    Workload("64-128-10 relu, 32, Adam", (64, 128, 10), 32, 512, fastbp.Adam(0.001)),
    _squared(
        "4-32-16-4 tanh, 10,000, Adam", (4, 32, 16, 4), 10_000, 10_000, fastbp.Adam(0.001), "tanh", "identity"
    ),
    Workload("784-128-10 relu, 128, Adam", (784, 128, 10), 128, 2048, fastbp.Adam(0.001)),
    Workload("784-512-512-10 relu, 128, Adam", (784, 512, 512, 10), 128, 1024, fastbp.Adam(0.001)),
    Workload("1024-1024-1024-10 relu, 256, Adam", (1024, 1024, 1024, 10), 256, 1024, fastbp.Adam(0.001)),
)
"""From sizes that are one chain of operations to sizes where only matrix products count."""

WIDTHS = tuple(
    Workload(f"width {width}", (width, width, width, 10), 64, 512, fastbp.Adam(0.001))
    for width in (16, 32, 64, 128, 256, 512, 1024, 2048)
)
"""The same network at growing width, for the chart against the roofline."""

POPULATIONS = (
    replace(_smallest("2-2-2, 4 samples"), name="2-2-2 sigmoid, 1, SGD, 1,024 networks", networks=1024),
    Workload("4-10-3 relu, 16, SGD, 1,024 networks", (4, 10, 3), 16, 160, fastbp.SGD(0.01), networks=1024),
    replace(
        _squared("", (20, 64, 64, 2), 32, 512, fastbp.SGD(0.01), "tanh", "identity"),
        name="20-64-64-2 tanh, 32, SGD, 64 networks",
        networks=64,
    ),
    replace(
        _squared("", (8, 16, 1), 32, 512, fastbp.Adam(0.001), "tanh", "identity"),
        name="8-16-1 tanh, 32, Adam, own rates, 1,024 networks",
        networks=1024,
        own_rates=True,
    ),
)
"""Many networks at once. `bench.populations_session` times them."""

LARGE_FLOPS = 5e6
"""The fewest operations a step for which the fraction of the FLOP peak is shown."""

ALL = {str(w.with_dtype(dtype)): w.with_dtype(dtype) for w in GRID + WIDTHS + POPULATIONS for dtype in DTYPES}
"""Every workload by its name."""
