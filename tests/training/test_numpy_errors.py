"""What NumPy does about floating-point errors is for the user's own code: fastbp's gives the same results."""

import itertools
import warnings

import numpy as np
import pytest

import fastbp
from fastbp import RPROP, SGD, Adam, AdamW, EarlyStopping, RMSprop, schedules
from fastbp.errors import DivergenceError, FastbpError, OptionError, ShapeError
from fastbp.training.metrics import Decisions, accuracy, auc, f1, mae, r2, rmse
from tests.conftest import described
from tests.training.tasks import TASKS

GENERATOR = np.random.default_rng(0)
X, Y = GENERATOR.normal(size=(8, 2)), GENERATOR.uniform(0.1, 0.9, (8, 2))


def called(kind, flag):
    raise AssertionError(f"NumPy reports {kind}")


SETTINGS = {
    "raise": {"all": "raise"},
    "warn": {"all": "warn"},  # and warnings are errors
    "call": {"all": "call", "call": called},
}


def outcome(task):
    """Return what a task gives, to be compared: NaN with NaN too."""
    try:
        return repr(task())
    except FastbpError as error:
        return repr(error)


def assert_the_same_whatever_is_set(task):
    with np.errstate(all="ignore"):
        expected = outcome(task)
    for settings in SETTINGS.values():
        with warnings.catch_warnings(), np.errstate(**settings):
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", fastbp.TargetWarning)
            before = np.geterr(), np.geterrcall()
            assert outcome(task) == expected
            assert (np.geterr(), np.geterrcall()) == before
    return expected


def trained(*, sizes=(2, 2, 2), X=X, Y=Y, network=None, **options):
    def task():
        net = fastbp.Network(sizes, **{"seed": 1} | (network or {}))
        options_ = {"optimizer": SGD(0.5), "epochs": 30, "seed": 0} | options
        try:
            result = fastbp.train(net, X, Y, **options_)
        except DivergenceError as error:
            return str(error), error.step, net.theta.tobytes().hex()
        history = {name: column.tobytes().hex() for name, column in result.history.items()}
        return net.theta.tobytes().hex(), result.loss_curve.tolist(), history, result.stop_reason

    return task


KERNELS = {
    "fused222": {"kernel": "fused222", "batch_size": 1},
    "fused222, exact": {"kernel": "fused222", "batch_size": 1, "math": "exact"},
    "online": {"kernel": "online", "batch_size": 1},
    "layered": {"kernel": "layered", "batch_size": 3},
}
LINEAR = {"output_activation": "identity", "hidden_activation": "identity"}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("rate", [1e-300, 1e-40, 1e30, 1e300])
def test_rates_at_the_ends_of_the_range(kernel, dtype, rate):
    assert_the_same_whatever_is_set(
        trained(optimizer=SGD(rate), network={"dtype": dtype}, metrics=["r2"], **KERNELS[kernel])
    )


@pytest.mark.parametrize("kernel", ["online", "layered"])
@pytest.mark.parametrize("rate", [0.9, 30.0, 1e150])
def test_a_run_that_diverges_says_so(kernel, rate):
    task = trained(optimizer=SGD(rate), network=LINEAR, Y=1e3 * Y, epochs=2000, **KERNELS[kernel])
    assert "step" in assert_the_same_whatever_is_set(task)
    watched = {"validation_data": (X, 1e3 * Y), "metrics": ["r2"], "early_stopping": EarlyStopping()}
    task = trained(optimizer=SGD(rate), network=LINEAR, Y=1e3 * Y, epochs=2000, **KERNELS[kernel], **watched)
    assert "step" in assert_the_same_whatever_is_set(task)


@pytest.mark.parametrize("kernel", KERNELS)
def test_losses_whose_sum_is_infinite(kernel):
    """Each loss is finite, and their sum is not."""
    fused = kernel.startswith("fused222")
    network = {} if fused else LINEAR
    for size in (1.2e154, 1e160) if not fused else (1e153, 1.2e154):
        Y = np.full((8, 2), size)
        task = trained(Y=Y, network=network, optimizer=SGD(1e-300), metrics=[r2], **KERNELS[kernel])
        assert_the_same_whatever_is_set(task)


