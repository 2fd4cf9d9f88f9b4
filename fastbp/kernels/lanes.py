"""Arithmetic with a network a lane: each number of a network is a lane of a vector.

No operation crosses lanes, so a network's numbers depend on no other network, and not on the lanes of a
vector. A matrix of a layer's numbers is a matrix of vectors. All distances count numbers; the next vector is
`wide` numbers further.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastbp._jit import helper, routine
from fastbp.kernels.product import TILE_ROWS, TILE_VECTORS
from fastbp.simd import (
    Vec,
    element_bytes,
    emit_fma,
    emit_join,
    emit_shuffle,
    lanes,
    shifted,
    store,
    vector_pointer,
    wide,
    wide_load,
)

FEW_ROWS = 4
"""If C has fewer rows, and more columns than rows, its transpose is computed."""

BLOCK_VECTORS = 512
"""The vectors of A in a block of rows: 16 kB with vectors of 32 bytes."""


@intrinsic(prefer_literal=True)
def _lane_panel(
    typing, m, k, a, a_row, a_k, b, b_column, b_k, init, init_row, init_column, c, c_row, c_column, columns
):
    """Compute `columns` columns (a literal) of C, one register tile after the other."""
    number = c.dtype
    vec = Vec(number, lanes(number.bitwidth // 8))

    def generate(context, builder, signature, arguments):
        (m, k, a, a_row, a_k, b, b_column, b_k, init, init_row, init_column, c, c_row, c_column, _) = (
            arguments
        )
        vector, intp = context.get_value_type(vec), m.type
        n_columns, align = columns.literal_value, number.bitwidth // 8

        def place(pointer, *terms):
            for index, distance in terms:
                pointer = builder.gep(pointer, [builder.mul(index, distance)])
            return builder.bitcast(pointer, vector.as_pointer())

        def tile(first, rows):
            numbers = [builder.add(first, intp(r)) for r in range(rows)]
            columns = [intp(j) for j in range(n_columns)]
            sums = [[cgutils.alloca_once(builder, vector) for _ in columns] for _ in numbers]
            for row, of_row in zip(numbers, sums, strict=True):
                for column, total in zip(columns, of_row, strict=True):
                    start = place(init, (row, init_row), (column, init_column))
                    builder.store(builder.load(start, align=align), total)
            left_starts = [builder.mul(row, a_row) for row in numbers]
            right_starts = [builder.mul(column, b_column) for column in columns]
            with cgutils.for_range(builder, k) as loop:
                left = builder.gep(a, [builder.mul(loop.index, a_k)])
                right = builder.gep(b, [builder.mul(loop.index, b_k)])

                def load(pointer, start):
                    at = builder.bitcast(builder.gep(pointer, [start]), vector.as_pointer())
                    return builder.load(at, align=align)

                factors = [load(right, start) for start in right_starts]
                for start, of_row in zip(left_starts, sums, strict=True):
                    factor = load(left, start)
                    for other, total in zip(factors, of_row, strict=True):
                        builder.store(emit_fma(builder, vec, factor, other, builder.load(total)), total)
            for row, of_row in zip(numbers, sums, strict=True):
                for column, total in zip(columns, of_row, strict=True):
                    builder.store(
                        builder.load(total), place(c, (row, c_row), (column, c_column)), align=align
                    )

        row = cgutils.alloca_once_value(builder, intp(0))
        for rows in TILE_ROWS[n_columns]:
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
    left, right, start = (a, size, size), (b, size, size), (init, size, size)
    return types.void(size, size, *left, *right, *start, c, size, size, columns), generate


@routine
def lane_product(m, n, k, a, a_row, a_k, b, b_column, b_k, init, init_row, init_column, c, c_row, c_column):
    """Set C = init + A B in every lane. Sums run from the first term to the last.

    C is (m, n), A is (m, k) and B is (k, n). All may have any strides, so that a transpose costs nothing. The
    register tiles have more rows than columns; so if C has few rows, its transpose is computed. The rows are
    divided into blocks, whose part of A stays in the L1 cache.
    """
    if m < n and m < FEW_ROWS:
        m, n = n, m
        a, b = b, a
        a_row, b_column = b_column, a_row
        a_k, b_k = b_k, a_k
        init_row, init_column = init_column, init_row
        c_row, c_column = c_column, c_row
    block = max(8, BLOCK_VECTORS // max(k, 1) // 8 * 8)
    for i in range(0, m, block):
        rows = min(block, m - i)
        a_at, init_i, c_i = shifted(a, i * a_row), shifted(init, i * init_row), shifted(c, i * c_row)
        j = 0
        while j < n:
            left = n - j
            columns = 2 if left == 4 else min(left, TILE_VECTORS)  # 2 + 2 instead of 3 + 1
            b_at = shifted(b, j * b_column)
            init_at, c_at = shifted(init_i, j * init_column), shifted(c_i, j * c_column)
            if columns == 3:
                _lane_panel(
                    rows, k, a_at, a_row, a_k, b_at, b_column, b_k, init_at, init_row, init_column, c_at,
                    c_row, c_column, 3,
                )  # fmt: skip
            elif columns == 2:
                _lane_panel(
                    rows, k, a_at, a_row, a_k, b_at, b_column, b_k, init_at, init_row, init_column, c_at,
                    c_row, c_column, 2,
                )  # fmt: skip
            else:
                _lane_panel(
                    rows, k, a_at, a_row, a_k, b_at, b_column, b_k, init_at, init_row, init_column, c_at,
                    c_row, c_column, 1,
                )  # fmt: skip
            j += columns


@helper
def fill(value, target, n):
    """Write a vector to n numbers."""
    for i in range(0, n, wide(target)):
        store(target, i, value)


@helper
def copy_vectors(source, target, n):
    """Copy n numbers, a multiple of `wide`."""
    for i in range(0, n, wide(target)):
        store(target, i, wide_load(source, i))


@helper
def multiply(factors, target, n):
    """Multiply n numbers by others."""
    for i in range(0, n, wide(target)):
        store(target, i, wide_load(target, i) * wide_load(factors, i))


@intrinsic(prefer_literal=True)
def blocks_load(typing, address, offset, distance, n_bytes):
    """Return the vectors at address[offset], address[offset + distance], ... as one of `n_bytes`.

    `n_bytes` is a literal, and a power of 2, at least the bytes of a vector.
    """
    width = lanes(address.dtype.bitwidth // 8)
    part = Vec(address.dtype, width)
    vec = Vec(address.dtype, 8 * n_bytes.literal_value // address.dtype.bitwidth)

    def generate(context, builder, signature, arguments):
        address, offset, distance, _ = arguments
        parts = []
        for i in range(vec.lanes // width):
            at = builder.add(offset, builder.mul(distance, distance.type(i)))
            pointer = vector_pointer(context, builder, part, address, at)
            parts.append(builder.load(pointer, align=element_bytes(part)))
        return emit_join(builder, parts)

    return vec(address, types.intp, types.intp, n_bytes), generate


@intrinsic
def blocks_store(typing, address, offset, distance, vec):
    """Write a vector to where `blocks_load` reads it."""
    width = lanes(address.dtype.bitwidth // 8)
    part = Vec(address.dtype, width)

    def generate(context, builder, signature, arguments):
        address, offset, distance, value = arguments
        for i in range(vec.lanes // width):
            at = builder.add(offset, builder.mul(distance, distance.type(i)))
            pointer = vector_pointer(context, builder, part, address, at)
            some = emit_shuffle(builder, value, list(range(i * width, (i + 1) * width)))
            builder.store(some, pointer, align=element_bytes(part))
        return context.get_dummy_value()

    return types.void(address, types.intp, types.intp, vec), generate


@intrinsic
def lane_pairs(typing, table, samples, at, like):
    """Return a row of a table of two columns for each lane: the first numbers of all, then the second ones.

    The rows are samples[at], samples[at + 1], ..., as many as `like` has lanes.
    """
    vec = Vec(like.element, 2 * like.lanes)

    def generate(context, builder, signature, arguments):
        table, samples, at, _ = arguments
        pair, rows = ir.VectorType(context.get_value_type(like.element), 2), []
        for k in range(like.lanes):
            number = builder.load(builder.gep(samples, [builder.add(at, at.type(k))]))
            start = builder.gep(table, [builder.shl(builder.sext(number, at.type), at.type(1))])
            place = builder.bitcast(start, pair.as_pointer())
            rows.append(builder.load(place, align=element_bytes(like)))
        all_lanes = range(2 * like.lanes)
        return emit_shuffle(builder, emit_join(builder, rows), [*all_lanes[::2], *all_lanes[1::2]])

    return vec(table, samples, types.intp, like), generate


@intrinsic
def joined(typing, first, second):
    """Return two vectors of one type as one of twice the length."""
    if first != second:
        return None
    vec = Vec(first.element, 2 * first.lanes)

    def generate(context, builder, signature, arguments):
        return emit_join(builder, list(arguments))

    return vec(first, second), generate


@intrinsic(prefer_literal=True)
def half(typing, vec, number):
    """Return the first (0) or the second (1) half of a vector; `number` is a literal."""
    part = Vec(vec.element, vec.lanes // 2)
    first = number.literal_value * part.lanes

    def generate(context, builder, signature, arguments):
        return emit_shuffle(builder, arguments[0], list(range(first, first + part.lanes)))

    return part(vec, number), generate
