"""A whole comparison: what is run for whom, what a later call makes, and whose folder it is."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

pytest.importorskip("torch", reason="PyTorch is absent: it trains what is compared")
pytest.importorskip("fairlearn", reason="fairlearn is absent: one of its methods is run here")
from certifair.compare.api import compare
from certifair.compare.base import DataSet, NothingError
from certifair.compare.methods.fairness_training import FairnessTraining
from certifair.compare.sets import load_set
from certifair.compare.table import Table
from certifair.errors import InputError
from tests.compare.method_cases import people_set
from tests.compare.watching import Seen, given_set, short

ASKED: Final = ("zeroing", "threshold_optimizer")
Made = tuple[list[DataSet], Path, Table, Seen]


def compared(
    sets: list[DataSet],
    out: Path,
    seen: Seen,
    *,
    names: tuple[str, ...] = ASKED,
    seeds: tuple[int, ...] = (3, 4),
    seconds: float = 3.0,
) -> Table:
    return compare(sets, names, seeds, out, seen, seconds=seconds, processes=2)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Two sets with a network each; `plain` is not asked for."""
    folder, seen = tmp_path_factory.mktemp("compared"), Seen()
    sets = [given_set(folder / "one"), renamed(given_set(folder / "two"), "others")]
    return sets, folder / "out", compared(sets, folder / "out", seen), seen


def renamed(data: DataSet, name: str) -> DataSet:
    path = data.where
    path.write_text(path.read_text(encoding="utf-8").replace('"people"', f'"{name}"'), encoding="utf-8")
    return load_set(path)


@pytest.fixture
def copied(made: Made, tmp_path: Path) -> tuple[list[DataSet], Path]:
    """The same comparison, to go on with."""
    shutil.copytree(made[1], tmp_path / "out")
    for data in made[0]:
        shutil.copytree(data.where.parent, tmp_path / data.where.parent.name)
    return [load_set(tmp_path / name / "people.toml") for name in ("one", "two")], tmp_path / "out"


def folders(out: Path) -> set[str]:
    return {str(path.relative_to(out / "runs")) for path in out.glob("runs/*/*")}


def test_what_others_start_from_is_run_and_not_shown(made: Made) -> None:
    _, out, table, seen = made
    assert (table.methods, table.sets) == (list(ASKED), ["people", "others"])
    shown = {f"{name}/{run}" for name in table.sets for run in RUNS}
    assert sorted(short(run.folder) for run in table.runs) == sorted(shown)
    bases = {"people/plain-3", "others/plain-3"}
    assert folders(out) == shown | bases == set(seen.all("ended"))
    assert seen.count == len(shown | bases)
    assert {run.status for run in table.runs} == {"done"}
    assert {cell.data for cell in table.cells} == set(table.sets)
    assert {cell.method for cell in table.cells} == set(ASKED)
    assert table.about["seeds"] == "3, 4"


RUNS: Final = ("zeroing-3", "threshold_optimizer-3", "threshold_optimizer-4")


def test_what_is_the_same_for_all_seeds_is_run_once(made: Made) -> None:
    _, _, table, _ = made
    assert Counter((run.data, run.method) for run in table.runs) == {
        **{(data, "zeroing"): 1 for data in table.sets},
        **{(data, "threshold_optimizer"): 2 for data in table.sets},
    }
    assert table.cell("people", "zeroing", "accuracy").n == 1
    assert table.cell("people", "threshold_optimizer", "accuracy").n == 2


def test_a_second_call_makes_nothing(made: Made) -> None:
    sets, out, table, _ = made
    seen = Seen()
    again = compared([load_set(data.where) for data in sets], out, seen)
    assert seen.all("started") == []
    assert set(seen.all("again")) == folders(out)
    assert dataclasses.replace(again, about={}) == dataclasses.replace(table, about={})


def test_another_seed_is_all_that_is_made(copied: tuple[list[DataSet], Path]) -> None:
    sets, out = copied
    seen = Seen()
    compared(sets[:1], out, seen, seeds=(3, 5))
    assert seen.all("started") == ["people/threshold_optimizer-5"]
    assert seen.all("again") == ["people/plain-3", "people/zeroing-3", "people/threshold_optimizer-3"]


def test_other_rows_make_their_set_again(copied: tuple[list[DataSet], Path]) -> None:
    sets, out = copied
    lines = sets[0].rows.read_text(encoding="utf-8").splitlines(keepends=True)
    sets[0].rows.write_text("".join(lines[:-1]), encoding="utf-8")
    seen = Seen()
    compared([load_set(data.where) for data in sets], out, seen, names=("zeroing",))
    assert seen.all("started") == ["people/plain-3", "people/zeroing-3"]
    assert seen.all("again") == ["others/plain-3", "others/zeroing-3"]


