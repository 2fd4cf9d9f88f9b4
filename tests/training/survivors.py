"""Training processes that are killed at any moment, with disks that fail, and what they leave behind.

Run as a script with its arguments in JSON; prints a report in JSON. It forks each training process, which
costs milliseconds where a fresh interpreter costs half a second, and never trains itself: it has no threads.
"""

import builtins
import contextlib
import itertools
import json
import mmap
import os
import pickle
import random
import resource
import select
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

from fastbp import Checkpoint, CheckpointWarning, EarlyStopping
from fastbp.interchange import atomic
from fastbp.interchange.tensor_file import read_tensors
from fastbp.training.checkpoint import KIND, NAMED, VERSION
from tests.training.seams import Seams, WatchedRun
from tests.training.tasks import TASKS, WATCHING, absolute_error

STEPS = {"fused222": 20_000_000, "online": 2_000_000, "layered": 250_000}
"""Some tenths of a second."""

WATCHED_STEPS = {"fused222": 3_000, "online": 3_000, "layered": 2_000}
"""With something to do after every epoch."""

PATIENT = WATCHING | {
    "early_stopping": EarlyStopping(patience=10**6, monitor=absolute_error, higher_is_better=False)
}

KINDS = [(task.name, watched) for task in TASKS for watched in (False, True)]


class Shared:
    """The last two steps at which a process was between chunks, for its parent, however it ends."""

    def __init__(self):
        self._memory = mmap.mmap(-1, 16)

    def write(self, previous, step):
        self._memory[:] = struct.pack("qq", previous, step)

    def read(self):
        return struct.unpack("qq", self._memory[:])


# --- in the child --------------------------------------------------------------------------------------


def train(name, watched, steps, checkpoint, **others):
    task = next(task for task in TASKS if task.name == name)
    options = PATIENT | {"validation_data": task.validation()} if watched else {}
    network, result = task.train(steps, checkpoint=checkpoint, **options, **others)
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C may come just after the training
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    train.seconds = result.seconds
    history = {name: column.tobytes() for name, column in result.history.items()}
    left = (network.theta.tobytes(), result.loss_curve.tobytes(), history, result.n_steps, result.best_epoch)
    return result.stop_reason, left


def reporting(shared):
    """Return the seams of a run that writes its step to shared memory at every chunk; at first, before it."""

    def watch(run):
        step = run.step

        def before(call, run, until):
            nonlocal step
            step = run.step
            if call and shared.read()[1] < 0:
                shared.write(-1, step)

        def after(call, run, until):
            if call:  # the first one compiles
                shared.write(step, run.step)

        return WatchedRun(run, before, after)

    return Seams(watch=watch)


