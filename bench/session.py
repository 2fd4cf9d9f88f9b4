"""A session: fastbp against its rivals, on this machine, into one JSON file.

    python -m bench.session --out bench/results/NAME.json           under 25 minutes on 2 cores
    python -m bench.session --quick --out FILE.json                 under 4 minutes

The protocol:

1. A process per peer, all on the same cores with the same number of threads.
2. Before a peer is timed on a workload, it must reach the reference's parameters (`fastbp.benchmark.gate`).
3. Pairs: fastbp and the rival are each timed for a short time, A B then B A (`fastbp.benchmark.protocol`).
   The ratio is the median over pairs, its interval is bootstrapped, and the claim is the lower end.
4. On every workload fastbp is also timed against a second process of itself. If the interval of these A/A
   ratios over the session does not contain 1, the session is marked unsound.
5. The cores must be there: cloud machines lend some of their cores' time to others. Before a workload, all
   threads together must reach the peak of as many cores. A workload is timed again if they do not reach it
   afterwards, if fastbp differs from itself, or if fastbp's times are not steady. No rival's times have a say
   in that.
6. Import, cold and cached start, and time per step are reported separately, and also the length of run from
   which fastbp's total time is smaller.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

import fastbp
from bench import grid, starts
from bench.peers import OURS, PEERS, numpy_arrays
from bench.processes import ROOT, WorkerProcess, environment
from fastbp.benchmark import roofline
from fastbp.benchmark.gate import judge
from fastbp.benchmark.machine import core_numbers, describe_machine
from fastbp.benchmark.protocol import LostError, Protocol, time_pairs
from fastbp.benchmark.statistics import Interval, median_interval
from fastbp.interchange.atomic import check_writable, write_atomically
from fastbp.interchange.standard_json import dumps

CONTROL = "fastbp again"
FEW = 5
"""With fewer medians than this, an interval means nothing."""

MOST_NOISE = 0.03
"""A workload is timed again if the median ratio of fastbp to itself is further from 1."""

MOST_SPREAD = 1.15
"""A workload is timed again if the 80th percentile of fastbp's times is more than so many times the 20th."""

MOST_TRIES = 3
"""So often a workload is timed, at most."""

ENOUGH_CORES = 0.9
"""The part of its cores' peak that the machine must reach."""

PATIENCE = 900.0
"""Seconds that a session waits for its cores, over all workloads."""

LOOK = roofline.Effort(seconds=0.02)
"""How long a look at the cores takes."""

PAUSE = 5.0
"""Seconds from one look at the cores to the next."""

DESCRIBED = (
    "name", "dtype", "hidden", "output", "loss", "batch_size", "n_samples", "networks",
    "flops_per_step", "bytes_per_step", "checked_steps",
)  # fmt: skip
"""Attributes of a workload that are reported unchanged."""

PACKAGES = ("numpy", "scipy", "numba", "llvmlite", "scikit-learn", "torch", "jax", "jaxlib")


LARGE_FLOPS, LARGE_TURN = 2e8, 10
"""From this many operations a step on, a workload is timed this many times as long."""


@dataclass(frozen=True)
class Settings(Protocol):
    """What is run, and for how long. At least one epoch is timed at a time, however long it takes.

    Attributes
    ----------
    workloads, start_workloads, tasks : tuple of str
        The names of what is run.
    compiled_for : tuple of str
        The workloads that PyTorch compiles, which takes many seconds each; None for all in float32.
    quick : bool
        Whether to do everything with few repeats.
    effort : Effort
        How the limits of the machine are measured.
    import_repeats : int
        How often an import is timed; the least counts.
    """

    workloads: tuple[str, ...]
    start_workloads: tuple[str, ...]
    tasks: tuple[str, ...]
    compiled_for: tuple[str, ...] | None = None
    quick: bool = False
    effort: roofline.Effort = roofline.USUAL
    import_repeats: int = 3


