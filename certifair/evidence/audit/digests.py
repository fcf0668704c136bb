"""SHA-256 of what is audited, and whether it is still what it was when the audit began."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from typing import final

from certifair.errors import InputError
from certifair.evidence.audit.sources import Source
from certifair.evidence.files import reason

BLOCK = 1 << 20


@final
class Digests:
    """SHA-256 of every file, computed in a thread of its own while the engine reads the same pages.

    Made before anything is read: from then on no file may change. Segments of logs are
    hashed when their rows are read: `know` is told.
    """

    def __init__(self, files: Sequence[Source], segments: Sequence[Source] = ()) -> None:
        self._files = files
        self._found: dict[str, str] = {}
        self._error: InputError | None = None
        self._stop = False
        self._states = {file: _state(file) for file in (*files, *segments)}
        self.total = sum(self._states[file][0] for file in files)
        self.done = 0
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Digests:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop = True
        self._thread.join()

    def _work(self) -> None:
        try:
            for file in self._files:
                self._found[file.path] = self._digest(file)
        except InputError as error:
            self._error = error

    def _digest(self, file: Source) -> str:
        digest = hashlib.sha256()
        try:
            with file.real.open("rb", buffering=0) as stream:
                while not self._stop and (block := stream.read(BLOCK)):
                    digest.update(block)
                    self.done += len(block)
        except OSError as error:
            raise InputError(f"cannot be read ({reason(error)})", where=file.path) from None
        return digest.hexdigest()

    def know(self, digests: Mapping[str, str]) -> None:
        """Digests by path that were computed when the files were read."""
        self._found |= digests

    def finished(self) -> bool:
        return not self._thread.is_alive()

    def result(self) -> dict[str, str]:
        """By path. Raises InputError if a file could not be read, or changed since the audit began."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        for file, state in self._states.items():
            if _state(file) != state:
                raise InputError("changed while it was read", where=file.path, advice="audit a copy that nobody writes")
        return self._found


def _state(file: Source) -> tuple[int, ...]:
    try:
        found = file.real.stat()
    except OSError as error:
        raise InputError(f"cannot be read ({reason(error)})", where=file.path) from None
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_dev, found.st_ino
