"""Matrix products inside kernels, on addresses: C = init + A B. Sums run from the first term to the last.

A register tile of C, some rows by some vectors, stays in registers while k runs. A is broadcast element by
element, so it may have any strides. B and C are rows of whole vectors. B is not packed, and A only if it is
A^T and large (`transposed_product`): arrays of a kernel begin at cache lines, and the distance between their
rows (`padded`) keeps the rows from falling into the same sets of a cache.

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

Rejected: dividing the rows of A for the caches (B is then streamed once more for each block); packing B into
panels on the way (25 % slower for 16 rows of A); rows that are aligned to 16 bytes (100 instead of 126 in
float64); rows that are not padded (186 instead of 260 for the largest product). On a Zen 5, to ask for the
next register tile of C and the next panel of B, with blocks of 128 rows: steps of networks with 1,024 neurons
in a layer or more are 2 to 3 % faster, those with 512 neurons 2 to 3 % slower.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastbp._jit import helper, routine
from fastbp.memory import LINE
from fastbp.processor import N_REGISTERS, WIDTH
from fastbp.simd import (
    Vec,
    emit_fma,
    emit_lane_sums,
    emit_prefetch,
    emit_splat,
    first_lanes,
    lanes,
    load,
    shifted,
    store,
    wide,
    wide_load,
    wide_splat,
)

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

USUAL_ROWS = TILE_ROWS[TILE_VECTORS][0]
"""Rows of most register tiles. Threads take multiples of this number."""

BLOCK_ROWS = 256
"""The most rows of B that are multiplied at a time, if they are far apart and more than twice as many.

Three vectors of each stay in an L1 cache of 32 KiB. C is read and written once more for each block.
"""

ROWS_AHEAD = 16
"""Rows of B between the one in use and the one that is asked for, if they are far apart.

