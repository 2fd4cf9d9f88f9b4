"""The cache of compiled kernels: where it is, that it is never stale, and that it never stands in the way."""

import ast
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import fastbp
from fastbp._jit import COMPILED, kernel
from tests.processes import PACKAGE, TRAIN, run, start

COMPILING = "fastbp: compiling for this machine, once; a few seconds ...\n"
EXACT = ("float64", "exact")
"""What compiles fastest."""


@pytest.fixture(scope="module")
def warm(tmp_path_factory) -> Path:
    """A cache that holds the exact kernel; tests that change it take a copy."""
    folder = tmp_path_factory.mktemp("cache")
    _, errors = run(TRAIN, *EXACT, NUMBA_CACHE_DIR=str(folder))
    assert errors == COMPILING
    return folder


@pytest.fixture
def warm_copy(warm, tmp_path) -> Path:
    return Path(shutil.copytree(warm, tmp_path / "cache"))


@pytest.fixture(scope="module")
def bits(warm) -> str:
    return run(TRAIN, *EXACT, NUMBA_CACHE_DIR=str(warm))[0]


def files(folder: Path, pattern: str) -> list[Path]:
    return sorted(folder.rglob(pattern))


def test_compiling_is_announced_once_and_only_when_it_happens(warm):
    """The fixture has seen the announcement of the cold start."""
    assert run(TRAIN, *EXACT, NUMBA_CACHE_DIR=str(warm))[1] == ""


def test_cache_is_where_numba_cache_dir_says(warm):
    names = {path.name for path in warm.iterdir()}
    assert len(names) == 1
    assert names.pop().startswith("fastbp-")
    assert len(files(warm, "*.nbi")) == len(files(warm, "*.nbc")) == 1


def test_cache_is_in_the_users_cache_folder_by_default(warm, bits, tmp_path):
    shutil.copytree(warm, tmp_path / "fastbp")
    assert run(TRAIN, *EXACT, XDG_CACHE_HOME=str(tmp_path)) == (bits, "")


def test_cache_is_there_whatever_numba_is_told_of_other_code(warm, bits):
    before = files(PACKAGE, "*.nb?")
    told = {"NUMBA_CACHE_DIR": str(warm), "NUMBA_CACHE_LOCATOR_CLASSES": "InTreeCacheLocator"}
    assert run(TRAIN, *EXACT, **told) == (bits, "")
    assert files(PACKAGE, "*.nb?") == before


READ_ONLY = """
import tempfile
def refuse(*arguments, **options):
    raise PermissionError
tempfile.TemporaryFile = refuse
"""
"""The superuser may write anywhere; so Numba's trial of a folder is made to fail."""


