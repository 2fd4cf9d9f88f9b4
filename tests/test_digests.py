"""The bits that are stored for this kind of processor, in a few configurations; `make digests` has all."""

from dataclasses import replace

import numpy as np
import pytest

import fastbp
from fastbp import SGD, activations
from fastbp.optimizers import Optimizer
from tests import digests
from tests.every_loss import EVERY_LOSS

FEW = (
    "fused222, float64, bias trainable",
    "fused222, float32, exact",
    "online, narrow, float64, (2, 4, 1), tanh",
    "online, float32, wide, labels",
    "layered, all at once",
    "groups, float64, threads 3",
    "resumed",
)

KNOWN = digests.stored()

stored_here = pytest.mark.skipif(
    KNOWN is None or KNOWN["made_with"]["elementary functions"] != digests.elementary_functions(),
    reason="no digests are stored for this kind of processor and these libraries",
)


@stored_here
@pytest.mark.parametrize("name", FEW)
def test_results_have_the_bits_that_are_stored(name):
    assert digests.digests(digests.CONFIGURATIONS[name]) == KNOWN["configurations"][name]


@stored_here
def test_a_rate_that_is_other_in_its_last_bit_is_seen(capsys):
    configuration = digests.CONFIGURATIONS["online, (5, 9, 3), in order"]
    other = replace(configuration, options=configuration.options | {"optimizer": SGD(np.nextafter(0.1, 1))})
    assert digests.compare({other.name: digests.digests(other)}) == 1
    printed = capsys.readouterr().out
    assert f"{other.name}: other bits in theta" in printed
    assert "0 of 1 configurations have the same bits" in printed


def test_one_bit_of_an_array_is_seen():
    array = np.linspace(0, 1, 100)
    before = digests.digest(array)
    array[50] = np.nextafter(array[50], 1)
    assert digests.digest(array) != before
    assert digests.digest(np.array([0.0])) != digests.digest(np.array([-0.0]))


def test_what_is_stored_has_no_differences_and_a_missing_file_is_said(tmp_path, capsys):
    name = FEW[0]
    assert digests.main(["--only", name], folder=tmp_path) == 1
    assert "nothing is stored for this kind of processor" in capsys.readouterr().out
    digests.store({name: digests.digests(digests.CONFIGURATIONS[name])}, folder=tmp_path)
    assert digests.main(["--only", name], folder=tmp_path) == 0
    assert "1 of 1 configurations have the same bits" in capsys.readouterr().out


def test_everything_that_has_a_name_is_among_the_configurations():
    configurations = digests.CONFIGURATIONS.values()
    networks = [configuration.make() for configuration in configurations]
    assert {name for network in networks for name in network.hidden_activations} == set(activations.HIDDEN)
    assert {network.output_activation for network in networks} == set(activations.OUTPUT)
    assert {network.loss_name for network in networks} == set(EVERY_LOSS)
    kinds = {type(configuration.options["optimizer"]) for configuration in configurations}
    assert kinds == {kind for kind in vars(fastbp).values() if is_optimizer(kind)}


def is_optimizer(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Optimizer)
