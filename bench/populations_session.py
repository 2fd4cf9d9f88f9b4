"""Populations against JAX, and against a loop in pure Python: a table, and a JSON file of all times.

    python -m bench.populations_session --out bench/results/NAME.json --readme docs/populations.md

JAX's form is `jit` of `vmap` of `scan`. The protocol is that of `bench.session`: a process for each, which is
suspended while another is timed; whoever does not reach the reference's parameters gets no number; pairs A B
then B A; the claim is the lower end of the bootstrap interval of the median ratio. The last row is a whole
command.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tabulate import tabulate

from bench import grid
from bench.peers import OURS, numpy_arrays
from bench.processes import ROOT, WorkerProcess, environment
from bench.table_command import TableCommand, heading, run_table_command
from fastbp.benchmark import roofline
from fastbp.benchmark.gate import judge
from fastbp.benchmark.machine import core_numbers
from fastbp.benchmark.protocol import LostError, Protocol, time_pairs
from fastbp.benchmark.statistics import Interval, median_interval
from fastbp.benchmark.summary import three_digits

BEGIN, END = "<!-- populations: begin -->", "<!-- populations: end -->"

FULL, QUICK = Protocol(rounds=9, turn_seconds=0.2), Protocol(rounds=3, turn_seconds=0.03)

AGAIN, ALONE, JAX, PYTHON = "fastbp again", "fastbp, one thread", "JAX", "Python, lists"
PEER_OF = {OURS: OURS, AGAIN: OURS, ALONE: OURS, JAX: JAX, PYTHON: PYTHON}

CHECKED = (0, 1, -1)
"""The networks of a population that the gate looks at."""

BASINS = "a million 2-2-2 on XOR, 1,000 steps each"
BASINS_COMMAND = ("-m", "examples.xor_basins")
BASINS_NETWORKS, BASINS_STEPS = 1_000_000, 1000


@dataclass(frozen=True)
class Row:
    """What is timed: the workload of each contender."""

    ours: grid.Workload
    rivals: dict[str, grid.Workload]

    @property
    def workloads(self) -> dict[str, grid.Workload]:
        """The workload of each contender, fastbp's first."""
        return dict.fromkeys((OURS, AGAIN, ALONE), self.ours) | self.rivals


def _rows() -> Iterable[Row]:
    smallest = grid.POPULATIONS[0]
    python = next(w for w in grid.GRID if w.name == "2-2-2, 4 samples").with_dtype("float64")
    for dtype in ("float32", "float64"):
        yield Row(smallest.with_dtype(dtype), {JAX: smallest.with_dtype("float32"), PYTHON: python})
    for workload in grid.POPULATIONS[1:]:
        yield Row(workload, {JAX: workload})


ROWS = {row.ours.key: row for row in _rows()}


def check(workload: grid.Workload, train: Callable[[int], np.ndarray]) -> tuple[str, float]:
    """Return why a contender is not to be timed, or "", and how far it is from the reference."""
    double, starts = workload.with_dtype("float64"), workload.with_dtype("float64").starts()
    found, reason = {steps: np.atleast_2d(train(steps)) for steps in workload.checked_steps}, ""
    gaps = []
    for number in {i % workload.networks for i in CHECKED}:
        reference = numpy_arrays.prepare_layers(double.alone(number), starts[number])
        references = {steps: reference(steps) for steps in found}
        why, gap = judge(
            lambda steps, number=number: found[steps][number],
            references,
            starts[number],
            workload.tolerance,
        )
        reason, gaps = reason or why, [*gaps, gap]
    return reason, max(gaps)


def measure(
    row: Row, workers: dict[str, WorkerProcess], folder: Path, protocol: Protocol, peak: float, say: Callable
) -> dict:
    """Return the times of a row. All are nanoseconds of one step of one network."""
    workloads, document = row.workloads, {"name": row.ours.key, "rivals": {}}
    steps: dict[str, int] = {}
    for name, workload in workloads.items():
        say(f"{row.ours.key}: {name}")
        try:
            unavailable = workers[name].ask(prepare=workload.key)["unavailable"]
            reason, gap = (
                (unavailable, None)
                if unavailable
                else check(
                    workload, lambda steps, name=name: workers[name].train(steps, folder / "theta.npy")
                )
            )
            if not reason:
                steps[name] = workers[name].ask(calibrate=protocol.turn_seconds)["steps"]
        except LostError as error:
            reason, gap = str(error), None
        document["rivals"][name] = {"reason": reason, "gap": gap}
    ours = document["rivals"].pop(OURS)
    if ours["reason"]:
        return document | {"status": "failed", "reason": ours["reason"]}

    def nanoseconds(name: str) -> float:
        network_steps = steps[name] * workloads[name].networks
        return workers[name].ask(time=steps[name])["ns"] / network_steps

    pairs = time_pairs(
        OURS,
        [name for name in steps if name != OURS],
        protocol.rounds,
        nanoseconds,
        lambda done: say(f"{row.ours.key}: pair {done + 1} of {protocol.rounds}"),
    )
    for name, found in pairs.items():
        document["rivals"][name] |= {
            "ns": float(np.median(found[:, 1])),
            "times_as_fast": median_interval(found[:, 1] / found[:, 0]).as_dict(),
            "pairs": found.tolist(),
        }
    ns = float(np.median(np.concatenate([found[:, 0] for found in pairs.values()])))
    flops = row.ours.flops_per_step / row.ours.networks
    return document | {"status": "timed", "ns": ns, "share_of_peak": flops / ns / peak, "gap": ours["gap"]}


