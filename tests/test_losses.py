import numpy as np
import pytest

from fastbp import activations, losses, reference
from fastbp.errors import DataError, OptionError, ShapeError
from fastbp.losses import TABLE, check_loss, check_output, check_targets


def test_codes_are_positions_in_the_table():
    assert [loss.code for loss in TABLE] == list(range(len(TABLE)))
    assert losses.CODES["poisson"] == losses.POISSON


def test_the_reference_has_every_loss():
    assert set(losses.NAMES) == {*reference.LOSSES, *reference.FUSED}


def test_a_loss_is_known_or_wrong():
    for name in losses.NAMES:
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
    "loss", ["half_squared_error", "mean_squared_error", "mean_absolute_error", "huber", "poisson"]
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
