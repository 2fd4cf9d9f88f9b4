"""Files become what a network can be trained on, or an error says where they are wrong."""

import gzip
import itertools
import os
import sys
import tracemalloc
from datetime import datetime

import numpy as np
import polars as pl
import pytest
import xlsxwriter
from hypothesis import given, settings
from hypothesis import strategies as st

from fastbp import DataError, FastbpError, Network, OptionError, data
from fastbp.checks import check_data
from fastbp.data import learning, table_file, target_column
from fastbp.preprocessing import ClassTarget, NumberColumn, NumberTarget, TextColumn

FRUIT = "weight,colour,kind\n150,green,apple\n120,yellow,lemon\n160,red,apple\n"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(name: str, content: str | bytes | np.ndarray | pl.DataFrame) -> str:
    if isinstance(content, np.ndarray):
        np.save(name, content)
    elif isinstance(content, pl.DataFrame):
        content.write_parquet(name)
    else:
        with open(name, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
    return name


def numbers(n_rows: int = 50, n_columns: int = 4) -> np.ndarray:
    """Return rows of which the last column is a class."""
    array = np.random.default_rng(3).normal(size=(n_rows, n_columns))
    array[:, -1] = array[:, 0] > 0
    return array


# --- what the columns become -------------------------------------------------------------------------


def test_numbers_are_standardised_and_text_is_one_input_a_category():
    dataset = data.load(write("fruit.csv", FRUIT), target="kind")
    assert dataset.preprocessing.columns == (
        NumberColumn("weight", pytest.approx(430 / 3), pytest.approx(np.std([150, 120, 160]))),
        TextColumn("colour", ("green", "red", "yellow")),
    )
    assert dataset.X[:, 0] == pytest.approx((np.array([150, 120, 160]) - 430 / 3) / np.std([150, 120, 160]))
    assert dataset.X[:, 1:].tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]
    assert dataset.Y.tolist() == [0, 1, 0]
    assert (dataset.X_validation, dataset.Y_validation) == (None, None)


def test_numbers_stay_as_they_are_if_asked():
    path = write("a.csv", "a,y\n1,0.5\n2,2.5\n4,1\n")
    dataset = data.load(path, target="y", standardize=False)
    assert dataset.X.tolist() == [[1], [2], [4]]
    assert dataset.Y.tolist() == [[0.5], [2.5], [1]]


def test_a_regression_is_undone_by_decode():
    path = write("a.csv", "a,y\n1,0.5\n2,2.5\n4,1\n")
    dataset = data.load(path, target="y")
    assert dataset.task == "regression"
    assert dataset.Y.mean() == pytest.approx(0)
    assert dataset.Y.std() == pytest.approx(1)
    assert dataset.preprocessing.decode(dataset.Y) == pytest.approx([0.5, 2.5, 1])


@pytest.mark.parametrize(
    ("values", "target"),
    [
        (["x", "y", "x"], ClassTarget("y", ("x", "y"))),
        (["2", "0", "1"], ClassTarget("y", (0, 1, 2))),
        (["2.0", "0", "-1"], ClassTarget("y", (-1, 0, 2))),
        (["0.5", "0", "1"], NumberTarget),
        ([str(i) for i in range(20)], ClassTarget("y", tuple(range(20)))),
        ([str(i) for i in range(21)], NumberTarget),
        (["true", "false", "true"], ClassTarget("y", (False, True))),
        (["True", "False", "True"], ClassTarget("y", (False, True), ("False", "True"))),
    ],
)
def test_the_task_follows_from_the_target(values, target):
    path = write("a.csv", "a,y\n" + "".join(f"{i},{value}\n" for i, value in enumerate(values)))
    found = data.load(path, target="y").preprocessing.target
    assert found == target if isinstance(target, ClassTarget) else isinstance(found, target)


def test_the_task_can_be_said():
    path = write("a.csv", "a,y\n" + "".join(f"{i},{i}\n" for i in range(30)))
    assert data.load(path, target="y", task="classification").preprocessing.n_outputs == 30
    assert data.load(path, target="a", task="regression").task == "regression"


@pytest.mark.parametrize("target", ["kind", 2, -1, "2", "-1"])
def test_the_target_is_found_by_name_and_by_position(target):
    assert data.load(write("fruit.csv", FRUIT), target=target).preprocessing.target.name == "kind"


def test_columns_are_left_out_if_asked():
    dataset = data.load(write("fruit.csv", FRUIT), target="kind", ignore=["weight"])
    assert dataset.preprocessing.input_names == ["colour=green", "colour=red", "colour=yellow"]


def test_float32_is_made_if_asked():
    dataset = data.load(write("a.npy", numbers()), target=-1, dtype="float32")
    assert dataset.X.dtype == np.float32


