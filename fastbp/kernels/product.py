"""Matrix products inside kernels, on addresses: C = init + A B, every sum from its first term to its last.

One tile of C, rows by vectors, stays in registers while k runs; A is broadcast element by element, so that
it may have any strides and A^T is free; B and C are rows of whole vectors. Nothing is packed: a kernel's own
arrays begin at cache lines and have a distance between rows (`padded`) that does not make the rows of
a panel fall into the same sets of a cache.

An element of C is the same chain of fused multiply-adds whatever tile it falls into, so its bits do not
depend on how the rows are divided among threads.

GFLOP/s on one core of a Zen 5 at 4.15 GHz (peak 266 in float32, 133 in float64), with SciPy's OpenBLAS 0.3.30
called from a kernel for comparison, which this replaced:

=================  =======  ========  =======  ========
m x k x n          float32  OpenBLAS  float64  OpenBLAS
=================  =======  ========  =======  ========
32 x 20 x 64           245        71      122        44
32 x 64 x 64           265        77      115        49
1250 x 32 x 16         207       100      113        46
128 x 784 x 128        265       115      124        59
128 x 784 x 512        262       118      126        62
256 x 1024 x 1024      260       124      118        61
=================  =======  ========  =======  ========

Rejected: blocks of k or of rows for the caches (no gain at these sizes once the rows are padded; 186 instead
of 260 for the largest without padding); 16 byte aligned rows (100 instead of 126 in float64).
"""

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastbp._jit import helper, routine
from fastbp.simd import N_REGISTERS, Vec, _llvm, _splat, lanes, shifted, wide

TILE_ROWS = (8, 4, 2, 1) if N_REGISTERS == 32 else (4, 2, 1)
TILE_VECTORS = 3
"""24 accumulators of 32 registers, or 12 of 16; three vectors of B, and A in memory operands."""

ALIASING_BYTES = 1024
"""Rows this far apart, or a multiple of it, share the sets of an L1 cache."""


def padded(n: int, itemsize: int) -> int:
    """Return the distance between rows of n numbers: whole vectors, and no multiple of `ALIASING_BYTES`."""
    step = lanes(itemsize)
    distance = -(-n // step) * step
    return distance + step if distance * itemsize % ALIASING_BYTES == 0 else distance


@helper
def whole_vectors(n, address):
    """Return n rounded up to whole vectors of the type at `address`."""
    return (n + wide(address) - 1) // wide(address) * wide(address)


@intrinsic(prefer_literal=True)
def _panel(typing, m, k, a, a_row, a_k, b, b_row, init, init_row, c, c_row, vectors):
    """Compute `vectors` vectors (a literal) of every row of C, tiles of rows one after the other."""
    number = c.dtype
    count = lanes(number.bitwidth // 8)
    vec = Vec(number, count)

    def generate(context, builder, signature, arguments):
        m, k, a, a_row, a_k, b, b_row, init, init_row, c, c_row, _ = arguments
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
            starts = [builder.mul(row, a_row) for row in numbers]
            with cgutils.for_range(builder, k) as loop:
                loaded = [builder.load(at(b, loop.index, b_row, v), align=align) for v in range(columns)]
                column = builder.gep(a, [builder.mul(loop.index, a_k)])
                for start, of_row in zip(starts, sums, strict=True):
                    factor = _splat(builder, builder.load(builder.gep(column, [start])), vector)
                    for right, total in zip(loaded, of_row, strict=True):
                        builder.store(_llvm(builder, "fma", vec, [factor, right, builder.load(total)]), total)
            for row, of_row in zip(numbers, sums, strict=True):
                for v, total in enumerate(of_row):
                    builder.store(builder.load(total), at(c, row, c_row, v), align=align)

        columns, align = vectors.literal_value, number.bitwidth // 8
        row = cgutils.alloca_once_value(builder, intp(0))
        for rows in TILE_ROWS:
            check = builder.append_basic_block(f"rows{rows}")
            body = builder.append_basic_block(f"rows{rows}.body")
            after = builder.append_basic_block(f"rows{rows}.end")
            builder.branch(check)
            builder.position_at_end(check)
            first = builder.load(row)
            builder.cbranch(builder.icmp_signed("<=", builder.add(first, intp(rows)), m), body, after)
            builder.position_at_end(body)
            tile(first, rows)
            builder.store(builder.add(first, intp(rows)), row)
            builder.branch(check)
            builder.position_at_end(after)
        return context.get_dummy_value()

    size = types.intp
    return (
        types.void(size, size, a, size, size, b, size, init, size, c, size, vectors),
        generate,
    )


@routine
def product(m, n, k, a, a_row, a_k, b, b_row, init, init_row, c, c_row):
    """Set C = init + A B.

    Parameters
    ----------
    m, n, k : int
        C is (m, n), A is (m, k), B is (k, n); n is whole vectors, for which B, init and C have room.
    a, a_row, a_k
        Address of A, the distance between its rows, and between its columns: the other way round for A^T.
    b, b_row, init, init_row, c, c_row
        Addresses and distances between rows. ``init_row=0`` repeats one row; init may be C.
    """
    step = wide(c)
    j = 0
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
