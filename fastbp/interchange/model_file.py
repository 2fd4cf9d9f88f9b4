"""Model files: a network, and what its inputs and outputs mean.

The container is that of `fastbp.interchange.tensor_file`, of kind "model", version 1. The tensors are
``layers.0.W``, of shape (n_in, n_out), and ``layers.0.b``, of shape (n_out,), of the first layer, and so on;
no ``b`` where ``bias="none"``. The document is::

    {"network": {"layer_sizes": [4, 16, 3], "hidden_activations": ["relu"], "output_activation": "softmax",
                 "loss": "categorical_cross_entropy", "bias": "trainable", "initializer": "he_uniform",
                 "dtype": "float64"},
     "preprocessing": null, or what `Preprocessing.as_document` returns,
     "notes": {"epochs": 200, ...},
     "fastbp": "0.1.0"}

`notes` are strings, finite numbers, booleans and nulls that whoever saved the model wanted to remember;
`fastbp` is the version that wrote the file. A reader refuses a key that it does not know: what comes later
gets a new version number.
"""

import math
import os
from collections.abc import Iterator
from itertools import pairwise
from numbers import Integral
from typing import Any, TypeVar

import numpy as np

from fastbp import initializers
from fastbp._version import __version__
from fastbp.errors import (
    LARGEST_INTEGER,
    FastbpError,
    ModelFileError,
    OptionError,
    as_float,
    is_flag,
    shown,
)
from fastbp.interchange.tensor_file import check_header, read_tensors, write_tensors
from fastbp.network import BIASES, DTYPES, Network
from fastbp.preprocessing import Preprocessing

KIND, VERSION = "model", 1

MORE_NOTES = 2**16
"""Bytes of notes that there may be more of when a model is saved than there were when it was checked."""

N = TypeVar("N", bound=Network)

NETWORK = (
    "layer_sizes",
    "hidden_activations",
    "output_activation",
    "loss",
    "bias",
    "initializer",
    "dtype",
)


def save(network: Network, path: str | os.PathLike[str]) -> None:
    """Write a network to a model file: see `Network.save`."""
    write_tensors(path, KIND, VERSION, _document(network), _tensors(network))


def check(network: Network) -> None:
    """Raise what `save` would, before the training whose result it is to save, with `MORE_NOTES`."""
    check_header(_document(network), len(_tensors(network)), MORE_NOTES)


def load(path: str | os.PathLike[str], make: type[N]) -> N:
    """Read a network, of a class that is made like `Network`, from a model file: see `Network.load`."""
    document, tensors = read_tensors(path, KIND, VERSION)
    try:
        return _network(document, tensors, make)
    except FastbpError as error:
        # It may quote what stands in the file, which may be of any length.
        raise ModelFileError(f"{os.fspath(path)}: is damaged: {str(error)[:400]}") from None


def _document(network: Network) -> dict[str, Any]:
    preprocessing = network.preprocessing and network.preprocessing.as_document()
    if network.preprocessing is not None:
        network.preprocessing.check_network(network.n_inputs, network.n_outputs)
        Preprocessing.from_document(preprocessing)  # what would not be read again is not written
    return {
        "network": {
            "layer_sizes": list(network.layer_sizes),
            "hidden_activations": list(network.hidden_activations),
            "output_activation": network.output_activation,
            "loss": network.loss_name,
            "bias": network.bias,
            "initializer": network.initializer,
            "dtype": network.dtype.name,
        },
        "preprocessing": preprocessing,
        "notes": {name: _note(name, value) for name, value in network.notes.items()},
        "fastbp": __version__,
    }


def _note(name: object, value: object) -> str | int | float | bool | None:
    """Return a note as JSON has it: a number of any type as Python's own."""
    if not isinstance(name, str):
        raise OptionError(f"notes has the key {shown(name)}, and keys must be strings")
    if value is None or isinstance(value, str):
        return value
    if is_flag(value):
        return bool(value)
    if isinstance(value, Integral) and abs(int(value)) <= LARGEST_INTEGER:
        return int(value)
    number = as_float(value)
    if number is None or not math.isfinite(number):
        raise OptionError(
            f"notes[{name!r}] is {shown(value)}, and may be a string, a finite number, a bool or None"
        )
    return number


def _tensors(network: Network) -> dict[str, np.ndarray]:
    tensors = {f"layers.{i}.W": W for i, W in enumerate(network.weights)}
    return tensors | {f"layers.{i}.b": b for i, b in enumerate(network.biases)}


def _network(document: dict[str, Any], tensors: dict[str, np.ndarray], make: type[N]) -> N:
    if set(document) != {"network", "preprocessing", "notes", "fastbp"}:
        raise ModelFileError("its document lacks a part, or has one too many")
    described, notes = document["network"], document["notes"]
    if not isinstance(described, dict) or set(described) != set(NETWORK):
        raise ModelFileError(f"it must describe the network by {', '.join(NETWORK)}")
    if not isinstance(notes, dict) or any(isinstance(note, dict | list) for note in notes.values()):
        raise ModelFileError("its notes must be strings, numbers, booleans and nulls")
    sizes, bias = described["layer_sizes"], described["bias"]
    counts = isinstance(sizes, list) and all(type(size) is int and size >= 1 for size in sizes)
    if not counts or len(sizes) < 2:
        raise ModelFileError("its layer_sizes must be two or more integers of at least 1")
    if bias not in BIASES or described["dtype"] not in DTYPES:
        raise ModelFileError(f"its bias must be one of {BIASES}, its dtype one of {DTYPES}")
    # Before a network is made: a few bytes of layer_sizes could ask for all memory.
    found = {name: (tensor.shape, tensor.dtype.name) for name, tensor in tensors.items()}
    if found != {name: (shape, described["dtype"]) for name, shape in _shapes(sizes, bias)}:
        raise ModelFileError("its tensors are not those of its layer_sizes, bias and dtype")
    if not isinstance(described["hidden_activations"], list):
        raise ModelFileError("its hidden_activations must be a list of names")
    network = make(
        sizes,
        hidden_activation=described["hidden_activations"],
        output_activation=described["output_activation"],
        loss=described["loss"],
        bias=bias,
        initializer="zeros",
        dtype=described["dtype"],
    )
    network.initializer = initializers.check_initializer(described["initializer"])
    network.notes = notes
    if document["preprocessing"] is not None:
        network.preprocessing = Preprocessing.from_document(document["preprocessing"])
        network.preprocessing.check_network(network.n_inputs, network.n_outputs)
    for name, view in _tensors(network).items():
        view[:] = tensors[name]
    return network


def _shapes(sizes: list[int], bias: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    for i, (n_in, n_out) in enumerate(pairwise(sizes)):
        yield f"layers.{i}.W", (n_in, n_out)
        if bias != "none":
            yield f"layers.{i}.b", (n_out,)
