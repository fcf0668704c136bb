"""Claims: measured from evidence, or derived again from what stands in a certificate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certifair import checks
from certifair.checks.base import Check, Context, Judgement, figures, require
from certifair.exact.decimals import PLACES, parse_decimal, round_up
from certifair.spec import Json
from certifair.spec.terms import Terms, statement
from certifair.spec.verdict import Verdict

if TYPE_CHECKING:
    from certifair.evidence.bundle import Evidence


def measure_claim(terms: Terms, evidence: Evidence, context: Context) -> Json:
    """The claim that the evidence supports. Raises InputError where the evidence is not of that kind."""
    check = check_of(terms)
    measured = check.measure(terms, evidence, context)
    return assemble(check, terms, measured.witness, measured.extra, context)


def advice(needed: int | None) -> str:
    """The end of a reason that says how many people would do."""
    return "" if needed is None else f"; about {needed} people would decide it"


def judge_claim(claim: Json, context: Context, terms: Terms | None = None) -> Judgement:
    """The judgement of a claim's witness, by its own terms or by another party's."""
    own = Terms.from_json(claim)
    return check_of(own).judge(terms or own, claim["witness"], context)


def rederive(claim: Json, context: Context) -> Json:
    """The claim that follows from its own terms and witness; InconsistentError if the witness contradicts itself.

    Prose, the advice on the sample size, and the decision gap of several batches are taken as they stand.
    """
    terms = Terms.from_json(claim)
    check = check_of(terms)
    check.consistent(terms, claim["witness"], context)
    extra = {key: claim[key] for key in ("decisionGap", "neededSampleSize", "reason", "assumptions")}
    derived = assemble(check, terms, claim["witness"], extra, context)
    if check.gap_needs_evidence(terms, claim["witness"]):
        _check_gap(claim, check.judge(terms, claim["witness"], context))
    advised = claim["neededSampleSize"] is not None
    require(not advised or derived["verdict"] == Verdict.UNDECIDED.value, "a sample size is advised without need")
    return derived


def _check_gap(claim: Json, judgement: Judgement) -> None:
    """The decision gap of several batches: there if anything was counted, and not below what is listed."""
    gap = claim["decisionGap"]
    require((gap is None) == (claim["estimate"] is None), "the decision gap is there without rows, or missing")
    listed = judgement.decision_gap
    require(gap is None or listed is None or parse_decimal(gap) >= listed, "the decision gap is too small")


def check_of(terms: Terms) -> Check:
    """The check that answers a claim of a policy, or one which matches the schema."""
    check = checks.get(terms.kind, terms.form)
    assert check is not None, "policies and the schema admit only kinds that have a check"
    return check


def assemble(check: Check, terms: Terms, witness: Json, extra: Json, context: Context) -> Json:
    """All members of a claim. `extra` holds what terms and witness cannot tell."""
    judgement = check.judge(terms, witness, context)
    claim = {
        **terms.to_json(),
        "statement": statement(terms, witness.get("layer")),
        "verdict": judgement.verdict.value,
        "reason": judgement.reason,
        "sampleSize": judgement.sample_size,
        "neededSampleSize": None,
        **figures(terms, judgement),
        "decisionGap": None,
        "assumptions": list(check.assumptions(terms)),
        "witness": witness,
        **extra,
    }
    if not check.gap_needs_evidence(terms, witness):
        gap = judgement.decision_gap
        claim["decisionGap"] = None if gap is None else round_up(gap, PLACES)
    if "reason" not in extra:
        claim["reason"] += advice(claim["neededSampleSize"])
    return claim
