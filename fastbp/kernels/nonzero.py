"""Inputs that are mostly 0: the products of the first layer leave out the terms of such inputs.

Of the pixels of a digit, of a table with one-hot columns, or of counted words, most are 0. A term 0 w changes
no sum, if w is finite. So a product that leaves out these terms has the same bits. (Only the sign of a sum
that is 0 may differ.) A bit says of each number whether it is not 0. The bits of a sample serve the forward
pass, where A = X. Those of an input, over the samples, serve the gradient, where A = X^T.

Times on one core of a Zen 5 with vectors of 64 bytes, as parts of those of `product`:

===============================  =====  =======  =======
m x k x n                        not 0  float64  float32
===============================  =====  =======  =======
32 x 64 x 100, digits, forward    52 %     0.63     0.67
64 x 32 x 100, digits, gradient   52 %     0.67     0.73
32 x 784 x 100, MNIST, forward    24 %     0.37     0.40
784 x 32 x 100, MNIST, gradient   24 %     0.37     0.41
100 x 784 x 512, MNIST, forward   24 %     0.43     0.40
===============================  =====  =======  =======

The data were the same in every repetition. In training, no processor foresees where a row ends, and each row
takes some 15 cycles more. So a fit to digits takes 0.88 times as long, one of 784-100-10 to MNIST 0.60.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastbp._jit import helper, routine
from fastbp.processor import N_REGISTERS
from fastbp.simd import (
    Vec,
    element,
    emit_fma,
    emit_shuffle,
    emit_splat,
    lanes,
    put,
    shifted,
    wide,
)

BLOCK = 64
"""Terms of a block: the bits of a word. So many rows of B, some vectors of each, stay in an L1 cache."""

PANELS = (13, 8, 7, 6, 5, 4) if N_REGISTERS == 32 else (8, 7, 6, 5, 4)
"""The vectors of a row of C that may be computed together.

