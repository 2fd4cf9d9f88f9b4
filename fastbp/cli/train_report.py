"""The report of `fastbp train`: what there is to say about a run that ended, for readers and programs."""

import argparse
import math
import shlex
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import fastbp
from fastbp import data
from fastbp.cli.files import size
from fastbp.cli.scores import Score
from fastbp.cli.tables import WIDTH, rounded, shown, table
from fastbp.preprocessing import ClassTarget, SeveralTargets


def notes_of(
    options: argparse.Namespace,
    optimizer: Any,
    result: fastbp.TrainingResult,
    parts: Mapping[str, Sequence[Score]],
) -> dict[str, str | int | float | bool | None]:
    """Return what is worth remembering, and nothing that differs between two runs of the same command."""
    notes: dict[str, str | int | float | bool | None] = {
        "data": options.data.name,
        "steps": result.n_steps,
        "stop_reason": result.stop_reason.value,
        "batch_size": options.batch_size,
        "optimizer": repr(optimizer),
        "l2": options.l2,
        "dropout": options.dropout,
        "seed": options.seed,
        "label_smoothing": options.label_smoothing,
        "ensemble": options.ensemble,
        "n_starts": options.n_starts,
        "refit": options.refit,
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
    results: Sequence[fastbp.TrainingResult]

    @property
    def n_rows(self) -> dict[str, int]:
        """How many rows each part has."""
        X = {"training": self.dataset.X, "validation": self.dataset.X_validation}
        return {part: len(rows) for part, rows in X.items() if rows is not None}

    @property
    def epochs(self) -> int:
        """Epochs that ended."""
        rows = self.n_rows["training"]
        return self.result.n_steps // -(-rows // (self.options.batch_size or rows))

    def as_json(self) -> dict[str, Any]:
        """Return the results for JSON."""
        target, result = self.dataset.preprocessing.target, self.result
        return {
            "data": str(self.options.data),
            "task": self.dataset.task,
            "target": target.name,
            "classes": target.labels if isinstance(target, ClassTarget) else None,
            "targets": [one.name for one in self.dataset.preprocessing.targets],
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
            "stop_reason": result.stop_reason.value,
            "best_epoch": result.best_epoch,
            "seed": self.options.seed,
            "trainings": len(self.results),
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
        several = ", ".join(repr(shown(one.name)) for one in preprocessing.targets)
        kind = "labels" if preprocessing.is_of_classes else "numbers"
        what = f"{kind} {several}" if isinstance(target, SeveralTargets) else f"a number, {target.name!r}"
        if isinstance(target, ClassTarget):
            labels = [shown(str(label)) for label in target.labels]
            listed = labels if len(labels) <= 10 else [*labels[:9], f"and {len(labels) - 9} more"]
            what = f"{len(labels)} classes of {target.name!r}: {', '.join(listed)}"
        text = f"{self.options.data}: {sum(self.n_rows.values()):,} rows, {inputs}, {what}"
        return textwrap.fill(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False)

    def _scores(self) -> str:
        preprocessing = self.dataset.preprocessing
        labels = {"loss": "loss, of scaled targets"} if preprocessing.scales_targets else {}
        names = [labels.get(score.name, score.label) for score in self.parts["training"]]
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
            "interrupted": "by Ctrl-C or a signal",
            "early_stopping": f"no better since epoch {result.best_epoch}, which is what was kept",
            "goal": "at the goal",
            "max_seconds": "after --max-seconds",
        }
        if self.options.rule is not None:
            reasons["early_stopping"] = f"by {self.options.rule}; epoch {result.best_epoch} was kept"
        rows = [
            ["network", "-".join(map(str, network.layer_sizes)) + f", {', '.join(activations)}"],
            ["", f"{network.theta.size:,} parameters, {network.dtype}, loss {network.loss_name}"],
            ["training", f"{_many(self.epochs, 'epoch')}, {_many(result.n_steps, 'step')} in {seconds} s"],
            ["", f"{pace} steps a second, kernel {result.kernel}"],
            ["ended", reasons.get(result.stop_reason, result.stop_reason)],
            *([["", self._others()]] if len(self.results) > 1 else []),
            ["model", f"{self.options.out} ({size(self.options.out)})"],
        ]
        rows += [
            [name, str(path)]
            for name, path in (("picture", self.options.plot), ("log", self.options.log))
            if path is not None
        ]
        return "\n".join(f"{name:<10}{text}" for name, text in rows)

    def _others(self) -> str:
        """Return what the further trainings were for; the rows above are of the one that comes first."""
        n, last = len(self.results), self.results[-1]
        if self.options.refit:
            ended = "" if last.stop_reason.is_final else "; this did not end, and the model is the one before"
            return f"then on all rows: {_many(last.n_steps, 'step')} in {rounded(last.seconds)} s{ended}"
        seconds = rounded(sum(result.seconds for result in self.results))
        if self.options.n_starts > 1:
            return f"the best of {n} starts, in {seconds} s"
        return f"the first of {n} networks, whose average this is, in {seconds} s"

    def _next(self) -> str:
        if not self.result.stop_reason.is_final:
            instead = " instead of --restart" if self.options.restart else ""
            return f"Next: the same command with --resume{instead} goes on"
        command = ["fastbp", "predict", str(self.options.out), str(self.options.data)]
        return f"Next: {shlex.join([*command, '--out', 'predictions.csv'])}"


def _many(n: int, what: str) -> str:
    return f"1 {what}" if n == 1 else f"{n:,} {what}s"
