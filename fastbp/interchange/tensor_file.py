"""The container of fastbp's files: safetensors, read strictly.

A file is a header and the tensors' bytes (https://github.com/huggingface/safetensors, "Format")::

    8 bytes       n, the length of the header, a little-endian integer
    n bytes       JSON: {"__metadata__": {"fastbp": TEXT},
                         NAME: {"dtype": "F64", "shape": [2, 3], "data_offsets": [BEGIN, END]}, ...}
    the rest      the tensors, row-major and little-endian, without gaps

Any program that reads safetensors can read the tensors. TEXT marks a file of fastbp::

    {"kind": "model", "version": 1, "sha256": DIGEST, "document": {...}}

`kind` and `version` say what the document is; `fastbp.interchange.model_file` describes a model's. DIGEST is
the SHA-256 of the JSON text ``[kind, version, document, [[NAME, DTYPE, SHAPE], ...]]``, in ASCII and without
blanks, followed by the bytes of the tensors, both in the order of the names. A file does not load if any of
this was changed.

Nothing in a file is executed, and a file is not trusted. The header has at most `MAX_HEADER` bytes and
`MAX_TENSORS` tensors, no name occurs twice, and the tensors fill the rest of the file exactly. Reading takes
as much memory as the file has bytes, plus some 30 times the header.
"""

import hashlib
import json
import math
import os
import reprlib
import stat
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastbp.errors import ModelFileError
from fastbp.interchange.atomic import write_atomically

MAX_HEADER = 2**24
"""Bytes of a header: enough for the names and scales of 200,000 columns."""

MAX_TENSORS = 10_000

DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "I64": np.dtype("<i8"),
    "U64": np.dtype("<u8"),
    "U8": np.dtype("u1"),
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}

METADATA, ENVELOPE = "__metadata__", "fastbp"


def write_tensors(
    path: str | os.PathLike[str],
    kind: str,
    version: int,
    document: Mapping[str, Any],
    tensors: Mapping[str, np.ndarray],
) -> None:
    """Write a file, atomically. The same content gives the same bytes.

    Parameters
    ----------
    path : path-like
    kind : str
    version : int
        Kind and version of the document; `read_tensors` checks them.
    document : dict
        JSON values, with strings as keys, without NaN and infinity.
    tensors : dict of ndarray
        Each of a dtype in `DTYPES`.

    Raises
    ------
    OSError
        If the file cannot be written. An old file then remains.
    ModelFileError
        If the document is too large for a header, or cannot be written as JSON.
    """
    write_atomically(path, [encode(kind, version, document, tensors)])


