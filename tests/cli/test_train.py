"""`train` and the chain behind it, on real data and on wrong inputs."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.cli.conftest import NOW, Run

POLICY = """
[data]
label = "{label}"
sensitive_features = {features}
split = "split"

[data.values]
{values}

[system]
name = "{name}"

[training]
epochs = {epochs}
learning_rate = 0.01
method = "{method}"
{layer}
[[property]]
id = "parity"
kind = "feasibility"
metric = "demographic_parity"
sensitive_features = {features}
intersectional = {crossed}
epsilon = {epsilon}
"""
LAYER = """
[layer]
metric = "demographic_parity"
sensitive_features = {features}
intersectional = {crossed}
epsilon = 0.02
"""
RACES = "race = [0, 1, 2, 3, 4]"
CASES = {
    "adult-sex": ("adult", "income_over_50k", '["sex"]', "sex = [0, 1]", "false", 3),
    "adult-race": ("adult", "income_over_50k", '["race"]', RACES, "false", 3),
    "adult-sex-race": ("adult", "income_over_50k", '["sex", "race"]', f"sex = [0, 1]\n{RACES}", "true", 3),
    "german": ("german", "good_credit", '["age", "sex"]', "age = [0, 1]\nsex = [0, 1]", "false", 60),
    "compas": ("compas", "score_factor", '["Race"]', "Race = [0, 1]", "false", 15),
}


def policy(name: str, *, method: str = "flayer", epsilon: str = "0.02") -> str:
    _, label, features, values, crossed, epochs = CASES[name]
    layer = "" if method == "plain" else LAYER.format(features=features, crossed=crossed)
    return POLICY.format(
        label=label,
        features=features,
        values=values,
        crossed=crossed,
        name=name,
        epochs=epochs,
        method=method,
        layer=layer,
        epsilon=epsilon,
    )


@pytest.fixture
def key(certifair: Run, tmp_path: Path) -> tuple[Path, Path]:
    assert certifair("keygen", "--out", tmp_path / "key.pem").code == 0
    return tmp_path / "key.pem", tmp_path / "key.pub.pem"


@pytest.mark.parametrize("name", CASES)
def test_the_chain_on_real_data(
    name: str, certifair: Run, shared: Path, tmp_path: Path, key: tuple[Path, Path]
) -> None:
    table = shared / "data" / "encoded" / f"{CASES[name][0]}.csv"
    own, strict, run, certificate = (tmp_path / part for part in ("own.toml", "strict.toml", "run", "c.json"))
    own.write_text(policy(name))
    strict.write_text("[[property]]" + policy(name, epsilon="0.001").partition("[[property]]")[2])
    done = certifair("train", "--policy", own, "--data", table, "--out", run)
    assert done.code == 0, done.err
    assert "demographic_parity gap" in done.out
    assert certifair("certify", run, "--key", key[0], "--out", certificate, "--now", NOW).code == 0
    checked = certifair("verify", certificate, "--public-key", key[1], "--evidence", run, "--now", NOW)
    assert checked.code == 0, checked.err
    assert "projection" in checked.out
    assert "replay" in checked.out
    gate = ("gate", certificate, "--public-key", key[1], "--now", NOW, "--policy")
    assert certifair(*gate, own).code == 0
    refused = certifair(*gate, strict)
    assert refused.code == 1
    assert "FAIL" in refused.out
    assert "parity" in refused.out
    assert "demanded at most 0.001" in " ".join(refused.out.replace("│", " ").split())


@pytest.mark.parametrize("name", ["adult-sex", "german", "compas"])
def test_a_model_trained_without_the_layer_fails(
    name: str, certifair: Run, shared: Path, tmp_path: Path, key: tuple[Path, Path]
) -> None:
    table = shared / "data" / "encoded" / f"{CASES[name][0]}.csv"
    (tmp_path / "p.toml").write_text(policy(name, method="plain"))
    assert certifair("train", "--policy", tmp_path / "p.toml", "--data", table, "--out", tmp_path / "run").code == 0
    done = certifair("certify", tmp_path / "run", "--key", key[0], "--out", tmp_path / "c.json", "--now", NOW)
    assert done.code == 1
    assert "FAIL      parity" in done.out
    assert "demanded at most 0.02" in done.out


SMALL = """
[data]
label = "y"
sensitive_features = ["g"]
split = {train = 0.6, test = 0.4}
[data.values]
g = ["a", "b"]
town = ["big", "small"]
[model]
hidden = [4]
[training]
epochs = 2
batch = 64
"""
WITH_LAYER = '[layer]\nmetric = "demographic_parity"\nsensitive_features = "g"\nepsilon = 0.02\n'
PARITY = f'[[property]]\nid = "p"\nkind = "feasibility"\n{WITH_LAYER.removeprefix("[layer]")}'


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """200 people with a number, a category and a disparity."""
    draw = np.random.default_rng(3)
    lines = ["g,income,job,town,y"]
    for k in range(200):
        g = "ab"[int(draw.random() < 0.5)]
        income = draw.normal(30 + 10 * (g == "b"), 5)
        job = ("cook", "nurse", "judge")[int(draw.integers(3))] if k else "astronaut"
        lines.append(f"{g},{income:.2f},{job},{('big', 'small')[k % 2]},{int(income + draw.normal(0, 5) > 35)}")
    path = tmp_path / "small.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def train(certifair: Run, table: Path, text: str, tmp_path: Path):  # type: ignore[no-untyped-def]
    (tmp_path / "small.toml").write_text(text)
    return certifair("train", "--policy", tmp_path / "small.toml", "--data", table, "--out", tmp_path / "small-run")


def test_what_a_run_leaves_behind(certifair: Run, small: Path, tmp_path: Path) -> None:
    done = train(certifair, small, SMALL + WITH_LAYER + PARITY, tmp_path)
    assert done.code == 0, done.err
    run = tmp_path / "small-run"
    data, served = pq.read_table(run / "data.parquet"), pq.read_table(run / "predictions.parquet")
    assert {"input.income", "input.job", "input.town", "feature.g", "label"} <= set(data.column_names)
    assert "input.g" not in data.column_names  # sensitive features are no inputs unless they are listed
    assert data.num_rows == served.num_rows == pytest.approx(80, abs=4)
    assert {item["column"] for item in json.loads((run / "preprocessing.json").read_bytes())["inputs"]} == {
        "income",
        "job",
        "town",
    }
    history = json.loads((run / "training" / "history.json").read_bytes())
    assert len(history["epochs"]) == 2
    assert (run / "training" / "model.safetensors").stat().st_size > 100
    manifest = json.loads((run / "manifest.json").read_bytes())
    assert sum(item["count"] for item in manifest["exclusions"]) == 200 - data.num_rows
    assert b".py" not in (run / "model.onnx").read_bytes()  # no file of this machine is named


def test_the_same_run_twice_gives_the_same_bytes(certifair: Run, small: Path, tmp_path: Path) -> None:
    found = []
    for part in ("one", "two"):
        (tmp_path / part).mkdir()
        assert train(certifair, small, SMALL + WITH_LAYER + PARITY, tmp_path / part).code == 0
        run = tmp_path / part / "small-run"
        found.append({path.name: path.read_bytes() for path in run.iterdir() if path.is_file()})
    assert found[0] == found[1]


def test_labels_that_nobody_knows_yet_keep_the_layer_out_of_serving(
    certifair: Run, small: Path, tmp_path: Path
) -> None:
    layer = WITH_LAYER.replace("demographic_parity", "equal_opportunity").replace("0.02", "0.3")
    for known, served in (("false", None), ("true", "equal_opportunity")):
        folder = tmp_path / known
        folder.mkdir()
        done = train(certifair, small, f"{SMALL}{layer}[serve]\nlabels_known = {known}\n{PARITY}", folder)
        assert done.code == 0, done.err
        system = json.loads((folder / "small-run" / "system.json").read_bytes())
        assert (system["layer"] and system["layer"]["metric"]) == served
        assert (folder / "small-run" / "multipliers.parquet").exists() == (served is not None)


def test_conditional_parity_is_served_by_the_name_of_its_column(
    certifair: Run, small: Path, tmp_path: Path, key: tuple[Path, Path]
) -> None:
    layer = WITH_LAYER.replace("demographic_parity", "conditional_parity") + 'condition = "town"\n'
    demand = PARITY.replace("demographic_parity", "conditional_parity") + 'condition = "town"\n'
    done = train(certifair, small, SMALL + layer + demand, tmp_path)
    assert done.code == 0, done.err
    done = certifair("certify", tmp_path / "small-run", "--key", key[0], "--out", tmp_path / "c.json", "--now", NOW)
    assert done.code == 0, done.out
    assert "PASS      projection" in done.out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (PARITY, ["says nothing of training"]),
        (SMALL + PARITY, ["method 'flayer' needs a layer", 'method = "plain"']),
        (SMALL.replace('label = "y"\n', "") + WITH_LAYER, ["names no label"]),
        (SMALL.replace('"y"', '"z"') + WITH_LAYER, ["has no column 'z'"]),
        (SMALL.replace("split = {train = 0.6, test = 0.4}\n", "") + WITH_LAYER, ["not what to train on"]),
        (
            SMALL.replace("split = {train = 0.6, test = 0.4}", 'split = "town"') + WITH_LAYER,
            ["no row is in a part", "big"],
        ),
        (SMALL.replace('"b"]', '"c"]') + WITH_LAYER, ["'g'", "'b'"]),
        (SMALL.replace('label = "y"', 'label = "y"\ninputs = ["wage"]') + WITH_LAYER, ["has no column 'wage'"]),
        (SMALL.replace('label = "y"', 'label = "y"\ninputs = ["y"]') + WITH_LAYER, ["names the label"]),
        (SMALL.replace('label = "y"', 'label = "job"') + WITH_LAYER, ["'job'", "not a number"]),
        (SMALL + WITH_LAYER + '[predictions]\nscore = "s"\n', ["[predictions] is for imported ones"]),
        (SMALL.replace("hidden = [4]", 'factory = "nowhere.at_all:net"') + WITH_LAYER, ["cannot be imported"]),
        (SMALL.replace("hidden = [4]", 'factory = "json:dumps"') + WITH_LAYER, ["no torch module"]),
    ],
)
def test_wrong_policies(text: str, words: list[str], certifair: Run, small: Path, tmp_path: Path) -> None:
    done = train(certifair, small, text, tmp_path)
    assert done.code == 2, done.out
    assert len(done.err.strip().splitlines()) == 1, done.err
    assert all(word in done.err for word in words), done.err
    assert not (tmp_path / "small-run").exists()


def test_a_missing_input_is_named(certifair: Run, small: Path, tmp_path: Path) -> None:
    lines = small.read_text().splitlines()
    lines[7] = ",".join(["a", "", *lines[7].split(",")[2:]])
    small.write_text("\n".join(lines) + "\n")
    done = train(certifair, small, SMALL + WITH_LAYER, tmp_path)
    assert done.code == 2
    assert "'income' is missing in row 7" in done.err


def test_ingest_refuses_a_split_to_be_drawn(certifair: Run, small: Path, tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(SMALL + '[predictions]\nscore = "income"\n')
    done = certifair("ingest", small, "--policy", tmp_path / "p.toml", "--out", tmp_path / "run")
    assert done.code == 2
    assert "certifair train" in done.err


FACTORIES = """
import torch