@pytest.mark.parametrize(
    "content",
    [
        FRUIT.replace("\n", "\r\n"),
        "\ufeff" + FRUIT,
        FRUIT.replace(",", ";"),
        FRUIT.replace(",", " , "),
        FRUIT + "\n\n",
        FRUIT.replace("weight,", '"weight",').replace("green", '"green"'),
        FRUIT[:-1],
        FRUIT.replace("\n", "\r"),
        FRUIT.encode("utf-16"),
        gzip.compress(FRUIT.encode(), mtime=0),
    ],
    ids=[
        "windows", "byte order mark", "semicolons", "blanks", "blank lines", "quotes", "no last newline",
        "old Mac", "UTF-16", "gzip",
    ],
)  # fmt: skip
def test_the_ways_to_write_csv_do_not_matter(content):
    plain = data.load(write("fruit.csv", FRUIT), target="kind")
    other = data.load(write("other.csv", content), target="kind")
    assert other.preprocessing == plain.preprocessing
    assert (other.X == plain.X).all()


def test_every_kind_of_file_gives_the_same(monkeypatch):
    array = numbers()
    frame = pl.DataFrame({f"x{i}": column for i, column in enumerate(array.T)})
    frame.write_csv("a.csv")
    frame.write_csv("a.tsv", separator="\t")
    frame.write_csv("bare.csv", include_header=False)
    write("a.parquet", frame)
    write("a.npy", array)
    write("fortran.npy", np.asfortranarray(array))
    np.savez("a.npz", x=array[:, :3], x3=array[:, 3])
    options = {"target": "x3", "validation": 0.2, "seed": 0}
    plain = data.load("a.csv", **options)
    for path in ("a.tsv", "a.parquet", "a.npy", "fortran.npy"):
        other = data.load(path, **options)
        assert other.preprocessing == plain.preprocessing
        assert (other.X == plain.X).all()
        assert (other.X_validation == plain.X_validation).all()
        assert (other.Y == plain.Y).all()
    assert (data.load("bare.csv", header="no", **options).X == plain.X).all()
    assert (data.load("a.npz", **options).X == plain.X).all()


def test_a_parquet_file_may_have_booleans_and_categories():
    colours = pl.Series(["blue", "red", "blue"], dtype=pl.Categorical)
    frame = pl.DataFrame({"a": [True, False, None], "c": colours, "t": [True, False, True]})
    dataset = data.load(write("a.parquet", frame), target="t", missing="mean", standardize=False)
    assert dataset.X.tolist() == [[1, 1, 0], [0, 0, 1], [0.5, 1, 0]]
    assert dataset.preprocessing.target.labels == (False, True)


# --- validation --------------------------------------------------------------------------------------


def test_rows_put_aside_are_not_looked_at():
    array = numbers(200)
    dataset = data.load(write("a.npy", array), target=-1, validation=0.25, seed=1)
    assert len(dataset.X) == 150
    assert len(dataset.X_validation) == 50
    assert dataset.X.mean(axis=0) == pytest.approx(0)
    assert dataset.X.std(axis=0) == pytest.approx(1)
    assert abs(dataset.X_validation.mean()) > 1e-3
    known = dataset.preprocessing.columns
    original = np.concatenate([dataset.X, dataset.X_validation]) * [c.scale for c in known]
    original += [c.mean for c in known]
    assert np.sort(original, axis=0) == pytest.approx(np.sort(array[:, :3], axis=0))


@given(st.lists(st.integers(0, 3), min_size=4, max_size=60), st.floats(0.05, 0.95), st.integers(0, 9))
@settings(max_examples=100, deadline=None)
def test_every_class_gives_its_share(values, share, seed):
    codes = np.array(values)
    if not 1 <= round(len(codes) * share) < len(codes):
        return
    training = learning.training_rows(len(codes), codes, share, seed)
    assert (~training).sum() == round(len(codes) * share)
    for code in np.unique(codes):
        of_class = codes == code
        exact = of_class.sum() * (~training).sum() / len(codes)
        assert abs((~training)[of_class].sum() - exact) < 1
    assert (learning.training_rows(len(codes), codes, share, seed) == training).all()


def test_targets_are_standardised_by_the_training_rows_alone():
    dataset = data.load(write("a.npy", numbers(200)), target=0, validation=0.25, seed=1)
    assert dataset.Y.mean() == pytest.approx(0)
    assert dataset.Y.std() == pytest.approx(1)
    assert abs(dataset.Y_validation.mean()) > 1e-3


def test_another_seed_puts_other_rows_aside():
    codes = np.zeros(100)
    draws = [learning.training_rows(len(codes), None, 0.2, seed) for seed in range(3)]
    assert all((a != b).any() for a, b in itertools.pairwise(draws))


def test_validation_may_be_another_file():
    array = numbers()
    write("a.npy", array)
    write("b.npy", array[:7])
    dataset = data.load("a.npy", target=-1, validation="b.npy")
    assert len(dataset.X) == 50
    assert (dataset.X_validation == dataset.X[:7]).all()
    assert (dataset.Y_validation == dataset.Y[:7]).all()


# --- missing values, unseen categories ---------------------------------------------------------------

HOLES = "a,b,c,y\n1,x,NA,p\n,y,2,q\n3,?,4,p\n5,x,nan,q\n"


