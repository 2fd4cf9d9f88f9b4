"""Other Python processes, for the promises that are about processes: start-up, caches, signals."""

import os
import subprocess
import sys
from pathlib import Path

import fastbp

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
