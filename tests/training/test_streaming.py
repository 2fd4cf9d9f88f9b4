"""X as it comes: any type and layout, read-only, mapped from a file, larger than memory."""

import numpy as np
import pytest

import fastbp
from tests.processes import run

N = 300
KINDS = ["online", "mini-batches", "groups", "fused222"]


def plain() -> tuple[np.ndarray, np.ndarray]:
    """Return inputs that every type holds exactly, and targets."""
    generator = np.random.default_rng(0)
    return generator.integers(0, 2, (N, 2)).astype(float), generator.uniform(0.1, 0.9, (N, 2))


def train(X, Y, kind: str = "mini-batches", dtype: str = "float32") -> fastbp.Network:
    sizes = [2, 2, 2] if kind == "fused222" else [2, 9, 2]
    network = fastbp.Network(sizes, dtype=dtype, seed=0)
    options = {
        "online": {"batch_size": 1, "optimizer": fastbp.SGD(0.1), "steps": 400},
        "fused222": {"batch_size": 1, "optimizer": fastbp.SGD(0.1), "steps": 400},
        "mini-batches": {"batch_size": 32, "optimizer": fastbp.Adam(0.01), "epochs": 3},
        "groups": {"batch_size": 280, "optimizer": fastbp.Adam(0.01), "epochs": 3},
    }[kind]
    result = fastbp.train(network, X, Y, seed=1, **options)
    assert result.kernel == (kind if kind in ("online", "fused222") else "layered")
    return network


def mapped(X: np.ndarray, path) -> np.ndarray:
    X.tofile(path)
    return np.memmap(path, X.dtype, "r", shape=X.shape)


def strided(X: np.ndarray) -> np.ndarray:
    wide = np.zeros((len(X), 3 * X.shape[1]), X.dtype)
    wide[:, ::3] = X
    return wide[:, ::3]


def backwards(X: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1]


def unaligned(X: np.ndarray) -> np.ndarray:
    room = np.zeros(X.nbytes + 1, np.uint8)[1:].view(X.dtype)
    room[:] = X.ravel()
    return room.reshape(X.shape)


def read_only(X: np.ndarray) -> np.ndarray:
    X = X.copy()
    X.flags.writeable = False
    return X


LAYOUTS = [
    np.copy,
    np.asfortranarray,
    strided,
    backwards,
    unaligned,
    read_only,
    lambda X: X.astype(X.dtype.newbyteorder()),
    lambda X: np.vstack([X, X])[: len(X)],
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "int64", "bool", "float16", "longdouble"])
def test_any_type_trains_as_numbers_of_the_network_do(dtype, kind, tmp_path):
    X, Y = plain()
    expected = train(X.astype(np.float32), Y, kind).theta.tobytes()
    given = X.astype(dtype)
    before = given.tobytes()
    assert train(given, Y, kind).theta.tobytes() == expected
    assert given.tobytes() == before
    if dtype not in ("bool", "longdouble"):
        assert train(mapped(given, tmp_path / "X"), Y, kind).theta.tobytes() == expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda f: f.__name__)
def test_any_layout_trains_as_a_plain_copy_does(layout, dtype, kind):
    X, Y = plain()
    expected = train(X.astype(dtype), Y, kind).theta.tobytes()
    given = layout(X.astype(dtype))
    before = given.tobytes()
    assert train(given, Y, kind).theta.tobytes() == expected
    assert given.tobytes() == before


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda f: f.__name__)
def test_any_layout_is_evaluated_as_a_plain_copy_is(layout, dtype):
    X, Y = plain()
    network = train(X, Y)
    plain_X, given = X.astype(dtype), layout(X.astype(dtype))
    np.testing.assert_array_equal(network.predict(given), network.predict(plain_X))
    np.testing.assert_array_equal(network.gradient(given, Y), network.gradient(plain_X, Y))
    assert network.loss(given, Y) == network.loss(plain_X, Y)


def test_a_row_alone_has_the_bits_that_it_has_among_many():
    X, Y = plain()
    X = X.astype(np.float32)
    network = train(X, Y)
    together = network.predict(X)
    np.testing.assert_array_equal(np.vstack([network.predict(X[i : i + 1]) for i in range(N)]), together)
    np.testing.assert_array_equal(network.predict(np.tile(X, (40, 1))), np.tile(together, (40, 1)))


def test_predictions_follow_the_parameters():
    import copy
    import pickle

    X = plain()[0].astype(np.float32)[:1]
    network = fastbp.Network([2, 3, 2], dtype="float32", seed=0)
    before = network.predict(X).copy()
    twins = [copy.deepcopy(network), pickle.loads(pickle.dumps(network)), copy.copy(network)]
    network.weights[0] *= 2
    network.biases[1][:] = 0.5
    assert not np.array_equal(network.predict(X), before)
    for twin in twins:
        np.testing.assert_array_equal(twin.predict(X), before)


@pytest.mark.parametrize("n", [1, 5, 100])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_bad_number_among_rows_to_predict_is_named(n, bad):
    X = np.zeros((n, 2), np.float32)
    X[n - 1, 1] = bad
    with pytest.raises(fastbp.DataError, match=rf"X\[{n - 1}, 1\] is {bad}, and must be finite"):
        fastbp.Network([2, 3, 2], dtype="float32").predict(X)


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_a_map_is_streamed_and_never_copied_whole(dtype, tmp_path):
    start, peak = private_mebibytes(tmp_path / "X", dtype, 2**27)
    assert peak - start < 40


@pytest.mark.soak
def test_soak_two_gibibytes_are_trained_on_in_400_mebibytes(tmp_path):
    start, peak = private_mebibytes(tmp_path / "X", "float32", 2**31)
    print(f"\nprivate memory before training {start:.0f} MiB, at its peak {peak:.0f} MiB")
    assert peak < 400


STREAM = """
import resource, sys, threading, time
import numpy as np, fastbp

path, dtype, n_bytes = sys.argv[1], sys.argv[2], int(sys.argv[3])
n = n_bytes // (256 * np.dtype(dtype).itemsize)
X = np.memmap(path, dtype, "r", shape=(n, 256))
labels = np.arange(n) % 10

def private():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1024

network = fastbp.Network(
    [256, 64, 10], hidden_activation="relu", output_activation="softmax",
    loss="categorical_cross_entropy", dtype="float32", seed=0,
)
network.weights[0] /= 100
options = {"batch_size": 256, "optimizer": fastbp.Adam(1e-4), "seed": 0}
fastbp.train(network, X[:512], labels[:512], epochs=1, **options)
network.predict(X[:512])
start, peak, done = private(), [0.0], threading.Event()

def watch():
    while not done.wait(0.005):
        peak[0] = max(peak[0], private())

watcher = threading.Thread(target=watch)
watcher.start()
fastbp.train(network, X, labels, epochs=1, **options)
network.loss(X, labels)
done.set()
watcher.join()
print(start, peak[0])
"""


def private_mebibytes(path, dtype: str, n_bytes: int) -> list[float]:
    """Return what a process has before, and at most while, it trains on a map of a file of zeros.

    Private memory: the pages of the file itself are the system's to keep or to drop.
    """
    with path.open("wb") as file:
        file.truncate(n_bytes)
    return [float(number) for number in run(STREAM, str(path), dtype, str(n_bytes))[0].split()]