Fewer would wait for each other. 100 numbers of float64, scikit-learn's default layer, are 13 vectors of 64
bytes: at once they take 0.63 of the time of `product`, as 7 and 6 they took 0.74.
"""

USUAL_VECTORS, FEWEST_VECTORS = 8, PANELS[-1]

FEWEST_INPUTS = 32
"""The fewest inputs of a network that looks for zeros."""

MOST_NONZERO = 0.6
"""The largest share of numbers that are not 0 with which zeros are left out: a term takes 1.2 to 1.8 times as
long as one of `product`.
"""

ROW_UNIT = 8
"""Rows whose bits are transposed together. Threads take multiples of this number."""


# --- bits ------------------------------------------------------------------------------------------------


@intrinsic(prefer_literal=True)
def _mark(typing, x, offset, bits, at, count):
    """Write which of x[offset : offset + count] are not 0 as bits, from bits[at] on; `count` is a literal."""
    element_type = x.dtype

    def generate(context, builder, signature, arguments):
        x, offset, bits, at, _ = arguments
        vector = ir.VectorType(context.get_value_type(element_type), count.literal_value)
        start = builder.bitcast(builder.gep(x, [offset]), vector.as_pointer())
        numbers = builder.load(start, align=element_type.bitwidth // 8)
        is_set = builder.fcmp_unordered("!=", numbers, ir.Constant(vector, [0.0] * vector.count))
        word = builder.bitcast(is_set, ir.IntType(vector.count))
        target = builder.bitcast(builder.gep(bits, [at]), word.type.as_pointer())
        builder.store(word, target, align=1)
        return context.get_dummy_value()

    return types.void(x, types.intp, bits, types.intp, count), generate


@routine
def mark_rows(x, distance, rows, n, bits, row_bytes):
    """Write the bits of rows of n numbers; the bits of two rows are `row_bytes` apart, whole words."""
    words, whole = n // BLOCK * BLOCK, n // 8 * 8
    for r in range(rows):
        source, target = shifted(x, r * distance), shifted(bits, r * row_bytes)
        for j in range(0, words, BLOCK):
            _mark(source, j, target, j // 8, 64)
        for j in range(words, whole, 8):
            _mark(source, j, target, j // 8, 8)
        if whole < n:
            last = 0
            for j in range(whole, n):
                last |= (element(source, j) != 0) << (j - whole)
            put(target, whole // 8, last)


def _emit_transposed(builder, words):
    """Return 8 words of 8 bytes, transposed as a matrix of bytes."""
    order = [8 * (place % 8) + place // 8 for place in range(64)]
    all_bytes = builder.bitcast(words, ir.VectorType(ir.IntType(8), 64))
    return builder.bitcast(emit_shuffle(builder, all_bytes, order), words.type)


@intrinsic
def _mark_64_columns(typing, bits, row_bytes, columns):
    """Write the bits of 64 columns for 8 rows, a byte each.

    In each lane, 8 x 8 bits are transposed: bits are exchanged across the diagonal, then pairs, then fours.
    See Warren, "Hacker's Delight", 2nd edition, section 7-3.
    """

    def generate(context, builder, signature, arguments):
        bits, row_bytes, columns = arguments
        intp = row_bytes.type
        words = ir.VectorType(intp, 8)
        rows = ir.Constant(words, ir.Undefined)
        for r in range(8):
            at = builder.gep(bits, [builder.mul(row_bytes, intp(r))])
            word = builder.load(builder.bitcast(at, intp.as_pointer()), align=1)
            rows = builder.insert_element(rows, word, ir.IntType(32)(r))
        blocks = _emit_transposed(builder, rows)
        for distance, across in ((7, 0x00AA00AA00AA00AA), (14, 0x0000CCCC0000CCCC), (28, 0x00000000F0F0F0F0)):
            shift, mask = (ir.Constant(words, [number] * 8) for number in (distance, across))
            swap = builder.and_(builder.xor(blocks, builder.lshr(blocks, shift)), mask)
            blocks = builder.xor(builder.xor(blocks, swap), builder.shl(swap, shift))
        builder.store(blocks, builder.bitcast(columns, words.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(bits, types.intp, columns), generate


@routine
def mark_columns(bits, row_bytes, rows, columns):
    """Write the bits of all columns, from those of rows: a byte a column for the first 8 rows, and so on.

    There must be room for rows up to a multiple of `ROW_UNIT`; bits of those that do not exist mean nothing.
    So the threads that mark rows do not write to the same cache lines.
    """
    for r in range(0, rows, ROW_UNIT):
        for j in range(0, row_bytes, 8):
            at = r * row_bytes
            _mark_64_columns(shifted(bits, at + j), row_bytes, shifted(columns, at + 8 * j))


@routine
def count_nonzero(x, n):
    """Return how many of n numbers are not 0."""
    count = 0
    for j in range(n):
        count += element(x, j) != 0
    return count


# --- the product -----------------------------------------------------------------------------------------


@intrinsic(prefer_literal=True)
def _panel(typing, m, k, a, a_row, a_k, bits, bits_row, bits_k, b, b_row, init, init_row, c, c_row, vectors):
    """Compute `vectors` vectors, a literal, of every row of C: all rows with a block of B, then the next."""
    vec = Vec(c.dtype, lanes(c.dtype.bitwidth // 8))

    def generate(context, builder, signature, arguments):
        m, k, a, a_row, a_k, bits, bits_row, bits_k, b, b_row, init, init_row, c, c_row, _ = arguments
        vector, intp, align = context.get_value_type(vec), m.type, vec.element.bitwidth // 8
        shape = ir.FunctionType(intp, [intp, ir.IntType(1)])
        trailing_zeros = cgutils.get_or_insert_function(builder.module, shape, "llvm.cttz.i64")
        sums = [cgutils.alloca_once(builder, vector) for _ in range(vectors.literal_value)]
        words, left = (cgutils.alloca_once(builder, t) for t in (ir.VectorType(intp, 8), intp))

        def row_of(matrix, offset):
            start = builder.gep(matrix, [offset])
            at = [builder.gep(start, [intp(v * vec.lanes)]) for v in range(vectors.literal_value)]
            return [builder.bitcast(pointer, vector.as_pointer()) for pointer in at]

        def read_words(i, first):
            """Read the bits of 8 rows from row i on: a word of each, or 8 bytes of all to be transposed."""
            start = builder.mul(builder.sdiv(first, intp(8)), bits_k)
            start = builder.gep(bits, [builder.add(builder.mul(i, bits_row), start)])
            rows_first = builder.icmp_signed("==", bits_k, intp(1))
            distance = builder.select(rows_first, bits_row, bits_k)
            read = ir.Constant(words.type.pointee, ir.Undefined)
            for number in range(8):
                at = builder.gep(start, [builder.mul(intp(number), distance)])
                word = builder.load(builder.bitcast(at, intp.as_pointer()), align=1)
                read = builder.insert_element(read, word, ir.IntType(32)(number))
            read = builder.select(rows_first, read, _emit_transposed(builder, read))
            beyond = builder.sub(intp(BLOCK), builder.sub(k, first))
            is_last = builder.icmp_signed(">", beyond, intp(0))
            valid = builder.select(is_last, builder.lshr(intp(-1), beyond), intp(-1))
            builder.store(builder.and_(read, emit_splat(builder, valid, read.type)), words)

        def add_term(i, first, word):
            p = builder.add(first, builder.call(trailing_zeros, [word, ir.IntType(1)(1)]))
            factor = builder.load(builder.gep(a, [builder.add(builder.mul(i, a_row), builder.mul(p, a_k))]))
            factor = emit_splat(builder, factor, vector)
            for total, pointer in zip(sums, row_of(b, builder.mul(p, b_row)), strict=True):
                right = builder.load(pointer, align=align)
                builder.store(emit_fma(builder, vec, factor, right, builder.load(total)), total)

        def add_terms(i, first, number):
            check, body, end = (
                builder.append_basic_block(f"terms.{name}") for name in ("check", "body", "end")
            )
            of_row = builder.bitcast(words, intp.as_pointer())
            builder.store(builder.load(builder.gep(of_row, [number])), left)
            builder.branch(check)
            builder.position_at_end(check)
            word = builder.load(left)
            builder.cbranch(builder.icmp_signed("!=", word, intp(0)), body, end)
            builder.position_at_end(body)
            add_term(i, first, word)
            builder.store(builder.and_(word, builder.sub(word, intp(1))), left)  # without the lowest bit
            builder.branch(check)
            builder.position_at_end(end)

        with cgutils.for_range_slice(builder, intp(0), k, intp(BLOCK)) as (first, _):
            is_first = builder.icmp_signed("==", first, intp(0))
            source = builder.select(is_first, init, c)
            source_row = builder.select(is_first, init_row, c_row)
            with cgutils.for_range_slice(builder, intp(0), m, intp(8)) as (start, _):
                read_words(start, first)
                left_rows = builder.sub(m, start)
                count = builder.select(builder.icmp_signed("<", left_rows, intp(8)), left_rows, intp(8))
                with cgutils.for_range(builder, count) as rows:
                    i = builder.add(start, rows.index)
                    for total, pointer in zip(sums, row_of(source, builder.mul(i, source_row)), strict=True):
                        builder.store(builder.load(pointer, align=align), total)
                    add_terms(i, first, rows.index)
                    for total, pointer in zip(sums, row_of(c, builder.mul(i, c_row)), strict=True):
                        builder.store(builder.load(total), pointer, align=align)
        return context.get_dummy_value()

    size = types.intp
    return types.void(
        size, size, a, size, size, bits, size, size, b, size, init, size, c, size, vectors
    ), generate


def _choice_of(panels):
    """Return a helper that computes as many vectors as its first argument says: one of `panels`."""
    first, others = panels[0], panels[1:]
    if not others:

        @helper
        def last(vectors, m, k, a, a_row, a_k, bits, bits_row, bits_k, b, b_row, init, init_row, c, c_row):
            _panel(m, k, a, a_row, a_k, bits, bits_row, bits_k, b, b_row, init, init_row, c, c_row, first)

        return last

    rest = _choice_of(others)

    @helper
    def choose(vectors, m, k, a, a_row, a_k, bits, bits_row, bits_k, b, b_row, init, init_row, c, c_row):
        if vectors == first:
            _panel(m, k, a, a_row, a_k, bits, bits_row, bits_k, b, b_row, init, init_row, c, c_row, first)
        else:
            rest(vectors, m, k, a, a_row, a_k, bits, bits_row, bits_k, b, b_row, init, init_row, c, c_row)

    return choose


_panel_of = _choice_of(PANELS)


@routine
def nonzero_product(m, n, k, a, a_row, a_k, bits, bits_row, bits_k, b, b_row, init, init_row, c, c_row):
    """Set C = init + A B as `fastbp.kernels.product.product` does, without the terms where A is 0.

    Parameters
    ----------
    bits, bits_row, bits_k
        The address of the bits of the rows of A, 8 in a byte, and two distances in bytes, of which one is 1:
        from the bits of a row to those of the next row, and from a byte to the next one of its row.

    The others are those of `product`. C has at least `FEWEST_VECTORS` vectors a row.
    """
    j, step = 0, wide(c)
    while j < n:
        left = (n - j) // step
        if left % PANELS[0] == 0:
            vectors = PANELS[0]
        else:  # as even as possible: `PANELS` has every number between half of the usual one and that
            n_panels = (left + USUAL_VECTORS - 1) // USUAL_VECTORS
            vectors = (left + n_panels - 1) // n_panels
        b_at, init_at, c_at = shifted(b, j), shifted(init, j), shifted(c, j)
        _panel_of(
            vectors, m, k, a, a_row, a_k, bits, bits_row, bits_k, b_at, b_row, init_at, init_row, c_at, c_row
        )
        j += vectors * step


def bytes_of_bits(n_inputs: int, n_neurons: int, itemsize: int) -> int:
    """Return the bytes of the bits of a sample: 0 where zeros are never left out.

    That is so if there are few inputs, or few neurons in the first layer. The bits of columns need as many
    bytes for 8 samples as those of these samples, and whole blocks of samples.
    """
    if n_inputs < FEWEST_INPUTS or n_neurons <= (FEWEST_VECTORS - 1) * lanes(itemsize):
        return 0
    return -(-n_inputs // BLOCK) * BLOCK // 8
