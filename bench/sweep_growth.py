"""How a sweep grows with the number of workers: measured costs, and a simulated run of 1,000 workers.

python -m bench.sweep_growth [--networks 1000000000] [--workers 1000]

Measured: the bytes that go to and from a worker, and the time of a shard without work, on processes and on a
cluster of Dask on this machine. Simulated: the workers, whose shards take a random time, may be ten times
slower, and may die. The loop that submits, repeats and collects is the real one, and so is the journal; only
its clock is simulated. The model says how long the run should take.
"""

import argparse
import heapq
import pickle
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future
from contextlib import contextmanager
from typing import Any

import numpy as np

from fastbp import spaces
from fastbp.sweeping.cohorts import Recipe
from fastbp.sweeping.dispatch import Dispatcher
from fastbp.sweeping.folds import make_folds
from fastbp.sweeping.journal import NAME, Journal, Outcome
from fastbp.sweeping.points import Points
from fastbp.sweeping.rungs import Plan, brackets_of
from fastbp.sweeping.shard_run import Task
from fastbp.sweeping.transport import Folder, processes, work

SHARD_SIZE, TOP = 2048, 10

SECONDS, SPREAD = 1.0, 0.2
"""The median of the time of a shard, and the standard deviation of its logarithm."""

SLOW_SHARE, SLOWNESS = 0.002, 10.0
"""How many shards are slow, and how many times slower."""

DEATHS_AN_HOUR, SECONDS_TO_RETURN = 0.02, 60.0
"""How often a worker dies, and when another takes its place."""


def nothing(task: bytes, data: Any, number: int, threads: int) -> Outcome:
    """Return an outcome of a whole shard, without any work."""
    return Outcome(
        np.arange(SHARD_SIZE, dtype=np.int32), np.full(SHARD_SIZE, 0.5), np.ones(SHARD_SIZE, np.int8)
    )


# --- measured ----------------------------------------------------------------------------------------


def example_task() -> Task:
    """Return the task of a usual sweep."""
    X = np.random.default_rng(0).normal(size=(1000, 8))
    folds = make_folds(X, target=X[:, 0], seed=0)
    points = Points(spaces.Space(spaces.USUAL), 10**9, "random", 0)
    recipe = Recipe(points, folds.datasets[0].preprocessing, None, "float32")
    return Task(recipe, Plan(brackets_of(10**9, 100, 3, 1, False), SHARD_SIZE, 3))


def bytes_a_network(task: Any, top: int | None) -> tuple[float, float, float]:
    """Return the bytes of a network that go to a worker, come back, and go to the journal."""
    n = SHARD_SIZE if top is None else top
    outcome = Outcome(
        np.arange(n, dtype=np.int32), np.random.default_rng(0).normal(size=n), np.ones(n, np.int8)
    )
    sent = pickle.dumps((work, pickle.dumps(task), Folder("/shared/sweep/data-01234567", 1), 123456, 1))
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(folder, {})
        before = journal.path.stat().st_size
        journal.append([(123456, outcome)])
        journal.close()
        written = journal.path.stat().st_size - before
    return len(sent) / SHARD_SIZE, len(pickle.dumps(outcome)) / SHARD_SIZE, written / SHARD_SIZE


def seconds_a_shard(make: Callable[[], Executor], task: Any, n_shards: int, in_flight: int) -> float:
    """Return the time of a shard without work on an executor."""
    packed = pickle.dumps(task)
    executor = make()
    for warm in (True, False):
        started = time.perf_counter()
        dispatcher = Dispatcher(
            lambda: executor,
            lambda pool, number: pool.submit(nothing, packed, None, number, 1),
            in_flight=in_flight,
        )
        n_ended = sum(len(batch) for batch in dispatcher.run(range(100 if warm else n_shards)))
        seconds = time.perf_counter() - started
    assert n_ended == n_shards
    return seconds / n_shards


