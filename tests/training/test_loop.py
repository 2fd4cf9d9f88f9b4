"""The loop around the kernels: Ctrl-C at any moment, and the first bad step of a run that diverges."""

import contextlib
import copy
import itertools
import signal
import sys
import time

import numpy as np
import pytest

import fastbp
from fastbp import SGD, Adam, DivergenceError, Network, schedules
from fastbp.engine import fused222_run
from fastbp.training import lookout, loop, pace, stopping
from fastbp.training.pace import Pacing
from tests.processes import start
from tests.training import seams as opened
from tests.training.seams import Clock, Seams, WatchedRun, pressing, watching

X = np.array([[0.05, 0.10], [0.90, 0.20], [0.30, 0.80]])
Y = np.array([[0.01, 0.99], [0.80, 0.30], [0.25, 0.60]])


def train(network, steps, X=X, Y=Y, learning_rate=0.5, seams=None, **options):
    options = {"batch_size": 1, "seed": 3, "steps": steps, "optimizer": SGD(learning_rate)} | options
    if seams is None:
        return fastbp.train(network, X, Y, **options)
    return opened.train(network, X, Y, seams=seams, **options)


def bits_after(steps, **options):
    network = Network([2, 2, 2], seed=0)
    if steps:
        train(network, steps, **options)
    return network.theta.tobytes()


def press_ctrl_c(nth, when, first_chunk=1000):
    """Return seams that send SIGINT before or after the nth chunk, which is one step, but for the first."""
    return Seams(Pacing(first_chunk=first_chunk, chunk_seconds=0.0), pressing(nth, when))


def slow_steps(chunks, after=lambda *_: None):
    """Return seams by which a step takes a second of the loop's clock; the steps of chunks are listed."""
    clock = Clock()

    def tick(call, run, until):
        chunks.append(until - run.step)
        clock.now += chunks[-1]

    return Seams(Pacing(clock=clock), watching(tick, after))


# --- Ctrl-C ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("nth", [1, 2, 5])
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("math", ["fast", "exact"])
def test_interrupted_run_is_the_run_of_so_many_steps(math, shuffle, nth, when):
    network = Network([2, 2, 2], seed=0)
    result = train(network, 10**12, math=math, shuffle=shuffle, seams=press_ctrl_c(nth, when))
    assert result.stop_reason == "interrupted"
    assert result.n_steps == 999 + nth  # a chunk that Ctrl-C came before is trained, too
    assert network.theta.tobytes() == bits_after(result.n_steps, math=math, shuffle=shuffle)
    assert result.loss_steps[-1] == result.n_steps
    assert result.loss_steps[0] == 0
    assert len(result.loss_curve) == len(result.loss_steps)
    assert result.loss == pytest.approx(network.loss(X, Y), rel=1e-12)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("nth", [1, 2, 8])
@pytest.mark.parametrize("options", [{}, {"dropout": 0.5}, {"batch_size": 3, "shuffle": False}], ids=str)
def test_interrupted_layered_run_is_the_run_of_so_many_steps(options, nth, when):
    def run(steps, seams=None):
        network = Network([2, 3, 2], seed=0)
        defaults = {"batch_size": 2, "optimizer": Adam(learning_rate=0.1)}
        return network, train(network, steps, seams=seams, **(defaults | options))

    network, result = run(10**7, press_ctrl_c(nth, when, first_chunk=1))
    assert (result.stop_reason, result.n_steps) == ("interrupted", nth)
    assert network.theta.tobytes() == run(nth)[0].theta.tobytes()
    assert result.loss_steps[-1] == result.n_steps
    assert len(result.loss_curve) == len(result.loss_steps)


def test_ctrl_c_before_the_first_step_leaves_the_network_as_it_was():
    network = Network([2, 2, 2], seed=0)
    with pytest.raises(KeyboardInterrupt):
        train(network, 100, seams=press_ctrl_c(0, "before"))
    assert network.theta.tobytes() == bits_after(0)


