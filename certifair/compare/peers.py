"""Other people's packages, each run in a process and an environment of its own.

A peer may need versions that this installation does not have, or must not get. What it needs is installed into a folder
of the user's cache, without dependencies, and its process looks there first and then where this interpreter does.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import site
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, final

from certifair.compare.base import NothingError

ROOT: Final = Path(__file__).parents[2]
"""Where `certifair` is imported from."""


@final
@dataclass(frozen=True)
class Environment:
    """How a peer's process is started. command: the interpreter; variables: all of its environment."""

    command: tuple[str, ...]
    variables: Mapping[str, str]

    def run(self, module: str, folder: Path, deadline: float) -> None:
        """Run a module of certifair on a folder until it ends. Raises NothingError with its last words, or if late."""
        command = [*self.command, "-m", module, str(folder)]
        ended = _run(command, self.variables, deadline, module.rpartition(".")[2])
        if ended.returncode:
            words = [line for line in ended.stderr.splitlines() if line.strip()]
            last = words[-1].strip() if words else "without a word"
            raise NothingError("failed", f"{module.rpartition('.')[2]} ended with {ended.returncode}: {last}")


def cache_folder() -> Path:
    """Where environments are kept from one comparison to the next."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "certifair" / "peers"


def environment(requirements: tuple[str, ...], cache: Path, deadline: float) -> Environment:
    """Where these `name==version` can be imported. They are installed once, if this interpreter has not all of them.

    deadline: of time.monotonic. Raises NothingError in pip's words, and ValueError for what is not pinned.
    """
    pins = [requirement.partition("==") for requirement in requirements]
    if not all(name and number for name, _, number in pins):
        raise ValueError(f"not all of {requirements} say name==version")
    first = (
        [] if all(_installed(name) == number for name, _, number in pins) else [_folder(requirements, cache, deadline)]
    )
    last = [] if str(ROOT) in site.getsitepackages() else [ROOT]
    given = os.environ.get("PYTHONPATH")
    paths = [*map(str, first), *([given] if given else []), *map(str, last)]
    return Environment((sys.executable, "-P"), {**os.environ, "PYTHONPATH": os.pathsep.join(paths)})


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _folder(requirements: tuple[str, ...], cache: Path, deadline: float) -> Path:
    """The folder that holds them. It appears whole or not at all: whoever comes second finds the first one's."""
    interpreter = f"{sys.implementation.cache_tag}-{sys.platform}"
    digest = hashlib.sha256("\n".join((interpreter, *sorted(requirements))).encode()).hexdigest()
    folder = cache / f"{requirements[0].replace('==', '-')}-{digest[:12]}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=".installing-", dir=cache))
    try:
        _install(requirements, made, deadline)
        try:
            made.rename(folder)
        except OSError:  # somebody else was first
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return folder


def _install(requirements: tuple[str, ...], folder: Path, deadline: float) -> None:
    options = ["--no-deps", "--no-input", "--disable-pip-version-check", "--quiet", "--target", str(folder)]
    command = [sys.executable, "-m", "pip", "install", *options, *requirements]
    ended = _run(command, os.environ, deadline, f"the installation of {', '.join(requirements)}")
    if ended.returncode:
        lines = [line.strip() for line in ended.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")] or lines or ["pip said nothing"]
        raise NothingError("failed", f"cannot install {', '.join(requirements)}: {errors[0]}")


def _run(
    command: list[str], variables: Mapping[str, str], deadline: float, name: str
) -> subprocess.CompletedProcess[str]:
    """Raises NothingError where the deadline comes first; then the process is gone."""
    try:
        return subprocess.run(  # noqa: S603 — the interpreter itself, with arguments of this package's
            command,
            env=dict(variables),
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=max(0.0, deadline - time.monotonic()),
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NothingError("time limit", f"{name} did not end in time") from None
