"""The contenders: fastbp, and each rival in the fastest form that its users would write.

A contender prepares a case and returns a function ``train(steps)``. Each call starts at the case's
parameters, takes that many steps and returns the final parameters, so every call does the same work. As the
cases in `SPEED_CASES` require, all take one sample per step, in order, with fixed biases, and compute
gradients at the weights from before the step.

The times in comments were measured on one core of an AMD Zen 4 at 3.65 GHz.
"""

import ctypes
import math
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numba
import numpy as np

from fastbp import baselines, training
from fastbp.benchmark.cases import Case
from fastbp.network import Network
from fastbp.optimizers import SGD

Train = Callable[[int], np.ndarray]
"""Takes a number of steps from the start of a case, and returns theta."""

W1_TO_W8 = [0, 2, 1, 3, 6, 8, 7, 9]
"""Where the worked example's w1 to w8 are in theta."""

BIASES = [4, 5, 10, 11]


class UnavailableError(Exception):
    """A contender cannot run on this machine; the message gives the reason."""


@dataclass(frozen=True)
class Contender:
    """A way to train a case: its name, its dtype, and the function that prepares it."""

    name: str
    dtype: str
    prepare: Callable[[Case], Train]

    def __str__(self) -> str:
        return f"{self.name}, {self.dtype}"


# --- fastbp ------------------------------------------------------------------------------------------


def prepare_fastbp(case: Case, math: str) -> Train:
    """Prepare `fastbp.train` on a case."""
    sgd = SGD(learning_rate=case.learning_rate)
    options = {"batch_size": 1, "optimizer": sgd, "update": case.update, "math": math}
    return public_call(case.network(), case.X, case.Y, **options)


def public_call(network: Network, X: np.ndarray, Y: np.ndarray, **options: Any) -> Train:
    """Prepare `fastbp.train`, with all that it does: checks, loss curve, search for divergence.

    Every call of the returned function starts at the parameters that the network has now.
    """
    start = network.theta.copy()

    def train(steps: int) -> np.ndarray:
        network.theta[:] = start
        result = training.train(network, X, Y, steps=steps, shuffle=False, progress=False, **options)
        if result.stop_reason == "interrupted":  # Ctrl-C ends the benchmark, not just this call
            raise KeyboardInterrupt
        return network.theta.copy()

    return train


# --- C -----------------------------------------------------------------------------------------------

C_SOURCE = Path(__file__).with_name("loop.c")
C_COMPILERS = ("cc", "gcc", "clang")
C_FLAGS = ("-O3", "-march=native", "-shared", "-fPIC")
"""48 ns a step; -O2 or -funroll-loops makes no difference.

-ffast-math takes 45. It is not used, because loading such a library makes the whole process flush subnormal
numbers.
"""

C_TYPES: dict[str, tuple[str, str, type]] = {
    "float64": ("double", "exp", ctypes.c_double),
    "float32": ("float", "expf", ctypes.c_float),
}


def find_c_compiler() -> str | None:
    """Return the path of the first C compiler found, or None."""
    return next(filter(None, map(shutil.which, C_COMPILERS)), None)


def prepare_c(case: Case) -> Train:
    """Compile and prepare the loop in C."""
    compiler = find_c_compiler()
    if compiler is None:
        raise UnavailableError(f"no C compiler found (looked for {', '.join(C_COMPILERS)})")
    function = compile_c(compiler, case.dtype)
    learning_rate = C_TYPES[case.dtype][2](case.learning_rate)

    def train(steps: int) -> np.ndarray:
        theta = case.theta.copy()
        pointers = (array.ctypes.data_as(ctypes.c_void_p) for array in (theta, case.X, case.Y))
        function(*pointers, ctypes.c_int64(len(case.X)), learning_rate, ctypes.c_int64(steps))
        return theta

    return train


