"""Models: networks that take data as people have them, and predict labels or numbers in their units."""

import inspect
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from fastbp import data as data_of
from fastbp.data import learning
from fastbp.data.defaults import Defaults
from fastbp.data.fitting import OWN_BATCH_SIZE, Fitting, fit_dataset
from fastbp.data.scoring import scores
from fastbp.data.table_file import Table
from fastbp.data.text_form import listed
from fastbp.errors import DataWarning, OptionError, as_option, check_integer, check_sequence, nearest
from fastbp.initializers import Initializer
from fastbp.network import Network
from fastbp.optimizers import Optimizer
from fastbp.preprocessing import ClassTarget, Preprocessing, SeveralTargets
from fastbp.training import TrainingResult, train

SATURATING = ("sigmoid", "tanh", "softsign", "identity")
"""Hidden activations whose weights are drawn as Glorot & Bengio do; those of the others as He et al. do."""

FEW_ROWS = 1
"""For so few rows networks are made, if nothing is said of their number."""

ACTIVATION = "relu"
"""Of the hidden layers, if nothing is said."""

TRAINED_OTHERWISE = ("network", "X", "Y", "optimizer", "sample_weight", "validation_data")
"""Arguments of `train` that `fit` gives itself."""


class Model:
    """A network with its preprocessing: it takes data as they are, and predicts labels or numbers.

    Columns are found by their names, in any order. `fastbp.fit` makes a model, and `load` reads one that
    `save`, or `fastbp train` in the shell, wrote.

    Parameters
    ----------
    network : Network
        One that has a preprocessing.

    Attributes
    ----------
    network : Network
    result : TrainingResult or None
        What the training returned, after `fastbp.fit`.
    remarks : list of str
        What was guessed about the training data, and what is unusual in them.

    Examples
    --------
    >>> import fastbp
    >>> fruit = {"weight": [150, 120, 160, 110], "colour": ["green", "yellow", "red", "yellow"]}
    >>> model = fastbp.fit(fruit, target=["apple", "lemon", "apple", "lemon"], epochs=100, seed=0)
    >>> model.predict({"colour": ["red", "yellow"], "weight": [155, 115]}).tolist()
    ['apple', 'lemon']
    >>> model.predict_proba(fruit).shape, model.score(fruit, ["apple", "lemon", "apple", "lemon"])
    ((4, 2), 1.0)
    """

    def __init__(
        self, network: Network, *, result: TrainingResult | None = None, remarks: Sequence[str] = ()
    ):
        if not isinstance(network, Network) or network.preprocessing is None:
            raise OptionError("a Model needs a network that has a preprocessing; fastbp.fit makes one")
        self.network, self.result, self.remarks = network, result, list(remarks)
        self._preprocessing = network.preprocessing

    def __repr__(self) -> str:
        return f"Model(predicts {self._preprocessing.target.name!r}, {self.network!r})"

    @property
    def preprocessing(self) -> Preprocessing:
        """What inputs and outputs mean: see `fastbp.preprocessing`."""
        return self._preprocessing

    @property
    def labels(self) -> tuple[Any, ...]:
        """The labels that may be predicted, in the order of `predict_proba`; empty for numbers."""
        target = self._preprocessing.target
        return target.labels if isinstance(target, ClassTarget) else ()

    def predict(
        self, data: Any, *, unseen: str = "error", missing: str | None = None, **reading: Any
    ) -> np.ndarray:
        """Return labels, or numbers in the unit of the target.

        Parameters
        ----------
        data : path-like, frame or array_like
            A file; a frame of pandas or polars, or a dictionary of columns, in any order and with others
            between; or an array with the columns of the training array.
        unseen : {"error", "zeros"}
            What to do with a text that no training row has: raise an error, or take it for none of the known.
        missing : {"error", "mean", "median", "indicator"}, optional
            What to do with missing inputs; by default as in training.
        **reading
            How the file is read, as for `fit`; by default as in training.

        Returns
        -------
        ndarray, shape (n_samples,), or (n_samples, n_targets) for several targets

        Raises
        ------
        DataError
            If a column is missing, or holds what the model does not know.
        """
        return self._preprocessing.decode(self._outputs(data, unseen, missing, reading)[1])

    def predict_proba(
        self, data: Any, *, unseen: str = "error", missing: str | None = None, **reading: Any
    ) -> np.ndarray:
        """Return the probability of each label, in the order of `labels`.

        Of several targets of two labels, the probability of the second label of each.

        Parameters
        ----------
        data, unseen, missing, **reading
            As for `predict`.

        Returns
        -------
        ndarray, shape (n_samples, n_outputs)

        Raises
        ------
        OptionError
            If the model predicts numbers.
        """
        if not self._preprocessing.is_of_classes:
            raise OptionError("predict_proba is for classes, and this model predicts numbers; see predict")
        return self._outputs(data, unseen, missing, reading)[1]

    def score(
        self,
        data: Any,
        target: Any = None,
        *,
        unseen: str = "error",
        missing: str | None = None,
        **reading: Any,
    ) -> float:
        """Return the accuracy of predicted labels, or the R2 of predicted numbers.

        Parameters
        ----------
        data, unseen, missing, **reading
            As for `predict`.
        target : array_like, optional
            The true values; by default the data's own column of that name.
        """
        table, outputs = self._outputs(data, unseen, missing, reading, target)
        Y = data_of.targets(table, self._preprocessing, self.network.dtype.name)
        return next(iter(scores(self._preprocessing, outputs, Y).values()))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a file, as `Network.save` does; `fastbp predict` in the shell takes it, too."""
        self.network.save(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a model that `save` or `fastbp train` wrote. Nothing in the file is executed.

        Raises
        ------
        OSError, ModelFileError
            As `Network.load` raises them.
        OptionError
            If the file has a network alone, that takes prepared numbers.
        """
        network = Network.load(path)
        if network.preprocessing is None:
            raise OptionError(
                f"{os.fspath(path)} has a network without a preprocessing; fastbp.Network.load reads it"
            )
        return cls(network)

    def _outputs(
        self, data: Any, unseen: str, missing: str | None, reading: dict[str, Any], target: Any = None
    ) -> tuple[Table, np.ndarray]:
        """Return data as a table, and the outputs of the network."""
        preprocessing = data_of.with_missing(self._preprocessing, missing)
        table, _ = learning.open_known(preprocessing, data, target, **reading)
        if extra := extra_columns(table, preprocessing):
            _warn([f"the model does not take {listed(extra)}"])
        blocks = data_of.batches(table, preprocessing, dtype=self.network.dtype.name, unseen=unseen)
        return table, np.concatenate([self.network.predict(X, prepared=True) for X in blocks])


