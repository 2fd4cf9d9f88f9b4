"""A model file that `fastbp train` of fastbp 0.1.0 wrote, with its preprocessing, in `from_0_1/`."""

import json
from pathlib import Path

import numpy as np
import pytest

import fastbp

FOLDER = Path(__file__).parent / "from_0_1"


def test_model_file_of_the_first_version_is_the_network_of_that_time():
    expected = json.loads((FOLDER / "expected.json").read_text())
    network = fastbp.Network.load(FOLDER / "flowers.safetensors")
    assert list(network.layer_sizes) == expected["layer_sizes"]
    assert network.theta.tolist() == expected["theta"]
    assert network.notes == expected["notes"]
    assert list(network.preprocessing.input_names) == expected["input_names"]
    assert list(network.preprocessing.target.labels) == expected["labels"]
    assert network.predict(np.array(expected["X"]), prepared=True) == pytest.approx(
        np.array(expected["predicted"]), rel=1e-12
    )
