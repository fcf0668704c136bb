"""All runs of a comparison: those that others start from first, each in a process of its own, a few at a time."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import connection, get_context
from typing import TYPE_CHECKING, Final, final

from certifair.compare.base import BASE
from certifair.compare.runs import Job, earlier, nothing, work, write
from certifair.compare.table import Run

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerProcess

PRELOADED: Final = ["certifair.compare.runs", "torch"]
"""What every run needs: imported once, and forked."""
Told = Callable[[Job, Run, int, int], object]
"""Called with each run that is there, how many are, and how many there will be."""


def run_all(jobs: Sequence[Job], processes: int, told: Told) -> list[Run]:
    """Every job's run, in their order; those that an earlier call made are taken as they are."""
    found: dict[int, Run] = {}
    for first in (True, False):
        part = {k: job for k, job in enumerate(jobs) if (job.method == BASE) == first}
        for number, run in _Board(part, processes).runs():
            found[number] = run
            told(jobs[number], run, len(found), len(jobs))
    return [found[number] for number in range(len(jobs))]


@final
@dataclass(frozen=True, eq=False)
class _Running:
    number: int
    process: ForkServerProcess
    until: float
    started: float


@final
@dataclass(frozen=True, eq=False)
class _Board:
    jobs: dict[int, Job]
    processes: int

    def runs(self) -> Iterator[tuple[int, Run]]:
        waiting, running = list(self.jobs), list[_Running]()
        context = get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        try:
            while waiting or running:
                while waiting and len(running) < self.processes:
                    number = waiting.pop(0)
                    if (known := earlier(self.jobs[number])) is not None:
                        yield number, known
                        continue
                    process = context.Process(target=_alone, args=(self.jobs[number],))
                    process.start()
                    now = time.monotonic()
                    running.append(_Running(number, process, now + self.jobs[number].limit, now))
                for ended in self._ended(running):
                    running.remove(ended)
                    yield ended.number, self._result(ended)
        finally:
            for left in running:
                _kill(left.process)

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
        if code is None:
            _kill(ended.process)
        found = earlier(job)
        if found is not None:
            return found
        if code is None:
            found = nothing(job, "time limit", f"ended after {seconds:.0f} s", seconds)
        else:
            how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            found = nothing(job, "crashed", f"its process ended with {how}", seconds)
        write(job, found)
        return found


def _alone(job: Job) -> None:
    """In a process group of its own, so that whatever it starts ends with it; one thread, as others run beside it."""
    os.setpgid(0, 0)
    import torch

    torch.set_num_threads(1)
    work(job)


def _kill(process: ForkServerProcess) -> None:
    """The process and all that it started."""
    if process.pid is not None and process.exitcode is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            process.kill()
    process.join()
