"""The job of a population: what its kernel reads, and the calls of the kernel on some threads."""

import math
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp import losses
from fastbp.activations import CODES, GELU, SILU
from fastbp.calls import Call
from fastbp.engine.job import check_array
from fastbp.engine.team import cores_beside_this, go_to
from fastbp.kernels import fields
from fastbp.kernels.population import SCRATCH, population
from fastbp.kernels.update_rules import N_CONSTANTS
from fastbp.losses import BINARY_CROSS_ENTROPY, CATEGORICAL_CROSS_ENTROPY, POISSON
from fastbp.memory import address_of, aligned_zeros
from fastbp.numba_internals import prepare
from fastbp.processor import WIDTH
from fastbp.simd import lanes
from fastbp.specification import Specification

TILE_BYTES, MOST_TILE_BYTES, ENOUGH_ROWS = 2**17, 2**20 if WIDTH == 64 else 2**19, 64
"""Bytes of a tile's activations, all lanes together: the first number, or up to the second for enough rows.

A quarter of an L2 cache of 512 KiB is best, unless tiles of wide layers then have so few rows that the sums
of dL/dW are loaded and stored too often. Microseconds of a step of one network on a Zen 2, for 2^17 and 2^19
bytes: 8-16-1 with 1,000 samples 17.5 and 18.3; 20-64-64-2 with 200 samples 91.5 (12 rows) and 83.5 (56 rows).
Cores with AVX-512 have 1 MiB or more. On a Zen 5, with 2^18 and 2^19 bytes, 8-16-1 took 6.8 and 7.4, and a
step of 20-64-64-2 with 32 samples, for 2^19 (28 + 4 rows) and 2^20 bytes, 6.4 and 5.2.
"""

PIECE_SECONDS = 0.003
"""The time of a call of the kernel, which takes some blocks. Threads take such pieces one by one."""

ROOM = 128
"""Numbers between two parts of a work area, at least: whole vectors of every type."""

WRITTEN = (fields.KERNEL, fields.TRAIN, fields.LOSS_ONLY, fields.PREDICT)


_COMPILED: set[np.dtype] = set()
"""The types for which this process has the kernel: to ask Numba takes 0.1 ms, and every chunk would ask."""