@pytest.mark.parametrize("math", ["fast", "exact"])
def test_ctrl_c_at_any_line_leaves_a_whole_step(math):
    """Raise KeyboardInterrupt at each line of the loop in turn, as the interpreter might."""
    files = {module.__file__ for module in (loop, lookout, pace, stopping, fused222_run)}
    seams = Seams(Pacing(first_chunk=2, chunk_seconds=0.0))
    wanted = {bits_after(n, math=math): n for n in range(6)}
    outcomes = []
    for line in itertools.count():
        lines = itertools.count()

        def trace(frame, event, argument, line=line, lines=lines):
            if frame.f_code.co_filename not in files:
                return None
            if event == "line" and next(lines) == line:
                raise KeyboardInterrupt
            return trace

        network = Network([2, 2, 2], seed=0)
        previous = sys.gettrace()
        sys.settrace(trace)
        try:
            result = train(network, 5, math=math, seams=seams)
        except KeyboardInterrupt:
            result = None
        finally:
            sys.settrace(previous)
            signal.signal(signal.SIGINT, signal.default_int_handler)  # the line may be that of leaving `with`
        n_steps = wanted[network.theta.tobytes()]
        if result:
            assert result.n_steps == n_steps == result.loss_steps[-1]
            outcomes.append(result.stop_reason)
        if next(lines) <= line:
            break
    assert outcomes.count("completed") == 1
    assert outcomes.count("interrupted") > 30


def test_chunks_shrink_in_epochs_shorter_than_a_chunk():
    chunks = []
    train(Network([2, 3, 2], seed=0), 12, kernel="layered", callbacks=[id], seams=slow_steps(chunks))
    assert chunks == [0, *[1] * 12]


def test_loss_that_would_take_too_long_is_not_evaluated_after_ctrl_c():
    def press(call, run, until):
        if call == 2:
            signal.raise_signal(signal.SIGINT)

    result = train(Network([2, 3, 2], seed=0), 12, kernel="layered", seams=slow_steps([], press))
    assert result.stop_reason == "interrupted"
    assert result.n_steps % 3
    assert np.isnan(result.loss)


def test_other_exceptions_leave_the_last_whole_chunk():
    """Someone's own time limit, say, raised by a signal handler."""

    def give_up(*_):
        raise TimeoutError

    previous = signal.signal(signal.SIGINT, give_up)
    try:
        network = Network([2, 2, 2], seed=0)
        with pytest.raises(TimeoutError):
            train(network, 10**12, seams=press_ctrl_c(3, "after"))
    finally:
        signal.signal(signal.SIGINT, previous)
    assert network.theta.tobytes() == bits_after(1002)


LONG_RUN = """
import sys, time
import fastbp
from fastbp import SGD, Network
from tests.training.seams import Seams, train, watching

math, shuffle, n_samples = sys.argv[1], sys.argv[2] == "shuffled", int(sys.argv[3])
X = [[i / n_samples, 1 - i / n_samples] for i in range(n_samples)]
Y = [[0.9, i / n_samples] for i in range(n_samples)]

def announce(call, run, until):
    if run.step > 1_000_000:
        print("running", flush=True)

def bits_and_result(steps, seams=Seams()):
    network = Network([2, 2, 2], seed=0)
    options = {"batch_size": 1, "optimizer": SGD(0.5), "seed": 3, "math": math, "shuffle": shuffle}
    result = train(network, X, Y, seams=seams, steps=steps, **options)
    return network.theta.tobytes(), result

bits_and_result(1)
bits, result = bits_and_result(10**12, Seams(watch=watching(after=announce)))
print("stopped", result.stop_reason, flush=True)
print("same", bits == bits_and_result(result.n_steps)[0], flush=True)
"""


def seconds_until_ctrl_c_answers(math, order, n_samples):
    """Interrupt a run of 10^12 steps in another process, check what it has done, and return its seconds."""
    with start(LONG_RUN, math, order, str(n_samples)) as process:
        assert process.stdout.readline() == "running\n"
        sent = time.perf_counter()
        process.send_signal(signal.SIGINT)
        line = next(line for line in process.stdout if line != "running\n")
        seconds = time.perf_counter() - sent
        assert line == "stopped interrupted\n"
        assert process.stdout.readline() == "same True\n"
        assert "Traceback" not in process.communicate()[1]  # it may say that it compiled
    assert process.returncode == 0
    return seconds


@pytest.mark.parametrize(("math", "order"), [("fast", "shuffled"), ("exact", "in order")])
def test_ctrl_c_ends_a_run_of_hours(math, order):
    seconds_until_ctrl_c_answers(math, order, 3)


