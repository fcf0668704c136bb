"""From evidence to predicate: everything a certificate says, but for a few injected words (clock, serial, names)."""

from __future__ import annotations

import functools
import hashlib
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np

from certifair import __version__
from certifair.certificate.claims import measure_claim
from certifair.certificate.figures import partitions_shown, regulatory_views, unknown_counts
from certifair.certificate.predicate import context_of, digest_of
from certifair.evidence.bundle import Evidence
from certifair.evidence.canonical import canonical
from certifair.evidence.domain import ranges_of
from certifair.evidence.groups import group_table
from certifair.spec import Json
from certifair.spec.policy import (
    Property,
    log_property,
    projection_property,
    replay_property,
    treatment_property,
)
from certifair.spec.terms import Terms, terms_of
from certifair.spec.verdict import Verdict

NOT_REPLAYED = "that the system named by the subject produced these predictions: they were handed over, not replayed"
NOT_OBSERVED = (
    "that the service which the owner runs is this network: scores were computed again from logged inputs, "
    "the service itself was not watched, nor its rounding"
)
NOT_DERIVED = "that the served predictions follow from the scores: nothing here says how they were made of them"
NON_CLAIMS = (
    "anything about people, times or data outside the evidence, but for claims of scope population",
    "individual fairness or stability, but for claims of these kinds; or the cause of any difference",
    "that any law or regulation is met: regulatory views are figures for people who judge that",
)


@final
@dataclass(frozen=True)
class Issue:
    """What is injected into a certificate: nothing in it depends on the machine's clock or random numbers."""

    issued_at: str
    valid_until: str
    serial: str
    supersedes: str | None = None
    policy_uri: str = "policy.toml"
    registered_at: str | None = None
    registration: Json | None = None


def build(evidence: Evidence, issue: Issue) -> Json:
    """The predicate of a certificate over this evidence."""
    derived = derive(evidence)
    return {
        **derived,
        "policy": {
            "uri": issue.policy_uri,
            "sha256": digest_of(derived["materials"], "policy"),
            "registeredAt": issue.registered_at,
            "registration": issue.registration,
        },
        "verifier": {"name": "certifair", "version": __version__, "sha256": own_digest()},
        "environment": environment(),
        "issuedAt": issue.issued_at,
        "validUntil": issue.valid_until,
        "serial": issue.serial,
        "supersedes": issue.supersedes,
    }


def derive(evidence: Evidence, *, published: bool = True) -> Json:
    """The members that follow from the evidence alone, to be published or to compare published ones with."""
    terms = all_terms(evidence)
    multiplicity = sum(item.kind == "population" for item in terms)
    context = context_of(evidence.system, evidence.n, multiplicity)._replace(published=published)
    claims = [measure_claim(item, evidence, context) for item in terms]
    groups = _groups(evidence, terms)
    return {
        "system": evidence.system,
        "materials": evidence.materials,
        "population": {
            "estimand": "superpopulation" if multiplicity else "census",
            "window": None if evidence.policy.data.window is None else list(evidence.policy.data.window),
            "exclusions": evidence.exclusions,
            "unknownCounts": unknown_counts(groups),
        },
        "groups": groups,
        "claims": claims,
        "verdict": Verdict.all(Verdict(claim["verdict"]) for claim in claims).value,
        "nonClaims": _non_claims(evidence, terms),
        "multiplicity": multiplicity,
        "regulatoryViews": regulatory_views(groups, evidence.n),
    }


def _non_claims(evidence: Evidence, terms: list[Terms]) -> list[str]:
    """What nobody should read into the claims: by which of them are there, not by how they ended."""
    if not any(item.kind == "replay" for item in terms):
        return [NOT_REPLAYED, *NON_CLAIMS]
    as_they_are = evidence.scores is not None and np.array_equal(evidence.predictions, evidence.scores)
    tied = as_they_are or any(item.form == "projection" for item in terms)
    return [NOT_OBSERVED, *([] if tied else [NOT_DERIVED]), *NON_CLAIMS]


def all_terms(evidence: Evidence) -> list[Terms]:
    """The policy's properties, and what comes by itself: with a layer's multipliers, that its projection was served;
    with a layer and scores, how unlike it treats people alike; with a model, that it gave the scores; with a log, that
    it is whole, and its dual steps right where it has any.
    """
    policy = evidence.policy
    properties = list(policy.properties)
    taken = {item.id for item in properties}
    asked = {item.form for item in properties}
    layer = policy.layer if policy.served_metric is not None else None
    if layer is not None and evidence.multipliers is not None and "projection" not in asked:
        properties.append(projection_property(layer, _free("projection", taken)))
    offline = evidence.scores is not None and policy.serve.online is None
    if layer is not None and layer.epsilon is not None and offline and "treatment" not in asked:
        properties.append(treatment_property(layer, _free("treatment", taken)))
    if evidence.model is not None and not any(item.kind == "replay" for item in properties):
        properties.append(replay_property(name=_free("replay", taken)))
    forms = [] if evidence.stream is None else ["chain", *(["steps"] if evidence.stream.duals is not None else [])]
    for form in forms:
        if form not in asked:
            properties.append(log_property(form, _free(form, taken)))
    return [
        terms_of(
            item,
            evidence.values,
            ranges_of(item, policy, evidence.preprocessing) if _about_inputs(item) else None,
        )
        for item in properties
    ]


def _about_inputs(item: Property) -> bool:
    """Whether a claim says what the network's inputs may be."""
    return item.kind == "individual" or (item.form == "lipschitz" and item.method != "everywhere")


def _free(name: str, taken: set[str]) -> str:
    """The name, or a longer one that no property of the policy has."""
    while name in taken:
        name = f"certifair-{name}"
    return name


def _groups(evidence: Evidence, terms: list[Terms]) -> list[Json]:
    features = evidence.policy.data.sensitive_features
    return [group_table(evidence, partition) for partition in partitions_shown(features, terms, evidence.values)]


@functools.cache
def own_digest() -> str:
    """The digest of certifair's own source: every module's path and content."""
    root = Path(__file__).parent.parent
    sources = sorted(path for path in root.rglob("*") if path.suffix in {".py", ".json"})
    listing = [[str(p.relative_to(root)), hashlib.sha256(p.read_bytes()).hexdigest()] for p in sources]
    return hashlib.sha256(canonical(listing)).hexdigest()


def environment() -> dict[str, str]:
    """Where it was computed: for the record, no verdict depends on it."""
    return {"python": platform.python_version(), "platform": f"{sys.platform}-{platform.machine()}"}
