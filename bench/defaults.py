"""What the defaults of `fastbp.fit` reach on real tables, and how they were chosen.

    python -m bench.defaults choose --out FILE.json    the candidates, on the tables that choose
    python -m bench.defaults judge --out FILE.json     the defaults, their options and rivals, on all tables
    python -m bench.defaults page FILE.json FILE.json  the tables of docs/defaults.md, from both

Every score is of four folds: each row is predicted by a fit that has not seen it. What a contender chooses,
it chooses within its training rows. Everything runs in one thread; times are CPU seconds of one fit.
"""

import argparse
import json
import math
import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything else is loaded

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import fastbp
from bench.tables import TABLES, Table
from fastbp.schedules import CosineDecay

FOLDS = 4
PAGE = Path(__file__).parents[1] / "docs" / "defaults.md"

Fit = Callable[[np.ndarray, np.ndarray, bool], Callable[[np.ndarray], np.ndarray]]
"""Takes X, the target and whether it is classes; returns what predicts probabilities, or numbers."""

Found = dict[str, dict[str, dict[str, float]]]
"""Scores by table and contender."""


# --- contenders ------------------------------------------------------------------------------------------


def ours(**options: Any) -> Fit:
    """Return a contender: `fastbp.fit` with some options, which may be functions of the number of rows."""

    def fit(X: np.ndarray, y: np.ndarray, is_classes: bool) -> Callable[[np.ndarray], np.ndarray]:
        settled = {name: value(len(X)) if callable(value) else value for name, value in options.items()}
        if not is_classes:
            settled.pop("label_smoothing", None)
        task = "classification" if is_classes else "regression"
        model = fastbp.fit(X, target=y, task=task, seed=0, threads=1, **settled)
        return model.predict_proba if is_classes else model.predict

    return fit


def theirs(of_classes: Any, of_numbers: Any) -> Fit:
    """Return a contender that is an estimator of scikit-learn, on standardised numbers."""

    def fit(X: np.ndarray, y: np.ndarray, is_classes: bool) -> Callable[[np.ndarray], np.ndarray]:
        from sklearn.compose import TransformedTargetRegressor
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        if is_classes:
            return make_pipeline(StandardScaler(), of_classes()).fit(X, y).predict_proba
        scaled = TransformedTargetRegressor(of_numbers(), transformer=StandardScaler())
        return make_pipeline(StandardScaler(), scaled).fit(X, y).predict

    return fit


def rivals() -> dict[str, Fit]:
    from sklearn import ensemble, linear_model
    from sklearn.model_selection import GridSearchCV
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    alphas = {"alpha": [1e-4, 1e-2, 0.1, 1.0, 10.0]}
    return {
        "logistic regression, ridge": theirs(
            lambda: linear_model.LogisticRegression(max_iter=2000),
            lambda: linear_model.RidgeCV(np.logspace(-3, 3, 13)),
        ),
        "HistGradientBoosting": theirs(
            lambda: ensemble.HistGradientBoostingClassifier(random_state=0),
            lambda: ensemble.HistGradientBoostingRegressor(random_state=0),
        ),
        "scikit-learn's MLP, alpha by grid search": theirs(
            lambda: GridSearchCV(MLPClassifier(random_state=0), alphas, cv=3, scoring="neg_log_loss"),
            lambda: GridSearchCV(MLPRegressor(random_state=0), alphas, cv=3),
        ),
    }


EARLIER = {"hidden": (32,), "epochs": 200, "batch_size": 32, "optimizer": fastbp.Adam()}
"""The defaults before these."""

STOPPING = fastbp.EarlyStopping(20)

OPTIONS: dict[str, dict[str, Any]] = {
    "fastbp.fit": {},
    "earlier defaults": EARLIER,
    "ensemble=4": {"ensemble": 4},
    "ensemble=8": {"ensemble": 8},
    "n_starts=4, validation=0.2": {"n_starts": 4, "validation": 0.2},
    "validation=0.2": {"validation": 0.2},
    "validation=0.2, early stopping": {"validation": 0.2, "early_stopping": STOPPING},
    "validation=0.2, refit": {"validation": 0.2, "refit": True},
    "validation=0.2, early stopping, refit": {"validation": 0.2, "early_stopping": STOPPING, "refit": True},
    "dropout=0.2": {"dropout": 0.2},
    "label_smoothing=0.05": {"label_smoothing": 0.05},
}


def by_cosine(rate: float, decay: Callable[[int], float], epochs: int, batch: int) -> Callable[[int], Any]:
    def optimizer(n: int) -> fastbp.AdamW:
        steps = epochs * math.ceil(n / batch)
        return fastbp.AdamW(CosineDecay(rate, steps=steps), weight_decay=decay(n))

    return optimizer


DECAYS: dict[str, Callable[[int], float]] = {
    "decay 0.1": lambda n: 0.1,
    "decay 0.5": lambda n: 0.5,
    "decay 2": lambda n: 2.0,
    "decay 700 / n, at most 0.7": lambda n: min(0.7, 700 / n),
    "decay 300 / n, at most 1": lambda n: min(1.0, 300 / n),
}


