"""The example of ProF's setting, on one small network: what its table says is what the checker says."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from certifair.checks._individual.check import check_witness
from certifair.evidence.onnx_reader import read_network
from certifair.individual import prove
from certifair.repair.prof import chosen_rows, decisions
from certifair.spec.domain_file import load_domain, with_sensitive
from certifair.spec.layers import layers_of

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", EXAMPLES / "prof" / "run.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def rows_of_table(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]


def test_the_table_says_what_the_checker_says(shared: Path, tmp_path: Path) -> None:
    asked = ("--model", "compas1", "--sensitive", "Race", "--method", "prof", "zeroing")
    done = run(*asked, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    head, _, *lines = rows_of_table(done.stdout)
    assert [line[1] for line in lines] == ["as it is", "ProF, as published", "zeroing"]
    assert all(len(line) == len(head) and all(line) for line in lines)
    assert "DOES NOT HOLD" not in done.stdout

    net = read_network((shared / "models" / "prof" / "compas-compas1.onnx").read_bytes(), "compas1")
    domain = with_sensitive(load_domain(shared / "models" / "domains" / "compas.toml").domain, ["Race"])
    table = pd.read_csv(shared / "data" / "encoded" / "compas.csv")
    values, labels = table.iloc[:, :6].to_numpy(dtype=float), table["score_factor"].to_numpy(dtype=float)
    train, test = (np.flatnonzero(table["split"] == part) for part in ("train", "test"))
    some = np.random.default_rng(0).permutation(train)[:500]
    promised = values[some[chosen_rows(500, 100, 0)]]
    repaired = (tmp_path / "out" / "compas1-Race-prof.onnx").read_bytes()
    networks = {"as it is": net, "ProF, as published": read_network(repaired, "repaired")}
    for line in lines[:2]:
        network = networks[line[1]]
        proved = prove(network, domain, promised, check=check_witness).checked.verdicts
        assert line[2:5] == ["100", *(str((proved[level] == 1).sum()) for level in ("real", "float32"))]
        decided = decisions(layers_of(network), values[test])
        assert line[5] == f"{(decided == (labels[test] == 1)).mean():.4f}"
        fresh = prove(network, domain, values[test], check=check_witness).checked.verdicts["real"]
        assert line[7] == f"{(fresh == 2).mean():.3%}"
    assert lines[0][7] != lines[1][7]
    assert lines[2][2:5] == [str(len(train))] * 3


def test_a_repair_without_an_answer_is_a_line_that_says_why(shared: Path) -> None:
    done = run("--model", "compas1", "--sensitive", "Race", "--seconds", 1e-6)
    _, _, _, *theirs, finite, _ = rows_of_table(done.stdout)
    assert len(theirs) == 2
    for line in theirs:
        assert line[1].startswith("ProF")
        assert "no time was left" in line[-1]
        assert set(line[3:8]) == {"no network"}
    assert finite[1:5] == ["finite, ours", "4937", "4937", "4937"]
    assert "without an answer: 2" in done.stdout


def test_without_the_data_it_says_what_to_do(tmp_path: Path) -> None:
    done = run("--data", tmp_path)
    missing = tmp_path / "models" / "domains" / "adult.toml"
    advice = "name the folder that holds models/ and data/ with --data"
    assert done.returncode == 2
    assert done.stderr == f"error: {missing}: is not there; {advice}\n"
    done = run("--sensitive", "height")
    assert done.returncode == 2
    assert "height" in done.stderr


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("published_run", EXAMPLES / "published" / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "published_run", module)
    spec.loader.exec_module(module)
    return module


PRINTED = {
    "synthetic": "set\n  flayer\n\nmeans over 32 sets\nflayer  1\n\nshare20, certified",
    "employee": "1200 people\n        mean squared error\nflayer  1\non a fifth\n\ncertified: x",
    "prof": "| a | b |\n|---|---|\n| 1 | 2 |\n\nholds: all",
}
TABLES = {
    "synthetic": ["```text", "means over 32 sets", "flayer  1", "```"],
    "employee": ["```text", "        mean squared error", "flayer  1", "on a fifth", "```"],
    "prof": ["| a | b |", "|---|---|", "| 1 | 2 |"],
}


@pytest.mark.parametrize("name", PRINTED)
def test_the_page_takes_each_table(published: ModuleType, name: str, tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(published.PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    lines = published.table(name, PRINTED[name].splitlines())
    published.put(name, lines, page)
    inside = page.read_text(encoding="utf-8").split(f"<!-- {name} -->\n")[1].split("<!-- end -->")[0]
    assert inside.strip().splitlines() == TABLES[name]
    assert page.read_text(encoding="utf-8").count("<!-- end -->") == 3
