"""What is done after epochs: compiled code gives the bits that Python gives, and remembers what it must."""

import math
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

import fastbp
from fastbp import SGD, Checkpoint, EarlyStopping, OptionError
from fastbp.training import metrics
from fastbp.training.pace import Pacing
from tests.conftest import described
from tests.training.seams import ONE_STEP_A_CHUNK, Seams, WatchedRun, pressing
from tests.training.tasks import ADAPTIVE, DROPOUT, EXACT, FAST, NARROW, ONLINE, TASKS, TWO_THREADS


def in_python(name):
    """Return a metric of this name that compiled code does not have."""

    def metric(Y_true, Y_pred):
        return getattr(metrics, name)(Y_true, Y_pred)

    metric.__name__ = name
    return metric


def outcome(network, result):
    """Return everything of a run that must be the same."""
    history = {name: column.tobytes() for name, column in result.history.items()}
    return network.theta.tobytes(), result.stop_reason, result.n_steps, result.best_epoch, history


class Noting(WatchedRun):
    """A run that notes whether it did its work after epochs in compiled code."""

    attached: ClassVar[list[bool]] = []

    def advance(self, until, *how):
        self.attached.append(len(how) == 2)
        super().advance(until, *how)


def noting():
    """Return seams with which a run notes its calls."""
    Noting.attached.clear()
    return Seams(watch=Noting)


WATCHED = [task for task in TASKS if "threads" not in task.options]


@pytest.mark.parametrize("task", WATCHED, ids=described)
@pytest.mark.parametrize("every", [1, 3])
def test_compiled_code_gives_the_bits_of_python(task, every):
    found, attached = [], []
    stopping = EarlyStopping(4, monitor="rmse")
    own = replace(stopping, monitor=in_python("rmse"), higher_is_better=False)
    for metric, early_stopping in ((str, stopping), (in_python, own)):
        network, result = task.train(
            300,
            noting(),
            validation_data=task.validation(),
            metrics=[metric("r2"), metric("mae")],
            early_stopping=early_stopping,
            every=every,
        )
        found.append(outcome(network, result))
        attached.append(any(Noting.attached))
    assert found[0] == found[1]
    assert attached == [True, False]
    assert len(result.history["epoch"]) > 3
    assert (np.diff(result.history["epoch"]) == every).all()


@pytest.mark.parametrize(
    ("task", "options", "is_compiled"),
    [
        (TWO_THREADS, {"goal": 0.0}, False),
        (DROPOUT, {"metrics": [in_python("r2")]}, False),
        (DROPOUT, {"metrics": ["r2"]}, True),
        (DROPOUT, {"early_stopping": EarlyStopping(3)}, True),
        (ONLINE, {"goal": 0.0}, True),
        (FAST, {"callbacks": [id]}, True),
    ],
    ids=described,
)
def test_python_does_what_compiled_code_cannot(task, options, is_compiled, monkeypatch):
    monkeypatch.setenv("FASTBP_OVERSUBSCRIBE", "1")
    task.train(20, noting(), **options)
    assert any(Noting.attached) == is_compiled


AT_ONE_RATE = replace(NARROW, options={"batch_size": 1, "optimizer": SGD(0.5)})


@pytest.mark.parametrize("task", [FAST, EXACT, DROPOUT, ADAPTIVE, ONLINE, AT_ONE_RATE], ids=described)
def test_validation_gives_the_run_whose_callback_computes_the_same(task):
    X, Y = task.validation()
    stopping = EarlyStopping(rule="GL(2) | UP(3)", restore_best=False)
    network, result = task.train(4000, validation_data=(X, Y), early_stopping=stopping, every=2)
    values = []

    def look(state):
        values.append(state.network.loss(X, Y))
        rises = len(values) > 3 and values[-1] > values[-2] > values[-3] > values[-4]
        if 100 * (values[-1] / min(values) - 1) > 2 or rises:
            state.stop()

    own, own_result = task.train(4000, callbacks=[look], every=2)
    assert own_result.stop_reason == "callback"
    assert result.stop_reason == "early_stopping"
    assert (own_result.n_steps, own.theta.tobytes()) == (result.n_steps, network.theta.tobytes())
    assert result.history["validation_loss"] == pytest.approx(values, rel=1e-15)
    assert own_result.history["loss"].tobytes() == result.history["loss"].tobytes()


