"""`fastbp train`, as a user types it."""

import json
import math
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from fastbp import Network, errors
from fastbp.cli import train
from fastbp.cli.epoch_log import EpochLog
from tests.cli.conftest import TARGETS, standard_json
from tests.processes import PACKAGE

ALONE = "train iris.csv --target species"
IRIS = f"{ALONE} --batch-size 32"


def report(fastbp, line: str) -> dict:
    done = fastbp(f"{line} --json")
    assert (done.status, done.err) == (0, "")
    return done.document


# --- from a file to predictions ----------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("name", "score", "least"),
    [
        ("iris", "accuracy", 0.9),
        ("wine", "accuracy", 0.9),
        ("breast_cancer", "accuracy", 0.93),
        ("diabetes", "r2", 0.35),
    ],
)
def test_real_data_from_the_file_to_the_predictions(fastbp, name, suffix, score, least):
    done = fastbp(f"train {name}.{suffix} --target {TARGETS[name]} --hidden 16,16 --validation 0.2 --l2 0.01")
    assert done.status == 0
    assert ("--task regression" in done.err) == (name == "wine")  # its classes are numbers
    following = re.search(r"^Next: fastbp (.*)$", done.out, re.MULTILINE)
    done = fastbp(following[1])  # the next command to type, as it is printed
    assert (done.status, done.err) == (0, "")
    assert "written to predictions.csv" in done.out

    predictions, truth = (
        pl.read_csv("predictions.csv")["prediction"],
        pl.read_csv(f"{name}.csv")[TARGETS[name]],
    )
    if score == "accuracy":
        measured = float((predictions == truth).mean())
        assert f"accuracy {100 * measured:.1f} %" in done.out
    else:
        measured = 1 - float(((predictions - truth) ** 2).sum() / ((truth - truth.mean()) ** 2).sum())
        assert f"R2 {measured:.3f}" in done.out
    assert measured > least


def test_validation_scores_are_those_of_rows_that_were_not_trained_on(fastbp):
    results = [report(fastbp, f"{IRIS} --validation 0.2 --seed {seed}") for seed in range(3)]
    assert all(result["rows"] == {"training": 120, "validation": 30} for result in results)
    assert np.mean([result["scores"]["validation"]["accuracy"] for result in results]) > 0.9
    assert all(
        result["scores"]["validation"]["loss"] != result["scores"]["training"]["loss"] for result in results
    )


def test_the_report_has_what_one_wants_to_know(fastbp):
    out = fastbp(f"{IRIS} --hidden 16,16 --epochs 50 --validation 0.2 --out model.safetensors").out
    assert "iris.csv: 150 rows, 4 inputs, 3 classes of 'species': setosa, versicolor" in out
    assert re.search(r"^rows +120 +30$", out, re.MULTILINE)
    assert re.search(r"^loss +[\d.]+ +[\d.]+$", out, re.MULTILINE)
    assert re.search(r"^accuracy +[\d.]+ % +[\d.]+ %$", out, re.MULTILINE)
    assert "4-16-16-3, relu, softmax" in out
    assert "403 parameters, float64, loss categorical_cross_entropy" in out
    assert "50 epochs, 200 steps in " in out
    assert re.search(r"[\d,]+ steps a second, kernel \w+$", out, re.MULTILINE)
    assert re.search(r"model +model.safetensors \([\d.]+ kB\)", out)
    assert out.endswith("\nNext: fastbp predict model.safetensors iris.csv --out predictions.csv\n")
    assert all(len(line) <= 80 for line in out.splitlines())


def test_json_holds_the_report(fastbp):
    result = report(fastbp, f"{IRIS} --hidden 8 --epochs 10 --validation 0.2")
    assert result["classes"] == ["setosa", "versicolor", "virginica"]
    assert result["layer_sizes"] == [4, 8, 3]
    assert (result["epochs"], result["steps"], result["stop_reason"]) == (10, 40, "completed")
    assert result["steps_per_second"] == pytest.approx(result["steps"] / result["seconds"])
    assert result["model"] == "iris.safetensors"
    assert all(math.isfinite(value) for part in result["scores"].values() for value in part.values())


def test_a_regression_reports_errors_in_the_targets_unit(fastbp):
    result = report(fastbp, "train diabetes.csv --target progression --epochs 20")
    network = Network.load("diabetes.safetensors")
    frame = pl.read_csv("diabetes.csv")
    columns = network.preprocessing.columns
    X = np.column_stack([(frame[c.name].to_numpy() - c.mean) / c.scale for c in columns])
    error = network.preprocessing.decode(network.predict(X, prepared=True)) - frame["progression"].to_numpy()
    assert result["scores"]["training"]["rmse"] == pytest.approx(np.sqrt(np.mean(error**2)))
    assert result["task"] == "regression"


def test_the_same_seed_gives_the_same_file(fastbp):
    contents = []
    for seed in (0, 0, 1):
        assert fastbp(f"{IRIS} --epochs 20 --validation 0.2 --dropout 0.1 --seed {seed}").status == 0
        contents.append(Path("iris.safetensors").read_bytes())
    assert contents[0] == contents[1]
    assert contents[0] != contents[2]


