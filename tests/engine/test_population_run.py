"""Populations: each network follows `fastbp.reference`, whatever the others do."""

import os
import sys
import threading
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import fastbp
from fastbp import activations, reference
from fastbp.checks import check_data
from fastbp.engine.population_choice import start_population
from fastbp.engine.population_job import in_threads
from fastbp.engine.population_options import PopulationOptions
from fastbp.engine.population_run import PopulationRun
from fastbp.engine.team import available_cores
from fastbp.errors import DataError, OptionError, ShapeError
from fastbp.schedules import CosineDecay, LinearWarmup
from tests.every_loss import EVERY_LOSS, fitting_outputs
from tests.hostile.configurations import Draw
from tests.kernels.tasks import Task, as_reference, flat, targets


@dataclass(frozen=True)
class Many:
    """Networks that differ in all that may differ."""

    task: Task = Task()  # noqa: RUF009
    n: int = 5
    options: dict[str, Any] = field(default_factory=dict)
    seed: int = 1

    def theta(self) -> np.ndarray:
        network = self.task.network()
        generator = np.random.default_rng(self.seed)
        spread = generator.normal(0, 0.1, (self.n, network.theta.size))
        return (network.theta + spread).astype(network.dtype)

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        return check_data(self.task.network().specification, *self.task.samples())

    def make(self, networks: Any = slice(None), kernel: str = "population", **others: Any) -> Any:
        """Return a run of some of the networks."""
        X, Y = self.data()
        options = {"optimizer": fastbp.SGD(0.1), "batch_size": 4} | self.options | others
        all_options = PopulationOptions(self.n, len(X), **options)
        numbers = np.arange(self.n)[networks]
        specification, chosen = self.task.network().specification, all_options.of(numbers)
        return start_population(specification, self.theta()[numbers], X, Y, chosen, kernel)

    def expected(self, i: int, steps: int) -> np.ndarray:
        """Return theta of network i after some steps of the reference."""
        run, network, (X, Y) = self.make(), self.task.network(), self.task.samples()
        options = run.options
        network.theta[:] = self.theta()[i]
        layers = as_reference(network)
        optimizer = options.optimizer
        rate = optimizer.schedule
        scaled = Scaled(rate, options.learning_rate[i] / rate.base)
        optimizer = with_rate(optimizer, scaled, options.momentum[i])
        weights = options.sample_weight
        if weights is not None:
            weights = (weights if weights.ndim == 1 else weights[i]).tolist()
        drawn = options.shuffle and options.batch_size < len(X)
        state = int(options.seeds[i]) if options.own_order else options.generator_state
        reference.train(
            layers,
            X.tolist(),
            targets(self.task, Y),
            steps=steps,
            batch_size=options.batch_size,
            generator_state=state if drawn else None,
            loss=self.task.loss,
            train_biases=self.task.bias == "trainable",
            sample_weight=weights,
            optimizer=optimizer,
            l2=float(options.l2[i]),
            gradient_clip_norm=options.gradient_clip_norm or None,
        )
        return flat(layers, network)


@dataclass(frozen=True)
class Scaled:
    """A schedule, times a factor."""

    schedule: Any
    factor: float

    def rate(self, step: int) -> float:
        return self.schedule.rate(step) * self.factor


def with_rate(optimizer: Any, rate: Any, momentum: float) -> Any:
    """Return an optimizer whose rate and momentum are not checked: a momentum of 0 may be Nesterov's."""
    copied = replace(optimizer)
    object.__setattr__(copied, "learning_rate", rate.rate(0) if hasattr(copied, "eta_plus") else rate)
    if hasattr(copied, "momentum"):
        object.__setattr__(copied, "momentum", float(momentum))
    return copied


def each(*values: float) -> np.ndarray:
    return np.array(values)


RATES, SEEDS = each(0.1, 0.03, 0.2, 0.01, 0.15), np.arange(3, 8, dtype=np.uint64)
WEIGHTS = np.random.default_rng(4).uniform(0, 2, (5, 11)) * (np.arange(5)[:, None] != np.arange(11) % 5)

XOR = Task((2, 2, 2), "sigmoid", "sigmoid", "half_squared_error")

