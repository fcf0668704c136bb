"""Real input: UCI Adult, predictions of a plain logistic regression, from CSV to the gate, against foreign oracles."""

from __future__ import annotations

import base64
import itertools
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import MetricFrame, selection_rate
from scipy.stats import beta
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.cli.conftest import Run

FEATURES = {"sex": ["sex"], "race": ["race"], "cross": ["sex", "race"]}
HEAD = """
[data]
label = "income_over_50k"
sensitive_features = ["sex", "race"]
split = "split"
certify = ["test"]
[data.values]
sex = [0, 1]
race = [0, 1, 2, 3, 4]
[predictions]
score = "p"
[system]
name = "adult-logistic"
version = "1"
frozen = true
held_out = true
"""


SMALL = """
[[property]]
id = "population-sex"
kind = "population"
metric = "demographic_parity"
sensitive_features = "sex"
epsilon = 0.18
confidence = 0.99
"""


def properties(epsilon: str) -> str:
    text = ""
    for kind, (name, features) in itertools.product(("feasibility", "population"), FEATURES.items()):
        text += f'[[property]]\nid = "{kind}-{name}"\nkind = "{kind}"\nmetric = "demographic_parity"\n'
        text += f"sensitive_features = {json.dumps(features)}\nintersectional = {str(len(features) > 1).lower()}\n"
        text += f"epsilon = {epsilon}\n"
    return text


