"""Predict from a file, with a model that `fastbp train` wrote.

Example: fastbp predict iris.safetensors new.csv --out predictions.csv
"""

import argparse
import shlex
import sys
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

import fastbp
from fastbp import data
from fastbp.cli.files import check_out, load_model, size
from fastbp.cli.reading_options import add_reading_arguments, names_of, reading_of
from fastbp.cli.scores import Score, scores
from fastbp.data.sources import polars
from fastbp.data.table_file import Table, read_table
from fastbp.interchange.atomic import write_atomically
from fastbp.interchange.standard_json import dumps
from fastbp.preprocessing import (
    MISSING,
    ClassTarget,
    NumberColumn,
    NumberTarget,
    Preprocessing,
    SeveralTargets,
)
from fastbp.reading import Reading

SUFFIXES = (".csv", ".tsv", ".parquet")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `fastbp predict`."""
    parser.add_argument("model", type=Path, help="the model file")
    parser.add_argument(
        "data", type=Path, help="the file: text, Parquet, Arrow, Excel, .npy or .npz; - is standard input"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help=f"where to write the predictions: {', '.join(SUFFIXES)} (default: CSV to standard output)",
    )
    parser.add_argument(
        "--probabilities", action="store_true", help="write the probability of every class, too"
    )
    parser.add_argument(
        "--unseen",
        choices=data.UNSEEN,
        default="error",
        help="how to treat a text that no training row has: as an error, or as none of the known ones "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--missing", choices=MISSING, help="what a missing input is (default: what it was in training)"
    )
    parser.add_argument(
        "--keep",
        type=names_of,
        action="extend",
        default=[],
        metavar="COLUMNS",
        help="columns of the data to write beside the predictions, besides those of fastbp train --keep",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print JSON: the predictions, unless there is --out; null is a number that is not finite",
    )
    group = parser.add_argument_group("how the file is read (what is not said is as in training)")
    add_reading_arguments(
        lambda name, help, **options: group.add_argument(
            name, default=argparse.SUPPRESS, help=help, **options
        )
    )


def run(options: argparse.Namespace) -> int:
    """Run `fastbp predict`."""
    if options.out is not None:
        check_out("--out", options.out, SUFFIXES)
        if options.out.exists() and options.data.exists() and options.out.samefile(options.data):
            raise fastbp.OptionError(
                f"--out is {str(options.out)!r}, and that is the data, which would be lost"
            )
    network = load_model(options.model)
    if network.preprocessing is None:
        table = read_table(options.data, Reading.of(**reading_of(options)))
        preprocessing = _as_they_are(network, table)
    else:
        preprocessing = data.with_missing(network.preprocessing, options.missing)
        table = data.read_for(preprocessing, options.data, **reading_of(options))
    for remark in table.remarks:
        print(f"fastbp predict: {remark}", file=sys.stderr)
    kept = [table.names[table.find("keep", column)] for column in options.keep]
    kept += [name for name in preprocessing.kept if name in table.names and name not in kept]
    if options.probabilities and not preprocessing.is_of_classes:
        raise fastbp.OptionError("--probabilities is for classes, and this model predicts numbers")
    blocks = data.batches(table, preprocessing, dtype=network.dtype.name, unseen=options.unseen)
    outputs: Iterator[np.ndarray] = (network.predict(X, prepared=True) for X in blocks)

    suffix = ".csv" if options.out is None else options.out.suffix.lower()
    prints_all = options.json and options.out is None
    found: list[Score] = []
    if prints_all or suffix == ".parquet" or not table.is_streamed:  # otherwise it may be larger than memory
        whole = np.concatenate(list(outputs))
        found, outputs = _scores(table, network, whole), iter([whole])
    columns = _with_kept(
        (_columns(network, preprocessing, part, options.probabilities) for part in outputs), table, kept
    )
    if options.out is not None:
        write_atomically(options.out, _encoded(columns, suffix, preprocessing))
    if options.json:
        document: dict[str, Any] = {
            "rows": len(table),
            "target": network.preprocessing and preprocessing.target.name,
            "scores": {score.name: score.value for score in found} or None,
            "out": options.out and str(options.out),
        }
        if prints_all:
            document |= {name: _plain(column) for name, column in next(columns).items()}
        print(dumps(document, indent=2))
    elif options.out is None:
        for part in _encoded(columns, suffix, preprocessing):
            sys.stdout.buffer.write(part)  # in UTF-8, whatever the terminal's encoding
    else:
        print(_summary(options, len(table), preprocessing, found))
    return 0


def _columns(
    network: fastbp.Network, preprocessing: Preprocessing, outputs: np.ndarray, probabilities: bool
) -> dict[str, Any]:
    """Return the columns to write, from a network's outputs."""
    if network.preprocessing is None:
        return {f"output{i}": column for i, column in enumerate(outputs.T)}
    decoded = preprocessing.decode(outputs)
    columns: dict[str, Any] = {"prediction": decoded}
    if isinstance(preprocessing.target, SeveralTargets):
        columns = {
            f"prediction_{target.name}": decoded[:, i] for i, target in enumerate(preprocessing.targets)
        }
    if probabilities:
        several = isinstance(preprocessing.target, SeveralTargets)
        classes = [target for target in preprocessing.targets if isinstance(target, ClassTarget)]
        names = (
            [f"{target.name}_{target.labels[1]}" for target in classes]
            if several
            else [str(label) for label in classes[0].labels]
        )
        columns |= {f"probability_{name}": outputs[:, i] for i, name in enumerate(names)}
    return columns