CASES = {
    "sgd": Many(options={"learning_rate": RATES}),
    "one sample": Many(options={"batch_size": 1, "l2": each(0.0, 0.1, 0.01, 0.2, 0.0)}),
    "full batch": Many(
        options={"batch_size": None, "optimizer": fastbp.RPROP(0.01), "learning_rate": RATES / 9}
    ),
    "own momenta": Many(options={"momentum": each(0.0, 0.9, 0.5, 0.0, 0.3)}),
    "nesterov": Many(
        options={"optimizer": fastbp.SGD(0.1, 0.9, True, 0.01), "momentum": each(0, 0.9, 0.5, 0, 0.3)}
    ),
    "own order": Many(options={"own_order": True, "seeds": SEEDS, "optimizer": fastbp.Adam(0.01)}),
    "own weights": Many(options={"sample_weight": WEIGHTS, "optimizer": fastbp.RMSprop(0.01)}),
    "own order and weights": Many(
        options={"own_order": True, "seeds": SEEDS, "sample_weight": WEIGHTS, "batch_size": 3}
    ),
    "shared weights": Many(options={"sample_weight": WEIGHTS[0], "shuffle": False}),
    "schedule": Many(
        options={
            "optimizer": fastbp.AdamW(LinearWarmup(CosineDecay(0.01, 30), 5)),
            "learning_rate": RATES / 10,
        }
    ),
    "rmsprop with momentum": Many(
        options={"optimizer": fastbp.RMSprop(0.01, momentum=0.5, weight_decay=0.01)}
    ),
    "clipped": Many(options={"gradient_clip_norm": 0.05, "l2": 0.1, "learning_rate": RATES * 3}),
    "classes": Many(
        Task(hidden="relu", output="softmax", loss="categorical_cross_entropy", labels=True, sizes=(3, 6, 4))
    ),
    "classes as probabilities": Many(Task(output="softmax", loss="categorical_cross_entropy", sizes=(3, 4))),
    "two classes": Many(Task(hidden="gelu", output="sigmoid", loss="binary_cross_entropy", sizes=(3, 4, 1))),
    "softmax and squares": Many(Task(hidden="silu", output="softmax")),
    "softmax and counts": Many(Task(hidden="elu", output="softmax", loss="poisson")),
    "counts": Many(Task(hidden="softplus", output="exp", loss="poisson")),
    "no biases": Many(Task(bias="none", hidden="leaky_relu", loss="huber")),
    "2-2-2": Many(XOR, n=5, options={"batch_size": 1, "learning_rate": RATES * 5}),
    "2-2-2, own orders": Many(
        replace(XOR, n_samples=7), n=40, options={"batch_size": 1, "own_order": True, "seeds": np.arange(40)}
    ),
    "2-2-2 in order": Many(
        replace(XOR, bias="fixed"), options={"batch_size": 1, "shuffle": False, "l2": RATES / 10}
    ),
    "2-2-2 without biases": Many(
        replace(XOR, bias="none", n_samples=50),
        options={"batch_size": 1, "optimizer": fastbp.SGD(CosineDecay(0.5, steps=20))},
    ),
    "fixed biases": Many(Task(bias="fixed", output="tanh", loss="half_squared_error")),
}  # fmt: skip

STEPS = 20


