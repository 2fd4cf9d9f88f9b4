"""The processor's floating-point state inside kernels: round to nearest, and take subnormal numbers as zero.

An operation on a number below the smallest normal one (1.2e-38 in float32, 2.2e-308 in float64) takes some
hundred cycles. Training produces such numbers: l2 pulls the weights of dead neurons towards 0, and Adam's
moments decay while the gradient is 0. With them, a step of 10-32-1 took 39 us instead of 2.5. So kernels with
``math="fast"`` compute with zeros in their place. Kernels with ``math="exact"`` compute with the numbers
themselves, as `fastbp.reference` does.

Every thread has its own state. A kernel sets the state that it needs. At its end it restores the caller's
state, including the exception flags. So results do not depend on the caller's state, and a kernel changes
nothing outside. Processors other than x86 and 64-bit ARM keep their state, and compute with subnormal
numbers.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastbp.processor import IS_ARM64, IS_X86

KIND = "x86" if IS_X86 else "arm64" if IS_ARM64 else "other"
"""The kind of processor, by its floating-point state."""

NEAREST, FLUSHING = {"x86": (0x1F80, 0x9FC0), "arm64": (0, 1 << 24), "other": (0, 0)}[KIND]
"""The two states. Both round to nearest, without traps; the second takes subnormal numbers as zeros.

MXCSR on x86: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, section 10.2.3, bits DAZ
and FTZ. FPCR on ARM: Arm Architecture Reference Manual for A-profile, register FPCR, bit FZ.
"""

_INT32, _INT64 = ir.IntType(32), ir.IntType(64)


def emit_read(builder, kind=KIND):
    """Return the thread's floating-point state, as an int64."""
    if kind == "x86":
        room = cgutils.alloca_once(builder, _INT32)
        _call_with_pointer(builder, "llvm.x86.sse.stmxcsr", room)
        return builder.zext(builder.load(room), _INT64)
    if kind == "arm64":
        shape = ir.FunctionType(_INT64, [])
        return builder.call(
            cgutils.get_or_insert_function(builder.module, shape, "llvm.aarch64.get.fpcr"), []
        )
    return _INT64(0)


def emit_write(builder, state, kind=KIND):
    """Set the thread's floating-point state."""
    if kind == "x86":
        room = cgutils.alloca_once(builder, _INT32)
        builder.store(builder.trunc(state, _INT32), room)
        _call_with_pointer(builder, "llvm.x86.sse.ldmxcsr", room)
    elif kind == "arm64":
        shape = ir.FunctionType(ir.VoidType(), [_INT64])
        builder.call(cgutils.get_or_insert_function(builder.module, shape, "llvm.aarch64.set.fpcr"), [state])


def _call_with_pointer(builder, name, room):
    pointer = ir.IntType(8).as_pointer()
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.VoidType(), [pointer]), name)
    builder.call(function, [builder.bitcast(room, pointer)])


@intrinsic
def floating_point_state(typing):
    """Return the thread's floating-point state."""

    def generate(context, builder, signature, arguments):
        return emit_read(builder)

    return types.int64(), generate


@intrinsic
def set_floating_point_state(typing, state):
    """Set the thread's floating-point state: to `NEAREST`, `FLUSHING`, or to what it was before."""

    def generate(context, builder, signature, arguments):
        emit_write(builder, arguments[0])
        return context.get_dummy_value()

    return types.void(types.int64), generate
