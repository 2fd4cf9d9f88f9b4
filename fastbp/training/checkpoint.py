"""Checkpoints: the whole state of a run in files. At any moment, one of them can be read.

A folder holds ``checkpoint-00000001.safetensors`` and so on. Their format is that of
`fastbp.interchange.tensor_file`, of kind "checkpoint", version 2. Their tensors are the arrays of the run
(``state.theta`` and so on), and those of the loop: ``history``, ``watch`` and ``best_theta`` of early
stopping, ``adaptive``. Parameters and the optimizer's state are laid out as `Network.theta`, so nothing
depends on the processor that wrote them. The document is::

    {"run": {"layer_sizes": ..., "optimizer": ..., "steps": ..., ...},     must be the same to resume
     "made_with": {"CPU": ..., "fastbp": ..., "numpy": ..., ...},          should be the same
     "step": 12000, "n_epochs": 3, "seconds": 1.5,
     "stop_reason": null, or why the run ended if it must not continue}

A checkpoint is written to a temporary file, synced and renamed. Only then is the oldest one removed.
"""

import contextlib
import dataclasses
import hashlib
import math
import os
import platform
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np

from fastbp import processor
from fastbp._version import __version__
from fastbp.errors import (
    CheckpointError,
    CheckpointWarning,
    ModelFileError,
    OptionError,
    check_integer,
    settle,
    shown,
)
from fastbp.interchange.tensor_file import read_tensors, write_tensors
from fastbp.schedules import CosineDecay

KIND, VERSION = "checkpoint", 2
"""Version 1 had the parameters as the kernels of one processor pack them. Nothing reads it any more."""

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}

SAMPLED_NUMBERS = 2**18
"""How many numbers of an array its digest covers, in whole rows. It takes milliseconds for any size."""

NAMED = re.compile(r"checkpoint-(\d{8,18})\.safetensors")


@dataclass(frozen=True)
class Checkpoint:
    """Keep a run in a folder, so that it can be resumed to the bit.

    Parameters
    ----------
    path : path-like
        A folder; it is made if it is missing. One run, one folder.
    every : str or int, default "30s"
        The time between two checkpoints, such as "500ms", "30s", "5min" or "2h"; or the number of epochs.
        There is one at the start and at the end, too.
    keep : int, default 3
        How many checkpoints to keep, the newest ones. At least 1.

    Raises
    ------
    OptionError
        If an argument has a value that it may not have.

    Examples
    --------
    >>> import tempfile, fastbp
    >>> folder = tempfile.TemporaryDirectory()
    >>> def train(**options):
    ...     net = fastbp.Network([2, 2, 2], seed=1)
    ...     X, Y = [[0, 1], [1, 0]], [[0, 1], [1, 0]]
    ...     optimizer = fastbp.SGD(learning_rate=0.5)
    ...     return net, fastbp.train(net, X, Y, epochs=1000, optimizer=optimizer, seed=0, **options)
    >>> def stop(state):
    ...     if state.epoch == 300:
    ...         raise RuntimeError("the computer broke down")
    >>> train(checkpoint=Checkpoint(folder.name, every=100), callbacks=[stop])
    Traceback (most recent call last):
    RuntimeError: the computer broke down
    >>> resumed, result = train(checkpoint=Checkpoint(folder.name, every=100))
    >>> whole, _ = train()
    >>> result.n_steps, bool((resumed.theta == whole.theta).all())
    (1000, True)
    >>> folder.cleanup()
    """

    path: str | os.PathLike[str]
    every: str | int = "30s"
    keep: int = 3

    def __post_init__(self) -> None:
        if not isinstance(self.path, str | os.PathLike) or not os.fspath(self.path):
            raise OptionError(f"path is {self.path!r}, and must be the name of a folder")
        settle(self, check_integer, "keep", least=1)
        if self._seconds():
            return
        try:
            settle(self, check_integer, "every", least=1)
        except OptionError:
            raise OptionError(
                f"every is {shown(self.every)}, and must be a time such as '30s', '5min' or '2h', "
                "or a number of epochs"
            ) from None

    def _seconds(self) -> float:
        match = isinstance(self.every, str) and re.fullmatch(
            r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(ms|s|m|min|h)\s*", self.every, re.ASCII
        )
        return float(match[1]) * UNITS[match[2]] if match else 0.0

    @property
    def seconds(self) -> float:
        """The time between two checkpoints; infinite if they are counted in epochs."""
        return self._seconds() or math.inf

    @property
    def epochs(self) -> int | None:
        """The epochs between two checkpoints, if they are counted in epochs."""
        return None if isinstance(self.every, str) else self.every