@lru_cache
def compile_c(compiler: str, dtype: str, source: Path = C_SOURCE, flags: tuple[str, ...] = C_FLAGS) -> Any:
    """Return the C function `train` of a source file, compiled for a dtype."""
    real, exp, _ = C_TYPES[dtype]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        library = str(Path(folder, "loop.so"))
        macros = (f"-DREAL={real}", f"-DEXP={exp}")
        command = [compiler, *flags, *macros, str(source), "-o", library, "-lm"]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
            function = ctypes.CDLL(library).train
        except subprocess.CalledProcessError as error:
            said = error.stderr.strip().partition("\n")[0]
            raise UnavailableError(f"{Path(compiler).name} failed: {said}") from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UnavailableError(f"{Path(compiler).name}: {error}") from error
    function.restype = None
    return function


# --- Numba -------------------------------------------------------------------------------------------


def numba_loop(theta, X, Y, learning_rate, steps):
    """Train in place: the usual loop for Numba. It takes 48 ns a step, as in C; 45 with fastmath."""
    w1, w3, w2, w4, bh1, bh2 = theta[0], theta[1], theta[2], theta[3], theta[4], theta[5]
    w5, w7, w6, w8, by1, by2 = theta[6], theta[7], theta[8], theta[9], theta[10], theta[11]
    i = 0
    for _ in range(steps):
        x1, x2, t1, t2 = X[i, 0], X[i, 1], Y[i, 0], Y[i, 1]
        h1 = 1.0 / (1.0 + math.exp(-(w1 * x1 + w2 * x2 + bh1)))
        h2 = 1.0 / (1.0 + math.exp(-(w3 * x1 + w4 * x2 + bh2)))
        y1 = 1.0 / (1.0 + math.exp(-(w5 * h1 + w6 * h2 + by1)))
        y2 = 1.0 / (1.0 + math.exp(-(w7 * h1 + w8 * h2 + by2)))
        d1 = learning_rate * (y1 - t1) * y1 * (1.0 - y1)
        d2 = learning_rate * (y2 - t2) * y2 * (1.0 - y2)
        g1 = (d1 * w5 + d2 * w7) * h1 * (1.0 - h1)
        g2 = (d1 * w6 + d2 * w8) * h2 * (1.0 - h2)
        w5 -= d1 * h1
        w6 -= d1 * h2
        w7 -= d2 * h1
        w8 -= d2 * h2
        w1 -= g1 * x1
        w2 -= g1 * x2
        w3 -= g2 * x1
        w4 -= g2 * x2
        i += 1
        if i == len(X):
            i = 0
    theta[0], theta[1], theta[2], theta[3] = w1, w3, w2, w4
    theta[6], theta[7], theta[8], theta[9] = w5, w7, w6, w8


@lru_cache
def compile_numba() -> Any:
    """Return the loop, compiled at its first call, or read from Numba's cache if the cache has a folder."""
    try:
        return numba.njit(cache=True)(numba_loop)
    except RuntimeError:
        return numba.njit(numba_loop)


def prepare_numba(case: Case) -> Train:
    """Prepare the plain loop in Numba."""
    loop = compile_numba()

    def train(steps: int) -> np.ndarray:
        theta = case.theta.copy()
        loop(theta, case.X, case.Y, case.learning_rate, steps)
        return theta

    return train


# --- NumPy -------------------------------------------------------------------------------------------


