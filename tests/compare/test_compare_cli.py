"""`certifair compare` as a user meets it: files, numbers that `certify` derives again, wrong inputs."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from certifair.cli import compare, main
from certifair.compare import methods
from tests.compare.method_cases import people_set

ASKED = ("zeroing", "threshold_optimizer", "flayer")


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The comparison's folder, and the command that made it."""
    folder = tmp_path_factory.mktemp("compared")
    people_set(folder, epochs=2)
    out = folder / "out"
    command = ["compare", "--data", str(folder / "people.toml"), "--methods", *ASKED, "--seeds", "1"]
    command += ["--budget", "10", "--processes", "2", "--out", str(out)]
    assert main(command) == 0
    return out, command


def runs(out: Path) -> dict[str, Any]:
    return {path.parent.name: json.loads(path.read_bytes()) for path in sorted(out.glob("runs/people/*/run.json"))}


def test_all_that_was_promised_is_there(compared: tuple[Path, list[str]]) -> None:
    out, _ = compared
    names = {path.name for path in out.iterdir()}
    assert {"comparison.csv", "cells.csv", "comparison.md", "index.html", "comparison-people.png", "runs"} <= names
    found = runs(out)
    assert {name.rsplit("-", 1)[0] for name in found} == {*ASKED, "plain"}, "the network to start from is made as well"
    assert {run["status"] for run in found.values()} == {"done"}
    with (out / "comparison.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["method"] for row in rows} == set(ASKED), "and not shown"
    assert {row["seed"] for row in rows} == {"0"}


def test_the_numbers_agree_with_certify(compared: tuple[Path, list[str]], tmp_path: Path) -> None:
    """Another process, from the bundle alone, signs the claims that the table shows."""
    out, _ = compared
    assert main(["keygen", "--out", str(tmp_path / "key.pem")]) == 0
    with (out / "comparison.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for name in ("zeroing-0", "flayer-0", "threshold_optimizer-0"):
        run = out / "runs" / "people" / name
        certificate = tmp_path / f"{name}.json"
        code = main(["certify", str(run / "bundle"), "--key", str(tmp_path / "key.pem"), "--out", str(certificate)])
        assert code in (0, 1, 3)
        checked = main(
            [
                "verify",
                str(certificate),
                "--public-key",
                str(tmp_path / "key.pub.pem"),
                "--evidence",
                str(run / "bundle"),
            ]
        )
        assert checked == code
        signed = {claim["id"]: claim for claim in _claims(certificate)}
        stored = {claim["id"]: claim for claim in json.loads((run / "claims.json").read_bytes())}
        assert signed == stored
        _assert_rows_agree([row for row in rows if row["folder"].endswith(f"/{name}")], signed)


def _claims(certificate: Path) -> list[Any]:
    import base64

    document = json.loads(certificate.read_bytes())
    envelope = document.get("dsseEnvelope", document)
    found: list[Any] = json.loads(base64.b64decode(envelope["payload"]))["predicate"]["claims"]
    return found


def _assert_rows_agree(rows: list[dict[str, str]], signed: dict[str, Any]) -> None:
    claimed = [row for row in rows if row["claim"]]
    assert len(claimed) >= 3
    for row in claimed:
        claim = signed[row["claim"]]
        assert row["verdict"] == claim["verdict"]
        if row["property"] in ("batch_gap", "pooled_gap", "lipschitz", "treatment"):
            assert float(row["value"]) == pytest.approx(float(claim["estimate"]), abs=1e-15)


def test_a_second_call_makes_nothing_again(
    compared: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    out, command = compared
    before = {path: path.stat().st_mtime_ns for path in out.glob("runs/people/*/run.json")}
    assert main(command) == 0
    shown = capsys.readouterr()
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert "threshold_optimizer" in shown.out
    assert "done" not in shown.err


def test_the_command_is_told_and_can_be_given_again(compared: tuple[Path, list[str]]) -> None:
    out, command = compared
    page = (out / "comparison.md").read_text(encoding="utf-8")
    assert f"certifair compare --data {command[2]} --methods zeroing" in page


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--methods", "zeroin"], "'zeroin' is no method; did you mean 'zeroing'?"),
        (["--seeds", "0"], "--seeds: = 0 is no number from 1"),
        (["--budget", "0"], "--budget: = 0 is no reasonable"),
        (["--budget", "nan"], "--budget: = nan is no reasonable"),
        (["--processes", "0"], "--processes: = 0"),
        (["--data", "nowhere.toml"], "nowhere.toml: cannot be read"),
    ],
)
def test_wrong_inputs_are_one_line_and_make_nothing(
    change: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    people_set(tmp_path)
    command = ["compare", "--data", str(tmp_path / "people.toml"), "--methods", "zeroing", "--out", str(tmp_path / "o")]
    assert main([*command, *change]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert words in error[0]
    assert not (tmp_path / "o").exists()


def test_the_help_names_all_methods() -> None:
    assert sorted(compare.METHODS) == list(methods.methods())


def test_a_set_that_names_no_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people_set(tmp_path)
    path = tmp_path / "people.toml"
    path.write_text(path.read_text().replace('rows = "people.csv"\n', ""), encoding="utf-8")
    assert main(["compare", "--data", str(path), "--out", str(tmp_path / "o")]) == 2
    assert "names no rows" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
