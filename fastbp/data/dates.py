"""Dates and times: which format a column of text has, and the numbers that they become."""

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fastbp.data.sources import polars

if TYPE_CHECKING:
    import polars as pl

DATES = {
    "%Y-%m-%d": r"\d{4}-\d{1,2}-\d{1,2}",
    "%Y/%m/%d": r"\d{4}/\d{1,2}/\d{1,2}",
    "%Y.%m.%d": r"\d{4}\.\d{1,2}\.\d{1,2}",
    "%d.%m.%Y": r"\d{1,2}\.\d{1,2}\.\d{4}",
    "%d.%m.%y": r"\d{1,2}\.\d{1,2}\.\d{2}",
    "%d/%m/%Y": r"\d{1,2}/\d{1,2}/\d{4}",
    "%m/%d/%Y": r"\d{1,2}/\d{1,2}/\d{4}",
    "%d/%m/%y": r"\d{1,2}/\d{1,2}/\d{2}",
    "%m/%d/%y": r"\d{1,2}/\d{1,2}/\d{2}",
    "%d-%m-%Y": r"\d{1,2}-\d{1,2}-\d{4}",
    "%m-%d-%Y": r"\d{1,2}-\d{1,2}-\d{4}",
    "%d %b %Y": r"\d{1,2} [A-Za-z]{3} \d{4}",
    "%d-%b-%Y": r"\d{1,2}-[A-Za-z]{3}-\d{4}",
    "%d-%b-%y": r"\d{1,2}-[A-Za-z]{3}-\d{2}",
    "%d %B %Y": r"\d{1,2} [A-Za-z]{3,9} \d{4}",
    "%b %d, %Y": r"[A-Za-z]{3} \d{1,2}, \d{4}",
    "%B %d, %Y": r"[A-Za-z]{3,9} \d{1,2}, \d{4}",
    "%Y-%m": r"\d{4}-\d{2}",
}
"""Formats of dates, and the form of their text."""

TIMES = {
    "%H:%M": r"\d{1,2}:\d{2}",
    "%H:%M:%S": r"\d{1,2}:\d{2}:\d{2}",
    "%H:%M:%S%.f": r"\d{1,2}:\d{2}:\d{2}(?:\.\d+)?",
    "%I:%M %p": r"\d{1,2}:\d{2} [AaPp][Mm]",
    "%I:%M:%S %p": r"\d{1,2}:\d{2}:\d{2} [AaPp][Mm]",
}

ZONES = {"": "", "Z": "Z", "%z": r"[+-]\d{2}:?\d{2}"}

DIGITS = "%Y%m%d"
"""Eight digits in a row are a date only if it is said: they may also be a number."""


def date_formats(texts: "pl.Series") -> list[str]:
    """Return the formats in which all these texts are dates or times.

    Examples
    --------
    >>> import polars as pl
    >>> date_formats(pl.Series(["31.12.2020", "1.1.2021"])), date_formats(pl.Series(["1/2/2020", "3/4/2021"]))
    (['%d.%m.%Y'], ['%d/%m/%Y', '%m/%d/%Y'])
    >>> date_formats(pl.Series(["2020-01-31T12:00Z"])), date_formats(pl.Series(["07:30", "18:05"]))
    (['%Y-%m-%dT%H:%MZ'], ['%H:%M'])
    """
    first = texts.head(50).to_list()
    if not first or not all(
        re.search(r"\d[-/.: ]\d|\d[- ][A-Za-z]{3}|[A-Za-z]{3} \d", text) for text in first
    ):
        return []
    return [
        format
        for date, pattern in (("", ""), *DATES.items())
        if (rests := _after(pattern, first)) is not None
        for format in _with_times(date, rests)
        if not parse_dates(texts, format).null_count()
    ]


def _after(pattern: str, texts: Sequence[str]) -> list[str] | None:
    """Return what follows a pattern in each text; None if one does not begin with it."""
    found = [re.match(pattern, text) for text in texts]
    return (
        [text[match.end() :] for match, text in zip(found, texts, strict=True) if match]
        if all(found)
        else None
    )


def _with_times(date: str, rests: Sequence[str]) -> Iterator[str]:
    """Yield the formats of a date and what follows it."""
    if date and not any(rests):
        yield date
        return
    for gap, time, zone in itertools.product(" T" if date else ("",), TIMES, ZONES):
        pattern = gap + TIMES[time] + ZONES[zone]
        if all(re.fullmatch(pattern, rest) for rest in rests):
            yield date + gap + time + zone


def parse_dates(texts: "pl.Series", format: str) -> "pl.Series":
    """Return texts as dates with times, or as times if the format has no date; null where a text is none."""
    pl = polars()
    if "%Y" not in format and "%y" not in format:
        dated = ("1970-01-01 " + texts).str.strptime(pl.Datetime("us"), f"%Y-%m-%d {format}", strict=False)
        return dated.dt.time().alias(texts.name)
    dates = texts.str.strptime(pl.Datetime("us", "UTC" if "%z" in format else None), format, strict=False)
    return dates.dt.replace_time_zone(None).alias(texts.name) if "%z" in format else dates


def days(column: "pl.Series") -> np.ndarray:
    """Return dates as days since 1970, and times as days since midnight; NaN where one is missing."""
    pl = polars()
    if column.dtype == pl.Time:
        return column.cast(pl.Int64).cast(pl.Float64).to_numpy() / 86400e9
    if column.dtype == pl.Date:
        return column.cast(pl.Int32).cast(pl.Float64).to_numpy()
    if column.dtype.time_zone is not None:  # type: ignore[attr-defined]
        column = column.dt.replace_time_zone(None)
    return column.cast(pl.Datetime("us")).cast(pl.Int64).cast(pl.Float64).to_numpy() / 86400e6


def parts_of(values: np.ndarray, how: str) -> tuple[str, ...]:
    """Return what a column of dates or times becomes: see `DATE_PARTS`."""
    known = values[~np.isnan(values)]
    timed = bool((known != np.floor(known)).any())
    dated = bool((np.abs(known) >= 1).any()) or not timed
    cyclic = (("year", "week") if dated else ()) + (("day",) if timed else ())
    return (() if how == "cyclic" else ("days",)) + (() if how == "number" else cyclic)


def angle(values: np.ndarray, part: str) -> np.ndarray:
    """Return the place of each moment in its year, week or day, as an angle."""
    if part == "year":
        starts = values.copy()
        starts[np.isnan(starts)] = 0
        years = np.floor(starts).astype("datetime64[D]").astype("datetime64[Y]")
        first = years.astype("datetime64[D]").astype(float)
        length = (years + 1).astype("datetime64[D]").astype(float) - first
        turns = (values - first) / length
    elif part == "week":
        turns = (values + 3) / 7  # 1970 began on a Thursday
    else:
        turns = values
    return 2 * math.pi * (turns - np.floor(turns))


def features(values: np.ndarray, parts: Sequence[str], mean: float, scale: float, out: np.ndarray) -> None:
    """Write the inputs that moments become; a missing one is the mean day, and the centre of the circle."""
    absent = np.isnan(values)
    at = 0
    for part in parts:
        if part == "days":
            out[:, at] = (np.where(absent, mean, values) - mean) / scale
            at += 1
        else:
            turned = angle(values, part)
            out[:, at] = np.where(absent, 0, np.sin(turned))
            out[:, at + 1] = np.where(absent, 0, np.cos(turned))
            at += 2
