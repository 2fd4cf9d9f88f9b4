"""The processor that code is compiled for, and how wide its vectors are.

It is this machine's, unless Numba's variables ``NUMBA_CPU_NAME``, ``NUMBA_CPU_FEATURES`` and
``NUMBA_ENABLE_AVX`` name another. They are read as Numba reads them, so that kernels use only instructions
that its compiler may use. Names of processors and features are LLVM's.

``FASTBP_VECTOR_BYTES=16``, ``32`` or ``64`` forces a width. Every width works on every processor, but may be
slower: LLVM splits vectors that are too wide.
"""

import os

from llvmlite import binding
from numba import config

from fastbp.calls import undisturbed
from fastbp.errors import OptionError
from fastbp.numba_internals import host_cpu_features

VARIABLE = "FASTBP_VECTOR_BYTES"


def _features(listed: str) -> frozenset[str]:
    """Return the features that a list like ``+sse2,+avx,-avx`` enables. Without AVX there is no FMA."""
    there: set[str] = set()
    for item in listed.split(","):
        sign, name = item.strip()[:1], item.strip()[1:]
        if sign == "+":
            there.add(name)
        elif sign == "-":
            there -= {other for other in there if other.startswith(name)}
    return frozenset(there if any(name.startswith("avx") for name in there) else there - {"fma"})


def _width(features: frozenset[str], forced: str | None) -> int:
    """Return the bytes of a vector. It is 16 on processors other than x86."""
    if not forced:
        return 64 if "avx512f" in features else 32 if {"avx", "avx2"} & features else 16
    if forced not in ("16", "32", "64"):
        raise OptionError(f"the environment variable {VARIABLE} is {forced!r}, and may be 16, 32 or 64")
    return int(forced)


# LLVM is asked once, and undisturbed: its bindings may free a string twice if a signal handler raises.
TRIPLE: str = undisturbed(binding.get_process_triple)
NAME: str = undisturbed(binding.get_host_cpu_name) if config.CPU_NAME is None else config.CPU_NAME
FEATURE_LIST: str = undisturbed(host_cpu_features) if config.CPU_FEATURES is None else config.CPU_FEATURES
FEATURES = _features(FEATURE_LIST)

IS_X86 = TRIPLE.split("-")[0] in ("x86_64", "amd64", "i386", "i486", "i586", "i686")
IS_ARM64 = TRIPLE.split("-")[0] in ("aarch64", "arm64")

WIDTH = _width(FEATURES, os.environ.get(VARIABLE))
"""Bytes of a vector."""

N_REGISTERS = 16 if IS_X86 and WIDTH < 64 else 32
"""Number of vector registers: 32 with AVX-512, and on ARM."""

HAS_FMA = not IS_X86 or bool({"fma", "avx512f"} & FEATURES)
"""Whether the processor multiplies and adds with one rounding."""

ADDS_APART = NAME == "znver5"
"""Whether a product and a sum, each rounded, replace a multiply-add whose result goes to memory.

The multiply-adds and stores of a Zen 5 wait for each other. A loop with 8 multiply-adds and 4 stores takes
7.7 cycles instead of 4.5. Sums have units of their own: with 4 products and 4 sums instead, it takes 4.9.
A step of 20-64-64-2 on one sample takes 7 to 8 % less, one of 64-128-10 12 % (float32). Other processors have
not been measured.
"""


INTEL_512 = frozenset(
    [
        "skylake-avx512",
        "cascadelake",
        "cooperlake",
        "cannonlake",
        "icelake-client",
        "icelake-server",
        "tigerlake",
        "rocketlake",
        "sapphirerapids",
        "emeraldrapids",
        "graniterapids",
        "graniterapids-d",
        "diamondrapids",
    ]
)
"""LLVM's names of Intel's processors with vectors of 64 bytes."""

DIVIDES_SLOWLY = NAME in INTEL_512 and WIDTH == 64
"""Whether multiply-adds find a root sooner than the divider: see `fastbp.kernels.square_root`.

Measured on an Emerald Rapids, and not faster on a Zen 5. Other processors of Intel have not been measured.
"""


def identity() -> str:
    """Return everything about the processor that compiled code depends on."""
    return f"{TRIPLE} {NAME} {FEATURE_LIST} {WIDTH}"
