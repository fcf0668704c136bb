"""Files that are written before they get their names, and what can be known beforehand."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from certifair.errors import InputError
from certifair.evidence.files import require_new, require_writable, staged


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_staged_file_gets_its_name_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with staged(path, b"new") as publish:
        assert path.read_bytes() == b"old"
        publish()
        assert path.read_bytes() == b"new"
    assert entries(tmp_path) == ["a"]


def test_nothing_is_left_of_what_gets_no_name(tmp_path: Path) -> None:
    with staged(tmp_path / "a", b"new"):
        (hidden,) = tmp_path.iterdir()
        assert hidden.read_bytes() == b"new"
    assert entries(tmp_path) == []
    with pytest.raises(KeyboardInterrupt), staged(tmp_path / "a", b"new"):
        raise KeyboardInterrupt
    assert entries(tmp_path) == []


def test_what_is_refused_names_the_path_and_what_goes_wrong_beside_it_does_not(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere/a: cannot be written"), staged(tmp_path / "nowhere" / "a", b""):
        pass
    with pytest.raises(OSError, match="mine"), staged(tmp_path / "a", b""):
        raise OSError(errno.EIO, "mine")


def test_what_can_be_written_is_known_beforehand(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"old")
    for name in ("there", "new"):
        require_writable(tmp_path / name)
    assert entries(tmp_path) == ["there"]
    assert (tmp_path / "there").read_bytes() == b"old"
    for name, said in (
        ("", "is a folder"),
        ("nowhere/a", "No such file"),
        ("x" * 250, "name too long"),
        ("x" * 300, "name too long"),
    ):
        with pytest.raises(InputError, match=said):
            require_writable(tmp_path / name)
    if os.geteuid():
        tmp_path.chmod(0o500)
        with pytest.raises(InputError, match="Permission denied"):
            require_writable(tmp_path / "new")


def test_what_must_be_new_is_called_by_its_option(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    for path in (tmp_path, tmp_path / "link"):
        with pytest.raises(InputError, match=r"exists already; choose another --out$"):
            require_new(path)
        with pytest.raises(InputError, match=r"exists already; choose another --bundles$"):
            require_new(path, "--bundles")
    require_new(tmp_path / "new")
    with pytest.raises(InputError, match="cannot be written"):
        require_new(tmp_path / ("x" * 300))
