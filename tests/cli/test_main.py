"""What all commands have in common: how they fail, and where they write to."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastbp import Network, cli
from tests.processes import PACKAGE

COMMAND = [sys.executable, "-c", "import sys; from fastbp.cli import main; sys.exit(main())"]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("", "arguments are required: command"),
        ("learn", "there is no command 'learn'"),
        ("train iris.csv --target 4 --hidden 1e9", "'1e9' is not a list of sizes such as 16,16"),
        ("train iris.csv --target 4 --seed one", "invalid int value: 'one'"),
        (
            "train iris.csv --target 4 --speed 3",
            "fastbp train: --speed is no option; did you mean '--seed'?; fastbp train --help shows",
        ),
        ("predict", "arguments are required: model, data"),
    ],
)
def test_bad_usage_is_one_line_and_status_2(fastbp, line, complaint):
    done = fastbp(line)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("fastbp")
    assert done.err.count("\n") == 1
    assert complaint in done.err


@pytest.mark.parametrize(
    "line",
    [
        "train far.csv --target y --epochs 3 --validation farther.csv",
        "predict far.safetensors far.npy",
        "info far.safetensors",
        "info",
        "example --rounds 3 --steps --race 1000",
    ],
)
def test_every_commands_json_is_of_the_standard_where_numbers_overflow(fastbp, line):
    network = Network([2, 1], output_activation="identity", seed=0)
    network.theta[:] = [10.0, 10.0, 0.0]
    network.notes = {"score": None}
    network.save("far.safetensors")
    np.save("far.npy", np.array([[1e308, 1e308], [1.0, 1.0]]))
    Path("far.csv").write_text("x,y\n1,1.5\n2,3\n3,4.5\n")
    Path("farther.csv").write_text("x,y\n1e308,1.5\n2,3\n")
    done = fastbp(f"{line} --json")
    assert done.status == 0
    document = done.document
    if line.startswith("train"):
        assert document["scores"]["validation"]["loss"] is None
        assert document["scores"]["training"]["loss"] > 0
    if line.startswith("predict"):
        assert document["output0"] == [None, 20.0]


def test_a_network_that_memory_cannot_hold_is_one_line(fastbp, monkeypatch):
    def full(*arguments, **options):
        raise MemoryError("Unable to allocate 59.6 GiB")

    monkeypatch.setattr(cli.train, "make_network", full)
    done = fastbp("train iris.csv --target species")
    assert (done.status, done.out) == (1, "")
    assert done.err == "fastbp train: not enough memory: Unable to allocate 59.6 GiB\n"


@pytest.fixture
def words(tmp_path, fastbp):
    """Write a file whose names and classes ASCII does not have."""
    text = "größe,y\n" + "".join(f"{i},{'ж' if i % 2 else 'b'}\n" for i in range(20))
    (tmp_path / "words.csv").write_text(text, encoding="utf-8")
    assert fastbp("train words.csv --target y --epochs 2").status == 0
    return tmp_path


@pytest.mark.parametrize("line", ["train words.csv --target y --epochs 2", "info words.safetensors"])
def test_a_terminal_without_the_letters_of_a_name_is_written_to(words, line):
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([*COMMAND, *line.split()], env=environment, capture_output=True, check=False)
    assert done.returncode == 0
    assert b"\\u0436" in done.stdout


def test_predictions_are_utf_8_on_any_terminal(words):
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), "PYTHONIOENCODING": "ascii"}
    line = ["predict", "words.safetensors", "words.csv", "--probabilities"]
    done = subprocess.run([*COMMAND, *line], env=environment, capture_output=True, check=False)
    assert done.returncode == 0
    assert done.stdout.decode().splitlines()[0] == "prediction,probability_b,probability_ж"


@pytest.mark.parametrize(
    ("line", "streams"),
    [
        ("train words.csv --target y --epochs 2", ">&-"),
        ("train words.csv --target y --epochs 2", "2>&-"),
        ("train words.csv --target y --epochs 2", ">&- 2>&- <&-"),
        ("predict words.safetensors words.csv", ">&-"),
        ("info", ">&- 2>&- <&-"),
    ],
)
def test_closed_streams_are_no_failure(words, line, streams):
    environment = {
        **os.environ,
        "PYTHONPATH": str(PACKAGE.parent),
        "PYTHON": sys.executable,
        "CODE": COMMAND[2],
    }
    shell = f'exec "$PYTHON" -c "$CODE" {line} {streams}'
    done = subprocess.run(["bash", "-c", shell], env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_second_value_of_an_option_is_remarked_on(fastbp):
    done = fastbp("train iris.csv --target species --epochs 30 --seed 1 --seed 1 --epochs 2")
    assert done.status == 0
    assert done.err == "fastbp train: --epochs is given twice, and the last one counts: 2\n"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("train iris.csv --target spezies", "--target is 'spezies', .*; did you mean 'species'?"),
        (
            "train iris.csv --target species --ignore SPECIES",
            "--ignore is 'SPECIES', .* did you mean 'species'",
        ),
        ("train iris.csv --target species --keep sepal_widht", "--keep is .* did you mean 'sepal width"),
        ("train iris.csv --target species --sample-weight w", "--sample-weight is 'w', and iris.csv has the"),
        (
            "train iris.csv --target species --validation 0.1 --stratify x",
            "--stratify is 'x', and iris.csv has",
        ),
        ("predict iris.safetensors iris.csv --keep specis", "--keep is 'specis', .* did you mean 'species'"),
        (
            "trian iris.csv --target species",
            "there is no command 'trian'; did you mean 'train'.; fastbp --help",
        ),
        ("train iris.csv --target species --epoch-s 3", "--epoch-s is no option; did you mean '--epochs'?"),
        ("train iris.csv --target species 3", "'3' is one argument too many; fastbp train --help"),
        (
            "predict iris.safetensors iris.csv --unsen",
            "--unsen is no option; .*; fastbp predict --help shows",
        ),
        (
            "train iris.csv --target species --optimizer adm",
            "'adm' is none of adam, .* did you mean 'adam'?.*fastbp train --help",
        ),
    ],
)
def test_what_does_not_exist_gets_the_nearest_that_does_and_the_right_page(fastbp, line, complaint):
    if line.startswith("predict"):
        assert fastbp("train iris.csv --target species --epochs 1").status == 0
    done = fastbp(line)
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert re.search(complaint, done.err)
