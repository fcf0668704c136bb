"""Small runs of every kind, drawn from a seed: policy, table, key. The golden files and the attacks start from them."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from certifair.certificate.certify import Certified, Registration, certify_bundle, register_policy
from certifair.certificate.derive import all_terms
from certifair.certificate.keys import PinnedKey, pin
from certifair.certificate.log_head import sign_head
from certifair.certificate.sign import signer_of
from certifair.evidence.bundle import PATHS, load, manifest_of, read_contents
from certifair.evidence.canonical import strict_json
from certifair.evidence.columns import read_columns, table_bytes
from certifair.evidence.domain import domain_of
from certifair.evidence.ingest import ingest, ingest_log
from certifair.evidence.onnx_reader import read_network
from certifair.evidence.proofs import add_proofs
from certifair.evidence.witness import Tree, Witness, layers_to_json
from certifair.spec import lipschitz
from certifair.spec.layers import layers_of
from tests.golden.logs import Logged, write_log
from tests.golden.network import SMALL, Small

ISSUED = datetime(2026, 1, 1, tzinfo=UTC)
NOW = "2026-01-01T12:00:00Z"
PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
# TEST KEYS. Everybody knows them; they protect nothing.
PRIVATE: dict[str, PrivateKey] = {
    "owner": ec.derive_private_key(20260101, ec.SECP256R1()),
    "stranger": ec.derive_private_key(20260102, ec.SECP256R1()),
    "registrar": ec.derive_private_key(20260103, ec.SECP256R1()),
    "p384": ec.derive_private_key(20260104, ec.SECP384R1()),
    "ed25519": ed25519.Ed25519PrivateKey.from_private_bytes((20260105).to_bytes(32, "big")),
    "koblitz": ec.derive_private_key(20260106, ec.SECP256K1()),
}
Columns = dict[str, list[Any]]


def public_pem(name: str) -> bytes:
    return (
        PRIVATE[name]
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def pinned(name: str) -> PinnedKey:
    return pin(PRIVATE[name].public_key(), name)


@dataclass(frozen=True)
class Case:
    """One run. `columns` are those of its table: sex, age, region, label, score, served, batch, split; those of its
    inputs too where the bundle holds a `network`, the dual variables where the people were served through a `log`.
    `trees` are proofs about the domain, by property, `proofs` those of Lipschitz bounds, `gradients`
    the record of a training.
    """

    name: str
    policy: str
    columns: Columns
    verdict: str
    key: str = "owner"
    registered: bool = False
    model: bytes | None = None
    network: Small | None = None
    trees: Mapping[str, Tree] = field(default_factory=dict)
    proofs: Mapping[str, lipschitz.Witness] = field(default_factory=dict)
    gradients: bytes | None = None
    multipliers: Mapping[str, list[Any]] | None = None
    log: Logged | None = None
    serial: str = field(default="")

    def build(self, folder: Path) -> tuple[Path, Certified]:
        """Ingest and certify in an empty folder; the evidence and the certificate."""
        folder.mkdir(parents=True, exist_ok=True)
        policy = folder / "policy.toml"
        policy.write_text(self.policy, encoding="utf-8")
        evidence = folder / f"{self.name}.evidence"
        self.ingest(self.columns, policy, evidence)
        registration = None
        if self.registered:
            content = register_policy(
                policy.read_bytes(), "policy", signer_of(PRIVATE["registrar"]), datetime(2025, 12, 1, tzinfo=UTC)
            )
            registration = Registration(content, (pinned("registrar"),))
        serial = self.serial or f"golden-{self.name}"
        signer = signer_of(PRIVATE[self.key])
        return evidence, certify_bundle(evidence, signer, now=ISSUED, serial=serial, registration=registration)

    def ingest(self, columns: Columns, policy: Path, out: Path) -> None:
        """A bundle of these columns, with the network or the log where the case has one."""
        if self.log is not None:
            folder = out.with_name(f"{out.name}.log")
            signer = signer_of(PRIVATE["owner"])
            sign = (lambda head: sign_head(head, signer, ISSUED)) if self.log.signed else None
            write_log(folder, columns, self.log, policy.read_bytes(), sign)
            ingest_log(folder, policy, out)
            shutil.rmtree(folder)
            return
        files = {} if self.network is None else self.network.files
        for name, content in {**files, **({} if self.model is None else {"model.bin": self.model})}.items():
            (policy.parent / name).write_bytes(content)
        multipliers = None if self.multipliers is None else pa.table(dict(self.multipliers))
        ingest(pa.table(columns), policy, out, multipliers)
        if self.network is not None:
            add_network(out, columns, self.network, self.gradients)
        if self.trees:
            add_trees(out, self.trees)
        if self.proofs:
            add_proofs(out, self.proofs)


def add_network(run: Path, columns: Columns, network: Small, gradients: bytes | None) -> None:
    """The network, its preprocessing and everybody's inputs come into a bundle that has none; a record of training."""
    contents = read_contents(run)
    data, inputs = read_columns(contents["data"], "data"), network.inputs.bundled(pa.table(columns))
    for name in inputs.column_names:
        data = data.append_column(name, inputs[name])
    contents |= {"data": table_bytes(data), "model": network.model, "preprocessing": network.inputs.to_bytes()}
    if gradients is not None:
        contents["gradients"] = gradients
    contents["manifest"] = manifest_of(contents, strict_json(contents["manifest"])["exclusions"])
    for role, content in contents.items():
        (run / PATHS[role]).parent.mkdir(exist_ok=True)
        (run / PATHS[role]).write_bytes(content)


