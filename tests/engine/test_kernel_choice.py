"""The kernels themselves say what they can do; `train`, its errors and the README say the same."""

import re
from pathlib import Path

import numpy as np
import pytest

import fastbp
from fastbp import Adam, Network, NotSupportedError, OptionError, schedules
from fastbp.engine.kernel_choice import KERNELS, NAMES, choose_kernel
from fastbp.engine.kernel_options import KernelOptions
from fastbp.engine.run import Run
from fastbp.specification import Specification

TINY, SMALL = Specification([2, 2, 2]), Specification([2, 3, 2])


def options(n_samples: int = 4, **changes) -> KernelOptions:
    """Return options that the fused kernel takes, with changes."""
    return KernelOptions(n_samples, **{"steps": 10, "batch_size": 1, "optimizer": fastbp.SGD(0.1)} | changes)


def able(specification: Specification, **changes) -> list[str]:
    """Return the kernels that do not refuse."""
    made = options(**changes)
    return [run.name for run in KERNELS if run.refusal(specification, made) is None]


def test_kernels_are_runs_from_the_fastest_to_the_one_that_does_everything():
    assert [run.name for run in KERNELS] == ["fused222", "online", "layered"]
    assert ("auto", *(run.name for run in KERNELS)) == NAMES
    assert all(issubclass(run, Run) for run in KERNELS)
    assert not any(issubclass(run, other) for run in KERNELS for other in KERNELS if run is not other)


@pytest.mark.parametrize(
    ("specification", "changes", "kernels"),
    [
        (TINY, {}, ["fused222", "online", "layered"]),
        (TINY, {"update": "sequential", "shuffle": False}, ["fused222", "online", "layered"]),
        (SMALL, {}, ["online", "layered"]),
        (Specification([2, 2, 2], hidden_activations="tanh"), {}, ["online", "layered"]),
        (Specification([2, 2, 2], output_activation="tanh"), {}, ["online", "layered"]),
        (Specification([2, 2, 2], loss_name="huber"), {}, ["online", "layered"]),
        (TINY, {"l2": 0.1}, ["online", "layered"]),
        (TINY, {"sample_weight": np.ones(4)}, ["online", "layered"]),
        (TINY, {"optimizer": fastbp.SGD(0.1, weight_decay=0.1)}, ["online", "layered"]),
        (TINY, {"optimizer": fastbp.SGD(schedules.InverseScaling(0.1))}, ["online", "layered"]),
        (TINY, {"optimizer": fastbp.SGD(0.1, momentum=0.9)}, ["layered"]),
        (TINY, {"optimizer": Adam()}, ["layered"]),
        (TINY, {"batch_size": 2}, ["layered"]),
        (TINY, {"dropout": 0.1}, ["layered"]),
        (TINY, {"gradient_clip_norm": 1.0}, ["layered"]),
    ],
    ids=str,
)
def test_a_kernel_refuses_what_it_cannot_do(specification, changes, kernels):
    assert able(specification, **changes) == kernels
    made = options(**changes)
    assert choose_kernel("auto", specification, made).name == kernels[0]
    for run in KERNELS:
        if run.name in kernels:
            assert choose_kernel(run.name, specification, made) is run
        else:
            with pytest.raises(
                OptionError, match=rf"^kernel is '{run.name}', and that t.*; not Network\(\[2, "
            ):
                choose_kernel(run.name, specification, made)


def test_exact_arithmetic_is_for_the_fused_kernel_alone():
    exact = options(math="exact")
    assert (
        choose_kernel("auto", TINY, exact).name == choose_kernel("fused222", TINY, exact).name == "fused222"
    )
    message = "math='exact' is for the kernel 'fused222' alone; take math='fast'"
    for kernel, specification in (("online", TINY), ("layered", TINY), ("auto", SMALL), ("online", SMALL)):
        with pytest.raises(NotSupportedError, match=re.escape(message)):
            choose_kernel(kernel, specification, exact)
    with pytest.raises(OptionError, match="kernel is 'fused222', and that trains 2-2-2"):
        choose_kernel("fused222", SMALL, exact)


def test_an_error_shows_the_network_as_its_repr_does():
    network = Network([2, 3, 2], dtype="float32", bias="none")
    with pytest.raises(OptionError, match=re.escape(f"; not {network!r} with batch_size=1 and SGD(")):
        choose_kernel("fused222", network.specification, options())


def test_the_readme_says_what_the_kernels_are_for():
    text = " ".join((Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8").split())
    *first, last = (f'"{run.name}", for {run.trains}' for run in KERNELS)
    assert f"kernels train, and `result.kernel` says which ran: {'; '.join(first)}; and {last}." in text


def test_train_describes_the_kernels_in_their_order():
    text = fastbp.train.__doc__
    assert f"kernel : {{{', '.join(repr(name).replace(chr(39), chr(34)) for name in NAMES)}}}" in text