def test_cache_depends_on_every_module_that_kernels_import():
    """Else a code that changed elsewhere would meet machine code that has the former one."""
    imported: set[str] = set()
    for path in (PACKAGE / "simd.py", *(PACKAGE / "kernels").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "fastbp":
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("fastbp."):
                imported.add(node.module.removeprefix("fastbp."))
    beside_kernels = {name for name in imported if not name.startswith("kernels.")}
    assert {"optimizers", "simd"} < beside_kernels <= set(COMPILED)


def test_read_only_cache_is_used(warm, bits):
    assert run(READ_ONLY + TRAIN, *EXACT, NUMBA_CACHE_DIR=str(warm)) == (bits, "")


def test_without_a_cache_every_process_compiles(bits):
    nowhere = {"XDG_CACHE_HOME": "/dev/null", "HOME": "/dev/null"}
    assert run(TRAIN, *EXACT, **nowhere) == (bits, COMPILING)


def test_nothing_is_cached_beside_the_sources(bits):
    """Where Numba's own cache would fall back to, blind to a change in a helper. Nobody listens, either."""
    before = files(PACKAGE, "*.nb?")
    nobody_listens = "import sys; sys.stderr.close()\n"
    assert run(nobody_listens + TRAIN, *EXACT, NUMBA_CACHE_DIR="/dev/null/cache") == (bits, "")
    assert files(PACKAGE, "*.nb?") == before


@pytest.mark.parametrize(("pattern", "damage"), [("*.nbi", b""), ("*.nbc", b"no pickle")])
def test_damaged_cache_is_repaired(pattern, damage, warm_copy, bits):
    (damaged,) = files(warm_copy, pattern)
    damaged.write_bytes(damage)
    assert run(TRAIN, *EXACT, NUMBA_CACHE_DIR=str(warm_copy)) == (bits, COMPILING)
    assert run(TRAIN, *EXACT, NUMBA_CACHE_DIR=str(warm_copy)) == (bits, "")


CUT_THE_INDEX = """
import glob, os
from numba.core import event

class Cut(event.Listener):
    def on_start(self, _):
        pass
    def on_end(self, _):
        for path in glob.glob(os.environ["NUMBA_CACHE_DIR"] + "/**/*.nbi", recursive=True):
            os.truncate(path, 100)

cut = Cut()
event.register("numba:compile", cut)
"""


def test_index_that_is_damaged_while_a_kernel_compiles_is_repaired(warm_copy, tmp_path):
    """A full disk may cut it short. The other type has a place in the same index."""
    environment = {"NUMBA_CACHE_DIR": str(warm_copy)}
    output, _ = run(CUT_THE_INDEX + TRAIN, "float32", "exact", **environment)
    assert run(TRAIN, "float32", "exact", **environment) == (output, "")


@pytest.mark.parametrize(
    ("method", "error"),
    [
        pytest.param("load_overload", "EOFError", marks=pytest.mark.soak),
        ("save_overload", "RuntimeError"),
        ("flush", "MemoryError"),
    ],
)
def test_cache_that_fails_in_any_way_does_not_stand_in_the_way(method, error, warm_copy, bits):
    code = f"""
from numba.core.caching import FunctionCache
def fail(*_):
    raise {error}("of the cache")
FunctionCache.{method} = fail
if {method!r} == "flush":
    FunctionCache.load_overload = fail
"""
    compiles = "" if method == "save_overload" else COMPILING
    assert run(code + TRAIN, *EXACT, NUMBA_CACHE_DIR=str(warm_copy)) == (bits, compiles)


def test_two_processes_that_start_cold_at_once_share_a_cache_and_never_take_code_of_other_types(
    tmp_path, bits
):
    environment = {"NUMBA_CACHE_DIR": str(tmp_path)}
    with start(TRAIN, *EXACT, **environment) as one, start(TRAIN, "float32", "exact", **environment) as two:
        outputs = [process.communicate() for process in (one, two)]
    assert [process.returncode for process in (one, two)] == [0, 0], outputs
    assert outputs[0][0] == bits
    assert run(TRAIN, "float32", "exact", **environment)[0] == outputs[1][0]

    # Two processes may save under one name: the index says float32, and the code is of float64.
    code = {path: path.read_bytes() for path in files(tmp_path, "*.nbc")}
    for path, other in zip(code, reversed(code.values()), strict=True):
        path.write_bytes(other)
    assert run(TRAIN, "float32", "exact", **environment) == (outputs[1][0], COMPILING)


KERNELS_OF_ONE_NAME = """
import numpy as np
from fastbp._jit import kernel, routine

def part_with(factor):
    @routine
    def part(x, y):
        for i in range(len(x)):
            for j in range(len(x)):
                y[i] += factor * x[j] / (1 + x[i])
        if y[0] > 1e300:
            y[:] = np.sqrt(y) * factor  # enough code to be left out of the kernel
    return part

add_one, add_two = part_with(1), part_with(2)

@kernel
def one(x, y):
    add_one(x, y)
    add_one(y, x)
    add_one(x, y)

@kernel
def two(x, y):
    add_two(x, y)
    add_two(y, x)
    add_two(x, y)
"""
COUNT_ANEW = """
import itertools, sys
from numba.core import bytecode
import numpy as np
import kernels

bytecode.FunctionIdentity._unique_ids = itertools.count(1000)
for name in sys.argv[1:]:
    y = np.zeros(3)
    getattr(kernels, name)(np.ones(3), y)
    print(name, y.tolist())
"""


def test_a_kernel_never_takes_a_part_of_another_that_has_its_name(tmp_path):
    """Numba numbers functions in each process, so parts of two cached kernels may have one name."""
    (tmp_path / "kernels.py").write_text(KERNELS_OF_ONE_NAME)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}){COUNT_ANEW}"
    environment = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    apart = [run(code, name, **environment)[0] for name in ("one", "two")]
    assert len(files(tmp_path, "*.nbc")) == 2
    assert run(code, "one", "two", **environment)[0] == "".join(apart)
    assert run(code, "two", "one", **environment)[0] == "".join(reversed(apart))


