"""``python -m fastbp.patch`` runs a script with scikit-learn's classes replaced."""

import os
import subprocess
import sys

import pytest

from tests.processes import PACKAGE

SCRIPT = """
import sys
from sklearn.neural_network import MLPRegressor
import beside
print(MLPRegressor.__module__, beside.MLPRegressor is MLPRegressor, sys.argv, __name__)
estimator = MLPRegressor(hidden_layer_sizes=(3,), solver="lbfgs").fit([[0.0], [1.0]], [0.0, 1.0])
sys.exit(3)
"""


@pytest.fixture
def command(tmp_path):
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "script.py").write_text(SCRIPT)
    (tmp_path / "scripts" / "beside.py").write_text("from sklearn.neural_network import MLPRegressor")

    def call(*arguments, folder=tmp_path):
        environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent), "FASTBP_VERBOSE": "1"}
        return subprocess.run(
            [sys.executable, "-W", "error::RuntimeWarning", "-m", "fastbp.patch", *arguments],
            cwd=folder,
            env=environment,
            text=True,
            capture_output=True,
            check=False,
        )

    return call


def test_a_script_runs_as_python_would_run_it(command):
    done = command("scripts/script.py", "--fast", "x")
    assert done.stdout == "fastbp.sklearn.patched True ['scripts/script.py', '--fast', 'x'] __main__\n"
    assert done.stderr.endswith("fastbp: MLPRegressor.fit ran on fastbp\n")
    assert done.returncode == 3


def test_a_module_runs_too(command, tmp_path):
    done = command("-m", "script", "x", folder=tmp_path / "scripts")
    assert done.stdout.startswith("fastbp.sklearn.patched True [")
    assert done.stdout.endswith("script.py', 'x'] __main__\n")
    assert done.returncode == 3


def test_bad_usage_is_status_2(command):
    for arguments in ([], ["-m"]):
        done = command(*arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("usage: python -m fastbp.patch script.py")
    done = command("no.py")
    assert (done.returncode, done.stderr) == (2, "fastbp.patch: there is no file no.py\n")
    assert command("--help").returncode == 0
