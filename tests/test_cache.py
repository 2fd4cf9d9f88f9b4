"""A text file of any size is read by way of a folder of Arrow files, to the same arrays."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fastbp import DataError, FastbpError, OptionError, data
from fastbp.data import cache
from tests.data.make_tables import FOLDER
from tests.test_tables import CASES

TEXTS = [
    case
    for case in CASES
    if case["file"].endswith((".csv", ".txt", ".data", ".tsv", ".dat"))
    and not any(part in case["file"] for part in ("utf_16", "german_export", "wrongly_named"))
]


def outcome(case: dict, **options):
    target = case["target"]
    try:
        dataset = data.load(FOLDER / case["file"], target=target, **case["options"], **options)
    except FastbpError as error:
        return str(error)
    return dataset.X.tolist(), dataset.Y.tolist(), dataset.preprocessing, dataset.remarks


@pytest.mark.parametrize("case", TEXTS, ids=lambda case: case["file"])
def test_a_file_gives_the_same_by_way_of_the_cache_and_from_it(case, tmp_path, monkeypatch):
    """Errors, too, with their lines."""
    monkeypatch.setattr(cache, "BLOCK", 300)
    plain = outcome(case)
    assert outcome(case, cache=tmp_path) == plain
    assert outcome(case, cache=tmp_path) == plain


def test_a_file_in_many_blocks_is_read_once_and_again_when_it_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "BLOCK", 1000)
    rows = [f'{i}.25,"{"red" if i % 3 else "blue"}\n",{i % 2}' for i in range(500)]
    path = tmp_path / "a.csv"
    path.write_text("a,b,y\n" + "\n".join(rows) + "\n")
    options = {"target": "y", "validation": 0.25, "seed": 0}
    plain = data.load(path, **options)
    cached = data.load(path, cache=True, **options)
    assert (cached.X == plain.X).all()
    assert (cached.Y_validation == plain.Y_validation).all()
    (folder,) = (tmp_path / "a.csv.fastbp-cache").iterdir()
    assert len(list(folder.glob("*.arrow"))) > 5
    kept = {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}
    data.load(path, cache=True, **options)
    assert {file.name: file.stat().st_mtime_ns for file in folder.iterdir()} == kept
    path.write_text("a,b,y\n" + "\n".join(rows[:100]) + "\n")
    assert len(data.load(path, cache=True, target="y").X) == 100
    assert not folder.exists()


def test_rows_without_a_target_are_left_out_of_every_block(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "BLOCK", 100)
    path = tmp_path / "a.csv"
    path.write_text("a,y\n" + "".join(f"{i}.5,{'NA' if i % 5 == 0 else i / 4}\n" for i in range(100)))
    dataset = data.load(path, target="y", missing_target="drop", cache=True, standardize=False)
    assert dataset.X[:, 0].tolist() == [i + 0.5 for i in range(100) if i % 5]
    with pytest.raises(DataError, match=r"the first in line 2; missing_target='drop'"):
        data.load(path, target="y", cache=True)


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.csv", "a,y\n1,2\n".encode("utf-16"), "is in UTF-16, which cache cannot read"),
        ("a.npy", b"\x93NUMPY", "is no plain text file"),
        ("a.csv", b"a,y\n1,0\n2,1,3\n", "3 values in line 3"),
    ],
)
def test_what_cannot_be_cached_is_said_and_nothing_is_left(tmp_path, name, content, complaint):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=complaint):
        data.load(tmp_path / name, target="y", cache=True)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_line_is_named_in_a_file_with_an_empty_column(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,b,y\n1,,0.5\n2,,\n")
    with pytest.raises(DataError, match="the first in line 3"):
        data.load(path, target="y", cache=True)


def test_a_cache_that_several_make_at_once_is_whole_and_what_a_killed_one_left_is_removed(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,y\n" + "".join(f"{i % 9},{i / 7}\n" for i in range(2000)))
    folder = tmp_path / "a.csv.fastbp-cache"
    (folder / "0123456789abcdef.999999999.1").mkdir(parents=True)
    together = threading.Barrier(4)

    def read(_):
        together.wait()
        return data.load(path, target="y", cache=True).X.tobytes()

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(read, range(4))) == {data.load(path, target="y").X.tobytes()}
    assert [part.name.count(".") for part in folder.iterdir()] == [0]


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    shutil.copy(FOLDER / "000_decimal_comma_target.csv", tmp_path / "a.csv")
    with pytest.raises(OptionError, match=r"cache is .*none', and must be a folder"):
        data.load(tmp_path / "a.csv", target="T", cache=tmp_path / "none")


def test_inputs_that_may_be_larger_than_memory_lie_in_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr("fastbp.data.dataset.IN_MEMORY_BYTES", 0)
    path = tmp_path / "a.csv"
    path.write_text("a,y\n" + "".join(f"{i}.5,{i / 4}\n" for i in range(100)))
    assert isinstance(data.load(path, target="y", cache=True, scratch=tmp_path).X, np.memmap)
