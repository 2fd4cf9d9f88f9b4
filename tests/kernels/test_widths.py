"""The kernels with vectors of 16, 32 and 64 bytes, each width in a process of its own.

A width is tried on a processor that has it, as far as this one can be taken for such: else it is forced.
The width of this process is tried by all the other tests.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fastbp import processor
from tests.processes import TARGETS, environment, run

ROOT = Path(__file__).parents[2]

FILES = (
    "tests/test_gradients.py",
    "tests/test_simd.py",
    "tests/kernels",
    "tests/engine/test_population_run.py",
)
LEARNING = ("tests/test_learning.py", "tests/test_worked_example.py")
"""What follows if kernels compute what the reference does: `make soak` takes these along."""

WHATEVER_THE_WIDTH = (
    "tests/kernels/test_fused222.py",
    "tests/kernels/test_sigmoid_table.py",
    "tests/kernels/test_widths.py",
)
"""Of numbers and pairs of numbers alone; `make soak` takes them along, since there may be no FMA."""

LONG = (
    "activation_in_place",
    "deep_and_wide",
    "full_batches",
    "interrupted",
    "large_products",
    "linked",
    "long_batches",
    "some_random",
    "special_values",
    "subnormal",
    "threads",
    "three_kernels",
)
"""Words of tests that take long, and find no more about widths than others."""


def run_tests(width: int, *arguments: str) -> None:
    """Run pytest with vectors of this width."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_", "FASTBP_", "PYTEST_"))}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run(
        [*command, *arguments],
        cwd=ROOT,
        env=inherited | {"PYTHONPATH": str(ROOT)} | environment(width),
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, f"{environment(width)}\n{done.stdout[-10_000:]}{done.stderr}"


OTHERS = pytest.mark.parametrize("width", [width for width in TARGETS if width != processor.WIDTH])


@OTHERS
def test_kernels_are_right_with_vectors_of(width):
    """One in three cases of each test; `make soak` takes all."""
    left_out = [f"--ignore={file}" for file in WHATEVER_THE_WIDTH]
    run_tests(width, *FILES, *left_out, "-k", f"not ({' or '.join(LONG)})", "--one-in", "3")


@pytest.mark.soak
@OTHERS
def test_soak_kernels_are_right_with_vectors_of(width):
    run_tests(width, "-m", "soak", "tests/kernels/test_layer_sizes.py", "tests/engine/test_population_run.py")
    run_tests(width, *FILES, *LEARNING, "--ignore=tests/kernels/test_widths.py")


COMPILE = """
from numba import types
from fastbp.kernels.elementwise import elementwise_apply

for number in (types.float32, types.float64):
    array = types.Array(number, 1, "C")
    elementwise_apply.compile((types.int64, array, array))
    print("next")
    print(elementwise_apply.inspect_asm(elementwise_apply.signatures[-1]))
"""


@pytest.mark.skipif(not processor.IS_X86, reason="LLVM compiles for this kind of processor")
def test_kernels_can_be_compiled_for_avx_512_on_any_x86():
    """Compiled, and not run. A cache would hold the code, and not its text."""
    name, features = TARGETS[64]
    target = {"NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": features, "NUMBA_CACHE_DIR": "/dev/null/cache"}
    _, single, double = run(COMPILE, **target)[0].split("next\n")
    for code, scaling in ((single, "vscalefps"), (double, "vscalefpd")):
        assert "%zmm" in code
        assert scaling in code
    assert "vpermi2ps" in single or "vpermt2ps" in single  # the table of tanh
