"""Products A^T B for the gradients of large layers: what comes after them is asked for on the way.

An update follows, which reads and writes the parameters and the optimizer's states. Where these are not in
the cache of the core, this would wait for memory. So a product asks for their lines while it multiplies.
Besides, a large A^T is copied to strips first.

Legend as in `fastbp.kernels.product`; an element is the same chain of multiply-adds as there.
"""

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastbp._jit import helper, routine
from fastbp.kernels.product import BLOCK_ROWS, USUAL_ROWS, emit_panel, product_of_columns
from fastbp.kernels.register_tiles import TILE_VECTORS
from fastbp.memory import LINE
from fastbp.processor import WIDTH
from fastbp.simd import Vec, emit_prefetch, lanes, load, shifted, store, wide

LEAST_VECTORS, SHORTEST_STRIP = 32, 64
"""The fewest vectors in a row of C, and numbers in a row of A, from which on copying A^T in strips pays."""

ASKED_BYTES, FEWEST_ASKING, LEAST_TERMS = 2**17, 5, 32
"""The least memory of all parameters, and the fewest vectors in a row of C and terms of a sum, with which a
product asks for what will be updated. Fewer parameters stay in an L2 cache."""


@intrinsic(prefer_literal=True)
def _asking(typing, m, k, a, a_tile, a_k, b, b_row, b_next, init, init_row, c, c_row, soon, vectors, packed):
    """Compute `vectors` vectors of every row of C; with every tile, ask for as many lines at each of `soon`.

    m is a multiple of `USUAL_ROWS`. `packed`, a literal, is 1 if A is the strips of `strip_product`. Then the
    next panel of B is asked for as well.
    """
    vec = Vec(c.dtype, lanes(c.dtype.bitwidth // 8))

    def generate(context, builder, signature, arguments):
        m, k, a, a_tile, a_k, b, b_row, b_next, init, init_row, c, c_row, soon, *_ = arguments
        intp, columns = m.type, vectors.literal_value
        lines = USUAL_ROWS * columns * WIDTH // LINE

        def ask(first, part):
            tiles = builder.sdiv(first, intp(USUAL_ROWS))
            line = builder.add(builder.mul(tiles, intp(lines)), part)
            number = builder.mul(line, intp(LINE * 8 // vec.element.bitwidth))
            for address in cgutils.unpack_tuple(builder, soon):
                emit_prefetch(builder, builder.gep(address, [number]), to_write=True)

        numbers = (m, k, a_tile, intp(1), a_k, b_row, init_row, c_row)
        heights, addresses = (USUAL_ROWS,), (a, b, init, c)
        b_next = b_next if packed.literal_value else None
        return emit_panel(
            context, builder, vec, numbers, addresses, heights, columns, b_next, ask, parts=lines
        )

    size = types.intp
    given = (size, size, a, size, size, b, size, b, init, size, c, size, soon, vectors, packed)
    return types.void(*given), generate


@helper
def in_strips(n, k, c):
    """Whether `strip_product` is faster than `product_of_columns`, for C at the address `c`."""
    return n >= LEAST_VECTORS * wide(c) and k >= SHORTEST_STRIP


@routine
def strip_product(m, n, k, a, a_k, b, b_row, init, init_row, c, c_row, strips, soon):
    """Do what `product_of_columns` does, with a copy of A in strips of the rows of a register tile.

    `strips` is memory for `strip_numbers` of the sizes. It asks for `soon`, see `asking_panels`.

    A column of such a tile is only part of a cache line, and the next column is in another page. GFLOP/s on
    one core of a Zen 2 (peak 97 in float32, 49 in float64), without and with strips: 128 x 200 x 512 of 512
    columns in float64 43 and 49, of 128 x 256 x 1024 38 and 47, in float32 87 and 97. Rejected: asking for
    the columns of A ahead (5 to 15 % slower).
    """
    rows = m // USUAL_ROWS * USUAL_ROWS
    if rows < m:
        a_at, init_at, c_at = shifted(a, rows), shifted(init, rows * init_row), shifted(c, rows * c_row)
        product_of_columns(m - rows, n, k, a_at, a_k, b, b_row, init_at, init_row, c_at, c_row)
    n_blocks = (k + BLOCK_ROWS - 1) // BLOCK_ROWS
    block = (k + n_blocks - 1) // n_blocks
    for i in range(0, k, block):
        there, b_at = min(block, k - i), shifted(b, i * b_row)
        copy_strips(rows, there, shifted(a, i * a_k), a_k, strips)
        strip_panels(rows, n, there, strips, b_at, b_row, init, init_row, c, c_row, soon)
        init, init_row = c, c_row


@routine
def strip_panels(m, n, k, strips, b, b_row, init, init_row, c, c_row, soon):
    """Multiply strips with B; m is a multiple of `USUAL_ROWS`, and n of at least two vectors."""
    asking_panels(m, n, k, strips, k, USUAL_ROWS, b, b_row, init, init_row, c, c_row, soon, 1)


@routine
def asking_product(m, n, k, a, a_k, b, b_row, init, init_row, c, c_row, soon):
    """Do what `product_of_columns` does, with rows of at least two vectors, and ask for `soon`."""
    rows = m // USUAL_ROWS * USUAL_ROWS
    if rows < m:
        a_at, init_at, c_at = shifted(a, rows), shifted(init, rows * init_row), shifted(c, rows * c_row)
        product_of_columns(m - rows, n, k, a_at, a_k, b, b_row, init_at, init_row, c_at, c_row)
    asking_panels(rows, n, k, a, 1, a_k, b, b_row, init, init_row, c, c_row, soon, 0)


@helper
def asks_ahead(n, k, n_parameters, c):
    """Whether `asking_product` is faster than `product_of_columns`, for n_parameters of the type at `c`."""
    return (
        n >= FEWEST_ASKING * wide(c) and k >= LEAST_TERMS and n_parameters * (WIDTH // wide(c)) >= ASKED_BYTES
    )


@helper
def asking_panels(m, n, k, a, a_tile, a_k, b, b_row, init, init_row, c, c_row, soon, packed):
    """Multiply panel by panel, and ask for the lines of `soon` evenly: they arrive while it multiplies.

    `soon` has three addresses of as many numbers as C has, which are updated soon afterwards.

    Without that, the update waits for memory. On a Zen 5, Adam took 845 us of a step of 1024-1024-1024-10 in
    float32, and takes 484 with it, while the product takes no longer. Each line is asked for as one that will
    be written: another core may have it, and would be asked a second time. With two threads, a step of
    784-512-512-10 takes 1,040 us and took 1,270 without that, and one of 784-128-10 136 and 189, while lines
    passed slowly from core to core; otherwise 897 and 922, 122 and 124. With one thread, nothing changes.
    """
    j, step = 0, wide(c)
    while j < n:
        left = (n - j) // step
        vectors = 2 if left == 4 else min(left, TILE_VECTORS)  # never one alone
        b_at, init_at, c_at = shifted(b, j), shifted(init, j), shifted(c, j)
        b_next = shifted(b, j + vectors * step if vectors < left else 0)
        at = (shifted(soon[0], m * j), shifted(soon[1], m * j), shifted(soon[2], m * j))
        if vectors == 3:
            _asking(m, k, a, a_tile, a_k, b_at, b_row, b_next, init_at, init_row, c_at, c_row, at, 3, packed)
        else:
            _asking(m, k, a, a_tile, a_k, b_at, b_row, b_next, init_at, init_row, c_at, c_row, at, 2, packed)
        j += vectors * step


@routine
def copy_strips(m, k, a, a_k, strips):
    """Copy A to strips of `USUAL_ROWS` rows, column by column; m is a multiple of that."""
    for i in range(0, m, USUAL_ROWS):
        for p in range(k):
            store(strips, i * k + p * USUAL_ROWS, load(a, i + p * a_k, USUAL_ROWS))


def strip_numbers(m: int, n: int, k: int, itemsize: int) -> int:
    """Return how many numbers `strip_product` needs memory for, where it is faster."""
    pays = n >= LEAST_VECTORS * lanes(itemsize) and k >= SHORTEST_STRIP
    return m * min(k, BLOCK_ROWS) if pays else 0
