"""Every contender does the job that is timed."""

import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from fastbp.benchmark import contenders
from fastbp.benchmark.cases import SPEED_CASES
from fastbp.benchmark.contenders import CONTENDERS, C, UnavailableError, prepare_c, prepare_numpy


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


def test_a_compiler_that_fails_is_named_with_its_first_complaint(monkeypatch):
    def fail(command, **options):
        raise subprocess.CalledProcessError(1, command, stderr="error: no such option\nmore")

    monkeypatch.setattr(contenders, "find_c_compiler", lambda: "/somewhere/cc")
    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(UnavailableError, match=r"^cc failed: error: no such option$"):
        prepare_c(SPEED_CASES[0])


def test_ctrl_c_in_a_training_call_ends_the_benchmark(monkeypatch):
    class Interrupted:
        stop_reason = "interrupted"

    train = contenders.FASTBP.prepare(SPEED_CASES[0])
    monkeypatch.setattr(contenders.training, "train", lambda *arguments, **options: Interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(1)


def test_without_scipy_numpy_is_left_out_and_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    with pytest.raises(UnavailableError, match=re.escape("pip install 'fastbp[bench]'")):
        prepare_numpy(SPEED_CASES[0])
