"""Atomic writing of files: a reader sees the whole old file or the whole new one."""

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
"""What a path may name instead of a file."""

ROOM = len("..") + 32 + len(".") + 20 + len("-01234567.tmp")
"""Bytes of a temporary name besides the file's own: at most 32 for the host and 20 for the process."""


def write_atomically(path: str | os.PathLike[str], parts: Iterable[Buffer]) -> None:
    """Write the parts to a file, in order; at any instant, the path names the old file or the new one.

    The parts go to a temporary file in the same folder, which is synced and renamed. Then the folder is
    synced, so that the new file survives a power cut after this returns (Pillai et al. 2014, "All file
    systems are not created equal",
    https://www.usenix.org/conference/osdi14/technical-sessions/presentation/pillai). A killed process leaves
    its temporary file, ``.name.host.process-random.tmp``, with a long name cut. The next process that writes
    the same file on this host removes it.

    Parameters
    ----------
    path : path-like
        A symbolic link is followed. An existing file keeps its permissions, and its owner and group if the
        system allows this. Extended attributes and access control lists are lost. Another hard link to the
        old file keeps the old content.
    parts : iterable of bytes-like
        If it raises an exception, nothing has changed.

    Raises
    ------
    OSError
        If `path` names a folder, a device, a pipe or a socket. If an existing file is read-only, the folder
        is missing, the disk is full, and so on. Nothing has changed then, with one exception: if the final
        sync of the folder fails, the new file is there.
    """
    old = _replaceable(path)
    target = Path(os.path.realpath(path))
    prefix = f".{_cut(target)}.{_host()}."
    _remove_leftovers(target.parent, prefix)
    temporary = target.with_name(f"{prefix}{os.getpid()}-{secrets.token_hex(4)}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(temporary, flags, 0o666)
    except OSError as error:  # the user does not know the temporary name
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None
    try:
        with open(descriptor, "wb") as file:
            if old is not None:  # otherwise the user's umask applies
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
    sync_folder(target.parent)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise the OSError that `write_atomically` would raise, as far as this is known without writing."""
    _replaceable(path)
    folder = Path(os.path.realpath(path) if os.path.islink(path) else path).parent
    if not folder.is_dir():
        raise FileNotFoundError(errno.ENOENT, f"there is no folder {str(folder)!r}", os.fspath(path))
    if not _may(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "nothing may be written to that folder", os.fspath(path))


def _replaceable(path: str | os.PathLike[str]) -> os.stat_result | None:
    """Return the status of the file to be replaced, or None if it does not exist."""
    try:
        old = os.stat(path)  # not of the real path: /dev/stdout has none
    except FileNotFoundError:
        return None
    kind = KINDS.get(stat.S_IFMT(old.st_mode))
    if kind == "folder":
        raise IsADirectoryError(errno.EISDIR, "that is a folder", os.fspath(path))
    if kind or not stat.S_ISREG(old.st_mode):
        raise OSError(errno.EINVAL, f"that is a {kind or 'special file'}, and not a file", os.fspath(path))
    if not _may(path, os.W_OK):  # renaming would not check this
        raise PermissionError(errno.EACCES, "that file may not be written to", os.fspath(path))
    return old


def _may(path: str | os.PathLike[str], mode: int) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def _make_alike(temporary: Path, old: os.stat_result) -> None:
    """Give a file the owner, the group and the permissions of an older one, as far as allowed."""
    if hasattr(os, "chown"):
        try:
            os.chown(temporary, old.st_uid, old.st_gid)
        except OSError:  # another user owns it, but this process may be in its group
            with contextlib.suppress(OSError):
                os.chown(temporary, -1, old.st_gid)
    with contextlib.suppress(OSError):  # a file system without permissions
        os.chmod(temporary, old.st_mode & 0o777)


def sync_folder(folder: Path) -> None:
    """Sync a folder if possible: some file systems do not support it, and the folder may be unreadable."""
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
    """Remove the temporary files of processes of this host that have ended."""
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
    """Return a file's name; if it is too long for a temporary name, its beginning and a digest."""
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
    except OSError:  # alive, but of another user
        return True
    return True


def _host() -> str:
    """Return the computer's name, because several computers may share the folder."""
    return re.sub(r"[^\w-]", "-", platform.node(), flags=re.ASCII)[:32]