def test_change_in_a_helper_is_seen(warm_copy, bits, tmp_path):
    """Numba itself looks only at the file that the kernel stands in."""
    package = Path(
        shutil.copytree(PACKAGE, tmp_path / "fastbp", ignore=shutil.ignore_patterns("__pycache__"))
    )
    options = {"package": package, "NUMBA_CACHE_DIR": str(warm_copy)}
    assert run(TRAIN, *EXACT, **options)[0] == bits
    helper = package / "kernels" / "sigmoid_table.py"
    source = helper.read_text()
    changed = source.replace("return one / (one + cast(", "return one / (one + one + cast(")
    assert changed != source
    helper.write_text(changed)
    output, errors = run(TRAIN, *EXACT, **options)
    assert errors == COMPILING
    assert output != bits


def test_without_the_compiler_training_says_so():
    code = """
import fastbp
network = fastbp.Network([2, 2, 2], seed=0)
before = network.theta.tolist()
try:
    fastbp.train(network, [[1, 2]], [[0, 1]], steps=1, optimizer=fastbp.SGD(learning_rate=0.5))
except fastbp.NotSupportedError as error:
    print(error, network.theta.tolist() == before)
"""
    output, errors = run(code, NUMBA_DISABLE_JIT="1")
    assert (output, errors) == ("fastbp's kernels are compiled code; unset NUMBA_DISABLE_JIT True\n", "")


PRESS_CTRL_C = """
import os, signal
from numba.core import event

class PressCtrlC(event.Listener):
    seen = 0
    def on_start(self, _):
        self.seen += 1
        if self.seen in (1, 3, 4, 9, 14):
            os.kill(os.getpid(), signal.SIGINT)
    def on_end(self, _):
        pass

press = PressCtrlC()
event.register("numba:compile", press)
"""


def test_ctrl_c_while_a_part_compiles_is_a_keyboard_interrupt_and_harms_nothing(bits, tmp_path):
    before, _, after = TRAIN.rpartition("result = ")
    code = f"""{before}{PRESS_CTRL_C}
def run():
    {after.strip().splitlines()[0]}

tries = 0
while True:
    try:
        run()
    except KeyboardInterrupt:
        tries += 1
        assert network.theta.tolist() == worked_example.network().theta.tolist()
    else:
        break
print(tries > 1)
print(network.theta.tobytes().hex())
"""
    output, _ = run(code, *EXACT, NUMBA_CACHE_DIR=str(tmp_path))
    assert output == "True\n" + bits
    assert run(TRAIN, *EXACT, NUMBA_CACHE_DIR=str(tmp_path)) == (bits, "")


def test_every_kernel_is_cached_without_the_lock_of_the_interpreter():
    kernels = fastbp.engine.fused222_run.kernels
    for found in (
        kernels.fused222_exact,
        kernels.fused222_guess,
        kernels.fused222_guess_sequential,
        kernels.fused222_look_up,
    ):
        assert found.targetoptions["nogil"]
        assert not found.targetoptions.get("fastmath")
        assert "fastbp-" in found.stats.cache_path


def test_threads_that_use_a_kernel_first_share_its_dispatcher():
    @kernel
    def same(x):
        return x

    with ThreadPoolExecutor(8) as threads:
        assert len({id(made) for made in threads.map(lambda _: same.dispatcher, range(64))}) == 1
