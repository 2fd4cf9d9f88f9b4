"""Predictions and losses on the layered kernel, chunk by chunk, so that Ctrl-C is answered."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from fastbp.engine.division import Limits, row_work
from fastbp.engine.job import Job
from fastbp.engine.layout import JobOptions, Layout, is_read_in_place, make_layout
from fastbp.engine.packed_vectors import Packing, up
from fastbp.engine.team import Team, threads_for
from fastbp.kernels import fields
from fastbp.kernels import layered as kernels
from fastbp.kernels.product import ALIASING_BYTES
from fastbp.memory import LINE, aligned_zeros
from fastbp.specification import Specification

WORTH_A_COPY = 64
"""Samples of an evaluation from which on it pays to copy the parameters, so that their rows are padded."""

CHUNK_WORK = 1e8
"""Multiplications of a chunk of an evaluation: at most some 0.05 s. Ctrl-C is answered between chunks."""


def _chunks(specification: Specification, n_samples: int, chunk_work: float) -> Iterator[slice]:
    """Yield the rows that one call of the kernel evaluates."""
    n = up(int(chunk_work / row_work(specification)) + 1, LINE)
    for first in range(0, n_samples, n):
        yield slice(first, min(n_samples, first + n))


def _forward_layout(
    specification: Specification,
    mode: int,
    X: np.ndarray,
    team: Team,
    pads: bool,
    as_scikit_learn: bool = False,
) -> Layout:
    in_place = is_read_in_place(X, specification.dtype)
    options = JobOptions(mode, len(X), team.n_threads, in_place, pads=pads, as_scikit_learn=as_scikit_learn)
    return make_layout(specification, options)


def _for_kernels(specification: Specification, theta: np.ndarray, n_samples: int) -> tuple[np.ndarray, bool]:
    """Return the parameters as kernels read them fast, and whether they are padded.

    Rows of some widths fall into the same sets of a cache: those of 512 or 1024 neurons. They are padded, if
    there are so many samples that the copy pays: 256 rows of 1024-1024-1024-10 take 15 ms instead of 26.
    """
    itemsize = specification.dtype.itemsize
    collide = any(n_out * itemsize % ALIASING_BYTES == 0 for _, n_out, _, _ in specification.layers)
    if not collide or n_samples < WORTH_A_COPY:
        return theta, False
    packing = Packing.padded(specification)
    packed = aligned_zeros(packing.size, theta.dtype)
    packing.pack(theta, packed)
    return packed, True


def loss(
    specification: Specification,
    theta: np.ndarray,
    X: np.ndarray,
    Y: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    threads: int | None = None,
    check: Callable[[], object] = lambda: None,
    as_scikit_learn: bool = False,
    make_team: Callable[[int], Team] = Team,
    chunk_work: float = CHUNK_WORK,
) -> float:
    """Return the loss over checked samples; theta has room after it.

    `check` is called between chunks of some milliseconds. What it raises comes out.
    """
    losses = aligned_zeros(len(X), np.float64)
    theta, pads = _for_kernels(specification, theta, len(X))
    team = make_team(threads_for(min(CHUNK_WORK, len(X) * specification.n_multiplications), threads))
    for rows in _chunks(specification, len(X), chunk_work):
        if rows.start:
            check()
        arrays = {
            "theta": theta,
            "X": X[rows],
            "labels" if Y.ndim == 1 else "Y": Y[rows],
            "weights": None if weights is None else weights[rows],
            "row_losses": losses[rows],
        }
        layout = _forward_layout(specification, fields.LOSS_ONLY, X[rows], team, pads, as_scikit_learn)
        team.run(Job(layout, arrays))
    return float(losses.sum() / len(X))


def loss_job(
    specification: Specification,
    arrays: Mapping[str, np.ndarray | None],
    *,
    as_scikit_learn: bool = False,
    limits: Limits | None = None,
) -> Job:
    """Return a job for the losses of samples in one call of the kernel; theta has room after it."""
    X = arrays["X"]
    assert X is not None
    in_place = is_read_in_place(X, specification.dtype)
    options = JobOptions(fields.LOSS_ONLY, len(X), X_in_place=in_place, as_scikit_learn=as_scikit_learn)
    return Job(make_layout(specification, options, limits), arrays)


def output_job(specification: Specification, theta: np.ndarray, X: np.ndarray, out: np.ndarray) -> Job:
    """Return a job that writes outputs to `out` in one call of the kernel; theta has room after it."""
    options = JobOptions(fields.PREDICT, len(X), X_in_place=is_read_in_place(X, specification.dtype))
    return Job(make_layout(specification, options), {"theta": theta, "X": X, "Y": out})


def with_room(theta: np.ndarray) -> np.ndarray:
    """Return a copy with memory after it, so that the last row can be loaded in whole vectors."""
    copied = aligned_zeros(theta.size, theta.dtype)
    copied[:] = theta
    return copied


class Predictor:
    """Predicts repeatedly with buffers that are prepared once; keeps no reference to the network."""

    def __init__(self, specification: Specification, theta: np.ndarray):
        self._job = Job(make_layout(specification, JobOptions(fields.PREDICT)), {"theta": theta})

    def __call__(self, X: np.ndarray, out: np.ndarray) -> bool:
        """Write the outputs for C-contiguous inputs of the network's type; return whether all are finite."""
        return kernels.layered(self._job.address, 0, 0, X, out)


def predict(
    specification: Specification,
    theta: np.ndarray,
    X: np.ndarray,
    *,
    threads: int | None = None,
    make_team: Callable[[int], Team] = Team,
    chunk_work: float = CHUNK_WORK,
) -> np.ndarray:
    """Return the outputs for inputs as `fastbp.checks.check_X` returns them; theta has room after it."""
    team = make_team(threads_for(min(CHUNK_WORK, len(X) * specification.n_multiplications), threads))
    out = np.empty((len(X), specification.n_outputs), specification.dtype)
    theta, pads = _for_kernels(specification, theta, len(X))
    for rows in _chunks(specification, len(X), chunk_work):
        arrays = {"theta": theta, "X": X[rows], "Y": out[rows]}
        team.run(Job(_forward_layout(specification, fields.PREDICT, X[rows], team, pads), arrays))
    return out
