"""The options of `fastbp train`: how they are typed, their defaults, and what they may be."""

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastbp import activations, initializers, losses
from fastbp.cli.files import check_out
from fastbp.cli.learning_options import OF_DATA, add_config, add_data, add_json, adder, check_given, stem
from fastbp.cli.reading_options import READING_OPTIONS
from fastbp.data.fitting import OWN_BATCH_SIZE, Fitting
from fastbp.drawing import SUFFIXES, check_matplotlib
from fastbp.errors import OptionError, as_option, check_integer, shell_options
from fastbp.optimizers import BY_NAME
from fastbp.stopping_rules import StoppingRule, rule_of

LOSSES = tuple(
    "quantile(0.9)" if loss.name == "quantile" else loss.name for loss in losses.TABLE if not loss.outputs
)
"""Losses of any number."""

DEFAULTS: dict[str, Any] = {
    **OF_DATA,
    "start_from": None,
    "hidden": None,
    "activation": None,
    "initializer": None,
    "loss": None,
    "dtype": None,
    "epochs": None,
    "batch_size": OWN_BATCH_SIZE,
    "optimizer": None,
    "learning_rate": None,
    "smallest_step": None,
    "l2": 0.0,
    "dropout": 0.0,
    "label_smoothing": 0.0,
    "patience": None,
    "rule": None,
    "goal": None,
    "every": 1,
    "ensemble": 1,
    "n_starts": 1,
    "refit": False,
    "max_seconds": None,
    "seed": 0,
    "out": None,
    "plot": None,
    "log": None,
    "resume": False,
    "restart": False,
    "json": False,
}

GIVEN_BY: dict[str, tuple[str, ...]] = {
    "network": (
        "--hidden",
        "--activation",
        "--initializer",
        "--loss",
        "--dtype",
        "--seed",
        "--start-from",
    ),
    "X": ("data", "--ignore", "--keep", "--missing", "--no-standardize", "--cache", *READING_OPTIONS),
    "Y": ("data", "--target", "--task", "--missing-target"),
    "epochs": ("--epochs",),
    "batch_size": ("--batch-size",),
    "optimizer": ("--optimizer", "--learning-rate", "--smallest-step"),
    "seed": ("--seed", "--ensemble", "--n-starts"),
    "l2": ("--l2",),
    "dropout": ("--dropout",),
    "label_smoothing": ("--label-smoothing",),
    "sample_weight": ("--sample-weight", "--class-weight"),
    "validation_data": ("--validation", "--unseen", "--stratify", "--refit"),
    "early_stopping": ("--patience", "--rule"),
    "goal": ("--goal",),
    "every": ("--every",),
    "callbacks": ("--log",),
    "checkpoint": ("--out",),
    "resume": ("--resume", "--restart"),
    "max_seconds": ("--max-seconds",),
}
"""What gives an option of `fastbp.train`. An option is either here or in `NOT_GIVEN`."""

NOT_GIVEN = {
    "steps": "--epochs says how long",
    "update": "the sequential one is for the worked example",
    "shuffle": "rows are always shuffled; those in a temporary file, in blocks",
    "gradient_clip_norm": "a run that diverges asks for a smaller --learning-rate",
    "metrics": "the scores of the report are evaluated at the end",
    "progress": "a bar is shown on a terminal",
    "threads": "as many are taken as make it faster",
    "math": "the exact one is for the worked example",
    "kernel": "the fastest is taken that can do it",
}
"""Options of `fastbp.train` that the shell leaves at their defaults, and why."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `fastbp train`. None has a default here, so that --config may have one."""
    add = adder(DEFAULTS | {"batch_size": None})
    add_data(add, parser)

    group = parser.add_argument_group("the network")
    add_network(add, group)
    add(
        group,
        "--initializer",
        f"how the weights are drawn: {', '.join(initializers.NAMES)}, uniform(r) from -r to r, or normal(s) "
        "(default: glorot_uniform for sigmoid, tanh and softsign, else he_uniform)",
        type=_initializer,
        metavar="RULE",
    )
    add(group, "--dtype", "of all arithmetic (default: float64)", choices=("float64", "float32"))
    add(
        group,
        "--start-from",
        "go on with this model: its layers, parameters, columns and scales",
        type=Path,
        metavar="FILE",
    )

    group = parser.add_argument_group("training")
    add_steps(add, group)
    _add_trainings(add, group)
    _add_stopping(add, group)
    add(group, "--max-seconds", "end after this time", type=float, metavar="SECONDS")
    add(group, "--seed", "the same seed gives the same network", type=int, metavar="N")
    add(group, "--resume", "go on with a run that was stopped or killed", action="store_true")
    add(group, "--restart", "start anew, and forget the run that was stopped", action="store_true")

    group = parser.add_argument_group("files and output")
    add(
        group, "--out", "the model file (default: the data's name, in this folder)", type=Path, metavar="FILE"
    )
    add_config(add, group)
    add(group, "--plot", "draw the loss over the epochs to FILE.png or FILE.svg", type=Path, metavar="FILE")
    add(
        group,
        "--log",
        "write a line of JSON an epoch to FILE.jsonl; null is a number that is not finite, and the loss of a "
        "regression is that of the scaled target",
        type=Path,
        metavar="FILE",
    )
    add_json(add, group)


