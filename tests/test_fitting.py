"""What `fastbp.fit` does besides one training: averages, starts and a refit."""

import io
import re
import signal
import time

import numpy as np
import pytest
from numpy.testing import assert_allclose

import fastbp
from fastbp import Network, OptionError
from fastbp.data import Dataset, load
from fastbp.data.defaults import Defaults
from fastbp.data.fitting import Fitting, fit_dataset
from fastbp.data.model import make_network
from fastbp.data.pooling import average_of

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(60, 3))
NUMBERS = X @ [1.0, -2.0, 0.5] + np.sin(3 * X[:, 0]) + 0.1 * GENERATOR.normal(size=60)
CLASSES = np.digitize(NUMBERS, [-1.0, 1.0])
QUICK = {"epochs": 5, "hidden": [6], "seed": 3}


def dataset(target, validation=None) -> Dataset:
    task = "classification" if target is CLASSES else "regression"
    return load(X, target=target, task=task, validation=validation, seed=3)


def fitted(data: Dataset, made: list | None = None, hidden=(6,), **options):
    def make(seed):
        network = make_network(data, hidden=hidden, seed=seed)
        if made is not None:
            made.append(network)
        return network

    own = ("early_stopping", "label_smoothing", "max_seconds", "every", "dropout", "l2", "progress", "goal")
    own += ("callbacks", "checkpoint", "metrics", "resume")
    of_train = {name: options.pop(name) for name in own if name in options}
    return fit_dataset(data, make, Fitting(**({"epochs": 5, "seed": 3} | options)), **of_train)


@pytest.mark.parametrize("hidden", [(), (6,), (5, 4)])
@pytest.mark.parametrize("target", [NUMBERS, CLASSES], ids=["numbers", "classes"])
def test_an_average_is_the_mean_of_the_members_before_the_output_activation(target, hidden):
    made: list[Network] = []
    data = dataset(target)
    average = fitted(data, made, hidden, ensemble=3).network
    assert len({network.theta.tobytes() for network in made}) == 3
    assert average.layer_sizes == (3, *(3 * size for size in hidden), 1 if target is NUMBERS else 3)
    outputs = np.array([network.predict(data.X, prepared=True) for network in made])
    if target is NUMBERS:
        expected = outputs.mean(axis=0)
    else:
        expected = np.exp(np.log(outputs).mean(axis=0))
        expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(average.predict(data.X, prepared=True), expected, rtol=1e-10, atol=1e-12)
    assert average.preprocessing == data.preprocessing


def test_an_average_of_networks_without_biases_and_of_one():
    networks = [Network([2, 3, 1], bias="none", output_activation="identity", seed=seed) for seed in (0, 1)]
    expected = np.mean([one.predict([[1.0, 2.0]]) for one in networks], axis=0)
    np.testing.assert_allclose(average_of(networks).predict([[1.0, 2.0]]), expected)
    assert average_of(networks[:1]) is networks[0]


def test_the_first_of_several_networks_is_the_one_alone():
    one, several = [], []
    alone, average = fitted(dataset(CLASSES), one), fitted(dataset(CLASSES), several, ensemble=2)
    assert alone.network.theta.tobytes() == several[0].theta.tobytes()
    assert alone.result.loss == average.result.loss
    assert [len(alone.results), len(average.results)] == [1, 2]


ALONE = {"every": 1}
"""An option that a population is not asked for: the networks train one by one."""

HIDDEN = (40, 40)
"""So many that a look after every epoch takes less time than the epoch."""

TOGETHER = {
    "starts": (NUMBERS, None, {"n_starts": 8}),
    "ensemble": (CLASSES, None, {"ensemble": 8, "l2": 0.01}),
    "dropout": (CLASSES, None, {"ensemble": 8, "dropout": 0.3}),
    "validation": (NUMBERS, 0.3, {"n_starts": 16, "epochs": 8, "hidden": HIDDEN}),
    "early stopping": (
        CLASSES,
        0.3,
        {
            "n_starts": 16,
            "epochs": 40,
            "hidden": HIDDEN,
            "optimizer": fastbp.Adam(0.05),
            "early_stopping": fastbp.EarlyStopping(2),
        },
    ),
    "early stopping by the loss": (
        NUMBERS,
        None,
        {
            "ensemble": 16,
            "epochs": 30,
            "hidden": HIDDEN,
            "optimizer": fastbp.SGD(0.01, momentum=0.9),
            "early_stopping": fastbp.EarlyStopping(2, monitor="loss", restore_best=False),
        },
    ),
    "more epochs than losses": (
        NUMBERS,
        None,
        {"ensemble": 8, "epochs": 1001, "batch_size": None, "optimizer": fastbp.RPROP()},
    ),
}


