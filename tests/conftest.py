from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).parents[1]

# Scripts that make runs, not tests; importing them for their doctests would be a waste.
collect_ignore = ["attack.py", "benchmarks"]

settings.register_profile("certifair", derandomize=True, deadline=None)
settings.load_profile("certifair")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of data and models beside the checkout."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("../shared is absent: the data sets and networks that this test reads are not here")
    return folder


@pytest.fixture(scope="session")
def compiled() -> None:
    """The search of proofs is compiled, so that seconds are for searching."""
    from certifair.individual import prepare

    prepare()


@pytest.fixture(scope="session")
def sigstore_js() -> Callable[[Path, Path], subprocess.CompletedProcess[str]]:
    """Sigstore's own verifier, (bundle, public key) -> process: exit 0 and "accepted", or 1 and the reason."""
    node = shutil.which("node")
    folder = ROOT / "tests" / "js"
    if node is None:
        pytest.skip("node is absent: Sigstore's own verifier cannot run")
    if not (folder / "node_modules").is_dir():
        pytest.skip("tests/js/node_modules is absent: run `make test`, or `npm ci` in tests/js")

    def verify(bundle: Path, key: Path) -> subprocess.CompletedProcess[str]:
        command = [node, str(folder / "verify.mjs"), str(bundle), str(key)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    return verify
