"""The leaderboard of a sweep: columns, as text, JSON, CSV and Parquet."""

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastbp.errors import OptionError
from fastbp.interchange.atomic import write_atomically
from fastbp.interchange.standard_json import dumps
from fastbp.sweeping.cohorts import as_optimizer, has_momentum
from fastbp.sweeping.points import Points

SUFFIXES = (".csv", ".json", ".parquet")

OTHERS = ("rank", "trial", "loss", "epochs")
"""Columns that are no hyper-parameters."""

Columns = dict[str, list[Any]]
"""A table: the values of each column by its name."""


def ranked(scores: np.ndarray, epochs: np.ndarray) -> np.ndarray:
    """Return the places of trials, the best first: of those that trained longest, the lowest scores.

    Trials that diverged come last.

    Examples
    --------
    >>> ranked(np.array([0.1, 0.3, 0.2, np.inf]), np.array([3, 9, 9, 9])).tolist()
    [2, 1, 0, 3]
    """
    return np.lexsort((scores, -epochs, ~np.isfinite(scores)))


def columns_of(
    points: Points, trials: np.ndarray, scores: np.ndarray, epochs: np.ndarray, first_rank: int = 1
) -> Columns:
    """Return the leaderboard of trials that are in its order.

    Parameters
    ----------
    points : Points
    trials : int64[n]
    scores : float64[n]
    epochs : int64[n]
    first_rank : int
    """
    columns: Columns = {
        "rank": list(range(first_rank, first_rank + len(trials))),
        "trial": trials.tolist(),
        "loss": scores.tolist(),
        "epochs": epochs.tolist(),
    }
    numbers = points.structures(trials)
    structures = {number: points.space.structure(int(number)) for number in np.unique(numbers)}
    each = [structures[number] for number in numbers]
    for name in points.space.of_structure:
        columns[name] = [structure[name] for structure in each]
    for name, values in points.values(trials).items():
        columns[name] = values.tolist()
    if "momentum" in columns and "optimizer" in columns:
        pairs = zip(columns["momentum"], columns["optimizer"], strict=True)
        columns["momentum"] = [
            momentum if has_momentum(as_optimizer(optimizer)) else None for momentum, optimizer in pairs
        ]
    return columns


def as_text(value: Any) -> str:
    """Return a value of a hyper-parameter as a reader or a CSV file has it.

    Examples
    --------
    >>> as_text((32, 16)), as_text(()), as_text(0.00123456), as_text("adam"), as_text(None)
    ('32,16', '0', '0.001235', 'adam', '')
    """
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "0"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)


def plain(value: Any) -> Any:
    """Return a value as JSON holds it."""
    if isinstance(value, tuple):
        return list(value)
    return value if value is None or isinstance(value, str | int | float) else repr(value)


def rows_of(columns: Columns) -> list[dict[str, Any]]:
    """Return a dictionary a row."""
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def as_table(columns: Columns) -> str:
    """Return aligned text; hyper-parameters that are the same in all lines are left out."""
    from tabulate import tabulate

    if len(columns["rank"]) > 1:
        same = [name for name in columns if name not in OTHERS and len({*map(repr, columns[name])}) == 1]
        columns = {name: values for name, values in columns.items() if name not in same}
    cells = [[as_text(value) for value in values] for values in columns.values()]
    align = ["right" if _is_numeric(values) else "left" for values in columns.values()]
    rows = list(zip(*cells, strict=True))
    return tabulate(rows, headers=list(columns), tablefmt="simple", disable_numparse=True, colalign=align)


def _is_numeric(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float) for value in values if value is not None)


def save(columns: Columns, path: str | os.PathLike[str], notes: Mapping[str, Any]) -> None:
    """Write a leaderboard to a .csv, .json or .parquet file, whole or not at all.

    Parameters
    ----------
    columns : Columns
    path : path-like
    notes : mapping
        What the .json file has beside the leaderboard.
    """
    target = Path(path)
    suffix = check_suffix(target)
    if suffix == ".json":
        rows = [{name: plain(value) for name, value in row.items()} for row in rows_of(columns)]
        content = (dumps({**notes, "leaderboard": rows}, indent=1) + "\n").encode()
    elif suffix == ".csv":
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        cells = [[_exact(value) for value in values] for values in columns.values()]
        writer.writerows(zip(*cells, strict=True))
        content = text.getvalue().encode()
    else:
        content = _as_parquet(columns)
    write_atomically(target, [content])


def check_suffix(path: Path) -> str:
    """Return the suffix of a file that a leaderboard can be written to, or say what it may be."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise OptionError(f"the leaderboard is to be {str(path)!r}, and may end in {', '.join(SUFFIXES)}")
    return suffix


def _exact(value: Any) -> Any:
    return value if isinstance(value, int | float) else as_text(value)


def _as_parquet(columns: Columns) -> bytes:
    from fastbp.data.sources import polars

    pl = polars()
    written = {
        name: values if _is_numeric(values) else [as_text(value) or None for value in values]
        for name, values in columns.items()
    }
    file = io.BytesIO()
    pl.DataFrame(written).write_parquet(file)
    return file.getvalue()
