# C in its fast form, by gcc -O3 -march=native. For the 2-2-2 network every number is a local variable:
# see fastbp/benchmark/loop.c. For all others, layered.c: products of a batch in blocks of 6 rows by 2 vectors
# in registers, with B packed into panels; a single sample as vector times matrix, with its gradient used as
# it is computed; glibc's vector exp and tanh; Adam in one pass; OpenMP where there is work for a second
# thread.
#
# Measured on one thread, float32: 2-4-1, 1 sample 0.085 us a step; 64-128-10, 1 sample 1.5; 64-128-10,
# batches of 32, Adam 12.8; 784-512-512-10, 128, Adam 2,160, which is 190 GFLOP/s. Tried and rejected:
# parallel regions for every size: 1.15, 2.6 and 32.6 us for the first three
#   -O2: 2.1 times as long in batches
#   -ffast-math, -mprefer-vector-width=512: no faster

import ctypes
from pathlib import Path

import numpy as np

import fastbp
from bench.grid import Workload
from bench.peers import Train, UnavailableError
from fastbp.benchmark import contenders

SOURCE = Path(__file__).with_name("layered.c")
FLAGS = (*contenders.C_FLAGS, "-fno-math-errno", "-fno-trapping-math")
CODES = {"identity": 0, "sigmoid": 1, "tanh": 2, "relu": 3, "softmax": 4}
MACROS = {
    "float64": ("-DBITS=64", "-DTANH=tanh", "-DSQRT=sqrt"),
    "float32": ("-DBITS=32", "-DTANH=tanhf", "-DSQRT=sqrtf"),
}


class Settings(ctypes.Structure):
    """As in layered.c."""

    _fields_ = [
        (name, ctypes.c_int64)
        for name in ("n_layers", "batch", "n_batches", "squared", "hidden", "output", "train_biases", "adam")
    ] + [(name, ctypes.c_double) for name in ("rate", "beta1", "beta2", "epsilon")]


def prepare(workload: Workload) -> Train:
    if workload.networks > 1:
        raise UnavailableError("one network at a time")
    if workload.case is not None:
        return contenders.prepare_c(workload.case)
    function = compiled(workload.dtype)
    o = workload.optimizer
    adam = isinstance(o, fastbp.Adam)
    settings = Settings(
        len(workload.layer_sizes) - 1,
        workload.batch_size,
        workload.steps_per_epoch,
        workload.loss == "half_squared_error",
        CODES[workload.hidden],
        CODES[workload.output],
        workload.bias == "trainable",
        adam,
        o.learning_rate,
        *((o.beta1, o.beta2, o.epsilon) if adam else (0.0, 0.0, 0.0)),
    )
    sizes = np.array(workload.layer_sizes, np.int64)
    X, T, start = workload.samples()[0], np.ascontiguousarray(workload.targets()), workload.starts()[0]

    def train(steps: int) -> np.ndarray:
        theta = start.copy()
        pointers = (array.ctypes.data_as(ctypes.c_void_p) for array in (sizes, theta, X, T))
        if function(ctypes.byref(settings), *pointers, ctypes.c_int64(steps)):
            raise MemoryError
        return theta

    return train


def compiled(dtype: str):
    """Return the C function for a dtype, with OpenMP if the compiler supports it."""
    compiler = contenders.find_c_compiler()
    if compiler is None:
        raise UnavailableError(f"no C compiler found (looked for {', '.join(contenders.C_COMPILERS)})")
    try:
        function = contenders.compile_c(compiler, dtype, SOURCE, (*FLAGS, "-fopenmp", *MACROS[dtype]))
    except UnavailableError:
        function = contenders.compile_c(compiler, dtype, SOURCE, (*FLAGS, *MACROS[dtype]))
    function.restype = ctypes.c_int
    return function
