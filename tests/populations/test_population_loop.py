"""A population's run can be stopped, saved and resumed at any moment, with the bits of one that was not."""

import signal
import time
import warnings

import numpy as np
import pytest

import fastbp
from fastbp import (
    SGD,
    Adam,
    Checkpoint,
    CheckpointError,
    EarlyStopping,
    ModelFileError,
    Population,
    schedules,
)
from fastbp.checks import check_data
from fastbp.engine.population_choice import start_population
from fastbp.engine.population_run import PopulationRun
from fastbp.interchange.tensor_file import read_tensors, write_tensors
from fastbp.populations.members import REASONS
from fastbp.populations.monitors import AdaptiveStates
from fastbp.populations.population_assembly import make_population_loop
from fastbp.populations.settings import PopulationSettings
from fastbp.training.monitoring import MonitoringOptions
from fastbp.training.pace import Pacing
from fastbp.training.progress import ProgressBar
from fastbp.training.stopping import StopReason
from tests.processes import start
from tests.training.seams import Clock

GENERATOR = np.random.default_rng(0)
X, Y = GENERATOR.uniform(-1, 1, (11, 3)), GENERATOR.uniform(0.1, 0.9, (11, 2))
N = 37

ADAPTIVE = SGD(schedules.Adaptive(2.0, factor=2, patience=1, tolerance=0.01, minimum=0.01))
TASKS = {
    "plain": {"optimizer": SGD(0.3)},
    "own order, dropout": {"optimizer": Adam(0.02), "own_order": True, "dropout": 0.2},
    "early stopping": {
        "optimizer": SGD(1.5, momentum=0.5),
        "early_stopping": EarlyStopping(patience=2),
        "validation_weight": np.random.default_rng(2).uniform(0, 1, (N, 11)),
        "metrics": ["r2"],
    },
    "rules, goal": {
        "optimizer": SGD(1.5),
        "early_stopping": EarlyStopping(rule="GL(3) & UP(2) | PQ(0.5)"),
        "goal": 0.032,
        "every": 3,
        "validation_weight": np.random.default_rng(3).uniform(0, 1, (N, 11)),
    },
    "adaptive": {"optimizer": ADAPTIVE},
    "layered, own order, dropout, rules": {
        "kernel": "layered",
        "optimizer": Adam(0.02),
        "own_order": True,
        "dropout": 0.2,
        "early_stopping": EarlyStopping(patience=2),
    },
    "diverging": {"optimizer": SGD(), "learning_rate": np.geomspace(0.1, 1e9, N)},
}


def make(name):
    activations = {"hidden_activation": "tanh"}
    if name == "diverging":
        activations = {"hidden_activation": "identity", "output_activation": "identity"}
    return Population([3, 4, 2], N, seed=1, **activations)


class WatchedRun:
    """A run of a population that calls a function before each of its calls of `advance`."""

    def __init__(self, run, before, calls=None):
        self.__dict__.update(run=run, before=before, calls=[] if calls is None else calls)

    def __getattr__(self, name):
        return getattr(self.run, name)

    def __setattr__(self, name, value):
        setattr(self.run, name, value)

    def advance(self, until, is_stopped):
        self.calls.append(until)
        self.before(len(self.calls))
        self.run.advance(until, is_stopped)

    def select(self, networks):
        return WatchedRun(self.run.select(networks), self.before, self.calls)


ONE_STEP_A_CHUNK = Pacing(chunk_seconds=0.0)


def train(name, epochs=20, before=lambda call: None, population=None, **options):
    """Train as `train_population` does, one step a chunk; return the population and the result."""
    population = population or make(name)
    options = {"epochs": epochs, "batch_size": 3, "seed": 2} | TASKS[name] | options
    seams = {"pacing": ONE_STEP_A_CHUNK}
    seams |= {key: options.pop(key) for key in ("progress", "pacing") if key in options}
    weights = options.pop("validation_weight", None)
    data = check_data(population.specification, X, Y)
    of_loop = MonitoringOptions(
        validation_data=None if weights is None else data,
        **{key: options.pop(key) for key in LOOP_OPTIONS & options.keys()},
    )
    settings = PopulationSettings(len(X), population.indices, **options)
    run = start_population(
        population.specification, population.theta, *data, settings.of_kernel, settings.kernel
    )
    loop = make_population_loop(
        WatchedRun(run, before), population, data, settings, of_loop, weights, **seams
    )
    return population, loop.train()


