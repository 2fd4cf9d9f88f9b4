"""How shards and data come to the workers of an executor.

The data go once to each worker. With Dask, they are scattered. Other executors get a folder of .npy files,
which a worker process maps into its memory at its first shard; so all workers must see this folder.
"""

import multiprocessing
import multiprocessing.connection
import os
import pickle
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fastbp.errors import OptionError, shown
from fastbp.sweeping.dispatch import IN_FLIGHT
from fastbp.sweeping.folds import Fold
from fastbp.sweeping.journal import Outcome
from fastbp.sweeping.shard_run import Task, run_shard

PREFIX = "data-"
"""Folders of data begin with this."""

LOOK_SECONDS = 0.2
"""A worker looks whether its shard is still wanted, and not more often."""

KEPT = 2
"""A worker process keeps the data of so many sweeps."""

_loaded: dict[str, Any] = {}
_lock = threading.Lock()


@dataclass(frozen=True)
class Folder:
    """A folder with the arrays of all folds, and how many they are."""

    path: str
    n_folds: int

    @classmethod
    def write(cls, path: Path, folds: Sequence[Fold]) -> "Folder":
        """Write the arrays."""
        for i, fold in enumerate(folds):
            for name, array in fold._asdict().items():
                if array is not None:
                    np.save(path / f"{i}-{name}.npy", array, allow_pickle=False)
        return cls(os.fspath(path), len(folds))

    def read(self) -> list[Fold]:
        """Return the arrays as memory maps."""
        return [Fold(*(self._array(i, name) for name in Fold._fields)) for i in range(self.n_folds)]

    def _array(self, fold: int, name: str) -> Any:
        path = Path(self.path) / f"{fold}-{name}.npy"
        return np.load(path, mmap_mode="r", allow_pickle=False) if path.exists() else None


def work(task: bytes, data: Any, number: int, threads: int | None) -> Outcome | None:
    """Run a shard in a worker.

    Parameters
    ----------
    task : bytes
        A pickled `Task`.
    data : Folder or list of Fold
    number : int
    threads : int or None
    """
    if not isinstance(data, Folder):
        return run_shard(pickle.loads(task), data, number, threads=threads)
    is_gone = Gone(data.path)
    return run_shard(pickle.loads(task), _of_folder(data), number, threads=threads, is_stopped=is_gone)


class Gone:
    """Whether a folder is gone: the client removes that of the data when it ends, and its shards end, too."""

    def __init__(self, path: str):
        self._path, self._next, self._is_gone = path, 0.0, False

    def __call__(self) -> bool:
        """Look at most five times a second: the folder may be on another machine."""
        now = time.monotonic()
        if now >= self._next:
            self._next, self._is_gone = now + LOOK_SECONDS, not os.path.isdir(self._path)
        return self._is_gone


def _of_folder(folder: Folder) -> list[Fold]:
    with _lock:
        if folder.path not in _loaded:
            while len(_loaded) >= KEPT:
                del _loaded[next(iter(_loaded))]
            _loaded[folder.path] = folder.read()
        return _loaded[folder.path]


@dataclass(frozen=True)
class Workers:
    """What `Dispatcher` needs.

    Attributes
    ----------
    make_executor : callable
    submit : callable
    in_flight : int
    """

    make_executor: Callable[[], Executor]
    submit: Callable[[Executor, int], Future]
    in_flight: int


def processes(n_workers: int | None = None) -> Callable[[], Executor]:
    """Return a function that makes an executor of processes, which end if this process is killed.

    Parameters
    ----------
    n_workers : int, optional
        By default, as many as there are cores.
    """
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if "forkserver" in methods:  # it imports once what all workers need
        context.set_forkserver_preload(["__main__", __name__])
    return partial(ProcessPoolExecutor, n_workers, context, end_with_parent)


