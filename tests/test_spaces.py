import numpy as np
import pytest

import fastbp
from fastbp import OptionError, spaces
from fastbp.spaces import Integers, LogUniform, Space, Uniform, parse

WRONG = [
    ({"hiden": 8}, "the space has 'hiden', and may have .*did you mean 'hidden'"),
    ({"hidden": []}, "hidden of the space is an empty list"),
    ({"hidden": [8, -1]}, "hidden of the space is -1"),
    ({"hidden": [8, (8,)]}, r"hidden of the space has the choice \(8,\) twice"),
    ({"hidden": Integers(1, 8)}, "hidden of the space is Integers.*must be a list of choices"),
    ({"learning_rate": [0.1, float("nan")]}, "learning_rate of the space is nan"),
    ({"momentum": [1.0]}, "momentum of the space is 1.0"),
    ({"momentum": Uniform(0.5, 1.5)}, "momentum of the space is 1.5"),
    ({"l2": Uniform(-1, 0.5)}, "l2 of the space is -1.0"),
    ({"dropout": "0.5"}, "dropout of the space is '0.5'"),
    ({"batch_size": Uniform(1, 8)}, "batch_size of the space is Uniform.*must be Integers"),
    ({"batch_size": 0}, "batch_size of the space is 0"),
    ({"batch_size": Integers(1, 10_000)}, "batch_size of the space has 10,000 values"),
    ({"seed": -1}, "seed of the space is -1"),
    ({"activation": [1]}, "activation of the space has 1"),
    ({"optimizer": None}, "optimizer of the space has None"),
    ([("hidden", 8)], "space is .* and must be a dictionary"),
]


@pytest.mark.parametrize(("values", "message"), WRONG, ids=str)
def test_a_space_that_cannot_be_is_refused(values, message):
    with pytest.raises(OptionError, match=message):
        Space(values)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Uniform(1, 1),
        lambda: LogUniform(0, 1),
        lambda: LogUniform(2, 1),
        lambda: Integers(3, 2),
        lambda: Integers(0, 5, log=True),
        lambda: Uniform(0, float("inf")),
        lambda: Integers(0.5, 2),
    ],
)
def test_a_distribution_that_cannot_be_is_refused(make):
    with pytest.raises(OptionError, match=r"low|high"):
        make()


@pytest.mark.parametrize(
    "one",
    [Uniform(-1, 2), LogUniform(1e-300, 1e300), Integers(3, 5), Integers(1, 10**9, log=True), Integers(7, 7)],
)
def test_values_stay_within_bounds_at_both_ends(one):
    values = one.at(np.array([0.0, np.nextafter(1.0, 0.0)]))
    assert values.min() >= one.low
    assert values.max() <= one.high
    if isinstance(one, Integers):
        assert values.tolist() == [one.low, one.high]


def test_a_sequence_is_choices_and_a_tuple_of_sizes_is_one_network():
    space = Space(
        {"hidden": (16, 8), "activation": ("relu", "tanh"), "batch_size": np.array([8, 16]), "l2": 0}
    )
    assert space.choices == {
        "hidden": ((16, 8),),
        "activation": ("relu", "tanh"),
        "batch_size": (8, 16),
        "l2": (0.0,),
    }
    assert [space.structure(i)["batch_size"] for i in range(space.n_structures)] == [8, 16, 8, 16]


def test_the_usual_space_is_one():
    assert Space(spaces.USUAL).n_structures == 10
    assert fastbp.spaces is spaces


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("learning_rate", "1e-4..x"),
        ("learning_rate", "fast"),
        ("batch_size", "1..2:exp"),
        ("hidden", "8,x"),
        ("seed", "0.5"),
    ],
)
def test_a_text_that_is_no_space_is_refused(name, text):
    with pytest.raises(OptionError, match=name):
        parse(name, text)