def add_trees(run: Path, trees: Mapping[str, Tree]) -> None:
    """Proofs about domains, by the id of the property, come into a bundle that holds the network."""
    evidence = load(read_contents(run), str(run))
    assert evidence.model is not None
    network, proofs = read_network(evidence.model, "model"), {}
    for terms in all_terms(evidence):
        if terms.id in trees:
            domain = domain_of(terms.domain or (), terms.sensitive_features, None)
            assert domain is not None
            layers = layers_to_json(layers_of(network, terms.decision_threshold))
            proofs[terms.id] = Witness(layers, domain, trees[terms.id], "by hand")
    add_proofs(run, proofs)


def head(features: str = '"sex"', extra: str = "", system: str = "", box: str = "", missing: str = "error") -> str:
    """The part of a policy before its properties."""
    return f"""[data]
label = "label"
sensitive_features = [{features}]
missing = "{missing}"
{extra}
[data.values]
sex = ["f", "m"]
age = ["old", "young"]
region = ["north", "south"]

[predictions]
score = "score"
prediction = "served"
batch = "batch"

[system]
name = "golden"
version = "1"
{system}
{box}
"""


def prop(name: str, text: str, features: str = '"sex"') -> str:
    return f'[[property]]\nid = "{name}"\nsensitive_features = [{features}]\n{text}\n'


def people(seed: int, n: int, batches: int = 1, gap: float = 0.05, places: int = 2) -> Columns:
    """Made-up people: the mean score of f and m differs by about `gap`; label 1 with the score's probability."""
    draw = random.Random(seed)
    rows = []
    for k in range(n):
        sex = "f" if k % 2 else "m"
        score = round(min(1.0, max(0.0, draw.betavariate(3, 3) + (gap / 2 if sex == "m" else -gap / 2))), places)
        rows.append(
            {
                "sex": sex,
                "age": draw.choice(["old", "young"]),
                "region": draw.choice(["north", "south"]),
                "label": int(draw.random() < score),
                "score": score,
                "served": score,
                "batch": f"b{k * batches // n}",
                "split": "test" if k % 5 else "train",
            }
        )
    return {name: [row[name] for row in rows] for name in rows[0]}


def changed(columns: Columns, **new: Callable[[dict[str, Any], int], Any]) -> Columns:
    """The columns with some recomputed from (row, number)."""
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return {**columns, **{name: [make(row, k) for k, row in enumerate(rows)] for name, make in new.items()}}


def projected(seed: int, n: int, batches: int, epsilon: float) -> tuple[Columns, dict[str, list[Any]]]:
    """Scores served through their projection onto parity of two groups, and its multipliers (in closed form)."""
    columns = people(seed, n, batches, gap=0.3)
    served = list(columns["score"])
    multipliers: dict[str, list[Any]] = {"batch_id": [], "row": [], "multiplier": []}
    for batch in dict.fromkeys(columns["batch"]):
        members = {
            sex: [k for k in range(n) if columns["batch"][k] == batch and columns["sex"][k] == sex] for sex in "fm"
        }
        means = {sex: sum(served[k] for k in members[sex]) / len(members[sex]) for sex in "fm"}
        difference = means["f"] - means["m"]
        nu = abs(difference) - (epsilon - 1e-12)
        nu = 0.0 if nu <= 0 else nu / sum(1 / len(members[sex]) for sex in "fm") * (1 if difference > 0 else -1)
        for sex, sign in (("f", 1), ("m", -1)):
            for k in members[sex]:
                served[k] -= sign * nu / len(members[sex])
        for name, value in zip(multipliers, (batch, "sex: f - m", nu), strict=True):
            multipliers[name].append(value)
    return {**columns, "served": served}, multipliers


