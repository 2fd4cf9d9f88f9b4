"""Every recipe of docs/cookbook.md runs, and reaches what the page says, or nearly on another processor."""

import contextlib
import io
import re
import shlex
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

import fastbp
from fastbp import cli

PAGE = (Path(__file__).parent.parent / "docs" / "cookbook.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, flags=re.DOTALL)
NUMBER = r"\d+(?:\.\d+)?"


def test_a_dozen_recipes_reach_what_the_page_says():
    namespace: dict[str, object] = {}
    compared, printed = 0, ""
    for kind, text in BLOCKS:
        if kind == "python":
            with contextlib.redirect_stdout(io.StringIO()) as out, warnings.catch_warnings():
                warnings.simplefilter("ignore", fastbp.DataWarning)  # constant columns of the digits
                exec(text, namespace)
            printed = out.getvalue()
        if kind != "text":
            continue
        assert re.sub(NUMBER, "#", printed) == re.sub(NUMBER, "#", text)
        for found, said in zip(re.findall(NUMBER, printed), re.findall(NUMBER, text), strict=True):
            # Vectors of another width round otherwise, and a run takes another way.
            assert float(found) == pytest.approx(float(said), rel=0.25, abs=0.04)
        compared += 1
    assert compared >= 12


def test_what_the_page_types_in_the_shell_works(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    X, y = load_breast_cancer(return_X_y=True)
    names = [*(f"x{i}" for i in range(30)), "y"]
    np.savetxt("cancer.csv", np.column_stack([X, y]), delimiter=",", header=",".join(names), comments="")
    lines = [text.replace("\\\n", " ") for kind, text in BLOCKS if kind == "sh"]
    assert len(lines) == 1
    for line in lines:
        program, *arguments = shlex.split(line)
        assert (program, cli.main(arguments)) == ("fastbp", 0)
        assert "ended     by GL(alpha=5.0)" in capsys.readouterr().out
