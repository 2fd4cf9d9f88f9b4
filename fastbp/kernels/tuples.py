"""Tuples of numbers or vectors in registers: load, store or fill several at once.

``Kind(*numbers)`` turns a tuple into a named one, so that code says ``h.beta1`` and not ``element(h, 1)``.
"""

from numba import types
from numba.extending import intrinsic

from fastbp.simd import Vec, element_bytes, emit_splat, lanes, vector_pointer


def _items(builder, kind, value):
    return [builder.extract_value(value, i) for i in range(len(kind))]


def _alike(kind, item):
    """Return the type of a tuple with the length and the names of `kind`, and items of one type."""
    return types.BaseTuple.from_types([item] * len(kind), getattr(kind, "instance_class", None))


@intrinsic(prefer_literal=True)
def elements(typing, address, count):
    """Return a tuple of the first `count` numbers at an address; `count` is a literal."""
    numbers = types.UniTuple(address.dtype, count.literal_value)

    def generate(context, builder, signature, arguments):
        size = context.get_value_type(types.intp)
        places = [builder.gep(arguments[0], [size(i)]) for i in range(len(numbers))]
        return context.make_tuple(builder, numbers, [builder.load(place) for place in places])

    return numbers(address, count), generate


@intrinsic
def put_each(typing, address, numbers):
    """Write the numbers of a tuple to an address, one after the other."""

    def generate(context, builder, signature, arguments):
        size = context.get_value_type(types.intp)
        items = _items(builder, numbers, arguments[1])
        for i, (kind, item) in enumerate(zip(numbers, items, strict=True)):
            number = context.cast(builder, item, kind, address.dtype)
            builder.store(number, builder.gep(arguments[0], [size(i)]))
        return context.get_dummy_value()

    return types.void(address, numbers), generate


@intrinsic(prefer_literal=True)
def replaced(typing, numbers, name, value):
    """Return a named tuple with another value in one field; `name` is a literal."""
    at = numbers.fields.index(name.literal_value)

    def generate(context, builder, signature, arguments):
        number = context.cast(builder, arguments[2], value, numbers[at])
        return builder.insert_value(arguments[0], number, at)

    return numbers(numbers, name, value), generate


@intrinsic
def wide_splats(typing, numbers, address):
    """Return a tuple with the `wide_splat` of each number; a named tuple keeps its names."""
    vec = Vec(address.dtype, lanes(element_bytes(address.dtype)))
    vectors = _alike(numbers, vec)

    def generate(context, builder, signature, arguments):
        items = [
            emit_splat(builder, context.cast(builder, item, kind, vec.element), context.get_value_type(vec))
            for kind, item in zip(numbers, _items(builder, numbers, arguments[0]), strict=True)
        ]
        return context.make_tuple(builder, vectors, items)

    return vectors(numbers, address), generate


@intrinsic(prefer_literal=True)
def wide_load_each(typing, address, offset, distance, count):
    """Return a tuple of `count` vectors, from address[offset], address[offset + distance], ... on.

    `count` is a literal.
    """
    vec = Vec(address.dtype, lanes(element_bytes(address.dtype)))
    vectors = types.UniTuple(vec, count.literal_value)

    def generate(context, builder, signature, arguments):
        address, offset, distance, _ = arguments
        items = []
        for i in range(len(vectors)):
            at = builder.add(offset, builder.mul(distance, distance.type(i)))
            place = vector_pointer(context, builder, vec, address, at)
            items.append(builder.load(place, align=element_bytes(vec)))
        return context.make_tuple(builder, vectors, items)

    return vectors(address, types.intp, types.intp, count), generate


@intrinsic
def store_each(typing, address, offset, distance, vectors):
    """Write the vectors of a tuple to the places where `wide_load_each` reads them."""

    def generate(context, builder, signature, arguments):
        address, offset, distance, value = arguments
        for i, item in enumerate(_items(builder, vectors, value)):
            at = builder.add(offset, builder.mul(distance, distance.type(i)))
            place = vector_pointer(context, builder, vectors[i], address, at)
            builder.store(item, place, align=element_bytes(vectors[i]))
        return context.get_dummy_value()

    return types.void(address, types.intp, types.intp, vectors), generate