def test_missing_values_are_an_error_that_counts_them():
    with pytest.raises(DataError, match=r"missing values in 'a' \(1\), 'b' \(1\), 'c' \(2\).*missing='mean'"):
        data.load(write("a.csv", HOLES), target="y")


def test_missing_values_become_the_mean_and_a_category_of_their_own():
    dataset = data.load(write("a.csv", HOLES), target="y", missing="mean", standardize=False)
    assert dataset.X.tolist() == [[1, 1, 0, 0, 3], [3, 0, 1, 0, 2], [3, 0, 0, 1, 4], [5, 1, 0, 0, 3]]
    assert dataset.remarks == ["4 missing values were replaced, in 'a', 'b', 'c'"]
    standardised = data.load("a.csv", target="y", missing="mean")
    assert standardised.X[1, 0] == 0
    X = next(data.batches(table_file.read_table("a.csv"), standardised.preprocessing))
    assert (X == standardised.X).all()


def test_a_model_without_missing_values_refuses_them():
    dataset = data.load(write("a.csv", "a,y\n1,0\n2,1\n"), target="y")
    table = table_file.read_table(write("b.csv", "a\n1\nNA\n"))
    with pytest.raises(DataError, match=r"'a' of b.csv has 1 missing value, the first in line 3"):
        next(data.batches(table, dataset.preprocessing))


@pytest.mark.parametrize("written", ["-999", "-999.0", "-999.00"])
def test_a_mark_that_is_a_number_is_that_number_in_any_file(written):
    content = f"a,t,y\n1.5,-999.0,0.5\n{written},b,1.5\n2.5,b,2.5\n"
    said = {"missing": "mean", "missing_values": ["a=-999"], "standardize": False}
    assert data.load(write("a.csv", content), target="y", text=["t"], **said).X[1, 0] == 2
    frame = pl.DataFrame({"a": [1.5, float(written), 2.5], "y": [0.5, 1.5, 2.5]})
    assert data.load(frame, target="y", **said).X[1, 0] == 2


def test_a_code_with_zeros_in_front_is_not_the_mark_that_is_its_number():
    content = "a,y\n1.5,00999\n2.5,999\n3.5,00999\n4.5,7\n"
    dataset = data.load(write("a.csv", content), target="y", missing_values=["999"], missing_target="drop")
    assert dataset.preprocessing.target.labels == ("00999", "7")


def test_a_model_without_indicators_refuses_to_indicate():
    dataset = data.load(write("a.csv", FRUIT), target="kind")
    with pytest.raises(OptionError, match="missing is 'indicator', and the model has no input that says"):
        data.with_missing(dataset.preprocessing, "indicator")


def test_unseen_categories_are_an_error_or_none_of_the_known():
    dataset = data.load(write("fruit.csv", FRUIT), target="kind")
    table = table_file.read_table(write("new.csv", "weight,colour\n150,red\n100,blue\n"))
    with pytest.raises(DataError, match=r"'colour' of new.csv is 'blue' in line 3.*'green', 'red', 'yellow'"):
        next(data.batches(table, dataset.preprocessing))
    X = next(data.batches(table, dataset.preprocessing, unseen="zeros"))
    assert X[:, 1:].tolist() == [[0, 1, 0], [0, 0, 0]]


def test_categories_that_look_like_numbers_are_known_in_a_file_that_has_no_others():
    dataset = data.load(write("a.csv", "k,a,y\n01,1,u\n1,2,7\nA,3,u\nB,4,7\n"), target="y")
    for content in ("k,a,y\n01,1,7\n1,2,7\n", "k,a,y\n01,1,7\n1,2,7\nA,1,u\n"):
        table = table_file.read_table(write("b.csv", content))
        (X,) = data.batches(table, dataset.preprocessing)
        assert X[:2, :4].tolist() == [[1, 0, 0, 0], [0, 1, 0, 0]]
        assert data.targets(table, dataset.preprocessing)[:2].tolist() == [0, 0]


def test_a_row_of_missing_values_is_a_row_and_a_blank_line_is_none():
    path = write("a.csv", "a,b\n1,2\n\n,\nNA,NA\n   \n3,\n\n,\n")
    table = table_file.read_table(path, keeps_rows=True)
    assert [table.column(name).to_list() for name in "ab"] == [
        ["1", None, None, "3"],
        ["2", None, None, None],
    ]
    table = table_file.read_table(path)
    assert [table.column(name).to_list() for name in "ab"] == [["1", None, "3"], ["2", None, None]]
    assert table.remarks == ["2 rows of a.csv without values are left out"]


@pytest.mark.parametrize("content", ["a,b,y\n1,2,u\n3,4\n5,6,v\n", "a,b,y\r\n1,2,u\r\n3\r\n"])
def test_a_line_that_lacks_values_is_named(content):
    with pytest.raises(DataError, match=r"a\.csv has [12] of 3 values in line 3; "):
        data.load(write("a.csv", content), target="y", missing="mean")


