"""What changes between two calls, in a process of its own, where nobody touched scikit-learn before."""

import os
import subprocess
import sys
from pathlib import Path

FILE = Path(__file__).with_name("between_fits.py")


def test_what_changes_between_two_calls_has_scikit_learns_effect():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(FILE)]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        command, cwd=FILE.parents[2], env=inherited, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert "[100%]" in done.stdout