def assert_follows_reference(
    many: Many, steps: int = STEPS, tolerance: float = 1e-10, kernel: str = "population"
) -> None:
    run = many.make(kernel=kernel)
    run.advance(steps)
    for i, theta in enumerate(run.theta):
        expected = many.expected(i, steps)
        assert_allclose(theta, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("kernel", ["population", "layered"])
@pytest.mark.parametrize("case", CASES)
def test_each_network_follows_the_reference(case, kernel):
    assert_follows_reference(CASES[case], kernel=kernel)


SIZES_AND_BATCHES = (
    ((3, 10, 3), 16), ((8, 16, 1), 32), ((1, 1, 1), 5), ((2, 7, 2), 2), ((9, 5, 4), 3), ((4, 34, 33, 2), 32),
    ((33, 2, 40), 64), ((11, 13, 8), 8), ((5, 12, 6, 1), 19),
)  # fmt: skip
"""Every register tile, and columns of a tile that are further apart than its rows need."""


@pytest.mark.parametrize("optimizer", [fastbp.SGD(0.05), fastbp.Adam(0.01)], ids=["sgd", "adam"])
def test_networks_of_any_size_do_what_they_do_on_the_layered_kernel(optimizer):
    for number, (sizes, batch) in enumerate(SIZES_AND_BATCHES):
        task = Task(sizes, ("relu", "tanh", "sigmoid")[number % 3], "identity", n_samples=70)
        many = Many(task, n=3, options={"optimizer": optimizer, "batch_size": batch, "l2": 0.01})
        ours, others = many.make(), many.make(kernel="layered")
        for run in (ours, others):
            run.advance(7)
        assert_allclose(ours.theta, others.theta, rtol=1e-9, atol=1e-11)
        assert_allclose(ours.losses(), others.losses(), rtol=1e-9)


@pytest.mark.parametrize("case", ["nesterov", "own order and weights", "clipped", "classes", "2-2-2"])
def test_float32_follows_the_reference(case):
    many = CASES[case]
    assert_follows_reference(replace(many, task=replace(many.task, dtype="float32")), tolerance=1e-4)


@pytest.mark.parametrize(
    "case", ["own order and weights", "classes", "schedule", "own momenta", "2-2-2", "2-2-2, own orders"]
)
def test_a_network_has_the_same_bits_alone_in_any_company_and_on_any_threads(case):
    many = CASES[case]
    alone, all_at_once = [], many.make(threads=3)
    all_at_once.advance(STEPS)
    for i in range(many.n):
        run = many.make([i])
        run.advance(STEPS)
        alone.append(run.theta[0])
    reverse = many.make(slice(None, None, -1), threads=1)
    reverse.advance(STEPS)
    assert np.array(alone).tobytes() == all_at_once.theta.tobytes() == reverse.theta[::-1].tobytes()
    assert reverse.losses()[::-1].tobytes() == all_at_once.losses().tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_small_2_2_2_networks_have_the_same_bits_beside_very_large_ones(dtype):
    """Where all weights of a bundle are small, its sigmoids do without limits."""
    X, Y = check_data(XOR.network().specification, *XOR.samples())
    specification = replace(XOR, dtype=dtype).network().specification
    sizes = np.array([1.0, 3.0, 30.0, 80.0, 400.0, 3000.0])
    theta = np.random.default_rng(3).normal(0, 1, (6, 12)) * sizes[:, None]
    rates = np.array([0.5, 5.0, 0.5, 40.0, 0.5, 0.5])

    def trained(networks: np.ndarray, steps: int, kernel: str = "population") -> np.ndarray:
        all_options = PopulationOptions(
            6, len(X), optimizer=fastbp.SGD(1.0), learning_rate=rates, batch_size=1, generator_state=5
        )
        chosen, options = theta[networks].astype(dtype), all_options.of(networks)
        run = start_population(specification, chosen, X.astype(dtype), Y.astype(dtype), options, kernel)
        run.advance(steps)
        return run.theta

    everyone = np.arange(6)
    together = trained(everyone, 700)
    for number in everyone:
        assert trained(np.array([number]), 700).tobytes() == together[number].tobytes()
    near = 1e-3 if dtype == "float32" else 1e-9
    assert_allclose(trained(everyone, 30), trained(everyone, 30, "layered"), rtol=near, atol=near)


def test_many_networks_have_the_bits_of_few():
    few, many = Many(n=3), Many(n=3)
    few_run = few.make()
    few_run.advance(STEPS)
    many_run = PopulationRun(
        few.task.network().specification,
        np.repeat(few.theta(), 50, axis=0),
        *few.data(),
        PopulationOptions(150, 11, optimizer=fastbp.SGD(0.1), batch_size=4, threads=2),
    )
    many_run.advance(STEPS)
    assert many_run.theta.tobytes() == np.repeat(few_run.theta, 50, axis=0).tobytes()
    assert many.make().theta.tobytes() == few.theta().tobytes()


@pytest.mark.parametrize("kernel", ["population", "layered"])
@pytest.mark.parametrize("case", ["own order", "schedule", "own momenta", "2-2-2", "2-2-2, own orders"])
def test_a_run_that_was_stopped_restored_and_selected_from_has_the_same_bits(case, kernel):
    many = CASES[case]
    whole = many.make(kernel=kernel)
    whole.advance(STEPS)
    first = many.make(threads=1, kernel=kernel)
    first.advance(4)
    first.advance(9)
    second = many.make(kernel=kernel)
    second.restore(first.state())
    second.advance(13)
    chosen = second.select(np.array([4, 1]))
    chosen.advance(STEPS)
    second.advance(STEPS)
    assert second.theta.tobytes() == whole.theta.tobytes()
    assert second.losses().tobytes() == whole.losses().tobytes()
    assert chosen.theta.tobytes() == whole.theta[[4, 1]].tobytes()
    assert chosen.losses().tobytes() == whole.losses()[[4, 1]].tobytes()
    for name, array in second.state().items():
        assert array.tobytes() == whole.state()[name].tobytes() or name in ("steps", "order", "generator")


@pytest.mark.parametrize("kernel", ["population", "layered"])
def test_an_advance_that_is_stopped_goes_on(kernel):
    many = Many(n=40, options={"own_order": True, "seeds": np.arange(40), "batch_size": 1})
    whole, stopped = many.make(kernel=kernel), many.make(kernel=kernel)
    whole.advance(3000)
    calls = 0

    def is_stopped() -> bool:
        nonlocal calls
        calls += 1
        return calls % 3 == 2

    for _ in range(1000):
        stopped.advance(3000, is_stopped)
        if stopped.step == 3000:
            break
    assert stopped.step == 3000
    assert stopped.theta.tobytes() == whole.theta.tobytes()


@pytest.mark.parametrize("kernel", ["population", "layered"])
def test_given_orders_are_those_of_the_samples(kernel):
    many = Many(n=3)
    shuffled = Many(n=3, options={"own_order": True, "seeds": SEEDS[:3]})
    orders = []
    for seed in SEEDS[:3].tolist():
        drawn = reference.sample_order(11, seed)
        orders.append([[next(drawn) for _ in range(11)] for _ in range(8)])
    whole = shuffled.make(kernel=kernel)
    whole.advance(STEPS)
    given = many.make(kernel=kernel, order=lambda epoch: np.array([order[epoch] for order in orders]))
    given.advance(STEPS)
    some = many.make([2, 0], kernel=kernel, order=lambda epoch: np.array([order[epoch] for order in orders]))
    some.advance(7)
    some = some.select([True, False])
    some.advance(STEPS)
    shared = many.make(kernel=kernel, order=lambda epoch: orders[1][epoch])
    shared.advance(5)
    shared.advance(STEPS)
    assert given.theta.tobytes() == whole.theta.tobytes()
    assert some.theta.tobytes() == whole.theta[2:].tobytes()
    assert shared.theta[1].tobytes() == whole.theta[1].tobytes()


def test_a_given_order_may_choose_from_more_rows_with_weights_of_their_own():
    many = Many(n=3, options={"shuffle": False, "sample_weight": WEIGHTS[:3]})
    (X, Y), whole = many.data(), many.make()
    whole.advance(STEPS)
    weights = np.concatenate([WEIGHTS[3:4].repeat(3, axis=0), WEIGHTS[:3]], axis=1)
    weights[:, 11:] *= 5.0 / weights[:, 11:].mean(axis=1, keepdims=True)
    weights[:, :11] *= (22 * 5.0 - 55.0) / 11 / weights[:, :11].mean(axis=1, keepdims=True)
    options = {"optimizer": fastbp.SGD(0.1), "batch_size": 4, "sample_weight": weights, "n_rows": 22}
    options = PopulationOptions(3, 11, order=lambda epoch: np.arange(11, 22), **options)
    specification = many.task.network().specification
    data = np.concatenate([X + 1, X]), np.concatenate([Y, Y])
    run = PopulationRun(specification, many.theta(), *data, options)
    run.advance(STEPS)
    assert_allclose(run.theta, whole.theta, rtol=1e-12)


def test_orders_that_are_none_are_refused():
    with pytest.raises(OptionError, match=r"order\(0\) is .* integers from 0 to 10"):
        Many(n=3).make(order=lambda epoch: np.arange(11) + 1).advance(1)


def test_dropout_is_that_of_train():
    many = Many(n=3, options={"own_order": True, "dropout": each(0.3, 0.0, 0.6), "batch_size": 4})
    states = [int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]) for seed in range(3)]
    run = many.make(seeds=np.array(states, np.uint64))
    run.advance(STEPS)
    for seed, dropout in enumerate((0.3, 0.0, 0.6)):
        network = many.task.network()
        network.theta[:] = many.theta()[seed]
        options = {"optimizer": fastbp.SGD(0.1), "batch_size": 4, "seed": seed, "dropout": dropout}
        fastbp.train(network, *many.task.samples(), steps=STEPS, **options)
        assert_allclose(run.theta[seed], network.theta, rtol=1e-10)


