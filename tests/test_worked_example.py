"""Every figure of the worked example, through the public API."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import fastbp
from fastbp import reference, worked_example
from fastbp.worked_example import FIGURES, LEARNING_RATE, ROUNDS, UPDATES, X, Y, one_round, rounds_to

x, t = X[0].tolist(), Y[0].tolist()

FINAL_LOSS = {"simultaneous": 3.510187783e-05, "sequential": 3.508478630e-05}


def trained(rounds: int, update: str, math: str) -> dict[str, float]:
    network = worked_example.network()
    if rounds:
        optimizer = fastbp.SGD(learning_rate=LEARNING_RATE)
        fastbp.train(network, X, Y, epochs=rounds, optimizer=optimizer, update=update, math=math)
    return worked_example.quantities(network) | worked_example.named_weights(network)


@pytest.mark.parametrize("math", ["fast", "exact"])
@pytest.mark.parametrize("update", UPDATES)
def test_loss_after_10_000_rounds_to_nine_digits(update, math):
    network = worked_example.network()
    result = fastbp.train(
        network, X, Y, epochs=10_000, optimizer=fastbp.SGD(LEARNING_RATE), update=update, math=math
    )
    assert f"{result.loss:.9e}" == f"{FINAL_LOSS[update]:.9e}"
    assert f"{network.loss(X, Y):.9e}" == f"{FINAL_LOSS[update]:.9e}"


@pytest.mark.parametrize("math", ["fast", "exact"])
@pytest.mark.parametrize("figure", FIGURES, ids=lambda f: f"{f.quantity} after {f.rounds}")
def test_published_figure_comes_out(figure, math):
    updates = UPDATES if figure.update == "either" else (figure.update,)
    for update in updates:
        value = trained(figure.rounds, update, math)[figure.quantity]
        assert value == pytest.approx(figure.computed, rel=1e-9)
        wanted = None if figure.published is None else "misprint" if figure.corrected else "yes"
        assert figure.match(value) == wanted


def test_figures_that_need_one_update_do_not_come_from_the_other():
    for figure in FIGURES:
        if figure.update != "either" and figure.published:
            other = UPDATES[UPDATES.index(figure.update) - 1]
            assert figure.match(trained(figure.rounds, other, "exact")[figure.quantity]) == "no"


def test_three_published_figures_are_misprints():
    misprints = [(figure.rounds, figure.quantity) for figure in FIGURES if figure.corrected]
    assert misprints == [(1, "w6"), (10_000, "E"), (10_000, "y1")]


@pytest.mark.parametrize("update", UPDATES)
def test_one_round_in_full_agrees_with_the_reference(update):
    lines = {line.name: line.value for line in worked_example.one_round(update)}
    network = worked_example.reference_network()
    x, t = X[0].tolist(), Y[0].tolist()
    _, h, y = reference.forward(network, x)
    assert [lines["h1"], lines["h2"], lines["y1"], lines["y2"]] == pytest.approx([*h, *y], rel=1e-15)
    assert lines["E"] == pytest.approx(reference.half_squared_error(y, t), rel=1e-15)
    assert [lines["delta_y1"], lines["delta_y2"]] == pytest.approx(reference.output_delta(y, t), rel=1e-14)
    reference.step(network, x, t, LEARNING_RATE, update=update, train_biases=False)
    (w1, w3), (w2, w4) = network[0].W
    (w5, w7), (w6, w8) = network[1].W
    new = [lines[f"new_w{i}"] for i in range(1, 9)]
    assert new == pytest.approx([w1, w2, w3, w4, w5, w6, w7, w8], rel=1e-14)
    assert lines["new_E"] == pytest.approx(reference.loss(network, [x], [t]), rel=1e-14)


def train_reference(update: str, rounds: int) -> reference.Network:
    layers = worked_example.reference_network()
    reference.train(
        layers, [x], [t], steps=rounds, learning_rate=LEARNING_RATE, update=update, train_biases=False
    )
    return layers


def as_network(layers: reference.Network) -> fastbp.Network:
    network = worked_example.network()
    for W, layer in zip(network.weights, layers, strict=True):
        W[:] = layer.W
    return network


@pytest.fixture(scope="module")
def by_reference() -> dict[tuple[int, str], dict[str, float]]:
    """Every quantity after 0, 1 and 10,000 rounds, as the pure Python reference has it."""
    return {
        (rounds, update): worked_example.quantities(as_network(train_reference(update, rounds)))
        for rounds in (0, 1, ROUNDS)
        for update in UPDATES
    }


def given_by(figure: worked_example.Figure) -> tuple[str, ...]:
    return UPDATES if figure.update == "either" else (figure.update,)


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)
def test_computed_figure_is_what_the_reference_computes(figure, by_reference):
    for update in given_by(figure):
        assert_allclose(by_reference[figure.rounds, update][figure.quantity], figure.computed, rtol=1e-12)


def test_corrections_are_as_small_as_the_notes_say():
    w6, E, y1 = (figure for figure in FIGURES if figure.corrected)
    assert w6.corrected == "0." + w6.published
    assert E.corrected == E.published.replace("351085", "35085")
    assert y1.corrected + "0" == "0.0" + y1.published.removeprefix("0.")


def test_what_the_notes_say_besides_is_so():
    error = reference.loss(train_reference("simultaneous", 9_999), [x], [t])
    assert f"{error:.8e}" == "3.51085481e-05"
    assert rounds_to(error, "0.0000351085")
    error_of_y1 = 0.5 * (0.159121960 - t[0]) ** 2
    assert f"{error_of_y1:.3f}" == "0.011"
    assert error_of_y1 / 0.0000351085 == pytest.approx(300, rel=0.1)


@given(st.floats(-1e6, 1e6), st.integers(1, 12))
def test_digits_match_when_they_are_the_rounded_value_and_only_then(value, decimals):
    digits = f"{value:.{decimals}f}"
    assert rounds_to(value, digits)
    unit = Decimal(1).scaleb(-decimals)
    assert not rounds_to(value, str(Decimal(digits) + unit))
    assert not rounds_to(value, str(Decimal(digits) - unit))


def test_network_is_the_reference_network():
    net = worked_example.network()
    outputs = reference.forward(worked_example.reference_network(), x)[-1]
    assert net.predict(X)[0].tolist() == pytest.approx(outputs, rel=1e-15)
    assert list(worked_example.named_weights(net).values()) == list(worked_example.WEIGHTS)
    assert net.bias == "fixed"


def test_constants_cannot_be_changed_by_a_caller():
    net = worked_example.network()
    net.theta[:] = 0
    worked_example.reference_network()[0].W[0][0] = 9.0
    for array in (X, Y):
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0
    assert worked_example.quantities(worked_example.network())["w1"] == 0.15
    assert worked_example.reference_network()[0].W[0][0] == 0.15


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("learning_rate", [0.5, 3.0])
def test_round_in_full_is_the_reference_step(update, learning_rate):
    value = {line.name: line.value for line in one_round(update, learning_rate)}
    layers = worked_example.reference_network()
    _, h, y = reference.forward(layers, x)
    before = layers.copy()
    reference.step(layers, x, t, learning_rate, update=update, train_biases=False)
    _, new_h, new_y = reference.forward(layers, x)
    delta_y = reference.output_delta(y, t)
    # The error comes back through the output layer of before or of after: that is the whole difference.
    through = (before if update == "simultaneous" else layers)[1]
    delta_h = reference.layer_backward(h, through, delta_y)
    dW1, dW2 = (reference.layer_gradient(*pair).W for pair in ((x, delta_h), (h, delta_y)))
    new_W1, new_W2 = (layer.W for layer in layers)
    expected = {
        "h1 h2": h,
        "y1 y2": y,
        "E": [reference.half_squared_error(y, t)],
        "delta_y1 delta_y2": delta_y,
        "delta_h1 delta_h2": delta_h,
        "dE_dw1 dE_dw3 dE_dw2 dE_dw4": np.ravel(dW1),
        "dE_dw5 dE_dw7 dE_dw6 dE_dw8": np.ravel(dW2),
        "new_w1 new_w3 new_w2 new_w4": np.ravel(new_W1),
        "new_w5 new_w7 new_w6 new_w8": np.ravel(new_W2),
        "new_h1 new_h2": new_h,
        "new_y1 new_y2": new_y,
        "new_E": [reference.half_squared_error(new_y, t)],
    }
    for names, numbers in expected.items():
        assert_allclose([value[name] for name in names.split()], numbers, rtol=1e-13, err_msg=names)


def test_updates_differ_in_the_two_formulas_that_pass_the_error_back():
    pairs = zip(one_round("simultaneous"), one_round("sequential"), strict=True)
    assert [a.name for a, b in pairs if a.formula != b.formula] == ["dE_dh1", "dE_dh2"]


def test_slopes_of_round_one_are_the_gradient():
    value = {line.name: line.value for line in one_round("simultaneous")}
    gradient = worked_example.network()
    gradient.theta[:] = gradient.gradient(X, Y)
    for name, slope in worked_example.named_weights(gradient).items():
        assert value[f"dE_d{name}"] == pytest.approx(slope, rel=1e-13)


def test_unknown_update_is_an_error():
    with pytest.raises(fastbp.OptionError, match="did you mean 'sequential'"):
        one_round("sequentil")