def test_options_reach_the_network_and_the_training(fastbp):
    line = (
        f"{ALONE} --hidden 5,4 --activation tanh --dtype float32 --epochs 3 --batch-size all --optimizer sgd "
        "--learning-rate 0.5 --l2 0.001 --ignore 'sepal width (cm)' --no-standardize --out a.safetensors"
    )
    result = report(fastbp, line)
    network = Network.load("a.safetensors")
    assert network.layer_sizes == (3, 5, 4, 3)
    assert network.hidden_activations == ("tanh", "tanh")
    assert network.initializer == "glorot_uniform"
    assert network.dtype == np.float32
    assert not network.preprocessing.standardize
    assert result["steps"] == 3
    assert network.notes["optimizer"].startswith("SGD(learning_rate=0.5")


def test_the_proben1_recipe_can_be_typed(fastbp):
    line = (
        f"{ALONE} --hidden 4,2 --activation sigmoid --initializer uniform(0.5) --optimizer rprop "
        "--batch-size all --learning-rate 'uniform(0.05, 0.2)' --smallest-step 0 --validation 0.25 --every 5 "
        "--rule GL5 --epochs 10"
    )
    report(fastbp, line)
    network = Network.load("iris.safetensors")
    assert network.initializer == ("uniform", 0.5)
    assert network.notes["optimizer"].startswith(
        "RPROP(learning_rate=('uniform', 0.05, 0.2), eta_minus=0.5, eta_plus=1.2, smallest_step=0.0"
    )
    Path("run.toml").write_text('initializer = "normal(0.1)"\nlearning-rate = 0.1\n')
    report(fastbp, f"{IRIS} --epochs 1 --config run.toml --restart")
    assert Network.load("iris.safetensors").initializer == ("normal", 0.1)


def test_no_hidden_layer_is_a_linear_model(fastbp):
    assert report(fastbp, f"{IRIS} --hidden 0 --epochs 2")["layer_sizes"] == [4, 3]


def test_a_loss_and_a_task_can_be_chosen(fastbp):
    line = "train wine.csv --target cultivar --task regression --loss huber --epochs 2"
    assert report(fastbp, line)["task"] == "regression"
    assert Network.load("wine.safetensors").loss_name == "huber"
    assert report(fastbp, line.replace("huber", "quantile(0.9)"))["task"] == "regression"
    assert Network.load("wine.safetensors").loss_name == "quantile(0.9)"


def test_patience_ends_a_run_that_gets_no_better(fastbp):
    line = "train diabetes.csv --target progression --validation 0.3 --epochs 5000 --patience 5"
    result = report(fastbp, line)
    assert result["stop_reason"] == "early_stopping"
    assert result["epochs"] == result["best_epoch"] + 5
    assert "no better since epoch" in fastbp(line).out


def test_a_rule_ends_a_run_and_says_so(fastbp):
    line = (
        "train diabetes.csv --target progression --validation 0.3 --epochs 500 --every 5 --rule 'UP2 | GL(3)'"
    )
    result = report(fastbp, line)
    assert result["stop_reason"] == "early_stopping"
    assert result["epochs"] % 5 == result["best_epoch"] % 5 == 0
    assert f"by UP(strips=2) | GL(alpha=3.0); epoch {result['best_epoch']} was kept" in fastbp(line).out


@pytest.mark.parametrize("goal", ["0.3", "accuracy=0.9,validation_loss=0.5"])
def test_a_goal_ends_a_run(fastbp, goal):
    line = f"{IRIS} --validation 0.2 --epochs 500 --goal {goal}"
    result = report(fastbp, line)
    assert (result["stop_reason"], result["epochs"] < 500) == ("goal", True)
    assert "at the goal" in fastbp(line).out


def test_validation_may_be_another_file(fastbp):
    frame = pl.read_csv("iris.csv")
    frame[::3].write_parquet("held out.parquet")
    frame.gather_every(2, 1).write_csv("rest.csv")
    result = report(fastbp, "train rest.csv --target species --validation 'held out.parquet'")
    assert result["rows"] == {"training": 75, "validation": 50}


def test_unseen_categories_of_a_validation_file_are_an_error_unless_asked(fastbp):
    Path("a.csv").write_text("k,y\nu,p\nv,q\n")
    Path("b.csv").write_text("k,y\nw,p\n")
    done = fastbp("train a.csv --target y --validation b.csv")
    assert done.status == 2
    assert done.err == (
        "fastbp train: column 'k' of b.csv is 'w' in line 2, and the model knows 'u', 'v'; --unseen zeros "
        "treats it "
        "as none of these\n"
    )
    assert fastbp("train a.csv --target y --validation b.csv --unseen zeros --epochs 1").status == 0


def test_the_next_command_is_one_that_works(fastbp):
    lines = Path("iris.csv").read_text().splitlines(keepends=True)
    Path("no names.csv").write_text("".join(lines[1:]))
    done = fastbp("train 'no names.csv' --header no --target -1 --epochs 2 --out 'a model.safetensors'")
    done = fastbp(re.search(r"^Next: fastbp (.*)$", done.out, re.MULTILINE)[1])
    assert (done.status, done.err) == (0, "")
    done = fastbp(re.search(r"^Next: fastbp (.*)$", done.out, re.MULTILINE)[1])
    assert (done.status, done.err) == (0, "")
    following = re.search(r"^Next: fastbp (.*)$", done.out, re.MULTILINE)[1]
    done = fastbp(following.replace("FILE", "iris.npy") + " --header no")
    assert "there is no file iris.npy" in done.err


