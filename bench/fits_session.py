"""fastbp's estimators against scikit-learn's, `fit` to `fit`: a table, and a JSON file of all times.

    python -m bench.fits_session --out bench/results/NAME.json --readme README.md docs/scikit-learn.md

The protocol is that of `bench.session`: a process for each contender, suspended while another is timed; both
must have reached the same result; pairs A B then B A; the claim is the lower end of the bootstrap interval of
the median ratio. On each row fastbp is also timed against a second process of itself.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from tabulate import tabulate

from bench.fits import AGAIN, CONTENDERS, OURS, ROWS, Row
from bench.processes import WorkerProcess, environment
from bench.table_command import TableCommand, heading, run_table_command
from fastbp.benchmark.machine import core_numbers
from fastbp.benchmark.protocol import LostError, time_pairs
from fastbp.benchmark.statistics import median_interval
from fastbp.benchmark.summary import three_digits

BEGIN, END = "<!-- fits: begin -->", "<!-- fits: end -->"

ROUNDS, LONG_ROUNDS, QUICK_ROUNDS = 9, 5, 3
"""Pairs of a row, of one whose calls take over `LONG_SECONDS`, and of any row in a quick session."""

LONG_SECONDS = 3.0
SECONDS, QUICK_SECONDS = 0.2, 0.02
"""How long a contender is timed at once, if a call is shorter."""


def gap(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the distance of two results, relative to their size; infinite if they have other shapes."""
    if found.shape != expected.shape:
        return float("inf")
    if found.dtype.kind not in "fiu":
        return 0.0 if (found == expected).all() else float("inf")
    scale = max(1e-300, float(np.linalg.norm(expected)))
    return float(np.linalg.norm(found - expected)) / scale


def measure(
    row: Row, workers: dict[str, WorkerProcess], folder: Path, rounds: int, seconds: float, say: Callable
) -> dict:
    """Return the times of a row, or why there are none."""
    document: dict = {"name": row.name, "rival": row.rival}
    try:
        say(f"{row.name}: checking")
        results = {}
        for name in (OURS, row.rival, AGAIN):
            workers[name].ask(prepare=row.name)
            workers[name].ask(result=str(folder / "result.npy"))
            results[name] = np.load(folder / "result.npy")
        document["gap"] = gap(results[OURS], results[row.rival])
        if not document["gap"] <= row.tolerance:
            return document | {"status": "wrong", "reason": f"results differ by {document['gap']:.1e}"}
        calls = {name: workers[name].ask(calibrate=seconds)["calls"] for name in results}
        if workers[row.rival].ask(time=1)["ns"] > LONG_SECONDS * 1e9:
            rounds = min(rounds, LONG_ROUNDS)
        pairs = time_pairs(
            OURS,
            (row.rival, AGAIN),
            rounds,
            lambda name: workers[name].ask(time=calls[name])["ns"],
            lambda done: say(f"{row.name}: pair {done + 1} of {rounds}"),
        )
    except LostError as error:
        return document | {"status": "failed", "reason": str(error)}
    if set(pairs) != {row.rival, AGAIN}:
        return document | {"status": "failed", "reason": "a process was lost"}
    found, control = pairs[row.rival], pairs[AGAIN]
    return document | {
        "status": "timed",
        "us": float(np.median(found[:, 0])) / 1e3,
        "rival_us": float(np.median(found[:, 1])) / 1e3,
        "pairs": found.tolist(),
        "times_as_fast": median_interval(found[:, 1] / found[:, 0]).as_dict(),
        "control": median_interval(control[:, 1] / control[:, 0]).as_dict(),
    }


def run(names: list[str], quick: bool, say: Callable[[str], None], keep: Callable[[dict], None]) -> None:
    """Time the rows of these names; `keep` gets the session's document after each."""
    started, cores = time.perf_counter(), core_numbers()
    rounds, seconds = (QUICK_ROUNDS, QUICK_SECONDS) if quick else (ROUNDS, SECONDS)
    document: dict = heading() | {"cores": cores, "pairs": rounds, "rows": []}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        workers = {
            name: stack.enter_context(WorkerProcess(name, environment(cores), "bench.fits"))
            for name in CONTENDERS
        }
        for name in names:
            document["rows"].append(measure(ROWS[name], workers, Path(folder), rounds, seconds, say))
            document["seconds"] = round(time.perf_counter() - started, 1)
            keep(document)


def as_markdown(document: dict) -> str:
    """Return the table: times, and the lower end and the whole interval of each ratio."""
    rows = [
        [
            row["name"],
            f"{shown(row['us'])}",
            f"{shown(row['rival_us'])}",
            three_digits(row["times_as_fast"]["low"]),
            " to ".join(three_digits(row["times_as_fast"][end]) for end in ("low", "high")),
        ]
        if row["status"] == "timed"
        else [row["name"], "", "", row["status"], row["reason"]]
        for row in document["rows"]
    ]
    header = ["", "fastbp", "rival", "times as fast, at least", "95 % interval"]
    text = tabulate(
        rows, header, "github", disable_numparse=True, colalign=("left", "right", "right", "right", "right")
    )
    return f"{text}\n\n{footnote(document)}"


def shown(us: float) -> str:
    """Return a time in a unit of its size."""
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if us >= size:
            return f"{three_digits(us / size)} {unit}"
    return f"{three_digits(us)} us"


def footnote(document: dict) -> str:
    machine, versions = document["machine"], document["versions"]
    controls = [row["control"]["median"] for row in document["rows"] if row["status"] == "timed"]
    numbers = sorted({len(row["pairs"]) for row in document["rows"] if row["status"] == "timed"})
    pairs = " or ".join(map(str, numbers)) or document["pairs"]
    noise = f", fastbp against itself {min(controls):.2f} to {max(controls):.2f}" if controls else ""
    return (
        "The rival is scikit-learn, and in the last rows fastbp in float64. Both do the same on the same "
        "data and reach the same result: as many epochs, and the same parameters. Whole calls are timed. "
        f"{pairs} pairs a row{noise}. {machine['processor']} ({machine['LLVM CPU']}), "
        f"{len(document['cores'])} cores for both; Python {machine['Python']}, scikit-learn "
        f"{versions['scikit-learn']}, NumPy {versions['numpy']}; fastbp {document['commit']}, "
        f"{document['date'][:10]}."
    )


def main(arguments: list[str] | None = None) -> int:
    return run_table_command(
        TableCommand("bench.fits_session", str(__doc__), BEGIN, END, tuple(ROWS), run, as_markdown), arguments
    )


if __name__ == "__main__":
    sys.exit(main())
