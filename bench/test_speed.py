"""Training speed: every contender on every case, checked for equal results before it is timed.

Here the contenders run one after the other, to be compared with earlier runs. `fastbp bench` times them in
turns, to be compared with each other.
"""

import pytest

from fastbp.benchmark.cases import SPEED_CASES
from fastbp.benchmark.contenders import CONTENDERS, UnavailableError
from fastbp.benchmark.gate import TOLERANCE, judge
from fastbp.benchmark.protocol import CHECKED_STEPS


def steps_per_call(contender):
    """Return a fixed number, so that saved runs compare. In compiled loops, ms a call are ns a step."""
    return 10_000 if contender.name.startswith(("Python", "NumPy")) else 1_000_000


@pytest.mark.benchmark(max_time=0.5)
@pytest.mark.parametrize("contender", CONTENDERS, ids=str)
@pytest.mark.parametrize("case", SPEED_CASES, ids=lambda case: case.name)
def test_training(benchmark, case, contender, record_property):
    steps = steps_per_call(contender)
    benchmark.group = f"{case.name}, {steps:,} steps a call"
    try:
        train = contender.prepare(case.with_dtype(contender.dtype))
    except UnavailableError as error:
        pytest.skip(str(error))
    references = {steps: case.reference_theta(steps) for steps in CHECKED_STEPS}
    assert judge(train, references, case.theta, TOLERANCE[contender.dtype])[0] == ""
    benchmark(train, steps)
    benchmark.extra_info["steps_per_call"] = steps
    if benchmark.enabled:
        benchmark.extra_info["ns_per_step"] = benchmark.stats.stats.median / steps * 1e9
        record_property("ns_per_step", benchmark.extra_info["ns_per_step"])
