"""How the rows of a step and the parameters are divided: into tiles, groups and items.

It depends on the network, the batch and the options, and not on the number of threads.
"""

from dataclasses import dataclass

from fastbp.engine.packed_vectors import Packing
from fastbp.kernels.layered import SUMMED_ROWS
from fastbp.kernels.product import padded
from fastbp.specification import Specification

ACTIVATION_WORK = 16
"""Multiplications that take as long as a slow activation."""


@dataclass(frozen=True)
class Limits:
    """What decides how rows and parameters are divided.

    Attributes
    ----------
    tile_bytes : int
        What a tile's activations and deltas may take where rows go through all phases in one core's L2 cache.
    smallest_tile : int
        Rows of such a tile at least.
    large_tile : int
        Rows of a tile that a team shares, and that is streamed through the caches anyway.
    large_tile_work, shortest_large_tile : float, int
        Such a tile has fewer rows where they would take over some 0.05 s, in float64 on a core with AVX2: a
        step is left between tiles only.
    n_groups : int
        Groups of rows, whose gradients are added: as many as threads can share.
    group_bytes : int
        What the gradients of all groups may take: else, a team shares each tile.
    item_bytes, item_rows : int
        An item of the update has so many rows of a W, or more if they are short.
    """

    tile_bytes: int = 64 * 1024
    smallest_tile: int = 32
    large_tile: int = 1024
    large_tile_work: float = 3e8
    shortest_large_tile: int = 256
    n_groups: int = 16
    group_bytes: int = 2**21
    item_bytes: int = 16 * 1024
    item_rows: int = 128


LIMITS = Limits()


def row_work(specification: Specification) -> int:
    """Return what a row's forward pass costs, in multiplications."""
    return specification.n_multiplications + ACTIVATION_WORK * sum(specification.layer_sizes[1:])


def cached_rows(specification: Specification, limits: Limits) -> int:
    """Return how many rows of a tile stay in the L2 cache, on their way forward and backward."""
    sizes = [padded(n, specification.dtype.itemsize) for n in specification.layer_sizes]
    row_bytes = (sizes[0] + 2 * sum(sizes[1:])) * specification.dtype.itemsize
    return max(limits.smallest_tile, limits.tile_bytes // row_bytes // 16 * 16)


def divide_parameters(
    packing: Packing, itemsize: int, biases: bool, limits: Limits
) -> tuple[tuple[int, int, int], ...]:
    """Return the items that the parameters are divided into."""
    items = []
    for number, layer in enumerate(packing.layers):
        rows = max(limits.item_rows, limits.item_bytes // (layer.row * itemsize) // 16 * 16)
        items += [(number, first, min(rows, layer.n_in - first)) for first in range(0, layer.n_in, rows)]
        if biases:
            items.append((number, -1, 1))
    return tuple(items)


def divide_rows(
    specification: Specification,
    packing: Packing,
    batch_size: int,
    sequential: bool,
    fuses: bool,
    limits: Limits,
) -> tuple[int, int, int]:
    """Return the rows of a tile, the groups, and the partial sums that a group, or the team, has.

    `fuses` says that the update consumes the gradient of a step that is one tile, which is not stored.
    """
    cached, groups = cached_rows(specification, limits), 0
    if sequential:
        tile = batch_size
    elif (
        batch_size > cached
        and limits.n_groups * packing.size * specification.dtype.itemsize <= limits.group_bytes
    ):
        groups, tile = limits.n_groups, cached
    else:
        large = max(limits.shortest_large_tile, int(limits.large_tile_work / row_work(specification)))
        tile = min(batch_size, max(min(limits.large_tile, large), cached))
    if fuses and not groups and batch_size <= tile:
        return tile, groups, 0
    rows = -(-batch_size // groups) if groups else batch_size
    tiles = -(-rows // (SUMMED_ROWS if sequential else tile))
    return tile, groups, tiles.bit_length()