FULL = Settings(
    20,
    0.05,
    (*(str(w.with_dtype(d)) for w in grid.GRID for d in ("float32", "float64")), *map(str, grid.WIDTHS)),
    ("2-2-2, 4 samples, float64", "64-128-10 relu, 32, Adam, float32"),
    tuple(starts.TASKS),
)
QUICK = Settings(
    6,
    0.01,
    (
        "2-2-2, 4 samples, float64",
        "2-4-1 sigmoid, 1, SGD, float32",
        "4-10-3 relu, 16, SGD, float32",
        "64-128-10 relu, 1, SGD, float32",
        "64-128-10 relu, 32, Adam, float32",
        "784-128-10 relu, 128, Adam, float32",
        "width 64, float32",
        "width 256, float32",
    ),
    ("64-128-10 relu, 32, Adam, float32",),
    ("2-2-2, 1 sample, float64", "digits, 64-128-10, float32"),
    ("64-128-10 relu, 32, Adam, float32",),
    quick=True,
)


class Session:
    """The workers of a session, and their results."""

    def __init__(
        self,
        settings: Settings,
        peers: list[str],
        cores: list[int],
        folder: Path,
        say,
        tolerance: float | None = None,
    ):
        self.settings, self.peers, self.cores, self.folder, self.say = settings, peers, cores, folder, say
        self.tolerance = tolerance  # None: each workload's own
        self.variables = environment(cores)
        self.threads: dict[str, dict] = {}
        self._patience = PATIENCE
        self._stack = ExitStack()
        self._workers: dict[str, WorkerProcess] = {}

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._stack.close()

    def worker(self, name: str) -> WorkerProcess:
        """Return the process of a peer; start it at the first request, and again if it was lost."""
        if name not in self._workers:
            peer = OURS if name == CONTROL else name
            self._workers[name] = self._stack.enter_context(WorkerProcess(peer, self.variables))
        return self._workers[name]

    def seconds(self, workload: grid.Workload) -> float:
        """Return the seconds of one timing: more for millions of parameters, which a call has to copy."""
        large = workload.flops_per_step > LARGE_FLOPS and not self.settings.quick
        return self.settings.turn_seconds * (LARGE_TURN if large else 1)

    def takes_part(self, peer: str, workload: grid.Workload) -> bool:
        if workload in grid.WIDTHS and peer not in (OURS, "NumPy", "C", "PyTorch", "JAX"):
            return False
        if peer != "PyTorch compiled":
            return True
        chosen = self.settings.compiled_for
        return str(workload) in chosen if chosen is not None else workload.dtype == "float32"

    def compare(self, workload: grid.Workload) -> dict:
        """Return everything about one workload."""
        with threadpool_limits(len(self.cores)):
            references = numpy_arrays.references(workload)
        names = [OURS, CONTROL, *(p for p in self.peers if p != OURS and self.takes_part(p, workload))]
        steps: dict[str, int] = {}
        rows: dict[str, dict] = {}
        for name in names:
            self.say(f"{workload}: {name}")
            try:
                rows[name] = self.admit(name, workload, references)
                if not rows[name]["reason"]:
                    steps[name] = self.worker(name).ask(calibrate=self.seconds(workload))["steps"]
                    self.threads[name] = self.worker(name).ask(threads=True)
            except LostError as error:
                self.lose(name)
                steps.pop(name, None)
                rows[name] = {"peer": name, "status": "failed", "reason": str(error)}
        ours, quiet = rows[OURS], False
        if OURS in steps:
            pairs, quiet = self.time_quietly(workload, steps)
            for name in steps.keys() - {OURS}:
                lost = {"status": "failed", "reason": "its process was lost while it was timed"}
                rows[name] |= summary(pairs[name]) if name in pairs else lost
            if pairs:
                ours["us"] = float(np.median([found[:, 0] for found in pairs.values()])) / 1e3
        else:
            for name in steps:
                rows[name] |= {"status": "no pair", "reason": f"fastbp {ours['status']}: {ours['reason']}"}
        control = rows.pop(CONTROL)
        found = describe_workload(workload) | {"control": control, "rows": list(rows.values())}
        return found if self.settings.quick else found | {"quiet": quiet}

    def admit(self, name: str, workload: grid.Workload, references) -> dict:
        """Prepare a peer, and check it at the gate."""
        row = {"peer": name, "status": "skipped", "reason": ""}
        worker = self.worker(name)
        unavailable = worker.ask(prepare=workload.key)["unavailable"]
        if unavailable:
            return row | {"reason": unavailable}
        path, start = self.folder / "theta.npy", workload.with_dtype("float64").starts()[0]
        tolerance = workload.tolerance if self.tolerance is None else self.tolerance
        reason, gap = judge(lambda steps: worker.train(steps, path), references, start, tolerance)
        return row | {"status": "wrong" if reason else "timed", "reason": reason, "gap": gap}

    def time_quietly(self, workload: grid.Workload, steps: dict[str, int]) -> tuple[dict, bool]:
        """Return the pairs of `time_pairs`, and whether nothing disturbed them; try again if something did.

        A quick session does not look.
        """
        if self.settings.quick:
            return self.time_pairs(workload, steps), False
        for _ in range(MOST_TRIES):
            self.wait_for_cores()
            pairs = self.time_pairs(workload, steps)
            quiet = agrees(pairs.get(CONTROL)) and is_steady(pairs) and self.has_cores()
            if quiet:
                break
            steps = {name: n for name, n in steps.items() if name == OURS or name in pairs}
        return pairs, quiet

    def has_cores(self) -> bool:
        """Return whether all threads together reach the peak of as many cores."""
        n = len(self.cores)
        return roofline.cores_reached(n, LOOK) >= ENOUGH_CORES * n

    def wait_for_cores(self) -> None:
        """Wait until all cores are there, unless the session has waited too long already."""
        while self._patience > 0 and not self.has_cores():
            self.say("waits for its cores")
            time.sleep(PAUSE)
            self._patience -= PAUSE

    def time_pairs(self, workload: grid.Workload, steps: dict[str, int]) -> dict[str, np.ndarray]:
        """Return pairs [fastbp, rival] of nanoseconds a step for every rival."""

        def nanoseconds(name: str) -> float:
            try:
                return self.worker(name).ask(time=steps[name])["ns"] / steps[name]
            except LostError:
                self.lose(name)
                raise

        return time_pairs(
            OURS,
            [name for name in steps if name != OURS],
            self.settings.rounds,
            nanoseconds,
            lambda done: self.say(f"{workload}: pair {done + 1} of {self.settings.rounds}"),
        )

    def lose(self, name: str) -> None:
        worker = self._workers.pop(name, None)
        if worker:
            worker.end()


