"""Keeping a run: what goes into a checkpoint, when, and how a run is made from one again."""

import math
import time
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbp.engine.kernel_options import KernelOptions
from fastbp.errors import CheckpointError, CheckpointWarning, ModelFileError
from fastbp.network import Network
from fastbp.schedules import AdaptiveState
from fastbp.training.checkpoint import Folder, data_digest, plain
from fastbp.training.early_stopping import Watch
from fastbp.training.epochs import Ended, Epochs
from fastbp.training.monitoring import MonitoringOptions

if TYPE_CHECKING:
    from fastbp.training.loop import Run

FOR_GOOD = ("completed", "early_stopping", "callback", "learning_rate_exhausted")
"""Reasons to stop after which there is nothing to resume."""


class Keeper:
    """Writes a run's checkpoints when they are due, and resumes it; does nothing without `checkpoint`."""

    def __init__(
        self,
        run: "Run",
        epochs: Epochs,
        network: Network,
        data: tuple[np.ndarray, np.ndarray],
        plan: KernelOptions,
        options: MonitoringOptions,
    ):
        self._run, self._epochs, self._options = run, epochs, options
        self.seconds = 0.0
        """What the run had taken up to the checkpoint that it was resumed from."""
        self.stop_reason: str | None = None
        """Why the run that was resumed had ended, if it is not to go on."""
        self._folder: Folder | None = None
        self._started, self._due, self._every_steps = time.perf_counter(), math.inf, 0
        self._written_step = -1
        if options.checkpoint is not None:
            description = _describe(run, network, data, plan, options)
            self._folder = Folder(options.checkpoint, description)
            self._every_steps = (options.checkpoint.epochs or 0) * run.steps_per_epoch

    # --- writing -----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to count, with a checkpoint of a run that is new; raise OSError if it cannot be written."""
        self._started = time.perf_counter()
        if self._folder is None:
            return
        if self._written_step < 0:
            self._folder.write(*self._content(None))
            self._written_step = self._run.step
        self._set_due()

    def is_due(self, now: float) -> bool:
        """Whether it is time for a checkpoint."""
        at_epoch = self._every_steps and self._run.step % self._every_steps == 0
        return now >= self._due or bool(at_epoch and self._run.step > self._written_step)

    @property
    def next_step(self) -> float:
        """The step of the next checkpoint, if they are counted in epochs."""
        return (
            (self._run.step // self._every_steps + 1) * self._every_steps if self._every_steps else math.inf
        )

    def write(self, stop_reason: str | None = None) -> None:
        """Write a checkpoint; if that fails, warn, go on, and try again when the next one is due."""
        for_good = stop_reason if stop_reason in FOR_GOOD else None
        known = self._written_step == self._run.step and self.stop_reason == for_good
        if self._folder is None or known:
            return
        try:
            self._folder.write(*self._content(for_good))
            self._written_step = self._run.step
        except OSError as error:
            warnings.warn(
                f"the checkpoint of step {self._run.step} could not be written, and the run goes on: {error}",
                CheckpointWarning,
                stacklevel=2,
            )
        finally:
            self._set_due()  # from the end on: writing may take longer than the time between two

    def _set_due(self) -> None:
        if self._options.checkpoint is not None:
            self._due = time.perf_counter() + self._options.checkpoint.seconds

    def _content(self, stop_reason: str | None) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        ended = self._epochs.ended
        document = {
            "step": self._run.step,
            "n_epochs": ended.n_epochs,
            "seconds": self.seconds + time.perf_counter() - self._started,
            "stop_reason": stop_reason,
        }
        tensors = {f"state.{name}": array for name, array in self._run.state().items()}
        watch, adaptive = ended.watch, ended.adaptive
        tensors["history"] = self._epochs.rows[: ended.n_epochs]
        tensors["watch"] = np.array([watch.best_value, watch.best_epoch, watch.stalled])
        if ended.best_theta is not None:
            tensors["best_theta"] = ended.best_theta
        if adaptive is not None:
            tensors["adaptive"] = np.array(
                [adaptive.rate, adaptive.best_loss, adaptive.stalled, adaptive.exhausted], np.float64
            )
        return document, tensors

    # --- resuming ----------------------------------------------------------------------------------------

    def resume(self) -> None:
        """Bring the run to where its newest checkpoint is, if there is one and it is wanted."""
        if self._folder is None or self._options.resume is False:
            return
        found = self._folder.read()
        if found is not None:
            try:
                self._restore(*found)
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                if isinstance(error, CheckpointError | ModelFileError):
                    raise
                raise ModelFileError(f"the checkpoint is damaged, or not of this kernel: {error!r}") from None
            self._written_step = self._run.step
        elif self._options.resume is True:
            path = self._options.checkpoint and self._options.checkpoint.path
            raise CheckpointError(f"resume is True, and there is no checkpoint in {path}")

    def _restore(self, document: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
        run, epochs, state = self._run, self._epochs, self._run.state()
        n_epochs, step = int(document["n_epochs"]), int(document["step"])
        ended, float64 = epochs.ended, np.dtype(np.float64)
        expected = {f"state.{name}": (array.shape, array.dtype) for name, array in state.items()}
        expected |= {"history": ((n_epochs, len(epochs.columns)), float64), "watch": ((3,), float64)}
        if ended.adaptive is not None:
            expected["adaptive"] = ((4,), float64)
        if "best_theta" in tensors:
            expected["best_theta"] = expected["state.theta"]
        if expected != {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}:
            raise ModelFileError("the checkpoint has other arrays than this version of the kernel has")
        run.restore({name: tensors[f"state.{name}"] for name in state})
        if run.step != step or not run.is_possible() or n_epochs > step // run.steps_per_epoch:
            raise ModelFileError("the checkpoint is damaged: its counters are not those of a run")
        best_value, best_epoch, stalled = tensors["watch"]
        counts = [best_epoch, stalled]
        if ended.adaptive is not None:
            rate, best_loss, n_stalled, exhausted = tensors["adaptive"]
            counts.append(n_stalled)
            adaptive = AdaptiveState(float(rate), float(best_loss), int(n_stalled), bool(exhausted))
        if not all(0 <= count <= n_epochs for count in counts):
            raise ModelFileError("the checkpoint is damaged: it counts more epochs than there were")
        epochs.rows = np.concatenate([tensors["history"], np.empty((16, len(epochs.columns)))])
        epochs.ended = Ended(
            n_epochs,
            Watch(float(best_value), int(best_epoch), int(stalled)),
            tensors["best_theta"].copy() if "best_theta" in tensors else None,
            adaptive if ended.adaptive is not None else None,
        )
        epochs.catch_up()
        self.seconds, self.stop_reason = float(document["seconds"]), document["stop_reason"]
        if self.stop_reason not in (None, *FOR_GOOD):
            raise ModelFileError("the checkpoint is damaged: it does not say why the run ended")


def _describe(
    run: "Run",
    network: Network,
    data: tuple[np.ndarray, np.ndarray],
    plan: KernelOptions,
    options: MonitoringOptions,
) -> dict[str, Any]:
    """Return what must be the same for a run to be resumed."""
    settings = {
        "layer_sizes": network.layer_sizes,
        "hidden_activations": network.hidden_activations,
        "output_activation": network.output_activation,
        "loss": network.loss_name,
        "bias": network.bias,
        "dtype": network.dtype.name,
        "steps": plan.n_steps,
        "batch_size": plan.batch_size,
        "optimizer": plan.optimizer,
        "update": plan.update,
        "shuffle": plan.shuffle,
        "seed": plan.seed,
        "l2": plan.l2,
        "dropout": plan.dropout,
        "gradient_clip_norm": plan.gradient_clip_norm,
        "math": plan.math,
        "kernel": run.name,
        "metrics": tuple(options.metrics),
        "early_stopping": options.early_stopping,
        "shapes of the data": tuple(array.shape for array in data),
        "digest of the data": data_digest(*data, plan.sample_weight),
        "digest of the validation data": options.validation_data and data_digest(*options.validation_data),
    }
    return {name: plain(value) for name, value in settings.items()}