def add_network(add: Callable[..., None], group: Any) -> None:
    """Declare the options that say what the network is."""
    add(
        group,
        "--hidden",
        "sizes of the hidden layers, such as 16,16, or 0 (default: 100, from 5000 rows on 64,64)",
        type=_sizes,
        metavar="SIZES",
    )
    add(group, "--activation", "of the hidden layers (default: relu)", choices=activations.HIDDEN)
    choices = f"of a regression (default: mean_squared_error): {', '.join(LOSSES)}"
    add(group, "--loss", choices, type=_loss, metavar="LOSS")


def add_steps(add: Callable[..., None], group: Any) -> None:
    """Declare the options that say how it is trained, and how long."""
    add(group, "--epochs", "passes over the rows (default: 100)", type=int, metavar="N")
    add(
        group,
        "--batch-size",
        "rows of a step, or all (default: 16, from 5000 rows on 32)",
        type=_batch_size,
        metavar="N",
    )
    add(
        group,
        "--optimizer",
        "how a step is made, at a constant rate (default: adamw, with a rate that falls to 0 over the run, "
        "and a weight decay by the number of rows)",
        choices=BY_NAME,
    )
    add(
        group,
        "--learning-rate",
        "by default, the optimizer's own; that of the default begins at 0.003; rprop begins with this step, "
        "or with steps drawn by uniform(LOW,HIGH)",
        type=_rate,
        metavar="RATE",
    )
    add(group, "--smallest-step", "of rprop, and may be 0 (default: 1e-06)", type=float, metavar="STEP")
    add(group, "--l2", "pull weights towards 0 so much", type=float, metavar="L2")
    add(group, "--dropout", "share of hidden neurons to leave out at random", type=float, metavar="SHARE")


def _add_trainings(add: Callable[..., None], group: Any) -> None:
    """Declare the options that ask for more than one training, and for other targets."""
    add(group, "--label-smoothing", "probability to divide among all classes", type=float, metavar="SHARE")
    add(
        group,
        "--ensemble",
        "train so many networks, in so many times the time, and average them",
        type=int,
        metavar="N",
    )
    add(
        group,
        "--n-starts",
        "train from so many initial weights, and keep the network of the lowest loss, on the rows put aside "
        "if there are any",
        type=int,
        metavar="N",
    )
    add(
        group,
        "--refit",
        "in the end, train on all rows, with those put aside, for as many epochs as were best",
        action="store_true",
    )


def _add_stopping(add: Callable[..., None], group: Any) -> None:
    """Declare the options that say when training ends before its last epoch."""
    add(
        group,
        "--patience",
        "end when the validation loss, or without --validation the training loss, has not improved for N "
        "epochs, and keep the best network",
        type=int,
        metavar="N",
    )
    add(
        group,
        "--rule",
        "end by another rule, such as 'GL5' or 'GL(5) | UP(3)', and keep the best network; there are "
        "Patience, GL, PQ, UP, LowProgress and Tolerance of fastbp.stopping_rules",
        type=_rule,
        metavar="RULE",
    )
    add(
        group,
        "--goal",
        "end when the training loss is at most this; or by names, such as accuracy=0.95,validation_loss=0.1",
        type=_goal,
        metavar="VALUE",
    )
    add(group, "--every", "evaluate after every Nth epoch only", type=int, metavar="N")


