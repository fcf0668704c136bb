"""The verb `individual` where a package that it needs is not installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from certifair.evidence.onnx_writer import write_network
from tests.cli.repair_cases import DOMAIN, network

HIDDEN = "import sys; sys.modules['{}'] = None; from certifair.cli import main; sys.exit(main(sys.argv[1:]))"


def without(package: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", HIDDEN.format(package), "individual", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("what", ["network", "bundle"])
def test_without_numba_one_line_says_so(tmp_path: Path, what: str) -> None:
    model, domain = tmp_path / "model.onnx", tmp_path / "domain.toml"
    model.write_bytes(write_network(network("sigmoid")))
    domain.write_text(DOMAIN)
    done = without("numba", *((tmp_path,) if what == "bundle" else (model, "--domain", domain)))
    assert done.returncode == 2
    assert done.stderr == "certifair individual: proofs need numba; pip install 'certifair[torch]'\n"
    assert done.stdout == ""


def test_a_module_of_our_own_that_is_absent_is_an_internal_error(tmp_path: Path) -> None:
    done = without("certifair.individual.properties", tmp_path)
    assert done.returncode == 70
    assert "certifair.individual.properties" in done.stderr
