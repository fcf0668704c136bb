"""Files read once and whole, and written whole or not at all."""

from __future__ import annotations

import contextlib
import functools
import os
import stat
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from certifair.errors import InputError


def read_regular(path: Path, *, limit: int | None = None) -> bytes:
    """The content of a regular file: no link, pipe or device is followed or waited for. Raises InputError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise InputError("is not a regular file", where=str(path))
            if limit is not None and status.st_size > limit:
                raise InputError(f"is larger than {limit} bytes", where=str(path))
            with open(descriptor, "rb", closefd=False) as file:
                return file.read()
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        raise InputError(f"cannot be read ({reason(error)})", where=str(path)) from None


def reason(error: Exception) -> str:
    """Why the system refused, in its words."""
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def read_input(path: Path, *, limit: int | None = None) -> bytes:
    """A file that the user names: links are followed, pipes and devices are not. Raises InputError."""
    try:
        return read_regular(path.resolve(strict=True), limit=limit)
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: links that go in circles
        raise InputError(f"cannot be read ({reason(error)})", where=str(path)) from None


def write_atomic(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Temporary file beside it, fsync, rename: whoever looks sees the old file or the new one."""
    with staged(path, content, mode=mode) as publish:
        publish()


@contextlib.contextmanager
def staged(path: Path, content: bytes, *, mode: int = 0o644) -> Iterator[Callable[[], None]]:
    """The content is on the disk, beside the path; what is yielded gives it the name, else nothing is left of it.

    So of several files all can be written before the first one gets its name. Raises InputError.
    """
    if not path.name:
        raise InputError("names no file to write", where=str(path))
    temporary = beside(path)
    try:
        with _refused(path):
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
            with open(descriptor, "wb") as file:
                os.fchmod(descriptor, mode)
                file.write(content)
                file.flush()
                os.fsync(descriptor)
        yield functools.partial(rename, temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def rename(temporary: Path, path: Path) -> None:
    """A file or folder that is `beside` a path gets its name. Raises InputError."""
    with _refused(path):
        os.replace(temporary, path)
        _sync_directory(path.parent)


@contextlib.contextmanager
def _refused(path: Path) -> Iterator[None]:
    """What the system refuses becomes an InputError that names the path."""
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot be written ({reason(error)})", where=str(path)) from None


def require_new(out: Path, option: str = "--out") -> None:
    """Nothing is there yet: known before hours of work. option: what names it. Raises InputError."""
    with _refused(out):
        there = out.is_symlink() or out.exists()
    if there:
        raise InputError("exists already", where=str(out), advice=f"choose another {option}")


def require_writable(path: Path) -> None:
    """A file can be written there: known before hours of work. Raises InputError."""
    with _refused(path):
        folder = path.is_dir()
    if folder:
        raise InputError("is a folder", where=str(path), advice="name a file")
    with staged(path, b""):
        pass


def write_directory(path: Path, contents: Mapping[str, bytes]) -> None:
    """A new directory with these files, or nothing. Raises InputError if something is there already.

    A name may have one folder in front (`log/head.json`).
    """
    if not path.name:
        raise InputError("names no folder to write", where=str(path))
    with _refused(path):
        if path.is_symlink() or (path.exists() and (not path.is_dir() or any(path.iterdir()))):
            raise InputError("exists already", where=str(path), advice="choose another folder or remove it")
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = beside(path)
        temporary.mkdir()
    try:
        with _refused(path):
            for name, content in contents.items():
                (temporary / name).parent.mkdir(exist_ok=True)
                write_atomic(temporary / name, content)
            _sync_directory(temporary)
        rename(temporary, path)
    finally:
        if temporary.exists():
            _remove(temporary, contents)


def beside(path: Path) -> Path:
    """A name in the same folder that nobody else uses, of what is to get the path's own."""
    return path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(6).hex()}")


def _remove(directory: Path, names: Collection[str]) -> None:
    for name in names:
        (directory / name).unlink(missing_ok=True)
    for folder in {(directory / name).parent for name in names} - {directory}:
        if folder.exists():
            folder.rmdir()
    directory.rmdir()


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
