"""What the loop does after every epoch: validation, metrics, callbacks, adaptive rates; and time limits."""

import copy
import signal
import threading

import numpy as np
import pytest

import fastbp
from fastbp import SGD, Adam, DivergenceError, EarlyStopping, Network, OptionError, schedules
from fastbp.training.checkpoint import CheckpointFolder
from fastbp.training.interrupts import Interrupts
from fastbp.training.metrics import Decisions, accuracy, r2
from fastbp.training.pace import Pacing
from tests.conftest import described
from tests.training.seams import Clock, Seams, WatchedRun, watching
from tests.training.tasks import ADAPTIVE, DROPOUT, EXACT, FAST, TASKS, absolute_error

STEPS = 60
KINDS = [FAST, EXACT, DROPOUT]


def all_equal(result, other):
    assert result.loss_curve.tolist() == other.loss_curve.tolist()
    assert result.loss_steps.tolist() == other.loss_steps.tolist()
    assert (result.n_steps, result.stop_reason) == (other.n_steps, other.stop_reason)


# --- looking changes nothing -------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_looking_at_every_epoch_changes_no_bit(task):
    plain, plain_result = task.train(STEPS)
    seen = []
    watched, result = task.train(
        STEPS, validation_data=task.validation(), metrics=["r2"], callbacks=[seen.append]
    )
    assert watched.theta.tobytes() == plain.theta.tobytes()
    all_equal(result, plain_result)
    assert len(seen) == len(result.history["epoch"])


@pytest.mark.parametrize("task", KINDS, ids=str)
def test_data_of_the_caller_stay_as_they_are(task):
    X, Y = task.data()
    validation = task.validation()
    before = [array.tobytes() for array in (X, Y, *validation)]

    def greedy(Y_true, Y_pred):
        for array in (Y_true, Y_pred):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 0
        return 0.0

    for options in ({"validation_data": validation}, {}):
        fastbp.train(task.make(), X, Y, **task.options, steps=STEPS, metrics=[greedy], **options)
    assert [array.tobytes() for array in (X, Y, *validation)] == before


def test_data_that_view_the_parameters_are_those_from_before_the_run():
    """A callback sees the network change, and the data must not."""
    network = Network([2, 2, 2], seed=0)
    twin = copy.deepcopy(network)
    views = network.theta.reshape(6, 2)
    copies = views.copy()
    options = {"batch_size": 1, "optimizer": SGD(0.5), "epochs": 5, "seed": 0, "callbacks": [id]}
    result = fastbp.train(network, views, views, validation_data=(views, views), **options)
    expected = fastbp.train(twin, copies, copies, validation_data=(copies, copies), **options)
    assert network.theta.tobytes() == twin.theta.tobytes()
    assert result.history["validation_loss"].tolist() == expected.history["validation_loss"].tolist()


