"""Peers that are broken on purpose, and one that is not, for the gate to tell apart."""

import os

import numpy as np

from bench.peers import UnavailableError, numpy_arrays


def right(workload):
    return numpy_arrays.prepare(workload)


def one_step_short(workload):
    train = numpy_arrays.prepare(workload)
    return lambda steps: train(steps - 1)


def no_training(workload):
    return lambda steps: workload.starts()[0]


def half_the_steps(workload):
    train = numpy_arrays.prepare(workload)
    return lambda steps: train(steps // 2)


def one_weight_off(workload):
    train = numpy_arrays.prepare(workload)

    def nudged(steps):
        theta = train(steps)
        theta[0] += 1e-6 if workload.dtype == "float64" else 0.1
        return theta

    return nudged


def not_a_number(workload):
    return lambda steps: np.full_like(workload.starts()[0], np.nan)


def wrong_shape(workload):
    return lambda steps: np.zeros(3)


def raises(workload):
    def train(steps):
        raise RuntimeError("out of order")

    return train


def dies(workload):
    return lambda steps: os._exit(3)


def absent(workload):
    raise UnavailableError("not today")
