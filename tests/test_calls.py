import _imp
import _thread
import os
import signal
import threading
import time

import pytest

from fastbp.calls import Abandoned, end_if_abandoned, undisturbed

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="signals are raised by a timer")


def press():
    os.kill(os.getpid(), signal.SIGINT)


def wait_to_be_abandoned():
    while True:
        end_if_abandoned()
        time.sleep(0.001)


def test_result_and_error_come_through():
    assert undisturbed(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        undisturbed(divmod, 7, 0)


def test_work_is_done_in_a_thread_where_no_handler_runs():
    assert undisturbed(threading.get_ident) != threading.get_ident()


def test_a_call_inside_a_call_leaves_no_record_of_its_thread():
    before = threading.enumerate()
    assert undisturbed(undisturbed, divmod, 7, 2) == (3, 1)
    assert threading.enumerate() == before


def test_ctrl_c_waits_for_the_end():
    seen = []

    def work():
        press()
        time.sleep(0.01)
        seen.append("end")

    with pytest.raises(KeyboardInterrupt):
        undisturbed(work)
    assert seen == ["end"]


def test_ctrl_c_ends_what_can_be_left():
    def work():
        press()
        wait_to_be_abandoned()

    with pytest.raises(KeyboardInterrupt):
        undisturbed(work)


def test_pressing_often_changes_nothing():
    seen = []

    def work():
        for _ in range(20):
            press()
            time.sleep(0.001)
        seen.append("end")

    with pytest.raises(KeyboardInterrupt):
        undisturbed(work)
    assert seen == ["end"]


def test_ctrl_c_counts_more_than_an_error():
    def work():
        press()
        try:
            wait_to_be_abandoned()
        except Abandoned:
            raise ValueError from None

    with pytest.raises(KeyboardInterrupt):
        undisturbed(work)


def test_work_is_done_once_however_often_a_handler_raises_around_its_start():
    """A timer of 2 to 51 us strikes anywhere in Python's part of a call.

    A signal may arrive after its timer was stopped, so the handler raises only during the call.
    """
    is_armed = False

    def ring(*_):
        nonlocal is_armed
        if is_armed:
            is_armed = False
            raise TimeoutError

    previous, rang = signal.signal(signal.SIGALRM, ring), 0
    try:
        for i in range(2000):
            done = []
            try:
                is_armed = True
                signal.setitimer(signal.ITIMER_REAL, 2e-6 + i % 50 * 1e-6)
                undisturbed(done.append, i)
                is_armed = False
            except TimeoutError:
                rang += 1
            assert done in ([], [i])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        time.sleep(0.05)  # for a signal that is on its way; without a handler it would end the process
        signal.signal(signal.SIGALRM, previous)
    assert rang > 0


def test_handler_that_raises_what_a_missing_thread_raises_is_heard():
    def ring(*_):
        raise RuntimeError("of the handler")

    previous = signal.signal(signal.SIGALRM, ring)
    try:
        with pytest.raises(RuntimeError, match="of the handler"):
            undisturbed(lambda: os.kill(os.getpid(), signal.SIGALRM) or time.sleep(0.01))
    finally:
        signal.signal(signal.SIGALRM, previous)


def test_other_threads_do_the_work_themselves():
    seen = []
    thread = threading.Thread(target=lambda: seen.append(undisturbed(threading.get_ident)))
    thread.start()
    thread.join()
    assert seen == [thread.ident]


def test_without_threads_the_work_is_done_here(monkeypatch):
    def refuse(*_):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    assert undisturbed(threading.get_ident) == threading.get_ident()


def test_nothing_is_left_of_a_call():
    import gc
    import weakref

    class Result:
        pass

    def fail(result):
        raise ValueError

    gc.disable()
    try:
        result = Result()
        left = weakref.ref(result)
        assert undisturbed(lambda given: given, result) is result
        with pytest.raises(ValueError):  # noqa: PT011
            undisturbed(fail, result)
        del result
        assert left() is None
    finally:
        gc.enable()


def test_an_import_that_was_torn_does_not_hold_up_the_call():
    """Importlib takes the interpreter's import lock just before the block that gives it back."""

    def import_a_module():
        _imp.acquire_lock()
        _imp.release_lock()
        return "imported"

    for times in (1, 2):
        for _ in range(times):
            _imp.acquire_lock()
        assert undisturbed(import_a_module) == "imported"
        assert not _imp.lock_held()
