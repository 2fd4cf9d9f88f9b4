import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import fastbp
from fastbp import EarlyStopping, Network, OptionError
from fastbp.training.metrics import (
    NAMED,
    Decisions,
    accuracy,
    auc,
    check_value,
    f1,
    find_decisions,
    mae,
    r2,
    rmse,
)

ONE = Decisions(True)
EACH = Decisions(False)


def network(n_outputs, output="sigmoid", loss="half_squared_error"):
    return Network([3, n_outputs], output_activation=output, loss=loss, seed=0)


# --- against scikit-learn ------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(labels=st.lists(st.integers(0, 3), min_size=1, max_size=20), seed=st.integers(0, 1000))
def test_metrics_of_several_classes_are_scikit_learns(labels, seed):
    labels = np.array(labels)
    outputs = np.random.default_rng(seed).uniform(size=(len(labels), 4)).round(1) + 1e-9 * np.arange(4)
    outputs /= outputs.sum(axis=1, keepdims=True)
    predicted = outputs.argmax(axis=1)
    for Y in (labels, np.eye(4)[labels]):
        assert accuracy(ONE, Y, outputs) == sklearn.metrics.accuracy_score(labels, predicted)
        expected = sklearn.metrics.f1_score(labels, predicted, average="macro", zero_division=0)
        assert f1(ONE, Y, outputs) == pytest.approx(expected)
        if len(set(labels)) == 4:
            expected = sklearn.metrics.roc_auc_score(labels, outputs, multi_class="ovr", average="macro")
            assert auc(ONE, Y, outputs) == pytest.approx(expected)


@settings(max_examples=50, deadline=None)
@given(labels=st.lists(st.integers(0, 1), min_size=2, max_size=20), seed=st.integers(0, 1000))
def test_metrics_of_two_classes_are_scikit_learns(labels, seed):
    labels = np.array(labels)
    score = np.random.default_rng(seed).integers(0, 9, len(labels)) / 8
    one, two = score[:, None], np.stack([1 - score, score], axis=1)
    right = sklearn.metrics.accuracy_score(labels, score >= 0.5)
    area = sklearn.metrics.roc_auc_score(labels, score) if len(set(labels)) == 2 else np.nan
    for decisions, Y, outputs in ((EACH, labels[:, None], one), (ONE, labels, two + np.array([0, 1e-12]))):
        assert accuracy(decisions, Y, outputs) == right
        assert f1(decisions, Y, outputs) == pytest.approx(
            sklearn.metrics.f1_score(labels, score >= 0.5, zero_division=0)
        )
        assert auc(decisions, Y, outputs) == pytest.approx(area, nan_ok=True)


@settings(max_examples=50, deadline=None)
@given(rows=st.integers(1, 12), seed=st.integers(0, 1000))
def test_metrics_of_several_labels_are_scikit_learns(rows, seed):
    generator = np.random.default_rng(seed)
    Y, outputs = generator.integers(0, 2, (rows, 3)), generator.integers(0, 9, (rows, 3)) / 8
    assert accuracy(EACH, Y, outputs) == pytest.approx(np.mean((outputs >= 0.5) == Y))
    expected = sklearn.metrics.f1_score(Y, outputs >= 0.5, average="macro", zero_division=0)
    assert f1(EACH, Y, outputs) == pytest.approx(expected)
    if (Y.sum(axis=0) > 0).all() and (Y.sum(axis=0) < rows).all():
        assert auc(EACH, Y, outputs) == pytest.approx(sklearn.metrics.roc_auc_score(Y, outputs))


VALUES = st.floats(-100, 100, width=32)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), shape=st.tuples(st.integers(2, 9), st.integers(1, 3)))
def test_metrics_of_numbers_are_scikit_learns(data, shape):
    true, predicted = (data.draw(arrays.arrays(np.float64, shape, elements=VALUES)) for _ in range(2))
    for ours, theirs in (
        (r2, sklearn.metrics.r2_score),
        (mae, sklearn.metrics.mean_absolute_error),
        (rmse, sklearn.metrics.root_mean_squared_error),
    ):
        assert ours(true, predicted) == pytest.approx(theirs(true, predicted), rel=1e-9, abs=1e-9)


def test_r2_of_a_constant_target_is_scikit_learns():
    true = np.ones((4, 2))
    for predicted in (true, true + np.array([0, 1]), true + 1):
        assert r2(true, predicted) == sklearn.metrics.r2_score(true, predicted)


