import pickle
import shutil
from concurrent.futures import BrokenExecutor, Executor, Future

import pytest

import fastbp
from fastbp import OptionError
from fastbp.sweeping.shard_run import run_shard
from fastbp.sweeping.transport import Folder, work
from tests.sweeping.tasks import OPTIONS, SPACE, data, same

X, Y = data()


@pytest.fixture(scope="module")
def result() -> fastbp.sweeping.SweepResult:
    return fastbp.sweep(X, Y, SPACE, 40, **OPTIONS)


def test_a_folder_brings_the_data_to_a_worker_and_a_shard_ends_when_it_is_gone(result, tmp_path):
    folds, task = result.folds.arrays, pickle.dumps(result.task)
    folder = Folder.write(tmp_path, folds)
    found, expected = work(task, folder, 1, 1), run_shard(result.task, folds, 1, threads=1)
    assert [part.tobytes() for part in found] == [part.tobytes() for part in expected]
    shutil.rmtree(tmp_path)
    assert work(task, folder, 1, 1) is None


class Broken(Executor):
    """Does the first two shards, and then breaks."""

    n_submitted = 0

    def submit(self, function, *arguments, **options):
        self.n_submitted += 1
        if self.n_submitted > 2:
            raise BrokenExecutor("all processes are gone")
        future = Future()
        future.set_result(function(*arguments, **options))
        return future


def test_a_broken_executor_is_replaced_by_the_function_that_made_it(result):
    made = []

    def make():
        made.append(Broken())
        return made[-1]

    found = fastbp.sweep(X, Y, SPACE, 40, executor=make, **OPTIONS)
    assert same(found, result)
    assert [one.n_submitted for one in made] == [2]
    smaller = OPTIONS | {"shard_size": 10}
    found = fastbp.sweep(X, Y, SPACE, 40, executor=make, **smaller)
    assert same(found, fastbp.sweep(X, Y, SPACE, 40, **smaller))
    assert len(made) == 3


def test_a_broken_executor_that_nobody_can_make_again_is_an_error_and_the_journal_has_the_rest(
    result, tmp_path
):
    smaller = OPTIONS | {"shard_size": 10, "journal": tmp_path / "j"}
    with pytest.raises(OptionError, match="the executor broke"):
        fastbp.sweep(X, Y, SPACE, 40, executor=Broken(), **smaller)
    assert [path.name for path in (tmp_path / "j").iterdir()] == ["sweep.journal"]
    found = fastbp.sweep(X, Y, SPACE, 40, executor=Broken(), **smaller)
    assert found.n_finished == 40
