"""A comparison that is killed or interrupted: no run of it goes on, and a later call does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

pytest.importorskip("torch", reason="PyTorch is absent: it trains what is compared")
from certifair.compare.api import compare
from certifair.compare.base import DataSet
from certifair.compare.table import Table
from certifair.errors import InputError
from tests.compare.watching import Seen, command, given_set, marked, until, worker

MARK: Final = "CERTIFAIR_TEST_OF_SIGNALS"
Started = tuple[subprocess.Popen[str], str, Path, DataSet]
BUDGET: Final = 60.0
COMMAND: Final = ("--methods", "plain", "unaware", "--seeds", "1", "--budget", str(BUDGET), "--processes", "2")
linux = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="/proc is absent: it tells who lives")


@pytest.fixture
def started(tmp_path: Path) -> Started:
    """`certifair compare` in a process group of its own, and what marks all of its processes."""
    data, out = given_set(tmp_path / "set", epochs=100_000), tmp_path / "out"
    call = [sys.executable, "-m", "certifair", "compare", "--data", str(data.where), *COMMAND, "--out", str(out)]
    environment = {**os.environ, MARK: str(tmp_path)}
    running = subprocess.Popen(
        call, env=environment, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    return running, f"{MARK}={tmp_path}", out, data


def interrupt(running: subprocess.Popen[str]) -> None:
    """As a terminal does: everybody in its group hears of it. One line is said of it."""
    os.killpg(running.pid, signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert said.splitlines()[-1] == "certifair compare: interrupted"
    assert "Traceback" not in said


def compared(data: DataSet, out: Path, seen: Seen) -> Table:
    """The same comparison, in this process."""
    return compare([data], ("plain", "unaware"), (0,), out, seen, seconds=BUDGET, processes=2)


def goes_on(out: Path, data: DataSet) -> None:
    """A later call takes what was done, and starts what was not: which ends it here."""
    seen = Seen(lambda _: os.kill(worker(), signal.SIGKILL))
    table = compared(data, out, seen)
    assert (seen.all("again"), seen.all("started")) == (["people/plain-0"], ["people/unaware-0"])
    assert [(run.method, run.status) for run in table.runs] == [("plain", "done"), ("unaware", "crashed")]
    assert {path.name for path in (out / "runs" / "people").iterdir()} == {"plain-0", "unaware-0"}


@linux
@pytest.mark.parametrize("how", ["killed", "interrupted"])
def test_when_a_comparison_ends_its_runs_end_and_a_later_call_goes_on(started: Started, how: str) -> None:
    """One run is done, one at work for long."""
    running, mark, out, data = started
    until(lambda: list((out / "runs" / "people").glob(".unaware-0.*.draft")))
    assert running.poll() is None
    assert len(marked(mark)) >= 3
    with pytest.raises(InputError, match="another comparison is at work in it"):
        compared(data, out, Seen())
    if how == "killed":
        running.kill()
        running.communicate(timeout=60)
    else:
        interrupt(running)
    until(lambda: marked(mark) == [], 20)
    goes_on(out, data)


@linux
def test_an_interrupt_before_the_first_run_is_one_line(started: Started) -> None:
    """While what runs need is imported, by a process that hears of it too."""
    running, mark, out, _ = started
    until(lambda: any("forkserver" in command(pid) for pid in marked(mark)))
    interrupt(running)
    until(lambda: marked(mark) == [], 20)
    assert not list(out.glob("runs/*/[!.]*")), "there is no finished run"
