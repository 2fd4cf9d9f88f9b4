import signal
import threading

import pytest

from fastbp.training.interrupts import Interrupts


def press():
    signal.raise_signal(signal.SIGINT)


def test_ctrl_c_is_a_flag_inside_and_an_exception_outside():
    with Interrupts() as interrupts:
        interrupts.check()
        press()
        press()
        assert interrupts.pressed
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()
    with pytest.raises(KeyboardInterrupt):
        press()


def test_ctrl_c_is_an_exception_in_code_of_the_users():
    with Interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt):
            interrupts.call(press)
        assert interrupts.pressed
        interrupts.pressed = False
        assert interrupts.call(max, 1, 2) == 2
        press()  # and is a flag again
        assert interrupts.pressed


def test_handler_is_back_after_an_exception():
    with pytest.raises(ZeroDivisionError), Interrupts():
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("handler", [lambda *_: None, signal.SIG_IGN])
def test_handler_of_the_users_is_left_alone(handler):
    previous = signal.signal(signal.SIGINT, handler)
    try:
        with Interrupts() as interrupts:
            press()
            assert signal.getsignal(signal.SIGINT) is handler
        assert not interrupts.pressed
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, previous)


def test_handler_that_is_set_meanwhile_stays():
    def handler(*_):
        pass

    try:
        with Interrupts():
            signal.signal(signal.SIGINT, handler)
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def test_inner_context_leaves_the_outer_one_in_charge():
    with Interrupts() as outer:
        with Interrupts() as inner:
            press()
        press()
        assert (outer.pressed, inner.pressed) == (True, False)


def test_other_threads_cannot_set_a_handler_and_do_not_try():
    seen = []

    def enter():
        with Interrupts():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]
