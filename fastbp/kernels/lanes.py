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
from fastbp.kernels.register_tiles import TILE_ROWS, TILE_VECTORS, emit_tiles
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
"""C with fewer rows is computed by `lane_product`; if it has more columns than rows, as its transpose."""

BLOCK_VECTORS = 512
"""The vectors of A in a block of rows: 16 kB with vectors of 32 bytes."""

EVEN_ROWS = TILE_ROWS | {n: (TILE_ROWS[n][0] - 1, TILE_ROWS[n][0], 4, 2, 1) for n in (2, 3)}
"""The rows of register tiles that divide C more evenly, for each number of columns.

Tiles of one row less come first, as many as leave a multiple of the others' rows: 9 rows are 3 + 3 + 3 and
not 4 + 4 + 1. The few sums of a small tile wait for each other. It takes an eighth less time for 9 rows.
"""

STORED, RECTIFIED, RELU_SLOPED, TANH_SLOPED, SIGMOID_SLOPED = range(5)
"""What `rows_product` does with an element of C: nothing, relu, or it multiplies it by a slope."""


def _panel_of(tile_of, m, tiles, builder):
    """Emit register tiles that cover the m rows of a panel of columns; `tiles` are their numbers of rows."""
    intp = m.type
    ends = dict.fromkeys(tiles, m)
    if tiles[0] < tiles[1]:
        few, many = (intp(n) for n in tiles[:2])
        missing = builder.urem(builder.sub(builder.mul(m, many), m), many)
        possible = builder.udiv(m, few)
        n_few = builder.select(builder.icmp_signed("<", missing, possible), missing, possible)
        ends[tiles[0]] = builder.mul(n_few, few)

    def fits(first, rows):
        return builder.icmp_signed("<=", builder.add(first, intp(rows)), ends[rows])

    emit_tiles(builder, m, tiles, fits, tile_of)


class _Tile:
    """A register tile: `rows` sums for each of some columns. It emits code, and keeps nothing else."""

    def __init__(self, builder, vec, vector, rows, columns):
        self.builder, self.vec, self.vector = builder, vec, vector
        self.align = element_bytes(vec)
        self.sums = [[cgutils.alloca_once(builder, vector) for _ in range(columns)] for _ in range(rows)]

    def place(self, pointer, *terms):
        """Return the address of a vector, some distances from an address."""
        for index, distance in terms:
            pointer = self.builder.gep(pointer, [self.builder.mul(distance, distance.type(index))])
        return self.builder.bitcast(pointer, self.vector.as_pointer())

    def load(self, pointer, *terms):
        """Load a vector from there."""
        return self.builder.load(self.place(pointer, *terms), align=self.align)

    def begin(self, init, init_row, init_column):
        """Load the first terms."""
        for r, of_row in enumerate(self.sums):
            for j, total in enumerate(of_row):
                self.builder.store(self.load(init, (r, init_row), (j, init_column)), total)

    def begin_alike(self, init, init_column):
        """Load the first terms, which are those of all rows."""
        starts = [self.load(init, (j, init_column)) for j in range(len(self.sums[0]))]
        for of_row in self.sums:
            for start, total in zip(starts, of_row, strict=True):
                self.builder.store(start, total)

    def add_products(self, k, a, a_row, a_k, b, b_column, b_k):
        """Add k terms to every sum."""
        builder = self.builder
        with cgutils.for_range(builder, k) as loop:
            left = builder.gep(a, [builder.mul(loop.index, a_k)])
            right = builder.gep(b, [builder.mul(loop.index, b_k)])
            factors = [self.load(right, (j, b_column)) for j in range(len(self.sums[0]))]
            for r, of_row in enumerate(self.sums):
                factor = self.load(left, (r, a_row))
                for other, total in zip(factors, of_row, strict=True):
                    added = emit_fma(builder, self.vec, factor, other, builder.load(total))
                    builder.store(added, total)

    def end(self, c, c_row, c_column, finished=lambda total, r, j: total):
        """Store the sums, or what is made of them."""
        for r, of_row in enumerate(self.sums):
            for j, total in enumerate(of_row):
                value = finished(self.builder.load(total), r, j)
                self.builder.store(value, self.place(c, (r, c_row), (j, c_column)), align=self.align)


