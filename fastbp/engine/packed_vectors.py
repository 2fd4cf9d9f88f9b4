"""Packed vectors: parameters, gradients and optimizer state in the layout of the kernels; and work areas."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fastbp.kernels.product import padded
from fastbp.simd import lanes
from fastbp.specification import Specification


def up(n: int, multiple: int) -> int:
    """Return n rounded up to a multiple.

    Examples
    --------
    >>> up(9, 4), up(8, 4)
    (12, 8)
    """
    return -(-n // multiple) * multiple


class Area:
    """A work area that grows by whole vectors."""

    def __init__(self, itemsize: int):
        self._lanes, self.size = lanes(itemsize), 0

    def room(self, n: int) -> int:
        """Return the place of n more numbers."""
        start, self.size = self.size, self.size + up(n, self._lanes)
        return start


NEVER, IF_SMALLER, ALWAYS = range(3)
"""Whether a layer behind the first is packed as W^T: never, where that takes fewer vectors, or always.

The 10 columns of a last layer would be padded to 16: gradient and update would take 1.6 times as long. A step
of 64-128-10 on 32 rows with Adam takes 5 % less with W^T, one of 4-10-3 on 16 rows 8 %.
"""


class PackedLayer(NamedTuple):
    """Where a layer's W, or W^T, and its b are in a packed vector; `row` is the distance between two rows."""

    n_in: int
    n_out: int
    is_transposed: bool
    row: int
    W_at: int
    W_size: int
    b_at: int
    b_size: int

    @property
    def n_rows(self) -> int:
        """Rows of what is packed: of W, or of W^T."""
        return self.n_out if self.is_transposed else self.n_in

    @property
    def n_columns(self) -> int:
        """Its columns."""
        return self.n_in if self.is_transposed else self.n_out


def is_smaller_transposed(n_in: int, n_out: int, lanes: int) -> bool:
    """Whether W^T takes a quarter fewer vectors than W, or less: if a layer has few outputs.

    Examples
    --------
    >>> is_smaller_transposed(128, 10, 16), is_smaller_transposed(128, 64, 16)
    (True, False)
    """
    return 4 * n_out * up(n_in, lanes) <= 3 * n_in * up(n_out, lanes)


@dataclass(frozen=True)
class Packing:
    """Where the parameters of every layer are in a vector.

    Attributes
    ----------
    layers : tuple of PackedLayer
    size : int
        The length of such a vector.
    has_bias : bool
    is_padded : bool
        Whether a row is padded to whole vectors, and the number of rows to a multiple of a vector's lanes.
        Otherwise the vector is laid out as `Network.theta`.
    """

    layers: tuple[PackedLayer, ...]
    size: int
    has_bias: bool
    is_padded: bool

    @classmethod
    def padded(cls, specification: Specification, *, transposed: int = NEVER) -> "Packing":
        """Return the packing with padded rows; `transposed` says which layers it holds as W^T."""
        itemsize = specification.dtype.itemsize
        layers, at = [], 0
        for number, (n_in, n_out, _, _) in enumerate(specification.layers):
            pays = transposed == ALWAYS or is_smaller_transposed(n_in, n_out, lanes(itemsize))
            is_transposed = transposed != NEVER and number > 0 and pays
            n_rows, n_columns = (n_out, n_in) if is_transposed else (n_in, n_out)
            row = padded(n_columns, itemsize)
            W_size, b_size = up(n_rows, lanes(itemsize)) * row, padded(n_out, itemsize)
            layers.append(PackedLayer(n_in, n_out, is_transposed, row, at + b_size, W_size, at, b_size))
            at += W_size + b_size
        return cls(tuple(layers), at, specification.has_bias, is_padded=True)

    @classmethod
    def as_theta(cls, specification: Specification) -> "Packing":
        """Return the packing that `Network.theta` has."""
        layers = tuple(
            PackedLayer(n_in, n_out, False, n_out, w_at, n_in * n_out, b_at, n_out * specification.has_bias)
            for n_in, n_out, w_at, b_at in specification.layers
        )
        return cls(layers, specification.n_parameters, specification.has_bias, is_padded=False)

    def views(self, packed: np.ndarray) -> list[np.ndarray]:
        """Return views of the parameters in a packed vector, in the order of `Network.theta`."""
        arrays = []
        for n_in, n_out, is_transposed, row, W_at, _, b_at, _ in self.layers:
            if is_transposed:
                arrays.append(packed[W_at : W_at + n_out * row].reshape(n_out, row)[:, :n_in].T)
            else:
                arrays.append(packed[W_at : W_at + n_in * row].reshape(n_in, row)[:, :n_out])
            if self.has_bias:
                arrays.append(packed[b_at : b_at + n_out])
        return arrays

    def pack(self, theta: np.ndarray, packed: np.ndarray) -> None:
        """Copy a vector laid out as `Network.theta` into a packed one."""
        start = 0
        for view in self.views(packed):
            view[...] = theta[start : start + view.size].reshape(view.shape)
            start += view.size

    def unpack(self, packed: np.ndarray) -> np.ndarray:
        """Return a packed vector as one laid out as `Network.theta`."""
        return np.concatenate([view.ravel() for view in self.views(packed)])
