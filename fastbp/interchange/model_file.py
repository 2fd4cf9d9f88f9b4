"""Model files: a network, and what its inputs and outputs mean.

The container is that of `fastbp.interchange.tensor_file`, of kind "model", version 2. The tensors are
``layers.0.W``, of shape (n_in, n_out), and ``layers.0.b``, of shape (n_out,), of the first layer, and so on.
There is no ``b`` if ``bias="none"``. The document is::

    {"network": {"layer_sizes": [4, 16, 3], "hidden_activations": ["relu"], "output_activation": "softmax",
                 "loss": "categorical_cross_entropy", "bias": "trainable", "initializer": "he_uniform",
                 "dtype": "float64"},
     "preprocessing": null, or what `Preprocessing.as_document` returns,
     "notes": {"epochs": 200, ...},
     "fastbp": "0.1.0"}

`notes` holds the strings, finite numbers, booleans and nulls that the user saved with the model. `fastbp` is
the version that wrote the file. A reader refuses unknown keys, so new keys need a new version number: version
2 has more keys in its preprocessing.
"""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np

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
from fastbp.preprocessing import Preprocessing
from fastbp.specification import Specification

KIND, VERSION = "model", 2

MORE_NOTES = 2**16
"""Bytes by which the notes may grow between `check` and `save`."""

Notes = dict[str, str | int | float | bool | None]


@dataclass(frozen=True, eq=False)
class StoredModel:
    """What a model file holds: a network, and what its inputs and outputs mean."""

    specification: Specification
    theta: np.ndarray
    preprocessing: Preprocessing | None
    notes: Notes


def save(path: str | os.PathLike[str], model: StoredModel) -> None:
    """Write a model file: see `Network.save`."""
    write_tensors(path, KIND, VERSION, _document(model), _tensors(model.specification, model.theta))


def check(model: StoredModel) -> None:
    """Raise what `save` would raise, before training starts, with `MORE_NOTES` bytes more notes."""
    check_header(_document(model), len(_tensors(model.specification, model.theta)), MORE_NOTES)


def load(path: str | os.PathLike[str]) -> StoredModel:
    """Read a model file: see `Network.load`."""
    document, tensors = read_tensors(path, KIND, VERSION)
    try:
        return _model(document, tensors)
    except FastbpError as error:
        # The message may quote the file, so it may have any length.
        raise ModelFileError(f"{os.fspath(path)}: is damaged: {str(error)[:400]}") from None


def _document(model: StoredModel) -> dict[str, Any]:
    preprocessing = model.preprocessing and model.preprocessing.as_document()
    if model.preprocessing is not None:
        model.preprocessing.check_network(model.specification.n_inputs, model.specification.n_outputs)
        Preprocessing.from_document(preprocessing)  # what could not be read is not written
    return {
        "network": model.specification.as_document(),
        "preprocessing": preprocessing,
        "notes": {name: _note(name, value) for name, value in model.notes.items()},
        "fastbp": __version__,
    }


def _note(name: object, value: object) -> str | int | float | bool | None:
    """Return a note as a JSON value; a number of any type becomes Python's own."""
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


def _tensors(specification: Specification, theta: np.ndarray) -> dict[str, np.ndarray]:
    weights, biases = specification.views(theta)
    tensors = {f"layers.{i}.W": W for i, W in enumerate(weights)}
    return tensors | {f"layers.{i}.b": b for i, b in enumerate(biases)}


def _model(document: dict[str, Any], tensors: dict[str, np.ndarray]) -> StoredModel:
    if set(document) != {"network", "preprocessing", "notes", "fastbp"}:
        raise ModelFileError(
            "its document must have network, preprocessing, notes and fastbp, and nothing else"
        )
    notes = document["notes"]
    if not isinstance(notes, dict) or any(isinstance(note, dict | list) for note in notes.values()):
        raise ModelFileError("its notes must be strings, numbers, booleans and nulls")
    specification = Specification.from_document(document["network"])
    # Checked before theta is made: a few bytes of layer_sizes could ask for all memory.
    found = {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}
    if found != dict(_expected(specification)):
        raise ModelFileError("its tensors are not those of its layer_sizes, bias and dtype")
    theta = np.empty(specification.n_parameters, specification.dtype)
    for name, view in _tensors(specification, theta).items():
        view[:] = tensors[name]
    preprocessing = None
    if document["preprocessing"] is not None:
        preprocessing = Preprocessing.from_document(document["preprocessing"])
        preprocessing.check_network(specification.n_inputs, specification.n_outputs)
    return StoredModel(specification, theta, preprocessing, notes)


def _expected(specification: Specification) -> Iterator[tuple[str, tuple[tuple[int, ...], np.dtype]]]:
    for i, layer in enumerate(specification.layers):
        yield f"layers.{i}.W", ((layer.n_in, layer.n_out), specification.dtype)
        if specification.has_bias:
            yield f"layers.{i}.b", ((layer.n_out,), specification.dtype)
