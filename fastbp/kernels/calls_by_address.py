"""Calls of kernels by their addresses: a kernel that calls another one so compiles in seconds."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


def _call(context, builder, function, signature, arguments):
    """Emit a call of a compiled function at an address."""
    kind = context.call_conv.get_function_type(signature.return_type, signature.args)
    callee = builder.inttoptr(function, kind.as_pointer())
    _, result = context.call_conv.call_function(
        builder, callee, signature.return_type, signature.args, arguments
    )
    return result


@intrinsic
def call_trainer(typing, function, words, until, unused):
    """Call `online`, or a kernel of the 2-2-2 network, at an address."""
    called = types.none(types.intp, types.intp, unused)

    def generate(context, builder, signature, arguments):
        _call(context, builder, arguments[0], called, arguments[1:])
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp, unused), generate


@intrinsic
def call_layered(typing, function, job, until, unused):
    """Call `layered` at an address, as the only thread."""
    called = types.boolean(types.intp, types.intp, types.intp, unused, unused)

    def generate(context, builder, signature, arguments):
        function, job, until, unused = arguments
        none = context.get_constant(types.intp, 0)
        return _call(context, builder, function, called, (job, none, until, unused, unused))

    return types.boolean(types.intp, types.intp, types.intp, unused), generate


def _call_of_c(builder, result, arguments):
    """Emit a call of a function of C at an address, which takes a pointer."""
    pointer = ir.IntType(8).as_pointer()
    function, state = arguments
    callee = builder.inttoptr(function, ir.FunctionType(result, [pointer]).as_pointer())
    return builder.call(callee, [builder.inttoptr(state, pointer)])


@intrinsic
def call_for_bits(typing, function, state):
    """Call a function of C at an address that takes a pointer and returns 32 random bits."""

    def generate(context, builder, signature, arguments):
        return builder.zext(_call_of_c(builder, ir.IntType(32), arguments), ir.IntType(64))

    return types.int64(types.intp, types.intp), generate


@intrinsic
def call_for_uniform(typing, function, state):
    """Call a function of C at an address that takes a pointer and returns a random float64."""

    def generate(context, builder, signature, arguments):
        return _call_of_c(builder, ir.DoubleType(), arguments)

    return types.float64(types.intp, types.intp), generate
