"""Makes the jobs of the layered kernel: lays out memory, chooses tiles, and hands over addresses.

A kernel sees an address and nothing else of an array. So addresses are handed over in one place, `Job`, which
compares every array with what `ARRAYS` says of its field.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from fastbp import activations, losses
from fastbp.kernels import fields
from fastbp.kernels import layered as kernels
from fastbp.kernels.barrier import N_SHARED
from fastbp.kernels.output import BLOCK_VECTORS
from fastbp.kernels.product import padded
from fastbp.kernels.update import N_STEP_CONSTANTS
from fastbp.memory import LINE, aligned_zeros, room_after
from fastbp.optimizers import N_HYPERPARAMETERS
from fastbp.simd import lanes
from fastbp.specification import Specification

TILE_BYTES = 64 * 1024
"""What a tile's activations and deltas may take where rows go through all phases in one core's L2 cache."""

SMALLEST_TILE = 32
"""Rows of such a tile at least."""

LARGE_TILE = 1024
"""Rows of a tile that a team shares, and that is streamed through the caches anyway."""

LARGE_TILE_WORK, SHORTEST_LARGE_TILE = 3e8, 256
"""Such a tile has fewer rows where they would take over some 0.05 s, in float64 on a core with AVX2.

A step is left between tiles only.
"""

ACTIVATION_WORK = 16
"""Multiplications that take as long as a slow activation."""

N_GROUPS = 16
"""Groups of rows, whose gradients are added: as many as threads can share."""

GROUP_BYTES = 2**21
"""What the gradients of all groups may take: else, a team shares each tile."""

ITEM_BYTES, ITEM_ROWS = 16 * 1024, 128
"""An item of the update has so many rows of a W, or more if they are short."""

NEED_Z = tuple(row.code for row in activations.TABLE if row.derivative_of == "z")
FROM_Z = (losses.BINARY_CROSS_ENTROPY, losses.CATEGORICAL_CROSS_ENTROPY, losses.POISSON)
"""Losses that are computed from the output layer's pre-activations."""

X_KINDS = {"float32": fields.X_FLOAT32, "float64": fields.X_FLOAT64, "uint8": fields.X_UINT8}
"""Types of X that kernels convert row by row; others are converted as a whole beforehand."""

READABLE = tuple(np.dtype(name) for name in X_KINDS)


def row_work(specification: Specification) -> int:
    """Return what a row's forward pass costs, in multiplications."""
    return specification.n_multiplications + ACTIVATION_WORK * sum(specification.layer_sizes[1:])


