"""Environments of peers' own, made of a small wheel of the test's own: without a network."""

from __future__ import annotations

import base64
import hashlib
import os
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from certifair.compare import peers
from certifair.compare.base import NothingError

pytest.importorskip("ensurepip", reason="pip is absent: it installs peers")
PEER = "certifair-test-peer"
CODE = """
import sys, time
from pathlib import Path
VERSION = "{version}"
def main(folder):
    if folder.name == "slow":
        time.sleep(60)
    if folder.name == "broken":
        print("first words", file=sys.stderr)
        raise RuntimeError("a peer's own words")
    import certifair, numpy
    (folder / "where").write_text(__file__)
    (folder / "version").write_text(VERSION)
    (folder / "path").write_text(sys.path[0])
if __name__ == "__main__":
    main(Path(sys.argv[1]))
"""


def soon(seconds: float = 60.0) -> float:
    return time.monotonic() + seconds


def wheel(folder: Path, name: str, version: str) -> None:
    """A wheel with one module, as PEP 427 has it."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": CODE.format(version=version),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Dist: not-there==1\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    digests = {name: hashlib.sha256(text.encode()).digest() for name, text in files.items()}
    record = [
        f"{name},sha256={base64.urlsafe_b64encode(digests[name]).decode().rstrip('=')},{len(text.encode())}"
        for name, text in files.items()
    ]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""])
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)


@pytest.fixture(autouse=True)
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """pip sees the wheels of this folder, and nothing else."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for version in ("1.0", "2.0"):
        wheel(folder, "certifair_test_peer", version)
    wheel(folder, "certifair_test_pin", "1.0")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return iter(())


@pytest.mark.parametrize("here", [None, "0.9"])
def test_a_peer_runs_in_a_folder_of_its_own(tmp_path: Path, here: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "_installed", lambda _: here)
    cache, work = tmp_path / "cache", tmp_path / "work"
    work.mkdir()
    found = peers.environment((f"{PEER}==1.0",), cache, soon())
    found.run("certifair_test_peer", work, soon())
    (folder,) = cache.iterdir()
    assert Path((work / "where").read_text()).parent == folder
    assert (work / "version").read_text() == "1.0"
    assert Path((work / "path").read_text()) != Path.cwd()
    assert PEER not in sys.modules


def test_each_is_installed_once_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, asked = (
        tmp_path / "cache",
        [(f"{PEER}==1.0",), (f"{PEER}==2.0",), (f"{PEER}==1.0", "certifair-test-pin==1.0")],
    )
    first = [peers.environment(each, cache, soon()) for each in asked]
    assert len(list(cache.iterdir())) == len({each.variables["PYTHONPATH"] for each in first}) == 3
    assert len(list(cache.glob("*/certifair_test_pin.py"))) == 1
    monkeypatch.setenv("PIP_FIND_LINKS", os.devnull)
    again = [peers.environment(each, cache, soon()) for each in asked]
    assert [each.variables["PYTHONPATH"] for each in again] == [each.variables["PYTHONPATH"] for each in first]


def test_two_at_once_do_not_collide(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    found: list[peers.Environment] = []
    start = threading.Barrier(2)

    def work() -> None:
        start.wait()
        found.append(peers.environment((f"{PEER}==1.0",), cache, soon()))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    assert found[0].variables["PYTHONPATH"] == found[1].variables["PYTHONPATH"]
    (folder,) = cache.iterdir()
    assert (folder / "certifair_test_peer.py").is_file()


def test_what_is_there_already_is_not_installed(tmp_path: Path) -> None:
    from importlib.metadata import version

    numpy = version("numpy")
    found = peers.environment((f"numpy=={numpy}",), tmp_path / "cache", soon())
    assert not (tmp_path / "cache").exists()
    assert str(tmp_path) not in found.variables["PYTHONPATH"]


def test_what_cannot_be_installed_fails_in_pips_words(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with pytest.raises(NothingError, match="ERROR: Could not find a version") as error:
        peers.environment((f"{PEER}==3.0",), cache, soon())
    assert error.value.status == "failed"
    assert str(error.value).startswith(f"cannot install {PEER}==3.0: ")
    assert list(cache.iterdir()) == []


def test_what_is_not_pinned_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="name==version"):
        peers.environment((PEER,), tmp_path / "cache", soon())


def test_a_peer_that_breaks_or_dawdles_says_so(tmp_path: Path) -> None:
    found = peers.environment((f"{PEER}==1.0",), tmp_path / "cache", soon())
    with pytest.raises(
        NothingError, match="certifair_test_peer ended with 1: RuntimeError: a peer's own words"
    ) as error:
        found.run("certifair_test_peer", tmp_path / "broken", soon())
    assert error.value.status == "failed"
    started = time.monotonic()
    with pytest.raises(NothingError, match="did not end in time") as late:
        found.run("certifair_test_peer", tmp_path / "slow", soon(1.0))
    assert late.value.status == "time limit"
    assert time.monotonic() - started < 20


def test_the_cache_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert peers.cache_folder() == tmp_path / "certifair" / "peers"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert peers.cache_folder() == Path.home() / ".cache" / "certifair" / "peers"
