import csv
import json

import numpy as np
import polars as pl
import pytest

import fastbp
from fastbp import OptionError, spaces
from fastbp.sweeping.importances import importances
from fastbp.sweeping.panels import Axis, draw_sweep
from tests.sweeping.tasks import OPTIONS, data

SPACE = {
    "hidden": [4, (6, 3), 0],
    "activation": ["relu", "tanh"],
    "optimizer": ["sgd", fastbp.Adam(beta1=0.8)],
    "learning_rate": spaces.LogUniform(1e-3, 1e30),
    "momentum": spaces.Uniform(0.0, 0.9),
    "batch_size": [16, None],
}


@pytest.fixture(scope="module")
def result() -> fastbp.sweeping.SweepResult:
    return fastbp.sweep(*data(), SPACE, 60, **OPTIONS)


def test_the_files_hold_what_the_leaderboard_does(result, tmp_path):
    board = result.leaderboard()
    assert (
        pl.DataFrame(
            board
            | {"hidden": list(map(str, board["hidden"])), "optimizer": list(map(str, board["optimizer"]))}
        ).height
        == 60
    )
    for suffix in ("csv", "json", "parquet"):
        result.save(tmp_path / f"board.{suffix}")
    with open(tmp_path / "board.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["trial"]) for row in rows] == board["trial"]
    assert [float(row["learning_rate"]) for row in rows] == board["learning_rate"]
    assert [float(row["loss"]) for row in rows] == board["loss"]
    assert {row["hidden"] for row in rows} == {"4", "6,3", "0"}
    assert {row["momentum"] == "" for row in rows if row["optimizer"] != "sgd"} == {True}
    document = json.loads((tmp_path / "board.json").read_text())
    assert (document["n_networks"], document["stop_reason"]) == (60, "completed")
    assert document["n_diverged"] == int(np.isinf(result.scores).sum()) > 0
    assert [row["loss"] for row in document["leaderboard"]] == [
        loss if np.isfinite(loss) else None for loss in board["loss"]
    ]
    assert document["leaderboard"][0]["hidden"] == list(board["hidden"][0])
    frame = pl.read_parquet(tmp_path / "board.parquet")
    assert frame["loss"].to_list() == board["loss"]
    assert frame["momentum"].to_list() == board["momentum"]


def test_a_part_may_be_written_and_other_files_are_refused(result, tmp_path):
    result.save(tmp_path / "five.csv", 5)
    assert len((tmp_path / "five.csv").read_text().splitlines()) == 6
    with pytest.raises(OptionError, match=r"may end in \.csv, \.json, \.parquet"):
        result.save(tmp_path / "board.xlsx")
    with pytest.raises(OptionError, match=r"must end in \.png or \.svg"):
        result.plot(tmp_path / "board.pdf")


def test_the_table_shows_the_best(result):
    lines = str(result).splitlines()
    assert lines[0].startswith("60 networks in ")
    assert lines[2].split()[:4] == ["rank", "trial", "loss", "epochs"]
    assert "learning_rate" in lines[2]
    assert len(lines) == 14
    assert repr(result) == "SweepResult(60 of 60 networks, completed)"


@pytest.mark.parametrize("with_forest", [True, False])
def test_importances_are_the_shares_of_a_known_function(with_forest, monkeypatch):
    if not with_forest:
        monkeypatch.setitem(__import__("sys").modules, "sklearn.ensemble", None)
    generator = np.random.default_rng(1)
    n = 4000
    rates, l2, names = generator.uniform(size=n), generator.uniform(size=n), generator.integers(0, 3, n)
    value = 3.0 * rates + 1.5 * (names == 1)
    board = {"rank": [], "learning_rate": rates.tolist(), "l2": l2.tolist(), "epochs": [9] * n}
    board |= {"activation": [("relu", "tanh", "elu")[name] for name in names], "batch_size": [32] * n}
    board["rank"] = (np.argsort(np.argsort(value)) + 1).tolist()
    shares = importances(board)
    assert list(shares) == ["learning_rate", "activation", "l2"]
    ranks = np.array(board["rank"])
    truth = np.var([ranks[names == name].mean() for name in range(3)]) / np.var(ranks)
    assert shares["activation"] == pytest.approx(truth, abs=0.05)
    assert shares["learning_rate"] == pytest.approx(1 - truth, abs=0.08)
    assert shares["l2"] < 0.02


def test_nothing_mattered_where_nothing_varies():
    assert importances({"rank": [1, 2], "l2": [0.1, 0.1]}) == {}
    assert importances({"rank": [1], "l2": [0.1]}) == {}


def test_the_picture_is_drawn_whatever_varies(result, tmp_path):
    pytest.importorskip("matplotlib")
    result.plot(tmp_path / "a.svg")
    svg = (tmp_path / "a.svg").read_text()
    assert all(name in svg for name in ("hidden", "learning_rate", "momentum", "batch_size", "best"))
    one = {"rank": [1], "trial": [0], "loss": [np.inf], "epochs": [1], "l2": [0.1]}
    draw_sweep(one, spaces.Space({"l2": [0.1]}), tmp_path / "b.png")
    assert (tmp_path / "b.png").read_bytes()[:4] == b"\x89PNG"


def test_labels_of_a_picture_are_short_and_no_trial_is_left_out():
    optimizers = ["adam", "RMSprop(learning_rate=0.01, alpha=0.95)"]
    space = spaces.Space({"momentum": spaces.Uniform(0, 0.9), "optimizer": optimizers[:1]})
    momentum = Axis("momentum", [0.9, None, 0.0], space)
    assert momentum.labels[0] == "none"
    assert momentum.values.tolist() == [1.0, momentum.ticks[0], 0.0]
    assert momentum.ticks[0] < 0
    assert Axis("optimizer", optimizers, space).labels == ["adam", "RMSprop(learn…"]
    assert Axis("batch_size", [None, 8], space).labels == ["all", "8"]
    rate = Axis("learning_rate", [1e-6, 1.0], spaces.Space({"learning_rate": spaces.LogUniform(1e-6, 1)}))
    assert rate.labels[0] == "1e-6"
