"""What a user of scikit-learn calls, on fastbp and on scikit-learn: fits, small predictions, a search.

    python -m bench.fits CONTENDER      a worker for `bench.fits_session`

A worker reads orders as lines of JSON from standard input, and answers in JSON:

    {"prepare": ROW}                  {}
    {"result": PATH}                  {}; PATH has what both sides must agree on
    {"calibrate": SECONDS}            {"calls": how many take so long}
    {"time": CALLS}                   {"ns": nanoseconds a call}
"""

import json
import os
import sys

# Before anything else is loaded: libraries count the cores once.
if "FASTBP_BENCH_CORES" in os.environ and hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, map(int, os.environ["FASTBP_BENCH_CORES"].split(",")))

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from bench import datasets

OURS, AGAIN, THEIRS, DOUBLE = "fastbp", "fastbp again", "scikit-learn", "fastbp, float64"
CONTENDERS = (OURS, AGAIN, THEIRS, DOUBLE)


class Work(NamedTuple):
    """What is timed, and what both sides must agree on: computed from what the timed call returns."""

    call: Callable[[], Any]
    outcome: Callable[[Any], np.ndarray]


def classifier(contender: str) -> Any:
    """Return the class that a contender is."""
    if contender == THEIRS:
        from sklearn.neural_network import MLPClassifier

        return MLPClassifier
    import fastbp

    return fastbp.MLPClassifier


def trained(estimator: Any) -> np.ndarray:
    """Return the epochs, the last loss and all parameters."""
    parameters = [part.ravel() for part in (*estimator.coefs_, *estimator.intercepts_)]
    return np.concatenate([[estimator.n_iter_, estimator.loss_], *parameters])


def fit(contender: str, data: str, **options: Any) -> Work:
    X, y, _, _ = getattr(datasets, data)()
    cls = classifier(contender)
    return Work(lambda: cls(random_state=0, **options).fit(X, y), trained)


def fit_float32(contender: str, data: str, **options: Any) -> Work:
    """Fit in float32, or the rival in float64; they agree on the rate of right answers, to a tenth."""
    X, y, _, _ = getattr(datasets, data)()
    X = X if contender == DOUBLE else X.astype(np.float32)
    cls = classifier(contender)
    return Work(
        lambda: cls(random_state=0, **options).fit(X, y),
        lambda estimator: np.array([estimator.n_iter_, round(estimator.score(X, y), 1)]),
    )


def search(contender: str) -> Work:
    """Fit 60 small networks: 12 candidates on 5 folds."""
    from sklearn.model_selection import GridSearchCV

    X, y, _, _ = datasets.iris()
    grid = {
        "hidden_layer_sizes": [(5,), (10,), (20,)],
        "alpha": [1e-4, 1e-2],
        "learning_rate_init": [0.01, 0.03],
    }
    estimator = classifier(contender)(batch_size=16, max_iter=50, random_state=0)
    search = GridSearchCV(estimator, grid, cv=5, refit=False)
    return Work(lambda: search.fit(X, y), lambda found: found.cv_results_["mean_test_score"])


def predict_row(contender: str) -> Work:
    X, y, _, _ = datasets.iris()
    estimator = classifier(contender)((10,), solver="lbfgs", max_iter=1000, random_state=0).fit(X, y)
    return Work(lambda: estimator.predict(X[:1]), lambda labels: labels)


def partial_fit(contender: str, data: str, hidden: tuple[int, ...]) -> Work:
    X, y, _, _ = getattr(datasets, data)()
    X, y, classes = X[:32].copy(), y[:32].copy(), np.unique(y)
    estimator = classifier(contender)(hidden, random_state=0).partial_fit(X, y, classes=classes)
    return Work(lambda: estimator.partial_fit(X, y), trained)


@dataclass(frozen=True)
class Row:
    """What is timed.

    Attributes
    ----------
    name : str
    prepare : function
        Takes a contender, and returns what it does.
    rival : str
        The contender that fastbp is compared with.
    tolerance : float
        How far the results may be apart, relative to their size.
    """

    name: str
    prepare: Callable[[str], Work]
    rival: str = THEIRS
    tolerance: float = 1e-8


