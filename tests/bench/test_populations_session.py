"""The table of populations: whoever trains another network than the reference gets no number."""

import json
from dataclasses import replace

import numpy as np
import pytest

from bench import grid, populations_session
from bench.peers import OURS, UnavailableError, prepare
from bench.populations_session import AGAIN, ALONE, JAX, ROWS
from fastbp.benchmark.protocol import Protocol

SMALL = [
    replace(workload.with_dtype(dtype), networks=5)
    for workload, dtype in zip(grid.POPULATIONS, ("float64", "float32", "float32", "float64"), strict=True)
]


@pytest.mark.parametrize("name", [OURS, JAX])
@pytest.mark.parametrize("workload", SMALL, ids=str)
def test_networks_end_where_the_reference_does_each_at_its_own_rate(name, workload):
    try:
        train = prepare(name, workload)
    except UnavailableError as error:
        pytest.skip(str(error))
    reason, gap = populations_session.check(workload, train)
    assert (reason, gap <= workload.tolerance) == ("", True)
    one_off = populations_session.check(workload, lambda steps: train(steps)[::-1])
    assert "of the way from the reference's" in one_off[0]


class Process:
    """A contender whose network-steps take some nanoseconds, and which trains right or wrong."""

    def __init__(self, name, ns, error):
        self.name, self.ns, self.error = name, ns, error

    def ask(self, **order):
        if "prepare" in order:
            self.workload = grid.ALL[order["prepare"]]
            self.right = prepare(OURS, self.workload)
            return {"unavailable": ""}
        return {"steps": 10, "ns": self.ns * 10 * self.workload.networks}

    def train(self, steps, path):
        return self.right(steps) + np.asarray(self.error, self.workload.dtype)


@pytest.mark.parametrize("error", [0.0, 0.01])
def test_a_ratio_is_of_those_who_are_right(error, tmp_path):
    row = next(row for row in ROWS.values() if row.ours.name.startswith("2-2-2"))
    row = populations_session.Row(row.ours, {JAX: row.rivals[JAX]})
    ns = {OURS: 2.0, AGAIN: 2.0, ALONE: 3.0, JAX: 26.0}
    workers = {name: Process(name, ns[name], error if name == JAX else 0.0) for name in ns}
    found = populations_session.measure(row, workers, tmp_path, Protocol(3, 0.1), 100.0, lambda text: None)
    assert (found["status"], found["ns"]) == ("timed", 2.0)
    assert found["rivals"][ALONE]["times_as_fast"]["median"] == 1.5
    assert found["share_of_peak"] == pytest.approx(2 * (3 * 8 - 4) / 2.0 / 100)
    cells = populations_session.cells(found)
    assert cells[:3] == ["2-2-2 sigmoid, 1, SGD, 1,024 networks, float32", "2.00", "20 %"]
    if error:
        assert "ns" not in found["rivals"][JAX]
        assert "of the way" in cells[4]
    else:
        assert cells[4] == "**13.0** (13.0 to 13.0)"


def test_a_command_is_measured_and_one_that_fails_gets_no_number():
    found = populations_session.measure_command(("-c", "x = bytearray(2**27); print('done')"), 1)
    assert (found["status"], found["output"]) == ("timed", ["done"])
    assert 128 < found["mebibytes"] < 1024
    failed = populations_session.measure_command(("-c", "raise SystemExit(3)"), 1)
    assert failed == {"status": "failed", "reason": "it ended with status 3"}


def test_the_command_writes_the_file_and_the_table(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        populations_session,
        "BASINS_COMMAND",
        ("-m", "examples.xor_basins", "--networks", "64", "--steps", "8"),
    )
    page = tmp_path / "page.md"
    page.write_text(f"before\n{populations_session.BEGIN}\nthe old text\n{populations_session.END}\nafter\n")
    out = tmp_path / "result.json"
    options = ["--quick", "--only", "million", "--out", str(out), "--readme", str(page)]
    assert populations_session.main(options) == 0
    (row,) = json.loads(out.read_text())["rows"]
    assert any("solved" in line for line in row["output"])
    text = page.read_text()
    assert "MiB" in text
    assert "the old text" not in text
    assert capsys.readouterr().out.strip() in text
