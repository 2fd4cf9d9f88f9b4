"""Text for the terminal: aligned tables and short numbers."""

import itertools
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal

from tabulate import tabulate

WIDTH = 80
"""Columns at which text is wrapped."""


def shown(text: str) -> str:
    r"""Return text that stays on its line: a name may hold a line break or a terminal control sequence.

    Examples
    --------
    >>> print(shown("größe\n\x1b[31m"))
    größe\n\x1b[31m
    """
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def table(header: Sequence[str], sections: Mapping[str, list[list[str]]], align: Sequence[str]) -> str:
    """Return aligned columns, with a heading above each section that has a name."""
    cells = [[shown(cell) for cell in row] for rows in sections.values() for row in rows]
    lines = tabulate(
        cells, headers=header, tablefmt="simple", disable_numparse=True, colalign=align
    ).splitlines()
    text, body = lines[:2], iter(lines[2:])
    for heading, rows in sections.items():
        if heading:
            text += [heading] if len(text) == 2 else ["", heading]
        text += itertools.islice(body, len(rows))
    return "\n".join(line.rstrip() for line in text)


def significant(value: float) -> str:
    """Return ten significant digits, without an exponent if the number is neither large nor small.

    Examples
    --------
    >>> significant(3.508478629631e-5), significant(-1.25), significant(1e100)
    ('0.00003508478630', '-1.250000000', '1.000000000e+100')
    """
    text = f"{value:.9e}"
    return f"{Decimal(text):f}" if 1e-6 < abs(value) < 1e6 else text


def rounded(value: float) -> str:
    """Return a positive number to three significant digits, but with its whole integer part.

    Examples
    --------
    >>> rounded(0.02345), rounded(24.54), rounded(1234567.8)
    ('0.0234', '24.5', '1,234,568')
    """
    decimals = max(0, 2 - math.floor(math.log10(value))) if value > 0 else 0
    return f"{value:,.{decimals}f}"
