"""What `make bench` runs can still be run: nothing else looks at it when the package changes."""

from importlib import import_module
from pathlib import Path

import pytest

import bench
from bench import test_loop

MODULES = sorted(path.stem for path in Path(bench.__file__).parent.glob("test_*.py"))


@pytest.mark.parametrize("module", MODULES)
def test_its_modules_can_be_imported(module):
    import_module(f"bench.{module}")


@pytest.mark.parametrize("case", test_loop.CASES)
def test_the_loops_whose_share_is_measured_can_be_made(case):
    new_run, new_loop, steps = test_loop.prepare(case)
    assert new_loop(test_loop.Timed(new_run())) is not None
    assert steps > 0
