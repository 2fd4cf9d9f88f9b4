"""Checkpoints that fastbp 0.1.0 wrote after three epochs, in `from_0_1/`."""

import json
import shutil
import warnings
from pathlib import Path

import pytest

from fastbp import Checkpoint, CheckpointWarning
from tests.training.tasks import ADAPTIVE, DROPOUT, FAST, ONLINE, WATCHING

STEPS = 61
FOLDER = Path(__file__).parent / "from_0_1"
TASKS = {"fused222": FAST, "layered": DROPOUT, "adaptive": ADAPTIVE, "online": ONLINE}


@pytest.mark.parametrize("name", TASKS)
def test_checkpoint_of_the_first_version_is_resumed_to_the_result_of_that_time(name, tmp_path):
    task, expected = TASKS[name], json.loads((FOLDER / name / "expected.json").read_text())
    shutil.copytree(FOLDER / name, tmp_path, dirs_exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CheckpointWarning)  # it was written on another machine
        network, result = task.train(
            STEPS,
            checkpoint=Checkpoint(tmp_path),
            resume=True,
            validation_data=task.validation(),
            **WATCHING,
        )
    assert (result.stop_reason, result.n_steps, result.best_epoch) == (
        expected["stop_reason"],
        expected["n_steps"],
        expected["best_epoch"],
    )
    assert network.theta == pytest.approx(expected["theta"], rel=1e-9)
    assert list(result.history) == list(expected["history"])
    for column, values in expected["history"].items():
        assert result.history[column] == pytest.approx(values, rel=1e-9)
