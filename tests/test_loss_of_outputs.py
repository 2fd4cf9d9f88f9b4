import numpy as np
import pytest

import fastbp
from fastbp import losses
from fastbp.loss_of_outputs import losses_of_outputs

OUTPUTS = {"binary_cross_entropy": "sigmoid", "categorical_cross_entropy": "softmax", "poisson": "softplus"}


@pytest.mark.parametrize("name", losses.NAMES)
def test_losses_of_a_networks_outputs_are_the_networks_losses(name):
    generator = np.random.default_rng(1)
    network = fastbp.Network([3, 4, 3], output_activation=OUTPUTS.get(name, "identity"), loss=name, seed=0)
    X, Y = generator.normal(size=(20, 3)), generator.dirichlet(np.ones(3), 20)
    for targets in [Y, np.arange(20) % 3] if name == "categorical_cross_entropy" else [Y]:
        several = np.stack([network.predict(X), network.predict(X)])
        found = losses_of_outputs(network.loss_name, several, targets)
        assert found == pytest.approx([network.loss(X, targets)] * 2, rel=1e-12)
        weights = np.arange(20) % 4
        repeated = np.repeat(np.arange(20), weights)
        found = losses_of_outputs(network.loss_name, several, targets, weights)
        assert found == pytest.approx([network.loss(X[repeated], targets[repeated])] * 2, rel=1e-12)
