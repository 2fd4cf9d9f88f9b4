"""A network of a population trains as `fastbp.train` trains it, and has the same bits in any population."""

import inspect
import re
from dataclasses import fields

import numpy as np
import pytest
from numpy.testing import assert_allclose

import fastbp
from fastbp import (
    RPROP,
    SGD,
    Adam,
    AdamW,
    DataError,
    EarlyStopping,
    OptionError,
    Population,
    RMSprop,
    ShapeError,
    schedules,
    train_population,
)
from fastbp.populations.settings import PopulationSettings
from fastbp.training.monitoring import MonitoringOptions

GENERATOR = np.random.default_rng(0)
X, Y = GENERATOR.uniform(-1, 1, (11, 3)), GENERATOR.uniform(0.1, 0.9, (11, 2))
VALIDATION = GENERATOR.uniform(-1, 1, (6, 3)), GENERATOR.uniform(0.1, 0.9, (6, 2))
N = 5


def make(n=N, **options):
    return Population([3, 4, 2], n, **({"hidden_activation": "tanh", "seed": 1} | options))


def trained(population, **options):
    options = {"epochs": 4, "batch_size": 3, "seed": 2, "optimizer": SGD(0.3)} | options
    return population, train_population(population, X, Y, **options)


def apart(population, i, **options):
    """Train network i as `fastbp.train` does."""
    network = population[i]
    options = {"epochs": 4, "batch_size": 3, "seed": 2, "optimizer": SGD(0.3)} | options
    return network, fastbp.train(network, X, Y, **options)


ALIKE = {
    "plain": {},
    "in order": {"shuffle": False},
    "full batch": {"batch_size": None},
    "steps, not epochs": {"epochs": None, "steps": 9},
    "chunks of 1, 16 and 3 steps": {
        "epochs": None,
        "steps": 20,
        "optimizer": SGD(schedules.ExponentialDecay(0.5, 0.9)),
    },
    "momentum": {"optimizer": SGD(0.1, momentum=0.9, weight_decay=0.01)},
    "Nesterov": {"optimizer": SGD(0.1, momentum=0.9, nesterov=True)},
    "RMSprop": {"optimizer": RMSprop(0.01, momentum=0.5)},
    "Adam": {"optimizer": Adam(0.01), "l2": 0.1},
    "AdamW": {"optimizer": AdamW(schedules.LinearWarmup(schedules.CosineDecay(0.1, steps=10), steps=3))},
    "RPROP": {"optimizer": RPROP(), "batch_size": None},
    "adaptive": {
        "optimizer": SGD(schedules.Adaptive(0.9, factor=2, patience=1, tolerance=0.1, minimum=1e-9)),
        "epochs": 12,
    },
    "weights": {"sample_weight": np.arange(11.0)},
}
"""Options that mean the same for `fastbp.train` and for `train_population`."""


@pytest.mark.parametrize("kernel", ["population", "layered"])
@pytest.mark.parametrize("name", ALIKE)
def test_a_network_trains_as_it_does_alone_to_rounding(name, kernel):
    population, result = trained(make(), **ALIKE[name], kernel=kernel)
    assert (population.scores == result.loss).all()
    for i in range(N):
        network, alone = apart(make(), i, **ALIKE[name])
        assert_allclose(population.theta[i], network.theta, rtol=1e-10, atol=1e-13)
        assert_allclose(result.loss[i], network.loss(X, Y, sample_weight=ALIKE[name].get("sample_weight")))
        assert (result.n_steps[i], result.stop_reason[i]) == (alone.n_steps, alone.stop_reason)
        known = np.isin(alone.loss_steps, result.loss_steps)
        assert_allclose(result.loss_curve[:, i], alone.loss_curve[known], rtol=1e-9)


