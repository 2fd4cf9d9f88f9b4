"""The Jacobian of the outputs with respect to the parameters, some rows of X at a time."""

import numpy as np

from fastbp._jit import kernel, routine
from fastbp.activations import SOFTMAX
from fastbp.kernels.elementwise import apply_slope
from fastbp.kernels.floating_point import FLUSHING, floating_point_state, set_floating_point_state
from fastbp.kernels.output import softmax
from fastbp.kernels.packing import pack_into
from fastbp.kernels.parameters import renew_transposes
from fastbp.kernels.records import get, input_at, job_at, of, outputs_of, work_area
from fastbp.kernels.rows import backward, forward
from fastbp.losses import CATEGORICAL_CROSS_ENTROPY
from fastbp.simd import address, element, put, shifted


@routine
def seed_deltas(job, area, rows, output, zero, one):
    """Write da_k/dz to the deltas of the output layer, for output k of every row."""
    last = get(job, "n_layers")
    code, size, distance = of(job, "activation", last), of(job, "size", last), of(job, "row", last)
    a, z = outputs_of(job, area, "a_at", last, 0), outputs_of(job, area, "z_at", last, 0)
    delta = outputs_of(job, area, "delta_at", last, 0)
    for i in range(rows * distance):
        put(delta, i, zero)
    for r in range(rows):
        start = r * distance
        if code == SOFTMAX:
            own = element(a, start + output)
            for j in range(size):
                put(delta, start + j, own * ((one if j == output else zero) - element(a, start + j)))
        else:
            put(delta, start + output, one)
    if code != SOFTMAX:
        apply_slope(code, a, z, delta, rows * distance)


@routine
def write_row(job, area, sample, row, target):
    """Write x_i d_j of every W_l, and d_j of every b_l, for one row of the tile, laid out as theta."""
    for layer in range(get(job, "n_layers")):
        n_in, n_out = of(job, "size", layer), of(job, "size", layer + 1)
        x, d = input_at(job, area, layer, sample, row), outputs_of(job, area, "delta_at", layer + 1, row)
        for i in range(n_in):
            for j in range(n_out):
                put(target, i * n_out + j, element(x, i) * element(d, j))
        target = shifted(target, n_in * n_out)
        if get(job, "trains_biases") != 0:
            for j in range(n_out):
                put(target, j, element(d, j))
            target = shifted(target, n_out)


@kernel
def jacobian(job_address, flat, first, outputs, derivatives):
    """Compute outputs of some rows, and their derivatives by every parameter.

    Parameters
    ----------
    job_address : int
        The address of a job for `GRADIENT_ONLY`, with one thread.
    flat : array, shape (n_parameters,)
        The parameters, laid out as `Network.theta`.
    first : int
        The first row of X to take. `outputs` says how many rows: at most a tile.
    outputs, derivatives : array, shapes (n_rows, n_outputs) and (n_rows, n_outputs, n_parameters)
        Written.
    """
    job = job_at(job_address, flat)
    state = floating_point_state()
    set_floating_point_state(FLUSHING)
    rows, n_outputs = outputs.shape
    if first == 0:
        pack_into(job, address(flat), get(job, "theta"), get(job, "trains_biases") != 0)
        renew_transposes(job, np.int64(0))
    area, last = work_area(job, 0), get(job, "n_layers")
    forward(job, area, first, 0, rows)
    a, distance = outputs_of(job, area, "a_at", last, 0), of(job, "row", last)
    if of(job, "activation", last) == SOFTMAX and get(job, "loss") == CATEGORICAL_CROSS_ENTROPY:
        softmax(outputs_of(job, area, "z_at", last, 0), distance, rows, n_outputs, a)
    for r in range(rows):
        for k in range(n_outputs):
            outputs[r, k] = element(a, r * distance + k)
    zero, one = flat.dtype.type(0), flat.dtype.type(1)
    for k in range(n_outputs):
        seed_deltas(job, area, rows, k, zero, one)
        backward(job, area, 0, rows)
        for r in range(rows):
            write_row(job, area, first, r, shifted(address(derivatives), (r * n_outputs + k) * flat.size))
    set_floating_point_state(state)
