"""Samples and orders that the caller supplies: a prepared job is pointed to them after a check."""

import numpy as np

from fastbp._jit import helper, kernel
from fastbp.kernels.calls_by_address import call_layered
from fastbp.kernels.layered import times_zero
from fastbp.kernels.records import clear, get, job_at, of, write
from fastbp.losses import BINARY_CROSS_ENTROPY, CATEGORICAL_CROSS_ENTROPY, POISSON, SUM_TOLERANCE
from fastbp.simd import address, element


@helper
def all_between(numbers, n, lowest, highest):
    """Whether n numbers lie between two others; NaN does not."""
    within = True
    for i in range(n):
        x = element(numbers, i)
        within &= (x >= lowest) & (x <= highest)
    return within


@helper
def are_probabilities(numbers, rows, columns):
    """Whether the sum of every row is 1."""
    within = True
    for i in range(rows):
        total = 0.0
        for j in range(columns):
            total += np.float64(element(numbers, i * columns + j))
        within &= abs(total - 1.0) <= SUM_TOLERANCE
    return within


@helper
def take_inputs(job, job_address, X, most, until, layered_at):
    """Point a job to inputs, and train; return False if their shape is wrong, or one is not finite."""
    rows, columns = X.shape
    if columns != of(job, "size", 0) or rows < 1 or rows > most:
        return False
    if times_zero(address(X), X.size) != 0:
        return False
    write(job, "X", address(X))
    write(job, "n_samples", rows)
    if layered_at != 0:
        call_layered(layered_at, job_address, until, X)
    return True


@kernel
def take_targets(job_address, X, Y, most, until, layered_at):
    """Point a job to other samples, if training can take them as they are, and train to a step.

    Parameters
    ----------
    job_address : int
        The address of a job whose X was like this one: of the network's type and C-contiguous.
    X, Y : array, shapes (n_samples, n_inputs) and (n_samples, n_outputs)
        C-contiguous, of the network's type. The caller keeps them alive until the job is done.
    most : int
        The most samples that the job can take.
    until, layered_at : int
        The step to train to, and where the code of `layered` is. With 0 for the latter, it does not train.

    Returns
    -------
    bool
        False if a shape is wrong, or a number is not what it may be. Then the samples are undefined.
    """
    job = job_at(job_address, X)
    n_outputs, loss = of(job, "size", get(job, "n_layers")), get(job, "loss")
    if Y.shape != (X.shape[0], n_outputs):
        return False
    if times_zero(address(Y), Y.size) != 0:
        return False
    bounded = loss in (BINARY_CROSS_ENTROPY, CATEGORICAL_CROSS_ENTROPY, POISSON)
    if bounded and not all_between(address(Y), Y.size, 0.0, 1.0 if loss == BINARY_CROSS_ENTROPY else np.inf):
        return False
    if loss == CATEGORICAL_CROSS_ENTROPY and not are_probabilities(address(Y), X.shape[0], n_outputs):
        return False
    write(job, "Y", address(Y))
    clear(job, "labels")
    return take_inputs(job, job_address, X, most, until, layered_at)


@kernel
def take_labels(job_address, X, labels, most, until, layered_at):
    """Do what `take_targets` does, with class labels: int64, of shape (n_samples,)."""
    job = job_at(job_address, X)
    n_classes = of(job, "size", get(job, "n_layers"))
    fits = get(job, "loss") == CATEGORICAL_CROSS_ENTROPY and labels.size == X.shape[0]
    if not fits or not all_between(address(labels), labels.size, 0, n_classes - 1):
        return False
    write(job, "labels", address(labels))
    return take_inputs(job, job_address, X, most, until, layered_at)


@kernel
def take_orders(job_address, orders):
    """Point a job to the orders of its coming epochs, if they are places of its samples; return whether.

    Parameters
    ----------
    job_address : int
    orders : int64[n_epochs, n_samples]
        C-contiguous. The caller keeps them alive until these epochs are over.
    """
    job = job_at(job_address, orders)
    if not all_between(address(orders), orders.size, 0, get(job, "n_samples") - 1):
        return False
    write(job, "order", address(orders))
    write(job, "order_at", 0)
    return True
