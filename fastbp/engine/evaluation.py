"""Predictions and losses on the layered kernel, chunk by chunk, so that Ctrl-C is answered."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from fastbp.engine.division import Limits, row_work
from fastbp.engine.job import Job
from fastbp.engine.layout import JobOptions, is_read_in_place, make_layout
from fastbp.engine.packed_vectors import Packing, up
from fastbp.engine.team import Pace, Team, threads_for
from fastbp.kernels import fields
from fastbp.kernels import layered as kernels
from fastbp.kernels.product import ALIASING_BYTES
from fastbp.memory import LINE, aligned_zeros
from fastbp.specification import Specification

WORTH_A_COPY = 64
"""Samples of an evaluation from which on it pays to copy the parameters, so that their rows are padded."""

CHUNK_WORK = 1e8
"""Multiplications of a chunk of an evaluation: at most some 0.05 s. Ctrl-C is answered between chunks."""


SHORTEST_CHUNK = 0.001
"""Chunks of fewer seconds do not say how fast a team is. Most take 2 to 10 ms: see `CHUNK_WORK`."""


def pace_of(team: Team, threads: int | None) -> Pace:
    """Return the pace of an evaluation: it falls back to one thread, unless the user gave their number."""
    return Pace(team.n_threads, fixed=threads is not None, shortest=SHORTEST_CHUNK)


def _chunks(specification: Specification, n_samples: int, chunk_work: float) -> Iterator[slice]:
    """Yield the rows that one call of the kernel evaluates."""
    n = up(int(chunk_work / row_work(specification)) + 1, LINE)
    for first in range(0, n_samples, n):
        yield slice(first, min(n_samples, first + n))


def _run_chunks(
    specification: Specification,
    options: JobOptions,
    theta: np.ndarray,
    of_samples: Mapping[str, np.ndarray | None],
    team: Team,
    pace: Pace,
    chunk_work: float,
    check: Callable[[], object] = lambda: None,
) -> None:
    """Let the kernel evaluate the samples chunk by chunk.

    Chunks of one length share a job, which takes 70 us to make.
    """
    job, size = None, 0
    for rows in _chunks(specification, options.n_samples, chunk_work):
        if rows.start:
            check()
        n = rows.stop - rows.start
        arrays = {name: None if array is None else array[rows] for name, array in of_samples.items()}
        if job is None or n != size:
            layout = make_layout(specification, replace(options, n_samples=n))
            job, size = Job(layout, arrays | {"theta": theta}), n
        else:
            for name, array in arrays.items():
                job.replace(name, array)
        started = time.perf_counter()
        team.run(job, 0, pace.threads())
        pace.record(n, time.perf_counter() - started)


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
    pace: Pace | None = None,
    chunk_work: float = CHUNK_WORK,
) -> float:
    """Return the loss over checked samples; theta has room after it.

    `check` is called between chunks of some milliseconds. What it raises comes out.
    """
    losses = aligned_zeros(len(X), np.float64)
    theta, pads = _for_kernels(specification, theta, len(X))
    team = make_team(threads_for(min(CHUNK_WORK, len(X) * specification.n_multiplications), threads))
    options = JobOptions(
        fields.LOSS_ONLY,
        len(X),
        team.n_threads,
        is_read_in_place(X, specification.dtype),
        pads=pads,
        as_scikit_learn=as_scikit_learn,
    )
    target = "labels" if Y.ndim == 1 else "Y"
    of_samples = {"X": X, target: Y, "weights": weights, "row_losses": losses}
    pace = pace or pace_of(team, threads)
    _run_chunks(specification, options, theta, of_samples, team, pace, chunk_work, check)
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
    pace: Pace | None = None,
    chunk_work: float = CHUNK_WORK,
) -> np.ndarray:
    """Return the outputs for inputs as `fastbp.checks.check_X` returns them; theta has room after it."""
    team = make_team(threads_for(min(CHUNK_WORK, len(X) * specification.n_multiplications), threads))
    out = np.empty((len(X), specification.n_outputs), specification.dtype)
    theta, pads = _for_kernels(specification, theta, len(X))
    in_place = is_read_in_place(X, specification.dtype)
    options = JobOptions(fields.PREDICT, len(X), team.n_threads, in_place, pads=pads)
    pace = pace or pace_of(team, threads)
    _run_chunks(specification, options, theta, {"X": X, "Y": out}, team, pace, chunk_work)
    return out
