# fastbp: the public call with its defaults, as a user makes it. Everything in it is timed: the checks of
# arguments, the loss curve, the search for divergence. Only the network is prepared outside the call.
# Rivals are called the same way: what a call costs is a part of the time of its steps.

import os

import numpy as np

import fastbp
from bench.grid import Workload
from bench.peers import Train
from fastbp.benchmark.contenders import public_call
from fastbp.benchmark.machine import core_numbers


def prepare(workload: Workload, threads: int | None = None) -> Train:
    allowed = int(os.environ.get("OMP_NUM_THREADS", 0))
    if threads is None and 0 < allowed < len(core_numbers()):
        threads = allowed  # the session has fewer threads than this process has cores
    options = {"batch_size": workload.batch_size, "optimizer": workload.optimizer, "threads": threads}
    if workload.networks > 1:
        return population_call(workload, **options)
    return public_call(workload.network(), *workload.samples(), **options)


def population_call(workload: Workload, **options) -> Train:
    """Prepare `fastbp.train_population`, with all that it does."""
    starts, (X, Y) = workload.starts(), workload.samples()
    population = fastbp.Population.from_theta(workload.network().specification, starts.copy())
    if workload.own_rates:
        options["learning_rate"] = workload.rates()

    def train(steps: int) -> np.ndarray:
        population.theta[:] = starts
        result = fastbp.train_population(
            population, X, Y, steps=steps, shuffle=False, progress=False, **options
        )
        if result.interrupted:
            raise KeyboardInterrupt
        return population.theta.copy()

    return train
