"""The common metrics of outputs, with the bits that NumPy gives in `fastbp.training.metrics`.

NumPy adds contiguous numbers pairwise: https://github.com/numpy/numpy/pull/3685. Over the rows of several
columns it adds one after the other. NumPy 2.0 adds blocks of 8,192 numbers, and then their sums: there, a
mean of more distances may differ in the last bit.
"""

import math

import numpy as np

from fastbp._jit import helper, routine
from fastbp.kernels.records import get, own
from fastbp.kernels.steps import sum_of_few
from fastbp.simd import element, put, shifted

LARGEST, EACH, R2, MAE, RMSE = range(5)
"""Codes: accuracy of the largest output, or of outputs that decide for themselves; metrics of numbers."""

BLOCK = 128
"""More numbers than these are added in two halves."""


@routine
def sum_as_numpy(numbers, n):
    """Return the sum of n float64 numbers, with the bits of `numpy.sum`."""
    if n <= BLOCK:
        return sum_of_few(numbers, n)
    half = n // 2 // 8 * 8
    return sum_as_numpy(numbers, half) + sum_as_numpy(shifted(numbers, half), n - half)


@helper
def largest_of(a, n):
    """Return the place of the largest of n numbers, of equal ones the first; NaN counts as the largest."""
    place, most = 0, element(a, 0)
    for j in range(1, n):
        x = element(a, j)
        if x > most or (x != x and most == most):
            place, most = j, x
    return place


@routine
def accuracy(watch, n, columns, by_largest):
    """Return the fraction of samples, or of outputs, that decide as the targets do."""
    outputs, truth, right = get(watch, "outputs"), get(watch, "truth"), 0
    if by_largest:
        for i in range(n):
            right += largest_of(shifted(outputs, i * columns), columns) == element(truth, i)
        return right / n
    threshold = own(watch, element(get(watch, "threshold"), 0))
    for k in range(n * columns):
        right += (threshold <= element(outputs, k)) == (element(truth, k) != 0)
    return right / (n * columns)


@helper
def distance(watch, k):
    """Return a target minus the output for it."""
    return np.float64(element(get(watch, "targets"), k)) - np.float64(element(get(watch, "outputs"), k))


@routine
def sum_of_squares(watch, n, columns, column):
    """Return the sum of the squared distances of an output."""
    if columns == 1:
        scratch = get(watch, "scratch")
        for i in range(n):
            put(scratch, i, distance(watch, i) * distance(watch, i))
        return sum_as_numpy(scratch, n)
    total = 0.0
    for i in range(n):
        k = i * columns + column
        total += distance(watch, k) * distance(watch, k)
    return total


@routine
def mean_distance(watch, n):
    """Return the mean of n absolute distances."""
    scratch = get(watch, "scratch")
    for k in range(n):
        put(scratch, k, abs(distance(watch, k)))
    return sum_as_numpy(scratch, n) / n


@routine
def mean_over_outputs(watch, code, n, columns):
    """Return the mean over outputs of R^2 or of the root of the mean square."""
    means = shifted(get(watch, "scratch"), n * columns)
    for j in range(columns):
        rest = sum_of_squares(watch, n, columns, j)
        if code == RMSE:
            put(means, j, math.sqrt(rest / n))
        else:
            spread = element(get(watch, "spread"), j)
            exact = 1.0 if rest == 0.0 else 0.0
            put(means, j, 1.0 - rest / spread if spread > 0.0 else exact)
    return sum_as_numpy(means, columns) / columns


@routine
def measured(watch, code):
    """Return a metric of the outputs at hand."""
    n, columns = get(watch, "n_evaluated"), get(watch, "n_outputs")
    if code in (LARGEST, EACH):
        return accuracy(watch, n, columns, code == LARGEST)
    if code == MAE:
        return mean_distance(watch, n * columns)
    return mean_over_outputs(watch, code, n, columns)
