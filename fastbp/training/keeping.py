"""The checkpoints of a run: what they hold, when they are written, and how a run is resumed from one."""

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from fastbp.engine.kernel_options import KernelOptions
from fastbp.engine.run import Run
from fastbp.errors import CheckpointError, CheckpointWarning, ModelFileError
from fastbp.options import deciding
from fastbp.schedules import AdaptiveState
from fastbp.specification import Specification
from fastbp.training.checkpoint import Checkpoint, CheckpointFolder, data_digest, is_longer, plain
from fastbp.training.epochs import Epochs
from fastbp.training.monitoring import MonitoringOptions
from fastbp.training.stopping import StopReason


class Steps(Protocol):
    """What takes steps: a run of a network, or those of a population."""

    @property
    def step(self) -> int:
        """Steps taken."""

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch."""


class Keeper(ABC):
    """Writes a run's checkpoints when they are due, and resumes it. A subclass says what they hold.

    Parameters
    ----------
    run : Steps
    checkpoint : Checkpoint
        When checkpoints are due.
    folder : CheckpointFolder
    description : dict
        What must be the same to resume the run, such as from `describe`.
    clock : function
        Returns seconds.

    Attributes
    ----------
    seconds : float
        The time that the run had taken up to the checkpoint from which it was resumed.
    stop_reason : StopReason or None
        Why the resumed run had ended, if it must not continue.
    """

    def __init__(
        self,
        run: Steps,
        checkpoint: Checkpoint,
        folder: CheckpointFolder,
        description: dict[str, Any],
        clock: Callable[[], float],
    ):
        self._steps, self._folder, self._clock = run, folder, clock
        self._description, self._path = description, checkpoint.path
        self.seconds = 0.0
        self.stop_reason: StopReason | None = None
        self._every_seconds = checkpoint.seconds
        self._every_steps = (checkpoint.epochs or 0) * run.steps_per_epoch
        self._started, self._due = clock(), math.inf
        self._written_step = -1

    def start(self) -> None:
        """Start the clock, and write the first checkpoint of a new run; raise OSError if that fails."""
        self._started = self._clock()
        if self._written_step < 0:
            self._write_now(None)
            self._started = self._clock()  # to write may take longer than the run
        self._set_due()

    def is_due(self, now: float) -> bool:
        """Whether it is time for a checkpoint."""
        step = self._steps.step
        at_epoch = self._every_steps and step % self._every_steps == 0
        return now >= self._due or bool(at_epoch and step > self._written_step)

    @property
    def next_step(self) -> float:
        """The step of the next checkpoint if they are written by epochs; infinite if by time."""
        if not self._every_steps:
            return math.inf
        return (self._steps.step // self._every_steps + 1) * self._every_steps

    def write(self, stop_reason: StopReason | None = None) -> None:
        """Write a checkpoint; if that fails, warn, go on, and try again when the next one is due."""
        final = stop_reason if stop_reason is not None and stop_reason.is_final else None
        step = self._steps.step
        if self._written_step == step and self.stop_reason == final:
            return
        try:
            self._write_now(final)
        except OSError as error:
            warnings.warn(
                f"the checkpoint of step {step} could not be written, and the run goes on: {error}",
                CheckpointWarning,
                stacklevel=2,
            )
        finally:
            self._set_due()  # counted from the end: writing may take longer than the time between two

    def _write_now(self, stop_reason: StopReason | None) -> None:
        document, tensors = self._content()
        document |= {"seconds": self.seconds + self._clock() - self._started, "stop_reason": stop_reason}
        self._folder.write(self._description, document, tensors)
        self._written_step = self._steps.step

    def _set_due(self) -> None:
        self._due = self._clock() + self._every_seconds

    def resume(self, resume: bool | str) -> None:
        """Bring the run to the state of its newest checkpoint, if there is one and `resume` allows it."""
        if resume is False:
            return
        found = self._folder.read(self._description)
        if found is not None:
            try:
                self._resume_from(*found)
            except (LookupError, TypeError, ValueError, OverflowError) as error:
                if isinstance(error, CheckpointError | ModelFileError):
                    raise
                raise ModelFileError(f"the checkpoint is damaged, or not of this kernel: {error!r}") from None
            self._written_step = self._steps.step
        elif resume is True:
            raise CheckpointError(f"resume is True, and there is no checkpoint in {self._path}")

    def _resume_from(self, document: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
        goes_on = is_longer(self._description, document["run"])
        self._restore(document, tensors, goes_on)
        self.seconds, self.stop_reason = float(document["seconds"]), _final(document["stop_reason"])
        if goes_on and self.stop_reason == StopReason.COMPLETED:
            self.stop_reason = None

    @abstractmethod
    def _content(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return the document and the arrays of a checkpoint of the present state."""

    @abstractmethod
    def _restore(self, document: dict[str, Any], tensors: dict[str, np.ndarray], goes_on: bool) -> None:
        """Bring the run to the state of a checkpoint. `goes_on` says that it was of a run of fewer steps."""


