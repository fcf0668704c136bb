"""What equal group means cost in equal treatment, and how steep a network is.

    python examples/stability/run.py [--out DIR]

900 made-up people in three groups are served through the layer at smaller and smaller tolerances. Each time a bundle is
certified and verified, and its claims tell: how differently people with equal scores are served because of their group,
how far the scores may move before the layer's derivative changes, how far one person moves the others. Then a
scikit-learn network is bounded, from products of norms to a semidefinite program whose proof is checked.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import certifair
from certifair.certificate.sign import generate
from certifair.errors import CertifairError

BATCH, GROUPS = 300, ("north", "south", "east")
POLICY = """
[data]
sensitive_features = ["region"]
[data.values]
region = ["north", "south", "east"]
[predictions]
score = "score"
prediction = "served"
batch = "batch"
[system]
name = "stability example"
version = "1"
[layer]
metric = "demographic_parity"
sensitive_features = ["region"]
epsilon = {epsilon}
lower = 0
upper = 1
[[property]]
id = "parity"
kind = "feasibility"
metric = "demographic_parity"
sensitive_features = ["region"]
epsilon = {epsilon}
[[property]]
id = "sturdy"
kind = "stability"
min_radius = 0
[[property]]
id = "one-person"
kind = "stability"
max_change = 1
"""


def people(seed: int) -> pd.DataFrame:
    """Scores whose means differ by region by up to a fifth."""
    draw = np.random.default_rng(seed)
    region = draw.integers(0, 3, 3 * BATCH)
    score = np.clip(draw.beta(3, 3, len(region)) + np.array([0.1, 0.0, -0.1])[region], 0, 1)
    batch = np.arange(len(region)) // BATCH
    return pd.DataFrame({"region": np.array(GROUPS)[region], "score": score, "batch": [f"b{k}" for k in batch]})


def served(frame: pd.DataFrame, epsilon: str) -> pd.DataFrame:
    """The same, each batch through the layer."""
    layer = certifair.FairnessLayer("demographic_parity", epsilon=epsilon, lower=0, upper=1)
    parts = []
    for _, part in frame.groupby("batch", sort=False):
        scores = torch.tensor(part["score"].to_numpy())
        parts.append(part.assign(served=layer(scores, sensitive_features=part["region"]).numpy()))
    return pd.concat(parts)


def certified(frame: pd.DataFrame, epsilon: str, folder: Path, public: Path) -> dict[str, dict[str, str]]:
    """Claims by id, of a certificate that was verified from its evidence."""
    (folder / "policy.toml").write_text(POLICY.format(epsilon=epsilon))
    run = folder / f"run-{epsilon}"
    certifair.ingest(frame, folder / "policy.toml", run)
    made = certifair.certify(run, folder / "key.pem")
    (folder / f"epsilon-{epsilon}.certificate.json").write_bytes(made.content)
    found = certifair.verify(made.content, public, evidence=run)
    return {claim["id"]: claim for claim in found.predicate["claims"]}


def treatment(folder: Path) -> int:
    public, frame = generate(folder / "key.pem", passphrase=None), people(seed=1)
    print("tolerance  equal scores served apart  one person moves others  radius    verdict")
    worst = 0
    for epsilon in ("0.2", "0.1", "0.05", "0.02", "0.001"):
        claims = certified(served(frame, epsilon), epsilon, folder, public)
        figures = [float(claims[name]["estimate"]) for name in ("treatment", "one-person", "sturdy")]
        verdicts = {claim["verdict"] for claim in claims.values()}
        print("{:<9}  at most {:.4f}             at most {:.4f}           {:.1e}".format(epsilon, *figures), *verdicts)
        worst |= verdicts != {"PASS"}
    return worst


def steepness() -> None:
    draw = np.random.default_rng(2)
    inputs = np.column_stack([draw.normal(40, 15, 2000), draw.integers(0, 41, 2000), draw.uniform(0, 1, 2000)])
    label = inputs @ [0.03, 0.05, -1.5] + draw.normal(size=2000) > 1.2
    network = MLPClassifier((16, 8), alpha=0.01, max_iter=60, random_state=1, early_stopping=True)
    model = make_pipeline(StandardScaler(), network).fit(inputs, label)
    found = certifair.lipschitz(model, seconds=5)
    assert found.bound is not None
    assert found.lower is not None
    for rung in found.rungs:
        print(f"{rung.method:<9} the score moves by at most {float(rung.bound):.4f} for each unit of the inputs")
    print(
        f"attained  {float(found.lower):.4f} by two points, {float(100 * found.lower / found.bound):.0f}% of the bound"
    )


def main(folder: Path) -> int:
    code = treatment(folder)
    steepness()
    return code


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as name:
            if args.out is not None:
                args.out.mkdir(parents=True, exist_ok=True)
            sys.exit(main(args.out or Path(name)))
    except CertifairError as error:
        sys.exit(f"{error}")
