"""Explicit SIMD vectors as a Numba type.

LLVM's vectoriser decides by itself what becomes a vector. A kernel whose speed depends on that decision uses
these vectors instead. A `Vec` is an LLVM vector, held in registers. ``load`` and ``store`` move it, and
``+ - * /`` work lane by lane. A multiplication and an addition become one operation only where the code says
`fma`.

Memory is reached through the address of a flat array. Offsets count elements, and are not checked. A hot
loop may hand an address to a helper, but not an array: Numba counts references to arrays, each count is a
call, and a call spills all vector registers to the stack.

Longer than 500 lines, because it is the one vocabulary of kernels: some sixty operations of a few lines each.
"""

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import TypingError, types
from numba.core import cgutils
from numba.extending import intrinsic, lower_builtin, models, register_model, type_callable

from fastbp.processor import FEATURES, HAS_FMA, WIDTH

_BIT, _INT32, _INT64 = ir.IntType(1), ir.IntType(32), ir.IntType(64)
_SUFFIX = {
    types.float32: "f32",
    types.float64: "f64",
    types.int32: "i32",
    types.int64: "i64",
    types.uint64: "i64",
}


def lanes(itemsize: int) -> int:
    """Return how many numbers of this many bytes fit into a vector."""
    return WIDTH // itemsize


class Vec(types.Type):
    """The type of a vector: `lanes` numbers of type `element`."""

    def __init__(self, element: types.Type, lanes: int):
        self.element, self.lanes = element, lanes
        super().__init__(name=f"Vec({element} x {lanes})")


@register_model(Vec)
class _VecModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vec: Vec):
        element = manager.lookup(vec.element).get_value_type()
        super().__init__(manager, vec, ir.VectorType(element, vec.lanes))


def _lane_by_lane(operation: Callable[..., Any], for_floats: str, for_integers: str | None) -> None:
    @type_callable(operation)
    def typer(context):
        def resolve(a, b):
            return a if isinstance(a, Vec) and a == b else None

        return resolve

    @lower_builtin(operation, Vec, Vec)
    def lower(context, builder, signature, arguments):
        is_float = isinstance(signature.args[0].element, types.Float)
        return getattr(builder, for_floats if is_float else for_integers)(*arguments)


def emit_llvm(builder, name, vec, arguments):
    """Call an LLVM intrinsic such as llvm.fma, on scalars or vectors."""
    t = arguments[0].type
    suffix = f"v{vec.lanes}{_SUFFIX[vec.element]}" if isinstance(vec, Vec) else _SUFFIX[vec]
    signature = ir.FunctionType(t, [t] * len(arguments))
    function = cgutils.get_or_insert_function(builder.module, signature, f"llvm.{name}.{suffix}")
    return builder.call(function, arguments)


def emit_fma(builder, kind, a, b, c):
    """Compute a b + c of numbers or vectors, with one rounding if the processor has such an instruction.

    Without one, LLVM would call a function of the C library for every lane; so there are two roundings.
    """
    if HAS_FMA:
        return emit_llvm(builder, "fma", kind, [a, b, c])
    return builder.fadd(builder.fmul(a, b), c)


def _emit_product_rest(builder, a, b, product):
    """Compute a b - product exactly, where `product` is the rounded product of a and b.

    Both factors are split into halves of their digits: Dekker (1971), "A floating-point technique for
    extending the available precision", https://doi.org/10.1007/BF01397083. No number may be near overflow or
    underflow.
    """

    def halves(x):
        number = x.type.element if isinstance(x.type, ir.VectorType) else x.type
        far = builder.fmul(x, _constant(x.type, 2.0**27 + 1 if number == ir.DoubleType() else 2.0**12 + 1))
        high = builder.fsub(far, builder.fsub(far, x))
        return high, builder.fsub(x, high)

    a_high, a_low = halves(a)
    b_high, b_low = halves(b)
    rest = builder.fsub(builder.fmul(a_high, b_high), product)
    for x, y in ((a_high, b_low), (a_low, b_high), (a_low, b_low)):
        rest = builder.fadd(rest, builder.fmul(x, y))
    return rest


def emit_prefetch(builder, address, to_write=False):
    """Ask for the cache line at an address, which need not exist: nothing depends on it but time."""
    byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    to_all_caches, of_data = number(3), number(1)
    builder.call(function, [builder.bitcast(address, byte), number(int(to_write)), to_all_caches, of_data])


