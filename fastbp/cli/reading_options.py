"""The options that say how a file is read; both `fastbp train` and `fastbp predict` have them."""

import argparse
import csv
import io
from collections.abc import Callable, Sequence
from typing import Any

from fastbp.data.dates import DIGITS
from fastbp.errors import OptionError
from fastbp.reading import HEADERS, OPTIONS

READING_OPTIONS = tuple(f"--{name.replace('_', '-')}" for name in OPTIONS)

MAY_BEGIN_WITH_A_DASH = ("--missing-values", "--separator", "--comment")
"""Options whose value may begin with a dash, which argparse would take for another option."""


def add_reading_arguments(add: Callable[..., Any]) -> None:
    """Declare the options; ``add(name, help, **options)`` declares one."""
    add("--separator", "between values: a character, or comma, semicolon, tab, pipe, blanks", metavar="MARK")
    add("--decimal", "the decimal mark of all numbers: . or , (point, comma)", metavar="MARK")
    add("--encoding", "such as cp1252 or utf-16, where it is not UTF-8", metavar="NAME")
    add("--skip-rows", "lines to skip before the names", type=int, metavar="N")
    add("--comment", "lines that begin with this are no data", metavar="TEXT")
    add("--quote", "the mark around values: double, single or none", metavar="MARK")
    add("--header", "whether the first line holds names; without, columns are x0, x1, ...", choices=HEADERS)
    add(
        "--missing-values",
        "further marks of missing values, with commas between; COLUMN=MARK is for one column, and off ends "
        "the "
        "usual marks",
        type=names_of,
        action="extend",
        metavar="MARKS",
    )
    add("--text", "columns that are text whatever they look like", **_LIST)
    add("--number", "columns that are numbers whatever they look like", **_LIST)
    add(
        "--date",
        "what dates become: number, cyclic or both, for all columns, or for one as COLUMN=number",
        type=names_of,
        action="extend",
        metavar="HOW",
    )
    example = DIGITS.replace("%", "%%")
    add("--date-format", f"how dates are written, such as %%d/%%m/%%Y or {example}", metavar="FORMAT")
    add("--sheet", "the sheet of an Excel file, by name or number", metavar="NAME")


def names_of(text: str) -> tuple[str, ...]:
    """Return names, or other texts, with commas between; quotes keep a comma."""
    names = next(csv.reader(io.StringIO(text, newline=""), skipinitialspace=True), [])
    return tuple(name.strip() for name in names if name.strip())


_LIST: dict[str, Any] = {"type": names_of, "action": "extend", "metavar": "COLUMNS"}


def reading_of(options: argparse.Namespace) -> dict[str, Any]:
    """Return what was said of how the file is read, as keywords of `fastbp.data.load`."""
    said = {name: getattr(options, name, None) for name in OPTIONS}
    return {name: value for name, value in said.items() if value not in (None, ())}


def joined(arguments: Sequence[str]) -> list[str]:
    """Return a command line in which a value that begins with a dash is joined to its option.

    Examples
    --------
    >>> joined(["train", "a.csv", "--missing-values", "-999,unknown"])
    ['train', 'a.csv', '--missing-values=-999,unknown']
    """
    found: list[str] = []
    for argument in arguments:
        if found and found[-1] in MAY_BEGIN_WITH_A_DASH and argument.startswith("-"):
            if argument.startswith("--"):
                raise OptionError(f"{found[-1]} has no value before {argument}; write {found[-1]}=VALUE")
            found[-1] = f"{found[-1]}={argument}"
        else:
            found.append(argument)
    return found
