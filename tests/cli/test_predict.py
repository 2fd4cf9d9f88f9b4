"""`fastbp predict`, as a user types it."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from fastbp import Network
from fastbp.data import table_file


@pytest.fixture
def iris(fastbp):
    assert fastbp("train iris.csv --target species --epochs 60").status == 0
    return Network.load("iris.safetensors")


def test_predictions_need_nothing_but_the_model_and_the_columns(fastbp, iris):
    frame = pl.read_csv("iris.csv")
    frame.drop("species").select(reversed(frame.columns[:4])).write_csv("new.csv")
    fastbp("predict iris.safetensors iris.csv --out a.csv")
    done = fastbp("predict iris.safetensors new.csv --out b.csv")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("150 predictions of 'species', written to b.csv (")
    assert "accuracy" not in done.out
    assert Path("a.csv").read_text() == Path("b.csv").read_text()
    network = iris
    X = np.column_stack([(frame[c.name] - c.mean) / c.scale for c in network.preprocessing.columns])
    expected = np.array(network.preprocessing.target.labels)[network.predict(X, prepared=True).argmax(axis=1)]
    assert pl.read_csv("b.csv")["prediction"].to_list() == expected.tolist()


def test_without_out_the_predictions_are_printed_and_nothing_else(fastbp, iris):
    done = fastbp("predict iris.safetensors iris.csv")
    assert done.err == ""
    lines = done.out.splitlines()
    assert lines[0] == "prediction"
    assert len(lines) == 151
    assert set(lines[1:]) <= set(iris.preprocessing.target.labels)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
def test_probabilities_are_those_of_the_network(fastbp, iris, suffix):
    assert fastbp(f"predict iris.safetensors iris.parquet --probabilities --out p.{suffix}").status == 0
    reader = {
        "csv": pl.read_csv,
        "tsv": lambda path: pl.read_csv(path, separator="\t"),
        "parquet": pl.read_parquet,
    }
    frame = reader[suffix](f"p.{suffix}")
    labels = iris.preprocessing.target.labels
    assert frame.columns == ["prediction", *(f"probability_{label}" for label in labels)]
    probabilities = frame[:, 1:].to_numpy()
    assert probabilities.sum(axis=1) == pytest.approx(1)
    assert np.array(labels)[probabilities.argmax(axis=1)].tolist() == frame["prediction"].to_list()


def test_json_has_predictions_and_scores(fastbp, iris):
    document = json.loads(fastbp("predict iris.safetensors iris.csv --json --probabilities").out)
    truth = pl.read_csv("iris.csv")["species"].to_list()
    right = np.mean([a == b for a, b in zip(document["prediction"], truth, strict=True)])
    assert document["scores"] == {"accuracy": pytest.approx(right)}
    assert document["rows"] == len(document["probability_setosa"]) == 150
    document = json.loads(fastbp("predict iris.safetensors iris.csv --json --out p.csv").out)
    assert document["out"] == "p.csv"
    assert "prediction" not in document


def test_numbers_come_in_the_targets_unit(fastbp):
    fastbp("train diabetes.csv --target progression --epochs 60")
    done = fastbp("predict diabetes.safetensors diabetes.csv --out p.csv")
    assert "R2 0." in done.out
    assert "RMSE " in done.out
    assert 100 < pl.read_csv("p.csv")["prediction"].mean() < 200


def test_integer_labels_stay_integers(fastbp):
    fastbp("train wine.csv --target cultivar --epochs 20")
    fastbp("predict wine.safetensors wine.csv --out p.parquet")
    assert pl.read_parquet("p.parquet")["prediction"].dtype == pl.Int64


def test_an_array_is_predicted_by_position(fastbp, iris):
    np.save("new.npy", pl.read_csv("iris.csv")[:, :4].to_numpy())
    fastbp("predict iris.safetensors new.npy --out a.csv")
    fastbp("predict iris.safetensors iris.csv --out b.csv")
    assert Path("a.csv").read_text() == Path("b.csv").read_text()


@pytest.mark.parametrize("where", ["--out p.csv", "--out p.tsv --probabilities", ""])
def test_a_long_array_is_predicted_block_by_block(fastbp, iris, where, monkeypatch):
    np.save("new.npy", np.tile(pl.read_csv("iris.csv")[:, :4].to_numpy(), (7, 1)))

    def predictions():
        done = fastbp(f"predict iris.safetensors new.npy {where}")
        assert (done.status, done.err) == (0, "")
        return Path(where.split()[1]).read_text() if where else done.out

    at_once = predictions()
    assert at_once.count("\n") == 7 * 150 + 1
    monkeypatch.setattr(table_file, "BLOCK_BYTES", 100 * 4 * 8)
    assert predictions() == at_once


def test_labels_that_the_model_does_not_know_cost_the_score_alone(fastbp, iris):
    Path("new.csv").write_text(Path("iris.csv").read_text().replace("setosa", "lilium"))
    done = fastbp("predict iris.safetensors new.csv --out p.csv")
    assert done.status == 0
    assert done.err.startswith("fastbp predict: no score: column 'species' of new.csv is 'lilium' in line 2")
    assert Path("p.csv").exists()


def test_unseen_categories_are_an_error_unless_asked(fastbp):
    Path("fruit.csv").write_text("weight,colour,kind\n150,green,apple\n120,yellow,lemon\n160,red,apple\n")
    Path("new.csv").write_text("weight,colour\n150,blue\n")
    fastbp("train fruit.csv --target kind --epochs 5")
    done = fastbp("predict fruit.safetensors new.csv")
    assert done.status == 2
    assert "'colour' of new.csv is 'blue' in line 2" in done.err
    assert fastbp("predict fruit.safetensors new.csv --unseen zeros").out.count("\n") == 2


def test_a_network_without_names_takes_columns_as_they_are(fastbp):
    network = Network([2, 3, 2], seed=0)
    network.save("net.safetensors")
    Path("new.csv").write_text("a,b\n0.05,0.1\n1,2\n")
    assert fastbp("predict net.safetensors new.csv --out p.csv").status == 0
    expected = network.predict([[0.05, 0.1], [1, 2]])
    assert pl.read_csv("p.csv").columns == ["output0", "output1"]
    assert pl.read_csv("p.csv").to_numpy() == pytest.approx(expected)
    Path("new.csv").write_text("a\n1\n")
    assert (
        "has 1 columns, and this model, which knows no names, takes 2"
        in fastbp("predict net.safetensors new.csv").err
    )


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("predict none.safetensors iris.csv", "none.safetensors cannot be read: No such file"),
        ("predict . iris.csv", "is not a file but a folder"),
        ("predict iris.csv iris.csv", "iris.csv: is not a safetensors file"),
        ("predict cut.safetensors iris.csv", "cut.safetensors: is cut short, or damaged"),
        ("predict iris.safetensors none.csv", "there is no file none.csv"),
        ("predict iris.safetensors wine.csv", "wine.csv lacks 'sepal length (cm)'"),
        ("predict iris.safetensors holes.csv", "'sepal width (cm)' of holes.csv has 1 missing value,"),
        ("predict iris.safetensors words.csv", "must hold numbers, and is 'wide' in line 2"),
        ("predict iris.safetensors iris.csv --out p.txt", "must end in .csv or .tsv or .parquet"),
        ("predict iris.safetensors iris.csv --out no/p.csv", "there is no folder 'no'"),
        ("predict diabetes.safetensors diabetes.csv --probabilities", "--probabilities is for classes"),
    ],
)
def test_bad_input_is_one_line_and_status_2(fastbp, iris, line, complaint):
    iris.save("cut.safetensors")
    Path("cut.safetensors").write_bytes(Path("cut.safetensors").read_bytes()[:-1])
    text = Path("iris.csv").read_text().splitlines()
    Path("holes.csv").write_text("\n".join([text[0], text[1].replace("3.5", "")]))
    Path("words.csv").write_text("\n".join([text[0], text[1].replace("3.5", "wide")]))
    if "diabetes" in line:
        fastbp("train diabetes.csv --target progression --epochs 1")
    done = fastbp(line)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("fastbp predict: ")
    assert done.err.count("\n") == 1
    assert complaint in done.err
    assert not list(Path().glob("p.*"))


@pytest.mark.parametrize("out", ["data.csv", "./data.csv", "link.csv"])
def test_the_data_is_never_overwritten_with_its_predictions(fastbp, iris, out):
    Path("data.csv").write_bytes(Path("iris.csv").read_bytes())
    Path("link.csv").symlink_to("data.csv")
    done = fastbp(f"predict iris.safetensors data.csv --out {out}")
    assert (done.status, done.out) == (2, "")
    assert "which would be lost" in done.err
    assert Path("data.csv").read_bytes() == Path("iris.csv").read_bytes()


def test_without_polars_it_says_what_to_install(fastbp, monkeypatch):
    monkeypatch.setitem(sys.modules, "polars", None)
    for line in ("predict iris.safetensors iris.csv", "train iris.csv --target species"):
        Network([4, 3]).save("iris.safetensors")
        done = fastbp(line)
        assert done.status == 2
        assert "pip install 'fastbp[data]'" in done.err


@pytest.mark.parametrize(
    "labels", ["true,false", "True,False", "TRUE,FALSE", "02139,10001", "9007199254740993,5", "2.0,1.0"]
)
def test_labels_are_written_as_they_were_read(fastbp, labels):
    one, other = labels.split(",")
    Path("a.csv").write_text("a,y\n" + f"-5,{one}\n5,{other}\n" * 8)
    assert fastbp("train a.csv --target y --task classification --epochs 60 --out a.safetensors").status == 0
    assert fastbp("predict a.safetensors a.csv --out p.csv").status == 0
    assert Path("p.csv").read_text() == "prediction\n" + f"{one}\n{other}\n" * 8


def test_standard_input_is_read(fastbp, monkeypatch):
    class Input:
        buffer = io.BytesIO(b"a;y\n1,5;u\n2,5;v\n")

    monkeypatch.setattr(sys, "stdin", Input)
    assert fastbp("train - --target y --epochs 1").status == 0
    Input.buffer.seek(0)
    done = fastbp("predict model.safetensors -")
    assert done.status == 0
    assert done.out.count("\n") == 3