def test_a_npy_file_is_learned_from(fastbp):
    frame = pl.read_csv("wine.csv")
    np.save("wine.npy", frame.to_numpy())
    result = report(fastbp, "train wine.npy --target -1 --validation 0.2 --task classification")
    assert result["classes"] == [0, 1, 2]
    assert result["scores"]["validation"]["accuracy"] > 0.85


def test_missing_values_are_replaced_if_asked_and_said(fastbp):
    text = Path("iris.csv").read_text().replace("5.1,", ",", 2)
    Path("holes.csv").write_text(text)
    done = fastbp("train holes.csv --target species --epochs 2 --missing mean")
    assert done.status == 0
    assert done.err == "fastbp train: 2 missing values were replaced, in 'sepal length (cm)'\n"


# --- pictures, logs, configuration -------------------------------------------------------------------


@pytest.mark.parametrize("options", ["", "--validation 0.2", "--validation 0.2 --patience 1", "--epochs 1"])
def test_a_plot_is_drawn(fastbp, options):
    for name in ("a.svg", "b.svg", "a.png"):
        assert fastbp(f"{IRIS} --epochs 30 --plot {name} {options}").status == 0
    assert Path("a.png").read_bytes().startswith(b"\x89PNG")
    assert Path("a.svg").read_bytes() == Path("b.svg").read_bytes()
    words = {element.text for element in ElementTree.parse("a.svg").iter() if element.text}
    assert {"Loss", "epochs", "training"} <= words
    assert ("validation" in words) == ("--validation" in options)


