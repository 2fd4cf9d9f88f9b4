"""The layered kernel against `fastbp.reference`, and against PyTorch's trajectories."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import fastbp
from fastbp import activations, losses, reference
from fastbp.benchmark.cases import CASES
from fastbp.checks import check_data
from fastbp.engine.division import Limits
from fastbp.engine.kernel_options import KernelOptions
from fastbp.engine.layered_run import LayeredRun
from fastbp.engine.objective import Objective
from fastbp.engine.online_run import OnlineRun
from fastbp.errors import OptionError
from tests import data
from tests.conftest import train
from tests.every_loss import EVERY_LOSS, fitting_outputs
from tests.kernels.tasks import (
    Task,
    as_reference,
    assert_same_training,
    divided,
    expected,
    flat,
    targets,
    trained,
)

OPTIMIZERS = [
    fastbp.SGD(0.1),
    fastbp.SGD(0.1, momentum=0.9),
    fastbp.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    fastbp.RMSprop(0.01),
    fastbp.RMSprop(0.01, momentum=0.5, weight_decay=0.01),
    fastbp.Adam(0.01),
    fastbp.Adam(0.01, weight_decay=0.01),
    fastbp.AdamW(0.01),
    fastbp.RPROP(0.01),
]


def reference_gradient(task: Task) -> np.ndarray:
    network, (X, Y) = task.network(), task.samples()
    backward = reference.backward(as_reference(network), X.tolist(), targets(task, Y), task.loss)
    return flat([gradient for _, gradient in backward][::-1], network)


@pytest.mark.parametrize("loss", EVERY_LOSS)
@pytest.mark.parametrize("hidden", activations.HIDDEN)
def test_loss_is_the_references(hidden, loss):
    output = (losses.row_of(loss).outputs or ("tanh",))[0]
    task = Task(hidden=hidden, loss=loss, output=output)
    network, (X, Y) = task.network(), task.samples()
    expected = reference.loss(as_reference(network), X.tolist(), Y.tolist(), loss)
    assert network.loss(X, Y) == pytest.approx(expected, rel=1e-13)


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 6), min_size=2, max_size=5),
    hidden=st.sampled_from(activations.HIDDEN),
    bias=st.sampled_from(["trainable", "none"]),
    n_samples=st.integers(1, 20),
)
def test_gradient_for_any_layer_sizes(sizes, hidden, bias, n_samples):
    task = Task(tuple(sizes), hidden, bias=bias, n_samples=n_samples)
    network, (X, Y) = task.network(), task.samples()
    assert_allclose(network.gradient(X, Y), reference_gradient(task), rtol=1e-11, atol=1e-14)


TASKS = {
    "regression": Task(),
    "classes as labels": Task(
        hidden="relu", output="softmax", loss="categorical_cross_entropy", labels=True, sizes=(3, 6, 4)
    ),
    "classes as probabilities": Task(output="softmax", loss="categorical_cross_entropy", sizes=(3, 6, 4)),
    "two classes": Task(hidden="gelu", output="sigmoid", loss="binary_cross_entropy", sizes=(3, 4, 1)),
    "no hidden layer": Task(sizes=(3, 2)),
    "no biases": Task(bias="none"),
    "fixed biases": Task(bias="fixed", hidden=("silu", "elu")),
}


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_training_follows_the_reference(task):
    assert_same_training(task)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_optimizers_follow_the_reference(optimizer):
    assert_same_training(TASKS["regression"], optimizer=optimizer, batch_size=11)


@pytest.mark.parametrize("smallest_step", [0, 0.02])
def test_rprop_begins_with_the_step_size_of_each_parameter(smallest_step):
    task = TASKS["regression"]
    sizes = np.random.default_rng(5).uniform(0.001, 0.3, task.network().theta.size)
    for optimizer in (
        fastbp.RPROP(sizes, smallest_step=smallest_step),
        fastbp.RPROP(sizes.tolist(), smallest_step=smallest_step),
    ):
        assert_same_training(task, optimizer=optimizer, batch_size=11)


def test_rprop_draws_step_sizes_from_the_seed_of_the_run():
    task = TASKS["regression"]
    (X, Y), drawing = task.samples(), fastbp.RPROP(("uniform", 0.05, 0.2))

    def theta(optimizer, seed):
        network = task.network()
        fastbp.train(network, X, Y, epochs=5, optimizer=optimizer, seed=seed)
        return network.theta.tobytes()

    sizes = drawing.step_sizes(task.network().theta.size, seed=3)
    assert theta(drawing, 3) == theta(drawing, 3) == theta(fastbp.RPROP(sizes), 8)
    assert theta(drawing, 3) != theta(drawing, 4)
    assert theta(drawing, None) != theta(drawing, None)
    with pytest.raises(OptionError, match="learning_rate has 2 step sizes"):
        theta(fastbp.RPROP([0.1, 0.2]), 0)


@pytest.mark.parametrize("batch_size", [1, 2, 5, 10, 11, 100])
def test_batches_are_those_of_the_reference(batch_size):
    assert_same_training(TASKS["classes as labels"], batch_size=batch_size)
    assert_same_training(TASKS["regression"], batch_size=batch_size, shuffle=False)


@pytest.mark.parametrize(
    "options",
    [
        {"l2": 0.1},
        {"l2": 0.1, "gradient_clip_norm": 0.05},
        {"gradient_clip_norm": 0.05},
        {"gradient_clip_norm": 1e6},
        {"update": "sequential"},
        {"sample_weight": np.arange(11) % 4 / 2},
        {"optimizer": fastbp.SGD(0.1, weight_decay=0.1), "l2": 0.1},
        {"optimizer": fastbp.SGD(fastbp.schedules.CosineDecay(0.1, 30))},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["regression", "fixed biases"])
def test_options_follow_the_reference(name, options):
    assert_same_training(TASKS[name], **options)


@pytest.mark.parametrize("trajectory", data.trajectories(), ids=str)
def test_optimizers_follow_pytorch(trajectory):
    problem = data.problem()
    keys = ("hidden_activation", "output_activation", "loss")
    network = fastbp.Network(problem["layer_sizes"], **{key: problem[key] for key in keys})
    network.theta[:] = data.problem_theta()
    done = 0
    run = None
    for steps, theta in zip(trajectory.steps, trajectory.thetas, strict=True):
        if run is None:
            X, Y = check_data(network.specification, problem["X"], problem["Y"])
            options = KernelOptions(
                len(X),
                epochs=None,
                steps=trajectory.steps[-1],
                batch_size=trajectory.batch_size,
                optimizer=trajectory.optimizer,
                shuffle=False,
            )
            run = LayeredRun(network.specification, network.theta, X, Y, options)
        run.advance(steps)
        done += 1
        assert_allclose(run.theta, theta, rtol=1e-10, atol=1e-12)
    assert done == len(trajectory.steps) > 1


@pytest.mark.parametrize("case", [case for case in CASES if case.dtype == "float64"][::3], ids=str)
def test_fused_and_layered_kernels_agree(case):
    layered, _ = train(case, steps=300, kernel="layered")
    assert_allclose(layered.theta, case.reference_theta(300), rtol=1e-12, atol=1e-12)
    fused, result = train(case, steps=300)
    assert result.kernel == "fused222"
    assert_allclose(fused.theta, layered.theta, rtol=1e-12, atol=1e-12)


def test_float32_follows_float64():
    wide = trained(TASKS["regression"], steps=50, batch_size=4, optimizer=fastbp.Adam(0.01))
    task = replace(TASKS["regression"], dtype="float32")
    narrow = trained(task, steps=50, batch_size=4, optimizer=fastbp.Adam(0.01))
    assert narrow.dtype == np.float32
    assert_allclose(narrow, wide, rtol=1e-3, atol=1e-4)


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 60), max_size=6), dropout=st.sampled_from([0.0, 0.4]))
def test_chunks_do_not_change_the_bits(cuts, dropout):
    task = TASKS["classes as labels"]
    runs = []
    for stops in ([60], [*sorted(cuts), 60]):
        network = task.network()
        X, Y = check_data(network.specification, *task.samples())
        options = KernelOptions(
            len(X),
            epochs=None,
            steps=60,
            batch_size=4,
            optimizer=fastbp.Adam(fastbp.schedules.ExponentialDecay(0.01, 0.9)),
            seed=1,
            dropout=dropout,
        )
        run = LayeredRun(network.specification, network.theta, X, Y, options)
        for stop in stops:
            run.advance(stop)
        runs.append(run)
    assert runs[0].theta.tobytes() == runs[1].theta.tobytes()
    assert runs[0].recorded.tobytes() == runs[1].recorded.tobytes()


DIVISIONS = {
    "one tile": {"tile_bytes": 2**30, "group_bytes": 0, "large_tile": 2**20},
    "tiles that a team shares": {"tile_bytes": 0, "group_bytes": 0, "large_tile": 40},
    "groups of tiles": {"tile_bytes": 0, "group_bytes": 2**30, "group_work": 1.0},
    "one group": {"tile_bytes": 0, "group_bytes": 2**30, "group_work": 1e9},
    "items of few rows": {"tile_bytes": 2**30, "group_bytes": 0, "item_rows": 16, "item_bytes": 0},
}
"""How rows may be divided."""


@pytest.mark.parametrize("options", [{}, {"gradient_clip_norm": 0.05, "l2": 0.1}], ids=str)
@pytest.mark.parametrize("sizes", DIVISIONS.values(), ids=DIVISIONS)
def test_rows_add_up_however_they_are_divided(sizes, options):
    task, limits = Task(n_samples=1000, sizes=(3, 40, 2)), Limits(**sizes)
    steps = {"steps": 5, "batch_size": 700, "optimizer": fastbp.SGD(0.1)} | options
    network, (X, Y) = task.network(), task.samples()
    found = [divided(network, X, Y, limits, **steps, seed=3, threads=threads) for threads in (1, 2, 3)]
    assert found[0].tobytes() == found[1].tobytes() == found[2].tobytes()
    assert_allclose(found[0], trained(task, **steps), rtol=1e-12, atol=1e-13)
    objective = Objective(network.specification, *check_data(network.specification, X, Y), limits=limits)
    value, gradient = objective.value_and_gradient(network.theta)
    assert value == pytest.approx(network.loss(X, Y), rel=1e-13)
    assert objective.value(network.theta) == pytest.approx(value, rel=1e-13)
    assert_allclose(gradient, network.gradient(X, Y), rtol=1e-11, atol=1e-15)


def test_dropout_trains_on_the_expected_activation():
    """With one hidden layer and an identity output, the mean gradient over masks is that without."""
    network = fastbp.Network([2, 400, 1], hidden_activation="identity", output_activation="identity", seed=0)
    X, Y = np.array([[1.0, 2.0]]), np.array([[0.5]])
    before = network.theta.copy()
    plain = network.gradient(X, Y)
    moves = []
    for seed in range(400):
        network.theta[:] = before
        fastbp.train(network, X, Y, steps=1, optimizer=fastbp.SGD(1.0), dropout=0.5, seed=seed)
        moves.append(before - network.theta)
    b2 = -1  # the output's bias: its gradient is linear in the dropped activations
    spread = np.std([move[b2] for move in moves]) / 20
    assert abs(np.mean([move[b2] for move in moves]) - plain[b2]) < 5 * spread
    zero = np.mean([np.mean(move[: 2 * 400] == 0) for move in moves])
    assert zero == pytest.approx(0.5, abs=0.01)


def test_same_seed_same_bits_and_other_seed_others():
    task = TASKS["classes as labels"]
    network = task.network()
    X, Y = task.samples()
    thetas = []
    for seed in (1, 1, 2):
        network = task.network()
        fastbp.train(network, X, Y, epochs=5, batch_size=4, optimizer=fastbp.Adam(), seed=seed, dropout=0.2)
        thetas.append(network.theta.tobytes())
    assert thetas[0] == thetas[1] != thetas[2]


def test_epoch_losses_are_the_means_of_the_batches():
    task = TASKS["regression"]
    network, (X, Y) = task.network(), task.samples()
    result = fastbp.train(network, X, Y, epochs=3, batch_size=4, shuffle=False, optimizer=fastbp.SGD(0.0))
    assert result.loss_steps.tolist() == [3, 6, 9]
    assert_allclose(result.loss_curve, network.loss(X, Y), rtol=1e-13)


def test_divergence_is_found_and_undone():
    task = TASKS["regression"]
    network, (X, Y) = task.network(), task.samples()
    before = network.theta.copy()
    with pytest.raises(fastbp.DivergenceError) as caught:
        fastbp.train(network, X * 1e200, Y, epochs=50, batch_size=4, optimizer=fastbp.SGD(1e200), seed=0)
    good = task.network()
    if caught.value.step > 1:
        fastbp.train(
            good, X * 1e200, Y, steps=caught.value.step - 1, batch_size=4, optimizer=fastbp.SGD(1e200), seed=0
        )
    assert np.isfinite(network.theta).all()
    assert network.theta.tobytes() == good.theta.tobytes()
    assert good.theta.shape == before.shape


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"l2": -1}, "l2 is -1"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"gradient_clip_norm": 0}, "gradient_clip_norm is 0"),
        ({"gradient_clip_norm": 1, "update": "sequential"}, "gradient_clip_norm"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"kernel": "fused222"}, "kernel is 'fused222'"),
        ({"optimizer": "adam"}, "optimizer is 'adam'"),
    ],
)
def test_bad_options_are_refused(options, complaint):
    task = TASKS["regression"]
    network, (X, Y) = task.network(), task.samples()
    with pytest.raises(OptionError, match=complaint):
        fastbp.train(network, X, Y, **({"epochs": 1, "optimizer": fastbp.Adam()} | options))


@pytest.mark.parametrize(
    ("weights", "complaint"),
    [
        (np.ones(3), "shape"),
        (-np.ones(11), r"sample_weight\[0\] is -1.0"),
        (np.zeros(11), "0 for every sample"),
        (np.full(11, np.nan), r"sample_weight\[0\] is nan"),
        (["a"] * 11, "dtype"),
    ],
)
def test_bad_sample_weights_are_refused(weights, complaint):
    task = TASKS["regression"]
    network, (X, Y) = task.network(), task.samples()
    with pytest.raises(fastbp.FastbpError, match=complaint):
        fastbp.train(network, X, Y, epochs=1, optimizer=fastbp.Adam(), sample_weight=weights)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_random_networks_follow_the_reference(data):
    loss = data.draw(st.sampled_from(EVERY_LOSS))
    output = data.draw(st.sampled_from(fitting_outputs(loss)))
    last = data.draw(st.sampled_from([2, 3, 17] if output == "softmax" else [1, 2, 9]))
    # A gradient that is 0 but for rounding has no sign that RPROP could follow.
    has_steps = loss == "mean_absolute_error" or loss.startswith("quantile")
    fitting = OPTIMIZERS[:-1] if has_steps else OPTIMIZERS
    hidden_sizes = data.draw(st.lists(st.sampled_from([1, 3, 8, 17]), max_size=2))
    task = Task(
        (data.draw(st.integers(1, 5)), *hidden_sizes, last),
        data.draw(st.sampled_from(activations.HIDDEN)),
        output,
        loss,
        data.draw(st.sampled_from(["trainable", "fixed", "none"])),
        labels=loss == "categorical_cross_entropy" and data.draw(st.booleans()),
        n_samples=data.draw(st.sampled_from([1, 7, 16, 33])),
    )
    options = {
        "steps": 6,
        "batch_size": data.draw(st.sampled_from([1, 5, 15, 16, 17, 32])),
        "shuffle": data.draw(st.booleans()),
        "optimizer": data.draw(st.sampled_from(fitting)),
    }
    assume(np.abs(expected(task, **options)).max() < 100)  # exp as output may diverge
    assert_same_training(task, **options, tolerance=1e-8)


@pytest.mark.parametrize("hidden", activations.HIDDEN)
def test_padding_stays_zero_and_finite(hidden):
    """Widths that are no whole vectors, and one whose rows are set apart so that they do not alias."""
    task = Task((5, 256, 3, 2), hidden, n_samples=20)
    network, (X, Y) = task.network(), task.samples()
    X, Y = check_data(network.specification, X, Y)
    for batch_size, kind in ((4, LayeredRun), (1, OnlineRun)):
        optimizer = fastbp.Adam(0.01) if batch_size > 1 else fastbp.SGD(0.01)
        options = KernelOptions(
            len(X), epochs=30, steps=None, batch_size=batch_size, optimizer=optimizer, seed=0
        )
        run = kind(network.specification, network.theta, X, Y, options)
        run.advance(options.n_steps)
        assert np.isfinite(run.theta).all()
        run._packing.pack(np.zeros_like(run.theta), run.parameters)
        assert not run.parameters.any()


@pytest.mark.parametrize("scale", [1e4, 1e30])
@pytest.mark.parametrize("output", activations.OUTPUT)
def test_saturated_networks_have_a_finite_loss_and_gradient(output, scale):
    """The squared error of a large output is large, and exp of a large z overflows. Others are bounded."""
    if output not in ("sigmoid", "tanh", "softmax") and (scale > 1e5 or output == "exp"):
        return
    for hidden in activations.HIDDEN:
        task = Task((3, 4, 3), hidden, output, "mean_squared_error")
        network, (X, Y) = task.network(), task.samples()
        assert np.isfinite(network.loss(X * scale, Y))
        assert np.isfinite(network.gradient(X * scale, Y)).all()


@pytest.mark.parametrize("loss", ["binary_cross_entropy", "categorical_cross_entropy"])
def test_cross_entropies_of_saturated_outputs_are_finite(loss):
    task = Task((3, 3), output=losses.row_of(loss).outputs[0], loss=loss)
    network, (X, Y) = task.network(), task.samples()
    assert 1e3 < network.loss(X * 1e5, Y) < 1e7
    assert np.isfinite(network.gradient(X * 1e5, Y)).all()


@pytest.mark.parametrize("sizes", [(1,) * 21, (2, 3000, 1), (3000, 2), (2, 3000)], ids=len)
def test_deep_and_wide_networks_follow_the_reference(sizes):
    assert_same_training(Task(sizes, n_samples=3), steps=3, batch_size=2, optimizer=fastbp.SGD(0.01))


def test_batch_whose_samples_weigh_nothing_changes_nothing():
    weights = np.array([0.0] * 4 + [1.0] * 7)
    options = {"steps": 1, "batch_size": 4, "shuffle": False, "sample_weight": weights}
    task = Task()
    assert_same_training(task, optimizer=fastbp.SGD(0.1), **options)
    assert (trained(task, optimizer=fastbp.SGD(0.1), **options) == task.network().theta).all()
