"""Explicit SIMD vectors as a Numba type.

LLVM's vectoriser decides by itself what becomes a vector; a kernel whose speed depends on that decision
says so here instead. A `Vec` is an LLVM vector held in registers: ``load`` and ``store`` move it, ``+ - *``
work lane by lane, and nothing is ever contracted unless the code says `fma`.

Memory is reached through the address of a flat array; offsets count elements and are not checked. An
address, unlike an array, can be handed to a helper in a hot loop without a reference being
counted there: those counts are calls, and a call spills every vector register to the stack.
"""

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, lower_builtin, models, register_model, type_callable

_INT32 = ir.IntType(32)
_SUFFIX = {types.float32: "f32", types.float64: "f64"}


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


def _lane_by_lane(operation: Callable[..., Any], instruction: str) -> None:
    @type_callable(operation)
    def typer(context):
        def resolve(a, b):
            return a if isinstance(a, Vec) and a == b else None

        return resolve

    @lower_builtin(operation, Vec, Vec)
    def lower(context, builder, signature, arguments):
        return getattr(builder, instruction)(*arguments)


_lane_by_lane(operator.add, "fadd")
_lane_by_lane(operator.sub, "fsub")
_lane_by_lane(operator.mul, "fmul")


def _llvm(builder, name, vec, arguments):
    """Call an LLVM intrinsic such as llvm.fma, on scalars or vectors."""
    t = arguments[0].type
    suffix = f"v{vec.lanes}{_SUFFIX[vec.element]}" if isinstance(vec, Vec) else _SUFFIX[vec]
    signature = ir.FunctionType(t, [t] * len(arguments))
    function = cgutils.get_or_insert_function(builder.module, signature, f"llvm.{name}.{suffix}")
    return builder.call(function, arguments)


def _shuffle(builder, value, lanes):
    mask = ir.Constant(ir.VectorType(_INT32, len(lanes)), lanes)
    return builder.shuffle_vector(value, ir.Constant(value.type, ir.Undefined), mask)


def _vector_pointer(context, builder, vec, address, offset):
    pointer = builder.gep(address, [offset])
    return builder.bitcast(pointer, context.get_value_type(vec).as_pointer())


@intrinsic
def cast(typing, value, like):
    """Return the number `value` in the type of the number or vector element `like`."""
    target = like.element if isinstance(like, Vec) else like

    def generate(context, builder, signature, arguments):
        return context.cast(builder, arguments[0], value, target)

    return target(value, like), generate


@intrinsic
def address(typing, array):
    """Return where the elements of a C-contiguous array begin; the array must stay alive."""

    def generate(context, builder, signature, arguments):
        return context.make_array(array)(context, builder, arguments[0]).data

    return types.CPointer(array.dtype)(array), generate


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
        pointer = _vector_pointer(context, builder, vec, *arguments[:2])
        return builder.load(pointer, align=address.dtype.bitwidth // 8)

    return vec(address, types.intp, lanes), generate


@intrinsic
def store(typing, address, offset, value):
    """Write a vector to address[offset : offset + lanes]."""

    def generate(context, builder, signature, arguments):
        pointer = _vector_pointer(context, builder, value, *arguments[:2])
        builder.store(arguments[2], pointer, align=address.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(address, types.intp, value), generate


@intrinsic
def splat(typing, value, like):
    """Return a vector of the type of `like` with `value` in every lane."""

    def generate(context, builder, signature, arguments):
        number = context.cast(builder, arguments[0], value, like.element)
        undefined = ir.Constant(context.get_value_type(like), ir.Undefined)
        return _shuffle(builder, builder.insert_element(undefined, number, _INT32(0)), [0] * like.lanes)

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
def lane(typing, vec, index):
    """Return one lane as a number; `index` is a literal."""

    def generate(context, builder, signature, arguments):
        return builder.extract_element(arguments[0], _INT32(index.literal_value))

    return vec.element(vec, index), generate


@intrinsic(prefer_literal=True)
def spread(typing, vec, index):
    """Return a vector with lane `index` (a literal) of `vec` in every lane."""

    def generate(context, builder, signature, arguments):
        return _shuffle(builder, arguments[0], [index.literal_value] * vec.lanes)

    return vec(vec, index), generate


@intrinsic
def fma(typing, a, b, c):
    """Return a * b + c, rounded once: numbers or vectors."""

    def generate(context, builder, signature, arguments):
        return _llvm(builder, "fma", a, arguments)

    return a(a, a, a), generate


@intrinsic
def all_within(typing, vec, bound):
    """Return whether |vec| < bound in every lane; a NaN is not."""

    def generate(context, builder, signature, arguments):
        magnitude = _llvm(builder, "fabs", vec, arguments[:1])
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

    Added to a number below 2^21, it leaves no room for a fraction: the sum is rounded to an integer, which
    its low bits hold. Subtracting it again gives the rounded number.
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
