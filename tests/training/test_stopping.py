"""Why a run stops is a value that is a str, too; that it is to stop now is an exception."""

import json
import pickle
import signal

import pytest

from fastbp import StopReason
from fastbp.training.interrupts import Interrupts
from fastbp.training.stopping import Limits, Stopped
from tests.training.seams import Clock
from tests.training.tasks import FAST


@pytest.mark.parametrize("reason", StopReason)
def test_reason_is_its_word_wherever_a_str_is_taken(reason):
    word = reason.value
    assert reason == word
    assert {word: 1}[reason] == 1
    assert (str(reason), f"{reason}", repr(reason)) == (word, word, repr(word))
    assert json.dumps([reason]) == json.dumps([word])
    assert pickle.loads(pickle.dumps(reason)) is reason


def test_result_has_a_reason():
    _, result = FAST.train(3)
    assert result.stop_reason is StopReason.COMPLETED
    assert "stop_reason='completed'" in repr(result)


def test_run_can_go_on_after_ctrl_c_and_a_time_limit_alone():
    assert [reason for reason in StopReason if not reason.is_final] == ["interrupted", "max_seconds"]


def test_time_limit_and_ctrl_c_stop_what_asks():
    clock = Clock()
    with Interrupts() as interrupts:
        limits = Limits(interrupts, clock)
        clock.now = 1e9
        limits.check()  # no limit
        limits.deadline = 2e9
        limits.check()
        clock.now = 2e9
        assert limits.is_over()
        with pytest.raises(Stopped):
            limits.check()
        clock.now = 0.0
        assert not limits.is_over()
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(Stopped):
            limits.check()
