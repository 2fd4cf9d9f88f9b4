"""Checkpoints that were changed: refused with a reason, or the run that it was; nothing crashes."""

import contextlib
import copy
import random
import tracemalloc
import warnings

import numpy as np
import pytest

from fastbp import Checkpoint, CheckpointError, CheckpointWarning, DivergenceError, ModelFileError
from fastbp.interchange.tensor_file import encode, read_tensors
from fastbp.training.checkpoint import KIND, VERSION
from tests.interchange.mutation import mutate
from tests.training import tasks
from tests.training.tasks import WATCHING

STEPS = 40
NAME = "checkpoint-00000001.safetensors"
TASKS = [(task, WATCHING if number % 2 else {}) for number, task in enumerate(tasks.TASKS)]

BOUND = 500_000
"""What a rejection may take beyond the file's bytes, the run itself, of some 100 kB, included."""


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """Return for each task the bytes of a checkpoint from the middle of its run, and what the run ends in."""

    found = []
    for task, options in TASKS:
        folder = tmp_path_factory.mktemp("kept")
        with pytest.raises(ZeroDivisionError):
            task.train(
                STEPS,
                checkpoint=Checkpoint(folder, every=4),
                callbacks=[lambda s: s.epoch == 5 and 1 / 0],
                **options,
            )
        data = sorted(folder.glob("checkpoint-*"))[-1].read_bytes()
        found.append((data, task.train(STEPS, **options)[0].theta.tobytes()))
    return found


def resume(number, data, folder):
    """Resume a run from these bytes; return its parameters at the end, or None if they are refused."""
    task, options = TASKS[number]
    (folder / NAME).write_bytes(data)
    try:
        network, _ = task.train(STEPS, checkpoint=Checkpoint(folder, keep=10**6), resume=True, **options)
    except (ModelFileError, CheckpointError, DivergenceError):
        return None
    finally:
        for path in folder.glob("checkpoint-*"):
            path.unlink()
    return network.theta.tobytes()


def fuzz_bytes(originals, folder, n_files, seed=0):
    """Change bytes: what is not refused is the run that it was. Return how many were not, and the memory."""
    generator = random.Random(seed)
    seeds = [data for data, _ in originals]
    survived, largest = 0, 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CheckpointWarning)  # of another CPU, say
        tracemalloc.start()
        try:
            for _ in range(n_files):
                number = generator.randrange(len(seeds))
                data = mutate(seeds[number], generator, seeds)
                tracemalloc.reset_peak()
                before = tracemalloc.get_traced_memory()[0]
                theta = resume(number, data, folder)
                largest = max(largest, tracemalloc.get_traced_memory()[1] - before - len(data))
                assert theta in (None, originals[number][1])
                survived += theta is not None
        finally:
            tracemalloc.stop()
    assert largest < BOUND
    return survived, largest


NUMBERS = [0, 1, -1, 2, 7, 39, 40, 41, 255, 2**31, 2**62, -(2**63), 1e-320, 1e300, np.nan, np.inf, -np.inf]
VALUES = [
    None,
    True,
    -1,
    0,
    3,
    10**400,
    1.5,
    1e300,
    "",
    "completed",
    "early_stopping",
    [],
    [1],
    {},
    {"a": None},
]


def edit(document, tensors, generator):
    """Change what a checkpoint says, a number, an array or an entry."""
    kind = generator.randrange(10)
    if kind == 0:
        document[generator.choice([*document, "more"])] = copy.deepcopy(generator.choice(VALUES))
    elif kind == 1:
        run = document["run"]
        run[generator.choice([*run, "more"])] = copy.deepcopy(generator.choice(VALUES))
    elif kind == 2:
        del document[generator.choice(list(document))]
    else:
        name = generator.choice(list(tensors))
        tensor = tensors[name]
        if kind == 3:
            del tensors[name]
        elif kind == 4:
            tensors[name] = np.resize(tensor, generator.choice([(0,), (1,), (tensor.size + 1,), (2, 3)]))
        elif kind == 5:
            with np.errstate(invalid="ignore"):
                tensors[name] = tensor.astype(generator.choice(["<f8", "<f4", "<i8", "<u8"]))
        elif tensor.size:
            value = generator.choice([*NUMBERS, generator.uniform(-10, 10)])
            if tensor.dtype.kind in "iu":
                value = int(value) if np.isfinite(value) else 5
                limits = np.iinfo(tensor.dtype)
                value = min(max(value, limits.min), limits.max)
            tensor.reshape(-1)[generator.randrange(tensor.size)] = value


def fuzz_content(originals, folder, n_files, seed=0):
    """Change content, with a digest that is right: the run is refused, or goes on from what it was told."""
    generator = random.Random(seed)
    known = []
    for data, _ in originals:
        (folder / NAME).write_bytes(data)
        known.append(read_tensors(folder / NAME, KIND, VERSION))
    went_on = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CheckpointWarning)
        warnings.simplefilter("ignore", RuntimeWarning)  # an overflow that it was told of
        for _ in range(n_files):
            number = generator.randrange(len(known))
            document, tensors = known[number]
            document = document | {"run": dict(document["run"])}
            tensors = {name: tensor.copy() for name, tensor in tensors.items()}
            for _ in range(generator.choice([1, 1, 2, 3])):
                with contextlib.suppress(
                    KeyError, IndexError, TypeError
                ):  # an earlier change has taken it away
                    edit(document, tensors, generator)
            went_on += resume(number, encode(KIND, VERSION, document, tensors), folder) is not None
    return went_on


def test_changed_bytes_are_refused(originals, tmp_path):
    survived, _ = fuzz_bytes(originals, tmp_path, 300)
    assert survived < 60


def test_changed_content_is_refused_or_gone_on_with(originals, tmp_path):
    went_on = fuzz_content(originals, tmp_path, 500)
    assert 50 < went_on < 450


@pytest.mark.soak
def test_a_hundred_thousand_checkpoints_with_changed_bytes_are_refused_in_little_memory(originals, tmp_path):
    survived, largest = fuzz_bytes(originals, tmp_path, 100_000, seed=1)
    print(
        f"\n{survived} of 100,000 changed checkpoints were read and gave the same run; at most {largest:,} "
        "bytes beside the file"
    )


@pytest.mark.soak
def test_a_hundred_thousand_checkpoints_with_changed_content_crash_nothing(originals, tmp_path):
    went_on = fuzz_content(originals, tmp_path, 100_000, seed=1)
    print(f"\n{went_on} of 100,000 checkpoints of changed content were gone on with, the others refused")
