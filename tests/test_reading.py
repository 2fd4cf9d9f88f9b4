"""What is said about a file is checked at once, and kept."""

import pytest

from fastbp import DataError, OptionError
from fastbp.errors import shell_options
from fastbp.reading import Reading, Spelling


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"separator": ";;"}, "separator is ';;', and may be one character, or 'comma'"),
        ({"separator": "\n"}, "separator is"),
        ({"separator": "a"}, "separator is 'a'"),
        ({"decimal": ";"}, "decimal is ';', and may be '.', ',', 'point', 'comma'"),
        ({"encoding": "utf-99"}, "encoding is 'utf-99', and may be 'utf-8', 'latin-1'"),
        ({"encoding": "base64"}, "encoding is 'base64'"),
        ({"skip_rows": -1}, "skip_rows is -1"),
        ({"skip_rows": True}, "skip_rows is True"),
        ({"comment": ""}, "comment is ''"),
        ({"header": "maybe"}, "header is 'maybe', and may be 'auto', 'yes' or 'no'"),
        ({"text": ["a"], "number": ["a", "b"]}, "column 'a' is in text and in number"),
        ({"text": 3}, "text is 3, and must be a list of texts"),
        ({"date": "when=days"}, "date is 'when=days', and may be number, cyclic, both"),
        ({"quote": "'", "separator": "'"}, "separator and quote are both"),
        ({"decimals": ","}, "'decimals' is not an option; did you mean 'decimal'?"),
        ({"no_such_thing": ","}, "'no_such_thing' is not an option"),
    ],
)
def test_bad_options_are_explained(options, complaint):
    with pytest.raises(OptionError) as caught:
        Reading.of(**options)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_shell_reads_its_own_spelling():
    with shell_options(), pytest.raises(OptionError, match=r"^--skip-rows is -1"):
        Reading(skip_rows=-1)


def test_everything_that_was_said_is_kept():
    reading = Reading(
        separator="tab", decimal="comma", encoding="cp1252", skip_rows=2, comment="#", quote="single",
        header=False, missing_values={"age": ["-1", "x=y"], "name": "off"}, text=["zip"], number="n",
        date={"when": "cyclic"}, date_format="%d/%m/%Y", sheet=2,
    )  # fmt: skip
    assert (reading.separator, reading.decimal, reading.quote, reading.header) == ("\t", ",", "'", "no")
    assert reading.marks("age") == ("-1", "x=y")
    assert reading.marks("name") == ("off",)
    assert (reading.dates("when"), reading.dates("then")) == ("cyclic", None)
    assert Reading.from_document(reading.as_document()) == reading
    assert Reading().as_document() == {}


def test_one_word_is_for_all_columns_of_dates():
    reading = Reading(date=["both", "born=number", "a=b=cyclic", "died"])
    assert [reading.dates(name) for name in ("born", "died", "x", "a=b")] == [
        "number",
        "number",
        "both",
        "cyclic",
    ]


@pytest.mark.parametrize("document", [None, [], {"seperator": ";"}, {"separator": 1}, {"skip_rows": "1"}])
def test_a_damaged_document_is_refused(document):
    with pytest.raises(DataError):
        Reading.from_document(document)


@pytest.mark.parametrize(
    "document", [None, ["."], [";", "", "", ""], [".", ".", "", ""], [",", "1", "", ""], [1, 2, 3, 4]]
)
def test_a_damaged_spelling_is_refused(document):
    with pytest.raises(DataError):
        Spelling.from_document(document)