LOOP_OPTIONS = {
    "metrics",
    "early_stopping",
    "goal",
    "every",
    "callbacks",
    "checkpoint",
    "resume",
    "max_seconds",
}


def bits(population, result):
    history = {name: column.tobytes() for name, column in result.history.items()}
    numbers = [result.loss, result.n_steps, result.diverged_at, result.reasons]
    numbers += [array for array in (result.validation_loss, result.best_epoch) if array is not None]
    return population.theta.tobytes(), history, [array.tobytes() for array in numbers]


def press_at(nth):
    def press(call):
        if call == nth:
            signal.raise_signal(signal.SIGINT)

    return press


@pytest.mark.parametrize("name", TASKS)
def test_a_run_that_is_interrupted_and_resumed_has_the_bits_of_a_whole_one(name, tmp_path):
    whole = train(name)
    assert bits(*train(name, pacing=Pacing())) == bits(*whole)  # however it is cut into chunks
    if name == "early stopping":
        assert len(set(whole[1].n_steps)) > 3
    if name != "plain":
        assert name == "own order, dropout" or len(set(whole[1].n_steps)) > 1
    options = {"checkpoint": Checkpoint(tmp_path, every="1h")}
    steps = []
    for nth in (2, 7, 20, 21):
        population, result = train(name, before=press_at(nth), **options)
        assert result.interrupted
        assert "interrupted" in set(result.stop_reason)
        steps.append(int(result.n_steps.max()))
        assert np.isfinite(population.theta).all()
    assert steps == sorted(set(steps))
    assert bits(*train(name, **options)) == bits(*whole)
    assert bits(*train(name, **options)) == bits(*whole)  # it is over, and gives its result again


KILLED = """
import sys
from tests.populations.test_population_loop import Checkpoint, Pacing, train
train(sys.argv[1], 4000, pacing=Pacing(), checkpoint=Checkpoint(sys.argv[2], every="0.001ms"))
"""


@pytest.mark.parametrize("name", ["own order, dropout", pytest.param("adaptive", marks=pytest.mark.soak)])
def test_a_run_that_is_killed_and_resumed_has_the_bits_of_a_whole_one(name, tmp_path):
    with start(KILLED, name, str(tmp_path)) as process:
        while process.poll() is None and len(list(tmp_path.glob("*.safetensors"))) < 3:
            time.sleep(0.001)
        process.kill()
    resumed = train(name, 4000, pacing=Pacing(), checkpoint=Checkpoint(tmp_path, every="1h"))
    assert bits(*resumed) == bits(*train(name, 4000, pacing=Pacing()))


@pytest.mark.parametrize("name", ["plain", "early stopping"])
def test_a_run_that_is_over_goes_on_with_more_epochs(name, tmp_path):
    train(name, 4, checkpoint=Checkpoint(tmp_path))
    population, result = train(name, 20, checkpoint=Checkpoint(tmp_path))
    assert bits(population, result) == bits(*train(name, 20))


def test_a_resumed_run_may_have_callbacks_that_it_had_not_before(tmp_path):
    """Their first epoch is the next that ends, though a history of so many epochs is thinned."""
    train("plain", 3000, before=press_at(20), checkpoint=Checkpoint(tmp_path))
    seen = []

    def look(state):
        seen.append(state.epoch)
        if state.epoch == 8:
            state.stop()

    train("plain", 3000, callbacks=[look], checkpoint=Checkpoint(tmp_path))
    assert seen == [5, 6, 7, 8]


