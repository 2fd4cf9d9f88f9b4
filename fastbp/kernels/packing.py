"""Copies parameters from one layout to the other: flat, as `Network.theta`, or packed, as in a job."""

from fastbp._jit import helper, kernel, routine
from fastbp.kernels.records import get, job_at, of, write
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
def pack(job_address, flat, packed, has_bias):
    """Copy a flat vector into a packed one. The padding between rows is left as it is.

    Parameters
    ----------
    job_address : int
        The address of a job with packed parameters.
    flat, packed : array
        Arrays of the network's type.
    has_bias : bool
        Whether layers have biases.
    """
    pack_into(job_at(job_address, flat), address(flat), address(packed), has_bias)


@routine
def pack_into(job, source, target, has_bias):
    """Copy the flat vector at `source` into the packed one at `target`."""
    for layer in range(get(job, "n_layers")):
        n_in, n_out = of(job, "size", layer), of(job, "size", layer + 1)
        W, row = shifted(target, of(job, "W_at", layer)), of(job, "packed_row", layer)
        if of(job, "is_transposed", layer) != 0:
            copy_transposed(source, n_out, W, row, n_in, n_out)
        else:
            copy(source, n_out, W, row, n_in, n_out)
        source = shifted(source, n_in * n_out)
        if has_bias:
            copy(source, n_out, shifted(target, of(job, "b_at", layer)), n_out, 1, n_out)
            source = shifted(source, n_out)


@kernel
def unpack(job_address, packed, flat, has_bias):
    """Copy a packed vector into a flat one: the inverse of `pack`."""
    unpack_from(job_at(job_address, flat), address(packed), address(flat), has_bias)


@routine
def unpack_from(job, source, target, has_bias):
    """Copy the packed vector at `source` into the flat one at `target`."""
    for layer in range(get(job, "n_layers")):
        n_in, n_out = of(job, "size", layer), of(job, "size", layer + 1)
        W, row = shifted(source, of(job, "W_at", layer)), of(job, "packed_row", layer)
        if of(job, "is_transposed", layer) != 0:
            copy_transposed(W, row, target, n_out, n_out, n_in)
        else:
            copy(W, row, target, n_out, n_in, n_out)
        target = shifted(target, n_in * n_out)
        if has_bias:
            copy(shifted(source, of(job, "b_at", layer)), n_out, target, n_out, 1, n_out)
            target = shifted(target, n_out)


@routine
def begin_at(job, flat):
    """Reset a job that computes a gradient to before its first step, with the parameters at `flat`."""
    counters, totals = get(job, "counters"), get(job, "totals")
    write(counters, "step", 0)
    write(counters, "row", 0)
    write(counters, "epoch", 0)
    write(counters, "recorded", 0)
    write(totals, "loss_sum", 0.0)
    write(totals, "row_sum", 0.0)
    write(totals, "not_finite", 0.0)
    write(job, "done_rows", 0)
    write(job, "has_transposes", 0)
    pack_into(job, flat, get(job, "theta"), get(job, "trains_biases") != 0)


@kernel
def begin_gradient(job_address, flat):
    """Do what `begin_at` does, for a gradient that takes several calls of the layered kernel."""
    begin_at(job_at(job_address, flat), address(flat))
