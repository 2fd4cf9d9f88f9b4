"""A file that is written is there whole, or as it was before."""

import contextlib
import errno
import os
import stat

import pytest

from fastbp.interchange import atomic
from fastbp.interchange.atomic import write_atomically


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
