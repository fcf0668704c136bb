"""The example of individual fairness, as its docstring runs it, with less time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "examples" / "individual" / "run.py"


def test_rows_and_everybody(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", SCRIPT, "--time", "12", "--out", tmp_path]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[1] == "rows: 3600 of 4000 fair, 400 unfair, 0 undecided"
    assert lines[2].endswith("0 undecided")
    shares = [float(part.split("%")[0]) for part in lines[3].removeprefix("domain: ").split(", ")]
    assert abs(sum(shares) - 100) < 0.001
    assert shares[0] > 50
    assert lines[4].startswith("checked again from proof.json")
