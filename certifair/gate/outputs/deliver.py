"""Where the outputs go: files whole or not at all, the rest to standard output. The only module here that writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from certifair.errors import InputError
from certifair.evidence.files import write_atomic
from certifair.gate.evaluate import GateResult
from certifair.gate.outputs import get, names
from certifair.gate.outputs.github import SUMMARY_LIMIT, GithubOutput
from certifair.spec.toml_reader import nearest


def parse_output(text: str) -> tuple[str, Path | None]:
    """`FORMAT[=FILE]` as format and file. Raises InputError for an unknown format or an empty file name.

    >>> parse_output("json")
    ('json', None)
    """
    name, equals, file = text.partition("=")
    if name not in names():
        raise InputError(f"unknown output format {name!r}", where="--output", advice=nearest(name, names()))
    if equals and not file:
        raise InputError(f"{text!r} names no file", where="--output", advice=f"write {name} or {name}=FILE")
    return name, Path(file) if equals else None


def deliver(
    result: GateResult,
    specs: Sequence[tuple[str, Path | None]],
    policy_path: str,
    policy_text: str,
    *,
    stdout: TextIO,
    step_summary: Path | None,
) -> None:
    """Render everything, then write: files, the job summary (with the format github), standard output last.

    Raises InputError, before anything is written, for a file that could not be.
    """
    rendered = [(path, get(name).render(result, policy_path, policy_text)) for name, path in specs]
    files = [(path, text) for path, text in rendered if path is not None]
    summary = step_summary if any(name == GithubOutput.name for name, _ in specs) else None
    _check_targets([path for path, _ in files], summary)
    for path, text in files:
        write_atomic(path, text.encode())
    if summary is not None:
        _append_summary(summary, result)
    for target, text in rendered:
        if target is None:
            _print(text, stdout)


def _check_targets(files: Sequence[Path], summary: Path | None) -> None:
    targets = [*files, summary] if summary is not None else list(files)
    seen: set[Path] = set()
    for path in targets:
        if not _is_folder(path.parent):
            raise InputError("cannot be written (its folder does not exist)", where=str(path))
        if _is_folder(path):
            raise InputError("cannot be written (it is a folder)", where=str(path))
        if path.absolute() in seen:
            raise InputError("is the target of two outputs", where=str(path), advice="give each its own file")
        seen.add(path.absolute())


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name too long, a folder that must not be searched
        return False


def _append_summary(path: Path, result: GateResult) -> None:
    """Append: earlier commands of the same step may have written there, and share the limit."""
    try:
        with path.open("ab") as file:
            before = file.tell()
            text = GithubOutput().summary(result, SUMMARY_LIMIT - before)
            file.write((f"\n{text}" if before and text else text).encode())
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror})", where=str(path)) from None


def _print(text: str, stdout: TextIO) -> None:
    """Characters that the stream's encoding lacks become escapes, never a crash after the files were written."""
    encoding = getattr(stdout, "encoding", None) or "utf-8"
    stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