@intrinsic
def prefetch(typing, address, offset):
    """Ask for the cache line of address[offset], which need not exist."""

    def generate(context, builder, signature, arguments):
        emit_prefetch(builder, builder.gep(arguments[0], [arguments[1]]))
        return context.get_dummy_value()

    return types.void(address, types.intp), generate


def emit_shuffle(builder, value, lanes, other=None):
    """Return the lanes with these numbers: of one vector, or of two, one behind the other."""
    n = value.type.count if other is None else 2 * value.type.count
    if max(lanes) >= n:
        raise IndexError(f"a vector of {n} lanes has none with the number {max(lanes)}")
    mask = ir.Constant(ir.VectorType(_INT32, len(lanes)), lanes)
    return builder.shuffle_vector(value, other or ir.Constant(value.type, ir.Undefined), mask)


def _constant(t, number):
    return ir.Constant(t, [number] * t.count) if isinstance(t, ir.VectorType) else ir.Constant(t, number)


def emit_splat(builder, number, t):
    """Return a vector of the LLVM type t with a number in every lane."""
    first = builder.insert_element(ir.Constant(t, ir.Undefined), number, _INT32(0))
    return emit_shuffle(builder, first, [0] * t.count)


def vector_pointer(context, builder, vec, address, offset):
    """Return the address of the vector of type `vec` that begins at address[offset]."""
    pointer = builder.gep(address, [offset])
    return builder.bitcast(pointer, context.get_value_type(vec).as_pointer())


def element_bytes(vec):
    """Return how many bytes a number of a Numba type has, or an element of a vector type."""
    return (vec.element if isinstance(vec, Vec) else vec).bitwidth // 8


_lane_by_lane(operator.add, "fadd", "add")
_lane_by_lane(operator.sub, "fsub", "sub")
_lane_by_lane(operator.mul, "fmul", "mul")
_lane_by_lane(operator.truediv, "fdiv", None)


@intrinsic
def cast(typing, value, like):
    """Return a number, converted to the type of `like`: a number, or a vector with such elements."""
    target = like.element if isinstance(like, Vec) else like

    def generate(context, builder, signature, arguments):
        return context.cast(builder, arguments[0], value, target)

    return target(value, like), generate


@intrinsic
def address(typing, array):
    """Return where the elements of a C-contiguous array begin; the array must stay alive."""
    if array.layout != "C":
        raise TypingError(f"{array} is not C-contiguous")

    def generate(context, builder, signature, arguments):
        return context.make_array(array)(context, builder, arguments[0]).data

    return types.CPointer(array.dtype)(array), generate


@intrinsic
def same_type(typing, address, other):
    """Return the first address. If the elements at the two have different types, this does not compile."""
    if address != other:
        raise TypingError(f"{address} is not {other}")
    return address(address, other), lambda context, builder, signature, arguments: arguments[0]


@intrinsic
def as_bytes(typing, address):
    """Return the address as one of bytes."""
    to = types.CPointer(types.uint8)

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], context.get_value_type(to))

    return to(address), generate


@intrinsic
def element(typing, address, offset):
    """Return the number at address[offset]."""

    def generate(context, builder, signature, arguments):
        return builder.load(builder.gep(arguments[0], [arguments[1]]))

    return address.dtype(address, types.intp), generate


@intrinsic
def put(typing, address, offset, value):
    """Write a number to address[offset], in the type of the elements there."""

    def generate(context, builder, signature, arguments):
        number = context.cast(builder, arguments[2], value, address.dtype)
        builder.store(number, builder.gep(arguments[0], [arguments[1]]))
        return context.get_dummy_value()

    return types.void(address, types.intp, value), generate