# --- history -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_history_has_what_a_run_of_so_many_epochs_gives(task):
    steps_per_epoch = 1 if "full batch" in task.name else 7 if task.options["batch_size"] == 1 else 4
    validation = task.validation()
    _, result = task.train(STEPS, validation_data=validation, metrics=["r2", absolute_error])
    history = result.history
    epochs = STEPS // steps_per_epoch
    assert list(history) == [
        "epoch",
        "step",
        "loss",
        "learning_rate",
        "validation_loss",
        "validation_r2",
        "validation_absolute_error",
    ]
    assert history["epoch"].tolist() == list(range(1, epochs + 1))
    assert history["step"].tolist() == [steps_per_epoch * epoch for epoch in range(1, epochs + 1)]
    for epoch in (1, epochs // 2, epochs):
        network, _ = task.train(epoch * steps_per_epoch)
        predicted = network.predict(validation[0])
        row = {name: column[epoch - 1] for name, column in history.items()}
        assert row["validation_loss"] == pytest.approx(network.loss(*validation), rel=1e-12)
        assert row["validation_r2"] == r2(validation[1].astype(network.dtype), predicted)
        assert row["validation_absolute_error"] == pytest.approx(absolute_error(validation[1], predicted))


def test_losses_in_the_history_are_those_of_the_curve():
    for task in (FAST, DROPOUT):
        _, plain = task.train(56)
        _, result = task.train(56, callbacks=[id])
        start = plain.loss_steps.tolist().index(result.history["step"][0])
        assert result.history["loss"].tolist() == plain.loss_curve[start:].tolist()
        assert plain.history["loss"].tolist() == plain.loss_curve.tolist()
        assert plain.history["step"].tolist() == plain.loss_steps.tolist()


def test_metrics_without_validation_data_are_those_of_the_data():
    network, result = DROPOUT.train(STEPS, metrics=["r2"])
    X, Y = DROPOUT.data()
    assert result.history["r2"][-1] == r2(Y, network.predict(X))


def test_labels_are_validated_as_labels():
    network = Network(
        [2, 3, 3],
        output_activation="softmax",
        loss="categorical_cross_entropy",
        hidden_activation="tanh",
        seed=0,
    )
    X, labels = np.random.default_rng(0).normal(size=(30, 2)), np.arange(30) % 3
    result = fastbp.train(
        network, X, labels, epochs=5, optimizer=Adam(), validation_data=(X, labels), metrics=["accuracy"]
    )
    assert result.history["validation_accuracy"][-1] == accuracy(Decisions(True), labels, network.predict(X))
    assert result.history["validation_loss"][-1] == pytest.approx(network.loss(X, labels), rel=1e-12)


def test_learning_rates_are_those_of_the_last_step_of_the_epoch():
    schedule = schedules.CosineDecay(0.1, steps=40)
    options = {"optimizer": SGD(schedule), "epochs": 6}
    X, Y = DROPOUT.data()
    results = [
        fastbp.train(DROPOUT.make(), X, Y, batch_size=2, **options, callbacks=callbacks)
        for callbacks in ([], [id])
    ]
    for result in results:
        rates = [schedule.rate(step - 1) for step in result.history["step"]]
        assert result.history["learning_rate"] == pytest.approx(rates, rel=1e-14)
        assert result.history["epoch"].tolist() == [1, 2, 3, 4, 5, 6]


ROW_BY_ROW = Seams(Pacing(evaluation_work=1.0))


def test_evaluation_row_by_row_is_evaluation():
    options = {"validation_data": DROPOUT.data(seed=5), "metrics": ["r2"]}
    _, whole = DROPOUT.train(STEPS, **options)
    _, by_row = DROPOUT.train(STEPS, ROW_BY_ROW, **options)
    for name, column in whole.history.items():
        assert by_row.history[name] == pytest.approx(column, rel=1e-13)


# --- callbacks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", KINDS, ids=str)
def test_callback_sees_the_epoch_as_it_is(task):
    seen = []

    class Watcher:
        def on_epoch_end(self, state):
            seen.append((state.epoch, state.step, state.network.theta.copy(), state))
            assert state.network is network

    network = task.make()
    X, Y = task.data()
    fastbp.train(network, X, Y, **task.options, steps=STEPS, seed=3, callbacks=[Watcher()])
    assert [epoch for epoch, *_ in seen] == list(range(1, len(seen) + 1))
    for _, step, theta, state in seen[:: len(seen) - 1]:
        shorter, _ = task.train(step)
        assert theta.tobytes() == shorter.theta.tobytes()
        assert (state.validation_loss, state.metrics, state.n_steps) == (None, {}, STEPS)


@pytest.mark.parametrize("task", KINDS, ids=str)
def test_callback_may_stop_the_run(task):
    later = []
    network, result = task.train(
        10**9, callbacks=[lambda state: state.epoch == 3 and state.stop(), later.append], metrics=["r2"]
    )
    assert result.stop_reason == "callback"
    assert len(later) == len(result.history["epoch"]) == 3  # the others hear of this epoch, too
    assert network.theta.tobytes() == task.train(result.n_steps)[0].theta.tobytes()


@pytest.mark.parametrize("task", KINDS, ids=str)
@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit])
def test_exception_in_a_callback_comes_out_and_leaves_the_parameters_of_its_epoch(task, error):
    def fail(state):
        if state.epoch == 4:
            state.network.theta[:] = np.nan
            raise error

    network = task.make()
    X, Y = task.data()
    with pytest.raises(error):
        fastbp.train(network, X, Y, **task.options, steps=10**9, seed=3, callbacks=[fail])
    spoilt_before = task.train(4 * (7 if task is not DROPOUT else 4))[0]
    assert network.theta.tobytes() == spoilt_before.theta.tobytes()


