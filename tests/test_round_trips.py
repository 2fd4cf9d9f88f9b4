"""What is written to a file comes back from it, whatever the file's form; models do not care about the
form."""

import csv
import io

import numpy as np
import polars as pl
import pytest
import xlsxwriter
from hypothesis import given, settings
from hypothesis import strategies as st

import fastbp
from fastbp import DataError, data
from fastbp.data import text_file
from fastbp.data.meanings import meaning_of
from fastbp.data.table_file import read_table
from fastbp.data.values import numbers, texts
from fastbp.reading import Reading

LETTERS = "aäé ,;|\t\"'\nZ5.-#"
WORDS = st.text(LETTERS, max_size=6).map(lambda text: f"x{text}y")
NAMES = st.lists(
    st.text(LETTERS, max_size=4).map(lambda text: f"n{text}m"), min_size=3, max_size=5, unique=True
)
FLOATS = st.one_of(
    st.floats(-1e6, 1e6).map(lambda value: round(value, 2)),
    st.floats(allow_nan=False, allow_infinity=False, min_value=-1e100, max_value=1e100),
)
KINDS = {
    "float": FLOATS,
    "int": st.integers(-(10**9), 10**9),
    "bool": st.booleans(),
    "text": WORDS,
}


@st.composite
def tables(draw) -> tuple[dict[str, list], list[str]]:
    """Draw named columns and their kinds; the first has no gaps, so that no row is empty."""
    names = draw(NAMES)
    n_rows = draw(st.integers(2, 8))
    kinds = [draw(st.sampled_from(sorted(KINDS))) for _ in names]
    columns = {}
    for i, (name, kind) in enumerate(zip(names, kinds, strict=True)):
        values = st.lists(KINDS[kind], min_size=n_rows, max_size=n_rows)
        drawn = draw(values)
        gaps = draw(st.lists(st.booleans(), min_size=n_rows, max_size=n_rows)) if i else [False] * n_rows
        gaps[0] = False
        columns[name] = [None if gap else value for gap, value in zip(gaps, drawn, strict=True)]
    return columns, kinds


def as_text(columns: dict[str, list], separator: str, decimal: str, quoting: int, mark: str) -> str:
    def written(value: object) -> object:
        if value is None:
            return mark
        if isinstance(value, float):
            return repr(value).replace(".", decimal)
        return value

    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=separator, quoting=quoting, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([map(written, row) for row in zip(*columns.values(), strict=True)])
    return file.getvalue()


def check_same(table, columns: dict[str, list], kinds: list[str]) -> None:
    assert table.names == list(columns)
    for (name, expected), kind in zip(columns.items(), kinds, strict=True):
        meaning = meaning_of(table, name)
        if kind == "text":
            assert meaning.kind == "text"
            assert texts(table.column(name)).to_list() == expected
        else:
            assert meaning.kind == ("boolean" if kind == "bool" else "number")
            found = numbers(table, 0, table.column(name), meaning.spelling)
            exact = [np.nan if value is None else float(value) for value in expected]
            assert np.array_equal(found, exact, equal_nan=True)


