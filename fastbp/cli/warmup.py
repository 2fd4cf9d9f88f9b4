"""Compile every kernel ahead, so that no later command has to wait for it.

Compiled kernels are kept in a cache folder, which `fastbp info` names.
"""

import argparse
import functools
import itertools
import sys
import time
from collections.abc import Callable, Iterator

import fastbp
from fastbp import training
from fastbp.cli.tables import table
from fastbp.interchange.standard_json import dumps
from fastbp.network import DTYPES
from fastbp.training.plan import MATHS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `fastbp warmup`."""
    parser.add_argument("--json", action="store_true", help="print the results as JSON")


def run(options: argparse.Namespace) -> int:
    """Run `fastbp warmup`."""
    watched = sys.stderr.isatty() and not options.json
    rows = []
    for name, dtype, use in _uses():
        if watched:
            print(f"\033[K{name}, {dtype} ...\r", end="", file=sys.stderr, flush=True)
        started = time.perf_counter()
        try:
            use()
        except (fastbp.NotSupportedError, fastbp.OptionError):
            continue  # no kernel does everything
        rows.append({"kernel": name, "dtype": dtype, "seconds": time.perf_counter() - started})
    if watched:
        print("\033[K", end="", file=sys.stderr, flush=True)
    if options.json:
        print(dumps({"kernels": rows}, indent=2))
        return 0
    cells = [[str(row["kernel"]), str(row["dtype"]), f"{row['seconds']:.2f}"] for row in rows]
    print(table(["kernel", "dtype", "seconds"], {"": cells}, ["left", "left", "right"]))
    print("\nAll kernels are compiled, and kept for later commands.\n\nNext: fastbp info")
    return 0


def _uses() -> Iterator[tuple[str, str, Callable[[], object]]]:
    """Name every kernel, with a call that needs it."""
    x, y = [[0.05, 0.10]], [[0.01, 0.99]]
    for dtype in DTYPES:
        network = fastbp.Network([2, 2, 2], dtype=dtype, seed=0)
        for kernel, math in itertools.product(training.KERNELS, MATHS):
            if kernel != "auto":
                use = functools.partial(
                    fastbp.train, network, x, y, steps=1, optimizer=fastbp.SGD(), kernel=kernel, math=math
                )
                yield f"{kernel}, math={math}", dtype, use
        yield "predict", dtype, functools.partial(network.predict, x)
        yield "loss and gradient", dtype, functools.partial(network.gradient, x, y)
