"""What fastbp uses of Numba's insides is there; where it is not, training goes on and a warning says so."""

from importlib import import_module
from types import SimpleNamespace

import numba
import pytest

from fastbp import numba_internals
from fastbp.numba_internals import (
    Need,
    find,
)
from tests.processes import TRAIN, start

NEEDS = {name: need for name, need in vars(numba_internals).items() if isinstance(need, Need)}
NAMES = [(need, name) for need in NEEDS.values() for name in need.names]


@numba.njit
def dispatcher():
    """Stand for every function that Numba compiles."""


@pytest.mark.parametrize(("need", "name"), NAMES, ids=lambda value: value if isinstance(value, str) else "")
def test_this_numba_has(need, name):
    assert find(name, dispatcher) is not None


@pytest.mark.parametrize(("need", "name"), NAMES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_name_that_is_missing_is_named_once(need, name, monkeypatch):
    module, _, attributes = name.partition(":")
    path, _, last = attributes.rpartition(".")
    if module == "dispatcher":
        here = {"_cache": 0, "_compiler": dispatcher._compiler, "compile": 0, "overloads": 0}
        without = SimpleNamespace(**{key: value for key, value in here.items() if key not in attributes})
    else:
        without = dispatcher
        owner = find(f"{module}:{path}") if path else import_module(module)
        for each in getattr(owner, "__mro__", (owner,)):  # a class may have inherited it
            if last in vars(each):
                monkeypatch.delattr(each, last)
    anew = Need(*need.names, otherwise="that is that")
    with pytest.warns(RuntimeWarning, match="so that is that") as warned:
        assert [anew.is_met(without) for _ in range(2)] == [False, False]
    assert name in str(warned.pop().message)
    assert not warned.list


RENAMED = {
    "ADDRESSES": "llvm_func_name",
    "ARRAY_FUNCTIONS": "ensure_blas",
    "CACHE": "_locator_classes",
    "COMPILING": r"(?<=\.)overloads(?! import)",
    "HOST_FEATURES": r"(?<!ll\.)get_host_cpu_features",
    "INLINING": "forceinline",
    "PARTS": "_finalize_final_module",
}
"""For each need, what Numba calls by another name, as a pattern in its sources."""

RENAME = """
import importlib.machinery, re, sys

class Renaming(importlib.machinery.SourceFileLoader):
    def get_code(self, name):
        source = self.get_data(self.path).decode()
        changed = re.sub({pattern!r}, r"renamed_\\g<0>", source)
        return super().get_code(name) if changed == source else compile(changed, self.path, "exec")

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if name.startswith("numba") and spec and spec.origin and spec.origin.endswith(".py"):
            spec.loader = Renaming(name, spec.origin)
        return spec

sys.meta_path.insert(0, Finder)
"""


UNSAVED = """
import numba
import numpy as np
from fastbp import _jit, numba_internals
from fastbp.kernels.fused222 import exact_step, fused222_exact
numba.typeof(exact_step)  # what the first use of a part does, and there is none if kernels are in the cache
numba_internals.address_of_code(fused222_exact, 0, 0, np.empty((0, 1)))
print(*_jit.unsaved_kernels())
"""


def trained(pattern, cache) -> tuple[str, str, str]:
    """Return the bits of a training run, how many kernels it could not save and why, and what it warned."""
    renaming = "import warnings; warnings.simplefilter('default')\n" + RENAME.format(pattern=pattern)
    with start(renaming + TRAIN + UNSAVED, "float64", "exact", NUMBA_CACHE_DIR=str(cache)) as process:
        output, errors = process.communicate()
    assert process.returncode == 0, errors
    bits, unsaved = output.splitlines()
    return bits, unsaved.strip(), errors


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def bits(cache) -> str:
    bits, unsaved, errors = trained("nothing of Numba's", cache)
    assert "Warning" not in errors
    assert unsaved == "0"
    return bits


@pytest.mark.parametrize("name", sorted(NEEDS))
def test_where_numba_calls_something_by_another_name_training_goes_on_and_a_warning_says_so(
    name, cache, bits
):
    found, unsaved, errors = trained(rf"\b{RENAMED[name]}\b", cache)
    assert found == bits
    assert errors.count("Warning") == 1
    assert NEEDS[name].otherwise in errors
    lacking = f"1 Numba {numba.__version__} lacks numba.core.caching:CompileResultCacheImpl._locator_classes"
    assert unsaved == (lacking if name == "CACHE" else "0")


def test_without_anything_kernels_are_compiled_by_plain_njit_and_compute_the_same_bits(tmp_path, bits):
    found, unsaved, errors = trained(rf"\b({'|'.join(RENAMED.values())})\b", tmp_path)
    assert found == bits
    assert unsaved.startswith(f"1 Numba {numba.__version__} lacks ")
    assert [need.otherwise in errors for need in NEEDS.values()] == [
        name != "ARRAY_FUNCTIONS" for name in NEEDS
    ]
    assert list(tmp_path.iterdir()) == []
