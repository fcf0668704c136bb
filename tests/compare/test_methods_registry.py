from __future__ import annotations

from pathlib import Path

import pytest

from certifair.compare import methods
from certifair.compare.base import Method
from certifair.errors import InputError

REPAIRS = {"zeroing", "finite", "prof", "prof_priced"}
ALL_HERE = {"threshold_optimizer", "exponentiated_gradient", "fairness_training"} | REPAIRS
PLANTED = """
from certifair.compare.base import Method

class Planted(Method):
    name = "{name}"
    def make(self, case, out):
        raise AssertionError

METHODS = (Planted(),)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another folder whose modules are found too."""
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    return tmp_path


def test_all_are_found_by_their_names() -> None:
    found = methods.methods()
    assert set(found) >= ALL_HERE
    assert all(isinstance(method, Method) and method.name == name for name, method in found.items())
    assert list(found) == sorted(found)
    assert {name for name in ALL_HERE if found[name].needs_base} == {"threshold_optimizer"} | REPAIRS
    assert {name for name in ALL_HERE if found[name].per_person} == REPAIRS


def test_a_new_file_is_a_new_method(folder: Path) -> None:
    (folder / "planted_method.py").write_text(PLANTED.format(name="planted"), encoding="utf-8")
    (folder / "_not_this.py").write_text("raise AssertionError", encoding="utf-8")
    assert "planted" in methods.methods.__wrapped__()


def test_two_of_one_name_are_refused(folder: Path) -> None:
    (folder / "planted_double.py").write_text(PLANTED.format(name="prof"), encoding="utf-8")
    with pytest.raises(ValueError, match="two methods have one name"):
        methods.methods.__wrapped__()


def test_an_unknown_one_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match="'zeroign' is no method") as error:
        methods.get("zeroign")
    assert "zeroing" in str(error.value)
