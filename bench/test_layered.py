"""Layered networks: fastbp, and the pure-Python and NumPy baselines, to be compared with earlier runs.

The workloads are those of `bench.grid`. Each contender must first reach the parameters of the float64
reference.
"""

from functools import lru_cache

import pytest

from bench import grid, peers
from bench.peers import numpy_arrays
from fastbp.benchmark import roofline
from fastbp.benchmark.gate import judge
from fastbp.benchmark.machine import core_numbers

CONTENDERS = (peers.OURS, "NumPy", "Python, lists")
SECONDS = 0.02
"""What a call of fastbp takes, or one epoch if that is longer; the number of steps is fixed by the workload's
operations, so that saved runs compare."""

FLOPS_A_SECOND = {peers.OURS: 2e10, "NumPy": 5e9, "Python, lists": 2e7}
STEPS_A_SECOND = {peers.OURS: 1e6, "NumPy": 1e5, "Python, lists": 1e5}
"""Rough speeds, and an upper bound for all steps."""

LAYERED = tuple(
    workload.with_dtype(dtype) for workload in grid.GRID if workload.case is None for dtype in grid.DTYPES
)


def steps_per_call(name, workload):
    seconds = 1 / STEPS_A_SECOND[name] + workload.flops_per_step / FLOPS_A_SECOND[name]
    epochs = round(SECONDS / seconds / workload.steps_per_epoch)
    return workload.steps_per_epoch * max(1, epochs)


references = lru_cache(maxsize=1)(numpy_arrays.references)


@pytest.fixture(scope="session")
def peak():
    return {dtype: roofline.peak(dtype, len(core_numbers())) for dtype in grid.DTYPES}


@pytest.mark.benchmark(max_time=0.5)
@pytest.mark.parametrize("name", CONTENDERS)
@pytest.mark.parametrize("workload", LAYERED, ids=str)
def test_training(benchmark, workload, name, record_property, peak):
    try:
        train = peers.prepare(name, workload)
    except peers.UnavailableError as error:
        pytest.skip(str(error))
    double = workload.with_dtype("float64")
    assert judge(train, references(double), double.starts()[0], workload.tolerance)[0] == ""
    steps = steps_per_call(name, workload)
    benchmark.group = str(workload)
    benchmark(train, steps)
    benchmark.extra_info["steps_per_call"] = steps
    if benchmark.enabled:
        ns_per_step = benchmark.stats.stats.median / steps * 1e9
        benchmark.extra_info["ns_per_step"] = ns_per_step
        record_property("ns_per_step", ns_per_step)
        if workload.flops_per_step >= grid.LARGE_FLOPS:
            fraction = workload.flops_per_step / ns_per_step / peak[workload.dtype]
            benchmark.extra_info["fraction_of_flop_peak"] = fraction
            record_property("fraction_of_flop_peak", fraction)
