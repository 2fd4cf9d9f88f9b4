"""The form of a text file: its separator, and whether its first line names the columns."""

import csv
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from io import StringIO
from typing import Any

from fastbp.errors import DataError, as_option, shown
from fastbp.reading import Reading

SAMPLE_BYTES = 2**18
SAMPLE_ROWS = 200

LONGEST = 2**30
"""Characters of the longest value."""

CANDIDATES = ("\t", ";", "|", ",", " ")
"""Separators that are tried; of two that fit equally well, the first."""

NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe", " ": "blanks"}

NUMBER = re.compile(r"[+-]?\s*[$€£¥]?\s*(?:\d[\d.,' ]*|[.,]\d+)(?:[eE][+-]?\d+)?\s*[%€]?")

FRACTION = re.compile(r"[+-]?(?:\d*[.,]\d+)(?:[eE][+-]?\d+)?|-\d+")
"""A number that is no name: names that are numbers are years or counts."""


@dataclass(frozen=True)
class Form:
    """How a text is divided into named columns.

    Attributes
    ----------
    separator, quote : str
        A blank as separator stands for blanks in any number. "" as quote means that there is none.
    names : tuple of str
    named : bool
        Whether the names are the file's own.
    n_before : int
        Lines before the first row: those that were skipped, and that of the names.
    first : tuple of str
        The names that the file has.
    remarks : list of str
    """

    separator: str
    quote: str
    names: tuple[str, ...]
    named: bool
    n_before: int
    first: tuple[str, ...] = ()
    remarks: list[str] = field(default_factory=list)


def find_form(name: str, content: bytes, reading: Reading, wanted: Collection[str] = ()) -> Form:
    """Return the form of a text, as it was said or can be seen.

    Parameters
    ----------
    name : str
        The file's, for messages.
    content : bytes
        In UTF-8, without comments.
    reading : Reading
        What was said.
    wanted : collection of str
        Names that the columns are expected to have, as far as known.
    """
    sample = content[:SAMPLE_BYTES].decode("utf-8", "replace")
    if len(content) > SAMPLE_BYTES:
        sample = sample[: sample.rfind("\n") + 1]
    lines = list(StringIO(sample, newline="\n"))
    n_before = reading.skip_rows
    if n_before and n_before >= len(lines):
        raise DataError(
            f"{name} has {len(lines)} line{'' if len(lines) == 1 else 's'}, and "
            f"{as_option('skip_rows', n_before)} leaves none"
        )
    said = reading.separator
    while n_before < len(lines) and not lines[n_before].strip():
        n_before += 1
    if n_before == len(lines):
        raise DataError(f"{name} has no lines that are not blank")
    told = re.fullmatch(r'"?sep=(.)"?', lines[n_before].strip("\r\n"), re.IGNORECASE)
    if told:
        said = said or told[1]
        n_before += 1
        while n_before < len(lines) and not lines[n_before].strip():
            n_before += 1
    lines = lines[n_before:]
    separator = said or _separator(name, lines, reading.quote, wanted)
    rows = split(lines, separator, reading.quote)
    if not rows:
        raise DataError(f"{name} has no rows")
    form = Form(separator, reading.quote, (), True, n_before)
    if _has_names(name, rows, reading, wanted, form.remarks):
        first = [value.strip() for value in rows[0]]
        at = 1 + sum(value.count("\n") for value in rows[0])
        form = replace(form, n_before=n_before + at)
        names = _fitting(first, rows[1:], separator)
        return replace(form, names=tuple(settled_names(name, names)), first=tuple(names))
    width = Counter(map(len, rows)).most_common(1)[0][0]
    return replace(form, names=tuple(f"x{i}" for i in range(width)), named=False)


def split(lines: Sequence[str], separator: str, quote: str, strict: bool = False) -> list[list[str]]:
    """Return the values of each line of a sample that is not blank; a broken end does not matter.

    With `strict`, there are none if a quote is where none should be.
    """
    rows: list[list[str]] = []
    try:
        for row in reader(lines, separator, quote, strict):
            if len(row) > 1 or any(map(str.strip, row)):
                rows.append(row)
            if len(rows) == SAMPLE_ROWS:
                break
    except csv.Error as error:
        return rows if "end of data" in str(error) else []
    return rows


def reader(lines: Iterable[str], separator: str, quote: str, strict: bool) -> Any:
    """Return a reader of values that allows blanks before a quote."""
    if separator == " ":
        lines = (line.replace("\t", " ").strip() + "\n" for line in lines)
    csv.field_size_limit(LONGEST)
    return csv.reader(
        lines,
        delimiter=separator,
        quotechar=quote or None,
        quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
        skipinitialspace=True,
        strict=strict,
    )


# --- the separator -----------------------------------------------------------------------------------


def _separator(name: str, lines: Sequence[str], quote: str, wanted: Collection[str]) -> str:
    """Return the separator that divides the lines evenly into clean values."""
    scores: dict[str, tuple[float, float]] = {}
    for strict in (True, False):
        for candidate in CANDIDATES:
            rows = split(lines, candidate, quote, strict)
            if wanted and rows and set(wanted) <= {value.strip() for value in rows[0]}:
                return candidate
            if rows:
                scores[candidate] = _evenness(rows, candidate)
        if any(even for even, _ in scores.values()):
            break  # else quotes are wrong for each, and an error will say where
    best = max(scores.values(), key=sum, default=(0.0, 0.0))
    if best[0] == 0:
        return ","  # one column
    fitting = [
        candidate for candidate in CANDIDATES if sum(scores.get(candidate, (0, 0))) >= sum(best) - 1e-9
    ]
    if len(fitting) > 1 and " " not in fitting:
        raise DataError(
            f"{name} can be divided at {NAMES[fitting[0]]} and at {NAMES[fitting[1]]}; "
            f"{as_option('separator', NAMES[fitting[0]])} or {as_option('separator', NAMES[fitting[1]])} "
            f"says which"
        )
    return fitting[0]


