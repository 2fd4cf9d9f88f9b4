"""Many fits at once: perceptrons of one shape train as one population, each as its own `fit` trains it."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import _check_sample_weight

from fastbp.engine.kernel_options import generator_state
from fastbp.engine.population_options import PopulationOptions
from fastbp.engine.population_run import PopulationRun
from fastbp.network import Network
from fastbp.populations.members import Members
from fastbp.populations.outputs import blocks, outputs_of
from fastbp.schedules import Schedule
from fastbp.sklearn.fit_epochs import EpochLoop
from fastbp.sklearn.fit_parameters import STOCHASTIC, optimizer_of, settings_of
from fastbp.sklearn.fit_runs import OptimizerState
from fastbp.sklearn.fit_samples import Samples, Shuffles
from fastbp.sklearn.user_warnings import warn_user
from fastbp.training.interrupts import Interrupts
from fastbp.training.stopping import StopReason

MOST_ORDERED = 2**26
"""The most samples in the orders of the networks that train together: 256 MB."""

OF_ITS_OWN = {
    "warm_start": False,
    "verbose": False,
    "class_weight": None,
    "scoring": None,
    "callbacks": None,
    "progress": False,
    "max_seconds": None,
    "checkpoint": None,
}
"""What these parameters are in a fit that can be one of many."""

DATA_ATTRIBUTES = ("n_features_in_", "feature_names_in_", "classes_", "_labels", "n_outputs_")
"""What an estimator learns from the data before training."""


def trains_in_a_population(estimator: Any) -> bool:
    """Whether the parameters of a perceptron let it train as one network of a population."""
    known = vars(estimator)
    return (
        estimator.solver in STOCHASTIC
        and "_skl_callbacks" not in known
        and all(known.get(name, plain) == plain for name, plain in OF_ITS_OWN.items())
        and estimator.momentum < 1
    )


def has_population_loss(estimator: Any) -> bool:
    """Whether the population kernel has the loss of an estimator in scikit-learn's form."""
    _, loss = estimator._form
    return loss == "categorical_cross_entropy" or (estimator.n_outputs_ == 1 and loss != "poisson")


class CheckedData:
    """Samples that several estimators are fitted to, checked once.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        Its kind says how y is encoded.
    X, y, sample_weight
        As the user gave them.

    Attributes
    ----------
    X : ndarray, shape (n_samples, n_features)
    y, labels : ndarray
        As the estimator encodes it, and as the user gave it.
    Y : ndarray
        The targets of the networks.
    weights : float64[n_samples] or None
    """

    def __init__(self, estimator: Any, X: Any, y: Any, sample_weight: Any = None):
        self.X, self.y = estimator._validated(X, y, is_incremental=False, reset=True)
        self.labels = estimator._labels_of(self.y)
        self._known = {name: vars(estimator)[name] for name in DATA_ATTRIBUTES if name in vars(estimator)}
        self.is_dense = not hasattr(self.X, "tocsr")
        self.Y: Any = estimator._targets(self.y, self.X.dtype) if self.is_dense else None
        self.weights: np.ndarray | None = None
        if sample_weight is not None:
            self.weights = np.asarray(_check_sample_weight(sample_weight, self.X), np.float64)
            if not np.isfinite(self.weights).all():
                raise ValueError("sample_weight contains NaN or infinity")
            if self.weights.min() < 0:
                raise ValueError("sample_weight has negative weights")
            if not self.weights.any():
                raise ValueError("sample_weight is zero for all samples")

    def weights_of(self, rows: np.ndarray | None) -> np.ndarray | None:
        """Return the weights of some samples, if samples have weights."""
        return None if self.weights is None else self.weights[rows]

    def has_all_classes(self, rows: np.ndarray) -> bool:
        """Whether some samples have all classes, so that a fit to them finds the same ones."""
        classes = self._known.get("classes_")
        return classes is None or len(np.unique(self.y[rows])) == len(classes)

    def one_of_each_class(self) -> np.ndarray:
        """Return the first sample of each class."""
        is_of_classes = "classes_" in self._known and self.y.ndim == 1
        return np.unique(self.y, return_index=True)[1] if is_of_classes else np.empty(0, np.int64)

    def tell(self, estimator: Any) -> None:
        """Give an estimator the attributes that it would have found in the data."""
        vars(estimator).update(self._known)


