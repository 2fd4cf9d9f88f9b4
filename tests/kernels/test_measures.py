"""The metrics in compiled code: the bits of NumPy, and the numbers of scikit-learn, for any outputs."""

import numpy as np
import pytest
from numba import njit
from sklearn import metrics as peer

from fastbp.engine.words import Words
from fastbp.kernels import measures
from fastbp.kernels.measures import EACH, LARGEST, MAE, R2, RMSE
from fastbp.kernels.records import record_at
from fastbp.training import metrics
from fastbp.training.metrics import Decisions

ROWS = [1, 2, 7, 8, 9, 100, 127, 128, 129, 255, 1000, 1025, 5003]
"""NumPy adds up to 8 numbers, up to 128, and more of them, in different ways."""


def adds_blocks() -> bool:
    """Whether this NumPy adds blocks of 8,192 numbers, as version 2.0 does."""
    rows = np.random.default_rng(0).random((20, 10_006))
    return all(row.sum() == row[:8192].sum() + row[8192:].sum() for row in rows)


MOST = 8192 if adds_blocks() else max(ROWS) * 8
"""The most distances that NumPy adds as the latest versions do."""

OF_NUMBERS = {R2: (metrics.r2, peer.r2_score), MAE: (metrics.mae, peer.mean_absolute_error)}
OF_NUMBERS[RMSE] = metrics.rmse, peer.root_mean_squared_error


@njit
def measured_at(address, code, unused):
    return measures.measured(record_at("watch", address, unused), code)


def measured(code, Y, outputs, decisions=None):
    """Return what compiled code says of targets, or of class labels, and outputs."""
    n, columns = outputs.shape
    of_metric = {"targets": Y, "spread": metrics.spread_of(Y)} if decisions is None else {}
    if decisions is not None:
        of_metric["truth"] = np.ascontiguousarray(decisions.classes(Y), np.int64)
        of_metric["threshold"] = np.array([decisions.threshold])
    scratch = np.full((n + 1) * columns, np.nan)
    words = Words(
        "watch",
        outputs.dtype,
        n_evaluated=n,
        n_outputs=columns,
        outputs=outputs,
        scratch=scratch,
        **of_metric,
    )
    return measured_at(words.address, code, np.empty((0, 1), outputs.dtype))


def is_same(found, expected):
    return np.float64(found).tobytes() == np.float64(expected).tobytes() or np.isnan([found, expected]).all()


def spoilt(generator, outputs):
    """Write a few NaN, infinities and large numbers among outputs."""
    flat = outputs.reshape(-1)
    places = generator.integers(flat.size, size=3)
    flat[places] = generator.choice([np.nan, np.inf, -np.inf, 1e30, -0.0], 3)
    return outputs


# --- accuracy --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_largest_output_decides_as_numpys(dtype):
    generator = np.random.default_rng(0)
    for n in ROWS:
        for columns in (2, 3, 10):
            outputs = generator.integers(0, 4, (n, columns)).astype(dtype)  # many are equal
            labels = generator.integers(0, columns, n)
            found = measured(LARGEST, labels, outputs, Decisions(True))
            assert found == peer.accuracy_score(labels, outputs.argmax(axis=1))
            assert measured(LARGEST, np.zeros(n, int), outputs, Decisions(True)) == np.mean(
                outputs.argmax(axis=1) == 0
            )
            outputs = spoilt(generator, outputs)
            found = measured(LARGEST, labels, outputs, Decisions(True))
            assert is_same(found, metrics.accuracy(Decisions(True), labels, outputs))
            one_hot = np.eye(columns, dtype=dtype)[labels]
            assert measured(LARGEST, one_hot, outputs, Decisions(True)) == found


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_outputs_that_decide_for_themselves_do_so_from_the_threshold_on(dtype):
    generator = np.random.default_rng(1)
    for n in ROWS:
        for low, columns in ((0, 1), (-1, 1), (0, 3), (-1, 5), (0.1, 2)):
            decisions = Decisions(False, (low + 1) / 2)
            Y = generator.choice([low, 1], (n, columns)).astype(dtype)
            outputs = generator.uniform(low, 1, (n, columns)).astype(dtype)
            outputs[generator.random((n, columns)) < 0.1] = decisions.threshold
            for targets in (Y, np.full_like(Y, 1), np.full_like(Y, low)):
                found = measured(EACH, targets, outputs, decisions)
                true, said = (
                    (targets == 1).ravel(),
                    (outputs >= outputs.dtype.type(decisions.threshold)).ravel(),
                )
                assert found == pytest.approx(peer.accuracy_score(true, said), rel=1e-15)
                assert is_same(found, metrics.accuracy(decisions, targets, outputs))
            outputs = spoilt(generator, outputs)
            assert is_same(measured(EACH, Y, outputs, decisions), metrics.accuracy(decisions, Y, outputs))


# --- numbers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("code", OF_NUMBERS)
def test_metrics_of_numbers_are_numpys_to_the_bit_and_scikit_learns(code, dtype):
    own, others = OF_NUMBERS[code]
    generator = np.random.default_rng(2)
    for n in ROWS:
        for columns in (1, 2, 3, 8):
            Y = (generator.normal(size=(n, columns)) * 10.0 ** generator.uniform(-3, 3)).astype(dtype)
            outputs = (Y + generator.normal(size=Y.shape) * 10.0 ** generator.uniform(-6, 2)).astype(dtype)
            found = measured(code, Y, outputs)
            assert Y.size > MOST or is_same(found, own(Y, outputs))
            if n > 1 or code != R2:  # scikit-learn's of one sample is NaN
                wide = Y.astype(float), outputs.astype(float)
                assert found == pytest.approx(others(*wide), rel=1e-12, abs=1e-12)
            assert is_same(measured(code, Y, Y.copy()), 1.0 if code == R2 else 0.0)
            outputs = spoilt(generator, outputs)
            assert Y.size > MOST or is_same(measured(code, Y, outputs), own(Y, outputs))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_r2_of_constant_targets_is_one_or_zero(dtype):
    generator = np.random.default_rng(3)
    for n in ROWS[1:]:
        Y = np.repeat(np.array([[0.0, 3.0, -2.5]], dtype), n, axis=0)
        outputs = Y + generator.normal(size=Y.shape).astype(dtype)
        outputs[:, 1] = 3.0
        wide = Y.astype(float), outputs.astype(float)
        assert measured(R2, Y, outputs) == pytest.approx(1 / 3) == peer.r2_score(*wide)
        Y[:, 0] = generator.normal(size=n)
        assert measured(R2, Y, outputs) == pytest.approx(peer.r2_score(Y.astype(float), wide[1]), rel=1e-12)
        assert is_same(measured(R2, Y, outputs), metrics.r2(Y, outputs))
