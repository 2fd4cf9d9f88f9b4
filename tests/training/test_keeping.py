"""Resuming: to the bit, from any step, and never from what is not this run."""

import contextlib
import itertools
import os
import re
import signal
import sys
import warnings

import numpy as np
import pytest

import fastbp
from fastbp import (
    SGD,
    Adam,
    Checkpoint,
    CheckpointError,
    CheckpointWarning,
    DivergenceError,
    EarlyStopping,
    ModelFileError,
    Network,
    schedules,
)
from fastbp.interchange.tensor_file import read_tensors, write_tensors
from fastbp.training import epochs, keeping, lookout, loop
from fastbp.training.checkpoint import KIND, VERSION, CheckpointFolder, made_with_now
from fastbp.training.pace import Pacing
from tests.conftest import described
from tests.training.seams import Clock, Seams, always_due, watching
from tests.training.tasks import ADAPTIVE, DROPOUT, EXACT, FAST, ONLINE, TASKS, WATCHING, absolute_error

STEPS = 61
"""Not a whole number of epochs."""


def files(folder):
    return sorted(folder.glob("checkpoint-*.safetensors"))


def outcome(network, result):
    """Return all that a run leaves behind, but for its seconds."""
    return (
        network.theta.tobytes(),
        result.loss_curve.tolist(),
        result.loss_steps.tolist(),
        {name: column.tolist() for name, column in result.history.items()},
        result.n_steps,
        result.stop_reason,
        result.best_epoch,
        result.kernel,
    )


def stopped_after(task, chunks, folder, **options):
    """Train in chunks of a step, with a checkpoint after each, and raise from outside after so many."""

    class Enough(BaseException):
        pass

    def limit(call, run, until):
        if call == chunks + 1:  # the first one compiles
            raise Enough

    with contextlib.suppress(Enough):
        checkpoint = Checkpoint(folder, every="1ms")
        task.train(STEPS, Seams(always_due(), watching(limit)), checkpoint=checkpoint, **options)


# --- to the bit ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [{}, WATCHING], ids=["plain", "watching"])
@pytest.mark.parametrize("task", TASKS, ids=str)
def test_resumed_run_is_the_run_that_never_stopped_at_every_step(task, more, tmp_path):
    options = more | ({"validation_data": task.validation()} if more else {})
    expected = outcome(*task.train(STEPS, **options))
    for chunks in range(0, 30, 3) if task in (FAST, DROPOUT, ADAPTIVE) else (1, 8, 23):
        folder = tmp_path / str(chunks)
        stopped_after(task, chunks, folder, **options)
        document, _ = read_tensors(files(folder)[-1], KIND, VERSION)
        assert document["step"] == chunks or document["stop_reason"]
        resumed = task.train(STEPS, checkpoint=Checkpoint(folder), **options)
        assert outcome(*resumed) == expected


@pytest.mark.parametrize("chunks", [0, 1, 14, 15, 22, 28])
@pytest.mark.parametrize("task", [FAST, DROPOUT], ids=str)
def test_callbacks_may_be_added_when_a_run_is_resumed(task, chunks, tmp_path):
    whole = outcome(*task.train(STEPS, callbacks=[id]))
    stopped_after(task, chunks, tmp_path)
    seen = []
    resumed = task.train(
        STEPS,
        checkpoint=Checkpoint(tmp_path),
        callbacks=[lambda state: seen.append((state.step, state.loss))],
    )
    history = resumed[1].history
    unseen = len(history["epoch"]) - len(seen)
    assert np.isnan(history["loss"][:unseen]).all()
    history["loss"][:unseen] = whole[3]["loss"][:unseen]
    assert outcome(*resumed) == whole
    epochs = list(zip(whole[3]["step"], whole[3]["loss"], strict=True))
    assert seen == epochs[unseen:]
    assert all(step < chunks for step, _ in epochs[:unseen])


@pytest.mark.parametrize("task", [FAST, EXACT, DROPOUT, ADAPTIVE], ids=str)
def test_run_that_is_interrupted_again_and_again_is_the_run_that_never_was(task, tmp_path):
    options = {"validation_data": task.validation()} | WATCHING
    expected = outcome(*task.train(STEPS, **options))

    def interrupt(state):
        raise KeyboardInterrupt

    interruptions = -1
    stop_reason = "interrupted"
    while stop_reason == "interrupted":
        resumed = task.train(STEPS, checkpoint=Checkpoint(tmp_path), callbacks=[interrupt], **options)
        stop_reason = resumed[1].stop_reason
        interruptions += 1
    assert outcome(*resumed) == expected
    assert interruptions == len(resumed[1].history["epoch"])


