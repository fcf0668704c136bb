"""The relying party's demands, judged on the certificate's witnesses by its own thresholds, not the owner's."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from typing import final

from certifair.certificate.claims import advice, check_of, judge_claim
from certifair.certificate.predicate import context_of
from certifair.certificate.times import parse_time
from certifair.certificate.verify import Verified
from certifair.checks.base import Context, Judgement, RowVerdict, against, figures
from certifair.errors import PolicyError, UntrustedError
from certifair.exact.decimals import PLACES, format_decimal, parse_decimal, round_up
from certifair.spec import Json
from certifair.spec.groups import MISSING
from certifair.spec.policy import Policy, Property
from certifair.spec.terms import AT_LEAST, OF_THE_LAYER, Terms, statement
from certifair.spec.verdict import Verdict

REGISTRATION, EXCLUDED = "policy-registration", "excluded-rows"


@final
@dataclass(frozen=True)
class GroupVerdict:
    """What a property says of one group: the conjunction of the rows that concern it."""

    name: str
    verdict: Verdict
    reason: str

    def __bool__(self) -> bool:
        return bool(self.verdict)


@final
@dataclass(frozen=True)
class PropertyResult:
    """One demand. `claim` is the id of the claim that answered it, None where none does."""

    id: str
    verdict: Verdict
    statement: str
    reason: str
    claim: str | None = None
    threshold: str | None = None
    estimate: str | None = None
    lower: str | None = None
    upper: str | None = None
    groups: tuple[GroupVerdict, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.verdict)


@final
@dataclass(frozen=True)
class GateResult:
    """The gate's verdict and how it came about. Truthy only if it passed."""

    verdict: Verdict
    subject: str
    serial: str
    properties: tuple[PropertyResult, ...]

    def __bool__(self) -> bool:
        return bool(self.verdict)


def evaluate(verified: Verified, policy: Policy, now: datetime, where: str = "policy") -> GateResult:
    """Judge a verified certificate. Raises PolicyError without a demand, UntrustedError if it is too old."""
    predicate = verified.predicate
    if not policy.properties:
        raise PolicyError(
            "demands nothing", where=where, advice="write at least one [[property]]: nothing never passes"
        )
    _check_age(predicate, policy, now)
    n = next(item["rowCount"] for item in predicate["materials"] if item["role"] == "data")
    context = context_of(predicate["system"], n, predicate["multiplicity"])
    results = [_answer(item, policy, predicate["claims"], context) for item in policy.properties]
    if policy.gate.require_registration:
        results.append(_registered(verified))
    if policy.gate.max_excluded_share is not None:
        results.append(_excluded(predicate, n, policy.gate.max_excluded_share))
    system = predicate["system"]
    return GateResult(
        verdict=Verdict.all(result.verdict for result in results),
        subject=f"{system['name']} {system['version']}",
        serial=predicate["serial"],
        properties=tuple(results),
    )


def _check_age(predicate: Json, policy: Policy, now: datetime) -> None:
    days = policy.gate.max_age_days
    if days is not None and now > parse_time(predicate["issuedAt"]) + timedelta(days=min(days, 10**6)):
        what = f"was issued at {predicate['issuedAt']}, more than {days} days ago"
        raise UntrustedError("time", what, where="certificate", advice="ask for a newer one")


def _registered(verified: Verified) -> PropertyResult:
    at, reason = verified.predicate["policy"]["registeredAt"], ""
    if at is None:
        reason = "the certificate carries no registration"
    elif verified.registrar_id == verified.key_id:
        reason = "the policy was registered by the certificate's own key, whose clock proves nothing"
    return PropertyResult(
        id=REGISTRATION,
        verdict=Verdict.UNDECIDED if reason else Verdict.PASS,
        statement="somebody else registered the owner's policy before the certificate was issued",
        reason=reason,
        estimate=at,
    )


def _excluded(predicate: Json, n: int, limit: Fraction) -> PropertyResult:
    left_out = sum(item["count"] for item in predicate["population"]["exclusions"])
    share = Fraction(left_out, left_out + n)
    return PropertyResult(
        id=EXCLUDED,
        verdict=Verdict.PASS if share <= limit else Verdict.FAIL,
        statement="the share of the table's rows that were left out",
        reason="" if share <= limit else f"{left_out} of {left_out + n} rows were left out",
        threshold=f"≤ {format_decimal(limit)}",
        estimate=round_up(share, PLACES),
    )


def _answer(item: Property, policy: Policy, claims: Sequence[Json], context: Context) -> PropertyResult:
    """The answer of the claims that speak of the demand: FAIL before PASS before UNDECIDED.

    Claims of one certificate that answer one demand can differ in strength, not in truth: who fails one, fails.
    """
    candidates = [(claim, terms) for claim in claims if (terms := _applicable(item, policy, claim)) is not None]
    if not candidates:
        return PropertyResult(item.id, Verdict.UNDECIDED, "", _why_none(item, claims), threshold=_limit(item))
    judged = [(claim, terms, judge_claim(claim, context, terms)) for claim, terms in candidates]
    order = [Verdict.FAIL, Verdict.PASS, Verdict.UNDECIDED]
    claim, terms, judgement = min(judged, key=lambda found: order.index(found[2].verdict))
    text, own = figures(terms, judgement), Terms.from_json(claim)
    return PropertyResult(
        id=item.id,
        verdict=judgement.verdict,
        statement=statement(terms, claim["witness"].get("layer")),
        reason=judgement.reason + advice(check_of(own).needed(terms, claim["witness"], context)),
        claim=claim["id"],
        threshold=_limit(item),
        estimate=text["estimate"],
        lower=text["lower"],
        upper=text["upper"],
        groups=_groups(terms, judgement),
    )


