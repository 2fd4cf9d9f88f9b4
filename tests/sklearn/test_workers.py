"""Many fits: the same results on any backend of joblib, without more threads than cores."""

from joblib import Parallel, delayed, parallel_config

from fastbp.sklearn.workers import threads_in_worker


def test_a_worker_has_its_part_of_the_threads():
    assert threads_in_worker() is None
    assert Parallel(n_jobs=1)(delayed(threads_in_worker)() for _ in range(2)) == [None, None]
    assert Parallel(n_jobs=2, backend="threading")(delayed(threads_in_worker)() for _ in range(2)) == [1, 1]
    with parallel_config(backend="loky", inner_max_num_threads=3):
        assert Parallel(n_jobs=2)(delayed(threads_in_worker)() for _ in range(2)) == [3, 3]
