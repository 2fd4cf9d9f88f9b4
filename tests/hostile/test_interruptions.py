"""Ctrl-C at random moments of random runs: resumed, they end with the bits of runs that were never stopped.

A failure prints its seed. One command repeats it, with S for the seed and T for S + 1:
``python -m tests.hostile.interruptions '{"first": S, "stop": T, "enough": 20, "scale": 0.1}'``.
"""

import json
import os
from pathlib import Path

import pytest

from tests.processes import run

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the processes are forked")

ROOT = Path(__file__).parents[2]
CODE = f"""
import runpy, sys
sys.path.insert(0, {str(ROOT)!r})
runpy.run_module("tests.hostile.interruptions", run_name="__main__", alter_sys=False)
"""


def interrupted(first: int, stop: int, enough: int, scale: float) -> dict[str, int]:
    arguments = {"first": first, "stop": stop, "enough": enough, "scale": scale}
    output, errors = run(CODE, json.dumps(arguments))
    report = json.loads(output)
    assert not report["wrong"], f"{report}\n{errors[-5000:]}"
    return report["counts"]


def test_runs_interrupted_at_any_moment_resume_to_the_bit():
    assert interrupted(0, 4, enough=5, scale=0.05)["interruptions"] >= 20


@pytest.mark.soak
@pytest.mark.parametrize("part", range(10))
def test_runs_interrupted_at_5000_random_moments_resume_to_the_bit(part):
    counts = interrupted(1000 + 25 * part, 1025 + 25 * part, enough=20, scale=0.1)
    print("\n", counts)
    assert counts["interruptions"] >= 500
