"""An option of `fastbp.train` is declared once; its signature, resuming and the shell agree with that."""

import inspect
import re
from dataclasses import fields

import pytest

import fastbp
from fastbp import Checkpoint, CheckpointError
from fastbp.engine.kernel_options import KernelOptions
from fastbp.training.keeping import DESCRIBED_OTHERWISE, describe
from fastbp.training.monitoring import MonitoringOptions
from tests.training.tasks import FAST

NOT_OPTIONS = {"network", "X", "Y", "kernel"}
"""Parameters of `train` that are not declared as options: a description has each in another form."""

OPTIONS = {
    option.name: option
    for kind in (KernelOptions, MonitoringOptions)
    for option in fields(kind)
    if "decides_result" in option.metadata
}


def described():
    """Return the names in the description of a run."""
    X, Y = FAST.data()
    options = KernelOptions(len(X), steps=1, **FAST.options)
    run = fastbp.training.make_run("auto", FAST.make(), X, Y, options)
    return describe(run, FAST.make().specification, (X, Y), options, MonitoringOptions()).keys()


def test_signature_of_train_has_the_declared_options_with_their_defaults():
    parameters = inspect.signature(fastbp.train).parameters
    assert parameters.keys() - NOT_OPTIONS == OPTIONS.keys()
    for name, option in OPTIONS.items():
        assert parameters[name].kind == inspect.Parameter.KEYWORD_ONLY
        if name == "optimizer":
            assert parameters[name].default is inspect.Parameter.empty
        else:
            assert parameters[name].default == option.default
    assert parameters["kernel"].default == "auto"


@pytest.mark.parametrize("name", OPTIONS)
def test_option_says_whether_it_decides_the_result_and_is_described_if_so(name):
    decides = OPTIONS[name].metadata["decides_result"]
    assert (DESCRIBED_OTHERWISE.get(name, name) in described()) == decides


def test_every_option_is_in_the_docstring_of_train():
    documented = inspect.getdoc(fastbp.train)
    for name in OPTIONS:
        assert re.search(rf"^[a-z_, ]*\b{name}\b[a-z_, ]* : ", documented, re.MULTILINE)


def test_options_that_do_not_decide_the_result_may_change_when_a_run_is_resumed(tmp_path):
    def interrupt(state):
        raise KeyboardInterrupt

    FAST.train(50, checkpoint=Checkpoint(tmp_path), callbacks=[interrupt])
    others = {
        "callbacks": [id],
        "checkpoint": Checkpoint(tmp_path, every=3, keep=1),
        "resume": True,
        "max_seconds": 1000.0,
        "progress": False,
        "threads": 1,
    }
    free = {name for name, option in OPTIONS.items() if not option.metadata["decides_result"]}
    assert others.keys() == free
    network, _ = FAST.train(50, **others)
    assert network.theta.tobytes() == FAST.train(50)[0].theta.tobytes()
    with pytest.raises(CheckpointError):
        FAST.train(49, checkpoint=Checkpoint(tmp_path))
