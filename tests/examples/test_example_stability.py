"""The example of stability, as its docstring runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import certifair

SCRIPT = Path(__file__).parents[2] / "examples" / "stability" / "run.py"


def test_what_parity_costs_in_equal_treatment(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", SCRIPT, "--out", tmp_path]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    differences = [float(line.split()[3]) for line in lines[1:6]]
    assert differences == sorted(differences)  # the smaller the tolerance, the more unlike people alike are served
    assert differences[-1] > 0.2
    assert all(line.endswith("PASS") for line in lines[1:6])
    bounds = [float(line.split("at most ")[1].split()[0]) for line in lines[6:10]]
    assert min(bounds) == bounds[3]
    assert 0 < float(lines[10].split()[1]) <= bounds[3]
    certificate = tmp_path / "epsilon-0.05.certificate.json"
    found = certifair.verify(certificate, tmp_path / "key.pub.pem", evidence=tmp_path / "run-0.05")
    assert found
