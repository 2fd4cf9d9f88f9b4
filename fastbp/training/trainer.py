"""Trainer: one step at a time, on batches that come from the caller."""

import math
import os
import threading
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from fastbp._version import __version__
from fastbp.checks import check_batch_weights, check_data
from fastbp.engine.batch_run import BatchRun
from fastbp.engine.kernel_options import KernelOptions
from fastbp.errors import (
    LARGEST_COUNT,
    CheckpointError,
    DivergenceError,
    ModelFileError,
    OptionError,
    check_integer,
    check_number,
)
from fastbp.interchange.tensor_file import read_tensors, write_tensors
from fastbp.network import Network
from fastbp.optimizers import Optimizer
from fastbp.schedules import Adaptive
from fastbp.training.checkpoint import plain

KIND, VERSION = "trainer", 1
"""The kind and the version of the files that `Trainer.save` writes."""

INT64 = np.dtype(np.int64)

IN_ANOTHER_THREAD = "this trainer is taking a step in another thread; give each thread a trainer of its own"


class Trainer:
    """Trains a network on batches that come one by one: in online, reinforcement or active learning.

    It prepares everything once, and keeps the optimizer's state between steps. So a step costs a few
    microseconds more than its arithmetic; a call of `fastbp.train` costs tens to hundreds. Its steps have the
    bits of ``fastbp.train(..., kernel="layered")`` on the same batches.

    It starts from the parameters that the network has when the trainer is made. It writes the trained
    parameters into the network when the ``with`` block ends, and whenever the property `network` is read.

    Parameters
    ----------
    network : Network
    optimizer : SGD, RMSprop, Adam, AdamW or RPROP
        Its learning rate may be a number or a schedule, but not `schedules.Adaptive`, which looks at epochs.
    batch_size : int, optional
        Rows of the largest batch. The default is the size of the first batch. If a larger batch comes later,
        the buffers are made again. The size decides in which order rows are added, as in `train`.
    update, seed, l2, dropout, gradient_clip_norm, threads : optional
        As `fastbp.train` takes them.

    Raises
    ------
    OptionError
        If an argument is not what it may be.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp
    >>> net = fastbp.Network([2, 8, 1], hidden_activation="tanh", output_activation="identity", seed=0)
    >>> generator = np.random.default_rng(0)
    >>> with Trainer(net, optimizer=fastbp.Adam(learning_rate=0.01)) as trainer:
    ...     for _ in range(2000):
    ...         X = generator.uniform(-1, 1, (16, 2))
    ...         loss = trainer.step(X, X[:, :1] * X[:, 1:])
    >>> loss < 1e-3, trainer.n_steps
    (True, 2000)
    """

    def __init__(
        self,
        network: Network,
        *,
        optimizer: Optimizer,
        batch_size: int | None = None,
        update: str = "simultaneous",
        seed: int | None = None,
        l2: float = 0.0,
        dropout: float = 0.0,
        gradient_clip_norm: float | None = None,
        threads: int | None = None,
    ):
        if not isinstance(network, Network):
            raise OptionError(f"network is a {type(network).__name__}, and must be a fastbp.Network")
        if not network.theta.flags.writeable:
            raise OptionError("network.theta is read-only, and training writes to it; "
                              "set network.theta.flags.writeable = True")  # fmt: skip
        if isinstance(getattr(optimizer, "learning_rate", None), Adaptive):
            raise OptionError("optimizer has schedules.Adaptive, which looks at the ends of epochs; "
                              "a Trainer knows none: set trainer.learning_rate")  # fmt: skip
        self._network, self._start = network, network.theta.copy()
        self._rows = 0 if batch_size is None else check_integer("batch_size", batch_size, 1)
        self._arguments: dict[str, Any] = {
            "optimizer": optimizer,
            "update": update,
            "seed": seed,
            "l2": l2,
            "dropout": dropout,
            "gradient_clip_norm": gradient_clip_norm,
            "threads": threads,
        }
        self._options = self._options_for(max(1, self._rows))
        self._lock = threading.Lock()
        self._run: BatchRun | None = None
        self._learning_rate: float | None = None
        if self._rows:
            self._prepare(self._rows)

    def _options_for(self, rows: int) -> KernelOptions:
        return KernelOptions(rows, steps=LARGEST_COUNT, batch_size=rows, shuffle=False, **self._arguments)

    # --- steps -------------------------------------------------------------------------------------------

    def step(self, X: ArrayLike, Y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Take one step on a batch.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_inputs)
        Y : array_like, shape (n_samples, n_outputs), or (n_samples,) for class labels
            C-contiguous arrays of the network's type, and int64 labels, are read in place: nothing is
            copied, and nothing is kept.
        sample_weight : array_like, shape (n_samples,), optional
            The loss of the batch is ``sum_i w_i L_i / n_samples``. Weights are taken as they are, because no
            trainer knows the whole data; `fastbp.train` divides them by their mean over the data.

        Returns
        -------
        float
            The loss of the batch at the parameters from before the step, without the l2 term.

        Raises
        ------
        ShapeError, DataError
            If the batch is not what it may be. No step is taken.
        DivergenceError
            If the loss is infinite or NaN. The network keeps the parameters that were written into it last.
            To go back, call `load_state_dict`, or make a new trainer.
        """
        if not self._lock.acquire(False):
            raise RuntimeError(IN_ANOTHER_THREAD)
        try:
            run, loss = self._run, None
            if run is not None and sample_weight is None and type(X) is type(Y) is np.ndarray:
                loss = run.step_on(X, Y)
            if loss is None:
                run, X, Y = self._take(X, Y, sample_weight)
                loss = run.step()
        finally:
            self._lock.release()
        if loss - loss == 0.0:
            return loss
        raise self._divergence(loss)

    def steps(
        self, X: ArrayLike, Y: ArrayLike, n_steps: int, sample_weight: ArrayLike | None = None
    ) -> float:
        """Take `n_steps` steps on the same batch; return the loss from before the last one. See `step`."""
        n_steps = check_integer("n_steps", n_steps, 1)
        if not self._lock.acquire(blocking=False):
            raise RuntimeError(IN_ANOTHER_THREAD)
        try:
            run, X, Y = self._take(X, Y, sample_weight)
            loss = run.steps(n_steps)
        finally:
            self._lock.release()
        if not math.isfinite(loss):
            raise self._divergence(loss)
        return loss

    def _divergence(self, loss: float) -> DivergenceError:
        return DivergenceError(
            f"step {self.n_steps} had the loss {loss:g}; the network keeps the parameters that it got last. "
            "Try a smaller learning rate, or scale the inputs and targets",
            self.n_steps,
        )

    @np.errstate(all="ignore")
    def _take(self, X: ArrayLike, Y: ArrayLike, sample_weight: ArrayLike | None) -> tuple[BatchRun, Any, Any]:
        """Check a batch, copy it if the kernel cannot read it in place, and give it to the run."""
        X, Y = check_data(self._network.specification, X, Y)
        weights = None if sample_weight is None else check_batch_weights(sample_weight, len(X))
        X = _as_kernels_read(X, self._network.dtype)
        Y = _as_kernels_read(Y, self._network.dtype if Y.ndim == 2 else INT64)
        if self._run is None or len(X) > self._rows:
            self._prepare(len(X))
        assert self._run is not None
        taken = self._run.take(X, Y)
        assert taken, "checked data that the kernel refuses"
        self._run.weigh(weights)
        return self._run, X, Y

    def _prepare(self, rows: int) -> None:
        """Make a run for batches of up to `rows` rows, which continues from the state of the one before."""
        state = self._run and self._run.state()
        run = BatchRun(self._network.specification, self._start, self._options_for(rows))
        if state:
            run.restore(state)
        run.set_rate(self._learning_rate)
        self._run, self._rows = run, rows

    @property
    def n_steps(self) -> int:
        """Steps taken."""
        return 0 if self._run is None else self._run.n_steps

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step. An assigned one replaces the optimizer's from then on."""
        if self._learning_rate is not None:
            return self._learning_rate
        return self._options.schedule.rate(self.n_steps)

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        self._learning_rate = check_number("learning_rate", rate)
        if self._run is not None:
            self._run.set_rate(self._learning_rate)

    # --- the network -------------------------------------------------------------------------------------

    @property
    def network(self) -> Network:
        """The network, after the present parameters are written into it.

        Raises
        ------
        DivergenceError
            If one of them is infinite or NaN. The network keeps those that were written into it last.
        """
        if self._run is not None:
            theta = self._run.theta
            if not np.isfinite(theta).all():
                raise DivergenceError(
                    f"a parameter is infinite or NaN after step {self.n_steps}; the network keeps the "
                    "parameters that it got last. Try a smaller learning rate",
                    self.n_steps,
                )
            self._network.theta[:] = theta
        return self._network

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not isinstance(error, DivergenceError):
            self.network  # noqa: B018  (writes the parameters into it)

    # --- state -------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return copies of all arrays that steps change, by name.

        Returns
        -------
        dict of ndarray
            "step"; "theta"; "optimizer_state", with one row for each state vector of the optimizer, laid out
            as theta; "generator", the state of the random numbers for dropout.
        """
        if self._run is None:
            self._prepare(1)
            self._rows = 0  # the first batch still decides
        assert self._run is not None
        return self._run.state()

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        """Restore a state that `state_dict` of a trainer like this one returned.

        Raises
        ------
        OptionError
            If an array is missing, or has another shape or type. Then nothing is changed.
        """
        present = self.state_dict()
        wanted = {name: (array.shape, array.dtype) for name, array in present.items()}
        found = {name: (np.shape(array), np.asarray(array).dtype) for name, array in state.items()}
        if found != wanted:
            raise OptionError(f"state has the arrays {found}, and must have {wanted}")
        if not 0 <= state["step"] < LARGEST_COUNT:
            raise OptionError(f"state['step'] is {state['step']}, and must be from 0 to {LARGEST_COUNT - 1}")
        assert self._run is not None
        self._run.restore(state)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the state to a file. After `load`, steps give the same bits as without the file.

        It is in the safetensors format. An older file is replaced in one operation.
        """
        write_tensors(path, KIND, VERSION, {"trainer": self._description(), "fastbp": __version__},
                      self.state_dict())  # fmt: skip

    def load(self, path: str | os.PathLike[str]) -> None:
        """Restore a state that `save` of a trainer like this one wrote.

        Raises
        ------
        OSError, ModelFileError
            If the file cannot be read, or is not a trainer's.
        CheckpointError
            If it is of another network, optimizer, or option.
        """
        document, tensors = read_tensors(path, KIND, VERSION)
        saved, own = document.get("trainer"), self._description()
        if not isinstance(saved, dict):
            raise ModelFileError(f"{os.fspath(path)}: is damaged: it does not say what it is of")
        differences = [
            f"{name} was {saved.get(name)}, and is {value}"
            for name, value in own.items()
            if saved.get(name) != value
        ]
        if differences:
            raise CheckpointError(f"{os.fspath(path)} is of another trainer: {'; '.join(differences[:3])}")
        try:
            self.load_state_dict(tensors)
        except OptionError as error:
            raise ModelFileError(f"{os.fspath(path)}: is damaged: {error}") from None

    def _description(self) -> dict[str, Any]:
        options = {name: plain(self._arguments[name]) for name in self._arguments if name != "threads"}
        return {"network": self._network.specification.as_document()} | options

    def __reduce__(self) -> Any:
        raise TypeError("a Trainer holds addresses, and cannot be pickled or copied; see its state_dict")


def _as_kernels_read(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return the array, or a copy that is C-contiguous, of this type, and not read-only."""
    return np.require(array, dtype, ["C_CONTIGUOUS", "ALIGNED", "WRITEABLE"])
