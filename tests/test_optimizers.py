import math

import numpy as np
import pytest

from fastbp import reference
from fastbp.errors import OptionError
from fastbp.optimizers import RPROP, SGD, Adam, AdamW, RMSprop
from fastbp.schedules import Adaptive, Constant, CosineDecay
from tests.data import flat, problem, problem_layers, trajectories

ALL = (SGD, RMSprop, Adam, AdamW, RPROP)


@pytest.mark.parametrize("stored", trajectories(), ids=str)
def test_the_reference_follows_pytorch(stored):
    task, thetas = problem(), []
    for steps in stored.steps:
        layers = problem_layers()
        reference.train(
            layers,
            task["X"],
            task["Y"],
            steps=steps,
            optimizer=stored.optimizer,
            batch_size=stored.batch_size,
            loss=task["loss"],
        )
        thetas.append(flat(layers))
    np.testing.assert_allclose(thetas, stored.thetas, rtol=1e-10, atol=1e-12)


def test_the_stored_trajectories_have_every_optimizer_and_every_hyper_parameter():
    stored = [trajectory.optimizer for trajectory in trajectories()]
    for optimizer in ALL:
        for name in vars(optimizer()):
            values = {getattr(one, name) for one in stored if type(one) is optimizer}
            assert len(values) > 1, f"{optimizer.__name__} is stored with one {name} only"


@pytest.mark.parametrize("optimizer", [SGD(0.2), Adam(0.02), RMSprop(0.01, momentum=0.5)], ids=str)
def test_a_schedule_gives_each_step_its_rate(optimizer):
    """A run by a schedule is a run of single steps, each at its rate."""
    task, schedule = problem(), CosineDecay(optimizer.learning_rate, steps=6)
    options = {"batch_size": len(task["X"]), "loss": task["loss"]}
    scheduled, stepped = problem_layers(), problem_layers()
    kind = type(optimizer)
    others = {**vars(optimizer), "learning_rate": schedule}
    reference.train(scheduled, task["X"], task["Y"], steps=6, optimizer=kind(**others), **options)
    updater = reference.Updater(optimizer)
    for step in range(6):
        updater.learning_rate = schedule.rate(step)
        reference.batch_step(stepped, task["X"], task["Y"], updater, loss=task["loss"])
    assert flat(scheduled).tobytes() == flat(stepped).tobytes()


@pytest.mark.parametrize("stored", trajectories()[::2], ids=str)
def test_float32_follows_float64(stored):
    """Every operation of a rule keeps the type, and its rounding stays small."""
    task = problem()

    def rounded(values):
        return [rounded(v) for v in values] if isinstance(values, list) else reference.Float32(values)

    layers = [reference.Layer(rounded(o.W), rounded(o.b), o.activation) for o in problem_layers()]
    reference.train(
        layers,
        rounded(task["X"]),
        rounded(task["Y"]),
        steps=stored.steps[-1],
        optimizer=stored.optimizer,
        batch_size=stored.batch_size,
        loss=task["loss"],
        functions=reference.FLOAT32,
    )
    assert all(type(w) is reference.Float32 for layer in layers for row in (*layer.W, layer.b) for w in row)
    np.testing.assert_allclose(flat(layers), stored.thetas[-1], rtol=2e-3, atol=2e-3)


def test_defaults_are_those_of_pytorch():
    assert SGD().momentum == SGD().weight_decay == 0
    assert (RMSprop().learning_rate, RMSprop().alpha, RMSprop().epsilon) == (0.01, 0.99, 1e-8)
    assert (Adam().learning_rate, Adam().beta1, Adam().beta2, Adam().epsilon) == (0.001, 0.9, 0.999, 1e-8)
    assert (Adam().weight_decay, AdamW().weight_decay) == (0, 0.01)
    assert list(vars(RPROP()).values()) == [0.01, 0.5, 1.2, 1e-6, 50]


