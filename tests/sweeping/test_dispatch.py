import threading
from collections import Counter
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ThreadPoolExecutor

import pytest

from fastbp.sweeping.dispatch import Dispatcher, WorkersLostError, is_loss


class Pool(Executor):
    """An executor in this thread: `behave` says what becomes of the nth run of a shard."""

    def __init__(self, behave):
        self.behave, self.runs, self.n_open, self.most_open = behave, Counter(), 0, 0
        self.held = []

    def submit(self, function, shard):
        self.runs[shard] += 1
        future = Future()
        what = self.behave(shard, self.runs[shard])
        if what == "hang":
            self.held.append(future)
        elif isinstance(what, BaseException):
            future.set_exception(what)
        else:
            future.set_result(function(shard))
        return future


def run(behave, n=20, **options):
    made = []

    def make():
        made.append(Pool(behave))
        return made[-1]

    dispatcher = Dispatcher(make, lambda pool, shard: pool.submit(lambda n: n * n, shard), **options)
    results = [result for batch in dispatcher.run(range(n)) for result in batch]
    return dispatcher, results, made


def test_every_shard_gives_its_result_once():
    dispatcher, results, made = run(lambda shard, times: "run", in_flight=3)
    assert sorted(results) == [(n, n * n) for n in range(20)]
    assert (dispatcher.n_repeated, len(made)) == (0, 1)


@pytest.mark.parametrize("error", [CancelledError(), KeyboardInterrupt()], ids=repr)
def test_a_lost_shard_runs_again(error):
    dispatcher, results, made = run(lambda shard, times: error if shard % 3 == 0 and times < 3 else "run")
    assert sorted(results) == [(n, n * n) for n in range(20)]
    assert dispatcher.n_repeated == 14
    assert made[0].runs[3] == 3


def test_an_executor_that_broke_is_replaced_and_nothing_is_lost():
    n_broken = []

    def behave(shard, times):
        if shard == 7 and len(n_broken) < 2:
            n_broken.append(shard)
            return BrokenExecutor()
        return "run"

    _, results, made = run(behave)
    assert sorted(results) == [(n, n * n) for n in range(20)]
    assert len(made) == 3


def test_a_shard_that_is_lost_again_and_again_is_an_error():
    with pytest.raises(WorkersLostError, match="the workers of shard 4 died 5 times"):
        run(lambda shard, times: CancelledError() if shard == 4 else "run")


def test_an_error_of_the_shard_itself_comes_out():
    with pytest.raises(ZeroDivisionError):
        run(lambda shard, times: ZeroDivisionError() if shard == 4 else "run")


def test_a_slow_shard_runs_a_second_time_elsewhere_and_the_first_result_counts():
    now = [0.0]

    def clock():
        now[0] += 0.5
        return now[0]

    dispatcher, results, made = run(
        lambda shard, times: "hang" if shard in (3, 12) and times == 1 else "run", in_flight=4, clock=clock
    )
    assert sorted(results) == [(n, n * n) for n in range(20)]
    assert dispatcher.n_repeated == 2
    assert all(future.cancelled() for future in made[0].held)


def test_a_stop_ends_the_loop_and_cancels_what_has_not_begun():
    stopped, release = threading.Event(), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        begun = []

        def shard(number):
            begun.append(number)
            stopped.set()
            release.wait()
            return number

        dispatcher = Dispatcher(
            lambda: pool,
            lambda pool, number: pool.submit(shard, number),
            in_flight=5,
            is_stopped=stopped.is_set,
        )
        results = list(dispatcher.run(range(100)))
        release.set()
    assert results == []
    assert begun == [0]


def test_no_more_shards_are_in_flight_than_said():
    counts = Counter()
    with ThreadPoolExecutor(8) as pool:

        def submit(executor, number):
            counts["submitted"] += 1
            assert counts["submitted"] - counts["received"] <= 3
            return executor.submit(int, number)

        for batch in Dispatcher(lambda: pool, submit, in_flight=3).run(range(200)):
            counts["received"] += len(batch)
    assert counts == {"submitted": 200, "received": 200}


def test_errors_of_shards_are_told_from_losses():
    assert is_loss(CancelledError())
    assert not is_loss(ValueError())
    assert not is_loss(TimeoutError())