@pytest.mark.parametrize("reason", ["completed", "early_stopping", "callback", "learning_rate_exhausted"])
def test_run_that_ended_is_not_trained_any_further(reason, tmp_path):
    options = {"checkpoint": Checkpoint(tmp_path)}
    steps = 10**9
    if reason == "completed":
        steps = STEPS
    if reason == "early_stopping":
        options["early_stopping"] = EarlyStopping(patience=1, minimum_improvement=1.0)
    if reason == "callback":
        options["callbacks"] = [lambda state: state.stop()]
    if reason == "learning_rate_exhausted":
        options["optimizer"] = SGD(schedules.Adaptive(1e-7, patience=1, tolerance=10.0))
    whole = DROPOUT.train(steps, **options)
    assert whole[1].stop_reason == reason
    kept = [file.read_bytes() for file in files(tmp_path)]
    untils = []
    again = DROPOUT.train(steps, Seams(watch=watching(lambda *call: untils.append(call[-1]))), **options)
    assert outcome(*again) == outcome(*whole)
    assert untils == [whole[1].n_steps]  # to compile
    assert [file.read_bytes() for file in files(tmp_path)] == kept


@pytest.mark.parametrize("more", [{}, WATCHING], ids=["plain", "watching"])
@pytest.mark.parametrize("task", TASKS, ids=str)
def test_a_longer_run_goes_on_from_where_a_shorter_one_ended(task, more, tmp_path):
    for shorter in (7, 40, STEPS):
        folder = tmp_path / str(shorter)
        _, ended = task.train(shorter, checkpoint=Checkpoint(folder), **more)
        steps = []
        seams = Seams(always_due(), watching(lambda call, run, until, steps=steps: steps.append(run.step)))
        resumed = outcome(*task.train(90, seams, checkpoint=Checkpoint(folder), **more))
        assert min(steps) == ended.n_steps
        assert resumed == outcome(*task.train(90, **more))


@pytest.mark.parametrize("kernel", ["fused222", "layered"])
def test_a_run_of_thousands_of_epochs_goes_on_from_a_shorter_one(kernel, tmp_path):
    X, Y = np.eye(2), [[0.1, 0.9], [0.8, 0.3]]

    def trained(epochs, **options):
        network = Network([2, 2, 2], seed=0)
        options |= {"batch_size": 1, "seed": 0, "optimizer": SGD(0.5), "kernel": kernel}
        return network, fastbp.train(network, X, Y, epochs=epochs, **options)

    trained(1500, checkpoint=Checkpoint(tmp_path))
    network, result = trained(2500, checkpoint=Checkpoint(tmp_path))
    whole, expected = trained(2500)
    assert network.theta.tobytes() == whole.theta.tobytes()
    assert (result.loss_steps == expected.loss_steps).all()
    known = np.isfinite(result.loss_curve)
    assert known.mean() > 0.5
    assert (result.loss_curve == expected.loss_curve)[known].all()
    assert result.stop_reason == "completed"


def test_a_cosine_over_the_whole_run_becomes_longer_with_it_and_a_warning_says_so(tmp_path):
    def trained(steps, length=None, initial=0.5):
        optimizer = SGD(schedules.CosineDecay(initial, steps=length or steps))
        return DROPOUT.train(steps, optimizer=optimizer, checkpoint=Checkpoint(tmp_path))

    network, _ = trained(STEPS)
    before = network.theta.copy()
    for length, initial in ((STEPS + 1, 0.5), (STEPS + 20, 0.4)):  # not the whole run's, or another rate
        with pytest.raises(CheckpointError, match="another run: optimizer was"):
            trained(STEPS + 20, length, initial)
    with pytest.warns(
        CheckpointWarning, match=f"within {STEPS} steps, and goes on as in a run of {STEPS + 20}"
    ):
        network, result = trained(STEPS + 20)
    assert result.n_steps == STEPS + 20
    assert (network.theta != before).any()


def test_a_shorter_run_does_not_go_on_from_a_longer_one(tmp_path):
    DROPOUT.train(STEPS, checkpoint=Checkpoint(tmp_path))
    with pytest.raises(CheckpointError, match="steps was 61, and is 60"):
        DROPOUT.train(STEPS - 1, checkpoint=Checkpoint(tmp_path))