def test_constant_columns_become_zero_and_are_remarked():
    dataset = data.load(write("a.csv", "a,c,y\n1,0.1,p\n2,0.1,q\n5,0.1,p\n"), target="y")
    assert (dataset.X[:, 1] == 0).all()
    assert dataset.remarks == ["column 'c' has the same value in every training row, which tells nothing"]
    rows = "".join(f"{i},{'0,' * 30}{'pq'[i % 2]}\n" for i in range(5))
    dataset = data.load(write("a.csv", f"a,{''.join(f'c{i},' for i in range(30))}y\n{rows}"), target="y")
    (remark,) = dataset.remarks
    assert remark.startswith("the columns 'c0', 'c1', ")
    assert "and 18 more have the same value" in remark


# --- what a model asks of a new file -----------------------------------------------------------------


def test_columns_are_found_by_name_and_others_do_not_count():
    dataset = data.load(write("fruit.csv", FRUIT), target="kind")
    table = table_file.read_table(write("new.csv", "colour,price,weight\nred,3,160\ngreen,4,150\n"))
    X = next(data.batches(table, dataset.preprocessing))
    assert np.array_equal(X, dataset.X[[2, 0]])


def test_columns_without_names_are_found_by_position():
    array = numbers()
    dataset = data.load(write("a.npy", array), target=1, task="regression")
    without_target = table_file.read_table(write("b.npy", np.delete(array, 1, axis=1)))
    for table in (without_target, table_file.read_table("a.npy")):
        assert (next(data.batches(table, dataset.preprocessing)) == dataset.X).all()


def test_what_was_said_of_the_target_does_not_ask_for_it_in_a_file_to_predict():
    said = {"text": ["y"], "missing_values": ["y=none", "b=-1"]}
    dataset = data.load(write("a.csv", "a,b,y\n1,2,3\n2,5,4\n"), target="y", **said)
    table = data.read_for(dataset.preprocessing, write("b.csv", "b,a\n2,1\n"))
    assert len(next(data.batches(table, dataset.preprocessing))) == 1
    with pytest.raises(OptionError, match="missing_values is 'c'"):
        data.read_for(dataset.preprocessing, write("b.csv", "b,a\n2,1\n"), missing_values=["c=-1"])


@pytest.mark.parametrize("option", ["ignore", "keep"])
def test_one_name_is_one_column(option):
    content = write("a.csv", "age,a,g,e,y\n1,2,3,4,0\n2,2,3,5,1\n")
    dataset = data.load(content, target="y", **{option: "age"})
    assert dataset.preprocessing.input_names == ["a", "g", "e"]


def test_columns_that_are_spelled_alike_are_remarked_on_once():
    content = "a;b;c;y\n1,5;2,5;1 kg;0,5\n2,5;3,5;2 kg;1,5\n"
    assert data.load(write("a.csv", content), target="y").remarks == [
        "column 'y' is read as numbers, with ',' as the decimal mark: '0,5' is 0.5",
        "the columns 'a', 'b' are read as numbers, with ',' as the decimal mark: '1,5' is 1.5",
        "column 'c' is read as numbers, with 'kg' as the unit: '1 kg' is 1",
    ]


def test_nearly_every_row_has_another_text():
    rows = "".join(f"n{i % 14},{i % 2}\n" for i in range(15))
    remarks = data.load(write("a.csv", "name,y\n" + rows), target="y").remarks
    assert any("nearly every row (14 in 15)" in remark for remark in remarks)


def test_columns_that_lack_are_named():
    dataset = data.load(write("fruit.csv", FRUIT), target="kind")
    table = table_file.read_table(write("new.csv", "colour,price\nred,3\n"))
    with pytest.raises(DataError, match=r"new.csv lacks 'weight'.*it has the columns 'colour', 'price'"):
        next(data.batches(table, dataset.preprocessing))


def test_a_column_of_another_type_is_named():
    dataset = data.load(write("fruit.csv", FRUIT), target="kind")
    table = table_file.read_table(write("new.csv", "colour,weight\nred,heavy\n"))
    with pytest.raises(DataError, match=r"'weight' of new.csv must hold numbers, and is 'heavy' in line 2"):
        next(data.batches(table, dataset.preprocessing))


def test_targets_of_a_new_file():
    dataset = data.load(write("fruit.csv", FRUIT), target="kind")
    table = table_file.read_table(write("new.csv", "kind\nlemon\napple\n"))
    assert data.targets(table, dataset.preprocessing).tolist() == [1, 0]
    table = table_file.read_table(write("new.csv", "kind\nlemon\npear\n"))
    with pytest.raises(DataError, match=r"'kind' of new.csv is 'pear' in line 3.*'apple', 'lemon'"):
        data.targets(table, dataset.preprocessing)


# --- more than memory --------------------------------------------------------------------------------


