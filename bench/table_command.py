"""A command that times rows into a JSON file, and writes their table into pages between two markers."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import fastbp
from bench.report import load
from bench.session import announce, commit, versions
from fastbp.benchmark.machine import describe_machine
from fastbp.cli.bench import split_at_markers
from fastbp.errors import FastbpError
from fastbp.interchange.atomic import check_writable, write_atomically
from fastbp.interchange.standard_json import dumps


@dataclass(frozen=True)
class TableCommand:
    """What such commands differ in.

    Attributes
    ----------
    module, description : str
    begin, end : str
        The markers.
    names : tuple of str
        The names of all rows.
    run : function
        Takes the names of rows, whether to be quick, a function that shows the progress, and one that keeps
        the document so far.
    as_markdown : function
        Takes the document.
    """

    module: str
    description: str
    begin: str
    end: str
    names: tuple[str, ...]
    run: Callable[[list[str], bool, Callable[[str], None], Callable[[dict], None]], None]
    as_markdown: Callable[[dict], str]


def heading() -> dict:
    """Return what a document says of itself, the machine and the packages."""
    return {
        "format": 1,
        "fastbp": fastbp.__version__,
        "commit": commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(),
        "versions": versions(),
    }


def run_table_command(command: TableCommand, arguments: list[str] | None) -> int:
    """Run the command; return 1 if a row has no number."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {command.module}", description=command.description.split("\n")[0]
    )
    parser.add_argument("--out", type=Path, required=True, help="the JSON file to write")
    parser.add_argument(
        "--readme",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help=f"write the table after {command.begin}",
    )
    parser.add_argument("--quick", action="store_true", help="few pairs: rough numbers")
    parser.add_argument("--again", action="store_true", help="time nothing: show what is in the JSON file")
    parser.add_argument("--only", default="", metavar="TEXT", help="only the rows whose names hold this")
    options = parser.parse_args(arguments)
    names = [name for name in command.names if options.only in name]
    if not names:
        parser.error(f"--only {options.only!r} is in no row's name")
    try:
        pages = [(page, *split_at_markers(page, command.begin, command.end)) for page in options.readme]
        options.out.parent.mkdir(parents=True, exist_ok=True)
        check_writable(options.out)
    except (OSError, FastbpError) as error:
        parser.error(str(error))

    def keep(document: dict) -> None:
        write_atomically(options.out, [dumps(document).encode(), b"\n"])

    if not options.again:
        command.run(names, options.quick, announce(), keep)
    document = load(options.out)
    text = command.as_markdown(document)
    for page, before, after in pages:
        write_atomically(page, [f"{before}{text}{after}".encode()])
    print(text)
    return int(any(row["status"] != "timed" for row in document["rows"]))
