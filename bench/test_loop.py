"""The cost of the loop: chunks and the search for divergence, against one kernel call for the whole run.

In each round, both train the same number of steps from the same state on one thread, and take turns in going
first. Processor time is measured. The loop's fraction is the median of the rounds' ratios, less 1. The time
that the loop spends outside the kernel is added up too, because noise hides small fractions; so is the time
of a call before and after the loop, which does not depend on its length.
"""

import copy
import statistics
import time

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import fastbp
from fastbp.engine.kernel_options import KernelOptions
from fastbp.training import make_run
from fastbp.training.assembly import make_loop
from fastbp.training.monitoring import MonitoringOptions

ROUNDS = 11

CASES = {
    "2-2-2, batch 1, SGD": ("fused222", [2, 2, 2], 4, 1, fastbp.SGD(0.5), 80_000_000),
    "2-2-2, batch 1, SGD, exact": ("fused222", [2, 2, 2], 4, 1, fastbp.SGD(0.5), 20_000_000),
    "2-4-1, batch 1, SGD": ("online", [2, 4, 1], 4, 1, fastbp.SGD(0.5), 20_000_000),
    "64-128-10, batch 1, SGD": ("online", [64, 128, 10], 1000, 1, fastbp.SGD(0.01), 2_000_000),
    "20-64-64-2, batch 32, Adam": ("layered", [20, 64, 64, 2], 1000, 32, fastbp.Adam(), 128_000),
    "784-512-512-10, batch 128, Adam": ("layered", [784, 512, 512, 10], 1000, 128, fastbp.Adam(), 800),
}
"""Kernel, layers, samples, batch, optimizer, steps: whole epochs, which leave no loss to be evaluated."""


class Timed:
    """A run that adds up the time of its kernel calls, and of its search for divergence."""

    def __init__(self, run):
        self._run, self.kernel_seconds, self.lookout_seconds = run, 0.0, 0.0
        self.began = self.ended = None

    def __getattr__(self, name):
        return getattr(self._run, name)

    def advance(self, until, *arguments):
        is_training = until > self._run.step
        if is_training and self.began is None:
            self.began = time.thread_time()
        started = time.perf_counter()
        self._run.advance(until, *arguments)
        if is_training:
            self.kernel_seconds += time.perf_counter() - started
            self.ended = time.thread_time()

    def _looked(self, function, *arguments):
        started = time.perf_counter()
        found = function(*arguments)
        self.lookout_seconds += time.perf_counter() - started
        return found

    def is_finite(self):
        return self._looked(self._run.is_finite)

    def loss(self, *arguments):
        return self._looked(self._run.loss, *arguments)

    def snapshot(self, *arguments):
        return self._looked(self._run.snapshot, *arguments)


def prepare(case):
    kernel, sizes, n_samples, batch_size, optimizer, steps = CASES[case]
    generator = np.random.default_rng(0)
    network = fastbp.Network(sizes, seed=0)
    X = generator.uniform(-1, 1, (n_samples, sizes[0]))
    Y = generator.uniform(0.1, 0.9, (n_samples, sizes[-1]))
    math = "exact" if "exact" in case else "fast"
    options = KernelOptions(
        n_samples, steps=steps, batch_size=batch_size, optimizer=optimizer, seed=0, math=math
    )
    pristine = copy.deepcopy(network)  # the loop writes into the network
    return (
        lambda: make_run(kernel, pristine, X, Y, options),
        lambda run: make_loop(run, network, (X, Y), options, MonitoringOptions(progress=False)),
        steps,
    )


@pytest.mark.benchmark(group="the loop's share")
@pytest.mark.parametrize("case", CASES)
def test_share_of_the_loop(benchmark, case, record_property):
    """The loop with all that it does, with the look-out for divergence, and the kernel alone."""
    new_run, new_loop, steps = prepare(case)
    ratios, outside, lookouts, besides = [], [], [], []
    initial = new_run()
    last = [initial.snapshot()]

    def one(watched):
        """Return the processor time, and the parameters; in the same memory: its pages count."""
        last[0] = initial.snapshot(last[0])
        run = Timed(last[0])
        run.advance(0)
        started = time.thread_time()
        if not watched:
            run.advance(steps)
            return time.thread_time() - started, run.theta.tobytes()
        result = new_loop(run).train()
        looping = run.ended - run.began
        besides.append((time.thread_time() - started) / looping - 1)
        outside.append(1 - run.kernel_seconds / result.seconds)
        lookouts.append(run.lookout_seconds / result.seconds)
        return looping, run.theta.tobytes()

    def both():
        found = {watched: one(watched) for watched in ((False, True) if len(ratios) % 2 else (True, False))}
        assert found[True][1] == found[False][1]
        ratios.append(found[True][0] / found[False][0])

    with threadpool_limits(1):
        benchmark.pedantic(both, rounds=ROUNDS, warmup_rounds=1)
    shares = {
        "the loop against one kernel call": statistics.median(ratios) - 1,
        "outside the kernel": statistics.median(outside),
        "looking out for divergence": statistics.median(lookouts),
        "a call's work before and after, copies of the network included": statistics.median(besides),
    }
    benchmark.extra_info |= shares
    record_property("shares", shares)