@intrinsic(prefer_literal=True)
def load(typing, address, offset, lanes):
    """Return a vector of address[offset : offset + lanes]; `lanes` is a literal."""
    vec = Vec(address.dtype, lanes.literal_value)

    def generate(context, builder, signature, arguments):
        pointer = vector_pointer(context, builder, vec, *arguments[:2])
        return builder.load(pointer, align=address.dtype.bitwidth // 8)

    return vec(address, types.intp, lanes), generate


@intrinsic
def store(typing, address, offset, value):
    """Write a vector to address[offset : offset + lanes]."""

    def generate(context, builder, signature, arguments):
        pointer = vector_pointer(context, builder, value, *arguments[:2])
        builder.store(arguments[2], pointer, align=address.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(address, types.intp, value), generate


@intrinsic
def wide(typing, address):
    """Return how many numbers, of the type at an address, one of the processor's vectors has."""
    n = lanes(element_bytes(address.dtype))

    def generate(context, builder, signature, arguments):
        return context.get_constant(types.intp, n)

    return types.intp(address), generate


@intrinsic
def wide_load(typing, address, offset):
    """Return a vector as wide as the processor's from address[offset] on."""
    vec = Vec(address.dtype, lanes(element_bytes(address.dtype)))

    def generate(context, builder, signature, arguments):
        return builder.load(vector_pointer(context, builder, vec, *arguments), align=element_bytes(vec))

    return vec(address, types.intp), generate


@intrinsic
def wide_splat(typing, value, address):
    """Return a vector as wide as the processor's, of the type at `address`, with `value` in every lane."""
    vec = Vec(address.dtype, lanes(element_bytes(address.dtype)))

    def generate(context, builder, signature, arguments):
        number = context.cast(builder, arguments[0], value, vec.element)
        return emit_splat(builder, number, context.get_value_type(vec))

    return vec(value, address), generate


@intrinsic
def wide_splat_4(typing, value, address):
    """Return what `wide_splat` returns, with 4 lanes if the processor's vectors have fewer."""
    vec = Vec(address.dtype, max(4, lanes(element_bytes(address.dtype))))

    def generate(context, builder, signature, arguments):
        number = context.cast(builder, arguments[0], value, vec.element)
        return emit_splat(builder, number, context.get_value_type(vec))

    return vec(value, address), generate


@intrinsic
def load_like(typing, address, offset, like):
    """Return a vector with as many lanes as `like` from address[offset] on."""

    def generate(context, builder, signature, arguments):
        return builder.load(vector_pointer(context, builder, like, *arguments[:2]), align=element_bytes(like))

    return like(address, types.intp, like), generate


@intrinsic
def masked_load(typing, address, offset, n, other):
    """Return `other`, with its first n lanes from address[offset : offset + n]. It reads nothing beyond."""
    vec = other

    def generate(context, builder, signature, arguments):
        address, offset, n, other = arguments
        pointer = vector_pointer(context, builder, vec, address, offset)
        mask = _first_lanes(builder, vec, n)
        name = f"llvm.masked.load.v{vec.lanes}{_SUFFIX[vec.element]}.p0"
        shape = ir.FunctionType(other.type, [pointer.type, _INT32, mask.type, other.type])
        function = cgutils.get_or_insert_function(builder.module, shape, name)
        return builder.call(function, [pointer, _INT32(element_bytes(vec)), mask, other])

    return vec(address, types.intp, types.intp, vec), generate


def _first_lanes(builder, vec, n):
    """Return a mask of the lanes below n: one comparison, of integers as wide as the lanes."""
    integer = ir.IntType(vec.element.bitwidth)
    numbers = ir.Constant(ir.VectorType(integer, vec.lanes), list(range(vec.lanes)))
    n = n if integer == _INT64 else builder.trunc(n, integer)
    return builder.icmp_signed("<", numbers, emit_splat(builder, n, numbers.type))


@intrinsic
def first_lanes(typing, n, vec, other):
    """Return a vector with the first n lanes of `vec`, and the other lanes of `other`."""

    def generate(context, builder, signature, arguments):
        n, value, other = arguments
        return builder.select(_first_lanes(builder, vec, n), value, other)

    return vec(types.intp, vec, vec), generate


@intrinsic
def splat(typing, value, like):
    """Return a vector of the type of `like` with `value` in every lane. If `like` is a number, return one."""

    def generate(context, builder, signature, arguments):
        if not isinstance(like, Vec):
            return context.cast(builder, arguments[0], value, like)
        number = context.cast(builder, arguments[0], value, like.element)
        return emit_splat(builder, number, context.get_value_type(like))

    return like(value, like), generate


@intrinsic
def pair(typing, first, second):
    """Return a vector of two numbers."""
    vec = Vec(first, 2)

    def generate(context, builder, signature, arguments):
        value = ir.Constant(context.get_value_type(vec), ir.Undefined)
        for i, number in enumerate(arguments):
            value = builder.insert_element(value, number, _INT32(i))
        return value

    return vec(first, first), generate


@intrinsic(prefer_literal=True)
def low(typing, vec, count):
    """Return the first `count` lanes, a literal, as a shorter vector."""
    short = Vec(vec.element, count.literal_value)

    def generate(context, builder, signature, arguments):
        return emit_shuffle(builder, arguments[0], list(range(short.lanes)))

    return short(vec, count), generate


@intrinsic
def lane_sums(typing, a, b, c, d):
    """Return the sums of all lanes of four vectors, as a vector of four."""
    sums = Vec(a.element, 4)

    def generate(context, builder, signature, arguments):
        return emit_lane_sums(builder, list(arguments))

    return sums(a, a, a, a), generate


def emit_lane_sums(builder, parts):
    """Return a vector that has the sum of each vector in a lane; the number of vectors is a power of 2.

    A vector consists of sections of lanes, each with partial sums of one of the given vectors. Two vectors
    become one, with sections half as wide. When one vector is left, halving its sections makes it shorter. If
    sections are single lanes and several vectors are left, these are put one behind the other.
    """
    group = parts[0].type.count
    while group > 1:
        group //= 2
        width = parts[0].type.count * min(len(parts), 2)
        first = [i for i in range(width) if i // group % 2 == 0]
        second = [i + group for i in first]
        pairs = zip(parts[::2], parts[1::2], strict=True) if len(parts) > 1 else [(parts[0], None)]
        parts = [
            builder.fadd(emit_shuffle(builder, x, first, y), emit_shuffle(builder, x, second, y))
            for x, y in pairs
        ]
    return emit_join(builder, parts)


def emit_join(builder, parts):
    """Put vectors one behind the other; their number is a power of 2."""
    while len(parts) > 1:
        both = list(range(2 * parts[0].type.count))
        parts = [emit_shuffle(builder, x, both, y) for x, y in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


@intrinsic(prefer_literal=True)
def lane(typing, vec, index):
    """Return one lane as a number; `index` is a literal."""

    def generate(context, builder, signature, arguments):
        return builder.extract_element(arguments[0], _INT32(index.literal_value))

    return vec.element(vec, index), generate


@intrinsic(prefer_literal=True)
def spread(typing, vec, index):
    """Return a vector with lane `index` (a literal) of `vec` in every lane."""

    def generate(context, builder, signature, arguments):
        return emit_shuffle(builder, arguments[0], [index.literal_value] * vec.lanes)

    return vec(vec, index), generate


@intrinsic
def fma(typing, a, b, c):
    """Return a * b + c of numbers or vectors, with one rounding if the processor has such an instruction."""

    def generate(context, builder, signature, arguments):
        return emit_fma(builder, a, *arguments)

    return a(a, a, a), generate


@intrinsic
def fma_exact(typing, a, b, c):
    """Return a * b + c where c is about -a * b. The small difference is right on every processor."""

    def generate(context, builder, signature, arguments):
        if HAS_FMA:
            return emit_fma(builder, a, *arguments)
        x, y, z = arguments
        product = builder.fmul(x, y)
        return builder.fadd(builder.fadd(product, z), _emit_product_rest(builder, x, y, product))

    return a(a, a, a), generate


@intrinsic
def root(typing, a):
    """Return the square root of a number or a vector."""

    def generate(context, builder, signature, arguments):
        return emit_llvm(builder, "sqrt", a, arguments)

    return a(a), generate


@intrinsic
def magnitude(typing, a):
    """Return |a| for a number or a vector."""

    def generate(context, builder, signature, arguments):
        return emit_llvm(builder, "fabs", a, arguments)

    return a(a), generate


@intrinsic
def with_sign(typing, a, b):
    """Return |a| with the sign of b, for numbers or vectors."""

    def generate(context, builder, signature, arguments):
        return emit_llvm(builder, "copysign", a, arguments)

    return a(a, a), generate


def _comparison(name: str, sign: str, meaning: str) -> Any:
    """Return an intrinsic ``name(a, b, yes, no)`` that selects `yes` or `no`, lane by lane."""

    def select(typing, a, b, yes, no):
        def generate(context, builder, signature, arguments):
            a, b, yes, no = arguments
            return builder.select(builder.fcmp_ordered(sign, a, b), yes, no)

        return yes(a, a, yes, yes), generate

    select.__name__ = name
    select.__doc__ = f"Return `yes` where {meaning}, else `no`: numbers or vectors."
    return intrinsic(select)


where_less = _comparison("where_less", "<", "a < b")
where_equal = _comparison("where_equal", "==", "a == b")


def _reduction(name: str, combine: Callable[..., Any], meaning: str) -> Any:
    """Return an intrinsic that combines halves of a vector, always in the same order, down to one number."""

    def reduce(typing, vec):
        def generate(context, builder, signature, arguments):
            (value,) = arguments
            n = vec.lanes
            while n > 1:
                n //= 2
                low = emit_shuffle(builder, value, list(range(n)))
                high = emit_shuffle(builder, value, list(range(n, 2 * n)))
                value = combine(builder, low, high)
            return builder.extract_element(value, _INT32(0))

        return vec.element(vec), generate

    reduce.__name__ = name
    reduce.__doc__ = f"Return the {meaning} of all lanes as a number."
    return intrinsic(reduce)


def _larger(builder, a, b):
    return builder.select(builder.fcmp_unordered(">=", a, b), a, b)


lane_sum = _reduction("lane_sum", lambda builder, a, b: builder.fadd(a, b), "sum")
lane_max = _reduction("lane_max", _larger, "largest")


def polynomial(float32: tuple[float, ...], float64: tuple[float, ...]) -> Any:
    """Return an intrinsic ``p(x)`` that evaluates a polynomial, on numbers or vectors, by Estrin's scheme.

    Parameters
    ----------
    float32, float64 : tuple of float
        The coefficients for each type, constant term first.
    """
    coefficients = {types.float32: float32, types.float64: float64}

    def evaluate(typing, x):
        def generate(context, builder, signature, arguments):
            (power,) = arguments
            t = power.type
            terms = [_constant(t, c) for c in coefficients[x.element if isinstance(x, Vec) else x]]
            while len(terms) > 1:
                pairs = [
                    emit_fma(builder, x, terms[i + 1], power, terms[i]) for i in range(0, len(terms) - 1, 2)
                ]
                terms = pairs + terms[len(pairs) * 2 :]
                power = builder.fmul(power, power) if len(terms) > 1 else power
            return terms[0]

        return x(x), generate

    evaluate.__doc__ = "Return the polynomial's value."
    return intrinsic(evaluate)


@intrinsic
def transpose_block(typing, source, at, row, target, target_at, target_row):
    """Write the transpose of a square block to target[target_at]. The block begins at source[at].

    A row of the block is a vector. `row` and `target_row` are the distances between rows. Halves of rows are
    exchanged, then halves of these halves, and so on.
    """
    vec = Vec(source.dtype, lanes(element_bytes(source.dtype)))

    def generate(context, builder, signature, arguments):
        source, at, row, target, target_at, target_row = arguments
        count, align = vec.lanes, element_bytes(vec)

        def place(pointer, start, distance, i):
            offset = builder.add(start, builder.mul(distance, distance.type(i)))
            return vector_pointer(context, builder, vec, pointer, offset)

        rows = [builder.load(place(source, at, row, i), align=align) for i in range(count)]
        half = count // 2
        while half:
            low = [i if not i & half else count + i - half for i in range(count)]
            high = [i + half if not i & half else count + i for i in range(count)]
            for i in range(count):
                if not i & half:
                    a, b = rows[i], rows[i + half]
                    rows[i] = emit_shuffle(builder, a, low, b)
                    rows[i + half] = emit_shuffle(builder, a, high, b)
            half //= 2
        for i, value in enumerate(rows):
            builder.store(value, place(target, target_at, target_row, i), align=align)
        return context.get_dummy_value()

    size = types.intp
    return types.void(source, size, size, target, size, size), generate


def _emit_small_blocks(builder, vectors):
    """Transpose square blocks that lie side by side: of four lanes in four vectors, or of two in two."""
    n, width = vectors[0].type.count, len(vectors)
    blocks = range(0, n, width)
    low = [k for b in blocks for i in range(b, b + width // 2) for k in (i, n + i)]
    high = [i + width // 2 for i in low]
    for _ in range(width.bit_length() - 1):
        pairs = zip(vectors[: width // 2], vectors[width // 2 :], strict=True)
        vectors = [emit_shuffle(builder, a, half, b) for a, b in pairs for half in (low, high)]
    return vectors


@intrinsic
def transpose_4_columns(typing, source, at, row, target, target_at, target_row):
    """Do what `transpose_block` does for the first four columns, or for two if a vector has two lanes.

    It takes 8 shuffles, and `transpose_block` 64 for a block of 16 rows.
    """
    vec = Vec(source.dtype, lanes(element_bytes(source.dtype)))
    count, align, width = vec.lanes, element_bytes(vec), min(4, vec.lanes)

    def generate(context, builder, signature, arguments):
        source, at, row, target, target_at, target_row = arguments

        def part(i):
            place = builder.add(at, builder.mul(row, row.type(i)))
            pointer = vector_pointer(context, builder, Vec(vec.element, width), source, place)
            return builder.load(pointer, align=align)

        rows = [[part(i) for i in range(first, count, width)] for first in range(width)]
        for i, value in enumerate(_emit_small_blocks(builder, [emit_join(builder, parts) for parts in rows])):
            place = builder.add(target_at, builder.mul(target_row, target_row.type(i)))
            builder.store(value, vector_pointer(context, builder, vec, target, place), align=align)
        return context.get_dummy_value()

    size = types.intp
    return types.void(source, size, size, target, size, size), generate


@intrinsic
def transpose_4_rows(typing, source, at, row, target, target_at, target_row):
    """Do what `transpose_block` does if all rows behind the fourth are 0, without reading them."""
    vec = Vec(source.dtype, lanes(element_bytes(source.dtype)))
    count, align, width = vec.lanes, element_bytes(vec), min(4, vec.lanes)

    def generate(context, builder, signature, arguments):
        source, at, row, target, target_at, target_row = arguments

        def place(pointer, start, distance, i):
            offset = builder.add(start, builder.mul(distance, distance.type(i)))
            return vector_pointer(context, builder, vec, pointer, offset)

        rows = [builder.load(place(source, at, row, i), align=align) for i in range(width)]
        zero = ir.Constant(rows[0].type, [0.0] * count)
        columns = _emit_small_blocks(builder, rows)
        for i in range(count):
            start = i // width * width
            kept = [*range(start, start + width), *[count] * (count - width)]
            value = emit_shuffle(builder, columns[i % width], kept, zero)
            builder.store(value, place(target, target_at, target_row, i), align=align)
        return context.get_dummy_value()

    size = types.intp
    return types.void(source, size, size, target, size, size), generate


@intrinsic
def small_numbers(typing, address, offset, like):
    """Return a vector like `like` of the int64 numbers from address[offset] on, which are below 2^31.

    A conversion of int32 numbers is one instruction everywhere, that of int64 numbers only with AVX-512.
    """

    def generate(context, builder, signature, arguments):
        place = vector_pointer(context, builder, Vec(types.int64, like.lanes), *arguments[:2])
        whole = builder.trunc(builder.load(place, align=8), ir.VectorType(_INT32, like.lanes))
        return builder.sitofp(whole, context.get_value_type(like))

    return like(address, types.intp, like), generate


@intrinsic
def small_numbers_at(typing, address, places, like):
    """Return a vector like `like` of int64 numbers below 2^31: address[places[0]] and so on."""

    def generate(context, builder, signature, arguments):
        address, places, _ = arguments
        whole = ir.Constant(ir.VectorType(_INT32, like.lanes), ir.Undefined)
        for i in range(like.lanes):
            place = builder.load(builder.gep(places, [_INT64(i)]))
            number = builder.trunc(builder.load(builder.gep(address, [place])), _INT32)
            whole = builder.insert_element(whole, number, _INT32(i))
        return builder.sitofp(whole, context.get_value_type(like))

    return like(address, places, like), generate


@intrinsic
def number_of(typing, address):
    """Return an address as an integer."""

    def generate(context, builder, signature, arguments):
        return builder.ptrtoint(arguments[0], context.get_value_type(types.intp))

    return types.intp(address), generate


@intrinsic
def all_within(typing, vec, bound):
    """Return whether |vec| < bound in every lane; it is not where there is a NaN."""

    def generate(context, builder, signature, arguments):
        magnitude = emit_llvm(builder, "fabs", vec, arguments[:1])
        lanes = builder.fcmp_ordered("<", magnitude, arguments[1])
        result = builder.extract_element(lanes, _INT32(0))
        for i in range(1, vec.lanes):
            result = builder.and_(result, builder.extract_element(lanes, _INT32(i)))
        return result

    return types.boolean(vec, vec), generate


@intrinsic
def high_word(typing, a, b):
    """Return the upper 64 bits of the 128-bit product of two uint64 numbers."""

    def generate(context, builder, signature, arguments):
        wide = [builder.zext(argument, ir.IntType(128)) for argument in arguments]
        product = builder.lshr(builder.mul(*wide), ir.Constant(ir.IntType(128), 64))
        return builder.trunc(product, ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), generate


@intrinsic
def bits(typing, number):
    """Return the bits of a float64 or float32 number as an int64 or int32."""
    integer = {types.float64: types.int64, types.float32: types.int32}[number]

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], context.get_value_type(integer))

    return integer(number), generate


@intrinsic
def rounder(typing, like):
    """Return 1.5 * 2^52 (float64) or 1.5 * 2^23 (float32).

    Added to a number below 2^21, it leaves no bits for a fraction. So the sum is rounded to an integer, which
    is in its low bits. Subtracting the constant again gives the rounded number.
    """
    digits = {types.float64: 52, types.float32: 23}[like]

    def generate(context, builder, signature, arguments):
        return context.get_constant(like, 1.5 * 2**digits)

    return like(like), generate


@intrinsic
def shifted(typing, address, offset):
    """Return the address of the element at address[offset]."""

    def generate(context, builder, signature, arguments):
        return builder.gep(arguments[0], [arguments[1]])

    return address(address, types.intp), generate


@intrinsic
def item_bytes(typing, address):
    """Return the bytes of a number at an address."""

    def generate(context, builder, signature, arguments):
        return context.get_constant(types.intp, element_bytes(address.dtype))

    return types.intp(address), generate


@intrinsic
def exponent(typing, vec):
    """Return whole numbers k with vec = m 2^k and 2/3 <= m < 4/3, for positive normal numbers."""
    digits = _DIGITS[vec.element]

    def generate(context, builder, signature, arguments):
        (value,) = arguments
        integers = ir.VectorType(ir.IntType(8 * element_bytes(vec)), vec.lanes)
        above = _above(builder, value, integers)
        return builder.sitofp(builder.ashr(above, _constant(integers, digits)), value.type)

    return vec(vec), generate


@intrinsic
def exponent_from_1(typing, vec):
    """Return what `exponent` does, for numbers from 1 on: a conversion of int64 numbers would be slow."""
    digits = _DIGITS[vec.element]

    def generate(context, builder, signature, arguments):
        (value,) = arguments
        integers = ir.VectorType(ir.IntType(8 * element_bytes(vec)), vec.lanes)
        large = _constant(value.type, 2.0**digits)
        k = builder.lshr(_above(builder, value, integers), _constant(integers, digits))
        number = builder.or_(k, builder.bitcast(large, integers))
        return builder.fsub(builder.bitcast(number, value.type), large)

    return vec(vec), generate


@intrinsic
def mantissa(typing, vec):
    """Return m with vec = m 2^k and 2/3 <= m < 4/3, for positive normal numbers."""
    digits = _DIGITS[vec.element]

    def generate(context, builder, signature, arguments):
        (value,) = arguments
        integers = ir.VectorType(ir.IntType(8 * element_bytes(vec)), vec.lanes)
        power = builder.and_(_above(builder, value, integers), _constant(integers, -(2**digits)))
        return builder.bitcast(builder.sub(builder.bitcast(value, integers), power), value.type)

    return vec(vec), generate


def _above(builder, value, integers):
    """Return how far the bits of numbers are above those of 2/3."""
    return builder.sub(
        builder.bitcast(value, integers), builder.bitcast(_constant(value.type, 2 / 3), integers)
    )


@intrinsic
def scaled(typing, vec, n):
    """Return vec * 2^n with one rounding; n are whole numbers below 2^11 (float64) or 2^8 (float32)."""

    def generate(context, builder, signature, arguments):
        lower = _scale_at_once if "avx512f" in FEATURES else _scale_in_two_steps
        return lower(builder, vec, *arguments)

    return vec(vec, vec), generate


_DIGITS = {types.float32: 23, types.float64: 52}


def _scale_at_once(builder, vec, value, n):
    """Use AVX-512's vscalef. It takes whole registers, so the vector is divided into these, or padded."""
    width = 64 // element_bytes(vec)
    whole = ir.VectorType(value.type.element, width)
    letter, mask = ("s", ir.IntType(16)) if vec.element == types.float32 else ("d", ir.IntType(8))
    shape = ir.FunctionType(whole, [whole, whole, whole, mask, _INT32])
    name = f"llvm.x86.avx512.mask.scalef.p{letter}.512"
    function = cgutils.get_or_insert_function(builder.module, shape, name)
    registers = []
    for start in range(0, vec.lanes, width):
        chosen = [min(start + i, vec.lanes - 1) for i in range(width)]
        a, b = (emit_shuffle(builder, v, chosen) for v in (value, n))
        current_rounding = _INT32(4)
        registers.append(builder.call(function, [a, b, a, mask(-1), current_rounding]))
    while len(registers) & (len(registers) - 1):
        registers.append(registers[-1])  # beyond the last lane
    return emit_shuffle(builder, emit_join(builder, registers), list(range(vec.lanes)))


def _scale_in_two_steps(builder, vec, value, n):
    """Multiply by two powers of two, since one alone may be out of range. The first product is exact."""
    digits, t = _DIGITS[vec.element], value.type
    integers = ir.VectorType(ir.IntType(8 * element_bytes(vec)), vec.lanes)
    magic, bias = _constant(t, 1.5 * 2**digits), _constant(integers, 1023 if digits == 52 else 127)
    whole = builder.sub(builder.bitcast(builder.fadd(n, magic), integers), builder.bitcast(magic, integers))
    half = builder.ashr(whole, _constant(integers, 1))
    for power in (half, builder.sub(whole, half)):
        bits = builder.shl(builder.add(power, bias), _constant(integers, digits))
        value = builder.fmul(value, builder.bitcast(bits, t))
    return value


@intrinsic(prefer_literal=True)
def wide_loads(typing, address, offset, count):
    """Return a vector `count` times (a literal) as wide as the processor's from address[offset] on."""
    vec = Vec(address.dtype, count.literal_value * lanes(element_bytes(address.dtype)))

    def generate(context, builder, signature, arguments):
        return builder.load(vector_pointer(context, builder, vec, *arguments[:2]), align=element_bytes(vec))

    return vec(address, types.intp, count), generate


@intrinsic
def same(typing, a, b):
    """Return whether two addresses are equal."""

    def generate(context, builder, signature, arguments):
        return builder.icmp_unsigned("==", *arguments)

    return types.boolean(a, a), generate


@intrinsic
def converted(typing, vec, like):
    """Return a vector of floats with its numbers in the type of another vector, or of numbers at an address.

    Rounded once if that type is shorter.
    """
    element = like.element if isinstance(like, Vec) else like.dtype
    target = Vec(element, vec.lanes)

    def generate(context, builder, signature, arguments):
        if element == vec.element:
            return arguments[0]
        change = builder.fpext if element == types.float64 else builder.fptrunc
        return change(arguments[0], context.get_value_type(target))

    return target(vec, like), generate


@intrinsic
def long_load(typing, address, offset, like):
    """Return a vector with as many lanes as `like` from address[offset] on, in the type at the address."""
    vec = Vec(address.dtype, like.lanes)

    def generate(context, builder, signature, arguments):
        return builder.load(vector_pointer(context, builder, vec, *arguments[:2]), align=element_bytes(vec))

    return vec(address, types.intp, like), generate


@intrinsic
def align_stack(typing):
    """Let vectors that find no register lie at cache lines in the stack of this function.

    LLVM keeps them in a stack that is aligned to 16 bytes, so that half of them may lie across two lines. It
    aligns the stack further only if a variable asks for it. A step of four blocks of 2-2-2 networks takes a
    fifth less time.
    """

    def generate(context, builder, signature, arguments):
        with builder.goto_entry_block():
            room = builder.alloca(ir.ArrayType(ir.IntType(8), 64))
            room.align = 64
        use = ir.InlineAsm(ir.FunctionType(ir.VoidType(), [room.type]), "", "r", side_effect=True)
        builder.call(use, [room])
        return context.get_dummy_value()

    return types.void(), generate
