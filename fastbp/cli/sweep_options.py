"""The options of `fastbp sweep`: how they are typed, their defaults, and what they may be."""

import argparse
from pathlib import Path
from typing import Any

from fastbp import activations, spaces
from fastbp.cli.files import check_out
from fastbp.cli.learning_options import OF_DATA, add_config, add_data, add_json, adder, check_given, stem
from fastbp.drawing import SUFFIXES, check_matplotlib
from fastbp.errors import OptionError, check_integer
from fastbp.optimizers import BY_NAME
from fastbp.sweeping import leaderboard
from fastbp.sweeping.points import SAMPLINGS
from fastbp.sweeping.search import N_NETWORKS

SPACE = {
    "hidden": "8/16/32/64/32,32",
    "activation": "relu/tanh",
    "optimizer": "adam",
    "learning_rate": "1e-4..1e-1",
    "momentum": None,
    "l2": "1e-7..1e-2",
    "dropout": None,
    "batch_size": "32",
    "seeds": None,
}
"""The options that say what the space is, and what it is without them."""

DEFAULTS: dict[str, Any] = {
    **OF_DATA,
    **SPACE,
    "folds": None,
    "loss": None,
    "dtype": "float32",
    "networks": None,
    "sampling": "random",
    "epochs": 100,
    "halving": 3,
    "min_epochs": 1,
    "hyperband": False,
    "seed": 0,
    "max_seconds": None,
    "workers": None,
    "dask": None,
    "journal": None,
    "restart": False,
    "shard_size": None,
    "out": None,
    "no_refit": False,
    "leaderboard": None,
    "top": 10,
    "plot": None,
    "json": False,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `fastbp sweep`. None has a default here, so that --config may have one."""
    add = adder(DEFAULTS)
    add_data(add, parser)

    group = parser.add_argument_group(
        "what to try: choices with / between, or a range with .. between, such as 1e-4..1e-1"
    )
    add(group, "--hidden", "sizes of the hidden layers; 0 is no layer", metavar="SIZES")
    add(group, "--activation", f"of the hidden layers: {', '.join(activations.HIDDEN)}", metavar="NAMES")
    add(group, "--optimizer", f"how a step is made: {', '.join(BY_NAME)}", metavar="NAMES")
    add(group, "--learning-rate", "of each network", metavar="RATES")
    add(group, "--momentum", "of sgd and rmsprop", metavar="NUMBERS")
    add(group, "--l2", "pull weights towards 0 so much", metavar="NUMBERS")
    add(group, "--dropout", "share of hidden neurons to leave out at random", metavar="SHARES")
    add(group, "--batch-size", "rows of a step, or all", metavar="SIZES")
    add(group, "--seeds", "of start weights (default: each network has its own)", metavar="SEEDS")
    add(group, "--networks", f"how many to try (default: {N_NETWORKS}, or the grid)", type=int, metavar="N")
    add(group, "--sampling", "how points are drawn", choices=SAMPLINGS)

    group = parser.add_argument_group("training and comparing")
    add(group, "--folds", "validate by so many folds, instead of --validation", type=int, metavar="N")
    add(group, "--epochs", "the most passes over the rows", type=int, metavar="N")
    add(group, "--halving", "one of N goes on with N times the epochs; 1: all do", type=int, metavar="N")
    add(group, "--min-epochs", "the fewest epochs of a network", type=int, metavar="N")
    add(group, "--hyperband", "let some networks begin with more epochs", action="store_true")
    add(group, "--loss", "of a regression (default: mean_squared_error)", metavar="LOSS")
    add(group, "--dtype", "of all arithmetic", choices=("float64", "float32"))
    add(group, "--seed", "the same seed gives the same result", type=int, metavar="N")
    add(group, "--max-seconds", "end after this time", type=float, metavar="SECONDS")

    group = parser.add_argument_group("where")
    add(group, "--workers", "run on so many processes of this machine", type=int, metavar="N")
    add(group, "--dask", "run on the workers of this scheduler, such as tcp://host:8786", metavar="ADDRESS")
    add(
        group,
        "--journal",
        "keep what is finished in this folder: the same command goes on with a sweep that was stopped or "
        "killed",
        type=Path,
        metavar="FOLDER",
    )
    add(group, "--restart", "forget what is in the journal", action="store_true")
    add(
        group,
        "--shard-size",
        "networks that train together (default: a second of work)",
        type=int,
        metavar="N",
    )

    group = parser.add_argument_group("files and output")
    add(
        group, "--out", "the best model (default: the data's name, in this folder)", type=Path, metavar="FILE"
    )
    add(
        group,
        "--no-refit",
        "write the best network as it was compared, not one that is trained on all rows",
        action="store_true",
    )
    add(group, "--leaderboard", "write all trials to FILE.csv, .json or .parquet", type=Path, metavar="FILE")
    add(group, "--top", "lines of the leaderboard to print", type=int, metavar="N")
    add(group, "--plot", "draw the losses to FILE.png or FILE.svg", type=Path, metavar="FILE")
    add_config(add, group)
    add_json(add, group)


def check(options: argparse.Namespace) -> None:
    """Settle what is left open, and complain before any work."""
    check_given(options, "sweep")
    if options.out is None:
        options.out = Path(stem(options.data) + ".safetensors")
    check_out("--out", options.out, (".safetensors",))
    if options.leaderboard is not None:
        check_out("--leaderboard", options.leaderboard, leaderboard.SUFFIXES)
    if options.plot is not None:
        check_out("--plot", options.plot, SUFFIXES)
        check_matplotlib()
    if options.workers is not None and options.dask is not None:
        raise OptionError("give --workers or --dask, and not both")
    if options.no_refit and options.folds is not None:
        raise OptionError("--no-refit keeps a network of all training rows, and with --folds there is none")
    if options.restart and options.journal is None:
        raise OptionError("--restart forgets a journal; name its folder with --journal")
    for name, least in (("workers", 1), ("halving", 1), ("top", 0), ("folds", 2)):
        if getattr(options, name) is not None:
            check_integer(name, getattr(options, name), least)


def space_of(options: argparse.Namespace) -> dict[str, Any]:
    """Return the space that the options say."""
    said = {name: getattr(options, name) for name in SPACE}
    names = {"seeds": "seed"}
    return {
        names.get(name, name): spaces.parse(names.get(name, name), str(text))
        for name, text in said.items()
        if text is not None
    }
