"""Fixtures of the command line's tests: the verbs in this process, and one demo for all who only look at it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from certifair.cli import main

NOW = "2026-02-01T00:00:00Z"


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def certifair(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a verb; usage errors of argparse come back as their exit code too."""

    def run(*arguments: object) -> Done:
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as stopped:
            code = int(stopped.code or 0)
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return run


@pytest.fixture
def key(tmp_path_factory: pytest.TempPathFactory, certifair: Run) -> Path:
    """A private key, and `key.pub.pem` beside it; not in the test's own folder."""
    path = tmp_path_factory.mktemp("keys") / "key.pem"
    assert certifair("keygen", "--out", path).code == 0
    return path


@pytest.fixture(scope="session")
def demo_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "out"
    assert main(["demo", "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def demo(demo_made: Path, tmp_path: Path) -> Path:
    """A demo's folder that a test may spoil."""
    return Path(shutil.copytree(demo_made, tmp_path / "demo"))
