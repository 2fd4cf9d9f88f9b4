"""The table of threads: only runs with the bits of one thread get a number."""

import json
import time

import numpy as np
import pytest

from bench import grid, threads_session
from fastbp.benchmark.protocol import Protocol

SMALL = grid.ALL["4-10-3 relu, 16, SGD, float32"]


@pytest.mark.parametrize(("gap", "status"), [(0, "timed"), (1e-7, "wrong")])
def test_only_the_bits_of_one_thread_get_a_number(gap, status):
    def prepare(workload, threads):
        def train(steps):
            time.sleep(1e-6 * steps)
            return np.ones(3) + gap * (threads > 2)

        return train

    found = threads_session.measure(SMALL, [1, 2, 4], Protocol(3, 1e-4), lambda text: None, prepare)
    assert found["status"] == status
    if status == "wrong":
        assert found["reason"] == "other bits on [4] threads"
    else:
        assert set(found["times_as_fast"]) == {"1", "2", "4"}


def test_the_command_writes_the_file_and_the_table(tmp_path):
    page, out = tmp_path / "page.md", tmp_path / "result.json"
    page.write_text(f"before\n{threads_session.BEGIN}\nold\n{threads_session.END}\nafter\n")
    options = ["--quick", "--only", "64-128-10", "--out", str(out), "--readme", str(page)]
    assert threads_session.main(options) == 0
    document = json.loads(out.read_text())
    assert [row["status"] for row in document["rows"]] == ["timed"]
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "| 64-128-10 relu, 32, Adam, float32" in text
    assert f"{document['threads'][-1]} threads |" in text or document["threads"] == [1]


def test_all_cores_are_tried_and_every_power_of_two_below():
    assert [threads_session.counts(n) for n in (1, 2, 6, 16)] == [
        [1],
        [1, 2],
        [1, 2, 4, 6],
        [1, 2, 4, 8, 16],
    ]