def _limit(item: Property) -> str:
    return f"{'≥' if item.form in AT_LEAST else '≤'} {format_decimal(item.threshold)}"


def _applicable(item: Property, policy: Policy, claim: Json) -> Terms | None:
    """The claim's terms with the relying party's thresholds; None if the claim speaks of something else."""
    own = Terms.from_json(claim)
    same = (
        (own.kind, own.form, own.map, own.metric_name) == (item.kind, item.form, item.map, item.metric)
        and own.span == item.span
        and set(own.sensitive_features) == set(item.sensitive_features)
        and own.intersectional == item.intersectional
        and own.condition_on == item.condition_on
        and ((own.map != "decisions" and own.kind != "individual") or own.decision_threshold == item.decision_threshold)
        and _confident_enough(own, item)
        and _declared_alike(own, policy)
        and _same_layer(claim, policy)
        and _same_domain(own, item, policy)
        and (own.form != "lipschitz" or own.method == item.method)
    )
    if not same:
        return None
    least = own.min_group_size if item.form in OF_THE_LAYER else item.min_group_size
    boxed = policy.layer is not None and own.kind == "feasibility" and own.map == "served"
    box = (policy.layer.lower, policy.layer.upper) if policy.layer is not None and boxed else None
    return dataclasses.replace(own, id=item.id, threshold=item.threshold, tau=item.tau, min_group_size=least, box=box)


def _same_layer(claim: Json, policy: Policy) -> bool:
    """The layer is that onto the relying party's set, where its policy describes one."""
    layer = policy.layer
    witness = claim["witness"].get("served") or claim["witness"]
    if "layer" not in witness or layer is None:
        return True
    own = {"lower": layer.lower, "upper": layer.upper}
    own |= {} if layer.epsilon is None else {"epsilon": layer.epsilon}
    return all(parse_decimal(witness["layer"][name]) == value for name, value in own.items())


def _same_domain(own: Terms, item: Property, policy: Policy) -> bool:
    """An individual claim relaxes the same columns, and all that have one are by the demanded arithmetic; free numbers
    (of a domain: all) have the ranges that the relying party declares: in a narrower one it is easier to be fair.
    """
    if own.domain is None:
        return True
    relaxed = {one.column: one.eps for one in own.domain if one.eps}
    if own.method != item.method or relaxed != dict(item.relaxed):
        return False
    declared = {one.column: (one.kind, one.low, one.high) for one in policy.domain}
    known = {name: set(values) for name, values in policy.data.values.items()}
    for one in own.domain:
        free = one.column in own.sensitive_features or bool(one.eps)
        if one.kind == "category":
            same = one.column not in declared and (not free or known.get(one.column, set()) <= set(one.values))
        else:
            needed = free or own.form != "rows"
            same = not needed or declared.get(one.column) == (one.kind, one.low, one.high)
        if not same:
            return False
    return True


def _confident_enough(own: Terms, item: Property) -> bool:
    """Whoever demands bounds that survive repeated looks is not served by those of a single one."""
    if item.confidence is None or own.confidence is None:
        return item.confidence is own.confidence
    return own.confidence >= item.confidence and (item.method != "beta_mixture" or own.method == item.method)


def _declared_alike(own: Terms, policy: Policy) -> bool:
    """The groups and conditions are just those that the relying party declares, where it declares any.

    A further group could hide people of a demanded one; only that of missing values may be there besides.
    """
    declared = {name: set(values) for name, values in policy.data.values.items()}
    for partition in own.partitions:
        for k, feature in enumerate(partition.features):
            if feature in declared and declared[feature] != {group[k] for group in partition.groups} - {MISSING}:
                return False
    if own.condition_on in declared and not own.metric.label_conditions:
        return declared[own.condition_on] == set(own.conditions) - {MISSING}
    return True


def _why_none(item: Property, claims: Sequence[Json]) -> str:
    near = [claim["id"] for claim in claims if claim["kind"] == item.kind and claim["metric"] == item.metric]
    about = f" about {item.metric} of {', '.join(item.sensitive_features)}" if item.metric else ""
    what = f"no claim of kind {item.kind}{about} answers this"
    return what + (
        f"; {', '.join(near)} differs in groups, map, form, span, domain, condition or confidence" if near else ""
    )


def _groups(terms: Terms, judgement: Judgement) -> tuple[GroupVerdict, ...]:
    """Every group of the claim, with the verdict of the rows that concern it."""
    found = []
    for p, partition in enumerate(terms.partitions):
        for g in range(len(partition.groups)):
            rows = [row for row in judgement.rows if any(c.partition == p and c.group == g for c in row.row.cells)]
            name = f"{partition.name} = {partition.group_name(g)}"
            if rows:
                found.append(GroupVerdict(name, Verdict.all(row.verdict for row in rows), _group_reason(terms, rows)))
    return tuple(found)


def _group_reason(terms: Terms, rows: Sequence[RowVerdict]) -> str:
    guilty = [row for row in rows if row.verdict is not Verdict.PASS]
    shown = [f"{row.row.name}{against(terms, row)}" for row in guilty]
    return "; ".join(shown[:3]) + (f"; and {len(shown) - 3} more" if len(shown) > 3 else "")
