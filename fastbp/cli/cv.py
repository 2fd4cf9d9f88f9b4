"""Cross-validate a network on a file: how well it does on rows that it was not trained on.

fastbp cv iris.csv --target species --hidden 16 --folds 10 --repeats 5

All folds of all repeats train at once. Means and scales come from the training rows of each fold alone.
"""

import argparse
import math
import sys
import textwrap
import time
from typing import Any

import numpy as np

from fastbp import data
from fastbp.cli.config import with_config
from fastbp.cli.learning_options import (
    add_config,
    add_data,
    add_json,
    adder,
    check_given,
    options_of_rows,
)
from fastbp.cli.scores import Score
from fastbp.cli.stopping_signals import stopped_by_signals
from fastbp.cli.tables import WIDTH, rounded, shown, table
from fastbp.cli.train_options import DEFAULTS as OF_TRAIN
from fastbp.cli.train_options import add_network, add_steps, make_fitting
from fastbp.data.cross_validation import CrossValidation, NetworkAndSteps, cross_validate
from fastbp.data.defaults import Defaults
from fastbp.errors import check_integer
from fastbp.interchange.standard_json import dumps
from fastbp.training.interrupts import Interrupts

__all__ = ["add_arguments", "run"]

LEFT_OUT = ("--validation", "--cache", "--keep")
"""Options of `fastbp train` that say nothing about a cross-validation."""

DEFAULTS: dict[str, Any] = OF_TRAIN | {"folds": 10, "repeats": 1, "dtype": "float32"}

MOST_CLASSES = 20
"""A table of confusion has at most so many columns."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `fastbp cv`. None has a default here, so that --config may have one."""
    add = adder(DEFAULTS | {"batch_size": None}, LEFT_OUT)
    add_data(add, parser)
    group = parser.add_argument_group("the network")
    add_network(add, group)
    add(group, "--dtype", "of all arithmetic", choices=("float64", "float32"))
    group = parser.add_argument_group("training and scoring")
    add(group, "--folds", "each row validates one of so many networks", type=int, metavar="N")
    add(group, "--repeats", "divide the rows anew so many times", type=int, metavar="N")
    add_steps(add, group)
    add(group, "--seed", "the same seed gives the same result", type=int, metavar="N")
    group = parser.add_argument_group("files and output")
    add_config(add, group)
    add_json(add, group)


def run(options: argparse.Namespace) -> int:
    """Run `fastbp cv`; the status is 130 if Ctrl-C, SIGTERM or SIGHUP ended it."""
    options = argparse.Namespace(**(DEFAULTS | vars(with_config(options, add_arguments))))
    check_given(options, "cv")
    for name, least in (("folds", 2), ("repeats", 1), ("epochs", 1), ("seed", 0)):
        if getattr(options, name) is not None:
            check_integer(f"--{name}", getattr(options, name), least)
    fitting = make_fitting(options)
    with stopped_by_signals():
        rows = data.open_rows(
            options.data, target=options.target, dtype=options.dtype, **options_of_rows(options)
        )
        n_training = max(1, len(rows) - len(rows) // options.folds)
        of_train = fitting.options(n_training)
        options.epochs = of_train["epochs"]
        names = ("activation", "loss", "dtype", "epochs", "l2", "dropout", "seed")
        recipe = NetworkAndSteps(
            hidden=Defaults.of(n_training).hidden if options.hidden is None else options.hidden,
            batch_size=of_train["batch_size"],
            optimizer=of_train["optimizer"],
            **{name: getattr(options, name) for name in names},
        )
        started = time.perf_counter()
        with Interrupts() as interrupts:
            result = cross_validate(
                rows,
                recipe,
                folds=options.folds,
                repeats=options.repeats,
                stratify=options.stratify,
                progress="auto",
                is_stopped=lambda: interrupts.pressed,
            )
        seconds = time.perf_counter() - started
    for remark in result.remarks:
        print(f"fastbp cv: {remark}", file=sys.stderr)
    if result.n_diverged:
        text = (
            f"{result.n_diverged} of {options.folds * options.repeats} networks diverged, and have no scores"
        )
        print(f"fastbp cv: {text}; a smaller --learning-rate may help", file=sys.stderr)
    laid_out = _as_json if options.json else _as_text
    print(laid_out(options, result, seconds))
    return 0


def _summary(scores: np.ndarray) -> dict[str, float | None]:
    """Return the mean of the scores of all networks, how far they spread, and the extremes."""
    known = scores[np.isfinite(scores)]
    if not known.size:
        return dict.fromkeys(("mean", "std", "lowest", "highest"), math.nan)
    spread = float(known.std(ddof=1)) if known.size > 1 else 0.0
    return {
        "mean": float(known.mean()),
        "std": spread,
        "lowest": float(known.min()),
        "highest": float(known.max()),
    }


def _as_json(options: argparse.Namespace, result: CrossValidation, seconds: float) -> str:
    document = {
        "data": str(options.data),
        "rows": result.n_rows,
        "layer_sizes": result.layer_sizes,
        "folds": options.folds,
        "repeats": options.repeats,
        "epochs": options.epochs,
        "seed": options.seed,
        "scores": {
            name: _summary(values) | {"each": values.tolist()} for name, values in result.scores.items()
        },
        "classes": list(result.labels) or None,
        "confusion": None if result.confusion is None else result.confusion.tolist(),
        "diverged": result.n_diverged,
        "seconds": seconds,
    }
    return dumps(document, indent=2)


def _as_text(options: argparse.Namespace, result: CrossValidation, seconds: float) -> str:
    n = options.folds * options.repeats
    text = (
        f"{options.data}: {result.n_rows:,} rows; {n} networks {'-'.join(map(str, result.layer_sizes))}, "
        f"{options.folds} folds" + (f" x {options.repeats} repeats" if options.repeats > 1 else "")
    )
    text += f", {options.epochs} epochs each, in {rounded(seconds)} s"
    rows = []
    for name, values in result.scores.items():
        found = _summary(values)
        cells = [str(Score(name, value)) for value in found.values()]  # type: ignore[arg-type]
        rows.append([Score(name, 0.0).label, *cells])
    header = ["of rows that validate", "mean", "spread", "lowest", "highest"]
    parts = [textwrap.fill(shown(text), WIDTH, subsequent_indent="  ", break_on_hyphens=False)]
    parts.append(table(header, {"": rows}, ["left", "right", "right", "right", "right"]))
    if result.confusion is not None and len(result.labels) <= MOST_CLASSES:
        labels = [str(label) for label in result.labels]
        counts = result.confusion / options.repeats
        shares = [[f"{count:.1f}".removesuffix(".0") for count in row] for row in counts]
        body = [[label, *row] for label, row in zip(labels, shares, strict=True)]
        header = ["rows taken for", *labels]
        parts.append(table(header, {"": body}, ["left", *("right" for _ in labels)]))
    return "\n\n".join(parts)
