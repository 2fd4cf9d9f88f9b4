"""Files that are there whole, or as they were before."""

import contextlib
import errno
import hashlib
import os
import platform
import re
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path

Buffer = bytes | bytearray | memoryview

KINDS = {
    stat.S_IFDIR: "folder",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
}
"""What may stand where a file should."""

ROOM = len("..") + 32 + len(".") + 20 + len("-01234567.tmp")
"""Bytes of a temporary name besides the file's own: the host and the process have 32 and 20 at most."""


def write_atomically(path: str | os.PathLike[str], parts: Iterable[Buffer]) -> None:
    """Write the parts, one after the other, to a file that at any instant is either the old or the new one.

    They go to a temporary file in the same folder, which is synced and renamed; then the folder is synced,
    so that the new file outlives a power cut once this returns (Pillai et al. 2014, "All file systems are
    not created equal", https://www.usenix.org/conference/osdi14/technical-sessions/presentation/pillai).
    A process that is killed leaves its temporary file behind, ``.name.host.process-random.tmp``, where a long
    name is cut; the next one to write the same file on this host removes it.

    Parameters
    ----------
    path : path-like
        A symbolic link is followed. A file that is there keeps its permissions, and its owner and group as
        far as the system lets this process give files away. Extended attributes and access control lists are
        lost. Another hard link to the old file keeps the old content.
    parts : iterable of bytes-like
        An exception that it raises leaves everything as it was.

    Raises
    ------
    OSError
        If there is something else than a file: a folder, a device, a pipe or a socket. If the file that is
        there may not be written to, the folder is missing, the disk full, and so on. What was at `path` is
        there still, and nothing else; but where the sync of the folder fails, at the very end, the new file
        is there.
    """
    old = _replaceable(path)
    target = Path(os.path.realpath(path))
    prefix = f".{_cut(target)}.{_host()}."
    _remove_leftovers(target.parent, prefix)
    temporary = target.with_name(f"{prefix}{os.getpid()}-{secrets.token_hex(4)}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(temporary, flags, 0o666)
    except OSError as error:  # whoever reads it knows nothing of the temporary file
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None
    try:
        with open(descriptor, "wb") as file:
            if old is not None:  # else the user's umask holds
                _make_alike(temporary, old)
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


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise the OSError that `write_atomically` would, as far as one can tell without writing."""
    _replaceable(path)
    folder = Path(os.path.realpath(path) if os.path.islink(path) else path).parent
    if not folder.is_dir():
        raise FileNotFoundError(errno.ENOENT, f"there is no folder {str(folder)!r}", os.fspath(path))
    if not _may(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "nothing may be written to that folder", os.fspath(path))


def _replaceable(path: str | os.PathLike[str]) -> os.stat_result | None:
    """Return the status of the file that is to be replaced, or None if there is none yet."""
    try:
        old = os.stat(path)  # and not that of the real path, which /dev/stdout has none of
    except FileNotFoundError:
        return None
    kind = KINDS.get(stat.S_IFMT(old.st_mode))
    if kind == "folder":
        raise IsADirectoryError(errno.EISDIR, "that is a folder", os.fspath(path))
    if kind or not stat.S_ISREG(old.st_mode):
        raise OSError(errno.EINVAL, f"that is a {kind or 'special file'}, and not a file", os.fspath(path))
    if not _may(path, os.W_OK):  # renaming would not ask
        raise PermissionError(errno.EACCES, "that file may not be written to", os.fspath(path))
    return old


def _may(path: str | os.PathLike[str], mode: int) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def _make_alike(temporary: Path, old: os.stat_result) -> None:
    """Give a file the owner, the group and the permissions of an older one, as far as that is allowed."""
    if hasattr(os, "chown"):
        try:
            os.chown(temporary, old.st_uid, old.st_gid)
        except OSError:  # it is somebody else's; the group may be one that we are in, too
            with contextlib.suppress(OSError):
                os.chown(temporary, -1, old.st_gid)
    with contextlib.suppress(OSError):  # a file system without permissions
        os.chmod(temporary, old.st_mode & 0o777)


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


def _remove_leftovers(folder: Path, prefix: str) -> None:
    """Remove the temporary files of processes of this host that are no more."""
    if os.name != "posix":  # elsewhere os.kill(process, 0) ends the process
        return
    named = re.compile(rf"{re.escape(prefix)}(\d+)-[0-9a-f]{{8}}\.tmp")
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            match = named.fullmatch(name)
            if match and not _is_alive(int(match[1])):
                with contextlib.suppress(OSError):
                    os.unlink(folder / name)


def _cut(target: Path) -> str:
    """Return a file's name, or what of it leaves room for the rest of a temporary one, and a digest."""
    try:
        longest = os.pathconf(target.parent, "PC_NAME_MAX")
    except (AttributeError, OSError, ValueError):  # no such function, no such folder, no such limit
        longest = 255
    name, room = os.fsencode(target.name), longest - ROOM
    if len(name) <= room:
        return target.name
    digest = hashlib.sha256(name).hexdigest()[:8]
    return f"{name[: room - 9].decode(errors='ignore')}-{digest}"


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
    return re.sub(r"[^\w-]", "-", platform.node(), flags=re.ASCII)[:32]
