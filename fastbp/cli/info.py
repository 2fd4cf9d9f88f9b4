"""Describe a model file, or this machine as fastbp sees it."""

import argparse
import shlex
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fastbp
from fastbp import _jit
from fastbp.benchmark.machine import describe_machine
from fastbp.cli.files import load_model, size
from fastbp.cli.tables import WIDTH, shown, table
from fastbp.interchange.standard_json import dumps
from fastbp.preprocessing import ClassTarget, DateColumn, NumberColumn, SeveralTargets

SHOWN = 40
"""The most columns that are listed; `--json` lists all."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `fastbp info`."""
    parser.add_argument("model", type=Path, nargs="?", help="a model file; without one, the machine")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Run `fastbp info`."""
    if options.model is None:
        machine = _machine()
        print(dumps(machine, indent=2) if options.json else _facts(machine))
        return 0
    network = load_model(options.model)
    print(
        dumps(_model(options.model, network), indent=2)
        if options.json
        else _model_text(options.model, network)
    )
    return 0


# --- the machine -------------------------------------------------------------------------------------


def _machine() -> dict[str, str | int]:
    cache = Path(_jit.cache_folder())
    files = [path for path in cache.rglob("*") if path.suffix == ".nbc"]
    used = sum(path.stat().st_size for path in files)
    facts = describe_machine()
    return {
        "fastbp": fastbp.__version__,
        "processor": facts["processor"],
        "compiled for": facts["LLVM CPU"],
        "vector width": facts["vector width"],
        "cores": facts["cores"],
        "cache folder": str(cache),
        "compiled kernels": f"{len(files)} in the cache, {used / 1e6:.1f} MB"
        if files
        else "none yet: fastbp warmup",
        "OS": facts["OS"],
        "C library": facts["C library"],
        "Python": facts["Python"],
        "NumPy": facts["NumPy"],
        "Numba": facts["Numba"],
    }


def _facts(facts: Mapping[str, object]) -> str:
    width = max(len(name) for name in facts)
    return "\n".join(f"{name:<{width}}  {shown(str(fact))}" for name, fact in facts.items())


# --- a model -----------------------------------------------------------------------------------------


def _model(path: Path, network: fastbp.Network) -> dict[str, Any]:
    return {
        "model": str(path),
        **network.specification.as_document(),
        "n_parameters": network.theta.size,
        "preprocessing": network.preprocessing and network.preprocessing.as_document(),
        "notes": network.notes,
    }


def _model_text(path: Path, network: fastbp.Network) -> str:
    preprocessing = network.preprocessing
    parts = [f"{path} ({size(path)}): {_purpose(network)}", _layers(network)]
    if preprocessing is not None:
        parts.append(_columns(network))
    if network.notes:
        parts.append(_facts({name: _note(note) for name, note in network.notes.items()}))
    parts.append(f"Next: fastbp predict {shlex.quote(str(path))} FILE --out predictions.csv")
    return "\n\n".join(parts)


def _purpose(network: fastbp.Network) -> str:
    if network.preprocessing is None:
        return "a network; the file does not say what its inputs and outputs mean"
    if isinstance(network.preprocessing.target, SeveralTargets):
        kind = "labels" if network.preprocessing.is_of_classes else "numbers"
        names = ", ".join(repr(shown(target.name)) for target in network.preprocessing.targets)
        return f"predicts the {kind} {names}"
    target = network.preprocessing.target
    if isinstance(target, ClassTarget):
        labels = [shown(str(label)) for label in target.labels]
        listed = labels if len(labels) <= 10 else [*labels[:9], f"and {len(labels) - 9} more"]
        return f"predicts the class {target.name!r}: {', '.join(listed)}"
    return f"predicts the number {target.name!r}, mean {target.mean:.4g}, scale {target.scale:.4g}"


def _layers(network: fastbp.Network) -> str:
    activations = ("", *network.hidden_activations, network.output_activation)
    rows = []
    for i, (n, activation) in enumerate(zip(network.layer_sizes, activations, strict=True)):
        name = "inputs" if i == 0 else "outputs" if i == len(network.layer_sizes) - 1 else f"hidden {i}"
        own = 0
        if i:
            own = network.weights[i - 1].size + (network.biases[i - 1].size if network.biases else 0)
        rows.append([name, f"{n:,}", activation, f"{own:,}" if i else ""])
    text = table(
        ["layer", "size", "activation", "parameters"], {"": rows}, ["left", "right", "left", "right"]
    )
    return (
        f"{text}\n\n{network.theta.size:,} parameters, {network.dtype}, loss {network.loss_name}, "
        f"bias {network.bias}"
    )


def _columns(network: fastbp.Network) -> str:
    preprocessing = network.preprocessing
    assert preprocessing is not None
    rows = []
    for column in preprocessing.columns[:SHOWN]:
        if isinstance(column, NumberColumn | DateColumn):
            kept = preprocessing.standardize
            rows.append(
                [column.name, f"{column.mean:.4g}", f"{column.scale:.4g}" if kept else "as it is", ""]
            )
        else:
            rows.append([column.name, "", "", textwrap.shorten(", ".join(column.categories), WIDTH // 2)])
    text = table(["column", "mean", "scale", "categories"], {"": rows}, ["left", "right", "right", "left"])
    if not any(row[3] for row in rows):
        text = table(["column", "mean", "scale"], {"": [row[:3] for row in rows]}, ["left", "right", "right"])
    more = len(preprocessing.columns) - SHOWN
    return f"{text}\n... and {more:,} more columns" if more > 0 else text


def _note(note: object) -> str:
    if note is None:
        return "none"
    return f"{note:.6g}" if isinstance(note, float) else str(note)
