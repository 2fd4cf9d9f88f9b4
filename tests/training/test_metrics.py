import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from fastbp import OptionError
from fastbp.training.metrics import accuracy, check_value, r2


@settings(max_examples=50, deadline=None)
@given(labels=st.lists(st.integers(0, 3), min_size=1, max_size=20), seed=st.integers(0, 1000))
def test_accuracy_is_scikit_learns(labels, seed):
    labels = np.array(labels)
    predicted = np.random.default_rng(seed).uniform(size=(len(labels), 4))
    expected = sklearn.metrics.accuracy_score(labels, predicted.argmax(axis=1))
    assert accuracy(labels, predicted) == expected
    assert accuracy(np.eye(4)[labels], predicted) == expected
    two = labels[:, np.newaxis] % 2
    one_output = predicted[:, :1]
    assert accuracy(two, one_output) == sklearn.metrics.accuracy_score(two, one_output >= 0.5)


VALUES = st.floats(-100, 100, width=32)


@settings(max_examples=200, deadline=None)
@given(data=st.data(), shape=st.tuples(st.integers(2, 9), st.integers(1, 3)))
def test_r2_is_scikit_learns(data, shape):
    true, predicted = (data.draw(arrays.arrays(np.float64, shape, elements=VALUES)) for _ in range(2))
    assert r2(true, predicted) == pytest.approx(sklearn.metrics.r2_score(true, predicted), rel=1e-9, abs=1e-9)


def test_r2_of_a_constant_target_is_scikit_learns():
    true = np.ones((4, 2))
    for predicted in (true, true + np.array([0, 1]), true + 1):
        assert r2(true, predicted) == sklearn.metrics.r2_score(true, predicted)


def test_r2_of_labels_is_refused():
    with pytest.raises(OptionError, match="metric 'r2' is for targets that are numbers"):
        r2(np.array([0, 1]), np.eye(2))


@pytest.mark.parametrize("value", [1, 0.5, True, np.True_, np.float32(0.5), np.array(0.5), np.int64(3)])
def test_one_number_of_any_type_is_a_number(value):
    assert check_value("m", value) == float(value)
