"""Would this decision change if only the applicant's sex did? For every row, and for everybody who could apply.

    python examples/individual/run.py [--time SECONDS] [--out DIR]

A scikit-learn network learns from 4 000 made-up applications. It is asked three times: about each row, all flips
evaluated; about each row with its income known only to ±2 thousand; about the whole domain. An engine proposes, a
checker that trusts nothing of it decides, and the proof about the domain is written to a file and checked again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import certifair
from certifair.checks._individual.check import check_witness
from certifair.errors import CertifairError
from certifair.evidence.witness import read_witness, write_witness
from certifair.individual import decision_of
from certifair.spec.domain_file import load_domain, with_relaxed

DOMAIN = Path(__file__).with_name("domain.toml")


def applications(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (n, 8) as the domain orders them, and whether the loan was repaid: a little less often by women."""
    draw = np.random.default_rng(seed)
    sex, age = draw.integers(0, 2, n), draw.integers(18, 91, n)
    income = np.clip(np.rint(np.exp(draw.normal(3.7, 0.5, n))), 0, 200)
    debt, years = draw.integers(0, 151, n), np.minimum(draw.integers(0, 41, n), age - 18)
    purpose = draw.integers(0, 3, n)
    logit = -1.0 + 0.05 * income - 0.03 * debt + 0.06 * years + 0.4 * sex - 0.5 * (purpose == 0)
    repaid = draw.random(n) < 1 / (1 + np.exp(-logit))
    return np.column_stack([sex, age, income, debt, years, np.eye(3)[purpose]]).astype(float), repaid.astype(int)


def rows_line(what: str, proof: certifair.individual.Proof) -> str:
    verdicts = proof.checked.verdicts["real"]
    fair, unfair = (int((verdicts == code).sum()) for code in (1, 2))
    return f"{what}: {fair} of {len(verdicts)} fair, {unfair} unfair, {len(verdicts) - fair - unfair} undecided"


def main(seconds: float, out: Path) -> int:
    inputs, repaid = applications(4000, seed=1)
    network = MLPClassifier((16, 8), alpha=0.01, max_iter=60, random_state=1, early_stopping=True)
    model = make_pipeline(StandardScaler(), network).fit(inputs, repaid)
    domain = load_domain(DOMAIN).domain
    print(f"accuracy {model.score(inputs, repaid):.3f}; {int(domain.units):,} possible applicants")

    print(rows_line("rows", certifair.prove(model, domain, inputs)))
    print(rows_line("rows, income ±2", certifair.prove(model, with_relaxed(domain, "income", "2"), inputs)))

    proof = certifair.prove(model, domain, seconds=seconds)
    found = proof.checked.shares["real"]
    print(f"domain: {float(found.certified):.4%} certified, {float(found.falsified_share):.4%} falsified, ", end="")
    print(f"{float(found.undecided):.4%} undecided ({proof.witness.engine})")

    path = out / "proof.json"
    path.write_bytes(write_witness(proof.witness))
    again = check_witness(read_witness(path.read_bytes(), str(path)), decision_of(model), domain)
    print(f"checked again from {path.name} ({path.stat().st_size:,} bytes): ", end="")
    same = not proof.checked.complete or again.shares == proof.checked.shares
    print(f"{float(again.shares['real'].undecided):.4%} undecided" if same else "OTHER SHARES")
    return int(not same)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--time", type=float, default=20.0, help="seconds for the domain (default: %(default)s)")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder:
            if args.out is not None:
                args.out.mkdir(parents=True, exist_ok=True)
            sys.exit(main(args.time, args.out or Path(folder)))
    except CertifairError as error:
        sys.exit(f"{error}")