@pytest.mark.parametrize("kernel", ["population", "layered"])
def test_rprop_draws_the_first_steps_of_each_network_from_its_seed(kernel):
    options = {"optimizer": RPROP(("uniform", 0.01, 0.3)), "batch_size": None}
    seeds = [7, 2**70, 0, 7, 3]
    population, _ = trained(make(), seed=iter(seeds), kernel=kernel, **options)
    for i, seed in enumerate(seeds):
        network, _ = apart(make(), i, seed=seed, **options)
        assert_allclose(population.theta[i], network.theta, rtol=1e-10, atol=1e-13)


def test_float32_agrees_to_rounding():
    population, _ = trained(make(dtype="float32"), optimizer=Adam(0.01))
    for i in range(N):
        network, _ = apart(make(dtype="float32"), i, optimizer=Adam(0.01))
        assert_allclose(population.theta[i], network.theta, rtol=1e-4, atol=1e-5)


OWN = {
    "learning_rate": (
        "optimizer",
        [SGD(rate) for rate in (0.0, 0.1, 0.5, 1.0, 2.0)],
        [0.0, 0.1, 0.5, 1.0, 2.0],
    ),
    "momentum": (
        "optimizer",
        [SGD(0.3, momentum=m) for m in (0.0, 0.1, 0.5, 0.9, 0.99)],
        [0, 0.1, 0.5, 0.9, 0.99],
    ),
    "l2": ("l2", [0.0, 0.1, 0.2, 0.3, 10.0], [0.0, 0.1, 0.2, 0.3, 10.0]),
    "sample_weight": ("sample_weight", np.eye(N, 11) + 0.5, np.eye(N, 11) + 0.5),
}


@pytest.mark.parametrize("name", OWN)
def test_each_network_has_its_own_numbers(name):
    alone, values, own = OWN[name]
    population, _ = trained(make(), **{name: own})
    for i in range(N):
        network, _ = apart(make(), i, **{alone: values[i]})
        assert_allclose(population.theta[i], network.theta, rtol=1e-10, atol=1e-13)


def test_a_rate_of_ones_own_scales_the_schedule():
    schedule = schedules.LinearWarmup(schedules.CosineDecay(0.2, steps=10), steps=3)
    population, _ = trained(make(2), optimizer=SGD(schedule), learning_rate=[0.4, 0.2])
    for i, rate in enumerate((0.4, 0.2)):
        scaled = schedules.LinearWarmup(schedules.CosineDecay(rate, steps=10), steps=3)
        network, _ = apart(make(2), i, optimizer=SGD(scaled))
        assert_allclose(population.theta[i], network.theta, rtol=1e-10, atol=1e-13)


def test_a_network_with_a_seed_of_its_own_draws_as_fastbp_train_does_with_that_seed():
    seeds = [5, 6, 5, 2**65, 8]
    population, _ = trained(make(), seed=seeds, own_order=True, dropout=0.3)
    for i, seed in enumerate(seeds):
        network, _ = apart(make(), i, seed=seed, dropout=0.3)
        assert_allclose(population.theta[i], network.theta, rtol=1e-10, atol=1e-13)


def test_seeds_need_no_own_order_where_a_step_takes_all_samples():
    seeds = {"seed": [1, 2, 3, 4, 5], "batch_size": None}
    assert trained(make(), **seeds)[0].theta.tobytes() == trained(make(), batch_size=None)[0].theta.tobytes()


def test_a_network_that_is_not_finite_at_the_start_is_frozen_there():
    population = make()
    population.theta[[1, 3], 0] = np.nan, np.inf
    _, result = trained(population)
    assert result.diverged_at.tolist() == [-1, 1, -1, 1, -1]
    assert result.n_steps.tolist() == [16, 0, 16, 0, 16]
    assert population.theta[[0, 2, 4]].tobytes() == trained(make())[0].theta[[0, 2, 4]].tobytes()