def test_a_log_has_a_line_an_epoch(fastbp):
    result = report(fastbp, f"{IRIS} --epochs 12 --validation 0.2 --log run.jsonl")
    rows = [standard_json(line) for line in Path("run.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == list(range(1, 13))
    assert [row["step"] for row in rows] == list(range(4, 49, 4))
    assert all(set(row) == {"epoch", "step", "loss", "validation_loss", "learning_rate"} for row in rows)
    assert rows[-1]["validation_loss"] == pytest.approx(result["scores"]["validation"]["loss"])


@pytest.mark.parametrize("where", ["before", "within", "after"])
def test_an_epoch_that_ctrl_c_ended_has_its_line(fastbp, monkeypatch, where):
    whole = EpochLog.write

    def pressed(log, row):
        if row["epoch"] == 3 and not done:
            done.append(row)
            if where == "within":
                log._file.write('{"epo')
            if where == "after":
                whole(log, row)
            signal.raise_signal(signal.SIGINT)
        whole(log, row)

    done: list = []
    monkeypatch.setattr(EpochLog, "write", pressed)
    line = f"{IRIS} --epochs 6 --validation 0.2 --log run.jsonl"
    assert fastbp(line).status == 130
    assert fastbp(f"{line} --resume").status == 0
    stopped = Path("run.jsonl").read_text()
    assert fastbp(line).status == 0
    assert stopped == Path("run.jsonl").read_text()


CONFIG = """
data = "iris.csv"
target = "species"
hidden = [7, 6]
epochs = 4
batch-size = "all"
optimizer = "adam"
learning_rate = 0.5
no-standardize = true
json = false
ignore = ["sepal width (cm)"]
"""


def test_options_come_from_a_file_and_what_is_typed_wins(fastbp):
    Path("run.toml").write_text(CONFIG)
    for line in (
        "train --config run.toml --epochs 3 --hidden 5",
        "train --epochs 3 --hidden 5 --config run.toml",
    ):
        assert fastbp(line).status == 0
        network = Network.load("iris.safetensors")
        assert network.layer_sizes == (3, 5, 3)
        assert network.notes["steps"] == 3
        assert "learning_rate=0.5" in network.notes["optimizer"]
        assert not network.preprocessing.standardize
    assert fastbp("train wine.csv --config run.toml --target cultivar --ignore ash").status == 0
    assert Network.load("wine.safetensors").layer_sizes == (12, 7, 6, 3)


def test_a_column_with_a_comma_in_its_name_can_be_left_out(fastbp):
    Path("a.csv").write_text('"u, v",w,y\n1,2,p\n2,1,q\n')
    Path("run.toml").write_text('data = "a.csv"\ntarget = "y"\nepochs = 1\nignore = ["u, v"]\n')
    for line in ("train --config run.toml", """train a.csv --target y --epochs 1 --ignore '"u, v"'"""):
        assert fastbp(line).status == 0
        assert Network.load("a.safetensors").preprocessing.input_names == ["w"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("epoch = 3", "'epoch' is not an option of this command; did you mean 'epochs'?"),
        ("epochs = 'many'", "argument --epochs: invalid int value: 'many'"),
        ("task = 'clustering'", "argument --task: invalid choice: 'clustering'"),
        ("hidden = [0, 3]", "'0,3' is not a list of sizes"),
        ("json = 1", "json is 1, and may be true or false"),
        ("epochs = true", "epochs is True, and may be a number"),
        ("epochs = {}", "epochs is {}, and may be a number"),
        ("[training]\nepochs = 3", "'training' is not an option"),
        ("config = 'other.toml'", "'config' is not an option"),
        ("epochs = ", "is not TOML"),
        ("\xff", "is not TOML"),
        (None, "cannot be read"),
    ],
)
def test_a_wrong_configuration_is_one_line(fastbp, text, complaint):
    if text is not None:
        Path("run.toml").write_text(text, encoding="latin-1")
    done = fastbp(f"{IRIS} --config run.toml")
    assert (done.status, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert "run.toml" in done.err
    assert complaint in done.err


# --- runs that are stopped ---------------------------------------------------------------------------


def checkpoints() -> list[str]:
    return sorted(path.name for path in Path("iris.checkpoints").glob("*"))


def test_a_run_that_was_stopped_goes_on_to_the_same_model(fastbp):
    line = f"{IRIS} --epochs 3000 --validation 0.2 --dropout 0.1 --log run.jsonl"
    assert fastbp(line).status == 0
    whole, log = Path("iris.safetensors").read_bytes(), Path("run.jsonl").read_text()
    assert len(checkpoints()) == 1

    stopped = fastbp(f"{line} --max-seconds 0.02")
    assert "Next: the same command with --resume goes on" in stopped.out
    assert checkpoints()
    assert Path("iris.safetensors").read_bytes() != whole
    with open("run.jsonl", "a") as file:  # as if the process had been killed after its last checkpoint
        file.write('{"epoch": 2999, "step": 11996, "loss": 0.1}\n{"epoch": 30')
    assert fastbp(f"{line} --resume").status == 0
    assert Path("iris.safetensors").read_bytes() == whole
    assert Path("run.jsonl").read_text() == log
    assert len(checkpoints()) == 1


def test_a_run_that_is_over_goes_on_with_more_epochs_and_starts_anew_without_resume(fastbp):
    line = f"{IRIS} --optimizer adam --validation 0.2 --dropout 0.1 --log run.jsonl"
    assert fastbp(f"{line} --epochs 30").status == 0
    whole, log = Path("iris.safetensors").read_bytes(), Path("run.jsonl").read_text()
    assert fastbp(f"{line} --epochs 10").status == 0  # anew
    assert fastbp(f"{line} --epochs 30 --resume").status == 0
    assert Path("iris.safetensors").read_bytes() == whole
    assert Path("run.jsonl").read_text() == log
    done = fastbp(f"{line} --epochs 30 --resume --json")
    assert (done.status, done.document["epochs"]) == (0, 30)
    assert Path("iris.safetensors").read_bytes() == whole
    done = fastbp(f"{line} --epochs 29 --resume")
    assert (done.status, "steps was 120, and is 116" in done.err) == (2, True)
    assert fastbp(f"{line} --epochs 30 --patience 1").status == 0  # ends by itself, or at the end


@pytest.mark.filterwarnings("default::fastbp.CheckpointWarning")
@pytest.mark.parametrize("several", ["", "--ensemble 2"])
def test_a_run_of_the_default_optimizer_goes_on_with_more_epochs_and_says_how(fastbp, several):
    assert fastbp(f"{IRIS} --epochs 3 {several}").status == 0
    done = fastbp(f"{IRIS} --epochs 5 --resume {several} --json")
    assert (done.status, done.document["epochs"]) == (0, 5)
    assert "fell to its end within 15 steps, and goes on as in a run of 25" in done.err
    again = fastbp(f"{IRIS} --epochs 5 --learning-rate 0.1 --resume {several}")
    assert (again.status, "checkpoint of another run: optimizer was" in again.err) == (2, True)


SOME_NETWORKS = {
    "--ensemble 3": ([4, 24, 3], "the first of 3 networks, whose average this is, in "),
    "--n-starts 3": ([4, 8, 3], "the best of 3 starts, in "),
    "--refit": ([4, 8, 3], "then on all rows: 200 steps in "),
}


@pytest.mark.parametrize("option", SOME_NETWORKS)
def test_several_networks_become_one_and_are_resumed_to_the_bit(fastbp, option):
    sizes, told = SOME_NETWORKS[option]
    line = f"{IRIS} --hidden 8 --epochs 40 --validation 0.2 {option}"
    assert told in fastbp(line).out
    whole = Path("iris.safetensors").read_bytes()
    assert list(Network.load("iris.safetensors").layer_sizes) == sizes
    assert len(checkpoints()) == 1  # of the first training alone, and no folder
    stopped = fastbp(f"{line} --max-seconds 0.000001 --restart")
    assert "Next: the same command with --resume" in stopped.out
    assert fastbp(line).status == 2  # not lost by mistake
    result = report(fastbp, f"{line} --resume")
    assert result["trainings"] == (2 if option == "--refit" else 3)
    assert Path("iris.safetensors").read_bytes() == whole


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("--ensemble 0", "--ensemble is 0"),
        ("--n-starts 0", "--n-starts is 0"),
        ("--ensemble 2 --n-starts 2", "--ensemble and --n-starts do not go together"),
        ("--n-starts 2 --start-from iris.safetensors", "--n-starts and --start-from do not go together"),
        ("--refit", "--refit learns from the rows that --validation puts aside"),
        (
            "--label-smoothing 1",
            "--label-smoothing is 1.0, and must be a finite number of at least 0 and below 1",
        ),
        ("--task regression --label-smoothing 0.1", "could not"),
    ],
)
def test_several_networks_that_cannot_be_are_one_line(fastbp, options, complaint):
    done = fastbp(f"{IRIS} --epochs 2 {options}")
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert complaint in done.err or complaint == "could not"


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_stops_a_run_with_its_model_and_its_checkpoint(fastbp, name):
    with start(f"{IRIS} --epochs 100000000 --max-seconds 60 --log run.jsonl") as process:
        wait_for_lines(process, Path("run.jsonl"))
        process.send_signal(getattr(signal, name))
        out, err = process.communicate()
    assert (process.returncode, err) == (130, "")
    assert "Next: the same command with --resume goes on" in out
    assert Network.load("iris.safetensors").notes["stop_reason"] == "interrupted"
    assert checkpoints()