REMEMBERED = {
    "rules": {
        "early_stopping": EarlyStopping(
            rule="GL(0.1) & UP(2) & PQ(1e-9) | Tolerance(1e-9, 8) & LowProgress(1e-9)"
        ),
        "every": 2,
        "metrics": ["r2"],
    },
    "patience": {"early_stopping": EarlyStopping(6)},
    "goal": {"goal": {"rmse": 1e-9, "loss": 1e-9}, "every": 3},
}


@pytest.mark.parametrize("options", REMEMBERED.values(), ids=REMEMBERED)
@pytest.mark.parametrize("task", [FAST, EXACT, DROPOUT, ADAPTIVE, ONLINE, NARROW], ids=described)
def test_interrupted_anywhere_and_resumed_is_the_same(task, options, tmp_path):
    options = options | {"validation_data": task.validation()}
    expected = outcome(*task.train(120, **options))
    for first, call in ((1, 1), (1, 7), (1, 8), (2, 12), (3, 5), (5, 9), (7, 3), (8, 6), (40, 2), (1000, 1)):
        pacing = Pacing(first_chunk=first, chunk_seconds=0.0)
        folder = Checkpoint(tmp_path / f"{first}-{call}")
        _, result = task.train(120, Seams(pacing, pressing(call, "after")), checkpoint=folder, **options)
        assert result.stop_reason in ("interrupted", "early_stopping")
        assert outcome(*task.train(120, Seams(ONE_STEP_A_CHUNK), checkpoint=folder, **options)) == expected
        assert outcome(*task.train(120, Seams(ONE_STEP_A_CHUNK), **options)) == expected