@dataclass(eq=False)
class Fit:
    """A perceptron, and the samples that it is to be fitted to.

    Attributes
    ----------
    estimator : MLPClassifier or MLPRegressor
    rows : ndarray of int
        The samples, in the order in which its own `fit` would get them.
    generator : RandomState
        That of its `random_state`.
    held : ndarray of int, optional
        The samples that early stopping looks at. By default the estimator draws them from its own.
    weighs : bool
        Whether the weights of the samples weigh in training. Such a fit is for `alone`.
    error : Exception or None
        What its own `fit` would have raised.
    reached_most : bool
        Whether `max_iter` ended it.
    """

    estimator: Any
    rows: np.ndarray
    generator: np.random.RandomState
    held: np.ndarray | None = None
    weighs: bool = False
    error: Exception | None = None
    dropout_seed: int = 0
    batch_rows: int = 0
    reached_most: bool = False

    def begin(self, data: CheckedData) -> None:
        """Make the network, and divide the samples; draw what the estimator's `fit` draws."""
        estimator, generator = self.estimator, self.generator
        data.tell(estimator)
        estimator._begin(data.X, estimator._hidden_sizes(), False, generator)
        estimator._optimizer = OptimizerState(settings_of(estimator))
        if estimator.early_stopping and self.held is None:
            rows, held = estimator._split(Samples(data.X[self.rows], data.Y[self.rows]), generator)
            self.rows, self.held = self.rows[rows], self.rows[held]
        if estimator.dropout > 0:
            self.dropout_seed = int(generator.randint(2**31 - 1))
        self.batch_rows = estimator._batch_rows(len(self.rows))

    def alone(self, data: CheckedData) -> None:
        """Fit the estimator by itself: samples that are drawn twice have twice the weight.

        A class that is not drawn has a sample of weight 0, so that the estimator finds all classes.
        """
        counts = np.bincount(self.rows, minlength=data.X.shape[0])
        own = np.union1d(np.flatnonzero(counts), data.one_of_each_class())
        weights = counts[own].astype(np.float64)
        if self.weighs:
            weights *= data.weights_of(own)
        elif (weights == 1).all():
            weights = None
        more = {}
        if (held := self.held) is not None:
            more = {"X_val": data.X[held], "y_val": data.labels[held]}
            more["sample_weight_val"] = data.weights_of(held)
        try:
            self.estimator.fit(data.X[own], data.labels[own], weights, **more)
        except ValueError as error:
            self.error = error

    @property
    def network(self) -> Network:
        """The network of the estimator."""
        return self.estimator._network

    @property
    def key(self) -> Hashable:
        """What is the same for all networks of a population."""
        estimator, settings = self.estimator, settings_of(self.estimator)
        rate = settings.learning_rate
        return (
            self.network.specification,
            len(self.rows),
            self.batch_rows,
            estimator.solver,
            (settings.beta_1, settings.beta_2, settings.epsilon, settings.weight_decay),
            bool(settings.nesterovs_momentum),
            repr(rate) if isinstance(rate, Schedule) else None,
            estimator.gradient_clip_norm,
            estimator.dropout > 0,
            estimator.early_stopping,
        )


