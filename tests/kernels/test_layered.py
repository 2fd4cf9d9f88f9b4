"""The layered kernel against `fastbp.reference`, and against PyTorch's trajectories."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import fastbp
from fastbp import activations, losses, reference
from fastbp.benchmark.cases import CASES
from fastbp.errors import OptionError
from fastbp.training import job
from fastbp.training.layered import LayeredRun
from fastbp.training.plan import make_plan
from tests import data
from tests.conftest import train

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


@dataclass(frozen=True)
class Task:
    """A network and data that fit each other."""

    sizes: tuple[int, ...] = (3, 5, 4, 2)
    hidden: tuple[str, ...] | str = "tanh"
    output: str = "identity"
    loss: str = "mean_squared_error"
    bias: str = "trainable"
    dtype: str = "float64"
    labels: bool = False
    n_samples: int = 11

    def network(self) -> fastbp.Network:
        network = fastbp.Network(
            self.sizes,
            hidden_activation=self.hidden,
            output_activation=self.output,
            loss=self.loss,
            bias=self.bias,
            dtype=self.dtype,
            seed=7,
        )
        generator = np.random.default_rng(8)
        for b in network.biases:
            b[:] = generator.normal(0, 0.3, b.shape)
        return network

    def samples(self) -> tuple[np.ndarray, np.ndarray]:
        generator = np.random.default_rng(9)
        X = generator.normal(size=(self.n_samples, self.sizes[0]))
        Y = generator.uniform(0.1, 0.9, (self.n_samples, self.sizes[-1]))
        if self.labels:
            return X, generator.integers(0, self.sizes[-1], self.n_samples)
        return X, Y / Y.sum(axis=1, keepdims=True) if self.loss == "categorical_cross_entropy" else Y


def as_reference(network: fastbp.Network) -> reference.Network:
    names = (*network.hidden_activations, network.output_activation)
    biases = network.biases or [np.zeros(W.shape[1]) for W in network.weights]
    return [
        reference.Layer(W.tolist(), b.tolist(), name)
        for W, b, name in zip(network.weights, biases, names, strict=True)
    ]


def flat(layers: list[reference.Layer], network: fastbp.Network) -> np.ndarray:
    parts = []
    for layer in layers:
        parts.append(np.ravel(layer.W))
        if network.bias != "none":
            parts.append(np.ravel(layer.b))
    return np.concatenate(parts)


def targets(task: Task, Y: np.ndarray) -> list:
    return (np.eye(task.sizes[-1])[Y] if task.labels else Y).tolist()


def reference_gradient(task: Task) -> np.ndarray:
    network, (X, Y) = task.network(), task.samples()
    backward = reference.backward(as_reference(network), X.tolist(), targets(task, Y), task.loss)
    return flat([gradient for _, gradient in backward][::-1], network)


def output_for(loss: str) -> str:
    return (losses.TABLE[losses.CODES[loss]].outputs or ("tanh",))[0]


@pytest.mark.parametrize("loss", losses.NAMES)
@pytest.mark.parametrize("hidden", activations.HIDDEN)
def test_loss_and_gradient_are_the_references(hidden, loss):
    task = Task(hidden=hidden, loss=loss, output=output_for(loss))
    network, (X, Y) = task.network(), task.samples()
    layers = as_reference(network)
    assert network.loss(X, Y) == pytest.approx(
        reference.loss(layers, X.tolist(), Y.tolist(), loss), rel=1e-13
    )
    assert_allclose(network.gradient(X, Y), reference_gradient(task), rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("loss", ["half_squared_error", "huber", "mean_absolute_error", "poisson"])
@pytest.mark.parametrize("output", activations.OUTPUT)
def test_every_output_activation_has_the_references_gradient(output, loss):
    fitting = losses.TABLE[losses.CODES[loss]].outputs
    task = Task(loss=loss, output=output if not fitting or output in fitting else fitting[0])
    network, (X, Y) = task.network(), task.samples()
    assert_allclose(network.gradient(X, Y), reference_gradient(task), rtol=1e-11, atol=1e-14)


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


def trained(task: Task, *, steps: int, **options: Any) -> np.ndarray:
    network, (X, Y) = task.network(), task.samples()
    result = fastbp.train(network, X, Y, steps=steps, kernel="layered", seed=3, **options)
    assert result.kernel == "layered"
    return network.theta


def expected(task: Task, *, steps: int, batch_size: int, shuffle: bool, **options: Any) -> np.ndarray:
    network, (X, Y) = task.network(), task.samples()
    layers = as_reference(network)
    state = int(np.random.SeedSequence(3).generate_state(1, np.uint64)[0])
    reference.train(
        layers,
        X.tolist(),
        targets(task, Y),
        steps=steps,
        batch_size=batch_size,
        generator_state=state if shuffle else None,
        loss=task.loss,
        train_biases=task.bias == "trainable",
        **options,
    )
    return flat(layers, network)


def assert_same_training(task: Task, *, tolerance: float = 1e-9, **options: Any) -> None:
    options = {"steps": 40, "batch_size": 4, "shuffle": True, "optimizer": fastbp.Adam(0.01)} | options
    assert_allclose(trained(task, **options), expected(task, **options), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_training_follows_the_reference(task):
    assert_same_training(task)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_optimizers_follow_the_reference(optimizer):
    assert_same_training(TASKS["regression"], optimizer=optimizer, batch_size=11)


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
            X, Y = network.check_data(problem["X"], problem["Y"])
            plan = make_plan(
                len(X),
                network.dtype,
                epochs=None,
                steps=trajectory.steps[-1],
                batch_size=trajectory.batch_size,
                optimizer=trajectory.optimizer,
                shuffle=False,
            )
            run = LayeredRun(network, X, Y, plan)
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
        X, Y = network.check_data(*task.samples())
        plan = make_plan(
            len(X),
            network.dtype,
            epochs=None,
            steps=60,
            batch_size=4,
            optimizer=fastbp.Adam(fastbp.schedules.ExponentialDecay(0.01, 0.9)),
            seed=1,
            dropout=dropout,
        )
        run = LayeredRun(network, X, Y, plan)
        for stop in stops:
            run.advance(stop)
        runs.append(run)
    assert runs[0].theta.tobytes() == runs[1].theta.tobytes()
    assert runs[0].recorded.tobytes() == runs[1].recorded.tobytes()


LAYOUTS = {
    "one tile": {"TILE_BYTES": 2**30, "GROUP_BYTES": 0, "LARGE_TILE": 2**20},
    "tiles that a team shares": {"TILE_BYTES": 0, "GROUP_BYTES": 0, "LARGE_TILE": 40},
    "groups of tiles": {"TILE_BYTES": 0, "GROUP_BYTES": 2**30},
    "items of few rows": {"TILE_BYTES": 2**30, "GROUP_BYTES": 0, "ITEM_ROWS": 16, "ITEM_BYTES": 0},
}
"""How rows may be divided."""


@pytest.mark.parametrize("options", [{}, {"gradient_clip_norm": 0.05, "l2": 0.1}], ids=str)
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_rows_add_up_however_they_are_divided(layout, options, monkeypatch):
    task = Task(n_samples=1000, sizes=(3, 40, 2))
    steps = {"steps": 5, "batch_size": 700, "optimizer": fastbp.SGD(0.1)} | options
    usual = trained(task, **steps)
    network, (X, Y) = task.network(), task.samples()
    loss, gradient = network.loss(X, Y), network.gradient(X, Y)
    for name, value in layout.items():
        monkeypatch.setattr(job, name, value)
    divided = [trained(task, **steps, threads=threads) for threads in (1, 2, 3)]
    assert divided[0].tobytes() == divided[1].tobytes() == divided[2].tobytes()
    assert_allclose(divided[0], usual, rtol=1e-12, atol=1e-13)
    assert network.loss(X, Y) == pytest.approx(loss, rel=1e-13)
    assert_allclose(network.gradient(X, Y), gradient, rtol=1e-11, atol=1e-15)


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
