"""Every update rule on registers, each lane with hyper-parameters and a learning rate of its own."""

import inspect

import numpy as np
import pytest
from numba import njit
from numpy.testing import assert_allclose

import fastbp
from fastbp import optimizers, reference
from fastbp.kernels.tuples import elements, store_each, wide_load_each
from fastbp.kernels.update import constants_of
from fastbp.kernels.update_rules import CODES, RULES, Rule
from fastbp.optimizers import Optimizer
from fastbp.simd import address, store, wide, wide_load

LANES = 8
"""Enough for the widest vector; narrower ones follow each other."""

STEPS = 12

VALUES = {
    "learning_rate": np.geomspace(0.001, 0.2, LANES),
    "momentum": np.linspace(0.2, 0.9, LANES),
    "weight_decay": np.linspace(0.0, 0.7, LANES),
    "nesterov": np.arange(LANES) % 2 == 1,
    "alpha": np.linspace(0.95, 0.1, LANES),
    "beta1": np.linspace(0.9, 0.0, LANES),
    "beta2": np.linspace(0.5, 0.999, LANES),
    "epsilon": np.geomspace(1e-10, 0.1, LANES),
    "eta_minus": np.linspace(0.1, 0.9, LANES),
    "eta_plus": np.linspace(1.05, 2.0, LANES),
    "smallest_step": np.geomspace(1e-6, 0.01, LANES),
    "largest_step": np.linspace(0.05, 0.5, LANES),
}
"""A value for each lane."""


def optimizer_of(rule: Rule, lane: int) -> Optimizer:
    """Return an optimizer that follows a rule, with the lane's hyper-parameters."""
    kind = rule.optimizer
    names = kind.hyperparameter_names()
    options = {key: values[lane].item() for key, values in VALUES.items() if key in names}
    if "momentum" in names and rule.name in ("sgd", "rmsprop"):
        options["momentum"] = 0.0
    if kind is fastbp.SGD:
        options["nesterov"] = rule.name == "sgd_nesterov"
    optimizer = kind(float(VALUES["learning_rate"][lane]), **options)
    assert optimizer.rule == rule.name
    return optimizer


def constants_by(rule: Rule):
    """Return a function that writes the constants of a step for every lane, from float64 hyper-parameters."""
    write = constants_of(rule)

    @njit
    def constants(hyper, rates, step, out):
        for lane in range(len(rates)):
            write(address(hyper[lane]), rates[lane], step, address(out[lane]))

    return constants


def on_vectors(rule: Rule):
    """Return a function that takes a step with all lanes; constants[i, lane] is the lane's i-th constant."""
    Constants, update = rule.Constants, rule.update
    n_constants, n_states = len(Constants._fields), rule.n_states

    @njit(error_model="numpy")
    def step(w, g, state, constants):
        w_at, g_at, state_at, constants_at = address(w), address(g), address(state), address(constants)
        for lane in range(0, w.size, wide(w_at)):
            c = Constants(*wide_load_each(constants_at, lane, w.size, n_constants))
            states = wide_load_each(state_at, lane, w.size, n_states)
            after = update(wide_load(w_at, lane), wide_load(g_at, lane), *states, c)
            store(w_at, lane, after[0])
            store_each(state_at, lane, w.size, after[1:])

    return step


def on_numbers(rule: Rule):
    """Return a function that takes the same step with one lane after the other, as numbers."""
    Constants, update = rule.Constants, rule.update
    n_constants, n_states = len(Constants._fields), rule.n_states

    @njit(error_model="numpy")
    def step(w, g, state, constants):
        for lane in range(w.size):
            c = Constants(*elements(address(constants[:, lane].copy()), n_constants))
            states = elements(address(state[:, lane].copy()), n_states)
            after = update(w[lane], g[lane], *states, c)
            w[lane] = after[0]
            for i in range(n_states):
                state[i, lane] = after[1 + i]

    return step


@pytest.mark.parametrize("form", [on_vectors, on_numbers])
@pytest.mark.parametrize("rule", RULES, ids=[rule.name for rule in RULES])
def test_each_lane_follows_the_reference_with_its_own_hyperparameters_and_rate(rule, form):
    generator = np.random.default_rng(5)
    lanes = [optimizer_of(rule, lane) for lane in range(LANES)]
    hyper, rates = np.array([one.hyperparameters() for one in lanes]), VALUES["learning_rate"]
    constants = np.zeros((LANES, len(rule.Constants._fields)))
    w = generator.normal(size=LANES)
    state = np.concatenate([one.initial_state(1, np.float64) for one in lanes], axis=1)
    expected, memories = w.tolist(), [[] for _ in lanes]
    compute_constants, take_step = constants_by(rule), form(rule)
    for step in range(1, STEPS + 1):
        g = generator.normal(size=LANES)
        for lane, (optimizer, memory) in enumerate(zip(lanes, memories, strict=True)):
            options = {key: getattr(optimizer, key) for key in optimizer.hyperparameter_names()}
            update, rate = reference.RULES[type(optimizer).__name__], optimizer.learning_rate
            theta, gradient = expected[lane], float(g[lane])
            expected[lane] = update(theta, gradient, rate, step, memory, reference.FLOAT64, **options)
        compute_constants(hyper, rates, step, constants)
        take_step(w, g, state, constants.T.copy())
        assert_allclose(w, expected, rtol=1e-12, atol=1e-14)


def test_every_optimizer_has_a_rule_that_takes_its_state():
    kinds = [kind for kind in vars(optimizers).values() if isinstance(kind, type) and kind is not Optimizer]
    kinds = [kind for kind in kinds if issubclass(kind, Optimizer)]
    assert set(kinds) == {rule.optimizer for rule in RULES}
    engine_only = {optimizers.VelocitySGD, optimizers.UnscaledAdam}
    assert {kind for kind in kinds if not hasattr(fastbp, kind.__name__)} == engine_only
    for optimizer in (*(kind() for kind in kinds), *(optimizer_of(rule, 0) for rule in RULES)):
        rule = RULES[CODES[optimizer.rule]]
        assert rule.optimizer is type(optimizer)
        assert tuple(inspect.signature(rule.update).parameters) == ("w", "g", *optimizer.state, "c")
