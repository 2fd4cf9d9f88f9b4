"""`fastbp example`, as a user types it."""

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from types import SimpleNamespace

import pytest

import fastbp
from fastbp import cli, worked_example
from fastbp.cli import example, race
from fastbp.cli.tables import significant

PNG = b"\x89PNG\r\n\x1a\n"


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    status = cli.main(["example", *arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_all_published_figures_come_out(capsys):
    status, out, err = run(capsys)
    assert (status, err) == (0, "")
    assert "All 19 published figures come out" in out
    for figure in worked_example.FIGURES:
        assert figure.published is None or figure.published in out
    assert "Misprints" in out
    assert "fastbp example --steps" in out


def test_it_runs_as_a_command():
    command = [sys.executable, "-c", "import sys; from fastbp.cli import main; sys.exit(main())", "example"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0
    assert "0.00003508478630" in done.stdout


def test_json_holds_the_figures_in_full_precision(capsys):
    status, out, _ = run(capsys, "--json", "--steps")
    document = json.loads(out)
    assert status == 0
    assert len(document["figures"]) == len(worked_example.FIGURES)
    final = next(f for f in document["figures"] if f["rounds"] == 10_000 and f["quantity"] == "E")
    assert final["computed"]["sequential"] == pytest.approx(3.508478630e-05, rel=1e-9)
    assert set(document["steps"]) == {"simultaneous", "sequential"}


def test_other_rounds_and_rates_print_what_they_compute(capsys):
    status, out, _ = run(capsys, "--rounds", "100", "--update", "simultaneous")
    assert status == 0
    assert "After 100 rounds" in out
    assert "After 10,000 rounds" not in out
    status, out, _ = run(capsys, "--learning-rate", "0.1")
    assert status == 0
    assert "misprint" not in out.lower()


def test_steps_show_where_the_updates_differ(capsys):
    _, out, _ = run(capsys, "--steps")
    assert "delta_y1 * w5 + delta_y2 * w7" in out
    assert "delta_y1 * new_w5 + delta_y2 * new_w7" in out
    _, out, _ = run(capsys, "--steps", "--update", "simultaneous")
    assert "new_w5 + delta_y2" not in out


@pytest.mark.parametrize(("suffix", "update"), [("png", "both"), ("svg", "sequential")])
def test_plot_writes_a_picture(capsys, tmp_path, suffix, update):
    path = tmp_path / f"loss é.{suffix}"
    status, out, _ = run(capsys, "--plot", str(path), "--rounds", "300", "--update", update)
    assert status == 0
    assert str(path) in out
    data = path.read_bytes()
    assert data.startswith(PNG) if suffix == "png" else b"<svg" in data
    assert len(data) > 10_000


def test_the_same_plot_is_the_same_file(capsys, tmp_path):
    for name in ("a.svg", "b.svg"):
        run(capsys, "--plot", str(tmp_path / name), "--rounds", "50")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_race_has_all_three_and_the_same_weights(capsys):
    status, out, _ = run(capsys, "--race", "20000", "--json")
    outcome = json.loads(out)["race"]
    assert status == 0
    assert outcome["n_steps"] == 20_000
    assert len(outcome["contenders"]) == 3
    assert outcome["largest_difference"] < 1e-12
    assert all(contender["nanoseconds_per_step"] > 0 for contender in outcome["contenders"])


@pytest.mark.parametrize(("difference", "status"), [(1e-15, 0), (1e-3, 1), (float("nan"), 1)])
def test_a_race_without_agreement_says_so_and_fails(difference, status):
    outcome = race.Race(1000, difference, [race.Racer("fastbp", 1000, 10.0, 1e-5, 1.0)])
    assert example.exit_status([], outcome) == status
    assert ("do NOT agree" in words(race.race_text(outcome))) == bool(status)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--rounds", "0"], "--rounds is 0"),
        (["--rounds", "-5"], "--rounds is -5"),
        (["--race", "0"], "--race is 0"),
        (["--learning-rate", "nan"], "--learning-rate is nan"),
        (["--learning-rate", "-1"], "--learning-rate is -1"),
        (["--learning-rate", "inf"], "--learning-rate is inf"),
        (["--plot", "loss.jpg"], "must end in .png or .svg"),
        (["--plot", "no/such/folder/loss.png"], "there is no folder"),
        (["--plot", "loss.png", "--rounds", "1"], "--rounds of at least 2"),
    ],
)
def test_bad_input_is_one_line_and_status_2(capsys, arguments, complaint):
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert err.startswith("fastbp example: ")
    assert err.count("\n") == 1
    assert complaint in err


@pytest.mark.parametrize("arguments", [["--rounds", "many"], ["--update", "other"], ["--no-such-option"]])
def test_bad_usage_is_status_2(capsys, arguments):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["example", *arguments])
    assert exit_.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_without_matplotlib_it_says_what_to_install(capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    status, _, err = run(capsys, "--plot", str(tmp_path / "loss.png"))
    assert status == 2
    assert "pip install 'fastbp[plot]'" in err


def test_a_full_disk_is_one_line(capsys):
    status, _, err = run(capsys, "--plot", "/dev/full/loss.png")
    assert status == 2
    assert err.count("\n") == 1


@pytest.fixture
def fastbp_example(capsys):
    """Run the command in this process, and return its exit status, output and errors."""

    def call(*arguments: str) -> SimpleNamespace:
        try:
            status = cli.main(["example", *arguments])
        except SystemExit as exit_:
            status = exit_.code
        captured = capsys.readouterr()
        return SimpleNamespace(status=status, out=captured.out, err=captured.err)

    return call


def words(text: str) -> str:
    """Undo the wrapping of lines."""
    return " ".join(text.split())


def test_table_has_every_figure_as_published_and_as_computed(fastbp_example):
    result = fastbp_example()
    assert (result.status, result.err) == (0, "")
    rows = [line for line in result.out.splitlines() if re.match(r"(net_)?[hyEw]\d? ", line)]
    assert len(rows) == len(worked_example.FIGURES)
    for row, figure in zip(rows, worked_example.FIGURES, strict=True):
        assert row.startswith(figure.quantity)
        assert (figure.published or "(not printed)") in row
        assert significant(figure.computed) in row
        assert figure.update in row
        assert not row.endswith(" no")


def test_each_misprint_is_numbered_and_explained(fastbp_example):
    out = words(fastbp_example().out)
    for number, figure in enumerate((f for f in worked_example.FIGURES if f.corrected), start=1):
        assert f"either [{number}] " in out or f"sequential [{number}] " in out
        assert f"[{number}] {figure.name}: printed {figure.published}" in out
        assert figure.note in out


def test_every_line_fits_a_terminal(fastbp_example):
    for arguments in ([], ["--steps"], ["--update", "sequential"]):
        assert all(len(line) <= 80 for line in fastbp_example(*arguments).out.splitlines())


@pytest.mark.parametrize("update", worked_example.UPDATES)
def test_single_update_says_which_figures_are_of_the_other(fastbp_example, update):
    rows = json.loads(fastbp_example("--update", update, "--json").out)["figures"]
    n_other = 0
    for row in rows:
        assert list(row["computed"]) == [update]
        of_the_other = row["given_by"] not in (update, "either") and row["published"] is not None
        assert (row["match"] == "no") == of_the_other
        n_other += of_the_other
    result = fastbp_example("--update", update)
    assert result.status == 0
    assert f"All {19 - n_other} published figures of the {update} update come out" in words(result.out)
    assert f"The other {n_other} are of the other update" in words(result.out)


def test_json_has_full_precision_and_stable_keys(fastbp_example):
    result = fastbp_example("--json")
    document = json.loads(result.out)
    assert result.status == 0
    assert list(document) == ["learning_rate", "rounds", "updates", "figures", "steps", "race", "plot"]
    assert (document["steps"], document["race"], document["plot"]) == (None, None, None)
    for row, figure in zip(document["figures"], worked_example.FIGURES, strict=True):
        assert row["name"] == figure.name
        assert (row["quantity"], row["rounds"]) == (figure.quantity, figure.rounds)
        assert (row["published"], row["corrected"]) == (figure.published, figure.corrected)
        assert row["given_by"] == figure.update
        update = "sequential" if figure.update == "either" else figure.update
        assert row["computed"][update] == pytest.approx(figure.computed, rel=1e-10)
        assert row["match"] == (figure.published and ("misprint" if figure.corrected else "yes"))
        assert row["note"] == (figure.note or None)


def test_other_rounds_are_computed_and_not_compared(fastbp_example):
    rows = json.loads(fastbp_example("--rounds", "100", "--json").out)["figures"]
    totals = [row for row in rows if row["rounds"] == 100]
    assert [row["name"] for row in totals] == [f"{name} after 100 rounds" for name in ("E", "y1", "y2")]
    assert all(row["published"] is None and row["match"] is None for row in totals)
    network = worked_example.network()
    X, Y = worked_example.X, worked_example.Y
    fastbp.train(network, X, Y, steps=100, optimizer=fastbp.SGD(learning_rate=0.5))
    assert totals[0]["computed"]["simultaneous"] == pytest.approx(network.loss(X, Y), rel=1e-12)
    assert "All 16 published figures come out" in fastbp_example("--rounds", "100").out


def test_one_round_lists_each_quantity_once(fastbp_example):
    rows = json.loads(fastbp_example("--rounds", "1", "--json").out)["figures"]
    names = [row["name"] for row in rows]
    assert len(set(names)) == len(names)
    assert {"E after round 1", "y1 after round 1", "y2 after round 1"} <= set(names)


def test_other_learning_rate_compares_only_what_it_leaves_alone(fastbp_example):
    rows = json.loads(fastbp_example("--learning-rate", "0.1", "--json").out)["figures"]
    for row in rows:
        assert row["match"] == ("yes" if row["rounds"] == 0 and row["published"] else None)
    out = words(fastbp_example("--learning-rate", "0.1").out)
    assert "figures are published for learning rate 0.5 and 10,000 rounds" in out


def test_figure_that_does_not_come_out_is_named_and_fails():
    wrong = tuple(
        worked_example.Figure(f.rounds, f.quantity, "0.511301271", f.computed) if f.quantity == "w7" else f
        for f in worked_example.FIGURES
    )
    compared = worked_example.UPDATES, worked_example.ROUNDS, fastbp.SGD(worked_example.LEARNING_RATE)
    assert example.exit_status(example.compare(*compared), None) == 0
    rows = example.compare(*compared, wrong)
    assert example.exit_status(rows, None) == 1
    text = words(example.figures_text(rows))
    assert "1 of 19 published figures did NOT come out: w7 after round 1." in text


@pytest.mark.parametrize("update", [*worked_example.UPDATES, "both"])
def test_steps_print_every_quantity_of_round_one(fastbp_example, update):
    result = fastbp_example("--steps", "--update", update)
    assert (result.status, result.err) == (0, "")
    for each in worked_example.UPDATES:
        if update not in (each, "both"):
            assert each not in result.out
            continue
        for line in worked_example.one_round(each):
            assert line.section in result.out
            cells = [line.name, line.formula, significant(line.value)]
            assert re.search(r" +".join(map(re.escape, cells)) + "$", result.out, flags=re.MULTILINE)


def test_steps_show_what_the_updates_share_once_and_the_hidden_layer_twice(fastbp_example):
    out = fastbp_example("--steps").out
    for name, times in (("net_h1", 1), ("dE_dw5", 1), ("dE_dh1", 2), ("new_w1", 2)):
        assert len(re.findall(f"^{name} ", out, flags=re.MULTILINE)) == times


def test_steps_in_json_are_those_of_the_round(fastbp_example):
    document = json.loads(fastbp_example("--steps", "--json", "--update", "sequential").out)
    assert list(document["steps"]) == ["sequential"]
    lines = [worked_example.Quantity(**line) for line in document["steps"]["sequential"]]
    assert lines == worked_example.one_round("sequential")


def test_race_extrapolates_from_what_it_measured_and_says_so():
    outcome = race.run_race(20_000, 0.5, measured_seconds=0.005)
    first, *others = outcome.contenders
    names = [contender.name.split()[0] for contender in outcome.contenders]
    assert names == ["fastbp", "Python", "Python"]
    assert (first.measured_steps, first.times_as_slow) == (20_000, 1)
    for contender in (first, *others):
        pace = contender.nanoseconds_per_step
        assert contender.measured_steps % 1000 == 0
        assert contender.seconds == pytest.approx(pace * 20_000 * 1e-9)
        assert contender.times_as_slow == pytest.approx(pace / first.nanoseconds_per_step)
    text = words(race.race_text(outcome))
    measured = " and ".join(f"{contender.measured_steps:,}" for contender in others)
    assert f"fastbp took all 20,000 steps. Pure Python was measured on {measured} steps" in text
    assert "extrapolated" in text


def test_race_follows_the_table(fastbp_example):
    out = words(fastbp_example("--race", "20000").out)
    assert out.index("All 19 published figures") < out.index("The race: 20,000 training steps")


def test_race_that_plain_python_cannot_run_is_an_error(fastbp_example):
    result = fastbp_example("--learning-rate", "1e7", "--race", "1000", "--json")
    assert (result.status, result.out) == (2, "")
    assert "--race at learning rate 1e+07: exp overflows in plain Python" in result.err


@pytest.mark.parametrize("update", ["both", "sequential"])
def test_plot_names_every_weight_and_update(fastbp_example, tmp_path, update):
    path = tmp_path / "loss.SVG"
    arguments = ["--plot", str(path), "--rounds", "50", "--update", update, "--json"]
    assert json.loads(fastbp_example(*arguments).out)["plot"] == str(path)
    texts = ElementTree.parse(path).getroot().iter("{http://www.w3.org/2000/svg}text")
    text = {"".join(element.itertext()).strip() for element in texts}
    ends = ["w1 to h1", "w2 to h1", "w3 to h2", "w4 to h2", "w5 to y1", "w6 to y1", "w7 to y2", "w8 to y2"]
    assert {*ends, "Loss E", "Weights", "rounds", "sequential"} <= text
    assert ("simultaneous" in text) == (update == "both")


def test_trajectory_ends_where_training_ends():
    course = example.trajectory("sequential", 10_000, fastbp.SGD(learning_rate=0.5))
    assert course.rounds[[0, -1]].tolist() == [1, 10_000]
    assert 100 < len(course.rounds) <= 200
    assert course.values["E"][0] == pytest.approx(0.29102792390544, rel=1e-12)
    assert course.values["E"][-1] == pytest.approx(3.50847862963135e-05, rel=1e-10)


def test_example_without_a_plot_does_not_load_matplotlib():
    code = "from fastbp.cli import main; main(['example', '--json'])"
    check = "import sys; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", f"{code}; {check}"], check=True, stdout=subprocess.DEVNULL)


