"""Network: the specification of an MLP, and its one flat parameter vector."""

import os
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from fastbp.activations import check_activation
from fastbp.errors import (
    LARGEST_INTEGER,
    DataError,
    OptionError,
    ShapeError,
    check_choice,
    check_integer,
    check_seed,
    shown,
)
from fastbp.initializers import check_initializer, initial_weights
from fastbp.losses import check_loss, check_output, check_targets
from fastbp.memory import aligned_zeros
from fastbp.preprocessing import Preprocessing

BIASES = ("trainable", "fixed", "none")
DTYPES = ("float64", "float32")

STREAMED = (np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.uint8))
"""Types of X that kernels read as they are."""

FEW_ROWS, LITTLE_WORK = 64, 1e8
"""Rows, and multiplications, up to which `predict` reuses what it prepared for the call before.

It takes one thread then, and does not look at Ctrl-C.
"""

BLOCK_BYTES = 2**23
"""How much of an array is looked at together when it is checked."""


class Network:
    """A multilayer perceptron: ``z = a W + b``, ``a = activation(z)``, layer after layer.

    Parameters
    ----------
    layer_sizes : sequence of int
        The width of every layer, inputs first, outputs last; two or more, each at least 1.
    hidden_activation : str or sequence of str, default "sigmoid"
        One name for all hidden layers, or one for each: "identity", "sigmoid", "tanh", "relu", "leaky_relu",
        "elu", "gelu", "silu", "softplus"; formulas and sources in `fastbp.activations`.
    output_activation : str, default "sigmoid"
        One of these, or "softmax".
    loss : str, default "half_squared_error"
        "half_squared_error" (1/2 the sum over outputs, averaged over samples), "mean_squared_error",
        "mean_absolute_error", "huber", "binary_cross_entropy", "categorical_cross_entropy", "poisson";
        definitions and what each goes with in `fastbp.losses`.
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
    preprocessing : Preprocessing or None
        What the inputs and outputs mean, for a network that was trained on the columns of a file.
    notes : dict
        Strings, finite numbers, booleans and None to remember with the model.

    Raises
    ------
    OptionError
        If an argument has a value that it may not have.

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
        self.preprocessing: Preprocessing | None = None
        self.notes: dict[str, str | int | float | bool | None] = {}
        self._theta = aligned_zeros(n_parameters, self.dtype)
        self._predictors: list[Any] = []
        self._few_rows = min(FEW_ROWS, int(LITTLE_WORK / self.n_multiplications))
        generator = np.random.default_rng(check_seed(seed))
        with np.errstate(all="ignore"):
            for W in self.weights:
                W[:] = initial_weights(self.initializer, W.shape[0], W.shape[1], generator)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Give a copy, or what comes out of a pickle, a theta with the room that kernels need."""
        self.__dict__.update(state, _predictors=[])
        self._theta = aligned_zeros(len(state["_theta"]), self.dtype)
        self._theta[:] = state["_theta"]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_predictors"}

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
    def n_multiplications(self) -> int:
        """Multiplications that one sample's way to the output takes: the number of weights."""
        return sum(n_in * n_out for n_in, n_out in pairwise(self.layer_sizes))

    @property
    def n_inputs(self) -> int:
        """Number of input features."""
        return self.layer_sizes[0]

    @property
    def n_outputs(self) -> int:
        """Number of outputs."""
        return self.layer_sizes[-1]

    def predict(self, X: ArrayLike, *, threads: int | None = None) -> np.ndarray:
        """Return the network's outputs.

        Rows go through the network in tiles that stay in a core's cache, on several threads where that pays;
        a single row costs about a microsecond more than its arithmetic.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_inputs)
            float32, float64 and uint8 are converted tile by tile, so that X may be a read-only memory map.
        threads : int, optional
            How many threads to use; None for as many as pay. The result has the same bits for any number.

        Returns
        -------
        ndarray, shape (n_samples, n_outputs)

        Raises
        ------
        ShapeError, DataError
            If X has another shape, is empty, or holds what is not a finite number.
        """
        if (
            type(X) is np.ndarray
            and X.dtype == self.dtype
            and X.ndim == 2
            and X.shape[1] == self.layer_sizes[0]
            and 0 < len(X) <= self._few_rows
            and X.flags.carray
            and threads is None
        ):
            out = np.empty((len(X), self.layer_sizes[-1]), self.dtype)
            try:
                predictor = self._predictors.pop()
                finite = predictor(X, out)
            except IndexError:
                predictor, finite = self._first_prediction(X, out)
            self._predictors.append(predictor)
            if finite:
                return out
        return self._predict(X, threads)

    @np.errstate(all="ignore")
    def _first_prediction(self, X: np.ndarray, out: np.ndarray) -> tuple[Any, bool]:
        """Return what predicts few rows, prepared and compiled, and whether these rows are finite."""
        from fastbp.engine.layered_run import Predictor

        predictor = Predictor(self)
        return predictor, predictor(X, out)

    @np.errstate(all="ignore")
    def _predict(self, X: ArrayLike, threads: int | None) -> np.ndarray:
        from fastbp.engine import layered_run

        return layered_run.predict(self, self.check_X(X), check_threads(threads))

    @np.errstate(all="ignore")
    def loss(
        self,
        X: ArrayLike,
        Y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        threads: int | None = None,
    ) -> float:
        """Return the loss over the samples, at the present parameters.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_inputs)
        Y : array_like, shape (n_samples, n_outputs), or (n_samples,) for class labels
        sample_weight : array_like, shape (n_samples,), optional
            The result is then the mean weighted by these.
        threads : int, optional
            As for `predict`.
        """
        from fastbp.engine import layered_run

        X, Y = self.check_data(X, Y)
        weights = check_weights(sample_weight, len(X))
        return layered_run.loss(self, X, Y, weights, threads=check_threads(threads))

    @np.errstate(all="ignore")
    def gradient(
        self,
        X: ArrayLike,
        Y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        threads: int | None = None,
    ) -> np.ndarray:
        """Return dL/dtheta over the samples, laid out as `theta`.

        The derivatives by fixed biases are given too; training does not use them.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_inputs)
        Y : array_like, shape (n_samples, n_outputs), or (n_samples,) for class labels
        sample_weight : array_like, shape (n_samples,), optional
            The loss is then the mean weighted by these.
        threads : int, optional
            As for `predict`.

        Returns
        -------
        ndarray, shape (n_parameters,)
        """
        from fastbp.engine import layered_run

        X, Y = self.check_data(X, Y)
        weights = check_weights(sample_weight, len(X))
        return layered_run.gradient(self, X, Y, weights, threads=check_threads(threads))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to a model file, with its preprocessing and its notes.

        The file is in the safetensors format, described in `fastbp.interchange.model_file`. It is written
        beside and renamed, so that at any instant the old file or the new one is there, whole. A file that is
        replaced keeps its permissions and, where that is allowed, its owner.

        Parameters
        ----------
        path : path-like
            By custom, it ends in ``.safetensors``. It may be a symbolic link to a file, and neither a device
            nor a pipe.

        Raises
        ------
        OptionError
            If one of `notes` is not what it may be.
        OSError
            If the file cannot be written. One that was there is there still.

        Examples
        --------
        >>> import tempfile
        >>> net = Network([2, 3, 1], seed=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     net.save(f"{folder}/net.safetensors")
        ...     twin = Network.load(f"{folder}/net.safetensors")
        >>> twin
        Network([2, 3, 1], sigmoid, sigmoid, half_squared_error, bias='trainable', dtype='float64')
        >>> bool((twin.theta == net.theta).all())
        True
        """
        from fastbp.interchange import model_file

        model_file.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a network from a model file that `save` wrote. Nothing in the file is executed.

        Parameters
        ----------
        path : path-like

        Raises
        ------
        OSError
            If there is no such file, or it may not be read.
        ModelFileError
            If it is damaged, or no model file, or from a newer fastbp.
        """
        from fastbp.interchange import model_file

        return model_file.load(path, cls)

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

    @np.errstate(all="ignore")
    def check_data(self, X: ArrayLike, Y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Return X as `check_X` does, and Y as a C-contiguous array of the network's dtype or of labels.

        Arrays that are so already are not copied.
        """
        X = self.check_X(X)
        Y = _as_array("Y", Y)
        if self.loss_name != "categorical_cross_entropy" or Y.ndim != 1:  # else, class labels
            Y = _as_matrix("Y", Y, self.n_outputs, "outputs", self.dtype)
            Y = np.require(Y, self.dtype, ["C_CONTIGUOUS", "ALIGNED"])
        Y = check_targets(self.loss_name, Y, self.n_outputs)
        if len(X) != len(Y):
            raise ShapeError(f"X has {len(X)} samples and Y has {len(Y)}; they must have as many")
        return X, Y

    @np.errstate(all="ignore")
    def check_X(self, X: ArrayLike) -> np.ndarray:
        """Return X as an array whose rows kernels can read, or say what is wrong.

        Arrays of float32, float64 and uint8 stay what they are; kernels convert them row by row.
        """
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
    _check_finite(name, array, dtype)
    readable = array.dtype in STREAMED and array.dtype.isnative and array.flags.aligned
    if not readable or any(stride % array.itemsize for stride in array.strides):
        array = np.require(array, dtype, ["C_CONTIGUOUS", "ALIGNED"])
    return array


def _check_finite(name: str, array: np.ndarray, dtype: np.dtype) -> None:
    """Say what is not finite, or would not be in `dtype`; look at a few megabytes at a time."""
    if array.dtype.kind != "f":
        return
    largest = np.finfo(dtype).max
    rows = max(1, BLOCK_BYTES // (array.shape[1] * array.itemsize))
    found, n_found = None, 0
    for start in range(0, len(array), rows):
        block = array[start : start + rows]
        if not (-largest <= block.min() and block.max() <= largest):  # NaN neither
            bad = np.argwhere(~(np.abs(block) <= largest))
            found = found or (start + bad[0][0], bad[0][1])
            n_found += len(bad)
    if found:
        value = array[found]
        reason = "must be finite" if not np.isfinite(value) else f"is too large for {dtype}"
        raise DataError(f"{name}[{found[0]}, {found[1]}] is {value}, and {reason} ({n_found} such values)")


def check_threads(threads: int | None) -> int | None:
    """Return `threads` if it may be a number of threads, or say what it may be."""
    return None if threads is None else check_integer("threads", threads, 1)


WEIGHT_RATIO = 2.0**1000
"""What the largest sample weight may be of the smallest one above 0."""


@np.errstate(all="ignore")
def check_weights(sample_weight: ArrayLike | None, n_samples: int) -> np.ndarray | None:
    """Return sample weights as a C-contiguous float64 array, or say what is wrong.

    Only the ratios of weights count. All are multiplied by a power of 2 that brings the largest to between
    1/2 and 1, so that no sum of theirs leaves float64's range; that changes no bit of a result.
    """
    if sample_weight is None:
        return None
    weights = np.asarray(sample_weight)
    if weights.shape != (n_samples,):
        raise ShapeError(f"sample_weight has shape {weights.shape}, and must be ({n_samples},)")
    if weights.dtype.kind not in "fiub":
        raise DataError(f"sample_weight has dtype {weights.dtype}, and must hold real numbers")
    converted = weights.astype(np.float64)
    wrong = np.flatnonzero(~(np.isfinite(converted) & (converted >= 0)))
    if len(wrong):
        raise DataError(
            f"sample_weight[{wrong[0]}] is {weights[wrong[0]]}, and must be a finite float64 of at least 0"
        )
    if not converted.any():
        raise DataError("sample_weight is 0 for every sample; at least one must be above 0")
    largest = converted.max()
    scaled = np.ldexp(converted, -np.frexp(largest)[1])
    lost = np.flatnonzero((scaled < 1 / WEIGHT_RATIO) & (converted > 0))
    if len(lost):
        raise DataError(
            f"sample_weight[{lost[0]}] is {weights[lost[0]]}, and the largest is {largest}; "
            f"that may be at most {WEIGHT_RATIO:.1e} times the smallest one above 0"
        )
    return scaled


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
    """Take np.float32 and np.dtype("float32") for "float32", and leave the rest to the check."""
    try:
        return np.dtype(dtype).name  # type: ignore[call-overload]
    except (TypeError, ValueError, SyntaxError):
        return dtype
