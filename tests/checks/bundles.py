"""Evidence in memory, written column by column as certifair/evidence/bundle.py describes a bundle."""

from __future__ import annotations

import copy
import dataclasses
import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from cryptography.hazmat.primitives.asymmetric import ec

from certifair import checks
from certifair.certificate.claims import assemble
from certifair.certificate.consistency import check_consistency
from certifair.certificate.derive import Issue, build
from certifair.certificate.log_head import sign_head
from certifair.certificate.predicate import context_of, digest_of
from certifair.certificate.schema import check_shape
from certifair.certificate.sign import signer_of
from certifair.checks.base import Context
from certifair.evidence.bundle import Contents, Evidence, load, manifest_of, read_bundle_log, read_contents
from certifair.evidence.canonical import canonical, sha256
from certifair.evidence.columns import table_bytes
from certifair.evidence.inputs import Inputs
from certifair.evidence.log import Batch, Header, LogHead, LogWriter, read_log
from certifair.evidence.system import system_of
from certifair.spec import Json
from certifair.spec.groups import MISSING
from certifair.spec.policy import Policy
from certifair.spec.terms import Terms, terms_of
from certifair.spec.verdict import Verdict
from tests.oracles.metric_oracle import Person, Question

FROZEN = Context(n=10**9, multiplicity=1, frozen_holdout=True)
"""A certificate with one population claim, about a map that is declared frozen and held out."""


@dataclass
class Sample:
    """A table of people; columns of `categories` are texts, `declared` lists what they may be."""

    declared: Mapping[str, Sequence[str]]
    categories: Mapping[str, Sequence[str]]
    predictions: Sequence[float]
    scores: Sequence[float] | None = None
    labels: Sequence[float] | None = None
    batches: Sequence[str] | None = None
    layer: str = ""
    system: str = "frozen = true\nheld_out = true"
    multipliers: Sequence[tuple[str, str, float]] | None = None
    witness: bytes | None = None
    gradients: bytes | None = None
    properties: list[str] = field(default_factory=list)
    model: bytes | None = None
    preprocessing: Inputs | None = None
    inputs: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    missing: bool = False
    """Whether "(missing)" is a group, beside the declared ones, of every category."""

    @property
    def n(self) -> int:
        return len(self.predictions)

    def people(self) -> list[Person]:
        return [
            Person(
                values={name: column[i] for name, column in self.categories.items()},
                prediction=Fraction(float(self.predictions[i])),
                score=None if self.scores is None else Fraction(float(self.scores[i])),
                label=None if self.labels is None else Fraction(float(self.labels[i])),
                batch="0" if self.batches is None else self.batches[i],
            )
            for i in range(self.n)
        ]

    def permuted(self, order: Sequence[int]) -> Sample:
        """The same people in another order."""

        def moved(column: Sequence[Any] | None) -> list[Any] | None:
            return None if column is None else [column[i] for i in order]

        return Sample(
            **{
                **self.__dict__,
                "categories": {name: moved(column) for name, column in self.categories.items()},
                "predictions": moved(self.predictions),
                "scores": moved(self.scores),
                "labels": moved(self.labels),
                "batches": moved(self.batches),
                "inputs": {name: moved(column) for name, column in self.inputs.items()},
            }
        )


def texts(values: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{value}"' for value in values) + "]"


def decimal(value: Fraction) -> str:
    """A decimal that equals the value."""
    scaled = value * 10**60
    assert scaled.denominator == 1
    sign, digits = ("-" if value < 0 else ""), str(abs(scaled.numerator)).rjust(61, "0")
    return f'"{sign}{digits[:-60]}.{digits[-60:]}"'


def property_of(question: Question, kind: str = "feasibility", **more: Any) -> str:
    """The `[[property]]` that asks this question."""
    bound = "ratio" if question.form == "ratio" else "epsilon"
    lines = [
        'id = "claim"',
        f'kind = "{kind}"',
        f'metric = "{question.metric}"',
        f"sensitive_features = {texts(question.features)}",
        f"intersectional = {str(question.intersectional).lower()}",
        f"{bound} = {decimal(question.threshold)}",
        f"tau = {decimal(question.tau)}",
        f'map = "{question.map}"',
        f"threshold = {decimal(question.decision_threshold)}",
        f"min_group_size = {question.min_group_size}",
    ]
    if question.form == "projection":
        lines.append('form = "projection"')
    if question.condition is not None:
        lines.append(f'condition = "{question.condition}"')
    lines += [f'{key} = "{value}"' for key, value in more.items()]
    return "[[property]]\n" + "\n".join(lines) + "\n"


def policy_of(sample: Sample) -> bytes:
    label = 'label = "label"\n' if sample.labels is not None else ""
    label += 'missing = "group"\n' if sample.missing else ""
    values = "".join(f"{name} = {texts(declared)}\n" for name, declared in sample.declared.items())
    return (
        f"[data]\n{label}sensitive_features = {texts(list(sample.declared))}\n[data.values]\n{values}"
        f"[system]\n{sample.system}\n{sample.layer}\n" + "".join(sample.properties)
    ).encode()


