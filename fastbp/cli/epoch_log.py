"""The log of `fastbp train`: a line of JSON per epoch."""

import itertools
import json
import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import numpy as np

import fastbp
from fastbp.interchange.standard_json import dumps


class EpochLog:
    """Writes a line of JSON per epoch. A resumed run keeps its earlier lines.

    If a line cannot be written, as on a full disk, it says so, and the run continues without the log.
    """

    def __init__(self, path: Path, resumed: bool):
        self._path, self._failed = path, False
        self._resumed, self._begun = resumed, False
        self._epoch = 0
        """The last epoch whose line was written."""
        try:
            self._file = open(path, "r+" if resumed and path.exists() else "w+", encoding="utf-8")  # noqa: SIM115
        except OSError as error:
            raise fastbp.OptionError(
                f"--log is {str(path)!r}, and cannot be written: {error.strerror}"
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        with self._remarking():
            self._file.close()

    def on_epoch_end(self, state: fastbp.EpochState) -> None:
        """Write a line, and flush it at once, because somebody may be watching."""
        if self._failed:
            return
        with self._remarking():
            if self._resumed and not self._begun:
                self._drop_from(state.epoch)
            self._begun = True
            self.write(
                {
                    "epoch": state.epoch,
                    "step": state.step,
                    "loss": state.loss,
                    "validation_loss": state.validation_loss,
                    "learning_rate": state.learning_rate,
                }
            )

    def finish(self, history: Mapping[str, np.ndarray]) -> None:
        """Write the last line if Ctrl-C prevented it: a resumed run does not end this epoch again."""
        if self._failed or not len(history["epoch"]):
            return
        if self._epoch < (epoch := int(history["epoch"][-1])):
            with self._remarking():
                self._file.seek(0)
                self._drop_from(epoch)
                last = {name: column[-1].item() for name, column in history.items()}
                names = ("epoch", "step", "loss", "validation_loss", "learning_rate")
                self.write({name: last.get(name) for name in names})

    @contextmanager
    def _remarking(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if not self._failed:
                reason = f"{error.strerror}; the run goes on, and the log ends here"
                print(f"fastbp train: {self._path}: {reason}", file=sys.stderr)
            self._failed = True

    def write(self, row: Mapping[str, float | None]) -> None:
        """Write a line, without what is None."""
        self._file.write(dumps({name: value for name, value in row.items() if value is not None}) + "\n")
        self._file.flush()
        self._epoch = int(row["epoch"] or 0)

    def _drop_from(self, epoch: int) -> None:
        """Remove the lines of epochs after the last checkpoint, which the resumed run repeats."""
        kept = list(itertools.takewhile(lambda line: _epoch_of(line) < epoch, self._file))
        self._file.seek(0)
        self._file.truncate()
        self._file.writelines(kept)


def _epoch_of(line: str) -> float:
    try:
        return float(json.loads(line)["epoch"])
    except (ValueError, KeyError, TypeError):  # incomplete, because the process was killed
        return math.inf
