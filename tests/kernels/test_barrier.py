"""Threads: the same bits for any number of them, many teams at once, and none that waits for ever."""

import _thread
import sys
from concurrent.futures import ThreadPoolExecutor
from struct import unpack_from

import numpy as np
import pytest
from llvmlite import binding
from numba import njit

import fastbp
from fastbp._jit import kernel
from fastbp.checks import check_data
from fastbp.engine import team
from fastbp.engine.kernel_options import KernelOptions
from fastbp.engine.layered_run import LayeredRun
from fastbp.kernels.barrier import (
    YIELD_NAME,
    barrier,
    giving_way,
    shared_words,
    take_from_queues,
    yield_function,
)
from fastbp.kernels.fused222 import fused222_exact, fused222_guess
from fastbp.kernels.layered import layered
from fastbp.kernels.online import online
from fastbp.simd import address
from tests.kernels.tasks import Task, Turns, trained
from tests.processes import run

OPTIONS = KernelOptions(
    1003,
    epochs=None,
    steps=60,
    batch_size=48,
    optimizer=fastbp.Adam(0.01),
    seed=0,
    threads=2,
)
COUNTS = (1, 2, 3, 5)
CASES = {
    "mini-batches": {"batch_size": 48},
    "one row in a batch": {"batch_size": 1},
    "batches of odd sizes": {"batch_size": 37},
    "groups of rows": {"batch_size": 1000},
    "dropout": {"batch_size": 48, "dropout": 0.3},
    "clipping": {"batch_size": 48, "gradient_clip_norm": 0.01},
    "clipped groups": {"batch_size": 1000, "gradient_clip_norm": 0.01},
    "weights": {"batch_size": 48, "sample_weight": np.arange(1003) % 4},
    "in order": {"batch_size": 48, "shuffle": False},
}
OUTPUTS = {
    "labels": ("softmax", "categorical_cross_entropy"),
    "numbers": ("identity", "huber"),
}


def samples(n: int = 1003) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    return generator.normal(size=(n, 20)), generator.integers(0, 5, n)


def make(kind: str, dtype: str = "float32") -> fastbp.Network:
    output, loss = OUTPUTS[kind]
    return fastbp.Network(
        [20, 40, 33, 5], hidden_activation="tanh", output_activation=output, loss=loss, dtype=dtype, seed=0
    )


def targets(kind: str, labels: np.ndarray) -> np.ndarray:
    return labels if kind == "labels" else np.eye(5)[labels]


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[] if kind == "labels" else pytest.mark.soak) for kind in OUTPUTS]
)
@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_any_number_of_threads_gives_the_same_bits(options, kind):
    X, labels = samples()
    bits = set()
    length = {"steps": 100} if options["batch_size"] == 1 else {"epochs": 2}
    for threads in (*COUNTS, 2):
        network = make(kind)
        optimizer = fastbp.Adam(0.01)
        result = fastbp.train(
            network,
            X,
            targets(kind, labels),
            **length,
            optimizer=optimizer,
            threads=threads,
            seed=0,
            **options,
        )
        bits.add((network.theta.tobytes(), result.loss_curve.tobytes()))
    assert len(bits) == 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", OUTPUTS)
def test_evaluation_has_the_same_bits_on_any_number_of_threads(kind, dtype):
    X, labels = samples(3001)
    Y, network = targets(kind, labels), make(kind, dtype)
    found = [
        (network.predict(X, threads=n), network.loss(X, Y, threads=n), network.gradient(X, Y, threads=n))
        for n in COUNTS
    ]
    assert len({(outputs.tobytes(), loss, gradient.tobytes()) for outputs, loss, gradient in found}) == 1


@kernel
def take_one(shared, thread, n_threads, n):
    return take_from_queues(address(shared), thread, n_threads, n)


@kernel
def take_all(shared, thread, n_threads, n, phases, takers):
    """Take numbers, and note which thread took each, plus 1. Return how many were taken twice."""
    shared, twice = address(shared), 0
    for phase in range(phases):
        k = take_from_queues(shared, thread, n_threads, n)
        while k < n:
            twice += takers[phase, k] != 0
            takers[phase, k] = thread + 1
            k = take_from_queues(shared, thread, n_threads, n)
        if not barrier(shared, thread, n_threads):
            return -1
    return twice


@pytest.mark.parametrize("n_threads", [2, 3, 5])
@pytest.mark.parametrize("n", [0, 1, 2, 7, 100])
def test_every_number_is_taken_once_between_two_barriers(n_threads, n):
    phases = 300
    shared, takers = np.zeros(shared_words(n_threads), np.int64), np.zeros((phases, n), np.int64)
    take_all(np.zeros_like(shared), 0, 1, 0, 0, takers)  # compiles
    with ThreadPoolExecutor(n_threads) as threads:
        work = [threads.submit(take_all, shared, i, n_threads, n, phases, takers) for i in range(n_threads)]
        assert [each.result() for each in work] == [0] * n_threads
    assert ((takers >= 1) & (takers <= n_threads)).all()