class Orders:
    """The samples of each network, epoch by epoch: what `PopulationOptions.order` takes.

    Parameters
    ----------
    fits : sequence of Fit
        As many rows each. Those whose generators are in the same state have the same order of places.
    """

    def __init__(self, fits: Sequence[Fit]):
        self._rows = np.array([fit.rows for fit in fits], np.int32)
        shuffles: dict[Hashable, Shuffles | None] = {}
        names = [_state_of(fit) for fit in fits]
        for fit, name in zip(fits, names, strict=True):
            if name not in shuffles:
                shuffles[name] = None if name is None else Shuffles(len(fit.rows), fit.generator)
        numbers = {name: i for i, name in enumerate(shuffles)}
        self._shuffles, self._numbers = list(shuffles.values()), [numbers[name] for name in names]
        self._are_same = len(shuffles) == 1 and bool((self._rows == self._rows[0]).all())
        self._epoch, self._order = -1, self._rows

    def __call__(self, epoch: int) -> np.ndarray:
        """Return the order of an epoch: that of the last call, or the next one."""
        if epoch > self._epoch:
            self._epoch = epoch
            in_order = np.arange(self._rows.shape[1])
            orders = [in_order if one is None else next(one) for one in self._shuffles]
            if self._are_same:
                self._order = self._rows[0][orders[0]]
            elif len(orders) == 1:
                self._order = self._rows[:, orders[0]]
            else:
                places = np.array(orders)[self._numbers]
                self._order = np.take_along_axis(self._rows, places, axis=1)
        return self._order


def _state_of(fit: Fit) -> Hashable:
    """Return the state of the generator that shuffles the samples of a fit; None if they stay in order."""
    if not fit.estimator.shuffle:
        return None
    state: Any = fit.generator.get_state()
    return state[1].tobytes(), state[2]


class OneOfMany:
    """What the loop over the epochs of a fit needs of a run, for one network of a population."""

    most_epochs = 1

    def __init__(self) -> None:
        self.theta = np.empty(0)