@intrinsic(prefer_literal=True)
def _lane_panel(
    typing, m, k, a, a_row, a_k, b, b_column, b_k, init, init_row, init_column, c, c_row, c_column, columns
):
    """Compute `columns` columns (a literal) of C, one register tile after the other."""
    vec = Vec(c.dtype, lanes(c.dtype.bitwidth // 8))

    def generate(context, builder, signature, arguments):
        (m, k, a, a_row, a_k, b, b_column, b_k, init, init_row, init_column, c, c_row, c_column, _) = (
            arguments
        )
        vector, n_columns = context.get_value_type(vec), columns.literal_value

        def from_row(pointer, first, distance):
            return builder.gep(pointer, [builder.mul(first, distance)])

        def tile_of(first, rows):
            tile = _Tile(builder, vec, vector, rows, n_columns)
            tile.begin(from_row(init, first, init_row), init_row, init_column)
            tile.add_products(k, from_row(a, first, a_row), a_row, a_k, b, b_column, b_k)
            tile.end(from_row(c, first, c_row), c_row, c_column)

        _panel_of(tile_of, m, TILE_ROWS[n_columns], builder)
        return context.get_dummy_value()

    size = types.intp
    left, right, start = (a, size, size), (b, size, size), (init, size, size)
    return types.void(size, size, *left, *right, *start, c, size, size, columns), generate


@routine
def lane_product(m, n, k, a, a_row, a_k, b, b_column, b_k, init, init_row, init_column, c, c_row, c_column):
    """Set C = init + A B in every lane. Sums run from the first term to the last.

    C is (m, n), A is (m, k) and B is (k, n). All may have any strides, so that a transpose costs nothing. The
    register tiles have more rows than columns; so if C has few rows, its transpose is computed. This is for
    few rows; `rows_product` and `gradient_product` are faster where there are more.
    """
    if m < n and m < FEW_ROWS:
        m, n = n, m
        a, b = b, a
        a_row, b_column = b_column, a_row
        a_k, b_k = b_k, a_k
        init_row, init_column = init_column, init_row
        c_row, c_column = c_column, c_row
    j = 0
    while j < n:
        columns = columns_of_panel(n - j)
        b_at = shifted(b, j * b_column)
        init_at, c_at = shifted(init, j * init_column), shifted(c, j * c_column)
        if columns == 3:
            _lane_panel(
                m, k, a, a_row, a_k, b_at, b_column, b_k, init_at, init_row, init_column, c_at, c_row,
                c_column, 3,
            )  # fmt: skip
        elif columns == 2:
            _lane_panel(
                m, k, a, a_row, a_k, b_at, b_column, b_k, init_at, init_row, init_column, c_at, c_row,
                c_column, 2,
            )  # fmt: skip
        else:
            _lane_panel(
                m, k, a, a_row, a_k, b_at, b_column, b_k, init_at, init_row, init_column, c_at, c_row,
                c_column, 1,
            )  # fmt: skip
        j += columns


@helper
def columns_of_panel(left):
    """Return how many of the columns that are left come next: of four, 2 + 2 instead of 3 + 1."""
    return 2 if left == 4 else min(left, TILE_VECTORS)


@helper
def rows_of_block(k):
    """Return how many rows of A, of k vectors, go through all panels together."""
    return max(8, BLOCK_VECTORS // max(k, 1) // 8 * 8)


@intrinsic(prefer_literal=True)
def _rows_panel(
    typing, m, k, a, a_k, b, b_column, b_k, init, init_column, c, c_column, finish, outputs, columns
):
    """Compute `columns` columns (a literal) of C for `rows_product`."""
    vec = Vec(c.dtype, lanes(c.dtype.bitwidth // 8))

    def generate(context, builder, signature, arguments):
        m, k, a, a_k, b, b_column, b_k, init, init_column, c, c_column, finish, outputs, _ = arguments
        vector, n_columns, next_row = context.get_value_type(vec), columns.literal_value, m.type(vec.lanes)
        zero, one, minus_zero = (ir.Constant(vector, [number] * vec.lanes) for number in (0.0, 1.0, -0.0))

        def tile_of(first, rows):
            at = builder.mul(first, next_row)
            tile = _Tile(builder, vec, vector, rows, n_columns)
            tile.begin_alike(init, init_column)
            tile.add_products(k, builder.gep(a, [at]), next_row, a_k, b, b_column, b_k)
            c_at, outputs_at = builder.gep(c, [at]), builder.gep(outputs, [at])

            def rectified(total, r, j):
                return builder.select(builder.fcmp_ordered("<", total, zero), zero, total)

            def sloped(slope_of):
                return lambda total, r, j: builder.fmul(
                    total, slope_of(tile.load(outputs_at, (r, next_row), (j, c_column)))
                )

            def by_square(a, last):
                return emit_fma(builder, vec, builder.fsub(minus_zero, a), a, last)

            forms = {
                RECTIFIED: rectified,
                RELU_SLOPED: sloped(lambda a: builder.select(builder.fcmp_ordered("<", zero, a), one, zero)),
                TANH_SLOPED: sloped(lambda a: by_square(a, one)),
                SIGMOID_SLOPED: sloped(lambda a: by_square(a, a)),
            }
            usual, done = builder.append_basic_block("stored"), builder.append_basic_block("done")
            switch = builder.switch(finish, usual)
            for code, finished in forms.items():
                block = builder.append_basic_block("finished")
                switch.add_case(finish.type(code), block)
                builder.position_at_end(block)
                tile.end(c_at, next_row, c_column, finished)
                builder.branch(done)
            builder.position_at_end(usual)
            tile.end(c_at, next_row, c_column)
            builder.branch(done)
            builder.position_at_end(done)

        _panel_of(tile_of, m, EVEN_ROWS[n_columns], builder)
        return context.get_dummy_value()

    size = types.intp
    right, start = (b, size, size), (init, size)
    return types.void(size, size, a, size, *right, *start, c, size, size, outputs, columns), generate


@routine
def rows_product(m, n, k, a, a_k, b, b_column, b_k, init, init_column, c, c_column, finish, outputs):
    """Set C = init + A B in every lane, or what `finish` makes of it.

    C is (m, n), A is (m, k) and B is (k, n). The rows of A and C are neighbours, a vector apart; `init` has
    one row. Sums run from the first term to the last. `finish` may ask for relu, or for the slope of an
    activation, whose `outputs` lie as C does. The rows are divided into blocks, whose part of A stays in the
    L1 cache.
    """
    step = wide(c)
    if m < FEW_ROWS:
        lane_product(m, n, k, a, step, a_k, b, b_column, b_k, init, 0, init_column, c, step, c_column)
        return
    block = rows_of_block(k)
    for i in range(0, m, block):
        rows, at = min(block, m - i), i * step
        a_at, c_i, outputs_i = shifted(a, at), shifted(c, at), shifted(outputs, at)
        j = 0
        while j < n:
            columns = columns_of_panel(n - j)
            b_at, init_at = shifted(b, j * b_column), shifted(init, j * init_column)
            c_at, outputs_at = shifted(c_i, j * c_column), shifted(outputs_i, j * c_column)
            if columns == 3:
                _rows_panel(
                    rows, k, a_at, a_k, b_at, b_column, b_k, init_at, init_column, c_at, c_column, finish,
                    outputs_at, 3,
                )  # fmt: skip
            elif columns == 2:
                _rows_panel(
                    rows, k, a_at, a_k, b_at, b_column, b_k, init_at, init_column, c_at, c_column, finish,
                    outputs_at, 2,
                )  # fmt: skip
            else:
                _rows_panel(
                    rows, k, a_at, a_k, b_at, b_column, b_k, init_at, init_column, c_at, c_column, finish,
                    outputs_at, 1,
                )  # fmt: skip
            j += columns


@intrinsic(prefer_literal=True)
def _gradient_panel(
    typing, m, k, a, a_row, b, b_column, init, init_row, init_column, c, c_row, updates, decay, plain, down,
    decayed, columns
):  # fmt: skip
    """Compute `columns` columns (a literal) of C for `gradient_product`."""
    vec = Vec(c.dtype, lanes(c.dtype.bitwidth // 8))

    def generate(context, builder, signature, arguments):
        m, k, a, a_row, b, b_column, init, init_row, init_column, c, c_row = arguments[:11]
        updates, decay, plain, down, decayed = arguments[11:16]
        vector, n_columns, following = context.get_value_type(vec), columns.literal_value, m.type(vec.lanes)

        def from_row(pointer, first, distance):
            return builder.gep(pointer, [builder.mul(first, distance)])

        def tile_of(first, rows):
            tile = _Tile(builder, vec, vector, rows, n_columns)
            tile.begin(from_row(init, first, init_row), init_row, init_column)
            tile.add_products(k, from_row(a, first, a_row), a_row, following, b, b_column, following)
            c_at = from_row(c, first, c_row)

            def moved(gradient, r, j):
                is_decayed = builder.icmp_signed("<", builder.add(first, first.type(r)), decayed)
                pull = tile.load(builder.select(is_decayed, decay, plain))
                before = tile.load(c_at, (r, c_row), (j, following))
                whole = emit_fma(builder, vec, pull, before, gradient)
                return emit_fma(builder, vec, tile.load(down), whole, before)

            with builder.if_else(updates) as (then, otherwise):
                with then:
                    tile.end(c_at, c_row, following, moved)
                with otherwise:
                    tile.end(c_at, c_row, following)

        _panel_of(tile_of, m, EVEN_ROWS[n_columns], builder)
        return context.get_dummy_value()

    size = types.intp
    start, rates = (init, size, size), (decay, plain, down, size)
    return (
        types.void(size, size, a, size, b, size, *start, c, size, types.boolean, *rates, columns),
        generate,
    )


@routine
def gradient_product(
    m, n, k, a, a_row, b, b_column, init, init_row, init_column, c, c_row, updates, decay, plain, down,
    decayed,
):  # fmt: skip
    """Set C = init + A B in every lane, or take a step of SGD with that gradient of C.

    C is (m, n), A is (m, k) and B is (k, n). The terms of a sum are neighbours, a vector apart, and so are
    the elements of a row of C. Sums run from the first term to the last.

    With `updates`, C becomes C + down (init + A B + decay C), as `fastbp.kernels.update_rules.sgd` does it.
    `decay` and `down` are addresses of a vector. From row `decayed` on, `plain` is in place of `decay`.
    """
    step, block = wide(c), rows_of_block(k)
    for i in range(0, m, block):
        rows = min(block, m - i)
        a_at, init_i, c_i = shifted(a, i * a_row), shifted(init, i * init_row), shifted(c, i * c_row)
        j = 0
        while j < n:
            columns = columns_of_panel(n - j)
            b_at, init_at, c_at = (
                shifted(b, j * b_column),
                shifted(init_i, j * init_column),
                shifted(c_i, j * step),
            )
            if columns == 3:
                _gradient_panel(
                    rows, k, a_at, a_row, b_at, b_column, init_at, init_row, init_column, c_at, c_row,
                    updates, decay, plain, down, decayed - i, 3,
                )  # fmt: skip
            elif columns == 2:
                _gradient_panel(
                    rows, k, a_at, a_row, b_at, b_column, init_at, init_row, init_column, c_at, c_row,
                    updates, decay, plain, down, decayed - i, 2,
                )  # fmt: skip
            else:
                _gradient_panel(
                    rows, k, a_at, a_row, b_at, b_column, init_at, init_row, init_column, c_at, c_row,
                    updates, decay, plain, down, decayed - i, 1,
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
