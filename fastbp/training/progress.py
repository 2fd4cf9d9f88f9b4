"""The progress bar, on a terminal only."""

import sys
import threading
from contextlib import suppress
from typing import Any

GONE = (OSError, ValueError)
"""What is raised by writing to a terminal that does not exist any more. A run goes on nevertheless."""


def shows_progress(progress: bool | str) -> bool:
    """Whether to show a bar: as the option says, and for "auto" if standard error is a terminal."""
    if progress != "auto":
        return bool(progress)
    with suppress(AttributeError, ValueError):  # no standard error, or a closed one
        return sys.stderr.isatty()
    return False


class ProgressBar:
    """Steps, steps a second, the loss and the time left."""

    def __init__(self) -> None:
        self._bar: Any = None

    def start(self, step: int, n_steps: int) -> None:
        """Show the bar, which begins at a step."""
        with suppress(*GONE):
            self._bar = _make_bar(step, n_steps)

    def update(self, step: int, loss: float | None) -> None:
        """Show a step, if the bar is due to be drawn."""
        if self._bar is None:
            return
        try:
            if loss is not None:
                self._bar.set_postfix_str(f"loss {loss:.4g}", refresh=False)
            self._bar.update(step - self._bar.n)
        except GONE:
            self._bar = None

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            with suppress(*GONE):
                self._bar.close()


def _make_bar(step: int, n_steps: int) -> Any:
    from tqdm import tqdm

    class Bar(tqdm):
        """tqdm's bar without its monitor thread, and without its lock between processes."""

        monitor_interval = 0

    Bar.set_lock(threading.RLock())
    return Bar(total=n_steps, initial=step, unit="step", unit_scale=True, dynamic_ncols=True, file=sys.stderr)
