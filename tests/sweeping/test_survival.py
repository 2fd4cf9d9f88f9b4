import random
import subprocess
import sys
from contextlib import suppress

import pytest

import fastbp
from tests.processes import start
from tests.sweeping.killed import N_NETWORKS, digest
from tests.sweeping.tasks import OPTIONS, SPACE, data

CODE = "from tests.sweeping.killed import main; main()"
"""Not as the main module: the processes of its pool import that anew."""


@pytest.fixture(scope="module")
def expected() -> str:
    return digest(fastbp.sweep(*data(), SPACE, N_NETWORKS, **OPTIONS))


def started(folder, *arguments) -> subprocess.Popen:
    return start(CODE, str(folder), *map(str, arguments), stderr=subprocess.DEVNULL)


def kill_after(process: subprocess.Popen, lines: int, seconds: float) -> bool:
    """Kill a process after it has written so many lines, and a moment more; return whether it still ran."""
    for _ in range(lines):
        if not process.stdout.readline().startswith("submitted"):
            break
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    alive = process.poll() is None
    process.kill()
    process.communicate()
    return alive


def finished(process: subprocess.Popen) -> list[str]:
    output, _ = process.communicate()
    return output.splitlines()[-1].split()


def test_a_sweep_that_loses_a_worker_and_is_killed_ends_with_the_same_result(tmp_path, expected):
    assert kill_after(started(tmp_path), 4, 0.05)
    assert not (tmp_path / "died").exists()
    word, found, n_repeated = finished(started(tmp_path, 11))
    assert (tmp_path / "died").exists()
    assert (word, found) == ("digest", expected)
    assert int(n_repeated) > 0
    assert not list(tmp_path.glob("data-*"))


@pytest.mark.soak
def test_soak_thirty_kills_change_nothing(tmp_path, expected):
    generator = random.Random(7)
    n_killed = n_rounds = 0
    while n_killed < 30:
        folder = tmp_path / str(n_rounds)
        for _ in range(4):
            deadly = generator.choice([-1, generator.randrange(15)])
            n_killed += kill_after(
                started(folder, deadly), generator.randint(1, 14), generator.uniform(0, 0.3)
            )
        assert finished(started(folder))[:2] == ["digest", expected]
        n_rounds += 1
    print(f"{n_killed} kills in {n_rounds} sweeps", file=sys.stderr)
