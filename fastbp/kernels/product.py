"""Matrix products inside kernels, on addresses: C = init + A B. Sums run from the first term to the last.

A register tile of C, some rows by some vectors, stays in registers while k runs. A is broadcast element by
element, so it may have any strides. B and C are rows of whole vectors. Neither A nor B is packed: arrays of a
kernel begin at cache lines, and the distance between their rows (`padded`) keeps the rows from falling into
the same sets of a cache. (`fastbp.kernels.gradient_product` has what is different for gradients.)

An element of C is the same chain of fused multiply-adds in every register tile. So its bits do not depend on
how the rows are divided among threads.

GFLOP/s on one core of a Zen 5 at 4.15 GHz (peak 266 in float32, 133 in float64), and those of SciPy's
OpenBLAS 0.3.30 with its kernels for AVX-512, called from Python, which adds some 0.3 us:

=================  =======  ========  =======  ========
m x k x n          float32  OpenBLAS  float64  OpenBLAS
=================  =======  ========  =======  ========
32 x 20 x 64           242       112      117        74
32 x 64 x 64           255       181      126       106
1250 x 16 x 32         228       225      123       117
128 x 784 x 128        251       196      126        89
128 x 784 x 512        252       229      124        93
256 x 1024 x 1024      249       241      121        93
=================  =======  ========  =======  ========

Where rows of B are far apart, every register tile asks for some of the next panel's (`_far_panel`). A step of
1024-1024-1024-10 on 256 rows then takes 0.88 to 0.93 times as long on a Zen 5, one of width 2048 0.79.

Rejected: dividing the rows of A for the caches (B is then streamed once more for each block); packing B into
panels on the way (25 % slower for 16 rows of A); rows that are aligned to 16 bytes (100 instead of 126 in
float64); rows that are not padded (186 instead of 260 for the largest product).
"""

from functools import partial

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastbp._jit import helper, routine
from fastbp.kernels.register_tiles import TILE_ROWS, TILE_VECTORS, emit_tiles
from fastbp.memory import LINE
from fastbp.processor import WIDTH
from fastbp.simd import (
    Vec,
    emit_fma,
    emit_prefetch,
    emit_splat,
    first_lanes,
    lanes,
    shifted,
    store,
    wide,
    wide_load,
    wide_splat,
)

SMALL_HEIGHTS, MOST_SMALL_ROWS = {1: (8, 4, 3, 2, 1), 2: (4, 3, 2, 1)}, 8
"""The rows that a register tile of `product_and_sum` may have, by the number of its vectors; and C itself."""

USUAL_ROWS = TILE_ROWS[TILE_VECTORS][0]
"""Rows of most register tiles. Threads take multiples of this number."""

BLOCK_ROWS = 512 if WIDTH == 64 else 256
"""The most rows of B that are multiplied at a time, if they are far apart and more than twice as many.

Three vectors of each stay in an L1 cache of 32 KiB, or in an L2 cache if vectors have 64 bytes. C is read and
written once more for each block. With 256 rows instead of 512, large networks take 1 to 2 % more time on a
Zen 5 with vectors of 64 bytes, and 1 % less with those of 32.
"""

FAR_BYTES, FEW_ROWS_OF_B = 512, 300
"""Rows at this distance or more are far apart; with fewer of them than this, a panel stays in an L1 cache.

Where rows fall into the same sets of the cache, as in a theta that is not padded, what was asked for is gone
again when it is needed: predictions of 1024-1024-1024-10 took 34 ms instead of 20.
"""

ALIASING_BYTES = 1024
"""Rows at this distance, or a multiple of it, fall into the same sets of an L1 cache."""


