"""The bytes of a file: from a path or standard input, decompressed, decoded, and named for messages."""

import codecs
import contextlib
import gzip
import os
import re
import sys
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from fastbp.errors import DataError, FastbpError, as_option

TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".data", ".dat", ".tab", "")

SUFFIXES = (".csv", ".tsv", ".txt", ".data", ".parquet", ".arrow", ".feather", ".xlsx", ".npy", ".npz")

PACKED = (".gz", ".zip", ".zst")

BEGINNINGS = {
    b"PAR1": ".parquet",
    b"ARROW1": ".arrow",
    b"\x93NUMPY": ".npy",
    b"\x1f\x8b": ".gz",
    b"\x28\xb5\x2f\xfd": ".zst",
    b"PK": ".zip",
    b"\xd0\xcf\x11\xe0": ".xls",
}

MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks; that of UTF-32 begins with that of UTF-16."""


def polars() -> Any:
    """Return the package polars, or say how to install it."""
    try:
        import polars
    except ImportError:
        raise DataError("reading data files needs polars; install it: pip install 'fastbp[data]'") from None
    return polars


@dataclass(frozen=True, eq=False)
class Source:
    """A file, and what kind it is.

    Attributes
    ----------
    name : str
        For messages.
    kind : str
        A suffix, such as ".csv"; "" is text.
    path : Path or None
        None for standard input.
    content : bytes or None
        None if the file is on disk as it is, and `read` reads it.
    """

    name: str
    kind: str
    path: Path | None
    content: bytes | None

    def read(self) -> bytes:
        """Return the bytes."""
        if self.content is not None:
            return self.content
        assert self.path is not None
        return self.path.read_bytes()

    def file(self) -> Any:
        """Return what a reader of files takes: a path, or bytes like a file."""
        return BytesIO(self.content) if self.content is not None else self.path

    def open(self) -> BinaryIO:
        """Return the file, opened to be read."""
        return BytesIO(self.content) if self.content is not None else open(self.name, "rb")

    def begins(self, first: bytes) -> bool:
        """Return whether these are the first bytes."""
        with self.open() as file:
            return file.read(len(first)) == first


def open_source(path: str | os.PathLike[str]) -> Source:
    """Look at a file, or at standard input if the path is "-", and decompress it if it is compressed."""
    if os.fspath(path) == "-":
        content = sys.stdin.buffer.read()
        if not content:
            raise DataError("standard input is empty")
        return _decompressed(Source("standard input", _kind("", content[:8]), None, content))
    path = Path(path)
    if "\0" in str(path):
        raise DataError(f"no file can have the name {str(path)!r}, which has a zero byte")
    if not path.is_file():
        if path.is_fifo() or path.is_char_device():
            raise DataError(f"{path} is a pipe or a device, and must be a file; '-' is standard input")
        raise DataError(f"{path} is a folder" if path.is_dir() else f"there is no file {path}")
    size = path.stat().st_size
    if size == 0:
        raise DataError(f"{path} is empty")
    with open(path, "rb") as file:
        first = file.read(8)
    kind = _kind(path.suffix.lower(), first)
    if kind not in (*TEXT_SUFFIXES, *SUFFIXES, *PACKED):
        hint = "; save it as .xlsx or .csv" if kind == ".xls" else ""
        raise DataError(f"{path} ends in {path.suffix!r}; data files end in {', '.join(SUFFIXES)}{hint}")
    return _decompressed(Source(str(path), kind, path, None))


def _kind(suffix: str, first: bytes) -> str:
    """Return what a file is, by its first bytes, and by its suffix if they do not say."""
    for beginning, kind in BEGINNINGS.items():
        if first.startswith(beginning):
            of_the_kind = {".zip": (".npz", ".xlsx"), ".arrow": (".feather", ".ipc")}.get(kind, ())
            return suffix if suffix in of_the_kind else kind
    if suffix == ".ipc":
        return ".arrow"
    return suffix


def _decompressed(source: Source) -> Source:
    if source.kind not in PACKED:
        return source
    inner = Path(source.path.stem).suffix.lower() if source.path else ""
    try:
        if source.kind == ".gz":
            content = gzip.decompress(source.read())
        elif source.kind == ".zst":
            content = _lines_of(source.read())
        else:
            content, inner = _member(source)
    except (
        OSError,
        EOFError,
        zlib.error,
        zipfile.BadZipFile,
        RuntimeError,
        polars().exceptions.PolarsError,
    ) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{source.name} cannot be decompressed: {reason}") from None
    if not content:
        raise DataError(f"{source.name} is empty")
    kind = _kind(inner, content[:8])
    return Source(source.name, kind if kind in SUFFIXES else "", source.path, content)


def _lines_of(content: bytes) -> bytes:
    """Return text that is compressed by Zstandard; polars decompresses it, line by line."""
    pl = polars()
    lines = pl.read_csv(
        content, has_header=False, separator="\x01", quote_char=None, schema={"line": pl.String}
    )
    return "\n".join(lines["line"].fill_null("")).encode() + b"\n"


def _member(source: Source) -> tuple[bytes, str]:
    """Return the one file of a .zip file, and its suffix."""
    with zipfile.ZipFile(source.file()) as archive:
        members = [
            name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX/")
        ]
        if len(members) != 1:
            raise DataError(
                f"{source.name} has {len(members)} files: {', '.join(map(repr, members[:12]))}; unpack the "
                f"one "
                "that is meant"
            )
        return archive.read(members[0]), Path(members[0]).suffix.lower()


def check_memory(source: Source, streamed: str) -> None:
    """Raise an error for a file that is larger than memory, before memory is full."""
    size = len(source.content) if source.content is not None else os.stat(source.name).st_size
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 2**63
    if size > memory:
        raise DataError(
            f"{source.name} takes {size / 1e9:.1f} GB and this machine has {memory / 1e9:.1f} GB of memory; "
            f"{streamed}"
        )


@contextlib.contextmanager
def readable(name: str, kind: str) -> Iterator[None]:
    """Turn any exception of a reader into a `DataError` about this file."""
    try:
        yield
    except FastbpError:
        raise
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror or error}") from None
    except MemoryError:
        raise DataError(f"{name} does not fit into memory") from None
    except (Exception, polars().exceptions.PanicException) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(f"{name} is not a {kind or 'text'} file that can be read: {reason}") from None


# --- text --------------------------------------------------------------------------------------------


def decoded(name: str, content: bytes, encoding: str | None, remembered: str | None = None) -> bytes:
    """Return text in UTF-8, with lines that end in LF or CR LF, and without a byte order mark.

    Parameters
    ----------
    name : str
        For messages.
    content : bytes
    encoding : str, optional
        The encoding that was said.
    remembered : str, optional
        The encoding of the training file: used unless this file is in UTF-8.
    """
    for mark, found in MARKS:
        if content.startswith(mark):
            content, encoding = (content[3:], "utf-8") if found == "utf-8" else (content, found)
            break
    if encoding is None and not content.isascii():
        try:
            content.decode()
        except UnicodeDecodeError as error:
            if remembered is None:
                _complain_of_letters(name, content, error)
            encoding = remembered
    if encoding is not None and codecs.lookup(encoding).name != "utf-8":
        try:
            content = content.decode(encoding).encode()
        except (UnicodeError, LookupError):
            raise DataError(
                f"{name} is not text in {encoding}; {as_option('encoding')} says which it is"
            ) from None
    elif encoding is not None:
        try:
            content.decode()
        except UnicodeDecodeError as error:
            _complain_of_letters(name, content, error)
    if b"\0" in content:
        line = content.count(b"\n", 0, content.index(b"\0")) + 1
        wide = content[:1000].count(b"\0") > len(content[:1000]) / 4
        hint = f"; {as_option('encoding', 'utf-16')} may be what it is in" if wide else ""
        raise DataError(f"{name} is not text: line {line} has a zero byte{hint}")
    if content.endswith(b"\x1a"):  # the end of a file, as it was marked in DOS
        content = content.rstrip(b"\x1a")
    if b"\n" not in content and b"\r" in content:
        content = content.replace(b"\r", b"\n")
    return content


def _complain_of_letters(name: str, content: bytes, error: UnicodeDecodeError) -> None:
    """Raise an error that names the line that is not in UTF-8."""
    line = content.count(b"\n", 0, error.start) + 1
    around = content[max(0, error.start - 10) : error.start + 10].decode("cp1252", "replace").split("\n")
    before = content[max(0, error.start - 10) : error.start].decode("cp1252", "replace").count("\n")
    raise DataError(
        f"{name} is not text in UTF-8: line {line} has the byte 0x{content[error.start]:02x}, which "
        f"{as_option('encoding', 'cp1252')} would read as in {around[before].strip()!r}"
    )


def without_comments(content: bytes, comment: str | None) -> bytes:
    """Return text without the lines that begin with this text."""
    if comment is None:
        return content
    return re.sub(rb"(?m)^[ \t]*" + re.escape(comment.encode()) + rb"[^\n]*(?:\n|\Z)", b"", content)
