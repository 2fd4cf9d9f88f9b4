"""Makes the README's table, the page, and a comparison with an earlier session, from a session's JSON.

    python -m bench.report FILE.json --html PAGE.html --readme README.md --against EARLIER.json

The table may be of several sessions, one for each kind of processor: it has geometric means, and the worst.
The exit status is 1 if the comparison finds a regression, and 2 if a file is not what it should be.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import geometric_mean

from tabulate import tabulate

from bench import page
from bench.peers import OURS
from fastbp.benchmark.summary import three_digits
from fastbp.cli.bench import split_at_markers
from fastbp.errors import FastbpError, OptionError
from fastbp.interchange.atomic import write_atomically

BEGIN, END = "<!-- rivals: begin -->", "<!-- rivals: end -->"

COLUMNS = {
    "C": ("C",),
    "JAX": ("JAX",),
    "PyTorch": ("PyTorch", "PyTorch compiled"),
    "scikit-learn": ("scikit-learn",),
    "NumPy": ("NumPy",),
    "Python": ("Python, lists", "Python, objects"),
}
"""The README's columns; a column of several peers shows the fastest."""

REGRESSION = 0.05
"""A ratio has regressed if its new interval lies below the old one by at least this fraction."""


def load(path: Path) -> dict:
    """Return a session's document, or say why it cannot be read."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OptionError(f"{path}: cannot be read: {error}") from None
    if not isinstance(document, dict) or document.get("format") != 1:
        raise OptionError(f"{path}: is not a session's result, as `python -m bench.session` writes it")
    return document


# --- the README's table ------------------------------------------------------------------------------


def as_markdown(documents: Sequence[dict]) -> str:
    """Return the claims, which are the lower ends of the intervals, one row per workload."""
    found: dict[tuple[str, str], list[dict]] = {}
    for document in documents:
        for w in document["workloads"]:
            if w["group"] == "grid" and (w["dtype"] == "float32" or w["layer_sizes"] == [2, 2, 2]):
                found.setdefault((w["name"], w["dtype"]), []).append(w)
    rows = [
        [*key, times(workloads), *(claim(workloads, peers) for peers in COLUMNS.values())]
        for key, workloads in found.items()
    ]
    header = ["network, batch, optimizer", "dtype", "us a step", *(f"x {name}" for name in COLUMNS)]
    text = tabulate(
        rows,
        header,
        "github",
        disable_numparse=True,
        colalign=("left", "left", *["right"] * (len(header) - 2)),
    )
    return f"{text}\n\n{footnote(documents)}"


def times(workloads: Sequence[dict]) -> str:
    """Return our microseconds a step; from the least to the most, if there are several machines."""
    found = [row["us"] for w in workloads for row in w["rows"] if row["peer"] == OURS and row.get("us")]
    if not found:
        return "none"
    return " to ".join(dict.fromkeys(three_digits(us) for us in (min(found), max(found))))


def claim(workloads: Sequence[dict], peers: tuple[str, ...]) -> str:
    """Return the least factor by which fastbp is faster than the fastest of these peers.

    For several machines, it is the geometric mean of these factors, and the least in brackets.
    """
    found, is_wrong = [], False
    for workload in workloads:
        rows = [row for row in workload["rows"] if row["peer"] in peers]
        lows = [row["times_as_fast"]["low"] for row in rows if "times_as_fast" in row]
        found += [min(lows)] if lows else []
        is_wrong |= not lows and any(row["status"] == "wrong" for row in rows)
    if not found:
        return "wrong" if is_wrong else ""
    mean = three_digits(geometric_mean(found))
    return mean if len(found) == 1 else f"{mean} ({three_digits(min(found))})"


def footnote(documents: Sequence[dict]) -> str:
    several = (
        " Geometric means over the machines, and the worst one in brackets." if len(documents) > 1 else ""
    )
    return (
        "How many times as fast fastbp is, at the lower end of the 95 % interval; below 1 the rival may be "
        f"faster. Empty: the rival cannot do it.{several} {' '.join(map(machine_sentence, documents))}"
    )


def machine_sentence(document: dict) -> str:
    """Return where, with what, and how soundly a session was measured."""
    machine, control = document["machine"], document["control"]
    if control is None:
        said = "without a control"
    else:
        sound = "sound" if document["sound"] else "UNSOUND"
        said = f"A/A control {control['median']:.3f} ({control['low']:.3f} to {control['high']:.3f}), {sound}"
    disturbed = [f"{w['name']} in {w['dtype']}" for w in document["workloads"] if not w.get("quiet", True)]
    if disturbed:
        said += f", but something disturbed {' and '.join(disturbed)}"
    quick = " A quick run: the numbers are rough." if document["quick"] else ""
    versions = document["versions"]
    return (
        f"{machine['processor']} ({machine['LLVM CPU']}): {document['threads_each']} cores for everybody, "
        f"{document['protocol']['pairs']} pairs a rival, {said}; Python {machine['Python']}, "
        f"JAX {versions['jax']}, PyTorch {versions['torch']}, scikit-learn {versions['scikit-learn']}, "
        f"NumPy {versions['numpy']}; fastbp {document['commit']}, {document['date'][:10]}.{quick}"
    )


# --- comparison with an earlier session --------------------------------------------------------------


def compare(new: dict, old: dict) -> tuple[str, bool]:
    """Return a table of what changed, and whether anything regressed.

    The ratios to each rival are compared, because they depend little on the speed and load of the machine. A
    rival whose version changed is named, because that may have changed the ratio.
    """
    rows, regressed = [], False
    before = {(w["name"], w["dtype"]): w for w in old["workloads"]}
    for workload in new["workloads"]:
        earlier = before.get((workload["name"], workload["dtype"]))
        if earlier is None:
            continue
        then = {row["peer"]: row for row in earlier["rows"]}
        for row in workload["rows"]:
            was = then.get(row["peer"], {})
            if "times_as_fast" in was and "times_as_fast" not in row:
                change, fell = f"no number any more: {row['status']}: {row['reason']}", True
            elif "times_as_fast" in was:
                change, fell = ratio_change(row["times_as_fast"], was["times_as_fast"])
            else:
                continue
            regressed |= fell
            if change:
                rows.append([f"{workload['name']}, {workload['dtype']}", row["peer"], change])
    text = tabulate(rows, ["workload", "rival", "times as fast"], "simple") if rows else "Nothing changed."
    versions = [
        f"{name} {old['versions'].get(name)} -> {version}"
        for name, version in new["versions"].items()
        if old["versions"].get(name) != version
    ]
    notes = [f"Versions changed: {', '.join(versions)}."] if versions else []
    notes += [
        f"The {which} session is unsound." for which, d in (("new", new), ("old", old)) if not d["sound"]
    ]
    return "\n\n".join([text, *notes]), regressed


def ratio_change(new: dict, old: dict) -> tuple[str, bool]:
    """Return the change between two intervals, "" if they agree, and whether it is a regression."""
    said = f"{three_digits(old['median'])} -> {three_digits(new['median'])}"
    if new["high"] < old["low"] and new["median"] < old["median"] * (1 - REGRESSION):
        return f"{said}  REGRESSION", True
    if new["low"] > old["high"] and new["median"] > old["median"] * (1 + REGRESSION):
        return f"{said}  better", False
    return "", False


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.report", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "results",
        type=Path,
        nargs="+",
        metavar="result",
        help="what `python -m bench.session` wrote; the page and the comparison are of the first",
    )
    parser.add_argument("--html", type=Path, metavar="PAGE", help="write the page")
    parser.add_argument(
        "--readme", type=Path, metavar="FILE", help=f"write the table between {BEGIN} and {END}"
    )
    parser.add_argument("--against", type=Path, metavar="EARLIER", help="an earlier result to compare with")
    options = parser.parse_args(arguments)
    try:
        documents = [load(path) for path in options.results]
        document = documents[0]
        if options.html:
            write_atomically(options.html, [page.page(document).encode()])
        if options.readme:
            before, after = split_at_markers(options.readme, BEGIN, END)
            write_atomically(options.readme, [f"{before}{as_markdown(documents)}{after}".encode()])
        if not (options.html or options.readme or options.against):
            print(as_markdown(documents))
        if options.against:
            text, regressed = compare(document, load(options.against))
            print(text)
            return int(regressed)
    except FastbpError as error:
        print(f"bench.report: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
