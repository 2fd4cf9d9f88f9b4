"""What kernels are compiled for: what Numba's variables and fastbp's own say, and nothing else."""

import functools
import json

import pytest

from fastbp.processor import IS_X86
from tests.processes import run

SHOW = """
import json
from fastbp import _jit, processor
names = ("NAME", "WIDTH", "N_REGISTERS", "HAS_FMA")
print(json.dumps({name: getattr(processor, name) for name in names} | {"folder": _jit.cache_folder()}))
"""
HASWELL = "+sse2,+sse4.2,+avx,+avx2,+fma"
x86 = pytest.mark.skipif(not IS_X86, reason="features of x86")


@functools.cache
def shown(**environment: str) -> dict:
    return json.loads(run(SHOW, **environment)[0])


@x86
@pytest.mark.parametrize(
    ("name", "features", "expected"),
    [
        ("skylake-avx512", f"{HASWELL},+avx512f", (64, 32, True)),
        ("haswell", HASWELL, (32, 16, True)),
        ("sandybridge", "+sse2,+sse4.2,+avx", (32, 16, False)),
        ("nehalem", "+sse2,+sse4.2", (16, 16, False)),
        ("generic", None, (16, 16, False)),
        ("generic", "+sse2", (16, 16, False)),
        ("haswell", f"{HASWELL},-avx2,-avx", (16, 16, False)),
        ("skylake-avx512", f"{HASWELL},+avx512f,-avx512f", (32, 16, True)),
    ],
)
def test_width_registers_and_fma_are_those_of_the_features(name, features, expected):
    facts = shown(NUMBA_CPU_NAME=name, **({} if features is None else {"NUMBA_CPU_FEATURES": features}))
    assert facts["NAME"] == name
    assert (facts["WIDTH"], facts["N_REGISTERS"], facts["HAS_FMA"]) == expected


def test_name_alone_leaves_the_features_of_this_processor():
    usual = shown()
    named = shown(NUMBA_CPU_NAME=usual["NAME"])
    assert named == usual


@x86
def test_numba_enable_avx_is_heard():
    facts = shown(NUMBA_ENABLE_AVX="0")
    assert (facts["WIDTH"], facts["HAS_FMA"]) == (16, False)


@pytest.mark.parametrize("width", [16, 32, 64])
def test_width_can_be_forced(width):
    assert shown(FASTBP_VECTOR_BYTES=str(width))["WIDTH"] == width


@pytest.mark.parametrize("width", ["48", "8", "wide", "-16"])
def test_other_widths_are_refused(width):
    code = """
try:
    import fastbp
except ValueError as error:
    print(error)
"""
    assert run(code, FASTBP_VECTOR_BYTES=width)[0] == (
        f"the environment variable FASTBP_VECTOR_BYTES is '{width}', and may be 16, 32 or 64\n"
    )


@x86
def test_code_for_one_processor_is_never_loaded_for_another():
    environments = [
        {"FASTBP_VECTOR_BYTES": "16"},
        {"FASTBP_VECTOR_BYTES": "32"},
        {"FASTBP_VECTOR_BYTES": "64"},
        {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": HASWELL},
        {"NUMBA_CPU_NAME": "nehalem", "NUMBA_CPU_FEATURES": HASWELL},
        {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": f"{HASWELL},+bmi2"},
    ]
    assert len({shown(**environment)["folder"] for environment in environments}) == len(environments)