def candidates() -> dict[str, dict[str, Any]]:
    """Return what was compared: widths, decays, epochs, batches, rates, and rows put aside to stop."""
    found: dict[str, dict[str, Any]] = {"earlier defaults": EARLIER}
    for hidden in ((32,), (100,), (200,), (64, 64)):
        for named, decay in DECAYS.items():
            for epochs, batch in ((100, 16), (50, 16), (100, 32), (200, 32)):
                if hidden != (100,) and (epochs, batch) != (100, 16):
                    continue
                name = f"{'-'.join(map(str, hidden))}, {named}, {epochs} epochs of {batch}"
                optimizer = by_cosine(3e-3, decay, epochs, batch)
                found[name] = {
                    "hidden": hidden,
                    "epochs": epochs,
                    "batch_size": batch,
                    "optimizer": optimizer,
                }
    name, decay = "100, decay 700 / n, at most 0.7, 100 epochs of 16", DECAYS["decay 700 / n, at most 0.7"]
    for rate in (1e-3, 1e-2):
        found[f"{name}, rate {rate:g}"] = found[name] | {"optimizer": by_cosine(rate, decay, 100, 16)}
    for activation in ("tanh", "silu"):
        found[f"{name}, {activation}"] = found[name] | {"activation": activation}
    for l2 in (1.0, 4.0):
        options = EARLIER | {"hidden": (100,), "l2": lambda n, l2=l2: l2 / n}
        found[f"100, constant rate, l2 = {l2:g} / n, 200 epochs of 32"] = options
    found[f"{name}, stopped by a fifth of the rows"] = found[name] | {
        "validation": 0.2,
        "early_stopping": STOPPING,
        "optimizer": lambda n: by_cosine(3e-3, decay, 100, 16)(round(0.8 * n)),
    }
    return found


# --- scores ----------------------------------------------------------------------------------------------


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, n_bins: int = 10) -> float:
    """Return the mean distance of confidence and accuracy: Guo, Pleiss, Sun & Weinberger (2017), eq. 3."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    rows = [bins == i for i in range(n_bins)]
    return float(sum(abs(right[one].sum() - confidence[one].sum()) for one in rows) / len(labels))


def scored(table: Table, contenders: dict[str, Fit]) -> dict[str, dict[str, float]]:
    """Return each contender's scores; they take turns, so that a busy machine slows all of them."""
    from sklearn.model_selection import KFold, StratifiedKFold

    X, y = table.rows()
    n_outputs = int(y.max()) + 1 if table.is_classes else 1
    predicted = {name: np.zeros((len(y), n_outputs)) for name in contenders}
    seconds = dict.fromkeys(contenders, 0.0)
    folds = (StratifiedKFold if table.is_classes else KFold)(FOLDS, shuffle=True, random_state=0)
    for training, others in folds.split(X, y):
        for name, fit in contenders.items():
            started = time.process_time()
            predict = fit(X[training], y[training], table.is_classes)
            seconds[name] += (time.process_time() - started) / FOLDS
            predicted[name][others] = predict(X[others]).reshape(len(others), n_outputs)
    scores: dict[str, dict[str, float]] = {}
    for name, outputs in predicted.items():
        if table.is_classes:
            chosen = np.clip(outputs[np.arange(len(y)), y], 1e-15, 1)
            found = {
                "log loss": float(-np.log(chosen).mean()),
                "ece": expected_calibration_error(outputs, y),
            }
        else:
            found = {"r2": float(1 - np.mean((outputs[:, 0] - y) ** 2) / y.var())}
        scores[name] = found | {"seconds": seconds[name]}
    return scores


def measure(contenders: dict[str, Fit], tables: list[Table], out: Path, known: Found) -> None:
    """Write the scores of all contenders on all tables; those that are known are not measured again."""
    warnings.simplefilter("ignore")  # a rival that has not converged is a rival all the same
    warm = tables[0].rows()
    for fit in contenders.values():
        fit(warm[0][:40], warm[1][:40], tables[0].is_classes)  # compiles
    found = {}
    for table in tables:
        before = known.get(table.name, {})
        others = {name: fit for name, fit in contenders.items() if name not in before}
        found[table.name] = scored(table, others) | before
        print(table.name, {name: round(one, 3) for name, one in found[table.name]["fastbp.fit"].items()}
              if "fastbp.fit" in contenders else "", file=sys.stderr, flush=True)  # fmt: skip
        out.write_text(json.dumps(found, indent=1))


# --- the page --------------------------------------------------------------------------------------------


def value_of(scores: dict[str, float]) -> float:
    """Return what is to be small: the log loss, or 1 - R2."""
    return scores["log loss"] if "log loss" in scores else 1 - scores["r2"]


def ranks(found: Found, names: list[str]) -> dict[str, list[float]]:
    """Return the rank of each contender on each table: 1 is the best, and equal ones share theirs."""
    given: dict[str, list[float]] = {name: [] for name in names}
    for scores in found.values():
        values = np.array([round(value_of(scores[name]), 4) for name in names])
        for name, value in zip(names, values, strict=True):
            given[name].append(1 + float((values < value).sum() + ((values == value).sum() - 1) / 2))
    return given


