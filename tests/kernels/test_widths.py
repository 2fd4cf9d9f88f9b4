"""The kernels with vectors of 16, 32 and 64 bytes, each width in a process of its own.

A width is tried on a processor that has it, as far as this one can be taken for such: else it is forced.
The width of this process is tried by all the other tests. `make test` tries each other width with one type.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fastbp import processor
from tests.processes import OTHER_WIDTHS, TARGETS, environment, run

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
    "as_exact_as_its_numbers",
    "callers_state",
    "changes_of_pace",
    "deep_and_wide",
    "eight_teams",
    "follows_float64",
    "full_batches",
    "hyperparameters_that_float32",
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
"""Words of tests that take long or need kernels of both types, and find no more about widths than others."""


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


@pytest.mark.parametrize(("width", "dtype"), OTHER_WIDTHS.items())
def test_kernels_are_right_with_vectors_of(width, dtype):
    """One in three cases of each test of this type, and every test of vectors; `make soak` takes all.

    The names of tests of float32 say so.
    """
    of_type = "float32" if dtype == "float32" else "not float32"
    left_out = [f"--ignore={file}" for file in WHATEVER_THE_WIDTH]
    chosen = f"(test_simd or {of_type}) and not ({' or '.join(LONG)})"
    run_tests(width, *FILES, *left_out, "-k", chosen, "--one-in", "3")


@pytest.mark.soak
@pytest.mark.parametrize("width", OTHER_WIDTHS)
def test_soak_kernels_are_right_with_vectors_of(width):
    run_tests(width, "-m", "soak", "tests/kernels/test_layer_sizes.py", "tests/engine/test_population_run.py")
    run_tests(width, *FILES, *LEARNING, "--ignore=tests/kernels/test_widths.py")


COMPILE = """
from numba import njit, types
from fastbp.kernels import elementwise
from fastbp.simd import address, load, store

def compiled(number, lanes):
    @njit
    def run(x, out):
        vector = load(address(x), 0, lanes)
        store(address(out), 0, elementwise.tanh(vector))
        store(address(out), lanes, elementwise.exp(vector))

    array = types.Array(number, 1, "C")
    run.compile((array, array))
    return run.inspect_asm(run.signatures[-1])

print(compiled(types.float32, 16), "next", compiled(types.float64, 8))
"""


@pytest.mark.skipif(not processor.IS_X86, reason="LLVM compiles for this kind of processor")
def test_kernels_can_be_compiled_for_avx_512_on_any_x86():
    """Compiled, and not run."""
    name, features = TARGETS[64]
    target = {"NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": features}
    single, double = run(COMPILE, **target)[0].split("next")
    for code, scaling in ((single, "vscalefps"), (double, "vscalefpd")):
        assert "%zmm" in code
        assert scaling in code
    assert "vpermi2ps" in single or "vpermt2ps" in single  # the table of tanh