@pytest.mark.parametrize("name", TOGETHER)
def test_networks_that_train_together_are_those_that_train_one_by_one(name):
    target, validation, options = TOGETHER[name]
    data = dataset(target, validation)
    made: list[Network] = []
    alone: list[Network] = []
    found, expected = fitted(data, made, **options), fitted(data, alone, **ALONE, **options)
    kernels = {found.result.kernel, *(one.kernel for one in found.results)}
    assert (kernels, expected.result.kernel) == ({"population"}, "layered")
    tolerance = {"rtol": 1e-9, "atol": 1e-9}
    for one, other in zip([found.network, *made], [expected.network, *alone], strict=True):
        np.testing.assert_allclose(one.theta, other.theta, **tolerance)
    assert len(found.results) == len(made)
    for one, other in zip(found.results, expected.results, strict=True):
        same = ("n_steps", "stop_reason", "best_epoch")
        assert [getattr(one, key) for key in same] == [getattr(other, key) for key in same]
        assert one.loss == pytest.approx(other.loss, rel=1e-7)
        assert (one.best_loss is None) == (other.best_loss is None)
        assert one.loss_steps.tolist() == other.loss_steps.tolist()
        np.testing.assert_allclose(one.loss_curve, other.loss_curve, **tolerance)
        assert one.history.keys() == other.history.keys()
        for column in one.history:
            np.testing.assert_allclose(one.history[column], other.history[column], **tolerance)


def test_networks_without_a_seed_train_together_too():
    made: list[Network] = []
    assert fitted(dataset(NUMBERS), made, seed=None, ensemble=8).result.kernel == "population"
    assert len({network.theta.tobytes() for network in made}) == 8


@pytest.mark.parametrize(
    "options",
    [
        {"ensemble": 2},
        {"ensemble": 8, "early_stopping": fastbp.EarlyStopping(2)},
        {"ensemble": 8, "batch_size": 1},
        {"ensemble": 8, "hidden": (1000,)},
        {"n_starts": 8, "steps": 3},
        {"n_starts": 8, "optimizer": fastbp.SGD(fastbp.schedules.Adaptive(0.1))},
        {"n_starts": 8, "optimizer": fastbp.RPROP(("uniform", 0.05, 0.2)), "batch_size": None},
        {"n_starts": 8, "max_seconds": 100.0},
        {"ensemble": 8, "early_stopping": fastbp.EarlyStopping(2, monitor="rmse")},
        {"ensemble": 8, "early_stopping": fastbp.EarlyStopping(rule="GL5 | Patience(3)")},
    ],
    ids=str,
)
def test_what_a_population_does_not_do_or_does_not_faster_goes_one_by_one(options):
    kernels = {one.kernel for one in fitted(dataset(NUMBERS), **options).results}
    assert "population" not in kernels


def test_a_member_that_diverges_ends_the_ensemble_and_a_start_that_does_is_left_out():
    data = dataset(NUMBERS)

    def fit(bad, **options):
        made: list[Network] = []

        def make(seed):
            made.append(make_network(data, hidden=[6], seed=seed))
            made[-1].theta[:] *= 1e75 if len(made) - 1 in bad else 1.0
            return made[-1]

        of_train = {name: options.pop(name) for name in ALONE if name in options}
        fitting = Fitting(epochs=5, seed=3, optimizer=fastbp.SGD(1e-3), **options)
        return fit_dataset(data, make, fitting, **of_train), made

    found, made = fit({0, 5}, n_starts=8)
    expected, _ = fit({0, 5}, n_starts=8, **ALONE)
    assert (len(found.results), found.result.kernel) == (6, "population")
    np.testing.assert_allclose(found.network.theta, expected.network.theta, rtol=1e-9)
    assert all(found.network is not made[i] for i in (0, 5))
    errors = []
    for options in ({}, ALONE):
        for bad, kind in (({2}, "ensemble"), (range(8), "n_starts")):
            with pytest.raises(fastbp.DivergenceError) as caught:
                fit(bad, **{kind: 8}, **options)
            errors.append(re.sub(r"step \d+", "a step", str(caught.value)))
    assert errors[:2] == errors[2:]


