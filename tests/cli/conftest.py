"""Real data as files, and the commands as a user types them."""

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn import datasets

from fastbp import cli

TARGETS = {
    "iris": "species",
    "wine": "cultivar",
    "breast_cancer": "diagnosis",
    "diabetes": "progression",
}


@pytest.fixture(scope="session")
def real_data(tmp_path_factory) -> Path:
    """Write scikit-learn's data sets to CSV and Parquet; wine's classes are numbers, the others' names."""
    folder = tmp_path_factory.mktemp("real")
    for name, target in TARGETS.items():
        bunch = getattr(datasets, f"load_{name}")()
        columns = dict(zip(map(str, bunch.feature_names), bunch.data.T, strict=True))
        named = name in ("iris", "breast_cancer")
        y = np.array(bunch.target_names)[bunch.target] if named else bunch.target
        frame = pl.DataFrame({**columns, target: y.tolist()})
        frame.write_csv(folder / f"{name}.csv")
        frame.write_parquet(folder / f"{name}.parquet")
    return folder


@dataclass(frozen=True)
class Outcome:
    """What a command left."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """What it printed, as JSON of the standard, which has neither Infinity nor NaN."""
        return standard_json(self.out)


def standard_json(text: str) -> Any:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture
def fastbp(capsys, tmp_path, monkeypatch, real_data) -> Callable[[str], Outcome]:
    """Type a command, in a folder with the data."""
    monkeypatch.chdir(tmp_path)
    for path in real_data.iterdir():
        (tmp_path / path.name).symlink_to(path)

    def call(line: str) -> Outcome:
        capsys.readouterr()
        try:
            status = cli.main(shlex.split(line))
        except SystemExit as exit_:
            status = int(exit_.code or 0)
        captured = capsys.readouterr()
        errors = captured.err.replace("fastbp: compiling for this machine, once; a few seconds ...\n", "")
        return Outcome(status, captured.out, errors)

    return call
