"""Which files a log is: names, globs and folders become one sorted list; nothing in a folder is left out quietly."""

from __future__ import annotations

import glob
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final
from urllib.parse import unquote

from certifair.errors import InputError
from certifair.evidence.files import reason

FORMS = {".parquet": "parquet", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
SEGMENT = re.compile(r"[0-9]{8}\.parquet")


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
class Folder:
    """A log that certifair wrote: its folder, and its segments in order."""

    path: Path
    segments: tuple[Source, ...]


@final
@dataclass(frozen=True)
class Sources:
    """All files, sorted by path, each once, but for those in `logs`: the folders among them that certifair wrote."""

    files: tuple[Source, ...]
    logs: tuple[Folder, ...]

    @property
    def everything(self) -> tuple[Source, ...]:
        """The files, then the segments of the logs."""
        return (*self.files, *(segment for log in self.logs for segment in log.segments))


def find(names: Sequence[str]) -> Sources:
    """The files that files, folders and globs name. A name that is there is never read as a pattern.

    In a folder, names that begin with a dot or an underscore are not data (checksums, `_SUCCESS`, `_delta_log`),
    whatever is below them; any other file must be a table. A file may be named again by the same path, not by another
    (a link): nobody is counted twice. Raises InputError.
    """
    found: dict[str, Source] = {}
    logs: dict[str, Folder] = {}
    for name in names:
        for path in _matches(name):
            inside, log = _below(path) if path.is_dir() else ([path], False)
            sources = [Source(str(file), _form(file)) for file in inside]
            if log:
                logs.setdefault(os.path.abspath(path), Folder(path, tuple(sources)))  # noqa: PTH100 — links stay
            else:
                for source in sources:
                    found.setdefault(os.path.abspath(source.path), source)  # noqa: PTH100
    inside_logs = {os.path.abspath(segment.path) for log in logs.values() for segment in log.segments}  # noqa: PTH100
    files = sorted(source for place, source in found.items() if place not in inside_logs)
    sources_found = Sources(tuple(files), tuple(logs.values()))
    _refuse_second_names(sources_found.everything)
    return sources_found


def _refuse_second_names(files: Iterable[Source]) -> None:
    """Raise InputError for the first file that another one is, too."""
    seen: dict[tuple[int, int], str] = {}
    for file in files:
        try:
            state = file.real.stat()
        except OSError as error:
            raise InputError(f"cannot be read ({reason(error)})", where=file.path) from None
        first = seen.setdefault((state.st_dev, state.st_ino), file.path)
        if first != file.path:
            raise InputError(f"is the same file as {first!r}", where=file.path, advice="name it once")


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
        for name in folders:
            if (Path(parent) / name).is_symlink():
                advice = "name the folder that it leads to as well, and take the link away"
                raise InputError(
                    "is a link to a folder, which is not followed", where=f"{parent}/{name}", advice=advice
                )
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
