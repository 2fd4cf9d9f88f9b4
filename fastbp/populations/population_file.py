"""Files of populations: all networks of a population in one safetensors file.

The container is that of `fastbp.interchange.tensor_file`, of kind "population", version 1. The tensors are
``layers.0.W``, of shape (n_networks, n_in, n_out), and ``layers.0.b``, of shape (n_networks, n_out), of the
first layer, and so on; ``indices``, of shape (n_networks,); and ``scores``, of that shape, too, if there are
any. There is no ``b`` if ``bias="none"``. The document is::

    {"network": what `Specification.as_document` returns, "fastbp": "0.1.0"}
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp._version import __version__
from fastbp.errors import FastbpError, ModelFileError
from fastbp.interchange.tensor_file import read_tensors, write_tensors
from fastbp.specification import Specification

KIND, VERSION = "population", 1


@dataclass(frozen=True, eq=False)
class StoredPopulation:
    """What a file holds of a population."""

    specification: Specification
    theta: np.ndarray
    indices: np.ndarray
    scores: np.ndarray | None


def save_population(path: str | os.PathLike[str], stored: StoredPopulation) -> None:
    """Write a file: see `Population.save`."""
    tensors = dict(_views(stored.specification, stored.theta))
    tensors["indices"] = stored.indices
    if stored.scores is not None:
        tensors["scores"] = np.asarray(stored.scores, np.float64)
    document = {"network": stored.specification.as_document(), "fastbp": __version__}
    write_tensors(path, KIND, VERSION, document, tensors)


def load_population(path: str | os.PathLike[str]) -> StoredPopulation:
    """Read a file: see `Population.load`."""
    document, tensors = read_tensors(path, KIND, VERSION)
    try:
        return _stored(document, tensors)
    except FastbpError as error:
        # The message may quote the file, so it may have any length.
        raise ModelFileError(f"{os.fspath(path)}: is damaged: {str(error)[:400]}") from None


def _stored(document: dict[str, Any], tensors: dict[str, np.ndarray]) -> StoredPopulation:
    if set(document) != {"network", "fastbp"}:
        raise ModelFileError("its document must have network and fastbp, and nothing else")
    specification = Specification.from_document(document["network"])
    indices = tensors.get("indices")
    if indices is None or indices.ndim != 1 or indices.dtype != np.int64 or not indices.size:
        raise ModelFileError("it must have indices: an integer for each network, and one network at least")
    # Checked before theta is made: a few bytes of layer_sizes could ask for all memory.
    found = {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}
    scores = found.pop("scores", None)
    if found != dict(_expected(specification, indices.size)):
        raise ModelFileError("its tensors are not those of its indices, layer_sizes, bias and dtype")
    if scores is not None and scores != ((indices.size,), np.float64):
        raise ModelFileError("its scores must be a float64 for each network")
    if indices.min() < 0:
        raise ModelFileError("its indices must be at least 0")
    theta = np.empty((indices.size, specification.n_parameters), specification.dtype)
    for name, view in _views(specification, theta):
        view[:] = tensors[name]
    return StoredPopulation(
        specification,
        theta,
        indices.copy(),
        tensors["scores"].copy() if scores is not None else None,
    )


def _views(specification: Specification, theta: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the tensors of the layers by name, as views into theta."""
    for i, layer in enumerate(specification.layers):
        size = layer.n_in * layer.n_out
        yield f"layers.{i}.W", theta[:, layer.w_at : layer.w_at + size].reshape(-1, layer.n_in, layer.n_out)
        if specification.has_bias:
            yield f"layers.{i}.b", theta[:, layer.b_at : layer.b_at + layer.n_out]


def _expected(
    specification: Specification, n_networks: int
) -> Iterator[tuple[str, tuple[tuple[int, ...], Any]]]:
    yield "indices", ((n_networks,), np.dtype(np.int64))
    for i, layer in enumerate(specification.layers):
        yield f"layers.{i}.W", ((n_networks, layer.n_in, layer.n_out), specification.dtype)
        if specification.has_bias:
            yield f"layers.{i}.b", ((n_networks, layer.n_out), specification.dtype)