LONG = {"tol": 0.0, "n_iter_no_change": 10**6}
"""All epochs are trained."""

ROWS = {
    row.name: row
    for row in (
        Row(
            "fit 4-10-3, batch 16, 200 epochs",
            partial(fit, data="iris", hidden_layer_sizes=(10,), batch_size=16, **LONG),
        ),
        Row("fit 64-100-10 with defaults (digits)", partial(fit, data="digits"), tolerance=1e-6),
        Row("fit 784-100-10, 10 epochs", partial(fit, data="mnist_5k", max_iter=10, **LONG)),
        Row(
            "fit 784-512-512-10, 3 epochs",
            partial(fit, data="mnist_5k", hidden_layer_sizes=(512, 512), max_iter=3, **LONG),
        ),
        Row(
            "fit 784-100-10, standardised, 10 epochs",
            partial(fit, data="mnist_5k_standardised", max_iter=10, **LONG),
        ),
        Row("GridSearchCV of 60 fits, 4-5-3 to 4-20-3, batch 16", search),
        Row("predict a row, 4-10-3", predict_row),
        Row("partial_fit on 32 rows, 4-10-3", partial(partial_fit, data="iris", hidden=(10,))),
        Row("partial_fit on 32 rows, 64-100-10", partial(partial_fit, data="digits", hidden=(100,))),
        Row(
            "fit 30-50-2 with lbfgs (breast cancer)",
            partial(fit, data="breast_cancer", hidden_layer_sizes=(50,), solver="lbfgs", max_iter=30),
            tolerance=1e-4,
        ),
        Row(
            "float32: fit 784-100-10, 10 epochs",
            partial(fit_float32, data="mnist_5k", max_iter=10, **LONG),
            rival=DOUBLE,
        ),
        Row(
            "float32: fit 784-512-512-10, 3 epochs",
            partial(fit_float32, data="mnist_5k", hidden_layer_sizes=(512, 512), max_iter=3, **LONG),
            rival=DOUBLE,
        ),
        Row(
            "float32: fit 784-100-10, standardised, 10 epochs",
            partial(fit_float32, data="mnist_5k_standardised", max_iter=10, **LONG),
            rival=DOUBLE,
        ),
        Row(
            "float32: fit 784-512-512-10, standardised, 3 epochs",
            partial(
                fit_float32, data="mnist_5k_standardised", hidden_layer_sizes=(512, 512), max_iter=3, **LONG
            ),
            rival=DOUBLE,
        ),
    )
}
"""Everything that is timed, by name. Without options, an MLPClassifier trains by Adam in batches of 200."""


class Worker:
    """The state between orders: a contender, and what it was prepared to do."""

    def __init__(self, contender: str):
        self._contender = contender
        self._work: Work

    def answer(self, order: dict) -> dict:
        if "prepare" in order:
            self._work = ROWS[order["prepare"]].prepare(self._contender)
            return {}
        if "result" in order:
            np.save(order["result"], self._work.outcome(self._work.call()))
            return {}
        if "calibrate" in order:
            calls, ns = 1, self._time(1)
            while ns * calls < order["calibrate"] * 1e9 / 4:
                calls *= 4
                ns = self._time(calls)
            return {"calls": max(1, round(order["calibrate"] * 1e9 / ns))}
        return {"ns": self._time(order["time"])}

    def _time(self, calls: int) -> float:
        call = self._work.call
        started = time.perf_counter_ns()
        for _ in range(calls):
            call()
        return max(1, time.perf_counter_ns() - started) / calls


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what is printed is no answer
    warnings.simplefilter("ignore")
    worker = Worker(sys.argv[1])
    for line in sys.stdin:
        try:
            answer = worker.answer(json.loads(line))
        except Exception as error:
            answer = {"failed": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