class Tied(torch.nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.a, self.b = torch.nn.Linear(inputs, inputs), torch.nn.Linear(inputs, inputs)
        self.b.weight = self.a.weight
        self.last = torch.nn.Linear(inputs, 1)

    def forward(self, x):
        return torch.sigmoid(self.last(torch.relu(self.b(self.a(x / 100)))))

class Percent(torch.nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.net = torch.nn.Sequential(
            torch.nn.BatchNorm1d(inputs), torch.nn.Linear(inputs, 8), torch.nn.BatchNorm1d(8), torch.nn.ReLU(),
            torch.nn.Linear(8, 1), torch.nn.Sigmoid())

    def forward(self, x):
        return 100 * self.net(x)

def broken(inputs):
    raise RuntimeError("no such thing")
"""


@pytest.fixture
def factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "house_nets.py").write_text(FACTORIES)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("factories")
@pytest.mark.parametrize(
    ("model", "more"),
    [
        ('factory = "house_nets:Tied"', ""),
        ('factory = "house_nets:Percent"', "loss = 'mse'"),
        ('hidden = [4]\nfinal = "none"', "loss = 'mse'"),
    ],
)
def test_networks_and_boxes_of_other_makes_are_replayed(
    model: str, more: str, certifair: Run, small: Path, tmp_path: Path, key: tuple[Path, Path]
) -> None:
    wide = "lower = 0\nupper = 100\n" if more else ""
    text = SMALL.replace("hidden = [4]", model).replace("epochs = 2", f"epochs = 2\n{more}")
    done = train(
        certifair, small, text + WITH_LAYER.replace("0.02", "0.5") + wide + PARITY.replace("0.02", "0.5"), tmp_path
    )
    assert done.code == 0, done.err
    done = certifair("certify", tmp_path / "small-run", "--key", key[0], "--out", tmp_path / "c.json", "--now", NOW)
    assert done.code == 0, done.out


@pytest.mark.usefixtures("factories")
def test_a_factory_that_fails_is_the_policys_fault(certifair: Run, small: Path, tmp_path: Path) -> None:
    done = train(
        certifair, small, SMALL.replace("hidden = [4]", 'factory = "house_nets:broken"') + WITH_LAYER, tmp_path
    )
    assert (done.code, "no such thing" in done.err) == (2, True)


def test_wider_bounds_do_not_gain_a_pass(
    certifair: Run, small: Path, tmp_path: Path, key: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train(certifair, small, SMALL + WITH_LAYER + PARITY, tmp_path).code == 0
    run, certificate = tmp_path / "small-run", tmp_path / "c.json"
    monkeypatch.setattr("certifair.checks.replay.MARGIN", 2.0**50)
    assert certifair("certify", run, "--key", key[0], "--out", certificate, "--now", NOW).code == 3
    monkeypatch.undo()
    assert certifair("verify", certificate, "--public-key", key[1], "--evidence", run, "--now", NOW).code == 3


def test_what_ties_predictions_to_scores_is_said(
    certifair: Run, small: Path, tmp_path: Path, key: tuple[Path, Path]
) -> None:
    said = {}
    plain = SMALL.replace("epochs", 'method = "plain"\nepochs') + "[layer]\nlower = 0.4\nupper = 0.6\n" + PARITY
    for part, text in (("tied", SMALL + WITH_LAYER + PARITY), ("plain", plain)):
        folder = tmp_path / part
        folder.mkdir()
        assert train(certifair, small, text, folder).code == 0
        out = folder / "c.json"
        certifair("certify", folder / "small-run", "--key", key[0], "--out", out, "--now", NOW)
        payload = json.loads(base64.b64decode(json.loads(out.read_bytes())["dsseEnvelope"]["payload"]))
        said[part] = any("follow from the scores" in words for words in payload["predicate"]["nonClaims"])
    assert said == {"tied": False, "plain": True}