def test_a_run_that_was_stopped_is_not_lost_by_mistake(fastbp):
    line = f"{IRIS} --optimizer adam --epochs 100000"
    assert fastbp(f"{line} --max-seconds 0.02").status == 0
    before = checkpoints()
    for wrong, complaint in (
        (line, "has a run that was stopped: --resume goes on with it, --restart starts anew"),
        (f"{line} --resume --restart", "give one of them"),
        (
            f"{IRIS} --optimizer adam --epochs 200 --resume",
            "is a checkpoint of another run: steps was 500000",
        ),
        (f"{line} --hidden 3 --resume", "(here: --restart)"),
    ):
        done = fastbp(wrong)
        assert (done.status, done.out) == (2, "")
        assert done.err.count("\n") == 1
        assert complaint in done.err
        assert checkpoints() == before
    Path("iris.checkpoints/mine.txt").touch()
    assert fastbp(f"{IRIS} --epochs 2 --restart").status == 0
    assert "mine.txt" in checkpoints()


def test_there_must_be_something_to_go_on_with(fastbp):
    done = fastbp(f"{IRIS} --resume")
    assert done.status == 2
    assert "has no run to go on with" in done.err


def start(line: str) -> subprocess.Popen:
    code = "import sys; from fastbp.cli import main; sys.exit(main())"
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    return subprocess.Popen(
        [sys.executable, "-P", "-c", code, *shlex.split(line)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def wait_for_lines(process: subprocess.Popen, path: Path) -> None:
    while process.poll() is None and not (path.exists() and path.stat().st_size > 10_000):
        time.sleep(0.01)
    assert process.poll() is None


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_process_that_is_stopped_can_be_resumed(fastbp, how):
    line = f"{IRIS} --epochs 2000000 --log run.jsonl"
    with start(line) as process:
        wait_for_lines(process, Path("run.jsonl"))
        process.send_signal(how)
        out, err = process.communicate()
    if how == signal.SIGINT:  # the model is written, and the report says how to go on
        assert process.returncode == 130
        assert "by Ctrl-C" in out
        assert "Next: the same command with --resume goes on" in out
        assert Network.load("iris.safetensors").notes["stop_reason"] == "interrupted"
    assert "Traceback" not in err
    resumed = json.loads(fastbp(f"{line} --resume --max-seconds 0.05 --json").out)
    epochs = [json.loads(text)["epoch"] for text in Path("run.jsonl").read_text().splitlines()]
    assert epochs == list(range(1, resumed["epochs"] + 1))


@pytest.mark.parametrize("options", ["", "--restart", "--resume"])
def test_one_process_at_a_time_writes_a_model(fastbp, options):
    with start(f"{IRIS} --epochs 2000000 --log run.jsonl") as process:
        wait_for_lines(process, Path("run.jsonl"))
        done = fastbp(f"{IRIS} --epochs 2 {options}")
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert (done.status, done.out) == (2, "")
    assert "another fastbp train is at work on it" in done.err
    assert process.returncode == 130
    assert fastbp(f"{IRIS} --epochs 2 --restart").status == 0


def test_a_folder_that_cannot_be_made_is_bad_input(fastbp):
    Path("iris.checkpoints").touch()
    done = fastbp(IRIS)
    assert (done.status, done.out) == (2, "")
    assert "the folder 'iris.checkpoints' cannot be made: File exists" in done.err


def test_a_diverging_run_fails_and_leaves_no_model(fastbp):
    line = "train diabetes.csv --target progression --optimizer sgd --learning-rate 1e6 --activation identity"
    done = fastbp(line)
    assert (done.status, done.out) == (1, "")
    assert re.fullmatch(r"fastbp train: step \d+ of .* smaller learning rate.*\n", done.err)
    assert not Path("diabetes.safetensors").exists()
    assert done.err.endswith(" (here: --restart --learning-rate RATE)\n")
    assert fastbp(f"{line} --restart --learning-rate 0.001").status == 0


# --- what is wrong -----------------------------------------------------------------------------------

BROKEN = {
    "empty.csv": b"",
    "blank.csv": b"\n\n\n",
    "header.csv": b"a,species\n",
    "ragged.csv": b"a,species\n1,x\n2,y,z\n",
    "quote.csv": b'a,species\n1,"x\n2,y\n',
    "twice.csv": b"a,a,species\n1,2,x\n3,4,y\n",
    "nameless.csv": b",species\n1,x\n2,y\n",
    "bare.csv": b"1,2\n3,4\n",
    "missing.csv": b"a,species\n1,x\nNA,y\n",
    "no target.csv": b"a,species\n1,x\n2,\n",
    "slip.csv": b"a,species\n1,x\n2,y\n3a,x\n",
    "infinite.csv": b"a,species\n1,x\ninf,y\n",
    "one class.csv": b"a,species\n1,x\n2,x\n",
    "only target.csv": b"species\nx\ny\n",
    "latin.csv": "a,species\n1,ä\n2,b\n".encode("latin-1"),
    "text.parquet": b"a,species\n1,x\n2,y\n",
    "text.npy": b"a,species\n1,x\n2,y\n",
    "text.npz": b"a,species\n1,x\n2,y\n",
    "table.xlsx": b"PK",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_one_line_and_status_2(fastbp, name):
    Path(name).write_bytes(BROKEN[name])
    done = fastbp(f"train '{name}' --target species")
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("fastbp train: ")
    assert done.err.count("\n") == 1
    assert name in done.err
    assert not list(Path().glob("*.safetensors"))
    assert not list(Path().glob("*.checkpoints"))


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("train", "give the file to learn from"),
        ("train iris.csv", "give --target COLUMN"),
        ("train none.csv --target species", "there is no file none.csv"),
        ("train . --target species", "is a folder"),
        ("train iris.csv --target specis", "target is 'specis', and iris.csv has the columns 'sepal length"),
        (f"{IRIS} --ignore petal", "ignore is 'petal'"),
        (f"{IRIS} --task regression", "a regression needs numbers"),
        (f"{IRIS} --validation 1.2", "validation is 1.2"),
        (f"{IRIS} --validation 0.001", "validation is 0.001, which is 0 of 150 rows"),
        (f"{IRIS} --validation nothing.csv", "there is no file nothing.csv"),
        (f"{IRIS} --validation wine.csv", "wine.csv lacks 'sepal length (cm)'"),
        (f"{IRIS} --loss huber", "--loss is for a regression"),
        (f"{IRIS} --loss quantile(2)", "must be between 0 and 1"),
        (f"{IRIS} --loss poisson", "'poisson' is not for a regression"),
        (f"{IRIS} --epochs 0", "--epochs is 0"),
        (f"{IRIS} --patience 0", "--patience is 0"),
        (f"{IRIS} --patience 3 --rule GL5", "give --patience or --rule"),
        (f"{IRIS} --rule GL5x", "where a number must be"),
        (f"{IRIS} --rule PQ1", "every must be 2 or more"),
        (f"{IRIS} --goal much", "'much' is not like 0.05"),
        (f"{IRIS} --goal acuracy=1", "did you mean 'accuracy'"),
        (f"{IRIS} --goal r2=1", "metric 'r2' is for targets that are numbers"),
        (f"{IRIS} --every 0", "--every is 0"),
        (f"{IRIS} --seed -1", "--seed is -1"),
        (f"{ALONE} --batch-size 0", "--batch-size is 0"),
        (f"{IRIS} --learning-rate -1", "--learning-rate is -1"),
        (f"{IRIS} --learning-rate nan", "--learning-rate is nan"),
        (f"{IRIS} --l2 -1", "l2 is -1"),
        (f"{IRIS} --dropout 1", "dropout is 1"),
        (f"{IRIS} --max-seconds 0", "--max-seconds is 0"),
        (f"{IRIS} --optimizer rprop", "add --batch-size all"),
        (f"{IRIS} --smallest-step 0", "--smallest-step is for --optimizer rprop"),
        (f"{IRIS} --learning-rate uniform(0.1,0.2)", "--learning-rate is drawn for --optimizer rprop only"),
        (
            f"{ALONE} --optimizer rprop --batch-size all --learning-rate normal(1,2)",
            "--learning-rate is normal(1.0,2.0), and must be a number, one for each parameter, or be like "
            "uniform(0.05,0.2)",
        ),
        (
            f"{ALONE} --optimizer rprop --batch-size all --learning-rate uniform(2,1)",
            "number 2 of --learning-rate is 1.0, and must be a finite number of at least 2",
        ),
        (f"{IRIS} --learning-rate fast", "'fast' is neither a number nor like uniform(0.05,0.2)"),
        (f"{IRIS} --initializer uniform", "initializer is 'uniform', and needs a scale, as in uniform(0.5)"),
        (
            f"{IRIS} --initializer uniform(1,2)",
            "initializer is uniform(1.0,2.0), and a distribution must be like uniform(0.5) or normal(0.5)",
        ),
        (
            f"{IRIS} --initializer normal(0)",
            "number 1 of --initializer is 0.0, and must be a finite number above 0",
        ),
        (f"{IRIS} --initializer he_norml", "did you mean 'he_normal'"),
        (f"{IRIS} --initializer normal(x)", "'normal(x)' is not like uniform(0.5)"),
        (f"{IRIS} --out model.h5", "--out is 'model.h5', and must end in .safetensors"),
        (f"{IRIS} --out no/such/model.safetensors", "there is no folder 'no/such'"),
        (f"{IRIS} --plot curve.jpg", "must end in .png or .svg"),
        (f"{IRIS} --log run.txt", "must end in .jsonl"),
        (f"{IRIS} --plot a\0.png", "no file name may have a zero byte"),
    ],
)
def test_bad_input_is_one_line_and_status_2(fastbp, line, complaint):
    done = fastbp(line)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("fastbp train: ")
    assert done.err.count("\n") == 1
    assert complaint in done.err
    assert not list(Path().glob("*.safetensors"))


@pytest.mark.parametrize(
    "options", ["--hidden sixteen", "--hidden 16,0", "--batch-size some", "--task clustering", "--epochs 1.5"]
)
def test_bad_usage_is_status_2(fastbp, options):
    done = fastbp(f"{IRIS} {options}")
    assert (done.status, done.out) == (2, "")
    assert "Traceback" not in done.err


def test_a_model_that_cannot_be_written_is_a_failed_run(fastbp, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device", "iris.safetensors")

    monkeypatch.setattr(train.fastbp.Network, "save", full)
    monkeypatch.setenv("TMPDIR", str(Path("elsewhere").absolute()))
    Path("elsewhere").mkdir()
    monkeypatch.setattr("tempfile.tempdir", None)
    done = fastbp(f"{IRIS} --epochs 2")
    assert (done.status, done.out) == (1, "")
    assert done.err == "fastbp train: iris.safetensors: No space left on device\n"
    assert checkpoints()  # the run is not lost with it
    assert not os.listdir("elsewhere")


def test_a_model_whose_folder_is_gone_is_written_elsewhere(fastbp, monkeypatch, tmp_path):
    def evaluate(*arguments):
        if Path("folder").exists():
            shutil.rmtree("folder")
        return whole(*arguments)

    whole = train.evaluate
    monkeypatch.setattr(train, "evaluate", evaluate)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    Path("folder").mkdir()
    done = fastbp(f"{IRIS} --epochs 2 --out folder/net.safetensors")
    assert (done.status, done.out) == (1, "")
    (found,) = tmp_path.glob("fastbp-*/net.safetensors")
    assert done.err == (
        f"fastbp train: folder/net.safetensors: No such file or directory; the model is in {found}\n"
    )
    assert Network.load(found).notes["steps"] == 10


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError("1 TiB")], ids=["Ctrl-C", "no memory"])
def test_a_model_whose_scores_cannot_be_had_is_written_without(fastbp, monkeypatch, error):
    def evaluate(*arguments):
        raise error

    monkeypatch.setattr(train, "evaluate", evaluate)
    done = fastbp(f"{IRIS} --epochs 2")
    assert done.status == (130 if isinstance(error, KeyboardInterrupt) else 1)
    assert done.err.count("\n") == 1
    assert Network.load("iris.safetensors").notes["steps"] == 10