def extra_columns(table: Table, preprocessing: Preprocessing) -> list[str]:
    """Return the columns of a table that a model does not know."""
    if not table.named:
        return []
    known = {column.name for column in preprocessing.columns} | {one.name for one in preprocessing.targets}
    return [name for name in table.names if name not in known | {*preprocessing.kept, *preprocessing.ignored}]


def fit(
    data: Any,
    *,
    target: Any = None,
    task: str | None = None,
    hidden: Sequence[int] | None = None,
    activation: str | None = None,
    initializer: Initializer | None = None,
    loss: str | None = None,
    epochs: int | None = None,
    batch_size: int | str | None = OWN_BATCH_SIZE,
    optimizer: Optimizer | None = None,
    validation: Any = None,
    sample_weight: Any = None,
    class_weight: str | Mapping[Any, float] | None = None,
    seed: int | None = None,
    dtype: str | None = None,
    start_from: "Model | Network | str | os.PathLike[str] | None" = None,
    ensemble: int = 1,
    n_starts: int = 1,
    refit: bool = False,
    **options: Any,
) -> Model:
    """Train a network on data as they are, and return it with its preprocessing.

    Numbers are standardised, texts become categories, and labels are encoded: `fastbp.data` says how. The
    network has softmax outputs for classes, sigmoid outputs for several targets of two labels, and linear
    ones for numbers.

    Parameters
    ----------
    data : path-like, frame or array_like
        A file of text, Parquet, Arrow, Excel, .npy or .npz; a frame of pandas or polars, or a dictionary of
        columns; or an array of two dimensions. Files and frames need the package polars.
    target : str, int, sequence of these, or array_like
        The column to learn, by name or by position, or several; or the values themselves.
    task : {"classification", "regression"}, optional
        By default, text, booleans, and whole numbers with at most 20 different values are classes.
    hidden : sequence of int, optional
        Sizes of the hidden layers; by default (100,), from 5000 rows on (64, 64).
    activation : str, default "relu"
        Of the hidden layers.
    initializer : str or tuple, optional
        How the weights are drawn, as for `Network`. The default is "glorot_uniform" for sigmoid, tanh,
        softsign and identity, and "he_uniform" for the others.
    loss : str, optional
        Of a regression; the default is mean_squared_error.
    epochs, batch_size, seed
        As for `fastbp.train`; by default 100 epochs in batches of 16 rows, from 5000 rows on of 32. The seed
        is for the initial weights and the held-out rows, too.
    optimizer : Optimizer, optional
        The default is `fastbp.AdamW`, with a rate that falls from 0.003 to 0 over the run by half a cosine,
        and a weight decay of 300 / n_rows, at most 1. The page docs/defaults.md has the tables that chose
        all this.
    validation : float, path-like, frame, array_like or pair, optional
        The fraction of the rows to hold out; or other data, with the target as a column or as
        ``(data, target)``.
    sample_weight : str, int or array_like, optional
        Weights of the rows: a column of the data, or the weights themselves.
    class_weight : {"balanced"} or mapping, optional
        Weights of the classes.
    dtype : {"float64", "float32"}, optional
    start_from : Model, Network or path-like, optional
        A model to go on with: its layers, its parameters and its preprocessing. It does not go with
        `n_starts`; the networks of an ensemble then differ in the orders of rows alone.
    ensemble : int, default 1
        How many networks, of other initial weights and orders of rows, are trained and averaged. The average
        is one network. Small ones train together, as a population: docs/model.md says when.
    n_starts : int, default 1
        From how many initial weights a network is trained; the one of the lowest loss, on the held-out rows
        if there are any, is kept.
    refit : bool, default False
        Whether a second training, on all rows, learns from the held-out rows, too, for as many epochs as the
        first had at its best. ``model.result`` is that of the first. If Ctrl-C or ``max_seconds`` ends the
        second, the model is the first one's, and ``model.result.stop_reason`` says so. That holds for the
        further networks of `ensemble` and `n_starts`, too.
    **options
        Further options of `fastbp.data.load`, such as ``ignore``, ``keep``, ``missing`` and ``stratify``; of
        `fastbp.train`, such as ``l2``, ``label_smoothing``, ``early_stopping`` and ``checkpoint``; and of how
        files are read, such as ``separator`` (`fastbp.reading.Reading`).

    Returns
    -------
    Model

    Raises
    ------
    DataError, OptionError
        If the data or an option are not what they may be; before any training.

    Warns
    -----
    DataWarning
        If something about the data was guessed, or is unusual: ``model.remarks`` keeps it.

    Examples
    --------
    >>> import fastbp
    >>> import numpy as np
    >>> X = np.random.default_rng(0).uniform(-1, 1, (200, 2))
    >>> model = fastbp.fit(X, target=X[:, 0] - 3 * X[:, 1], seed=0)
    >>> round(model.score(X, X[:, 0] - 3 * X[:, 1]), 1)
    1.0
    """
    of_data, of_training = _divided(options)
    fitting = Fitting(
        epochs=epochs,
        steps=of_training.pop("steps", None),
        batch_size=batch_size,
        optimizer=optimizer,
        seed=seed,
        ensemble=ensemble,
        n_starts=n_starts,
        refit=refit,
        goes_on=start_from is not None,
    )
    start = _network_of(start_from)
    dataset = data_of.load(
        data,
        target=target,
        task=task,
        validation=validation,
        sample_weight=sample_weight,
        class_weight=class_weight,
        seed=seed,
        dtype=dtype or (start.dtype.name if start else "float64"),
        preprocessing=None if start is None else start.preprocessing,
        **of_data,
    )
    if dataset.remarks:
        _warn(dataset.remarks)

    def make(seed: int | None) -> Network:
        """Return a network with new start weights, or that to go on with."""
        return make_network(
            dataset,
            hidden=hidden,
            activation=activation,
            initializer=initializer,
            loss=loss,
            dtype=dtype,
            seed=seed,
            start=start,
        )

    fitted = fit_dataset(dataset, make, fitting, **of_training)
    return Model(fitted.network, result=fitted.result, remarks=dataset.remarks)