def end_with_parent() -> None:
    """Let this process end when its parent does, and leave Ctrl-C to it.

    A worker that waits for work would not notice that its parent was killed.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_wait_and_end, args=(parent.sentinel,), daemon=True).start()


def _wait_and_end(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)


@contextmanager
def on_workers(
    executor: Any, task: Task, folds: Sequence[Fold], *, threads: int | None, scratch: Path | None
) -> Iterator[Workers]:
    """Bring the data to the workers, and take them away at the end.

    Parameters
    ----------
    executor : Executor, dask's Client, or callable
        A callable returns an executor, and does so again if that one broke. What it made is shut down.
    task : Task
    folds : sequence of Fold
    threads : int or None
        The threads of a shard.
    scratch : Path, optional
        The folder in which that of the data is made; by default the system's.
    """
    packed = pickle.dumps(task)
    if client := _client_of(executor):
        scattered = _Scattered(client, list(folds))
        make = lambda: client.get_executor(pure=False)  # noqa: E731
        yield Workers(
            make, lambda pool, number: scattered.submit(pool, packed, number, threads), _room(client)
        )
        return
    if not isinstance(executor, Executor) and not callable(executor):
        raise OptionError(
            f"executor is {shown(executor)}, and must be a concurrent.futures.Executor, a Client of Dask, "
            "or a function that returns one"
        )
    remove_leftovers(scratch)
    path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=scratch))
    made: list[Executor] = []
    try:
        folder = Folder.write(path, folds)

        source = _first(executor) if isinstance(executor, Executor) else executor

        def make_executor() -> Executor:
            """Return an executor, and remember to shut it down if it was made here."""
            pool = source()
            if pool is not executor:
                made.append(pool)
            return pool

        yield Workers(make_executor, lambda pool, n: pool.submit(work, packed, folder, n, threads), IN_FLIGHT)
    finally:
        for pool in made:
            pool.shutdown(wait=False, cancel_futures=True)
        shutil.rmtree(path, ignore_errors=True)


def remove_leftovers(scratch: Path | None) -> None:
    """Remove the data of a sweep that was killed; its journal is ours now."""
    if scratch is not None:
        for path in scratch.glob(f"{PREFIX}*"):
            shutil.rmtree(path, ignore_errors=True)


def _first(executor: Executor) -> Callable[[], Executor]:
    """Return a function that returns an executor, and if that has broken, one of the same kind."""
    given = [executor]

    def make() -> Executor:
        """Return the executor the first time, and afterwards another of its kind."""
        if given:
            return given.pop()
        if not isinstance(executor, ProcessPoolExecutor):
            raise OptionError(
                "the executor broke, and some shards are not finished; give a function that makes one, and "
                "it is replaced. What had ended is kept in the journal, if there is one"
            )
        return processes(getattr(executor, "_max_workers", None))()

    return make


def _client_of(executor: Any) -> Any:
    """Return the client of Dask that an executor stands for, or None."""
    if not any(kind.__module__.partition(".")[0] == "distributed" for kind in type(executor).__mro__):
        return None
    return getattr(executor, "_client", executor)  # an executor of Dask has no public way to its client


def _room(client: Any) -> int:
    """Return how many shards keep all workers busy: two for each of their threads, as some wait there."""
    with suppress(Exception):
        return max(4, 2 * sum(client.nthreads().values()))
    return IN_FLIGHT


class _Scattered:
    """Data on the workers of Dask; they are sent anew if they got lost with the workers that had them."""

    def __init__(self, client: Any, folds: list[Fold]):
        self._client, self._folds = client, folds
        self._future: Any = None

    def submit(self, pool: Executor, task: bytes, number: int, threads: int | None) -> Future:
        """Submit a shard; send the data first if no worker has them."""
        if self._future is None or self._future.status not in ("pending", "finished"):
            (self._future,) = self._client.scatter([self._folds], broadcast=True, hash=False)
        return pool.submit(work, task, self._future, number, threads)