def _evenness(rows: Sequence[Sequence[str]], separator: str) -> tuple[float, float]:
    """Return which share of lines has the usual number of values, and which share of values is clean."""
    widths = Counter(len(row) for row in rows)
    width, _ = max(widths.items(), key=lambda item: (item[1], item[0]))
    if width == 1:
        return 0.0, 0.0
    even: float = sum(len(row) == width for row in rows)
    if len(rows[0]) == width - 1 and len(rows) > 1:
        even += 0.5  # no name for the first column, or separators at the ends of the rows
    others = [mark for mark in (*CANDIDATES[:-1], ":") if mark != separator]
    values = [value.strip() for row in rows for value in row]
    unclean = 0
    for value in values:
        if separator == " " and value[-1:] in (",", ";"):
            unclean += 1
        elif NUMBER.fullmatch(value):
            unclean += bool(re.search(r"\d \d(?!\d\d)|\d \d{4}", value))
        elif any(mark in value for mark in others[:-1]):
            unclean += 1
    return even / len(rows), 1 - unclean / max(1, len(values))


# --- names -------------------------------------------------------------------------------------------


def is_number(text: str) -> bool:
    """Return whether a text is a number in any spelling."""
    return bool(NUMBER.fullmatch(text.strip()))


def _has_names(
    name: str, rows: Sequence[Sequence[str]], reading: Reading, wanted: Collection[str], remarks: list[str]
) -> bool:
    """Return whether the first line names the columns; say so if it could be meant otherwise."""
    first = [value.strip() for value in rows[0]]
    line = shown(",".join(first[:6]) + (",..." if len(first) > 6 else ""))[1:-1]
    numbers = [value for value in first if is_number(value)]
    if reading.header == "no":
        return False
    if reading.header == "yes":
        if numbers and _like_data(first, rows[1:]):
            remarks.append(
                f"the first line of {name}, {line}, is taken for names, as told, and looks like data"
            )
        return True
    if not any(first):
        raise DataError(f"{name} has an empty first line, and must have the columns' names there")
    if wanted and set(wanted) <= set(first):
        return True
    if numbers and _like_data(first, rows[1:]):
        either = f"{as_option('header', 'no')} if it is data, {as_option('header', 'yes')} if it is names"
        if any(FRACTION.fullmatch(value) for value in first) or len(set(numbers)) < len(numbers):
            remarks.append(
                f"the first line of {name}, {line}, looks like data: the columns are x0, x1, ...; "
                f"{as_option('header', 'yes')} takes it for names"
            )
            return False
        raise DataError(f"{name} has numbers in its first line: {line}; say {either}")
    for i, value in enumerate(first):
        if value and any(len(row) > i and row[i].strip() == value for row in rows[1:]):
            remarks.append(
                f"the first line of {name} is taken for names, though {value!r} occurs below it, too; "
                f"{as_option('header', 'no')} takes it for data"
            )
            break
    return True


def _like_data(first: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Return whether a first line is like the lines below: numbers where these have numbers."""
    alike = False
    for i, value in enumerate(first):
        below = [row[i].strip() for row in rows if len(row) > i]
        numeric = [is_number(other) for other in below if other]
        if not numeric or sum(numeric) <= len(numeric) / 2:
            if value and is_number(value) and numeric:
                return False
            continue
        if value and not is_number(value) and value not in ("NA", "?", "-", "NaN", "nan", "null"):
            return False
        alike = alike or bool(value)
    return alike or not rows


def _fitting(first: list[str], rows: Sequence[Sequence[str]], separator: str) -> list[str]:
    """Return as many names as the rows have values, if the rows make clear which of them have no name."""
    if not rows:
        return first
    width, _ = Counter(map(len, rows)).most_common(1)[0]
    if width == len(first) + 1:
        ends = not any(row[-1].strip() for row in rows if len(row) == width)
        if separator == " " and not _count(rows):  # a value with a blank in it is as likely
            return first
        return [*first, ""] if ends else ["", *first]
    if width == len(first) - 1 and not first[-1]:
        return first[:-1]
    return first


def _count(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first values count the rows, from 0 or 1."""
    first = [row[0].strip() for row in rows]
    return any(first == [str(i) for i in range(start, start + len(first))] for start in (0, 1))


def settled_names(name: str, names: Sequence[str]) -> list[str]:
    """Return the names, none of them empty, or raise an error for a name that occurs twice."""
    twice = sorted(key for key, count in Counter(filter(None, names)).items() if count > 1)
    if twice:
        raise DataError(
            f"{name} has the name {listed(twice)} for more than one column; rename one, or read without "
            f"names: "
            f"{as_option('skip_rows', 1)} {as_option('header', 'no')}"
        )
    return [column or free_name(f"column_{i + 1}", names) for i, column in enumerate(names)]


def free_name(name: str, taken: Collection[str]) -> str:
    """Return a name that no other column has."""
    while name in taken:
        name += "_"
    return name


def listed(names: Sequence[str]) -> str:
    """Return names for a message: a dozen at most."""
    first = ", ".join(shown(name) for name in names[:12])
    return first if len(names) <= 12 else f"{first} and {len(names) - 12} more"
