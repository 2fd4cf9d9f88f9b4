import argparse
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import fastbp
from fastbp.cli import main
from fastbp.cli.sweep import write
from fastbp.cli.sweep_options import DEFAULTS, SPACE, space_of
from fastbp.sweeping.sweep_result import SweepResult
from tests.sweeping.tasks import data

SMALL = ["--target", "y", "--networks", "30", "--epochs", "9", "--hidden", "4/6,3", "--batch-size", "16"]


@pytest.fixture
def csv(tmp_path, monkeypatch) -> str:
    monkeypatch.chdir(tmp_path)
    X, y = data()
    rows = [",".join(map(str, row)) for row in np.column_stack([X, y]).tolist()]
    Path("numbers.csv").write_text("\n".join(["a,b,c,y", *rows]) + "\n")
    return "numbers.csv"


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    status = main(["sweep", *arguments])
    out, err = capsys.readouterr()
    return status, out, err


def test_a_sweep_prints_its_leaderboard_and_writes_the_best_model(csv, capsys):
    status, out, err = run(capsys, csv, *SMALL, "--plot", "p.png", "--leaderboard", "l.parquet")
    assert status == 0
    assert [line for line in err.splitlines() if "compiling" not in line] == []
    assert "120 rows, 3 inputs, 'y'; 30 of 30 networks" in out
    assert out.count("\n     ") >= 9
    assert "What mattered: " in out
    assert {path.name for path in Path().iterdir()} == {csv, "p.png", "l.parquet", "numbers.safetensors"}
    model = fastbp.Model.load("numbers.safetensors")
    assert model.score(csv) > 0.3
    assert model.network.notes["networks"] == 30
    assert model.preprocessing.columns[0].mean == pytest.approx(data()[0][:, 0].mean())


def test_json_and_processes_give_what_python_gives(csv, capsys):
    arguments = [csv, *SMALL, "--shard-size", "10", "--json", "--no-refit"]
    status, out, _ = run(capsys, *arguments)
    document = json.loads(out)
    options = DEFAULTS | {"hidden": "4/6,3", "batch_size": "16"}
    space = {name: options[name] for name in SPACE}
    result = fastbp.sweep(
        csv, "y", space_of(type("Options", (), space)), 30, epochs=9, shard_size=10, progress=False
    )
    assert status == 0
    assert document["best"]["loss"] == result.best["loss"]
    assert [row["trial"] for row in document["leaderboard"]] == result.order[:10].tolist()
    assert (
        fastbp.Network.load("numbers.safetensors").theta.tobytes() == result.model().network.theta.tobytes()
    )
    with_workers = json.loads(run(capsys, *arguments, "--workers", "2")[1])
    assert with_workers["leaderboard"] == document["leaderboard"]


def interrupt_when(exists: Callable[[], bool]) -> threading.Thread:
    """Press Ctrl-C once something is so."""

    def wait() -> None:
        while not exists():
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def test_after_ctrl_c_the_sweep_writes_what_it_has_and_says_what_it_leaves_out(csv, capsys):
    interrupt_when(lambda: Path("j/sweep.journal").exists() and Path("j/sweep.journal").stat().st_size > 2000)
    arguments = [
        "--target",
        "y",
        "--networks",
        "200000",
        "--epochs",
        "3",
        "--hidden",
        "4",
        "--shard-size",
        "64",
    ]
    more = ["--journal", "j", "--plot", "p.png", "--leaderboard", "l.csv"]
    status, out, _ = run(capsys, csv, *arguments, *more)
    assert status == 130
    assert out.index("of 200,000 networks in") < out.index("model     numbers.safetensors")
    assert "Left out: importances, picture" in out
    assert "What mattered" not in out
    assert {path.name for path in Path().iterdir()} == {csv, "j", "l.csv", "numbers.safetensors"}


class Impatient(SweepResult):
    """Ctrl-C is pressed again when the best network is trained."""

    def refit(self, rank: int = 1):
        signal.raise_signal(signal.SIGINT)
        return super().refit(rank)


def test_another_ctrl_c_leaves_out_the_model(csv):
    whole = fastbp.sweep(csv, "y", {"hidden": 4}, 16, epochs=3, progress=False)
    result = Impatient(whole.task, whole.folds)
    options = argparse.Namespace(plot=None, no_refit=False, data=Path(csv), out=Path("numbers.safetensors"))
    assert write(options, result) == ["model", "importances"]
    assert not options.out.exists()


def test_a_sweep_that_is_over_is_read_from_its_journal(csv, capsys):
    first = json.loads(run(capsys, csv, *SMALL, "--journal", "j", "--json")[1])
    size = Path("j/sweep.journal").stat().st_size
    again = json.loads(run(capsys, csv, *SMALL, "--journal", "j", "--json")[1])
    assert again["leaderboard"] == first["leaderboard"]
    assert Path("j/sweep.journal").stat().st_size == size
    status, _, err = run(capsys, csv, *SMALL, "--journal", "j", "--seed", "5")
    assert status == 2
    assert "seed was 0, and is 5" in err
    assert run(capsys, csv, *SMALL, "--journal", "j", "--seed", "5", "--restart")[0] == 0


def test_options_may_come_from_a_file(csv, capsys):
    Path("options.toml").write_text(
        'target = "y"\nnetworks = 30\nepochs = 9\nhidden = "4/6,3"\nbatch-size = 16\n'
        'learning-rate = "1e-3..1e-2"\n'
    )
    status, out, _ = run(capsys, csv, "--config", "options.toml", "--json")
    rates = [row["learning_rate"] for row in json.loads(out)["leaderboard"]]
    assert status == 0
    assert 1e-3 <= min(rates) <= max(rates) <= 1e-2


WRONG = [
    ([], "give --target COLUMN"),
    (["--target", "z"], "target"),
    (["--target", "y", "--hidden", "8,x"], "--hidden has 'x'"),
    (["--target", "y", "--learning-rate", "1e-4..fast"], "--learning-rate has 'fast'"),
    (["--target", "y", "--activation", "rely"], "did you mean 'relu'"),
    (["--target", "y", "--folds", "3", "--validation", "0.2"], "give --validation or --folds, and not both"),
    (["--target", "y", "--folds", "3", "--no-refit"], "--no-refit keeps a network of all training rows"),
    (["--target", "y", "--workers", "2", "--dask", "tcp://x"], "give --workers or --dask"),
    (["--target", "y", "--dask", "nowhere"], "--dask is 'nowhere', and there is no scheduler"),
    (["--target", "y", "--restart"], "name its folder with --journal"),
    (["--target", "y", "--sampling", "grid"], "--sampling is 'grid', and learning_rate of the space is"),
    (["--target", "y", "--leaderboard", "l.xls"], "--leaderboard is 'l.xls', and must end in"),
    (["--target", "y", "--networks", "0"], "--networks is 0"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG, ids=lambda value: str(value)[:60])
def test_what_cannot_be_is_said_in_one_line(csv, capsys, arguments, message):
    status, out, err = run(capsys, csv, *arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert err.startswith("fastbp sweep: ")
    assert len(err.splitlines()) == 1
