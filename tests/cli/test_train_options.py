"""Every option of `fastbp.train` has its options of the shell, or a reason why it has none."""

import argparse
import inspect

import pytest

import fastbp
from fastbp.cli.train_options import DEFAULTS, GIVEN_BY, NOT_GIVEN, add_arguments

PARAMETERS = inspect.signature(fastbp.train).parameters

OF_THE_SHELL = {"--config", "--plot", "--json", "--help"}
"""Options that give nothing to `fastbp.train`."""


@pytest.fixture(scope="module")
def declared():
    """The options of the shell, and its positional argument."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return {action.option_strings[-1] if action.option_strings else action.dest for action in parser._actions}


def test_every_parameter_of_train_says_how_the_shell_gives_it_or_why_not():
    assert GIVEN_BY.keys().isdisjoint(NOT_GIVEN)
    assert GIVEN_BY.keys() | NOT_GIVEN.keys() == PARAMETERS.keys()
    assert all(NOT_GIVEN.values())


def test_every_option_of_the_shell_gives_something(declared):
    giving = {option for options in GIVEN_BY.values() for option in options}
    assert giving | OF_THE_SHELL == declared


def test_every_option_has_a_default_but_those_that_must_be_given(declared):
    names = {option.strip("-").replace("-", "_") for option in declared}
    assert names - DEFAULTS.keys() == {"data", "config", "help"}
    assert DEFAULTS.keys() <= names


@pytest.mark.parametrize("name", ["l2", "dropout", "max_seconds"])
def test_defaults_of_the_shell_are_those_of_train_where_one_option_is_the_other(name):
    assert DEFAULTS[name] == PARAMETERS[name].default