MEASURE = """
import json, os, subprocess, sys, time
started = time.perf_counter()
process = subprocess.Popen([sys.executable, *sys.argv[2:]])
_, status, usage = os.wait4(process.pid, 0)
found = {"seconds": time.perf_counter() - started, "mebibytes": usage.ru_maxrss / 1024}
with open(sys.argv[1], "w", encoding="utf-8") as file:
    json.dump(found, file)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""A small process that runs a command: on Linux, the most memory of a process includes that of its parent."""


def measure_command(arguments: tuple[str, ...], repeats: int) -> dict:
    """Return the least seconds of a command as a process, and the most memory it took, in MiB."""
    found, text = [], ""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "found.json"
        for _ in range(repeats):
            done = subprocess.run(
                [sys.executable, "-c", MEASURE, str(path), *arguments],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                encoding="utf-8",
            )
            if done.returncode != 0:
                return {"status": "failed", "reason": f"it ended with status {done.returncode}"}
            found.append(json.loads(path.read_text(encoding="utf-8")))
            text = done.stdout
    return {
        "status": "timed",
        "seconds": min(each["seconds"] for each in found),
        "mebibytes": max(each["mebibytes"] for each in found),
        "output": text.splitlines(),
    }


def run(names: list[str], quick: bool, say: Callable[[str], None], keep: Callable[[dict], None]) -> None:
    """Time the rows of these names; `keep` gets the session's document after each."""
    started, cores = time.perf_counter(), core_numbers()
    protocol = QUICK if quick else FULL
    say("the machine's peak")
    effort = roofline.Effort(0.02) if quick else roofline.USUAL
    peaks = {dtype: roofline.peak(dtype, len(cores), effort) for dtype in grid.DTYPES}
    document: dict = heading() | {
        "cores": cores, "pairs": protocol.rounds, "gflops": peaks, "rows": [],
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        workers = {
            name: stack.enter_context(WorkerProcess(peer, _variables(name, cores)))
            for name, peer in PEER_OF.items()
        }
        for name in names:
            if name == BASINS:
                say(name)
                found = {"name": name, **measure_command(BASINS_COMMAND, 1 if quick else 3)}
            else:
                row = ROWS[name]
                found = measure(row, workers, Path(folder), protocol, peaks[row.ours.dtype], say)
            document["rows"].append(found)
            document["seconds"] = round(time.perf_counter() - started, 1)
            keep(document)


def _variables(name: str, cores: list[int]) -> dict[str, str]:
    variables = environment(cores)
    if name == ALONE:  # its process may use all cores, too, and takes one thread
        variables["OMP_NUM_THREADS"] = "1"
    return variables


# --- the table -------------------------------------------------------------------------------------------


def as_markdown(document: dict) -> str:
    """Return the table: times, and the lower end and the interval of each ratio."""
    rows = [cells(row) for row in document["rows"] if row["name"] != BASINS]
    header = [
        "network, batch, optimizer",
        "ns a step",
        "of the FMA peak",
        "x one thread",
        "x JAX",
        "x Python",
    ]
    text = tabulate(rows, header, "github", disable_numparse=True, colalign=("left", *["right"] * 5))
    return f"{text}\n\n{footnote(document)}"


def cells(row: dict) -> list[str]:
    """Return a row of the table."""
    if row["status"] != "timed":
        return [row["name"], row["status"], row["reason"], "", "", ""]
    share = f"{100 * row['share_of_peak']:.0f} %"
    claims = [claim(row["rivals"].get(name)) for name in (ALONE, JAX, PYTHON)]
    return [row["name"], three_digits(row["ns"]), share, *claims]


def claim(rival: dict | None) -> str:
    """Return how many times as fast fastbp is at least, and the interval."""
    if rival is None:
        return ""
    if "ns" not in rival:
        return rival["reason"] or "its process was lost"
    interval = Interval(**rival["times_as_fast"])
    low, high = three_digits(interval.low), three_digits(interval.high)
    return f"**{low}** ({low} to {high})"


def footnote(document: dict) -> str:
    machine, versions = document["machine"], document["versions"]
    timed = [row for row in document["rows"] if row["status"] == "timed" and row["name"] != BASINS]
    controls = [row["rivals"][AGAIN]["times_as_fast"]["median"] for row in timed if AGAIN in row["rivals"]]
    noise = f", fastbp against itself {min(controls):.2f} to {max(controls):.2f}" if controls else ""
    peaks = " and ".join(f"{gflops:.0f} GFLOP/s in {dtype}" for dtype, gflops in document["gflops"].items())
    command = ""
    for row in document["rows"]:
        if row["name"] == BASINS and row["status"] == "timed":
            ns = row["seconds"] / (BASINS_NETWORKS * BASINS_STEPS) * 1e9
            command = (
                f"`python {' '.join(BASINS_COMMAND)}` trains {BASINS_NETWORKS:,} networks, {BASINS_STEPS:,} "
                f"steps each, in {row['seconds']:.2f} s from its start to its end, {ns:.2f} ns a step; "
                f"it takes {row['mebibytes']:.0f} MiB. "
            )
    return (
        f"{command}Times are of one step of one network, whole calls, "
        f"{len(document['cores'])} threads for fastbp and for JAX. Ratios are to JAX in float32, and to the "
        "fastest loop in pure Python, with every number in a local variable. In bold: the lower end of "
        f"the 95 % interval. {document['pairs']} pairs a row{noise}; FMA peak measured, {peaks}. "
        f"{machine['processor']} ({machine['LLVM CPU']}); Python {machine['Python']}, JAX {versions['jax']}, "
        f"NumPy {versions['numpy']}; fastbp {document['commit']}, {document['date'][:10]}."
    )


def main(arguments: list[str] | None = None) -> int:
    return run_table_command(
        TableCommand(
            "bench.populations_session", str(__doc__), BEGIN, END, (*ROWS, BASINS), run, as_markdown
        ),
        arguments,
    )


if __name__ == "__main__":
    sys.exit(main())
