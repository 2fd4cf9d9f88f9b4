import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastbp import schedules
from fastbp.errors import OptionError
from fastbp.schedules import (
    BLOCK,
    Adaptive,
    Constant,
    CosineDecay,
    ExponentialDecay,
    InverseScaling,
    LinearWarmup,
    StepDecay,
)
from tests.conftest import described
from tests.data import torch_data

BY_STEP = [
    (Constant(0.3), lambda k: 0.3),
    (InverseScaling(0.3, power=0.7), lambda k: 0.3 / (1 + k) ** 0.7),
    (InverseScaling(0.3, decay_steps=2.5, every=4), lambda k: 0.3 / (1 + k // 4 * 4 / 2.5) ** 0.5),
    (StepDecay(0.3, every=7, factor=0.5), lambda k: 0.3 * 0.5 ** (k // 7)),
    (ExponentialDecay(0.3, factor=0.9, decay_steps=4), lambda k: 0.3 * 0.9 ** (k / 4)),
    (
        CosineDecay(0.3, steps=1500, final=0.1),
        lambda k: 0.1 + 0.2 * (1 + math.cos(math.pi * min(k / 1500, 1))) / 2,
    ),
    (LinearWarmup(0.3, steps=9), lambda k: 0.3 * min((k + 1) / 10, 1)),
    (
        LinearWarmup(StepDecay(0.3, every=7, factor=0.5), steps=9),
        lambda k: 0.3 * (k + 1) / 10 if k < 9 else 0.3 * 0.5 ** ((k - 9) // 7),
    ),
]


@pytest.mark.parametrize(("schedule", "formula"), BY_STEP, ids=described)
def test_rates_follow_the_equation(schedule, formula):
    rates = schedule.rates(0, 2 * BLOCK + 7)
    assert rates.dtype == np.float64
    np.testing.assert_allclose(rates, [formula(k) for k in range(len(rates))], rtol=1e-12)


@settings(max_examples=30, deadline=None)
@given(
    schedule=st.sampled_from([schedule for schedule, _ in BY_STEP]),
    first=st.integers(0, 3 * BLOCK),
    count=st.integers(0, 2 * BLOCK),
)
def test_a_rate_has_the_same_bits_in_whatever_range(schedule, first, count):
    whole = schedule.rates(0, first + count)
    assert schedule.rates(first, count).tobytes() == whole[first:].tobytes()
    assert schedule.rate(first) == schedule.rates(0, first + 1)[-1]


@pytest.mark.parametrize("stored", torch_data()["schedules"], ids=lambda stored: stored["schedule"])
def test_rates_are_those_of_pytorch(stored):
    schedule = getattr(schedules, stored["schedule"])(**stored["options"])
    np.testing.assert_allclose(schedule.rates(0, len(stored["rates"])), stored["rates"], rtol=1e-12)


def test_inverse_scaling_can_be_that_of_scikit_learn():
    """After each epoch, with t samples seen so far, it sets the rate to initial / (t + 1)^power_t."""
    n_samples, n_steps = 70, 3
    schedule = InverseScaling(0.1, power=0.5, every=n_steps, decay_steps=n_steps / n_samples)
    expected = [0.1 / (epoch * n_samples + 1) ** 0.5 for epoch in range(5) for _ in range(n_steps)]
    np.testing.assert_allclose(schedule.rates(0, 15), expected, rtol=1e-14)


def scikit_learn_adaptive(losses, rate, tol, n_iter_no_change):
    """Return the rates after each epoch: MLPClassifier._update_no_improvement_count and SGDOptimizer."""
    best, count, rates = math.inf, 0, []
    for loss in losses:
        if loss > best - tol:
            count += 1
        else:
            count = 0
        best = min(best, loss)
        if count > n_iter_no_change:
            if rate <= 1e-6:
                return rates
            rate /= 5.0
            count = 0
        rates.append(rate)
    return rates


@settings(max_examples=50, deadline=None)
@given(
    losses=st.lists(st.floats(0.0, 1.0).map(lambda v: round(v, 2)), max_size=150),
    patience=st.integers(1, 4),
)
def test_adaptive_divides_when_scikit_learn_does(losses, patience):
    schedule = Adaptive(0.01, patience=patience, tolerance=0.05)
    state, rates = schedule.start(), []
    for loss in losses:
        state = schedule.after_epoch(state, loss)
        if state.exhausted:
            break
        rates.append(state.rate)
    assert rates == scikit_learn_adaptive(losses, 0.01, 0.05, patience)


def test_adaptive_is_exhausted_at_its_minimum():
    schedule = Adaptive(1.0, factor=10.0, patience=1, minimum=0.05)
    state = schedule.start()
    rates = []
    while not state.exhausted:
        rates.append(state.rate)
        state = schedule.after_epoch(state, 1.0)
    assert rates == pytest.approx([1.0, 1.0, 1.0, 0.1, 0.1, 0.01, 0.01])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Constant(-0.1), "initial is -0.1, and must be a finite number of at least 0"),
        (lambda: Constant(math.nan), "initial is nan"),
        (lambda: InverseScaling("0.1"), "initial is '0.1'"),
        (lambda: InverseScaling(0.1, power=-1), "power is -1"),
        (lambda: InverseScaling(0.1, decay_steps=0), "decay_steps is 0, .* above 0"),
        (lambda: InverseScaling(0.1, every=0), "every is 0, .* integer of at least 1"),
        (lambda: StepDecay(0.1, every=2.5), "every is 2.5"),
        (lambda: StepDecay(0.1, every=True), "every is True"),
        (lambda: StepDecay(0.1, every=2, factor=1.5), "factor is 1.5, .* above 0 and at most 1"),
        (lambda: ExponentialDecay(0.1, factor=0), "factor is 0"),
        (lambda: CosineDecay(0.1, steps=0), "steps is 0"),
        (lambda: CosineDecay(0.1, steps=10, final=math.inf), "final is inf"),
        (lambda: LinearWarmup(-1.0, steps=3), "schedule is -1.0, .* or a schedule by step"),
        (lambda: LinearWarmup(Adaptive(0.1), steps=3), r"schedule is Adaptive\(.* or a schedule by step"),
        (lambda: LinearWarmup(0.1, steps=0), "steps is 0"),
        (lambda: Adaptive(0.1, factor=1.0), "factor is 1.0, .* above 1"),
        (lambda: Adaptive(0.1, patience=0), "patience is 0"),
        (lambda: Adaptive(0.1, tolerance=-1e-4), "tolerance is -0.0001"),
        (lambda: Adaptive(True), "initial is True"),
    ],
)
def test_a_wrong_argument_is_named(make, message):
    with pytest.raises(OptionError, match=message):
        make()
