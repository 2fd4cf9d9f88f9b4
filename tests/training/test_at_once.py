"""A run that is over at once may start over; nobody sees a difference, except in time."""

import gc
import threading
import weakref

import numpy as np
import pytest

import fastbp
from fastbp import SGD, Adam
from fastbp.schedules import InverseScaling
from fastbp.training import IDLE
from tests.training.seams import Seams
from tests.training.seams import train as train_anew

GENERATOR = np.random.default_rng(0)
SAME = {"hidden_activation": "relu", "output_activation": "softmax", "loss": "categorical_cross_entropy"}
CASES = {
    "fused222": ((2, 2, 2), {}, {"steps": 7, "batch_size": 1, "optimizer": SGD(0.5)}),
    "exact": ((2, 2, 2), {}, {"steps": 7, "batch_size": 1, "optimizer": SGD(0.5), "math": "exact"}),
    "in order": ((2, 2, 2), {}, {"epochs": 2, "batch_size": 1, "optimizer": SGD(0.5), "shuffle": False}),
    "online": ((4, 40, 3), SAME, {"steps": 5, "batch_size": 1, "optimizer": SGD(0.1), "l2": 0.01}),
    "narrow": ((4, 6, 3), SAME, {"epochs": 2, "batch_size": 1, "optimizer": SGD(InverseScaling(0.1, 9.0))}),
    "layered": ((4, 10, 3), SAME, {"epochs": 2, "batch_size": 5, "optimizer": Adam(0.01), "dropout": 0.3}),
    "full batch": ((4, 10, 3), SAME, {"steps": 2, "optimizer": SGD(0.1, momentum=0.9)}),
    "clipped": ((4, 10, 3), SAME, {"steps": 2, "optimizer": Adam(0.01), "gradient_clip_norm": 0.1}),
    "sequential": ((4, 10, 3), SAME, {"steps": 2, "optimizer": Adam(0.01), "update": "sequential"}),
}


@pytest.fixture
def idle():
    IDLE.forget()
    return IDLE


def network_of(case, seed=0):
    sizes, options, _ = CASES[case]
    return fastbp.Network(sizes, seed=seed, **options)


def samples(case, n=12):
    (n_inputs, *_, n_outputs), options, _ = CASES[case]
    X = GENERATOR.normal(size=(n, n_inputs))
    return X, GENERATOR.integers(0, n_outputs, n) if options else GENERATOR.random((n, n_outputs))


def assert_same(result, expected, network, other):
    assert network.theta.tobytes() == other.theta.tobytes()
    assert result.loss_curve.tobytes() == expected.loss_curve.tobytes()
    assert result.loss_steps.tolist() == expected.loss_steps.tolist()
    assert (result.n_steps, result.stop_reason, result.kernel, result.best_epoch) == (
        expected.n_steps,
        expected.stop_reason,
        expected.kernel,
        expected.best_epoch,
    )
    assert {name: column.tolist() for name, column in result.history.items()} == {
        name: column.tolist() for name, column in expected.history.items()
    }


@pytest.mark.parametrize("case", CASES)
def test_call_after_call_has_the_bits_of_runs_of_their_own(case):
    options = CASES[case][2]
    for seed in (3, 4, 3, 5):
        X, Y = samples(case)
        network, other = network_of(case, seed), network_of(case, seed)
        for _ in range(2):
            result = fastbp.train(network, X, Y, seed=seed, progress=False, **options)
            expected = train_anew(other, X, Y, seed=seed, progress=False, seams=Seams(), **options)
            assert_same(result, expected, network, other)


def test_guesses_of_the_last_call_change_no_bit(idle):
    options = {"steps": 11, "batch_size": 1, "optimizer": SGD(0.5), "progress": False}
    network = network_of("fused222")
    for seed in range(150):
        X, Y = samples("fused222", 4)
        other = fastbp.Network([2, 2, 2])
        other.theta[:] = network.theta
        result = fastbp.train(network, X, Y, seed=seed, **options)
        expected = train_anew(other, X, Y, seed=seed, seams=Seams(), **options)
        assert_same(result, expected, network, other)
    assert len(idle) == 1


def test_a_run_is_kept_and_used(idle):
    network, (X, Y) = network_of("layered"), samples("layered")
    fastbp.train(network, X, Y, seed=1, **CASES["layered"][2])
    assert len(idle) == 1
    fastbp.train(network_of("layered"), *samples("layered"), seed=2, **CASES["layered"][2])
    assert len(idle) == 1
    fastbp.train(network, *samples("layered", 13), seed=1, **CASES["layered"][2])
    assert len(idle) == 2


def test_only_so_many_runs_are_kept_and_the_oldest_goes(idle):
    for n in range(1, 20):
        fastbp.train(network_of("narrow"), *samples("narrow", n), **CASES["narrow"][2])
    assert len(idle) == 16
    assert fastbp.train(network_of("narrow"), *samples("narrow", 1), **CASES["narrow"][2]).n_steps == 2
    assert len(idle) == 16


@pytest.mark.parametrize(
    "watched",
    [
        {"callbacks": (lambda state: None,)},
        {"metrics": ("accuracy",)},
        {"max_seconds": 60.0},
        {"early_stopping": fastbp.EarlyStopping(patience=3)},
        {"sample_weight": np.ones(12)},
    ],
)
def test_runs_that_are_looked_at_or_weighted_are_not_kept(idle, watched):
    fastbp.train(network_of("layered"), *samples("layered"), **CASES["layered"][2], **watched)
    assert len(idle) == 0


