"""The fused kernels against `fastbp.reference`, step by step and bit by bit."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastbp import SGD
from fastbp.benchmark.cases import CASES, SPEED_CASES, WORKED_EXAMPLE, Case
from fastbp.checks import check_data
from fastbp.engine.fused222_run import Fused222Run
from fastbp.engine.kernel_options import KernelOptions
from fastbp.kernels import fused222 as kernels
from tests.conftest import train


def start(
    case: Case,
    *,
    steps: int,
    math: str,
    shuffle: bool = False,
    seed: int = 0,
    guesses: bool | None = None,
) -> Fused222Run:
    network = case.network()
    X, Y = check_data(network.specification, case.X, case.Y)
    options = KernelOptions(
        len(X),
        epochs=None,
        steps=steps,
        batch_size=1,
        optimizer=SGD(case.learning_rate),
        update=case.update,
        shuffle=shuffle,
        seed=seed,
        math=math,
    )
    return Fused222Run(network.specification, network.theta, X, Y, options, guesses=guesses)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_exact_gives_the_bits_of_the_reference(case):
    network, _ = train(case, steps=500, math="exact")
    assert network.theta.tobytes() == case.reference_theta(500).tobytes()


def assert_exact(n_steps: int, n_samples: int, update: str, bias: str) -> None:
    wanted = (n_samples, update, bias, "float64")
    (case,) = (case for case in CASES if (len(case.X), case.update, case.bias, case.dtype) == wanted)
    network, _ = train(case, steps=n_steps, math="exact")
    assert network.theta.tobytes() == case.reference_theta(n_steps).tobytes()


@pytest.mark.parametrize(
    ("n_samples", "update", "bias"), [(1, "simultaneous", "fixed"), (7, "sequential", "trainable")]
)
def test_exact_keeps_the_bits_of_the_reference_for_20_000_steps(n_samples, update, bias):
    assert_exact(20_000, n_samples, update, bias)


@pytest.mark.soak
@pytest.mark.parametrize("bias", ["trainable", "fixed"])
@pytest.mark.parametrize("update", ["simultaneous", "sequential"])
@pytest.mark.parametrize("n_samples", [1, 2, 7])
def test_soak_exact_keeps_the_bits_of_the_reference_for_100_000_steps(n_samples, update, bias):
    assert_exact(100_000, n_samples, update, bias)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_fast_follows_the_reference(case):
    tolerance = 1e-11 if case.dtype == "float64" else 3e-4
    network, _ = train(case, steps=1000, math="fast")
    np.testing.assert_allclose(network.theta, case.reference_theta(1000), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("case", CASES[::5], ids=str)
@pytest.mark.parametrize("math", ["exact", "fast"])
def test_shuffled_runs_take_the_order_of_the_reference(case, math):
    run = start(case, steps=700, math=math, shuffle=True, seed=11)
    state = int(run.generator[0])
    run.advance(700)
    expected = case.reference_theta(700, generator_state=state)
    if math == "exact":
        assert run.theta.tobytes() == expected.tobytes()
    else:
        tolerance = 1e-12 if case.dtype == "float64" else 1e-4
        np.testing.assert_allclose(run.theta, expected, rtol=tolerance, atol=tolerance)


@settings(max_examples=40, deadline=None)
@given(
    case=st.sampled_from(CASES),
    math=st.sampled_from(["exact", "fast"]),
    cuts=st.lists(st.integers(0, 3000), max_size=8),
)
def test_chunks_do_not_change_the_bits(case, math, cuts):
    whole = start(case, steps=3000, math=math, shuffle=True)
    whole.advance(3000)
    cut = start(case, steps=3000, math=math, shuffle=True)
    for until in [*sorted(cuts), 3000]:
        cut.advance(until)
    assert cut.theta.tobytes() == whole.theta.tobytes()
    assert cut.losses.tobytes() == whole.losses.tobytes()
    assert cut.order.tobytes() == whole.order.tobytes()


def test_the_guessed_rows_do_not_change_the_bits(many):
    """If the slots are emptied now and then, the kernel has to fetch every row again."""
    remembered, forgetful = (
        start(many, steps=6000, math="fast", shuffle=True, guesses=True) for _ in range(2)
    )
    for until in range(150, 6001, 150):
        remembered.advance(until)
        forgetful.slots[:] = np.nan
        forgetful.advance(until)
    assert np.isfinite(remembered.slots).any()
    assert remembered.theta.tobytes() == forgetful.theta.tobytes()


@pytest.mark.parametrize("update", ["simultaneous", "sequential"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_guessed_and_found_rows_agree_with_the_reference(many, dtype, update):
    case = replace(many.with_dtype(dtype), update=update)
    expected = case.reference_theta(3000)
    for guesses in (False, True):
        run = start(case, steps=3000, math="fast", guesses=guesses)
        assert (run.slots.size > 0) == guesses
        run.advance(3000)
        tolerance = 1e-11 if dtype == "float64" else 3e-4
        np.testing.assert_allclose(run.theta, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("scale", [30.0, 100.0, 1e4, 1e150])
@pytest.mark.parametrize(("math", "guesses"), [("exact", None), ("fast", True), ("fast", False)])
def test_saturated_neurons_follow_the_reference(scale, math, guesses):
    """Where the tables end, at |z| = 31, the fast kernel evaluates the formula."""
    case = replace(SPEED_CASES[1], theta=SPEED_CASES[1].theta * scale, bias="trainable")
    run = start(case, steps=400, math=math, guesses=guesses)
    run.advance(400)
    np.testing.assert_allclose(run.theta, case.reference_theta(400), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("case", SPEED_CASES, ids=str)
@pytest.mark.parametrize("math", ["exact", "fast"])
def test_recorded_losses_are_the_losses(case, math):
    _, result = train(case, epochs=40, math=math)
    assert result.loss_steps.tolist() == [i * len(case.X) for i in range(41)]
    for steps, loss in zip(result.loss_steps[::8], result.loss_curve[::8], strict=True):
        network = case.network()
        network.theta[:] = case.reference_theta(int(steps))
        assert loss == pytest.approx(network.loss(case.X, case.Y), rel=1e-13)


def test_each_kernel_is_compiled_once_a_dtype(train, many):
    """Read-only data, other samples, options and lengths must not compile another version."""
    for case in (WORKED_EXAMPLE, many, many.with_dtype("float32")):
        for options in ({"steps": 3}, {"epochs": 2, "shuffle": True}, {"steps": 5, "update": "sequential"}):
            for math in ("exact", "fast"):
                train(case, math=math, **options)
    for kernel in (kernels.fused222_exact, kernels.fused222_guess, kernels.fused222_look_up):
        assert 1 <= len(kernel.signatures) <= 2
        assert len({signature[2].dtype for signature in kernel.signatures}) == len(kernel.signatures)
