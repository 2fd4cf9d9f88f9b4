"""The README's examples run, and print what it says they print."""

import contextlib
import io
import itertools
import re
import shlex
from pathlib import Path

import polars
import pytest
from sklearn.datasets import load_iris

from fastbp import cli

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks_of(text: str) -> list[tuple[str, str]]:
    return re.findall(r"```(\w+)\n(.*?)```", text, flags=re.DOTALL)


BLOCKS = blocks_of(README)

PAGES = ("scikit-learn", "model", "stopping", "sweep", "populations")
"""Those of docs/ that have examples."""


@pytest.mark.filterwarnings("ignore::fastbp.PatchWarning")  # other tests have imported the classes
@pytest.mark.parametrize("page", ["README.md", *(f"docs/{page}.md" for page in PAGES)])
def test_python_examples_print_what_the_page_says(page, tmp_path, monkeypatch):
    blocks = blocks_of((ROOT / page).read_text(encoding="utf-8"))
    monkeypatch.chdir(tmp_path)  # some of them write files
    namespace: dict[str, object] = {}
    compared = 0
    for (kind, code), (next_kind, text) in zip(blocks, [*blocks[1:], ("", "")], strict=True):
        if kind != "python":
            continue
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(code, namespace)
        if next_kind == "text":
            assert printed.getvalue() == text
            compared += 1
    assert compared >= (1 if page == "docs/sweep.md" else 2)


def test_commands_print_what_the_readme_says(tmp_path, monkeypatch, capsys):
    """What they print is compared without its numbers, as some of those are times."""
    monkeypatch.chdir(tmp_path)
    iris = load_iris()
    columns = dict(zip(map(str, iris.feature_names), iris.data.T, strict=True))
    species = iris.target_names[iris.target].tolist()
    polars.DataFrame({**columns, "species": species}).write_csv("iris.csv")
    compared = 0
    for (kind, code), (next_kind, text) in itertools.pairwise(BLOCKS):
        lines = [shlex.split(line) for line in code.splitlines()]
        if kind == "sh" and next_kind == "text" and all(line[:1] == ["fastbp"] for line in lines):
            printed = []
            for line in lines:
                capsys.readouterr()
                assert cli.main(line[1:]) == 0
                printed.append(capsys.readouterr().out)
            assert without_numbers("\n".join(printed)) == without_numbers(text)
            compared += 1
    assert compared >= 1


def without_numbers(text: str) -> list[str]:
    return [re.sub(r"\d[\d.,e-]*", "#", word) for word in text.split()]


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^make (\w+)", README, flags=re.MULTILINE)
    assert len(targets) >= 6
    for target in targets:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)


def test_commands_that_are_named_exist(capsys):
    commands = set(re.findall(r"`(fastbp [a-z][^`]*)`", README))
    assert "fastbp example --steps" in commands
    for command in commands:
        with pytest.raises(SystemExit) as exit_:
            cli.main([*shlex.split(command)[1:], "--help"])
        assert exit_.value.code == 0
        options = re.findall(r"--[a-z]+", command)
        help_text = capsys.readouterr().out
        assert all(option in help_text for option in options)


def test_files_that_are_named_exist():
    names = set(re.findall(r"\]\(([^)]+)\)", README)) | set(re.findall(r"`(fastbp/[^`]+)`", README))
    assert {"docs/worked_example.png", "fastbp/reference.py"} <= names
    assert all((ROOT / name).is_file() for name in names)
