"""Records as a Numba type: kernels read and write the fields of `fastbp.kernels.fields` by name.

``get(job, "rates")`` with a literal name compiles to one load, and returns what the table says: an integer, a
float64, a typed address, or another record. A wrong name, or a number of another type, does not compile.
"""

import difflib

from llvmlite import ir
from numba import TypingError, types
from numba.extending import intrinsic, models, register_model

from fastbp._jit import helper
from fastbp.kernels.fields import BOUNDARY, RECORDS, Field, element_type, place, place_in_job
from fastbp.simd import shifted

_INT64 = ir.IntType(64)


class Record(types.Type):
    """The type of a record's address: `record` names its table, `own` is the network's dtype."""

    def __init__(self, record: str, own: types.Type):
        self.record, self.own = record, own
        self.word = getattr(types, element_type(record))
        super().__init__(name=f"Record({record}, {own})")


@register_model(Record)
class _RecordModel(models.PrimitiveModel):
    def __init__(self, manager, record):
        super().__init__(manager, record, manager.lookup(record.word).get_value_type().as_pointer())


def _field(record, name, of_boundary=False) -> Field:
    """Return a field of a record, or of a boundary of the job, by the type of its name."""
    if not isinstance(record, Record):
        raise TypingError(f"{record} is no record")
    table = RECORDS["boundary" if of_boundary else record.record]
    if not isinstance(name, types.StringLiteral):
        raise TypingError("the name of a field must be a literal string")
    wanted = name.literal_value
    if wanted not in table:
        near = difflib.get_close_matches(wanted, table, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise TypingError(f"{record.record} has no field {wanted!r}{hint}")
    return table[wanted]


def _kind(field: Field, record: Record) -> types.Type:
    """Return the Numba type of what a field holds."""
    if not field.is_address:
        return record.word
    if field.type in RECORDS:
        return Record(field.type, record.own)
    kinds = field.type.split()
    if len(kinds) > 1:
        raise TypingError(f"this field may be {' or '.join(kinds)}: use `typed`, and say which")
    return _address_type(kinds[0], record)


def _address_type(kind: str, record: Record) -> types.Type:
    return types.CPointer(record.own if kind == "own*" else getattr(types, kind[:-1]))


def _load(context, builder, pointer, kind):
    word = builder.load(pointer)
    return word if isinstance(kind, types.Number) else builder.inttoptr(word, context.get_value_type(kind))


def _word_of_boundary(builder, record, boundary, name):
    """Return the address of a boundary's field."""
    number = builder.mul(boundary, _INT64(len(BOUNDARY)))
    return builder.gep(record, [builder.add(number, _INT64(place_in_job(name, 0)))])


def _record_at(kind: str):
    @intrinsic
    def at(typing, number, array):
        """Return the record at an address. The array has the type of the networks."""
        record = Record(kind, array.dtype)

        def generate(context, builder, signature, arguments):
            return builder.inttoptr(arguments[0], context.get_value_type(record))

        return record(types.intp, array), generate

    return at


job_at, population_at = _record_at("job"), _record_at("population")
"""The job, or the population, at an address; the array has the type of its networks."""


@intrinsic(prefer_literal=True)
def record_at(typing, name, number, array):
    """Return the record with this name at an address. The array has the type of its network."""
    record = Record(name.literal_value, array.dtype)

    def generate(context, builder, signature, arguments):
        return builder.inttoptr(arguments[1], context.get_value_type(record))

    return record(name, types.intp, array), generate


@intrinsic(prefer_literal=True)
def get(typing, record, name):
    """Return what a field holds."""
    kind = _kind(_field(record, name), record)
    offset = _INT64(place(record.record, name.literal_value))

    def generate(context, builder, signature, arguments):
        return _load(context, builder, builder.gep(arguments[0], [offset]), kind)

    return kind(record, name), generate


@intrinsic(prefer_literal=True)
def has(typing, record, name):
    """Return whether a field holds the address of an array, and not 0."""
    if not _field(record, name).is_address:
        raise TypingError(f"{name.literal_value} of {record.record} is a number")
    offset = _INT64(place(record.record, name.literal_value))

    def generate(context, builder, signature, arguments):
        word = builder.load(builder.gep(arguments[0], [offset]))
        return builder.icmp_unsigned("!=", word, _INT64(0))

    return types.boolean(record, name), generate


@intrinsic(prefer_literal=True)
def address_in(typing, record, name):
    """Return the address in a field as an integer, for a call of another kernel."""
    if not _field(record, name).is_address:
        raise TypingError(f"{name.literal_value} of {record.record} is a number")
    offset = _INT64(place(record.record, name.literal_value))

    def generate(context, builder, signature, arguments):
        return builder.load(builder.gep(arguments[0], [offset]))

    return types.int64(record, name), generate


@intrinsic(prefer_literal=True)
def of(typing, job, name, boundary):
    """Return what a field of a boundary holds, or a field of the layer that begins there."""
    kind = _kind(_field(job, name, of_boundary=True), job)

    def generate(context, builder, signature, arguments):
        pointer = _word_of_boundary(builder, arguments[0], arguments[2], name.literal_value)
        return _load(context, builder, pointer, kind)

    return kind(job, name, types.intp), generate


@intrinsic(prefer_literal=True)
def typed(typing, job, name, kind):
    """Return the address in a field of several possible types, as one of them: ``"own*"``, ..."""
    field = _field(job, name)
    if not isinstance(kind, types.StringLiteral) or kind.literal_value not in field.type.split():
        raise TypingError(f"{name} may be {field.type}, and not {kind}")
    address = _address_type(kind.literal_value, job)
    offset = _INT64(place("job", name.literal_value))

    def generate(context, builder, signature, arguments):
        return _load(context, builder, builder.gep(arguments[0], [offset]), address)

    return address(job, name, kind), generate


@intrinsic(prefer_literal=True)
def write(typing, record, name, value):
    """Write a number, or an address, to a field."""
    field = _field(record, name)
    value = types.unliteral(value)
    if field.is_address:
        possible = [_address_type(kind, record) for kind in field.type.split() if kind.endswith("*")]
        fits = value in possible
    else:
        fits = isinstance(value, types.Number | types.Boolean) and (
            record.word == types.float64 or not isinstance(value, types.Float)
        )
    if not fits:
        raise TypingError(f"{name.literal_value} of {record.record} is {field.type}, and not {value}")
    offset = _INT64(place(record.record, name.literal_value))

    def generate(context, builder, signature, arguments):
        if field.is_address:
            word = builder.ptrtoint(arguments[2], _INT64)
        else:
            word = context.cast(builder, arguments[2], value, record.word)
        builder.store(word, builder.gep(arguments[0], [offset]))
        return context.get_dummy_value()

    return types.void(record, name, value), generate


@intrinsic(prefer_literal=True)
def clear(typing, record, name):
    """Write 0 to a field that holds an address: there is no array."""
    if not _field(record, name).is_address:
        raise TypingError(f"{name.literal_value} of {record.record} is a number")
    offset = _INT64(place(record.record, name.literal_value))

    def generate(context, builder, signature, arguments):
        builder.store(_INT64(0), builder.gep(arguments[0], [offset]))
        return context.get_dummy_value()

    return types.void(record, name), generate


@intrinsic
def nth(typing, record, number):
    """Return the record with this number, from 0, in a sequence of records."""
    size = _INT64(len(RECORDS[record.record]))

    def generate(context, builder, signature, arguments):
        return builder.gep(arguments[0], [builder.mul(arguments[1], size)])

    return record(record, types.intp), generate


@intrinsic
def own(typing, job, value):
    """Return a number in the network's own type."""

    def generate(context, builder, signature, arguments):
        return context.cast(builder, arguments[1], value, job.own)

    return job.own(job, value), generate


@intrinsic(prefer_literal=True)
def outputs_of(typing, job, area, name, boundary, row):
    """Return the address of a boundary's row in a work area, of the array at ``"a_at"``, ``"z_at"``, ..."""
    if _field(job, name, of_boundary=True).is_address or not name.literal_value.endswith("_at"):
        raise TypingError(f"{name.literal_value} is no place in a work area")

    def generate(context, builder, signature, arguments):
        record, area, _, boundary, row = arguments
        start, distance = (
            builder.load(_word_of_boundary(builder, record, boundary, field))
            for field in (name.literal_value, "row")
        )
        return builder.gep(area, [builder.add(start, builder.mul(row, distance))])

    return area(job, area, name, types.intp, types.intp), generate


@helper
def work_area(job, thread):
    """Return the address of a thread's work area."""
    return shifted(get(job, "work"), thread * get(job, "work_size"))


@helper
def input_at(job, area, boundary, sample, row):
    """Return the address of the inputs of layer `boundary`, for a row of the tile that begins at `sample`."""
    if boundary == 0 and get(job, "X_in_place") != 0:
        return shifted(typed(job, "X", "own*"), (sample + row) * of(job, "row", 0))
    if get(job, "drops") != 0 and boundary > 0:
        return outputs_of(job, area, "dropped_at", boundary, row)
    return outputs_of(job, area, "a_at", boundary, row)
