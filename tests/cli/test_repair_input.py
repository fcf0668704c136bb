"""The verb `repair` and what it cannot use: one line, and nothing is written."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from certifair.cli import repair as verb
from certifair.cli import repair_bundles
from certifair.errors import InputError
from certifair.evidence.bundle import load, read_contents
from certifair.evidence.onnx_writer import write_network
from certifair.repair.base import Repaired, Task
from certifair.repair.zeroing import Zeroing
from certifair.spec.network import Affine, Network
from tests.cli.conftest import NOW, Run
from tests.cli.repair_cases import DOMAIN, ROWS, Small, network, proposing


@pytest.fixture
def small(tmp_path: Path, certifair: Run) -> Small:
    return Small(tmp_path, certifair)


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
    assert small.figures["status"] == "failed"


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
        (nothing, ["--out", "F"], "is inside the path of --out"),
        (nothing, ["--out", "L", "--bundles", "B"], "cannot be written (File name too long)"),
        (nothing, ["--json", "L", "--bundles", "B"], "cannot be written (File name too long)"),
        (nothing, ["--bundles", "L"], "cannot be written (File name too long)"),
        (nothing, ["--json", "O"], "is the path of --out"),
        (nothing, ["--json", "O/../repaired.onnx"], "is the path of --out"),
        (nothing, ["--bundles", "O"], "is the path of --out"),
        (nothing, ["--json", "B", "--bundles", "B"], "is the path of --json"),
        (nothing, ["--bundles", "F"], "is inside the path of --bundles"),
        (nothing, ["--json", "B/told.json", "--bundles", "B"], "is inside the path of --bundles"),
        (nothing, ["--bundles", "O/evidence"], "is inside the path of --out"),
        (nothing, ["--bundles", "D"], "would be overwritten"),
        (nothing, ["--key", "K"], "need --bundles"),
        (nothing, ["--bundles", "B", "--now", NOW], "need --key"),
        (nothing, ["--bundles", "B", "--key", "nowhere.pem"], "nowhere.pem"),
        (nothing, ["--bundles", "B", "--demand", "1.5"], "--demand"),
        (nothing, ["--groups", "sex"], "needs --bundles"),
        (nothing, ["--bundles", "B", "--groups", "race"], "has no column 'race'"),
        (nothing, ["--choose", "43"], "there are 42 rows"),
        (nothing, ["--choose", "0"], "--choose"),
        (nothing, ["--time", "0"], "--time"),
        (nothing, ["--rows-time", "0"], "--rows-time"),
        (nothing, ["--rows-time", "nan"], "--rows-time"),
        (nothing, ["--domain-time", "-1"], "--domain-time"),
        (nothing, ["--domain-time", "nan"], "--domain-time"),
        (nothing, ["--seed", "-1"], "--seed"),
        (nothing, ["--seed", "4294967296"], "--seed"),
        (nothing, ["--objective", "money"], "invalid choice"),
        (nothing, ["--domain", "nowhere.toml"], "nowhere.toml"),
    ],
)
def test_wrong_input(small: Small, spoil: Callable[[Small], Any], options: list[str], said: str) -> None:
    spoil(small)
    named = {"M": small.model, "R": small.rows, "O": small.out, "F": small.folder, "B": small.bundles}
    named |= {"D": small.domain, "L": small.folder / ("x" * 250)}
    there = {path: path.read_bytes() for path in small.folder.rglob("*")}
    parts = [option.partition("/") for option in options]
    done = small(
        *(f"{named[name]}{slash}{rest}" if name in named else name + slash + rest for name, slash, rest in parts)
    )
    assert done.code == 2, done.out + done.err
    assert said in done.err
    errors = [line for line in done.err.splitlines() if not line.startswith("repairing ")]
    assert len(errors) == 1
    assert {path: path.read_bytes() for path in small.folder.rglob("*")} == there


@pytest.mark.parametrize("option", ["--out", "--json", "--bundles"])
@pytest.mark.parametrize("name", ["x" * 250, "nowhere/x"])
def test_what_cannot_be_written_is_known_before_the_work(small: Small, option: str, name: str) -> None:
    done = small(option, small.folder / name)
    assert done.code == 2
    assert done.err.splitlines()[0].startswith("certifair repair: ")  # not: repairing …
    assert "cannot be written" in done.err


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, lambda path: path.symlink_to("nowhere")])
def test_evidence_is_never_written_over(small: Small, make: Callable[[Path], Any]) -> None:
    make(small.bundles)
    there = small.files()
    done = small("--bundles", small.bundles)
    assert (done.code, small.files()) == (2, there)
    assert done.err.endswith("exists already; choose another --bundles\n")


def meanwhile(monkeypatch: pytest.MonkeyPatch, does: Callable[[], Any]) -> None:
    """Something that happens while a method is at work."""
    real = Zeroing.repair

    def repair(self: Zeroing, task: Task) -> Repaired:
        does()
        return real(self, task)

    monkeypatch.setattr(Zeroing, "repair", repair)


@pytest.mark.parametrize("spoiled", ["out", "told"])
def test_evidence_gets_its_name_last(small: Small, monkeypatch: pytest.MonkeyPatch, key: Path, spoiled: str) -> None:
    """What turns out not to be writable leaves no bundles without a model or figures, and nothing hidden."""
    there = small.files()
    place: Path = getattr(small, spoiled)
    meanwhile(monkeypatch, place.mkdir)
    done = small("--bundles", small.bundles, "--key", key)
    assert done.code == 2
    assert f"{place.name}: cannot be written" in done.err
    assert small.files() - {"repaired.onnx"} - there == {"told.json"} - {"told.json" if spoiled == "out" else ""}
    assert small.out.is_dir() == (spoiled == "out")


def test_evidence_that_cannot_be_completed_leaves_nothing(
    small: Small, monkeypatch: pytest.MonkeyPatch, key: Path
) -> None:
    there = small.files()

    def refused(*_: Any, **__: Any) -> None:
        raise InputError("no certificate today")

    monkeypatch.setattr(repair_bundles, "certify_bundle", refused)
    done = small("--bundles", small.bundles, "--key", key)
    assert (done.code, small.files()) == (2, there)
    assert "no certificate today" in done.err


def test_everything_is_about_the_same_bytes(small: Small, monkeypatch: pytest.MonkeyPatch, key: Path) -> None:
    """Whatever becomes of the files while a method is at work."""
    model, told = small.model.read_bytes(), small("--bundles", small.folder / "alone")
    assert told.code == 0, told.err
    alone = load(read_contents(small.folder / "alone" / "before"), "alone")
    given = {path: path.read_bytes() for path in (small.model, small.domain, small.rows)}

    def spoil() -> None:
        small.model.write_bytes(write_network(network("sigmoid", [0.0, 7.0, 0.0, 0.0])))
        small.domain.write_text(DOMAIN.replace("20", "40"))
        small.rows.write_text("\n".join(ROWS.splitlines()[:12]) + "\n")

    meanwhile(monkeypatch, spoil)
    done = small("--bundles", small.bundles, "--key", key)
    assert done.code == 0, done.err
    assert all(path.read_bytes() != content for path, content in given.items())
    assert small.figures["model"] == hashlib.sha256(model).hexdigest()
    assert small.figures["rows"] == 42
    for name in ("before", "after"):
        evidence = small.evidence(name)
        assert evidence.inputs is not None
        assert alone.inputs is not None
        assert evidence.labels is not None
        assert alone.labels is not None
        np.testing.assert_array_equal(evidence.inputs, alone.inputs)
        np.testing.assert_array_equal(evidence.labels, alone.labels)
        assert [item.high for item in evidence.policy.domain] == [item.high for item in alone.policy.domain]
    assert small.evidence("before").model == model


TERMINATED = """
import os, signal, sys
from certifair import cli
from certifair.repair.zeroing import Zeroing
Zeroing.repair = lambda self, task: os.kill(os.getpid(), signal.SIGTERM)
cli.main(sys.argv[1:])
"""


def test_whoever_ends_the_process_finds_nothing_hidden(small: Small) -> None:
    there = small.files()
    files = ["--domain", small.domain, "--rows", small.rows, "--out", small.out, "--bundles", small.bundles]
    options = ["repair", small.model, *files, "--method", "zeroing", "--domain-time", "0"]
    done = subprocess.run([sys.executable, "-c", TERMINATED, *map(str, options)], check=False)
    assert done.returncode == 128 + signal.SIGTERM
    assert small.files() == there


def test_the_signals_are_as_they_were(small: Small) -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert small().code == 0
    assert signal.getsignal(signal.SIGTERM) is before


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
