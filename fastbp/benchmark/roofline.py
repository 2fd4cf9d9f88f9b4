"""The limits of the machine: measured, not taken from a data sheet.

The peak is a loop of fused multiply-adds in registers. Twelve of them are independent, more than two units
with a latency of five cycles can hold. All vector widths are tried, because the widest is not always the
fastest. The bandwidth is McCalpin's triad, c = a + s b, over arrays larger than any cache. As in his
benchmark, it counts two reads and one write.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fastbp import simd
from fastbp._jit import helper, kernel

FMAS, INNER = 12, 65_536


@dataclass(frozen=True)
class Effort:
    """How long each loop is timed, and how many numbers an array of the triad has."""

    seconds: float = 0.15
    triad_elements: int = 2**24


USUAL = Effort()


@helper
def fused_multiply_adds(x, rounds):
    """Return the sum of twelve chains v = v x + x."""
    a = b = c = d = e = f = g = h = i = j = k = m = x
    for _ in range(rounds):
        a, b, c = simd.fma(a, x, x), simd.fma(b, x, x), simd.fma(c, x, x)
        d, e, f = simd.fma(d, x, x), simd.fma(e, x, x), simd.fma(f, x, x)
        g, h, i = simd.fma(g, x, x), simd.fma(h, x, x), simd.fma(i, x, x)
        j, k, m = simd.fma(j, x, x), simd.fma(k, x, x), simd.fma(m, x, x)
    return ((a + b) + (c + d)) + ((e + f) + (g + h)) + ((i + j) + (k + m))


@kernel
def chains_of_4(data, rounds):
    """Run on vectors of 4 numbers; data keeps the compiler from leaving it out."""
    p = simd.address(data)
    simd.store(p, 0, fused_multiply_adds(simd.load(p, 0, 4), rounds))


@kernel
def chains_of_8(data, rounds):
    """Run on vectors of 8 numbers."""
    p = simd.address(data)
    simd.store(p, 0, fused_multiply_adds(simd.load(p, 0, 8), rounds))


@kernel
def chains_of_16(data, rounds):
    """Run on vectors of 16 numbers."""
    p = simd.address(data)
    simd.store(p, 0, fused_multiply_adds(simd.load(p, 0, 16), rounds))


CHAINS = {4: chains_of_4, 8: chains_of_8, 16: chains_of_16}


@kernel
def triad(a, b, c, s):
    """Form c = a + s b."""
    for i in range(a.size):
        c[i] = a[i] + s * b[i]


def measure(threads: int, effort: Effort = USUAL) -> dict:
    """Return GFLOP/s on one thread and on all for both dtypes, and GB/s of main memory on all."""
    return {
        "threads": threads,
        "gflops": {dtype: peak(dtype, threads, effort) for dtype in ("float32", "float64")},
        "gflops_one_thread": {dtype: peak(dtype, 1, effort) for dtype in ("float32", "float64")},
        "gbytes_per_second": bandwidth(threads, effort),
    }


def peak(dtype: str, threads: int, effort: Effort = USUAL) -> float:
    """Return the most GFLOP/s that any vector width reaches on `threads` threads."""

    def rate(lanes: int) -> float:
        chains, buffers = CHAINS[lanes], [np.full(16, 1e-3, dtype) for _ in range(threads)]
        calls = calls_per_second(lambda i: chains(buffers[i], INNER), threads, effort.seconds)
        return calls * INNER * FMAS * 2 * lanes / 1e9

    return max(map(rate, CHAINS))


def cores_reached(threads: int, effort: Effort = USUAL) -> float:
    """Return how many cores the threads are worth: what they reach together over what one reaches alone.

    It is less than their number if the machine gives some of their time to others, or if two of them share
    the units of one core.
    """
    alone, together = (peak("float32", n, effort) for n in (1, threads))
    return together / alone


def bandwidth(threads: int, effort: Effort) -> float:
    """Return GB/s of the triad, with every thread on its own arrays."""
    arrays = [np.ones(effort.triad_elements) for _ in range(3)]
    parts = list(zip(*(np.array_split(array, threads) for array in arrays), strict=True))
    calls = calls_per_second(lambda i: triad(*parts[i], 0.5), threads, effort.seconds)
    return calls / threads * 3 * effort.triad_elements * 8 / 1e9


def calls_per_second(call: Callable[[int], None], threads: int, seconds: float) -> float:
    """Return the calls `call(i)` per second by all threads i together; the best of three tries."""
    call(0)  # compiles
    return max(_calls_per_second(call, threads, seconds) for _ in range(3))


def _calls_per_second(call: Callable[[int], None], threads: int, wanted: float) -> float:
    counts, seconds = [0] * threads, [1.0] * threads
    barrier = threading.Barrier(threads)

    def run(i: int) -> None:
        barrier.wait()
        started = time.perf_counter()
        while (elapsed := time.perf_counter() - started) < wanted:
            call(i)
            counts[i] += 1
        seconds[i] = elapsed

    runners = [threading.Thread(target=run, args=(i,)) for i in range(threads)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    return sum(count / taken for count, taken in zip(counts, seconds, strict=True))
