"""The progress bar, seen from a terminal."""

import os
import re
import sys
import types

import pytest

import fastbp
from fastbp.training.progress import ProgressBar, in_notebook, shows_progress
from tests.processes import start
from tests.training.seams import ONE_STEP_A_CHUNK, Seams
from tests.training.tasks import FAST

LONG = """
import sys
import types
import fastbp
progress = {"auto": "auto", "True": True, "False": False}[sys.argv[1]]
network = fastbp.Network([2, 2, 2], seed=0)
options = {"batch_size": 1, "optimizer": fastbp.SGD(0.5), "progress": progress, "seed": 0}
result = fastbp.train(network, [[0.1, 0.2]], [[0.3, 0.4]], steps=30_000_000, **options)
print("loss", result.loss)
"""


def errors_on_a_terminal(progress):
    """Return what a run writes to standard error, a terminal that 100 columns fit on."""
    fcntl, pty, struct, termios = (
        pytest.importorskip(name) for name in ("fcntl", "pty", "struct", "termios")
    )
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    with start(LONG, progress, stderr=theirs) as process:
        os.close(theirs)
        written = b""
        while chunk := _read(ours):
            written += chunk
        assert process.stdout.read().startswith("loss ")
    assert process.returncode == 0
    os.close(ours)
    return written.decode()


def _read(descriptor):
    try:
        return os.read(descriptor, 65536)
    except OSError:  # the other side is closed
        return b""


def test_terminal_shows_steps_speed_time_left_and_loss():
    shown = errors_on_a_terminal("auto")
    assert re.search(r"\r *\d+%\|.*\| [\d.]+M/30\.0M \[\d\d:\d\d<[\d:?]+, .*step/s, loss [\d.e-]+\]", shown)
    assert shown.rstrip().endswith("]")
    assert "100%" in shown


def test_nothing_is_shown_on_a_terminal_if_not_wanted():
    assert "%" not in errors_on_a_terminal("False")


def test_nothing_is_shown_where_no_terminal_is(capsys):
    FAST.train(60)
    assert capsys.readouterr() == ("", "")


def test_bar_is_shown_anywhere_if_told_to(capsys):
    FAST.train(60, progress=True)
    output, errors = capsys.readouterr()
    assert output == ""
    assert "60.0/60.0" in errors


def test_bar_starts_where_a_resumed_run_does(capsys, tmp_path):
    checkpoint = fastbp.Checkpoint(tmp_path)
    FAST.train(70, checkpoint=checkpoint, callbacks=[lambda state: state.epoch == 5 and _interrupt()])
    capsys.readouterr()
    FAST.train(70, checkpoint=checkpoint, progress=True)
    assert "50%" in capsys.readouterr().err.split("\r")[1]


def test_bar_shows_the_loss_of_the_last_epoch():
    shown = []

    class Bar(ProgressBar):
        def update(self, step, loss):
            shown.append((step, loss))

    _, result = FAST.train(60, Seams(ONE_STEP_A_CHUNK, progress=Bar()), callbacks=[id])
    losses = dict(zip(result.history["step"].tolist(), result.history["loss"].tolist(), strict=True))
    later = [(step, loss) for step, loss in shown if step > 7]
    assert len(later) >= 7
    assert [loss for _, loss in later] == [losses[7 * (step // 7)] for step, _ in later]


def _interrupt():
    raise KeyboardInterrupt


class Dead:
    """A terminal that somebody closes after some writes."""

    def __init__(self, writes):
        self.writes = writes

    def isatty(self):
        return True

    def write(self, text):
        self.writes -= 1
        if self.writes < 0:
            raise BrokenPipeError

    def flush(self):
        self.write("")


@pytest.mark.parametrize("writes", range(6))
def test_terminal_that_goes_away_does_not_end_the_run(writes, monkeypatch):
    expected = FAST.train(60)[0].theta.tobytes()
    monkeypatch.setattr(sys, "stderr", Dead(writes))
    assert shows_progress("auto")
    network, result = FAST.train(60, callbacks=[id])
    assert result.stop_reason == "completed"
    assert network.theta.tobytes() == expected


@pytest.mark.parametrize("closed", [None, open(os.devnull)], ids=["none", "closed"])  # noqa: SIM115
def test_without_standard_error_nothing_is_shown(closed, monkeypatch):
    if closed is not None:
        closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    assert not shows_progress("auto")


def test_a_notebook_is_seen_by_its_shell():
    def loaded(shell):
        return {"IPython": types.SimpleNamespace(get_ipython=lambda: shell)}

    assert in_notebook(loaded(type("ZMQInteractiveShell", (), {})()))
    assert not in_notebook(loaded(type("TerminalInteractiveShell", (), {})()))
    assert not in_notebook(loaded(None))
    assert not in_notebook({})


IN_A_NOTEBOOK = """
import fastbp
network = fastbp.Network([2, 2, 2], seed=0)
options = {"batch_size": 1, "optimizer": fastbp.SGD(0.5), "seed": 0}
result = fastbp.train(network, [[0.1, 0.2]], [[0.3, 0.4]], steps=3_000_000, **options)
"""


def test_a_notebook_shows_a_bar():
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(IN_A_NOTEBOOK)])
    nbclient.NotebookClient(notebook, kernel_name="python3").execute()
    (cell,) = notebook.cells
    assert [output.output_type for output in cell.outputs] in (["display_data"], ["stream"])
    assert "3.00M" in str(cell.outputs) or "application/vnd.jupyter.widget-view+json" in str(cell.outputs)
