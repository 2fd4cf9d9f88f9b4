"""Every contender does the job that is timed."""

import os
import re
import shutil
import sys

import numpy as np
import pytest

from fastbp import SGD
from fastbp.benchmark.cases import SPEED_CASES
from fastbp.benchmark.contenders import (
    CONTENDERS,
    C,
    UnavailableError,
    compile_c,
    prepare_numpy,
    public_call,
)


@pytest.mark.parametrize("contender", CONTENDERS, ids=str)
@pytest.mark.parametrize("case", SPEED_CASES, ids=str)
def test_each_call_starts_at_the_case_and_returns_its_own_array(case, contender):
    case = case.with_dtype(contender.dtype)
    before = case.theta.copy()
    try:
        train = contender.prepare(case)
    except UnavailableError as error:
        pytest.skip(str(error))
    first, second = train(50), train(50)
    assert first.dtype == case.dtype
    assert first.tolist() == second.tolist()
    assert first is not second
    assert case.theta.tolist() == before.tolist()
    np.testing.assert_allclose(
        first, case.reference_theta(50), rtol=1e-12 if case.dtype == "float64" else 1e-5
    )


def test_names_are_unique():
    assert len({str(contender) for contender in CONTENDERS}) == len(CONTENDERS)


def test_without_a_compiler_c_says_so(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UnavailableError, match="no C compiler found"):
        C.prepare(SPEED_CASES[0])


@pytest.mark.skipif(os.name != "posix", reason="the compiler is a shell script")
def test_a_compiler_that_fails_is_named_with_its_first_complaint(tmp_path):
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\nprintf 'error: no such option\\nmore' >&2\nexit 1\n")
    compiler.chmod(0o700)
    with pytest.raises(UnavailableError, match=r"^cc failed: error: no such option$"):
        compile_c(str(compiler), "float64")


def test_ctrl_c_in_a_training_call_ends_the_benchmark():
    def press(state):
        raise KeyboardInterrupt

    case = SPEED_CASES[0]
    options = {"batch_size": 1, "optimizer": SGD(0.5), "callbacks": [press]}
    train = public_call(case.network(), case.X, case.Y, **options)
    with pytest.raises(KeyboardInterrupt):
        train(1)


def test_without_scipy_numpy_is_left_out_and_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    with pytest.raises(UnavailableError, match=re.escape("pip install 'fastbp[bench]'")):
        prepare_numpy(SPEED_CASES[0])
