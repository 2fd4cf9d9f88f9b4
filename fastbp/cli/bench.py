"""Time fastbp against C, Numba, NumPy and pure Python on the 2-2-2 network, and steps of large networks.

Every contender must first reach the same weights. If one does not, it gets no number, and the exit status is
1. For large networks, it prints the share of the processor's peak.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fastbp.benchmark.cases import SPEED_CASES
from fastbp.benchmark.contenders import CONTENDERS, Contender
from fastbp.benchmark.peak_shares import LARGE
from fastbp.benchmark.protocol import FULL, QUICK
from fastbp.benchmark.summary import as_json, as_markdown, as_text, run_benchmark
from fastbp.cli.files import check_out
from fastbp.errors import OptionError
from fastbp.interchange.atomic import write_atomically

BEGIN, END = "<!-- speed: begin -->", "<!-- speed: end -->"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON, with the time of every round")
    form.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--rounds",
        type=_rounds,
        default=FULL.rounds,
        help="how often each contender is timed; more give steadier medians (default: %(default)s)",
    )
    length.add_argument(
        "--quick",
        action="store_true",
        help="a few short rounds, to see that all works; the numbers are rough",
    )
    parser.add_argument(
        "--readme",
        type=Path,
        metavar="FILE",
        help=f"write the Markdown into FILE too, between {BEGIN} and {END}",
    )


def run(options: argparse.Namespace, contenders: Sequence[Contender] = CONTENDERS) -> int:
    """Run the benchmark and print it."""
    if options.readme:
        check_out("--readme", options.readme)  # complain before the work, not after it
        split_at_markers(options.readme)
    protocol = QUICK if options.quick else replace(FULL, rounds=options.rounds)
    progress = _show if sys.stderr.isatty() else _be_silent
    try:
        networks = LARGE[: 1 if options.quick else None]
        report = run_benchmark(SPEED_CASES, contenders, protocol, progress, networks)
    finally:
        progress("")
    print(as_json(report) if options.json else as_markdown(report) if options.markdown else as_text(report))
    if report.wrong:
        names = ", ".join(dict.fromkeys(str(result.contender) for result in report.wrong))
        print(f"fastbp bench: not the reference's weights, so not timed: {names}", file=sys.stderr)
        return 1
    if options.readme:
        before, after = split_at_markers(options.readme)
        write_atomically(options.readme, [f"{before}{as_markdown(report)}{after}".encode()])
    return 0


def split_at_markers(path: Path, begin: str = BEGIN, end: str = END) -> tuple[str, str]:
    """Return a file's text up to the first marker, with it, and from the second one on."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"--readme {path}: cannot be read: {error}") from None
    before, found, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found and found_end):
        raise OptionError(f"--readme {path}: needs the lines {begin} and {end}, in this order")
    return f"{before}{begin}\n\n", f"\n\n{end}{after}"


def _rounds(text: str) -> int:
    try:
        rounds = int(text)
    except ValueError:
        rounds = 0
    if rounds < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer of at least 1")
    return rounds


def _show(text: str) -> None:
    """Replace the line on the terminal, and leave the cursor at its start."""
    print(f"\033[K{text}\r", end="", file=sys.stderr, flush=True)


def _be_silent(text: str) -> None:
    """Show nothing: standard error is not a terminal."""