def prepare_numpy(case: Case) -> Train:
    """Prepare layers as arrays, a handful of NumPy calls a step.

    The time depends on the number of calls, about 0.25 us each. Measured, in us a step:

    - the usual form, ``h = 1 / (1 + np.exp(-(x @ W + b)))``, ``W -= rate * np.outer(x, g)``: 14.4
    - broadcasting in place of `np.outer`: 12.7
    - all arrays allocated in advance, ``out=`` everywhere: 8.5; given by position: 7.7
    - SciPy's `expit` for the sigmoid, one call and not four: 6.5
    - the bias as a last row of W, with a 1 in the layer's input: 6.0
    - s' = s (1 - s) of both layers at once: 5.6, used here
    - the update of both layers at once as well, from a three-dimensional array: 5.7
    """
    try:
        from scipy.special import expit  # takes 0.1 s, so other commands do not import it
    except ImportError:
        raise UnavailableError("no SciPy found; install it: pip install 'fastbp[bench]'") from None

    (W1, W2), (b1, b2) = case.network().weights, case.network().biases
    n_samples = len(case.X)
    rows = [np.append(x, 1.0) for x in case.X]
    columns = [x[:, np.newaxis] for x in case.X]
    targets = list(case.Y)
    rate = np.full(2, case.learning_rate)
    ones = np.ones(4)

    activations = np.ones(5)  # y1 y2 h1 h2 1
    y, h, h_and_1 = activations[:2], activations[2:4], activations[2:]
    y_and_h, h_column = activations[:4], h[:, np.newaxis]
    slopes = np.empty(4)
    y_slope, h_slope = slopes[:2], slopes[2:]
    d, g, dW = np.empty(2), np.empty(2), np.empty((2, 2))
    dot, multiply, subtract = np.dot, np.multiply, np.subtract

    def train(steps: int) -> np.ndarray:
        hidden, output = np.vstack([W1, b1]), np.vstack([W2, b2])
        hidden_W, output_W = hidden[:2], output[:2]
        for step in range(steps):
            i = step % n_samples
            dot(rows[i], hidden, h)
            expit(h, h)
            dot(h_and_1, output, y)
            expit(y, y)
            subtract(ones, y_and_h, slopes)
            multiply(slopes, y_and_h, slopes)
            subtract(y, targets[i], d)
            multiply(d, rate, d)
            multiply(d, y_slope, d)
            dot(output_W, d, g)
            multiply(g, h_slope, g)
            multiply(h_column, d, dW)
            subtract(output_W, dW, output_W)
            multiply(columns[i], g, dW)
            subtract(hidden_W, dW, hidden_W)
        return np.concatenate([hidden, output], axis=None)

    return train


# --- pure Python -------------------------------------------------------------------------------------


def prepare_python_locals(case: Case) -> Train:
    """Prepare the fastest pure Python: every number a local variable."""
    weights, biases = case.theta[W1_TO_W8].tolist(), case.theta[BIASES].tolist()
    samples = [tuple(row) for row in np.hstack([case.X, case.Y]).tolist()]

    def train(steps: int) -> np.ndarray:
        theta = case.theta.copy()
        theta[W1_TO_W8] = baselines.train_222_locals(weights, biases, samples, case.learning_rate, steps)
        return theta

    return train


def prepare_python_objects(case: Case) -> Train:
    """Prepare the textbook program: one object a neuron."""
    X, Y = case.X.tolist(), case.Y.tolist()

    def train(steps: int) -> np.ndarray:
        w1, w2, w3, w4, w5, w6, w7, w8 = case.theta[W1_TO_W8].tolist()
        bh1, bh2, by1, by2 = case.theta[BIASES].tolist()
        neuron = baselines.Neuron
        hidden = [neuron([w1, w2], bh1), neuron([w3, w4], bh2)]
        output = [neuron([w5, w6], by1), neuron([w7, w8], by2)]
        network = baselines.TextbookNetwork(hidden, output)
        for step in range(steps):
            i = step % len(X)
            network.train(X[i], Y[i], case.learning_rate)
        theta = case.theta.copy()
        theta[W1_TO_W8] = [weight for neuron in (*hidden, *output) for weight in neuron.weights]
        return theta

    return train


FASTBP = Contender("fastbp", "float64", partial(prepare_fastbp, math="fast"))
C = Contender("C", "float64", prepare_c)
PYTHON_LOCALS = Contender("Python, locals", "float64", prepare_python_locals)
PYTHON_OBJECTS = Contender("Python, objects", "float64", prepare_python_objects)

CONTENDERS = (
    FASTBP,
    Contender("fastbp", "float32", partial(prepare_fastbp, math="fast")),
    Contender("fastbp, math=exact", "float64", partial(prepare_fastbp, math="exact")),
    Contender("fastbp, math=exact", "float32", partial(prepare_fastbp, math="exact")),
    C,
    Contender("C", "float32", prepare_c),
    Contender("Numba", "float64", prepare_numba),
    PYTHON_LOCALS,
    Contender("NumPy + expit", "float64", prepare_numpy),
    PYTHON_OBJECTS,
)
