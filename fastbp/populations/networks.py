"""Population: many networks of one specification, their parameters in one array."""

import operator
import os
from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from fastbp.checks import check_data, check_threads, check_weights_of_networks, check_X
from fastbp.errors import LARGEST_COUNT, OptionError, check_choice, check_integer, shown
from fastbp.initializers import Initializer
from fastbp.network import Network
from fastbp.populations import population_file
from fastbp.populations.outputs import Moments, blocks, losses_of, outputs_of
from fastbp.populations.population_file import StoredPopulation
from fastbp.populations.ranking import best_first
from fastbp.populations.starts import Seed, check_seeds, draw_parameters, keys_of
from fastbp.specification import Specification

REDUCTIONS = ("each", "mean", "std")


class Population:
    """Many multilayer perceptrons of the same layers, each with parameters of its own.

    Parameters
    ----------
    layer_sizes : sequence of int
    n_networks : int
        At least 1.
    hidden_activation, output_activation, loss, bias, initializer, dtype
        As for `Network`.
    seed : int or sequence of int, optional
        Makes the initial weights reproducible. They derive from the seed and from the network's index. A
        sequence has a seed for each network, and then the index counts for nothing.
    first : int, default 0
        The index of the first network. With the same seed, ``Population(sizes, 10, first=90)`` has the last
        ten networks of ``Population(sizes, 100)``, to the bit.

    Attributes
    ----------
    specification : Specification
        Sizes, activations, loss and type of every network.
    theta : ndarray, shape (n_networks, n_parameters)
        All parameters. A row is laid out as `Network.theta`. It may be written to.
    indices : ndarray of int64, shape (n_networks,)
        The index of each network in the whole population, which it keeps in a part of it.
    scores : ndarray of float64, shape (n_networks,), or None
        What `best` compares, the lowest first: the validation losses at the end of the last
        `fastbp.train_population`, or the losses if there were no validation data.

    Raises
    ------
    OptionError
        If an argument has a value that it may not have.

    Notes
    -----
    ``population[i]`` is a `Network`, with a copy of the parameters. A slice, or an array of integers or of
    booleans, gives a `Population` of these networks. Weights are drawn by a counter-based generator, in
    compiled code: a million networks of 2-2-2 take some 50 ms.

    Examples
    --------
    >>> population = Population([2, 3, 1], 1000, seed=0)
    >>> population
    Population(1000 of [2, 3, 1], sigmoid, sigmoid, half_squared_error, bias='trainable', dtype='float64')
    >>> len(population), population.theta.shape, population[7].theta.shape
    (1000, (1000, 13), (13,))
    >>> population[10:20].indices.tolist() == list(range(10, 20))
    True
    >>> twin = Population([2, 3, 1], 10, seed=0, first=10)
    >>> bool((twin.theta == population[10:20].theta).all())
    True
    """

    def __init__(
        self,
        layer_sizes: Sequence[int],
        n_networks: int,
        *,
        hidden_activation: str | Sequence[str] = "sigmoid",
        output_activation: str = "sigmoid",
        loss: str = "half_squared_error",
        bias: str = "trainable",
        initializer: Initializer = "glorot_uniform",
        dtype: str = "float64",
        seed: Seed = None,
        first: int = 0,
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
        n = check_integer("n_networks", n_networks, 1)
        if n * specification.n_parameters * specification.dtype.itemsize > np.iinfo(np.intp).max:
            raise OptionError(f"n_networks is {shown(n_networks)}, and so many fit in no memory")
        start = check_integer("first", first, 0, LARGEST_COUNT - n)
        seeds = check_seeds(seed, n)
        theta = np.zeros((n, specification.n_parameters), specification.dtype)
        self._begin(specification, theta, np.arange(start, start + n))
        draw_parameters(specification, theta, keys_of(seeds, "starting parameters", self._indices))

    @classmethod
    def from_theta(
        cls,
        specification: Specification,
        theta: np.ndarray,
        indices: np.ndarray | None = None,
        scores: np.ndarray | None = None,
    ) -> Self:
        """Return a population of given parameters; a C-contiguous array of its dtype is taken and not copied.

        Parameters
        ----------
        specification : Specification
        theta : ndarray, shape (n_networks, n_parameters)
        indices : ndarray, shape (n_networks,), optional
            By default from 0 on.
        scores : ndarray, shape (n_networks,), optional

        Examples
        --------
        >>> Population.from_theta(Specification([1, 1]), np.array([[2.0, 0.5], [1.0, 0.0]]))[0].weights
        [array([[2.]])]
        """
        theta = np.require(theta, specification.dtype, ["C_CONTIGUOUS", "ALIGNED"])
        if theta.ndim != 2 or theta.shape[1] != specification.n_parameters or len(theta) == 0:
            raise OptionError(
                f"theta has shape {theta.shape}, and must be (n_networks, {specification.n_parameters}), "
                "with one network at least"
            )
        population = cls.__new__(cls)
        population._begin(specification, theta, np.arange(len(theta)) if indices is None else indices, scores)
        return population

    @classmethod
    def from_networks(cls, networks: Iterable[Network]) -> Self:
        """Return a population with the parameters of these networks, which have the same specification.

        Raises
        ------
        OptionError
            If there is none, or one differs from the first.

        Examples
        --------
        >>> Population.from_networks([Network([2, 1], seed=0), Network([2, 1], seed=1)]).theta.shape
        (2, 3)
        """
        listed = list(networks)
        for i, network in enumerate(listed):
            if not isinstance(network, Network):
                raise OptionError(
                    f"networks[{i}] is a {type(network).__name__}, and must be a fastbp.Network"
                )
            if network.specification != listed[0].specification:
                raise OptionError(
                    f"networks[{i}] is {network!r}, and differs from the first, {listed[0]!r}; "
                    "all must have the same layers, activations, loss, bias, initializer and dtype"
                )
        if not listed:
            raise OptionError("networks is empty, and must have at least one network")
        return cls.from_theta(listed[0].specification, np.array([network.theta for network in listed]))

    def _begin(
        self,
        specification: Specification,
        theta: np.ndarray,
        indices: np.ndarray,
        scores: np.ndarray | None = None,
    ) -> None:
        self.specification, self._theta, self._indices = specification, theta, indices
        self.scores = scores

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Give a copy or an unpickled population parameters of its own."""
        self.__dict__.update(state, _theta=np.array(state["_theta"]))

    def __repr__(self) -> str:
        return f"Population({len(self)} of {self.specification.summary})"

    def __len__(self) -> int:
        return len(self._theta)

    def __getitem__(self, which: Any) -> Any:
        """Return a network, or the population of several; all have copies of the parameters."""
        if not isinstance(which, slice):
            try:
                if isinstance(which, bool | np.bool_):
                    raise OptionError(f"a network's number is {which}, and must be an integer")
                i = operator.index(which)
            except TypeError:
                pass
            else:
                if not -len(self) <= i < len(self):
                    raise IndexError(f"there is no network {i} in a population of {len(self)}")
                network = Network.from_specification(self.specification)
                network.theta[:] = self._theta[i]
                return network
        chosen = self._chosen(which)
        scores = None if self.scores is None else self.scores[chosen]
        return self.from_theta(self.specification, self._theta[chosen], self._indices[chosen], scores)

    def _chosen(self, which: Any) -> np.ndarray:
        """Return the numbers of the networks that a slice, or an array of integers or booleans means."""
        if isinstance(which, slice):
            chosen = np.arange(len(self))[which]
        else:
            array = np.asarray(which)
            if array.ndim != 1 or (array.size and array.dtype.kind not in "iub"):
                raise OptionError(
                    f"networks are chosen by {shown(which)}, and may be by an integer, a slice, "
                    "or a one-dimensional array of integers or booleans"
                )
            if array.dtype == bool and array.size != len(self):
                raise IndexError(f"{array.size} booleans choose networks of a population of {len(self)}")
            chosen = np.arange(len(self))[array] if array.size else np.empty(0, np.int64)
        if not chosen.size:
            raise OptionError("no network was chosen, and a population has at least one")
        return chosen

    @property
    def theta(self) -> np.ndarray:
        """The parameters of all networks; assign to ``theta[:]`` to set them."""
        return self._theta

    @property
    def indices(self) -> np.ndarray:
        """The global index of each network."""
        return self._indices

    @property
    def weights(self) -> list[np.ndarray]:
        """A view of W of all networks for each layer, of shape (n_networks, n_in, n_out)."""
        return [
            self._theta[:, layer.w_at : layer.w_at + layer.n_in * layer.n_out].reshape(
                len(self), layer.n_in, layer.n_out
            )
            for layer in self.specification.layers
        ]

    @property
    def biases(self) -> list[np.ndarray]:
        """A view of b of all networks for each layer, of shape (n_networks, n_out); empty without biases."""
        layers = self.specification.layers if self.specification.has_bias else ()
        return [self._theta[:, layer.b_at : layer.b_at + layer.n_out] for layer in layers]

    @np.errstate(all="ignore")
    def predict(self, X: ArrayLike, *, reduce: str = "each", threads: int | None = None) -> np.ndarray:
        """Return the outputs of each network, or their mean or spread over the networks.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_inputs)
        reduce : {"each", "mean", "std"}
            "mean" is the prediction of the ensemble. "std" is the standard deviation over the networks: how
            far they disagree; the sum of squares is divided by their number. Both are computed in float64,
            some networks at a time.
        threads : int, optional
            The number of threads. The bits of the result do not depend on it.

        Returns
        -------
        ndarray, shape (n_networks, n_samples, n_outputs) or (n_samples, n_outputs)

        Raises
        ------
        ShapeError, DataError
            If X has another shape, is empty, or holds a value that is not a finite number.

        Examples
        --------
        >>> population = Population([2, 3, 1], 5, seed=0)
        >>> population.predict([[0, 1]]).shape, population.predict([[0, 1]], reduce="mean").shape
        ((5, 1, 1), (1, 1))
        """
        check_choice("reduce", reduce, REDUCTIONS)
        X = check_X(self.specification, X)
        threads = check_threads(threads)
        if reduce == "each":
            return self._outputs(slice(None), X, threads)
        moments = Moments((len(X), self.specification.n_outputs))
        for networks in blocks(len(self), len(X) * self.specification.n_outputs):
            moments.add(self._outputs(networks, X, threads))
        return moments.mean if reduce == "mean" else moments.std

    def _outputs(self, networks: slice, X: np.ndarray, threads: int | None) -> np.ndarray:
        return outputs_of(self.specification, self._theta[networks], X, threads=threads)

    @np.errstate(all="ignore")
    def loss(
        self,
        X: ArrayLike,
        Y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        threads: int | None = None,
    ) -> np.ndarray:
        """Return the loss of each network over the samples, at the current parameters.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_inputs)
        Y : array_like, shape (n_samples, n_outputs), or (n_samples,) for class labels
        sample_weight : array_like, shape (n_samples,) or (n_networks, n_samples), optional
            Weights of the samples in the mean: the same for all networks, or those of each.
        threads : int, optional
            As for `predict`.

        Returns
        -------
        ndarray of float64, shape (n_networks,)
        """
        X, Y = check_data(self.specification, X, Y)
        weights = check_weights_of_networks("sample_weight", sample_weight, len(self), len(X))
        return losses_of(self.specification, self._theta, X, Y, weights, threads=check_threads(threads))

    def best(self, k: int = 1) -> Self:
        """Return the population of the k networks with the lowest `scores`, the best first.

        Raises
        ------
        OptionError
            If k is not from 1 to the number of networks, or if there are no scores: the population was not
            trained.

        Examples
        --------
        >>> population = Population([2, 3, 1], 5, seed=0)
        >>> population.scores = population.loss([[0, 1]], [[1]])
        >>> bool(population.best(2).scores[0] == population.scores.min())
        True
        """
        if self.scores is None:
            raise OptionError(
                "this population was not trained, so there are no scores to find the best by; assign scores, "
                "such as population.scores = population.loss(X, Y)"
            )
        scores = np.asarray(self.scores)
        if scores.shape != (len(self),):
            raise OptionError(f"scores has shape {scores.shape}, and must be ({len(self)},)")
        return self[best_first(scores, k)]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the population to a file in the safetensors format, whole or not at all.

        `fastbp.populations.population_file` describes the file.

        Parameters
        ----------
        path : path-like
            As for `Network.save`.

        Raises
        ------
        OSError
            If the file cannot be written. An old file then remains.

        Examples
        --------
        >>> import tempfile
        >>> population = Population([2, 3, 1], 5, seed=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     population.save(f"{folder}/five.safetensors")
        ...     twin = Population.load(f"{folder}/five.safetensors")
        >>> bool((twin.theta == population.theta).all())
        True
        """
        stored = StoredPopulation(self.specification, self._theta, self._indices, self.scores)
        population_file.save_population(path, stored)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a population from a file that `save` wrote. Nothing in the file is executed.

        Raises
        ------
        OSError
            If the file does not exist or cannot be read.
        ModelFileError
            If the file is damaged, is not a population's, or comes from a newer fastbp.
        """
        stored = population_file.load_population(path)
        return cls.from_theta(stored.specification, stored.theta, stored.indices, stored.scores)
