"""Network: the specification of an MLP, and its one flat parameter vector."""

import operator
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastbp.activations import check_activation
from fastbp.errors import DataError, OptionError, ShapeError, check_choice, check_integer
from fastbp.initializers import check_initializer, initial_weights
from fastbp.losses import check_loss, check_output, check_targets

BIASES = ("trainable", "fixed", "none")
DTYPES = ("float64", "float32")


class Network:
    """A multilayer perceptron: ``z = a W + b``, ``a = activation(z)``, layer after layer.

    Parameters
    ----------
    layer_sizes : sequence of int
        The width of every layer, inputs first, outputs last; two or more, each at least 1.
    hidden_activation : str or sequence of str, default "sigmoid"
        One name for all hidden layers, or one for each. This version has "sigmoid".
    output_activation : str, default "sigmoid"
        This version has "sigmoid".
    loss : str, default "half_squared_error"
        This version has "half_squared_error": 1/2 the sum over outputs, averaged over samples.
    bias : {"trainable", "fixed", "none"}, default "trainable"
        Whether layers have biases, and whether training changes them.
    initializer : str, default "glorot_uniform"
        How the weights are drawn: see `fastbp.initializers`. Biases start at zero.
    dtype : {"float64", "float32"}, default "float64"
        The type of the parameters and of all arithmetic.
    seed : int, optional
        Makes the initial weights reproducible.

    Attributes
    ----------
    theta : ndarray, shape (n_parameters,)
        All parameters, layer by layer: W in row-major order, then b.
    weights : list of ndarray, shapes (n_in, n_out)
        Views into `theta`: assign to their elements to set initial weights.
    biases : list of ndarray, shapes (n_out,)
        Views into `theta`; empty if ``bias="none"``.

    Raises
    ------
    OptionError
        If an argument has a value that it may not have.
    NotSupportedError
        If an activation or loss is named that this version does not have yet.

    Examples
    --------
    >>> net = Network([2, 3, 1], seed=0)
    >>> net
    Network([2, 3, 1], sigmoid, sigmoid, half_squared_error, bias='trainable', dtype='float64')
    >>> [W.shape for W in net.weights], [b.shape for b in net.biases], net.theta.shape
    ([(2, 3), (3, 1)], [(3,), (1,)], (13,))
    >>> net.weights[0][:] = 0
    >>> net.predict([[0.05, 0.10]]).shape
    (1, 1)
    """

    def __init__(
        self,
        layer_sizes: Sequence[int],
        *,
        hidden_activation: str | Sequence[str] = "sigmoid",
        output_activation: str = "sigmoid",
        loss: str = "half_squared_error",
        bias: str = "trainable",
        initializer: str = "glorot_uniform",
        dtype: str = "float64",
        seed: int | None = None,
    ):
        self.layer_sizes = _check_layer_sizes(layer_sizes)
        self.hidden_activations = _check_hidden(hidden_activation, len(self.layer_sizes) - 2)
        self.output_activation = check_activation("output_activation", output_activation)
        self.loss_name = check_loss(loss)
        check_output(self.loss_name, self.output_activation, self.layer_sizes[-1])
        self.bias = check_choice("bias", bias, BIASES)
        self.initializer = check_initializer(initializer)
        self.dtype = np.dtype(check_choice("dtype", _dtype_name(dtype), DTYPES))
        has_bias = self.bias != "none"
        n_parameters = sum((n_in + has_bias) * n_out for n_in, n_out in pairwise(self.layer_sizes))
        if n_parameters * self.dtype.itemsize > np.iinfo(np.intp).max:
            raise OptionError(f"layer_sizes is {layer_sizes!r}: {n_parameters} parameters fit in no memory")
        self._theta = np.zeros(n_parameters, self.dtype)
        generator = np.random.default_rng(None if seed is None else check_integer("seed", seed, 0))
        for W in self.weights:
            W[:] = initial_weights(self.initializer, W.shape[0], W.shape[1], generator)

    def __repr__(self) -> str:
        hidden = ", ".join(dict.fromkeys(self.hidden_activations))
        parts = [str(list(self.layer_sizes)), hidden, self.output_activation, self.loss_name]
        described = ", ".join(part for part in parts if part)
        return f"Network({described}, bias={self.bias!r}, dtype={self.dtype.name!r})"

    @property
    def theta(self) -> np.ndarray:
        """The flat parameter vector; assign to ``theta[:]`` to set all parameters."""
        return self._theta

    @property
    def weights(self) -> list[np.ndarray]:
        """A view of W into `theta` for each layer; assigning to an item of the list sets that W."""
        return _Views(self._views(self._theta)[0])

    @property
    def biases(self) -> list[np.ndarray]:
        """A view of b into `theta` for each layer; assigning to an item of the list sets that b."""
        return _Views(self._views(self._theta)[1])

    @property
    def n_inputs(self) -> int:
        """Number of input features."""
        return self.layer_sizes[0]

    @property
    def n_outputs(self) -> int:
        """Number of outputs."""
        return self.layer_sizes[-1]

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the network's outputs.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_inputs)

        Returns
        -------
        ndarray, shape (n_samples, n_outputs)
        """
        from fastbp.training import layered

        return layered.predict(self, self.check_X(X))

    def loss(self, X: ArrayLike, Y: ArrayLike) -> float:
        """Return the loss over the samples, at the present parameters.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_inputs)
        Y : array_like, shape (n_samples, n_outputs)
        """
        from fastbp.training import layered

        X, Y = self.check_data(X, Y)
        return layered.evaluate(self, X, Y, with_gradient=False)[0]

    def gradient(self, X: ArrayLike, Y: ArrayLike) -> np.ndarray:
        """Return dL/dtheta over the samples, laid out as `theta`.

        The derivatives by fixed biases are given too; training does not use them.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_inputs)
        Y : array_like, shape (n_samples, n_outputs)

        Returns
        -------
        ndarray, shape (n_parameters,)
        """
        from fastbp.training import layered

        X, Y = self.check_data(X, Y)
        return layered.evaluate(self, X, Y, with_gradient=True)[1]

    def _views(self, vector: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Return the W and the b of every layer as views into a vector that is laid out as `theta`."""
        weights, biases = [], []
        start = 0
        for n_in, n_out in pairwise(self.layer_sizes):
            weights.append(vector[start : start + n_in * n_out].reshape(n_in, n_out))
            start += n_in * n_out
            if self.bias != "none":
                biases.append(vector[start : start + n_out])
                start += n_out
        return weights, biases

    def check_data(self, X: ArrayLike, Y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Return X and Y as C-contiguous arrays of the network's dtype, or say what is wrong.

        Arrays that are so already are not copied.
        """
        X = self.check_X(X)
        Y = _as_array("Y", Y)
        if self.loss_name != "categorical_cross_entropy" or Y.ndim != 1:  # else, class labels
            Y = _as_matrix("Y", Y, self.n_outputs, "outputs", self.dtype)
        Y = check_targets(self.loss_name, Y, self.n_outputs)
        if len(X) != len(Y):
            raise ShapeError(f"X has {len(X)} samples and Y has {len(Y)}; they must have as many")
        return X, Y

    def check_X(self, X: ArrayLike) -> np.ndarray:
        """Return X as a C-contiguous array of the network's dtype, or say what is wrong."""
        return _as_matrix("X", X, self.n_inputs, "features", self.dtype)


class _Views(list[np.ndarray]):
    """Views into one vector: an item that is assigned to is written there, not replaced in a passing list."""

    def __setitem__(self, index: Any, value: Any) -> None:
        self[index][...] = value


def _as_array(name: str, data: ArrayLike) -> np.ndarray:
    if hasattr(data, "tocsr"):
        raise DataError(f"{name} is a sparse matrix; pass a dense one: {name}.toarray()")
    if np.ma.is_masked(data):
        raise DataError(f"{name} has masked values; fill them, or leave their rows out")
    try:
        return np.asarray(data)
    except ValueError as error:
        raise ShapeError(f"{name} is not rectangular: {error}") from error


def _as_matrix(name: str, data: ArrayLike, n_columns: int, what: str, dtype: np.dtype) -> np.ndarray:
    array = _as_array(name, data)
    if array.dtype.kind not in "fiub":
        raise DataError(f"{name} has dtype {array.dtype}, and must hold real numbers")
    if array.ndim != 2:
        raise ShapeError(f"{name} has shape {array.shape}, and must be 2-D: (n_samples, n_{what})")
    if array.shape[1] != n_columns:
        raise ShapeError(f"{name} has {array.shape[1]} {what}, and this network takes {n_columns}")
    if len(array) == 0:
        raise DataError(f"{name} is empty: it must have at least one sample")
    with np.errstate(over="ignore"):
        converted = np.require(array, dtype, ["C_CONTIGUOUS", "ALIGNED"])
    bad = np.argwhere(~np.isfinite(converted))
    if len(bad):
        row, column = bad[0]
        value = array[row, column]
        reason = "must be finite" if not np.isfinite(value) else f"is too large for {dtype}"
        raise DataError(f"{name}[{row}, {column}] is {value}, and {reason} ({len(bad)} such values)")
    return converted


def _check_layer_sizes(layer_sizes: Sequence[int]) -> tuple[int, ...]:
    try:
        sizes = tuple(operator.index(size) for size in layer_sizes)
    except TypeError:
        raise OptionError(
            f"layer_sizes is {layer_sizes!r}, and must be a sequence of integers, such as [2, 2, 2]"
        ) from None
    if len(sizes) < 2 or min(sizes) < 1:
        raise OptionError(f"layer_sizes is {layer_sizes!r}, and needs two or more sizes of at least 1")
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
    """Take np.float32 and np.dtype("float32") for "float32", and leave the rest to the check."""
    try:
        return np.dtype(dtype).name  # type: ignore[call-overload]
    except (TypeError, ValueError, SyntaxError):
        return dtype
