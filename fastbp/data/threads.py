"""Columns and blocks of rows side by side, in as many threads as polars has."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from fastbp.data.sources import polars

Item = TypeVar("Item")


def in_threads(function: Callable[[Item], None], items: Iterable[Item], worthwhile: bool) -> None:
    """Call a function for each item: in threads if that is worthwhile, else one after the other.

    Raises
    ------
    Exception
        That of the first item whose call raised one.
    """
    if not worthwhile:
        for item in items:
            function(item)
        return

    def quietly(item: Item) -> None:
        with np.errstate(all="ignore"):  # a thread begins with NumPy's own settings
            function(item)

    with ThreadPoolExecutor(polars().thread_pool_size()) as threads:
        for _ in threads.map(quietly, items):
            pass
