"""A run that one processor began, another one ends: its vectors may be of any width.

What a checkpoint holds depends on no width. Runs at two widths round differently, and nothing else.
`make test` tries two widths, and `make soak` all three.
"""

import itertools
import json
import os
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fastbp import RPROP, SGD, Adam, Checkpoint, RMSprop, processor, schedules
from fastbp.interchange.tensor_file import read_tensors
from fastbp.training.checkpoint import KIND, VERSION
from tests.processes import OTHER_WIDTHS, TARGETS, environment, run
from tests.training.tasks import DROPOUT, EXACT, FAST, NARROW, ONLINE, WATCHING, Task, layered
from tests.training.test_keeping import STEPS, files, stopped_after

TWO_WIDTHS = (processor.WIDTH, *(width for width, dtype in OTHER_WIDTHS.items() if dtype == "float64"))
MIDDLE = 31
"""A step in the middle of an epoch."""

PATIENT = WATCHING | {"early_stopping": replace(WATCHING["early_stopping"], patience=STEPS)}

TASKS = [
    FAST,
    EXACT,
    Task("fused222, no bias", (2, 2, 2), {"batch_size": 1, "optimizer": SGD(0.5)}, {"bias": "none"}),
    Task("layered, Adam", (3, 5, 9, 2), layered(Adam(0.01), l2=0.01)),
    Task("layered, RMSprop, fixed bias", (3, 5, 2), layered(RMSprop(0.01, momentum=0.5)), {"bias": "fixed"}),
    Task("layered, momentum, no bias", (9, 17, 3), layered(SGD(0.1, momentum=0.9)), {"bias": "none"}),
    Task("layered, plain", (3, 2), layered(SGD(schedules.StepDecay(0.5, every=9)))),
    Task("layered, RPROP", (3, 5, 2), {"optimizer": RPROP()}),
    DROPOUT,
    ONLINE,
    NARROW,
    Task("online, no bias", (5, 9, 17, 2), {"batch_size": 1, "optimizer": SGD(0.1)}, {"bias": "none"}),
]


def begin(folder: Path, task: Task) -> None:
    """Leave the checkpoints of a run that ended in its middle."""
    stopped_after(task, MIDDLE, folder, **PATIENT)


def end(task: Task, **options) -> dict:
    """Train a task to its end, and return what came out."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        network, result = task.train(STEPS, **PATIENT, **options)
    return {
        "theta": network.theta.tolist(),
        "steps": result.n_steps,
        "losses": result.history["loss"].tolist(),
        "warnings": [f"{type(warning.message).__name__}: {warning.message}" for warning in caught],
    }


def first_part(folders: Path) -> None:
    """Begin all tasks, and train them without a stop: in a process of its own."""
    for task in TASKS:
        begin(folders / task.name / str(processor.WIDTH), task)
    print(json.dumps({task.name: end(task) for task in TASKS}))


def second_part(folders: Path) -> None:
    """End what was begun at any width: in a process of its own."""
    ended = {}
    for task in TASKS:
        for width in filter(str.isdigit, os.listdir(folders / task.name)):
            begun, copy = (folders / task.name / name for name in (width, f"{width} at {processor.WIDTH}"))
            shutil.copytree(begun, copy)
            ended[f"{task.name} from {width}"] = end(task, checkpoint=Checkpoint(copy), resume=True)
    print(json.dumps(ended))


def at_width(width: int, part: str, folders: Path) -> dict:
    code = f"import pathlib, sys; from {__name__} import *; {part}(pathlib.Path(sys.argv[1]))"
    return json.loads(run(code, str(folders), **environment(width))[0])


@pytest.fixture(
    scope="module", params=[TWO_WIDTHS, pytest.param(tuple(TARGETS), marks=pytest.mark.soak)], ids=str
)
def widths(request) -> tuple[int, ...]:
    return request.param


@pytest.fixture(scope="module")
def folders(tmp_path_factory, widths) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def whole(folders, widths) -> dict[int, dict]:
    """What every task gives at every width, if it is never stopped; `folders` has what was begun."""
    return {width: at_width(width, "first_part", folders) for width in widths}


@pytest.fixture(scope="module")
def ended(folders, whole, widths) -> dict[int, dict]:
    """What comes out at every width of what was begun at every width."""
    return {width: at_width(width, "second_part", folders) for width in widths}


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_checkpoint_of_any_width_is_resumed_at_any_width(task, whole, ended, widths):
    for begun_at, ended_at in itertools.product(widths, widths):
        found, expected = ended[ended_at][f"{task.name} from {begun_at}"], whole[begun_at][task.name]
        assert found["steps"] == STEPS
        if begun_at == ended_at:
            assert found == expected
            continue
        np.testing.assert_allclose(found["theta"], expected["theta"], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(found["losses"], expected["losses"], rtol=1e-9, atol=1e-9)
        (warning,) = found["warnings"]
        assert warning.startswith("CheckpointWarning: the resumed run may not have the bits")
        assert f"vector width was {begun_at} bytes, and is {ended_at} bytes" in warning


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_checkpoints_of_every_width_have_the_same_arrays(task, whole, folders, widths):
    """The same names, types and shapes, and but for rounding the same numbers."""
    stored = [read_tensors(files(folders / task.name / str(width))[-1], KIND, VERSION) for width in widths]
    (document, tensors), *others = stored
    assert document["step"] == MIDDLE
    theta = task.make().theta
    assert (tensors["state.theta"].shape, tensors["state.theta"].dtype) == (theta.shape, theta.dtype)
    for other_document, other in others:
        assert other_document["run"] == document["run"]
        assert set(other) == set(tensors)
        for name, tensor in tensors.items():
            assert other[name].dtype == tensor.dtype
            np.testing.assert_allclose(other[name], tensor, rtol=1e-9, atol=1e-9, err_msg=name)
