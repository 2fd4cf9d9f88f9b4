"""Costs of a start: import, cold compile and cached start; and whole runs from the start of a process."""

import subprocess
import sys
import time
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

from bench import grid
from bench.peers import PEERS, UnavailableError
from bench.processes import ROOT, WorkerProcess, environment
from bench.tasks import PUBLISHED, TASKS
from fastbp.benchmark.protocol import LostError

LONG_SECONDS = 2.0
"""A run that takes longer is not repeated."""


class Repeats(NamedTuple):
    """How often a run is timed, and how often an import."""

    of_run: int
    of_import: int


@lru_cache
def import_seconds(name: str, cores: tuple[int, ...], repeats: int) -> float:
    """Return the seconds of a new Python process to import a peer's modules; the least of a few.

    The least, because the first import reads the files from disk.
    """

    def once() -> float:
        started = time.perf_counter()
        command = [sys.executable, "-c", PEERS[name].imports if name in PEERS else "pass"]
        subprocess.run(command, check=True, cwd=ROOT, env=environment(cores), capture_output=True)
        return time.perf_counter() - started

    return min(once() for _ in range(repeats))


def run_once(name: str, key: str, steps: int, variables: dict[str, str], path: Path) -> float:
    """Start a peer's process, and time its first preparation and run of `steps` steps, without imports."""
    with WorkerProcess(name, variables) as worker:
        reason = worker.ask(load=True)["unavailable"]
        started = time.perf_counter()
        reason = reason or worker.ask(prepare=key)["unavailable"]
        if reason:
            raise UnavailableError(reason)
        worker.ask(train=steps, into=str(path))
        return time.perf_counter() - started


def run_often(name: str, key: str, steps: int, variables: dict[str, str], path: Path, repeats: int) -> float:
    """Return the median seconds of several runs, or those of the first one if it is long."""
    seconds = [run_once(name, key, steps, variables, path)]
    while len(seconds) < repeats and seconds[0] < LONG_SECONDS:
        seconds.append(run_once(name, key, steps, variables, path))
    return median(seconds)


def measure_starts(
    keys, peers: list[str], cores: list[int], folder: Path, say, repeats: Repeats
) -> list[dict]:
    """Return for each workload and peer the seconds of import, of a cold and of a cached first epoch."""
    found = []
    path = folder / "theta.npy"
    for number, key in enumerate(keys):
        rows = []
        epoch = grid.ALL[key].steps_per_epoch
        for name in peers:
            say(f"starts: {key}: {name}")
            variables = environment(cores, folder / f"start-{number}-{peers.index(name)}")
            try:
                cold = run_once(name, key, epoch, variables, path)
                cached = run_often(name, key, epoch, variables, path, repeats.of_run)
                imported = import_seconds(name, tuple(cores), repeats.of_import)
                seconds = {"import": imported, "cold": cold, "cached": cached}
            except (LostError, UnavailableError, subprocess.CalledProcessError):
                continue
            rows.append({"peer": name} | seconds)
        found.append({"workload": key, "rows": rows})
    return found


def measure_tasks(
    keys, peers: list[str], cores: list[int], folder: Path, say, repeats: Repeats
) -> list[dict]:
    """Return for each task and peer the seconds from the start of a process to the trained network.

    Code that a peer compiles has been compiled before, and is in the peer's cache.
    """
    found = []
    variables, path = environment(cores, folder / "task-caches"), folder / "theta.npy"
    for key in keys:
        task = TASKS[key]
        rows = []
        for name in peers:
            if task.peers and name not in task.peers:
                continue
            say(f"tasks: {key}: {name}")
            try:
                run_once(name, key, task.workload.steps_per_epoch, variables, path)
                seconds = run_often(name, key, task.steps, variables, path, repeats.of_run)
                with_import = seconds + import_seconds(name, tuple(cores), repeats.of_import)
            except UnavailableError:
                continue
            except (LostError, subprocess.CalledProcessError) as error:
                rows.append({"peer": name, "status": "failed", "reason": str(error)})
                continue
            score = task.score(task.workload, np.load(path))
            row = {"peer": name, "status": "timed", "reason": "", "score": score}
            if score < task.target:
                row |= {"status": "wrong", "reason": f"reached {score:.4g}, and must reach {task.target:.4g}"}
            else:
                row |= {"seconds": seconds, "with_import": with_import}
            rows.append(row)
        facts = {"steps": task.steps, "goal": task.says, "published": PUBLISHED.get(key, "")}
        found.append({"task": key} | facts | {"rows": rows})
    return found
