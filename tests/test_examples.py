"""Every example runs, and the README's help is the program's."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest

import certifair
from certifair.cli import VERBS
from certifair.spec.policy import Policy

ROOT = Path(__file__).parents[1]
OWN = ROOT / "examples" / "own_predictions"
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "80"}


def test_own_predictions_by_command_line(tmp_path: Path) -> None:
    done = subprocess.run([OWN / "run.sh", tmp_path], env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "verdict: PASS" in done.stdout
    assert ElementTree.parse(tmp_path / "gate.xml").getroot().get("failures") == "0"


def test_own_predictions_from_python() -> None:
    done = subprocess.run([sys.executable, OWN / "from_python.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("gate: PASS\n")


POLICIES = [path for path in sorted(ROOT.glob("examples/**/*.toml")) if path.name != "domain.toml"]


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.name)
def test_policies_of_the_examples_are_policies(path: Path) -> None:
    assert Policy.load(path).properties


def test_the_readme_shows_the_help_that_the_program_prints() -> None:
    shown = re.search(r"```console\n\$ certifair --help\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert shown is not None
    command = [sys.executable, "-m", "certifair", "--help"]
    printed = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True).stdout
    assert shown[1] == printed
    assert all(f"`{verb}" in (ROOT / "README.md").read_text() for verb in VERBS)


def test_the_stored_certificate_of_the_example_verifies_and_the_registrar_is_somebody_else() -> None:
    folder = ROOT / "certificates" / "examples"
    found = certifair.verify(
        folder / "own_predictions.certificate.json",
        folder / "own_predictions.pub.pem",
        registrar_keys=folder / "registrar.pub.pem",
        now=datetime(2026, 12, 1, tzinfo=UTC),
    )
    assert found
    assert found.registrar_id not in (None, found.key_id)
    policy = hashlib.sha256((OWN / "certifair.toml").read_bytes()).hexdigest()
    assert found.predicate["policy"]["sha256"] == policy
