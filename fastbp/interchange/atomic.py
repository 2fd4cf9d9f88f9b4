"""Files that are there whole, or as they were before."""

import contextlib
import errno
import os
import platform
import re
import secrets
from collections.abc import Iterable
from pathlib import Path

Buffer = bytes | bytearray | memoryview


def write_atomically(path: str | os.PathLike[str], parts: Iterable[Buffer]) -> None:
    """Write the parts, one after the other, to a file that at any instant is either the old or the new one.

    They go to a temporary file in the same folder, which is synced and renamed; then the folder is synced,
    so that the new file outlives a power cut once this returns (Pillai et al. 2014, "All file systems are
    not created equal", https://www.usenix.org/conference/osdi14/technical-sessions/presentation/pillai).
    A process that is killed leaves its temporary file behind, ``.name.host.process-random.tmp``; the next
    one to write the same file on this host removes it.

    Parameters
    ----------
    path : path-like
        A link is followed. A file that is there keeps its permissions.
    parts : iterable of bytes-like
        An exception that it raises leaves everything as it was.

    Raises
    ------
    OSError
        If the folder is missing, the disk full, and so on. What was at `path` is there still, and nothing
        else; but where the sync of the folder fails, at the very end, the new file is there.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(f"{os.fspath(path)} is a folder")
    _remove_leftovers(target)
    temporary = target.with_name(f".{target.name}.{_host()}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with open(descriptor, "wb") as file:
            with contextlib.suppress(OSError):  # no file yet, or not ours: the user's umask holds
                os.chmod(temporary, target.stat().st_mode & 0o777)
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Sync a folder where that can be done: not all file systems do, and it may be closed to readers."""
    if os.name != "posix":  # elsewhere a folder cannot be opened
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EINVAL, errno.ENOTSUP):
            raise


def _remove_leftovers(target: Path) -> None:
    """Remove the temporary files of processes of this host that are no more."""
    if os.name != "posix":  # elsewhere os.kill(process, 0) ends the process
        return
    named = re.compile(rf"\.{re.escape(target.name)}\.{re.escape(_host())}\.(\d+)-[0-9a-f]{{8}}\.tmp")
    with contextlib.suppress(OSError):
        for name in os.listdir(target.parent):
            match = named.fullmatch(name)
            if match and not _is_alive(int(match[1])):
                with contextlib.suppress(OSError):
                    os.unlink(target.parent / name)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # it is, and somebody else's
        return True
    return True


def _host() -> str:
    """Return the computer's name: processes of another one may share the folder."""
    return re.sub(r"[^\w-]", "-", platform.node())[:32]
