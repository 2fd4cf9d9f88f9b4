# scikit-learn in its fast form: `fit` of MLPClassifier or MLPRegressor. It takes whole epochs, starts from
# given weights by `warm_start`, and does not stop early. Its Adam adds epsilon to sqrt(v) before v is
# corrected, not after; so epsilon is corrected here, once a step, which takes 1 us.
#
# Measured in float32: 4-10-3 in batches of 16, SGD, 46 us a step. Tried and rejected: `partial_fit`, a
# batch a call, which checks its input at each: 25 times as long, and 8 times for 64-128-10 in batches of
# 32, Adam.

import warnings
from itertools import pairwise
from unittest.mock import patch

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor, _multilayer_perceptron
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer

import fastbp
from bench.grid import Workload
from bench.peers import Train, UnavailableError

NAMES = {"sigmoid": "logistic", "tanh": "tanh", "relu": "relu"}


class AdamAsInPyTorch(AdamOptimizer):
    """Adam with its epsilon where PyTorch, JAX's optax and fastbp have it: beside sqrt(v / (1 - beta2^k))."""

    def _get_updates(self, grads):
        stated = self.epsilon
        self.epsilon = stated * np.sqrt(1 - self.beta_2 ** (self.t + 1))
        try:
            return super()._get_updates(grads)
        finally:
            self.epsilon = stated


def prepare(workload: Workload) -> Train:
    if workload.networks > 1:
        raise UnavailableError("one network at a time")
    if workload.bias != "trainable":
        raise UnavailableError("scikit-learn always trains its biases")
    classifies = workload.loss == "categorical_cross_entropy"
    if classifies and workload.layer_sizes[-1] == 2:
        raise UnavailableError("scikit-learn makes one output of two classes")
    if not classifies and workload.output != "identity":
        raise UnavailableError("scikit-learn's regression has linear outputs only")
    X, Y = workload.samples()
    if classifies and len(np.unique(Y)) < workload.layer_sizes[-1]:
        raise UnavailableError("scikit-learn has no output for a class that no sample is of")
    o = workload.optimizer
    options = {
        "hidden_layer_sizes": workload.layer_sizes[1:-1],
        "activation": NAMES[workload.hidden],
        "alpha": 0.0,
        "batch_size": workload.batch_size,
        "learning_rate_init": o.learning_rate,
        "shuffle": False,
        "tol": 0.0,
        "n_iter_no_change": 10**9,
        "warm_start": True,
        "max_iter": 1,
    }
    if isinstance(o, fastbp.Adam):
        options |= {"solver": "adam", "beta_1": o.beta1, "beta_2": o.beta2, "epsilon": o.epsilon}
    else:
        options |= {"solver": "sgd", "momentum": 0.0, "nesterovs_momentum": False}
    estimator = (MLPClassifier if classifies else MLPRegressor)(**options)
    start = workload.starts()[0]
    sizes = list(pairwise(workload.layer_sizes))

    def fit(epochs: int) -> None:
        with (
            warnings.catch_warnings(),
            patch.object(_multilayer_perceptron, "AdamOptimizer", AdamAsInPyTorch),
        ):
            warnings.simplefilter("ignore", ConvergenceWarning)
            estimator.set_params(max_iter=epochs).fit(X, Y)

    fit(1)  # creates the arrays for the initial parameters

    def train(steps: int) -> np.ndarray:
        layers = list(workload.layers(start.copy()))
        estimator.coefs_ = [W for W, _ in layers]
        estimator.intercepts_ = [b for _, b in layers]
        estimator.n_iter_, estimator.t_ = 0, 0
        fit(steps // workload.steps_per_epoch)
        found = zip(estimator.coefs_, estimator.intercepts_, strict=True)
        return workload.flat(
            (W.reshape(n_in, n_out), b) for (W, b), (n_in, n_out) in zip(found, sizes, strict=True)
        )

    return train