class CheckpointKeeper(Keeper):
    """Keeps the run of a single network.

    Parameters
    ----------
    run : Run
    epochs : Epochs
    checkpoint, folder, description, clock
        As for `Keeper`.
    """

    def __init__(
        self,
        run: Run,
        epochs: Epochs,
        checkpoint: Checkpoint,
        folder: CheckpointFolder,
        description: dict[str, Any],
        clock: Callable[[], float],
    ):
        super().__init__(run, checkpoint, folder, description, clock)
        self._run, self._epochs = run, epochs

    def _content(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        epochs = self._epochs
        document = {"step": self._run.step, "n_epochs": epochs.watch.n_epochs}
        tensors = {f"state.{name}": array for name, array in self._run.state().items()}
        tensors["history"], tensors["watch"] = epochs.rows, epochs.patience_state()
        if epochs.remembers_more:
            tensors["rules"] = epochs.watch.state
        if epochs.best_theta is not None:
            tensors["best_theta"] = epochs.best_theta
        if (adaptive := epochs.adaptive) is not None:
            tensors["adaptive"] = np.array(
                [adaptive.rate, adaptive.best_loss, adaptive.stalled, adaptive.exhausted], np.float64
            )
        return document, tensors

    def _restore(self, document: dict[str, Any], tensors: dict[str, np.ndarray], goes_on: bool) -> None:
        run, epochs, state = self._run, self._epochs, self._run.state()
        n_epochs, step = int(document["n_epochs"]), int(document["step"])
        if goes_on:
            tensors["state.losses"], tensors["state.counters"] = run.longer(
                tensors["state.losses"], tensors["state.counters"], document["run"]["steps"]
            )
        _check_arrays(tensors, self._expected_arrays(n_epochs // epochs.every, state))
        run.restore({name: tensors[f"state.{name}"] for name in state})
        if run.step != step or not run.is_possible() or n_epochs > step // run.steps_per_epoch:
            raise ModelFileError("the checkpoint is damaged: its counters are not those of a run")
        adaptive = None
        if epochs.adaptive is not None:
            rate, best_loss, n_stalled, exhausted = tensors["adaptive"]
            if not (0 <= rate < math.inf and 0 <= n_stalled <= n_epochs):
                raise ModelFileError("the checkpoint is damaged: its learning rate is not one")
            adaptive = AdaptiveState(float(rate), float(best_loss), int(n_stalled), bool(exhausted))
        epochs.restore(n_epochs, tensors["history"], adaptive)
        is_possible = epochs.restore_rules(tensors["watch"], tensors.get("rules"), tensors.get("best_theta"))
        if not is_possible:
            raise ModelFileError("the checkpoint is damaged: it counts more epochs than there were")
        epochs.catch_up()

    def _expected_arrays(
        self, n_rows: int, state: dict[str, np.ndarray]
    ) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Return the shapes and types of the arrays of a checkpoint, by name; `best_theta` may be missing."""
        epochs, float64 = self._epochs, np.dtype(np.float64)
        expected = {f"state.{name}": (array.shape, array.dtype) for name, array in state.items()}
        expected |= {"history": ((n_rows, len(epochs.columns)), float64), "watch": ((3,), float64)}
        if epochs.remembers_more:
            expected["rules"] = (epochs.watch.state.shape, float64)
        if epochs.adaptive is not None:
            expected["adaptive"] = ((4,), float64)
        return expected | {"best_theta": expected["state.theta"]}


def _check_arrays(
    tensors: dict[str, np.ndarray], expected: dict[str, tuple[tuple[int, ...], np.dtype]]
) -> None:
    found = {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}
    if "best_theta" not in found:
        expected = {name: value for name, value in expected.items() if name != "best_theta"}
    if found != expected:
        raise ModelFileError("the checkpoint has other arrays than this version of the kernel has")


def _final(stop_reason: Any) -> StopReason | None:
    """Return why the run of a checkpoint ended, or None if it may continue."""
    if stop_reason is None:
        return None
    final = [reason for reason in StopReason if reason.is_final and reason == stop_reason]
    if not final:
        raise ModelFileError("the checkpoint is damaged: it does not say why the run ended")
    return final[0]


DESCRIBED_OTHERWISE = {
    "epochs": "steps",
    "sample_weight": "digest of the data",
    "validation_data": "digest of the validation data",
}
"""Options that decide the result, and what a description has in their place."""


def describe(
    run: Run,
    specification: Specification,
    data: tuple[np.ndarray, np.ndarray],
    kernel_options: KernelOptions,
    monitoring_options: MonitoringOptions,
) -> dict[str, Any]:
    """Return what must be the same for a run to be resumed."""
    options = deciding(kernel_options) | deciding(monitoring_options)
    validation_data = monitoring_options.validation_data
    network = specification.as_document()
    del network["initializer"]  # the parameters are those of the checkpoint
    settings = {
        **network,
        **{name: value for name, value in options.items() if name not in DESCRIBED_OTHERWISE},
        "steps": kernel_options.n_steps,
        "kernel": run.name,
        "metrics": tuple(monitoring_options.metrics),
        "shapes of the data": tuple(array.shape for array in data),
        "digest of the data": data_digest(*data, kernel_options.sample_weight),
        "digest of the validation data": validation_data and data_digest(*validation_data),
    }
    description = {name: plain(value) for name, value in settings.items()}
    for name, only_one in (("every", 1), ("label_smoothing", 0.0)):
        if options[name] == only_one:
            description[name] = None  # as in checkpoints of fastbp 0.1, which had no other value
    if description["early_stopping"] is not None and options["early_stopping"].rule is None:
        del description["early_stopping"]["rule"]
    return description