def test_run_that_ran_out_of_time_goes_on(tmp_path):
    options = {"max_seconds": 0.02, "checkpoint": Checkpoint(tmp_path)}
    _, first = FAST.train(3_000_000, **options)
    assert first.stop_reason == "max_seconds"
    while (resumed := FAST.train(3_000_000, **options))[1].stop_reason == "max_seconds":
        assert resumed[1].seconds > 0.02
    assert outcome(*resumed) == outcome(*FAST.train(3_000_000))
    assert resumed[1].seconds > first.seconds


def test_the_time_of_the_first_checkpoint_is_not_that_of_the_run(tmp_path):
    clock = Clock()

    class SlowFolder(CheckpointFolder):
        def write(self, *content):
            clock.now += 100.0
            super().write(*content)

    seams = Seams(Pacing(clock=clock), folder=SlowFolder(tmp_path))
    _, result = FAST.train(STEPS, seams, checkpoint=Checkpoint(tmp_path))
    assert result.seconds == 0.0
    document, _ = read_tensors(files(tmp_path)[-1], KIND, VERSION)
    assert document["seconds"] == 0.0


def test_time_of_all_parts_is_counted(tmp_path):
    options = {"max_seconds": 0.01, "checkpoint": Checkpoint(tmp_path)}
    seconds = [FAST.train(10**9, **options)[1].seconds for _ in range(3)]
    assert seconds[0] >= 0.01
    assert seconds[1] - seconds[0] >= 0.01
    assert seconds[2] - seconds[1] >= 0.01


def test_run_that_a_callback_stopped_where_it_was_resumed_is_not_trained_any_further(tmp_path):
    calls = itertools.count(1)

    def interrupted(Y_true, Y_pred):
        if next(calls) == 3:
            raise KeyboardInterrupt
        return 0.0

    options = {"metrics": [interrupted], "checkpoint": Checkpoint(tmp_path)}
    FAST.train(STEPS, **options)
    _, stopped = FAST.train(STEPS, **options, callbacks=[lambda state: state.stop()])
    _, again = FAST.train(STEPS, **options)
    assert stopped.stop_reason == again.stop_reason == "callback"
    assert stopped.n_steps == again.n_steps == 21


def test_no_checkpoint_is_of_a_run_that_diverged(tmp_path):
    network = Network([1, 1], output_activation="identity", bias="none", seed=0)
    network.theta[:] = 1e150
    with pytest.raises(DivergenceError):
        fastbp.train(
            network,
            [[1.0]],
            [[0.0]],
            steps=100,
            optimizer=SGD(1e20),
            checkpoint=Checkpoint(tmp_path, every=1),
        )
    for file in files(tmp_path):
        _, tensors = read_tensors(file, KIND, VERSION)
        assert np.isfinite(tensors["state.theta"]).all()
        assert np.isfinite(tensors["state.totals"]).all()


def interrupt_at_lines(task, steps, every, folder):
    """Raise KeyboardInterrupt at every so many-th line of the loop, as some handler might, and resume."""
    options = {"validation_data": task.validation(), "callbacks": [id]} | WATCHING
    expected = outcome(*task.train(steps, **options))
    watched = {module.__file__ for module in (loop, epochs, keeping, lookout)}
    for line in itertools.count(step=every):
        lines = itertools.count()

        def trace(frame, event, argument, line=line, lines=lines):
            if frame.f_code.co_filename not in watched:
                return None
            if event == "line" and next(lines) == line:
                raise KeyboardInterrupt
            return trace

        checkpoint = Checkpoint(folder / str(line), every="1ms", keep=1)
        seams = Seams(always_due())
        previous = sys.gettrace()
        sys.settrace(trace)
        try:
            task.train(steps, seams, checkpoint=checkpoint, **options)
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(previous)
            signal.signal(signal.SIGINT, signal.default_int_handler)  # the line may be that of leaving `with`
        assert outcome(*task.train(steps, checkpoint=checkpoint, **options)) == expected
        if next(lines) <= line:
            return line
    raise AssertionError


def test_exception_at_any_line_of_the_loop_leaves_a_run_that_resumes_to_the_bit(tmp_path):
    assert interrupt_at_lines(ADAPTIVE, 9, 17, tmp_path) > 500


