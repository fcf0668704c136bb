"""The employee experiment, as its one command runs it; what must hold is computed again here, from the bundle."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples" / "employee" / "run.py"
DATA = ROOT.parent / "shared" / "data" / "raw" / "Employee_Performance.xls"
FEATURES = ("Gender", "Single", "Age40", "Degree", "OverTime")


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", SCRIPT, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.skipif(not DATA.exists(), reason=f"{DATA} is not there")
def test_the_employee_experiment(tmp_path: Path) -> None:
    done = run("--out", tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("1200 people, 63 inputs")
    assert "certified: residuals PASS" in done.stdout
    assert "gate: PASS" in done.stdout
    assert "DOES NOT HOLD" not in done.stdout

    data = pq.read_table(tmp_path / "out" / "run" / "data.parquet").to_pydict()
    served = pq.read_table(tmp_path / "out" / "run" / "predictions.parquet").to_pydict()
    assert data["row_id"] == served["row_id"]
    off = [Fraction(y) - Fraction(p) for y, p in zip(data["label"], served["prediction"], strict=True)]
    residuals = {}
    for name in FEATURES:
        column = data[f"feature.{name}"]
        for value in set(column):
            members = [d for d, group in zip(off, column, strict=True) if group == value]
            residuals[name, value] = abs(sum(members)) / len(members)
    assert len(residuals) == 10
    assert max(residuals.values()) <= Fraction(1, 10_000)
    error = sum(d * d for d in off) / len(off)
    assert error <= Fraction("0.0835")

    lines = [line.split() for line in done.stdout.splitlines()]
    errors = {line[0]: float(line[1]) for line in lines if line and line[0] in ("flayer", "projection")}
    assert errors["flayer"] <= errors["projection"]
    assert error == pytest.approx(errors["flayer"], abs=0.005)


def test_without_the_data_it_says_what_to_do(tmp_path: Path) -> None:
    done = run("--data", tmp_path / "none.xls")
    assert done.returncode == 2
    assert done.stderr == f"error: {tmp_path / 'none.xls'}: is not there; name Employee_Performance.xls with --data\n"
    (tmp_path / "other.xls").write_bytes(b"not a sheet")
    assert "is no .xls file" in run("--data", tmp_path / "other.xls").stderr
