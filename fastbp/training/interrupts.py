"""Ctrl-C: a flag that the loop checks, instead of an exception at any line. How the user's code is called."""

import _signal  # type: ignore[import-not-found]
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

import numpy as np

SIGNALS = tuple(
    int(getattr(signal, name)) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""Signals that stop a run as Ctrl-C does, if Python's handler of Ctrl-C is theirs."""


class Interrupts:
    """Within this context, in the main thread, Ctrl-C only sets `pressed`.

    So it never stops Python code that is half through changing the state of a run. The user's code, such as a
    callback, runs through `call`: there, Ctrl-C raises KeyboardInterrupt at once. If the user has installed a
    handler, it stays. What it raises goes through the loop as any other exception does. The same holds for
    SIGTERM and SIGHUP, if the user has given them Python's own handler of Ctrl-C.

    The loop's own arithmetic with NumPy gives no warnings and raises no errors, whatever the settings: the
    loop looks for infinities itself. The user's code runs with the settings at the time of `keep_settings`.

    The module `signal` wraps the functions of `_signal` to translate enums. The four calls take 26
    microseconds with these wrappers, and 1 without.
    """

    def __init__(self) -> None:
        self._settings: dict[str, Any] | None = None
        self.pressed = False
        self._raises = False
        self._installed: list[int] = []

    def __enter__(self) -> Self:
        if threading.get_ident() == threading.main_thread().ident:
            for number in SIGNALS:
                if _signal.getsignal(number) is signal.default_int_handler:
                    _signal.signal(number, self._handle)
                    self._installed.append(number)
        return self

    def __exit__(self, *_: object) -> None:
        for number in self._installed:
            if _signal.getsignal(number) == self._handle:
                _signal.signal(number, signal.default_int_handler)

    def keep_settings(self) -> None:
        """Run the user's code with NumPy's error handling as it is set now."""
        self._settings = {**np.geterr(), "call": np.geterrcall()}

    @contextmanager
    def in_settings(self) -> Iterator[None]:
        """Apply these settings to all of this context, once for many calls: that saves 2 us a call."""
        settings, self._settings = self._settings, None
        try:
            with np.errstate(**settings or {}):
                yield
        finally:
            self._settings = settings

    def check(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C was pressed, in work that can be left here."""
        if self.pressed:
            raise KeyboardInterrupt

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function of the user. Ctrl-C interrupts it at once."""
        called = function if self._settings is None else np.errstate(**self._settings)(function)
        self._raises = True
        try:
            return called(*arguments)
        finally:
            self._raises = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.pressed = True
        if self._raises:
            raise KeyboardInterrupt