def contents_of(sample: Sample) -> Contents:
    """All files of the bundle."""
    policy = policy_of(sample)
    ids = pa.array(np.arange(1, sample.n + 1))
    data: dict[str, Any] = {"row_id": ids}
    batches = ["0"] * sample.n if sample.batches is None else list(sample.batches)
    served: dict[str, Any] = {"row_id": ids, "batch_id": pa.array(batches, pa.string())}
    for name, column in sample.categories.items():
        data["feature." + name] = pa.array(list(column), pa.string())
        values = [*sample.declared[name], *([MISSING] if sample.missing else [])]
        served["group." + name] = pa.array([values.index(v) for v in column], pa.int32())
    if sample.labels is not None:
        data["label"] = np.asarray(sample.labels, dtype=np.float64)
    if sample.scores is not None:
        served["score"] = np.asarray(sample.scores, dtype=np.float64)
    served["prediction"] = np.asarray(sample.predictions, dtype=np.float64)
    data |= {f"input.{name}": pa.array(list(column)) for name, column in sample.inputs.items()}
    contents = {
        "data": table_bytes(pa.table(data)),
        "predictions": table_bytes(pa.table(served)),
        "policy": policy,
    }
    if sample.model is not None:
        contents["model"] = sample.model
    if sample.preprocessing is not None:
        contents["preprocessing"] = sample.preprocessing.to_bytes()
    model = None if sample.model is None else {"name": "model.onnx", "sha256": sha256(sample.model)}
    preprocessing = None if sample.preprocessing is None else sha256(contents["preprocessing"])
    contents["system"] = canonical(system_of(Policy.parse(policy), model, preprocessing))
    if sample.multipliers is not None:
        batch, row, value = zip(*sample.multipliers, strict=True) if sample.multipliers else ((), (), ())
        table = {"batch_id": pa.array(batch, pa.string()), "row": pa.array(row, pa.string())}
        contents["multipliers"] = table_bytes(pa.table({**table, "multiplier": pa.array(value, pa.float64())}))
    for role in ("witness", "gradients"):
        if getattr(sample, role) is not None:
            contents[role] = getattr(sample, role)
    contents["manifest"] = manifest_of(contents, [])
    return contents


def evidence_of(sample: Sample) -> Evidence:
    return load(contents_of(sample), "bundle")


def terms_in(evidence: Evidence, number: int = 0) -> Terms:
    return terms_of(evidence.policy.properties[number], evidence.values)


def context_in(evidence: Evidence) -> Context:
    """As certifair.certificate builds it."""
    population = sum(item.kind == "population" for item in evidence.policy.properties)
    return context_of(evidence.system, evidence.n, population)


def terms_for(question: Question, method: str, confidence: str = "0.95") -> Terms:
    """The terms of a population claim, without people."""
    mapped = "scores" if method == "empirical_bernstein" else "decisions"
    asked = dataclasses.replace(question, map=mapped)
    sample = Sample(
        declared=question.declared,
        categories={name: [values[0]] for name, values in question.declared.items()},
        predictions=[0.5],
        scores=[0.5],
        labels=[1.0],
        properties=[property_of(asked, "population", method=method, confidence=confidence)],
    )
    return terms_in(evidence_of(sample))


@functools.lru_cache(maxsize=4096)
def parity(groups: int, form: str, threshold: Fraction, method: str, confidence: str = "0.95", least: int = 1) -> Terms:
    declared = {"g": tuple(f"v{k}" for k in range(groups))}
    question = Question("demographic_parity", ("g",), declared, threshold, form, min_group_size=least)
    return terms_for(question, method, confidence)


# ------------------------------------------------------------------------------------------------------------- streams
NOW = datetime(2026, 1, 1, tzinfo=UTC)
OWNER = signer_of(ec.derive_private_key(7, ec.SECP256R1()))
ISSUE = Issue("2026-01-01T00:00:00Z", "2026-03-01T00:00:00Z", "serial")
SPANS = {"moment": "after", "window": "window"}


def demand_of(question: Question, form: str, span: int | None = None) -> str:
    """The `[[property]]` of kind aggregate that asks this question."""
    end = "" if span is None else f"{SPANS[form]} = {span}\n"
    return property_of(question, "aggregate", form=form) + end


def signed(head: LogHead) -> bytes:
    """head.json, by the owner."""
    return sign_head(head, OWNER, NOW)


def write_log(folder: Path, header: Header, batches: Sequence[Batch], segment_records: int = 65_536) -> Path:
    """A sealed log of these batches, whoever made them up; returns its folder."""
    times = iter(range(10**6, 10**7))
    with LogWriter.create(folder, header, signed, lambda: next(times), segment_records) as writer:
        for batch in batches:
            writer.append(batch.row_ids, batch.features, batch.scores, batch.predictions, batch.columns)
        writer.seal()
    return folder


