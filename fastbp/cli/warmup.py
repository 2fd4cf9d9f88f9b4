"""Compile every kernel in advance, so that no later command waits for it.

Compiled kernels are saved in a cache folder, which `fastbp info` shows. The exit status is 1 if one could not
be saved.
"""

import argparse
import functools
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

import fastbp
from fastbp import _jit
from fastbp.cli.tables import table
from fastbp.engine.fused222_run import GUESSED_IN_ORDER, GUESSED_SHUFFLED
from fastbp.engine.kernel_choice import KERNELS
from fastbp.interchange.standard_json import dumps
from fastbp.kernels.as_numpy import draw_as_numpy, shuffle_as_numpy
from fastbp.memory import address_in
from fastbp.specification import DTYPES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `fastbp warmup`."""
    parser.add_argument("--dtype", choices=DTYPES, help="only the kernels of networks of this type")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")


def run(options: argparse.Namespace) -> int:
    """Run `fastbp warmup`."""
    dtypes = [options.dtype] if options.dtype else DTYPES
    rows = _compile_all(dtypes, watched=sys.stderr.isatty() and not options.json)
    return report(rows, *_jit.unsaved_kernels(), options.json)


def _compile_all(dtypes: Sequence[str], watched: bool) -> list[dict[str, object]]:
    """Use every kernel once, and return how long each took; `watched` shows which one is compiled."""
    rows: list[dict[str, object]] = []
    for name, dtype, use in _uses(dtypes):
        if watched:
            print(f"\033[K{name}, {dtype} ...\r", end="", file=sys.stderr, flush=True)
        started = time.perf_counter()
        use()
        rows.append({"kernel": name, "dtype": dtype, "seconds": time.perf_counter() - started})
    if watched:
        print("\033[K", end="", file=sys.stderr, flush=True)
    return rows


def report(rows: list[dict[str, object]], n_unsaved: int, reason: str, as_json: bool) -> int:
    """Print what was compiled, and whether it was kept; return the exit status."""
    if n_unsaved:
        print(
            f"fastbp warmup: {'a kernel' if n_unsaved == 1 else f'{n_unsaved} kernels'} could not be kept in "
            f"{_jit.cache_folder()}: {reason}",
            file=sys.stderr,
        )
    if as_json:
        print(dumps({"kernels": rows, "not_kept": n_unsaved}, indent=2))
        return 1 if n_unsaved else 0
    cells = [[str(row["kernel"]), str(row["dtype"]), f"{row['seconds']:.2f}"] for row in rows]
    print(table(["kernel", "dtype", "seconds"], {"": cells}, ["left", "left", "right"]))
    if n_unsaved:
        print("\nAll kernels compile, and the next command has to compile them again.")
        return 1
    print("\nAll kernels are compiled, and kept for later commands.\n\nNext: fastbp info")
    return 0


def _uses(dtypes: Sequence[str]) -> Iterator[tuple[str, str, Callable[[], object]]]:
    """Name every kernel, with a call that needs it."""
    x, y = [[0.05, 0.10]], [[0.01, 0.99]]
    uses = [(kernel.name, math) for kernel in KERNELS for math in kernel.maths]
    for dtype in dtypes:
        network = fastbp.Network([2, 2, 2], dtype=dtype, seed=0)
        for name, math in uses:
            use = functools.partial(
                fastbp.train, network, x, y, steps=1, optimizer=fastbp.SGD(), kernel=name, math=math
            )
            yield f"{name}, math={math}", dtype, use
        update = functools.partial(_train_2_2_2, network, x, y, update="sequential")
        yield "fused222, update=sequential", dtype, update
        many = 1 + max(GUESSED_SHUFFLED, GUESSED_IN_ORDER)
        yield "fused222, many samples", dtype, functools.partial(_train_2_2_2, network, many * x, many * y)
        use = functools.partial(
            fastbp.train, network, x, y, epochs=1, optimizer=fastbp.SGD(), validation_data=(x, y)
        )
        yield "after an epoch", dtype, use
        for name in ("fused222", "layered"):
            yield f"{name}, call after call", dtype, functools.partial(_train_twice, network, x, y, name)
        yield "predict", dtype, functools.partial(network.predict, x)
        yield "loss and gradient", dtype, functools.partial(network.gradient, x, y)
        population = fastbp.Population([2, 2, 2], 1, dtype=dtype, seed=0)
        use_population = functools.partial(
            fastbp.train_population, population, x, y, steps=1, optimizer=fastbp.SGD(), progress=False
        )
        yield "population", dtype, use_population
        yield "orders of samples", dtype, functools.partial(_use_orders, network, 2 * x, 2 * y)


def _train_2_2_2(
    network: fastbp.Network, x: list[list[float]], y: list[list[float]], update: str = "simultaneous"
) -> None:
    fastbp.train(
        network, x, y, steps=1, batch_size=1, optimizer=fastbp.SGD(), kernel="fused222", update=update
    )


def _use_orders(network: fastbp.Network, x: list[list[float]], y: list[list[float]]) -> None:
    """Train in an order that is given; shuffle and draw as scikit-learn does."""
    fastbp.train(
        network, x, y, steps=1, batch_size=1, optimizer=fastbp.SGD(), shuffle="blocks", kernel="layered"
    )
    bits = np.random.MT19937(0)
    c = bits.ctypes
    shuffle_as_numpy(address_in(c.next_uint32), c.state_address, np.arange(2), np.empty((1, 2), np.int64))
    theta = np.empty(2, network.dtype)
    draw_as_numpy(address_in(c.next_double), c.state_address, np.array([2]), np.array([1.0]), theta)


def _train_twice(network: fastbp.Network, x: list[list[float]], y: list[list[float]], kernel: str) -> None:
    """Train twice with the same options: the second run starts over."""
    X, Y = np.array(x, network.dtype), np.array(y, network.dtype)
    for _ in range(2):
        fastbp.train(network, X, Y, steps=1, optimizer=fastbp.SGD(), kernel=kernel)