@pytest.mark.parametrize("task", KINDS, ids=str)
def test_what_a_callback_writes_has_no_effect(task):
    def spoil(state):
        state.network.theta[:] = np.nan

    seen = []
    network, _ = task.train(STEPS, callbacks=[spoil, lambda state: seen.append(state.network.theta.copy())])
    assert network.theta.tobytes() == task.train(STEPS)[0].theta.tobytes()
    assert np.isfinite(seen).all()


def test_callback_may_train_another_network():
    def train_other(state):
        inner.append(FAST.train(10)[0].theta.tobytes())

    inner = []
    network, _ = FAST.train(STEPS, callbacks=[train_other])
    assert set(inner) == {FAST.train(10)[0].theta.tobytes()}
    assert network.theta.tobytes() == FAST.train(STEPS)[0].theta.tobytes()


def test_ctrl_c_in_a_callback_ends_the_run_there():
    def wait(state):
        if state.epoch == 3:
            signal.raise_signal(signal.SIGINT)
            raise AssertionError("the callback went on")

    network, result = DROPOUT.train(10**9, callbacks=[wait])
    assert (result.stop_reason, result.n_steps) == ("interrupted", 12)
    assert network.theta.tobytes() == DROPOUT.train(12)[0].theta.tobytes()
    assert len(result.history["epoch"]) == 3


def test_ctrl_c_that_a_callback_swallows_ends_the_run():
    def deaf(state):
        try:
            if state.epoch == 3:
                signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            pass

    _, result = DROPOUT.train(10**9, callbacks=[deaf])
    assert (result.stop_reason, result.n_steps) == ("interrupted", 12)


def test_ctrl_c_in_a_metric_leaves_its_epoch_unfinished():
    calls = []

    def pressing(Y_true, Y_pred):
        calls.append(1)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        return 0.0

    _, result = DROPOUT.train(10**9, metrics=[pressing])
    assert (result.stop_reason, result.n_steps) == ("interrupted", 12)
    assert len(result.history["epoch"]) == 2


def test_ctrl_c_between_the_rows_of_an_evaluation_is_answered():
    looks = []

    class Pressing(Interrupts):
        def check(self):
            looks.append(1)
            if len(looks) == 19:  # seven rows an epoch
                signal.raise_signal(signal.SIGINT)
            super().check()

    seams = Seams(ROW_BY_ROW.pacing, interrupts=Pressing())
    _, result = DROPOUT.train(10**9, seams, validation_data=DROPOUT.validation())
    assert (result.stop_reason, len(looks), len(result.history["epoch"])) == ("interrupted", 19, 2)


def test_ctrl_c_in_the_last_moment_is_not_lost():
    """After the last step, and before the old handler is back."""

    class Pressing(WatchedRun):
        @property
        def recorded(self):
            if self.run.step == STEPS:
                signal.raise_signal(signal.SIGINT)
            return self.run.recorded

    _, result = FAST.train(STEPS, Seams(watch=Pressing))
    assert (result.stop_reason, result.n_steps) == ("interrupted", STEPS)


# --- time --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", KINDS, ids=str)
@pytest.mark.parametrize("callbacks", [[], [id]], ids=["no callback", "callback"])
def test_time_limit_ends_the_run_at_a_whole_step(task, callbacks):
    network, result = task.train(10**9, max_seconds=0.01, callbacks=callbacks)
    assert result.stop_reason == "max_seconds"
    assert 0 < result.n_steps < 10**9
    assert network.theta.tobytes() == task.train(result.n_steps)[0].theta.tobytes()


def test_time_limit_that_is_not_reached_changes_nothing():
    _, result = FAST.train(STEPS, max_seconds=1000)
    assert result.stop_reason == "completed"


def test_first_checkpoint_does_not_count_as_time(tmp_path):
    clock = Clock()

    class SlowFolder(CheckpointFolder):
        def write(self, *arguments):
            clock.now += 60.0
            super().write(*arguments)

    seams = Seams(Pacing(clock=clock), folder=SlowFolder(tmp_path))
    _, result = FAST.train(STEPS, seams, max_seconds=1.0, checkpoint=fastbp.Checkpoint(tmp_path))
    assert (result.stop_reason, result.seconds) == ("completed", 0.0)


# --- the adaptive rate -------------------------------------------------------------------------------

ADAPTIVE_TASKS = [task for task in TASKS if "adaptive" in task.name]


