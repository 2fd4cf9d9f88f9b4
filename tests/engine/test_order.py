"""An order of samples that is given for each epoch: the kernel visits them so, however the run is cut."""

import numpy as np
import pytest

import fastbp
from fastbp import SGD, Adam
from fastbp.checks import check_data
from fastbp.engine.block_order import BLOCK_BYTES, WINDOW_BYTES, BlockOrder
from fastbp.engine.fused222_run import Fused222Run
from fastbp.engine.kernel_options import KernelOptions
from fastbp.engine.layered_run import LayeredRun
from fastbp.engine.online_run import OnlineRun
from fastbp.errors import OptionError

N, EPOCHS = 24, 4
GENERATOR = np.random.default_rng(6)
X, Y = GENERATOR.uniform(-1, 1, (N, 3)), GENERATOR.uniform(0.1, 0.9, (N, 2))


def permutation(epoch):
    return np.random.default_rng(epoch).permutation(N)


def bootstrap(epoch):
    return np.random.default_rng(epoch).integers(0, N, N, np.int32)


CASES = {
    "layered": (LayeredRun, (3, 9, 2), {"batch_size": 8, "optimizer": Adam(0.01)}),
    "full batch": (LayeredRun, (3, 9, 2), {"batch_size": N, "optimizer": Adam(0.01)}),
    "online": (OnlineRun, (3, 40, 2), {"batch_size": 1, "optimizer": SGD(0.1)}),
    "narrow": (OnlineRun, (3, 4, 2), {"batch_size": 1, "optimizer": SGD(0.1)}),
}


def run_of(case, order, inputs=X, targets=Y, epochs=EPOCHS, **more):
    kind, sizes, options = CASES[case]
    network = fastbp.Network(sizes, hidden_activation="tanh", seed=1)
    checked = check_data(network.specification, inputs, targets)
    options = KernelOptions(len(inputs), epochs=epochs, shuffle=False, order=order, **options, **more)
    return kind(network.specification, network.theta, *checked, options)


@pytest.mark.parametrize("order", [permutation, bootstrap])
@pytest.mark.parametrize("case", CASES)
def test_a_given_order_is_that_of_samples_laid_out_so(case, order):
    visited = np.concatenate([order(epoch) for epoch in range(EPOCHS)])
    laid_out = run_of(case, None, X[visited], Y[visited], epochs=1)
    assert laid_out.steps_per_epoch == EPOCHS * run_of(case, order).steps_per_epoch
    laid_out.advance(laid_out.steps_per_epoch)
    given = run_of(case, order)
    given.advance(laid_out.step)
    assert given.theta.tobytes() == laid_out.theta.tobytes()


@pytest.mark.parametrize("case", CASES)
def test_chunks_and_resuming_change_no_bit(case):
    whole = run_of(case, permutation)
    whole.advance(whole.steps_per_epoch * EPOCHS)
    cut = run_of(case, permutation)
    for step in range(1, whole.step + 1):
        cut.advance(step)
        resumed = run_of(case, permutation)
        resumed.restore(cut.state())
        assert resumed.is_possible()
        cut = resumed
    assert cut.theta.tobytes() == whole.theta.tobytes()


@pytest.mark.parametrize(
    "wrong",
    [
        *(np.arange(N - 1), np.arange(N) + 1, np.arange(N) - 1, np.arange(N) / 1.0, "abc"),
        *([range(N), range(1, N + 1)], [range(N), range(-1, N - 1)], [range(N - 1)], [range(N)] * 0),
    ],
    ids=str,
)
def test_what_is_no_order_is_refused_before_it_is_used(wrong):
    run = run_of("layered", lambda epoch: wrong)
    before = run.theta
    with pytest.raises(OptionError, match=r"(?s)order\(0\) is .*must be 24 integers from 0 to 23"):
        run.advance(1)
    assert run.step == 0
    assert run.theta.tobytes() == before.tobytes()