@pytest.mark.parametrize(
    "size", [1e-320, 1e-300, 1e-40, 1e-20, 1e20, 1e38, 1e154, 1.2e154, 1e300, 1.7e308, np.nan, np.inf]
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_evaluation_of_numbers_of_any_size(size, dtype):
    network = fastbp.Network([2, 3, 2], dtype=dtype, output_activation="identity", seed=0)
    for kind, columns in itertools.product((np.float64, np.float32, np.longdouble), (X, np.ones((70, 2)))):
        with np.errstate(all="ignore"):
            large = (size * columns).astype(kind)
            targets = np.full_like(columns, 0.5).astype(kind)
        weights = np.full(len(columns), min(size, 1e300))

        def task(large=large, targets=targets, weights=weights):
            return [
                outcome(lambda: network.predict(large).tolist()),
                outcome(lambda: network.loss(large, targets)),
                outcome(lambda: network.loss(targets, large)),
                outcome(lambda: network.gradient(large, targets).tolist()),
                outcome(lambda: network.gradient(targets, large, sample_weight=weights).tolist()),
            ]

        assert_the_same_whatever_is_set(task)


@pytest.mark.parametrize(
    "schedule",
    [
        schedules.ExponentialDecay(0.01, 0.9),
        schedules.ExponentialDecay(0.01, 1e-300, decay_steps=1e-300),
        schedules.StepDecay(0.01, every=1, factor=1e-5),
        schedules.InverseScaling(0.01, power=300.0, decay_steps=1e-320),
        schedules.InverseScaling(1e-320, power=1e300),
        schedules.CosineDecay(1e-310, steps=3),
        schedules.LinearWarmup(schedules.ExponentialDecay(1e-300, 0.1), steps=1000),
        schedules.LinearWarmup(1e-320, steps=1000),
    ],
    ids=str,
)
@pytest.mark.parametrize("optimizer", [SGD, Adam, AdamW, RMSprop])
def test_healthy_runs_at_rates_that_underflow(schedule, optimizer):
    task = trained(sizes=(2, 8, 2), optimizer=optimizer(schedule), epochs=2000, batch_size=4)
    assert "completed" in assert_the_same_whatever_is_set(task)
    assert_the_same_whatever_is_set(lambda: schedule.rates(0, 5000).tolist())
    assert_the_same_whatever_is_set(lambda: schedule.at(np.array([0, 10**6, 10**18])).tolist())
    assert_the_same_whatever_is_set(lambda: schedule.rate(10**9))


def test_a_rate_is_finite_wherever_its_schedule_begins():
    largest = 1.7e308
    for schedule in (schedules.CosineDecay(largest, steps=4), schedules.LinearWarmup(largest, steps=4)):
        rates = schedule.rates(0, 10)
        assert np.isfinite(rates).all()
        assert rates.max() == largest


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_every_kind_of_run(task):
    assert_the_same_whatever_is_set(lambda: task.train(61)[0].theta.tolist())


@pytest.mark.parametrize(
    "optimizer", [RPROP(1e-300, smallest_step=1e-320), Adam(0.01, epsilon=1e-320), Adam(1e300)]
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_hyper_parameters_at_the_ends_of_the_range(optimizer, dtype):
    assert_the_same_whatever_is_set(trained(optimizer=optimizer, network={"dtype": dtype}, l2=1e-300))


def test_adaptive_rates_and_early_stopping_on_values_of_any_size():
    def metric(Y_true, Y_pred):
        return sizes.pop()

    for values in ([1e308, -1e308] * 20, [np.inf, -np.inf] * 20, [1e-320, 0.0] * 20, [np.nan] * 40):
        sizes = []
        stopping = EarlyStopping(3, minimum_improvement=1e308, monitor=metric, higher_is_better=True)
        adaptive = SGD(schedules.Adaptive(0.5, factor=1e308, tolerance=1e308, minimum=0.0, patience=1))
        run = trained(early_stopping=stopping, optimizer=adaptive, batch_size=2)

        def task(run=run, values=values, sizes=sizes):
            sizes[:] = values
            return run()

        assert_the_same_whatever_is_set(task)


@pytest.mark.parametrize("size", [1e-320, 1e-200, 1e200, np.inf, np.nan])
def test_metrics_of_outputs_of_any_size(size):
    with np.errstate(all="ignore"):
        scaled = size * Y
    assert_the_same_whatever_is_set(lambda: (r2(Y, scaled), r2(scaled, Y), r2(scaled, scaled)))
    assert_the_same_whatever_is_set(lambda: (mae(Y, scaled), rmse(Y, scaled)))
    for metric in (accuracy, f1, auc):
        assert_the_same_whatever_is_set(lambda metric=metric: metric(Decisions(False), Y >= 0.5, scaled))


# --- code of the user's --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings", [{"all": "raise"}, {"over": "warn", "under": "raise"}, SETTINGS["call"]], ids=described
)
@pytest.mark.parametrize("kernel", KERNELS)
def test_metrics_and_callbacks_run_as_the_user_has_set_it(kernel, settings):
    seen = []

    def metric(Y_true, Y_pred):
        seen.append((np.geterr(), np.geterrcall()))
        return 0.0

    def callback(state):
        seen.append((np.geterr(), np.geterrcall()))
        state.network.predict(X)

    with np.errstate(**settings):
        expected = np.geterr(), np.geterrcall()
        trained(metrics=[metric], callbacks=[callback], epochs=3, **KERNELS[kernel])()
    assert seen == [expected] * 6


def test_an_error_in_a_callback_is_the_users():
    def callback(state):
        return np.float64(1e300) * 1e300

    with np.errstate(over="raise"), pytest.raises(FloatingPointError, match="overflow"):
        trained(callbacks=[callback])()
    with np.errstate(over="warn"), pytest.warns(RuntimeWarning, match="overflow"):
        trained(callbacks=[callback], epochs=1)()


# --- arrays that are none ------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["metrics", "callbacks"])
@pytest.mark.parametrize(
    "value", [np.array("accuracy"), np.array(print, object), np.array(1), 5, "r2", None], ids=repr
)
def test_an_array_of_no_dimensions_is_no_sequence(option, value):
    with pytest.raises(OptionError, match=rf"^{option} is .*, and must be a sequence, such as \["):
        trained(**{option: value})()


@pytest.mark.parametrize("nothing", [5.0, np.array(5.0), np.float64(5), np.array(5, np.float32)], ids=repr)
def test_data_of_no_dimensions_are_refused(nothing):
    network = fastbp.Network([2, 2, 2], seed=0)
    message = r"has shape \(\), and must be"
    for call in (
        lambda: network.predict(nothing),
        lambda: network.loss(nothing, Y),
        lambda: network.gradient(X, nothing),
        lambda: trained(X=nothing)(),
        lambda: trained(Y=nothing)(),
        lambda: trained(sample_weight=nothing)(),
        lambda: trained(validation_data=(nothing, Y))(),
        lambda: trained(validation_data=(X, nothing))(),
    ):
        with pytest.raises(ShapeError, match=message):
            call()
    labels = {"output_activation": "softmax", "loss": "categorical_cross_entropy"}
    with pytest.raises(ShapeError, match=message):
        trained(Y=nothing, network=labels)()


@pytest.mark.parametrize(
    "value", [np.array(0.5), np.array(1), np.float16(0.5), np.array(True), np.longdouble(0.5)], ids=repr
)
def test_a_metric_may_return_an_array_of_no_dimensions(value):
    network = fastbp.Network([2, 2, 2], seed=0)
    seen = []

    def metric(Y_true, Y_pred):
        return value

    options = {"callbacks": [lambda state: seen.append(state.metrics["metric"])], "epochs": 2}
    result = fastbp.train(network, X, Y, optimizer=SGD(0.1), metrics=[metric], **options)
    assert result.history["metric"].tolist() == [float(value)] * 2
    assert [type(number) for number in seen] == [float, float]


@pytest.mark.parametrize(
    "value",
    [np.array("1"), np.array(1j), np.array(None), np.array([1.0]), np.array([1.0, 2.0]), "1", None],
    ids=repr,
)
def test_a_metric_that_returns_no_number_is_named(value):
    with pytest.raises(OptionError, match=r"^metric '<lambda>' returned .*, and must return one number"):
        trained(metrics=[lambda Y_true, Y_pred: value])()


# --- a theta that cannot be written --------------------------------------------------------------------


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_read_only_theta_is_refused_before_the_training(kernel):
    network, calls = fastbp.Network([2, 2, 2], seed=0), []
    before = network.theta.tobytes()
    network.theta.flags.writeable = False
    options = {"optimizer": SGD(0.1), "epochs": 2, "callbacks": [calls.append]}
    with pytest.raises(OptionError, match=r"network\.theta is read-only, and training writes to it"):
        fastbp.train(network, X, Y, **KERNELS[kernel], **options)
    assert network.theta.tobytes() == before
    assert not calls
    assert np.isfinite(network.loss(X, Y))
    assert network.predict(X).shape == network.predict(X[:1].repeat(100, axis=0))[:8].shape


@pytest.mark.parametrize("restore_best", [False, True])
def test_a_callback_that_makes_theta_read_only_loses_nothing(restore_best):
    network, twin = fastbp.Network([2, 2, 2], seed=0), fastbp.Network([2, 2, 2], seed=0)
    options = {
        "optimizer": SGD(0.1), "epochs": 5, "batch_size": 1, "seed": 0,
        "early_stopping": EarlyStopping(restore_best=restore_best),
    }  # fmt: skip

    def callback(state):
        state.network.theta.flags.writeable = False

    fastbp.train(network, X, Y, callbacks=[callback, lambda state: None], **options)
    fastbp.train(twin, X, Y, callbacks=[lambda state: None], **options)
    assert network.theta.tobytes() == twin.theta.tobytes()