def test_losses_are_those_of_the_last_epoch():
    many = Many(options={"shuffle": False})
    run = many.make()
    run.advance(2)
    assert np.isnan(run.losses()).all()
    run.advance(8)  # two epochs, and two steps
    for i in range(many.n):
        network = many.task.network()
        network.theta[:] = many.theta()[i]
        options = {"optimizer": fastbp.SGD(0.1), "batch_size": 4, "shuffle": False, "kernel": "layered"}
        result = fastbp.train(network, *many.task.samples(), epochs=2, **options)
        assert run.losses()[i] == pytest.approx(result.loss_curve[1], rel=1e-12)
    assert run.steps_per_epoch == 3


@pytest.mark.parametrize("kernel", ["population", "layered"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_evaluation_is_that_of_each_network(dtype, kernel):
    many = Many(Task(dtype=dtype, hidden="relu", output="softmax", loss="categorical_cross_entropy"), n=19)
    run, (X, Y) = many.make(kernel=kernel), many.data()
    weights = np.random.default_rng(3).uniform(0, 2, (19, 11))
    weights /= weights.mean(axis=1, keepdims=True)
    losses, shared = run.evaluate(X, Y, weights), run.evaluate(X, Y, weights[0])
    unweighted, outputs = run.evaluate(X, Y), run.predict(X)
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    for i in range(19):
        network = many.task.network()
        network.theta[:] = many.theta()[i]
        assert losses[i] == pytest.approx(network.loss(X, Y, sample_weight=weights[i]), rel=tolerance)
        assert shared[i] == pytest.approx(network.loss(X, Y, sample_weight=weights[0]), rel=tolerance)
        assert unweighted[i] == pytest.approx(network.loss(X, Y), rel=tolerance)
        assert_allclose(outputs[i], network.predict(X), rtol=tolerance)


@pytest.mark.parametrize("case", ["layers", "2-2-2", "layered"])
def test_divergence_freezes_that_network_alone_before_its_bad_step(case):
    task = Task(output="identity", hidden="identity")
    kernel = "layered" if case == "layered" else "population"
    if case == "2-2-2":  # it cannot diverge but by a penalty that overshoots
        task = XOR
    own = "l2" if case == "2-2-2" else "learning_rate"
    options = {"batch_size": 1 if case == "2-2-2" else 4}
    many = Many(task, n=20, options=options | {own: np.where(np.arange(20) % 7 == 3, 30.0, 0.01)})
    calm = Many(task, n=20, options=options | {own: 0.01})
    run, quiet = many.make(kernel=kernel), calm.make(kernel=kernel)
    run.advance(2000)
    quiet.advance(2000)
    wild = np.arange(20) % 7 == 3
    assert (run.diverged_at >= 0).tolist() == wild.tolist() == (~run.is_active).tolist()
    assert run.theta[~wild].tobytes() == quiet.theta[~wild].tobytes()
    assert run.losses()[~wild].tobytes() == quiet.losses()[~wild].tobytes()
    assert np.isfinite(run.theta).all()
    assert run.n_steps[~wild].tolist() == [2000] * int((~wild).sum())
    for i in np.flatnonzero(wild):
        bad = int(run.diverged_at[i])
        assert run.n_steps[i] == run.frozen_at[i] == bad - 1
        before = many.make([i], kernel=kernel)
        before.advance(bad - 1)
        assert before.is_active.all()
        assert before.theta[0].tobytes() == run.theta[i].tobytes()
        before.advance(bad)
        assert before.diverged_at[0] == bad


@pytest.mark.parametrize("case", ["layers", "2-2-2"])
def test_recorded_losses_are_those_after_these_epochs(case):
    task, batch_size, own = (XOR, 1, "l2") if case == "2-2-2" else (Task(), 4, "learning_rate")
    rates = np.where(np.arange(20) % 7 == 3, 1e300 if own == "learning_rate" else 30.0, 0.01)
    many = Many(task, n=20, options={"batch_size": batch_size, own: rates})
    run, watched = many.make(), many.make()
    length, every, last = run.steps_per_epoch, 3, 200
    expected = []
    for epoch in range(1, last + 1):
        watched.advance(epoch * length)
        if epoch % every == 0 or epoch == last:
            frozen = (watched.frozen_at >= 0) & (watched.frozen_at < epoch * length)
            expected.append((epoch, np.where(frozen, np.nan, watched.losses())))
    assert (watched.diverged_at >= 0).any()
    run.record_losses(every, last)
    found = []
    for stop in (1, 5 * length, 5 * length + 1, 6 * length, 77 * length - 1, last * length):
        run.advance(stop)
        epochs, losses = run.take_losses()
        assert (epochs <= stop // length).all()
        found += zip(epochs.tolist(), losses, strict=True)
    assert [epoch for epoch, _ in found] == [epoch for epoch, _ in expected]
    assert all(a.tobytes() == b.tobytes() for (_, a), (_, b) in zip(found, expected, strict=True))
    assert run.theta.tobytes() == watched.theta.tobytes()
    assert len(run.take_losses()[0]) == 0


@pytest.mark.parametrize("kernel", ["population", "layered"])
def test_frozen_networks_keep_their_parameters_and_losses(kernel):
    many = Many()
    run, whole = many.make(kernel=kernel), many.make(kernel=kernel)
    run.advance(7)
    theta, losses = run.theta, run.losses()
    run.freeze(np.array([1, 3]))
    run.advance(STEPS)
    whole.advance(STEPS)
    assert run.theta[[1, 3]].tobytes() == theta[[1, 3]].tobytes()
    assert run.losses()[[1, 3]].tobytes() == losses[[1, 3]].tobytes()
    assert run.theta[[0, 2, 4]].tobytes() == whole.theta[[0, 2, 4]].tobytes()
    assert run.frozen_at.tolist() == [-1, 7, -1, 7, -1]
    assert run.n_steps.tolist() == [STEPS, 7, STEPS, 7, STEPS]
    assert run.diverged_at.tolist() == [-1] * 5
    run.freeze(np.ones(5, bool))
    run.advance(100)
    assert run.step == 100
    assert run.n_steps.tolist() == [STEPS, 7, STEPS, 7, STEPS]


def test_rates_may_change_between_two_calls():
    many = Many(options={"shuffle": False})
    run, slow = many.make(), many.make()
    run.advance(6)
    run.learning_rates[2] = 0.0
    theta = run.theta
    run.advance(9)
    slow.advance(9)
    assert run.theta[2].tobytes() == theta[2].tobytes()
    assert run.theta[[0, 1, 3, 4]].tobytes() == slow.theta[[0, 1, 3, 4]].tobytes()


def test_what_a_check_raises_comes_out():
    class Enough(Exception):
        pass

    def check():
        raise Enough

    run, (X, Y) = Many(n=64).make(), Many().data()
    with pytest.raises(Enough):
        run.evaluate(np.repeat(X, 10_000, axis=0), np.repeat(Y, 10_000, axis=0), check=check)
    with pytest.raises(Enough):
        run.advance(10**6, check)


def test_wide_networks_go_through_the_layered_kernel():
    X, Y = np.ones((3, 100)), np.ones((3, 2))
    for width, name in ((90, "population"), (110, "layered")):
        network = fastbp.Network([100, width, 2])
        options = PopulationOptions(2, 3, optimizer=fastbp.SGD(0.1))
        theta = np.stack([network.theta, network.theta])
        assert start_population(network.specification, theta, X, Y, options).name == name
    with pytest.raises(OptionError, match="kernel is 'online', and may be 'auto', 'population', 'layered'"):
        start_population(network.specification, theta, X, Y, options, "online")


WRONG = {
    "a rate below 0": ({"learning_rate": each(1, -1, 1, 1, 1)}, OptionError, r"learning_rate\[1\] is -1"),
    "rates of others": ({"learning_rate": each(1, 2)}, ShapeError, r"learning_rate has shape \(2,\)"),
    "a dropout of 1": ({"dropout": each(0, 0, 1, 0, 0)}, OptionError, r"dropout\[2\] is 1"),
    "text": ({"l2": ["a"] * 5}, OptionError, "l2 has dtype"),
    "momentum for Adam": (
        {"momentum": 0.5, "optimizer": fastbp.Adam()},
        OptionError,
        "momentum is given, and Adam has none",
    ),
    "no weights": ({"sample_weight": np.zeros((5, 11))}, DataError, r"sample_weight\[0\] is 0 for every"),
    "a weight below 0": ({"sample_weight": -np.ones((5, 11))}, DataError, r"sample_weight\[0, 0\] is -1"),
    "weights of others": ({"sample_weight": np.ones((4, 11))}, ShapeError, r"sample_weight has shape \(4,"),
    "no optimizer": ({"optimizer": 0.1}, OptionError, "optimizer is 0.1"),
    "seeds of others": ({"seeds": np.zeros(3, np.uint64)}, ShapeError, r"seeds has shape \(3,\)"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_options_are_refused(case):
    options, error, message = WRONG[case]
    with pytest.raises(error, match=message):
        Many().make(**options)


# --- random configurations -------------------------------------------------------------------------------


def draw_population(seed: int) -> Many:
    """Draw networks, data and options."""
    d = Draw(seed)
    loss = d.one_of(*EVERY_LOSS)
    output = d.one_of(*fitting_outputs(loss))
    sizes = [d.integer(1, 9) for _ in range(d.integer(2, 5))]
    sizes[-1] += output == "softmax"
    hidden = tuple(d.one_of(*activations.HIDDEN) for _ in sizes[2:])
    labels = loss == "categorical_cross_entropy" and d.chance(0.5)
    n, n_samples = d.integer(1, 11), d.integer(1, 23)
    task = Task(
        tuple(sizes),
        hidden,
        output,
        loss,
        d.one_of("trainable", "fixed", "none"),
        "float64",
        labels,
        n_samples,
    )

    def some(low: float, high: float) -> Any:
        return np.array([d.size(low, high) for _ in range(n)]) if d.chance(0.5) else d.size(low, high)

    rate = fastbp.schedules.ExponentialDecay(0.02, 0.5, 10.0) if d.chance(0.3) else 0.02
    momentum = d.one_of(0.0, 0.8)
    optimizer = d.one_of(
        fastbp.SGD(rate, momentum, momentum > 0 and d.chance(0.5), d.one_of(0.0, 0.01)),
        fastbp.RMSprop(rate, 0.9, 1e-3, momentum, d.one_of(0.0, 0.01)),
        fastbp.Adam(rate, 0.9, 0.99, 1e-3),
        fastbp.AdamW(rate, 0.9, 0.99, 1e-3),
    )
    options = {"optimizer": optimizer, "batch_size": d.integer(1, n_samples + 2), "shuffle": d.chance(0.7)}
    options |= {"own_order": d.chance(0.5), "seeds": d.generator.integers(0, 2**63, n, np.uint64)}
    options |= {"generator_state": d.integer(0, 2**60), "learning_rate": some(1e-3, 0.05)}
    if d.chance(0.5) and hasattr(optimizer, "momentum"):
        options["momentum"] = np.array([d.one_of(0.0, d.size(0.1, 0.9)) for _ in range(n)])
    if d.chance(0.4):
        options["l2"] = some(1e-4, 0.1)
    if d.chance(0.4):
        shape = (n, n_samples) if d.chance(0.7) else (n_samples,)
        options["sample_weight"] = (
            d.generator.uniform(0.01, 2, shape) * (d.generator.random(shape) > 0.2) + 1e-3
        )
    if d.chance(0.3):
        options["gradient_clip_norm"] = d.size(0.01, 1.0)
    return Many(task, n, options, seed)


@settings(max_examples=500, deadline=None)
@given(st.integers(0, 2**32))
@pytest.mark.soak
def test_random_networks_follow_the_reference(seed):
    assert_follows_reference(draw_population(seed), steps=8)


def test_some_random_networks_follow_the_reference():
    for seed in range(12):
        assert_follows_reference(draw_population(seed), steps=6)


@pytest.mark.skipif(sys.platform != "linux", reason="cores are told apart on Linux")
@pytest.mark.skipif(available_cores() < 2, reason="needs two cores")
def test_the_other_threads_begin_away_from_the_callers_core():
    both, allowed = threading.Barrier(2, timeout=30), {}

    def work(thread: int, piece: int) -> None:
        both.wait()
        allowed[thread] = os.sched_getaffinity(0)

    everywhere = os.sched_getaffinity(0)
    assert in_threads(work, deque(range(2)), 2, lambda: False)
    assert allowed[0] == everywhere == os.sched_getaffinity(0)
    assert allowed[1] < everywhere
    assert len(allowed[1]) == len(everywhere) - 1
