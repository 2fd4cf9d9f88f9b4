"""A file that is written is there whole, or as it was before."""

import contextlib
import errno
import os
import socket
import stat
import tempfile
from pathlib import Path

import pytest

from fastbp.interchange import atomic
from fastbp.interchange.atomic import check_writable, write_atomically

ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


def test_parts_are_written_one_after_the_other(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, [b"one ", memoryview(b"two")])
    assert path.read_bytes() == b"one two"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("function", ["fsync", "replace", "chmod"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "disk full"), KeyboardInterrupt()])
def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, function, error):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(*arguments):
        raise error

    monkeypatch.setattr(atomic.os, function, fail)
    if function == "chmod" and isinstance(error, OSError):  # permissions are not worth the file
        write_atomically(path, [b"new"])
        assert path.read_bytes() == b"new"
    else:
        with pytest.raises(type(error)):
            write_atomically(path, [b"new"])
        assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.skipif(os.name != "posix", reason="elsewhere a folder cannot be synced")
def test_folder_is_synced_after_the_file_has_its_name(tmp_path, monkeypatch):
    synced = []

    def fsync(descriptor):
        synced.append((stat.S_ISDIR(os.fstat(descriptor).st_mode), sorted(os.listdir(tmp_path))))

    monkeypatch.setattr(atomic.os, "fsync", fsync)
    write_atomically(tmp_path / "file", [b"new"])
    (is_folder, names), last = synced
    assert not is_folder
    assert "file" not in names
    assert last == (True, ["file"])


def test_a_link_is_followed_and_permissions_stay(tmp_path):
    path, link = tmp_path / "file", tmp_path / "link"
    path.write_bytes(b"old")
    path.chmod(0o640)
    link.symlink_to(path)
    write_atomically(link, [b"new"])
    assert link.is_symlink()
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_new_file_has_the_permissions_of_the_users_umask(tmp_path):
    previous = os.umask(0o027)
    try:
        write_atomically(tmp_path / "file", [b"new"])
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_leftovers_of_dead_processes_are_removed_and_those_of_the_living_are_not(tmp_path):
    host, dead = atomic._host(), 2**31 - 2
    leftover = tmp_path / f".file.{host}.{dead}-0123abcd.tmp"
    others = [
        tmp_path / f".file.{host}.{os.getpid()}-0123abcd.tmp",
        tmp_path / f".file.elsewhere.{dead}-0123abcd.tmp",
        tmp_path / f".file2.{host}.{dead}-0123abcd.tmp",
    ]
    for path in (leftover, *others):
        path.touch()
    write_atomically(tmp_path / "file", [b"new"])
    assert not leftover.exists()
    assert all(path.exists() for path in others)


def test_parts_that_cannot_be_made_leave_the_old_file(tmp_path):
    def parts():
        yield b"new"
        raise ZeroDivisionError

    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError):
        write_atomically(path, parts())
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EIO])
def test_a_folder_that_cannot_be_synced_is_no_error_and_one_that_fails_is(tmp_path, monkeypatch, number):
    sync = os.fsync

    def of_files_only(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        sync(descriptor)

    monkeypatch.setattr(atomic.os, "fsync", of_files_only)
    with pytest.raises(OSError, match="Input/output") if number == errno.EIO else contextlib.nullcontext():
        write_atomically(tmp_path / "file", [b"new"])
    assert (tmp_path / "file").read_bytes() == b"new"


@pytest.mark.parametrize("path", ["no/such/folder/file", "."])
def test_where_no_file_can_be_is_an_os_error(tmp_path, path):
    with pytest.raises(OSError, match=r"such|folder"):
        write_atomically(tmp_path / path, [b"new"])


@pytest.mark.skipif(os.name != "posix", reason="elsewhere leftovers stay")
def test_leftovers_of_other_users_processes_are_not_removed(tmp_path, monkeypatch):
    def kill(process, number):
        raise PermissionError

    leftover = tmp_path / f".file.{atomic._host()}.123-01234567.tmp"
    leftover.touch()
    monkeypatch.setattr(atomic.os, "kill", kill)
    write_atomically(tmp_path / "file", [b"new"])
    assert leftover.exists()


def make_pipe(path):
    os.mkfifo(path)


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


def make_device(path):
    if not ROOT:
        pytest.skip("only root may make a device")
    os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))


@pytest.mark.skipif(os.name != "posix", reason="there is no such thing elsewhere")
@pytest.mark.parametrize("through_a_link", [False, True], ids=["itself", "through a link"])
@pytest.mark.parametrize(
    ("make", "kind"), [(make_pipe, "pipe"), (make_socket, "socket"), (make_device, "device")]
)
def test_what_is_no_file_is_never_replaced(monkeypatch, tmp_path, make, kind, through_a_link):
    monkeypatch.chdir(tmp_path)  # a socket's name may not be long
    path = special = Path("special")
    make(special)
    if through_a_link:
        path = Path("link")
        path.symlink_to(special)
    before, names = special.stat(), sorted(os.listdir())
    for attempt in (check_writable, lambda path: write_atomically(path, [b"new"])):
        with pytest.raises(OSError, match=f"that is a {kind}, and not a file: '{path}'"):
            attempt(path)
    assert (special.stat().st_mode, special.stat().st_ino) == (before.st_mode, before.st_ino)
    assert sorted(os.listdir()) == names


