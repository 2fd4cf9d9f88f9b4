"""The shared cases are what they say they are."""

import numpy as np
import pytest

from fastbp import worked_example
from fastbp.benchmark.cases import CASES, SPEED_CASES, WORKED_EXAMPLE
from fastbp.checks import check_data


def test_every_combination_is_there_once():
    names = [str(case) for case in CASES]
    assert len(set(names)) == len(names) == 5 * 2 * 3 * 2
    assert {len(case.X) for case in CASES} == {1, 2, 4, 7, 100}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_data_and_start_fit_the_network(case):
    network = case.network()
    X, Y = check_data(network.specification, case.X, case.Y)
    assert X is case.X  # of the network's dtype already
    assert Y is case.Y
    assert ((Y > 0) & (Y < 1)).all()
    assert network.theta.tolist() == case.theta.tolist()
    assert network.theta is not case.theta


@pytest.mark.parametrize("case", CASES, ids=str)
def test_reference_takes_the_steps_that_the_gradient_says(case):
    network = case.network()
    gradient = network.gradient(case.X[:1], case.Y[:1])
    if case.bias == "fixed":
        gradient[[4, 5, 10, 11]] = 0
    moved = case.reference_theta(1) - case.theta
    output = slice(len(moved) // 2, None)  # the output layer takes the same step with either update
    rtol, atol = (1e-9, 1e-15) if case.dtype == "float64" else (1e-2, 1e-7)
    np.testing.assert_allclose(moved[output], -case.learning_rate * gradient[output], rtol, atol)
    hidden_agrees = np.allclose(moved, -case.learning_rate * gradient, rtol, atol)
    assert hidden_agrees == (case.update == "simultaneous")


def test_the_worked_example_is_the_worked_example():
    assert WORKED_EXAMPLE in SPEED_CASES
    theta = WORKED_EXAMPLE.reference_theta(1)
    figures = {figure.quantity: figure.computed for figure in worked_example.FIGURES if figure.rounds == 1}
    trained = WORKED_EXAMPLE.network()
    trained.theta[:] = theta
    for name, weight in worked_example.named_weights(trained).items():
        assert weight == pytest.approx(figures[name], rel=1e-12)