def test_an_order_may_be_given_for_all_or_for_each():
    orders = np.random.default_rng(3).integers(0, 11, (4, N, 11))
    population, _ = trained(make(), order=lambda epoch: orders[epoch, 0])
    each, _ = trained(make(), order=lambda epoch: orders[epoch])
    assert each.theta[0].tobytes() == population.theta[0].tobytes()
    for i in range(N):
        network = make()[i]
        for epoch in range(4):
            order = orders[epoch, i]
            fastbp.train(
                network, X[order], Y[order], epochs=1, batch_size=3, shuffle=False, optimizer=SGD(0.3)
            )
        assert_allclose(each.theta[i], network.theta, rtol=1e-10, atol=1e-13)


EVERYTHING = {
    "optimizer": Adam(0.02),
    "learning_rate": np.linspace(0.01, 0.05, 37),
    "l2": np.linspace(0, 0.1, 37),
    "dropout": np.linspace(0, 0.5, 37),
    "own_order": True,
    "sample_weight": np.random.default_rng(1).uniform(0, 1, (37, 11)),
    "validation_weight": np.random.default_rng(2).uniform(0, 1, (37, 11)),
    "early_stopping": EarlyStopping(patience=2),
    "epochs": 15,
}
"""For 37 networks: more than some vectors have lanes."""


def some(which):
    """Return the options for some of the networks."""
    return {
        name: value[which] if isinstance(value, np.ndarray) else value for name, value in EVERYTHING.items()
    }


