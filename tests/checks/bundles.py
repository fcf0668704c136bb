"""Evidence in memory, written column by column as certifair/evidence/bundle.py describes a bundle."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa

from certifair.certificate.predicate import context_of
from certifair.checks.base import Context
from certifair.evidence.bundle import Contents, Evidence, load, manifest_of
from certifair.evidence.canonical import canonical, sha256
from certifair.evidence.columns import table_bytes
from certifair.evidence.inputs import Inputs
from certifair.evidence.system import system_of
from certifair.spec.policy import Policy
from certifair.spec.terms import Terms, terms_of
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
    properties: list[str] = field(default_factory=list)
    model: bytes | None = None
    preprocessing: Inputs | None = None
    inputs: Mapping[str, Sequence[Any]] = field(default_factory=dict)

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
        served["group." + name] = pa.array([list(sample.declared[name]).index(v) for v in column], pa.int32())
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
