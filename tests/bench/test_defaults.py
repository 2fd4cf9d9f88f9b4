"""The study of the defaults: its scores, ranks and nested choice, and which table is on which side."""

import numpy as np
import pytest

from bench import defaults, tables


@pytest.mark.parametrize("use", ["chooses", "judged earlier", "judges"])
def test_each_use_has_six_tables_of_classes_and_six_of_numbers(use):
    assert len({table.name for table in tables.TABLES}) == 36
    chosen = [table.is_classes for table in tables.TABLES if table.use == use]
    assert (len(chosen), sum(chosen)) == (12, 6)


def test_a_table_of_scikit_learn_comes_as_numbers_and_codes():
    X, y = next(table for table in tables.TABLES if table.name == "wine").rows()
    assert (X.shape, X.dtype, sorted(set(y))) == ((178, 13), np.float64, [0, 1, 2])


def test_the_calibration_error_is_the_distance_of_confidence_and_accuracy():
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.35, 0.65], [0.0, 1.0]])
    labels = np.array([0, 1, 1, 1])  # of 0.9, half is right; of 0.65 and of 1, all
    expected = (2 * 0.4 + 0.35 + 0.0) / 4
    assert defaults.expected_calibration_error(probabilities, labels) == pytest.approx(expected)


FOUND = {
    "a": {"one": {"log loss": 0.1, "ece": 0}, "two": {"log loss": 0.2, "ece": 0}},
    "b": {"one": {"log loss": 0.3, "ece": 0}, "two": {"log loss": 0.3, "ece": 0}},
    "c": {"one": {"r2": 0.5}, "two": {"r2": 0.9}},
}


def test_equal_contenders_share_their_rank():
    assert defaults.ranks(FOUND, ["one", "two"]) == {"one": [1, 1.5, 2], "two": [2, 1.5, 1]}


def test_a_choice_is_judged_on_the_table_that_it_has_not_seen():
    best, chosen, log_loss, r2 = defaults.nested(FOUND)
    assert best == "one"
    assert chosen == {"two": 1, "one": 2}  # without a, two is the best; without c, one is
    assert (log_loss, r2) == (pytest.approx((0.2 + 0.3) / 2), 0.5)


def test_a_part_of_the_page_is_replaced_between_its_marks():
    page = "before <!-- x: begin -->\nold\n<!-- x: end --> after"
    assert defaults.with_parts(page, {"x": "new"}) == "before <!-- x: begin -->\nnew\n<!-- x: end --> after"
