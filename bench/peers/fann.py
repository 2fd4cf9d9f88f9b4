# FANN, the Fast Artificial Neural Network library, through ctypes, in its fast form: its own loop over
# epochs in C, `fann_train_on_data` with incremental training, so that no call from Python is timed. Tried
# and rejected: `fann_train`, a sample a call, as its Python binding offers it: 0.34 us a step instead of
# 0.094, for 2-4-1.
#
# It has sigmoid, tanh and linear neurons, one sample a step, and always trains its biases. In derivatives, it
# clips activations at 0.01 and 0.99 (sigmoid) or -0.98 and 0.98 (tanh). A network whose activations exceed
# these is trained differently, and gets no number. Its learning rate is a float32.

import ctypes
import ctypes.util
from functools import lru_cache
from itertools import pairwise

import numpy as np

import fastbp
from bench.grid import Workload
from bench.peers import Train, UnavailableError

LIBRARIES = {"float32": ("floatfann", ctypes.c_float), "float64": ("doublefann", ctypes.c_double)}
INCREMENTAL, LINEAR_ERROR = 0, 0
NEURONS = {"identity": (0, 1.0), "sigmoid": (3, 0.5), "tanh": (5, 1.0)}
"""FANN's number of an activation, and the steepness that makes it the usual function."""


@lru_cache
def library(dtype: str):
    """Return FANN for a dtype, its functions declared."""
    name, number = LIBRARIES[dtype]
    path = ctypes.util.find_library(name)
    if path is None:
        raise UnavailableError(f"not installed: lib{name}")
    fann = ctypes.CDLL(path)
    pointer, unsigned, integer = ctypes.c_void_p, ctypes.c_uint, ctypes.c_int
    declared = {
        "fann_create_standard_array": (pointer, [unsigned, pointer]),
        "fann_copy": (pointer, [pointer]),
        "fann_destroy": (None, [pointer]),
        "fann_destroy_train": (None, [pointer]),
        "fann_get_connection_array": (None, [pointer, pointer]),
        "fann_set_weight_array": (None, [pointer, pointer, unsigned]),
        "fann_set_training_algorithm": (None, [pointer, integer]),
        "fann_set_train_error_function": (None, [pointer, integer]),
        "fann_set_learning_rate": (None, [pointer, ctypes.c_float]),
        "fann_set_activation_function_hidden": (None, [pointer, integer]),
        "fann_set_activation_function_output": (None, [pointer, integer]),
        "fann_set_activation_steepness_hidden": (None, [pointer, number]),
        "fann_set_activation_steepness_output": (None, [pointer, number]),
        "fann_train_on_data": (None, [pointer, pointer, unsigned, unsigned, ctypes.c_float]),
        "fann_create_train_from_callback": (pointer, [unsigned, unsigned, unsigned, pointer]),
    }
    for function, (result, arguments) in declared.items():
        getattr(fann, function).restype = result
        getattr(fann, function).argtypes = arguments
    return fann, number


def prepare(workload: Workload) -> Train:
    if workload.networks > 1:
        raise UnavailableError("one network at a time")
    if workload.bias != "trainable":
        raise UnavailableError("FANN always trains its biases")
    if workload.batch_size > 1 or not isinstance(workload.optimizer, fastbp.SGD):
        raise UnavailableError("FANN has neither mini-batches nor Adam")
    if workload.hidden not in NEURONS or workload.output not in NEURONS:
        raise UnavailableError("FANN has sigmoid, tanh and linear neurons only")
    fann, number = library(workload.dtype)
    sizes = np.array(workload.layer_sizes, np.uint32)
    network = fann.fann_create_standard_array(len(sizes), sizes.ctypes.data)
    for where, name in (("hidden", workload.hidden), ("output", workload.output)):
        code, steepness = NEURONS[name]
        getattr(fann, f"fann_set_activation_function_{where}")(network, code)
        getattr(fann, f"fann_set_activation_steepness_{where}")(network, steepness)

    connection = np.dtype([("from", np.uint32), ("to", np.uint32), ("weight", workload.dtype)], align=True)
    connections = np.zeros(workload.starts()[0].size, connection)
    fann.fann_get_connection_array(network, connections.ctypes.data)
    layers = workload.layers(workload.starts()[0])
    connections["weight"] = np.concatenate([np.vstack([W, b]).T.ravel() for W, b in layers])
    fann.fann_set_weight_array(network, connections.ctypes.data, len(connections))
    data = training_data(fann, number, *workload.samples())

    def train(steps: int) -> np.ndarray:
        trained = fann.fann_copy(network)  # this resets the training settings
        fann.fann_set_training_algorithm(trained, INCREMENTAL)
        fann.fann_set_train_error_function(trained, LINEAR_ERROR)
        fann.fann_set_learning_rate(trained, workload.optimizer.learning_rate)
        fann.fann_train_on_data(trained, data, steps // workload.steps_per_epoch, 0, -1.0)
        fann.fann_get_connection_array(trained, connections.ctypes.data)
        fann.fann_destroy(trained)
        weights, found = connections["weight"], []
        for n_in, n_out in pairwise(workload.layer_sizes):
            rows, weights = np.split(weights, [(n_in + 1) * n_out])
            found.append((rows.reshape(n_out, n_in + 1)[:, :-1].T, rows.reshape(n_out, n_in + 1)[:, -1]))
        return workload.flat(found)

    return train


def training_data(fann, number, X: np.ndarray, Y: np.ndarray):
    """Return the samples in FANN's own arrays."""
    remaining = iter(zip(X, Y, strict=True))
    arrays = ctypes.POINTER(number)

    @ctypes.CFUNCTYPE(None, ctypes.c_uint, ctypes.c_uint, ctypes.c_uint, arrays, arrays)
    def fill(i, n_in, n_out, inputs, outputs):
        x, y = next(remaining)
        for target, numbers in ((inputs, x), (outputs, y)):
            for j, value in enumerate(numbers.tolist()):
                target[j] = value

    return fann.fann_create_train_from_callback(len(X), X.shape[1], Y.shape[1], fill)
