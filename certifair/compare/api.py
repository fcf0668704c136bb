"""From data sets and methods to a table: every run in a folder of its own, and all of them as one answer."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from certifair.compare import methods
from certifair.compare.base import BASE, DataSet, NothingError
from certifair.compare.board import Watcher, run_all
from certifair.compare.cells import table_of
from certifair.compare.properties import PROPERTIES
from certifair.compare.runs import Job, folder_name
from certifair.compare.table import Table
from certifair.errors import InputError
from certifair.individual import prepare

INSTALLING: Final = 120.0
"""Seconds that a peer's environment may take to be made."""
LOCK: Final = ".lock"
"""What is in every comparison's folder, and in nobody else's."""


def compare(
    sets: Sequence[DataSet],
    names: Sequence[str],
    seeds: Sequence[int],
    out: Path,
    watcher: Watcher,
    *,
    seconds: float,
    processes: int,
) -> Table:
    """Each method (by name) on each data set with each seed, `seconds` for each; what `out` already holds is kept.

    Errors: InputError for nothing to compare, sets of one name, an unknown method, a folder that is somebody else's.
    """
    _distinct(sets)
    asked = list(dict.fromkeys(methods.get(name).name for name in names))
    if not (sets and asked and seeds and processes >= 1 and seconds > 0):
        raise InputError("compares at least one method on one data set with one seed, in one process and some time")
    started = time.monotonic()
    with _alone_in(out):
        _prepare(asked)
        shown = {job.name: job for data in sets for name in asked for job in _jobs(data, name, seeds, out, seconds)}
        bases = {job.base.name: job.base for job in shown.values() if methods.get(job.method).needs_base}
        runs = run_all([*(bases | shown).values()], processes, watcher)
    took = time.monotonic() - started
    about = _about(seeds, seconds, processes, took)
    return table_of(
        [run for run in runs if run.folder in shown], [data.name for data in sets], asked, PROPERTIES, about
    )


def _jobs(data: DataSet, name: str, seeds: Sequence[int], out: Path, seconds: float) -> Iterator[Job]:
    """One for each seed, or for the first alone where all would give the same."""
    first = seeds[0]
    base_fixed = methods.get(BASE).fixed(data)
    for seed in seeds[:1] if methods.get(name).fixed(data) else seeds:
        yield Job(data, name, seed, out, seconds, base_seed=first if base_fixed else seed)


def _prepare(names: Sequence[str]) -> None:
    """What a first run would pay for: compiled searches, and other people's environments."""
    prepare()
    for name in names:
        with contextlib.suppress(NothingError, OSError):  # the runs will say so
            methods.get(name).prepare(INSTALLING)


def _about(seeds: Sequence[int], seconds: float, processes: int, took: float) -> dict[str, str]:
    return {
        "seeds": ", ".join(map(str, seeds)),
        "time for each run": f"{seconds:g} s",
        "processes": str(processes),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        "time for what was not there yet": f"{took:.0f} s",
    }


def _distinct(sets: Sequence[DataSet]) -> None:
    seen: dict[str, DataSet] = {}
    for data in sets:
        other = seen.setdefault(folder_name(data), data)
        if other is not data:
            what = f"is called {data.name!r}, like {other.where}"
            raise InputError(what, where=str(data.where), advice="give each data set a name of its own")


@contextlib.contextmanager
def _alone_in(out: Path) -> Iterator[None]:
    """A comparison's folder, made if need be, for us alone. Errors: InputError."""
    import fcntl

    lock = out / LOCK
    if out.exists() and not lock.is_file() and (not out.is_dir() or any(out.iterdir())):
        raise InputError("is no comparison's folder", where=str(out), advice="choose another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror})", where=str(out)) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError("another comparison is at work in it", where=str(out), advice="wait for its end") from None
        yield
    finally:
        os.close(descriptor)
