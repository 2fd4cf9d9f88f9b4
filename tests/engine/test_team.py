"""How many threads there may be, and threads that outlive the main one."""

import pytest

from fastbp.engine import team
from tests.processes import run


def test_threads_are_as_many_as_pay_and_no_more_than_there_are_cores(monkeypatch):
    monkeypatch.delenv(team.OVERSUBSCRIBE)
    assert [team.threads_for(work, None, cores=2) for work in (0, 1e6, 3e6, 4e6, 1e12)] == [1, 1, 1, 2, 2]
    assert [team.threads_for(1e12, threads, cores=2) for threads in (1, 2, 3, 64)] == [1, 2, 2, 2]
    assert team.threads_for(1e12, 64) == team.threads_for(1e12, None) == team.available_cores()


def test_more_threads_are_started_for_a_long_call_than_for_a_short_one():
    work = 16e6
    threads = [team.threads_for(work, None, cores=64, whole=steps * work) for steps in (1, 4, 16, 1000)]
    assert threads == [4, 8, 16, 16]


@pytest.mark.parametrize(("value", "threads"), [("1", 64), ("0", 2), ("", 2)])
def test_more_threads_than_cores_must_be_meant(monkeypatch, value, threads):
    monkeypatch.setenv(team.OVERSUBSCRIBE, value)
    assert team.threads_for(1e12, 64, cores=2) == threads


FILES = {
    "none": ({}, "0::/\n", None),
    "version 2, no limit": ({"a/cpu.max": "max 100000"}, "0::/a\n", None),
    "version 2": ({"a/b/cpu.max": "250000 100000\n", "a/cpu.max": "max 100000\n"}, "0::/a/b\n", 2),
    "version 2, less than a core": ({"a/cpu.max": "50000 100000"}, "0::/a\n", 1),
    "version 2, of a group above": ({"cpu.max": "300000 100000", "a/cpu.max": "900000 100000"}, "0::/a\n", 3),
    "version 1": (
        {"cpu,cpuacct/a/cpu.cfs_quota_us": "400000", "cpu,cpuacct/a/cpu.cfs_period_us": "100000"},
        "5:memory:/a\n4:cpu,cpuacct:/a\n",
        4,
    ),
    "version 1, no limit": (
        {"cpu/a/cpu.cfs_quota_us": "-1", "cpu/a/cpu.cfs_period_us": "100000"},
        "4:cpu:/a\n",
        None,
    ),
    "of another controller": ({"memory/a/cpu.max": "100000 100000"}, "5:memory:/a\n", None),
    "damaged": ({"a/cpu.max": "many 0"}, "0::/a\n", None),
    "a period of 0": ({"a/cpu.max": "1 0"}, "0::/a\n", None),
}


@pytest.mark.parametrize(("files", "groups", "cores"), FILES.values(), ids=FILES)
def test_quota_of_the_control_groups(files, groups, cores, tmp_path):
    for name, content in files.items():
        path = tmp_path / "sys" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    listed = tmp_path / "cgroup"
    listed.write_text(groups)
    quota = team.quota.__wrapped__(str(tmp_path / "sys"), str(listed))
    assert quota == (cores or team.sys.maxsize)


def test_quota_where_there_are_no_control_groups(tmp_path):
    assert team.quota.__wrapped__(str(tmp_path), str(tmp_path / "none")) == team.sys.maxsize


def test_the_process_may_use_its_affinity(monkeypatch):
    monkeypatch.delattr(team.os, "process_cpu_count", raising=False)
    monkeypatch.setattr(team.os, "sched_getaffinity", lambda _: {3, 5, 8}, raising=False)
    assert team.available_cores(most=64) == 3
    assert team.available_cores(most=2) == 2


AFTER_THE_MAIN_THREAD = """
import atexit, sys, threading, time
import numpy as np, fastbp
how, threads = sys.argv[1], eval(sys.argv[2])
X, Y = np.ones((400, 64)), np.ones((400, 10))

def work():
    threading.main_thread().join() if how == "thread" else None
    network = fastbp.Network([64, 256, 10], seed=0)
    result = fastbp.train(network, X, Y, epochs=2, batch_size=200, optimizer=fastbp.Adam(), threads=threads)
    print(result.stop_reason, network.predict(X, threads=threads).shape, network.gradient(X, Y).shape)

if how == "thread":
    threading.Thread(target=work).start()
else:
    atexit.register(work)
"""


@pytest.mark.parametrize("threads", ["1", "2", "None"])
@pytest.mark.parametrize("how", ["thread", "atexit"])
def test_training_goes_on_after_the_main_thread_has_ended(how, threads):
    output, _ = run(AFTER_THE_MAIN_THREAD, how, threads, FASTBP_OVERSUBSCRIBE="1")
    assert output == "completed (400, 10) (19210,)\n"