def test_a_npy_file_is_read_some_rows_at_a_time(monkeypatch, tmp_path):
    array = numbers(40_000, 25)
    write("a.npy", array)
    options = {"target": -1, "validation": 0.25, "seed": 0}
    plain = data.load("a.npy", **options)
    monkeypatch.setattr("fastbp.data.dataset.IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(table_file, "BLOCK_BYTES", 2**17)
    tracemalloc.start()
    streamed = data.load("a.npy", scratch=tmp_path, **options)
    network = Network([24, 2], output_activation="softmax", loss="categorical_cross_entropy")
    check_data(network.specification, streamed.X, streamed.Y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(streamed.X, np.memmap)
    assert np.allclose(streamed.X, plain.X, rtol=1e-12, atol=1e-12)
    assert (streamed.Y_validation == plain.Y_validation).all()
    assert peak < array.nbytes / 2  # the file has 8 MB; what is needed is the target and a few masks
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]  # temporary files have no name


def test_blocks_give_the_mean_and_scale_of_the_whole(monkeypatch):
    array = numbers(1000, 3) * [1e-3, 1, 1] + [1e3, -5, 0]
    write("a.npy", array)
    monkeypatch.setattr(table_file, "BLOCK_BYTES", 500)
    known = data.load("a.npy", target=-1, task="regression").preprocessing.columns
    assert [column.mean for column in known] == pytest.approx(array[:, :2].mean(axis=0), rel=1e-14)
    assert [column.scale for column in known] == pytest.approx(array[:, :2].std(axis=0), rel=1e-9)


def test_a_file_larger_than_memory_is_refused_unread(monkeypatch):
    monkeypatch.setattr(table_file.os, "sysconf", lambda name: 4)
    with pytest.raises(DataError, match=r"only .npy files may be larger"):
        data.load(write("fruit.csv", FRUIT), target="kind")


# --- files that are wrong ----------------------------------------------------------------------------

MANY_NAMES = "a,b\n" + "".join(f"name{i},{i % 2}\n" for i in range(400))

WRONG_TEXT = {
    "": "is empty",
    "\n\n": "has no lines that are not blank",
    "a,b\n": "has no rows",
    "a,b,a\n1,2,3\n": "has the name 'a' for more than one column",
    "1,2\n3,4\n": "header='no' if it is data, header='yes' if it is names",
    "a,b\n1,0\n2,1,3\n": "has 3 values in line 3, and 2 names in line 1",
    'a,b\n1,"0\n2,1\n': "opens a quote (\") in line 2 that nothing closes; quote='none'",
    "a,b\n1,0\n2\n": "a.csv has 1 of 2 values in line 3",
    "a,b\n1,0\nabc,1\n3,1\n": "holds numbers, and in 1 of 3 rows text: 'abc' in line 3; "
    "missing_values=['a=abc'] takes it for missing",
    "a,b\n1,0\n2,1\n3,l\n": "holds numbers, and in 1 of 3 rows text: 'l' in line 4",
    "a,b\n1,0\ninf,1\n": "'a' of a.csv is inf in line 3",
    "a,b\n1,0\n1e400,1\n": "'a' of a.csv is inf in line 3",
    "a,b\n1,0\n1e300,1\n": "give it another unit",
    "a,b\n1,1.5\n2,1e300\n": "give it another unit",
    "a,b\n1,0\n2,0\n": "'b' of a.csv is 0 in every row",
    "a,b\n1,0.5\n2,0.5\n": "'b' of a.csv is 0.5 in every row",
    "a,b\n1,x\n2,x\n": "'b' of a.csv is 'x' in every row",
    "a,b\nNA,0\nNA,1\n": "missing values in 'a' (2)",
    "b\n1\n2\n": "no column beside the target 'b'",
    MANY_NAMES: "400 different texts, such as 'name0', and may have 256; leave it out: ignore=['a']",
}


@pytest.mark.parametrize("content", WRONG_TEXT, ids=lambda content: repr(content)[:24])
def test_a_wrong_text_file_is_explained(content):
    with pytest.raises(DataError) as caught:
        data.load(write("a.csv", content), target=-1)
    assert WRONG_TEXT[content] in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (
            (FRUIT * 500 + "1,é,apple\n").encode("latin-1"),
            "line 2001 has the byte 0xe9, which encoding='cp1252'",
        ),
        (FRUIT.encode("utf-16-le"), "is not text: line 1 has a zero byte; encoding='utf-16'"),
    ],
)
def test_text_in_other_letters_is_named(content, complaint):
    with pytest.raises(DataError) as caught:
        data.load(write("fruit.csv", content), target="kind")
    assert complaint in str(caught.value)


def test_a_pipe_is_refused():
    os.mkfifo("fruit.csv")
    with pytest.raises(DataError, match="is a pipe or a device"):
        data.load("fruit.csv", target="kind")


