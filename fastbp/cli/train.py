"""Train a network on a file, and write a model file.

fastbp train iris.csv --target species --hidden 16,16 --epochs 200 --validation 0.2 --out iris.safetensors

While it runs, the folder iris.checkpoints keeps it: a run that was killed goes on with --resume.
"""

import argparse
import csv
import io
import itertools
import json
import math
import os
import shlex
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

import fastbp
from fastbp import activations, data, losses
from fastbp.cli.config import with_config
from fastbp.cli.curve import draw_curve
from fastbp.cli.files import check_out, size
from fastbp.cli.picture import SUFFIXES, check_matplotlib
from fastbp.cli.scores import Score, evaluate
from fastbp.cli.tables import WIDTH, rounded, shown, table
from fastbp.errors import check_integer
from fastbp.interchange import model_file
from fastbp.interchange.standard_json import dumps
from fastbp.preprocessing import MISSING, ClassTarget

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

OPTIMIZERS = {
    "adam": fastbp.Adam,
    "adamw": fastbp.AdamW,
    "rmsprop": fastbp.RMSprop,
    "rprop": fastbp.RPROP,
    "sgd": fastbp.SGD,
}

SATURATING = ("sigmoid", "tanh", "identity")
"""Hidden activations whose weights are drawn as Glorot & Bengio do; those of the others as He et al. do."""

LOSSES = tuple(loss.name for loss in losses.TABLE if not loss.outputs)
"""Losses of any number."""

UNFINISHED = ("interrupted", "max_seconds")
"""Reasons to stop after which --resume can go on."""