@pytest.mark.parametrize("validation", [None, 0.3])
def test_ctrl_c_ends_all_that_train_together(validation, monkeypatch):
    class Stderr(io.StringIO):
        writes = 0

        def write(self, text):
            self.writes += 1
            if self.writes == 3:
                signal.raise_signal(signal.SIGINT)
            return super().write(text)

    monkeypatch.setattr("sys.stderr", Stderr())
    epochs = 10**7 if validation is None else 1000
    options = {"epochs": epochs, "batch_size": 2, "optimizer": fastbp.Adam(1e-4), "progress": True}
    made: list[Network] = []
    found = fitted(dataset(NUMBERS, validation), made, (60, 28), n_starts=16, **options)
    assert [one.stop_reason for one in found.results] == ["interrupted"] * 16
    assert found.result.kernel == "population"
    assert len({one.n_steps for one in found.results}) == 1
    assert all(one.loss_steps[-1] == one.n_steps for one in found.results)
    assert all(np.isfinite(network.theta).all() for network in made)


@pytest.mark.parametrize("how", ["ensemble", "n_starts"])
def test_ctrl_c_in_a_later_network_leaves_those_before_and_says_so(how, tmp_path):
    calls = []

    def press(Y_true, Y_pred):
        calls.append(0)
        if len(calls) == 13:
            signal.raise_signal(signal.SIGINT)
        return 0.0

    data, checkpoint = dataset(NUMBERS), fastbp.Checkpoint(tmp_path)
    options = {"metrics": [press], "checkpoint": checkpoint}
    found = fitted(data, **{how: 4}, **options)
    assert [result.stop_reason for result in found.results] == ["completed"] * 2
    assert found.result.stop_reason == "interrupted"
    resumed, whole = fitted(data, **{how: 4}, **options), fitted(data, **{how: 4})
    assert resumed.result.stop_reason == "completed"
    assert len(resumed.results) == 4
    assert resumed.network.layer_sizes == whole.network.layer_sizes
    assert_allclose(resumed.network.theta, whole.network.theta, rtol=1e-9)


@pytest.mark.parametrize("validation", [None, 0.3])
def test_the_start_of_the_lowest_loss_is_kept(validation):
    made: list[Network] = []
    data = dataset(NUMBERS, validation)
    best = fitted(data, made, n_starts=4)
    if validation is None:
        assert best.result.loss == min(result.loss for result in best.results)
    else:
        losses = [network.loss(*data.validation_data) for network in made]
        assert best.network is made[int(np.argmin(losses))]
    assert len(made) == len(best.results) == 4


def test_starts_that_diverge_count_for_nothing_unless_all_do():
    data = dataset(NUMBERS)
    starts: list[Network] = []

    def make(seed):
        network = make_network(data, hidden=[6], seed=seed)
        network.theta[:] *= 1e200 if not starts else 1.0
        starts.append(network)
        return network

    found = fit_dataset(data, make, Fitting(epochs=5, seed=3, n_starts=2))
    assert found.network is starts[1]
    with pytest.raises(fastbp.DivergenceError):
        fitted(data, n_starts=2, optimizer=fastbp.SGD(1e200))


def test_a_refit_is_a_training_on_all_rows_for_the_epochs_that_were_best():
    data = dataset(CLASSES, 0.3)
    stopping = fastbp.EarlyStopping(3)
    found = fitted(data, epochs=60, refit=True, early_stopping=stopping)
    first = fitted(data, epochs=60, early_stopping=stopping)
    assert found.judged.theta.tobytes() == first.network.theta.tobytes()
    assert found.result.best_epoch == first.result.best_epoch
    network = make_network(data, hidden=[6], seed=3)
    rows = np.concatenate([data.X, data.X_validation]), np.concatenate([data.Y, data.Y_validation])
    options = Fitting(epochs=60).options(len(rows[0])) | {"epochs": found.result.best_epoch}
    fastbp.train(network, *rows, seed=3, **options)
    assert found.network.theta.tobytes() == network.theta.tobytes()