def up(n: int, multiple: int) -> int:
    """Return n rounded up to a multiple."""
    return -(-n // multiple) * multiple


class Packing:
    """Where parameters are in a packed vector: rows of whole vectors, at a good distance from each other.

    A layer is its W, with rows of zeros up to a whole number of vectors, and then its b. With `turned`, all
    but the first layer are W^T instead.
    """

    def __init__(self, specification: Specification, *, turned: bool = False):
        self.dtype = specification.dtype
        self.shapes = list(pairwise(specification.layer_sizes))
        self.has_bias = specification.has_bias
        self.turned = [turned and layer > 0 for layer in range(len(self.shapes))]
        itemsize = self.dtype.itemsize
        self.rows, self.w_at, self.b_at = [], [], []
        at = 0
        for (n_in, n_out), is_turned in zip(self.shapes, self.turned, strict=True):
            n_rows, n_columns = (n_out, n_in) if is_turned else (n_in, n_out)
            self.rows.append(padded(n_columns, itemsize))
            self.w_at.append(at)
            at += up(n_rows, lanes(itemsize)) * self.rows[-1]
            self.b_at.append(at)
            at += padded(n_out, itemsize)
        self.size = at

    def views(self, packed: np.ndarray) -> list[np.ndarray]:
        """Return the parts of a packed vector that are parameters, in the order of `Network.theta`."""
        parts = []
        layers = zip(self.shapes, self.turned, self.rows, self.w_at, self.b_at, strict=True)
        for (n_in, n_out), is_turned, row, w, b in layers:
            if is_turned:
                parts.append(packed[w : w + n_out * row].reshape(n_out, row)[:, :n_in].T)
            else:
                parts.append(packed[w : w + n_in * row].reshape(n_in, row)[:, :n_out])
            if self.has_bias:
                parts.append(packed[b : b + n_out])
        return parts

    def pack(self, theta: np.ndarray, packed: np.ndarray) -> None:
        """Copy a vector laid out as `Network.theta` into a packed one."""
        start = 0
        for part in self.views(packed):
            part[...] = theta[start : start + part.size].reshape(part.shape)
            start += part.size

    def unpack(self, packed: np.ndarray) -> np.ndarray:
        """Return a packed vector as one laid out as `Network.theta`."""
        return np.concatenate([part.ravel() for part in self.views(packed)])


EVERY_MODE = (fields.TRAIN, fields.GRADIENT_ONLY, fields.LOSS_ONLY, fields.PREDICT)

OWN, INT64, FLOAT64, UINT64 = None, np.dtype(np.int64), np.dtype(np.float64), np.dtype(np.uint64)


@dataclass(frozen=True)
class Handed:
    """What an array must be whose address is handed to a kernel.

    Attributes
    ----------
    name : str
    dtype : dtype or None
        None is the network's own type.
    least : function of a job
        Elements that it has at least. What they depend on is set before the array.
    written_in : tuple of int
        The modes in which a kernel writes into it.
    counted_in : int, optional
        The field that says how many there are, each of `count_size` elements: it is set with the array.
    """

    name: str
    dtype: np.dtype | None
    least: "Callable[[Job], int]"
    written_in: tuple[int, ...] = ()
    counted_in: int | None = None
    count_size: int = 1


def _samples(job: "Job") -> int:
    return job[fields.N_SAMPLES]


def _packed(job: "Job") -> int:
    return job[fields.N_PACKED]


def _gradients(job: "Job") -> int:
    return max(1, job[fields.N_GROUPS]) * job[fields.N_SLOTS] * _packed(job)


def _records(job: "Job") -> int:
    """Return how many losses a run may record: one for every so many epochs, and the last one."""
    steps = -(-job[fields.N_SAMPLES] // job[fields.BATCH])
    return max(1, -(-job[fields.END] // (steps * job[fields.RECORD_EVERY])))


ARRAYS = {
    fields.T: Handed(
        "T", OWN, lambda job: _samples(job) * job.of(job.n_layers, fields.SIZE), (fields.PREDICT,)
    ),
    fields.LABELS: Handed("LABELS", INT64, _samples),
    fields.WEIGHTS: Handed("WEIGHTS", FLOAT64, _samples),
    fields.ORDER: Handed(
        "ORDER", INT64, lambda job: _samples(job) if job[fields.SHUFFLES] else 0, EVERY_MODE
    ),
    fields.THETA: Handed("THETA", OWN, _packed, (fields.TRAIN,)),
    fields.TRANSPOSES: Handed("TRANSPOSES", OWN, lambda job: 0, (fields.TRAIN, fields.GRADIENT_ONLY)),
    fields.STATE_1: Handed("STATE_1", OWN, _packed, EVERY_MODE),
    fields.STATE_2: Handed("STATE_2", OWN, _packed, EVERY_MODE),
    fields.GRADIENT: Handed("GRADIENT", OWN, _gradients, EVERY_MODE),
    fields.WORK: Handed("WORK", OWN, lambda job: job[fields.WORK_SIZE] * job[fields.N_THREADS], EVERY_MODE),
    fields.ZEROS: Handed("ZEROS", OWN, lambda job: max(padded(n, job.dtype.itemsize) for n in job.sizes)),
    fields.ROW_LOSSES: Handed(
        "ROW_LOSSES",
        FLOAT64,
        lambda job: _samples(job) if job[fields.MODE] == fields.LOSS_ONLY else job[fields.BATCH],
        EVERY_MODE,
    ),
    fields.RATES: Handed("RATES", FLOAT64, lambda job: 1, counted_in=fields.N_RATES),
    fields.COUNTERS: Handed("COUNTERS", INT64, lambda job: fields.N_COUNTERS, EVERY_MODE),
    fields.TOTALS: Handed("TOTALS", FLOAT64, lambda job: fields.N_TOTALS, EVERY_MODE),
    fields.LOSSES: Handed("LOSSES", FLOAT64, _records, EVERY_MODE),
    fields.GENERATOR: Handed("GENERATOR", UINT64, lambda job: 2, EVERY_MODE),
    fields.NUMBERS: Handed("NUMBERS", FLOAT64, lambda job: fields.N_NUMBERS, EVERY_MODE),
    fields.HYPER: Handed("HYPER", FLOAT64, lambda job: N_HYPERPARAMETERS),
    fields.CONSTANTS: Handed("CONSTANTS", FLOAT64, lambda job: N_STEP_CONSTANTS, EVERY_MODE),
    fields.SHARED: Handed("SHARED", INT64, lambda job: N_SHARED, EVERY_MODE),
    fields.ITEMS: Handed(
        "ITEMS", INT64, lambda job: 1, counted_in=fields.N_ITEMS, count_size=fields.N_ITEM_FIELDS
    ),
}
"""The fields of a job that hold an address, `X` aside, which may be of several types and in any order."""

ADDRESSES_OF_A_BOUNDARY = {fields.W: "W", fields.B: "B", fields.WT: "WT"}


class Job:
    """The integers of a job, and the arrays whose addresses are among them."""

    def __init__(self, specification: Specification, mode: int, n_threads: int):
        self.sizes: tuple[int, ...] = specification.layer_sizes
        names = (None, *specification.hidden_activations, specification.output_activation)
        self._has_bias, self._row_work = specification.has_bias, row_work(specification)
        self.dtype: np.dtype = specification.dtype
        self.n_layers: int = len(self.sizes) - 1
        n_integers = fields.N_FIELDS + len(self.sizes) * fields.N_BOUNDARY_FIELDS
        self.integers = aligned_zeros(n_integers, np.int64)
        self.address = self.integers.ctypes.data
        self.arrays: dict[int, np.ndarray] = {}
        self.empty = np.empty((0, 1), self.dtype)
        self.set(fields.MODE, mode)
        self.set(fields.N_LAYERS, self.n_layers)
        self.set(fields.N_THREADS, n_threads)
        self.set(fields.LOSS, losses.CODES[specification.loss_name])
        self.set(fields.SHARED, np.zeros(N_SHARED, np.int64))
        self.set(fields.COUNTERS, np.zeros(fields.N_COUNTERS, np.int64))
        self.set(fields.TOTALS, np.zeros(fields.N_TOTALS))
        self.set(fields.NUMBERS, np.zeros(fields.N_NUMBERS))
        widest = max(padded(n, self.dtype.itemsize) for n in self.sizes)
        self.set(fields.ZEROS, aligned_zeros(widest, self.dtype))
        for boundary, (size, name) in enumerate(zip(self.sizes, names, strict=True)):
            self.set_of(boundary, fields.SIZE, size)
            if name is not None:
                self.set_of(boundary, fields.CODE, activations.CODES[name])

    def __getitem__(self, field: int) -> int:
        """Return a field's number."""
        return int(self.integers[field])

    def set(self, field: int, value: int | np.ndarray | None) -> None:
        """Set a field to a number, or to the address of an array that the job keeps alive.

        Raises
        ------
        TypeError
            If the array, or None for no array, is not what `ARRAYS` says.
        """
        wanted = ARRAYS.get(field)
        if wanted is None and field != fields.X:
            self.integers[field] = operator.index(value)  # type: ignore[arg-type]
            if field == fields.N_THREADS and fields.WORK in self.arrays:
                self.set(fields.WORK, self.arrays[fields.WORK])  # there must be a work area for each
        elif value is None:
            self.arrays.pop(field, None)
            self.integers[field] = 0
        else:
            array = self._checked_X(value) if wanted is None else self._checked(wanted, value)
            if wanted is not None and wanted.counted_in is not None:
                self.integers[wanted.counted_in] = array.size // wanted.count_size
            self.arrays[field] = array
            self.integers[field] = array.ctypes.data

    def _checked(self, wanted: Handed, array: object) -> np.ndarray:
        is_written = self[fields.MODE] in wanted.written_in
        return check_array(wanted.name, array, wanted.dtype or self.dtype, is_written, wanted.least(self))

    def _checked_X(self, X: object) -> np.ndarray:
        """Return X if kernels can read every row by its strides."""
        if (
            isinstance(X, np.ndarray)
            and (X.dtype == self.dtype or X.dtype in READABLE)
            and X.flags.aligned
            and X.shape == (self[fields.N_SAMPLES], self.sizes[0])
            and all(stride % X.itemsize == 0 for stride in X.strides)
        ):
            return X
        raise TypeError(f"X is {_described(X)}, which no kernel can read")

    def set_of(self, boundary: int, field: int, value: int) -> None:
        """Set a number of a boundary."""
        if field in ADDRESSES_OF_A_BOUNDARY:
            raise TypeError(f"{ADDRESSES_OF_A_BOUNDARY[field]} of a boundary is an address: see `point`")
        self.integers[self._place(boundary, field)] = operator.index(value)

    def point(self, boundary: int, field: int, holder: int, at: int, size: int) -> None:
        """Set W, B or WT of a boundary to the address of `size` elements from `at` on, of a field's array."""
        array = self.arrays[holder]
        if field not in ADDRESSES_OF_A_BOUNDARY or not 0 <= at <= at + size <= array.size:
            name = ADDRESSES_OF_A_BOUNDARY.get(field, "what is a number")
            raise TypeError(
                f"{name} of boundary {boundary} cannot point to elements {at} to {at + size} of "
                f"{ARRAYS[holder].name}, which has {array.size}"
            )
        self.integers[self._place(boundary, field)] = self.integers[holder] + at * array.itemsize

    @staticmethod
    def _place(boundary: int, field: int) -> int:
        return fields.N_FIELDS + boundary * fields.N_BOUNDARY_FIELDS + field

    def of(self, boundary: int, field: int) -> int:
        """Return an integer of a boundary."""
        return int(self.integers[self._place(boundary, field)])

    # --- data --------------------------------------------------------------------------------------------

    def set_data(
        self,
        X: np.ndarray,
        Y: np.ndarray | None,
        weights: np.ndarray | None,
        *,
        shuffles: bool,
        singly: bool = False,
    ) -> None:
        """Hand over samples: X as `fastbp.checks.check_X` returns it, Y and weights C-contiguous.

        Rows in the network's type and in the order of a tile need not be gathered; one row alone always is.
        """
        own = X.dtype == self.dtype
        row, step = (stride // X.itemsize for stride in X.strides)
        direct = own and (singly or not shuffles) and (step == 1 or X.shape[1] == 1)
        self.set(fields.N_SAMPLES, len(X))
        self.set(fields.X, X)
        self.set(fields.X_KIND, fields.X_OWN if own else X_KINDS[X.dtype.name])
        self.set(fields.X_ROW, row)
        self.set(fields.X_STEP, step)
        self.set(fields.DIRECT, direct)
        self.set(fields.SHUFFLES, shuffles)
        self.set_of(0, fields.A_ROW, row if direct else padded(X.shape[1], self.dtype.itemsize))
        if Y is not None:
            self.set(fields.LABELS if Y.ndim == 1 else fields.T, Y)
        self.set(fields.WEIGHTS, weights)

    # --- parameters --------------------------------------------------------------------------------------

    def use_theta(self, theta: np.ndarray) -> None:
        """Compute with parameters laid out as `Network.theta`, without a copy: forward only."""
        self.set(fields.THETA, theta)
        if room_after(theta) < LINE:
            raise TypeError("theta has no room after it: its last row is loaded in whole vectors")
        start = 0
        for layer, (n_in, n_out) in enumerate(pairwise(self.sizes)):
            self.point(layer, fields.W, fields.THETA, start, n_in * n_out)
            self.set_of(layer, fields.W_ROW, n_out)
            start += n_in * n_out
            if self._has_bias:
                self.point(layer, fields.B, fields.THETA, start, n_out)
                start += n_out
            else:
                self.point(layer, fields.B, fields.ZEROS, 0, n_out)

    def use_packed(self, packing: Packing, packed: np.ndarray) -> None:
        """Compute with packed parameters, which nobody else changes from then on, and their transposes."""
        itemsize = self.dtype.itemsize
        turned_rows = [padded(n_in, itemsize) for n_in, _ in packing.shapes]
        turned_sizes = [
            up(n_out, lanes(itemsize)) * row
            for (_, n_out), row in zip(packing.shapes, turned_rows, strict=True)
        ]
        turned = aligned_zeros(sum(turned_sizes[1:]), self.dtype)
        self.set(fields.N_PACKED, packing.size)
        self.set(fields.THETA, packed)
        self.set(fields.TRANSPOSES, turned)
        at = 0
        for layer in range(self.n_layers):
            w_at, b_at = packing.w_at[layer], packing.b_at[layer]
            self.set_of(layer, fields.W_AT, w_at)
            self.set_of(layer, fields.B_AT, b_at)
            self.point(layer, fields.W, fields.THETA, w_at, b_at - w_at)
            self.set_of(layer, fields.W_ROW, packing.rows[layer])
            if packing.has_bias:
                self.point(layer, fields.B, fields.THETA, b_at, padded(packing.shapes[layer][1], itemsize))
            else:
                self.point(layer, fields.B, fields.ZEROS, 0, packing.shapes[layer][1])
            if packing.turned[layer]:
                self.point(layer, fields.WT, fields.THETA, w_at, b_at - w_at)
                self.set_of(layer, fields.WT_ROW, packing.rows[layer])
            elif layer > 0:
                self.point(layer, fields.WT, fields.TRANSPOSES, at, turned_sizes[layer])
                self.set_of(layer, fields.WT_ROW, turned_rows[layer])
                at += turned_sizes[layer]
        self._packing = packing

    # --- work areas --------------------------------------------------------------------------------------

    def lay_out(self, tile: int, *, backward: bool, drops: bool = False, scratch: int = 0) -> None:
        """Give every thread a work area for a tile of rows; row distances of boundary 0 must be set."""
        itemsize = self.dtype.itemsize
        at = 0

        def room(n: int) -> int:
            nonlocal at
            start, at = at, at + up(n, lanes(itemsize))
            return start

        loss = self[fields.LOSS]
        rows = up(tile, kernels.ROWS_TOGETHER)
        for boundary in range(self.n_layers + 1):
            size = self.of(boundary, fields.SIZE)
            if boundary == 0:
                gathered = not self[fields.DIRECT]
                self.set_of(0, fields.A_AT, room(rows * self.of(0, fields.A_ROW)) if gathered else 0)
                continue
            row = padded(size, itemsize)
            last = boundary == self.n_layers
            self.set_of(boundary, fields.A_ROW, row)
            self.set_of(boundary, fields.A_AT, a_at := room(rows * row))
            keeps_z = backward and (self.of(boundary, fields.CODE) in NEED_Z or (last and loss in FROM_Z))
            self.set_of(boundary, fields.Z_AT, room(rows * row) if keeps_z else a_at)
            if backward:
                self.set_of(boundary, fields.D_AT, room(rows * row))
            if drops and not last:
                self.set_of(boundary, fields.DROPPED_AT, room(rows * row))
                self.set_of(boundary, fields.MASK_AT, room(rows * row))
        self.set(fields.TILE, tile)
        self.set(fields.DROPS, drops)
        self.set(fields.RESTS_AT, room(rows + kernels.ROWS_TOGETHER))
        block = lanes(itemsize) * (2 * lanes(itemsize) + BLOCK_VECTORS)
        self.set(fields.SCRATCH_AT, room(max(scratch, block)))
        self.set(fields.WORK_SIZE, at)
        self.set(fields.WORK, aligned_zeros(at * self[fields.N_THREADS], self.dtype))

    def set_piece(self, rows: float) -> None:
        """Let one call of the kernel take about so many rows of a step: whole tiles, which change no bit."""
        tile, groups = self[fields.TILE], max(1, self[fields.N_GROUPS])
        self.set(fields.PIECE, up(int(rows / groups) + 1, tile))

    def row_bytes(self) -> int:
        """Return what a row takes of a cache on its way through forward and backward pass."""
        sizes = [padded(n, self.dtype.itemsize) for n in self.sizes]
        return (sizes[0] + 2 * sum(sizes[1:])) * self.dtype.itemsize

    def cached_rows(self) -> int:
        """Return how many rows of a tile stay in the L2 cache."""
        return max(SMALLEST_TILE, TILE_BYTES // self.row_bytes() // 16 * 16)

    def set_items(self, *, biases: bool) -> int:
        """Divide the parameters into items; return the size of the largest."""
        items, largest = [], 0
        for layer, (n_in, _) in enumerate(self._packing.shapes):
            row = self._packing.rows[layer]
            rows = max(ITEM_ROWS, ITEM_BYTES // (row * self.dtype.itemsize) // 16 * 16)
            items += [(layer, first, min(rows, n_in - first)) for first in range(0, n_in, rows)]
            largest = max(largest, min(rows, n_in) * row)
            if biases:
                items.append((layer, -1, 1))
        self.set(fields.ITEMS, np.array(items, np.int64).reshape(-1))
        return largest

    def set_training(
        self, packing: Packing, packed: np.ndarray, *, batch: int, biases: bool, clips: bool = False,
        sequential: bool = False, drops: bool = False,
    ) -> None:  # fmt: skip
        """Choose tiles and groups, and make the buffers of training; the data must be set."""
        self.use_packed(packing, packed)
        scratch = self.set_items(biases=biases)
        cached = self.cached_rows()
        groups = 0
        if sequential:
            tile = batch
        elif batch > cached and N_GROUPS * packing.size * self.dtype.itemsize <= GROUP_BYTES:
            groups, tile = N_GROUPS, cached
        else:
            large = max(SHORTEST_LARGE_TILE, int(LARGE_TILE_WORK / self._row_work))
            tile = min(batch, max(min(LARGE_TILE, large), cached))
        summed = kernels.SUMMED_ROWS if sequential else tile
        tiles = -(-(-(-batch // groups) if groups else batch) // summed)
        fused = self[fields.MODE] == fields.TRAIN and not (groups or sequential or clips) and batch <= tile
        slots = 0 if fused else tiles.bit_length()
        self.set(fields.PIECE, batch)
        self.set(fields.N_SLOTS, slots)
        self.set(fields.BATCH, batch)
        self.set(fields.N_GROUPS, groups)
        self.set(fields.TRAINS_BIASES, biases)
        self.set(fields.CLIPS, clips)
        self.set(fields.SEQUENTIAL, sequential)
        self.set(fields.GRADIENT, aligned_zeros(max(1, groups) * slots * packing.size, self.dtype))
        self.set(fields.ROW_LOSSES, aligned_zeros(batch, np.float64))
        self.set(fields.CONSTANTS, np.zeros(N_STEP_CONSTANTS))
        self.set(fields.HYPER, np.zeros(N_HYPERPARAMETERS))
        self.set(fields.RATES, np.zeros(1))
        self.set(fields.RECORD_EVERY, 1)
        self.set(fields.LOSSES, np.zeros(1))
        self.lay_out(tile, backward=True, drops=drops, scratch=scratch)


def check_array(name: str, array: object, dtype: np.dtype, is_written: bool, least: int) -> np.ndarray:
    """Return an array if a kernel that gets its address finds there what it expects."""
    if (
        isinstance(array, np.ndarray)
        and array.dtype == dtype
        and ((flags := array.flags).carray or (flags.c_contiguous and flags.aligned and not is_written))
        and array.size >= least
    ):
        return array
    raise TypeError(
        f"{name} is {_described(array)}, and must be {dtype}[{least}] or longer, C-contiguous and aligned"
        f"{', and not read-only' * is_written}"
    )


def _described(array: object) -> str:
    if not isinstance(array, np.ndarray):
        return f"{array!r}"
    aligned = "" if array.flags.aligned else ", not aligned"
    read_only = "" if array.flags.writeable else ", read-only"
    return f"{array.dtype}{list(array.shape)} with strides {list(array.strides)}{aligned}{read_only}"