@pytest.mark.parametrize("kernel", ["population", "layered"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_network_has_the_same_bits_in_any_population_on_any_number_of_threads(dtype, kernel):
    whole, result = trained(make(37, dtype=dtype), **EVERYTHING, kernel=kernel)
    assert len(set(result.n_steps)) > 2
    for which in (slice(0, 1), slice(3, 36), np.array([36, 2, 17])):
        part, of_part = trained(make(37, dtype=dtype)[which], **some(which), threads=2, kernel=kernel)
        assert part.theta.tobytes() == whole.theta[which].tobytes()
        for name in ("loss", "validation_loss", "n_steps", "best_epoch", "reasons"):
            assert getattr(of_part, name).tobytes() == getattr(result, name)[which].tobytes()
    shard = Population([3, 4, 2], 5, first=30, seed=1, hidden_activation="tanh", dtype=dtype)
    shard, _ = trained(shard, **some(slice(30, 35)), kernel=kernel)
    assert shard.theta.tobytes() == whole.theta[30:35].tobytes()


def test_early_stopping_ends_each_network_as_it_ends_alone():
    options = {
        "epochs": 60,
        "validation_data": VALIDATION,
        "metrics": ["r2"],
        "early_stopping": EarlyStopping(patience=3, minimum_improvement=1e-4),
        "optimizer": SGD(0.9),
    }
    population, result = trained(make(20), **options)
    assert len(set(result.n_steps)) > 3
    for i in range(20):
        network, alone = apart(make(20), i, **options)
        assert (result.n_steps[i], result.best_epoch[i]) == (alone.n_steps, alone.best_epoch)
        assert result.stop_reason[i] == alone.stop_reason
        assert_allclose(population.theta[i], network.theta, rtol=1e-9, atol=1e-12)
        assert_allclose(result.validation_loss[i], network.loss(*VALIDATION))
        n = len(alone.history["epoch"])
        for column in ("loss", "validation_loss", "validation_r2"):
            assert_allclose(result.history[column][:n, i], alone.history[column], rtol=1e-8)
            assert np.isnan(result.history[column][n:, i]).all()
    assert (population.scores == result.validation_loss).all()
    assert population.best(3).indices.tolist() == result.best(3).tolist()


RULES = {
    "GL5 | UP3": {"early_stopping": EarlyStopping(rule="GL5 | UP3")},
    "GL and UP": {"early_stopping": EarlyStopping(rule="GL(1) & UP(1)")},
    "PQ, every 3": {"early_stopping": EarlyStopping(rule="PQ(0.5)"), "every": 3},
    "low progress, every 4": {"early_stopping": EarlyStopping(rule="LowProgress(0.3) | UP(2)"), "every": 4},
    "goal": {"goal": 0.05},
    "goals and patience": {
        "goal": {"validation_loss": 0.06, "r2": -0.5}, "early_stopping": EarlyStopping(patience=4),
    },
    "every 5": {"early_stopping": EarlyStopping(patience=2), "every": 5, "metrics": ["mae"]},
}  # fmt: skip


@pytest.mark.parametrize("name", RULES)
def test_rules_and_goals_end_each_network_as_they_end_it_alone(name):
    options = {"epochs": 60, "validation_data": VALIDATION, "optimizer": SGD(0.9)} | RULES[name]
    population, result = trained(make(20), **options)
    assert len(set(result.n_steps)) > 1
    for i in range(20):
        network, alone = apart(make(20), i, **options)
        assert (result.n_steps[i], result.stop_reason[i]) == (alone.n_steps, alone.stop_reason)
        assert result.best_epoch is None or result.best_epoch[i] == alone.best_epoch
        assert_allclose(population.theta[i], network.theta, rtol=1e-9, atol=1e-12)
        n = len(alone.history["epoch"])
        assert result.history["epoch"][:n].tolist() == alone.history["epoch"].tolist()
        assert_allclose(result.history["validation_loss"][:n, i], alone.history["validation_loss"], rtol=1e-8)


def test_folds_are_weights():
    folds = np.arange(11) % N == np.arange(N)[:, np.newaxis]
    options = {
        "metrics": ["mae"],
        "early_stopping": EarlyStopping(patience=2),
        "batch_size": None,
        "epochs": 30,
    }
    population, result = trained(make(), sample_weight=~folds, validation_weight=folds, **options)
    for i, fold in enumerate(folds):
        network = make()[i]
        alone = fastbp.train(
            network, X[~fold], Y[~fold], optimizer=SGD(0.3), validation_data=(X[fold], Y[fold]), **options
        )
        assert (result.n_steps[i], result.best_epoch[i]) == (alone.n_steps, alone.best_epoch)
        assert_allclose(population.theta[i], network.theta, rtol=1e-9, atol=1e-12)
        n = len(alone.history["epoch"])
        for column in ("loss", "validation_loss", "validation_mae"):
            assert_allclose(result.history[column][:n, i], alone.history[column], rtol=1e-9)


def test_callbacks_see_every_network_and_end_some_of_them():
    seen = []

    def look(state):
        assert state.population.theta.shape == (N, 26)
        state.population.theta[:] = 7
        seen.append((state.epoch, state.step, state.active.tolist(), state.loss, state.validation_loss))
        if state.epoch == 2:
            state.stop([0, 3])
        if state.epoch == 3:
            state.stop(np.array([False, True, False, False, False]))
        if state.epoch == 5:
            state.stop()

    population, result = trained(make(), epochs=9, callbacks=[look], validation_data=VALIDATION)
    assert [epoch for epoch, *_ in seen] == [1, 2, 3, 4, 5]
    assert seen[2][2] == [False, True, True, False, True]
    assert np.isnan(seen[2][3]).tolist() == [True, False, False, True, False]
    assert result.n_steps.tolist() == [8, 12, 20, 8, 20]
    assert set(result.stop_reason) == {"callback"}
    for i, epochs in enumerate((2, 3, 5, 2, 5)):
        assert population.theta[i].tobytes() == trained(make(), epochs=epochs)[0].theta[i].tobytes()
    assert_allclose(
        seen[4][4], [np.nan, np.nan, result.validation_loss[2], np.nan, result.validation_loss[4]]
    )


@pytest.mark.parametrize("which", ["a", [9], np.ones(4, bool), [[[1.5]]]])
def test_networks_that_are_not_there_cannot_be_stopped(which):
    with pytest.raises((OptionError, IndexError)):
        trained(make(), callbacks=[lambda state: state.stop(which)])


def test_an_exception_of_a_callback_leaves_the_parameters_of_that_epoch():
    def fail(state):
        if state.epoch == 3:
            raise RuntimeError("stop")

    population = make()
    with pytest.raises(RuntimeError, match="stop"):
        trained(population, callbacks=[fail])
    assert population.theta.tobytes() == trained(make(), epochs=3)[0].theta.tobytes()


def test_a_network_that_diverges_is_frozen_and_the_others_do_not_notice():
    rates = [0.1, 1e200, 0.2, 0.1, 1e3]
    options = {"optimizer": SGD(), "learning_rate": rates, "epochs": 30}

    def linear():
        return make(output_activation="identity", hidden_activation="relu", loss="mean_squared_error")

    population, result = trained(linear(), **options)
    assert (result.stop_reason == "diverged").tolist() == [False, True, False, False, True]
    assert np.isnan(result.loss).tolist() == (result.stop_reason == "diverged").tolist()
    assert np.isfinite(population.theta).all()
    for i in (0, 2, 3):
        alone, _ = trained(linear()[[i]], **(options | {"learning_rate": rates[i]}))
        assert population.theta[i].tobytes() == alone.theta.tobytes()
        assert result.diverged_at[i] == -1
    for i in (1, 4):
        with pytest.raises(fastbp.DivergenceError) as raised:
            apart(linear(), i, epochs=30, optimizer=SGD(rates[i]))
        # `train` also looks at the loss over all samples, and so finds the step before it shows in a batch.
        assert 0 <= result.diverged_at[i] - raised.value.step <= 4
        assert result.n_steps[i] == result.diverged_at[i] - 1
    assert result.best(5).tolist()[-2:] == [1, 4]
    assert "2 diverged" in repr(result)


def test_a_network_that_diverges_keeps_its_best_parameters():
    population = make(
        2, output_activation="identity", hidden_activation="identity", loss="mean_squared_error"
    )
    rising = SGD(schedules.LinearWarmup(100.0, steps=400))
    _, result = trained(population, optimizer=rising, epochs=90, early_stopping=EarlyStopping(patience=50))
    assert (result.stop_reason == "diverged").all()
    assert np.isfinite(result.loss).all()
    assert (result.best_epoch >= 1).all()


def test_the_history_is_thinned():
    _, result = trained(make(), epochs=2500)
    assert (len(result.history["epoch"]), result.loss_steps[-1]) == (834, 10_000)
    assert set(np.diff(result.history["epoch"])[:-1]) == {3}


def test_the_last_epoch_of_a_run_that_ends_early_is_in_the_history():
    def stop(state):
        if state.epoch == 7:
            state.stop()

    _, result = trained(make(), epochs=2500, callbacks=[stop])
    assert result.history["epoch"].tolist() == [3, 6, 7]


def test_data_that_share_memory_with_the_parameters_are_copied():
    population = Population([2, 2], 4, seed=0, output_activation="identity")
    twin = Population([2, 2], 4, seed=0, output_activation="identity")
    data = population.theta[:, :2], population.theta[:, 2:4]
    train_population(population, *data, epochs=3, optimizer=SGD(0.1))
    train_population(twin, twin.theta[:, :2].copy(), twin.theta[:, 2:4].copy(), epochs=3, optimizer=SGD(0.1))
    assert population.theta.tobytes() == twin.theta.tobytes()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"epochs": None}, OptionError, "give exactly one of epochs and steps"),
        ({"optimizer": 3}, OptionError, "optimizer is 3"),
        ({"batch_size": 0}, OptionError, "batch_size is 0"),
        ({"learning_rate": -1}, OptionError, "learning_rate is -1"),
        (
            {"learning_rate": [0.1] * 4},
            (OptionError, ShapeError),
            r"learning_rate has shape \(4,\), and must be",
        ),
        ({"learning_rate": [0.1, 1, np.nan, 1, 1]}, OptionError, r"learning_rate\[2\] is nan"),
        ({"learning_rate": ["a"] * 5}, OptionError, "learning_rate has dtype <U1"),
        ({"momentum": [0, 0, 1, 0, 0]}, OptionError, r"momentum\[2\] is 1"),
        ({"momentum": 0.5, "optimizer": Adam()}, OptionError, "momentum"),
        ({"dropout": 1.0}, OptionError, "dropout is 1.0"),
        ({"l2": [[0.1] * 5]}, (OptionError, ShapeError), r"l2 has shape \(1, 5\)"),
        ({"seed": [1, 2, 3, 4, 5]}, OptionError, "seed has a value for each network, and there is one order"),
        ({"own_order": 1}, OptionError, "own_order is 1"),
        ({"order": 3}, OptionError, "order is 3, and must be a function of the epoch"),
        ({"order": lambda epoch: [11] * 11}, (OptionError, DataError), r"order\(0\)"),
        ({"order": lambda epoch: [0] * 10}, (OptionError, ShapeError), r"order\(0\)"),
        ({"sample_weight": np.ones(10)}, ShapeError, r"sample_weight has shape \(10,\)"),
        ({"sample_weight": np.zeros((5, 11))}, DataError, r"sample_weight\[0\] is 0 for every sample"),
        ({"validation_weight": np.ones(10)}, ShapeError, r"validation_weight has shape \(10,\)"),
        ({"validation_weight": np.zeros(11)}, DataError, "validation_weight is 0 for every sample"),
        ({"validation_weight": np.ones(11), "validation_data": (X, Y)}, OptionError, "give one"),
        ({"validation_data": 3}, OptionError, "validation_data must be a pair"),
        ({"kernel": "lanes"}, OptionError, "kernel is 'lanes', and may be 'auto'"),
        ({"threads": 0}, OptionError, "threads is 0"),
        ({"early_stopping": 3}, OptionError, "early_stopping is 3"),
        ({"metrics": ["accuracies"]}, OptionError, "accuracies"),
        ({"callbacks": [3]}, OptionError, r"callbacks\[0\] is 3"),
        ({"checkpoint": "folder"}, OptionError, "checkpoint is 'folder'"),
        ({"max_seconds": 0}, OptionError, "max_seconds is 0"),
    ],
)
def test_options_that_are_none_are_refused_before_anything_changes(options, error, message):
    population = make()
    with pytest.raises(error, match=message):
        trained(population, **options)
    assert population.theta.tobytes() == make().theta.tobytes()


