"""The losses that a run of a population records while its kernel trains."""

import numpy as np

from fastbp.engine.population_job import PopulationJob


class RecordedLosses:
    """The mean losses of every k-th epoch, and of the last one, in rows that the kernel writes.

    Parameters
    ----------
    job : PopulationJob
        Its kernel writes them.
    n_networks, steps_per_epoch : int
    frozen_at : int64[n_networks]
        Steps of each frozen network, or -1; the kernel changes it.
    """

    def __init__(self, job: PopulationJob, n_networks: int, steps_per_epoch: int, frozen_at: np.ndarray):
        self._job, self._n_networks, self._frozen_at = job, n_networks, frozen_at
        self._length = steps_per_epoch
        self._every = self._last_epoch = self._seen = 0
        self._parts: list[tuple[np.ndarray, np.ndarray]] = []

    def begin(self, step: int, every: int, last_epoch: int) -> None:
        """Record from this step on."""
        self._every, self._last_epoch, self._seen = every, last_epoch, step // self._length

    def begin_chunk(self, step: int, end: int) -> None:
        """Make room for what a chunk from a step to another records."""
        self.collect(step)
        if self._every:
            first, last = step // self._length // self._every + 1, -(-(end // self._length) // self._every)
            self._job.replace("curve", np.zeros(max(1, last + 1 - first) * self._job.n_lanes))
            self._job.set("curve_every", self._every)
            self._job.set("curve_first", first)
            self._job.set("last_epoch", self._last_epoch)

    def collect(self, step: int) -> None:
        """Take the rows of the epochs that ended before a step that all networks have reached."""
        every, last, epoch = self._every, self._last_epoch, step // self._length
        if not every or epoch <= self._seen:
            return
        epochs = np.arange(self._seen // every * every + every, epoch + 1, every)
        if self._seen < last <= epoch and last % every:
            epochs = np.append(epochs, last)
        self._seen = epoch
        rows = -(-epochs // every) - self._job["curve_first"]
        losses = self._job.arrays["curve"].reshape(-1, self._job.n_lanes)[rows, : self._n_networks]
        for network in np.flatnonzero(self._frozen_at >= 0):
            losses[epochs * self._length > self._frozen_at[network], network] = np.nan
        self._parts.append((epochs, losses))

    def take(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the epochs since the last call, counted from 1, and a row of losses for each."""
        self.collect(step)
        none = np.empty(0, np.int64), np.empty((0, self._n_networks))
        epochs, losses = zip(none, *self._parts, strict=True)
        self._parts = []
        return np.concatenate(epochs), np.concatenate(losses)