def test_long_runs_are_not_kept(idle):
    options = CASES["narrow"][2] | {"epochs": 201}
    fastbp.train(network_of("narrow"), *samples("narrow"), **options)
    assert len(idle) == 0


@pytest.mark.parametrize("case", ["fused222", "narrow", "layered"])
def test_samples_are_let_go(case):
    X, Y = samples(case)
    alive = weakref.ref(X), weakref.ref(Y)
    for _ in range(2):
        fastbp.train(network_of(case), X, Y, **CASES[case][2])
    del X, Y
    gc.collect()
    assert [reference() for reference in alive] == [None, None]


@pytest.mark.parametrize("case", ["fused222", "narrow", "layered"])
def test_bad_samples_are_refused_after_good_ones(case):
    network, (X, Y) = network_of(case), samples(case)
    options = CASES[case][2]
    fastbp.train(network, X, Y, **options)
    theta = network.theta.copy()
    bad = X.copy()
    bad[3, 1] = np.nan
    with pytest.raises(fastbp.errors.DataError, match=r"X\[3, 1\] is nan"):
        fastbp.train(network, bad, Y, **options)
    with pytest.raises(fastbp.errors.ShapeError, match="12 samples and Y has 11"):
        fastbp.train(network, X, Y[:11], **options)
    with pytest.raises(fastbp.errors.ShapeError, match="features"):
        fastbp.train(network, X[:, :1], Y, **options)
    if Y.ndim == 1:
        with pytest.raises(fastbp.errors.DataError, match=r"Y\[0\] is 3"):
            fastbp.train(network, X, np.where(np.arange(12) == 0, 3, Y), **options)
    assert network.theta.tobytes() == theta.tobytes()


@pytest.mark.parametrize("option", [{"batch_size": True}, {"steps": 2.0}, {"l2": "0"}, {"optimizer": [1]}])
def test_equal_options_of_another_type_are_checked(option):
    options = {"steps": 2, "batch_size": 1, "optimizer": SGD(0.1)}
    fastbp.train(network_of("narrow"), *samples("narrow"), **options)
    with pytest.raises(fastbp.errors.OptionError, match=next(iter(option))):
        fastbp.train(network_of("narrow"), *samples("narrow"), **options | option)


def test_a_bad_seed_is_refused():
    fastbp.train(network_of("narrow"), *samples("narrow"), **CASES["narrow"][2])
    with pytest.raises(fastbp.errors.OptionError, match="seed"):
        fastbp.train(network_of("narrow"), *samples("narrow"), seed=-1, **CASES["narrow"][2])


@pytest.mark.parametrize("case", ["fused222", "narrow", "layered"])
def test_divergence_names_its_step_and_leaves_nothing_behind(case):
    options, (X, Y) = CASES[case][2], samples(case)
    fastbp.train(network_of(case), X, Y, seed=0, **options)
    network = network_of(case)
    network.theta[0] = 1e308
    with pytest.raises(fastbp.DivergenceError):
        fastbp.train(network, 1e300 * X, Y, seed=0, **options)
    network, other = network_of(case), network_of(case)
    fastbp.train(network, X, Y, seed=0, **options)
    train_anew(other, X, Y, seed=0, seams=Seams(), **options)
    assert network.theta.tobytes() == other.theta.tobytes()


def test_samples_may_be_views_of_the_parameters():
    options = {"steps": 3, "optimizer": SGD(0.1), "batch_size": 2, "shuffle": False}
    network, other = (fastbp.Network([4, 3, 4], seed=0) for _ in range(2))
    for _ in range(3):
        X, Y = network.theta[:8].reshape(2, 4), network.theta[8:16].reshape(2, 4)
        copies = X.copy(), Y.copy()
        fastbp.train(network, X, Y, seed=0, **options)
        train_anew(other, *copies, seed=0, seams=Seams(), **options)
        assert network.theta.tobytes() == other.theta.tobytes()


def test_without_a_seed_each_call_shuffles_anew():
    X, Y = samples("layered")
    thetas = set()
    for _ in range(4):
        network = network_of("layered")
        fastbp.train(network, X, Y, **CASES["layered"][2])
        thetas.add(network.theta.tobytes())
    assert len(thetas) == 4


def test_threads_get_a_run_each():
    X, Y = samples("layered")
    expected = network_of("layered")
    train_anew(expected, X, Y, seed=1, seams=Seams(), **CASES["layered"][2])
    wrong = []

    def work():
        for _ in range(50):
            network = network_of("layered")
            fastbp.train(network, X, Y, seed=1, **CASES["layered"][2])
            if network.theta.tobytes() != expected.theta.tobytes():
                wrong.append(network)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_step_of_a_trainer_takes_all_rows_of_many_tiles():
    n = 20_000
    X, Y = GENERATOR.random((n, 1)), GENERATOR.random((n, 1))
    network, other = (fastbp.Network([1, 1], seed=0) for _ in range(2))
    with fastbp.Trainer(network, optimizer=SGD(0.1)) as trainer:
        for _ in range(3):
            trainer.step(X, Y)
    assert trainer.n_steps == 3
    fastbp.train(other, X, Y, steps=3, shuffle=False, optimizer=SGD(0.1), kernel="layered")
    assert network.theta.tobytes() == other.theta.tobytes()