@pytest.mark.soak
@pytest.mark.parametrize("n_samples", [1, 5000])
@pytest.mark.parametrize("order", ["shuffled", "in order"])
@pytest.mark.parametrize("math", ["fast", "exact"])
def test_ctrl_c_answers_quickly(math, order, n_samples):
    seconds = [seconds_until_ctrl_c_answers(math, order, n_samples) for _ in range(3)]
    print(f"\nCtrl-C, {math}, {order}, {n_samples} samples: {1000 * max(seconds):.0f} ms at most")


# --- divergence --------------------------------------------------------------------------------------

ARITHMETIC = list(itertools.product(["fast", "exact"], ["float64", "float32"]))


def quiet_until(bad_step, n_samples, dtype):
    """Return a task at rest, with parameters zero and all targets 1/2, but for one sample that overflows."""
    X, Y = np.ones((n_samples, 2)), np.full((n_samples, 2), 0.5)
    huge, learning_rate = (1e150, 1e200) if dtype == "float64" else (1e17, 1e25)
    Y[bad_step - 1, 0] = huge
    return Network([2, 2, 2], initializer="zeros", dtype=dtype), X, Y, learning_rate


def check_divergence(network, steps, bad_step, **options):
    """Check an error against runs of fewer steps: the one before is sound and left in the network."""
    before = copy.deepcopy(network)
    with pytest.raises(
        DivergenceError, match=rf"^step {bad_step} of {steps} made .* infinite or NaN"
    ) as caught:
        train(network, steps, **options)
    assert caught.value.step == bad_step
    assert f"the parameters from after step {bad_step - 1}" in str(caught.value)
    shorter = copy.deepcopy(before)
    if bad_step > 1:
        train(shorter, bad_step - 1, **options)
    assert network.theta.tobytes() == shorter.theta.tobytes()
    with pytest.raises(DivergenceError) as caught:
        train(copy.deepcopy(before), bad_step, **options)
    assert caught.value.step == bad_step


@pytest.mark.parametrize(("math", "dtype"), ARITHMETIC)
@pytest.mark.parametrize(("bad_step", "n_samples"), [(1, 1), (2, 3), (5501, 6000), (123_457, 150_000)])
def test_first_bad_step_is_named_and_the_last_good_parameters_kept(bad_step, n_samples, math, dtype):
    network, X, Y, learning_rate = quiet_until(bad_step, n_samples, dtype)
    options = {"X": X, "Y": Y, "learning_rate": learning_rate, "math": math, "shuffle": False}
    check_divergence(network, n_samples + 10, bad_step, **options)


@pytest.mark.parametrize(("math", "dtype"), ARITHMETIC)
def test_first_bad_step_is_named_in_a_shuffled_run(math, dtype):
    network, X, Y, learning_rate = quiet_until(1, 9000, dtype)
    options = {"X": X, "Y": Y, "learning_rate": learning_rate, "math": math, "shuffle": True}
    with pytest.raises(DivergenceError) as caught:
        train(copy.deepcopy(network), 20_000, **options)
    assert 1 < caught.value.step <= 9000
    check_divergence(network, 20_000, caught.value.step, **options)


@pytest.mark.parametrize("math", ["fast", "exact"])
def test_a_loss_that_is_not_finite_is_divergence_though_the_parameters_are_finite(math):
    """The step on the first sample makes a weight so large that the second sample's output is inf - inf."""
    X, Y = np.array([[1e-10, 0.0], [1e10, 1e10]]), np.array([[0.5, 1e150], [0.5, 0.5]])
    network = Network([2, 2, 2], bias="fixed", seed=0)
    network.theta[:] = 0
    network.weights[0] = [[0, 0], [-1e300, 0]]
    network.weights[1] = [[0, 1], [0, 0]]
    options = {"X": X, "Y": Y, "learning_rate": 1e162, "math": math, "shuffle": False}
    check_divergence(network, 2, 1, **options)
    assert np.isfinite(network.theta).all()


