"""One-way imports: once over the syntax tree, once in a process where the solvers and torch cannot be imported."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "certifair"

BASE = frozenset({"errors", "exact", "spec", "evidence"})
VERIFIERS = frozenset({"checks", "certificate", "gate", "report"})
PRODUCERS = frozenset({"layer", "online", "training", "individual", "stability", "repair"})
EVERYTHING = BASE | VERIFIERS | PRODUCERS | {"compare"}

# Which folder (or module) directly under certifair may import which others.
ALLOWED: dict[str, frozenset[str]] = {
    "errors": frozenset(),
    "exact": frozenset({"errors"}),
    "spec": frozenset({"errors", "exact"}),
    "evidence": frozenset({"errors", "exact", "spec"}),
    "layer": BASE,
    "online": BASE | {"layer"},
    "training": BASE | {"layer", "online"},
    "individual": BASE | {"training"},  # it exports torch modules
    "stability": BASE,
    "repair": BASE | {"individual"},
    "checks": BASE,
    "certificate": BASE | {"checks"},
    "gate": BASE | {"checks", "certificate"},
    "report": BASE | {"checks", "certificate"},
    "compare": BASE | VERIFIERS | PRODUCERS,
    "cli": EVERYTHING,
    "__main__": frozenset({"cli"}),
    "__init__": BASE,  # at once; inside a function, anything
}
# Other packages: what the base may use at all, and what no verifier (nor what it stands on) may use, even lazily.
ONLY_OUTSIDE = {"errors": frozenset[str](), "spec": frozenset({"numpy"}), "exact": frozenset({"numpy"})}
FORBIDDEN = frozenset({"torch", "cvxpy", "cvxpylayers", "pulp", "highspy"})
STRICT = BASE | VERIFIERS


@dataclass(frozen=True)
class Import:
    """One thing that a module asks for: a dotted absolute name, or None where it is computed at run time."""

    name: str | None
    line: int
    lazy: bool


def _absolute(name: str, level: int, package: tuple[str, ...]) -> str:
    """The absolute name of an import; a relative one that climbs too far becomes a name that none may use."""
    if level == 0:
        return name
    if level > len(package):
        return "beyond certifair"
    return ".".join((*package[: len(package) - level + 1], *filter(None, [name])))


def _dynamic(call: ast.Call, package: tuple[str, ...]) -> str | None:
    """What `import_module` or `__import__` asks for; None if computed, unless inside the module's own package."""
    match call.args[:1]:
        case [ast.Constant(value=str(name))]:
            pass
        case [ast.JoinedStr(values=[ast.Constant(value=str(name)), *_])] if "." in name:
            name = name.rpartition(".")[0] or "." * len(name)  # f"certifair.gate.{x}", f".{x}"
        case [ast.JoinedStr(values=[ast.FormattedValue(value=ast.Name(id="__name__" | "__package__")), *_])]:
            return ".".join(package)
        case _:
            return None
    bare = name.lstrip(".")
    return _absolute(bare, len(name) - len(bare), package)