@pytest.mark.parametrize(
    ("options", "epochs"),
    [
        ({"every": 2}, 5),
        ({"every": 9}, 5),
        ({"goal": {"validation_loss": 1e9}}, 1),
        ({"goal": 1e9, "every": 3}, 3),
    ],
    ids=str,
)
def test_a_refit_takes_the_epochs_of_the_first_training_whatever_is_looked_at(options, epochs):
    found = fitted(dataset(CLASSES, 0.3), refit=True, **options)
    first, again = (result.n_steps for result in found.results)
    assert (first, again) == (epochs * 3, epochs * 4)  # 42 rows and 60, in batches of 16


def test_a_refit_that_time_ends_leaves_the_network_of_the_first_training(tmp_path):
    def wait(state):
        end = time.perf_counter() + 0.1 * (state.epoch == 5)
        while time.perf_counter() < end:
            pass

    data, checkpoint = dataset(CLASSES, 0.3), fastbp.Checkpoint(tmp_path)
    found = fitted(data, refit=True, callbacks=[wait], max_seconds=0.1, checkpoint=checkpoint)
    assert found.results[-1].stop_reason == "max_seconds"
    assert found.network is found.judged
    assert found.result.stop_reason == "max_seconds"
    resumed, whole = fitted(data, refit=True, checkpoint=checkpoint), fitted(data, refit=True)
    assert resumed.network.theta.tobytes() == whole.network.theta.tobytes()


def test_a_refit_learns_from_smoothed_labels_too():
    data = dataset(CLASSES, 0.3)
    found = fitted(data, label_smoothing=0.3, refit=True)
    network = make_network(data, hidden=[6], seed=3)
    rows = np.concatenate([data.X, data.X_validation]), np.concatenate([data.Y, data.Y_validation])
    options = Fitting(epochs=5).options(len(rows[0])) | {"label_smoothing": 0.3}
    fastbp.train(network, *rows, seed=3, **options)
    assert found.network.theta.tobytes() == network.theta.tobytes()


def test_defaults_follow_the_number_of_rows():
    small, large = Defaults.of(100), Defaults.of(5000)
    assert (small.hidden, small.batch_size, small.weight_decay) == ((100,), 16, 1.0)
    assert (large.hidden, large.batch_size, large.weight_decay) == ((64, 64), 32, 0.06)
    options = Fitting().options(100)
    assert (options["epochs"], options["batch_size"]) == (100, 16)
    assert options["optimizer"].learning_rate.steps == 700
    given = Fitting(steps=50, batch_size=None, learning_rate=0.1).options(100)
    assert (given["epochs"], given["steps"], given["batch_size"]) == (None, 50, None)
    assert (given["optimizer"].learning_rate.initial, given["optimizer"].learning_rate.steps) == (0.1, 50)
    own = fastbp.SGD(0.1)
    assert Fitting(optimizer=own).options(100)["optimizer"] is own


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"ensemble": 0}, "ensemble is 0"),
        ({"n_starts": 1.5}, "n_starts is 1.5"),
        ({"ensemble": 2, "n_starts": 2}, "ensemble and n_starts do not go together"),
        ({"ensemble": 2, "refit": True, "validation": 0.2}, "ensemble and refit do not go together"),
        ({"refit": True}, "refit learns from the rows that validation puts aside"),
        ({"refit": 1, "validation": 0.2}, "refit is 1"),
        ({"refit": True, "validation": 0.2, "steps": 5}, "refit counts epochs, and steps are given"),
        ({"refit": True, "validation": 0.2, "sample_weight": np.ones(60)}, "refit does not go with weights"),
        (
            {"label_smoothing": 1},
            "label_smoothing is 1, and must be a finite number of at least 0 and below 1",
        ),
        ({"label_smoothing": 0.1, "task": "regression"}, "label_smoothing is for classes"),
        ({"epochs": 0}, "epochs is 0"),
        ({"batch_size": "all"}, "batch_size is 'all'"),
    ],
)
def test_what_cannot_be_is_named(options, complaint):
    with pytest.raises(OptionError, match=complaint):
        fastbp.fit(X, **({"target": CLASSES, "task": "classification"} | QUICK | options))


def test_the_time_is_that_of_all_trainings():
    result = fitted(dataset(NUMBERS), ensemble=3, epochs=10**7, max_seconds=0.01)
    assert len(result.results) == 1
    assert result.result.stop_reason == "max_seconds"
    assert result.network.layer_sizes == (3, 6, 1)