@pytest.mark.parametrize("math", ["fast", "exact"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("steps", [1, 10])
def test_weights_that_are_not_finite_are_found_before_training(steps, bad, math):
    network = Network([2, 2, 2], seed=0)
    network.weights[1][0, 1] = bad
    before = network.theta.tobytes()
    with pytest.raises(DivergenceError, match=r"^before training, .* check the initial weights") as caught:
        train(network, steps, math=math)
    assert caught.value.step == 0
    assert network.theta.tobytes() == before


@pytest.mark.parametrize("math", ["fast", "exact"])
@pytest.mark.parametrize(("dtype", "huge"), [("float64", 1e300), ("float32", 1e30)])
@pytest.mark.parametrize("steps", [1, 10])
def test_targets_whose_loss_overflows_are_found_before_training(steps, dtype, huge, math):
    network = Network([2, 2, 2], dtype=dtype, seed=0)
    before = network.theta.tobytes()
    with pytest.raises(DivergenceError, match="size of the inputs and targets") as caught:
        train(network, steps, Y=Y * huge, math=math)
    assert caught.value.step == 0
    assert network.theta.tobytes() == before


@pytest.mark.parametrize("math", ["fast", "exact"])
def test_data_that_view_the_parameters_do_not_mislead_the_search(math):
    network, _, Y, learning_rate = quiet_until(5, 6, "float64")
    X = network.theta.reshape(6, 2)
    options = {"X": X.copy(), "Y": Y, "learning_rate": learning_rate, "math": math, "shuffle": False}
    with pytest.raises(DivergenceError) as expected:
        train(copy.deepcopy(network), 50, **options)
    with pytest.raises(DivergenceError) as caught:
        train(network, 50, **(options | {"X": X}))
    assert caught.value.step == expected.value.step == 5


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("nth", range(1, 8))
def test_ctrl_c_while_a_run_diverges_leaves_good_parameters(nth, when):
    network, X, Y, learning_rate = quiet_until(700, 800, "float64")
    seams = press_ctrl_c(nth, when)  # calls after the first are of the search
    with contextlib.suppress(DivergenceError, KeyboardInterrupt):
        result = train(network, 800, X=X, Y=Y, learning_rate=learning_rate, shuffle=False, seams=seams)
        assert result.n_steps == 0
    assert np.isfinite(network.theta).all()
    assert np.isfinite(network.loss(X, Y))


GROWS = {"X": [[1.0]], "Y": [[0.0]], "learning_rate": 2.05}
"""The error of a weight grows by 1.05 a step; its square overflows first, after 7000 steps."""


def grows():
    return Network([1, 1], output_activation="identity", bias="none", seed=0)


def nearly_diverged():
    """Return a network that takes some hundred steps more, of the thousands that `grows` takes."""
    network = grows()
    network.theta[:] = 1e145
    return network


def test_divergence_names_the_learning_rate_of_its_step():
    network = grows()
    network.theta[:] = 1e130
    schedule = schedules.StepDecay(1e20, every=1, factor=0.5)
    with pytest.raises(DivergenceError, match=r"step 2 of 100 .* at learning rate 5e\+19;"):
        train(network, 100, **(GROWS | {"learning_rate": schedule}))


def test_no_leap_of_the_search_is_longer_than_a_chunk():
    leaps = []
    watch = watching(lambda call, run, until: leaps.append(until - run.step))
    with pytest.raises(DivergenceError):
        train(
            nearly_diverged(),
            10**6,
            **GROWS,
            kernel="layered",
            seams=Seams(Pacing(chunk_seconds=1e-9), watch),
        )
    assert leaps[-1] == 1
    assert max(leaps[5:]) == 1


def test_ctrl_c_ends_the_search():
    calls = []

    class Pressing(WatchedRun):
        def loss(self, *check):
            calls.append(self.run.step)
            signal.raise_signal(signal.SIGINT)
            return 1.0

    with pytest.raises(KeyboardInterrupt):
        train(grows(), 10**6, **GROWS, seams=Seams(watch=Pressing))
    assert len(calls) == 1


def test_layered_run_that_diverges_slowly_names_its_first_bad_step():
    network, shorter, options = grows(), grows(), GROWS
    with pytest.raises(DivergenceError) as caught:
        train(network, 10**6, **options)
    assert 7000 < caught.value.step < 7500
    train(shorter, caught.value.step - 1, **options)
    assert network.theta.tobytes() == shorter.theta.tobytes()
    assert np.isfinite(network.loss(options["X"], options["Y"]))
    assert abs(network.theta[0]) == pytest.approx(np.sqrt(2) * np.sqrt(np.finfo(float).max), rel=0.06)


def test_first_bad_step_is_the_same_whenever_checkpoints_are_written(tmp_path):
    """A batch's loss shows one step later than that of all samples that a step made it infinite."""

    def diverge(**options):
        network = nearly_diverged()
        with pytest.raises(DivergenceError) as caught:
            train(network, 10**5, **GROWS, **options)
        assert np.isfinite(network.loss(GROWS["X"], GROWS["Y"]))
        return caught.value.step

    assert diverge(checkpoint=fastbp.Checkpoint(tmp_path, every=7)) == diverge()


@pytest.mark.parametrize("proves", [True, False])
def test_first_bad_step_is_found_from_an_older_snapshot_where_the_newest_has_an_infinite_loss(proves):
    """With a snapshot at every chunk of one step, the newest is often one that the loss is infinite of."""
    X = np.ones((40, 1))
    X[7] = 1e140  # whose loss is infinite thirty steps before that of the others
    Y = np.zeros((40, 1))
    options = {"X": X, "Y": Y, "learning_rate": 1e-130, "shuffle": False}
    expected = grows()
    with pytest.raises(DivergenceError) as by_search:
        train(expected, 10**5, **options)
    pacing = Pacing(chunk_seconds=0.0, snapshot_seconds=0.0, snapshot_fraction=1e9 if proves else 1.0)
    network = grows()
    with pytest.raises(DivergenceError) as caught:
        train(network, 10**5, **options, seams=Seams(pacing))
    assert caught.value.step == by_search.value.step
    assert network.theta.tobytes() == expected.theta.tobytes()
    assert np.isfinite(network.loss(X, Y))


@pytest.mark.parametrize("kernel", ["online", "layered"])
@pytest.mark.parametrize("stops", [False, True])
def test_last_step_that_makes_the_loss_infinite_is_found(kernel, stops):
    """The error is multiplied by -10 at every step, and its square overflows after 220."""
    network = Network([1, 1], output_activation="identity", bias="none")
    network.theta[:] = 3e-66
    data, callbacks = ([[1.0]], [[0.0]]), [lambda state: state.epoch == 220 and state.stop()] if stops else []
    options = {"optimizer": SGD(11.0), "kernel": kernel, "callbacks": callbacks}
    with pytest.raises(DivergenceError) as caught:
        fastbp.train(network, *data, epochs=1000 if stops else 220, **options)
    assert caught.value.step == 220
    assert np.isfinite(network.loss(*data))


@pytest.mark.parametrize("kernel", ["online", "layered"])
def test_loss_that_is_infinite_before_training_is_named_so(kernel):
    network = grows()
    network.theta[:] = 1e200
    with pytest.raises(DivergenceError, match="before training") as caught:
        train(network, 5, **(GROWS | {"learning_rate": 1e-300}), kernel=kernel)
    assert caught.value.step == 0


def test_loss_that_was_infinite_where_a_run_was_resumed_is_named_so(tmp_path):
    """The batch that would have shown it comes only after the checkpoint."""
    network = Network([1, 1], output_activation="identity", bias="none")
    network.theta[:] = 1e-4
    options = {"epochs": 100, "optimizer": SGD(10_001.0), "kernel": "layered"}
    options["checkpoint"] = fastbp.Checkpoint(tmp_path, every=40)

    def stop(state):
        if state.epoch == 40:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fastbp.train(network, [[1.0]], [[0.0]], callbacks=[stop], **options)
    network.theta[:] = 1e-4
    with pytest.raises(DivergenceError, match=r"^step 40 of|already at step 40, from which") as caught:
        fastbp.train(network, [[1.0]], [[0.0]], **options)
    assert caught.value.step == 40


@pytest.mark.parametrize("kernel", ["online", "layered"])
def test_a_loss_that_is_infinite_in_one_epoch_is_found_though_nobody_looked_at_that_epoch(kernel):
    """The first step makes the weight 10, and 10 * 1e38 overflow float32; the second makes it 1, for good."""
    network = Network(
        [1, 1], output_activation="identity", loss="mean_absolute_error", bias="none", dtype="float32"
    )
    network.theta[:] = 1
    data, rate = ([[1e38]], [[2e38]]), schedules.StepDecay(9e-38, every=2, factor=1e-3)
    with pytest.raises(DivergenceError) as caught:  # of 2,500 epochs, every third is recorded
        fastbp.train(network, *data, epochs=2500, optimizer=SGD(rate), kernel=kernel)
    assert caught.value.step == 1
    assert network.theta == 1


@pytest.mark.parametrize("math", ["fast", "exact"])
def test_huge_steps_that_only_saturate_do_not_diverge(math):
    network = Network([2, 2, 2], seed=0)
    result = train(network, 1000, learning_rate=1e100, math=math)
    assert np.isfinite(network.theta).all()
    assert np.isfinite(result.loss_curve).all()