def test_the_fused_kernel_takes_none():
    network = fastbp.Network([2, 2, 2])
    options = {"epochs": 1, "batch_size": 1, "optimizer": SGD(0.1)}
    assert Fused222Run.refusal(network.specification, KernelOptions(4, **options)) is None
    assert Fused222Run.refusal(network.specification, KernelOptions(4, order=permutation, **options))


@pytest.mark.parametrize("size", [5, 8, N])
@pytest.mark.parametrize("rows", [1, 2, 3])
def test_orders_of_several_epochs_are_taken_one_after_the_other(rows, size):
    def block(epoch):
        return np.array([permutation(epoch + i) for i in range(rows)])

    kind, sizes, options = CASES["layered"]
    runs = []
    for order in (permutation, block):
        network = fastbp.Network(sizes, hidden_activation="tanh", seed=1)
        more = {**options, "batch_size": size, "losses_at_once": 12}
        settled = KernelOptions(N, epochs=6, shuffle=False, order=order, **more)
        run = kind(network.specification, network.theta, *check_data(network.specification, X, Y), settled)
        losses = []
        for step in (1, 4 * run.steps_per_epoch, 6 * run.steps_per_epoch):
            run.advance(step)
            losses += run.take_losses()
        runs.append((run.theta.tobytes(), losses))
    assert runs[0] == runs[1]
    assert len(runs[0][1]) == 6


def test_only_the_layered_kernel_takes_orders_of_several_epochs():
    run = run_of("narrow", lambda epoch: np.array([permutation(0), permutation(1)]))
    with pytest.raises(OptionError, match="must be 24 integers"):
        run.advance(1)


# --- samples on a disk -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "sample_bytes"), [(1, 1), (1000, 2**16), (70, 2**22), (5120, 2**15), (64, 2**14)]
)
def test_blocks_are_visited_together_and_each_sample_once(n, sample_bytes):
    order = BlockOrder(n, sample_bytes, 3)
    size = max(1, BLOCK_BYTES // sample_bytes)
    window = max(1, WINDOW_BYTES // max(BLOCK_BYTES, sample_bytes)) * size
    for epoch in range(3):
        found = order(epoch)
        assert np.array_equal(np.sort(found), np.arange(n))
        seen = set()
        for start in range(0, n, window):
            here = set((found[start : start + window] // size).tolist())
            assert len(here - seen) <= window // size
            assert not here & seen
            seen |= here
    assert n == 1 or not np.array_equal(order(0), order(1))
    assert np.array_equal(order(1), BlockOrder(n, sample_bytes, 3)(1))
    assert n == 1 or not np.array_equal(order(1), BlockOrder(n, sample_bytes, 4)(1))


@pytest.mark.parametrize("batch_size", [1, 7])
def test_training_takes_the_order_of_blocks(batch_size):
    options = {"epochs": 3, "batch_size": batch_size, "optimizer": SGD(0.1)}
    order = BlockOrder(N, X.strides[0], 5)
    expected = fastbp.Network([3, 4, 2], seed=0)
    for epoch in range(3):
        visited = order(epoch)
        fastbp.train(expected, X[visited], Y[visited], **options | {"epochs": 1}, shuffle=False)
    found = fastbp.Network([3, 4, 2], seed=0)
    fastbp.train(found, X, Y, **options, shuffle="blocks", seed=5)
    assert found.theta.tobytes() == expected.theta.tobytes()


def test_the_kernel_of_2_2_2_has_no_order_of_blocks():
    network = fastbp.Network([2, 2, 2], seed=0)
    result = fastbp.train(network, X[:, :2], Y, epochs=1, batch_size=1, optimizer=SGD(0.1), shuffle="blocks")
    assert result.kernel == "online"


def test_other_words_for_the_order_are_refused():
    with pytest.raises(OptionError, match="shuffle is 'block', and may be 'blocks', True, False"):
        fastbp.train(fastbp.Network([3, 4, 2], seed=0), X, Y, epochs=1, optimizer=SGD(0.1), shuffle="block")