def _with_kept(parts: Iterable[dict[str, Any]], table: Table, kept: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the columns to write, behind the columns of the table that go through."""
    start = 0
    for columns in parts:
        n_rows = len(next(iter(columns.values())))
        through = {name: table.raw(name)[start : start + n_rows].to_list() for name in kept}
        if twice := through.keys() & columns.keys():
            raise fastbp.OptionError(f"--keep has the column {min(twice)!r}, which the predictions have, too")
        yield through | columns
        start += n_rows


def _as_they_are(network: fastbp.Network, table: Table) -> Preprocessing:
    """Return a preprocessing that does nothing, for a model that was saved without one."""
    if len(table.names) != network.n_inputs:
        raise fastbp.DataError(
            f"{table.path} has {len(table.names)} columns, and this model, which knows no names, takes "
            f"{network.n_inputs}"
        )
    columns = tuple(NumberColumn(name, 0.0, 1.0) for name in table.names)
    return Preprocessing(columns, NumberTarget("output", 0.0, 1.0), standardize=False)


def _scores(table: Table, network: fastbp.Network, outputs: np.ndarray) -> list[Score]:
    """Return the scores of the predictions, if the file has the target."""
    preprocessing = network.preprocessing
    if preprocessing is None or not table.named:
        return []
    if not {target.name for target in preprocessing.targets} <= set(table.names):
        return []
    try:
        return scores(preprocessing, outputs, data.targets(table, preprocessing))
    except fastbp.DataError as error:  # the predictions are valid all the same
        print(f"fastbp predict: no score: {error}", file=sys.stderr)
        return []


def _encoded(parts: Iterable[dict[str, Any]], suffix: str, preprocessing: Preprocessing) -> Iterator[bytes]:
    """Yield the bytes of a file, block by block; a .parquet file has one block."""
    written = {
        f"prediction_{target.name}" if len(preprocessing.targets) > 1 else "prediction": target.written
        for target in preprocessing.targets
        if isinstance(target, ClassTarget) and target.written
    }
    for i, columns in enumerate(parts):
        frame = polars().DataFrame({name: _plain(column) for name, column in columns.items()})
        file = BytesIO()
        if suffix == ".parquet":
            frame.write_parquet(file)
        else:
            for name, (false, true) in written.items():
                frame = frame.with_columns(frame[name].replace_strict([False, True], [false, true]))
            frame.write_csv(file, separator="\t" if suffix == ".tsv" else ",", include_header=i == 0)
        yield file.getvalue()


def _plain(column: Any) -> list[Any]:
    """Return a column as a list of Python's values."""
    return column.tolist() if isinstance(column, np.ndarray) else column


def _summary(
    options: argparse.Namespace, n_rows: int, preprocessing: Preprocessing, found: list[Score]
) -> str:
    rows = "1 prediction" if n_rows == 1 else f"{n_rows:,} predictions"
    lines = [f"{rows} of {preprocessing.target.name!r}, written to {options.out} ({size(options.out)})"]
    if found:
        columns = "columns" if len(preprocessing.targets) > 1 else "column"
        measured = ", ".join(f"{score.label} {score}" for score in found)
        lines.append(f"{measured}, against the {columns} {preprocessing.target.name!r} of {options.data}")
    lines.append(f"\nNext: {shlex.join(['fastbp', 'info', str(options.model)])}")
    return "\n".join(lines)
