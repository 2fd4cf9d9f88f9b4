"""The report shows every contender, in each of its forms."""

import json
import platform
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from llvmlite import binding

from fastbp import processor
from fastbp.benchmark.cases import SPEED_CASES
from fastbp.benchmark.contenders import CONTENDERS, PYTHON_LOCALS, C, find_c_compiler
from fastbp.benchmark.machine import describe_machine
from fastbp.benchmark.peak_shares import Share, flops_per_step
from fastbp.benchmark.protocol import Comparison, Protocol, Result
from fastbp.benchmark.summary import Report, as_json, as_markdown, as_text, three_digits

SHARE = Share((784, 128, 10), 128, "float32", seconds=0.5e-3, gflops=60.0, peak=80.0)


def report_of(*results: Result, baseline=C) -> Report:
    comparison = Comparison(SPEED_CASES[0], results, baseline)
    return Report((comparison,), [SHARE], Protocol(rounds=3, turn_seconds=0.1))


def timed(contender, *ns_per_step, against=(10.0, 20.0, 30.0)):
    return Result(contender, "timed", pairs=np.column_stack([against, ns_per_step]))


@pytest.mark.parametrize("form", [as_text, as_markdown])
def test_tables_hold_medians_and_paired_ratios(form):
    text = form(report_of(timed(PYTHON_LOCALS, 400.0, 500.0, 300.0, against=[40.0, 100.0, 40.0])))
    (row,) = (line for line in text.splitlines() if PYTHON_LOCALS.name in line)
    words = row.replace("|", " ").split()
    # 400 ns; 0.1, 0.2 and 0.133 times as fast as C, of which the median is not 40 / 400.
    assert words[-6:] == ["400", "2,500,000", "0.133", "0.100", "to", "0.200"]
    assert "95 %" in text


@pytest.mark.parametrize("form", [as_text, as_markdown])
def test_a_large_network_has_its_share_of_the_peak(form):
    text = form(report_of(timed(C, 1.0, 2.0, 3.0)))
    (row,) = (line for line in text.splitlines() if SHARE.name in line)
    assert row.replace("|", " ").split() == ["784-128-10,", "128", "float32", "500", "60.0", "80.0", "75%"]


def test_a_step_counts_the_products_of_its_matrices():
    forward, gradient = 784 * 128 + 128 * 10, 784 * 128 + 128 * 10
    assert flops_per_step((784, 128, 10), 128) == 2 * 128 * (forward + gradient + 128 * 10)


@pytest.mark.parametrize("form", [as_text, as_markdown])
def test_what_was_not_timed_is_named_and_has_no_number(form):
    wrong = Result(CONTENDERS[0], "wrong", "after 7 steps theta[0] is 1, and must be 2")
    skipped = Result(C, "skipped", "no C compiler found")
    text = form(report_of(wrong, skipped, timed(PYTHON_LOCALS, 7.0, 7.0, 7.0), baseline=PYTHON_LOCALS))
    for result in (wrong, skipped):
        assert f"{result.contender}: {result.status}: {result.reason}" in text
        row = next(line for line in text.splitlines() if result.contender.name in line)
        assert row.replace("|", " ").split()[-1] == result.status
    assert PYTHON_LOCALS.name in text.split("contender")[1]


def test_text_fits_a_terminal():
    results = [timed(contender, 123456.7, 1234.5, 12.3) for contender in CONTENDERS]
    assert max(map(len, as_text(report_of(*results)).splitlines())) <= 90


def test_json_is_complete_and_finite():
    results = [timed(contender, 10.0, 20.0, 30.0) for contender in CONTENDERS[1:]]
    skipped = Result(CONTENDERS[0], "skipped", "why")
    document = json.loads(as_json(report_of(skipped, *results)))
    first, *others = document["cases"][0]["results"]
    assert first == {
        "contender": CONTENDERS[0].name,
        "dtype": CONTENDERS[0].dtype,
        "status": "skipped",
        "reason": "why",
    }
    assert len(others) == len(results)
    for entry in others:
        assert entry["ns_per_step"]["rounds"] == [10.0, 20.0, 30.0]
        assert entry["ns_per_step"]["median"] == 20.0
        assert entry["steps_per_second"] == 5e7
        assert entry["times_as_fast_as_baseline"]["median"] == 1.0
    assert datetime.fromisoformat(document["date"]).tzinfo == UTC
    assert document["machine"]["cores"] >= 1


def test_the_processor_that_code_is_compiled_for_is_named():
    report = report_of(timed(CONTENDERS[0], 10.0, 10.0, 10.0))
    target = f"({processor.NAME}, vectors of {processor.WIDTH} bytes)"
    assert target in " ".join(as_text(report).split())
    machine = json.loads(as_json(report))["machine"]
    assert (machine["LLVM CPU"], machine["vector width"]) == (processor.NAME, f"{processor.WIDTH} bytes")


@pytest.mark.parametrize("cpuinfo", ["processor\t: 0\nBogoMIPS\t: 50.00\nCPU implementer\t: 0x41\n", None])
def test_processor_without_a_name_is_named_as_llvm_does(cpuinfo, monkeypatch):
    """Linux has no name for ARM processors."""

    def read_text(self, **options):
        if cpuinfo is None:
            raise FileNotFoundError
        return cpuinfo

    monkeypatch.setattr(Path, "read_text", read_text)
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert describe_machine()["processor"] == f"{platform.machine()} {binding.get_host_cpu_name()}"


def test_where_nobody_could_be_timed_nothing_is_compared():
    report = report_of(Result(CONTENDERS[0], "skipped", "why"), baseline=None)
    assert json.loads(as_json(report))["cases"][0]["baseline"] is None
    assert "times as" not in as_text(report)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1.0, "1.00"),
        (9.999, "10.0"),
        (99.96, "100"),
        (5_694.0, "5,690"),
        (0.00999999, "0.0100"),
        (48.04, "48.0"),
    ],
)
def test_three_digits(number, text):
    assert three_digits(number) == text


def test_machine_without_a_compiler(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert find_c_compiler() is None
    assert describe_machine()["C compiler"] == "none"
