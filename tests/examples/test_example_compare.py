"""The example of a comparison, as its docstring runs it, with two methods and one seed."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "compare" / "run.py"


@pytest.mark.usefixtures("compiled")
def test_the_attribute_dropped_beside_what_was_there(tmp_path: Path) -> None:
    options = ["--folder", tmp_path, "--methods", "plain", "zeroing", "--seeds", "1", "--budget", "20"]
    command = list(map(str, [sys.executable, "-W", "error", SCRIPT, *options]))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with (tmp_path / "comparison" / "cells.csv").open(newline="", encoding="utf-8") as file:
        cells = {(row["method"], row["property"]): row for row in csv.DictReader(file)}
    assert float(cells["plain", "flip_domain"]["lower"]) > 0.02
    assert {cells["zeroing", name]["upper"] for name in ("flip_rows", "flip_domain")} == {"0.0"}
    assert float(cells["plain", "accuracy"]["mean"]) > 0.7
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "done" not in again.stderr
