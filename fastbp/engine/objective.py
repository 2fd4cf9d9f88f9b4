"""The loss as a function of the parameters, prepared once: value, gradient, predictions, and Jacobian."""

import time
from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np

from fastbp.engine import evaluation
from fastbp.engine.division import Limits, row_work
from fastbp.engine.job import Job
from fastbp.engine.layout import JobOptions, is_read_in_place, make_layout
from fastbp.engine.team import Pace, Team, threads_for
from fastbp.kernels import fields
from fastbp.kernels.jacobian import jacobian
from fastbp.kernels.layered import layered
from fastbp.kernels.packing import begin_gradient, unpack
from fastbp.kernels.steps import FEW
from fastbp.memory import aligned_zeros
from fastbp.specification import Specification

LOSS_SUM = fields.place("totals", "loss_sum")

TILE_NUMBERS = 2**20
"""The most numbers of a tile of a Jacobian: some megabytes."""

QUICK_WORK = 5e6
"""An evaluation of up to so many multiplications is one call of the kernel, in the caller's thread."""


class Objective:
    """The loss over fixed samples as a function of theta, prepared once for thousands of calls.

    Solvers need it, and other optimizers, such as `scipy.optimize.minimize` with ``jac=True``. A call
    allocates nothing but its result, and gives the same bits for any number of threads.

    Parameters
    ----------
    specification : Specification
    X, Y : ndarray
        As `fastbp.checks.check_data` returns them. They are read in place, so they must not change.
    sample_weight : ndarray, shape (n_samples,), optional
        As `fastbp.checks.check_weights` returns them.
    threads : int, optional
        As `fastbp.train` takes it.
    as_scikit_learn : bool, default False
        Whether the loss has scikit-learn's form: see `KernelOptions`. There is no l2 here.
    make_team : function
        Takes a number of threads, and returns their team.
    pace : Pace, optional
        Chooses the number of threads for each chunk of a gradient.
    limits : Limits, optional
        How rows are divided; `division.LIMITS` by default.

    Examples
    --------
    >>> import fastbp
    >>> from fastbp.checks import check_data
    >>> net = fastbp.Network([2, 3, 1], seed=0)
    >>> X, Y = [[0, 0], [0, 1], [1, 0], [1, 1]], [[0], [1], [1], [0]]
    >>> objective = Objective(net.specification, *check_data(net.specification, X, Y))
    >>> value, gradient = objective.value_and_gradient(net.theta)
    >>> value == objective.value(net.theta) == net.loss(X, Y), gradient.shape
    (True, (13,))
    """

    def __init__(
        self,
        specification: Specification,
        X: np.ndarray,
        Y: np.ndarray,
        sample_weight: np.ndarray | None = None,
        *,
        threads: int | None = None,
        as_scikit_learn: bool = False,
        make_team: Callable[[int], Team] = Team,
        pace: Pace | None = None,
        limits: Limits | None = None,
    ):
        self.specification, self._X, self._Y, self._weights = specification, X, Y, sample_weight
        self._threads, self._as_scikit_learn = threads, as_scikit_learn
        self._chunk_rows = 0.0  # the team says how many
        self._make_team, self._pace, self._limits = make_team, pace, limits
        work = 3 * len(X) * specification.n_multiplications
        self._is_quick = work <= QUICK_WORK and threads in (None, 1)
        self._theta = aligned_zeros(specification.n_parameters, specification.dtype)
        self._gradient = aligned_zeros(specification.n_parameters, specification.dtype)
        self._rows = self._theta.reshape(1, -1), self._gradient.reshape(1, -1)

    def value(self, theta: np.ndarray) -> float:
        """Return the loss.

        Parameters
        ----------
        theta : ndarray, shape (n_parameters,)
            Laid out as `Network.theta`.
        """
        self._theta[:] = theta
        if not self._is_quick:
            return evaluation.loss(
                self.specification,
                self._theta,
                self._X,
                self._Y,
                self._weights,
                threads=self._threads,
                as_scikit_learn=self._as_scikit_learn,
            )
        job = self._value_job
        layered(job.address, 0, 0, job.empty, job.empty)
        return self._mean(job, self._row_losses)

    def value_and_gradient(
        self, theta: np.ndarray, gradient: np.ndarray | None = None
    ) -> tuple[float, np.ndarray]:
        """Return the loss, and its gradient with respect to theta.

        Parameters
        ----------
        theta : ndarray, shape (n_parameters,)
        gradient : ndarray, shape (n_parameters,), optional
            The array for the gradient. The default is a new one.
        """
        self._theta[:] = theta
        job = self._gradient_job
        if self._is_quick:
            layered(job.address, 0, 1, *self._rows)
        else:
            self._run_in_chunks(job)
        value = self._mean(job, self._batch_losses)
        if gradient is None:
            return value, self._gradient.copy()
        gradient[:] = self._gradient
        return value, gradient

    def _mean(self, job: Job, losses: np.ndarray) -> float:
        """Return the mean loss; few samples are added in the kernel, with the same bits, and faster."""
        is_added = self._is_quick and len(losses) <= FEW
        total = job.arrays["totals"].item(LOSS_SUM) if is_added else np.add.reduce(losses)
        return float(total / len(self._X))

    def predict(self, theta: np.ndarray) -> np.ndarray:
        """Return the network's outputs for X, of shape (n_samples, n_outputs)."""
        self._theta[:] = theta
        return evaluation.predict(self.specification, self._theta, self._X, threads=self._threads)

    def residuals(self, theta: np.ndarray) -> np.ndarray:
        """Return outputs minus targets, shape (n_samples, n_outputs). Labels become rows of 0 and 1."""
        return self.predict(theta) - self._targets

    def jacobian_tiles(self, theta: np.ndarray) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """Yield the Jacobian of the residuals tile by tile: as a whole it may not fit into memory.

        Parameters
        ----------
        theta : ndarray, shape (n_parameters,)

        Yields
        ------
        rows : slice
            The samples of the tile.
        residuals : ndarray, shape (n_rows, n_outputs)
        jacobian : ndarray, shape (n_rows, n_outputs, n_parameters)
            The derivatives of each output of each sample. Both arrays are reused for the next tile.
        """
        self._theta[:] = theta
        job, size = self._gradient_job, self.specification.n_parameters
        job.set("n_threads", 1)
        n_rows = max(1, min(job["tile_rows"], TILE_NUMBERS // (self.specification.n_outputs * size)))
        outputs = np.empty((n_rows, self.specification.n_outputs), self._theta.dtype)
        derivatives = np.empty((*outputs.shape, size), self._theta.dtype)
        for first in range(0, len(self._X), n_rows):
            rows = slice(first, min(len(self._X), first + n_rows))
            n = rows.stop - first
            jacobian(job.address, self._theta, first, outputs[:n], derivatives[:n])
            outputs[:n] -= self._targets[rows]
            yield rows, outputs[:n], derivatives[:n]

    @cached_property
    def _targets(self) -> np.ndarray:
        if self._Y.ndim == 2:
            return self._Y
        return np.eye(self.specification.n_outputs, dtype=self.specification.dtype)[self._Y]

    def _run_in_chunks(self, job: Job) -> None:
        """Run the job chunk by chunk, so that Ctrl-C is answered."""
        begin_gradient(job.address, self._theta)
        counters, n_groups, done = job.arrays["counters"], max(1, job["n_groups"]), 0
        pace = self._pace = self._pace or evaluation.pace_of(self._team, self._threads)
        while counters[0] < 1:
            started = time.perf_counter()
            job.set_chunk(self._chunk_rows)
            self._team.run(job, 1, pace.threads())
            seconds = time.perf_counter() - started
            before, done = done, len(self._X) if counters[0] else n_groups * job["done_rows"]
            pace.record(max(1, done - before), seconds)
            rows = self._team.next_chunk_rows(self._chunk_rows, seconds)
            self._chunk_rows = min(rows, float(len(self._X)))
        unpack(job.address, self._sum, self._gradient, self.specification.has_bias)

    @cached_property
    def _gradient_job(self) -> Job:
        specification, n_samples = self.specification, len(self._X)
        work = 3 * n_samples * specification.n_multiplications
        self._team = self._make_team(1 if self._is_quick else threads_for(work, self._threads))
        self._chunk_rows = self._team.first_chunk_rows(3 * row_work(specification))
        options = JobOptions(
            fields.GRADIENT_ONLY,
            n_samples,
            self._team.n_threads,
            X_in_place=is_read_in_place(self._X, specification.dtype),
            batch_size=n_samples,
            trains_biases=specification.has_bias,
            as_scikit_learn=self._as_scikit_learn,
        )
        layout = make_layout(specification, options, self._limits)
        packed = aligned_zeros(layout.packing.size, specification.dtype)
        job = Job(layout, self._data | {"theta": packed})
        self._sum = job.arrays["gradient"][: packed.size]
        self._batch_losses = job.arrays["row_losses"]
        return job

    @cached_property
    def _value_job(self) -> Job:
        arrays = self._data | {"theta": self._theta}
        job = evaluation.loss_job(
            self.specification, arrays, as_scikit_learn=self._as_scikit_learn, limits=self._limits
        )
        self._row_losses = job.arrays["row_losses"]
        return job

    @property
    def _data(self) -> dict[str, np.ndarray | None]:
        return {"X": self._X, "labels" if self._Y.ndim == 1 else "Y": self._Y, "weights": self._weights}
