"""The synthetic sets, scaled down: eight of the 32, four methods, one certified run."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pyarrow.parquet as pq
import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "synthetic" / "run.py"
SCALED = ("--people", 4000, "--features", 30, "--batch", 500, "--large", 1000)
METHODS = ("flayer", "projection", "penalty", "strict_penalty")


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", SCRIPT, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_eight_sets(tmp_path: Path) -> None:
    done = run(*SCALED, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    large = [line for line in lines if "1000 at a time: loss" in line]
    assert [line.split()[0] for line in large] == list(METHODS) * 8
    assert all("0 of 2 batches over" in line for line in large if line.split()[0] in ("flayer", "projection"))
    means = {line.split()[0]: float(line.split()[1]) for line in lines if line.startswith(METHODS)}
    assert means["flayer"] <= means["projection"]
    assert "parity PASS, replay PASS" in done.stdout
    assert "DOES NOT HOLD" not in done.stdout
    certified = next(line for line in lines if "certified:" in line)
    assert certified.split("; ")[1] in large[0]  # the table's run and the bundle's are one

    served = pq.read_table(tmp_path / "out" / "run" / "predictions.parquet").to_pydict()
    for batch in set(served["batch_id"]):
        means_of = {}
        for code in (0, 1):
            values = [
                Fraction(value)
                for value, group, b in zip(served["prediction"], served["group.group"], served["batch_id"], strict=True)
                if group == code and b == batch
            ]
            means_of[code] = sum(values) / len(values)
        assert abs(means_of[0] - means_of[1]) <= Fraction(1, 20)


def test_names() -> None:
    done = run("--list")
    names = done.stdout.split()
    assert len(set(names)) == 32
    assert done.returncode == 0
    done = run("--sets", "share20")
    assert done.returncode == 2
    assert done.stderr == "error: there is no set 'share20'; --list names them\n"


@pytest.mark.parametrize("option", ["--help"])
def test_help(option: str) -> None:
    assert "eight of the 32 sets" in run(option).stdout
