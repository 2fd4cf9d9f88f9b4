"""What SIGKILL, SIGINT and failing disks leave behind: a readable checkpoint, a run that resumes to the bit.

The short forms run with all tests, the long ones with `make soak`. Nothing here depends on how long something
takes: `tests.training.survivors` waits for what it kills.
"""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest

from tests.processes import run
from tests.training.survivors import KINDS
from tests.training.tasks import ADAPTIVE, DROPOUT, EXACT, FAST, NARROW, ONLINE, TWO_THREADS

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the processes are forked")

ROOT = Path(__file__).parents[2]
CODE = f"""
import runpy, sys
sys.path.insert(0, {str(ROOT)!r})
runpy.run_module("tests.training.survivors", run_name="__main__", alter_sys=False)
"""

PLAIN = [(task.name, False) for task in (FAST, EXACT, ONLINE, NARROW, DROPOUT, ADAPTIVE, TWO_THREADS)]
WATCHING = [(task.name, True) for task in (FAST, ONLINE, DROPOUT, ADAPTIVE)]
SHORT = [(FAST.name, False), (DROPOUT.name, True), (ONLINE.name, False)]

FAULTS = ["write", "fsync", "rename", "file size limit", "full disk"]

OWN_MOUNTS = ("unshare", "--map-root-user", "--mount")
"""Starts a process that may mount file systems which only it and its children see, where that is allowed."""


def survivors(job, *, within=(), **options):
    return json.loads(run(CODE, json.dumps([job, options]), within=within)[0])


def killed_on_a_failing_disk(fault, **options):
    if fault != "full disk":
        return survivors("killed_at_random", fault=fault, **options)
    can_mount = [*OWN_MOUNTS, "mount", "-t", "tmpfs", "none", tempfile.gettempdir()]
    if not shutil.which("unshare") or subprocess.run(can_mount, capture_output=True).returncode:
        pytest.skip("this process may not mount a small disk")
    return survivors("killed_at_random", fault=fault, within=OWN_MOUNTS, **options)


def test_killed_runs_resume_to_the_bit():
    report = survivors("killed_at_random", kinds=SHORT, n_kills=4, scale=0.3)
    assert report["kills"] == 4


def test_runs_killed_inside_a_write_resume_to_the_bit():
    assert survivors("killed_inside_a_write", kind=SHORT[0], scale=0.01, every=5)["kills"] > 5


@pytest.mark.parametrize("fault", FAULTS)
def test_runs_killed_on_a_failing_disk_resume_to_the_bit(fault):
    report = killed_on_a_failing_disk(fault, kinds=SHORT[:1], n_kills=2, scale=0.3)
    assert report["kills"] == 2


def test_interrupted_runs_resume_to_the_bit():
    report = survivors("interrupted_at_random", kinds=SHORT, n_interrupts=4, scale=0.3)
    assert len(report["seconds"]) == 4


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(3))
def test_runs_killed_at_a_hundred_random_moments_resume_to_the_bit(seed):
    print("\n", survivors("killed_at_random", kinds=KINDS, n_kills=100, scale=1.0, seed=seed))


@pytest.mark.soak
@pytest.mark.parametrize("fault", FAULTS)
def test_runs_killed_at_a_hundred_random_moments_on_a_failing_disk_resume_to_the_bit(fault):
    print("\n", fault, killed_on_a_failing_disk(fault, kinds=KINDS, n_kills=100, scale=1.0))


@pytest.mark.soak
@pytest.mark.parametrize("kind", PLAIN + WATCHING, ids=str)
def test_runs_killed_before_every_call_of_every_write_resume_to_the_bit(kind):
    print("\n", kind, survivors("killed_inside_a_write", kind=kind, scale=0.05))


@pytest.mark.soak
@pytest.mark.parametrize("kind", PLAIN + WATCHING, ids=str)
def test_ctrl_c_at_a_hundred_random_moments_is_answered_at_once(kind):
    seconds = survivors("interrupted_at_random", kinds=[kind], n_interrupts=100, scale=1.0)["seconds"]
    half, nearly_all = 1000 * np.percentile(seconds, [50, 99])
    print(f"\n{kind}: Ctrl-C answered in {half:.0f} ms, and at the 99th percentile in {nearly_all:.0f} ms")