def padded(n: int, itemsize: int) -> int:
    """Return the distance between rows of n numbers: whole vectors, and no multiple of `ALIASING_BYTES`.

    It is at least four numbers, since narrow networks load them as one vector.
    """
    step = max(4, lanes(itemsize))
    distance = -(-n // step) * step
    return distance + step if distance * itemsize % ALIASING_BYTES == 0 else distance


@helper
def whole_vectors(n, address):
    """Return n rounded up to whole vectors of the type at `address`."""
    return (n + wide(address) - 1) // wide(address) * wide(address)


@helper
def clear_beyond(a, size, n):
    """Set the numbers at `a` from number `size` to n, whole vectors, to 0, so that their weights stay 0."""
    if size < n:
        last = n - wide(a)
        store(a, last, first_lanes(size - last, wide_load(a, last), wide_splat(0.0, a)))


def _divided_up(builder, x, y):
    return builder.sdiv(builder.sub(builder.add(x, y), x.type(1)), y)


def _emit_terms(builder, k, multiply, n_rows, rows_asked, ask, parts):
    """Emit the loop over the k terms of a tile's sums.

    If anything is to be asked for, the loop is divided into parts: as many as the tile has rows of B's next
    panel to ask for (`n_rows`), or `parts` if there is `ask`.
    """
    if rows_asked is None and ask is None:
        with cgutils.for_range(builder, k) as loop:
            multiply(loop.index)
        return
    n_parts = n_rows if ask is None else k.type(parts)
    terms, rows_at_once = _divided_up(builder, k, n_parts), _divided_up(builder, n_rows, n_parts)
    with cgutils.for_range(builder, n_parts) as part:
        if ask is not None:
            ask(part.index)
        if rows_asked is not None:
            ask_for_row, first_row = rows_asked
            if ask is None:
                ask_for_row(builder.add(first_row, part.index))
            else:
                start = builder.add(first_row, builder.mul(part.index, rows_at_once))
                with cgutils.for_range(builder, rows_at_once) as row:
                    ask_for_row(builder.add(start, row.index))
        start = builder.mul(part.index, terms)
        stop = builder.add(start, terms)
        stop = builder.select(builder.icmp_signed("<", stop, k), stop, k)
        with cgutils.for_range_slice(builder, start, stop, k.type(1)) as (i, _):
            multiply(i)


def emit_panel(
    context, builder, vec, numbers, addresses, heights, columns, b_next=None, ask=None, parts=1, summed=None
):
    """Emit the code for `columns` vectors of every row of C, one register tile after the other.

    Parameters
    ----------
    context, builder, vec
        Numba's, and the type of a vector.
    numbers : tuple
        m, k, and the distances: from the first number of A for a row to that for the next one, if both begin
        a tile, and if not; between columns of A; between rows of B, init and C.
    addresses : tuple
        Of A, B, init and C.
    heights : tuple of int
        The rows that a tile may have, largest first.
    columns : int
    b_next : optional
        The address of the next panel of B. Every tile asks for some of its rows, evenly.
    ask : function, optional
        Takes the first row of a tile and the number of a part of its loop over k, and emits what may ask for
        more.
    parts : int
        The parts of that loop.
    summed : tuple, optional
        The address of k rows, the distance between them, an address for their sum, and the vectors of a row.
        Every tile adds them up.
    """
    m, k, a_tile, a_row, a_k, b_row, init_row, c_row = numbers
    a, b, init, c = addresses
    vector, count = context.get_value_type(vec), vec.lanes
    bits = vec.element.bitwidth
    intp, align = m.type, bits // 8

    def at(pointer, row, row_distance, v):
        offset = builder.add(builder.mul(row, row_distance), intp(v * count))
        return builder.bitcast(builder.gep(pointer, [offset]), vector.as_pointer())

    def tile(first, rows):
        numbers = [builder.add(first, intp(r)) for r in range(rows)]
        sums = [[cgutils.alloca_once(builder, vector) for _ in range(columns)] for _ in range(rows)]
        for row, of_row in zip(numbers, sums, strict=True):
            for v, total in enumerate(of_row):
                builder.store(builder.load(at(init, row, init_row, v), align=align), total)
        start_of_tile = builder.mul(first, a_tile)
        starts = [builder.add(start_of_tile, builder.mul(intp(r), a_row)) for r in range(rows)]

        if summed:
            e, e_row, e_out, e_columns = summed
            sums_of_e = [cgutils.alloca_once(builder, vector) for _ in range(e_columns)]
            for v, total in enumerate(sums_of_e):
                builder.store(builder.load(at(init, intp(0), init_row, v), align=align), total)

        def multiply(i):
            if summed:
                for v, total in enumerate(sums_of_e):
                    more = builder.load(at(e, i, e_row, v), align=align)
                    builder.store(builder.fadd(builder.load(total), more), total)
            loaded = [builder.load(at(b, i, b_row, v), align=align) for v in range(columns)]
            column = builder.gep(a, [builder.mul(i, a_k)])
            for start, of_row in zip(starts, sums, strict=True):
                factor = emit_splat(builder, builder.load(builder.gep(column, [start])), vector)
                for right, total in zip(loaded, of_row, strict=True):
                    builder.store(emit_fma(builder, vec, factor, right, builder.load(total)), total)

        def ask_for_row(row):
            for number in range(0, columns * count, LINE * 8 // bits):
                place = builder.add(builder.mul(row, b_row), intp(number))
                emit_prefetch(builder, builder.gep(b_next, [place]))

        n_asked = _divided_up(builder, builder.mul(k, intp(rows)), m)
        rows_asked = None if b_next is None else (ask_for_row, builder.sdiv(builder.mul(first, k), m))
        asked = None if ask is None else partial(ask, first)
        _emit_terms(builder, k, multiply, n_asked, rows_asked, asked, parts)
        place = builder.gep(c, [builder.mul(first, c_row)])
        for r, of_row in enumerate(sums):
            for v, total in enumerate(of_row):
                builder.store(builder.load(total), at(place, intp(0), c_row, v), align=align)
            if r < rows - 1:
                place = builder.gep(place, [c_row])
        if summed:
            for v, total in enumerate(sums_of_e):
                builder.store(builder.load(total), at(e_out, intp(0), e_row, v), align=align)

    def fits(first, rows):
        within = builder.icmp_signed("<=", builder.add(first, intp(rows)), m)
        if rows != 6:
            return within
        return builder.and_(within, builder.icmp_signed("!=", builder.add(first, intp(8)), m))  # not 6 + 2

    emit_tiles(builder, m, heights, fits, tile)
    return context.get_dummy_value()


@intrinsic(prefer_literal=True)
def _panel(typing, m, k, a, a_row, a_k, b, b_row, init, init_row, c, c_row, vectors):
    """Compute `vectors` vectors, a literal, of every row of C."""
    vec = Vec(c.dtype, lanes(c.dtype.bitwidth // 8))

    def generate(context, builder, signature, arguments):
        m, k, a, a_row, a_k, b, b_row, init, init_row, c, c_row, _ = arguments
        numbers, columns = (m, k, a_row, a_row, a_k, b_row, init_row, c_row), vectors.literal_value
        return emit_panel(context, builder, vec, numbers, (a, b, init, c), TILE_ROWS[columns], columns)

    size = types.intp
    return types.void(size, size, a, size, size, b, size, init, size, c, size, vectors), generate


@intrinsic(prefer_literal=True)
def _far_panel(typing, m, k, a, a_row, a_k, b, b_row, b_next, init, init_row, c, c_row, vectors):
    """Do what `_panel` does, and ask for the rows of B's next panel, at `b_next`.

    No processor fetches a row by itself that is a page away from the one before. If the first tile of a panel
    had to fetch them all, the memory would be too slow for it: so every tile asks for its share. If each
    asked instead for the row of B that it needs 16 rows later, large networks took 2 to 8 % more time on a
    Zen 5, and 2 to 4 % with vectors of 32 bytes. Where rows are near, asking costs 2 to 7 %.
    """
    vec = Vec(c.dtype, lanes(c.dtype.bitwidth // 8))

    def generate(context, builder, signature, arguments):
        m, k, a, a_row, a_k, b, b_row, b_next, init, init_row, c, c_row, _ = arguments
        numbers, columns = (m, k, a_row, a_row, a_k, b_row, init_row, c_row), vectors.literal_value
        heights, addresses = TILE_ROWS[columns], (a, b, init, c)
        return emit_panel(context, builder, vec, numbers, addresses, heights, columns, b_next)

    size = types.intp
    return types.void(size, size, a, size, size, b, size, b, init, size, c, size, vectors), generate


@intrinsic(prefer_literal=True)
def _panel_and_sum(typing, m, k, a, a_k, b, b_row, init, c, c_row, e, e_row, e_out, vectors, of_e):
    """Compute C = init + A B, with `vectors` a row, and the sum of k rows of `of_e` vectors (literals)."""
    vec = Vec(c.dtype, lanes(c.dtype.bitwidth // 8))

    def generate(context, builder, signature, arguments):
        m, k, a, a_k, b, b_row, init, c, c_row, e, e_row, e_out, _, _ = arguments
        one, none = m.type(1), m.type(0)
        numbers = (m, k, one, one, a_k, b_row, none, c_row)
        columns, addresses = vectors.literal_value, (a, b, init, c)
        heights, summed = SMALL_HEIGHTS[columns], (e, e_row, e_out, of_e.literal_value)
        return emit_panel(context, builder, vec, numbers, addresses, heights, columns, summed=summed)

    size = types.intp
    return types.void(size, size, a, size, b, size, init, c, size, e, size, e_out, vectors, of_e), generate


@routine
def product_and_sum(m, n, k, a, a_k, b, b_row, init, c, c_row, n_e, e, e_row, e_out):
    """Set C = init + A B, as `product_of_columns` does, and add up k rows of n_e numbers, in one loop.

    It is for sizes for which `is_small` is true. With few sums the processor waits for each addition; so all
    sums wait at the same time. A step of 4-10-3 with 16 rows takes 0.20 us, and 0.22 with two loops.

    Parameters
    ----------
    m, n, k, a, a_k, b, b_row, init, c, c_row
        As `product_of_columns` takes them; init is one row for all, and what the sum begins with.
    n_e, e, e_row, e_out
        The numbers of a row, where the rows are, the distance between them, and where their sum goes.
    """
    if n == wide(c):
        _panel_and_sum(m, k, a, a_k, b, b_row, init, c, c_row, e, e_row, e_out, 1, 1)
    elif n_e == wide(c):
        _panel_and_sum(m, k, a, a_k, b, b_row, init, c, c_row, e, e_row, e_out, 2, 1)
    else:
        _panel_and_sum(m, k, a, a_k, b, b_row, init, c, c_row, e, e_row, e_out, 2, 2)


@helper
def is_small(m, n, n_e, c):
    """Whether `product_and_sum` takes these sizes, and is faster than a product and a sum of rows."""
    return m <= MOST_SMALL_ROWS and (n_e == n or n_e == wide(c)) and wide(c) <= n <= 2 * wide(c)


@routine
def product(m, n, k, a, a_row, a_k, b, b_row, init, init_row, c, c_row):
    """Set C = init + A B.

    Parameters
    ----------
    m, n, k : int
        C is (m, n), A is (m, k), B is (k, n). n is a multiple of `wide(c)`.
    a, a_row, a_k
        The address of A, the distance between its rows, and that between its columns. For A^T, exchange both.
    b, b_row, init, init_row, c, c_row
        Addresses and distances between rows. With ``init_row=0``, init is one row for all. init may be C.
    """
    near_or_far(m, n, k, a, a_row, a_k, b, b_row, init, init_row, c, c_row)


@routine
def product_of_columns(m, n, k, a, a_k, b, b_row, init, init_row, c, c_row):
    """Do what `product` does for A^T: the rows of A are next to each other, and its columns `a_k` apart.

    LLVM then knows this distance of 1: a step of 64-128-10 with 32 rows takes 3 % less.
    """
    near_or_far(m, n, k, a, 1, a_k, b, b_row, init, init_row, c, c_row)


@helper
def near_or_far(m, n, k, a, a_row, a_k, b, b_row, init, init_row, c, c_row):
    """Do what `product` does; it may ask for panels of B ahead."""
    distance = b_row * (WIDTH // wide(c))
    if k >= FEW_ROWS_OF_B and distance >= FAR_BYTES and distance % ALIASING_BYTES != 0:
        any_row, any_k, any_init = (
            np.int64(a_row),
            np.int64(a_k),
            np.int64(init_row),
        )  # no literals: compiled once
        far_product(m, n, k, a, any_row, any_k, b, b_row, init, any_init, c, c_row)
        return
    j, step = 0, wide(c)
    while j < n:
        left = (n - j) // step
        vectors = 2 if left == 4 else min(left, TILE_VECTORS)  # 2 + 2 instead of 3 + 1
        b_at, init_at, c_at = shifted(b, j), shifted(init, j), shifted(c, j)
        if vectors == 3:
            _panel(m, k, a, a_row, a_k, b_at, b_row, init_at, init_row, c_at, c_row, 3)
        elif vectors == 2:
            _panel(m, k, a, a_row, a_k, b_at, b_row, init_at, init_row, c_at, c_row, 2)
        else:
            _panel(m, k, a, a_row, a_k, b_at, b_row, init_at, init_row, c_at, c_row, 1)
        j += vectors * step


@routine
def far_panels(m, n, k, a, a_row, a_k, b, b_row, init, init_row, c, c_row):
    """Do what the loop of `product` does, with rows of B that are far apart; every panel asks for the next.

    A row has several vectors, so none of them is left alone. One function for both would cost small products
    2 % of their time.
    """
    j, step = 0, wide(c)
    while j < n:
        left = (n - j) // step
        vectors = 2 if left == 4 else min(left, TILE_VECTORS)
        b_at, init_at, c_at = shifted(b, j), shifted(init, j), shifted(c, j)
        b_next = shifted(b, j + vectors * step if vectors < left else 0)  # the last one has what it asks for
        if vectors == 3:
            _far_panel(m, k, a, a_row, a_k, b_at, b_row, b_next, init_at, init_row, c_at, c_row, 3)
        else:
            _far_panel(m, k, a, a_row, a_k, b_at, b_row, b_next, init_at, init_row, c_at, c_row, 2)
        j += vectors * step


@routine
def far_product(m, n, k, a, a_row, a_k, b, b_row, init, init_row, c, c_row):
    """Do what `product` does, with rows of B that are far apart: k in blocks.

    Small products would be a tenth slower if this were part of `product`.
    """
    n_blocks = (k + BLOCK_ROWS - 1) // BLOCK_ROWS if k > 2 * BLOCK_ROWS else 1
    block = (k + n_blocks - 1) // n_blocks
    for i in range(0, k, block):
        there, a_at, b_at = min(block, k - i), shifted(a, i * a_k), shifted(b, i * b_row)
        far_panels(m, n, there, a_at, a_row, a_k, b_at, b_row, init, init_row, c, c_row)
        init, init_row = c, c_row