BROKEN = {
    "latin.csv": "a,b\n1,ä\n2,b\n".encode("latin-1"),
    "zipped.csv": b"\x1f\x8b\x08garbage",
    "a.parquet": b"garbage",
    "b.parquet": b"PAR1" + bytes(100) + b"PAR1",
    "a.npy": b"garbage",
    "b.npy": b"\x93NUMPY\x01\x00v\x00",
    "a.npz": b"garbage",
    "b.npz": b"PK\x03\x04garbage",
    "a.xlsx": b"garbage",
    "a": b"garbage",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_named(name):
    with pytest.raises(DataError, match=f"^{name} ") as caught:
        data.load(write(name, BROKEN[name]), target=-1)
    assert "\n" not in str(caught.value)
    assert "pickle" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["csv", "parquet", "npy", "npz"])
@given(st.data())
@settings(max_examples=40, deadline=None)
def test_damage_is_found_or_does_no_harm(tmp_path_factory, suffix, data_):
    """Flipped and missing bytes give other data or a DataError, whatever the reader raises."""
    path = tmp_path_factory.getbasetemp() / f"damaged.{suffix}"
    array = numbers(20)
    if suffix == "npy":
        np.save(path, array)
    elif suffix == "npz":
        np.savez_compressed(path, X=array[:, :3], y=array[:, 3])
    else:
        frame = pl.DataFrame({"a": array[:, 0], "b": ["x", "y"] * 10, "c": array[:, 3]})
        frame.write_csv(path) if suffix == "csv" else frame.write_parquet(path)
    content = bytearray(path.read_bytes())
    for _ in range(data_.draw(st.integers(1, 4))):
        content[data_.draw(st.integers(0, len(content) - 1))] = data_.draw(st.integers(0, 255))
    path.write_bytes(content[: data_.draw(st.integers(0, len(content)))])
    try:
        dataset = data.load(path, target=-1, missing="mean")
    except FastbpError:
        return
    assert np.isfinite(dataset.X).all()


@pytest.mark.parametrize(
    ("array", "complaint"),
    [
        (np.zeros(5), "shape (5,)"),
        (np.zeros((5, 0)), "shape (5, 0)"),
        (np.zeros((0, 5)), "has no rows"),
        (np.zeros((5, 2), complex), "dtype complex128"),
        (np.array([["a", "b"]]), "dtype <U1"),
    ],
    ids=lambda value: str(value)[:20].replace("\n", ""),
)
def test_an_array_that_is_no_table_is_explained(array, complaint):
    with pytest.raises(DataError) as caught:
        data.load(write("a.npy", array), target=-1)
    assert complaint in str(caught.value)


def test_nothing_is_unpickled():
    np.save("a.npy", np.array([[1, print]], dtype=object))
    with pytest.raises(DataError, match=r"^a.npy is not a .npy file that can be read"):
        data.load("a.npy", target=0)


def test_a_truncated_array_is_refused():
    write("a.npy", numbers())
    with open("a.npy", "rb") as file:
        content = file.read()
    write("b.npy", content[:-1])
    with pytest.raises(DataError, match=r"^b.npy is not a .npy file that can be read"):
        data.load("b.npy", target=0)


def test_arrays_that_do_not_go_together_are_refused():
    np.savez("a.npz", X=np.zeros((3, 2)), y=np.zeros(4))
    with pytest.raises(DataError, match="different lengths: 'X' 3, 'y' 4"):
        data.load("a.npz", target="y")
    np.savez("b.npz", X=np.zeros((3, 2)), X1=np.zeros(3))
    with pytest.raises(DataError, match="has the name 'X1' twice"):
        data.load("b.npz", target="X1")
    np.savez("c.npz")
    with pytest.raises(DataError, match=r"c\.npz"):
        data.load("c.npz", target="y")


def test_other_types_are_refused_by_name():
    frame = pl.DataFrame({"a": [1, 2], "when": ["2020-01-01", "2021-01-01"], "t": [0, 1]})
    path = write("a.parquet", frame.with_columns(pl.col("when").str.to_date()))
    with pytest.raises(DataError, match=r"'when' of a.parquet holds dates.*ignore=\['when'\]"):
        data.load(path, target="t")
    assert data.load(path, target="t", ignore=["when"]).X.shape == (2, 1)


@pytest.mark.parametrize(
    ("options", "error", "complaint"),
    [
        ({"target": "knd"}, OptionError, "target is 'knd', and fruit.csv has the columns 'weight'"),
        ({"target": 3}, OptionError, "target is 3"),
        ({"target": -4}, OptionError, "target is -4"),
        ({"ignore": ["price"]}, OptionError, "ignore is 'price'"),
        ({"task": "clasification"}, OptionError, "did you mean 'classification'?"),
        ({"task": "regression"}, DataError, "holds text, such as 'apple'; a regression needs numbers"),
        ({"missing": "drop"}, OptionError, "missing is 'drop'"),
        ({"dtype": "float16"}, OptionError, "dtype is 'float16'"),
        ({"validation": 0.1}, OptionError, "validation is 0.1, which is 0 of 3 rows"),
        ({"validation": 1.5}, OptionError, "validation is 1.5"),
        ({"validation": True}, OptionError, "validation is True"),
        ({"validation": "none.csv"}, DataError, "there is no file none.csv"),
        ({"validation": 0.4, "seed": -1}, OptionError, "seed is -1"),
    ],
)
def test_bad_options_are_explained(options, error, complaint):
    with pytest.raises(error) as caught:
        data.load(write("fruit.csv", FRUIT), **({"target": "kind"} | options))
    assert complaint in str(caught.value)


