"""Calls in other threads: what a signal handler raises in the main thread can neither tear nor lose them.

Python runs signal handlers in the main thread, between any two of its operations, and what a handler raises,
such as Ctrl-C's KeyboardInterrupt, ends whatever is at work there. Libraries that keep memory of their own
do not bear that everywhere: LLVM's bindings may free a string twice, and Numba may be left with a lock. So
such work is done in a thread of its own, where no handler runs.

Threads are started anew for every call, 22 us each. A pool would have to be ended, and renewed after a fork.
"""

import _imp
import _thread
import threading
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")

LOOK = 0.05
"""Seconds after which a thread that waits looks once more: a handler may have taken the news of the end."""


class Abandoned(BaseException):
    """Ends a call whose result nobody waits for any more."""


class Call:
    """A function call, done once at most, in whichever thread comes first."""

    def __init__(self, function: Callable[..., Any], *arguments: Any):
        self._work: Any = (function, arguments)
        self._claim, self._end = _thread.allocate_lock(), _thread.allocate_lock()
        self._end.acquire()
        self.is_done = self.is_abandoned = False
        self.result: Any = None
        self.error: BaseException | None = None

    def start(self) -> bool:
        """Let a new thread do it; return False if there is no thread to be had, as when Python ends."""
        try:
            _thread.start_new_thread(self.run, ())
        except RuntimeError:
            return False
        return True

    def run(self) -> None:
        """Do it in this thread, unless it is done elsewhere."""
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
        """Do nothing, if nobody has begun."""
        if self._claim.acquire(blocking=False):
            self.is_done = True

    def wait(self) -> None:
        """Wait for the end; a signal handler may raise here, and then the call goes on."""
        while not self.is_done:
            self._end.acquire(timeout=LOOK)


_present = threading.local()
"""The `Call` that a thread is at."""


def undisturbed(function: Callable[..., Result], *arguments: Any) -> Result:
    """Call a function, and let nothing that a signal handler raises come in between.

    What a handler raises meanwhile comes out when the function has ended, which `end_if_abandoned` hastens.
    In other threads than the main one the function is simply called, as no handler runs there.
    """
    if threading.current_thread() is not threading.main_thread():
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
        raised = None  # else a cycle: of an error, its traceback, and this frame


def _free_import_lock() -> None:
    """Give back the interpreter's import lock, if an import that was torn in this thread has left it taken.

    Ctrl-C may strike where ``importlib`` has just taken it. The next import of another thread, and so of a
    call, would wait for it for ever.
    """
    while _imp.lock_held():
        try:
            _imp.release_lock()
        except RuntimeError:  # another thread has it, which is at an import
            return


def end_if_abandoned() -> None:
    """Leave a call of `undisturbed` here, if its caller only waits for its end."""
    call = getattr(_present, "call", None)
    if call is not None and call.is_abandoned:
        raise Abandoned
