"""Checkpoints of a fit: a file with all that epochs change, from which the same fit goes on.

The file has the format of `fastbp.interchange.tensor_file`. It is written to a temporary file and renamed, so
there is a readable one at any moment. It belongs to one fit: the same parameters (but `max_iter`, and those
that decide no number) and the same samples.
"""

import os
from typing import Any

import numpy as np

from fastbp._version import __version__
from fastbp.errors import CheckpointError
from fastbp.interchange.tensor_file import read_tensors, write_tensors
from fastbp.sklearn.fit_epochs import Watch
from fastbp.training.checkpoint import data_digest, plain

KIND, VERSION = "fit", 1

FREE = {
    "max_iter", "verbose", "callbacks", "progress", "max_seconds", "checkpoint", "checkpoint_every",
    "n_threads", "warm_start",
}  # fmt: skip
"""Parameters that may differ when a fit goes on."""

COUNTS = ("n_iter_", "t_", "_no_improvement_count")
NUMBERS = ("best_loss_", "best_validation_score_", "loss_")
CURVES = ("loss_curve_", "validation_scores_")
"""Attributes that are stored. None is stored as nothing."""


class FitCheckpoint(Watch):
    """Writes the state of a fit every few epochs and at its end, and brings a fit to the state of a file.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
    run : WholeRun or BatchedRun
    data : tuple
        What identifies the samples: arrays, sparse matrices or None.
    shuffles : Shuffles or None
    generator : RandomState
        The one that the fit draws from.
    """

    def __init__(
        self,
        estimator: Any,
        run: Any,
        data: tuple[Any, ...],
        shuffles: Any,
        generator: np.random.RandomState,
    ):
        self._estimator, self._run, self._shuffles, self._random = estimator, run, shuffles, generator
        self._path = os.fspath(estimator.checkpoint)
        parameters = {
            name: plain(value)
            for name, value in estimator.get_params(deep=False).items()
            if name not in FREE and name not in ("random_state", "coefs_init", "intercepts_init")
        }
        seed = estimator.random_state
        self._belongs_to = {
            "estimator": type(estimator).__name__,
            "parameters": parameters,
            "random_state": int(seed) if isinstance(seed, int | np.integer) else "a generator",
            "samples": data_digest(*(array.data if hasattr(array, "tocsr") else array for array in data)),
            "fastbp": __version__,
        }
        self._written = -1

    def resume(self) -> None:
        """Go to the state of the file, if there is one.

        Raises
        ------
        CheckpointError
            If it is of another fit.
        ModelFileError
            If it is damaged, or no such file.
        """
        if not os.path.exists(self._path):
            return
        document, tensors = read_tensors(self._path, KIND, VERSION)
        other = document["belongs_to"]
        for name, value in self._belongs_to.items():
            if other.get(name) != value:
                raise CheckpointError(
                    f"{self._path} is of another fit: {name} was {other.get(name)}, and is {value}; "
                    "give another checkpoint, or remove the file"
                )
        tensors["step"] = tensors["step"].reshape(())
        estimator = self._estimator
        for name, count in zip(COUNTS, tensors["counts"].tolist(), strict=True):
            setattr(estimator, name, count)
        for name in NUMBERS:
            setattr(estimator, name, float(tensors[name][0]) if name in tensors else None)
        for name in CURVES:
            setattr(estimator, name, tensors[name].tolist() if name in tensors else None)
        estimator._best_theta = tensors["best_theta"].copy() if "best_theta" in tensors else None
        estimator._optimizer.learning_rate = float(tensors["learning_rate"][0])
        self._run.go_on(tensors, tensors["theta"])
        self._set_generator(tensors)
        self._written = estimator.n_iter_

    def end_epoch(self) -> bool:
        """Write the state if it is time."""
        if self._estimator.n_iter_ % self._estimator.checkpoint_every == 0:
            self._write()
        return False

    def close(self) -> None:
        """Write the last state."""
        if self._estimator.n_iter_ not in (self._written, 0) and self._run.is_at_epoch_end:
            self._write()

    def _write(self) -> None:
        estimator, state = self._estimator, self._run.state()
        values = {name: getattr(estimator, name, None) for name in (*NUMBERS, *CURVES)}
        tensors = {
            **{name: np.atleast_1d(np.float64(value)) for name, value in values.items() if value is not None},
            "counts": np.array([getattr(estimator, name) for name in COUNTS], np.int64),
            "learning_rate": np.array([estimator._optimizer.learning_rate]),
            **({} if estimator._best_theta is None else {"best_theta": estimator._best_theta}),
            **state,
            "step": np.atleast_1d(state["step"]).astype(np.int64),
            **self._generator(),
        }
        write_tensors(self._path, KIND, VERSION, {"belongs_to": self._belongs_to}, tensors)
        self._written = estimator.n_iter_

    def _generator(self) -> dict[str, np.ndarray]:
        """Return the state of the estimator's generator, and the present order of the samples."""
        state = self._random.get_state(legacy=False)
        order = {} if self._shuffles is None else {"order": self._shuffles.order}
        return order | {
            "key": state["state"]["key"].astype(np.int64),
            "position": np.array([state["state"]["pos"], state["has_gauss"]], np.int64),
            "gauss": np.array([state["gauss"]], np.float64),
        }

    def _set_generator(self, tensors: dict[str, np.ndarray]) -> None:
        position, has_gauss = tensors["position"].tolist()
        self._random.set_state(
            {
                "bit_generator": "MT19937",
                "state": {"key": tensors["key"].astype(np.uint32), "pos": position},
                "has_gauss": has_gauss,
                "gauss": float(tensors["gauss"][0]),
            }
        )
        if self._shuffles is not None:
            self._shuffles.order[:] = tensors["order"]
