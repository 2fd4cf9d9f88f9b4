"""How a batch is divided into tiles and groups, and the parameters into items.

This depends on the network, the batch and the options. It does not depend on the number of threads.
"""

from dataclasses import dataclass

from fastbp import simd
from fastbp.engine.packed_vectors import Packing, up
from fastbp.kernels.layered import SUMMED_ROWS
from fastbp.kernels.product import padded
from fastbp.specification import Specification

WORTH_A_THREAD = 1e6
"""Multiplications between two barriers from which on another thread pays."""

ACTIVATION_WORK = 16
"""How many multiplications take as long as a slow activation."""


@dataclass(frozen=True)
class Limits:
    """What decides how rows and parameters are divided.

    Attributes
    ----------
    tile_bytes : int
        The most memory for the activations and deltas of a small tile, which stays in the L2 cache of a core
        through all phases.
    smallest_tile : int
        The fewest rows of a small tile.
    large_tile : int
        Rows of a large tile, on which all threads of a team work. It is streamed through the caches.
    large_tile_work, shortest_large_tile : float, int
        A large tile has fewer rows if it would take more than some 0.05 s, in float64 on a core with AVX2: a
        step can be left only between tiles.
    near_bytes, far_tile : int
        If the parameters take more than `near_bytes`, they are not in the L2 cache of a core. A tile of an
        evaluation then has `far_tile` rows, so that they are read fewer times.
    n_groups, group_work : int, float
        The most groups of a batch, and the multiplications that a group has at least: its gradient is stored
        and then added to those of the others, which takes time. 64-100-10 on 200 rows in float64 took 224 us
        on one thread with 16 groups, and 176 with 4; 20-64-64-2 on 128 rows took 75 with 16, and 55 with 2.
        A group of 50 rows as one tile, and not as 32 and 18, makes a fit to digits 4 % faster, where inputs
        that are 0 are left out (`fastbp.kernels.nonzero`), and other fits no slower.
    group_bytes : int
        The most memory for the gradients of all groups. If they need more, there are large tiles instead.
    item_bytes, item_rows : int
        An item has at least `item_rows` rows of a W, and about `item_bytes` bytes if the rows are short.
        Items of 32, 64 and 128 rows take the same time on one thread. 784-128-10 has 7 items of 128 rows,
        and 17 of 48: work for more threads.
    few_rows, few_bytes : int
        The same where there are groups, and thus few parameters. An item of 128 rows of 64-100-10 was 80 % of
        all parameters, so that only one thread had work.
    """

    tile_bytes: int = 64 * 1024
    smallest_tile: int = 32
    large_tile: int = 1024
    large_tile_work: float = 3e8
    shortest_large_tile: int = 256
    near_bytes: int = 2**18
    far_tile: int = 128
    n_groups: int = 16
    group_work: float = WORTH_A_THREAD
    group_bytes: int = 2**21
    item_bytes: int = 16 * 1024
    item_rows: int = 48
    few_rows: int = 16
    few_bytes: int = 4096


LIMITS = Limits()


def row_work(specification: Specification) -> int:
    """Return the cost of the forward pass of a row, in multiplications."""
    return specification.n_multiplications + ACTIVATION_WORK * sum(specification.layer_sizes[1:])


def cached_rows(specification: Specification, limits: Limits) -> int:
    """Return the rows of a small tile: it stays in the L2 cache through forward and backward pass."""
    sizes = [padded(n, specification.dtype.itemsize) for n in specification.layer_sizes]
    row_bytes = (sizes[0] + 2 * sum(sizes[1:])) * specification.dtype.itemsize
    return max(limits.smallest_tile, limits.tile_bytes // row_bytes // 16 * 16)


def evaluated_rows(specification: Specification, limits: Limits) -> int:
    """Return the rows of a tile of an evaluation. There are more if the parameters are read from far away."""
    is_far = specification.n_parameters * specification.dtype.itemsize > limits.near_bytes
    return max(cached_rows(specification, limits), limits.far_tile if is_far else 0)


def divide_parameters(
    packing: Packing, itemsize: int, biases: bool, has_groups: bool, limits: Limits
) -> tuple[tuple[int, int, int, bool], ...]:
    """Return the items into which the parameters are divided.

    A small W and its b are one item: what an item costs besides its numbers is a quarter of a step of 4-10-3.
    """
    items = []
    lanes = simd.lanes(itemsize)
    least, size = (limits.few_rows, limits.few_bytes) if has_groups else (limits.item_rows, limits.item_bytes)
    for number, layer in enumerate(packing.layers):
        rows = max(least, size // (layer.row * itemsize) // 16 * 16)
        is_dense = layer.row == up(layer.n_columns, lanes) and layer.b_size == up(layer.n_out, lanes)
        takes_b = biases and layer.n_rows <= rows and is_dense
        for first in range(0, layer.n_rows, rows):
            items.append((number, first, min(rows, layer.n_rows - first), takes_b))
        if biases and not takes_b:
            items.append((number, -1, 1, False))
    return tuple(items)


def divide_rows(
    specification: Specification,
    packing: Packing,
    batch_size: int,
    sequential: bool,
    fuses: bool,
    limits: Limits,
) -> tuple[int, int, int]:
    """Return the rows of a tile, the number of groups, and the partial sums of each group or of the team.

    `fuses` says that the gradient of a batch of one tile is not stored: the update takes it at once.
    """
    cached, groups = cached_rows(specification, limits), 0
    if sequential:
        tile = batch_size
    elif (
        batch_size > cached
        and limits.n_groups * packing.size * specification.dtype.itemsize <= limits.group_bytes
    ):
        worthwhile = int(3 * batch_size * specification.n_multiplications / limits.group_work)
        groups = max(1, min(limits.n_groups, worthwhile))
        rows = -(-batch_size // groups)
        # One tile instead of two: the second would go on with the sums of the first, so no bit changes.
        tile = rows if rows <= 2 * cached else cached
    else:
        large = max(limits.shortest_large_tile, int(limits.large_tile_work / row_work(specification)))
        tile = min(batch_size, max(min(limits.large_tile, large), cached))
    if fuses and not groups and batch_size <= tile:
        return tile, groups, 0
    rows = -(-batch_size // groups) if groups else batch_size
    tiles = -(-rows // (SUMMED_ROWS if sequential else tile))
    return tile, groups, tiles.bit_length()