@pytest.mark.soak
@pytest.mark.parametrize("task", [FAST, EXACT, DROPOUT, ADAPTIVE], ids=str)
def test_exception_at_every_line_of_the_loop_leaves_a_run_that_resumes_to_the_bit(task, tmp_path):
    interrupt_at_lines(task, 15, 1, tmp_path)


# --- what is kept ------------------------------------------------------------------------------------


def test_newest_checkpoints_are_kept(tmp_path):
    DROPOUT.train(STEPS, checkpoint=Checkpoint(tmp_path / "new" / "folder", every=2, keep=2))
    kept = files(tmp_path / "new" / "folder")
    assert [file.name for file in kept] == [f"checkpoint-{n:08d}.safetensors" for n in (8, 9)]
    steps = [read_tensors(file, KIND, VERSION)[0]["step"] for file in kept]
    assert steps == [56, 61]  # four steps an epoch; one at the start, seven of two epochs each, the end
    assert sorted((tmp_path / "new" / "folder").iterdir()) == kept


def test_there_is_a_checkpoint_before_the_first_step(tmp_path):
    seen = []
    DROPOUT.train(8, checkpoint=Checkpoint(tmp_path), callbacks=[lambda _: seen.append(len(files(tmp_path)))])
    assert seen == [1, 1]
    assert [read_tensors(file, KIND, VERSION)[0]["step"] for file in files(tmp_path)] == [0, 8]


def test_time_between_checkpoints_is_what_was_asked_for(tmp_path):
    clock, steps = Clock(), []

    def tick(state):
        clock.now += 7.0
        steps.append([read_tensors(file, KIND, VERSION)[0]["step"] for file in files(tmp_path)][-1])

    seams = Seams(Pacing(clock=clock))
    DROPOUT.train(40, seams, checkpoint=Checkpoint(tmp_path, every="20s"), callbacks=[tick])
    assert steps == [0, 0, 0, 12, 12, 12, 24, 24, 24, 36]


def test_checkpoint_is_read_by_any_program_that_reads_safetensors(tmp_path):
    network, _ = FAST.train(STEPS, checkpoint=Checkpoint(tmp_path))
    from safetensors.numpy import load_file

    tensors = load_file(files(tmp_path)[-1])
    assert tensors["state.theta"].tobytes() == network.theta.tobytes()