class Together:
    """Fits of one `key`, in training.

    Parameters
    ----------
    fits : sequence of Fit
    data : CheckedData
    threads : int or None
    interrupts : Interrupts
    """

    def __init__(self, fits: Sequence[Fit], data: CheckedData, threads: int | None, interrupts: Interrupts):
        self._fits, self._data, self._interrupts = fits, data, interrupts
        self._threads = threads
        self._estimators = [fit.estimator for fit in fits]
        theta = np.array([fit.network.theta for fit in fits])
        self._specification = fits[0].network.specification
        run = PopulationRun(self._specification, theta, data.X, data.Y, self._options())
        self._members = Members(run, theta)
        self._runs = [OneOfMany() for _ in fits]
        self._scores = np.full(len(fits), np.nan)
        if fits[0].held is not None:
            self._held = np.unique(np.concatenate([fit.held for fit in fits if fit.held is not None]))
            self._places = [np.searchsorted(self._held, fit.held) for fit in fits if fit.held is not None]
        self._loops = [self._loop(i) for i in range(len(fits))]

    @property
    def _is_scheduled(self) -> bool:
        """Whether the rates are those of a schedule, which is the same for all."""
        settings = self._estimators[0]._optimizer.settings
        return isinstance(settings.learning_rate, Schedule) and settings.solver != "rprop"

    def _options(self) -> PopulationOptions:
        fits, first = self._fits, self._estimators[0]
        settings = first._optimizer.settings
        of_each: dict[str, list[float]] = {"l2": [float(one.alpha) for one in self._estimators]}
        if not self._is_scheduled:
            of_each["learning_rate"] = [float(one.learning_rate_init) for one in self._estimators]
        if settings.solver == "sgd":
            of_each["momentum"] = [float(one.momentum) for one in self._estimators]
        if first.dropout > 0:
            of_each["dropout"] = [float(one.dropout) for one in self._estimators]
        return PopulationOptions(
            len(fits),
            len(fits[0].rows),
            n_rows=len(self._data.X),
            optimizer=optimizer_of(settings),
            batch_size=fits[0].batch_rows,
            order=Orders(fits),
            gradient_clip_norm=first.gradient_clip_norm,
            seeds=np.array([generator_state(fit.dropout_seed) for fit in fits], np.uint64),
            divides_l2=True,
            threads=self._threads,
            **{name: np.array(values) for name, values in of_each.items()},  # type: ignore[arg-type]
        )

    def _loop(self, i: int) -> EpochLoop:
        fit = self._fits[i]
        score: Callable[[], float] | None = None
        if fit.estimator.early_stopping:

            def score() -> float:
                """Return the score of this network, which was computed with those of the others."""
                return float(self._scores[i])

        return EpochLoop(fit.estimator, self._runs[i], len(fit.rows), score, (), self._interrupts)

    def train(self) -> bool:
        """Train all to their ends; return whether Ctrl-C was pressed before."""
        members, estimators = self._members, self._estimators
        for epoch in range(1, 1 + max(one.max_iter for one in estimators)):
            if not self._is_scheduled:
                members.run.learning_rates = np.array(
                    [estimators[i]._optimizer.learning_rate for i in members.numbers]
                )
            members.advance(epoch * members.steps_per_epoch, lambda: self._interrupts.pressed)
            if self._interrupts.pressed:
                break
            if not self._end_epoch():
                break
        self._write()
        return self._interrupts.pressed

    def _end_epoch(self) -> bool:
        """Do what is due for each network after an epoch; return whether any goes on."""
        members = self._members
        members.find_diverged()
        losses, ending = members.spread(members.run.losses()), np.zeros(len(members), bool)
        if self._estimators[0].early_stopping:
            self._score()
        for i in np.flatnonzero(members.active):
            estimator = self._estimators[i]
            has_ended = self._loops[i].end_epochs([float(losses[i])])
            ending[i] = has_ended or estimator.n_iter_ == estimator.max_iter
        members.end(ending, StopReason.COMPLETED)
        members.pack()
        return bool(members.active.any())

    def _score(self) -> None:
        """Compute the score of each network on the samples that are held out from it."""
        members, theta = self._members, self._members.run.theta
        X, n_numbers = self._data.X[self._held], len(self._held) * self._specification.n_outputs
        for block in blocks(len(theta), n_numbers):
            outputs = outputs_of(self._specification, theta[block], X, threads=self._threads)
            for output, i, own in zip(outputs, members.numbers[block], theta[block], strict=True):
                self._runs[i].theta = own
                held = self._fits[i].held
                of_it = output[self._places[i]]
                weights = self._data.weights_of(held)
                self._scores[i] = self._estimators[i]._quality(of_it, self._data.y[held], weights)

    def _write(self) -> None:
        """Give each estimator its parameters."""
        members = self._members
        members.find_diverged()
        for i, (fit, theta) in enumerate(zip(self._fits, members.theta(), strict=True)):
            estimator = fit.estimator
            if members.diverged_at[i] >= 0:
                fit.error = ValueError(
                    "Solver produced non-finite parameter weights. The input data may contain large values "
                    "and need to be preprocessed."
                )
            best = estimator._best_theta if estimator.early_stopping else None
            fit.network.theta[:] = theta if best is None else best
            estimator._best_theta = None
            ended = self._loops[i].has_converged or fit.error is not None
            fit.reached_most = not ended and estimator.n_iter_ == estimator.max_iter


def fit_together(
    fits: Sequence[Fit], data: CheckedData, *, interrupts: Interrupts, threads: int | None = None
) -> bool:
    """Fit estimators, those of one shape as one population; return whether Ctrl-C ended it.

    The result of each is that of its own `fit` on its rows, but for rounding.
    """
    groups: dict[Hashable, list[Fit]] = defaultdict(list)
    for fit in fits:
        try:
            fit.begin(data)
        except (ValueError, TypeError) as error:
            fit.error = error
            continue
        groups[fit.key].append(fit)
    for group in groups.values():
        most = max(1, MOST_ORDERED // len(group[0].rows))
        for start in range(0, len(group), most):
            if Together(group[start : start + most], data, threads, interrupts).train():
                return True
    unfinished = [fit.estimator.max_iter for fit in fits if fit.reached_most]
    if unfinished:
        warn_user(
            f"Stochastic Optimizer: Maximum iterations ({max(unfinished)}) reached and the optimization "
            f"hasn't converged yet, in {len(unfinished)} of {len(fits)} networks.",
            ConvergenceWarning,
        )
    return False