# --- what targets and outputs say ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("net", "Y", "expected"),
    [
        (network(3, "softmax", "categorical_cross_entropy"), [0, 2, 1], ONE),
        (network(3, "softmax", "categorical_cross_entropy"), [[0.2, 0.5, 0.3]], ONE),
        (network(3), [[1, 0, 0], [0, 0, 1]], ONE),
        (network(3), [[1, 1, 0], [0, 0, 1]], EACH),
        (network(3), [[0.9, 0.1, 0.9], [0.1, 0.1, 0.9]], EACH),
        (network(1), [[0], [1]], EACH),
        (network(1), [[0], [0]], EACH),
        (network(1, "identity"), [[0], [1]], EACH),
        (network(1, "tanh"), [[-1], [1]], Decisions(False, 0.0)),
        (network(2, "identity"), [[-1, 1], [1, 1]], Decisions(False, 0.0)),
        (network(2, "identity"), [[-1, 1], [1, -1]], Decisions(True, 0.0)),
        (network(1, "tanh"), [[-1], [-1]], Decisions(False, 0.0)),
        (network(2, loss="binary_cross_entropy"), [[0.1, 0.7], [0.3, 1]], EACH),
        (
            network(1, "identity"),
            [[1.5], [2], [7]],
            "Y has more than two values, such as 1.5, 7 and 2",
        ),
        (network(1, "identity"), [[1.5], [7]], "Y has the values 1.5 and 7, and not 0 and 1"),
        (network(1), [[0.6], [0.9]], "Y has the values 0.6 and 0.9, and not 0 and 1"),
        (network(1), [[0.6], [0.2], [0.7]], "Y has more than two values, such as 0.2, 0.7"),
    ],
    ids=str,
)
def test_the_kind_of_output_is_known(net, Y, expected):
    found = find_decisions(net.specification, np.array(Y))
    assert str(found).startswith(expected) if isinstance(expected, str) else found == expected


def trained(net, X, Y, metrics, **options):
    options = {"epochs": 300, "optimizer": fastbp.Adam(0.05), "metrics": metrics, "seed": 0} | options
    return fastbp.train(net, X, Y, **options).history


def test_metrics_of_a_perfect_network_are_one_whatever_its_outputs_are():
    X = np.random.default_rng(0).normal(size=(60, 3))
    yes = X > 0
    for output, loss in (("sigmoid", "binary_cross_entropy"), ("tanh", "half_squared_error")):
        for n_outputs in (1, 3):
            net = network(n_outputs, output, loss)
            net.weights[0][:] = 50 * np.eye(3)[:, :n_outputs]
            Y = np.where(yes[:, :n_outputs], 1.0, -1.0 if output == "tanh" else 0.0)
            history = trained(net, X, Y, ["accuracy", "f1", "auc"], epochs=1, optimizer=fastbp.SGD(1e-6))
            assert [history[name][-1] for name in ("accuracy", "f1", "auc")] == [1, 1, 1]


def test_metrics_of_classes_are_refused_for_a_regression_before_it_starts_and_the_other_way_round():
    X, Y = np.eye(3), np.array([[0.3], [0.5], [0.9]])
    net = network(1, "identity")
    before = net.theta.copy()
    for name in ("accuracy", "f1", "auc"):
        with pytest.raises(
            OptionError, match=f"metric '{name}' is for classes, and this is a regression: .*'mae'"
        ):
            trained(net, X, Y, [name])
    with pytest.raises(OptionError, match="metric 'auc' is for classes"):
        trained(net, X, Y, (), early_stopping=EarlyStopping(monitor="auc"))
    assert (net.theta == before).all()
    classes = network(3, "softmax", "categorical_cross_entropy")
    for name in ("r2", "mae", "rmse"):
        with pytest.raises(
            OptionError, match=f"metric '{name}' is for targets that are numbers, .*'accuracy'"
        ):
            trained(classes, X, [0, 1, 2], [name])
        with pytest.raises(OptionError, match=f"metric '{name}' is for targets that are numbers"):
            trained(classes, X, np.eye(3), [name], validation_data=(X, [0, 1, 2]))


def test_early_stopping_knows_which_way_a_named_metric_is_better():
    X = np.random.default_rng(0).normal(size=(40, 3))
    for monitor in ("mae", "rmse", "r2"):
        net = network(1, "identity")
        history = trained(net, X, X[:, :1], (), early_stopping=EarlyStopping(5, monitor=monitor))
        first, last = history[monitor][[0, -1]]
        assert first > last if monitor != "r2" else first < last
    with pytest.raises(OptionError, match="higher_is_better is True, and less 'mae' is better"):
        trained(net, X, X[:, :1], (), early_stopping=EarlyStopping(monitor="mae", higher_is_better=True))


def test_all_names_work_at_once():
    X, Y = np.random.default_rng(0).normal(size=(20, 3)), np.eye(2)[np.arange(20) % 2]
    history = trained(network(2), X, Y, list(NAMED), validation_data=(X[:1], Y[:1]))
    assert {f"validation_{name}" for name in NAMED} < history.keys()


@pytest.mark.parametrize("value", [1, 0.5, True, np.True_, np.float32(0.5), np.array(0.5), np.int64(3)])
def test_one_number_of_any_type_is_a_number(value):
    assert check_value("m", value) == float(value)
