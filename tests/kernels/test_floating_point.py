"""Subnormal numbers in kernels, and the floating-point state of the threads that call them."""

import threading

import numpy as np
import pytest
from llvmlite import binding, ir

import fastbp
from fastbp import reference
from fastbp._jit import kernel
from fastbp.checks import check_data
from fastbp.engine.kernel_options import KernelOptions
from fastbp.engine.layered_run import LayeredRun
from fastbp.engine.online_run import OnlineRun
from fastbp.kernels import floating_point
from fastbp.kernels.floating_point import (
    FLUSHING,
    NEAREST,
    floating_point_state,
    set_floating_point_state,
)
from fastbp.processor import HAS_FMA
from tests.kernels.tasks import as_reference


@kernel
def state_now():
    return floating_point_state()


@kernel
def set_state(state):
    set_floating_point_state(state)


UPWARD = 0x5F80 if NEAREST else 1 << 22
"""A state that no kernel has: it rounds upward."""

FLAGS = 0x3F
"""The bits by which MXCSR tells what happened; all code sets them."""


def is_subnormal(values: np.ndarray) -> np.ndarray:
    return (values != 0) & (np.abs(values) < np.finfo(values.dtype).smallest_normal)


def run(kind, dtype: str, steps: int, **options) -> LayeredRun:
    """Return a run of which three of four neurons are dead, so that l2 alone moves their weights."""
    generator = np.random.default_rng(0)
    X, Y = generator.uniform(0, 1, (64, 3)), generator.normal(size=(64, 1))
    network = fastbp.Network([3, 16, 1], hidden_activation="relu", output_activation="identity", dtype=dtype)
    network.theta[:] = generator.normal(size=network.theta.size)
    network.biases[0][:12] = -100
    network.weights[1][:12] = np.finfo(dtype).smallest_normal * 4
    X, Y = check_data(network.specification, X, Y)
    settled = KernelOptions(len(X), steps=steps, epochs=None, seed=0, **options)
    done = kind(network.specification, network.theta, X, Y, settled)
    done.advance(steps)
    return done


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (LayeredRun, {"optimizer": fastbp.Adam(beta1=0.5, beta2=0.5), "l2": 1e-2, "batch_size": 16}),
        (LayeredRun, {"optimizer": fastbp.SGD(0.1), "l2": 1.0, "batch_size": 16}),
        (LayeredRun, {"optimizer": fastbp.SGD(0.1, momentum=0.5), "l2": 1.0, "batch_size": 64}),
        (OnlineRun, {"optimizer": fastbp.SGD(0.1), "l2": 1.0, "batch_size": 1}),
    ],
    ids=str,
)
def test_training_leaves_no_subnormal_numbers(kind, options, dtype):
    done = run(kind, dtype, 2000, **options)
    for name in ("parameters", "optimizer_state"):
        assert not is_subnormal(getattr(done, name)).any(), name
    if kind is OnlineRun and HAS_FMA:  # without, w stays where the product r l2 w underflows
        assert (done.theta == 0).any()


NETWORKS = (("fused222", [2, 2, 2], 1), ("online", [2, 5, 2], 1), ("online", [2, 5, 5, 2], 1))
NETWORKS += (("layered", [2, 5, 2], 7), ("layered", [2, 64, 2], 50))


def results_in(state: int, math: str = "fast") -> tuple[bytes, int]:
    """Return the bits that kernels compute in a thread with this state, and the state afterwards."""
    generator = np.random.default_rng(1)
    X, Y = generator.normal(size=(50, 2)), generator.uniform(size=(50, 2))
    networks = [fastbp.Network(sizes, seed=0) for _, sizes, _ in NETWORKS]
    results, before = [], state_now()
    set_state(state)
    try:
        for network, (name, _, batch_size) in zip(networks, NETWORKS, strict=True):
            options = {"epochs": 3, "batch_size": batch_size, "optimizer": fastbp.SGD(0.125), "seed": 0}
            if math == "fast" or name == "fused222":
                assert fastbp.train(network, X, Y, math=math, threads=2, **options).kernel == name
            results += [network.theta, network.gradient(X, Y), network.predict(X)]
        after = state_now()
    finally:
        set_state(before)
    return b"".join(result.tobytes() for result in results), after & ~FLAGS


@pytest.mark.parametrize("math", ["fast", "exact"])
@pytest.mark.parametrize("state", [NEAREST, FLUSHING, UPWARD], ids=hex)
def test_the_callers_state_does_not_count_and_stays(state, math):
    assert results_in(state, math) == (results_in(NEAREST, math)[0], state)


def test_each_thread_keeps_its_own_state():
    found = []
    thread = threading.Thread(target=lambda: found.append(results_in(UPWARD)))
    thread.start()
    thread.join()
    assert found[0][1] == UPWARD
    assert state_now() & ~FLAGS == NEAREST
    assert (np.array([5e-324]) / 1)[0] > 0


def test_exact_arithmetic_has_subnormal_numbers():
    """The steps of a saturated network are that small, and the reference takes them."""
    X, Y = [[0.5, 0.25]], [[0.5, 0.5]]
    outcomes = []
    for math in ("exact", "fast"):
        network = fastbp.Network([2, 2, 2], bias="fixed", initializer="zeros")
        network.biases[1][:] = -700
        layers = as_reference(network)
        optimizer = fastbp.SGD(1e-10)
        fastbp.train(network, X, Y, steps=1, batch_size=1, optimizer=optimizer, math=math)
        outcomes.append(network.weights[1])
    reference.train(layers, X, Y, steps=1, optimizer=optimizer, train_biases=False)
    assert outcomes[0].tolist() == layers[1].W
    assert is_subnormal(outcomes[0]).all()
    assert not outcomes[1].any()


@pytest.mark.parametrize("triple", ["powerpc64le-linux-gnu", "riscv64-linux-gnu", "s390x-linux-gnu"])
def test_the_state_is_left_alone_on_other_processors(triple):
    """LLVM ends the process if it meets an instruction of another kind of processor."""
    module = ir.Module()
    shape = ir.FunctionType(ir.IntType(64), [ir.IntType(64)])
    function = ir.Function(module, shape, "set_and_read")
    builder = ir.IRBuilder(function.append_basic_block())
    floating_point.emit_write(builder, function.args[0], kind="other")
    builder.ret(floating_point.emit_read(builder, kind="other"))
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    machine = binding.Target.from_triple(triple).create_target_machine()
    assert "declare" not in str(module)
    assert machine.emit_object(binding.parse_assembly(str(module)))
