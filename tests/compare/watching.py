"""For the tests of runs: a set whose network is there, a watcher that remembers, and a look at processes."""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from certifair.compare import board, methods
from certifair.compare.base import Case, DataSet, Made, Method
from certifair.compare.bundles import served_by_network
from certifair.compare.runs import Job
from certifair.compare.sets import load_set
from certifair.compare.table import Run
from certifair.evidence.onnx_writer import write_network
from certifair.spec.network import Affine, Network
from tests.compare.method_cases import base_network, people_set

NAMES = ("plain", "zeroing", "threshold_optimizer")
"""Methods that answer at once on a given set."""


def given_set(folder: Path, **asked: Any) -> DataSet:
    """As people_set, with a network that is there already: `plain` only serves it, and its proofs take no time."""
    folder.mkdir(parents=True, exist_ok=True)
    path = people_set(folder, **asked).where
    (folder / "given.onnx").write_bytes(write_network(blind_network(0.0)))
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("[compare]", '[compare]\nmodel = "given.onnx"'), encoding="utf-8")
    return load_set(path)


def blind_network(bias: float) -> Network:
    """As base_network, but it does not see who is of which sex: another one for each bias."""
    first, *rest = base_network().steps
    assert isinstance(first, Affine)
    blind = dataclasses.replace(first, weight=first.weight * [1.0, 1.0, 0.0], bias=first.bias + bias)
    return Network(3, (blind, *rest), 4)


class Seen:
    """Remembers what it is told, by the runs' short names; act: what a test does when a run starts."""

    def __init__(self, act: Callable[[Job], None] | None = None) -> None:
        self.act = act
        self.count = 0
        self.told: list[tuple[str, str]] = []

    def planned(self, count: int) -> None:
        self.count = count

    def started(self, job: Job) -> None:
        self.told.append(("started", short(job.name)))
        if self.act is not None:
            self.act(job)

    def ended(self, job: Job, run: Run, *, again: bool) -> None:
        assert (run.data, run.method, run.seed, run.folder) == (job.data.name, job.method, job.seed, job.name)
        self.told.append(("again" if again else "ended", short(job.name)))

    def all(self, what: str) -> list[str]:
        return [name for told, name in self.told if told == what]

    @property
    def most(self) -> int:
        """Runs at a time, at most."""
        now, most = 0, 0
        for what, _ in self.told:
            now += {"started": 1, "ended": -1, "again": 0}[what]
            most = max(most, now)
        return most


def short(name: str) -> str:
    return name.removeprefix("runs/")


def worker() -> int:
    """The process of the one run that there is now; other tests' pools may be there as well."""
    (process,) = [child for child in multiprocessing.active_children() if child.name.startswith("runs/")]
    assert process.pid is not None
    return process.pid


def until(true: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait for something of other processes."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def group(number: int) -> list[int]:
    """The processes of a group that live."""
    return [pid for pid, state, other in _processes() if other == number and state != "Z"]


def marked(mark: str) -> list[int]:
    """The processes that live with this in their environment: those that one with it started, and theirs."""
    found = []
    for pid, state, _ in _processes():
        try:
            content = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        found += [pid] if mark.encode() in content and state != "Z" else []
    return found


def command(pid: int) -> str:
    """How it was called; nothing if it has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace")
    return ""


def _processes() -> list[tuple[int, str, int]]:
    """Number, state and group of each."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        found.append((int(path.parent.name), fields[0], int(fields[2])))
    return found


class Sleeper(Method):
    """In the place of `unaware`: starts another process that sleeps; with seed 0 it waits for that one."""

    name = "unaware"

    def make(self, case: Case, out: Path) -> Made:
        sleeping = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        (out.parent / "asleep").write_text(str(sleeping.pid), encoding="utf-8")
        if case.seed == 0:
            sleeping.wait()
        sleeping.returncode = 0  # so that nobody asks about it here
        served_by_network(case, write_network(base_network()), out)
        return Made("none", 0.0, 0.0)


def with_sleeper(job: Job, key: str) -> None:
    """A run's process that knows the method above."""
    methods.methods()["unaware"] = Sleeper()
    board._alone(job, key)


def leaving(job: Job, key: str) -> None:
    """A run's process that ends without a word."""
    del job, key
    os._exit(3)


class Talker(Method):
    """In the place of `unaware`: prints as solvers do, beneath Python; with seed 0 its process then ends badly."""

    name = "unaware"

    def make(self, case: Case, out: Path) -> Made:
        os.write(1, b"reading\n")
        os.write(2, b"ERROR: no memory is left\n\n")
        if case.seed == 0:
            os.abort()
        served_by_network(case, write_network(base_network()), out)
        return Made("none", 0.0, 0.0)


def with_talker(job: Job, key: str) -> None:
    """A run's process that knows the method above."""
    methods.methods()["unaware"] = Talker()
    board._alone(job, key)