@contextmanager
def dask_executor(n_workers: int) -> Iterator[Executor]:
    """Yield an executor of a cluster on this machine."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=n_workers, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client.get_executor(pure=False)


# --- simulated ---------------------------------------------------------------------------------------


class Workers(Executor):
    """Workers in simulated time. Each takes the next shard that waits; some are slow, and some die."""

    def __init__(self, n_workers: int, seed: int):
        self.now = 0.0
        self._random = random.Random(seed)
        self._free = [0.0] * n_workers
        self._events: list[tuple[float, int, Future, bool]] = []
        self._looked = time.perf_counter()
        self.n_submitted = self.n_died = 0

    def submit(self, number: int) -> Future:  # type: ignore[override]
        """Return the future of a shard that ends at a random time."""
        future: Future = Future()
        self.n_submitted += 1
        start = max(self.now, heapq.heappop(self._free))
        seconds = SECONDS * self._random.lognormvariate(0.0, SPREAD)
        if self._random.random() < SLOW_SHARE:
            seconds *= SLOWNESS
        dies = self._random.random() < seconds * DEATHS_AN_HOUR / 3600
        end = start + seconds
        self.n_died += dies
        heapq.heappush(self._free, end + SECONDS_TO_RETURN * dies)
        heapq.heappush(self._events, (end, self.n_submitted, future, dies))
        return future

    def wait(self, seconds: float) -> None:
        """Let time pass until a shard ends, and at least as much as the client needed since the last call."""
        real = time.perf_counter()
        until = max(self._events[0][0], self.now + real - self._looked)
        self._looked = real
        while self._events and self._events[0][0] <= until:
            self.now, _, future, dies = heapq.heappop(self._events)
            if future.cancelled():
                continue
            if dies:
                future.set_exception(CancelledError())
            else:
                future.set_result(OUTCOME)
        self.now = until


OUTCOME = Outcome(np.arange(TOP, dtype=np.int32), np.full(TOP, 0.5), np.ones(TOP, np.int8))


def simulate(n_networks: int, n_workers: int) -> dict[str, float]:
    """Run a sweep on simulated workers, and return what it took."""
    plan = Plan(brackets_of(n_networks, 100, 3, 1, False), SHARD_SIZE, 3)
    workers = Workers(n_workers, seed=1)
    dispatcher = Dispatcher(
        lambda: workers,
        lambda pool, number: pool.submit(number),
        in_flight=2 * n_workers,
        clock=lambda: workers.now,
        wait=workers.wait,
    )
    n_ended, n_batches, started = 0, 0, time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(folder, {})
        for batch in dispatcher.run(range(len(plan))):
            journal.append(batch)
            n_ended += len(batch)
            n_batches += 1
        journal.close()
        size = (journal.path.parent / NAME).stat().st_size
    client = time.process_time() - started
    assert n_ended == len(plan)
    mean = SECONDS * np.exp(SPREAD**2 / 2) * (1 + SLOW_SHARE * (SLOWNESS - 1))
    return {
        "shards": len(plan),
        "seconds": workers.now,
        "model": len(plan) * mean / n_workers + SLOWNESS * SECONDS / 2,
        "client": client,
        "batches": n_batches,
        "died": workers.n_died,
        "repeated": dispatcher.n_repeated,
        "journal": size,
    }


def main() -> None:
    """Print all of it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--networks", type=int, default=10**9)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--shards", type=int, default=2000, help="without work, for the measurement")
    options = parser.parse_args()
    task = example_task()
    for top in (None, TOP):
        sent, returned, written = bytes_a_network(task, top)
        what = "all trials" if top is None else f"the best {top} of a shard"
        print(
            f"{what} reported: {sent:.2f} bytes a network to a worker, {returned:.2f} back, "
            f"{written:.2f} in the journal"
        )
    pool = processes(2)()
    each = {"2 processes": seconds_a_shard(lambda: pool, task, options.shards, 64)}
    pool.shutdown()
    with dask_executor(2) as executor:
        each["2 workers of Dask"] = seconds_a_shard(lambda: executor, task, options.shards, 64)
    for name, seconds in each.items():
        print(f"{name}: {1e3 * seconds:.2f} ms a shard, {1e6 * seconds / SHARD_SIZE:.2f} us a network")
    found = simulate(options.networks, options.workers)
    print(
        f"{options.networks:,} networks in {found['shards']:,} shards on {options.workers:,} workers: "
        f"{found['seconds']:,.0f} s, and the model says {found['model']:,.0f} s\n"
        f"{found['died']:.0f} workers died, {found['repeated']:.0f} shards ran again\n"
        f"the client computed for {found['client']:.0f} s, {1e6 * found['client'] / found['shards']:.0f} us "
        f"a shard, and synced {found['batches']:,} times; the journal has {found['journal'] / 1e6:.0f} MB"
    )


if __name__ == "__main__":
    main()
