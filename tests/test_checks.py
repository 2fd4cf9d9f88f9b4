"""Targets that no output can come to; what else `fastbp.checks` does is tested where it is used."""

import warnings

import numpy as np
import pytest

import fastbp
from fastbp import SGD, Network, TargetWarning, activations

OUT_OF_REACH = {
    "sigmoid": (-0.01, 1.01),
    "tanh": (-1.01, 1.01),
    "softmax": (-0.01, 1.01),
    "relu": (-0.01,),
    "softplus": (-0.01,),
    "exp": (-0.01,),
    "elu": (-1.01,),
    "gelu": (-0.18,),
    "silu": (-0.28,),
}


@pytest.mark.parametrize("output", activations.OUTPUT)
def test_targets_out_of_reach_are_warned_of_before_training(output):
    network = Network([2, 2], output_activation=output, seed=0)
    activation = activations.TABLE[activations.CODES[output]]
    reached = [max(activation.lowest, -1e3), min(activation.highest, 1e3)]
    options = {"epochs": 1, "optimizer": SGD(1e-9)}
    with warnings.catch_warnings():
        warnings.simplefilter("error", TargetWarning)
        fastbp.train(network, np.eye(2), [reached, reached], **options)
        for target in OUT_OF_REACH.get(output, ()):
            before = network.theta.copy()
            with pytest.raises(
                TargetWarning, match=f"and {output} outputs .*: scale Y, or take output_activ"
            ):
                fastbp.train(network, np.eye(2), [[0.5, 0.5], [0.5, target]], **options)
            assert (network.theta == before).all()


def test_no_output_is_beyond_what_the_table_says():
    z = np.linspace(-40, 40, 200_001)[:, None]
    for activation in activations.TABLE:
        if activation.name == "softmax":
            continue
        network = Network([1, 1], output_activation=activation.name, seed=0)
        network.weights[0][:] = 1
        outputs = network.predict(z)
        assert activation.lowest - 1e-15 <= outputs.min() <= max(activation.lowest, -0.4) + 1e-8
        assert outputs.max() <= activation.highest
