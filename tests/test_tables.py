"""Small files as people have them: each gives exact numbers, or an error that says what decides.

`tests.data.make_tables` writes them, and what must come out.
"""

import json
from pathlib import Path

import pytest
from numpy.testing import assert_allclose

from fastbp import FastbpError, data
from fastbp.data import text_file
from fastbp.errors import shell_options
from tests.data import make_tables

FOLDER = make_tables.FOLDER
CASES = json.loads((FOLDER / "tables.json").read_text(encoding="utf-8"))


def loaded(case: dict) -> data.Dataset:
    target = case["target"]
    return data.load(FOLDER / case["file"], target=target, standardize=False, **case["options"])


def named(case: dict) -> str:
    return case["file"]


def drops_rows(case: dict) -> bool:
    """Whether training leaves out rows, which predictions keep."""
    return case["options"].get("missing_target") == "drop"


@pytest.mark.parametrize("case", [case for case in CASES if "inputs" in case], ids=named)
def test_a_file_gives_exact_numbers(case):
    dataset = loaded(case)
    assert dataset.preprocessing.input_names == list(case["inputs"])
    for column, values in zip(dataset.X.T, case["inputs"].values(), strict=True):
        assert_allclose(column, values, rtol=1e-12, atol=1e-12)
    assert dataset.task == case["task"]
    if dataset.task == "regression":
        assert_allclose(dataset.preprocessing.decode(dataset.Y), case["values"], rtol=1e-12)
    else:
        labels = dataset.preprocessing.target.labels
        found = [labels[code] for code in dataset.Y]
        assert found == case["values"]
        assert {type(label) for label in found} == {type(label) for label in case["values"]}
    said = "\n".join(dataset.remarks)
    assert all(part in said for part in case["remarks"])
    assert all("\n" not in remark for remark in dataset.remarks)


@pytest.mark.parametrize("case", [case for case in CASES if "error" in case], ids=named)
def test_an_error_names_the_cause_the_place_and_the_option(case):
    with pytest.raises(FastbpError) as caught:
        loaded(case)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 500
    assert case["file"] in text
    assert all(part in text for part in case["error"])
    options = [part.partition("=")[0] for part in case["error"] if "=" in part]
    with shell_options(), pytest.raises(FastbpError) as caught:
        loaded(case)
    assert all(f"--{option.replace('_', '-')} " in str(caught.value) for option in options)


@pytest.mark.parametrize("case", [c for c in CASES if "inputs" in c and not drops_rows(c)], ids=named)
def test_what_was_understood_of_a_file_is_read_again_for_predictions(case):
    """The model knows how the file was read: the rows come out as they went in."""
    dataset = loaded(case)
    table = data.read_for(dataset.preprocessing, FOLDER / case["file"])
    (X,) = data.batches(table, dataset.preprocessing)
    assert (X == dataset.X).all()
    assert (data.targets(table, dataset.preprocessing) == dataset.Y).all()


@pytest.mark.parametrize("case", [case for case in CASES if "inputs" in case], ids=named)
def test_a_long_file_gives_the_same(case, monkeypatch):
    """In a long text, columns that look like plain numbers are read as numbers at once."""
    plain = loaded(case)
    monkeypatch.setattr(text_file, "TYPED_BYTES", 0)
    long = loaded(case)
    assert long.preprocessing == plain.preprocessing
    assert (long.X == plain.X).all()
    assert (long.Y == plain.Y).all()
    assert long.remarks == plain.remarks


def test_the_files_are_those_that_the_script_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(make_tables, "FOLDER", tmp_path)
    monkeypatch.setattr(make_tables, "CASES", [])
    make_tables.main()
    assert json.loads((tmp_path / "tables.json").read_text(encoding="utf-8")) == CASES
    assert len(CASES) >= 120
    text = {path.name for path in Path(FOLDER).iterdir() if path.suffix in (".csv", ".txt", ".data", ".tsv")}
    assert all((tmp_path / name).read_bytes() == (FOLDER / name).read_bytes() for name in text)
