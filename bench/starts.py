"""What happens once: import, cold compile, cached start; and whole runs from the start of a process."""

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np

from bench import grid
from bench.peers import PEERS
from bench.processes import ROOT, WorkerProcess, environment
from bench.tasks import PUBLISHED, TASKS
from fastbp.benchmark.protocol import LostError

IMPORT_REPEATS = 3
LONG_SECONDS = 2.0
"""A run that takes longer is not repeated."""


def import_seconds(name: str, variables: dict[str, str]) -> float:
    """Return how long a fresh Python takes to import what a peer's program imports; the least of three.

    The least, because the first one reads the files from disk.
    """

    def once() -> float:
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", PEERS[name].imports if name in PEERS else "pass"],
            check=True, cwd=ROOT, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        return time.perf_counter() - started

    return min(once() for _ in range(IMPORT_REPEATS))


def run_once(name: str, key: str, steps: int, variables: dict[str, str], path: Path) -> dict:
    """Start a peer's process, and time its first preparation and run of so many steps, imports apart."""
    with WorkerProcess(name, variables) as worker:
        reason = worker.ask(load=True)["unavailable"]
        if not reason:
            started = time.perf_counter()
            reason = worker.ask(prepare=key)["unavailable"]
        if reason:
            return {"reason": reason}
        worker.ask(train=steps, into=str(path))
        return {"reason": "", "seconds": time.perf_counter() - started}


def run_often(name: str, key: str, steps: int, variables: dict[str, str], path: Path, repeats: int) -> float:
    """Return the median seconds of so many runs, or of the first one if that is long."""
    seconds = [run_once(name, key, steps, variables, path)["seconds"]]
    while len(seconds) < repeats and seconds[0] < LONG_SECONDS:
        seconds.append(run_once(name, key, steps, variables, path)["seconds"])
    return median(seconds)


def measure_starts(keys, peers: list[str], cores: list[int], folder: Path, say, repeats: int) -> list[dict]:
    """Return for each workload and peer the seconds of import, of a cold and of a cached first epoch."""
    found = []
    imports: dict[str, float] = {}
    for number, key in enumerate(keys):
        rows = []
        for name in peers:
            say(f"starts: {key}: {name}")
            caches = folder / f"start-{number}-{peers.index(name)}"
            variables = environment(cores, caches)
            row: dict = {"peer": name}
            try:
                epoch = grid.ALL[key].steps_per_epoch
                path = folder / "theta.npy"
                cold = run_once(name, key, epoch, variables, path)
                if cold["reason"]:
                    continue
                cached = run_often(name, key, epoch, variables, path, repeats)
                if name not in imports:
                    imports[name] = import_seconds(name, variables)
            except (LostError, subprocess.CalledProcessError):
                continue
            rows.append(row | {"import": imports[name], "cold": cold["seconds"], "cached": cached})
        found.append({"workload": key, "rows": rows})
    return found


def measure_tasks(keys, peers: list[str], cores: list[int], folder: Path, say, repeats: int) -> list[dict]:
    """Return for each task and peer the seconds from the start of a process to the trained network.

    What a peer compiles was compiled before, and is kept where it keeps such things.
    """
    found = []
    variables = environment(cores, folder / "task-caches")
    imports: dict[str, float] = {}
    for key in keys:
        task = TASKS[key]
        rows = []
        for name in peers:
            if task.peers and name not in task.peers:
                continue
            say(f"tasks: {key}: {name}")
            path = folder / "theta.npy"
            try:
                warm = run_once(name, key, task.workload.steps_per_epoch, variables, path)
                if warm["reason"]:
                    continue
                seconds = run_often(name, key, task.steps, variables, path, repeats)
                if name not in imports:
                    imports[name] = import_seconds(name, variables)
            except (LostError, subprocess.CalledProcessError) as error:
                rows.append({"peer": name, "status": "failed", "reason": str(error)})
                continue
            score = task.score(task.workload, np.load(path))
            row = {"peer": name, "status": "timed", "reason": "", "score": score}
            if score < task.target:
                row |= {"status": "wrong", "reason": f"reached {score:.4g}, and must reach {task.target:.4g}"}
            else:
                row |= {"seconds": seconds, "with_import": seconds + imports[name]}
            rows.append(row)
        found.append(
            {
                "task": key,
                "steps": task.steps,
                "goal": task.says,
                "published": PUBLISHED.get(key, ""),
                "rows": rows,
            }
        )
    return found
