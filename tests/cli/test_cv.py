"""`fastbp cv`: mean and spread of scores, a table of confusion, JSON, and what it refuses."""

import pytest


def test_the_report_has_scores_and_a_table_of_confusion(fastbp):
    out = fastbp("cv iris.csv --target species --hidden 4 --epochs 9 --folds 3 --repeats 2")
    text = out.out
    assert "150 rows; 6 networks 4-4-3, 3 folds x 2 repeats, 9 epochs each" in text
    assert "accuracy" in text
    assert "rows taken for" in text
    assert "versicolor" in text
    assert out.err == ""


def test_json_has_each_score_and_the_same_command_gives_the_same_numbers(fastbp):
    command = "cv diabetes.csv --target progression --hidden 4 --epochs 9 --folds 3 --json"
    found = [fastbp(command).document for _ in range(2)]
    for one in found:
        del one["seconds"]
    assert found[0] == found[1]
    r2 = found[0]["scores"]["r2"]
    assert r2["lowest"] <= r2["mean"] <= r2["highest"]
    assert r2["mean"] == pytest.approx(sum(r2["each"][0]) / 3)
    assert found[0]["confusion"] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("", "give --target COLUMN"),
        ("--target species --folds 1", "--folds is 1"),
        ("--target species --folds 999", "--folds is 999"),
        ("--target species --repeats 0", "--repeats is 0"),
        ("--target nothing", "has the columns"),
        ("--target species --validation 0.2", "--validation is no option"),
    ],
)
def test_what_cannot_be_cross_validated_is_an_error_of_one_line(fastbp, options, message):
    out = fastbp(f"cv iris.csv {options}")
    assert out.status == 2
    assert message in out.err
    assert out.err.count("\n") == 1