@pytest.mark.parametrize("task", ADAPTIVE_TASKS, ids=str)
def test_adaptive_rate_is_that_of_the_schedule(task):
    _, result = task.train(400)
    schedule = task.options["optimizer"].learning_rate
    state, rates = schedule.start(), []
    for loss in result.history["loss"]:
        rates.append(state.rate)
        state = schedule.after_epoch(state, loss)
    assert result.history["learning_rate"].tolist() == rates
    assert len(set(rates)) > 3


@pytest.mark.parametrize("task", ADAPTIVE_TASKS, ids=str)
def test_adaptive_rate_is_what_the_kernel_trains_with(task):
    """The same rates, as a schedule by step, give the same parameters."""
    network, result = task.train(400)
    rates = result.history["learning_rate"]

    class Recorded(schedules.Schedule):
        def _formula(self, step):
            return rates[np.minimum(step.astype(int) // result.history["step"][0], len(rates) - 1)]

    optimizer = SGD(Recorded())
    same, _ = task.train(result.n_steps, optimizer=optimizer)
    assert same.theta == pytest.approx(network.theta, rel=1e-9)


def test_adaptive_rate_that_is_exhausted_ends_the_run():
    optimizer = SGD(schedules.Adaptive(0.1, patience=1, minimum=0.05, tolerance=10.0))
    _, result = DROPOUT.train(10**9, optimizer=optimizer, dropout=0.0)
    assert result.stop_reason == "learning_rate_exhausted"
    assert result.history["learning_rate"].tolist() == pytest.approx([0.1, 0.1, 0.1, 0.02, 0.02])


def test_divergence_with_an_adaptive_rate_names_the_first_bad_step():
    """The error grows by 1.25, 1.14 and 1.04 a step at the first three rates; then it would shrink."""
    network = Network([1, 1], output_activation="identity", bias="none", seed=0)
    options = {
        "X": [[1.0]],
        "Y": [[0.0]],
        "optimizer": SGD(schedules.Adaptive(2.25, factor=1.05, patience=950)),
    }
    twin = copy.deepcopy(network)
    with pytest.raises(DivergenceError) as caught:
        fastbp.train(network, **options, steps=10**6)
    assert 2 * 950 < caught.value.step < 3 * 950
    assert f"at learning rate {2.25 / 1.05**2:g}; " in str(caught.value)
    fastbp.train(twin, **options, steps=caught.value.step - 1)
    assert network.theta.tobytes() == twin.theta.tobytes()
    assert np.isfinite(network.loss(options["X"], options["Y"]))


def test_divergence_is_found_before_a_callback_sees_it():
    network = Network([1, 1], output_activation="identity", bias="none", seed=0)
    seen = []
    with pytest.raises(DivergenceError) as caught:
        fastbp.train(
            network,
            [[1.0]],
            [[0.0]],
            optimizer=SGD(3.0),
            steps=10**6,
            callbacks=[lambda state: seen.append(np.isfinite([state.loss, *state.network.theta]).all())],
        )
    assert all(seen)
    assert caught.value.step - 1 <= len(seen) <= caught.value.step  # the loss is from before the step


# --- threads -----------------------------------------------------------------------------------------


def test_runs_in_other_threads_do_not_touch_the_handler():
    handler = signal.getsignal(signal.SIGINT)
    seen = []
    thread = threading.Thread(
        target=FAST.train,
        args=(STEPS,),
        kwargs={"callbacks": [lambda _: seen.append(signal.getsignal(signal.SIGINT))]},
    )
    thread.start()
    thread.join()
    assert set(seen) == {handler}
    FAST.train(STEPS, callbacks=[lambda _: seen.append(signal.getsignal(signal.SIGINT))])
    assert seen[-1] is not handler
    assert signal.getsignal(signal.SIGINT) is handler


# --- bad options -------------------------------------------------------------------------------------

PAIR = DROPOUT.validation()


def loss(Y_true, Y_pred):
    return 0.0


def wrong(value):
    def metric(Y_true, Y_pred):
        return value

    return metric


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"validation_data": 0.2}, r"validation_data must be a pair \(X, Y\)"),
        ({"validation_data": (PAIR[0],)}, r"validation_data must be a pair \(X, Y\)"),
        ({"metrics": "accuracy"}, "metrics is 'accuracy', and must be a sequence, such as"),
        ({"metrics": 1}, "metrics is 1, and must be a sequence"),
        ({"metrics": ["acuracy"]}, r"metrics\[0\] is 'acuracy', and may be .*did you mean 'accuracy'"),
        ({"metrics": [3]}, r"metrics\[0\] is 3, and must be a function or one of accuracy, f1"),
        ({"metrics": ["r2", "r2"]}, r"metrics\[1\] is the second with the name 'r2'"),
        ({"metrics": [loss]}, r"metrics\[0\] has the name 'loss', which a history has already"),
        ({"metrics": [wrong("good")]}, "metric 'metric' returned 'good', and must return one number"),
        (
            {"metrics": [wrong(np.zeros(3))]},
            r"metric 'metric' returned array\(.*, and must return one number",
        ),
        ({"callbacks": id}, "callbacks is <built-in function id>, and must be a sequence"),
        ({"callbacks": [1]}, r"callbacks\[0\] is 1, and must be a function, or have on_epoch_end"),
        ({"early_stopping": 5}, "early_stopping is 5, and must be a fastbp.EarlyStopping"),
        ({"max_seconds": 0}, "max_seconds is 0, and must be a finite number above 0"),
        ({"max_seconds": "1h"}, "max_seconds is '1h'"),
        ({"progress": "yes"}, "progress is 'yes', and may be 'auto', True, False"),
        ({"resume": "always"}, "resume is 'always', and may be 'auto', True, False"),
        ({"resume": True}, "resume is True, and there is no checkpoint to resume from"),
        ({"checkpoint": "folder"}, "checkpoint is 'folder', and must be a fastbp.Checkpoint"),
        ({"early_stopping": EarlyStopping(monitor="validation_loss")}, "and there are no validation_data"),
        (
            {"early_stopping": EarlyStopping(monitor="los")},
            r"early_stopping.monitor is 'los'.*did you mean 'loss'",
        ),
        (
            {"early_stopping": EarlyStopping(monitor=wrong(1))},
            "must be True or False for the metric 'metric'",
        ),
        ({"early_stopping": EarlyStopping(monitor="r2", higher_is_better=False)}, "and more 'r2' is better"),
        ({"early_stopping": EarlyStopping(monitor="loss", higher_is_better=True)}, "less is better"),
        (
            {"metrics": [wrong(1)], "early_stopping": EarlyStopping(monitor=wrong(2), higher_is_better=True)},
            "early_stopping.monitor and one of metrics have the name 'metric'",
        ),
    ],
    ids=described,
)
def test_bad_options_are_named(options, message):
    with pytest.raises(OptionError, match=message):
        DROPOUT.train(STEPS, **options)


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ((PAIR[0][:, :2], PAIR[1]), "validation_data: X has 2 features, and this network takes 3"),
        ((PAIR[0][:3], PAIR[1]), "validation_data: X has 3 samples and Y has 7"),
        ((PAIR[0] * np.nan, PAIR[1]), r"validation_data: X\[0, 0\] is nan, and must be finite"),
        ((PAIR[0][:0], PAIR[1][:0]), "validation_data: X is empty"),
    ],
    ids=["features", "samples", "nan", "empty"],
)
def test_bad_validation_data_are_named(pair, message):
    network = DROPOUT.make()
    before = network.theta.tobytes()
    with pytest.raises(fastbp.FastbpError, match=f"^{message}"):
        fastbp.train(network, *DROPOUT.data(), **DROPOUT.options, steps=5, validation_data=pair)
    assert network.theta.tobytes() == before


def test_without_anything_to_do_after_an_epoch_chunks_are_as_long_as_they_can_be():
    """Epochs of seven steps cost nothing if nobody looks at them."""
    untils = []
    seams = Seams(watch=watching(lambda call, run, until: untils.append(until)))
    FAST.train(4096 + 7, seams)
    assert untils[:4] == [0, 1, 17, 273]
    assert untils[-1] == 4103
    assert len(untils) < 8
    untils.clear()
    FAST.train(14, seams, callbacks=[id])
    assert list(dict.fromkeys(untils)) == [0, 1, 14]  # callbacks are called on the way


def test_adaptive_task_is_adaptive():
    assert isinstance(ADAPTIVE.options["optimizer"].learning_rate, schedules.Adaptive)
