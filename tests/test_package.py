"""What is installed: the files, what it requires, and how it is started."""

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from fastbp import __version__
from tests.processes import PACKAGE, run

ROOT = PACKAGE.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]

IMPORTED = {"scikit-learn": "sklearn"}
"""Packages that are imported under another name."""

TOOLS = {
    "hatchling", "import-linter", "mypy", "pytest-benchmark", "pytest-xdist", "ruff", "types-tabulate"
}  # fmt: skip
"""What is called by its command, or used without an import."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    pytest.importorskip("hatchling", reason="it builds the wheel, and comes with the extra 'dev'")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.iterdir()
    return zipfile.ZipFile(path)


def test_the_wheel_has_the_package_and_nothing_else(wheel):
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    there = {
        path.relative_to(ROOT).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == there
    assert {"fastbp/py.typed", "fastbp/__main__.py", "fastbp/benchmark/loop.c"} <= names
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())


def test_the_wheel_requires_what_pyproject_says(wheel):
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = HeaderParser().parsestr(wheel.read(name).decode())
    required = {Requirement(line) for line in metadata.get_all("Requires-Dist") if "extra ==" not in line}
    assert required == {Requirement(line) for line in PROJECT["dependencies"]}
    assert set(metadata.get_all("Provides-Extra")) == set(EXTRAS)
    assert metadata["Version"] == __version__


def packages(requirements: list[str]) -> set[str]:
    names = {re.match(r"[\w-]+", line)[0] for line in requirements if not line.startswith("fastbp[")}
    return {IMPORTED.get(name, name) for name in names}


def imported_by(folder: Path) -> set[str]:
    found = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    return found


def test_everything_that_is_required_is_imported_and_the_other_way_round():
    """But llvmlite and joblib, which Numba and scikit-learn bring in the versions that they need."""
    core, used = packages(PROJECT["dependencies"]), imported_by(PACKAGE)
    optional = set.union(
        *(packages(EXTRAS[extra]) for extra in ("bench", "dask", "data", "excel", "plot", "sklearn", "sweep"))
    )
    assert core | optional <= used
    assert used - sys.stdlib_module_names - {"fastbp", "joblib", "llvmlite", "numpy"} <= core | optional
    assert set(EXTRAS) == {
        "all",
        "bench",
        "dask",
        "data",
        "dev",
        "excel",
        "peers",
        "plot",
        "sklearn",
        "sweep",
    }
    assert EXTRAS["all"] == ["fastbp[bench,dask,data,excel,plot,sklearn,sweep]"]
    developers = set.union(*(imported_by(ROOT / folder) for folder in ("bench", "examples", "tests")))
    assert packages([*EXTRAS["dev"], *EXTRAS["peers"]]) - TOOLS <= developers
    assert not packages(EXTRAS["dev"]) & packages(EXTRAS["peers"])  # one version, in one place


def test_every_package_is_required_in_a_version_or_newer_and_numba_below_one_that_may_differ_inside():
    version, bounded = r"\d+(\.\d+)*", set()
    for requirement in (*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra)):
        assert re.fullmatch(rf"[\w-]+>={version}(,<{version})?|fastbp\[[a-z,]+\]", requirement), requirement
        bounded |= packages([requirement]) if "<" in requirement else set()
    assert bounded == {"numba"}


def test_python_m_fastbp_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "fastbp", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"fastbp {__version__}\n"
    done = subprocess.run(
        [sys.executable, "-m", "fastbp", "learn"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("fastbp: ")


def test_training_and_the_commands_work_without_any_optional_package():
    names = set.union(
        *(packages(EXTRAS[extra]) for extra in ("bench", "dask", "data", "excel", "plot", "sklearn", "sweep"))
    )
    code = f"""
import sys
for name in {names}:
    sys.modules[name] = None  # as if it were not installed
import fastbp
from fastbp.cli import main
net = fastbp.Network([2, 2, 2], seed=1)
optimizer = fastbp.SGD(learning_rate=0.5)
result = fastbp.train(net, [[0, 1]], [[1, 0]], epochs=20, batch_size=1, seed=0, optimizer=optimizer)
print(result.n_steps, net.predict([[0, 1]]).shape)
assert main(["info"]) == 0
assert main(["example"]) == 0
from numba.np import arraymath
print("BLAS:", arraymath._HAVE_BLAS)
"""
    out, _ = run(code)
    assert out.startswith("20 (1, 2)\nfastbp ")
    assert out.endswith("BLAS: False\n")


def test_an_estimator_without_scikit_learn_says_what_to_install():
    code = """
import sys
sys.modules["sklearn"] = None
import fastbp
try:
    fastbp.MLPClassifier
except ImportError as error:
    print(error)
print("MLPClassifier" in dir(fastbp), hasattr(fastbp, "MLPClustering"))
"""
    expected = "the estimators need scikit-learn; install it: pip install 'fastbp[sklearn]'\nTrue False\n"
    assert run(code)[0] == expected
