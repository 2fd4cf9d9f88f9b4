import pickle

import numpy as np
import pytest

import fastbp
from fastbp import SGD, Network, TrainingResult
from fastbp.engine.kernel_options import MAX_RECORDS


def run(n_samples, dtype="float64", math="fast", **options):
    generator = np.random.default_rng(n_samples)
    X, Y = generator.uniform(-1, 1, (n_samples, 2)), generator.uniform(0, 1, (n_samples, 2))
    network = Network([2, 2, 2], dtype=dtype, seed=0)
    before = network.loss(X, Y)
    optimizer = SGD(learning_rate=0.5)
    result = fastbp.train(network, X, Y, batch_size=1, optimizer=optimizer, seed=0, math=math, **options)
    return result, before, network.loss(X, Y)


LENGTHS = [
    (1, {"steps": 1}),
    (1, {"steps": 1000}),
    (1, {"steps": 1001}),
    (1, {"steps": 10_000_000}),
    (2, {"steps": 3}),
    (3, {"epochs": 7}),
    (7, {"steps": 3}),
    (7, {"steps": 10_007}),
    (300, {"steps": 299}),
    (300, {"steps": 300}),
    (300, {"steps": 301}),
    (997, {"epochs": 1009}),
    (5000, {"steps": 1}),
    (5000, {"epochs": 1}),
    (5000, {"steps": 123_456}),
]


@pytest.mark.parametrize("math", ["fast", "exact"])
@pytest.mark.parametrize(("n_samples", "length"), LENGTHS, ids=str)
def test_loss_curve_goes_from_the_start_to_the_end(n_samples, length, math):
    if math == "exact" and length == {"steps": 10_000_000}:
        length = {"steps": 1_000_000}
    result, before, after = run(n_samples, math=math, **length)
    n_steps = length.get("steps") or length["epochs"] * n_samples
    steps, curve = result.loss_steps, result.loss_curve
    assert result.n_steps == n_steps
    assert result.stop_reason == "completed"
    assert (steps.dtype, curve.dtype, steps.shape) == (np.int64, np.float64, curve.shape)
    assert (steps[0], steps[-1]) == (0, n_steps)
    assert 2 <= len(steps) <= MAX_RECORDS + 2
    gaps = np.diff(steps)
    assert (gaps > 0).all()
    assert (gaps[:-1] == gaps[0]).all()
    assert gaps[-1] <= gaps[0]
    assert (steps[:-1] % n_samples == 0).all()
    assert curve[0] == pytest.approx(before, rel=1e-12)
    assert curve[-1] == result.loss == pytest.approx(after, rel=1e-12)


def test_short_runs_record_every_epoch():
    result, _, _ = run(7, epochs=1000)
    assert result.loss_steps.tolist() == list(range(0, 7001, 7))


def test_float32_losses_are_those_of_the_network():
    result, before, after = run(300, dtype="float32", epochs=10)
    assert result.loss_curve[[0, -1]] == pytest.approx([before, after], rel=1e-5)


def test_seconds_do_not_count_the_compilation():
    result, _, _ = run(1, steps=1)
    assert 0 <= result.seconds < 60


def test_result_says_in_short_what_happened_and_survives_pickling():
    result, _, _ = run(3, steps=5)
    assert repr(result).startswith("TrainingResult(n_steps=5, seconds=")
    copy = pickle.loads(pickle.dumps(result))
    assert isinstance(copy, TrainingResult)
    assert copy.loss_curve.tolist() == result.loss_curve.tolist()


def test_results_can_be_compared_and_kept_in_a_set():
    first, second = run(3, steps=5)[0], run(3, steps=5)[0]
    assert first == first
    assert first != second
    assert len({first, second}) == 2
