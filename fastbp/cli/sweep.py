"""Try many networks with different hyper-parameters on a file, and write the best one.

fastbp sweep iris.csv --target species --networks 1000 --learning-rate 1e-4..1e-1 --hidden 8/16/32,32

With --journal FOLDER, a sweep that was stopped or killed goes on with the same command.
"""

import argparse
import shlex
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import fastbp
from fastbp.cli.config import with_config
from fastbp.cli.files import size
from fastbp.cli.learning_options import options_of_rows
from fastbp.cli.stopping_signals import stopped_by_signals
from fastbp.cli.sweep_options import DEFAULTS, add_arguments, check, space_of
from fastbp.cli.tables import WIDTH, shown
from fastbp.interchange.standard_json import dumps
from fastbp.sweeping.leaderboard import as_table, plain, rows_of
from fastbp.sweeping.sweep_result import SweepResult
from fastbp.sweeping.transport import processes

__all__ = ["add_arguments", "run"]


def run(options: argparse.Namespace) -> int:
    """Run `fastbp sweep`; the status is 130 if Ctrl-C, SIGTERM or SIGHUP ended it, with the best so far.

    What was found is written as soon as the sweep has ended, before the best network is trained again.
    """
    options = argparse.Namespace(**(DEFAULTS | vars(with_config(options, add_arguments))))
    check(options)
    space = space_of(options)
    with stopped_by_signals():
        with _executor(options) as executor:
            result = _sweep(options, space, executor)
        if not len(result.order):
            print("fastbp sweep: ended before any network was finished" + _how_to_go_on(options))
            return 130 if result.stop_reason == "interrupted" else 1
        if options.leaderboard is not None:
            result.save(options.leaderboard)
        if not options.json:
            print(_found(options, result), flush=True)
        left_out = write(options, result)
    if options.json:
        print(dumps(_as_json(options, result, left_out), indent=2))
    else:
        print("\n" + _written(options, result, left_out))
    return 130 if result.stop_reason == "interrupted" or "model" in left_out else 0


def write(options: argparse.Namespace, result: SweepResult) -> list[str]:
    """Train and write the best network, and draw; return what is left out.

    After Ctrl-C, only the network is trained, and another Ctrl-C leaves that out, too.
    """
    left_out = []
    if result.stop_reason == "interrupted":
        left_out = ["importances", *(["picture"] if options.plot is not None else [])]
    try:
        if options.plot is not None and "picture" not in left_out:
            result.plot(options.plot)
        model = result.model() if options.no_refit else result.refit()
        model.network.notes = _notes(options, result)
        model.save(options.out)
    except KeyboardInterrupt:
        left_out = ["model", *left_out]
    return left_out


def _sweep(options: argparse.Namespace, space: dict[str, Any], executor: Any) -> SweepResult:
    return fastbp.sweep(
        options.data,
        options.target,
        space,
        options.networks,
        epochs=options.epochs,
        halving=None if options.halving == 1 else options.halving,
        min_epochs=options.min_epochs,
        hyperband=options.hyperband,
        sampling=options.sampling,
        validation=options.validation,
        folds=options.folds,
        stratify=options.stratify,
        loss=options.loss,
        dtype=options.dtype,
        seed=options.seed,
        executor=executor,
        journal=options.journal,
        resume=not options.restart,
        shard_size=options.shard_size,
        max_seconds=options.max_seconds,
        **options_of_rows(options),
    )


@contextmanager
def _executor(options: argparse.Namespace) -> Iterator[Any]:
    """Yield where shards run: None is this process."""
    if options.dask is None:
        yield None if options.workers is None else processes(options.workers)
        return
    try:
        from distributed import Client
    except ImportError:
        raise fastbp.OptionError("--dask needs Dask; install it: pip install 'fastbp[dask]'") from None
    try:
        client = Client(options.dask, timeout=10)
    except (OSError, ValueError) as error:
        raise fastbp.OptionError(f"--dask is {options.dask!r}, and there is no scheduler: {error}") from None
    with client:
        yield client


def _notes(options: argparse.Namespace, result: SweepResult) -> dict[str, Any]:
    """Return what is worth remembering, and nothing that differs between two runs of the same command."""
    best = {name: value for name, value in result.best.items() if name != "rank"}
    written = {
        name: value if isinstance(value, int | float | str) else str(value) for name, value in best.items()
    }
    return {
        "data": options.data.name,
        "seed": options.seed,
        "networks": result.n_trials,
        "refitted": not options.no_refit,
        **{f"sweep {name}": value for name, value in written.items()},
    }


def _as_json(options: argparse.Namespace, result: SweepResult, left_out: list[str]) -> dict[str, Any]:
    rows = rows_of(result.leaderboard(options.top))
    return {
        "data": str(options.data),
        **result.as_document(),
        "best": {name: plain(value) for name, value in result.best.items()},
        "importances": {} if "importances" in left_out else result.importances(),
        "leaderboard": [{name: plain(value) for name, value in row.items()} for row in rows],
        "model": None if "model" in left_out else str(options.out),
        "plot": None if options.plot is None or "picture" in left_out else str(options.plot),
    }


def _found(options: argparse.Namespace, result: SweepResult) -> str:
    """Return what the sweep found: the leaderboard."""
    document = result.as_document()
    dataset = result.folds.datasets[0]
    n_rows = len(dataset.X) + (0 if dataset.X_validation is None else len(dataset.X_validation))
    preprocessing = dataset.preprocessing
    how = f"{document['folds']} folds" if document["folds"] > 1 else "rows held out"
    text = (
        f"{options.data}: {n_rows:,} rows, {preprocessing.n_inputs} inputs, {preprocessing.target.name!r}; "
        f"{result.n_finished:,} of {result.n_trials:,} networks in {result.seconds:.3g} s, compared by the "
        f"loss of {how}; {document['n_diverged']:,} diverged"
    )
    parts = [textwrap.fill(shown(text), WIDTH, subsequent_indent="  ", break_on_hyphens=False)]
    if options.top:
        parts.append(as_table(result.leaderboard(options.top)))
    return "\n\n".join(parts)


def _written(options: argparse.Namespace, result: SweepResult, left_out: list[str]) -> str:
    """Return what mattered, the files that were written, and what to do next."""
    parts, files = [], []
    if "importances" not in left_out:
        shares = [f"{name} {100 * share:.0f} %" for name, share in result.importances().items()]
        text = "What mattered: " + ", ".join(shares)
        parts += [textwrap.fill(text, WIDTH, subsequent_indent="  ")] if shares else []
    if "model" not in left_out:
        kept = "as compared" if options.no_refit else "trained on all rows"
        files.append(("model", f"{options.out} ({size(options.out)}), {kept}"))
    files += [
        (name, str(path))
        for name, path in (
            ("board", options.leaderboard),
            ("picture", options.plot),
            ("journal", options.journal),
        )
        if path is not None and name not in left_out
    ]
    parts += ["\n".join(f"{name:<10}{text}" for name, text in files)] if files else []
    if left_out:
        parts.append(f"Left out: {', '.join(left_out)}")
    if result.stop_reason != "completed":
        parts.append(f"Ended early ({result.stop_reason})" + _how_to_go_on(options))
    if "model" not in left_out:
        command = ["fastbp", "predict", str(options.out), str(options.data), "--out", "predictions.csv"]
        parts.append(f"Next: {shlex.join(command)}")
    return "\n\n".join(parts)


def _how_to_go_on(options: argparse.Namespace) -> str:
    if options.journal is None:
        return "; with --journal FOLDER, the same command would go on"
    return f"; the same command{' without --restart' if options.restart else ''} goes on"