def test_checkpoints_stay_in_their_folder_when_the_working_directory_changes(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    FAST.train(
        21, checkpoint=Checkpoint("run", every=1), callbacks=[lambda state: os.chdir(tmp_path / "elsewhere")]
    )
    assert read_tensors(files(tmp_path / "run")[-1], KIND, VERSION)[0]["step"] == 21
    assert not list((tmp_path / "elsewhere").iterdir())


def test_without_checkpoint_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    FAST.train(STEPS)
    assert list(tmp_path.iterdir()) == []


# --- what cannot be written ----------------------------------------------------------------------------


def test_folder_that_cannot_be_written_is_an_error_before_the_first_step(tmp_path):
    (tmp_path / "file").write_text("")
    network = FAST.make()
    before = network.theta.tobytes()
    with pytest.raises(OSError, match="file"):
        fastbp.train(network, *FAST.data(), **FAST.options, steps=9, checkpoint=Checkpoint(tmp_path / "file"))
    assert network.theta.tobytes() == before


@pytest.mark.parametrize("task", [FAST, DROPOUT], ids=str)
def test_checkpoint_that_cannot_be_written_later_is_a_warning_and_the_run_goes_on(task, tmp_path):
    calls = itertools.count()

    class FullFolder(CheckpointFolder):
        def write(self, *arguments):
            if next(calls) % 3:
                raise OSError(28, "No space left on device")
            super().write(*arguments)

    expected = outcome(*task.train(STEPS))
    seams = Seams(folder=FullFolder(tmp_path))
    with pytest.warns(
        CheckpointWarning, match=r"of step \d+ could not be written, and the run goes on: .*No space"
    ):
        kept = task.train(STEPS, seams, checkpoint=Checkpoint(tmp_path, every=1))
    assert kept[0].theta.tobytes() == expected[0]
    assert kept[1].n_steps == STEPS
    assert outcome(*task.train(STEPS, checkpoint=Checkpoint(tmp_path))) == expected


# --- what is not resumed -----------------------------------------------------------------------------

X, Y = DROPOUT.data()
OTHER_DATA = {
    "another number": (np.where(np.arange(21).reshape(7, 3) == 20, X + 1e-9, X), Y),
    "another target": (X, np.where(np.arange(14).reshape(7, 2) == 0, Y + 1e-9, Y)),
    "another order": (X[::-1], Y[::-1]),
    "fewer samples": (X[:5], Y[:5]),
}


def resume(folder, network=None, data=(X, Y), **options):
    network = network or DROPOUT.make()
    options = {"steps": STEPS, "seed": 3, "checkpoint": Checkpoint(folder)} | DROPOUT.options | options
    return network, fastbp.train(network, *data, **options)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A folder with the checkpoints of a run that has not ended."""
    folder = tmp_path_factory.mktemp("kept")

    def interrupt(state):
        raise KeyboardInterrupt

    resume(folder, callbacks=[interrupt])
    return folder


@pytest.mark.parametrize("data", OTHER_DATA.values(), ids=OTHER_DATA)
def test_other_data_are_refused(data, kept):
    with pytest.raises(CheckpointError, match=r"is a checkpoint of another run: .*digest of the data was"):
        resume(kept, data=data)


def other_network(layer_sizes=(3, 5, 4, 2), **options):
    return Network(layer_sizes, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": other_network((3, 5, 5, 2))}, r"layer_sizes was \[3.*5.*4.*2.*\], and is \[3.*5.*5"),
        (
            {"network": other_network(hidden_activation="tanh")},
            "hidden_activations was .*sigmoid.*, and is .*tanh",
        ),
        ({"network": other_network(dtype="float32")}, "dtype was float64, and is float32"),
        ({"network": other_network(bias="fixed")}, "bias was trainable, and is fixed"),
        (
            {"optimizer": Adam(0.02)},
            r"optimizer was .*'learning_rate': 0.01.*, and is .*'learning_rate': 0.02",
        ),
        ({"optimizer": SGD(0.01)}, "optimizer was .*'Adam'.*, and is .*'SGD'"),
        ({"steps": STEPS - 1}, r"steps was 61, and is 60\. Take"),
        ({"batch_size": 3}, "batch_size was 2"),
        ({"shuffle": False}, "shuffle was True, and is False"),
        ({"seed": 4}, "seed was 3.*, and is 4"),
        ({"seed": 3 + 2**1100}, f"seed was 3, and is {3 + 2**1100}"),
        ({"l2": 0.02}, "l2 was 0.01, and is 0.02"),
        ({"dropout": 0.4}, "dropout was 0.3, and is 0.4"),
        ({"gradient_clip_norm": 1.0}, "gradient_clip_norm was 0.0, and is 1.0"),
        ({"sample_weight": np.arange(7)}, "digest of the data was"),
        ({"validation_data": (X, Y)}, "digest of the validation data was None, and is"),
        ({"metrics": [absolute_error]}, r"metrics was \[\], and is \['absolute_error'\]"),
        ({"early_stopping": EarlyStopping()}, "early_stopping was None, and is .*'patience': 10"),
    ],
    ids=described,
)
def test_other_runs_are_refused_with_the_reason(options, message, kept):
    network = options.get("network") or DROPOUT.make()
    before = network.theta.tobytes()
    with pytest.raises(CheckpointError, match=message) as caught:
        resume(kept, **({"network": network} | options))
    assert "resume=False to start a new run" in str(caught.value)
    assert network.theta.tobytes() == before


@pytest.mark.parametrize(
    "options",
    [
        {"seed": None},
        {"network": other_network(seed=99, initializer="he_normal")},
        {"max_seconds": 1000.0, "progress": False, "callbacks": [id]},
        {"optimizer": Adam(np.float64(0.01))},
        {"data": (X.tolist(), np.asfortranarray(Y))},
        {"steps": np.int64(STEPS), "batch_size": np.int32(2)},
    ],
    ids=str,
)
def test_what_makes_no_difference_is_not_refused(options, kept, tmp_path):
    expected = DROPOUT.train(STEPS)[0].theta.tobytes()
    for file in files(kept):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert resume(tmp_path, **options)[0].theta.tobytes() == expected


def test_run_without_a_seed_is_not_taken_for_one_with_a_seed(tmp_path):
    FAST.train(STEPS, seed=None, checkpoint=Checkpoint(tmp_path))
    with pytest.raises(CheckpointError, match="seed was None, and is 3"):
        FAST.train(STEPS, seed=3, checkpoint=Checkpoint(tmp_path))


def test_another_kernel_is_refused(tmp_path):
    FAST.train(STEPS, checkpoint=Checkpoint(tmp_path))
    with pytest.raises(CheckpointError, match="kernel was fused222, and is layered"):
        FAST.train(STEPS, checkpoint=Checkpoint(tmp_path), kernel="layered")


@pytest.mark.parametrize("name", ["CPU", "fastbp", "numba", "numpy"])
def test_another_machine_or_version_is_warned_of(name, kept, tmp_path):
    def move(document, tensors):
        document["made_with"][name] = "another"

    edited(kept, tmp_path, move)
    present = re.escape(made_with_now()[name])
    with pytest.warns(
        CheckpointWarning, match=f"may not have the bits .*: {name} was another, and is {present}$"
    ):
        network, _ = resume(tmp_path)
    assert network.theta.tobytes() == DROPOUT.train(STEPS)[0].theta.tobytes()


# --- resume= -------------------------------------------------------------------------------------------


def test_starting_anew_replaces_the_checkpoints_one_by_one(kept, tmp_path):
    for file in files(kept):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    first = len(files(tmp_path))
    network, result = resume(tmp_path, resume=False, optimizer=SGD(0.1))
    assert result.n_steps == STEPS
    assert len(files(tmp_path)) == min(3, first + 2)
    again, _ = resume(tmp_path, optimizer=SGD(0.1))
    assert again.theta.tobytes() == network.theta.tobytes()


def test_resuming_may_be_insisted_on(tmp_path, kept):
    network = DROPOUT.make()
    before = network.theta.tobytes()
    with pytest.raises(CheckpointError, match="resume is True, and there is no checkpoint in"):
        resume(tmp_path / "empty", network, resume=True)
    assert network.theta.tobytes() == before
    assert not (tmp_path / "empty").exists()


# --- damaged files -----------------------------------------------------------------------------------


def copied(kept, folder):
    for file in files(kept):
        (folder / file.name).write_bytes(file.read_bytes())
    return files(folder)


def test_damaged_newest_checkpoint_is_passed_over_with_a_warning(kept, tmp_path):
    newest = copied(kept, tmp_path)[-1]
    newest.write_bytes(newest.read_bytes()[:-1])
    with pytest.warns(
        CheckpointWarning, match="the newest checkpoint cannot be read, and .* is taken instead"
    ):
        network, _ = resume(tmp_path)
    assert network.theta.tobytes() == DROPOUT.train(STEPS)[0].theta.tobytes()


def test_newest_checkpoint_that_cannot_be_opened_is_passed_over_with_a_warning(kept, tmp_path):
    copied(kept, tmp_path)
    (tmp_path / "checkpoint-00000099.safetensors").symlink_to("checkpoint-00000099.safetensors")
    with pytest.warns(CheckpointWarning, match="the newest checkpoint cannot be read"):
        network, _ = resume(tmp_path)
    assert network.theta.tobytes() == DROPOUT.train(STEPS)[0].theta.tobytes()


def test_damage_of_all_checkpoints_is_an_error_and_not_a_new_run(kept, tmp_path):
    for file in copied(kept, tmp_path):
        file.write_bytes(b"damaged")
    with pytest.raises(
        ModelFileError, match=r"no checkpoint in .* can be read; resume=False starts a new run"
    ):
        resume(tmp_path)
    assert resume(tmp_path, resume=False)[1].n_steps == STEPS


def test_checkpoints_in_the_layout_of_one_processor_are_refused(tmp_path):
    """Version 1 had packed parameters: with the same names and shapes, they would be misread."""
    write_tensors(tmp_path / "checkpoint-00000001.safetensors", KIND, 1, {}, {})
    with pytest.raises(
        ModelFileError, match="has format version 1, and this fastbp reads none from before 2"
    ):
        resume(tmp_path)


def test_other_files_in_the_folder_do_not_matter(kept, tmp_path):
    copied(kept, tmp_path)
    for name in ("checkpoint-9.safetensors", "notes.txt", ".checkpoint-00000009.safetensors.tmp"):
        (tmp_path / name).write_text("other")
    assert resume(tmp_path)[1].n_steps == STEPS
    assert (tmp_path / "notes.txt").read_text() == "other"


def edited(kept, folder, edit, task=DROPOUT):
    """Write the newest checkpoint anew, with a digest that is right."""
    document, tensors = read_tensors(files(kept)[-1], KIND, VERSION)
    tensors = {name: tensor.copy() for name, tensor in tensors.items()}
    document, tensors = edit(document, tensors) or (document, tensors)
    write_tensors(folder / "checkpoint-00000001.safetensors", KIND, VERSION, document, tensors)


EDITS = {
    "an array is missing": lambda d, t: (d, {k: v for k, v in t.items() if k != "state.order"}),
    "an array too many": lambda d, t: (d, t | {"more": np.zeros(3)}),
    "another shape": lambda d, t: (d, t | {"state.theta": t["state.theta"][:-1].copy()}),
    "another type": lambda d, t: (d, t | {"state.order": t["state.order"].astype(float)}),
    "no step": lambda d, t: ({k: v for k, v in d.items() if k != "step"}, t),
    "another step": lambda d, t: (d | {"step": d["step"] + 1}, t),
    "no run": lambda d, t: ({k: v for k, v in d.items() if k != "run"}, t),
    "step of text": lambda d, t: (d | {"step": "four"}, t),
    "huge epoch": lambda d, t: (d | {"n_epochs": 1e300}, t),
    "unknown reason": lambda d, t: (d | {"stop_reason": "boredom"}, t),
    "reason of another type": lambda d, t: (d | {"stop_reason": [1]}, t),
    "an order beyond the data": lambda d, t: t["state.order"].__setitem__(0, 10**12),
    "an order with repetitions": lambda d, t: t["state.order"].__setitem__(0, t["state.order"][1]),
    **{
        f"counter {i} is {value}": lambda d, t, i=i, value=value: t["state.counters"].__setitem__(i, value)
        for i in range(5)
        for value in (-2, 2**62)
    },
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_impossible_content_is_an_error_and_never_reaches_the_kernel(edit, kept, tmp_path):
    edited(kept, tmp_path, edit)
    network = DROPOUT.make()
    before = network.theta.tobytes()
    with pytest.raises(ModelFileError):
        resume(tmp_path, network)
    assert network.theta.tobytes() == before


@pytest.mark.parametrize("task", [ONLINE, DROPOUT], ids=str)
@pytest.mark.parametrize("position", range(7))
def test_a_place_in_the_data_that_the_run_was_not_at_is_an_error(position, task, tmp_path):
    """Kernels keep a row's loss at its distance from there."""
    stopped_after(task, 10, tmp_path / "kept")
    (tmp_path / "edited").mkdir()
    places = []

    def move(document, tensors):
        counters = tensors["state.counters"]
        row = int(counters[1])
        places.append((row - 1) % 7)
        if task is DROPOUT:  # the rows of the coming step may have been drawn
            places.append(min(row + 2, 7) - 1)
        counters[3] = position

    edited(tmp_path / "kept", tmp_path / "edited", move, task)
    with contextlib.ExitStack() as stack:
        if position not in places:
            stack.enter_context(pytest.raises(ModelFileError, match="its counters are not those of a run"))
        task.train(STEPS, checkpoint=Checkpoint(tmp_path / "edited"))


@pytest.mark.parametrize("task", [FAST, EXACT], ids=str)
@pytest.mark.parametrize("counter", range(4))
@pytest.mark.parametrize("value", [-2, 2**62])
def test_impossible_counters_of_the_fused_kernel_never_reach_it(counter, value, task, tmp_path):
    FAST.train(STEPS, checkpoint=Checkpoint(tmp_path / "kept"))
    (tmp_path / "edited").mkdir()
    edited(
        tmp_path / "kept", tmp_path / "edited", lambda d, t: t["state.counters"].__setitem__(counter, value)
    )
    with pytest.raises((ModelFileError, CheckpointError)):
        task.train(STEPS, checkpoint=Checkpoint(tmp_path / "edited"))


def test_parameters_that_are_not_finite_are_found(kept, tmp_path):
    edited(kept, tmp_path, lambda d, t: t["state.theta"].__setitem__(0, np.nan))
    with pytest.raises(fastbp.DivergenceError, match="before training"):
        resume(tmp_path)


def test_resuming_warns_of_nothing_on_the_same_machine(kept, tmp_path):
    copied(kept, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resume(tmp_path)
