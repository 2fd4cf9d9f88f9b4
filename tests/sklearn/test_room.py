"""How much memory a fit takes beside its data."""

import tracemalloc

import numpy as np
import pytest

from fastbp import MLPClassifier
from tests.processes import run

COLUMNS = 784


def mapped(path, n_bytes):
    """Return a read-only memory map of float32 numbers, with labels."""
    rows = n_bytes // (4 * COLUMNS)
    X = np.memmap(path, np.float32, "w+", shape=(rows, COLUMNS))
    block = np.random.default_rng(0).random((1000, COLUMNS), np.float32)
    for first in range(0, rows, 1000):
        X[first : first + 1000] = block[: rows - first]
    X.flush()
    return np.memmap(path, np.float32, "r", shape=(rows, COLUMNS)), np.arange(rows) % 10


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("shuffle", [True, False])
def test_a_memory_map_is_never_copied(tmp_path, shuffle):
    X, y = mapped(tmp_path / "X", 2**25)
    model = MLPClassifier(8, max_iter=1, shuffle=shuffle, random_state=0)
    model.fit(X[:500], y[:500])  # compiles
    tracemalloc.start()
    try:
        model.fit(X, y)
        model.predict(X)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert model.coefs_[0].dtype == np.float32
    assert peak < 2**25 / 4


@pytest.mark.parametrize("kind", ["adam", "lbfgs", "predict"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_sparse_matrix_is_never_dense_as_a_whole(kind):
    from scipy import sparse

    X = sparse.random(4000, 2000, 0.01, "csr", random_state=0)
    y = np.arange(4000) % 3
    solver = "lbfgs" if kind == "lbfgs" else "adam"
    model = MLPClassifier(4, solver=solver, max_iter=1, batch_size=50, random_state=0).fit(X[:100], y[:100])
    tracemalloc.start()
    try:
        model.predict(X) if kind == "predict" else model.fit(X, y)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4000 * 2000 * 8 / 3


@pytest.mark.soak
def test_a_fit_on_two_gibibytes_takes_less_than_400_mebibytes_beside_them(tmp_path):
    mapped(tmp_path / "X", 2**31)
    code = f"""
import re, threading, time, warnings
import numpy as np, fastbp
from fastbp import MLPClassifier
warnings.simplefilter("ignore")

def anonymous():
    return int(re.search(r"RssAnon:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024

X = np.memmap({str(tmp_path / "X")!r}, np.float32, "r").reshape(-1, {COLUMNS})
y = np.arange(len(X)) % 10
MLPClassifier(max_iter=1).fit(X[:500], y[:500])
before, peak, ends = anonymous(), [0], threading.Event()

def watch():
    while not ends.wait(0.02):
        peak[0] = max(peak[0], anonymous())

thread = threading.Thread(target=watch)
thread.start()
MLPClassifier(max_iter=1, random_state=0).fit(X, y)
ends.set()
thread.join()
print((peak[0] - before) // 2**20)
"""
    used = int(run(code)[0])
    print(f"{used} MiB beside 2 GiB of X")
    assert used < 400
