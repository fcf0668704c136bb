"""Many runs, each in a process of its own: their order, what is not made again, and ends that nobody asked for."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="PyTorch is absent: it trains what is compared")
pytest.importorskip("fairlearn", reason="fairlearn is absent: one of its methods is run here")
from certifair.compare import board, peers, runs
from certifair.compare.base import DataSet
from certifair.compare.board import run_all
from certifair.compare.runs import Job, read
from certifair.compare.table import Run
from certifair.evidence.onnx_writer import write_network
from tests.compare import watching
from tests.compare.method_cases import people_set
from tests.compare.watching import Seen, blind_network, given_set, group, short, until, worker

SECONDS = 4.0
pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="/proc is absent: it tells who lives")


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    return given_set(tmp_path_factory.mktemp("board-set"))


def job_of(data: DataSet, method: str, out: Path, *, seed: int = 0) -> Job:
    return Job(data, method, seed, out, SECONDS, base_seed=0)


@pytest.fixture(scope="module")
def made(given: DataSet, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Job], list[Run], Seen]:
    """Two at a time, and the one that others start from not the first that is asked for."""
    out, seen = tmp_path_factory.mktemp("board") / "out", Seen()
    jobs = [job_of(given, name, out) for name in ("zeroing", "plain", "threshold_optimizer")]
    return jobs, run_all(jobs, 2, seen), seen


@pytest.fixture
def copied(made: tuple[list[Job], list[Run], Seen], tmp_path: Path) -> list[Job]:
    """The same folder, to do something to."""
    shutil.copytree(made[0][0].out, tmp_path / "out")
    return [dataclasses.replace(job, out=tmp_path / "out") for job in made[0]]


def test_what_others_start_from_is_made_first(made: tuple[list[Job], list[Run], Seen]) -> None:
    jobs, found, seen = made
    assert [run.method for run in found] == [job.method for job in jobs]
    assert [(run.status, run.reason) for run in found] == [("done", "")] * 3
    assert seen.count == 3
    assert seen.told[:2] == [("started", "people/plain-0"), ("ended", "people/plain-0")]
    assert sorted(seen.all("ended")) == sorted(short(job.name) for job in jobs)
    assert seen.most == 2
    assert [read(job, job.key()) for job in jobs] == found


def test_what_is_there_is_not_made_again(made: tuple[list[Job], list[Run], Seen]) -> None:
    jobs, found, _ = made
    seen = Seen()
    assert run_all(jobs, 1, seen) == found
    assert (seen.count, seen.all("started"), seen.all("ended")) == (3, [], [])
    assert seen.all("again") == ["people/plain-0", "people/zeroing-0", "people/threshold_optimizer-0"]


def test_a_run_whose_evidence_is_another_is_made_again(copied: list[Job]) -> None:
    base = copied[1]
    model = base.out / base.name / "bundle" / "model.onnx"
    content = model.read_bytes()
    model.write_bytes(write_network(blind_network(0.5)))
    seen = Seen()
    run_all(copied, 1, seen)
    assert (seen.all("started"), seen.most) == (["people/plain-0"], 1)
    assert seen.all("again") == ["people/zeroing-0", "people/threshold_optimizer-0"]
    assert model.read_bytes() == content


def killing(_: Job) -> None:
    os.kill(worker(), signal.SIGKILL)


def stopping(_: Job) -> None:
    os.kill(worker(), signal.SIGSTOP)


def test_a_killed_run_has_crashed_and_is_tried_again(copied: list[Job]) -> None:
    job = dataclasses.replace(copied[0], seed=1)
    (run,) = run_all([job], 1, Seen(killing))
    assert (run.status, run.reason) == ("crashed", "its process ended with signal SIGKILL")
    assert [figure.reason for figure in run.figures] == [run.reason] * len(run.figures) != []
    assert {path.name for path in (job.out / job.name).iterdir()} == {"run.json"}
    assert not list((job.out / job.name).parent.glob(".*"))
    seen = Seen()
    (run,) = run_all([job], 1, seen)
    assert (run.status, seen.all("started")) == ("done", ["people/zeroing-1"])


def test_a_stopped_run_is_ended_by_its_limit_and_not_tried_again(
    copied: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "GRACE", 1.0 - SECONDS)
    job, pids = dataclasses.replace(copied[0], seed=1), list[int]()

    def stop(job: Job) -> None:
        pids.append(worker())
        stopping(job)

    (run,) = run_all([job], 1, Seen(stop))
    assert (run.status, run.reason) == ("time limit", "ended after 1 s")
    assert {path.name for path in (job.out / job.name).iterdir()} == {"run.json"}
    assert not Path(f"/proc/{pids[0]}").exists()
    seen = Seen()
    assert run_all([job], 1, seen) == [run]
    assert (seen.all("started"), seen.all("again")) == ([], ["people/zeroing-1"])


def test_a_run_that_leaves_without_a_word_has_crashed(given: DataSet, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(board, "_alone", watching.leaving)
    (run,) = run_all([job_of(given, "plain", tmp_path)], 1, Seen())
    assert (run.status, run.reason) == ("crashed", "its process ended with exit code 3")


def test_what_a_process_says_is_kept_and_tells_how_it_crashed(
    given: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(board, "_alone", watching.with_talker)
    jobs = [job_of(given, "unaware", tmp_path, seed=seed) for seed in (0, 1)]
    crashed, done = run_all(jobs, 1, Seen())
    said = "its process ended with signal SIGABRT; it said last: ERROR: no memory is left"
    assert (crashed.status, crashed.reason, done.status) == ("crashed", said, "done")
    for job in jobs:
        assert (job.out / job.name / "output.txt").read_text().startswith("reading\nERROR: no memory is left\n")
    assert not list((tmp_path / "runs" / "people").glob(".*"))
    assert "no memory" not in "".join(capfd.readouterr())


def test_what_does_not_apply_is_not_tried_again(tmp_path: Path) -> None:
    job = job_of(people_set(tmp_path, groups=("region",)), "fairness_training", tmp_path / "out")
    first, second = Seen(), Seen()
    (run,) = run_all([job], 1, first)
    assert run.status == "does not apply"
    assert run_all([job], 1, second) == [run]
    assert (first.all("started"), second.all("started")) == (["people/fairness_training-0"], [])


@pytest.fixture
def sleepers(monkeypatch: pytest.MonkeyPatch) -> None:
    """`unaware` starts a process that sleeps, and waits for it only with seed 0."""
    monkeypatch.setattr(board, "_alone", watching.with_sleeper)


def asleep(job: Job) -> Path | None:
    """Where a run of the above tells of its child."""
    return next(iter((job.out / job.name).parent.glob(f".{job.method}-{job.seed}.*.draft/asleep")), None)


@pytest.mark.usefixtures("sleepers")
def test_whatever_a_run_has_started_ends_with_it(given: DataSet, tmp_path: Path) -> None:
    """Also where the run has ended well, and left it behind."""
    job = dataclasses.replace(job_of(given, "unaware", tmp_path, seed=1), seconds=2.0)
    groups: list[int] = []
    (run,) = run_all([job], 1, Seen(lambda _: groups.append(worker())))
    assert run.status == "done"
    sleeping = int((tmp_path / job.name / "asleep").read_text(encoding="utf-8"))
    until(lambda: sleeping not in group(groups[0]), 5)
    assert group(groups[0]) == []


@pytest.mark.usefixtures("sleepers")
@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_when_the_caller_is_stopped_no_run_goes_on(given: DataSet, tmp_path: Path, error: type[BaseException]) -> None:
    job, groups = job_of(given, "unaware", tmp_path), list[int]()

    def act(started: Job) -> None:
        if started.method == "unaware":
            groups.append(worker())
            return
        until(lambda: asleep(job) and len(group(groups[0])) == 2)
        raise error

    with pytest.raises(error):
        run_all([job, job_of(given, "zeroing", tmp_path)], 2, Seen(act))
    until(lambda: group(groups[0]) == [], 5)
    assert read(job) is None


@pytest.fixture
def peer_job(tmp_path: Path) -> Job:
    """A run that takes long, of somebody else's package in a process of its own."""
    if peers._installed("fairness_training") != "0.1.0":
        pytest.skip("fairness_training is not installed (pip install --no-deps fairness_training==0.1.0)")
    data = people_set(tmp_path, epochs=100_000)
    return dataclasses.replace(job_of(data, "fairness_training", tmp_path / "out"), seconds=120.0)


def test_a_peers_process_ends_with_its_killed_run(peer_job: Job) -> None:
    groups: list[int] = []

    def kill() -> None:
        until(lambda: len(group(groups[0])) == 2)
        os.kill(groups[0], signal.SIGKILL)

    def act(_: Job) -> None:
        groups.append(worker())
        threading.Thread(target=kill).start()

    (run,) = run_all([peer_job], 1, Seen(act))
    assert (run.status, run.reason) == ("crashed", "its process ended with signal SIGKILL")
    until(lambda: group(groups[0]) == [], 5)
