import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import fastbp
from fastbp import EarlyStopping, OptionError
from fastbp.engine.watch import Rules, Watch
from fastbp.kernels.rules import BEST_EPOCH, N_SHARED
from fastbp.training.early_stopping import compiled_rule
from fastbp.training.pace import Pacing
from tests.training.seams import Clock, Seams
from tests.training.tasks import DROPOUT, EXACT, FAST, absolute_error


def best_and_stalled(values, minimum_improvement):
    """Say it in plain Python: the last epoch that was an improvement, and the epochs since."""
    best = 0
    for epoch, value in enumerate(values, 1):
        if (best == 0 and not math.isnan(value)) or (best and value < values[best - 1] - minimum_improvement):
            best = epoch
    return best, len(values) - best


NUMBERS = st.floats(allow_nan=True, allow_infinity=True) | st.integers(0, 5).map(float)


@given(values=st.lists(NUMBERS, max_size=30), minimum=st.sampled_from([0.0, 0.5, 2.0]))
@example(values=[math.nan, math.inf, math.inf, 1.0], minimum=0.0)
@example(values=[math.inf, math.inf], minimum=0.0)
def test_improvements_are_counted(values, minimum):
    stopping = EarlyStopping(50, minimum)
    network, (constants, program) = fastbp.Network([1, 1]), compiled_rule(stopping.whole_rule)
    rules = Rules(monitored=0, minimum_improvement=minimum, constants=constants, program=program)
    watch = Watch(network.specification, 2, 1, 1, rules)
    for epoch, value in enumerate(values, 1):
        watch.settle(epoch, [value, 0.1], network.theta)
    assert (watch.state[BEST_EPOCH], watch.state[N_SHARED + 1]) == best_and_stalled(values, minimum)


def column(values, name="metric"):
    """Return a metric that takes one value after the other, and the last one for ever."""
    remaining = list(values)

    def metric(Y_true, Y_pred):
        return remaining.pop(0) if len(remaining) > 1 else remaining[0]

    metric.__name__ = name
    return metric


@pytest.mark.parametrize("task", [FAST, EXACT, DROPOUT], ids=str)
def test_run_ends_after_so_many_epochs_without_improvement_and_the_best_are_restored(task):
    stopping = EarlyStopping(patience=4, monitor=column([5, 4, 4.5, 3, 3, 3, 3, 1]), higher_is_better=False)
    network, result = task.train(10**9, early_stopping=stopping)
    assert (result.stop_reason, result.best_epoch, len(result.history["metric"])) == ("early_stopping", 8, 12)
    steps_per_epoch = result.n_steps // 12
    assert network.theta.tobytes() == task.train(8 * steps_per_epoch)[0].theta.tobytes()
    assert result.n_steps == 12 * steps_per_epoch


def test_last_parameters_stay_if_the_best_are_not_wanted():
    stopping = EarlyStopping(patience=2, monitor=column([1]), higher_is_better=True, restore_best=False)
    network, result = FAST.train(10**9, early_stopping=stopping)
    assert (result.best_epoch, result.n_steps) == (1, 21)
    assert network.theta.tobytes() == FAST.train(21)[0].theta.tobytes()


@pytest.mark.parametrize("stop", ["completed", "callback", "interrupted", "max_seconds"])
def test_best_parameters_are_restored_however_the_run_ends(stop):
    clock = Clock()

    def end(state):
        if state.epoch == 5 and stop == "max_seconds":
            clock.now = 1e9
        if state.epoch == 5 and stop == "callback":
            state.stop()
        if state.epoch == 5 and stop == "interrupted":
            raise KeyboardInterrupt

    stopping = EarlyStopping(patience=100, monitor=column([2, 3, 1]), higher_is_better=True)
    steps = 70 if stop == "max_seconds" else 35
    network, result = FAST.train(
        steps,
        Seams(Pacing(clock=clock)),
        early_stopping=stopping,
        callbacks=[end],
        max_seconds=1000.0,
    )
    assert (result.stop_reason, result.best_epoch, result.n_steps) == (stop, 2, 35)
    assert network.theta.tobytes() == FAST.train(14)[0].theta.tobytes()


def test_early_stopping_is_the_reason_where_a_callback_stops_the_run_too():
    stopping = EarlyStopping(patience=2, monitor=column([1]), higher_is_better=True)
    _, result = FAST.train(
        70, early_stopping=stopping, callbacks=[lambda state: state.epoch == 3 and state.stop()]
    )
    assert (result.stop_reason, result.n_steps) == ("early_stopping", 21)


