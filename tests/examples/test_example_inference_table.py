"""The inference table, as its one command makes and audits it, by both engines; its sums are computed again here."""

from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples" / "inference_table" / "run.py"


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, SCRIPT, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def test_the_inference_table_by_both_engines(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run("--out", out)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 files, 6000 rows, 6000 counted" in done.stdout
    assert "verdict: PASS" in done.stdout
    people = [row for part in sorted(out.glob("*/*.parquet")) for row in pq.read_table(part).to_pylist()]
    sums = {"f": [0, Fraction(0)], "m": [0, Fraction(0)]}
    for row in people:
        cell = sums[json.loads(row["request"])["dataframe_records"][0]["sex"]]
        cell[0] += 1
        cell[1] += Fraction(json.loads(row["response"])["predictions"][0])
    judged = json.loads((out / "judged-duckdb.json").read_bytes())
    cells = {cell["values"][0]: [cell["n"], Fraction(cell["sum"])] for cell in judged["evidence"]["cells"]}
    assert cells == sums
    gap = abs(sums["f"][1] / sums["f"][0] - sums["m"][1] / sums["m"][0])
    assert Fraction(judged["findings"][0]["rows"][0]["exact"]) == gap

    pytest.importorskip("pyspark", reason="pyspark is not installed")
    spark = run("--out", out, "--engine", "spark")
    assert spark.returncode == 0, spark.stdout + spark.stderr
    for name in ("shown", "judged"):
        assert (out / f"{name}-spark.json").read_bytes() == (out / f"{name}-duckdb.json").read_bytes()