def test_fractions_are_no_classes():
    path = write("a.csv", "a,y\n1,0.5\n2,1\n")
    with pytest.raises(DataError, match=r"'y' of a.csv holds fractions, which cannot be classes"):
        data.load(path, target="y", task="classification")


def test_too_many_classes_are_refused(monkeypatch):
    monkeypatch.setattr(target_column, "MOST_LABELS", 1)
    with pytest.raises(DataError, match="has 2 different values, such as 'apple', and may have 1 classes"):
        data.load(write("fruit.csv", FRUIT), target="kind")


def test_without_polars_it_says_what_to_install(monkeypatch):
    write("fruit.csv", FRUIT)
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(DataError, match=r"pip install 'fastbp\[data\]'"):
        data.load("fruit.csv", target="kind")


# --- numbers of any size -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("size", [1e-320, 1e-200, 1e-40, 1.0, 1e100, 1e200, 1.7e308])
def test_what_numpy_does_about_its_errors_changes_nothing(size, standardize, dtype):
    column = size * np.array([0.25, -0.5, 1.0, 0.75, -0.25])
    frame = pl.DataFrame({"a": column, "b": [1.0, 2.0, 1.5, 4.0, 3.0], "c": column})
    path = write("rows.csv", frame)

    def outcome(target):
        try:
            dataset = data.load(
                path, target=target, task="regression", validation=0.4, seed=0, dtype=dtype,
                standardize=standardize,
            )  # fmt: skip
        except DataError as error:
            return str(error)
        table = data.read_for(dataset.preprocessing, path)
        decoded = dataset.preprocessing.decode(dataset.Y)
        encoded = np.concatenate(list(data.batches(table, dataset.preprocessing, dtype=dtype)))
        targets = data.targets(table, dataset.preprocessing, dtype)
        return [array.tolist() for array in (dataset.X, dataset.Y, decoded, encoded, targets)]

    for target in ("b", "c"):
        with np.errstate(all="ignore"):
            expected = outcome(target)
        for action in ("raise", "warn"):
            with np.errstate(all=action):
                assert outcome(target) == expected


# --- a new file in another spelling --------------------------------------------------------------------


def test_a_file_in_utf_8_is_no_text_in_the_training_files_encoding():
    content = "name;a;y\nsüß;1;u\nsauer;2;v\n"
    dataset = data.load(write("a.csv", content.encode("cp1252")), target="y", encoding="cp1252")
    for new in (content.encode(), content.encode("cp1252"), content.encode("utf-16")):
        table = data.read_for(dataset.preprocessing, write("b.csv", new))
        (X,) = data.batches(table, dataset.preprocessing)
        assert (X == dataset.X).all()


def test_a_unit_that_only_one_of_two_files_has_is_refused_or_remarked_on():
    with_unit, without = write("a.csv", "a,y\n5%,u\n50%,v\n"), write("b.csv", "a,y\n5,u\n50,v\n")
    dataset = data.load(with_unit, target="y")
    table = data.read_for(dataset.preprocessing, without)
    assert "'a' of b.csv has numbers alone, and the training file had '%'" in table.remarks[0]
    (X,) = data.batches(table, dataset.preprocessing)
    assert (X == dataset.X).all()
    dataset = data.load(without, target="y")
    with pytest.raises(DataError, match="has another unit than the training file had: '5%' in line 2"):
        next(data.batches(data.read_for(dataset.preprocessing, with_unit), dataset.preprocessing))
    table = data.read_for(dataset.preprocessing, with_unit, number=["a"])
    assert (next(data.batches(table, dataset.preprocessing)) == dataset.X).all()


GERMAN = "H;y\n40,1;u\n41,7;v\n44,0;u\n"


@pytest.mark.parametrize(
    ("content", "numbers"),
    [
        ("H;k\n40,5;u\n1.234,5;v\n", [40.5, 1234.5]),
        ("k,H\nu,40.5\n", [40.5]),
        ("k\tH\nz\t40,5\n", [40.5]),
        ("H\n40,5\n", [40.5]),
        ("H\n7\n", [7]),
        ("H\n(7,5)\n", [-7.5]),
    ],
)
def test_a_new_file_is_read_as_the_training_file_or_as_it_is_plain(content, numbers):
    dataset = data.load(write("a.csv", GERMAN), target="y", standardize=False)
    table = data.read_for(dataset.preprocessing, write("b.csv", content))
    (X,) = data.batches(table, dataset.preprocessing)
    assert X[:, 0].tolist() == numbers


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("H;k\n1.234;u\n", "'1.234' in line 2, which may be 1234 or 1.234: decimal='.' or decimal=','"),
        (
            "H;k\n40,5 kg;u\n",
            "has another unit than the training file had: '40,5 kg' in line 2; number=['H']",
        ),
        ("H;k\n40,5;u\nhigh;u\n", "'high' in line 3"),
    ],
)
def test_a_new_file_that_may_be_meant_in_two_ways_is_refused(content, complaint):
    dataset = data.load(write("a.csv", GERMAN), target="y")
    table = data.read_for(dataset.preprocessing, write("b.csv", content))
    with pytest.raises(DataError) as caught:
        next(data.batches(table, dataset.preprocessing))
    assert complaint in str(caught.value)