class CheckpointFolder:
    """The folder of the checkpoints of one run. Only this class knows the names of the files.

    Parameters
    ----------
    path : path-like
    keep : int
        How many checkpoints to keep, the newest ones.
    """

    def __init__(self, path: str | os.PathLike[str], keep: int = 3):
        # Absolute: a callback may change the working directory.
        self.path = Path(os.path.abspath(os.fsdecode(path)))
        self._keep = keep

    def exists(self) -> bool:
        """Whether it has a checkpoint."""
        return bool(self._numbers())

    def is_over(self) -> bool:
        """Whether the newest checkpoint is of a run that ended, and not of one that was stopped."""
        numbers = self._numbers()
        try:
            return bool(numbers) and bool(self._document(numbers[-1]).get("stop_reason"))
        except (OSError, ModelFileError):
            return False

    def _document(self, number: int) -> dict[str, Any]:
        return read_tensors(self._file(number), KIND, VERSION, oldest=VERSION)[0]

    def forget(self, *, but_newest: bool = False) -> None:
        """Remove the checkpoints, and unfinished files of checkpoints whose writing was interrupted."""
        kept = self._file(self._numbers()[-1]) if but_newest and self.exists() else None
        for path in [*self.path.glob("checkpoint-*.safetensors"), *self.path.glob(".checkpoint-*.tmp")]:
            if path != kept:
                path.unlink(missing_ok=True)

    def read(self, description: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
        """Return the newest checkpoint that can be read, or None if there is none at all.

        Parameters
        ----------
        description : mapping
            The description of the run to resume, as it was given to `write`.

        Raises
        ------
        ModelFileError
            If there are checkpoints, and none can be read.
        CheckpointError
            If the checkpoint is of another run.
        """
        failure = ""  # not the exception, whose traceback would keep the run in memory
        for number in reversed(self._numbers()):
            path = self._file(number)
            try:
                document, tensors = read_tensors(path, KIND, VERSION, oldest=VERSION)
            except (OSError, ModelFileError) as error:
                failure = failure or str(error)
                continue
            if failure:
                _warn(f"the newest checkpoint cannot be read, and {path} is taken instead: {failure}")
            _compare(path, document, description)
            return document, tensors
        if failure:
            raise ModelFileError(
                f"no checkpoint in {self.path} can be read; resume=False starts a new run: {failure}"
            )
        return None

    def write(
        self,
        description: Mapping[str, Any],
        document: Mapping[str, Any],
        tensors: Mapping[str, np.ndarray],
    ) -> None:
        """Write the next checkpoint, and then remove the oldest ones; raise OSError if that fails."""
        os.makedirs(self.path, exist_ok=True)
        numbers = self._numbers()
        number = numbers[-1] + 1 if numbers else 1
        whole = {"run": description, "made_with": made_with_now(), **document}
        write_tensors(self._file(number), KIND, VERSION, whole, tensors)
        for old in numbers[: max(0, len(numbers) + 1 - self._keep)]:
            with contextlib.suppress(OSError):
                os.unlink(self._file(old))

    def _numbers(self) -> list[int]:
        try:
            names = os.listdir(self.path)
        except FileNotFoundError:
            return []
        return sorted(int(match[1]) for match in map(NAMED.fullmatch, names) if match)

    def _file(self, number: int) -> Path:
        return self.path / f"checkpoint-{number:08d}.safetensors"


def _compare(path: Path, document: dict[str, Any], run: Mapping[str, Any]) -> None:
    saved = document.get("run")
    if not isinstance(saved, dict):
        raise ModelFileError(f"{path}: is damaged: it does not say what run it is of")
    goes_on = is_longer(run, saved)
    falls_anew = goes_on and _without_length(saved) == _without_length(run) != run.get("optimizer")
    differences = [
        f"{name} was {saved.get(name)}, and is {run.get(name)}"
        for name in sorted(saved.keys() | run.keys())
        # A run without a seed may go on from any.
        if saved.get(name) != run.get(name)
        and not (name == "seed" and run[name] is None)
        and not (name == "steps" and goes_on)
        and not (name == "optimizer" and falls_anew)
    ]
    if differences:
        raise CheckpointError(
            f"{path} is a checkpoint of another run: {'; '.join(islice(differences, 3))}. "
            "Take another folder for this run, or resume=False to start a new run in this one"
        )
    if falls_anew:
        _warn(
            f"the learning rate fell to its end within {saved['steps']} steps, and goes on as in a run of "
            f"{run['steps']}: the result is not that of {run['steps']} steps at once"
        )
    changes = made_elsewhere(document.get("made_with"))
    if changes:
        _warn(
            "the resumed run may not have the bits of one that was never stopped, as its checkpoint was "
            f"made elsewhere: {'; '.join(changes)}"
        )


def is_longer(run: Mapping[str, Any], saved: Mapping[str, Any]) -> bool:
    """Return whether a run has more steps than the one that was saved: it may go on from there."""
    return isinstance(saved.get("steps"), int) and saved["steps"] < run["steps"]


def _without_length(run: Mapping[str, Any]) -> Any:
    """Return the optimizer of a run; the length of a cosine over the whole run is left out."""
    optimizer = run.get("optimizer")
    if not isinstance(optimizer, dict) or not isinstance(rate := optimizer.get("learning_rate"), dict):
        return optimizer
    if rate.get("name") != CosineDecay.__name__ or rate.get("steps") != run.get("steps"):
        return optimizer
    return optimizer | {"learning_rate": rate | {"steps": None}}


def made_with_now() -> dict[str, str]:
    """Return what the bits of a result depend on besides the run: the processor and the versions."""
    return {
        "CPU": processor.NAME,
        "features of the CPU": hashlib.sha256(processor.FEATURE_LIST.encode()).hexdigest()[:8],
        "vector width": f"{processor.WIDTH} bytes",
        "fastbp": __version__,
        "llvmlite": llvmlite.__version__,
        "numba": numba.__version__,
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.machine()}",
    }