@pytest.mark.skipif(os.name != "posix", reason="there is no such name elsewhere")
def test_a_pipe_that_has_a_name_only_through_its_descriptor_is_refused():
    reading, writing = os.pipe()
    try:
        with pytest.raises(OSError, match="that is a pipe"):
            write_atomically(f"/dev/fd/{writing}", [b"new"])
    finally:
        os.close(reading)
        os.close(writing)


@pytest.mark.skipif(not ROOT, reason="only root may give files away")
def test_the_owner_and_the_group_stay(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o640)
    os.chown(path, 12345, 23456)
    write_atomically(path, [b"new"])
    status = path.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (12345, 23456, 0o640)


@pytest.mark.skipif(os.name != "posix", reason="elsewhere files have no owners")
def test_an_owner_that_cannot_be_kept_is_no_error_and_the_group_is_kept_then(tmp_path, monkeypatch):
    path, calls = tmp_path / "file", []
    path.write_bytes(b"old")
    status = path.stat()

    def chown(temporary, user, group):
        calls.append((user, group))
        raise PermissionError

    monkeypatch.setattr(atomic.os, "chown", chown)
    write_atomically(path, [b"new"])
    assert calls == [(status.st_uid, status.st_gid), (-1, status.st_gid)]
    assert path.read_bytes() == b"new"


@contextlib.contextmanager
def as_nobody():
    """Give up root's rights for a while, in a folder where everybody may write."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        if ROOT:
            os.seteuid(65534)
        try:
            yield Path(folder)
        finally:
            if ROOT:
                os.seteuid(0)


@pytest.mark.skipif(os.name != "posix", reason="elsewhere permissions are others")
def test_a_file_that_may_not_be_written_to_is_not_replaced_either():
    with as_nobody() as folder:
        path = folder / "file"
        path.write_bytes(b"old")
        path.chmod(0o444)
        for attempt in (check_writable, lambda path: write_atomically(path, [b"new"])):
            with pytest.raises(PermissionError, match="that file may not be written to"):
                attempt(path)
        assert path.read_bytes() == b"old"
        assert os.listdir(folder) == ["file"]


@pytest.mark.skipif(os.name != "posix", reason="elsewhere permissions are others")
def test_a_folder_that_may_not_be_written_to_is_said_before_anything_is_written():
    with as_nobody() as folder:
        closed = folder / "closed"
        closed.mkdir(mode=0o555)
        with pytest.raises(PermissionError, match="nothing may be written to that folder"):
            check_writable(closed / "file")
        with pytest.raises(PermissionError, match=f"'{closed / 'file'}'"):
            write_atomically(closed / "file", [b"new"])
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        check_writable(closed / "file")


def test_another_hard_link_keeps_the_old_content(tmp_path):
    path, twin = tmp_path / "file", tmp_path / "twin"
    path.write_bytes(b"old")
    twin.hardlink_to(path)
    write_atomically(path, [b"new"])
    assert (path.read_bytes(), twin.read_bytes()) == (b"new", b"old")


@pytest.mark.parametrize(
    "name", ["n" * 196, "n" * 240 + ".safetensors", "n" * 255, "ü" * 127, "名" * 85, "nü" * 85], ids=len
)
def test_names_of_any_length_that_a_file_may_have(tmp_path, monkeypatch, name):
    monkeypatch.setattr(atomic.platform, "node", lambda: "höst" * 20)
    temporary = []

    def replace(source, target):
        temporary.append(Path(source).name)
        rename(source, target)

    rename = os.replace
    monkeypatch.setattr(atomic.os, "replace", replace)
    write_atomically(tmp_path / name, [b"new"])
    assert (tmp_path / name).read_bytes() == b"new"
    # Leftovers are known for those of this file, and not of one whose name begins alike.
    dead = tmp_path / temporary[0].replace(f".{os.getpid()}-", f".{2**31 - 2}-")
    dead.touch()
    write_atomically(tmp_path / (name[:-1] + "m"), [b"other"])
    assert dead.exists()
    write_atomically(tmp_path / name, [b"new"])
    assert not dead.exists()
    assert len(os.listdir(tmp_path)) == 2


def test_a_name_that_no_file_may_have_is_an_os_error_about_this_name(tmp_path):
    for attempt in (check_writable, lambda path: write_atomically(path, [b"new"])):
        with pytest.raises(OSError, match=r"File name too long.*nnn'"):
            attempt(tmp_path / ("n" * 256))