def test_another_spelling_of_a_new_file_is_remarked_on():
    dataset = data.load(write("a.csv", "H,y\n1.5,u\n2.5,v\n"), target="y", standardize=False)
    table = data.read_for(dataset.preprocessing, write("b.csv", "H;k\n1,5;u\n2,5;v\n"))
    assert table.remarks == ["column 'H' is read as numbers, with ',' as the decimal mark: '1,5' is 1.5"]
    assert next(data.batches(table, dataset.preprocessing)).tolist() == [[1.5], [2.5]]


def test_missing_values_at_prediction_are_filled_with_what_training_knew():
    dataset = data.load(write("a.csv", "a,b,y\n1,x,u\n2,y,v\n6,x,u\n"), target="y", standardize=False)
    table = data.read_for(dataset.preprocessing, write("b.csv", "a,b\n,x\n5,\n"))
    filled = data.with_missing(dataset.preprocessing, "mean")
    assert next(data.batches(table, filled)).tolist() == [[3, 1, 0], [5, 0, 0]]
    with pytest.raises(OptionError, match="the model knows no medians"):
        data.with_missing(dataset.preprocessing, "median")
    median = data.load("a.csv", target="y", standardize=False, missing="median").preprocessing
    assert next(data.batches(table, median)).tolist() == [[2, 1, 0], [5, 0, 0]]
    assert next(data.batches(table, data.with_missing(median, "mean"))).tolist() == [[3, 1, 0], [5, 0, 0]]


# --- Excel ---------------------------------------------------------------------------------------------


def write_book(**sheets: list[list]) -> str:
    with xlsxwriter.Workbook("book.xlsx", {"default_date_format": "yyyy-mm-dd"}) as book:
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for i, row in enumerate(rows):
                sheet.write_row(i, 0, row)
    return "book.xlsx"


def test_a_sheet_is_read_with_its_preamble_units_and_exact_numbers():
    rows = [
        ["Report"],
        [],
        ["a", "price", "y"],
        [1 / 3, "5 kg", "u"],
        [1e-17, "6 kg", "v"],
        ["", "7 kg", "u"],
    ]
    dataset = data.load(write_book(first=rows), target="y", skip_rows=2, missing="mean", standardize=False)
    assert dataset.X.tolist() == [[1 / 3, 5], [1e-17, 6], [(1 / 3 + 1e-17) / 2, 7]]
    assert dataset.preprocessing.target.labels == ("u", "v")


def test_one_sheet_of_several_is_read_with_a_remark_or_as_said():
    sheets = {"first": [["a", "y"], [1, "u"], [2, "v"]], "second": [["a", "y"], [3, "u"], [4, "v"], [5, "v"]]}
    dataset = data.load(write_book(**sheets), target="y")
    assert len(dataset.X) == 2
    assert (
        "has the sheets 'first', 'second', and 'first' was read; sheet='second' reads another"
        in dataset.remarks[0]
    )
    for sheet in ("second", 2, "2"):
        assert len(data.load("book.xlsx", target="y", sheet=sheet).X) == 3
    with pytest.raises(
        OptionError, match=r"sheet is 'third', and book.xlsx has the sheets 'first', 'second'"
    ):
        data.load("book.xlsx", target="y", sheet="third")
    with pytest.raises(OptionError, match=r"sheet is 'third', and fruit.csv is no Excel file"):
        data.load(write("fruit.csv", FRUIT), target="kind", sheet="third")


def test_dates_of_a_sheet_are_dates():
    rows = [["when", "y"], [datetime(2020, 1, 31), 0.5], [datetime(2020, 2, 29), 1.5]]
    with pytest.raises(DataError, match=r"column 'when' of book.xlsx holds dates"):
        data.load(write_book(first=rows), target="y")
    dataset = data.load("book.xlsx", target="y", date="number", standardize=False)
    assert dataset.X.tolist() == [[18292], [18321]]


def test_without_fastexcel_it_says_what_to_install(monkeypatch):
    write_book(first=[["a", "y"], [1, "u"], [2, "v"]])
    monkeypatch.setitem(sys.modules, "fastexcel", None)
    with pytest.raises(DataError, match=r"pip install 'fastbp\[excel\]'"):
        data.load("book.xlsx", target="y")


def test_whole_numbers_of_a_sheet_are_whole():
    dataset = data.load(write_book(first=[["a", "y"], [1.5, 0], [2.5, 1], [3, 2]]), target="y")
    assert [str(label) for label in dataset.preprocessing.target.labels] == ["0", "1", "2"]
