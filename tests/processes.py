"""Other Python processes, for the promises that are about processes: start-up, caches, signals."""

import os
import subprocess
import sys
from pathlib import Path

import fastbp
from fastbp import processor

PACKAGE = Path(fastbp.__file__).parent

TRAIN = """
import sys
import fastbp
from fastbp import worked_example
dtype, math = sys.argv[1:]
network = fastbp.Network([2, 2, 2], dtype=dtype)
network.theta[:] = worked_example.network().theta
optimizer = fastbp.SGD(learning_rate=0.5)
result = fastbp.train(network, worked_example.X, worked_example.Y, steps=100, optimizer=optimizer, math=math)
print(network.theta.tobytes().hex())
"""
"""Train the worked example, and print the bits of its parameters."""

SSE = "+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt"
AVX = f"{SSE},+avx,+avx2,+fma,+f16c,+bmi,+bmi2,+lzcnt"
AVX512 = f"{AVX},+avx512f,+avx512cd,+avx512bw,+avx512dq,+avx512vl"
TARGETS = {16: ("nehalem", SSE), 32: ("haswell", AVX), 64: ("skylake-avx512", AVX512)}
"""Processors with vectors of so many bytes, by their names and features in LLVM; the first has no FMA."""

OTHER_WIDTHS = dict(
    zip((width for width in TARGETS if width != processor.WIDTH), ("float64", "float32"), strict=True)
)
"""The widths that this processor's vectors do not have, each with the type that `make test` tries there.

The kernels of one type compile for a minute at a width. Where this processor's width is 32, vectors of 2, 4,
8 and 16 numbers are tried. `make soak` tries both types at every width.
"""


def start(
    code: str,
    *arguments: str,
    package: Path = PACKAGE,
    stderr: int = subprocess.PIPE,
    within: tuple[str, ...] = (),
    **environment: str,
) -> subprocess.Popen:
    """Start a process on `code` with `package`, in this environment with some variables changed.

    `within` is a command that starts the command which follows its arguments, as `nice` does.
    """
    ours = ("NUMBA_", "FASTBP_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return subprocess.Popen(
        [*within, sys.executable, "-P", "-W", "error", "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        env=inherited | {"PYTHONPATH": str(package.parent)} | environment,
    )


def run(
    code: str,
    *arguments: str,
    package: Path = PACKAGE,
    within: tuple[str, ...] = (),
    **environment: str,
) -> tuple[str, str]:
    """Run `code` to its end, and return what it wrote to standard output and to standard error."""
    with start(code, *arguments, package=package, within=within, **environment) as process:
        output, errors = process.communicate()
    assert process.returncode == 0, errors
    return output, errors


def environment(width: int) -> dict[str, str]:
    """Return the variables that make a process compile for vectors of so many bytes.

    The same ones everywhere, so that kernels for a width are compiled once.
    """
    if width == processor.WIDTH:
        return {}
    name, features = TARGETS[width]
    here = {item[1:] for item in features.split(",")} <= processor.FEATURES
    if processor.IS_X86 and here:
        return {"NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": features}
    return {"FASTBP_VECTOR_BYTES": str(width)}
