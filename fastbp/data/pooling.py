"""The average of several networks as one network."""

from collections.abc import Sequence

import numpy as np

from fastbp.network import Network
from fastbp.specification import Specification


def average_of(networks: Sequence[Network]) -> Network:
    """Return one network whose output pre-activations are the means of those of several.

    Its hidden layers hold those of the networks side by side, without weights between them. So a model file,
    `fastbp predict` and everything else take it for the one network that it is. Of a regression it is the
    average of the predictions; of classes, the normalised geometric mean of the probabilities: a logarithmic
    opinion pool, Heskes (1998), "Selecting weighting factors in logarithmic opinion pools", NeurIPS 10.

    Parameters
    ----------
    networks : sequence of Network
        At least one; of one specification. The preprocessing is that of the first.

    Examples
    --------
    >>> networks = [Network([2, 3, 3, 1], output_activation="identity", seed=seed) for seed in range(4)]
    >>> X = [[0.1, 0.2], [0.3, -0.4]]
    >>> average = average_of(networks)
    >>> average.layer_sizes
    (2, 12, 12, 1)
    >>> bool(np.allclose(average.predict(X), np.mean([one.predict(X) for one in networks], axis=0)))
    True
    """
    first, k = networks[0], len(networks)
    if k == 1:
        return first
    n_inputs, *hidden, n_outputs = first.layer_sizes
    one = first.specification.as_document()
    sizes = [n_inputs, *(k * size for size in hidden), n_outputs]
    average = Network.from_specification(Specification.from_document(one | {"layer_sizes": sizes}))
    last = len(sizes) - 2
    for layer, W in enumerate(average.weights):
        parts = [network.weights[layer] for network in networks]
        if layer == last:
            W[:] = np.mean(parts, axis=0) if last == 0 else np.concatenate(parts) / k
        elif layer == 0:
            W[:] = np.concatenate(parts, axis=1)
        else:
            n_in, n_out = parts[0].shape
            for i, part in enumerate(parts):
                W[i * n_in : (i + 1) * n_in, i * n_out : (i + 1) * n_out] = part
    for layer, b in enumerate(average.biases):
        of_layer = [network.biases[layer] for network in networks]
        b[:] = np.mean(of_layer, axis=0) if layer == last else np.concatenate(of_layer)
    average.preprocessing = first.preprocessing
    return average
