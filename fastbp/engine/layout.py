"""Layouts: where all data of a job are in memory, and how a step is divided. A layout holds no arrays.

`make_layout` is a pure function of the network's specification, the batch and the options. Its result is
frozen. The attributes have the names of the fields in `fastbp.kernels.fields`. Any number of jobs can be made
from a layout, each with its own arrays (`fastbp.engine.job`).
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np

from fastbp import activations, losses
from fastbp.engine import division
from fastbp.engine.division import divide_parameters, divide_rows
from fastbp.engine.packed_vectors import ALWAYS, IF_SMALLER, Area, Packing, up
from fastbp.kernels import fields
from fastbp.kernels.barrier import shared_words
from fastbp.kernels.cross_entropy import block_numbers
from fastbp.kernels.gradient_product import strip_numbers
from fastbp.kernels.layered import ROWS_TOGETHER
from fastbp.kernels.nonzero import BLOCK, bytes_of_bits
from fastbp.kernels.product import padded
from fastbp.kernels.update_rules import N_CONSTANTS, N_HYPERPARAMETERS, RULES
from fastbp.memory import LINE, address_of, aligned_zeros
from fastbp.simd import lanes
from fastbp.specification import Specification

NEED_Z = tuple(row.code for row in activations.TABLE if row.derivative_of == "z")
FROM_Z = (losses.BINARY_CROSS_ENTROPY, losses.CATEGORICAL_CROSS_ENTROPY, losses.POISSON)
"""Losses that are computed from the output layer's pre-activations."""


BUFFERS = ("work", "shared", "counters", "totals", "row_losses")
TRAINING_BUFFERS = (
    *BUFFERS, "transposes", "gradient", "generator", "hyper", "constants", "numbers", "rates", "losses",
    "squares",
)  # fmt: skip
RUN_BUFFERS = (*TRAINING_BUFFERS, "theta", "state", "order")
"""Arrays that a job makes unless they are given: any job, one that computes gradients, one that trains."""


@dataclass(frozen=True)
class Span:
    """The part of one of a job's arrays to which an address of a boundary points."""

    holder: str
    at: int
    size: int


@dataclass(frozen=True)
class Boundary:
    """A boundary, with the fields of `fields.BOUNDARY`."""

    size: int
    activation: int
    row: int
    a_at: int
    z_at: int
    delta_at: int
    dropped_at: int
    mask_at: int
    W: Span | None = None
    W_row: int = 0
    W_at: int = 0
    packed_row: int = 0
    is_transposed: bool = False
    b: Span | None = None
    b_at: int = 0
    WT: Span | None = None
    WT_row: int = 0


@dataclass(frozen=True)
class JobOptions:
    """What a job is to do.

    Attributes
    ----------
    mode : {TRAIN, GRADIENT_ONLY, LOSS_ONLY, PREDICT}
        What the job is for. `batch_size`, and all options after `transposed`, are for the first two modes.
    n_samples : int
        Samples of the data; 0 if the kernel takes them as arguments.
    n_threads : int
        The most threads that may run the job together. Each has a work area.
    X_in_place : bool
        Whether kernels read rows of X in place: see `is_read_in_place`. Then a tile is consecutive rows of X.
    batch_size : int
        Rows of a step.
    pads : bool
        Whether theta is padded as for training, and not laid out as `Network.theta`: only where nothing is
        trained.
    transposed : bool
        Whether theta holds W^T of all layers but the first. The online kernel needs this.
    losses_at_once : int
        As `KernelOptions` describes it; 0 for None.
    ordering, rule, trains_biases, sequential, as_scikit_learn, clips, drops, divides_by_weights, n_steps,
    record_every
        As `fields.JOB` describes them.
    """

    mode: int
    n_samples: int = 0
    n_threads: int = 1
    X_in_place: bool = True
    batch_size: int = 0
    pads: bool = False
    transposed: bool = False
    ordering: int = fields.IN_ORDER
    rule: int = 0
    trains_biases: bool = True
    sequential: bool = False
    as_scikit_learn: bool = False
    clips: bool = False
    drops: bool = False
    divides_by_weights: bool = False
    n_steps: int = 1
    record_every: int = 1
    losses_at_once: int = 0

    @property
    def trains(self) -> bool:
        """Whether the job computes gradients."""
        return self.mode in (fields.TRAIN, fields.GRADIENT_ONLY)


class Need(NamedTuple):
    """What an array must be: of this dtype, with at least n numbers, or n for each sample."""

    dtype: np.dtype
    n: int
    is_per_sample: bool
    is_written: bool