def test_a_thread_takes_from_its_own_queue_first_and_from_the_end_of_others():
    shared = np.zeros(shared_words(3), np.int64)
    assert [take_one(shared, 1, 3, 10) for _ in range(2)] == [3, 4]
    assert [take_one(shared, 0, 3, 10) for _ in range(5)] == [0, 1, 2, 5, 9]
    assert [take_one(shared, 2, 3, 10) for _ in range(4)] == [6, 7, 8, 10]
    assert take_one(shared, 1, 3, 10) == take_one(shared, 0, 3, 10) == 10


def test_eight_teams_at_once_all_finish_with_the_right_result():
    def train(seed: int) -> bytes:
        X, labels = samples()
        network = make("labels")
        fastbp.train(
            network, X, labels, epochs=2, batch_size=48, optimizer=fastbp.Adam(), threads=2, seed=seed
        )
        return network.theta.tobytes()

    alone = [train(seed) for seed in range(8)]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(train, range(8))) == alone


def test_one_network_predicts_in_many_threads_at_once():
    network = make("labels")
    X, _ = samples()
    X = X.astype(np.float32)
    expected = [network.predict(X[i : i + 1]).tobytes() for i in range(200)]
    with ThreadPoolExecutor(8) as threads:
        found = threads.map(lambda i: network.predict(X[i : i + 1]).tobytes(), range(200))
        assert list(found) == expected


def test_without_threads_one_goes_on_alone_to_the_same_bits(monkeypatch):
    X, labels = samples()
    options = {"epochs": 2, "batch_size": 48, "optimizer": fastbp.Adam(), "threads": 3, "seed": 0}
    together, alone = make("labels"), make("labels")
    fastbp.train(together, X, labels, **options)
    started = []

    def start_one(*arguments):
        started.append(arguments)
        if len(started) % 2 == 0:
            raise RuntimeError("can't start new thread")
        return start(*arguments)

    start = _thread.start_new_thread
    monkeypatch.setattr(_thread, "start_new_thread", start_one)
    fastbp.train(alone, X, labels, **options)
    assert len(started) > 2
    assert alone.theta.tobytes() == together.theta.tobytes()
    assert alone.predict(X).tobytes() == together.predict(X).tobytes()


INTERRUPTED = """
import numpy as np, fastbp
from fastbp.calls import Call

start = Call.start
def once(self):
    start(self)
    Call.start = start
    raise KeyboardInterrupt  # after the others have begun, and before this thread joins them
network = fastbp.Network([20, 40, 5], output_activation="identity", seed=0)
X = np.random.default_rng(0).normal(size=(100, 20))
options = {"epochs": 1, "batch_size": 48, "optimizer": fastbp.Adam(), "threads": 2}
fastbp.train(network, X, X[:, :5], **options)
Call.start = once
print(fastbp.train(network, X, X[:, :5], **options).stop_reason)
"""


def test_team_that_is_interrupted_before_it_starts_does_not_hang():
    assert run(INTERRUPTED)[0].strip() == "interrupted"


def test_pace_leaves_a_team_that_is_held_up_and_comes_back_to_it():
    pace = team.Pace(2, fixed=False)
    for seconds, threads in (
        (0.05, 2),
        (0.09, 1),  # somebody else wants a core
        (0.08, 1),  # alone is faster
        (0.08, 2),
        (0.09, 1),  # the team is slow, still
        (0.08, 1),
        (0.08, 1),
        (0.08, 2),
        (0.05, 2),  # nobody else wants it any more
        (0.09, 1),
        (0.08, 1),
        (0.08, 2),
    ):
        pace.record(100, seconds)
        assert pace.threads() == threads


def test_pace_waits_longer_each_time_for_a_team_that_stays_slow():
    pace = team.Pace(2, fixed=False)
    pace.record(100, 0.05)
    alone = []
    for _ in range(7):
        pace.record(100, 0.09)
        n = 0
        while pace.threads() == 1:
            pace.record(100, 0.08)
            n += 1
        alone.append(n - 1)  # without the chunk to see
    assert alone == [1, 2, 4, 8, 16, 16, 16]


def test_pace_stays_with_a_team_that_is_faster_than_one_thread():
    pace = team.Pace(2, fixed=False)
    for seconds, threads in ((0.05, 2), (0.09, 1), (0.10, 2), (0.001, 2), (0.05, 2)):
        pace.record(100, seconds)
        assert pace.threads() == threads


def test_pace_looks_once_at_the_speed_of_one_thread():
    pace, looks = team.Pace(2, fixed=False), []
    for chunk in range(40):
        if pace.begins_look():
            looks.append(chunk)
            assert pace.threads() == 1
            pace.record(3, 0.003)
        assert pace.threads() == 2
        pace.record(100, 0.05)
    assert looks == [6]


