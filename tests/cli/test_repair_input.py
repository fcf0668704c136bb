"""The verb `repair` and what it cannot use: one line, and nothing is written."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from certifair.cli import repair as verb
from certifair.evidence.onnx_writer import write_network
from certifair.spec.network import Affine, Network
from tests.cli.conftest import NOW, Run
from tests.cli.repair_cases import DOMAIN, ROWS, Small, network, proposing


@pytest.fixture
def small(tmp_path: Path, certifair: Run) -> Small:
    return Small(tmp_path, certifair)


@pytest.fixture
def key(tmp_path_factory: pytest.TempPathFactory, certifair: Run) -> Path:
    path = tmp_path_factory.mktemp("keys") / "key.pem"
    assert certifair("keygen", "--out", path).code == 0
    return path


def test_a_method_that_finds_nothing_says_why_and_writes_nothing(
    small: Small, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proposing(monkeypatch, None)
    there = small.files()
    done = small("--bundles", small.bundles, "--key", key)
    assert done.code == 3
    assert "nothing is written: Infeasible, said the solver" in done.out
    assert small.files() == there | {"told.json"}  # the figures, which were asked for
    assert (small.figures["after"], small.figures["repaired"]) == (None, None)


def two_outputs(small: Small) -> None:
    small.model.write_bytes(write_network(Network(4, (Affine(0, np.ones((2, 4)), np.zeros(2)),), 1)))


def softplus(small: Small) -> None:
    small.model.write_bytes(write_network(network("softplus")))


def wider(small: Small) -> None:
    small.domain.write_text(DOMAIN + '[[feature]]\nname = "more"\nkind = "integer"\nlow = 0\nhigh = 1\n')
    small.rows.write_text("".join(f"{line},{'more' if i == 0 else 1}\n" for i, line in enumerate(ROWS.splitlines())))


def rows(text: str) -> Callable[[Small], None]:
    return lambda small: small.rows.write_text(text) and None


def nothing(small: Small) -> None:
    pass


@pytest.mark.parametrize(
    ("spoil", "options", "said"),
    [
        (two_outputs, [], "gives 2 outputs"),
        (softplus, [], "model.onnx"),
        (wider, [], "takes 4 inputs"),
        (lambda small: small.model.write_text("no ONNX"), [], "model.onnx"),
        (rows("sex,income,good\n0,8,1\n"), [], "has no column 'purpose'"),
        (rows("sex,income,purpose,good\n"), [], "has no row"),
        (rows("sex,income,purpose,good\n0,8,car,2\n"), [], "'good' is 2 in row 1, not 0 or 1"),
        (rows("sex,income,purpose,good\n0,8,car,\n"), [], "'good' is missing in row 1"),
        (
            rows("sex,income,purpose,good,row_id\n0,8,car,1,a\n0,8,car,1,a\n"),
            ["--bundles", "B"],
            "needs an id of its own",
        ),
        (nothing, ["--label", "goood"], "did you mean 'good'"),
        (nothing, ["--method", "finit"], "did you mean 'finite'"),
        (nothing, ["--sensitive", "sexx"], "did you mean 'sex'"),
        (nothing, ["--out", "M"], "would be overwritten"),
        (nothing, ["--json", "R"], "would be overwritten"),
        (nothing, ["--out", "nowhere/x.onnx"], "cannot be written"),
        (nothing, ["--json", "O"], "is the model's and the figures' file"),
        (nothing, ["--bundles", "F"], "exists already"),
        (nothing, ["--key", "K"], "need --bundles"),
        (nothing, ["--bundles", "B", "--now", NOW], "need --key"),
        (nothing, ["--bundles", "B", "--key", "nowhere.pem"], "nowhere.pem"),
        (nothing, ["--bundles", "B", "--demand", "1.5"], "--demand"),
        (nothing, ["--groups", "sex"], "needs --bundles"),
        (nothing, ["--bundles", "B", "--groups", "race"], "has no column 'race'"),
        (nothing, ["--choose", "43"], "there are 42 rows"),
        (nothing, ["--choose", "0"], "--choose"),
        (nothing, ["--time", "0"], "--time"),
        (nothing, ["--domain-time", "-1"], "--domain-time"),
        (nothing, ["--seed", "-1"], "--seed"),
        (nothing, ["--objective", "money"], "invalid choice"),
        (nothing, ["--domain", "nowhere.toml"], "nowhere.toml"),
    ],
)
def test_wrong_input(small: Small, spoil: Callable[[Small], Any], options: list[str], said: str) -> None:
    spoil(small)
    named = {"M": small.model, "R": small.rows, "O": small.out, "F": small.folder, "B": small.bundles}
    there = {path: path.read_bytes() for path in small.folder.rglob("*")}
    done = small(*(named.get(option, option) for option in options))
    assert done.code == 2, done.out + done.err
    assert said in done.err
    errors = [line for line in done.err.splitlines() if not line.startswith("repairing ")]
    assert len(errors) == 1
    assert {path: path.read_bytes() for path in small.folder.rglob("*")} == there


@pytest.mark.parametrize(("method", "package"), [("prof", "torch"), ("prof", "pulp")])
def test_a_package_that_is_missing_is_named(
    small: Small, monkeypatch: pytest.MonkeyPatch, method: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    done = small("--method", method)
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines()[-1] == (
        f"certifair repair: the method '{method}' needs {package}; pip install 'certifair[torch]'"
    )


def test_only_what_is_missing_is_said_to_be(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of certifair's own that cannot be found is a fault of certifair's."""

    def broken(args: Any) -> int:
        raise ModuleNotFoundError("no certifair.nowhere", name="certifair.nowhere")

    monkeypatch.setattr(verb, "_run", broken)
    assert small().code == 70