def test_networks_that_have_ended_leave_the_run():
    sizes = []

    def look(run, select):
        def selected(networks):
            sizes.append((run.n_networks, len(networks)))
            return select(networks)

        return selected

    population = make("plain")
    data = check_data(population.specification, X, Y)
    settings = PopulationSettings(11, population.indices, epochs=6, optimizer=SGD(0.1), seed=0)
    run = PopulationRun(population.specification, population.theta, *data, settings.of_kernel)
    run.select = look(run, run.select)

    def stop(state):
        state.stop(np.arange(N) >= N - 6 * state.epoch)

    options = MonitoringOptions(callbacks=[stop])
    make_population_loop(run, population, data, settings, options).train()
    assert sizes[0] == (37, 13)


def test_checkpoints_are_written_by_epochs(tmp_path):
    steps = []

    def look(call):
        for path in tmp_path.glob("*.safetensors"):
            steps.append(read_tensors(path, "checkpoint", 2)[0]["step"])

    train("plain", 9, before=look, checkpoint=Checkpoint(tmp_path, every=3, keep=100))
    assert set(steps) == {0, 12, 24}


def test_a_checkpoint_of_other_networks_or_options_is_refused(tmp_path):
    train("plain", 4, checkpoint=Checkpoint(tmp_path))
    others = [
        {"seed": 3},
        {"l2": [0.0] * 36 + [0.1]},
        {"learning_rate": 0.2},
        {"batch_size": 4},
        {"sample_weight": np.arange(11)},
        {"population": Population([3, 4, 2], N, hidden_activation="tanh", first=1)},
        {"population": Population([3, 4, 2], N - 1, hidden_activation="tanh"), "l2": 0.0},
        {"early_stopping": EarlyStopping()},
        {"own_order": True},
    ]
    for other in others:
        with pytest.raises(CheckpointError, match="is a checkpoint of another run"):
            train("plain", 4, checkpoint=Checkpoint(tmp_path), **other)
    train("plain", 4, checkpoint=Checkpoint(tmp_path), resume=False, seed=3)
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        train("plain", 4, checkpoint=Checkpoint(tmp_path / "other"), resume=True)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    train("early stopping", 6, checkpoint=Checkpoint(tmp_path, keep=1))
    (path,) = tmp_path.glob("*.safetensors")
    document, tensors = read_tensors(path, "checkpoint", 2)
    for name, tensor in tensors.items():
        for wrong in (tensor[:0], np.concatenate([tensor, tensor]), None):
            changed = {key: value for key, value in tensors.items() if key != name}
            if wrong is not None:
                changed[name] = wrong
            if name == "best_theta" and wrong is None:
                continue  # a run has none before its first epoch ends
            write_tensors(path, "checkpoint", 2, document, changed)
            with pytest.raises((ModelFileError, CheckpointError)):
                train("early stopping", 6, checkpoint=Checkpoint(tmp_path))
    for name, wrong in (("numbers", 99), ("numbers", -1), ("reasons", 50), ("looks", None)):
        changed = dict(tensors)
        changed[name] = tensors[name].copy() if wrong else tensors[name].astype(float)
        if wrong:
            changed[name][0] = wrong
            write_tensors(path, "checkpoint", 2, document, changed)
            with pytest.raises(ModelFileError):
                train("early stopping", 6, checkpoint=Checkpoint(tmp_path))
    write_tensors(path, "checkpoint", 2, document | {"n_epochs": 99}, tensors)
    with pytest.raises(ModelFileError, match="its counters"):
        train("early stopping", 6, checkpoint=Checkpoint(tmp_path))


def test_ctrl_c_in_a_callback_ends_the_run():
    def press(state):
        if state.epoch == 3:
            signal.raise_signal(signal.SIGINT)
            raise AssertionError("not reached")

    population, result = train("plain", callbacks=[press])
    assert (result.interrupted, set(result.stop_reason), set(result.n_steps)) == (True, {"interrupted"}, {12})
    assert population.theta.tobytes() == train("plain", 3)[0].theta.tobytes()