@pytest.fixture(scope="module")
def adult(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with predictions.csv of everybody, small.csv of 300 people, and generous and strict policies."""
    folder = tmp_path_factory.mktemp("adult")
    data = pd.read_csv(shared / "data" / "encoded" / "adult.csv")
    inputs = data.drop(columns=["income_over_50k", "split"])
    train = data["split"] == "train"
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(inputs[train], data["income_over_50k"][train])
    table = data[["sex", "race", "income_over_50k", "split"]].assign(p=model.predict_proba(inputs)[:, 1])
    table.to_csv(folder / "predictions.csv", index=False)
    table[~train].head(300).to_csv(folder / "small.csv", index=False)
    (folder / "generous.toml").write_text(HEAD + properties("0.60"))
    (folder / "strict.toml").write_text(HEAD + properties("0.05"))
    (folder / "small.toml").write_text(HEAD + SMALL)
    return folder


def chain(certifair: Run, folder: Path, data: str, policy: str, gate: str) -> tuple[int, int, int, Any, Any]:
    """(exit codes of certify, verify, gate; the gate's output; the predicate)."""
    run, key, certificate = folder / "run", folder / "key.pem", folder / "c.certificate.json"
    assert certifair("keygen", "--out", key).code == 0
    assert certifair("ingest", folder / data, "--policy", folder / policy, "--out", run).code == 0
    certified = certifair("certify", run, "--key", key, "--out", certificate)
    public = folder / "key.pub.pem"
    verified = certifair("verify", certificate, "--public-key", public, "--evidence", run)
    gated = certifair("gate", certificate, "--policy", folder / gate, "--public-key", public)
    payload = base64.b64decode(json.loads(certificate.read_bytes())["dsseEnvelope"]["payload"])
    return certified.code, verified.code, gated.code, gated, json.loads(payload)["predicate"]


@pytest.fixture
def copy(adult: Path, tmp_path: Path) -> Path:
    for file in adult.iterdir():
        (tmp_path / file.name).symlink_to(file)
    return tmp_path


def test_generous_passes_and_every_figure_is_the_oracles(certifair: Run, copy: Path) -> None:
    *codes, _, predicate = chain(certifair, copy, "predictions.csv", "generous.toml", "generous.toml")
    claims = {claim["id"]: claim for claim in predicate["claims"]}
    table = pd.read_csv(copy / "predictions.csv")
    test = table[table["split"] == "test"]
    assert predicate["population"]["exclusions"] == [{"reason": "split = train", "count": int(len(table) - len(test))}]
    for name, features in FEATURES.items():
        check_point_figures(claims[f"feasibility-{name}"], test, features)
        check_intervals(claims[f"population-{name}"], test, features)
    assert codes == [0, 0, 0]


def test_strict_fails_naming_property_groups_and_gap(certifair: Run, copy: Path) -> None:
    *codes, gated, _ = chain(certifair, copy, "predictions.csv", "generous.toml", "strict.toml")
    table = pd.read_csv(copy / "predictions.csv")
    means = table[table["split"] == "test"].groupby("sex")["p"].mean()
    assert codes[2] == 1
    assert "FAIL" in gated.out
    assert "feasibility-sex" in gated.out
    assert f"sex: 0 - 1: {abs(means[0] - means[1]):.4f}" in " ".join(gated.out.replace("│", " ").split())


def test_small_sample_is_undecided_and_says_how_many_would_do(certifair: Run, copy: Path) -> None:
    *codes, gated, predicate = chain(certifair, copy, "small.csv", "small.toml", "small.toml")
    assert codes == [3, 3, 3]
    needed = predicate["claims"][0]["neededSampleSize"]
    assert needed > 300
    assert f"about {needed} people" in " ".join(gated.out.replace("│", " ").split())


def check_point_figures(claim: Any, test: pd.DataFrame, features: list[str]) -> None:
    """fairlearn's MetricFrame on the same rows: n, mean score, selection rate of each group, largest difference."""
    frame = MetricFrame(
        metrics={
            "n": lambda y, p: len(p),
            "mean": lambda y, p: np.mean(p),
            "rate": lambda y, p: selection_rate(y, p > 0.5),
        },
        y_true=test["income_over_50k"],
        y_pred=test["p"],
        sensitive_features=test[features],
    )
    cells = claim["witness"]["batches"]["listed"][0]["cells"]
    for cell in cells:
        key = tuple(int(value) for value in cell["group"])
        expected = frame.by_group.loc[key if len(key) > 1 else key[0]]
        assert cell["n"] == expected["n"]
        assert float(Fraction(cell["sum"]) / cell["n"]) == pytest.approx(expected["mean"], rel=1e-12)
        assert cell["positives"] / cell["n"] == pytest.approx(expected["rate"], rel=1e-12)
    enough = frame.by_group[frame.by_group["n"] >= 10]
    assert float(claim["estimate"]) == pytest.approx(enough["mean"].max() - enough["mean"].min(), abs=2e-12)
    assert float(claim["decisionGap"]) == pytest.approx(enough["rate"].max() - enough["rate"].min(), abs=2e-12)


def check_intervals(claim: Any, test: pd.DataFrame, features: list[str]) -> None:
    """Clopper–Pearson by scipy's beta distribution; the gap's interval from the groups' (three population claims)."""
    groups = test.assign(d=test["p"] > 0.5).groupby(features)["d"].agg(["sum", "count"])
    tail = (1 - 0.95) / 3 / (2 * len(claim["witness"]["cells"]))
    ends = {}
    for cell in claim["witness"]["cells"]:
        key = tuple(int(value) for value in cell["group"])
        s, n = groups.loc[key if len(key) > 1 else key[0]]
        assert (cell["n"], cell["sum"]) == (n, str(s))
        if n < 10:
            assert cell["interval"] is None
            continue
        low = beta.ppf(tail, s, n - s + 1) if s else 0.0
        high = beta.ppf(1 - tail, s + 1, n - s) if s < n else 1.0
        assert [float(end) for end in cell["interval"]] == pytest.approx([low, high], abs=3e-9)
        ends[key] = (low, high)
    pairs = list(itertools.permutations(ends.values(), 2))
    assert float(claim["upper"]) == pytest.approx(max(a[1] - b[0] for a, b in pairs), abs=6e-9)
    assert float(claim["lower"]) == pytest.approx(max(0, *(a[0] - b[1] for a, b in pairs)), abs=6e-9)