DEFAULTS: dict[str, Any] = {
    "task": None,
    "ignore": (),
    "missing": "error",
    "no_standardize": False,
    "no_header": False,
    "validation": None,
    "hidden": (32,),
    "activation": "relu",
    "loss": None,
    "dtype": "float64",
    "epochs": 200,
    "batch_size": 32,
    "optimizer": "adam",
    "learning_rate": None,
    "l2": 0.0,
    "dropout": 0.0,
    "patience": None,
    "max_seconds": None,
    "seed": 0,
    "out": None,
    "plot": None,
    "log": None,
    "resume": False,
    "restart": False,
    "json": False,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `fastbp train`. None has a default here, so that --config may have one."""
    shown = {name: value for name, value in DEFAULTS.items() if value}

    def add(group: Any, name: str, help: str, **options: Any) -> None:
        default = shown.get(name.strip("-").replace("-", "_"))
        default = ",".join(map(str, default)) if isinstance(default, tuple) else default
        text = f"{help} (default: {default})" if default is not None else help
        group.add_argument(name, default=argparse.SUPPRESS, help=text, **options)

    parser.add_argument(
        "data", nargs="?", type=Path, help="the file to learn from: .csv, .tsv, .parquet, .npy or .npz"
    )

    group = parser.add_argument_group("what to learn")
    add(group, "--target", "the column to learn, by name or position; -1 is the last", metavar="COLUMN")
    add(group, "--task", "by default, text and a few whole numbers are classes", choices=data.TASKS)
    add(
        group,
        "--ignore",
        'columns to leave out, with commas between; "a,b" is one column',
        type=_names,
        metavar="COLUMNS",
    )
    add(group, "--missing", "what a missing input is: an error, or the column's mean", choices=MISSING)
    add(group, "--no-standardize", "give numbers to the network as they are", action="store_true")
    add(group, "--no-header", "the first line holds no names; columns are x0, x1, ...", action="store_true")
    add(group, "--validation", "a share of the rows to put aside, such as 0.2, or a file", metavar="SHARE")

    group = parser.add_argument_group("the network")
    add(group, "--hidden", "sizes of the hidden layers, such as 16,16, or 0", type=_sizes, metavar="SIZES")
    add(group, "--activation", "of the hidden layers", choices=activations.HIDDEN)
    add(group, "--loss", "of a regression (default: mean_squared_error)", choices=LOSSES)
    add(group, "--dtype", "of all arithmetic", choices=("float64", "float32"))

    group = parser.add_argument_group("training")
    add(group, "--epochs", "passes over the rows", type=int, metavar="N")
    add(group, "--batch-size", "rows of a step, or all", type=_batch_size, metavar="N")
    add(group, "--optimizer", "how a step is made", choices=OPTIMIZERS)
    add(group, "--learning-rate", "by default, the optimizer's own", type=float, metavar="RATE")
    add(group, "--l2", "pull weights towards 0 so much", type=float, metavar="L2")
    add(group, "--dropout", "share of hidden neurons to leave out at random", type=float, metavar="SHARE")
    add(
        group,
        "--patience",
        "end when the validation loss, or without --validation the training loss, has not improved for N "
        "epochs, and keep the best network",
        type=int,
        metavar="N",
    )
    add(group, "--max-seconds", "end after this time", type=float, metavar="SECONDS")
    add(group, "--seed", "the same seed gives the same network", type=int, metavar="N")
    add(group, "--resume", "go on with a run that was stopped or killed", action="store_true")
    add(group, "--restart", "start anew, and forget the run that was stopped", action="store_true")

    group = parser.add_argument_group("files and output")
    add(
        group, "--out", "the model file (default: the data's name, in this folder)", type=Path, metavar="FILE"
    )
    add(group, "--config", "take options from a TOML file; what is typed wins", type=Path, metavar="FILE")
    add(group, "--plot", "draw the loss over the epochs to FILE.png or FILE.svg", type=Path, metavar="FILE")
    add(
        group,
        "--log",
        "write a line of JSON an epoch to FILE.jsonl; null is a number that is not finite",
        type=Path,
        metavar="FILE",
    )
    add(
        group, "--json", "print the results as JSON; null is a number that is not finite", action="store_true"
    )


def run(options: argparse.Namespace) -> int:
    """Run `fastbp train`; the status is 130 if Ctrl-C ended it, with the model written."""
    options = argparse.Namespace(**(DEFAULTS | vars(with_config(options, add_arguments))))
    _check(options)
    optimizer = _optimizer(options)
    with _alone(options.out):
        return _run(options, optimizer)


def _run(options: argparse.Namespace, optimizer: Any) -> int:
    _check_resume(options)
    dataset = data.load(
        options.data,
        target=options.target,
        task=options.task,
        ignore=options.ignore,
        missing=options.missing,
        standardize=not options.no_standardize,
        validation=options.validation,
        seed=options.seed,
        dtype=options.dtype,
        header=not options.no_header,
        scratch=options.out.parent,
    )
    for remark in dataset.remarks:
        print(f"fastbp train: {remark}", file=sys.stderr)
    network = _network(dataset, options)
    model_file.check(network.stored())  # rather now than after hours
    result = _train(network, dataset, optimizer, options)
    parts: dict[str, list[Score]] = {}
    try:
        parts["training"] = evaluate(network, dataset.X, dataset.Y)
        if dataset.validation_data is not None:
            parts["validation"] = evaluate(network, *dataset.validation_data)
    finally:  # whatever comes in between: Ctrl-C, too little memory
        network.notes = _notes(options, optimizer, result, parts)
        _save(network, options.out)
    if result.stop_reason not in UNFINISHED:
        _forget(_checkpoints(options.out))
    _remark_on_scores(parts)
    report = Report(options, dataset, network, result, parts)
    print(dumps(report.as_json(), indent=2) if options.json else report.as_text(), flush=True)
    if options.plot is not None:
        draw_curve(result.history, options.plot, result.best_epoch)
    return 130 if result.stop_reason == "interrupted" else 0


def _train(
    network: fastbp.Network, dataset: data.Dataset, optimizer: Any, options: argparse.Namespace
) -> fastbp.TrainingResult:
    folder = _checkpoints(options.out)
    if options.restart:
        _forget(folder)
    network.predict(dataset.X[:1])  # loads the kernel, which would be 0.2 s of the run's time
    with ExitStack() as stack:
        log = stack.enter_context(Log(options.log, options.resume)) if options.log else None
        try:
            result = fastbp.train(
                network,
                dataset.X,
                dataset.Y,
                epochs=options.epochs,
                batch_size=options.batch_size,
                optimizer=optimizer,
                seed=options.seed,
                l2=options.l2,
                dropout=options.dropout,
                validation_data=dataset.validation_data,
                early_stopping=fastbp.EarlyStopping(options.patience) if options.patience else None,
                callbacks=[log] if log else [],
                checkpoint=fastbp.Checkpoint(folder),
                resume=options.resume,
                max_seconds=options.max_seconds,
            )
        except (fastbp.CheckpointError, fastbp.ModelFileError) as error:
            raise type(error)(f"{error} (here: --restart)") from None
        except fastbp.DivergenceError as error:
            rate = "--restart --learning-rate RATE"
            raise fastbp.DivergenceError(f"{error} (here: {rate})", error.step) from None
        if log:
            log.finish(result.history)
    return result


def _save(network: fastbp.Network, out: Path) -> None:
    """Write the model, and where that fails, as in a folder that is gone, write it elsewhere and say so."""
    try:
        network.save(out)
    except OSError as error:
        try:
            folder = Path(tempfile.mkdtemp(prefix="fastbp-"))
            try:
                network.save(folder / out.name)
            except OSError:
                folder.rmdir()
                raise
        except OSError:
            raise error from None
        reason = f"{error.strerror or error}; the model is in {folder / out.name}"
        raise OSError(error.errno, reason, str(out)) from None


def _remark_on_scores(parts: Mapping[str, Sequence[Score]]) -> None:
    """Say which scores overflowed: a model that predicts such numbers is written all the same."""
    without = [
        f"{part} {score.label} is {score}"
        for part, found in parts.items()
        for score in found
        if not math.isfinite(score.value)
    ]
    if without:
        text = f"{', '.join(without)}: some predictions are out of all bounds; the model file has null for it"
        print(f"fastbp train: {text}", file=sys.stderr)


# --- a run that may be stopped -----------------------------------------------------------------------


def _checkpoints(out: Path) -> Path:
    """Return the folder that a run is kept in until it is done."""
    return out.with_suffix(".checkpoints")


def _forget(folder: Path) -> None:
    """Remove the checkpoints of a run."""
    for path in [*folder.glob("checkpoint-*.safetensors"), *folder.glob(".checkpoint-*.tmp")]:
        path.unlink(missing_ok=True)


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Hold the folder of a run, so that no other process takes it, or writes the same model."""
    folder = _checkpoints(out)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise fastbp.OptionError(
            f"--out is {str(out)!r}, and the folder {str(folder)!r} cannot be made: {error.strerror}"
        ) from None
    descriptor = os.open(folder, os.O_RDONLY) if fcntl else None  # elsewhere a folder cannot be opened
    try:
        if descriptor is not None:
            _lock(descriptor, out)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)
        with suppress(OSError):  # something is in it
            folder.rmdir()