No processor fetches a row by itself that is a page away from the one before. GFLOP/s on one core of a Zen 2
(peak 97 in float32, 49 in float64), 256 x 1024 x 1024: 41 to 80 without blocks and prefetch, 95 with both
(float64: 11 to 37, and 45); 128 x 784 x 128 in float32: 83 and 93. With 8, 12 or 32 rows, or if only the
first register tile of a panel asks, 5 to 10 % less. A step of 1024-1024-1024-10 on 256 rows is 6 % faster,
one of 784-512-512-10 on 128 rows 5 %. Where rows are near, a prefetch costs 2 to 7 %.
"""

LEAST_VECTORS, SHORTEST_STRIP = 32, 64
"""The fewest vectors in a row of C, and numbers in a row of A, from which on copying A^T in strips pays."""

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


@intrinsic(prefer_literal=True)
def _panel(typing, m, k, a, a_tile, a_row, a_k, b, b_row, init, init_row, c, c_row, vectors, ahead):
    """Compute `vectors` vectors of every row of C, one register tile after the other.

    The tile whose first row is i has its first number of A at ``a[i * a_tile]``. Rows of B are asked for
    `ahead` rows before they are needed. `vectors` and `ahead` are literals.
    """
    number = c.dtype
    count = lanes(number.bitwidth // 8)
    vec = Vec(number, count)

    def generate(context, builder, signature, arguments):
        m, k, a, a_tile, a_row, a_k, b, b_row, init, init_row, c, c_row, _, _ = arguments
        vector = context.get_value_type(vec)
        intp = m.type

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
            with cgutils.for_range(builder, k) as loop:
                if rows_ahead:
                    coming = builder.add(loop.index, intp(rows_ahead))
                    for number_of_line in range(0, columns * count, LINE * 8 // number.bitwidth):
                        start = builder.add(builder.mul(coming, b_row), intp(number_of_line))
                        emit_prefetch(builder, builder.gep(b, [start]))
                loaded = [builder.load(at(b, loop.index, b_row, v), align=align) for v in range(columns)]
                column = builder.gep(a, [builder.mul(loop.index, a_k)])
                for start, of_row in zip(starts, sums, strict=True):
                    factor = emit_splat(builder, builder.load(builder.gep(column, [start])), vector)
                    for right, total in zip(loaded, of_row, strict=True):
                        builder.store(emit_fma(builder, vec, factor, right, builder.load(total)), total)
            for row, of_row in zip(numbers, sums, strict=True):
                for v, total in enumerate(of_row):
                    builder.store(builder.load(total), at(c, row, c_row, v), align=align)

        columns, rows_ahead, align = vectors.literal_value, ahead.literal_value, number.bitwidth // 8
        row = cgutils.alloca_once_value(builder, intp(0))
        for rows in TILE_ROWS[columns]:
            check = builder.append_basic_block(f"rows{rows}")
            body = builder.append_basic_block(f"rows{rows}.body")
            after = builder.append_basic_block(f"rows{rows}.end")
            builder.branch(check)
            builder.position_at_end(check)
            first = builder.load(row)
            fits = builder.icmp_signed("<=", builder.add(first, intp(rows)), m)
            if rows == 6:  # 4 + 4 instead of 6 + 2
                fits = builder.and_(fits, builder.icmp_signed("!=", builder.add(first, intp(8)), m))
            builder.cbranch(fits, body, after)
            builder.position_at_end(body)
            tile(first, rows)
            builder.store(builder.add(first, intp(rows)), row)
            builder.branch(check)
            builder.position_at_end(after)
        return context.get_dummy_value()

    size = types.intp
    return (
        types.void(size, size, a, size, size, size, b, size, init, size, c, size, vectors, ahead),
        generate,
    )


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
    """Do what `product` does; it may ask for rows of B ahead."""
    distance = b_row * (WIDTH // wide(c))
    if k >= FEW_ROWS_OF_B and distance >= FAR_BYTES and distance % ALIASING_BYTES != 0:
        far_product(m, n, k, a, a_row, a_k, b, b_row, init, init_row, c, c_row)
        return
    j, step = 0, wide(c)
    while j < n:
        left = (n - j) // step
        vectors = 2 if left == 4 else min(left, TILE_VECTORS)  # 2 + 2 instead of 3 + 1
        b_at, init_at, c_at = shifted(b, j), shifted(init, j), shifted(c, j)
        if vectors == 3:
            _panel(m, k, a, a_row, a_row, a_k, b_at, b_row, init_at, init_row, c_at, c_row, 3, 0)
        elif vectors == 2:
            _panel(m, k, a, a_row, a_row, a_k, b_at, b_row, init_at, init_row, c_at, c_row, 2, 0)
        else:
            _panel(m, k, a, a_row, a_row, a_k, b_at, b_row, init_at, init_row, c_at, c_row, 1, 0)
        j += vectors * step


@routine
def far_panels(m, n, k, a, a_tile, a_row, a_k, b, b_row, init, init_row, c, c_row):
    """Do what the loop of `product` does, with rows of B that are far apart and are asked for ahead.

    One function for both would cost small products 2 % of their time.
    """
    j, step = 0, wide(c)
    while j < n:
        left = (n - j) // step
        vectors = 2 if left == 4 else min(left, TILE_VECTORS)
        b_at, init_at, c_at = shifted(b, j), shifted(init, j), shifted(c, j)
        if vectors == 3:
            _panel(m, k, a, a_tile, a_row, a_k, b_at, b_row, init_at, init_row, c_at, c_row, 3, ROWS_AHEAD)
        elif vectors == 2:
            _panel(m, k, a, a_tile, a_row, a_k, b_at, b_row, init_at, init_row, c_at, c_row, 2, ROWS_AHEAD)
        else:
            _panel(m, k, a, a_tile, a_row, a_k, b_at, b_row, init_at, init_row, c_at, c_row, 1, ROWS_AHEAD)
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
        far_panels(m, n, there, a_at, a_row, a_row, a_k, b_at, b_row, init, init_row, c, c_row)
        init, init_row = c, c_row


@helper
def transposed_product(m, n, k, a, a_k, b, b_row, init, init_row, c, c_row, strips):
    """Do what `product_of_columns` does, in strips where that pays.

    `strips` is memory for `strip_numbers` of the sizes.
    """
    if n >= LEAST_VECTORS * wide(c) and k >= SHORTEST_STRIP:
        strip_product(m, n, k, a, a_k, b, b_row, init, init_row, c, c_row, strips)
    else:
        product_of_columns(m, n, k, a, a_k, b, b_row, init, init_row, c, c_row)


@routine
def strip_product(m, n, k, a, a_k, b, b_row, init, init_row, c, c_row, strips):
    """Do what `transposed_product` does where it pays to copy A, in strips of the rows of a register tile.

    A column of such a tile is only part of a cache line, and the next column is in another page. GFLOP/s on
    one core of a Zen 2 (peak 97 in float32, 49 in float64), without and with strips: 128 x 200 x 512 of 512
    columns in float64 43 and 49, of 128 x 256 x 1024 38 and 47, in float32 87 and 97. Rejected: asking for
    the columns of A ahead (5 to 15 % slower).
    """
    step = wide(c)
    rows, columns = m // USUAL_ROWS * USUAL_ROWS, n // (TILE_VECTORS * step) * (TILE_VECTORS * step)
    if rows < m:
        a_at, init_at, c_at = shifted(a, rows), shifted(init, rows * init_row), shifted(c, rows * c_row)
        product_of_columns(m - rows, n, k, a_at, a_k, b, b_row, init_at, init_row, c_at, c_row)
    if columns < n:  # tiles of fewer vectors may have another number of rows than strips
        b_at, init_at, c_at = shifted(b, columns), shifted(init, columns), shifted(c, columns)
        product_of_columns(rows, n - columns, k, a, a_k, b_at, b_row, init_at, init_row, c_at, c_row)
    n_blocks = (k + BLOCK_ROWS - 1) // BLOCK_ROWS
    block = (k + n_blocks - 1) // n_blocks
    for i in range(0, k, block):
        there, b_at = min(block, k - i), shifted(b, i * b_row)
        copy_strips(rows, there, shifted(a, i * a_k), a_k, strips)
        far_panels(rows, columns, there, strips, there, 1, USUAL_ROWS, b_at, b_row, init, init_row, c, c_row)
        init, init_row = c, c_row


@routine
def copy_strips(m, k, a, a_k, strips):
    """Copy A to strips of `USUAL_ROWS` rows, column by column; m is a multiple of that."""
    for i in range(0, m, USUAL_ROWS):
        for p in range(k):
            store(strips, i * k + p * USUAL_ROWS, load(a, i + p * a_k, USUAL_ROWS))


def strip_numbers(m: int, n: int, k: int, itemsize: int) -> int:
    """Return how many numbers `transposed_product` needs memory for."""
    pays = n >= LEAST_VECTORS * lanes(itemsize) and k >= SHORTEST_STRIP
    return m * min(k, BLOCK_ROWS) if pays else 0


# --- one row -----------------------------------------------------------------------------------------------


@intrinsic(prefer_literal=True)
def _row_panel(typing, k, a, b, b_row, init, c, vectors, chains):
    """Compute `vectors` vectors of a row, each as the sum of `chains` partial sums; both are literals."""
    number = c.dtype
    count = lanes(number.bitwidth // 8)
    vec = Vec(number, count)

    def generate(context, builder, signature, arguments):
        k, a, b, b_row, init, c, _, _ = arguments
        vector = context.get_value_type(vec)
        intp, align = k.type, number.bitwidth // 8
        columns, parallel = vectors.literal_value, chains.literal_value

        def at(pointer, start, v):
            return builder.bitcast(
                builder.gep(pointer, [builder.add(start, intp(v * count))]), vector.as_pointer()
            )

        zero = ir.Constant(vector, [0.0] * count)
        sums = [[cgutils.alloca_once(builder, vector) for _ in range(columns)] for _ in range(parallel)]
        for v in range(columns):
            builder.store(builder.load(at(init, intp(0), v), align=align), sums[0][v])
            for chain in sums[1:]:
                builder.store(zero, chain[v])

        def add(i, chain):
            factor = emit_splat(builder, builder.load(builder.gep(a, [i])), vector)
            start = builder.mul(i, b_row)
            for v in range(columns):
                right = builder.load(at(b, start, v), align=align)
                builder.store(emit_fma(builder, vec, factor, right, builder.load(chain[v])), chain[v])

        rounds = builder.sdiv(k, intp(parallel))
        with cgutils.for_range(builder, rounds) as loop:
            first = builder.mul(loop.index, intp(parallel))
            for number_of_chain, chain in enumerate(sums):
                add(builder.add(first, intp(number_of_chain)), chain)
        if parallel > 1:
            with cgutils.for_range_slice(builder, builder.mul(rounds, intp(parallel)), k, intp(1)) as (i, _):
                add(i, sums[0])
        for v in range(columns):
            parts = [builder.load(chain[v]) for chain in sums]
            while len(parts) > 1:
                parts = [builder.fadd(x, y) for x, y in zip(parts[::2], parts[1::2], strict=True)]
            builder.store(parts[0], at(c, intp(0), v), align=align)
        return context.get_dummy_value()

    size = types.intp
    return types.void(size, a, b, size, init, c, vectors, chains), generate


@helper
def row_product(n, k, a, b, b_row, init, c):
    """Set c = init + a B for one row; n is a multiple of `wide(c)`.

    Eight independent sums run at the same time, which hides the latency of each.
    """
    step = wide(c)
    j = 0
    while j + 8 * step <= n:
        _row_panel(k, a, shifted(b, j), b_row, shifted(init, j), shifted(c, j), 8, 1)
        j += 8 * step
    if j + 4 * step <= n:
        _row_panel(k, a, shifted(b, j), b_row, shifted(init, j), shifted(c, j), 4, 2)
        j += 4 * step
    while j < n:
        _row_panel(k, a, shifted(b, j), b_row, shifted(init, j), shifted(c, j), 1, 4)
        j += step


@intrinsic(prefer_literal=True)
def _dots(typing, k, a, b, b_row, init, c, rows):
    """Compute c[r] = init[r] + a . B[r] for `rows` rows of k vectors; `rows` is a literal, a power of 2."""
    number = c.dtype
    count = lanes(number.bitwidth // 8)
    vec = Vec(number, count)

    def generate(context, builder, signature, arguments):
        k, a, b, b_row, init, c, _ = arguments
        vector = context.get_value_type(vec)
        intp, align, n_rows = k.type, number.bitwidth // 8, rows.literal_value
        zero = ir.Constant(vector, [0.0] * count)
        sums = [cgutils.alloca_once_value(builder, zero) for _ in range(n_rows)]
        with cgutils.for_range(builder, k) as loop:
            at = builder.mul(loop.index, intp(count))
            left = builder.load(builder.bitcast(builder.gep(a, [at]), vector.as_pointer()), align=align)
            for r, total in enumerate(sums):
                start = builder.add(at, builder.mul(intp(r), b_row))
                pointer = builder.bitcast(builder.gep(b, [start]), vector.as_pointer())
                right = builder.load(pointer, align=align)
                builder.store(emit_fma(builder, vec, left, right, builder.load(total)), total)
        result = emit_lane_sums(builder, [builder.load(total) for total in sums])
        short = result.type.as_pointer()
        before = builder.load(builder.bitcast(init, short), align=align)
        builder.store(builder.fadd(result, before), builder.bitcast(c, short), align=align)
        return context.get_dummy_value()

    size = types.intp
    return types.void(size, a, b, size, init, c, rows), generate


@helper
def dots(n_rows, k, a, b, b_row, init, c):
    """Set c[r] = init[r] + a . B[r] for every row; k is a multiple of `wide(c)`."""
    step = wide(c)
    vectors = k // step
    r = 0
    while r < n_rows:
        left = n_rows - r
        b_at, init_at, c_at = shifted(b, r * b_row), shifted(init, r), shifted(c, r)
        if left >= 8:
            _dots(vectors, a, b_at, b_row, init_at, c_at, 8)
            r += 8
        elif left >= 4:
            _dots(vectors, a, b_at, b_row, init_at, c_at, 4)
            r += 4
        elif left >= 2:
            _dots(vectors, a, b_at, b_row, init_at, c_at, 2)
            r += 2
        else:
            _dots(vectors, a, b_at, b_row, init_at, c_at, 1)
            r += 1