def _imports(node: ast.AST, package: tuple[str, ...], lazy: bool = False) -> Iterator[Import]:
    """Every import below `node`; lazy: inside a function, or for the type checker only."""
    match node:
        case ast.Import(names=names):
            for alias in names:
                yield Import(alias.name, node.lineno, lazy)
        case ast.ImportFrom(module=module, names=names, level=level):
            for alias in names:
                yield Import(f"{_absolute(module or '', level, package)}.{alias.name}", node.lineno, lazy)
        case ast.Call(func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module")):
            yield Import(_dynamic(node, package), node.lineno, lazy)
        case ast.Attribute(value=ast.Name(id="certifair"), attr=attr):  # `import certifair`, then certifair.layer
            yield Import(f"certifair.{attr}", node.lineno, lazy)
    typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
    below = lazy or typing_only or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    for child in ast.iter_child_nodes(node):
        yield from _imports(child, package, below)


def _complaint(home: str, found: Import) -> str | None:
    """Why a module of folder `home` must not do this import; None if it may."""
    if found.name is None:
        return "an import whose name is computed" if home in STRICT else None
    top, *rest = found.name.split(".")
    if top == "certifair":
        if not rest or rest[0] in {home, "__version__"} or (home == "__init__" and found.lazy):
            return None
        return None if rest[0] in ALLOWED[home] else f"{home} must not import certifair.{rest[0]}"
    if top in FORBIDDEN and home in STRICT | {"__init__"}:
        return f"{home} must not import {top}, not even lazily"
    if home in ONLY_OUTSIDE and top not in sys.stdlib_module_names:
        if top not in ONLY_OUTSIDE[home]:
            return f"{home} must not import {top}: only the standard library"
        if home == "spec" and not found.lazy:
            return f"spec must import {top} lazily, inside a function"
    return "a relative import that leaves certifair" if top == "beyond certifair" else None


def violations(root: Path) -> list[str]:
    """Every import under `root`, a folder of the package certifair, that goes the wrong way: "file:line: why"."""
    found = []
    for path in sorted(root.rglob("*.py")):
        relative = path.relative_to(root)
        home = relative.parts[0].removesuffix(".py")
        if home not in ALLOWED:
            found.append(
                f"{relative}:1: {home} has no place in the order of imports; give it one in {Path(__file__).name}"
            )
            continue
        package = ("certifair", *relative.parent.parts)
        for item in _imports(ast.parse(path.read_text(encoding="utf-8"), str(path)), package):
            why = _complaint(home, item)
            if why:
                found.append(f"{relative}:{item.line}: {why}")
    return found


# Imports every module of the folders that verify, with the forbidden packages out of reach.
WITHOUT_SOLVERS = """
import importlib, pathlib, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in FORBIDDEN:
            raise ModuleNotFoundError(f"blocked: {name}", name=name)

FORBIDDEN = set(sys.argv[2].split(","))
root = pathlib.Path(sys.argv[1])
sys.meta_path.insert(0, Blocker())
sys.path.insert(0, str(root.parent))
for path in sorted(root.rglob("*.py")):
    parts = path.relative_to(root.parent).with_suffix("").parts
    if len(parts) > 1 and parts[1] in set(sys.argv[3].split(",")):
        module = importlib.import_module(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
        assert pathlib.Path(module.__file__) == path, (module.__file__, path)
        print(module.__name__)
assert not FORBIDDEN & set(sys.modules)
"""


def import_without_solvers(root: Path) -> subprocess.CompletedProcess[str]:
    folders = ",".join(STRICT)
    command = [sys.executable, "-c", WITHOUT_SOLVERS, str(root), ",".join(FORBIDDEN), folders]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package as it is, in a place where a wrong import can be planted."""
    return Path(shutil.copytree(PACKAGE, tmp_path / "certifair", ignore=shutil.ignore_patterns("__pycache__")))


def plant(root: Path, where: str, code: str) -> str:
    """Write `code` into a new module; returns its path relative to the package."""
    (root / where).parent.mkdir(parents=True, exist_ok=True)
    (root / where).write_text(code, encoding="utf-8")
    return where


def test_every_import_goes_the_right_way() -> None:
    assert violations(PACKAGE) == []


@pytest.mark.parametrize(
    ("where", "code"),
    [
        ("checks/planted.py", "import torch"),
        ("evidence/planted.py", "def f():\n    from torch import nn"),
        ("gate/outputs/planted.py", "import importlib\nimportlib.import_module('torch')"),
        ("gate/planted.py", "from importlib import import_module\nimport_module('pulp')"),
        ("certificate/planted.py", "__import__('cvxpy.settings')"),
        ("report/planted.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import highspy"),
        ("checks/planted.py", "import importlib, sys\nimportlib.import_module(sys.argv[1])"),
        ("checks/planted.py", "from certifair.layer import projection"),
        ("checks/planted.py", "from certifair import layer"),
        ("checks/planted.py", "from certifair import FairnessLayer"),
        ("checks/planted.py", "import certifair.layer.projection as p"),
        ("checks/planted.py", "import certifair\ncertifair.FairnessLayer"),
        ("checks/planted.py", "from ..certificate import verify"),
        ("checks/planted.py", "from .. import gate"),
        ("checks/planted.py", "import importlib\nimportlib.import_module('..layer', __package__)"),
        ("checks/planted.py", "x = 'a'\nimport importlib\nimportlib.import_module(f'certifair.layer.{x}')"),
        ("checks/planted.py", "from ... import something"),
        ("certificate/planted.py", "from certifair.gate import rules"),
        ("gate/planted.py", "from certifair.report import page"),
        ("layer/planted.py", "from certifair.checks import replay"),
        ("layer/planted.py", "def f():\n    from certifair.training import trainer"),
        ("individual/planted.py", "from ..repair import prof"),
        ("exact/planted.py", "from certifair.spec import policy"),
        ("exact/planted.py", "import scipy"),
        ("spec/planted.py", "from certifair.evidence import bundle"),
        ("spec/planted.py", "import numpy"),
        ("spec/metrics/planted.py", "def f():\n    import pyarrow"),
        ("evidence/planted.py", "from certifair.cli import main"),
        ("newcomer/planted.py", ""),
    ],
)
def test_a_planted_import_is_reported(tmp_path: Path, where: str, code: str) -> None:
    planted = plant(tmp_path, where, code)
    (reported,) = violations(tmp_path)
    assert reported.startswith(f"{planted}:")


@pytest.mark.parametrize(
    ("where", "code"),
    [
        ("exact/planted.py", "import numpy\nfrom certifair.errors import InputError"),
        (
            "spec/planted.py",
            "def f():\n    import numpy\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import numpy",
        ),
        ("spec/metrics/planted.py", "from . import _helper\nfrom ..policy import Policy\nfrom ... import exact"),
        ("spec/metrics/planted.py", "import importlib\nx = 1\nimportlib.import_module(f'{__name__}.{x}')"),
        ("gate/outputs/planted.py", "import importlib\nx = 1\nimportlib.import_module(f'.{x}', __package__)"),
        ("gate/planted.py", "import certifair\nfrom certifair import __version__, certificate\ncertifair.checks"),
        ("training/planted.py", "import torch, importlib, sys\nimportlib.import_module(sys.argv[1])"),
        ("repair/planted.py", "from ..individual import engines"),
        ("cli/planted.py", "from certifair.compare import table\nfrom certifair.layer import projection\nimport torch"),
        (
            "__init__.py",
            "def __getattr__(name):\n    from certifair.layer import FairnessLayer\n    return FairnessLayer",
        ),
    ],
)
def test_an_allowed_import_is_not_reported(tmp_path: Path, where: str, code: str) -> None:
    plant(tmp_path, where, code)
    assert violations(tmp_path) == []


def test_verifiers_import_without_torch_and_solvers() -> None:
    result = import_without_solvers(PACKAGE)
    assert result.returncode == 0, result.stderr
    assert "certifair.errors" in result.stdout.split()


def test_a_planted_torch_cannot_be_imported(copy: Path) -> None:
    plant(copy, "checks/planted.py", "import torch\n")
    result = import_without_solvers(copy)
    assert result.returncode != 0
    assert "ModuleNotFoundError: blocked: torch" in result.stderr