def test_rounds_beyond_any_run_are_refused_before_any_work(fastbp_example):
    result = fastbp_example("--rounds", "1" + "0" * 30)
    assert (result.status, result.out) == (2, "")
    assert "and must be from 1 to 1000000000000000000" in result.err


def test_plot_that_cannot_be_written_is_an_error(fastbp_example, tmp_path):
    folder = tmp_path / "folder.png"
    folder.mkdir()
    assert fastbp_example("--plot", str(folder)).err.endswith("cannot be written: that is a folder\n")
    link = tmp_path / "link.png"
    link.symlink_to(tmp_path / "missing" / "loss.png")
    result = fastbp_example("--plot", str(link), "--rounds", "2")
    assert (result.status, result.out) == (2, "")
    assert f"cannot be written: there is no folder '{tmp_path / 'missing'}'" in result.err


def test_divergence_is_status_1(fastbp_example):
    result = fastbp_example("--learning-rate", "1.7e308", "--rounds", "1000")
    assert (result.status, result.out) == (1, "")
    assert re.match(r"fastbp example: step \d+ of \d+ made a parameter or the loss infinite", result.err)


def test_last_line_says_what_to_do_next(fastbp_example):
    last = fastbp_example().out.splitlines()[-1]
    assert last == "Next: fastbp example --steps, or --plot loss.png, or --race"
