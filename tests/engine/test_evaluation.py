"""Predictions, losses and gradients of many rows: in chunks, between which Ctrl-C is answered."""

import signal
from functools import partial

import numpy as np
import pytest

from fastbp import Network
from fastbp.engine import evaluation
from fastbp.engine.evaluation import with_room
from fastbp.engine.objective import Objective
from fastbp.engine.team import Pace, Team
from tests.kernels.tasks import Turns


def predict(network, X, Y, make_team, chunk_work, **options):
    of = network.specification, with_room(network.theta), X
    return evaluation.predict(*of, make_team=make_team, chunk_work=chunk_work, **options)


def loss(network, X, Y, make_team, chunk_work, **options):
    of = network.specification, with_room(network.theta), X, Y
    return evaluation.loss(*of, make_team=make_team, chunk_work=chunk_work, **options)


def gradient(network, X, Y, make_team, chunk_work, **options):
    X = X.astype(network.dtype)
    objective = Objective(network.specification, X, Y, make_team=make_team, **options)
    return objective.value_and_gradient(network.theta)[1]


EVALUATIONS = {"predict": predict, "loss": loss, "gradient": gradient}
"""The evaluations of `Network`, with chunks of any length."""


@pytest.fixture
def samples():
    generator = np.random.default_rng(0)
    return generator.normal(size=(6000, 7)), generator.normal(size=(6000, 3))


@pytest.fixture
def network():
    return Network([7, 33, 3], hidden_activation="tanh", output_activation="identity", seed=0)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_chunks_change_no_bit(dtype, threads, samples):
    network = Network([7, 33, 3], hidden_activation="tanh", output_activation="identity", dtype=dtype, seed=0)
    X, Y = (array.astype(dtype) for array in samples)
    whole = {
        "predict": network.predict(X, threads=threads),
        "loss": network.loss(X, Y, threads=threads),
        "gradient": network.gradient(X, Y, threads=threads),
    }
    for work, seconds in ((0.0, 0.0), (1e5, 1e-5)):
        for name, evaluate in EVALUATIONS.items():
            found = evaluate(network, X, Y, partial(Team, chunk_seconds=seconds), work, threads=threads)
            assert np.asarray(found).tobytes() == np.asarray(whole[name]).tobytes()


@pytest.mark.parametrize(("dtype", "width"), [("float32", 256), ("float64", 128)])
def test_wide_networks_are_evaluated_on_padded_parameters_with_the_same_bits(dtype, width):
    generator = np.random.default_rng(0)
    network = Network([9, width, width, 3], output_activation="identity", dtype=dtype, seed=0)
    many = evaluation.WORTH_A_COPY
    X, Y = (generator.normal(size=(3 * many, n)).astype(dtype) for n in (9, 3))
    before = network.theta.copy()
    few = [slice(i, i + many // 2) for i in range(0, len(X), many // 2)]
    assert network.predict(X).tobytes() == b"".join(network.predict(X[rows]).tobytes() for rows in few)
    losses = [evaluation.loss(network.specification, with_room(before), X[rows], Y[rows]) for rows in few]
    assert network.loss(X, Y) == pytest.approx(np.mean(losses), rel=1e-14)
    assert network.theta.tobytes() == before.tobytes()


class ListingTeam(Team):
    """A team of two whose chunks are as short as they can be, and whose numbers of threads are listed."""

    def __init__(self, n_threads: int, numbers: list):
        super().__init__(2, chunk_seconds=0.0)
        self._numbers = numbers

    def run(self, job, until=0, n_threads=None):
        self._numbers.append(n_threads)
        super().run(job, until, n_threads)


class Crowded(Pace):
    """The pace of a team that is held up after its first two chunks."""

    def __init__(self):
        super().__init__(2, fixed=False)
        self._n_chunks = 0

    def record(self, steps, seconds):
        self._n_chunks += 1
        is_fast = self.threads() == 1 or self._n_chunks <= 2
        super().record(steps, steps * (0.2 if is_fast else 1.0))


@pytest.mark.parametrize("name", EVALUATIONS)
def test_evaluations_fall_back_to_one_thread_with_the_same_bits(name, samples, network):
    evaluate, numbers = EVALUATIONS[name], []
    expected = evaluate(network, *samples, Team, 1e8, threads=1)
    for pace in (Crowded(), Turns([1, 2, 2, 1])):
        numbers.clear()
        found = evaluate(network, *samples, partial(ListingTeam, numbers=numbers), 0.0, pace=pace)
        assert np.asarray(found).tobytes() == np.asarray(expected).tobytes()
        assert {1, 2} == set(numbers)


def test_chunks_of_one_length_share_a_job(network, samples):
    jobs = []

    class KeepingTeam(Team):
        def run(self, job, *arguments):
            jobs.append(job)
            super().run(job, *arguments)

    predict(network, *samples, KeepingTeam, 0.0)
    assert len(jobs) > 10
    assert len(set(map(id, jobs))) == 2  # the last chunk is shorter


class PressingTeam(Team):
    """A team whose chunks are as short as they can be. It presses Ctrl-C after a call of the kernel."""

    def __init__(self, n_threads: int, calls: list, press_at: int):
        super().__init__(n_threads, chunk_seconds=0.0)
        self._calls, self._press_at = calls, press_at

    def run(self, *arguments):
        super().run(*arguments)
        self._calls.append(arguments)
        if len(self._calls) == self._press_at:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("name", EVALUATIONS)
def test_ctrl_c_is_answered_between_two_chunks(name, samples, network):
    def calls(press_at):
        listed = []
        try:
            EVALUATIONS[name](network, *samples, partial(PressingTeam, calls=listed, press_at=press_at), 0.0)
        except KeyboardInterrupt:
            assert press_at
        return len(listed)

    assert calls(press_at=0) >= 4
    assert calls(press_at=3) == 3


def test_rows_are_predicted_in_one_call_only_if_they_are_little_work():
    few = [
        Network(sizes, initializer="zeros")._few_rows
        for sizes in ([7, 33, 3], [3000, 1000], [11_000, 10_000])
    ]
    assert few == [64, 33, 0]
