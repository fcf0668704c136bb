from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from certifair.errors import InputError
from certifair.evidence import files

Patch = pytest.MonkeyPatch


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fails(number: int = errno.ENOSPC, *, after: int = 0) -> Callable[..., None]:
    """A stand-in for a system call: raises from the call with this number on."""
    calls = [0]

    def call(*_: object, **__: object) -> None:
        calls[0] += 1
        if calls[0] > after:
            raise OSError(number, os.strerror(number))

    return call


# --------------------------------------------------------------------------------------------------------- reading
def test_regular_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert files.read_regular(path) == b"abc"
    assert files.read_regular(path, limit=3) == b"abc"
    with pytest.raises(InputError, match="larger than 2 bytes"):
        files.read_regular(path, limit=2)


def test_nothing_else_is_read_or_waited_for(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"secret")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "dangling").symlink_to(tmp_path / "absent")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("link", "dangling", "pipe", "folder", "absent"):
        with pytest.raises(InputError) as caught:
            files.read_regular(tmp_path / name)
        assert str(caught.value).startswith(str(tmp_path / name))
    with pytest.raises(InputError, match="not a regular file"):
        files.read_regular(Path("/dev/null"))
    # what the user names may be a link, but no pipe
    assert files.read_input(tmp_path / "link") == b"secret"
    for name in ("dangling", "pipe", "folder", "absent"):
        with pytest.raises(InputError):
            files.read_input(tmp_path / name)


# ------------------------------------------------------------------------------------------------------ one file
def test_a_file_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "a"
    files.write_atomic(path, b"one")
    files.write_atomic(path, b"two", mode=0o600)
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert entries(tmp_path) == ["a"]


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: Patch, call: str) -> None:
    path = tmp_path / "a"
    files.write_atomic(path, b"old")
    with monkeypatch.context() as patch:
        patch.setattr(os, call, fails())
        with pytest.raises(InputError, match=r"cannot be written \(No space left"):
            files.write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert entries(tmp_path) == ["a"]


def test_a_new_file_is_synced_before_it_is_renamed(tmp_path: Path, monkeypatch: Patch) -> None:
    order: list[str] = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)

        def call(*arguments: object, name: str = name, real: Callable[..., None] = real) -> None:
            order.append(name)
            real(*arguments)

        monkeypatch.setattr(os, name, call)
    files.write_atomic(tmp_path / "a", b"x")
    assert order == ["fsync", "replace", "fsync"]  # the content, the name, the folder


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "absent" / "a", tmp_path / "file" / "a"):
        with pytest.raises(InputError, match="cannot be written"):
            files.write_atomic(path, b"x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        files.write_atomic(tmp_path / "folder", b"x")
    assert entries(tmp_path) == ["file", "folder"]


def test_a_long_name_is_refused_without_a_trace(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        files.write_atomic(tmp_path / ("x" * 300), b"x")
    assert entries(tmp_path) == []


# ------------------------------------------------------------------------------------------------------- a folder
CONTENTS = {"one": b"1", "log/three": b"3", "two": b"2"}


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "run"
    files.write_directory(out, CONTENTS)
    found = {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert found == CONTENTS
    assert entries(out.parent) == ["run"]
    assert stat.S_IMODE(out.stat().st_mode) & 0o700 == 0o700


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    files.write_directory(out, CONTENTS)
    assert entries(out) == ["log", "one", "two"]


def test_what_exists_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_bytes(b"mine")
    (tmp_path / "file").write_bytes(b"mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    (tmp_path / "dangling").symlink_to(tmp_path / "absent")
    before = entries(tmp_path)
    for name in ("full", "file", "link", "dangling"):
        with pytest.raises(InputError, match="exists already"):
            files.write_directory(tmp_path / name, CONTENTS)
    assert entries(tmp_path) == before
    assert (tmp_path / "full" / "x").read_bytes() == b"mine"


@pytest.mark.parametrize("call", ["replace", "fsync"])
@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_an_interrupted_folder_leaves_nothing(tmp_path: Path, monkeypatch: Patch, call: str, after: int) -> None:
    """The call fails at the first file, at the second, and when the folder itself gets its name."""
    real = getattr(os, call)
    failing = fails(errno.EIO, after=after)

    def patched(*arguments: object) -> None:
        failing()
        real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, patched)
        with pytest.raises(InputError, match="cannot be written"):
            files.write_directory(tmp_path / "run", CONTENTS)
    assert entries(tmp_path) == []


def test_a_folder_below_a_file_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="cannot be written"):
        files.write_directory(tmp_path / "file" / "run", CONTENTS)
    assert entries(tmp_path) == ["file"]


def test_a_folder_that_the_system_refuses(tmp_path: Path, monkeypatch: Patch) -> None:
    """As root nothing is unwritable, so the system call says so."""
    monkeypatch.setattr(Path, "mkdir", fails(errno.EACCES))
    with pytest.raises(InputError, match=r"cannot be written \(Permission denied\)"):
        files.write_directory(tmp_path / "run", CONTENTS)
    assert entries(tmp_path) == []