def summary(pairs: np.ndarray) -> dict:
    """Return a row's numbers from its pairs [fastbp, rival] of nanoseconds a step."""
    ours, rival = pairs.T
    return {
        "us": float(np.median(rival)) / 1e3,
        "times_as_fast": median_interval(rival / ours).as_dict(),
        "pairs": [[round(a, 2), round(b, 2)] for a, b in pairs.tolist()],
    }


def agrees(control: np.ndarray | None) -> bool:
    """Return whether fastbp takes as long as itself, by its pairs on one workload."""
    return control is not None and abs(float(np.median(control[:, 1] / control[:, 0])) - 1) <= MOST_NOISE


def is_steady(pairs: dict[str, np.ndarray]) -> bool:
    """Return whether fastbp's times on one workload are alike, against all rivals."""
    low, high = np.percentile(np.concatenate([found[:, 0] for found in pairs.values()]), [20, 80])
    return bool(high <= MOST_SPREAD * low)


def control_interval(groups: list[list[float]]) -> Interval:
    """Return the interval of the A/A control over all workloads.

    The bootstrap draws workloads, each with its median. Two processes of the same code differ a little in the
    placement of their arrays, by the same amount in every pair of a workload, so an interval from pairs would
    be too narrow. Pairs are drawn if there are too few workloads.
    """
    if len(groups) < FEW:
        return median_interval(np.concatenate(groups))
    return median_interval([float(np.median(group)) for group in groups])


def describe_workload(workload: grid.Workload) -> dict:
    return {name: getattr(workload, name) for name in DESCRIBED} | {
        "layer_sizes": list(workload.layer_sizes),
        "group": "width" if workload.name.startswith("width") else "grid",
        "optimizer": repr(workload.optimizer),
        "is_large": workload.flops_per_step >= grid.LARGE_FLOPS,
    }


def versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def commit() -> str:
    """Return the current commit, with a + if files differ from it."""
    command = ["git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+"]
    try:
        return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def run(settings: Settings, peers: list[str], cores: list[int], say) -> dict:
    """Run a whole session and return its document."""
    started = time.perf_counter()
    document: dict = {
        "format": 1,
        "fastbp": fastbp.__version__,
        "commit": commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": settings.quick,
        "machine": describe_machine(),
        "versions": versions(),
        "cores": cores,
        "threads_each": len(cores),
        "protocol": {
            "pairs": settings.rounds,
            "turn_seconds": settings.turn_seconds,
            "tolerance": grid.TOLERANCE | {f"float32 from width {grid.WIDE} on": grid.WIDE_TOLERANCE},
            "order": "ABBA",
            "interval": "95 % percentile bootstrap of the median ratio",
        },
    }
    say("the machine's peak and bandwidth")
    document["roofline"] = roofline.measure(len(cores), settings.effort)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Session(settings, peers, cores, folder, say) as session:
            document["workloads"] = [session.compare(grid.ALL[w]) for w in settings.workloads]
            document["threads"] = session.threads
        repeats = starts.Repeats(1 if settings.quick else 3, settings.import_repeats)
        patient = [name for name in peers if name != "PyTorch compiled"]  # its start takes too long
        document["starts"] = starts.measure_starts(
            settings.start_workloads, patient if settings.quick else peers, cores, folder, say, repeats
        )
        document["tasks"] = starts.measure_tasks(settings.tasks, patient, cores, folder, say, repeats)
    controls = [
        [b / a for a, b in w["control"]["pairs"]] for w in document["workloads"] if "pairs" in w["control"]
    ]
    interval = control_interval(controls) if controls else None
    document["control"] = interval.as_dict() if interval else None
    document["sound"] = interval is not None and interval.contains(1.0)
    document["seconds"] = round(time.perf_counter() - started, 1)
    return document


def chosen(settings: Settings, only: str | None) -> Settings:
    """Return the settings with only the workloads whose names contain `only`, without starts and tasks."""
    if only is None:
        return settings
    workloads = tuple(name for name in FULL.workloads if only in name)
    return replace(settings, workloads=workloads, start_workloads=(), tasks=())


def announce() -> Callable[[str], None]:
    """Return a function that shows the progress: on one line of a terminal, or otherwise line by line."""
    started = time.perf_counter()

    def say(text: str) -> None:
        seconds = f"{time.perf_counter() - started:6.0f} s  "
        if sys.stderr.isatty():
            print(f"\033[K{seconds}{text}\r", end="", file=sys.stderr, flush=True)
        elif "pair" not in text:
            print(f"{seconds}{text}", file=sys.stderr, flush=True)

    return say


def listed(text: str) -> list[str]:
    """Return the names in a comma-separated list, although some names contain a comma."""
    known = "|".join(map(re.escape, PEERS))
    return re.findall(rf"\s*((?:{known})(?=\s*,|\s*$)|[^,]+?)\s*(?:,|$)", text)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.session", description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--quick", action="store_true", help="few workloads, short turns: rough numbers")
    parser.add_argument("--only", metavar="TEXT", help="only the workloads whose names hold this")
    parser.add_argument(
        "--peers", metavar="NAMES", help=f"of {', '.join(PEERS)}, or module:function; default: all"
    )
    parser.add_argument("--cores", type=int, help="how many cores and threads everybody gets; default: all")
    options = parser.parse_args(arguments)
    cores = core_numbers()
    if options.cores is not None and not 1 <= options.cores <= len(cores):
        parser.error(f"--cores is {options.cores}, and may be 1 to {len(cores)}")
    peers = listed(options.peers) if options.peers else list(PEERS)
    unknown = {name for name in peers if name not in PEERS and ":" not in name}
    if unknown:
        parser.error(f"--peers names {', '.join(sorted(unknown))}, and may name {', '.join(PEERS)}")
    settings = chosen(QUICK if options.quick else FULL, options.only)
    if not settings.workloads:
        parser.error(f"--only {options.only!r} is in no workload's name")
    try:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        check_writable(options.out)
    except OSError as error:
        parser.error(f"--out {options.out}: {error.strerror}")
    document = run(settings, peers, cores[: options.cores], announce())
    write_atomically(options.out, [dumps(document).encode(), b"\n"])
    wrong = [
        f"{w['name']}, {w['dtype']}: {row['peer']}: {row['status']}: {row['reason']}"
        for w in document["workloads"]
        for row in w["rows"]
        if row["status"] in ("wrong", "failed")
    ]
    print(*wrong, f"{options.out}: {document['seconds']:.0f} s", sep="\n")
    if not document["sound"]:
        print("UNSOUND: the A/A control's interval does not contain 1", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