def encode(kind: str, version: int, document: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> bytes:
    """Return the bytes of a file: see `write_tensors`."""
    from safetensors.numpy import save

    check_header(document, len(tensors))
    plain = {
        name: np.require(tensor, tensor.dtype.newbyteorder("<"), "C") for name, tensor in tensors.items()
    }
    envelope = {
        "kind": kind,
        "version": version,
        "sha256": _digest(kind, version, document, plain),
        "document": document,
    }
    return save(plain, {ENVELOPE: json.dumps(envelope, allow_nan=False)})


def check_header(
    document: Mapping[str, Any], n_tensors: int, n_more: int = 0, largest: int = MAX_HEADER
) -> None:
    """Raise `ModelFileError` if a header cannot hold the document, `n_more` bytes and `n_tensors` tensors."""
    try:
        text = json.dumps(document, allow_nan=False)
    except (ValueError, RecursionError):
        raise ModelFileError(
            "a file's document may neither have infinities and NaN nor be deeply nested"
        ) from None
    length = len(json.dumps(text)) + n_more  # JSON inside JSON
    if length + 500 * (n_tensors + 1) > largest or n_tensors > MAX_TENSORS:
        raise ModelFileError(
            f"a file's header may have {largest:,} bytes and {MAX_TENSORS:,} tensors; this one would take "
            f"{length:,} bytes to describe the network, its columns, categories and notes, and {n_tensors:,} "
            "tensors"
        )


def read_tensors(
    path: str | os.PathLike[str], kind: str, version: int, oldest: int = 1
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the document and the tensors of a file that `write_tensors` wrote.

    Parameters
    ----------
    path : path-like
    kind : str
    version, oldest : int
        The newest and the oldest version of the document that the caller knows.

    Returns
    -------
    document : dict
    tensors : dict of ndarray
        Views of one buffer.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ModelFileError
        If it is not such a file, or is damaged, or newer.
    """
    try:
        document, tensors = _read(path, kind, version, oldest)
    except ModelFileError as error:
        raise ModelFileError(f"{os.fspath(path)}: {error}") from None
    return document, tensors


def _read(
    path: str | os.PathLike[str], kind: str, version: int, oldest: int
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read a file. Tensors, which may fill the memory, are read only after the header was checked."""
    if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would wait for its writer
        raise ModelFileError("is not a file but a folder, a device or a pipe")
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > size - 8:
            raise ModelFileError(
                f"is not a safetensors file, or is cut short: it has {size:,} bytes, and its header alone "
                f"would have {length:,}"
                if size >= 8
                else f"is not a safetensors file: it has {size} bytes"
            )
        if length > MAX_HEADER:
            raise ModelFileError(f"has a header of {length:,} bytes, and may have one of {MAX_HEADER:,}")
        header = file.read(length)
        if len(header) < length:
            raise ModelFileError("became shorter while it was read")
        envelope, entries = _envelope(header, kind, version, oldest)
        places = _places(entries, size - 8 - length)
        try:
            data = np.empty(size - 8 - length, np.uint8)
        except MemoryError:
            raise ModelFileError(f"has {size:,} bytes, and there is no memory for them") from None
        filled = 0
        while filled < data.size and (count := file.readinto(data[filled:].data)):
            filled += count
        if filled < data.size:
            raise ModelFileError("became shorter while it was read")
    tensors = _tensors(places, data)
    if envelope["sha256"] != _digest(kind, envelope["version"], envelope["document"], tensors):
        raise ModelFileError("is damaged: its content does not have the digest that it was written with")
    return envelope["document"], tensors


def _envelope(header: bytes, kind: str, version: int, oldest: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the description of the file in its header, and the entries of the tensors."""
    entries = _json(header, "its header")
    metadata = entries.pop(METADATA, None)
    if not isinstance(metadata, dict) or not isinstance(metadata.get(ENVELOPE), str):
        raise ModelFileError("is not a file of fastbp's: its header does not say so")
    envelope = _json(metadata[ENVELOPE], "its description")
    if set(envelope) != {"kind", "version", "sha256", "document"}:
        raise ModelFileError(
            "is damaged: its description must have kind, version, sha256 and document, and nothing else"
        )
    if envelope["kind"] != kind:
        raise ModelFileError(f"is a {_short(envelope['kind'])} file of fastbp's, and not a {kind!r} file")
    found = envelope["version"]
    if type(found) is not int or not 1 <= found <= version:
        raise ModelFileError(
            f"has format version {_short(found)}, and this fastbp reads versions up to {version}; "
            "a newer fastbp may have written it"
        )
    if found < oldest:
        raise ModelFileError(f"has format version {found}, and this fastbp reads none from before {oldest}")
    if not isinstance(envelope["document"], dict):
        raise ModelFileError("is damaged: its document is not a JSON object")
    return envelope, entries


def _json(text: bytes | str, what: str) -> dict[str, Any]:
    def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """Return the entries of an object, whose names must differ."""
        entries = dict(pairs)
        if len(entries) < len(pairs):
            twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
            raise ModelFileError(f"is damaged: {what} has {_short(twice)} twice")
        return entries

    def no_constant(name: str) -> None:
        """Refuse Infinity and NaN."""
        raise ModelFileError(f"is damaged: {what} has {name} in it, which JSON does not allow")

    try:
        entries = json.loads(
            text,
            object_pairs_hook=without_duplicates,
            parse_constant=no_constant,
        )
    except (ValueError, RecursionError) as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(f"is damaged, or not a safetensors file: {what} is not JSON") from None
    if not isinstance(entries, dict):
        raise ModelFileError(f"is damaged: {what} is not a JSON object")
    return entries


Place = tuple[int, int, list[int], np.dtype, str]


def _places(entries: dict[str, Any], n_bytes: int) -> list[Place]:
    """Return where the tensors lie, in order. They must fill `n_bytes` without gaps or overlaps."""
    if len(entries) > MAX_TENSORS:
        raise ModelFileError(f"has {len(entries):,} tensors, and may have {MAX_TENSORS:,}")
    placed = [(*_place(name, entry), name) for name, entry in entries.items()]
    placed.sort(key=lambda place: place[:2])
    filled = 0
    for begin, end, _, _, name in placed:
        if begin != filled:
            raise ModelFileError(
                f"is damaged: tensor {_short(name)} begins at byte {begin}, and not at {filled}"
            )
        if end > n_bytes:
            raise ModelFileError(
                f"is cut short, or damaged: tensor {_short(name)} ends at byte {end:,} of its data, and "
                f"there are {n_bytes:,}"
            )
        filled = end
    if filled != n_bytes:
        raise ModelFileError(f"is damaged: {n_bytes - filled:,} bytes follow the last tensor")
    return placed


def _tensors(places: list[Place], data: np.ndarray) -> dict[str, np.ndarray]:
    """Return the tensors as views of the data."""
    tensors = {}
    for begin, end, shape, dtype, name in places:
        try:
            tensors[name] = data[begin:end].view(dtype).reshape(shape)
        except ValueError:  # no bytes, in a shape that no array may have
            raise ModelFileError(f"is damaged: tensor {_short(name)} has shape {_short(shape)}") from None
    return tensors


def _place(name: str, entry: object) -> tuple[int, int, list[int], np.dtype]:
    """Return where a tensor begins and ends, its shape and its dtype."""
    damaged = ModelFileError(f"is damaged: tensor {_short(name)} is not described as safetensors does it")
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise damaged
    type_name, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(type_name, str) or type_name not in DTYPES:
        raise ModelFileError(
            f"has a tensor {_short(name)} of dtype {_short(type_name)}, which may be {', '.join(DTYPES)}"
        )
    dtype = DTYPES[type_name]
    if not (_are_counts(shape) and _are_counts(offsets) and len(shape) <= 32 and len(offsets) == 2):
        raise damaged
    begin, end = offsets
    if end - begin != math.prod(shape) * dtype.itemsize:
        raise ModelFileError(
            f"is damaged: tensor {_short(name)} of shape {_short(shape)} and dtype {type_name} lies in "
            f"{end - begin} bytes"
        )
    return begin, end, shape, dtype


def _short(value: object) -> str:
    """Return a value of a file, shortened for a message: it may have any length."""
    return reprlib.repr(value)


def _are_counts(values: object) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**62 for value in values)


def _digest(kind: str, version: int, document: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> str:
    ordered = sorted(tensors.items())
    table = [[name, NAMES[tensor.dtype], list(tensor.shape)] for name, tensor in ordered]
    try:
        text = json.dumps([kind, version, document, table], separators=(",", ":"), allow_nan=False)
    except (ValueError, RecursionError):  # 1e999 is valid JSON, and becomes infinity
        raise ModelFileError("is damaged: a number in its document is too large, or it is nested") from None
    digest = hashlib.sha256(text.encode("ascii"))
    for _, tensor in ordered:
        digest.update(np.ascontiguousarray(tensor).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
