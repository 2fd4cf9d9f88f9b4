"""A session times those who are right, and nobody else; lost processes do not end it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench import grid, page, report, session, starts
from bench.peers import PEERS
from bench.processes import WorkerProcess, environment
from bench.session import FEW, control_interval
from fastbp.benchmark.machine import core_numbers
from fastbp.benchmark.protocol import LostError
from fastbp.benchmark.roofline import Effort
from fastbp.benchmark.statistics import Interval

BROKEN = ("one_step_short", "no_training", "half_the_steps", "one_weight_off", "not_a_number", "wrong_shape")
BRIEF = replace(session.QUICK, rounds=3, turn_seconds=0.001)
WORKLOADS = ("2-2-2, 4 samples, float64", "4-10-3 relu, 16, SGD, float32")


def peer(name):
    return f"tests.bench.broken:{name}"


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    names = ["fastbp", *map(peer, ("right", *BROKEN, "raises", "dies", "absent"))]
    folder = tmp_path_factory.mktemp("session")
    cores = core_numbers()[:1]
    with session.Session(BRIEF, names, cores, folder, lambda text: None) as running:
        found = [running.compare(grid.ALL[key]) for key in WORKLOADS]
        assert all(row["cores"] == cores for row in running.threads.values())
    return [{row["peer"]: row for row in (*workload["rows"], workload["control"])} for workload in found]


@pytest.mark.parametrize("i", range(len(WORKLOADS)), ids=WORKLOADS)
@pytest.mark.parametrize("name", BROKEN)
def test_a_peer_broken_on_purpose_gets_no_number(compared, name, i):
    row = compared[i][peer(name)]
    assert row["status"] == "wrong"
    assert "of the way from the reference's" in row["reason"]
    assert not {"us", "times_as_fast", "pairs"} & set(row)


@pytest.mark.parametrize("i", range(len(WORKLOADS)), ids=WORKLOADS)
def test_who_is_right_is_timed_in_pairs(compared, i):
    for name in (peer("right"), session.CONTROL):
        row = compared[i][name]
        assert row["status"] == "timed", row["reason"]
        assert len(row["pairs"]) == BRIEF.rounds
        assert all(a > 0 and b > 0 for a, b in row["pairs"])
        ratios = row["times_as_fast"]
        assert 0 < ratios["low"] <= ratios["median"] <= ratios["high"]
    assert compared[i]["fastbp"]["us"] > 0
    assert "times_as_fast" not in compared[i]["fastbp"]


@pytest.mark.parametrize("i", range(len(WORKLOADS)), ids=WORKLOADS)
def test_who_fails_or_is_absent_is_named_with_the_reason(compared, i):
    assert compared[i][peer("raises")]["reason"] == "RuntimeError: out of order"
    assert compared[i][peer("dies")]["reason"] == "its process ended with status 3"
    assert compared[i][peer("absent")]["reason"] == "not today"
    statuses = [compared[i][peer(name)]["status"] for name in ("raises", "dies", "absent")]
    assert statuses == ["failed", "failed", "skipped"]


def test_if_fastbp_is_wrong_nobody_has_a_ratio(tmp_path):
    peers, cores, nobody = ["fastbp", "NumPy"], core_numbers()[:1], -1.0
    with session.Session(BRIEF, peers, cores, tmp_path, print, tolerance=nobody) as running:
        found = running.compare(grid.ALL[WORKLOADS[0]])
    assert [row["status"] for row in found["rows"]] == ["wrong", "wrong"]
    assert not any("times_as_fast" in row or row.get("us") for row in found["rows"])


TASK = "2-2-2, 1 sample, float64"
SHORT = replace(
    BRIEF,
    workloads=WORKLOADS[:1],
    start_workloads=WORKLOADS[:1],
    tasks=(),
    effort=Effort(seconds=0.001, triad_elements=2**12),
    import_repeats=1,
)


def assert_is_whole(document):
    text = page.page(document)
    assert "tests.bench.broken:no_training" in text
    assert "Whole runs" in text
    assert "Starting" in text
    assert report.as_markdown([document]).count("2-2-2, 4 samples") == 1


def test_a_short_session_makes_a_whole_report(tmp_path):
    """Its whole runs are of peers that compile nothing."""
    names, cores = ["fastbp", "NumPy", peer("no_training")], core_numbers()[:1]
    document = session.run(SHORT, names, cores, lambda text: None)
    repeats = starts.Repeats(1, 1)
    (task,) = starts.measure_tasks([TASK], names[1:], cores, tmp_path, lambda text: None, repeats)
    assert [row["status"] for row in task["rows"]] == ["timed", "wrong"]
    assert_is_whole(document | {"tasks": [task]})


@pytest.mark.soak
def test_a_session_with_whole_runs_makes_a_whole_report():
    names = ["fastbp", "NumPy", peer("no_training")]
    document = session.run(replace(SHORT, tasks=(TASK,)), names, core_numbers()[:1], lambda text: None)
    (task,) = document["tasks"]
    assert [row["status"] for row in task["rows"]] == ["timed", "timed", "wrong"]
    assert_is_whole(document)


def test_a_difference_in_every_pair_of_one_workload_does_not_make_a_session_unsound():
    groups = [[1.02] * 20, [0.99] * 20, [1.01] * 20, [0.98] * 20, [1.0] * 20, [1.005] * 20]
    assert len(groups) >= FEW
    assert control_interval(groups).contains(1.0)
    assert not control_interval([[1.02] * 20] * 6).contains(1.0)


def test_few_workloads_are_judged_by_their_pairs():
    assert control_interval([[0.9, 1.1, 1.0, 1.05, 0.95]]).contains(1.0)
    assert control_interval([[1.0, 2.0]]) != Interval(1.5, 1.5, 1.5)


def test_fastbp_may_differ_from_itself_by_three_percent():
    assert session.agrees(np.array([[1.0, 1.02]] * 20))
    assert session.agrees(np.array([[1.0, 0.98]] * 20))
    assert not session.agrees(np.array([[1.0, 1.05]] * 20))
    assert not session.agrees(np.array([[1.0, 0.95]] * 20))
    assert not session.agrees(None)


def test_a_machine_that_becomes_faster_is_not_steady():
    slow, fast = np.full((20, 2), [1.6, 2.0]), np.full((20, 2), [1.0, 1.1])
    assert session.is_steady({"C": fast, "JAX": fast * 1.1})
    assert not session.is_steady({"C": np.concatenate([slow[:11], fast[:9]])})
    assert not session.is_steady({"C": slow, "JAX": fast})
    assert session.is_steady({"C": np.concatenate([slow[:2], fast])})


class Disturbed(session.Session):
    """A session in which the first times of a workload are of a process that is slowed down."""

    tries = 0

    def time_pairs(self, workload, steps):
        self.tries += 1
        found = super().time_pairs(workload, steps)
        if self.tries == 1:
            found[session.CONTROL][:, 1] *= 1.5
        return found

    def has_cores(self):
        return True


def test_a_disturbed_workload_is_timed_again(tmp_path):
    patient, names = replace(BRIEF, rounds=9, turn_seconds=0.01, quick=False), ["fastbp", peer("right")]
    with Disturbed(patient, names, core_numbers()[:1], tmp_path, lambda text: None) as running:
        found = running.compare(grid.ALL[WORKLOADS[0]])
    assert 2 <= running.tries <= session.MOST_TRIES
    assert found["control"]["times_as_fast"]["median"] < 1.4
    assert found["rows"][1]["status"] == "timed"


def test_a_session_waits_for_its_cores_but_not_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(session, "PAUSE", 0.01)
    monkeypatch.setattr(session, "PATIENCE", 0.05)
    monkeypatch.setattr(session, "ENOUGH_CORES", 2.0)  # no machine is faster than itself
    said = []
    patient, cores = replace(BRIEF, quick=False), core_numbers()[:1]
    with session.Session(patient, ["fastbp"], cores, tmp_path, said.append) as running:
        for _ in range(2):
            running.wait_for_cores()
        found = running.compare(grid.ALL[WORKLOADS[0]])
    assert said.count("waits for its cores") == 5
    assert found["quiet"] is False


def test_a_worker_that_hangs_is_given_up():
    with WorkerProcess("Python, lists", environment(core_numbers()[:1])) as worker:
        assert worker.ask(prepare=WORKLOADS[0]) == {"unavailable": ""}
        with pytest.raises(LostError, match="no answer in 0 s"):
            worker.ask(patience=0.05, time=10**9)
        with pytest.raises(LostError, match="ended"):
            worker.ask(threads=True)


def test_what_a_peer_prints_is_not_taken_for_an_answer():
    with WorkerProcess("tests.bench.test_session:noisy", environment(core_numbers())) as worker:
        assert worker.ask(prepare=WORKLOADS[0]) == {"unavailable": ""}


def noisy(workload):
    print('{"unavailable": "said by a library"}', flush=True)
    return lambda steps: np.zeros(1)


def test_peers_are_listed_with_commas_which_may_be_in_a_name():
    names = [*PEERS, "my_module:prepare"]
    assert session.listed(", ".join(names)) == session.listed(",".join(names)) == names


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--cores", "0"], "--cores is 0"),
        (["--peers", "Torch"], "--peers names Torch"),
        (["--only", "no such workload"], "is in no workload's name"),
    ],
)
def test_bad_usage_is_named(arguments, said, capsys, tmp_path):
    with pytest.raises(SystemExit) as exit_:
        session.main(["--out", str(tmp_path / "x.json"), *arguments])
    assert exit_.value.code == 2
    assert said in capsys.readouterr().err
    assert not Path(tmp_path / "x.json").exists()