def test_ctrl_c_after_the_last_step_is_told():
    def press(state):
        if state.epoch == 5:
            state.stop()

    _, result = train("plain", 5, before=press_at(21), callbacks=[press])
    assert result.interrupted


def test_a_time_limit_ends_the_run_and_it_can_be_resumed(tmp_path):
    pacing = Pacing(clock=Clock(seconds_a_look=1.0), chunk_seconds=0.0)
    _, result = train("plain", max_seconds=30, pacing=pacing, checkpoint=Checkpoint(tmp_path, every="1h"))
    assert set(result.stop_reason) == {"max_seconds"}
    assert 0 < result.n_steps[0] < 80
    assert bits(*train("plain", checkpoint=Checkpoint(tmp_path))) == bits(*train("plain"))


def test_ctrl_c_within_a_step_of_many_networks_leaves_whole_steps():
    """Some networks may be a step ahead of the others."""
    population = Population([3, 4, 2], 30_000, seed=0)
    data = X.repeat(20, axis=0), Y.repeat(20, axis=0)

    def press(*_):
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGALRM, press)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        result = fastbp.train_population(population, *data, steps=10**6, optimizer=SGD(0.1))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert result.interrupted
    steps = sorted(set(result.n_steps.tolist()))
    assert len(steps) == 1 or (len(steps) == 2 and steps[1] - steps[0] < 1000)
    for i in (0, 29_999):
        alone = Population([3, 4, 2], 1, seed=0, first=i)
        if result.n_steps[i]:
            fastbp.train_population(alone, *data, steps=int(result.n_steps[i]), optimizer=SGD(0.1))
        assert alone.theta[0].tobytes() == population.theta[i].tobytes()


def test_progress_shows_the_best_loss():
    shown = []

    class Bar(ProgressBar):
        def start(self, step, n_steps):
            shown.append((step, n_steps))

        def update(self, step, loss):
            shown.append((step, loss))

        def close(self):
            shown.append("closed")

    _, result = train("plain", 3, progress=Bar())
    assert shown[:2] == [(0, 12), (1, None)]
    assert shown[6] == (6, result.loss_curve[0].min())
    assert shown[-1] == "closed"


def test_adaptive_rates_of_many_are_those_of_each():
    schedule = schedules.Adaptive(1.0, factor=2, patience=1, tolerance=0.1, minimum=0.1)
    losses = np.round(np.random.default_rng(0).normal(size=(40, 100)), 1)
    losses[np.random.default_rng(1).uniform(size=losses.shape) < 0.1] = np.nan
    many, each = AdaptiveStates.before(np.ones(100)), [schedule.start()] * 100
    for row in losses:
        many = many.after_epoch(schedule, row, np.ones(100, bool))
        each = [schedule.after_epoch(state, loss) for state, loss in zip(each, row, strict=True)]
    for name in ("rate", "best_loss", "stalled", "exhausted"):
        assert getattr(many, name).tolist() == [getattr(state, name) for state in each]


def test_every_reason_has_a_place():
    assert set(REASONS) == set(StopReason)
    assert [str(reason) for reason in REASONS[:3]] == ["completed", "interrupted", "early_stopping"]


def test_a_population_may_train_in_another_thread():
    import threading

    found = []
    thread = threading.Thread(target=lambda: found.append(bits(*train("plain"))))
    thread.start()
    thread.join()
    assert found == [bits(*train("plain"))]


def test_a_checkpoint_that_cannot_be_written_is_a_warning(tmp_path):
    def forbid(call):
        if call == 5:
            for path in tmp_path.glob("*"):
                path.unlink()
            tmp_path.rmdir()
            tmp_path.touch()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _, result = train("plain", before=forbid, checkpoint=Checkpoint(tmp_path, every=2))
    assert {str(StopReason.COMPLETED)} == set(result.stop_reason)
    assert caught
    assert all(issubclass(one.category, fastbp.CheckpointWarning) for one in caught)
