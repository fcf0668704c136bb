"""The streams example, a small part of it: every pooled gap is within ε, the table is what it says."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "streams"


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", FOLDER / "run.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("streams_of_the_example", FOLDER / "streams.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "streams_of_the_example", module)
    spec.loader.exec_module(module)
    return module


def test_a_small_table() -> None:
    done = run("--people", 1500, "--batches", 1, 64, "--mixes", 0, 9, "--warm-up", 200, "--grace", 700)
    assert done.returncode == 0, done.stdout + done.stderr
    head, rule, *lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines()]
    assert len(head) == len(rule) == 11
    kinds = ("stationary", "drifting", "one group first")
    assert [line[:3] for line in lines] == [[kind, "1 500, 200 known", b] for kind in kinds for b in ("1", "64")]
    for line in lines:
        assert 0.01 < float(line[3]) <= float(line[4]) <= 0.02
        assert all(float(figure) > 0 for figure in line[6].split(" → "))
    strict, graced = (float(figure) for figure in lines[0][6].split(" → "))
    assert graced < strict
    assert float(lines[0][8]) > 0.2  # the paper's algorithm at batch 1: nothing is compared
    assert lines[0][10] == "100%"
    assert float(lines[1][5].split(" → ")[0]) < 1.2
    assert lines[1][7] == "50% → 50%"


def test_the_same_stream_twice(streams: ModuleType) -> None:
    for kind in streams.KINDS:
        first, second, other = (streams.draw(streams.MIXES[10], kind, 2000, seed) for seed in (1, 1, 2))
        assert (first.scores == second.scores).all()
        assert (first.groups == second.groups).all()
        assert (first.groups != other.groups).any()
        assert set(first.groups) == set(range(6))
    shares = np.bincount(streams.draw(streams.MIXES[10], "stationary", 50_000, 0).groups) / 50_000
    assert np.abs(shares - streams.MIXES[10].shares).max() < 0.01
    drifting = streams.draw(streams.MIXES[0], "drifting", 50_000, 0).groups
    assert abs(drifting[:2500].mean() - 0.2) < 0.04
    assert abs(drifting[-2500:].mean() - 0.8) < 0.04
    assert not np.diff(streams.draw(streams.MIXES[0], "one group first", 2000, 0).groups).min() < 0


def test_refused() -> None:
    done = run("--mixes", 99)
    assert done.returncode == 2
    assert done.stderr == "error: people, seeds and batches are positive, mixes are numbers; mixes: 0 to 10\n"


def test_help() -> None:
    assert "about two minutes" in run("--help").stdout