def _divided(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options of loading and those of training, or name the one that is neither."""
    of_load = {*data_of.ROW_OPTIONS, "validation", "stratify", "seed"} - {"preprocessing"}
    of_train = {*inspect.signature(train).parameters} - {*TRAINED_OTHERWISE}
    for name in options:
        if name not in of_load | of_train:
            near = nearest(name, {*of_load, *of_train, *inspect.signature(fit).parameters})
            raise OptionError(f"{name!r} is no option of fit, load, train or reading{near}")
    return (
        {name: value for name, value in options.items() if name in of_load},
        {name: value for name, value in options.items() if name not in of_load},
    )


def _network_of(start_from: Any) -> Network | None:
    """Return the network to go on with, or None, or say why there is none."""
    if start_from is None:
        return None
    if isinstance(start_from, str | os.PathLike):
        start_from = Network.load(start_from)
    network = start_from.network if isinstance(start_from, Model) else start_from
    if not isinstance(network, Network):
        raise OptionError(f"start_from is {start_from!r}, and must be a Model, a Network or a path")
    if network.preprocessing is None:
        raise OptionError(
            f"{as_option('start_from')} has a network without a preprocessing; fastbp.train goes on with it"
        )
    return network


def make_network(
    dataset: data_of.Dataset,
    *,
    hidden: Sequence[int] | None = None,
    activation: str | None = None,
    initializer: Initializer | None = None,
    loss: str | None = None,
    dtype: str | None = None,
    seed: int | None = None,
    start: Network | None = None,
) -> Network:
    """Return a network for a dataset, with its preprocessing; with `start`, a copy of that one."""
    if start is not None:
        given = {"hidden": hidden, "activation": activation, "initializer": initializer}
        given |= {"loss": loss, "dtype": dtype}
        for name, value in given.items():
            if value is not None:
                raise OptionError(
                    f"{as_option(name)} is given, and the network to start from has its own; leave it out"
                )
        network = Network.from_specification(start.specification)
        network.theta[:] = start.theta
        network.preprocessing = dataset.preprocessing
        return network
    options = network_options(
        dataset.preprocessing,
        n_rows=len(dataset.X),
        hidden=hidden,
        activation=activation,
        initializer=initializer,
        loss=loss,
        dtype=dtype,
    )
    network = Network(**options, seed=seed)
    network.preprocessing = dataset.preprocessing
    return network


def network_options(
    preprocessing: Preprocessing,
    *,
    n_rows: int = FEW_ROWS,
    hidden: Sequence[int] | None = None,
    activation: str | None = None,
    initializer: Initializer | None = None,
    loss: str | None = None,
    dtype: str | None = None,
) -> dict[str, Any]:
    """Return what `Network` takes to fit a preprocessing on so many rows, except the seed."""
    classes = preprocessing.is_of_classes
    if classes and loss is not None:
        raise OptionError(
            f"{as_option('loss')} is for a regression, and these are classes; "
            f"{as_option('task', 'regression')} takes them for numbers"
        )
    several = isinstance(preprocessing.target, SeveralTargets)
    of_classes = ("sigmoid", "binary_cross_entropy") if several else ("softmax", "categorical_cross_entropy")
    output, of_output = of_classes if classes else ("identity", loss or "mean_squared_error")
    activation = activation or ACTIVATION
    sizes = Defaults.of(n_rows).hidden if hidden is None else check_sequence("hidden", hidden, "(32,)")
    sizes = tuple(check_integer(f"hidden[{i}]", size, 1) for i, size in enumerate(sizes))
    return {
        "layer_sizes": [preprocessing.n_inputs, *sizes, preprocessing.n_outputs],
        "hidden_activation": activation,
        "output_activation": output,
        "loss": of_output,
        "initializer": initializer or ("glorot_uniform" if activation in SATURATING else "he_uniform"),
        "dtype": dtype or "float64",
    }


def _warn(remarks: Sequence[str]) -> None:
    warnings.warn("; ".join(remarks), DataWarning, stacklevel=3)