@pytest.mark.parametrize(
    ("optimizer", "rule", "hyperparameters", "state"),
    [
        (SGD(), "sgd", {"momentum": 0, "nesterov": 0, "weight_decay": 0}, ()),
        (SGD(0.1, 0.9), "sgd_momentum", {"momentum": 0.9, "nesterov": 0, "weight_decay": 0}, ("v",)),
        (
            SGD(0.1, 0.9, True, 0.01),
            "sgd_nesterov",
            {"momentum": 0.9, "nesterov": 1, "weight_decay": 0.01},
            ("v",),
        ),
        (RMSprop(), "rmsprop", {"alpha": 0.99, "epsilon": 1e-8, "momentum": 0, "weight_decay": 0}, ("s",)),
        (
            RMSprop(momentum=0.5, weight_decay=0.1),
            "rmsprop_momentum",
            {"alpha": 0.99, "epsilon": 1e-8, "momentum": 0.5, "weight_decay": 0.1},
            ("s", "v"),
        ),
        (Adam(), "adam", {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weight_decay": 0}, ("m", "v")),
        (AdamW(), "adamw", {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weight_decay": 0.01}, ("m", "v")),
        (
            RPROP(),
            "rprop",
            {"eta_minus": 0.5, "eta_plus": 1.2, "smallest_step": 1e-6, "largest_step": 50},
            ("g_previous", "d"),
        ),
    ],
    ids=str,
)
def test_kernels_get_hyperparameters_by_name_and_a_state(optimizer, rule, hyperparameters, state):
    assert (optimizer.rule, optimizer.state) == (rule, state)
    assert optimizer.hyperparameters().dtype == np.float64
    assert (
        dict(zip(optimizer.hyperparameter_names(), optimizer.hyperparameters(), strict=True))
        == hyperparameters
    )
    initial = optimizer.initial_state(7, np.float32)
    assert optimizer.n_state_vectors == len(state)
    assert (initial.shape, initial.dtype) == ((len(state), 7), np.float32)
    expected = np.zeros((len(state), 7), np.float32)
    if isinstance(optimizer, RPROP):
        expected[1] = 0.01
    np.testing.assert_array_equal(initial, expected)


def test_a_number_is_a_constant_schedule():
    assert Adam(0.5).schedule == Constant(0.5)
    for schedule in (CosineDecay(0.1, steps=3), Adaptive(0.1)):
        assert Adam(schedule).schedule is schedule


@pytest.mark.parametrize("optimizer", ALL)
@pytest.mark.parametrize("rate", [-0.1, math.nan, math.inf, "0.1", True, None])
def test_a_wrong_learning_rate_is_named(optimizer, rate):
    with pytest.raises(
        OptionError, match=f"learning_rate is {rate!r}, and must be a finite number of at least 0"
    ):
        optimizer(learning_rate=rate)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGD(momentum=1.0), "momentum is 1.0, .* at least 0 and below 1"),
        (lambda: SGD(momentum=-0.1), "momentum is -0.1"),
        (lambda: SGD(weight_decay=-1), "weight_decay is -1"),
        (lambda: SGD(nesterov=True), "needs a momentum"),
        (lambda: SGD(momentum=0.9, nesterov="yes"), "nesterov is 'yes', and may be True, False"),
        (lambda: RMSprop(alpha=1), "alpha is 1"),
        (lambda: RMSprop(epsilon=0), "epsilon is 0, .* above 0"),
        (lambda: RMSprop(momentum=2), "momentum is 2"),
        (lambda: Adam(beta1=1.0), "beta1 is 1.0"),
        (lambda: Adam(beta2=math.nan), "beta2 is nan"),
        (lambda: AdamW(epsilon=-1e-8), "epsilon is -1e-08"),
        (lambda: AdamW(weight_decay=math.inf), "weight_decay is inf"),
        (lambda: RPROP(eta_minus=1), "eta_minus is 1, .* above 0 and below 1"),
        (lambda: RPROP(eta_plus=1), "eta_plus is 1, .* above 1"),
        (lambda: RPROP(smallest_step=-1), "smallest_step is -1"),
        (lambda: RPROP([]), r"learning_rate is \[\], and must be a number, one for each"),
        (lambda: RPROP([0.1, -1]), r"learning_rate\[1\] is -1"),
        (lambda: RPROP([0.1, None]), r"learning_rate\[1\] is None"),
        (
            lambda: RPROP(("unifrm", 0.1, 0.2)),
            r"learning_rate is \('unifrm', 0.1, 0.2\),.*did you mean 'uniform'",
        ),
        (lambda: RPROP(("uniform", 0.2, 0.1)), r"learning_rate\[2\] is 0.1, .* at least 0.2"),
        (lambda: RPROP(("uniform", 0.1)), r"must be a number, .* or be like \('uniform', 0.05, 0.2\)$"),
        (lambda: RPROP("fast"), r"must be a finite number .* or be like \('uniform', 0.05, 0.2\)"),
        (lambda: RPROP(np.ones((1, 2))), "learning_rate is array.*RPROP takes no schedule"),
        (lambda: RPROP(smallest_step=2, largest_step=1), "largest_step is 1, .* at least 2"),
        (lambda: RPROP(CosineDecay(0.1, steps=5)), "RPROP takes no schedule"),
    ],
)
def test_a_wrong_argument_is_named(make, message):
    with pytest.raises(OptionError, match=message):
        make()


def test_rprop_may_have_a_first_step_size_for_each_parameter():
    sizes = [0.1, 0.2, 0.4]
    for given in (sizes, tuple(sizes), np.array(sizes)):
        optimizer = RPROP(given)
        assert optimizer == RPROP(sizes)
        assert hash(optimizer) == hash(RPROP(sizes))
        assert optimizer.step_sizes(3).tolist() == sizes
        assert not optimizer.draws
    with pytest.raises(OptionError, match="learning_rate has 3 step sizes, and the network has 4 parameters"):
        RPROP(sizes).step_sizes(4)
    assert RPROP(0.1).step_sizes(3) is None


def test_rprop_may_draw_its_first_step_sizes():
    optimizer = RPROP(("uniform", 0.05, 0.2), smallest_step=0)
    sizes = optimizer.step_sizes(1000, seed=3)
    assert optimizer.draws
    assert 0.05 <= sizes.min() < 0.051 < 0.199 < sizes.max() <= 0.2
    np.testing.assert_array_equal(sizes, optimizer.step_sizes(1000, seed=3))
    assert (sizes != optimizer.step_sizes(1000, seed=4)).all()
