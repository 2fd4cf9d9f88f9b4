"""Network: a specification and a flat parameter vector, with prediction, loss, gradient and files."""

import os
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from fastbp.checks import check_data, check_threads, check_weights, check_X
from fastbp.errors import OptionError, check_seed
from fastbp.initializers import Initializer, initial_weights
from fastbp.interchange import estimators, model_file
from fastbp.interchange.model_file import StoredModel
from fastbp.memory import aligned_zeros
from fastbp.preprocessing import Preprocessing
from fastbp.specification import Specification

FEW_ROWS, LITTLE_WORK = 64, 1e8
"""The most rows and multiplications for which `predict` reuses the buffers of its last call.

It then uses one thread, and does not check for Ctrl-C.
"""


class Network:
    """A multilayer perceptron: ``z = a W + b``, ``a = activation(z)``, layer after layer.

    Parameters
    ----------
    layer_sizes : sequence of int
        The width of every layer, inputs first, outputs last; two or more, each at least 1.
    hidden_activation : str or sequence of str, default "sigmoid"
        One name for all hidden layers, or one for each: "identity", "sigmoid", "tanh", "relu", "leaky_relu",
        "elu", "gelu", "silu", "softplus", "softsign"; formulas and sources in `fastbp.activations`.
    output_activation : str, default "sigmoid"
        One of these, or "softmax", or "exp".
    loss : str, default "half_squared_error"
        "half_squared_error" (1/2 the sum over outputs, averaged over samples), "mean_squared_error",
        "mean_absolute_error", "huber", "quantile(0.9)" or of another level, "binary_cross_entropy",
        "categorical_cross_entropy", "poisson"; definitions and allowed output activations in `fastbp.losses`.
    bias : {"trainable", "fixed", "none"}, default "trainable"
        Whether layers have biases, and whether training changes them.
    initializer : str or tuple, default "glorot_uniform"
        How the weights are drawn: see `fastbp.initializers`. ``("uniform", 0.5)`` draws them from -0.5 to
        0.5, and ``("normal", 0.1)`` with that standard deviation. Biases start at zero.
    dtype : {"float64", "float32"}, default "float64"
        The type of the parameters and of all arithmetic.
    seed : int, optional
        Makes the initial weights reproducible.

    Attributes
    ----------
    specification : Specification
        Sizes, activations, loss and type: see `fastbp.specification`.
    theta : ndarray, shape (n_parameters,)
        All parameters, layer by layer: W in row-major order, then b.
    weights : list of ndarray, shapes (n_in, n_out)
        Views into `theta`: assign to their elements to set initial weights.
    biases : list of ndarray, shapes (n_out,)
        Views into `theta`; empty if ``bias="none"``.
    preprocessing : Preprocessing or None
        The meaning of inputs and outputs, if the network was trained on the columns of a file.
    notes : dict
        Strings, finite numbers, booleans and None to save with the model.

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
        initializer: Initializer = "glorot_uniform",
        dtype: str = "float64",
        seed: int | None = None,
    ):
        specification = Specification(
            layer_sizes,  # type: ignore[arg-type]
            hidden_activation,  # type: ignore[arg-type]
            output_activation=output_activation,
            loss_name=loss,
            bias=bias,
            initializer=initializer,
            dtype=dtype,  # type: ignore[arg-type]
        )
        generator = np.random.default_rng(check_seed(seed))
        self._begin(specification)
        with np.errstate(all="ignore"):
            for W in self.weights:
                W[:] = initial_weights(specification.initializer, W.shape[0], W.shape[1], generator)

    @classmethod
    def from_specification(cls, specification: Specification) -> Self:
        """Return a network whose parameters are all zero.

        Examples
        --------
        >>> Network.from_specification(Specification([1, 2])).theta.tolist()
        [0.0, 0.0, 0.0, 0.0]
        """
        network = cls.__new__(cls)
        network._begin(specification)
        return network

    def _begin(self, specification: Specification) -> None:
        self.specification = specification
        self.preprocessing: Preprocessing | None = None
        self.notes: dict[str, str | int | float | bool | None] = {}
        self._theta = aligned_zeros(specification.n_parameters, specification.dtype)
        self._predictors: list[Any] = []
        self._few_rows = min(FEW_ROWS, int(LITTLE_WORK / specification.n_multiplications))

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Give a copy or an unpickled network a theta with the alignment and room that kernels need."""
        self.__dict__.update(state, _predictors=[])
        self._theta = aligned_zeros(len(state["_theta"]), self.dtype)
        self._theta[:] = state["_theta"]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_predictors"}

    def __repr__(self) -> str:
        return f"Network({self.specification.summary})"

    @property
    def theta(self) -> np.ndarray:
        """The flat parameter vector; assign to ``theta[:]`` to set all parameters."""
        return self._theta

    @property
    def weights(self) -> list[np.ndarray]:
        """A view of W into `theta` for each layer; assigning to an element of the list sets that W."""
        return _Views(self.specification.views(self._theta)[0])

    @property
    def biases(self) -> list[np.ndarray]:
        """A view of b into `theta` for each layer; assigning to an element of the list sets that b."""
        return _Views(self.specification.views(self._theta)[1])

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """The width of every layer."""
        return self.specification.layer_sizes

    @property
    def hidden_activations(self) -> tuple[str, ...]:
        """The activation of every hidden layer."""
        return self.specification.hidden_activations

    @property
    def output_activation(self) -> str:
        """The activation of the output layer."""
        return self.specification.output_activation

    @property
    def loss_name(self) -> str:
        """The name of the loss."""
        return self.specification.loss_name

    @property
    def bias(self) -> str:
        """How biases are treated: "trainable", "fixed" or "none"."""
        return self.specification.bias

    @property
    def initializer(self) -> Initializer:
        """How the weights were drawn: a name, or a distribution with its scale."""
        return self.specification.initializer

    @property
    def dtype(self) -> np.dtype:
        """The type of the parameters and of all arithmetic."""
        return self.specification.dtype

    @property
    def n_inputs(self) -> int:
        """Number of input features."""
        return self.specification.n_inputs

    @property
    def n_outputs(self) -> int:
        """Number of outputs."""
        return self.specification.n_outputs

    def predict(self, X: ArrayLike, *, threads: int | None = None, prepared: bool = False) -> np.ndarray:
        """Return the network's outputs.

        Rows go through the network in tiles that stay in a core's cache, on several threads if that is
        faster. A single row costs about a microsecond more than its arithmetic.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_inputs)
            float32, float64 and uint8 are converted tile by tile, so X may be a read-only memory map.
        threads : int, optional
            The number of threads; by default, as many as are useful. The bits of the result do not depend on
            it.
        prepared : bool
            Must be True for a network whose `preprocessing` changes its inputs: X holds numbers that went
            through it. `Model` takes data as they are.

        Returns
        -------
        ndarray, shape (n_samples, n_outputs)

        Raises
        ------
        ShapeError, DataError
            If X has another shape, is empty, or holds a value that is not a finite number.
        """
        specification = self.specification
        if not (self.preprocessing is None or prepared or self.preprocessing.passes_through):
            raise OptionError(
                "this network has a preprocessing, and takes inputs that went through it: "
                "fastbp.Model(network).predict(data) takes data as they are, and predict(X, prepared=True) "
                "what is prepared"
            )
        if (
            type(X) is np.ndarray
            and X.dtype == specification.dtype
            and X.ndim == 2
            and X.shape[1] == specification.layer_sizes[0]
            and 0 < len(X) <= self._few_rows
            and X.flags.carray
            and threads is None
        ):
            out = np.empty((len(X), specification.layer_sizes[-1]), specification.dtype)
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
        """Return a predictor for few rows, prepared and compiled, and whether these rows are finite."""
        from fastbp.engine.evaluation import Predictor

        predictor = Predictor(self.specification, self._theta)
        return predictor, predictor(X, out)

    @np.errstate(all="ignore")
    def _predict(self, X: ArrayLike, threads: int | None) -> np.ndarray:
        from fastbp.engine import evaluation

        return evaluation.predict(
            self.specification, self._theta, check_X(self.specification, X), threads=check_threads(threads)
        )

    @np.errstate(all="ignore")
    def loss(
        self,
        X: ArrayLike,
        Y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        threads: int | None = None,
    ) -> float:
        """Return the loss over the samples, at the current parameters.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_inputs)
        Y : array_like, shape (n_samples, n_outputs), or (n_samples,) for class labels
        sample_weight : array_like, shape (n_samples,), optional
            Weights of the samples in the mean.
        threads : int, optional
            As for `predict`.
        """
        return self._objective(X, Y, sample_weight, threads).value(self._theta)

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

        It includes the derivatives with respect to fixed biases, which training does not use.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_inputs)
        Y : array_like, shape (n_samples, n_outputs), or (n_samples,) for class labels
        sample_weight : array_like, shape (n_samples,), optional
            Weights of the samples in the mean.
        threads : int, optional
            As for `predict`.

        Returns
        -------
        ndarray, shape (n_parameters,)
        """
        return self.loss_and_gradient(X, Y, sample_weight=sample_weight, threads=threads)[1]

    @np.errstate(all="ignore")
    def loss_and_gradient(
        self,
        X: ArrayLike,
        Y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        threads: int | None = None,
    ) -> tuple[float, np.ndarray]:
        """Return the loss and its gradient, in the time of the gradient.

        Parameters
        ----------
        X, Y, sample_weight, threads
            As for `gradient`.

        Returns
        -------
        loss : float
            As `loss` returns it, bit for bit.
        gradient : ndarray, shape (n_parameters,)

        Examples
        --------
        >>> net, X, Y = Network([2, 3, 1], seed=0), [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
        >>> for step in range(200):
        ...     loss, gradient = net.loss_and_gradient(X, Y)
        ...     net.theta[:] -= 0.5 * gradient
        >>> loss == net.loss_and_gradient(X, Y)[0], net.loss(X, Y) < loss
        (False, True)
        """
        return self._objective(X, Y, sample_weight, threads).value_and_gradient(self._theta)

    def _objective(
        self, X: ArrayLike, Y: ArrayLike, sample_weight: ArrayLike | None, threads: int | None
    ) -> Any:
        from fastbp.engine.objective import Objective

        X, Y = check_data(self.specification, X, Y)
        weights = check_weights(sample_weight, len(X))
        return Objective(self.specification, X, Y, weights, threads=check_threads(threads))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to a model file, with its preprocessing and its notes.

        The file is in the safetensors format, described in `fastbp.interchange.model_file`. It is written to
        a temporary file and renamed, so that `path` always names the whole old file or the whole new one. An
        existing file keeps its permissions and, if the system allows it, its owner.

        Parameters
        ----------
        path : path-like
            By convention, it ends in ``.safetensors``. It may be a symbolic link to a file, but not a device
            or a pipe.

        Raises
        ------
        OptionError
            If one of `notes` has a type or value that is not allowed.
        OSError
            If the file cannot be written. An old file then remains.

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
        model_file.save(path, self.stored())

    @classmethod
    def from_sklearn(cls, estimator: Any) -> Self:
        """Return a network with the parameters of a fitted MLP of scikit-learn, or of ours.

        The network's outputs are those of the estimator, before they become labels: for a regressor, what
        ``predict`` returns; for a classifier, what ``predict_proba`` returns. If a classifier has two
        classes, the network has one output: the probability of the second class.

        Parameters
        ----------
        estimator : MLPClassifier or MLPRegressor
            Fitted. Its ``coefs_`` are copied to `weights`, its ``intercepts_`` to `biases`.

        Raises
        ------
        OptionError
            If it is another estimator, or is not fitted.

        Notes
        -----
        `preprocessing` gets the names of the features and the labels, if the network has an output for each
        label or is a regression with one output. So the model file is enough to predict labels.

        Examples
        --------
        >>> from sklearn.neural_network import MLPRegressor
        >>> estimator = MLPRegressor(hidden_layer_sizes=3, solver="lbfgs", random_state=0)
        >>> estimator = estimator.fit([[0.0], [1.0]], [0.0, 2.0])
        >>> net = Network.from_sklearn(estimator)
        >>> net
        Network([1, 3, 1], relu, identity, half_squared_error, bias='trainable', dtype='float64')
        >>> bool(abs(net.predict([[0.5]]) - estimator.predict([[0.5]])).max() < 1e-12)
        True
        """
        return cls.from_stored(estimators.stored_model(estimator))

    def stored(self) -> StoredModel:
        """Return what a model file stores of the network; theta is a view."""
        return StoredModel(self.specification, self._theta, self.preprocessing, self.notes)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a network from a model file that `save` wrote. Nothing in the file is executed.

        Parameters
        ----------
        path : path-like

        Raises
        ------
        OSError
            If the file does not exist or cannot be read.
        ModelFileError
            If the file is damaged, is not a model file, or comes from a newer fastbp.
        """
        return cls.from_stored(model_file.load(path))

    @classmethod
    def from_stored(cls, model: StoredModel) -> Self:
        """Return the network that a model file stores; its parameters are copied."""
        network = cls.from_specification(model.specification)
        network.theta[:] = model.theta
        network.preprocessing, network.notes = model.preprocessing, model.notes
        return network


class _Views(list[np.ndarray]):
    """Views into one vector: assigning to an element writes into the vector."""

    def __setitem__(self, index: Any, value: Any) -> None:
        self[index][...] = value
