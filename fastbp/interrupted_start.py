"""Ctrl-C while the command `fastbp` starts gives one line, and not a traceback.

Imports take most of a command's first second, before `fastbp.cli.main` can answer to Ctrl-C. So the package
imports this module first.
"""

import os
import sys
from collections.abc import Callable, Sequence
from types import TracebackType

Hook = Callable[[type[BaseException], BaseException, TracebackType | None], object]


def is_command(program: str, command_line: Sequence[str]) -> bool:
    """Return whether a process is the command `fastbp`, or `python -m fastbp`.

    Examples
    --------
    >>> is_command("/usr/bin/fastbp", []), is_command("-m", ["python", "-m", "fastbp", "train"])
    (True, True)
    >>> is_command("train.py", ["python", "train.py", "-m", "fastbp"])
    False
    """
    name = os.path.basename(program).removesuffix(".exe")
    return name == "fastbp" or (program == "-m" and list(command_line[1:3]) == ["-m", "fastbp"])


def hook_for(others: Hook) -> Hook:
    """Return an exception hook that says in a line that Ctrl-C was pressed, and leaves others to `others`."""

    def hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        """Say that Ctrl-C was pressed, or leave the error to the other hook."""
        if issubclass(kind, KeyboardInterrupt):
            print("fastbp: interrupted", file=sys.stderr)
        else:
            others(kind, error, traceback)

    return hook


if is_command(sys.argv[0] if sys.argv else "", sys.orig_argv):
    sys.excepthook = hook_for(sys.excepthook)
