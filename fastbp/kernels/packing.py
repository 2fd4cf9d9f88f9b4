"""Copies of parameters from one form to the other: flat, as `Network.theta`, or packed, as in a job."""

from fastbp._jit import helper, kernel
from fastbp.kernels.records import get, job_at, of
from fastbp.simd import address, element, put, shifted


@helper
def copy_transposed(source, source_row, target, target_row, rows, columns):
    """Copy a matrix to its transpose; rows and columns are those of the source."""
    for i in range(rows):
        for j in range(columns):
            put(target, j * target_row + i, element(source, i * source_row + j))


@helper
def copy(source, source_row, target, target_row, rows, columns):
    """Copy a matrix."""
    for i in range(rows):
        for j in range(columns):
            put(target, i * target_row + j, element(source, i * source_row + j))


@kernel
def pack(job_address, flat, packed, has_bias, transposed):
    """Copy a flat vector into a packed one, and leave what lies between rows as it is.

    Parameters
    ----------
    job_address : int
        Of a job with packed parameters.
    flat, packed : array
        Of the network's type.
    has_bias, transposed : bool
        Whether layers have biases; whether all but the first have W^T instead of W.
    """
    job, source, target = job_at(job_address, flat), address(flat), address(packed)
    for layer in range(get(job, "n_layers")):
        n_in, n_out = of(job, "size", layer), of(job, "size", layer + 1)
        W, row = shifted(target, of(job, "W_at", layer)), of(job, "W_row", layer)
        if transposed and layer > 0:
            copy_transposed(source, n_out, W, row, n_in, n_out)
        else:
            copy(source, n_out, W, row, n_in, n_out)
        source = shifted(source, n_in * n_out)
        if has_bias:
            copy(source, n_out, shifted(target, of(job, "b_at", layer)), n_out, 1, n_out)
            source = shifted(source, n_out)


@kernel
def unpack(job_address, packed, flat, has_bias, transposed):
    """Copy a packed vector into a flat one: what `pack` does, the other way."""
    job, source, target = job_at(job_address, flat), address(packed), address(flat)
    for layer in range(get(job, "n_layers")):
        n_in, n_out = of(job, "size", layer), of(job, "size", layer + 1)
        W, row = shifted(source, of(job, "W_at", layer)), of(job, "W_row", layer)
        if transposed and layer > 0:
            copy_transposed(W, row, target, n_out, n_out, n_in)
        else:
            copy(W, row, target, n_out, n_in, n_out)
        target = shifted(target, n_in * n_out)
        if has_bias:
            copy(shifted(source, of(job, "b_at", layer)), n_out, target, n_out, 1, n_out)
            target = shifted(target, n_out)
