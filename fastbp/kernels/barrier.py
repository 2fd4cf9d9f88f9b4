"""Several threads in one kernel: a barrier that spins, and work handed out item by item.

Every thread of a team runs the same kernel with its own number. Python starts the threads; kernels do not
hold the interpreter's lock. A barrier costs about 0.2 us while all threads run. A thread that waits for
longer offers its core to others between two checks. So a team finishes even if it has more threads than the
machine has cores.
"""

import ctypes
import os

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastbp._jit import routine
from fastbp.processor import IS_X86

ARRIVED, GENERATION, NEXT, ABORT = 0, 16, 32, 48
"""Where the shared words are: 128 bytes apart, so no two are in the same or in adjacent cache lines."""

N_SHARED = 64

SPINS = 4000
"""Checks at a barrier before the thread offers its core to others: some 20 us."""


@intrinsic
def atomic_add(typing, address, offset, value):
    """Add to the integer at address[offset] and return what it was, as one atomic operation."""

    def generate(context, builder, signature, arguments):
        pointer = builder.gep(arguments[0], [arguments[1]])
        return builder.atomic_rmw("add", pointer, arguments[2], "seq_cst")

    return types.int64(address, types.intp, types.int64), generate


@intrinsic
def atomic_load(typing, address, offset):
    """Return the integer at address[offset]. All that its writer wrote before is visible from then on."""

    def generate(context, builder, signature, arguments):
        return builder.load_atomic(builder.gep(arguments[0], [arguments[1]]), "seq_cst", 8)

    return types.int64(address, types.intp), generate


@intrinsic
def atomic_store(typing, address, offset, value):
    """Write the integer at address[offset]. Who reads it sees all that was written before, too."""

    def generate(context, builder, signature, arguments):
        builder.store_atomic(arguments[2], builder.gep(arguments[0], [arguments[1]]), "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(address, types.intp, types.int64), generate


@intrinsic
def pause(typing):
    """Tell the processor that this loop only waits."""

    def generate(context, builder, signature, arguments):
        if IS_X86:
            nothing = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, nothing, "llvm.x86.sse2.pause"), [])
        return context.get_dummy_value()

    return types.void(), generate


def yield_function(system=os.name):
    """Return the system's function that lets another thread have the core, or None if it is not found."""
    try:
        return ctypes.windll.kernel32.SwitchToThread if system == "nt" else ctypes.CDLL(None).sched_yield
    except (AttributeError, OSError):
        return None


YIELD = yield_function()
YIELD_NAME = "fastbp_yield"
if YIELD:  # kernels are linked to this address, not by a name that a system may lack
    binding.add_symbol(YIELD_NAME, ctypes.cast(YIELD, ctypes.c_void_p).value)


def giving_way(function):
    """Return an intrinsic that lets another thread have the core, if the system has a function for that."""

    @intrinsic
    def give_way(typing):
        def generate(context, builder, signature, arguments):
            if function:
                shape = ir.FunctionType(ir.IntType(32), [])
                builder.call(cgutils.get_or_insert_function(builder.module, shape, YIELD_NAME), [])
            return context.get_dummy_value()

        return types.void(), generate

    return give_way


give_way = giving_way(YIELD)


@routine
def barrier(shared, n_threads):
    """Wait until all threads are here; return whether to go on. The last to arrive resets NEXT to 0."""
    if n_threads == 1:
        return True
    generation = atomic_load(shared, GENERATION)
    if atomic_add(shared, ARRIVED, 1) == n_threads - 1:
        atomic_store(shared, ARRIVED, 0)
        atomic_store(shared, NEXT, 0)
        atomic_add(shared, GENERATION, 1)
        return True
    checks = 0
    while atomic_load(shared, GENERATION) == generation:
        if atomic_load(shared, ABORT) != 0:
            return False
        checks += 1
        if checks < SPINS:
            pause()
        else:
            give_way()
    return True
