"""Files that a command is told to write are looked at before any work."""

import os
import stat
from pathlib import Path

import pytest

from fastbp import Network

TRAIN = "train iris.csv --target species --epochs 1"

LINES = [
    (f"{TRAIN} --out FILE.safetensors", "--out"),
    (f"{TRAIN} --log FILE.jsonl", "--log"),
    (f"{TRAIN} --plot FILE.png", "--plot"),
    ("predict net.safetensors iris.csv --out FILE.csv", "--out"),
    ("predict net.safetensors iris.csv --out FILE.parquet", "--out"),
    ("example --plot FILE.svg", "--plot"),
    ("bench --quick --readme FILE.md", "--readme"),
]
"""A command for every option that names a file to write."""


def named(line):
    return Path(next(word for word in line.split() if word.startswith("FILE")))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
@pytest.mark.parametrize(("line", "option"), LINES)
def test_a_pipe_is_refused_before_any_work_and_stays_a_pipe(fastbp, line, option):
    path = named(line)
    os.mkfifo("a_pipe")
    path.symlink_to("a_pipe")
    done = fastbp(line)
    assert (done.status, done.out) == (2, "")
    assert done.err.endswith(
        f": {option} is {str(path)!r}, and cannot be written: that is a pipe, and not a file\n"
    )
    assert done.err.count("\n") == 1
    assert stat.S_ISFIFO(os.stat("a_pipe").st_mode)
    assert path.is_symlink()
    assert not list(Path().glob("*.checkpoints"))


@pytest.mark.parametrize(("line", "option"), LINES)
def test_a_name_that_is_too_long_is_refused_before_any_work(fastbp, line, option):
    done = fastbp(line.replace("FILE", "n" * 256))
    assert (done.status, done.out) == (2, "")
    assert done.err.endswith("cannot be written: File name too long\n")


@pytest.mark.parametrize("line", [line for line, _ in LINES if not line.startswith("bench")])
def test_a_name_of_any_length_that_a_file_may_have_is_written(fastbp, line):
    Network([5, 3]).save("net.safetensors")
    path = Path(str(named(line)).replace("FILE", "n" * (255 - len(named(line).suffix))))
    line = line.replace(str(named(line)), str(path)).replace("iris.csv", "numbers.csv")
    line = line.replace("species", "species --task classification")
    Path("numbers.csv").write_text("a,b,c,d,species\n" + "1,2,3,4,0\n2,3,4,5,1\n" * 4)
    done = fastbp(line)
    assert (done.status, done.err) == (0, "")
    assert path.stat().st_size > 0
    assert all(len(name) <= 255 and not name.startswith(".") for name in os.listdir())
