"""Random configurations of everything that `train` takes, at three widths of vectors, against the reference.

`make test` tries the networks of one type at each width that this processor's vectors do not have.

A failure prints its seed. One command repeats it: ``python -m tests.hostile.test_configurations SEED``.
"""

import contextlib
import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fastbp import processor
from fastbp.specification import DTYPES
from tests.hostile.configurations import Found, draw, train
from tests.hostile.expected import Expected, expected
from tests.processes import OTHER_WIDTHS, TARGETS, environment, start

EVERY_TYPE = dict.fromkeys(TARGETS, DTYPES)
"""The types of networks by the width of the vectors they are trained with."""
QUICK = {processor.WIDTH: DTYPES} | {width: (dtype,) for width, dtype in OTHER_WIDTHS.items()}
CODE = f"""
import json, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from tests.hostile.configurations import write_found
write_found(json.loads(sys.argv[1]))
"""


def differences(seed: int, found: Found | str, wanted: Expected) -> list[str]:
    """Return what is wrong with what was found, a line each."""
    configuration = draw(seed)
    values, tolerances = wanted.values, wanted.tolerances
    if isinstance(found, str):
        diverges = found.startswith("DivergenceError") and values.diverge(configuration.network["dtype"])
        return [] if diverges else [found]
    wrong = []
    if not found.same_bits:
        wrong.append("the bits depend on the number of threads")
    options = configuration.options
    if options.get("kernel", "auto") not in ("auto", found.kernel):
        wrong.append(f"the kernel was {found.kernel}")

    def compare(name: str, array: np.ndarray, expected: np.ndarray) -> None:
        tolerance = tolerances.get(name)
        if array.shape != expected.shape or not np.isfinite(array).all():
            wrong.append(f"{name} is {array}, and must be {expected}")
        elif tolerance is not None and expected.size:
            off = np.abs(array - expected)
            if off.max() > tolerance:
                at = int(off.argmax())
                wrong.append(
                    f"{name}[{at}] is {array.flat[at]!r}, and must be {expected.flat[at]!r}, "
                    f"off by {off.max():.2g}, and may be by {tolerance:.2g} ({np.sum(off > tolerance)} such)"
                )

    for name in ("loss", "gradient", "outputs", "theta"):
        compare(
            name, np.asarray(getattr(found, name)).reshape(getattr(values, name).shape), getattr(values, name)
        )
    if options.get("math") == "exact" and (found.theta != values.theta.astype(found.theta.dtype)).any():
        wrong.append("theta has not the bits of the reference")
    fused = found.kernel == "fused222"
    per_epoch = -(
        -len(configuration.X) // min(len(configuration.X), options["batch_size"] or len(configuration.X))
    )
    name = "losses" if fused else "epoch_losses"
    curve = {(k + (not fused)) * per_epoch: v for k, v in enumerate(getattr(values, name))}
    common = sorted(curve.keys() & found.curve.keys())
    compare(name, np.array([found.curve[k] for k in common]), np.array([curve[k] for k in common]))
    if options.get("validation"):
        compare("validation_losses", np.array(found.validation_losses), values.validation_losses)
    return wrong


@contextlib.contextmanager
def process(width: int, seeds: list[int]) -> Iterator[subprocess.Popen]:
    """Start a process that trains the configurations with vectors of some width."""
    with start(CODE, json.dumps(seeds), stderr=None, **environment(width)) as started:
        try:
            yield started
        finally:
            started.kill()


def check(first: int, stop: int, dtypes: dict[int, tuple[str, ...]]) -> dict[str, int]:
    """Compare configurations at the widths for their types; return what was compared, and how often."""
    dtype = {seed: draw(seed).network["dtype"] for seed in range(first, stop)}
    seeds = {width: [seed for seed in dtype if dtype[seed] in dtypes[width]] for width in dtypes}
    counts = {"configurations": 0, "left out": 0}
    failures = []
    with contextlib.ExitStack() as stack:
        processes = {width: stack.enter_context(process(width, seeds[width])) for width in seeds}
        for seed in range(first, stop):
            wanted = expected(draw(seed))
            says_something = wanted.tolerances["theta"] is not None
            counts["configurations" if says_something else "left out"] += 1
            for width, started in processes.items():
                if dtype[seed] not in dtypes[width]:
                    continue
                try:
                    found = pickle.load(started.stdout.buffer)
                except EOFError:
                    failures.append(
                        f"with {width}-byte vectors, the process ended with {started.wait()} at seed {seed}"
                    )
                    return report(counts, failures)
                if wrong := differences(seed, found, wanted):
                    failures.append(f"with {width}-byte vectors, {draw(seed)}:\n    " + "\n    ".join(wrong))
                    print(failures[-1], flush=True)
                elif not isinstance(found, str):
                    counts[found.kernel] = counts.get(found.kernel, 0) + 1
    return report(counts, failures)


def report(counts: dict[str, int], failures: list[str]) -> dict[str, int]:
    assert not failures, f"{len(failures)} failed of {counts}:\n" + "\n".join(failures[:20])
    return counts


def test_random_configurations_give_what_the_reference_gives():
    assert check(0, 26, QUICK)["configurations"] >= 20


@pytest.mark.soak
def test_2000_random_configurations_give_what_the_reference_gives():
    counts = check(1000, 3200, EVERY_TYPE)
    print(f"\n{counts}")
    assert counts["configurations"] >= 2000


if __name__ == "__main__":
    seed = int(sys.argv[1])
    print(draw(seed))
    found = train(draw(seed))
    print(found.kernel, *differences(seed, found, expected(draw(seed))) or ["no difference"], sep="\n")
