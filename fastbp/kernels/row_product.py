"""Products of one row with a matrix, and with its rows, inside kernels, on addresses."""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastbp._jit import helper
from fastbp.simd import Vec, emit_fma, emit_lane_sums, emit_splat, lanes, shifted, wide


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
