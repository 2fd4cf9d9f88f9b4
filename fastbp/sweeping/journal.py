r"""The journal of a sweep: finished shards, in a file that only grows. A killed sweep goes on from it.

A folder holds ``sweep.journal``. Each line is a record: 16 hexadecimal digits of the SHA-256 of the rest, a
blank, and JSON without line breaks. The first record describes the sweep::

    {"kind": "fastbp sweep", "version": 1, "run": {...}, "made_with": {...}}

All others are shards, in the order in which they ended::

    {"shard": 7, "places": the bytes of int32 numbers in base64, "scores": those of float64, "rungs": of int8}

Records are synced before their shards count as finished; those that come together, together. A process that
is killed while it writes leaves a torn line at the end, which is dropped when the journal is opened again. A
line in the middle that is damaged is left out, with a warning, and its shard runs again.
"""

import base64
import binascii
import hashlib
import json
import os
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastbp.errors import CheckpointError, CheckpointWarning, OptionError, as_option, shown
from fastbp.interchange.atomic import sync_folder
from fastbp.training.checkpoint import made_elsewhere, made_with_now

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

KIND, VERSION = "fastbp sweep", 1

NAME = "sweep.journal"

DTYPES = ("<i4", "<f8", "<i1")


class Outcome(NamedTuple):
    """What a shard gives.

    Attributes
    ----------
    places : int32[n]
        The places of trials in the shard, ascending: all, or those of the best.
    scores : float64[n]
        Their scores.
    rungs : int8[n]
        How many rungs each has finished.
    """

    places: np.ndarray
    scores: np.ndarray
    rungs: np.ndarray


class Journal:
    """The journal in a folder, opened to be read and continued; `close` it at the end.

    Parameters
    ----------
    folder : path-like
        It is made if it is missing.
    run : mapping
        Describes the sweep in JSON values: all that decides the result.
    resume : bool
        Whether a sweep that is there goes on; otherwise it is forgotten.

    Attributes
    ----------
    outcomes : dict of int to Outcome
        The shards that were there.

    Raises
    ------
    CheckpointError
        If the journal is of another sweep, or is damaged at its beginning.
    OptionError
        If another process has it.
    OSError
        If the file cannot be read or written.
    """

    def __init__(self, folder: str | os.PathLike[str], run: Mapping[str, Any], *, resume: bool = True):
        if not isinstance(folder, str | os.PathLike) or not os.fspath(folder):
            raise OptionError(f"journal is {shown(folder)}, and must be the name of a folder")
        self.path = Path(os.path.abspath(os.fsdecode(folder))) / NAME
        try:
            os.makedirs(self.path.parent, exist_ok=True)
        except OSError as error:
            raise OptionError(
                f"journal is {str(self.path.parent)!r}, and this folder cannot be made: {error.strerror}"
            ) from None
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
        self._file = os.open(self.path, flags, 0o666)
        try:
            self._lock()
            self.outcomes = self._begin(json.loads(json.dumps(run)), resume)
        except BaseException:
            self.close()
            raise

    def append(self, outcomes: Iterable[tuple[int, Outcome]]) -> None:
        """Write finished shards, and sync them together."""
        self._write(
            {"shard": shard}
            | {
                name: _text(values, dtype)
                for name, values, dtype in zip(Outcome._fields, outcome, DTYPES, strict=True)
            }
            for shard, outcome in outcomes
        )

    def close(self) -> None:
        """Close the file, which releases it for other processes."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _lock(self) -> None:
        if fcntl is None:
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OptionError(
                f"journal is {str(self.path.parent)!r}, and another sweep is at work on it; wait, or name "
                "another folder"
            ) from None
        except OSError:  # a file system without locks
            return

    def _begin(self, run: dict[str, Any], resume: bool) -> dict[int, Outcome]:
        """Read what is there, and cut off a torn line; begin anew, if there is nothing to go on with."""
        with open(os.dup(self._file), "rb") as file:
            content = file.read() if resume else b""
        whole = content[: content.rfind(b"\n") + 1]
        lines = whole.splitlines()
        os.ftruncate(self._file, len(whole))
        os.lseek(self._file, 0, os.SEEK_END)
        if not lines:
            self._write([{"kind": KIND, "version": VERSION, "run": run, "made_with": made_with_now()}])
            sync_folder(self.path.parent)
            return {}
        first = record_of(lines[0])
        if first is None or first.get("kind") != KIND or first.get("version") != VERSION:
            raise CheckpointError(
                f"{self.path} is damaged, or is no journal of this version of fastbp; "
                f"{as_option('resume', False)} begins anew"
            )
        _compare(self.path, first, run)
        outcomes, n_damaged = {}, 0
        for line in lines[1:]:
            record = record_of(line)
            if record is None:
                n_damaged += 1
                continue
            outcomes[int(record["shard"])] = Outcome(
                *(
                    np.frombuffer(base64.b64decode(record[name]), dtype)
                    for name, dtype in zip(Outcome._fields, DTYPES, strict=True)
                )
            )
        if n_damaged:
            warnings.warn(
                f"{self.path} has {n_damaged} damaged records; their shards run again",
                CheckpointWarning,
                stacklevel=2,
            )
        return outcomes

    def _write(self, records: Iterable[Mapping[str, Any]]) -> None:
        line = b"".join(map(line_of, records))
        end = os.lseek(self._file, 0, os.SEEK_END)
        try:
            while line:
                line = line[os.write(self._file, line) :]
            os.fsync(self._file)
        except BaseException:  # a full disk, or Ctrl-C between two parts: the file ends with a whole line
            with suppress(OSError):
                os.ftruncate(self._file, end)
            raise


def line_of(record: Mapping[str, Any]) -> bytes:
    r"""Return a record as a line.

    Examples
    --------
    >>> line_of({"shard": 1})
    b'f250a66c6634aee2 {"shard": 1}\n'
    >>> record_of(line_of({"shard": 1})), record_of(b"f250a66c6634aee2 {'shard': 2}")
    ({'shard': 1}, None)
    """
    text = json.dumps(record).encode()
    return _digest(text) + b" " + text + b"\n"


def record_of(line: bytes) -> dict[str, Any] | None:
    """Return the record of a line, or None if the line is damaged."""
    digest, _, text = line.rstrip(b"\n").partition(b" ")
    if digest != _digest(text):
        return None
    record = json.loads(text)
    return record if isinstance(record, dict) else None


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest()[:16].encode()


def _text(values: np.ndarray, dtype: str) -> str:
    return binascii.b2a_base64(np.ascontiguousarray(values, dtype).tobytes(), newline=False).decode()


def _compare(path: Path, first: dict[str, Any], run: dict[str, Any]) -> None:
    saved = first.get("run", {})
    differences = [
        f"{name} was {shown(saved.get(name))}, and is {shown(run.get(name))}"
        for name in sorted(saved.keys() | run.keys())
        if saved.get(name) != run.get(name)
    ]
    if differences:
        raise CheckpointError(
            f"{path} is the journal of another sweep: {'; '.join(islice(differences, 3))}. Take another "
            f"folder for this sweep, or {as_option('resume', False)} to begin anew in this one"
        )
    changes = made_elsewhere(first.get("made_with"))
    if changes:
        warnings.warn(
            "the resumed sweep may not have the bits of one that was never stopped, as its journal was made "
            f"elsewhere: {'; '.join(changes)}",
            CheckpointWarning,
            stacklevel=2,
        )
