"""Ctrl-C before the command has started is one line."""

import os
import signal
import subprocess
import sys

import pytest

from tests.processes import PACKAGE

SLOW = """
import os, sys, signal
sys.argv[0], sys.orig_argv = {argv!r}, {orig!r}
class Late:
    def find_spec(self, name, *more):
        if name == "numba":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Late())
from fastbp.cli import main
"""


@pytest.mark.parametrize(
    ("argv", "orig", "quiet"),
    [
        ("/usr/bin/fastbp", ["python", "/usr/bin/fastbp", "train"], True),
        ("-m", ["python", "-m", "fastbp"], True),
        ("mine.py", ["python", "mine.py"], False),
    ],
)
def test_ctrl_c_while_the_command_starts_is_one_line(argv, orig, quiet):
    done = subprocess.run(
        [sys.executable, "-P", "-c", SLOW.format(argv=argv, orig=orig)],
        env=os.environ | {"PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGINT
    assert (done.stderr == "fastbp: interrupted\n") == quiet
    assert ("Traceback" in done.stderr) != quiet