def serve(folder: Path, policy: str, scores: Sequence[float], features: Mapping[str, Sequence[str]]) -> Path:
    """The log of these people, served as the policy says; its folder, beside which policy.toml stands."""
    from certifair.training.stream import LogKeeping, People, serve_stream

    folder.mkdir(exist_ok=True)
    (folder / "policy.toml").write_text(policy)
    parsed = Policy.parse(policy.encode())
    ids = [f"p{k}" for k in range(len(scores))]
    columns = {name: np.array(column) for name, column in features.items()}
    people = People(ids, np.array(scores, dtype=np.float64), columns)
    times = iter(range(10**6, 10**7))
    keeping = LogKeeping("the log of a test", signed, lambda: next(times))
    system = sha256(canonical(system_of(parsed, None, None)))
    serve_stream(parsed, parsed.declared(), people, system, folder / "log", keeping)
    return folder / "log"


def batches_in(log: Path) -> tuple[Header, list[Batch]]:
    """What a log holds, ready to be written again."""
    read = read_log(log)
    rows, header = read.table().to_pylist(), read.header
    found = []
    for _, members in itertools.groupby(rows, key=lambda row: row["batch"]):
        people = list(members)
        found.append(
            Batch(
                [row["row_id"] for row in people],
                {name: [row[f"feature.{name}"] for row in people] for name in header.features},
                [row["score"] for row in people],
                [row["prediction"] for row in people],
                {name: people[0][name] for name, _ in header.shared},
            )
        )
    return header, found


def load_bundle(run: Path) -> Evidence:
    """The evidence in a bundle's folder, its log included."""
    return load(read_contents(run), str(run), read_bundle_log(run))


def predicate_in(evidence: Evidence) -> Json:
    """The predicate of a certificate over this evidence; it has the shape and contradicts itself nowhere."""
    predicate = build(evidence, ISSUE)
    check_shape(predicate)
    check_consistency(predicate, digest_of(predicate["materials"], "system"))
    return predicate


STREAM_HEAD = """
[data]
sensitive_features = ["sex", "age"]
[data.values]
sex = ["f", "m"]
age = ["young", "old"]
[layer]
metric = "demographic_parity"
sensitive_features = "sex"
epsilon = 0.02
[serve]
batch = 6
online = "paper"
"""


def stream_demand(name: str, form: str, epsilon: str = "0.9", features: str = '"sex"', more: str = "") -> str:
    """A `[[property]]` of kind aggregate; `more`: further lines."""
    lines = [f'id = "{name}"', 'kind = "aggregate"', f'form = "{form}"', 'metric = "demographic_parity"']
    return "\n".join(["[[property]]", *lines, f"sensitive_features = {features}", f"epsilon = {epsilon}", more, ""])


def stream_people(n: int = 120, seed: int = 0) -> tuple[list[float], dict[str, list[str]]]:
    """(scores, features): three in ten are f, whose scores are lower; in one batch of 6 out of 5 nobody is."""
    rng = np.random.default_rng(seed)
    women = rng.random(n) < 0.3
    scores = np.clip(rng.random(n) * 0.6 + 0.3 * ~women, 0, 1)
    ages = np.where(rng.random(n) < 0.5, "young", "old")
    return scores.tolist(), {"sex": np.where(women, "f", "m").tolist(), "age": ages.tolist()}


def put(name: str, path: str, value: Any) -> Callable[[Json], None]:
    """An edit of the claim of that id (or of the predicate, for the id ""): the member at the path becomes the value.

    A function of the present value may be given instead of one.
    """
    *parents, last = [int(part) if part.isdigit() else part for part in path.split("/")]

    def edit(predicate: Json) -> None:
        at: Any = next(claim for claim in predicate["claims"] if claim["id"] == name) if name else predicate
        for part in parents:
            at = at[part]
        at[last] = value(at[last]) if callable(value) else value

    return edit


def lied(predicate: Json, *lies: Callable[[Json], Any]) -> Json:
    """The predicate with these edits, and everything that follows from terms and witnesses derived again."""
    found = copy.deepcopy(predicate)
    for lie in lies:
        lie(found)
    n = next(item["rowCount"] for item in found["materials"] if item["role"] == "data")
    context = context_of(found["system"], n, found["multiplicity"])
    found["claims"] = [_assembled(claim, context) for claim in found["claims"]]
    found["verdict"] = Verdict.all(Verdict(claim["verdict"]) for claim in found["claims"]).value
    return found


def _assembled(claim: Json, context: Context) -> Json:
    terms = Terms.from_json(claim)
    check = checks.get(terms.kind, terms.form)
    assert check is not None
    extra = {key: claim[key] for key in ("decisionGap", "neededSampleSize", "reason", "assumptions")}
    try:
        return assemble(check, terms, claim["witness"], extra, context)
    except (ValueError, TypeError, LookupError):  # nothing follows from nonsense: it is tried as it stands
        return claim


def refusal(predicate: Json) -> str:
    """Why step 5 or 9 refuses the predicate; empty if neither does."""
    try:
        check_shape(predicate)
    except ValueError as error:
        return f"schema: {error}"
    try:
        check_consistency(predicate, digest_of(predicate["materials"], "system"))
    except (ValueError, ArithmeticError) as error:  # what the verifier takes for a refusal
        return str(error)
    return ""
