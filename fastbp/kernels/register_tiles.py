"""Register tiles: some rows by some vectors of a product, which stay in registers while it adds up terms."""

from numba.core import cgutils

from fastbp.processor import N_REGISTERS

TILE_VECTORS = 3
TILE_ROWS = (
    {1: (16, 8, 4, 2, 1), 2: (8, 4, 2, 1), 3: (8, 4, 2, 1)}
    if N_REGISTERS == 32
    else {1: (8, 4, 2, 1), 2: (6, 4, 2, 1), 3: (4, 2, 1)}
)
"""The rows that a register tile may have, for each number of its vectors, largest first.

Its sums take up to 24 of 32 registers, or 12 of 16; the vectors of B need some, and A is a memory operand.
Two multiply-adds begin in a cycle, and each takes 4 or 5: fewer than 10 sums wait for each other. With 4 rows
instead of 6, a product with two vectors a row takes a fifth longer on a Zen 2.
"""


def emit_tiles(builder, m, heights, fits, tile):
    """Emit register tiles, as many of each height as fit, and then those of the next one.

    ``fits(first, rows)`` emits whether a tile may begin at row `first`; ``tile(first, rows)`` emits the tile.
    m is the number of all rows.
    """
    row = cgutils.alloca_once_value(builder, m.type(0))
    for rows in heights:
        check = builder.append_basic_block(f"rows{rows}")
        body = builder.append_basic_block(f"rows{rows}.body")
        after = builder.append_basic_block(f"rows{rows}.end")
        builder.branch(check)
        builder.position_at_end(check)
        first = builder.load(row)
        builder.cbranch(fits(first, rows), body, after)
        builder.position_at_end(body)
        tile(first, rows)
        builder.store(builder.add(first, m.type(rows)), row)
        builder.branch(check)
        builder.position_at_end(after)