def test_minimum_improvement_ends_a_run_that_hardly_improves():
    for minimum, best in ((0.0, 9), (0.1, 1)):
        monitor = column([1 - 0.01 * i for i in range(9)])
        stopping = EarlyStopping(
            patience=3, minimum_improvement=minimum, monitor=monitor, higher_is_better=False
        )
        _, result = FAST.train(10**9, early_stopping=stopping)
        assert result.best_epoch == best
        assert len(result.history["epoch"]) == best + 3


def test_validation_loss_decides_by_default_and_the_loss_without_validation_data():
    validation = DROPOUT.validation()
    _, result = DROPOUT.train(400, early_stopping=EarlyStopping(patience=5), validation_data=validation)
    best = int(result.history["validation_loss"].argmin()) + 1
    assert result.best_epoch == best
    assert len(result.history["epoch"]) == best + 5
    _, result = DROPOUT.train(400, early_stopping=EarlyStopping(patience=5))
    assert result.best_epoch == int(result.history["loss"].argmin()) + 1


def test_named_and_own_metrics_are_evaluated_for_early_stopping_alone():
    stopping = EarlyStopping(patience=3, monitor="r2")
    _, result = DROPOUT.train(200, early_stopping=stopping)
    assert result.best_epoch == int(result.history["r2"].argmax()) + 1
    stopping = EarlyStopping(patience=3, monitor=absolute_error, higher_is_better=False)
    options = {"early_stopping": stopping, "metrics": [absolute_error]}
    _, result = DROPOUT.train(200, **options, validation_data=DROPOUT.validation())
    assert result.best_epoch == int(result.history["validation_absolute_error"].argmin()) + 1
    assert list(result.history).count("validation_absolute_error") == 1


def test_metric_that_is_never_a_number_never_improves():
    stopping = EarlyStopping(patience=3, monitor=column([math.nan]), higher_is_better=True)
    network, result = FAST.train(10**9, early_stopping=stopping)
    assert (result.best_epoch, result.n_steps, result.stop_reason) == (None, 21, "early_stopping")
    assert network.theta.tobytes() == FAST.train(21)[0].theta.tobytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patience": 0}, "patience is 0, and must be an integer of at least 1"),
        ({"patience": 2.5}, "patience is 2.5"),
        ({"minimum_improvement": -1}, "minimum_improvement is -1, and must be a finite number of at least 0"),
        ({"monitor": 3}, "monitor is 3, and must be 'loss', 'validation_loss', a function, or one of acc"),
        ({"higher_is_better": 1}, "higher_is_better is 1, and may be True, False"),
        ({"restore_best": None}, "restore_best is None, and may be True, False"),
    ],
    ids=str,
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(OptionError, match=message):
        EarlyStopping(**options)


def test_real_learning_stops_before_it_overfits():
    """Noisy targets: the validation loss has its minimum long before the end."""
    generator = np.random.default_rng(0)
    X = generator.uniform(-1, 1, (40, 2))
    Y = X[:, :1] + generator.normal(size=(40, 1))
    network = fastbp.Network([2, 40, 1], hidden_activation="tanh", output_activation="identity", seed=0)
    result = fastbp.train(
        network,
        X[:20],
        Y[:20],
        epochs=20_000,
        optimizer=fastbp.Adam(0.01),
        validation_data=(X[20:], Y[20:]),
        early_stopping=EarlyStopping(patience=50),
    )
    assert result.stop_reason == "early_stopping"
    assert network.loss(X[20:], Y[20:]) == result.history["validation_loss"].min()


@pytest.mark.parametrize("batch_size", [1, 4])
def test_the_loss_is_that_of_the_network_that_is_returned(batch_size):
    X, Y = np.random.default_rng(0).normal(size=(20, 2)), np.random.default_rng(1).uniform(0.1, 0.9, (20, 2))
    options = {
        "epochs": 40,
        "batch_size": batch_size,
        "optimizer": fastbp.SGD(3.0),
        "validation_data": (X[:3], 1 - Y[:3]),
    }
    for sizes in ([2, 2, 2], [2, 4, 2]):
        network = fastbp.Network(sizes, seed=0)
        result = fastbp.train(network, X, Y, seed=0, early_stopping=EarlyStopping(3), **options)
        assert result.best_epoch < result.history["epoch"][-1]
        assert result.loss == result.best_loss == pytest.approx(network.loss(X, Y), rel=1e-14)
        kept = EarlyStopping(3, restore_best=False)
        assert fastbp.train(network, X, Y, seed=0, early_stopping=kept, **options).best_loss is None