def scored(seed: int, n: int) -> Columns:
    """People whose scores are the network's values, each the nearest float64, served as they are."""
    draw = random.Random(seed)
    return scored_by(SMALL, changed(people(seed, n), income=lambda row, k: draw.randrange(101) / 100))


def scored_by(network: Small, columns: Columns) -> Columns:
    columns = changed(columns, score=lambda row, k: float(network.value(row)))
    return changed(columns, served=lambda row, k: row["score"])


FEASIBLE = 'kind = "feasibility"\nmetric = "demographic_parity"\n'
FROZEN = "frozen = true\nheld_out = true\n"
POPULATION = 'kind = "population"\nmetric = "demographic_parity"\n'
BOX = "[layer]\nlower = 0\nupper = 1\n"
NETWORKED = 'model = "model.onnx"\npreprocessing = "preprocessing.json"\n'
REPLAY = '[[property]]\nid = "scores"\nkind = "replay"\nepsilon = 0.000001\n'
LAYER = '[layer]\nmetric = "demographic_parity"\nsensitive_features = ["sex"]\nepsilon = 0.05\nlower = -1\nupper = 2\n'
ODD = ("Zo\u00e9", "Zoe\u0301", "a - b", "a", "b | c", "b - c")  # names that look or read like one another


def _all() -> list[Case]:
    from tests.golden.individual_cases import individual_cases  # made of what stands above
    from tests.golden.stability_cases import stability_cases
    from tests.golden.stream_cases import stream_cases

    served, multipliers = projected(9, 60, 2, 0.05)
    few = changed(people(3, 60), sex=lambda row, k: "f" if k < 4 else "m")
    gone = changed(people(5, 60), sex=lambda row, k: "m")
    missing = changed(people(6, 90), sex=lambda row, k: None if k % 3 == 0 else row["sex"])
    outside = changed(people(20, 60), served=lambda row, k: 1.25 if k == 7 else row["score"])
    odd = changed(people(24, 120, gap=0), sex=lambda row, k: ODD[k % len(ODD)])
    odd_policy = head().replace('sex = ["f", "m"]', f"sex = {str(list(ODD)).replace(chr(39), chr(34))}")
    sampled = head(system=FROZEN)
    altered = changed(scored(16, 20), score=lambda row, k: row["score"] + (2e-6 if k == 7 else 0))
    # beyond float64 inside the network, so nothing is known of that score
    beyond = changed(scored(17, 20), income=lambda row, k: 1.7e308 if k == 3 else row["income"])
    approved = changed(people(11, 300, gap=0.1), score=lambda row, k: 0.75 if k % 7 else 0.25)
    return [
        Case("parity", head(box=BOX) + prop("p", FEASIBLE + "epsilon = 0.2"), people(1, 60), "PASS"),
        Case("parity-fail", head() + prop("p", FEASIBLE + "epsilon = 0.01"), people(2, 60, gap=0.4), "FAIL"),
        Case("undersized", head() + prop("p", FEASIBLE + "ratio = 0.5"), few, "UNDECIDED"),
        Case("absent-group", head() + prop("p", FEASIBLE + "epsilon = 0.5"), gone, "UNDECIDED"),
        Case(
            "missing-group",
            head(missing="group") + prop("p", FEASIBLE + "epsilon = 0.3") + prop("q", FEASIBLE + "ratio = 0.5"),
            missing,
            "PASS",
        ),
        Case(
            "batches",
            head()
            + prop("parity", FEASIBLE + "epsilon = 0.3\nmin_group_size = 5")
            + prop("ratio", FEASIBLE + 'ratio = 0.4\nmin_group_size = 5\nmap = "decisions"')
            + prop(
                "odds",
                'kind = "feasibility"\nmetric = "equalized_odds"\nepsilon = 0.9\ntau = 0.001\nmin_group_size = 1',
            ),
            people(4, 90, 3),
            "PASS",
        ),
        Case(
            "residuals",
            head()
            + prop("r", 'kind = "feasibility"\nmetric = "equalized_residuals"\nepsilon = 0.3')
            + prop(
                "o",
                'kind = "feasibility"\nmetric = "equal_opportunity"\nepsilon = 0.5\nmap = "decisions"\n'
                "threshold = 0.4\nmin_group_size = 3",
            ),
            people(7, 90),
            "PASS",
        ),
        Case(
            "intersection",
            head('"sex", "age"')
            + prop("both", FEASIBLE + "epsilon = 0.4\nintersectional = true\nmin_group_size = 3", '"sex", "age"')
            + prop(
                "by-region",
                'kind = "feasibility"\nmetric = "conditional_parity"\ncondition = "region"\nepsilon = 0.5\n'
                'min_group_size = 2\nmap = "scores"',
            ),
            people(8, 120, 2),
            "PASS",
        ),
        Case(
            "projection",
            head(box=LAYER) + prop("parity", FEASIBLE + "epsilon = 0.05"),
            served,
            "PASS",
            multipliers=multipliers,
        ),
        Case(
            "projection-undecided",
            head(box=LAYER) + prop("served", FEASIBLE + 'form = "projection"\nepsilon = 0.000001'),
            served,
            "UNDECIDED",
            multipliers={**multipliers, "multiplier": [0.0, multipliers["multiplier"][1]]},
        ),
        Case(
            "clopper-pearson",
            sampled.replace('version = "1"', 'version = "1"\nmodel = "model.bin"')
            + prop("gap", POPULATION + "epsilon = 0.25"),
            approved,
            "PASS",
            model=b"weights",
        ),
        Case(
            "population-ratio",
            sampled + prop("ratio", POPULATION + "ratio = 0.7\nconfidence = 0.9", '"sex", "age"'),
            approved,
            "PASS",
        ),
        Case(
            "beta-mixture",
            sampled
            + prop("gap", POPULATION + 'epsilon = 0.2\nmethod = "beta_mixture"')
            + prop(
                "opportunity",
                'kind = "population"\nmetric = "equal_opportunity"\nepsilon = 0.6\nmethod = "beta_mixture"\n'
                "confidence = 0.999",
            ),
            people(12, 200),
            "UNDECIDED",
        ),
        Case(
            "bernstein",
            sampled
            + prop("gap", POPULATION + 'epsilon = 0.5\nmap = "scores"')
            + prop("off", 'kind = "population"\nmetric = "equalized_residuals"\nepsilon = 0.7\nmap = "scores"'),
            people(13, 240),
            "PASS",
        ),
        Case(
            "population-fail",
            sampled + prop("gap", POPULATION + "epsilon = 0.1"),
            people(14, 300, gap=0.6),
            "FAIL",
        ),
        Case("unfrozen", head() + prop("gap", POPULATION + "epsilon = 0.5"), people(15, 60), "UNDECIDED"),
        Case(
            "registered",
            head() + prop("p", FEASIBLE + "epsilon = 0.2"),
            people(1, 60),
            "PASS",
            key="p384",
            registered=True,
        ),
        Case("ed25519", head() + prop("p", FEASIBLE + "epsilon = 0.2"), people(1, 60), "PASS", key="ed25519"),
        Case("box-violated", head(box=BOX) + prop("p", FEASIBLE + "epsilon = 0.5"), outside, "FAIL"),
        Case(
            "split",
            head(extra='split = "split"\ncertify = "test"\nwindow = ["2025-10-01", "2025-12-31"]')
            + prop("p", FEASIBLE + "epsilon = 0.3"),
            people(21, 100),
            "PASS",
        ),
        Case("odd-names", odd_policy + prop("p", FEASIBLE + "epsilon = 0.5"), odd, "PASS"),
        Case("replay", head(system=NETWORKED), scored(16, 20), "PASS", network=SMALL),
        Case("replay-fail", head(system=NETWORKED) + REPLAY, altered, "FAIL", network=SMALL),
        Case("replay-undecided", head(system=NETWORKED) + REPLAY, beyond, "UNDECIDED", network=SMALL),
        Case("no-claims", head(), people(1, 60), "UNDECIDED"),
        Case(
            "twins",
            head() + prop("loose", FEASIBLE + "epsilon = 0.3") + prop("tight", FEASIBLE + "epsilon = 0.2"),
            people(1, 60),
            "PASS",
        ),
        *stream_cases(),
        *individual_cases(),
        *stability_cases(),
    ]


CASES = {case.name: case for case in _all()}
