"""The options that say what is learned from which data: `fastbp train`, `sweep` and `cv` have them."""

import argparse
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from fastbp import data
from fastbp.cli.reading_options import add_reading_arguments, names_of, reading_of
from fastbp.data.sources import PACKED
from fastbp.errors import OptionError
from fastbp.preprocessing import MISSING
from fastbp.reading import OPTIONS

OF_DATA: dict[str, Any] = {
    **dict.fromkeys(OPTIONS),
    "task": None,
    "target": (),
    "ignore": (),
    "keep": (),
    "stratify": None,
    "sample_weight": None,
    "class_weight": None,
    "missing": "error",
    "missing_target": "error",
    "unseen": "error",
    "cache": False,
    "no_standardize": False,
    "validation": None,
}
"""The options, and what they are if they are not given."""


def adder(defaults: Mapping[str, Any], left_out: Collection[str] = ()) -> Callable[..., None]:
    """Return the function that declares an option: ``add(group, name, help, **options)``.

    The help says the default. The option itself has none, so that --config may have one. Those in `left_out`
    are not declared.
    """

    def add(group: Any, name: str, help: str, **options: Any) -> None:
        """Declare an option."""
        if name in left_out:
            return
        default = defaults.get(name.strip("-").replace("-", "_"))
        default = ",".join(map(str, default)) if isinstance(default, tuple) else default
        text = f"{help} (default: {default})" if default else help
        group.add_argument(name, default=argparse.SUPPRESS, help=text, **options)

    return add


def add_data(add: Callable[..., None], parser: argparse.ArgumentParser) -> None:
    """Declare the file to learn from, what is learned of it, and how it is read."""
    parser.add_argument(
        "data",
        nargs="?",
        type=Path,
        help="the file to learn from: text, Parquet, Arrow, Excel, .npy or .npz; - is standard input",
    )
    _add_learning(add, parser.add_argument_group("what to learn"))
    group = parser.add_argument_group("how the file is read (what is not said is guessed)")
    add_reading_arguments(lambda name, help, **options: add(group, name, help, **options))
    add(
        group,
        "--cache",
        "read a text file that is larger than memory by way of a folder of Arrow files, beside it or in "
        "FOLDER",
        nargs="?",
        const=True,
        metavar="FOLDER",
    )


def _add_learning(add: Callable[..., None], group: Any) -> None:
    """Declare the options that say what is learned from which rows and columns."""
    add(
        group,
        "--target",
        "the column to learn, by name or position, -1 is the last; or several, with commas between",
        type=names_of,
        action="extend",
        metavar="COLUMN",
    )
    add(group, "--task", "by default, text and a few whole numbers are classes", choices=data.TASKS)
    add(
        group,
        "--ignore",
        'columns to leave out, with commas between; "a,b" is one column',
        type=names_of,
        action="extend",
        metavar="COLUMNS",
    )
    add(
        group,
        "--keep",
        "columns that are no inputs, and are written beside the predictions",
        type=names_of,
        action="extend",
        metavar="COLUMNS",
    )
    add(group, "--sample-weight", "the column that weighs the rows", metavar="COLUMN")
    add(group, "--class-weight", "give all classes the same total weight", choices=("balanced",))
    add(
        group,
        "--missing",
        "what a missing input is: an error, the column's mean or median, or the mean with an input that "
        "says so",
        choices=MISSING,
    )
    add(group, "--missing-target", "what a row without a target is", choices=data.MISSING_TARGET)
    add(
        group,
        "--unseen",
        "what a text is that only validation data have",
        choices=data.UNSEEN,
    )
    add(group, "--no-standardize", "give numbers to the network as they are", action="store_true")
    add(group, "--validation", "a share of the rows to put aside, such as 0.2, or a file", metavar="SHARE")
    add(
        group,
        "--stratify",
        "put aside the same share of all values of this column (default: of the classes)",
        metavar="COLUMN",
    )


def add_config(add: Callable[..., None], group: Any) -> None:
    """Declare the option that takes others from a file."""
    add(group, "--config", "take options from a TOML file; what is typed wins", type=Path, metavar="FILE")


def add_json(add: Callable[..., None], group: Any) -> None:
    """Declare the option that prints for programs."""
    add(
        group, "--json", "print the results as JSON; null is a number that is not finite", action="store_true"
    )


def check_given(
    options: argparse.Namespace, command: str, names: Collection[str] = ("data", "target")
) -> None:
    """Complain if there is nothing to learn from, or nothing to learn; make a number of a fraction."""
    for name, typed in (("data", "the file to learn from"), ("target", "--target COLUMN")):
        if name in names and not getattr(options, name, None):
            raise OptionError(f"give {typed}; fastbp {command} --help shows how")
    if options.validation is not None:
        with suppress(ValueError):
            options.validation = float(options.validation)


def stem(path: Path) -> str:
    """Return the name of a file without its suffixes; standard input has none."""
    if str(path) == "-":
        return "model"
    return (Path(path.stem).stem if path.suffix.lower() in PACKED else path.stem) or "model"


def options_of_rows(options: argparse.Namespace) -> dict[str, Any]:
    """Return what was said of the rows and columns, as keywords of `fastbp.data.open_rows`."""
    names = ("task", "ignore", "keep", "sample_weight", "class_weight", "missing", "missing_target")
    said = {name: getattr(options, name) for name in (*names, "unseen", "cache")}
    return said | {"standardize": not options.no_standardize} | reading_of(options)
