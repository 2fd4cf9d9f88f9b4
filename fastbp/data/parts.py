"""A table in a folder of Arrow files, each with some of its rows, so that it may be larger than memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fastbp.data.sources import polars

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, eq=False)
class Parts:
    """The columns of a table, part by part.

    Attributes
    ----------
    files : tuple of Path
    counts : tuple of int
        How many rows each file has.
    chosen : bool[n_rows], optional
        The rows that count; by default all.
    """

    files: tuple[Path, ...]
    counts: tuple[int, ...]
    chosen: np.ndarray | None = None

    def __len__(self) -> int:
        return sum(self.counts) if self.chosen is None else int(self.chosen.sum())

    def __getitem__(self, name: str) -> "pl.Series":
        pl = polars()
        return pl.concat([frame.to_series() for frame in self.blocks([name])])

    def blocks(self, names: Sequence[str]) -> Iterator["pl.DataFrame"]:
        """Yield some columns, part by part."""
        pl = polars()
        at = 0
        for file, count in zip(self.files, self.counts, strict=True):
            frame = pl.read_ipc(file, columns=list(names)).select(list(names))
            if self.chosen is not None:
                frame = frame.filter(pl.Series(self.chosen[at : at + count]))
            at += count
            yield frame

    def rows(self, rows: np.ndarray) -> "Parts":
        """Return some of the rows, which are given in ascending order."""
        chosen = np.zeros(sum(self.counts), bool)
        chosen[rows if self.chosen is None else np.flatnonzero(self.chosen)[rows]] = True
        return replace(self, chosen=chosen)
