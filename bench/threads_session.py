"""How threads scale: a step on one thread, and how many times as fast it is on 2, 4, 8 ... up to all cores.

    python -m bench.threads_session --out bench/results/NAME.json --readme docs/threads.md

Each row trains the same network on every number of threads. A run that does not end with the bits of one
thread gets no number. Pairs: one thread and n threads are each timed for a short time, A B then B A. The
ratio is the median over pairs, and the claim is the lower end of its bootstrap interval. The first rows are
the limit: a loop of multiply-adds in registers.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from tabulate import tabulate

from bench import grid
from bench.peers import ours
from bench.table_command import TableCommand, heading, run_table_command
from fastbp.benchmark import roofline
from fastbp.benchmark.contenders import Train
from fastbp.benchmark.machine import core_numbers
from fastbp.benchmark.protocol import Protocol, calibrated_steps, time_call, time_pairs
from fastbp.benchmark.statistics import median_interval
from fastbp.benchmark.summary import three_digits

BEGIN, END = "<!-- threads: begin -->", "<!-- threads: end -->"

FULL, QUICK = Protocol(rounds=7, turn_seconds=0.1), Protocol(rounds=3, turn_seconds=0.01)

PEAKS = {f"FMA peak, {dtype}": dtype for dtype in ("float32", "float64")}


def many(workload: grid.Workload, networks: int) -> grid.Workload:
    """Return a population with enough networks for many cores."""
    kind, _, _ = workload.name.rpartition(", ")
    return replace(workload, name=f"{kind}, {networks:,} networks", networks=networks)


LARGE = [workload for workload in grid.GRID if workload.name.startswith(("784-", "1024-", "4-32-"))]

WORKLOADS = {
    workload.key: workload
    for workload in (
        *LARGE,
        *(workload.with_dtype("float64") for workload in LARGE),
        next(workload for workload in grid.GRID if workload.name == "64-128-10 relu, 32, Adam"),
        many(grid.POPULATIONS[0], 16_384),
        many(grid.POPULATIONS[2], 1024),
    )
}


@dataclass(frozen=True)
class Team:
    """The runs of a workload on one number of threads."""

    threads: int
    train: Train
    theta: np.ndarray


def counts(cores: int) -> list[int]:
    """Return the numbers of threads: powers of two, and all cores.

    Examples
    --------
    >>> counts(12)
    [1, 2, 4, 8, 12]
    """
    return sorted({*(2**i for i in range(cores.bit_length()) if 2**i < cores), cores})


def measure(
    workload: grid.Workload,
    threads: list[int],
    protocol: Protocol,
    say: Callable[[str], None],
    prepare: Callable[..., Train] = ours.prepare,
) -> dict:
    """Return the times of a row."""
    teams = {}
    for n in threads:
        say(f"{workload.key}: {n} threads")
        train = prepare(workload, threads=n)
        teams[n] = Team(n, train, train(workload.checked_steps[0]))
    document: dict = {"name": workload.key}
    wrong = [n for n in threads if not np.array_equal(teams[n].theta, teams[1].theta)]
    if wrong:
        return document | {"status": "wrong", "reason": f"other bits on {wrong} threads"}
    epoch = workload.steps_per_epoch
    steps = {n: calibrated_steps(team.train, protocol.turn_seconds, epoch) for n, team in teams.items()}
    pairs = time_pairs(
        1,
        threads,  # one thread against itself is the control
        protocol.rounds,
        lambda n: time_call(teams[n].train, steps[n]) / steps[n],
        lambda done: say(f"{workload.key}: pair {done + 1} of {protocol.rounds}"),
    )
    nanoseconds = float(np.median(np.concatenate([found[:, 0] for found in pairs.values()])))
    return document | {
        "status": "timed",
        "us": nanoseconds / 1e3,
        "gflops": workload.flops_per_step / nanoseconds,
        "times_as_fast": {
            str(n): median_interval(found[:, 0] / found[:, 1]).as_dict() for n, found in pairs.items()
        },
        "pairs": {str(n): found.tolist() for n, found in pairs.items()},
    }


def measure_peak(dtype: str, name: str, threads: list[int], effort: roofline.Effort) -> dict:
    """Return the multiply-adds of n threads over those of one thread."""
    gflops = {n: roofline.peak(dtype, n, effort) for n in threads}
    return {
        "name": name,
        "status": "timed",
        "gflops": gflops[1],
        "times_as_fast": {
            str(n): dict.fromkeys(("median", "low", "high"), gflops[n] / gflops[1]) for n in threads
        },
    }


def run(names: list[str], quick: bool, say: Callable[[str], None], keep: Callable[[dict], None]) -> None:
    """Time the rows of these names; `keep` gets the document after each."""
    started, threads = time.perf_counter(), counts(len(core_numbers()))
    protocol = QUICK if quick else FULL
    document: dict = heading() | {"threads": threads, "pairs": protocol.rounds, "rows": []}
    for name in names:
        if name in PEAKS:
            say(name)
            row = measure_peak(PEAKS[name], name, threads, roofline.Effort(seconds=protocol.turn_seconds))
        else:
            row = measure(WORKLOADS[name], threads, protocol, say)
        document["rows"].append(row)
        document["seconds"] = round(time.perf_counter() - started, 1)
        keep(document)


def as_markdown(document: dict) -> str:
    """Return the table: a step on one thread, and how many times as fast n threads are."""
    more = [str(n) for n in document["threads"][1:]]
    peaks = {PEAKS[row["name"]]: row["gflops"] for row in document["rows"] if row["name"] in PEAKS}
    rows = [_cells(row, more, peaks) for row in document["rows"]]
    header = ["network, batch, optimizer", "us, 1 thread", "of its peak", *(f"{n} threads" for n in more)]
    text = tabulate(
        rows, header, "github", disable_numparse=True, colalign=("left", *["right"] * (len(header) - 1))
    )
    return f"{text}\n\n{_footnote(document)}"


def _cells(row: dict, more: list[str], peaks: dict[str, float]) -> list[str]:
    if row["status"] != "timed":
        return [row["name"], row["status"], row["reason"], *[""] * len(more)]
    us = three_digits(row["us"]) if "us" in row else ""
    peak = None if row["name"] in PEAKS else peaks.get(row["name"].rsplit(", ", 1)[-1])
    share = f"{row['gflops'] / peak:.0%}".replace("%", " %") if peak else ""
    return [row["name"], us, share, *(f"{row['times_as_fast'][n]['low']:.2f}" for n in more)]


def _footnote(document: dict) -> str:
    machine = document["machine"]
    controls = [row["times_as_fast"]["1"]["median"] for row in document["rows"] if "us" in row]
    noise = f", one thread against itself {min(controls):.2f} to {max(controls):.2f}" if controls else ""
    return (
        "Right columns: how many times as fast as one thread, the lower end of the 95 % interval. The bits "
        f"are the same. {document['pairs']} pairs a row{noise}. {machine['processor']} "
        f"({machine['LLVM CPU']}), {machine['cores']} cores, vectors of {machine['vector width']}; "
        f"Python {machine['Python']}, Numba {machine['Numba']}; "
        f"fastbp {document['commit']}, {document['date'][:10]}."
    )


def main(arguments: list[str] | None = None) -> int:
    return run_table_command(
        TableCommand(
            "bench.threads_session", str(__doc__), BEGIN, END, (*PEAKS, *WORKLOADS), run, as_markdown
        ),
        arguments,
    )


if __name__ == "__main__":
    sys.exit(main())