def test_a_population_that_is_none_is_refused():
    with pytest.raises(OptionError, match="population is a Network, and must be a"):
        train_population(make()[0], X, Y, epochs=1, optimizer=SGD())
    population = make()
    population.theta.flags.writeable = False
    with pytest.raises(OptionError, match="theta is read-only"):
        train_population(population, X, Y, epochs=1, optimizer=SGD())
    with pytest.raises(ShapeError, match="X has 2 features"):
        train_population(make(), X[:, :2], Y, epochs=1, optimizer=SGD())


OPTIONS = {
    option.name: option
    for kind in (PopulationSettings, MonitoringOptions)
    for option in fields(kind)
    if "decides_result" in option.metadata
}


def test_the_signature_has_the_declared_options_with_their_defaults():
    parameters = inspect.signature(train_population).parameters
    assert parameters.keys() - {"population", "X", "Y", "validation_weight"} == OPTIONS.keys()
    documented = inspect.getdoc(train_population)
    for name, option in OPTIONS.items():
        assert parameters[name].kind == inspect.Parameter.KEYWORD_ONLY
        if name != "optimizer":
            assert parameters[name].default == option.default
        assert re.search(rf"^[a-z_, ]*\b{name}\b[a-z_, ]* : ", documented, re.MULTILINE)
