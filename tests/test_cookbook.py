"""Every recipe of docs/cookbook.md runs, and reaches what the page says, or nearly on another processor."""

import contextlib
import io
import re
import warnings
from pathlib import Path

import pytest

import fastbp

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
            continue
        assert re.sub(NUMBER, "#", printed) == re.sub(NUMBER, "#", text)
        for found, said in zip(re.findall(NUMBER, printed), re.findall(NUMBER, text), strict=True):
            # Vectors of another width round otherwise, and a run takes another way.
            assert float(found) == pytest.approx(float(said), rel=0.25, abs=0.04)
        compared += 1
    assert compared >= 12