class FailingDisk:
    """Makes every k-th call of one kind fail, after it has done half of its work or none."""

    def __init__(self, what, k):
        self._calls, self._k = itertools.count(1), k
        target = {"write": (atomic, "open"), "fsync": (os, "fsync"), "rename": (os, "replace")}[what]
        self._original = getattr(*target, builtins.open)
        setattr(*target, self._open if what == "write" else self._fail)

    def _is_due(self):
        return next(self._calls) % self._k == 0

    def _fail(self, *arguments):
        if self._is_due():
            raise OSError(5, "Input/output error")
        return self._original(*arguments)

    def _open(self, *arguments):
        file = builtins.open(*arguments)  # noqa: SIM115
        disk = self

        class File:
            def write(self, part):
                if disk._is_due():
                    file.write(bytes(part)[: len(part) // 2])
                    raise OSError(28, "No space left on device")
                return file.write(part)

            def __getattr__(self, name):
                return getattr(file, name)

            def __enter__(self):
                return self

            def __exit__(self, *_):
                file.close()

        return File()


def limit_files():
    """Let files grow to 700 bytes: writing more fails in the middle."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (700, resource.RLIM_INFINITY))


def kill_at_call(n, folder):
    """Kill this process before its n-th call into the operating system on behalf of a checkpoint."""
    calls = itertools.count()

    def counted(function):
        def call(*arguments, **options):
            concerned = isinstance(arguments[0], int) or str(folder) in os.fspath(arguments[0])
            if concerned and next(calls) == n:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)

        return call

    for name in ("open", "fsync", "replace", "unlink", "chmod"):
        setattr(os, name, counted(getattr(os, name)))
    atomic.open = counted(builtins.open)


def fork(function):
    """Run a function in a child; return its process and the reading end of a pipe for what it returns."""
    ours, theirs = os.pipe()
    process = os.fork()
    if process:
        os.close(theirs)
        return process, ours
    try:
        os.close(ours)
        answer = pickle.dumps(function())
        while answer:
            answer = answer[os.write(theirs, answer) :]
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


# --- in the parent -------------------------------------------------------------------------------------


def wait(condition):
    while not condition():
        time.sleep(0.0005)


def started(shared):
    return shared.read()[1] >= 0


def is_readable(pipe, seconds):
    return bool(select.select([pipe], [], [], seconds)[0])


def finish(process, pipe):
    """Return what a child returned, or None if it was killed."""
    answer = b""
    while part := os.read(pipe, 65536):
        answer += part
    os.close(pipe)
    _, status = os.waitpid(process, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return None
    assert status == 0, "a training process failed"
    return pickle.loads(answer)


def newest(folder):
    """Return the newest checkpoint, if there is one; every one of them can be read."""
    names = sorted(name for name in os.listdir(folder) if NAMED.fullmatch(name)) if folder.exists() else []
    documents = [read_tensors(folder / name, KIND, VERSION)[0] for name in names]
    return documents[-1] if documents else None


class SmallDisk:
    """A file system of a megabyte, in memory, at a folder; only this mount namespace sees it."""

    PAGE = 4096

    def __init__(self, folder):
        self._folder, self._filler = folder, Path(folder) / "filler"

    def __enter__(self):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", self._folder], check=True)
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", self._folder], check=True)

    def fill(self, free_pages):
        """Leave so many pages free."""
        with open(self._filler, "wb", buffering=0) as file:
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(self.PAGE))
            file.truncate(max(0, file.tell() - free_pages * self.PAGE))

    def clear(self):
        """Remove what fills it."""
        self._filler.unlink(missing_ok=True)


def undisturbed(kind, steps):
    """Return what a run leaves that nobody disturbs, and its seconds."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Checkpoint(folder, every="1h")
        return finish(*fork(lambda: (train(*kind, steps, checkpoint), train.seconds)))


def steps_of(kind, scale):
    name, watched = kind
    steps = (WATCHED_STEPS if watched or "adaptive" in name else STEPS)[name.split(",")[0]]
    return int(scale * steps / (3 if "exact" in name else 1))


def killed_at_random(kinds, n_kills, scale, fault=None, seed=0):
    """Kill runs at random moments until there were so many kills; check what is left after each.

    Every kind of run has its share of them, as nearly as can be.
    """
    generator = random.Random(seed)
    report = {"kills": 0, "runs": 0, "kills before the first checkpoint": 0}
    share = -(-n_kills // len(kinds))
    shared = Shared()
    for kind in itertools.cycle(kinds):
        if report["kills"] >= n_kills:
            break
        report["runs"] += 1
        steps = steps_of(kind, scale)
        expected, whole = undisturbed(kind, steps)
        enough = min(n_kills, report["kills"] + share)
        with contextlib.ExitStack() as stack:
            name = stack.enter_context(tempfile.TemporaryDirectory())
            folder = Path(name) / "run"
            disk = stack.enter_context(SmallDisk(name)) if fault == "full disk" else None

            def child(k, keep, kind=kind, steps=steps, folder=folder):
                warnings.simplefilter("ignore", CheckpointWarning)
                if fault == "file size limit":
                    if k == 2:
                        limit_files()
                elif fault and fault != "full disk" and k:
                    FailingDisk(fault, k)
                checkpoint = Checkpoint(folder, every="0.001ms", keep=keep)
                return train(*kind, steps, checkpoint, seams=reporting(shared))

            left = None
            while left is None:
                shared.write(-1, -1)
                # At first, a disk that fails is an error.
                k = generator.randint(2, 4) if newest(folder) else 0
                keep = generator.choice([1, 3])
                if disk:
                    disk.clear()
                    if k == 2:
                        disk.fill(generator.randint(0, 4))
                        report["full disks"] = report.get("full disks", 0) + 1
                process, pipe = fork(lambda k=k, keep=keep, child=child: child(k, keep))
                if report["kills"] < enough:
                    wait(lambda pipe=pipe: started(shared) or is_readable(pipe, 0))
                    if not is_readable(pipe, generator.uniform(0, whole)):
                        os.kill(process, signal.SIGKILL)
                        report["kills"] += 1
                left = finish(process, pipe)
                previous, step = shared.read()
                kept = newest(folder)
                if left is None and kept is None:
                    report["kills before the first checkpoint"] += 1
                    assert step <= 0, "steps were taken, and there is no checkpoint"
                elif left is None and not fault:
                    # The interval is below a chunk: lost are at most that chunk and what came of the next.
                    assert kept["step"] >= previous, "more than the interval is lost"
            assert left == expected, f"{kind}: the run that was killed and resumed is not the undisturbed one"
    return report


def killed_inside_a_write(kind, scale, every=1):
    """Kill runs before every single call that concerns a checkpoint, in turn, or before every so many-th."""
    steps = steps_of(kind, scale)
    expected, _ = undisturbed(kind, steps)
    kills, left = -1, None
    for n in itertools.count(step=every):
        if left is not None:
            break
        kills += 1
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "run"
            checkpoint = Checkpoint(folder, every="0.001ms", keep=2)

            def child(n=n, checkpoint=checkpoint, folder=folder):
                kill_at_call(n, folder)
                return train(*kind, steps, checkpoint)

            left = finish(*fork(child))
            newest(folder)
            assert finish(*fork(lambda checkpoint=checkpoint: train(*kind, steps, checkpoint))) == expected
            rest = [file.name for file in folder.iterdir() if not NAMED.fullmatch(file.name)]
            assert not rest, "a killed process left a file behind that the next one did not remove"
    assert left == expected
    return {"kills": kills}


def interrupted_at_random(kinds, n_interrupts, scale, seed=0):
    """Press Ctrl-C at random moments of runs that are then resumed; return the seconds to each answer."""
    generator = random.Random(seed)
    seconds = []
    shared = Shared()
    for kind in itertools.cycle(kinds):
        if len(seconds) >= n_interrupts:
            break
        steps = steps_of(kind, scale)
        expected, whole = undisturbed(kind, steps)
        with tempfile.TemporaryDirectory() as folder:

            def child(kind=kind, steps=steps, folder=folder):
                return train(*kind, steps, Checkpoint(folder, every="1h"), seams=reporting(shared))

            left = ("interrupted", None)
            while left[0] == "interrupted":
                shared.write(-1, -1)
                process, pipe = fork(child)
                # While it loads the kernel, Ctrl-C is Python's.
                wait(lambda pipe=pipe: started(shared) or is_readable(pipe, 0))
                if len(seconds) < n_interrupts and not is_readable(pipe, generator.uniform(0, whole)):
                    sent = time.perf_counter()
                    os.kill(process, signal.SIGINT)
                    select.select([pipe], [], [])
                    seconds.append(time.perf_counter() - sent)
                left = finish(process, pipe)
            assert left == expected, (
                f"{kind}: the run that was interrupted and resumed is not the undisturbed one"
            )
    return {"seconds": seconds}


if __name__ == "__main__":
    warnings.simplefilter("error")
    job, options = json.loads(sys.argv[1])
    print(json.dumps(globals()[job](**options)))
