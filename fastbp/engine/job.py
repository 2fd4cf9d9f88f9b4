"""Makes the jobs of the layered kernel: lays out memory, chooses tiles, and hands over addresses.

A kernel sees an address and nothing else of an array. So addresses are handed over in one place, `Job`, which
compares every array with what `fields.JOB` says of it.
"""

import operator
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from fastbp import activations, losses
from fastbp.kernels import fields
from fastbp.kernels import layered as kernels
from fastbp.kernels.barrier import N_SHARED
from fastbp.kernels.output import BLOCK_VECTORS
from fastbp.kernels.product import padded
from fastbp.kernels.update_rules import N_CONSTANTS, N_HYPERPARAMETERS, RULES
from fastbp.memory import LINE, aligned_zeros, room_after
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


def _n_records(job: "Job") -> int:
    """Return how many losses a run may record: one for every so many epochs, and the last one."""
    steps = -(-job["n_samples"] // job["batch_size"])
    return max(1, -(-job["n_steps"] // (steps * job["record_every"])))


DIMENSIONS: dict[str, Callable[["Job"], int]] = {
    "n_inputs": lambda job: job.sizes[0],
    "n_outputs": lambda job: job.sizes[-1],
    "n_ordered": lambda job: job["n_samples"] if job["shuffles"] else 0,
    "n_generators": lambda job: 2,
    "n_parameters": lambda job: job["n_packed"],
    "n_transposes": lambda job: 0,  # `point` checks what kernels read of them
    "n_gradients": lambda job: max(1, job["n_groups"]) * job["n_partial_sums"],
    "widest": lambda job: max(padded(n, job.dtype.itemsize) for n in job.sizes),
    "n_row_losses": lambda job: job["n_samples" if job["mode"] == fields.LOSS_ONLY else "batch_size"],
    "n_records": _n_records,
    "n_rates": lambda job: 1,  # they are counted where they are handed over, as are the items
    "n_items": lambda job: 1,
    "n_states": lambda job: RULES[job["rule"]].n_states,
    "n_hyperparameters": lambda job: N_HYPERPARAMETERS,
    "n_step_constants": lambda job: N_CONSTANTS,
    "n_shared": lambda job: N_SHARED,
}
"""The dimensions in the shapes of `fields.JOB` that are no fields, or of which the array may have more."""

COUNTED = {"rates": "n_rates", "items": "n_items"}
"""The fields that say how many elements an array has: they are set with it."""


class Job:
    """The integers of a job, and the arrays whose addresses are among them."""

    def __init__(self, specification: Specification, mode: int, n_threads: int):
        self.sizes: tuple[int, ...] = specification.layer_sizes
        names = (None, *specification.hidden_activations, specification.output_activation)
        self._has_bias, self._row_work = specification.has_bias, row_work(specification)
        self.dtype: np.dtype = specification.dtype
        self.n_layers: int = len(self.sizes) - 1
        n_integers = len(fields.JOB) + len(self.sizes) * len(fields.BOUNDARY)
        self.integers = aligned_zeros(n_integers, np.int64)
        self.address = self.integers.ctypes.data
        self.arrays: dict[str, np.ndarray] = {}
        self.empty = np.empty((0, 1), self.dtype)
        self.set("mode", mode)
        self.set("n_layers", self.n_layers)
        self.set("n_threads", n_threads)
        self.set("loss", losses.CODES[specification.loss_name])
        self.set("shared", np.zeros(N_SHARED, np.int64))
        self.set("counters", np.zeros(len(fields.COUNTERS), np.int64))
        self.set("totals", np.zeros(len(fields.TOTALS)))
        self.set("numbers", np.zeros(len(fields.NUMBERS)))
        widest = max(padded(n, self.dtype.itemsize) for n in self.sizes)
        self.set("zeros", aligned_zeros(widest, self.dtype))
        for boundary, (size, name) in enumerate(zip(self.sizes, names, strict=True)):
            self.set_of(boundary, "size", size)
            if name is not None:
                self.set_of(boundary, "activation", activations.CODES[name])

    def __getitem__(self, name: str) -> int:
        """Return a field's number."""
        return int(self.integers[fields.place_in_job(name)])

    def set(self, name: str, value: int | np.ndarray | None) -> None:
        """Set a field to a number, or to the address of an array that the job keeps alive.

        Raises
        ------
        TypeError
            If the array, or None for no array, is not what `fields.JOB` says.
        """
        place = fields.place_in_job(name)
        if not fields.JOB[name].is_address:
            self.integers[place] = operator.index(value)  # type: ignore[arg-type]
            if name == "n_threads" and "work" in self.arrays:
                self.set("work", self.arrays["work"])  # there must be a work area for each
        elif value is None:
            self.arrays.pop(name, None)
            self.integers[place] = 0
        else:
            array = self._checked_X(value) if name == "X" else self._checked(name, value)
            if name in COUNTED:
                size = len(fields.RECORDS.get(fields.JOB[name].type, "1"))
                self.integers[fields.place_in_job(COUNTED[name])] = array.size // size
            self.arrays[name] = array
            self.integers[place] = array.ctypes.data

    def element_type(self, name: str) -> np.dtype:
        """Return the type of the numbers whose address a field holds."""
        kind = fields.JOB[name].type
        if kind == fields.OWN:
            return self.dtype
        return np.dtype(fields.element_type(kind) if kind in fields.RECORDS else kind.rstrip("*"))

    def least(self, name: str) -> int:
        """Return how many numbers an array must have at least."""
        field = fields.JOB[name]
        n = len(fields.RECORDS.get(field.type, "1"))
        for dimension in field.shape:
            n *= DIMENSIONS[dimension](self) if dimension in DIMENSIONS else self[dimension]
        return n

    def is_written(self, name: str) -> bool:
        """Whether kernels write into an array, in a job of this mode."""
        writers = fields.JOB[name].written_by
        return fields.KERNEL in writers or self["mode"] in writers

    def _checked(self, name: str, array: object) -> np.ndarray:
        return check_array(name, array, self.element_type(name), self.is_written(name), self.least(name))

    def _checked_X(self, X: object) -> np.ndarray:
        """Return X if kernels can read every row by its strides."""
        if (
            isinstance(X, np.ndarray)
            and (X.dtype == self.dtype or X.dtype in READABLE)
            and X.flags.aligned
            and X.shape == (self["n_samples"], self.sizes[0])
            and all(stride % X.itemsize == 0 for stride in X.strides)
        ):
            return X
        raise TypeError(f"X is {_described(X)}, which no kernel can read")

    def set_of(self, boundary: int, name: str, value: int) -> None:
        """Set a number of a boundary."""
        if fields.BOUNDARY[name].is_address:
            raise TypeError(f"{name} of a boundary is an address: see `point`")
        self.integers[fields.place_in_job(name, boundary)] = operator.index(value)

    def point(self, boundary: int, name: str, holder: str, at: int, size: int) -> None:
        """Set W, b or WT of a boundary to the address of `size` elements from `at` on, of a field's array."""
        array = self.arrays[holder]
        if not (fields.BOUNDARY[name].is_address and 0 <= at <= at + size <= array.size):
            raise TypeError(
                f"{name} of boundary {boundary} cannot point to elements {at} to {at + size} of "
                f"{holder}, which has {array.size}"
            )
        address = self[holder] + at * array.itemsize
        self.integers[fields.place_in_job(name, boundary)] = address

    def of(self, boundary: int, name: str) -> int:
        """Return an integer of a boundary."""
        return int(self.integers[fields.place_in_job(name, boundary)])

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
        self.set("n_samples", len(X))
        self.set("X", X)
        self.set("X_kind", fields.X_OWN if own else X_KINDS[X.dtype.name])
        self.set("X_row", row)
        self.set("X_column", step)
        self.set("X_in_place", direct)
        self.set("shuffles", shuffles)
        self.set_of(0, "row", row if direct else padded(X.shape[1], self.dtype.itemsize))
        if Y is not None:
            self.set("labels" if Y.ndim == 1 else "Y", Y)
        self.set("weights", weights)

    # --- parameters --------------------------------------------------------------------------------------

    def use_theta(self, theta: np.ndarray) -> None:
        """Compute with parameters laid out as `Network.theta`, without a copy: forward only."""
        self.set("theta", theta)
        if room_after(theta) < LINE:
            raise TypeError("theta has no room after it: its last row is loaded in whole vectors")
        start = 0
        for layer, (n_in, n_out) in enumerate(pairwise(self.sizes)):
            self.point(layer, "W", "theta", start, n_in * n_out)
            self.set_of(layer, "W_row", n_out)
            start += n_in * n_out
            if self._has_bias:
                self.point(layer, "b", "theta", start, n_out)
                start += n_out
            else:
                self.point(layer, "b", "zeros", 0, n_out)

    def use_packed(self, packing: Packing, packed: np.ndarray) -> None:
        """Compute with packed parameters, which nobody else changes from then on, and their transposes."""
        itemsize = self.dtype.itemsize
        turned_rows = [padded(n_in, itemsize) for n_in, _ in packing.shapes]
        turned_sizes = [
            up(n_out, lanes(itemsize)) * row
            for (_, n_out), row in zip(packing.shapes, turned_rows, strict=True)
        ]
        turned = aligned_zeros(sum(turned_sizes[1:]), self.dtype)
        self.set("n_packed", packing.size)
        self.set("theta", packed)
        self.set("transposes", turned)
        at = 0
        for layer in range(self.n_layers):
            w_at, b_at = packing.w_at[layer], packing.b_at[layer]
            self.set_of(layer, "W_at", w_at)
            self.set_of(layer, "b_at", b_at)
            self.point(layer, "W", "theta", w_at, b_at - w_at)
            self.set_of(layer, "W_row", packing.rows[layer])
            if packing.has_bias:
                self.point(layer, "b", "theta", b_at, padded(packing.shapes[layer][1], itemsize))
            else:
                self.point(layer, "b", "zeros", 0, packing.shapes[layer][1])
            if packing.turned[layer]:
                self.point(layer, "WT", "theta", w_at, b_at - w_at)
                self.set_of(layer, "WT_row", packing.rows[layer])
            elif layer > 0:
                self.point(layer, "WT", "transposes", at, turned_sizes[layer])
                self.set_of(layer, "WT_row", turned_rows[layer])
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

        loss = self["loss"]
        rows = up(tile, kernels.ROWS_TOGETHER)
        for boundary in range(self.n_layers + 1):
            size = self.of(boundary, "size")
            if boundary == 0:
                gathered = not self["X_in_place"]
                self.set_of(0, "a_at", room(rows * self.of(0, "row")) if gathered else 0)
                continue
            row = padded(size, itemsize)
            last = boundary == self.n_layers
            self.set_of(boundary, "row", row)
            self.set_of(boundary, "a_at", a_at := room(rows * row))
            keeps_z = backward and (self.of(boundary, "activation") in NEED_Z or (last and loss in FROM_Z))
            self.set_of(boundary, "z_at", room(rows * row) if keeps_z else a_at)
            if backward:
                self.set_of(boundary, "delta_at", room(rows * row))
            if drops and not last:
                self.set_of(boundary, "dropped_at", room(rows * row))
                self.set_of(boundary, "mask_at", room(rows * row))
        self.set("tile_rows", tile)
        self.set("drops", drops)
        self.set("row_sums_at", room(rows + kernels.ROWS_TOGETHER))
        block = lanes(itemsize) * (2 * lanes(itemsize) + BLOCK_VECTORS)
        self.set("scratch_at", room(max(scratch, block)))
        self.set("work_size", at)
        self.set("work", aligned_zeros(at * self["n_threads"], self.dtype))

    def set_piece(self, rows: float) -> None:
        """Let one call of the kernel take about so many rows of a step: whole tiles, which change no bit."""
        tile, groups = self["tile_rows"], max(1, self["n_groups"])
        self.set("chunk_rows", up(int(rows / groups) + 1, tile))

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
        self.set("items", np.array(items, np.int64).reshape(-1))
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
        fused = self["mode"] == fields.TRAIN and not (groups or sequential or clips) and batch <= tile
        slots = 0 if fused else tiles.bit_length()
        self.set("chunk_rows", batch)
        self.set("n_partial_sums", slots)
        self.set("batch_size", batch)
        self.set("n_groups", groups)
        self.set("trains_biases", biases)
        self.set("clips", clips)
        self.set("sequential", sequential)
        self.set("gradient", aligned_zeros(max(1, groups) * slots * packing.size, self.dtype))
        self.set("row_losses", aligned_zeros(batch, np.float64))
        self.set("constants", np.zeros(N_CONSTANTS))
        self.set("hyper", np.zeros(N_HYPERPARAMETERS))
        self.set("rates", np.zeros(1))
        self.set("record_every", 1)
        self.set("losses", np.zeros(1))
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
