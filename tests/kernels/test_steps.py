"""What a kernel counts after steps: the rule that stops training decides as scikit-learn's."""

import inspect

import numpy as np
import pytest
from numba import njit
from sklearn.neural_network import MLPRegressor

from fastbp.engine.layered_run import RULE
from fastbp.kernels import fields
from fastbp.kernels.records import get, job_at, write
from fastbp.kernels.steps import apply_rule

OWN = np.zeros(1)


@njit
def after_epoch(number, array, loss):
    """Apply the rule to the loss of an epoch; return whether training must stop."""
    job = job_at(number, array)
    write(get(job, "totals"), "epoch_loss", loss)
    apply_rule(job)
    return get(job, "has_stopped") != 0


def ours(losses, tolerance, patience):
    """Yield the least loss, the epochs without improvement, and whether training stops, for each epoch."""
    block = np.zeros(len(fields.JOB) + len(fields.BOUNDARY), np.int64)
    numbers, totals = np.zeros(len(fields.NUMBERS)), np.zeros(len(fields.TOTALS))
    block[fields.place("job", "numbers")] = numbers.ctypes.data
    block[fields.place("job", "totals")] = totals.ctypes.data
    numbers[RULE] = patience, tolerance, np.inf, 0
    for loss in losses:
        stops = after_epoch(block.ctypes.data, OWN, loss)
        yield (*numbers[RULE][2:].tolist(), stops)


def theirs(losses, tolerance, patience):
    """Do the same by scikit-learn's own method."""
    estimator = MLPRegressor(tol=tolerance, n_iter_no_change=patience)
    estimator.best_loss_, estimator._no_improvement_count, estimator.loss_curve_ = np.inf, 0, []
    n_others = len(inspect.signature(estimator._update_no_improvement_count).parameters) - 1
    for loss in losses:
        estimator.loss_curve_.append(loss)
        estimator._update_no_improvement_count(False, *[None] * n_others)
        stale = estimator._no_improvement_count
        yield estimator.best_loss_, stale, stale > patience


@pytest.mark.parametrize("tolerance", [0.0, 1e-290, 1e-4, 0.1, 1.0, 1e300, np.inf])
def test_the_rule_is_scikit_learns(tolerance):
    generator = np.random.default_rng(0)
    few = [0.0, 1e-4, 0.1, 0.2, np.nextafter(0.2, 1), 0.3, 1.0, -0.5, 1e308, np.inf, -np.inf, np.nan]
    for patience in (1, 2, 5, np.inf):
        for _ in range(50):
            losses = generator.choice(few, 30).tolist()
            expected = list(theirs(losses, tolerance, patience))
            n_epochs = next((k for k, (_, _, stops) in enumerate(expected, 1) if stops), 30)
            assert list(ours(losses[:n_epochs], tolerance, patience)) == expected[:n_epochs]
