"""Several threads in one kernel: a barrier that spins, and queues of work.

Every thread of a team runs the same kernel with its own number. Python starts the threads; kernels do not
hold the interpreter's lock. A barrier costs about 0.2 us while all threads run. A thread that waits for
longer offers its core to others between two checks. So a team finishes even if it has more threads than the
machine has cores.

What there is to do between two barriers is numbered, and every thread has a queue of consecutive numbers. It
takes them from the first to the last; then it takes from the queues of others, from the last to the first. So
a thread has nearly the same work in every step, and finds the numbers for it in its core's cache. And none
waits long for a thread whose core is busy.
"""

import ctypes
import os

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastbp._jit import helper, routine
from fastbp.processor import IS_X86

ARRIVED, GENERATION, ABORT, QUEUES = 0, 16, 32, 48
"""Where the shared words are: 128 bytes apart, so no two are in the same or in adjacent cache lines."""

QUEUE_WORDS, OTHER_QUEUE = 32, 16
"""A thread has two queues: one is used between two barriers, and the other one after the next barrier."""

FROM_THE_END = 1 << 32
"""A queue counts what its thread took, and in its upper half what others took from the end."""


def shared_words(n_threads: int) -> int:
    """Return how many words the threads of a team share."""
    return QUEUES + n_threads * QUEUE_WORDS


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


@helper
def queue_of(thread, generation):
    """Return where the queue of a thread is between two barriers."""
    return QUEUES + thread * QUEUE_WORDS + (generation & 1) * OTHER_QUEUE


@routine
def take_from_queues(shared, thread, n_threads, n):
    """Return the next of the numbers below n for this thread, or n if all are taken."""
    generation = atomic_load(shared, GENERATION)
    for i in range(n_threads):
        owner = (thread + i) % n_threads
        start, end = owner * n // n_threads, (owner + 1) * n // n_threads
        taken = atomic_add(shared, queue_of(owner, generation), 1 if i == 0 else FROM_THE_END)
        from_start, from_end = taken % FROM_THE_END, taken // FROM_THE_END
        if start + from_start + from_end < end:
            return start + from_start if i == 0 else end - 1 - from_end
    return n


@routine
def barrier(shared, thread, n_threads):
    """Wait until all threads are here; return whether to go on. Then all queues are full again."""
    if n_threads == 1:
        return True
    generation = atomic_load(shared, GENERATION)
    atomic_store(shared, queue_of(thread, generation + 1), 0)  # no thread uses this queue before the barrier
    if atomic_add(shared, ARRIVED, 1) == n_threads - 1:
        atomic_store(shared, ARRIVED, 0)
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