def up_to_lanes(n_networks: int, dtype: np.dtype, together: int = 1) -> int:
    """Return the lanes of the bundles that n networks take."""
    width = lanes(dtype.itemsize) * together
    return -(-n_networks // width) * width


def as_lanes(values: np.ndarray, dtype: np.dtype, together: int = 1) -> np.ndarray:
    """Return numbers of networks, shape (n, ...), as an array [block, ..., lane], flat, zeros at the end."""
    width, n = lanes(dtype.itemsize), len(values)
    padded = up_to_lanes(n, dtype, together)
    out = aligned_zeros(padded * math.prod(values.shape[1:]), dtype)
    blocks = out.reshape(padded // width, *values.shape[1:], width)
    whole = n // width
    moved = values[: whole * width].reshape(whole, width, *values.shape[1:])
    blocks[:whole] = np.moveaxis(moved, 1, -1)
    if n % width:
        blocks[whole, ..., : n % width] = np.moveaxis(values[whole * width :], 0, -1)
    return out


def from_lanes(flat: np.ndarray, n: int, shape: tuple[int, ...]) -> np.ndarray:
    """Return numbers of n networks, shape (n, *shape), from a flat array [block, *shape, lane]."""
    out = np.empty((n, *shape), flat.dtype)
    copy_from_lanes(flat, out)
    return out


def copy_from_lanes(flat: np.ndarray, out: np.ndarray) -> None:
    """Copy numbers of networks into a C-contiguous array of shape (n, ...), from [block, ..., lane].

    There is no copy of the whole in between: fresh memory for it would take longer than the copy.
    """
    width, n, shape = lanes(flat.dtype.itemsize), len(out), out.shape[1:]
    whole, size = n // width, width * math.prod(shape)
    blocks = flat[: whole * size].reshape(whole, *shape, width)
    out[: whole * width].reshape(whole, width, *shape)[...] = np.moveaxis(blocks, -1, 1)
    if n % width:
        last = flat[whole * size : (whole + 1) * size].reshape(*shape, width)
        out[whole * width :] = np.moveaxis(last, -1, 0)[: n % width]


def needs_z(specification: Specification, number: int) -> bool:
    """Whether a layer's z must be kept, and not only its activation."""
    last = number == len(specification.layers) - 1
    if last and losses.row_of(specification.loss_name).code in (
        BINARY_CROSS_ENTROPY,
        CATEGORICAL_CROSS_ENTROPY,
        POISSON,
    ):
        return True
    names = (*specification.hidden_activations, specification.output_activation)
    return CODES[names[number]] in (GELU, SILU)


class PopulationJob:
    """Networks, data and options of a population, as its kernel takes them.

    Parameters
    ----------
    specification : Specification
    mode : int
        TRAIN, LOSS_ONLY or PREDICT.
    n_networks : int
    rows : int
        The most rows that go through the networks together.
    arrays : mapping of str to ndarray
        By the names in `fields.POPULATION`.
    numbers : mapping of str to int
        Fields that are integers.
    n_threads : int
    drops : bool
        Whether there is dropout.
    drawn_rows : int
        Rows of a burst, if each network draws its own order.
    together : int
        Blocks of a bundle.
    """

    def __init__(
        self,
        specification: Specification,
        mode: int,
        n_networks: int,
        rows: int,
        arrays: dict[str, np.ndarray | None],
        numbers: dict[str, int],
        *,
        n_threads: int,
        drops: bool = False,
        drawn_rows: int = 0,
        together: int = 1,
    ):
        self._specification, dtype = specification, specification.dtype
        self.width, self.n_threads = lanes(dtype.itemsize), n_threads
        self.n_lanes = up_to_lanes(n_networks, dtype, together)
        self.n_bundles = self.n_lanes // self.width // together
        self.own = np.empty(0, dtype)
        table = fields.PLACES["population"]
        self._places = table
        self.integers = aligned_zeros(len(table), np.int64)
        self.address = address_of(self.integers)
        self.arrays: dict[str, np.ndarray] = {}

        layers, work = self._lay_out(rows, drops, numbers.get("n_states", 0), mode == fields.TRAIN, together)
        first = {
            "mode": mode,
            "n_layers": len(specification.layers),
            "n_parameters": specification.n_parameters,
            "n_lanes": self.n_lanes,
            "loss": losses.row_of(specification.loss_name).code,
            "has_biases": specification.has_bias,
            "drops": drops,
            "together": together,
            "drawn_size": max(1, drawn_rows) * self.width * together,
            "scratch_size": SCRATCH,
        }
        for name, number in (first | work | numbers).items():
            self.set(name, int(number))
        made = {
            "layers": layers,
            "loss_parameters": np.array([losses.level_of(specification.loss_name)]),
            "work": aligned_zeros(n_threads * self["work_size"], dtype),
            "scratch": aligned_zeros(n_threads * SCRATCH, np.float64),
            "drawn": aligned_zeros(n_threads * self["drawn_size"], np.int32),
        }
        for name, array in (made | arrays).items():
            self.replace(name, array)

    def __getitem__(self, name: str) -> int:
        """Return a field's integer."""
        return int(self.integers[self._places[name]])

    def set(self, name: str, value: int) -> None:
        """Set a field that is an integer."""
        if fields.POPULATION[name].is_address:
            raise TypeError(f"{name} is an array")
        self.integers[self._places[name]] = value

    def replace(self, name: str, array: np.ndarray | None) -> None:
        """Take an array, or None, instead of the present one; it is compared with the table."""
        field = fields.POPULATION[name]
        if array is None:
            self.arrays.pop(name, None)
            self.integers[self._places[name]] = 0
            return
        if name != "layers":
            kind = field.type[:-1]
            dtype = self._specification.dtype if kind == "own" else np.dtype(kind)
            is_written = any(writer in WRITTEN for writer in field.written_by)
            check_array(name, array, dtype, is_written, self._least(field.shape))
        self.arrays[name] = array
        self.integers[self._places[name]] = address_of(array)

    def _least(self, shape: tuple[str, ...]) -> int:
        """Return how many numbers an array must have at least."""
        own: dict[str, int] = {
            "n_inputs": self._specification.n_inputs,
            "n_outputs": self._specification.n_outputs,
            "n_blocks": self.n_lanes // self.width,
            "n_bundles": self.n_bundles,
            "lanes": self.width,
            "n_threads": self.n_threads,
            "n_step_constants": N_CONSTANTS,
            "n_hyperparameters": 1,
            "n_loss_parameters": 1,
            "n_sequence": 1,
            "n_curve": 1,
            "n_weights": self["n_rows"] * (self.n_lanes if self["weighs_each"] else 1),
        }
        return math.prod(int(name) if name.isdigit() else own.get(name) or self[name] for name in shape)

    def _lay_out(
        self, rows: int, drops: bool, n_states: int, trains: bool, together: int
    ) -> tuple[np.ndarray, dict[str, int]]:
        """Return the record of the layers, and where everything is in a work area."""
        specification, width = self._specification, self.width
        layers, last = specification.layers, len(specification.layers) - 1
        per_row = specification.n_inputs + specification.n_outputs + 1
        per_row += sum(
            (2 + needs_z(specification, i) + 2 * drops) * s.n_out + 1 for i, s in enumerate(layers)
        )
        few, many = (
            n_bytes // (per_row * width * specification.dtype.itemsize) // 4 * 4
            for n_bytes in (TILE_BYTES, MOST_TILE_BYTES)
        )
        most = max(4, few, min(ENOUGH_ROWS, many))
        tile, at = min(rows, -(-rows // -(-rows // most) // 4) * 4), 0  # tiles of about the same size

        def take(n_vectors: int) -> int:
            """Return where so many vectors begin, and leave room for them."""
            nonlocal at
            start = at
            at += -(-n_vectors * width // ROOM) * ROOM
            return start

        take(1)  # zeros
        x_at = take((specification.n_inputs + 1) * (tile + 1))
        table = fields.PLACES["population_layer"]
        record = aligned_zeros(len(layers) * len(table), np.int64)
        names = (*specification.hidden_activations, specification.output_activation)
        for number, (shape, name) in enumerate(zip(layers, names, strict=True)):
            n = (shape.n_out + 1) * (tile + 1)
            a_at = take(n)
            dropped = drops and number < last
            places: dict[str, Any] = {
                "n_in": shape.n_in,
                "n_out": shape.n_out,
                "activation": CODES[name],
                "W_at": shape.w_at,
                "x_at": x_at,
                "a_at": a_at,
                "z_at": take(n) if needs_z(specification, number) else a_at,
                "delta_at": take(n) if trains or number == last else a_at,
                "mask_at": take(n) if dropped and trains else -1,
                "dropped_at": take(n) if dropped and trains else a_at,
            }
            x_at = places["dropped_at"]
            row = record[number * len(table) :]
            for key, value in places.items():
                row[table[key]] = value
        work = {
            "tile_rows": tile,
            "targets_at": take(specification.n_outputs * (tile + 1)),
            "scales_at": take(tile),
            "gradient_at": take(specification.n_parameters) if trains else 0,
            "constants_at": take(N_CONSTANTS + 2),
            "saved_at": take(together * (1 + n_states) * specification.n_parameters) if trains else 0,
        }
        return record, work | {"work_size": at}

    # --- calls --------------------------------------------------------------------------------------------

    def compile(self) -> None:
        """Compile the kernel, or load it."""
        dtype = self.own.dtype
        if dtype not in _COMPILED:
            prepare(population, *self._arguments(0, 0, 0, 0, 0))
            _COMPILED.add(dtype)

    def _arguments(self, thread: int, first: int, last: int, begin: int, end: int) -> tuple[Any, ...]:
        return self.address, thread, first, last, begin, end, self.own

    def call(
        self,
        pieces: list[tuple[int, int]],
        begin: int,
        end: int,
        is_stopped: Callable[[], bool] = lambda: False,
        n_threads: int | None = None,
    ) -> bool:
        """Do pieces of the work, each some bundles, on several threads; return False if it was stopped.

        `is_stopped` is called between two pieces, in this thread only. What it raises comes out after all
        threads have ended.
        """
        self.compile()

        def take(thread: int, piece: tuple[int, int]) -> None:
            """Do a piece of the work."""
            population(*self._arguments(thread, *piece, begin, end))

        return in_threads(take, deque(pieces), n_threads or self.n_threads, is_stopped)


def in_threads(
    work: Callable[[int, Any], None], waiting: deque[Any], n_threads: int, is_stopped: Callable[[], bool]
) -> bool:
    """Do what waits, one by one, on several threads; return False if it was stopped.

    Parameters
    ----------
    work : function
        Takes the number of the thread, and what waited.
    waiting : deque
    n_threads : int
    is_stopped : function
        It is called between two pieces of work, in this thread only. What it raises comes out after all
        threads have ended.
    """

    def take(thread: int) -> None:
        """Do the next piece that waits, if there is one."""
        try:
            piece = waiting.popleft()
        except IndexError:  # another thread was faster
            return
        work(thread, piece)

    def take_all(thread: int) -> None:
        """Do pieces until none waits."""
        while waiting:
            take(thread)

    def join(thread: int) -> None:
        """Do pieces as one of the other threads, on another core than the caller's."""
        go_to(cores)
        take_all(thread)

    cores = cores_beside_this() if n_threads > 1 else set()
    others = [Call(join, thread) for thread in range(1, min(n_threads, len(waiting)))]
    raised: BaseException | None = None
    stopped = False
    for call in others:
        call.start()
    try:
        while waiting and not stopped:
            take(0)
            stopped = bool(waiting) and is_stopped()
    except BaseException as error:
        raised = error
    if stopped or raised:
        waiting.clear()
    while not all(call.is_done for call in others):
        try:
            for call in others:
                if not waiting:
                    call.cancel()
                call.wait()
        except BaseException as error:
            waiting.clear()
            raised = raised or error
    raised = raised or next((call.error for call in others if call.error), None)
    try:
        if raised:
            raise raised
        return not stopped
    finally:
        raised = None  # else a cycle: of an error, its traceback, and this frame


def pieces_of(n_bundles: int, seconds_per_bundle: float, n_threads: int) -> list[tuple[int, int]]:
    """Return ranges of bundles that take about `PIECE_SECONDS`, and at least one for each thread."""
    size = max(1, min(int(PIECE_SECONDS / max(seconds_per_bundle, 1e-12)), -(-n_bundles // n_threads)))
    return [(first, min(n_bundles, first + size)) for first in range(0, n_bundles, size)]


def reach_of(X: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """Return the largest |x|, and a bound of |y - t| y (1 - y) for y from 0 to 1: 4/27 if t is, too."""
    largest = float(np.abs(Y).max())
    return np.array([float(np.abs(X).max()), 4 / 27 if largest <= 1 and Y.min() >= 0 else (1 + largest) / 4])
