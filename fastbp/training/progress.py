"""The progress bar, on a terminal or in a notebook."""

import sys
import threading
import warnings
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

GONE = (OSError, ValueError)
"""What is raised by writing to a terminal that does not exist any more. A run goes on nevertheless."""


def shows_progress(progress: bool | str) -> bool:
    """Whether to show a bar: as the option says, and for "auto" on a terminal and in a notebook."""
    if progress != "auto":
        return bool(progress)
    if in_notebook():
        return True
    with suppress(AttributeError, ValueError):  # no standard error, or a closed one
        return sys.stderr.isatty()
    return False


def in_notebook(loaded: Mapping[str, Any] = sys.modules) -> bool:
    """Whether the program runs in a notebook, as far as the loaded modules tell."""
    ipython = loaded.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and type(shell).__name__ == "ZMQInteractiveShell"


class ProgressBar:
    """Steps, steps a second, the loss and the time left.

    Parameters
    ----------
    what : str
        The word before the loss.
    unit : str
        What is counted.
    """

    def __init__(self, what: str = "loss", unit: str = "step") -> None:
        self._what, self._unit = what, unit
        self._bar: Any = None

    def start(self, step: int, n_steps: int) -> None:
        """Show the bar, which begins at a step."""
        with suppress(*GONE):
            self._bar = _make_bar(step, n_steps, self._unit)

    def update(self, step: int, loss: float | None) -> None:
        """Show a step, if the bar is due to be drawn."""
        if self._bar is None:
            return
        try:
            if loss is not None:
                self._bar.set_postfix_str(f"{self._what} {loss:.4g}", refresh=False)
            self._bar.update(step - self._bar.n)
        except GONE:
            self._bar = None

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            with suppress(*GONE):
                self._bar.close()


def _bar_type() -> Any:
    """Return tqdm's bar for a notebook, or for a terminal."""
    from tqdm import TqdmExperimentalWarning, TqdmWarning, tqdm

    if not in_notebook():
        return tqdm
    with warnings.catch_warnings():
        for category in (TqdmExperimentalWarning, TqdmWarning):  # without ipywidgets, it is a line of text
            warnings.simplefilter("ignore", category)
        from tqdm.autonotebook import tqdm as notebook_bar
    return notebook_bar


def _make_bar(step: int, n_steps: int, unit: str) -> Any:
    class Bar(_bar_type()):  # type: ignore[misc]
        """tqdm's bar without its monitor thread, and without its lock between processes."""

        monitor_interval = 0

    Bar.set_lock(threading.RLock())
    return Bar(total=n_steps, initial=step, unit=unit, unit_scale=True, dynamic_ncols=True, file=sys.stderr)
