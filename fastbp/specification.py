"""Specification: what a network is, without its parameters."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple, Self

import numpy as np

from fastbp.activations import check_activation
from fastbp.errors import LARGEST_INTEGER, OptionError, check_choice, check_integer, shown
from fastbp.initializers import Initializer, check_initializer
from fastbp.losses import check_loss, check_output

BIASES = ("trainable", "fixed", "none")
DTYPES = ("float64", "float32")

IN_DOCUMENTS = {"loss_name": "loss"}
"""Fields that have another name in documents."""


class LayerShape(NamedTuple):
    """Where a layer's parameters are in theta: W from `w_at` on, in row-major order, and b from `b_at` on."""

    n_in: int
    n_out: int
    w_at: int
    b_at: int


@dataclass(frozen=True, repr=False)
class Specification:
    """Everything that defines a network, except its parameters. It checks its own fields.

    Parameters
    ----------
    layer_sizes : sequence of int
        The width of every layer, inputs first, outputs last.
    hidden_activations : str or sequence of str, default "sigmoid"
        One name for all hidden layers, or one for each. It is stored as one for each.
    output_activation, loss_name, bias : str
        As `Network` takes them; `loss_name` is its `loss`.
    initializer : str or tuple, default "glorot_uniform"
        As `Network` takes it; a list becomes a tuple.
    dtype : str or dtype, default "float64"
        It is stored as a dtype.

    Raises
    ------
    OptionError
        If a field has a value that it may not have.

    Examples
    --------
    >>> specification = Specification([2, 3, 1])
    >>> specification.n_parameters, specification.layers[1]
    (13, LayerShape(n_in=3, n_out=1, w_at=9, b_at=12))
    >>> Specification.from_document(specification.as_document()) == specification
    True
    """

    layer_sizes: tuple[int, ...]
    hidden_activations: tuple[str, ...] = "sigmoid"  # type: ignore[assignment]
    output_activation: str = "sigmoid"
    loss_name: str = "half_squared_error"
    bias: str = "trainable"
    initializer: Initializer = "glorot_uniform"
    dtype: np.dtype = "float64"  # type: ignore[assignment]

    def __post_init__(self) -> None:
        sizes = _check_layer_sizes(self.layer_sizes)
        checked = {
            "layer_sizes": sizes,
            "hidden_activations": _check_hidden(self.hidden_activations, len(sizes) - 2),
            "output_activation": check_activation("output_activation", self.output_activation),
            "loss_name": check_loss(self.loss_name),
            "bias": check_choice("bias", self.bias, BIASES),
            "initializer": check_initializer(self.initializer),
            "dtype": np.dtype(check_choice("dtype", _dtype_name(self.dtype), DTYPES)),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        check_output(self.loss_name, self.output_activation, self.n_outputs)
        if self.n_parameters * self.dtype.itemsize > np.iinfo(np.intp).max:
            raise OptionError(
                f"layer_sizes is {shown(list(sizes))}: {self.n_parameters} parameters fit in no memory"
            )

    def __repr__(self) -> str:
        return f"Specification({self.summary})"

    @property
    def summary(self) -> str:
        """What the specification and its network show of themselves."""
        document = self.as_document()
        hidden = ", ".join(dict.fromkeys(document["hidden_activations"]))
        words = (str(document["layer_sizes"]), hidden, document["output_activation"], document["loss"])
        listed = ", ".join(word for word in words if word)
        return f"{listed}, bias={document['bias']!r}, dtype={document['dtype']!r}"

    @property
    def n_inputs(self) -> int:
        """Number of input features."""
        return self.layer_sizes[0]

    @property
    def n_outputs(self) -> int:
        """Number of outputs."""
        return self.layer_sizes[-1]

    @property
    def has_bias(self) -> bool:
        """Whether layers have biases."""
        return self.bias != "none"

    @cached_property
    def n_multiplications(self) -> int:
        """Multiplications in the forward pass of one sample: the number of weights."""
        return sum(n_in * n_out for n_in, n_out in pairwise(self.layer_sizes))

    @cached_property
    def n_parameters(self) -> int:
        """The length of theta."""
        return self.n_multiplications + self.has_bias * sum(self.layer_sizes[1:])

    @cached_property
    def layers(self) -> tuple[LayerShape, ...]:
        """Sizes of every layer, and where its parameters are in theta."""
        layers, at = [], 0
        for n_in, n_out in pairwise(self.layer_sizes):
            layers.append(LayerShape(n_in, n_out, at, at + n_in * n_out))
            at += (n_in + self.has_bias) * n_out
        return tuple(layers)

    def views(self, vector: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Return the W and the b of every layer as views into a vector that is laid out as theta."""
        weights, biases = [], []
        for n_in, n_out, at, b_at in self.layers:
            weights.append(vector[at:b_at].reshape(n_in, n_out))
            if self.has_bias:
                biases.append(vector[b_at : b_at + n_out])
        return weights, biases

    def as_document(self) -> dict[str, Any]:
        """Return the specification as JSON values.

        Examples
        --------
        >>> Specification([4, 16, 3]).as_document()["layer_sizes"]
        [4, 16, 3]
        """
        return {
            "layer_sizes": list(self.layer_sizes),
            "hidden_activations": list(self.hidden_activations),
            "output_activation": self.output_activation,
            "loss": self.loss_name,
            "bias": self.bias,
            "initializer": self.initializer if isinstance(self.initializer, str) else [*self.initializer],
            "dtype": self.dtype.name,
        }

    @classmethod
    def from_document(cls, document: object) -> Self:
        """Return the specification that `as_document` described.

        Raises
        ------
        OptionError
            If the document is not one that `as_document` returns.
        """
        names = {IN_DOCUMENTS.get(field.name, field.name): field.name for field in fields(cls)}
        if not isinstance(document, dict) or set(document) != set(names):
            raise OptionError(f"the network must be described by {', '.join(names)}")
        for name in ("layer_sizes", "hidden_activations"):
            if not isinstance(document[name], list):
                raise OptionError(f"{name} is {shown(document[name])}, and must be a list")
        if not all(type(size) is int for size in document["layer_sizes"]):
            raise OptionError(f"layer_sizes is {shown(document['layer_sizes'])}, and must be integers")
        if not isinstance(document["dtype"], str):
            raise OptionError(f"dtype is {shown(document['dtype'])}, and must be one of {DTYPES}")
        return cls(**{names[name]: value for name, value in document.items()})


def _check_layer_sizes(layer_sizes: Sequence[int]) -> tuple[int, ...]:
    try:
        sizes = tuple(check_integer("a size", size, 1, LARGEST_INTEGER) for size in layer_sizes)
    except (TypeError, OptionError):
        raise OptionError(
            f"layer_sizes is {shown(layer_sizes)}, and must be a sequence of integers of at least 1, "
            "such as [2, 2, 2]"
        ) from None
    if len(sizes) < 2:
        raise OptionError(f"layer_sizes is {shown(layer_sizes)}, and needs two or more sizes")
    return sizes


def _check_hidden(hidden_activation: str | Sequence[str], n_hidden: int) -> tuple[str, ...]:
    if isinstance(hidden_activation, str):
        return (check_activation("hidden_activation", hidden_activation),) * n_hidden
    try:
        names = tuple(hidden_activation)
    except TypeError:
        names = (check_activation("hidden_activation", hidden_activation),)
    if len(names) != n_hidden:
        raise OptionError(f"hidden_activation has {len(names)} names, and there are {n_hidden} hidden layers")
    return tuple(check_activation("hidden_activation", name) for name in names)


def _dtype_name(dtype: object) -> object:
    """Return "float32" for np.float32 and np.dtype("float32"); leave anything else to the check."""
    try:
        return np.dtype(dtype).name  # type: ignore[call-overload]
    except (TypeError, ValueError, SyntaxError):
        return dtype