def made_elsewhere(made_with: Any) -> list[str]:
    """Return what has changed since a file was written with `made_with_now`, in words."""
    if not isinstance(made_with, dict):
        return []
    return [
        f"{name} was {made_with.get(name)}, and is {value}"
        for name, value in made_with_now().items()
        if made_with.get(name) != value
    ]


def plain(value: Any) -> Any:
    """Return a setting as JSON can hold it; a dataclass, such as a schedule, as its name and fields."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if dataclasses.is_dataclass(value):
        settings = {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"name": type(value).__name__} | settings
    return getattr(value, "__name__", type(value).__name__)


def data_digest(*arrays: np.ndarray | None) -> str:
    """Return a digest of the shapes of arrays, and of evenly spaced rows, the first and last included."""
    digest = hashlib.sha256()
    for array in arrays:
        if array is None:
            digest.update(b"none")
            continue
        digest.update(f"{array.shape}".encode())
        width = int(np.prod(array.shape[1:]))
        count = min(len(array), max(2, SAMPLED_NUMBERS // width))
        rows = array[np.linspace(0, len(array) - 1, count).round().astype(np.int64)]
        digest.update(np.ascontiguousarray(rows, "<f8").tobytes())
    return digest.hexdigest()[:16]


def _warn(message: str) -> None:
    warnings.warn(message, CheckpointWarning, stacklevel=2)
