"""Steps that take long are taken in chunks, and can be left between two of them: no bit depends on it."""

import signal
import time

import pytest

from fastbp import RPROP, SGD, Adam, Checkpoint, DivergenceError
from fastbp.engine.job_run import STEP
from fastbp.engine.layered_run import LayeredRun
from fastbp.engine.team import Team
from tests.training.seams import Seams, train
from tests.training.tasks import Task

STEPS = 5

GROUPS = Task("16 groups of 6 tiles", (3, 400, 2), {"optimizer": RPROP()}, n_samples=2700)
TEAM = Task("3 tiles for a team", (40, 200, 60), {"optimizer": Adam(0.01)}, n_samples=2500)
SHUFFLED = Task(
    "groups of shuffled rows",
    (3, 400, 2),
    {"optimizer": SGD(0.1, momentum=0.9), "batch_size": 2700, "dropout": 0.3, "l2": 0.01},
    n_samples=4500,
)
CLIPPED = Task(
    "a team, shuffled rows, clipped, float32",
    (40, 250, 120),
    {"optimizer": Adam(0.01), "batch_size": 2200, "gradient_clip_norm": 0.01, "threads": 3},
    {"dtype": "float32", "hidden_activation": "gelu"},
    n_samples=5000,
)
TASKS = [GROUPS, TEAM, SHUFFLED, CLIPPED]


class Calls(list):
    """The step after each call of the kernel, in runs whose chunks are a tile each."""

    def then(self, n_calls):
        """Do nothing after so many calls, until a test says what."""

    @property
    def seams(self) -> Seams:
        """What trains in such chunks."""
        return Seams(make_run=self._make_run)

    def _make_run(self, kernel, network, X, Y, options):
        return LayeredRun(
            network.specification, network.theta, X, Y, options, make_team=lambda n: WatchedTeam(n, self)
        )


class WatchedTeam(Team):
    """A team whose chunks are as short as they can be, and that lists what its calls come to."""

    def __init__(self, n_threads: int, calls: Calls):
        super().__init__(n_threads, chunk_seconds=0.0)
        self._calls = calls

    def run(self, job, *arguments):
        super().run(job, *arguments)
        self._calls.append(int(job.arrays["counters"][STEP]))
        self._calls.then(len(self._calls))


@pytest.fixture
def calls():
    return Calls()


def outcome(network, result):
    history = {name: column.tobytes() for name, column in result.history.items()}
    return network.theta.tobytes(), result.loss_curve.tobytes(), history, result.n_steps


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_no_bit_depends_on_the_chunks(task, calls):
    in_chunks = outcome(*task.train(STEPS, calls.seams))
    assert len(calls) > 2 * STEPS
    assert calls == sorted(calls)
    assert calls[-1] == STEPS
    assert outcome(*task.train(STEPS)) == in_chunks


@pytest.mark.parametrize("n_calls", [2, 3, 5, 6, 8])
@pytest.mark.parametrize("task", TASKS, ids=str)
def test_ctrl_c_in_the_middle_of_a_step_leaves_the_step_before_it(task, n_calls, calls):
    def press(n):
        if n == n_calls:
            signal.raise_signal(signal.SIGINT)

    calls.then = press
    network, result = task.train(10**6, calls.seams)
    assert (result.stop_reason, result.n_steps) == ("interrupted", calls[-1])
    assert len(calls) == n_calls
    expected = task.train(result.n_steps)[0] if result.n_steps else task.make()
    assert network.theta.tobytes() == expected.theta.tobytes()


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_run_that_is_stopped_in_the_middle_of_steps_resumes_to_the_bit(task, calls, tmp_path):
    """Rows that were drawn for a step are not drawn again when it is taken from its start."""
    checkpoint, reasons = Checkpoint(tmp_path), []
    for more in range(3, 30):
        last = len(calls) + more
        calls.then = lambda n, last=last: signal.raise_signal(signal.SIGINT) if n == last else None
        network, result = task.train(STEPS, calls.seams, checkpoint=checkpoint)
        reasons.append(result.stop_reason)
        if result.stop_reason == "completed":
            break
    assert reasons.count("interrupted") >= 2
    assert outcome(network, result) == outcome(*task.train(STEPS))


def test_time_limit_holds_in_the_middle_of_a_step(calls):
    calls.then = lambda n: time.sleep(0.2) if n == 5 else None
    _, result = TEAM.train(10**6, calls.seams, max_seconds=0.1)
    assert result.stop_reason == "max_seconds"
    assert len(calls) <= 5  # on a machine that is busy, it was over before


def test_first_bad_step_is_searched_for_though_the_time_is_over(calls):
    """The first step makes the weight so large that the square of the error overflows."""
    task = Task("one weight", (1, 1), {"optimizer": SGD(1e200)}, {"output_activation": "identity"}, 2000)
    calls.then = lambda n: time.sleep(0.5) if n == 8 else None
    network = task.make()
    with pytest.raises(DivergenceError, match=r"^step 1 of ") as caught:
        train(network, *task.data(), seams=calls.seams, steps=10**6, max_seconds=0.4, **task.options)
    assert caught.value.step == 1
    assert network.theta.tobytes() == task.make().theta.tobytes()
    assert len(calls) > 8
