"""Every example of docs/data.md runs, and says what the page says."""

import contextlib
import io
import itertools
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from fastbp import cli
from fastbp.cli.reading_options import READING_OPTIONS

PAGE = (Path(__file__).parent.parent / "docs" / "data.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, flags=re.DOTALL)
EXAMPLES = [
    (kind, code, text) for (kind, code), (_, text) in itertools.pairwise(BLOCKS) if kind in ("sh", "python")
]


def typed(line: str) -> None:
    """Do what a line of a shell would."""
    words = shlex.split(line)
    if words[0] == "fastbp":
        cli.main(words[1:])
        return
    assert words[-2] == ">"
    if words[0] == "printf":
        content = words[1].encode().decode("unicode_escape").encode("latin-1")
    else:
        content = subprocess.run([sys.executable, *words[1:-2]], check=True, capture_output=True).stdout
    Path(words[-1]).write_bytes(content)


@pytest.mark.parametrize(("kind", "code", "text"), EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_says_what_the_page_says(kind, code, text, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if kind == "python":
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(code, {})
        assert printed.getvalue() == text
        return
    for line in code.splitlines():
        typed(line)
    assert capsys.readouterr().err == text


def test_the_page_has_examples_and_names_every_option():
    assert len(EXAMPLES) >= 12
    assert all(option in PAGE for option in (*READING_OPTIONS, "--ignore", "--missing-target", "--cache"))