class Buffers(NamedTuple):
    """Arrays as slices of one array of bytes. Each begins at a cache line, and has a free line after it.

    The address of the bytes plus `offsets` goes to `places` among the job's integers.
    """

    size: int
    slices: tuple[tuple[str, slice, np.dtype], ...]
    places: np.ndarray
    offsets: np.ndarray


@dataclass(frozen=True)
class Layout:
    """Everything about a job except its arrays.

    Attributes
    ----------
    specification : Specification
    options : JobOptions
    packing : Packing
        Where the parameters are in `theta`.
    boundaries : tuple of Boundary
    item_rows : tuple of (int, int, int, bool)
        The items, as `fields.ITEM` describes them.

    The other attributes are described in `fields.JOB`.
    """

    specification: Specification
    options: JobOptions
    packing: Packing
    boundaries: tuple[Boundary, ...]
    item_rows: tuple[tuple[int, int, int, bool], ...]
    tile_rows: int
    n_groups: int
    n_partial_sums: int
    work_size: int
    scratch_at: int
    strips_at: int
    row_sums_at: int
    row_bytes: int
    row_bits_at: int
    column_bits_at: int

    @property
    def dtype(self) -> np.dtype:
        """The network's dtype."""
        return self.specification.dtype

    # --- dimensions in the shapes of `fields.JOB`

    @property
    def n_layers(self) -> int:
        """Layers of the network."""
        return len(self.boundaries) - 1

    @property
    def loss(self) -> int:
        """Code of the loss."""
        return losses.row_of(self.specification.loss_name).code

    @property
    def n_inputs(self) -> int:
        """Columns of X."""
        return self.specification.n_inputs

    @property
    def n_outputs(self) -> int:
        """Columns of Y."""
        return self.specification.n_outputs

    @property
    def n_ordered(self) -> int:
        """Samples that are put in a random order."""
        return self.options.n_samples if self.options.ordering else 0

    @property
    def n_parameters(self) -> int:
        """Numbers of theta."""
        return self.packing.size

    @property
    def n_packed(self) -> int:
        """Numbers of a packed vector."""
        return self.packing.size if self.packing.is_padded else 0

    @property
    def n_gradients(self) -> int:
        """Partial sums of the gradient."""
        return max(1, self.n_groups) * self.n_partial_sums

    @property
    def widest(self) -> int:
        """Numbers of the longest row."""
        return max(padded(n, self.dtype.itemsize) for n in self.specification.layer_sizes)

    @property
    def n_row_losses(self) -> int:
        """Rows whose losses are kept until they are added up."""
        return self.options.n_samples if self.options.mode == fields.LOSS_ONLY else self.options.batch_size

    @property
    def n_shared(self) -> int:
        """Words that the threads of a team share."""
        return shared_words(self.options.n_threads)

    @property
    def n_squares(self) -> int:
        """Rows of all W, if losses contain the penalty."""
        return sum(self.specification.layer_sizes[:-1]) if self.options.as_scikit_learn else 0

    @property
    def n_records(self) -> int:
        """The most losses that a run records: one every `record_every` epochs, and the last one."""
        if self.options.losses_at_once:
            return self.options.losses_at_once
        if self.options.batch_size == 0:
            return 0
        steps = -(-self.options.n_samples // self.options.batch_size)
        epochs = -(-self.options.n_steps // max(1, steps))
        return 1 + epochs // self.options.record_every

    @property
    def n_transposes(self) -> int:
        """Numbers of all W and W^T that are not in theta."""
        spans = [span for boundary in self.boundaries for span in (boundary.W, boundary.WT)]
        return sum(span.size for span in spans if span and span.holder == "transposes")

    @property
    def n_items(self) -> int:
        """Items into which the parameters are divided."""
        return len(self.item_rows)

    @property
    def n_states(self) -> int:
        """State vectors of the optimizer."""
        return RULES[self.options.rule].n_states

    n_generators, n_loss_parameters = 2, 1
    n_rates = 1  # or more: they are counted where they are handed over
    n_hyperparameters = N_HYPERPARAMETERS
    n_step_constants = N_CONSTANTS

    # --- what a job takes from here

    def __getitem__(self, name: str) -> int:
        """Return an integer of the layout, or of its options, by the name in `fields.JOB`."""
        return int(getattr(self if hasattr(self, name) else self.options, name))

    @cached_property
    def needs(self) -> dict[str, "Need"]:
        """What each array must be whose address is in `fields.JOB`."""
        needs = {}
        for name, field in fields.JOB.items():
            if not field.is_address:
                continue
            n = len(fields.RECORDS.get(field.type, "1"))
            for dimension in field.shape:
                n *= 1 if dimension == "n_samples" else self[dimension]
            kind = (
                fields.element_type(field.type) if field.type in fields.RECORDS else field.type.split("*")[0]
            )
            dtype = self.dtype if kind == "own" else np.dtype(kind)
            is_written = fields.KERNEL in field.written_by or self.options.mode in field.written_by
            needs[name] = Need(dtype, n, "n_samples" in field.shape, is_written)
        return needs

    @property
    def _buffer_names(self) -> tuple[str, ...]:
        if self.options.mode == fields.TRAIN:
            return RUN_BUFFERS
        return TRAINING_BUFFERS if self.options.trains else BUFFERS

    @cached_property
    def buffers(self) -> "Buffers":
        """The arrays that a job makes itself."""
        slices, places, offsets, at = [], [], [], 0
        for name in self._buffer_names:
            need = self.needs[name]
            size = need.n * need.dtype.itemsize
            slices.append((name, slice(at, at + size), need.dtype))
            pointers = [(fields.place_in_job(name), 0), *self.pointers.get(name, [])]
            places += [place for place, _ in pointers]
            offsets += [at + element * need.dtype.itemsize for _, element in pointers]
            at += up(size, LINE) + LINE
        return Buffers(at, tuple(slices), np.array(places), np.array(offsets))

    @cached_property
    def pointers(self) -> dict[str, list[tuple[int, int]]]:
        """For each array, the places of integers that point into it, and the elements to which they point."""
        found: dict[str, list[tuple[int, int]]] = {}
        for number, boundary in enumerate(self.boundaries):
            for name in ("W", "b", "WT"):
                span = getattr(boundary, name)
                if span is None:
                    continue
                size = self.needs[span.holder].n
                if not 0 <= span.at <= span.at + span.size <= size:
                    raise TypeError(
                        f"{name} of boundary {number} cannot point to elements {span.at} to "
                        f"{span.at + span.size} of {span.holder}, which has {size}"
                    )
                found.setdefault(span.holder, []).append((fields.place_in_job(name, number), span.at))
        return found

    @cached_property
    def start(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The first integers of a job, most addresses 0, and arrays that nobody writes to.

        Jobs share these arrays. The integers hold their addresses, so both are one value: if two threads come
        here at once, neither may get its arrays with the integers of the other.
        """
        common = {
            "zeros": aligned_zeros(self.widest, self.dtype),
            "loss_parameters": np.array([losses.level_of(self.specification.loss_name)]),
        }
        if self.options.trains:
            common["items"] = np.array(self.item_rows, np.int64).reshape(-1)
        first = {"n_threads": self.options.n_threads, "chunk_rows": self.options.batch_size, "n_rates": 1}
        integers = [
            self[name] if fields.LAYOUT in field.written_by and not field.is_address else first.get(name, 0)
            for name, field in fields.JOB.items()
        ]
        for boundary in self.boundaries:
            integers += [
                0 if field.is_address else getattr(boundary, name) for name, field in fields.BOUNDARY.items()
            ]
        for name, array in common.items():
            array.flags.writeable = False
            integers[fields.place_in_job(name)] = address_of(array)
            for place, element in self.pointers.get(name, ()):
                integers[place] = address_of(array) + element * array.itemsize
        return np.array(integers, np.int64), common


def is_read_in_place(X: np.ndarray, dtype: np.dtype) -> bool:
    """Whether a kernel can read rows of X in place: it has the network's dtype and unit stride."""
    return bool(X.dtype == dtype and (X.strides[1] == X.itemsize or X.shape[1] == 1))


def make_layout(
    specification: Specification, options: JobOptions, limits: division.Limits | None = None
) -> Layout:
    """Return the layout of a job. Layouts are cached: equal arguments give the same one.

    Parameters
    ----------
    specification : Specification
    options : JobOptions
    limits : Limits, optional
        `division.LIMITS` by default.
    """
    return _make_layout(specification, options, limits or division.LIMITS)


@lru_cache(maxsize=64)
def _make_layout(specification: Specification, options: JobOptions, limits: division.Limits) -> Layout:
    itemsize = specification.dtype.itemsize
    if options.trains:
        packing = Packing.padded(specification, transposed=ALWAYS if options.transposed else IF_SMALLER)
        fuses = options.mode == fields.TRAIN and not (options.sequential or options.clips)
        tile, groups, sums = divide_rows(
            specification, packing, options.batch_size, options.sequential, fuses, limits
        )
        items = divide_parameters(packing, itemsize, options.trains_biases, groups > 0, limits)
        largest = max(
            rows * packing.layers[layer].row + takes_b * packing.layers[layer].b_size
            for layer, _, rows, takes_b in items
        )
        strips = max(
            strip_numbers(rows, up(packing.layers[layer].n_columns, lanes(itemsize)), tile, itemsize)
            for layer, _, rows, _ in items
        )
    else:
        packing = Packing.padded(specification) if options.pads else Packing.as_theta(specification)
        items, largest, strips = (), 0, 0
        tile, groups, sums = division.evaluated_rows(specification, limits), 0, 0
    boundaries, area = _boundaries(specification, packing, tile, options)
    n = lanes(itemsize)
    row_sums_at = area.room(up(tile, ROWS_TOGETHER) + ROWS_TOGETHER)
    scratch_at = area.room(max(largest, block_numbers(specification.n_outputs, n)))
    strips_at = area.room(strips)
    n_inputs, n_neurons, *_ = specification.layer_sizes
    row_bytes = bytes_of_bits(n_inputs, n_neurons, itemsize)
    row_bits_at = area.room(up(tile, ROWS_TOGETHER) * row_bytes // itemsize)
    column_bits_at = area.room(up(tile, BLOCK) * row_bytes // itemsize * options.trains)
    return Layout(
        specification=specification,
        options=options,
        packing=packing,
        boundaries=boundaries,
        item_rows=items,
        tile_rows=tile,
        n_groups=groups,
        n_partial_sums=sums,
        work_size=area.size,
        scratch_at=scratch_at,
        strips_at=strips_at,
        row_sums_at=row_sums_at,
        row_bytes=row_bytes,
        row_bits_at=row_bits_at,
        column_bits_at=column_bits_at,
    )


def _boundaries(
    specification: Specification, packing: Packing, tile: int, options: JobOptions
) -> tuple[tuple[Boundary, ...], Area]:
    """Return the boundaries, and a work area with their arrays for a tile."""
    gathers, backward = not options.X_in_place, options.mode != fields.PREDICT
    itemsize = specification.dtype.itemsize
    area, rows, loss = Area(itemsize), up(tile, ROWS_TOGETHER), losses.row_of(specification.loss_name).code
    names = (None, *specification.hidden_activations, specification.output_activation)
    copies = options.trains and not options.transposed
    layers: list[dict[str, Any]] = [*_layers(packing, itemsize, copies), {}]
    boundaries = []
    for number, (size, name) in enumerate(zip(specification.layer_sizes, names, strict=True)):
        row = padded(size, itemsize)
        if name is None:
            a_at = area.room(rows * row) if gathers else 0
            boundaries.append(Boundary(size, 0, row if gathers else size, a_at, 0, 0, 0, 0, **layers[0]))
            continue
        code, is_last = activations.CODES[name], number == len(packing.layers)
        a_at = area.room(rows * row)
        keeps_z = backward and (code in NEED_Z or (is_last and loss in FROM_Z))
        z_at = area.room(rows * row) if keeps_z else a_at
        delta_at = area.room(rows * row) if backward else 0
        dropped_at, mask_at = (
            (area.room(rows * row), area.room(rows * row)) if options.drops and not is_last else (0, 0)
        )
        boundaries.append(
            Boundary(size, code, row, a_at, z_at, delta_at, dropped_at, mask_at, **layers[number])
        )
    return tuple(boundaries), area


def _layers(packing: Packing, itemsize: int, copies: bool) -> list[dict[str, Any]]:
    """Return the fields of boundaries that describe the layers that begin there.

    With `copies`, layers behind the first have both W and W^T: the one that is not in theta is a copy.
    """
    found: list[dict[str, Any]] = []
    at = 0
    for number, layer in enumerate(packing.layers):
        b = Span("theta", layer.b_at, layer.b_size) if packing.has_bias else Span("zeros", 0, layer.n_out)
        packed, copy = ("WT", "W") if layer.is_transposed else ("W", "WT")
        of_layer: dict[str, Any] = {
            packed: Span("theta", layer.W_at, layer.W_size),
            f"{packed}_row": layer.row,
            "W_at": layer.W_at,
            "packed_row": layer.row,
            "is_transposed": layer.is_transposed,
            "b": b,
            "b_at": layer.b_at,
        }
        if copies and number > 0:
            row = padded(layer.n_rows, itemsize)
            size = up(layer.n_columns, lanes(itemsize)) * row
            of_layer |= {copy: Span("transposes", at, size), f"{copy}_row": row}
            at += size
        found.append(of_layer)
    return found