@given(
    tables(),
    st.sampled_from(",;|\t"),
    st.sampled_from(".,"),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    st.sampled_from(["", "NA", "-", "?"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"]),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_a_table_comes_back_from_text_or_the_error_says_what_decides(
    tmp_path_factory, drawn, separator, decimal, quoting, mark, encoding, told, typed
):
    columns, kinds = drawn
    content = as_text(columns, separator, decimal, quoting, mark)
    path = tmp_path_factory.getbasetemp() / ("a.tsv" if separator == "\t" else "a.csv")
    path.write_bytes(content.encode(encoding))
    said = {"encoding": encoding} if encoding == "latin-1" else {}
    if told:
        said |= {"separator": separator, "decimal": decimal}
    with pytest.MonkeyPatch.context() as patch:
        if typed:
            patch.setattr(text_file, "TYPED_BYTES", 0)
        try:
            table = read_table(path, Reading.of(**said), keeps_rows=True)
            check_same(table, columns, kinds)
        except DataError as error:
            message = str(error)
            assert "\n" not in message
            # Only numbers that may be meant in two ways are refused, and only if nothing was said.
            assert ("decimal=" in message and not told) or ("date='" in message and "number=" in message)


@given(tables(), st.sampled_from(["parquet", "arrow", "stream"]))
@settings(max_examples=60, deadline=None)
def test_a_table_comes_back_from_columns(tmp_path_factory, drawn, kind):
    columns, kinds = drawn
    path = tmp_path_factory.getbasetemp() / ("a.parquet" if kind == "parquet" else "a.arrow")
    frame = pl.DataFrame(columns, strict=False)
    {"parquet": frame.write_parquet, "arrow": frame.write_ipc, "stream": frame.write_ipc_stream}[kind](path)
    check_same(read_table(path), columns, kinds)


# --- models ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def forms(tmp_path_factory):
    """Write one table in all forms."""
    folder = tmp_path_factory.mktemp("forms")
    generator = np.random.default_rng(4)
    n = 60
    columns = {
        "a": generator.normal(size=n).round(3),
        "b": generator.integers(0, 2000, n).astype(float) + 0.25,
        "colour": generator.choice(["red", "blue", "green"], n).tolist(),
        "flag": generator.random(n) < 0.5,
        "y": generator.choice(["u", "v"], n).tolist(),
    }
    frame = pl.DataFrame(columns)
    frame.write_csv(folder / "a.csv")
    frame.write_csv(folder / "a.tsv", separator="\t")
    frame.write_csv(folder / "semicolons.csv", separator=";")
    frame.write_parquet(folder / "a.parquet")
    frame.write_ipc(folder / "a.arrow")
    with xlsxwriter.Workbook(folder / "a.xlsx") as book:
        frame.write_excel(book)
    np.savez(
        folder / "a.npz",
        **{
            name: column.to_numpy() if name != "colour" and name != "y" else np.array(column.to_list())
            for name, column in zip(frame.columns, frame, strict=True)
        },
    )
    plain = (folder / "semicolons.csv").read_text()
    (folder / "commas.csv").write_text(plain.replace(".", ","))
    (folder / "upper.csv").write_text(plain.replace("true", "TRUE").replace("false", "FALSE"))
    (folder / "utf_16.txt").write_text(plain, encoding="utf-16")
    (folder / "pipes.txt").write_text("\n" + plain.replace(";", " | "))
    return sorted(path for path in folder.iterdir())


def test_a_model_predicts_the_same_from_every_form_whichever_it_was_trained_on(forms):
    predictions = set()
    for trained_on in forms:
        dataset = data.load(trained_on, target="y")
        preprocessing = dataset.preprocessing
        network = fastbp.Network([preprocessing.n_inputs, 2], output_activation="softmax",
                                 loss="categorical_cross_entropy", seed=0)  # fmt: skip
        fastbp.train(network, dataset.X, dataset.Y, epochs=3, batch_size=16, optimizer=fastbp.Adam(), seed=0)
        for path in forms:
            table = data.read_for(preprocessing, path)
            outputs = network.predict(np.concatenate(list(data.batches(table, preprocessing))))
            predictions.add(outputs.tobytes())
            assert (data.targets(table, preprocessing) == dataset.Y).all()
    assert len(forms) == 11
    assert len(predictions) == 1


@pytest.mark.parametrize(
    "labels", [["02139", "10001"], [1, 2], [1.0, 2.5], [True, False], [2**53, 2**53 + 1]]
)
def test_labels_come_out_as_they_went_in_from_every_form(tmp_path, labels):
    frame = pl.DataFrame({"a": [0.5, 1.5, 2.5, 3.5], "y": labels * 2})
    frame.write_csv(tmp_path / "a.csv")
    frame.write_parquet(tmp_path / "a.parquet")
    frame.write_ipc(tmp_path / "a.arrow")
    for path in tmp_path.iterdir():
        options = {"text": ["y"]} if labels == [1.0, 2.5] else {"task": "classification"}
        dataset = data.load(path, target="y", **options)
        decoded = dataset.preprocessing.decode(np.eye(2)[dataset.Y]).tolist()
        expected = [str(label) for label in labels] if labels == [1.0, 2.5] else labels
        assert decoded == expected * 2
        assert type(decoded[0]) is type(expected[0])
        for other in tmp_path.iterdir():
            table = data.read_for(dataset.preprocessing, other)
            assert (data.targets(table, dataset.preprocessing) == dataset.Y).all()
