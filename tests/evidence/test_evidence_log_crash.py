"""What a writer acknowledged survives its death, at whatever instant it dies, and the log goes on."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from certifair.evidence.log import LogWriter, read_log
from tests.evidence.log_cases import check_people, sign, stated, ticking

ROOT = Path(__file__).parents[2]
SEGMENT = 40

# Forks a writer for every line that it is given, kills it if asked to, and answers how it ended. The writer's imports
# are done once, so that it dies while it writes.
NURSERY = """
import json, os, random, signal, sys, time
from pathlib import Path
from certifair.evidence.log import LogWriter, reader, writer
from certifair.evidence.log.store import Store
from tests.evidence.log_cases import HEADER, people, sign, ticking

def die_at(last):
    count = [0]
    def step():
        count[0] += 1
        if count[0] == last:
            os._exit(9)
    def watched(function, after=lambda: None):
        def call(*arguments):
            step()
            result = function(*arguments)
            after()
            return result
        return call
    os.fsync, os.replace = watched(os.fsync), watched(os.replace)
    Store._commit = watched(Store._commit, step)

def write(folder, seed, batches, acknowledged):
    chance = random.Random(seed)
    if (folder / "open.sqlite").exists():
        log = LogWriter.open(folder, sign, ticking(), SEGMENT)
    else:
        log = LogWriter.create(folder, HEADER, sign, ticking(), SEGMENT)
    for _ in range(batches):
        seq, group = log.last.seq, []
        for _ in range(chance.choice([1, 1, 3])):
            size = chance.randint(1, 16)
            group.append(people(seq + 1, size))
            seq += size
        log.append_many(group)
        os.write(acknowledged, b"%d\\n" % log.last.seq)
    log.seal()
    log.close()

SEGMENT = int(sys.argv[1])
for line in sys.stdin:
    task = json.loads(line)
    acknowledged = os.open(task["acknowledged"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    pid = os.fork()
    if not pid:
        try:
            if task["step"]:
                die_at(task["step"])
            write(Path(task["folder"]), task["seed"], task["batches"], acknowledged)
            os._exit(0)
        except BaseException as error:
            sys.stderr.write(repr(error))
            sys.stderr.flush()
        finally:
            os._exit(1)
    if task["milliseconds"] is not None:
        time.sleep(task["milliseconds"] / 1000)
        os.kill(pid, signal.SIGKILL)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
    os.close(acknowledged)
"""

Life = Callable[..., tuple[int, int]]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    """Let a writer live for some time, or up to some step; returns how it ended and the last seq it acknowledged."""
    acknowledged = tmp_path_factory.mktemp("nursery") / "acknowledged"
    command = [sys.executable, "-c", NURSERY, str(SEGMENT)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdin is not None
    assert process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    def life(
        folder: Path, seed: int, batches: int, *, step: int = 0, milliseconds: float | None = None
    ) -> tuple[int, int]:
        task: dict[str, Any] = {"folder": str(folder), "seed": seed, "batches": batches, "step": step}
        stdin.write(json.dumps({**task, "milliseconds": milliseconds, "acknowledged": str(acknowledged)}) + "\n")
        stdin.flush()
        end = int(stdout.readline())
        lines = acknowledged.read_bytes().split()
        return end, int(lines[-1]) if lines else 0

    yield life
    stdin.close()
    stdout.close()
    assert process.wait(timeout=10) == 0


def taken_up(folder: Path) -> int:
    """Open the log again: it is whole, from its first person to its last. Returns her seq."""
    with LogWriter.open(folder, sign, ticking(), SEGMENT) as writer:
        last, rest, head = writer.last, writer.rest(), writer.head
        assert rest.num_rows < SEGMENT
    sealed = last.seq - rest.num_rows
    check_people(rest, sealed + 1)
    assert sorted(path.name for path in folder.iterdir() if path.name.startswith(".")) == []
    assert head.records == sealed
    if head.segments:
        log = read_log(folder)
        assert (log.faults, log.state, stated(log)) == ((), head, head)
        table = log.table()
        check_people(table)
        batches = [*table["batch"].to_pylist(), *rest["batch"].to_pylist()]
    else:
        batches = rest["batch"].to_pylist()
    assert (batches[-1] if batches else 0) == last.batch
    return last.seq


def test_two_hundred_kills(tmp_path: Path, live: Life) -> None:
    chance, survivors = random.Random(20), 0
    for name in range(20):
        folder, last = tmp_path / f"{name}", 0
        for life in range(10):
            end, acknowledged = live(folder, chance.randrange(10**6), 10**6, milliseconds=chance.uniform(0, 80))
            assert end == -9
            if not folder.exists():  # killed before it was created
                continue
            found = taken_up(folder)
            assert found >= max(last, acknowledged), (name, life)
            survivors += acknowledged > last
            last = found
        with LogWriter.open(folder, sign, ticking(), SEGMENT) as writer:
            assert writer.seal().records == last
        check_people(read_log(folder).table())
    assert survivors > 50  # most of them lived long enough to acknowledge something


def test_every_step_may_be_the_last(tmp_path: Path, live: Life) -> None:
    """Before each fsync, rename and commit, and after each commit, of a new log and of one that goes on."""
    before = tmp_path / "before"
    assert live(before, 1, 4)[0] == 0
    for start in (None, before):
        step = 0
        while True:
            step += 1
            folder = tmp_path / f"{start and 'on'}{step}"
            if start:
                folder.mkdir()
                for path in start.iterdir():
                    (folder / path.name).write_bytes(path.read_bytes())
            end, acknowledged = live(folder, 2, 4, step=step)
            assert end in (0, 9)
            if folder.exists():
                assert taken_up(folder) >= acknowledged
                assert live(folder, 3, 2)[0] == 0
                log = read_log(folder)
                assert log.faults == ()
                check_people(log.table())
            else:
                assert acknowledged == 0
            if end == 0:
                break
        assert step > 15
