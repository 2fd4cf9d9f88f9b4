"""Calls in other threads, which no exception of a signal handler can interrupt.

Python runs signal handlers in the main thread, between any two of its operations, and an exception of a
handler, such as KeyboardInterrupt after Ctrl-C, ends whatever runs there. Some libraries cannot be
interrupted everywhere: LLVM's bindings may free a string twice, and Numba may keep a lock. Such work runs in
a thread of its own, where no handler runs.

Every call starts a new thread, which takes 22 us. A pool would have to be closed, and renewed after a fork.
"""

import _imp
import _thread
import threading
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")

LOOK = 0.05
"""Seconds after which a waiting thread checks again: a handler's exception may hide the end of the call."""


class Abandoned(BaseException):
    """Ends a call whose result is no longer needed."""


class Call:
    """A function call, made at most once, in the first thread that begins it."""

    def __init__(self, function: Callable[..., Any], *arguments: Any):
        self._work: Any = (function, arguments)
        self._claim, self._end = _thread.allocate_lock(), _thread.allocate_lock()
        self._end.acquire()
        self.is_done = self.is_abandoned = False
        self.result: Any = None
        self.error: BaseException | None = None

    def start(self) -> bool:
        """Make the call in a new thread; return False if no thread can start, as when Python exits."""
        try:
            _thread.start_new_thread(self.run, ())
        except RuntimeError:
            return False
        return True

    def run(self) -> None:
        """Make the call in this thread, unless another thread has begun it."""
        if not self._claim.acquire(blocking=False):
            return
        function, arguments = self._work
        _present.call = self
        try:
            self.result = function(*arguments)
        except BaseException as error:
            self.error = error
        finally:
            _present.call = None
            self._work = function = arguments = None
            self.is_done = True
            self._end.release()

    def cancel(self) -> None:
        """Cancel the call, if no thread has begun it."""
        if self._claim.acquire(blocking=False):
            self.is_done = True

    def wait(self) -> None:
        """Wait for the end of the call. If a signal handler raises here, the call continues."""
        while not self.is_done:
            self._end.acquire(timeout=LOOK)


_present = threading.local()
"""The `Call` that a thread is making."""


def undisturbed(function: Callable[..., Result], *arguments: Any) -> Result:
    """Call a function that no exception of a signal handler can interrupt.

    An exception of a handler is raised after the function has ended; `end_if_abandoned` makes it end sooner.
    In threads other than the main one, the function is simply called, because no handler runs there.
    """
    # In the thread of a `Call`, `threading.current_thread` would make a record that stays.
    if threading.get_ident() != threading.main_thread().ident:
        return function(*arguments)
    _free_import_lock()
    call = Call(function, *arguments)
    raised: BaseException | None = None
    while not call.is_done:
        try:
            if not call.start():
                call.run()
            call.wait()
        except BaseException as error:
            raised = raised or error
            call.is_abandoned = True
    raised, call.error = raised or call.error, None
    try:
        if raised:
            raise raised
        return call.result
    finally:
        raised = None  # else a reference cycle: error, traceback, this frame


def _free_import_lock() -> None:
    """Release the interpreter's import lock, if an interrupted import of this thread still holds it.

    Ctrl-C may come just after ``importlib`` has taken it. The next import in another thread, and so in a
    call, would wait for ever.
    """
    while _imp.lock_held():
        try:
            _imp.release_lock()
        except RuntimeError:  # another thread holds it, for an import
            return


def end_if_abandoned() -> None:
    """End a call of `undisturbed` here, if its result is no longer needed."""
    call = getattr(_present, "call", None)
    if call is not None and call.is_abandoned:
        raise Abandoned
