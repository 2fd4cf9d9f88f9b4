"""`fastbp bench` prints what it should, and its exit status says how it went."""

import argparse
import json
import math
import shutil

import pytest

from fastbp import cli
from fastbp.benchmark.contenders import CONTENDERS, FASTBP, PYTHON_LOCALS, Contender
from fastbp.cli import bench

PAIR = (FASTBP, PYTHON_LOCALS)
BEGIN, END = "<!-- speed: begin -->", "<!-- speed: end -->"


def bench_of(contenders, *arguments):
    """Run `fastbp bench` with few contenders: the others take time, and are tested elsewhere."""
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    return bench.run(parser.parse_args(arguments), contenders)


def positive_numbers(document):
    if isinstance(document, dict):
        document = list(document.values())
    if isinstance(document, list):
        return [number for value in document for number in positive_numbers(value)]
    return [document] if isinstance(document, int | float) else []


def test_json_holds_every_contender_and_finite_positive_numbers(capsys):
    assert cli.main(["bench", "--quick", "--json"]) == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert [case["n_samples"] for case in document["cases"]] == [1, 4]
    for case in document["cases"]:
        names = [(result["contender"], result["dtype"]) for result in case["results"]]
        assert names == [(contender.name, contender.dtype) for contender in CONTENDERS]
    assert [share["dtype"] for share in document["large_networks"]] == ["float64", "float32"]
    numbers = positive_numbers(document)
    assert len(numbers) > 50
    assert all(math.isfinite(number) and number > 0 for number in numbers)
    assert "round" not in captured.err  # no progress: not a terminal


def test_without_a_compiler_c_is_named_as_skipped(capsys, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert cli.main(["bench", "--quick"]) == 0
    out = capsys.readouterr().out
    assert out.count("C, float64: skipped: no C compiler found") == 2
    assert out.count("times as fast as") == 2
    assert all(out.count(f"{contender.name} ") >= 2 for contender in CONTENDERS)


def test_readme_is_rewritten_between_its_markers_only(tmp_path, capsys):
    path = tmp_path / "README.md"
    path.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    assert bench_of(PAIR, "--quick", "--markdown", "--readme", str(path)) == 0
    table = capsys.readouterr().out.strip()
    assert "| fastbp" in table
    assert path.read_text() == f"before\n{BEGIN}\n\n{table}\n\n{END}\nafter\n"
    assert bench_of(PAIR, "--quick", "--readme", str(path)) == 0  # and can be again
    assert path.read_text().count("| fastbp") == 2


@pytest.mark.parametrize("text", ["no markers", f"{END} {BEGIN}", BEGIN])
def test_a_readme_without_markers_is_an_error_before_any_work(text, tmp_path, capsys):
    path = tmp_path / "README.md"
    path.write_text(text)
    assert cli.main(["bench", "--readme", str(path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert BEGIN in captured.err
    assert path.read_text() == text


def test_a_missing_readme_is_a_one_line_error(tmp_path, capsys):
    assert cli.main(["bench", "--readme", str(tmp_path / "none.md")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("rounds", ["0", "-3", "1.5", "many"])
def test_bad_rounds_are_bad_usage(rounds, capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["bench", "--rounds", rounds])
    assert exit_.value.code == 2
    assert f"'{rounds}' is not an integer of at least 1" in capsys.readouterr().err


def test_a_wrong_contender_makes_the_run_fail(capsys, tmp_path):
    broken = Contender("broken", "float64", lambda case: lambda steps: case.theta.copy())
    path = tmp_path / "README.md"
    path.write_text(f"{BEGIN}{END}")
    assert bench_of((*PAIR, broken), "--quick", "--readme", str(path)) == 1
    captured = capsys.readouterr()
    assert "broken, float64: wrong: after 7 steps" in captured.out
    assert captured.err.endswith("fastbp bench: not the reference's weights, so not timed: broken, float64\n")
    assert path.read_text() == f"{BEGIN}{END}"


def test_a_terminal_sees_progress_on_one_line(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert bench_of(PAIR, "--quick", "--json") == 0
    captured = capsys.readouterr()
    assert "4 samples: round 3 of 3" in captured.err
    assert "\n" not in captured.err.replace(
        "fastbp: compiling for this machine, once; a few seconds ...\n", ""
    )
    json.loads(captured.out)
