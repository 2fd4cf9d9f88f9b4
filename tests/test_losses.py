import numpy as np
import pytest
from sklearn.metrics import mean_pinball_loss

import fastbp
from fastbp import Network, activations, losses, reference
from fastbp.errors import DataError, OptionError, ShapeError
from fastbp.losses import TABLE, check_loss, check_output, check_targets
from fastbp.specification import Specification
from tests.every_loss import EVERY_LOSS


def test_codes_are_positions_in_the_table():
    assert [loss.code for loss in TABLE] == list(range(len(TABLE)))
    assert losses.CODES["poisson"] == losses.POISSON


def test_the_reference_has_every_loss():
    assert set(losses.NAMES) == {*reference.LOSSES, *reference.FUSED, "quantile"}
    assert all(map(reference.unfused, ("huber", "quantile", "quantile(0.9)")))


def test_a_loss_is_known_or_wrong():
    for name in EVERY_LOSS:
        assert check_loss(name) == name
    with pytest.raises(OptionError, match=r"loss is 'cross_entropy', and may be"):
        check_loss("cross_entropy")


@pytest.mark.parametrize("loss", TABLE, ids=lambda loss: loss.name)
def test_a_loss_goes_with_the_outputs_that_the_table_names(loss):
    for output in activations.OUTPUT:
        if not loss.outputs or output in loss.outputs:
            check_output(loss.name, output, 2)
        else:
            with pytest.raises(
                OptionError, match=f"'{loss.name}' goes with .*'{loss.outputs[0]}'.*'{output}'"
            ):
                check_output(loss.name, output, 2)


@pytest.mark.parametrize(
    ("written", "level"),
    [("quantile", 0.5), ("quantile(0.9)", 0.9), ("quantile( 1e-3 )", 0.001), ("quantile(0.10)", 0.1)],
)
def test_quantile_is_kept_with_its_level(written, level):
    name = check_loss(written)
    assert name == f"quantile({level})"
    assert losses.level_of(name) == level
    assert losses.row_of(name).code == losses.QUANTILE
    document = Specification([2, 3], loss_name=written).as_document()
    assert Specification.from_document(document) == Specification([2, 3], loss_name=name)


@pytest.mark.parametrize(
    "bad", ["quantile()", "quantile(0)", "quantile(1)", "quantile(-0.5)", "quantile(nan)", "quantile(0.9"]
)
def test_a_wrong_level_is_named(bad):
    with pytest.raises(OptionError, match=r"must be between 0 and 1, as in 'quantile\(0.9\)'") as caught:
        check_loss(bad)
    assert repr(bad) in str(caught.value)


def test_quantile_is_the_pinball_loss_of_scikit_learn():
    X, Y = np.random.default_rng(0).normal(size=(2, 9, 3))
    network = Network([3, 3], output_activation="identity", loss="quantile(0.8)", seed=0)
    expected = mean_pinball_loss(Y, network.predict(X), alpha=0.8)
    assert network.loss(X, Y) == pytest.approx(expected, rel=1e-14)


def test_the_median_is_half_the_absolute_error():
    X, Y = np.random.default_rng(0).normal(size=(2, 9, 3))
    median = Network([3, 4, 3], output_activation="identity", loss="quantile", seed=0)
    absolute = Network([3, 4, 3], output_activation="identity", loss="mean_absolute_error", seed=0)
    assert 2 * median.loss(X, Y) == absolute.loss(X, Y)
    assert (2 * median.gradient(X, Y) == absolute.gradient(X, Y)).all()


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
def test_a_constant_trained_for_a_quantile_becomes_it(level):
    """With weights of 0 and inputs of 0, b alone is learnt: the quantile of the targets."""
    Y = np.random.default_rng(1).exponential(size=(501, 1))
    network = Network([1, 1], output_activation="identity", loss=f"quantile({level})", seed=0)
    schedule = fastbp.schedules.CosineDecay(0.05, steps=3000, final=1e-5)
    fastbp.train(network, np.zeros((501, 1)), Y, epochs=3000, optimizer=fastbp.SGD(schedule, momentum=0.5))
    below = (network.predict([[0.0]]) > Y).mean()
    assert abs(below - level) < 0.01


def test_softmax_of_one_output_is_refused():
    with pytest.raises(OptionError, match="binary_cross_entropy"):
        check_output("categorical_cross_entropy", "softmax", 1)


@pytest.mark.parametrize(
    ("loss", "bad", "message"),
    [
        ("binary_cross_entropy", 1.25, r"Y\[2, 1\] is 1.25, .* from 0 to 1"),
        ("binary_cross_entropy", -0.5, r"Y\[2, 1\] is -0.5, .* from 0 to 1"),
        ("binary_cross_entropy", np.nan, r"Y\[2, 1\] is nan, .* from 0 to 1"),
        ("categorical_cross_entropy", -0.5, r"Y\[2, 1\] is -0.5, .* at least 0, with sum 1"),
        ("categorical_cross_entropy", 0.6, r"sum of row Y\[2\] is 1.1, .* at least 0, with sum 1"),
        ("poisson", -1.0, r"Y\[2, 1\] is -1.0, .* at least 0"),
    ],
)
def test_a_target_out_of_range_is_named(loss, bad, message):
    Y = np.full((4, 2), 0.5)
    assert check_targets(loss, Y, 2) is Y
    Y[2, 1] = bad
    with pytest.raises(DataError, match=message):
        check_targets(loss, Y, 2)


@pytest.mark.parametrize(
    "loss",
    ["half_squared_error", "mean_squared_error", "mean_absolute_error", "huber", "poisson", "quantile(0.9)"],
)
def test_other_targets_pass_as_they_are(loss):
    Y = np.array([[0.0, 1e6], [3.0, 0.5]])
    Y.flags.writeable = False
    assert check_targets(loss, Y, 2) is Y


@pytest.mark.parametrize("dtype", ["int64", "int8", "uint8", "float32", "float64"])
def test_class_labels_become_int64(dtype):
    labels = check_targets("categorical_cross_entropy", np.array([2, 0, 1, 2], dtype)[::-1], 3)
    assert labels.dtype == np.int64
    assert labels.flags.c_contiguous
    assert labels.tolist() == [2, 1, 0, 2]


@pytest.mark.parametrize("bad", [3, -1, 1.5, np.nan, np.inf])
def test_a_wrong_class_label_is_named(bad):
    with pytest.raises(DataError, match=rf"Y\[1\] is {float(bad)}, and class labels .* from 0 to 2"):
        check_targets("categorical_cross_entropy", np.array([0.0, bad, bad]), 3)


def test_rows_of_probabilities_in_float32_pass():
    z = np.random.default_rng(0).normal(size=(50, 1000)).astype(np.float32)
    Y = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    assert check_targets("categorical_cross_entropy", Y, 1000) is Y


@pytest.mark.parametrize("shape", [(4,), (4, 3), (4, 2, 1)])
def test_targets_of_another_shape_are_refused(shape):
    with pytest.raises(ShapeError, match=r"must be \(n_samples, 2\)"):
        check_targets("mean_squared_error", np.zeros(shape), 2)