FAR = {"float32": "9.96921e36", "float64": "1e308"}
"""Values that a file may have, and whose squares no number of the type holds."""


@pytest.mark.parametrize("resumed", [False, True], ids=["at once", "resumed"])
@pytest.mark.parametrize("dtype", FAR)
def test_a_model_with_an_infinite_score_is_written_all_the_same(fastbp, dtype, resumed):
    Path("near.csv").write_text("x,y\n" + "".join(f"{i},{i * 1.5}\n" for i in range(40)))
    Path("far.csv").write_text(f"x,y\n1,1.5\n{FAR[dtype]},3\n")
    line = f"train near.csv --target y --epochs 300 --dtype {dtype} --validation far.csv"
    line += " --log run.jsonl --plot curve.png"
    if resumed:
        assert fastbp(f"{line} --max-seconds 0.0001").status == 0
        line += " --resume"
    done = fastbp(line)
    assert done.status == 0
    assert re.fullmatch(
        r"fastbp train: validation loss is inf.*: some predictions are out of all bounds; "
        r"the model file has null for it\n",
        done.err,
    )
    assert re.search(r"^loss, of scaled targets +\d.* +inf$", done.out, re.MULTILINE)
    network = Network.load("near.safetensors")
    assert network.notes["validation loss"] is None
    assert network.notes["training loss"] > 0
    assert network.notes["stop_reason"] == "completed"
    rows = [standard_json(text) for text in Path("run.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == list(range(1, 301))
    assert all(row["validation_loss"] is None for row in rows)
    assert Path("curve.png").exists()
    assert re.search(r"^validation loss +none$", fastbp("info near.safetensors").out, re.MULTILINE)


def test_a_log_that_cannot_be_written_any_more_ends_and_the_run_goes_on(fastbp, monkeypatch):
    def full(log, row):
        if row["epoch"] >= 3:
            raise OSError(28, "No space left on device")
        whole(log, row)

    whole = EpochLog.write
    monkeypatch.setattr(EpochLog, "write", full)
    done = fastbp(f"{IRIS} --epochs 6 --log run.jsonl")
    assert done.status == 0
    assert done.err == (
        "fastbp train: run.jsonl: No space left on device; the run goes on, and the log ends here\n"
    )
    assert [standard_json(line)["epoch"] for line in Path("run.jsonl").read_text().splitlines()] == [1, 2]
    assert Network.load("iris.safetensors").notes["steps"] == 30


def test_a_picture_that_cannot_be_written_costs_neither_the_model_nor_the_report(fastbp, monkeypatch):
    def full(history, path, *arguments):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(train, "draw_curve", full)
    done = fastbp(f"{IRIS} --epochs 2 --plot curve.png --json")
    assert (done.status, done.document["steps"]) == (1, 10)
    assert done.err == "fastbp train: curve.png: No space left on device\n"
    assert Network.load("iris.safetensors").notes["steps"] == 10


@pytest.mark.parametrize("options", ["--log run.jsonl", "--validation 0.2"])
def test_a_run_in_which_no_epoch_ended_has_a_picture_too(fastbp, options):
    line = f"{ALONE} --hidden 2000,2000 --batch-size 1 --max-seconds 0.0001 --plot curve.png"
    assert report(fastbp, f"{line} {options}")["epochs"] == 0
    assert Path("curve.png").exists()


def test_warnings_are_one_line(fastbp, recwarn):
    assert issubclass(errors.CheckpointWarning, Warning)
    assert fastbp(f"{IRIS} --epochs 100000 --max-seconds 0.02").status == 0
    newest = max(Path("iris.checkpoints").glob("checkpoint-*"))
    newest.write_bytes(newest.read_bytes()[:-1])
    with start(f"{IRIS} --epochs 100000 --resume --max-seconds 0.02") as process:
        _, err = process.communicate()
    assert process.returncode == 0
    assert err.startswith("fastbp train: warning: the newest checkpoint cannot be read")
    assert err.count("\n") == 1


# --- what is learned, and from what --------------------------------------------------------------------


def written(**columns) -> pl.DataFrame:
    """Write a table of iris's petals with further columns."""
    frame = pl.read_csv("iris.csv").with_columns(**columns)
    frame.write_csv("more.csv")
    return frame


WIDE, LONG = pl.col("petal width (cm)"), pl.col("petal length (cm)")


@pytest.mark.parametrize("how", ["--target wide,long", "--target wide --target long"])
def test_several_targets_are_learned_together(fastbp, how):
    written(wide=WIDE * 2, long=LONG * 3)
    done = fastbp(f"train more.csv {how} --epochs 60 --json")
    assert done.document["targets"] == ["wide", "long"]
    scores = done.document["scores"]["training"]
    assert scores.keys() == {"loss", "r2", "rmse wide", "rmse long"}
    assert scores["r2"] > 0.9
    done = fastbp("predict more.safetensors more.csv --out both.csv")
    assert re.search("R2 0.9.*RMSE wide .*, against the columns 'wide, long' of more.csv", done.out)
    both = pl.read_csv("both.csv")
    assert both.columns == ["prediction_wide", "prediction_long"]
    assert both["prediction_long"].mean() == pytest.approx(pl.read_csv("more.csv")["long"].mean(), rel=0.1)
    assert "predicts the numbers 'wide', 'long'" in fastbp("info more.safetensors").out


def test_several_labels_are_learned_together_with_their_probabilities(fastbp):
    written(wide=WIDE > 1, long=LONG > 4)
    done = fastbp("train more.csv --target wide,long --ignore species --epochs 60 --json")
    assert done.document["scores"]["training"]["accuracy"] > 0.9
    fastbp("predict more.safetensors more.csv --out both.csv --probabilities")
    both = pl.read_csv("both.csv")
    assert both.columns == [
        "prediction_wide", "prediction_long", "probability_wide_True", "probability_long_True"
    ]  # fmt: skip
    assert ((both["probability_wide_True"] >= 0.5) == both["prediction_wide"]).all()


def test_kept_columns_are_written_beside_the_predictions(fastbp):
    written(id=pl.int_range(pl.len()).cast(pl.String) + "a", note=pl.lit("x"))
    assert fastbp("train more.csv --target species --keep id --ignore note --epochs 5").status == 0
    assert fastbp("predict more.safetensors more.csv --out a.csv --keep note").status == 0
    frame = pl.read_csv("a.csv")
    assert frame.columns == ["note", "id", "prediction"]
    assert frame["id"].to_list() == [f"{i}a" for i in range(150)]
    document = fastbp("predict more.safetensors more.csv --json").document
    assert document["id"][-1] == "149a"
    done = fastbp("predict more.safetensors iris.csv --out b.csv")
    assert (done.status, pl.read_csv("b.csv").columns) == (0, ["prediction"])


def test_weights_of_rows_and_classes_count(fastbp):
    written(w=pl.when(pl.int_range(pl.len()) < 10).then(0.0).otherwise(2.0))
    thetas = []
    for options in ("--ignore w", "--sample-weight w", "--ignore w --class-weight balanced"):
        assert fastbp(f"train more.csv --target species --epochs 5 {options}").status == 0
        thetas.append(Network.load("more.safetensors").theta)
    assert (thetas[0] != thetas[1]).any()
    assert (thetas[0] == thetas[2]).all()  # the classes are balanced
    pl.read_csv("more.csv").filter(pl.col("w") > 0).write_csv("less.csv")
    full = "--batch-size all --ignore w --no-standardize"
    fastbp(f"train less.csv --target species --epochs 5 {full}")
    fastbp(f"train more.csv --target species --epochs 5 {full.replace('ignore', 'sample-weight')}")
    expected = Network.load("less.safetensors").theta
    np.testing.assert_allclose(Network.load("more.safetensors").theta, expected, rtol=1e-9)


def test_a_model_is_gone_on_with(fastbp):
    assert fastbp(f"{IRIS} --epochs 30 --hidden 5").status == 0
    before = Network.load("iris.safetensors")
    done = fastbp("train iris.csv --start-from iris.safetensors --epochs 30 --out more.safetensors --json")
    more = Network.load("more.safetensors")
    assert (done.document["layer_sizes"], more.preprocessing) == ([4, 5, 3], before.preprocessing)
    assert done.document["scores"]["training"]["loss"] < before.notes["training loss"]
    done = fastbp("train iris.csv --start-from iris.safetensors --hidden 3 --out more.safetensors")
    assert (done.status, "--hidden is given, and the network to start from" in done.err) == (2, True)


def test_a_class_that_no_training_row_has_is_remarked_on(fastbp):
    frame = pl.read_csv("iris.csv")
    pl.concat([frame, frame[:1].with_columns(species=pl.lit("rose"))]).write_csv("rare.csv")
    errors = [
        fastbp(f"train rare.csv --target species --validation 0.5 --seed {seed} --epochs 1 --restart").err
        for seed in range(6)
    ]
    assert any("no training row has the class 'rose' of 'species'" in error for error in errors)