def test_pace_leaves_a_team_that_was_never_as_fast_as_one_thread():
    """On cores that share no cache; after a while, they do."""
    pace, taken = team.Pace(2, fixed=False), []
    for chunk in range(100):
        if pace.begins_look():
            pace.record(12, 0.0048)
        taken.append(pace.threads())
        together = 0.05 if chunk < 80 else 0.03
        pace.record(100, 0.04 if taken[-1] == 1 else together)
    assert taken[:6] == [2] * 6
    assert sum(threads == 1 for threads in taken[6:80]) > 60
    assert taken[-1] == 2


@pytest.mark.parametrize(("n_threads", "fixed"), [(2, True), (1, False)])
def test_pace_of_a_given_number_of_threads_never_changes(n_threads, fixed):
    pace = team.Pace(n_threads, fixed=fixed)
    for seconds in (0.05, 0.5, 5.0):
        pace.record(100, seconds)
        assert not pace.begins_look()
        assert pace.threads() == n_threads


class Looks(Turns):
    """Takes numbers of threads in turn, and a part of each chunk before the rest."""

    def begins_look(self):
        return True


def test_changes_of_pace_change_no_bit():
    X, labels = samples()
    thetas = []
    for pace in (Turns([2]), Turns([1, 2, 2, 1]), Turns([1]), Looks([1, 2])):
        network = make("labels")
        run_ = LayeredRun(
            network.specification,
            network.theta,
            *check_data(network.specification, X, labels),
            OPTIONS,
            pace,
        )
        for i in range(12):
            run_.advance(5 * (i + 1))
        thetas.append(run_.theta.tobytes())
    assert len(set(thetas)) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="cores are told apart on Linux")
def test_threads_begin_away_from_the_callers_core():
    cores = team.cores_beside_this()
    assert len(cores) == team.available_cores() - 1


# --- what kernels are linked to ---------------------------------------------------------------------------


ELF_SYMBOL_TABLE = 2


def undefined_names(machine_code: bytes) -> set[str]:
    """Return the names that an object file in the format of Linux leaves to be found elsewhere."""
    (sections,), (size, count) = unpack_from("<Q", machine_code, 40), unpack_from("<HH", machine_code, 58)
    table = [unpack_from("<IIQQQQII", machine_code, sections + i * size) for i in range(count)]
    names = set()
    for _, kind, _, _, start, length, strings, _ in table:
        if kind == ELF_SYMBOL_TABLE:
            for symbol in range(start, start + length, 24):
                name, _, section = unpack_from("<IHH", machine_code, symbol)
                if name and section == 0:
                    name += table[strings][4]
                    names.add(machine_code[name : machine_code.index(0, name)].decode())
    return names


def linked_names(kernel) -> set[str]:
    """Return what a kernel, as it is in the cache, is linked to by name.

    The machine code says so, and not LLVM's text: an `llvm.pow` there becomes a call of `pow`.
    """
    file = kernel._cache._cache_file
    libraries = [file._load_data(name)[0] for name in file._load_index().values()]
    return set().union(*(undefined_names(machine_code) for _, _, (machine_code, _) in libraries))


OF_PYTHON_AND_NUMBA = ("Py", "_Py", "NRT_", "numba_")


@pytest.mark.skipif(sys.platform != "linux", reason="reads object files of Linux")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kernels_are_linked_to_nothing_that_a_platform_may_lack(dtype):
    """A name that cannot be found is an address 0, and a call of it the end of the process."""
    portable = {YIELD_NAME, "exp", "expf", "log", "logf", "memcpy", "memset", "pow", "powf", "sqrt", "sqrtf"}
    task = Task(dtype=dtype)
    trained(task, steps=3, batch_size=2, optimizer=fastbp.Adam(0.1))
    trained(task, steps=3, batch_size=1, optimizer=fastbp.SGD(0.1), kernel="online")
    for math in ("fast", "exact"):
        network = fastbp.Network([2, 2, 2], dtype=dtype)
        fastbp.train(network, [[1, 2]], [[0, 1]], steps=1, optimizer=fastbp.SGD(0.1), math=math)
    for each in (layered, online, fused222_guess, fused222_exact):
        names = linked_names(each)
        assert "Py_DecRef" in names  # the list is not empty
        assert {name for name in names if not name.startswith(OF_PYTHON_AND_NUMBA)} <= portable
        assert all(binding.address_of_symbol(name) for name in names)
    assert YIELD_NAME in linked_names(layered)


@pytest.mark.parametrize("there", [True, False])
def test_a_system_without_a_function_to_yield_does_without(there):
    assert yield_function("posix") is not None
    assert yield_function("nt") is None  # here; on Windows it is in kernel32
    give_way = giving_way(yield_function() if there else None)

    @njit
    def wait():
        give_way()

    wait()
    assert (YIELD_NAME in wait.inspect_llvm()[()]) == there
