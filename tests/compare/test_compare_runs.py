"""One run, in this process: its folder, its key, and what becomes of one that has no answer."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="PyTorch is absent: it trains what is compared")
pytest.importorskip("fairlearn", reason="fairlearn is absent: one of its methods is run here")
from certifair.certificate.derive import derive
from certifair.compare import methods, runs
from certifair.compare.base import Case, DataSet, Made, Method, NothingError
from certifair.compare.bundles import served_by_network
from certifair.compare.measure import Measured
from certifair.compare.measure import measure as real_measure
from certifair.compare.properties import PROPERTIES
from certifair.compare.runs import Job, begin, folder_name, kept, nothing, read, work, write
from certifair.compare.sets import load_set
from certifair.errors import CertifairError, InputError
from certifair.evidence.bundle import load, read_contents
from certifair.evidence.onnx_writer import write_network
from tests.compare.method_cases import base_network
from tests.compare.watching import NAMES, blind_network, given_set

SECONDS = 6.0


def job_of(data: DataSet, method: str, out: Path, *, seed: int = 0, base_seed: int = 0) -> Job:
    return Job(data, method, seed, out, SECONDS, base_seed)


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    return given_set(tmp_path_factory.mktemp("runs-set"))


@pytest.fixture(scope="module")
def done(given: DataSet, tmp_path_factory: pytest.TempPathFactory) -> list[Job]:
    """Runs that went well."""
    out = tmp_path_factory.mktemp("runs") / "out"
    jobs = [job_of(given, name, out) for name in NAMES]
    for job in jobs:
        work(job, job.key())
    return jobs


def test_a_run_leaves_its_evidence_and_nothing_else(done: list[Job]) -> None:
    folder = done[0].out / "runs" / "people"
    assert {path.name for path in folder.iterdir()} == {f"{name}-0" for name in NAMES}
    for job in done:
        assert {path.name for path in (job.out / job.name).iterdir()} == {"bundle", "claims.json", "run.json"}


def test_its_claims_are_those_of_its_bundle(done: list[Job]) -> None:
    folder = done[1].out / done[1].name
    claims = derive(load(read_contents(folder / "bundle"), "the bundle"))["claims"]
    assert json.loads((folder / "claims.json").read_bytes()) == claims


def test_what_is_written_is_read_again(done: list[Job]) -> None:
    for job in done:
        run = read(job)
        assert run is not None
        assert read(job, job.key()) == run == kept(job, job.key())
        assert (run.data, run.method, run.seed, run.folder) == ("people", job.method, 0, f"runs/people/{job.method}-0")
        assert (run.status, run.reason) == ("done", "")
        assert [figure.property for figure in run.figures] == [item.name for item in PROPERTIES]
        assert run.figure("accuracy").value > 0.6
        assert run.versions["torch"]
        assert 0 < run.seconds < 60
        document = json.loads((job.out / job.name / "run.json").read_bytes())
        assert (document["format"], document["key"]) == ("certifair-run/0", job.key())


def test_a_key_is_of_all_that_goes_in(done: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    for job in done:
        changed = [
            dataclasses.replace(job, seed=1),
            dataclasses.replace(job, seconds=SECONDS + 1),
            dataclasses.replace(job, data=dataclasses.replace(job.data, digest="0" * 64)),
            dataclasses.replace(job, method="finite"),
        ]
        keys = [job.key(), *(other.key() for other in changed)]
        for part in ("own_digest", "versions"):
            with monkeypatch.context() as patch:
                patch.setattr(runs, part, lambda: "another")
                keys.append(job.key())
        assert len(set(keys)) == 7
        assert job.key() == keys[0] == dataclasses.replace(job).key()
        assert read(job, keys[1]) is None


@pytest.mark.parametrize("name", ["rows", "set", "model"])
def test_a_changed_file_is_another_key(tmp_path: Path, name: str) -> None:
    data = given_set(tmp_path)
    keys = {name: job_of(data, name, tmp_path / "out").key() for name in NAMES}
    assert data.model is not None
    path = {"rows": data.rows, "set": data.where, "model": data.model}[name]
    content = write_network(blind_network(0.5)) if name == "model" else path.read_bytes() + b"\n"
    path.write_bytes(content)
    again = load_set(data.where)
    assert all(job_of(again, name, tmp_path / "out").key() != keys[name] for name in NAMES)


def test_another_network_to_start_from_is_another_key(done: list[Job], tmp_path: Path) -> None:
    shutil.copytree(done[0].out, tmp_path / "out")
    jobs = [dataclasses.replace(job, out=tmp_path / "out") for job in done]
    before = [job.key() for job in jobs]
    assert before == [job.key() for job in done]
    (jobs[0].out / jobs[0].name / "bundle" / "model.onnx").write_bytes(write_network(blind_network(0.5)))
    changed = [job.key() != key for job, key in zip(jobs, before, strict=True)]
    assert changed == [methods.get(name).needs_base for name in NAMES] == [False, True, True]
    elsewhere = dataclasses.replace(jobs[1], base_seed=1)
    assert elsewhere.base.name == "runs/people/plain-1"
    assert elsewhere.base_network() is None
    assert len({elsewhere.key(), jobs[1].key(), before[1]}) == 3


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "[1, 2]",
        lambda text: text.replace("certifair-run/0", "certifair-run/1"),
        lambda text: text.replace('"key"', '"lock"'),
        lambda text: text.replace('"figures"', '"pictures"'),
        lambda text: text.replace('"verdict"', '"opinion"'),
    ],
)
def test_what_is_damaged_is_not_there(done: list[Job], tmp_path: Path, change: Callable[[str], str]) -> None:
    job, other = done[0], dataclasses.replace(done[0], out=tmp_path)
    (tmp_path / job.name).mkdir(parents=True)
    text = (job.out / job.name / "run.json").read_text(encoding="utf-8")
    path = tmp_path / job.name / "run.json"
    path.write_text(text, encoding="utf-8")
    assert read(other, job.key()) == read(job)
    path.write_text(change(text), encoding="utf-8")
    assert read(other, job.key()) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "bundle" / "predictions.parquet").unlink(),
        lambda folder: (folder / "bundle" / "manifest.json").write_text("{}"),
        lambda folder: (folder / "bundle" / "model.onnx").write_bytes(b""),
        lambda folder: (folder / "claims.json").write_text("[]"),
        lambda folder: (folder / "claims.json").unlink(),
        lambda folder: shutil.rmtree(folder / "bundle"),
    ],
)
def test_figures_without_their_evidence_are_not_kept(
    done: list[Job], tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    job = dataclasses.replace(done[0], out=tmp_path)
    shutil.copytree(done[0].out / job.name, tmp_path / job.name)
    assert kept(job, job.key()) == read(job)
    damage(tmp_path / job.name)
    assert kept(job, done[0].key()) is None


class Fake(Method):
    """Begins a bundle, then does what a test wants."""

    name = "zeroing"

    def __init__(self, act: Callable[[Case, Path], Made]) -> None:
        self.act = act

    def make(self, case: Case, out: Path) -> Made:
        out.mkdir()
        (out / "policy.toml").write_text("half of it", encoding="utf-8")
        return self.act(case, out)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Case, Path], Made]], None]:
    """Puts it in the place of every method."""
    return lambda act: monkeypatch.setattr(methods, "get", lambda _: Fake(act))


def raising(error: BaseException) -> Callable[[Case, Path], Made]:
    def act(case: Case, out: Path) -> Made:
        raise error

    return act


@pytest.mark.parametrize(
    ("error", "status", "reason", "stays"),
    [
        (NothingError("infeasible", "no network does"), "infeasible", "no network does", True),
        (NothingError("time limit", "too late"), "time limit", "too late", True),
        (NothingError("does not apply", "not here"), "does not apply", "not here", True),
        (NothingError("failed", "the solver said so"), "failed", "the solver said so", False),
        (InputError("is odd", where="a.csv", advice="mend it"), "failed", "a.csv: is odd; mend it", False),
        (CertifairError("cannot\nbe"), "failed", "cannot be", False),
        (ZeroDivisionError("a\n  b"), "crashed", "ZeroDivisionError: a b", False),
        (MemoryError(), "crashed", "MemoryError:", False),
    ],
)
def test_no_answer_is_a_run_that_says_why(
    given: DataSet, tmp_path: Path, fake: Any, error: BaseException, status: str, reason: str, stays: bool
) -> None:
    job = job_of(given, "zeroing", tmp_path)
    fake(raising(error))
    work(job, "the key")
    run = read(job, "the key")
    assert run is not None
    assert (run.status, run.reason) == (status, reason)
    assert {path.name for path in (tmp_path / job.name).iterdir()} == {"run.json"}
    assert [path.name for path in (tmp_path / job.name).parent.iterdir()] == ["zeroing-0"]
    assert [(figure.property, figure.value, figure.reason) for figure in run.figures] == [
        (item.name, None, reason) for item in PROPERTIES
    ]
    assert kept(job, "the key") == (run if stays else None)
    assert kept(job, "another key") is None


def test_evidence_that_cannot_be_read_is_no_answer(given: DataSet, tmp_path: Path, fake: Any) -> None:
    fake(lambda case, out: Made("none", 0.0, 0.0))
    job = job_of(given, "zeroing", tmp_path)
    work(job, "the key")
    run = read(job)
    assert run is not None
    assert run.status == "failed"
    assert run.reason.startswith("bundle/data.parquet: cannot be read")
    assert not (tmp_path / job.name / "bundle").exists()


@pytest.mark.parametrize("earlier", [False, True])
def test_a_run_that_is_ended_leaves_a_draft_only(given: DataSet, tmp_path: Path, fake: Any, earlier: bool) -> None:
    """What an earlier run left stays whole until there is another whole one."""
    job = job_of(given, "zeroing", tmp_path)
    if earlier:
        write(job, "an earlier key", nothing(job, "failed", "once", 0.0), begin(job))
    fake(raising(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        work(job, "the key")
    names = {path.name[0] for path in (tmp_path / job.name).parent.iterdir()}
    assert names == ({".", "z"} if earlier else {"."})
    assert read(job, "the key") is None
    assert (read(job, "an earlier key") is not None) == earlier


def test_a_draft_that_was_left_is_thrown_away(given: DataSet, tmp_path: Path, fake: Any) -> None:
    folder = tmp_path / "runs" / "people"
    for name in (".zeroing-0.1.draft", ".zeroing-0.77.draft", ".zeroing-1.1.draft", ".zeroing-00.1.draft"):
        (folder / name / "bundle").mkdir(parents=True)
        (folder / name / "bundle" / "predictions.csv").write_text("old", encoding="utf-8")
    fake(raising(NothingError("infeasible", "no network does")))
    work(job_of(given, "zeroing", tmp_path), "the key")
    assert {path.name for path in folder.iterdir()} == {"zeroing-0", ".zeroing-1.1.draft", ".zeroing-00.1.draft"}
    assert {path.name for path in (folder / "zeroing-0").iterdir()} == {"run.json"}


def test_without_a_network_to_start_from_it_says_why(given: DataSet, tmp_path: Path) -> None:
    job = job_of(given, "zeroing", tmp_path, seed=1, base_seed=5)
    work(job, job.key())
    run = read(job)
    assert run is not None
    assert (run.status, run.reason) == ("failed", "there is no network to start from: plain did not run")
    base = job.base
    assert (base.method, base.seed) == ("plain", 5)
    write(base, "a key", nothing(base, "time limit", "training was not done in time", 9.0), begin(base))
    work(job, job.key())
    run = read(job)
    assert run is not None
    why = "plain gave none (time limit: training was not done in time)"
    assert (run.status, run.reason) == ("failed", f"there is no network to start from: {why}")


def test_time_is_left_for_proofs(given: DataSet, tmp_path: Path, fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, float] = {}

    def act(case: Case, out: Path) -> Made:
        told["method"] = case.seconds
        shutil.rmtree(out)
        served_by_network(case, write_network(base_network()), out)
        return Made("none", 1.0, 2.0, "a note")

    def measured(root: Path, made: Made, *, per_person: bool, seconds: float) -> Measured:
        told["proofs"] = seconds
        return real_measure(root, made, per_person=per_person, seconds=1.0)

    fake(act)
    monkeypatch.setattr(runs, "measure", measured)
    job = job_of(given, "zeroing", tmp_path)
    started = time.monotonic()
    work(job, "the key")
    assert 0.8 * SECONDS - (time.monotonic() - started) <= told["method"] <= 0.8 * SECONDS
    assert told["proofs"] == pytest.approx(0.2 * SECONDS)
    run = read(job)
    assert run is not None
    assert (run.solver, run.note, run.figure("train_seconds").value) == ("none", "a note", 1.0)
    assert job.limit == SECONDS + runs.GRACE > SECONDS


@pytest.mark.parametrize("name", ["..", "a/b", "../c", "é 1", "german-2_x"])
def test_a_sets_folder_is_one_below(given: DataSet, name: str) -> None:
    found = folder_name(dataclasses.replace(given, name=name))
    assert Path(found).parts == (found,)
    assert found != ".."
    assert (found == name) == (name == "german-2_x")
