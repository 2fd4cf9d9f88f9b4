import pytest

from fastbp import activations, reference
from fastbp.activations import TABLE, check_activation
from fastbp.errors import OptionError


def test_codes_are_positions_in_the_table():
    assert [activation.code for activation in TABLE] == list(range(len(TABLE)))
    assert activations.CODES["sigmoid"] == activations.SIGMOID
    assert activations.CODES["softmax"] == activations.SOFTMAX


def test_the_reference_has_every_activation():
    assert {*activations.HIDDEN, "exp"} == set(reference.ACTIVATIONS)
    assert set(activations.OUTPUT) == {*activations.HIDDEN, "softmax", "exp"}


@pytest.mark.parametrize("activation", TABLE, ids=lambda activation: activation.name)
def test_a_derivative_needs_what_the_table_says(activation):
    """The reference's derivative must not change with what the table says it does not need."""
    if activation.output_only:
        return
    f = reference.FLOAT64
    derivative = reference.ACTIVATIONS[activation.name][1]
    for z in (-1.5, 0.7):
        a = reference.ACTIVATIONS[activation.name][0](z, f)
        unneeded = (float("nan"), a) if activation.derivative_of == "a" else (z, float("nan"))
        assert derivative(*unneeded, f) == derivative(z, a, f)


@pytest.mark.parametrize("argument", ["hidden_activation", "output_activation"])
def test_an_activation_is_known_or_wrong(argument):
    names = activations.HIDDEN if argument == "hidden_activation" else activations.OUTPUT
    for name in names:
        assert check_activation(argument, name) == name
    with pytest.raises(OptionError, match=rf"{argument} is 'Sigmoid'.*did you mean 'sigmoid'\?"):
        check_activation(argument, "Sigmoid")
    with pytest.raises(OptionError, match=f"{argument} is 3"):
        check_activation(argument, 3)


@pytest.mark.parametrize("name", ["softmax", "exp"])
def test_softmax_and_exp_are_for_the_output_alone(name):
    with pytest.raises(OptionError, match=f"hidden_activation is '{name}'"):
        check_activation("hidden_activation", name)