def mean(numbers: list[float]) -> float:
    return sum(numbers) / len(numbers)


def as_table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def summary(found: Found, names: list[str], baseline: str) -> str:
    """Return a table: mean scores, mean rank, and time in those of the baseline."""
    rank = ranks(found, names)
    rows = []
    for name in names:
        of_classes = [scores[name] for scores in found.values() if "ece" in scores[name]]
        of_numbers = [scores[name] for scores in found.values() if "r2" in scores[name]]
        times = [scores[name]["seconds"] / scores[baseline]["seconds"] for scores in found.values()]
        rows.append([
            name,
            f"{mean([one['log loss'] for one in of_classes]):.3f}",
            f"{mean([one['ece'] for one in of_classes]):.3f}",
            f"{mean([one['r2'] for one in of_numbers]):.3f}",
            f"{mean(rank[name]):.2f}",
            f"{math.exp(mean([math.log(one) for one in times])):.2g}",
        ])  # fmt: skip
    return as_table(["", "log loss", "ECE", "R2", "mean rank", "time"], rows)


def each_table(found: Found, names: list[str]) -> str:
    """Return the score of each contender on each table."""
    rows = []
    for table, scores in found.items():
        measured = "log loss" if "log loss" in scores[names[0]] else "r2"
        label = f"{table}, {'log loss' if measured == 'log loss' else 'R2'}"
        rows.append([label, *(f"{scores[name][measured]:.3f}" for name in names)])
    return as_table(["", *names], rows)


def nested(found: Found) -> tuple[str, dict[str, int], float, float]:
    """Return the candidate of the best mean rank, and what choosing gives on tables it has not seen.

    Each table in turn is left out, and gets the candidate that is best on the others.
    """
    names = list(next(iter(found.values())))
    rank = ranks(found, names)
    best = min(names, key=lambda name: mean(rank[name]))
    chosen: dict[str, int] = {}
    log_losses, r2s = [], []
    for i, scores in enumerate(found.values()):
        name = min(names, key=lambda name: sum(rank[name]) - rank[name][i])
        chosen[name] = chosen.get(name, 0) + 1
        (log_losses if "ece" in scores[name] else r2s).append(
            scores[name].get("log loss", scores[name].get("r2"))
        )
    return best, chosen, mean(log_losses), mean(r2s)


def parts(choosing: Found, judged: Found) -> dict[str, str]:
    """Return the tables of the page by name."""
    unseen, earlier = (
        {table.name: judged[table.name] for table in TABLES if table.use == use}
        for use in ("judges", "judged earlier")
    )
    rival_names = ["fastbp.fit", "earlier defaults", *rivals()]
    best, chosen, log_loss, r2 = nested(choosing)
    rank = ranks(choosing, list(next(iter(choosing.values()))))
    order = sorted(rank, key=lambda name: mean(rank[name]))
    some = [
        *order[:10],
        *[name for name in order[10:] if name == "earlier defaults" or order.index(name) % 5 == 0],
    ]
    told = ", ".join(f"{name} ({n})" for name, n in sorted(chosen.items(), key=lambda pair: -pair[1]))
    return {
        "judged": summary(unseen, rival_names, "earlier defaults"),
        "each": each_table(unseen, rival_names),
        "earlier": summary(earlier, rival_names, "earlier defaults"),
        "options": summary(judged, list(OPTIONS), "fastbp.fit"),
        "candidates": summary(choosing, some, "earlier defaults"),
        "nested": (
            f"The best mean rank has: {best}. With each table left out in turn, the choice on the others is: "
            f"{told}. On the tables left out it reaches a mean log loss of {log_loss:.3f} and a mean R2 of "
            f"{r2:.3f}."
        ),
    }


def with_parts(text: str, made: dict[str, str]) -> str:
    """Return the page with each part between its marks."""
    for name, part in made.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n{part}\n{end}{rest.partition(end)[2]}"
    return text


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("choose", "judge"):
        command = commands.add_parser(name)
        command.add_argument("--out", type=Path, required=True)
    command.add_argument("--rivals", type=Path, help="of judge: rivals are not measured again on its tables")
    commands.add_parser("page").add_argument("files", type=Path, nargs=2, help="of choose, and of judge")
    options = parser.parse_args(arguments)
    if options.command == "choose":
        measured = {name: ours(**one) for name, one in candidates().items()}
        measure(measured, [table for table in TABLES if table.use == "chooses"], options.out, {})
    elif options.command == "judge":
        measured = {name: ours(**one) for name, one in OPTIONS.items()} | rivals()
        known = {}
        if options.rivals is not None:
            earlier = json.loads(options.rivals.read_text())
            known = {table: {name: scores[name] for name in rivals()} for table, scores in earlier.items()}
        measure(measured, list(TABLES), options.out, known)
    else:
        choosing, judged = (json.loads(file.read_text()) for file in options.files)
        PAGE.write_text(with_parts(PAGE.read_text(), parts(choosing, judged)))


if __name__ == "__main__":
    main()
