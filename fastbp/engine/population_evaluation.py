"""Losses and outputs of many networks, a network a SIMD lane."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp.engine.population_job import PIECE_SECONDS, PopulationJob, as_lanes, pieces_of
from fastbp.engine.team import threads_for
from fastbp.kernels import fields
from fastbp.specification import Specification

SECONDS_A_MULTIPLICATION = 1e-10
"""Roughly the time of a multiplication of a forward pass, for one lane."""


def one_hot(Y: np.ndarray, specification: Specification) -> np.ndarray:
    """Return targets of the networks' type, and labels as rows of probabilities."""
    if Y.ndim == 2:
        return np.ascontiguousarray(Y, specification.dtype)
    rows = np.zeros((len(Y), specification.n_outputs), specification.dtype)
    rows[np.arange(len(Y)), Y] = 1
    return rows


def weights_in_lanes(
    weights: np.ndarray | None, specification: Specification
) -> tuple[np.ndarray | None, bool]:
    """Return weights as the kernel takes them, and whether each network has its own."""
    if weights is None:
        return None, False
    if weights.ndim == 1:
        return np.ascontiguousarray(weights, specification.dtype), False
    return as_lanes(weights.astype(specification.dtype), specification.dtype), True


class PopulationEvaluation:
    """Evaluates networks whose parameters are in lanes.

    Parameters
    ----------
    specification : Specification
    theta : ndarray
        The parameters, as `fastbp.engine.population_job.as_lanes` returns them. They may change later.
    n_networks : int
    threads : int, optional
    """

    def __init__(
        self, specification: Specification, theta: np.ndarray, n_networks: int, threads: int | None = None
    ):
        self._specification, self._theta, self._n = specification, theta, n_networks
        self._threads = threads
        self._kept: tuple[tuple[Any, ...], PopulationJob] | None = None

    def losses(
        self,
        X: np.ndarray,
        Y: np.ndarray,
        weights: np.ndarray | None,
        check: Callable[[], object],
    ) -> np.ndarray:
        """Return each network's mean loss over checked samples.

        The next call with the same arrays uses what was prepared.
        """
        samples = X, Y, weights
        if self._kept is None or any(a is not b for a, b in zip(self._kept[0], samples, strict=True)):
            own, weighs_each = weights_in_lanes(weights, self._specification)
            arrays = {"Y": one_hot(Y, self._specification), "weights": own}
            self._kept = samples, self._job(fields.LOSS_ONLY, X, arrays, weighs_each)
        job = self._kept[1]
        sums = np.zeros(job.n_lanes)
        job.replace("losses", sums)
        self._run(job, len(X), check)
        return sums[: self._n] / len(X)

    def outputs(self, X: np.ndarray, check: Callable[[], object]) -> np.ndarray:
        """Return each network's outputs, shape (n_networks, n_samples, n_outputs)."""
        job = self._job(fields.PREDICT, X, {}, False)
        shape = (job.n_lanes, len(X), self._specification.n_outputs)
        outputs = np.empty(shape, self._specification.dtype)
        job.replace("outputs", outputs)
        self._run(job, len(X), check)
        return outputs[: self._n]

    def _job(
        self, mode: int, X: np.ndarray, arrays: dict[str, np.ndarray | None], weighs_each: bool
    ) -> PopulationJob:
        own: dict[str, np.ndarray | None] = {
            "theta": self._theta,
            "X": np.ascontiguousarray(X, self._specification.dtype),
        }
        work = self._n * len(X) * self._specification.n_multiplications
        return PopulationJob(
            self._specification,
            mode,
            self._n,
            len(X),
            own | arrays,
            {"n_samples": len(X), "n_rows": len(X), "weighs_each": weighs_each},
            n_threads=threads_for(work, self._threads),
        )

    def _run(self, job: PopulationJob, n_samples: int, check: Callable[[], object]) -> None:
        """Evaluate some rows at a time, in pieces of some blocks, so that `check` is called often."""
        work = self._specification.n_multiplications + 20 * sum(self._specification.layer_sizes[1:])
        seconds = work * job.width * SECONDS_A_MULTIPLICATION
        rows = max(1, int(PIECE_SECONDS / seconds))

        def checked() -> bool:
            """Check, and go on unless that raises an error."""
            check()
            return False

        for begin in range(0, n_samples, rows):
            end = min(n_samples, begin + rows)
            pieces = pieces_of(job.n_bundles, seconds * (end - begin), job.n_threads)
            job.call(pieces, begin, end, checked)
            if end < n_samples:
                check()
