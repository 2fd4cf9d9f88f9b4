"""Train a network on a file, and write a model file.

fastbp train iris.csv --target species --hidden 16,16 --epochs 200 --validation 0.2 --out iris.safetensors

The folder iris.checkpoints keeps the run: one that was killed goes on with --resume, and so does one that is
over, if there are more --epochs now.
"""

import argparse
import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import fastbp
from fastbp import data
from fastbp.cli.config import with_config
from fastbp.cli.curve import draw_curve
from fastbp.cli.epoch_log import EpochLog
from fastbp.cli.files import load_model
from fastbp.cli.learning_options import options_of_rows
from fastbp.cli.scores import Score, evaluate
from fastbp.cli.stopping_signals import stopped_by_signals
from fastbp.cli.train_options import DEFAULTS, add_arguments, check, make_fitting
from fastbp.cli.train_report import Report, notes_of
from fastbp.data.fitting import Fitted, Fitting, fit_dataset, member_folders
from fastbp.data.model import make_network
from fastbp.interchange import model_file
from fastbp.interchange.standard_json import dumps
from fastbp.training.checkpoint import CheckpointFolder

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["add_arguments", "run"]


def run(options: argparse.Namespace) -> int:
    """Run `fastbp train`; the status is 130 if Ctrl-C, SIGTERM or SIGHUP ended it, with the model written."""
    options = argparse.Namespace(**(DEFAULTS | vars(with_config(options, add_arguments))))
    check(options)
    fitting = make_fitting(options)
    with _alone(options.out), stopped_by_signals():
        return _run(options, fitting)


def _run(options: argparse.Namespace, fitting: Fitting) -> int:
    _check_resume(options)
    start = None if options.start_from is None else load_model(options.start_from)
    if start is not None and start.preprocessing is None:
        raise fastbp.OptionError(f"--start-from {options.start_from} has a network without a preprocessing")
    known = None if start is None else start.preprocessing
    dataset = data.load(
        options.data,
        target=options.target or None,
        stratify=options.stratify,
        preprocessing=known,
        validation=options.validation,
        seed=options.seed,
        dtype=options.dtype or (start.dtype.name if start else "float64"),
        scratch=options.out.parent,
        **options_of_rows(options),
    )
    for remark in dataset.remarks:
        print(f"fastbp train: {remark}", file=sys.stderr)

    def make(seed: int | None) -> fastbp.Network:
        """Return a network with new start weights, or that to go on with."""
        return make_network(
            dataset,
            hidden=options.hidden,
            activation=options.activation,
            initializer=options.initializer,
            loss=options.loss,
            dtype=options.dtype,
            seed=seed,
            start=start,
        )

    network = make(options.seed)
    model_file.check(network.stored())  # rather now than after hours
    network.predict(dataset.X[:1], prepared=True)  # loads the kernel, which would be 0.2 s of the run's time
    of_train = fitting.options(len(dataset.X))
    options.batch_size = of_train["batch_size"]  # of the defaults, now that the rows are counted
    fitted = _train(make, dataset, fitting, options)
    network, result = fitted.network, fitted.result
    parts: dict[str, list[Score]] = {}
    try:
        parts["training"] = evaluate(network, dataset.X, dataset.Y)
        if dataset.validation_data is not None:
            parts["validation"] = evaluate(fitted.judged, *dataset.validation_data)
    finally:  # whatever comes in between: Ctrl-C, too little memory
        network.notes = notes_of(options, of_train["optimizer"], result, parts)
        _save(network, options.out)
    if result.stop_reason.is_final:
        _forget(options.out, but_newest=result.stop_reason == "completed")
    _remark_on_scores(parts)
    report = Report(options, dataset, network, result, parts, fitted.results)
    print(dumps(report.as_json(), indent=2) if options.json else report.as_text(), flush=True)
    if options.plot is not None:
        title = "Loss, of scaled targets" if dataset.preprocessing.scales_targets else "Loss"
        draw_curve(result.history, options.plot, result.best_epoch, title)
    return 130 if result.stop_reason == "interrupted" else 0


def _train(
    make: Callable[[int | None], fastbp.Network],
    dataset: data.Dataset,
    fitting: Fitting,
    options: argparse.Namespace,
) -> Fitted:
    if not options.resume:
        _forget(options.out)
    with ExitStack() as stack:
        log = stack.enter_context(EpochLog(options.log, options.resume)) if options.log else None
        try:
            fitted = fit_dataset(
                dataset,
                make,
                fitting,
                l2=options.l2,
                dropout=options.dropout,
                label_smoothing=options.label_smoothing,
                early_stopping=_stopping(options),
                goal=options.goal,
                every=options.every,
                callbacks=[log] if log else [],
                checkpoint=fastbp.Checkpoint(_folder(options.out)),
                resume=options.resume,
                max_seconds=options.max_seconds,
            )
        except (fastbp.CheckpointError, fastbp.ModelFileError) as error:
            raise type(error)(f"{error} (here: --restart)") from None
        except fastbp.DivergenceError as error:
            rate = "--restart --learning-rate RATE"
            raise fastbp.DivergenceError(f"{error} (here: {rate})", error.step) from None
        if log:
            log.finish(fitted.result.history)
    return fitted


def _stopping(options: argparse.Namespace) -> fastbp.EarlyStopping | None:
    if options.rule is not None:
        return fastbp.EarlyStopping(rule=options.rule)
    return fastbp.EarlyStopping(options.patience) if options.patience else None


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


def _folder(out: Path) -> Path:
    """Return where the folder is that a run is kept in until it is done."""
    return out.with_suffix(".checkpoints")


def _checkpoints(out: Path) -> CheckpointFolder:
    """Return that folder's checkpoints, which are those of the first training."""
    return CheckpointFolder(_folder(out))


def _forget(out: Path, *, but_newest: bool = False) -> None:
    """Remove the checkpoints of the first training, and those of others with their folders."""
    _checkpoints(out).forget(but_newest=but_newest)
    for folder in member_folders(_folder(out)):
        CheckpointFolder(folder).forget()
        with suppress(OSError):  # something else is in it
            folder.rmdir()


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Hold the folder of a run, so that no other process takes it, or writes the same model."""
    folder = _folder(out)
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
    folder, checkpoints = _folder(options.out), _checkpoints(options.out)
    if options.resume and options.restart:
        raise fastbp.OptionError("--resume goes on, and --restart starts anew; give one of them")
    if options.resume and not checkpoints.exists():
        raise fastbp.OptionError(f"--resume: {folder} has no run to go on with; leave --resume out")
    others = [CheckpointFolder(path) for path in member_folders(folder)]
    is_over = checkpoints.is_over() and all(other.is_over() for other in others)
    if checkpoints.exists() and not is_over and not options.resume and not options.restart:
        raise fastbp.OptionError(
            f"{folder} has a run that was stopped: --resume goes on with it, --restart starts anew"
        )
