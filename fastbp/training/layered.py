"""A training run on the layered kernel, and evaluation on the same kernel: arrays, and the calls on them."""

import copy

import numpy as np

from fastbp import activations, losses
from fastbp.kernels import layered as kernels
from fastbp.network import Network
from fastbp.optimizers import SGD
from fastbp.training.plan import MAX_RECORDS, Plan

TILE_BYTES = 256 * 1024
"""What a tile's activations and deltas may take, so that they stay in the L2 cache."""

SMALLEST_TILE = 256
"""Rows of a tile at least: with fewer, products lose more than a cache that overflows costs."""

FIRST_CHUNK_WORK = 2e7
"""Multiplications of the first chunk of a run, some milliseconds; the loop finds its pace from there."""

NEED_Z = tuple(row.code for row in activations.TABLE if row.derivative_of == "z")
CROSS_ENTROPIES = (losses.BINARY_CROSS_ENTROPY, losses.CATEGORICAL_CROSS_ENTROPY)
NO_SAMPLES = np.zeros(0, np.int64)


class LayeredRun:
    """The state of a run between chunks. Only the kernel changes it, so it is consistent at any moment."""

    name = "layered"

    def __init__(self, network: Network, X: np.ndarray, Y: np.ndarray, plan: Plan):
        n_samples, dtype = len(X), network.dtype
        self.theta = network.theta.copy()
        self.state = plan.optimizer.initial_state(self.theta.size, dtype)
        self.order = np.arange(n_samples)
        self.generator = np.array([plan.generator_state], np.uint64)
        self.totals = np.zeros(2)
        self._schedule = plan.schedule
        self._steps_per_epoch = -(-n_samples // plan.batch_size)
        epochs = -(-plan.n_steps // self._steps_per_epoch)
        self._record_every = -(-epochs // MAX_RECORDS)
        self._n_steps = plan.n_steps
        self.losses = np.zeros(1 + epochs // self._record_every)
        self.counters = np.zeros(6, np.int64)
        self.counters[kernels.POSITION] = -1
        self.counters[kernels.END] = plan.n_steps

        self._net = _net(network, self.theta)
        self._data = _data(network, X, Y, plan.sample_weight)
        self._work = _work(self._net, plan.batch_size, plan.dropout)
        self._update = kernels.Update(
            plan.optimizer.code,
            plan.optimizer.hyperparameters(),
            self.state.reshape(-1),
            plan.l2,
            plan.gradient_clip_norm,
            plan.update == "sequential",
            network.bias == "trainable",
        )
        self._shuffle = plan.shuffle and n_samples > 1
        self._batch_size, self._keep = plan.batch_size, 1.0 - plan.dropout
        work = 3.0 * plan.batch_size * float(np.dot(self._net.sizes[:-1], self._net.sizes[1:]))
        self.first_chunk = max(1, int(FIRST_CHUNK_WORK / work))

    @property
    def step(self) -> int:
        """Steps taken."""
        return int(self.counters[kernels.STEP])

    @property
    def recorded(self) -> np.ndarray:
        """The mean losses of the epochs recorded so far."""
        return self.losses[: self.counters[kernels.RECORDED]]

    @property
    def recorded_steps(self) -> np.ndarray:
        """The steps at which those epochs ended."""
        ends = np.arange(1, len(self.recorded) + 1) * self._record_every * self._steps_per_epoch
        return np.minimum(ends, self._n_steps)

    def advance(self, until: int) -> None:
        """Train to step `until`; to the present step to compile."""
        kernels.layered_train(
            self._net,
            self._data,
            self._work,
            self._update,
            self.order,
            self.generator,
            self.counters,
            self.totals,
            self.losses,
            self._schedule.rates(self.step, max(1, until - self.step)),
            self._batch_size,
            self._keep,
            self._shuffle,
            self._record_every,
            until,
        )

    def loss(self) -> float:
        """Return the loss over all samples, at the present parameters."""
        return _evaluate(self._net, self._data, self.order.size, with_gradient=False)[0]

    def snapshot(self) -> "LayeredRun":
        """Return a copy that can be advanced on its own; the buffers hold nothing between chunks."""
        twin = copy.copy(self)
        for name in ("theta", "state", "order", "generator", "counters", "totals", "losses"):
            setattr(twin, name, getattr(self, name).copy())
        twin._net = self._net._replace(theta=twin.theta)
        twin._update = self._update._replace(state=twin.state.reshape(-1))
        return twin


def predict(network: Network, X: np.ndarray) -> np.ndarray:
    """Return the network's outputs for checked inputs, shape (n_samples, n_outputs)."""
    net = _net(network, network.theta)
    out = np.empty((len(X), network.n_outputs), network.dtype)
    data = _data(network, X, np.empty((0, network.n_outputs), network.dtype), None)
    kernels.layered_predict(net, data, _work(net, len(X), 0.0), np.zeros(1, np.uint64), out.reshape(-1))
    return out


def evaluate(
    network: Network, X: np.ndarray, Y: np.ndarray, *, with_gradient: bool
) -> tuple[float, np.ndarray]:
    """Return the loss over checked samples, and its gradient, laid out as theta (zeros if not asked for)."""
    net, data = _net(network, network.theta), _data(network, X, Y, None)
    return _evaluate(net, data, len(X), with_gradient=with_gradient)


def _evaluate(
    net: kernels.Net, data: kernels.Data, n_samples: int, *, with_gradient: bool
) -> tuple[float, np.ndarray]:
    work, order = _work(net, n_samples, 0.0), np.arange(n_samples)
    update = kernels.Update(SGD.code, np.zeros(4), np.zeros(1, net.theta.dtype), 0.0, 0.0, False, True)
    loss = kernels.layered_evaluate(net, data, work, update, order, np.zeros(1, np.uint64), with_gradient)
    return float(loss), work.gradient


def _net(network: Network, theta: np.ndarray) -> kernels.Net:
    names = (*network.hidden_activations, network.output_activation)
    sizes = np.array(network.layer_sizes)
    has_bias = network.bias != "none"
    in_weights = sizes[:-1] * sizes[1:]
    ends = np.cumsum(in_weights + has_bias * sizes[1:])
    w_at = np.concatenate([[0], ends[:-1]])
    return kernels.Net(
        sizes,
        np.array([activations.CODES[name] for name in names]),
        w_at,
        w_at + in_weights,
        theta,
        np.zeros(0 if has_bias else sizes.max(), network.dtype),
        losses.CODES[network.loss_name],
    )


def _data(network: Network, X: np.ndarray, Y: np.ndarray, weights: np.ndarray | None) -> kernels.Data:
    """Return the samples as flat views that cannot be written: one type for the kernel."""
    labels = Y if Y.ndim == 1 else NO_SAMPLES
    T = np.empty(0, network.dtype) if Y.ndim == 1 else Y
    weights = np.empty(0, network.dtype) if weights is None else weights
    return kernels.Data(*(_read_only(array) for array in (X, T, labels, weights)))


def _read_only(array: np.ndarray) -> np.ndarray:
    view = array.reshape(-1).view()
    view.flags.writeable = False
    return view


def _work(net: kernels.Net, batch_size: int, dropout: float) -> kernels.Work:
    dtype = net.theta.dtype
    row_bytes = int(net.sizes.sum() + 2 * net.sizes[1:].max()) * dtype.itemsize
    tile = min(batch_size, max(SMALLEST_TILE, TILE_BYTES // row_bytes))
    starts = np.concatenate([[0], np.cumsum(tile * net.sizes)])
    keeps_z = np.isin(net.codes, NEED_Z)
    keeps_z[-1] |= net.loss in CROSS_ENTROPIES
    return kernels.Work(
        starts[:-1],
        np.zeros(starts[-1], dtype),
        np.zeros(starts[-1] if keeps_z.any() else 0, dtype),
        keeps_z,
        np.zeros(starts[-1] if dropout else 0, dtype),
        np.zeros(starts[-1] if dropout else 0, dtype),
        np.zeros(2 * tile * int(net.sizes[1:].max()), dtype),
        np.zeros_like(net.theta),
        tile,
    )