def test_another_budget_makes_all_again(copied: tuple[list[DataSet], Path]) -> None:
    sets, out = copied
    seen = Seen()
    compared(sets[:1], out, seen, names=("zeroing",), seconds=4.0)
    assert (seen.all("started"), seen.all("again")) == (["people/plain-3", "people/zeroing-3"], [])


def test_those_that_start_from_a_failed_one_say_why_and_are_tried_again(tmp_path: Path) -> None:
    data = given_set(tmp_path / "set")
    assert data.model is not None
    data.model.write_bytes(b"no network")  # after it was looked at
    first, second = Seen(), Seen()
    table = compared([data], tmp_path / "out", first)
    base = json.loads((tmp_path / "out/runs/people/plain-3/run.json").read_bytes())
    assert base["status"] == "failed"
    assert base["reason"]
    for run in table.runs:
        assert run.status == "failed"
        assert run.reason == f"there is no network to start from: plain gave none (failed: {base['reason']})"
    cell = table.cell("people", "zeroing", "accuracy")
    assert (cell.n, cell.mean) == (0, None)
    assert "failed" in cell.text
    assert "there is no network to start from" in cell.reason
    compared([data], tmp_path / "out", second)
    assert sorted(second.all("started")) == sorted(first.all("started")) == ["people/plain-3", *sorted(PEOPLE)]


PEOPLE: Final = {f"people/{run}" for run in RUNS}


@pytest.mark.parametrize("error", [NothingError("failed", "no network here"), PermissionError(13, "not yours")])
def test_what_cannot_be_got_beforehand_is_for_the_runs_to_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    asked: list[float] = []

    def prepare(_: Any, seconds: float) -> None:
        asked.append(seconds)
        raise error

    monkeypatch.setattr(FairnessTraining, "prepare", prepare)
    data = people_set(tmp_path, groups=("region",))
    table = compared([data], tmp_path / "out", Seen(), names=("fairness_training",), seeds=(0,))
    assert len(asked) == 1
    (run,) = table.runs
    assert (run.status, "groups of two values" in run.reason) == ("does not apply", True)


def test_two_sets_of_one_folder_are_refused(tmp_path: Path, made: Made) -> None:
    one = made[0][0]
    for name in ("people", "peo/ple"):
        other = renamed(given_set(tmp_path / name.replace("/", "")), name)
        first = one if name == "people" else dataclasses.replace(one, name="peo ple")
        with pytest.raises(InputError, match=f"is called '{name}', like {one.where}") as error:
            compared([first, other], tmp_path / "out", Seen())
        assert "give each data set a name of its own" in str(error.value)
        assert not (tmp_path / "out").exists()


def test_an_unknown_method_is_refused_before_anything_is_made(tmp_path: Path, made: Made) -> None:
    with pytest.raises(InputError, match="'zeroign' is no method"):
        compared(made[0], tmp_path / "out", Seen(), names=("zeroign",))
    assert not (tmp_path / "out").exists()


def filled(name: str) -> Callable[[Path], Path]:
    def fill(out: Path) -> Path:
        (out / name).parent.mkdir(parents=True)
        (out / name).write_text("somebody's", encoding="utf-8")
        return out

    return fill


def single(out: Path) -> Path:
    out.write_text("somebody's", encoding="utf-8")
    return out


def below(out: Path) -> Path:
    return single(out) / "out"


@pytest.mark.parametrize(
    ("fill", "words"),
    [
        (filled("thesis.tex"), "is no comparison's folder; choose another --out"),
        (filled("runs/events.1"), "is no comparison's folder; choose another --out"),
        (filled(".lock/file"), "is no comparison's folder; choose another --out"),
        (single, "is no comparison's folder; choose another --out"),
        (below, "cannot be written (Not a directory)"),
    ],
)
def test_somebody_elses_folder_is_refused_and_left_alone(
    tmp_path: Path, made: Made, fill: Callable[[Path], Path], words: str
) -> None:
    out = fill(tmp_path / "out")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError) as error:
        compared(made[0], out, Seen())
    assert str(error.value) == f"{out}: {words}"
    assert sorted(tmp_path.rglob("*")) == before


class Stopping(Seen):
    """Does something before any run, and goes no further."""

    def __init__(self, act: Callable[[], object]) -> None:
        super().__init__()
        self.before = act

    def planned(self, count: int) -> None:
        self.before()
        raise BlockingIOError(11, "somebody's terminal is slow")


def test_a_folder_is_for_one_comparison_at_a_time(tmp_path: Path, made: Made) -> None:
    """And whatever else would block in the one is not called another."""
    out = tmp_path / "out"
    out.mkdir()

    def second() -> None:
        with pytest.raises(InputError, match="another comparison is at work in it") as error:
            compared(made[0], out, Seen())
        assert str(error.value).startswith(str(out))

    for act in (second, second):
        with pytest.raises(BlockingIOError, match="terminal"):
            compared(made[0], out, Stopping(act))