def _lock(descriptor: int, out: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise fastbp.OptionError(
            f"--out is {str(out)!r}, and another fastbp train is at work on it; wait, or name another file"
        ) from None
    except OSError:  # a file system without locks
        return


def _check_resume(options: argparse.Namespace) -> None:
    """See that a run that was stopped is neither lost nor taken for another by mistake."""
    folder = _checkpoints(options.out)
    unfinished = any(folder.glob("checkpoint-*.safetensors"))
    if options.resume and options.restart:
        raise fastbp.OptionError("--resume goes on, and --restart starts anew; give one of them")
    if options.resume and not unfinished:
        raise fastbp.OptionError(f"--resume: {folder} has no run that was stopped; leave --resume out")
    if unfinished and not options.resume and not options.restart:
        raise fastbp.OptionError(
            f"{folder} has a run that was stopped: --resume goes on with it, --restart starts anew"
        )


# --- the options -------------------------------------------------------------------------------------


def _names(text: str) -> tuple[str, ...]:
    names = next(csv.reader(io.StringIO(text, newline=""), skipinitialspace=True), [])
    return tuple(name.strip() for name in names if name.strip())


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


def _batch_size(text: str) -> int | None:
    if text == "all":
        return None
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither an integer nor 'all'") from None


def _check(options: argparse.Namespace) -> None:
    """Settle what is left open, and complain before any work."""
    for name, typed in (("data", "the file to learn from"), ("target", "--target COLUMN")):
        if getattr(options, name, None) is None:
            raise fastbp.OptionError(f"give {typed}; fastbp train --help shows how")
    if options.out is None:
        options.out = Path((options.data.stem or "model") + ".safetensors")
    check_out("--out", options.out, (".safetensors",))
    if options.log is not None:
        check_out("--log", options.log, (".jsonl",))
    if options.plot is not None:
        check_out("--plot", options.plot, SUFFIXES)
        check_matplotlib()
    if options.validation is not None:
        with suppress(ValueError):
            options.validation = float(options.validation)
    for name, least in (("seed", 0), ("epochs", 1), ("patience", 1)):
        if getattr(options, name) is not None:
            check_integer(f"--{name}", getattr(options, name), least)


def _optimizer(options: argparse.Namespace) -> Any:
    rate = {} if options.learning_rate is None else {"learning_rate": options.learning_rate}
    if options.optimizer == "rprop" and options.batch_size is not None:
        raise fastbp.OptionError("--optimizer rprop is for full batches; add --batch-size all")
    return OPTIMIZERS[options.optimizer](**rate)


def _network(dataset: data.Dataset, options: argparse.Namespace) -> fastbp.Network:
    classes = dataset.task == "classification"
    if classes and options.loss is not None:
        raise fastbp.OptionError(
            "--loss is for a regression, and these are classes; --task regression takes them for numbers"
        )
    preprocessing = dataset.preprocessing
    network = fastbp.Network(
        [preprocessing.n_inputs, *options.hidden, preprocessing.n_outputs],
        hidden_activation=options.activation,
        output_activation="softmax" if classes else "identity",
        loss="categorical_cross_entropy" if classes else options.loss or "mean_squared_error",
        initializer="glorot_uniform" if options.activation in SATURATING else "he_uniform",
        dtype=options.dtype,
        seed=options.seed,
    )
    network.preprocessing = preprocessing
    return network


# --- the log -----------------------------------------------------------------------------------------


class Log:
    """Writes a line of JSON an epoch; a run that goes on keeps the lines that it had.

    Where a line cannot be written, as on a full disk, it says so, and the run goes on without the log.
    """

    def __init__(self, path: Path, resumed: bool):
        self._path, self._failed = path, False
        self._resumed, self._begun = resumed, False
        self._epoch = 0
        """The last whose line is surely written."""
        try:
            self._file = open(path, "r+" if resumed and path.exists() else "w+", encoding="utf-8")  # noqa: SIM115
        except OSError as error:
            raise fastbp.OptionError(
                f"--log is {str(path)!r}, and cannot be written: {error.strerror}"
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        with self._remarking():
            self._file.close()

    def on_epoch_end(self, state: fastbp.EpochState) -> None:
        """Write a line, at once: somebody may be watching."""
        if self._failed:
            return
        with self._remarking():
            if self._resumed and not self._begun:
                self._drop_from(state.epoch)
            self._begun = True
            self._write(
                {
                    "epoch": state.epoch,
                    "step": state.step,
                    "loss": state.loss,
                    "validation_loss": state.validation_loss,
                    "learning_rate": state.learning_rate,
                }
            )

    def finish(self, history: Mapping[str, np.ndarray]) -> None:
        """Write the last line if Ctrl-C came where it was due: the run will not come to this epoch again."""
        if self._failed or not len(history["epoch"]):
            return
        if self._epoch < (epoch := int(history["epoch"][-1])):
            with self._remarking():
                self._file.seek(0)
                self._drop_from(epoch)
                last = {name: column[-1].item() for name, column in history.items()}
                names = ("epoch", "step", "loss", "validation_loss", "learning_rate")
                self._write({name: last.get(name) for name in names})

    @contextmanager
    def _remarking(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if not self._failed:
                reason = f"{error.strerror}; the run goes on, and the log ends here"
                print(f"fastbp train: {self._path}: {reason}", file=sys.stderr)
            self._failed = True

    def _write(self, row: Mapping[str, float | None]) -> None:
        self._file.write(dumps({name: value for name, value in row.items() if value is not None}) + "\n")
        self._file.flush()
        self._epoch = int(row["epoch"] or 0)

    def _drop_from(self, epoch: int) -> None:
        """Remove the lines of epochs that the run came to after its last checkpoint, and takes again now."""
        kept = list(itertools.takewhile(lambda line: _epoch(line) < epoch, self._file))
        self._file.seek(0)
        self._file.truncate()
        self._file.writelines(kept)


def _epoch(line: str) -> float:
    try:
        return float(json.loads(line)["epoch"])
    except (ValueError, KeyError, TypeError):  # cut short when the process was killed
        return math.inf


# --- the results -------------------------------------------------------------------------------------


def _notes(
    options: argparse.Namespace,
    optimizer: Any,
    result: fastbp.TrainingResult,
    parts: Mapping[str, Sequence[Score]],
) -> dict[str, str | int | float | bool | None]:
    """Return what is worth remembering, and nothing that differs between two runs of the same command."""
    notes: dict[str, str | int | float | bool | None] = {
        "data": options.data.name,
        "steps": result.n_steps,
        "stop_reason": result.stop_reason,
        "batch_size": options.batch_size,
        "optimizer": repr(optimizer),
        "l2": options.l2,
        "dropout": options.dropout,
        "seed": options.seed,
    }
    return notes | {
        f"{part} {score.name}": score.value if math.isfinite(score.value) else None
        for part, found in parts.items()
        for score in found
    }


@dataclass(frozen=True)
class Report:
    """What there is to say about a run that ended."""

    options: argparse.Namespace
    dataset: data.Dataset
    network: fastbp.Network
    result: fastbp.TrainingResult
    parts: Mapping[str, Sequence[Score]]

    @property
    def n_rows(self) -> dict[str, int]:
        """How many rows each part has."""
        X = {"training": self.dataset.X, "validation": self.dataset.X_validation}
        return {part: len(rows) for part, rows in X.items() if rows is not None}

    @property
    def epochs(self) -> int:
        """Epochs that ended."""
        return int(self.result.history["epoch"][-1]) if len(self.result.history["epoch"]) else 0

    def as_json(self) -> dict[str, Any]:
        """Return the results for JSON."""
        target, result = self.dataset.preprocessing.target, self.result
        return {
            "data": str(self.options.data),
            "task": self.dataset.task,
            "target": target.name,
            "classes": target.labels if isinstance(target, ClassTarget) else None,
            "inputs": self.dataset.preprocessing.input_names,
            "layer_sizes": self.network.layer_sizes,
            "n_parameters": self.network.theta.size,
            "rows": self.n_rows,
            "scores": {
                part: {score.name: score.value for score in found} for part, found in self.parts.items()
            },
            "epochs": self.epochs,
            "steps": result.n_steps,
            "seconds": result.seconds,
            "steps_per_second": result.n_steps / result.seconds,
            "kernel": result.kernel,
            "stop_reason": result.stop_reason,
            "best_epoch": result.best_epoch,
            "seed": self.options.seed,
            "model": str(self.options.out),
            "plot": self.options.plot and str(self.options.plot),
            "log": self.options.log and str(self.options.log),
        }

    def as_text(self) -> str:
        """Lay the results out for a reader."""
        return "\n\n".join([self._task(), self._scores(), self._run(), self._next()])

    def _task(self) -> str:
        preprocessing = self.dataset.preprocessing
        target, n_inputs = preprocessing.target, preprocessing.n_inputs
        inputs = "1 input" if n_inputs == 1 else f"{n_inputs} inputs"
        what = f"a number, {target.name!r}"
        if isinstance(target, ClassTarget):
            labels = [shown(str(label)) for label in target.labels]
            listed = labels if len(labels) <= 10 else [*labels[:9], f"and {len(labels) - 9} more"]
            what = f"{len(labels)} classes of {target.name!r}: {', '.join(listed)}"
        text = f"{self.options.data}: {sum(self.n_rows.values()):,} rows, {inputs}, {what}"
        return textwrap.fill(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False)

    def _scores(self) -> str:
        names = [score.label for score in self.parts["training"]]
        rows = [["rows", *(f"{n:,}" for n in self.n_rows.values())]]
        for i, name in enumerate(names):
            rows.append([name, *(str(found[i]) for found in self.parts.values())])
        return table(["", *self.parts], {"": rows}, ["left", *("right" for _ in self.parts)])

    def _run(self) -> str:
        network, result = self.network, self.result
        activations = [*dict.fromkeys(network.hidden_activations), network.output_activation]
        seconds = rounded(result.seconds)
        pace = rounded(result.n_steps / result.seconds)
        reasons = {
            "completed": "all epochs done",
            "interrupted": "by Ctrl-C",
            "early_stopping": f"no better since epoch {result.best_epoch}, which is what was kept",
            "max_seconds": "after --max-seconds",
        }
        rows = [
            ["network", "-".join(map(str, network.layer_sizes)) + f", {', '.join(activations)}"],
            ["", f"{network.theta.size:,} parameters, {network.dtype}, loss {network.loss_name}"],
            ["training", f"{_many(self.epochs, 'epoch')}, {_many(result.n_steps, 'step')} in {seconds} s"],
            ["", f"{pace} steps a second, kernel {result.kernel}"],
            ["ended", reasons.get(result.stop_reason, result.stop_reason)],
            ["model", f"{self.options.out} ({size(self.options.out)})"],
        ]
        rows += [
            [name, str(path)]
            for name, path in (("picture", self.options.plot), ("log", self.options.log))
            if path is not None
        ]
        return "\n".join(f"{name:<10}{text}" for name, text in rows)

    def _next(self) -> str:
        if self.result.stop_reason in UNFINISHED:
            instead = " instead of --restart" if self.options.restart else ""
            return f"Next: the same command with --resume{instead} goes on"
        command = ["fastbp", "predict", str(self.options.out), str(self.options.data)]
        command += ["--no-header"] if self.options.no_header else []
        return f"Next: {shlex.join([*command, '--out', 'predictions.csv'])}"


def _many(n: int, what: str) -> str:
    return f"1 {what}" if n == 1 else f"{n:,} {what}s"
