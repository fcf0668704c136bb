"""All runs of a comparison: those that others start from first, each in a process of its own, a few at a time."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import connection, forkserver, get_context, parent_process, resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, final

from certifair.compare.base import BASE
from certifair.compare.methods._common import one_line
from certifair.compare.runs import Job, begin, kept, nothing, read, work, write
from certifair.compare.table import Run

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerProcess

OUTPUT: Final = "output.txt"
"""In a run's folder: what its process and its solvers printed, if anything."""
PRELOADED: Final = [
    "certifair.compare.runs",
    "certifair.training.run",
    "torch._dynamo",  # which torch's optimizers and exporter import at their first use
    "torch.export._trace",
    "onnxscript.function_libs.torch_lib.ops",
    "scipy.stats",
    "numba",
    "fairlearn.postprocessing",
]
"""Imported once, and forked, so that no run pays for it out of its time; what is not installed is left out."""


class Watcher(Protocol):
    """Whoever wants to know how far it is."""

    def planned(self, count: int) -> None:
        """So many runs there will be."""

    def started(self, job: Job) -> None:
        """A process works on it now."""

    def ended(self, job: Job, run: Run, *, again: bool) -> None:
        """again: an earlier call has made it."""


def run_all(jobs: Sequence[Job], processes: int, watcher: Watcher) -> list[Run]:
    """Every job's run, in their order, those of BASE first; what an earlier call made is taken as it is."""
    watcher.planned(len(jobs))
    found: dict[int, Run] = {}
    for first in (True, False):
        part = {k: job for k, job in enumerate(jobs) if (job.method == BASE) == first}
        found.update(_Board(part, processes, watcher).runs())
    return [found[number] for number in range(len(jobs))]


@final
@dataclass(frozen=True, eq=False)
class _Running:
    number: int
    key: str
    process: ForkServerProcess
    until: float
    started: float


@final
@dataclass(frozen=True, eq=False)
class _Board:
    jobs: dict[int, Job]
    processes: int
    watcher: Watcher

    def runs(self) -> Iterator[tuple[int, Run]]:
        waiting, running = list(self.jobs), list[_Running]()
        try:
            while waiting or running:
                while waiting and len(running) < self.processes:
                    number = waiting.pop(0)
                    key = self.jobs[number].key()
                    if (known := kept(self.jobs[number], key)) is None:
                        self._start(number, key, running)
                    else:
                        self.watcher.ended(self.jobs[number], known, again=True)
                        yield number, known
                for ended in self._ended(running):
                    running.remove(ended)
                    run = self._result(ended)
                    self.watcher.ended(self.jobs[ended.number], run, again=False)
                    yield ended.number, run
        finally:
            for left in running:
                _kill(left.process)

    def _start(self, number: int, key: str, running: list[_Running]) -> None:
        """Its process is among the running ones before anybody hears of it: whatever happens then, it is ended."""
        job = self.jobs[number]
        shutil.rmtree(job.out / job.name, ignore_errors=True)
        everybody = _output(job, None).parent
        everybody.mkdir(parents=True, exist_ok=True)
        for left in everybody.glob(f".{job.method}-{job.seed}.*.output"):  # of a comparison that was ended
            left.unlink(missing_ok=True)
        _serve()
        process = get_context("forkserver").Process(target=_alone, args=(job, key), name=job.name)
        process.start()
        now = time.monotonic()
        running.append(_Running(number, key, process, now + job.limit, now))
        self.watcher.started(job)

    def _ended(self, running: list[_Running]) -> list[_Running]:
        """Those that have ended, or are ended now because their time is over."""
        if not running:
            return []
        left = max(0.0, min(item.until for item in running) - time.monotonic())
        connection.wait([item.process.sentinel for item in running], left)
        now = time.monotonic()
        return [item for item in running if item.process.exitcode is not None or now >= item.until]

    def _result(self, ended: _Running) -> Run:
        """Its run; one that left none says how its process ended."""
        job, seconds = self.jobs[ended.number], time.monotonic() - ended.started
        code = ended.process.exitcode
        _kill(ended.process)
        output = _output(job, ended.process.pid)
        if (found := read(job, ended.key)) is None:
            found = _without_answer(job, code, seconds, output)
            write(job, ended.key, found, begin(job))
        if output.exists() and output.stat().st_size:
            output.replace(job.out / job.name / OUTPUT)
        output.unlink(missing_ok=True)
        return found


def _without_answer(job: Job, code: int | None, seconds: float, output: Path) -> Run:
    """code: of its process, None if that had to be ended."""
    if code is None:
        return nothing(job, "time limit", f"ended after {seconds:.0f} s", seconds)
    names = {item.value: item.name for item in signal.Signals}
    how = f"signal {names.get(-code, -code)}" if code < 0 else f"exit code {code}"
    words = output.read_text(encoding="utf-8", errors="replace").split("\n") if output.exists() else []
    last = next((f"; it said last: {line.strip()}" for line in reversed(words) if line.strip()), "")
    return nothing(job, "crashed", one_line(f"its process ended with {how}{last}"), seconds)


def _output(job: Job, pid: int | None) -> Path:
    """What a process says while it runs; the end of one that crashes."""
    folder = job.out / job.name
    return folder.with_name(f".{folder.name}.{pid}.output")


def _serve() -> None:
    """Start the server that forks, if there is none. It does not hear a terminal's interrupt, which is ours to answer.

    The tracker that it starts otherwise would unblock the signal in between.
    """
    forkserver.set_forkserver_preload(PRELOADED)
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _alone(job: Job, key: str) -> None:
    """In a process group of its own, so that whatever it starts ends with it; one thread, as others run beside it."""
    os.setpgid(0, 0)
    output = os.open(_output(job, os.getpid()), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(output, 1)
    os.dup2(output, 2)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    torch.set_num_threads(1)
    work(job, key)


def _end_with_parent() -> None:
    """Nobody waits for the run any more."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os.killpg(0, signal.SIGKILL)


def _kill(process: ForkServerProcess) -> None:
    """The process and all that it started, also where it has ended itself and left that behind.

    Its group is there as long as anybody is in it, and until then nobody else is given its number.
    """
    assert process.pid is not None
    with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody is left
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()  # it may not have made its group yet; one that has ended is let be
    process.join()
