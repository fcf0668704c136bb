"""Which files a log is: names, globs and folders become one sorted list; nothing in a folder is left out quietly."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final
from urllib.parse import unquote

from certifair.errors import InputError
from certifair.evidence.files import reason

FORMS = {".parquet": "parquet", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
SEGMENT = re.compile(r"[0-9]{8}\.parquet")
BLOCK = 1 << 20


@final
@dataclass(frozen=True, order=True)
class Source:
    """One file: its path as it was given (or found below a folder that was given), and its form."""

    path: str
    form: str

    @property
    def real(self) -> Path:
        return Path(self.path).resolve()


@final
@dataclass(frozen=True)
class Sources:
    """All files, sorted by path, each once; `logs` are the folders among them that certifair wrote."""

    files: tuple[Source, ...]
    logs: tuple[Path, ...]


def find(names: Sequence[str]) -> Sources:
    """The files that files, folders and globs name. A name that is there is never read as a pattern.

    In a folder, names that begin with a dot or an underscore are not data (checksums, `_SUCCESS`, `_delta_log`),
    whatever is below them; any other file must be a table. Raises InputError.
    """
    found: dict[Path, Source] = {}
    logs: list[Path] = []
    for name in names:
        for path in _matches(name):
            inside, log = _below(path) if path.is_dir() else ([path], False)
            if log:
                logs.append(path)
            for file in inside:
                source = Source(str(file), _form(file))
                found.setdefault(source.real, source)
    return Sources(tuple(sorted(found.values())), tuple(dict.fromkeys(logs)))


def _matches(name: str) -> list[Path]:
    path = Path(name)
    try:
        if path.is_file() or path.is_dir():
            return [path]
        matches = sorted(glob.glob(name, recursive=True)) if glob.has_magic(name) else []  # noqa: PTH207 — of any root
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read ({reason(error)})", where=name) from None
    if not matches:
        what = "matches no file" if glob.has_magic(name) else "is no file and no folder"
        raise InputError(what, where=name, advice="name Parquet, CSV or JSONL files, folders of them, or globs")
    return [Path(match) for match in matches]


def _form(path: Path) -> str:
    if path.suffix.lower() not in FORMS or not path.is_file():
        advice = f"it is no {', '.join(FORMS)} file; name the tables themselves"
        raise InputError("cannot be audited", where=str(path), advice=advice)
    return FORMS[path.suffix.lower()]


def _below(folder: Path) -> tuple[list[Path], bool]:
    """(the tables of a folder, whether it is a log that certifair wrote)."""
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise InputError(f"cannot be read ({reason(error)})", where=str(folder)) from None
    if "head.json" in names or any(SEGMENT.fullmatch(name) for name in names):
        return [folder / name for name in names if SEGMENT.fullmatch(name)], True
    found: list[Path] = []
    for parent, folders, files in os.walk(folder, onerror=_refused):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "_")))
        found += [Path(parent) / name for name in sorted(files) if not name.startswith((".", "_"))]
    if not found:
        raise InputError("holds no table", where=str(folder))
    if (folder / "_delta_log").is_dir():
        _check_delta(folder, found)
    return found, False


def _refused(error: OSError) -> None:
    raise InputError(f"cannot be read ({reason(error)})", where=str(error.filename)) from None


def _check_delta(folder: Path, found: Iterable[Path]) -> None:
    """A Delta table whose log agrees that all its files count, and no others: deleted rows lie about in old files."""
    advice = "write the table's current rows to Parquet files and audit those"
    log = folder / "_delta_log"
    commits = sorted(path for path in log.glob("*.json") if re.fullmatch(r"[0-9]{20}\.json", path.name))
    if [int(path.stem) for path in commits] != list(range(len(commits))):
        raise InputError("is a Delta table whose first commits are gone", where=str(folder), advice=advice)
    live: set[str] = set()
    try:
        for commit in commits:
            for line in commit.read_text(encoding="utf-8").splitlines():
                action = json.loads(line or "{}")
                if "add" in action:
                    if action["add"].get("deletionVector"):
                        raise InputError("is a Delta table with deleted rows", where=str(folder), advice=advice)
                    live.add(unquote(action["add"]["path"]))
                if "remove" in action:
                    live.discard(unquote(action["remove"]["path"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InputError("cannot be read as a log of Delta commits", where=str(log), advice=advice) from None
    here = {str(path.relative_to(folder)) for path in found}
    if different := sorted(here ^ live):
        what = f"is a Delta table whose log and files differ ({len(different)} files, one is {different[0]!r})"
        raise InputError(what, where=str(folder), advice=advice)


@final
class Digests:
    """SHA-256 of every file, computed in a thread of its own while the engine reads the same pages."""

    def __init__(self, files: Sequence[Source]) -> None:
        self._files = files
        self._found: dict[str, str] = {}
        self._error: InputError | None = None
        self._stop = False
        self._states = {file: _state(file) for file in files}
        self.total = sum(state[0] for state in self._states.values())
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


def _state(file: Source) -> tuple[int, int, int]:
    try:
        found = file.real.stat()
    except OSError as error:
        raise InputError(f"cannot be read ({reason(error)})", where=file.path) from None
    return found.st_size, found.st_mtime_ns, found.st_ino
