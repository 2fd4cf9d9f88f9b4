"""The table of fits: both sides reach the same result, and who does not gets no number."""

import json

import numpy as np
import pytest

from bench import fits, fits_session
from bench.fits import AGAIN, OURS, ROWS, THEIRS, Row


def outcome(row: Row, contender: str) -> np.ndarray:
    work = row.prepare(contender)
    return work.outcome(work.call())


@pytest.mark.parametrize("name", ["predict a row, 4-10-3", "partial_fit on 32 rows, 4-10-3"])
def test_both_sides_reach_the_same_result(name):
    row = ROWS[name]
    assert fits_session.gap(outcome(row, OURS), outcome(row, THEIRS)) <= row.tolerance


def test_a_result_of_another_shape_or_value_is_far_away():
    assert fits_session.gap(np.ones(3), np.ones(4)) == float("inf")
    assert fits_session.gap(np.array(["a"]), np.array(["b"])) == float("inf")
    assert fits_session.gap(np.array([1.0, 2.0]), np.array([1.0, 1.0])) == pytest.approx(1 / 2**0.5)


class Process:
    """A contender whose calls take a nanosecond times its factor, and which has its own result."""

    def __init__(self, factor, result):
        self.factor, self.result = factor, result

    def ask(self, **order):
        if "result" in order:
            np.save(order["result"], self.result)
        return {"calls": 1, "ns": 1e3 * self.factor}


@pytest.mark.parametrize(("theirs", "status"), [(np.ones(3), "timed"), (np.ones(3) + 1e-5, "wrong")])
def test_a_ratio_is_of_those_who_are_right(theirs, status, tmp_path):
    workers = {OURS: Process(1, np.ones(3)), AGAIN: Process(1, np.ones(3)), THEIRS: Process(7, theirs)}
    row = Row("a fit", None)
    found = fits_session.measure(row, workers, tmp_path, 3, 0.1, lambda text: None)
    assert found["status"] == status
    if status == "timed":
        assert found["times_as_fast"] == {"median": 7.0, "low": 7.0, "high": 7.0}
        assert found["control"]["median"] == 1.0
    else:
        assert "times_as_fast" not in found


def test_the_command_writes_the_file_and_the_table(tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{fits_session.BEGIN}\nold\n{fits_session.END}\nafter\n")
    out = tmp_path / "result.json"
    options = ["--quick", "--only", "predict a row", "--out", str(out), "--readme", str(page)]
    assert fits_session.main(options) == 0
    (row,) = json.loads(out.read_text())["rows"]
    assert row["status"] == "timed"
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| predict a row, 4-10-3 |" in text
    assert capsys.readouterr().out.strip() in text
    before = out.read_bytes()
    assert fits_session.main([*options, "--again"]) == 0
    assert (out.read_bytes(), page.read_text()) == (before, text)


def test_a_page_without_markers_is_refused_before_any_work(tmp_path, capsys):
    (tmp_path / "page.md").write_text("nothing")
    with pytest.raises(SystemExit):
        fits_session.main(["--out", str(tmp_path / "x.json"), "--readme", str(tmp_path / "page.md")])
    assert fits_session.BEGIN in capsys.readouterr().err


def test_times_are_shown_in_a_unit_of_their_size():
    assert [fits_session.shown(us) for us in (5.68, 1234, 2.5e6)] == ["5.68 us", "1.23 ms", "2.50 s"]


def test_a_worker_answers_its_orders(tmp_path):
    worker = fits.Worker(OURS)
    assert worker.answer({"prepare": "predict a row, 4-10-3"}) == {}
    worker.answer({"result": str(tmp_path / "r.npy")})
    assert np.load(tmp_path / "r.npy").shape == (1,)
    assert worker.answer({"calibrate": 1e-4})["calls"] >= 1
    assert worker.answer({"time": 3})["ns"] > 0