@pytest.mark.parametrize("task", [FAST, DROPOUT, NARROW], ids=described)
def test_run_that_is_over_is_over_when_it_is_resumed(task, tmp_path):
    options = {"goal": 1e9, "checkpoint": Checkpoint(tmp_path), "every": 2}
    results = [task.train(steps, **options)[1] for steps in (120, 120, 240)]
    assert {(result.stop_reason, result.n_steps) for result in results} == {
        ("goal", 2 * -(-7 // task.options["batch_size"]))
    }


def test_history_grows_with_its_run_and_is_whole():
    for pacing in (Pacing(), ONE_STEP_A_CHUNK, Pacing(chunk_seconds=1e-4)):
        _, result = NARROW.train(7 * 1000, Seams(pacing), validation_data=NARROW.validation())
        assert result.history["epoch"].tolist() == list(range(1, 1001))
        assert np.isfinite(result.history["validation_loss"]).all()
    rates = NARROW.options["optimizer"].learning_rate
    assert result.history["learning_rate"].tolist() == [rates.rate(7 * epoch - 1) for epoch in range(1, 1001)]


# --- goals -------------------------------------------------------------------------------------------


def learnable(**options):
    X = np.random.default_rng(0).uniform(-1, 1, (60, 2))
    Y = (X[:, :1] > X[:, 1:]).astype(float)
    network = fastbp.Network([2, 6, 1], seed=0)
    settings = {
        "batch_size": 10,
        "optimizer": SGD(1.0),
        "epochs": 2000,
        "seed": 0,
        "validation_data": (X[:30], Y[:30]),
    }
    return fastbp.train(network, X, Y, **settings | options)


@pytest.mark.parametrize(
    ("goal", "column", "is_met"),
    [
        (0.05, "loss", lambda value: value <= 0.05),
        ({"loss": 0.05}, "loss", lambda value: value <= 0.05),
        ({"validation_loss": 0.04}, "validation_loss", lambda value: value <= 0.04),
        ({"accuracy": 0.9}, "validation_accuracy", lambda value: value >= 0.9),
        ({"rmse": 0.3}, "validation_rmse", lambda value: value <= 0.3),
        ({"f1": 0.9}, "validation_f1", lambda value: value >= 0.9),
    ],
    ids=described,
)
def test_run_ends_at_the_first_epoch_that_meets_its_goal(goal, column, is_met):
    result = learnable(goal=goal)
    assert (result.stop_reason, result.best_epoch) == ("goal", None)
    assert [is_met(value) for value in result.history[column]] == [False] * (
        len(result.history[column]) - 1
    ) + [True]


def test_all_goals_must_be_met_after_the_same_epoch():
    goal = {"accuracy": 0.95, "loss": 0.03, "validation_loss": 0.02}
    result = learnable(goal=goal)
    history, last = result.history, len(result.history["epoch"]) - 1
    met = (
        (history["validation_accuracy"] >= 0.95)
        & (history["loss"] <= 0.03)
        & (history["validation_loss"] <= 0.02)
    )
    assert (result.stop_reason, np.flatnonzero(met).tolist()) == ("goal", [last])


def test_a_goal_comes_before_other_reasons_and_keeps_the_best_parameters():
    result = learnable(goal=1e9, early_stopping=EarlyStopping(1), callbacks=[lambda state: state.stop()])
    assert (result.stop_reason, result.best_epoch, result.n_steps) == ("goal", 1, 6)


def test_without_metrics_a_goal_is_on_the_training_data():
    result = learnable(goal={"accuracy": 0.9}, validation_data=None)
    assert result.stop_reason == "goal"
    assert result.history["accuracy"][-1] >= 0.9


# --- every -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", [FAST, DROPOUT, ADAPTIVE], ids=described)
def test_rows_of_every_third_epoch_are_rows_of_all(task):
    if task is not ADAPTIVE:  # its rate would change after other epochs
        _, every_one = task.train(200, validation_data=task.validation(), metrics=["mae"])
    _, result = task.train(200, validation_data=task.validation(), metrics=["mae"], every=3)
    epochs = result.history["epoch"]
    assert epochs.tolist() == list(range(3, len(epochs) * 3 + 1, 3))
    if task is not ADAPTIVE:
        for name, column in every_one.history.items():
            assert column[2::3].tobytes() == result.history[name].tobytes()


def test_callbacks_are_called_every_k_epochs():
    seen = []
    FAST.train(70, callbacks=[lambda state: seen.append((state.epoch, state.step))], every=4)
    assert seen == [(4, 28), (8, 56)]


def test_a_run_that_ends_before_an_evaluation_has_none():
    network, result = FAST.train(14, early_stopping=EarlyStopping(3), every=5)
    assert (result.best_epoch, len(result.history["epoch"]), result.stop_reason) == (None, 0, "completed")
    assert network.theta.tobytes() == FAST.train(14)[0].theta.tobytes()


# --- mistakes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 0}, "every is 0, and must be an integer of at least 1"),
        ({"goal": "0.1"}, "goal is '0.1', and must be a number, or values by names, such as {'accuracy'"),
        ({"goal": math.nan}, "goal is nan, and must be a finite number$"),
        ({"goal": {}}, "goal is {}, and must be a number, or values by names"),
        ({"goal": {"accuracy": 95}}, r"goal\['accuracy'\] is 95, and must be a finite number of at most 1$"),
        ({"goal": {"acuracy": 0.9}}, "goal is 'acuracy', and may be .*did you mean 'accuracy'"),
        ({"goal": {"r2": True}}, r"goal\['r2'\] is True"),
        ({"goal": {"validation_loss": 1}, "validation_data": None}, "there are no validation_data"),
        ({"goal": {3: 1}}, "goal has 3 where a name must be"),
        ({"goal": {"own": 1}, "metrics": [in_python("own")]}, "use a callback"),
        ({"early_stopping": EarlyStopping(rule="PQ1")}, "every must be 2 or more"),
        ({"early_stopping": EarlyStopping(rule="GL1", monitor="accuracy")}, "more is better"),
    ],
    ids=described,
)
def test_mistakes_are_named(options, message):
    with pytest.raises(OptionError, match=message):
        learnable(**options)


def test_rules_of_ratios_refuse_losses_that_may_be_negative():
    network = fastbp.Network([2, 1], output_activation="softplus", loss="poisson")
    options = {"epochs": 3, "optimizer": SGD(), "early_stopping": EarlyStopping(rule="GL5")}
    with pytest.raises(OptionError, match="'poisson' may be negative"):
        fastbp.train(network, [[0, 1]], [[1]], **options)