def _sizes(text: str) -> tuple[int, ...]:
    try:
        sizes = tuple(int(size) for size in text.split(","))
    except ValueError:
        sizes = (-1,)
    if sizes == (0,):
        return ()
    if min(sizes) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of sizes such as 16,16, nor 0 for no layer")
    return sizes


def _initializer(text: str) -> initializers.Initializer:
    """Return the name of an initializer, or a distribution with its scale."""
    try:
        with shell_options():
            return initializers.check_initializer(_drawn(text) or text)
    except OptionError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _rate(text: str) -> float | tuple[Any, ...]:
    """Return a rate, or how the first steps of rprop are drawn."""
    try:
        return _drawn(text) or float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor like uniform(0.05,0.2)") from None


def _drawn(text: str) -> tuple[Any, ...] | None:
    """Return the name of a distribution and its numbers, from a text such as ``uniform(0.05, 0.2)``."""
    found = re.fullmatch(r"(\w+)\(([^()]*)\)", text.strip())
    if found is None:
        return None
    try:
        return found[1], *(float(number) for number in found[2].split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not like uniform(0.5)") from None


def _loss(text: str) -> str:
    """Return a loss of any number; quantile may have its level."""
    try:
        loss = losses.check_loss(text)
    except OptionError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if losses.row_of(loss).outputs:
        raise argparse.ArgumentTypeError(f"{text!r} is not for a regression; choose {', '.join(LOSSES)}")
    return loss


def _rule(text: str) -> StoppingRule:
    try:
        return rule_of(text)
    except OptionError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _goal(text: str) -> float | dict[str, float]:
    """Return a number, or numbers by names."""
    try:
        if "=" not in text:
            return float(text)
        pairs = [part.split("=") for part in text.split(",")]
        return {name.strip(): float(value) for name, value in pairs}
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not like 0.05, nor accuracy=0.95,loss=0.1") from None


def _batch_size(text: str) -> int | None:
    if text == "all":
        return None
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither an integer nor 'all'") from None


def check(options: argparse.Namespace) -> None:
    """Settle what is left open, and complain before any work."""
    check_given(options, "train", ("data",) if options.start_from else ("data", "target"))
    if options.out is None:
        options.out = Path(stem(options.data) + ".safetensors")
    check_out("--out", options.out, (".safetensors",))
    if options.log is not None:
        check_out("--log", options.log, (".jsonl",))
    if options.plot is not None:
        check_out("--plot", options.plot, SUFFIXES)
        check_matplotlib()
    if options.patience is not None and options.rule is not None:
        raise OptionError(f"give --patience or --rule; --rule '... | Patience({options.patience})' has both")
    least_of = {"seed": 0, "epochs": 1, "patience": 1, "every": 1, "ensemble": 1, "n_starts": 1}
    for name, least in least_of.items():
        if getattr(options, name) is not None:
            check_integer(as_option(name), getattr(options, name), least)


def make_fitting(options: argparse.Namespace) -> Fitting:
    """Return what is asked for: how long, by which optimizer, and how many networks."""
    return Fitting(
        epochs=options.epochs,
        batch_size=options.batch_size,
        optimizer=_optimizer(options),
        learning_rate=None if options.optimizer else options.learning_rate,
        seed=options.seed,
        ensemble=options.ensemble,
        n_starts=options.n_starts,
        refit=options.refit,
        goes_on=options.start_from is not None,
    )


def _optimizer(options: argparse.Namespace) -> Any:
    """Return the optimizer that is asked for, or None for the default."""
    given = {"learning_rate": options.learning_rate, "smallest_step": options.smallest_step}
    given = {name: value for name, value in given.items() if value is not None}
    if options.optimizer != "rprop":
        if "smallest_step" in given:
            raise OptionError("--smallest-step is for --optimizer rprop")
        if isinstance(options.learning_rate, tuple):
            raise OptionError("--learning-rate is drawn for --optimizer rprop only; give a number")
    elif options.batch_size is not None:
        raise OptionError("--optimizer rprop is for full batches; add --batch-size all")
    return None if options.optimizer is None else BY_NAME[options.optimizer](**given)
