"""The progress bar, on a terminal only."""

import sys
import threading
from contextlib import suppress
from typing import Any

GONE = (OSError, ValueError)
"""What writing to a terminal raises that is not there any more, which is no reason to end a run."""


def shows_progress(progress: bool | str) -> bool:
    """Whether to show a bar: told so, or "auto" and somebody is watching standard error."""
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
        """Show the bar, at a step."""
        with suppress(*GONE):
            self._bar = _make_bar(step, n_steps)

    def update(self, step: int, loss: float | None) -> None:
        """Show a step, if it is time to."""
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
        """Without a thread that watches the others, and without a lock between processes."""

        monitor_interval = 0

    Bar.set_lock(threading.RLock())
    return Bar(total=n_steps, initial=step, unit="step", unit_scale=True, dynamic_ncols=True, file=sys.stderr)
