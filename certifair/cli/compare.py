"""Compare methods on data sets: accuracy, gaps, flips, proofs and times in one table, with the evidence behind it."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

from certifair.cli.options import needed, say
from certifair.errors import InputError
from certifair.spec.printable import printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from certifair.compare.base import DataSet
    from certifair.compare.board import Watcher
    from certifair.compare.runs import Job
    from certifair.compare.table import Run, Table

METHODS: Final = (
    *("plain", "unaware", "flayer", "projection", "penalty", "strict_penalty", "zeroing", "finite", "prof"),
    *("prof_priced", "threshold_optimizer", "exponentiated_gradient", "fairness_training"),
)
"""In the order of the table; a test holds it to what there is, as importing that takes a second."""
SECONDS: Final = 45.0
SEEDS: Final = 3
MOST_SEEDS: Final = 1000
SHOWN: Final = ("accuracy", "pooled_gap", "flip_rows", "flip_domain", "train_seconds")
"""The columns of the table in the terminal."""
WIDTH: Final = 120
INSTALL: Final = "pip install 'certifair[torch,report]'"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, nargs="+", required=True, metavar="SET.toml", help="domains that name their rows and label"
    )
    parser.add_argument("--methods", nargs="+", metavar="NAME", help=f"of {', '.join(METHODS)} (default: all)")
    parser.add_argument("--seeds", type=int, default=SEEDS, metavar="N", help="how many (default: %(default)s)")
    parser.add_argument(
        "--budget",
        type=float,
        default=SECONDS,
        metavar="S",
        help="seconds for a method on a data set with one seed, proofs included (default: %(default)g)",
    )
    parser.add_argument("--processes", type=int, metavar="N", help="runs at a time (default: one a processor)")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="the comparison's folder; what it has is not made again"
    )


def run(args: argparse.Namespace) -> int:
    _check(args)
    with needed("comparing needs", INSTALL):
        table = _compared(args)
    print(_text(table), end="")
    print(*_written(table, args.out), sep="\n")
    return 0


def _check(args: argparse.Namespace) -> None:
    """Raises InputError for what can be known to be wrong before the work starts."""
    import importlib.util

    if not 1 <= args.seeds <= MOST_SEEDS:
        raise InputError(f"= {args.seeds} is no number from 1 to {MOST_SEEDS}", where="--seeds")
    if not 1 <= args.budget < 1e7:
        raise InputError(f"= {args.budget:g} is no reasonable number of seconds, at least 1", where="--budget")
    if args.processes is not None and not 1 <= args.processes <= 4096:
        raise InputError(f"= {args.processes} is no reasonable number, at least 1", where="--processes")
    if missing := [name for name in ("matplotlib", "jinja2") if importlib.util.find_spec(name) is None]:
        raise InputError(f"pictures and pages need {' and '.join(missing)}", advice=INSTALL)


def _compared(args: argparse.Namespace) -> Table:
    from dataclasses import replace

    from certifair.compare import methods
    from certifair.compare.api import compare
    from certifair.compare.sets import load_set

    names = list(dict.fromkeys(args.methods or [*METHODS, *methods.methods()]))
    for name in names:
        methods.get(name)
    sets = [load_set(path) for path in args.data]
    processes = args.processes or os.cpu_count() or 1
    with _watched(sets) as watcher:
        table = compare(sets, names, range(args.seeds), args.out, watcher, seconds=args.budget, processes=processes)
    return replace(table, about={"command": _command(args), **table.about})


def _command(args: argparse.Namespace) -> str:
    """The call that would give the same again."""
    parts = ["certifair", "compare", "--data", *map(str, args.data)]
    parts += [] if args.methods is None else ["--methods", *args.methods]
    parts += ["--seeds", str(args.seeds), "--budget", f"{args.budget:g}", "--out", str(args.out)]
    return shlex.join(parts)


@contextlib.contextmanager
def _watched(sets: list[DataSet]) -> Iterator[Watcher]:
    """A bar where somebody looks, else a line for each run; both on standard error."""
    names = ", ".join(printable(data.name) for data in sets)
    if not sys.stderr.isatty():
        yield _Lines(names)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield _Bar(progress, names)


def _name(job: Job) -> str:
    return printable(f"{job.data.name} {job.method} seed {job.seed}")


def _told(job: Job, run: Run) -> str:
    reason = f": {run.reason}" if run.reason else ""
    return printable(f"{_name(job)}: {run.status}{reason} ({run.seconds:.0f} s)")


@final
class _Lines:
    def __init__(self, names: str) -> None:
        self.names, self.first = names, time.monotonic()

    def planned(self, count: int) -> None:
        say(f"comparing on {self.names}: {count} runs …")

    def started(self, job: Job) -> None:
        """Nothing: its end is told."""

    def ended(self, job: Job, run: Run, *, again: bool) -> None:
        if not again:
            say(f"  {time.monotonic() - self.first:5.0f} s  {_told(job, run)}")


@final
class _Bar:
    """What is at work now; what became of a run only where it is not done."""

    def __init__(self, progress: Progress, names: str) -> None:
        self.progress, self.names = progress, names
        self.task: TaskID | None = None
        self.working: list[str] = []

    def planned(self, count: int) -> None:
        say(f"comparing on {self.names} …")
        self.task = self.progress.add_task("", total=count)

    def started(self, job: Job) -> None:
        self.working.append(_name(job))
        self._show(0)

    def ended(self, job: Job, run: Run, *, again: bool) -> None:
        if not again:
            self.working.remove(_name(job))
        if run.status != "done":
            self.progress.console.print(_told(job, run), markup=False, highlight=False)
        self._show(1)

    def _show(self, more: int) -> None:
        assert self.task is not None
        self.progress.update(self.task, advance=more, description=", ".join(self.working))


def _text(table: Table) -> str:
    """The most asked for columns, for a terminal."""
    import io

    from rich import box
    from rich.console import Console
    from rich.table import Table as Grid
    from rich.text import Text

    page = io.StringIO()
    console = Console(file=page, width=WIDTH, color_system=None, force_terminal=False, force_jupyter=False)
    shown = [item for item in table.properties if item.name in SHOWN]
    for data in table.sets:
        grid = Grid(box=box.SQUARE, title=Text(printable(data)), title_justify="left")
        grid.add_column("method")
        for item in shown:
            grid.add_column(item.title, justify="right", overflow="fold")
        for method in table.methods:
            texts = [table.cell(data, method, item.name).text for item in shown]
            grid.add_row(*(Text(printable(text)) for text in (method, *texts)))
        console.print(grid)
        for method in table.methods:
            runs = [run for run in table.runs if (run.data, run.method) == (data, method) and run.caution]
            for caution in dict.fromkeys(run.caution for run in runs):
                seeds = ", ".join(str(run.seed) for run in runs if run.caution == caution)
                print(printable(f"{method}, seed {seeds}: {caution}"), file=page)
    return page.getvalue()


def _written(table: Table, out: Path) -> list[str]:
    """Write every form of the table; a line for each file."""
    from certifair.compare import outputs

    files = [path for name in outputs.names() for path in outputs.get(name).write(table, out)]
    return [*(str(path) for path in files), f"{out / 'runs'}: the evidence, a folder for each run"]
