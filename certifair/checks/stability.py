"""Stability of the layer: how unlike it serves people alike, where it has a derivative, how far others are moved.

Why a PASS is true. `_stability` finds the exact projection of every batch in rationals (its optimality conditions are
checked, so it matters not how it was found), and from it, by the theorems in its modules: a bound of the treatment
difference, whether P is differentiable there and how far that reaches, and the largest move of others. A batch without
an answer is undecided. What is served differs from P by a distance that is measured and added where the claim is about
what is served. A FAIL is shown by two people of the evidence, or follows from an exact figure.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final, final

from certifair.checks.base import AS_IT_STANDS, Check, Context, Judgement, Measured, brief, figure, require
from certifair.exact.decimals import PLACES, format_decimal, parse_decimal, parse_dyadic
from certifair.spec import Json
from certifair.spec.terms import Terms
from certifair.spec.verdict import Verdict

if TYPE_CHECKING:
    from certifair.evidence.bundle import Evidence

MOST_LISTED: Final = 100
_ABOUT_PROJECTION: Final = (
    "the figures are those of the exact projection; what was served lies within its distance of it"
)
_THOSE_THERE: Final = (
    "who joins or changes has groups that somebody of the batch has, in the same combination, and a label (where rows "
    "are about residuals) between the least and the largest of the batch"
)


@final
class Stability(Check):
    """Claims about the layer at the batches of the evidence."""

    kind = "stability"
    forms = ("treatment", "differentiable", "radius", "sensitivity")

    def assumptions(self, terms: Terms) -> tuple[str, ...]:
        own = () if terms.form == "treatment" else (_ABOUT_PROJECTION,)
        return (AS_IT_STANDS, *own, *((_THOSE_THERE,) if terms.form == "sensitivity" else ()))

    def measure(self, terms: Terms, evidence: Evidence, context: Context) -> Measured:
        from certifair.checks._stability import layer

        return layer.measure(terms, evidence)

    def consistent(self, terms: Terms, witness: Json, context: Context) -> None:
        """Steps of certificates/README.md 9.12."""
        layer, counted = witness["layer"], witness["counted"]
        require(parse_decimal(layer["lower"]) < parse_decimal(layer["upper"]), "bounds are reversed")
        require(parse_decimal(layer["epsilon"]) >= 0, "epsilon is negative")
        require(counted + witness["undecided"] == witness["batches"] <= context.n, "batches do not add up")
        require(witness["batches"] >= 1, "there is no batch")
        require(terms.tau == 0 and terms.min_group_size == 1, "a layer has no solver tolerance or least group")
        require(terms.form != "differentiable" or terms.threshold <= 1, "a share is at most 1")
        require(terms.decision_threshold == Fraction(1, 2), "a layer decides nothing")
        distance = figure(witness["distance"])
        require(distance >= 0, "a distance is negative")
        require(counted > 0 or distance == 0, "a distance of no batch")
        _CONSISTENT[terms.form](terms, witness)

    def judge(self, terms: Terms, witness: Json, context: Context) -> Judgement:
        lower, upper = _ENDS[terms.form](witness)
        if witness["undecided"] and terms.form != "differentiable":
            lower, upper = (None, upper) if terms.comparator == ">=" else (lower, None)
        unlimited = witness.get("unlimited") == witness["batches"]  # no batch has a radius that ends
        verdict = Verdict.PASS if unlimited else _verdict(terms, lower, upper)
        estimate = lower if terms.comparator == ">=" else upper
        reason = _reason(terms, witness, verdict, lower, upper)
        return Judgement(verdict, reason, estimate=estimate, lower=lower, upper=upper, sample_size=context.n)

    def needed(self, terms: Terms, witness: Json, context: Context) -> int | None:
        return None

    def gap_needs_evidence(self, terms: Terms, witness: Json) -> bool:
        return False

    def contains(self, terms: Terms, claimed: Json, measured: Json, evidence: Evidence) -> bool:
        return claimed == measured


Interval = tuple[Fraction | None, Fraction | None]
"""The figure lies between these; None: not known."""


def _verdict(terms: Terms, lower: Fraction | None, upper: Fraction | None) -> Verdict:
    sure, refuted = (lower, upper) if terms.comparator == ">=" else (upper, lower)
    if sure is not None and terms.holds(sure):
        return Verdict.PASS
    return Verdict.UNDECIDED if refuted is None or terms.holds(refuted) else Verdict.FAIL


def _reason(terms: Terms, witness: Json, verdict: Verdict, lower: Fraction | None, upper: Fraction | None) -> str:
    if verdict is Verdict.PASS:
        return ""
    if verdict is Verdict.UNDECIDED and witness["undecided"]:
        return f"{witness['undecided']} of {witness['batches']} batches are undecided"
    ends = " and ".join("?" if end is None else brief(end, 6) for end in (lower, upper))
    demand = "at least" if terms.comparator == ">=" else "at most"
    return f"it lies between {ends}{_where(witness)}, demanded {demand} {format_decimal(terms.threshold)}"


def _where(witness: Json) -> str:
    worst = witness.get("worst")
    failing = witness.get("failing")
    if failing:
        return f" (the first batch is {failing[0]['batch']!r}: {failing[0]['reason']})"
    return f" (batch {worst['batch']!r})" if worst else ""


def _width(witness: Json) -> Fraction:
    return parse_decimal(witness["layer"]["upper"]) - parse_decimal(witness["layer"]["lower"])


def _treatment_ends(witness: Json) -> Interval:
    """Between what two people see, and the largest difference of P with twice the distance of that batch."""
    shown, worst = witness["shown"], witness["worst"]
    lower = Fraction(0) if shown is None else parse_dyadic(shown["difference"])
    if worst is None:
        return lower, Fraction(0)
    return lower, min(parse_decimal(worst["difference"]) + 2 * parse_decimal(worst["distance"]), _width(witness))


def _treatment(terms: Terms, witness: Json) -> None:
    worst, shown = witness["worst"], witness["shown"]
    require(worst is None or witness["counted"] > 0, "a worst batch of none")
    require(shown is None or worst is not None, "people are unlike where nobody is compared")
    if worst is None:
        return
    difference, distance = figure(worst["difference"]), figure(worst["distance"])
    require(0 <= difference <= _width(witness) + Fraction(1, 10**PLACES), "a difference that no box has room for")
    require(0 <= distance <= parse_decimal(witness["distance"]), "a batch is farther off than any")
    require(worst["favoured"]["group"] != worst["other"]["group"], "people of equal groups are compared")
    require(worst["favoured"]["condition"] == worst["other"]["condition"], "people of unequal conditions are compared")
    for end in ("favoured", "other"):
        _check_member(terms, worst[end])
    if shown is not None:
        value = parse_dyadic(shown["difference"])
        lower, upper = _treatment_ends(witness)
        require(value > 0 and shown["favoured"] != shown["other"], "nobody is favoured")
        require(upper is not None and lower is not None and lower <= upper, "people are more unlike than can be")


def _check_member(terms: Terms, member: Json) -> None:
    """A group of each feature and, where rows have them, a condition or none."""
    require(len(member["group"]) == len(terms.sensitive_features), "a group of other features")
    values: dict[str, set[str]] = {}
    for partition in terms.partitions:
        for k, name in enumerate(partition.features):
            values.setdefault(name, set()).update(group[k] for group in partition.groups)
    pairs = zip(member["group"], terms.sensitive_features, strict=True)
    require(all(value in values[name] for value, name in pairs), "a group that there is not")
    require(member["condition"] is None or member["condition"] in terms.conditions, "a condition that there is not")


def _share_ends(witness: Json) -> Interval:
    batches, found = witness["batches"], witness["differentiable"]
    return Fraction(found, batches), Fraction(found + witness["undecided"], batches)


def _differentiable(terms: Terms, witness: Json) -> None:
    found, counted, failing = witness["differentiable"], witness["counted"], witness["failing"]
    require(found <= counted, "more batches than are counted")
    require(len(failing) == min(MOST_LISTED, counted - found), "batches are not named that fail")
    require(len({entry["batch"] for entry in failing}) == len(failing), "a batch is named twice")
    require((witness["ranks"] is None) == (counted == 0), "a rank of nothing")
    if witness["ranks"] is not None:
        require(witness["ranks"][0] <= witness["ranks"][1], "ranks are reversed")


def _radius_ends(witness: Json) -> Interval:
    at_most = witness["atMost"]
    lower = None if witness["worst"] is None else parse_decimal(witness["worst"]["radius"])
    return lower, None if at_most is None else parse_decimal(at_most)


def _radius(terms: Terms, witness: Json) -> None:
    worst, decades = witness["worst"], witness["decades"]
    known = witness["zero"] + witness["unlimited"] + sum(entry["batches"] for entry in decades)
    require(known == witness["counted"], "radii are missing, or too many")
    exponents = [entry["exponent"] for entry in decades]
    require(exponents == sorted(set(exponents)), "decades are out of order")
    require(not exponents or exponents[0] >= -PLACES, "a decade of radii that are 0")
    require((worst is None) == (witness["unlimited"] == witness["counted"]), "a worst batch of none")
    require(worst is not None or witness["atMost"] is None, "a radius of none")
    if worst is None:
        return
    value = figure(worst["radius"])
    require((value == 0) == (witness["zero"] > 0), "a radius of 0 is not counted, or counted without one")
    if value:
        ten = Fraction(10)
        require(ten ** exponents[0] <= value < ten ** (exponents[0] + 1), "the worst radius is in no decade")
    require(witness["atMost"] is None or figure(witness["atMost"]) >= value, "radii are reversed")


def _change_ends(witness: Json) -> Interval:
    worst, joining = witness["worst"], witness["joining"]
    lower = Fraction(0) if joining is None else parse_decimal(joining)
    return lower, None if worst is None else parse_decimal(worst["change"])


def _sensitivity(terms: Terms, witness: Json) -> None:
    worst, joining = witness["worst"], witness["joining"]
    require((worst is None) == (witness["counted"] == 0) == (joining is None), "figures of no batch, or none")
    for name in ("score", "tolerance"):
        found = witness[name]
        require(found["batches"] <= witness["counted"], "more batches than are counted")
        sizes = [figure(value) for key, value in found.items() if key != "batches"]
        require(all(size >= 0 for size in sizes), "a negative size")
        require(found["batches"] > 0 or not any(sizes), "a size of nothing")
    score = witness["score"]
    require(figure(score["own"]) <= 1 and figure(score["others"]) <= Fraction(1, 2), "a score moves too much")
    if worst is None:
        return
    ends = [worst[end] for end in ("from", "to", "whose") if worst[end] is not None]
    for member in ends:
        _check_member(terms, member)
    require(worst["from"] != worst["to"], "nobody moves")
    change = figure(worst["change"])
    require(0 <= figure(joining) <= change, "a change that is more than the largest")
    require(change <= _width(witness) + Fraction(1, 10**PLACES), "a change out of the box")
    require((worst["whose"] is None) == (change == 0), "a change of nobody's, or none of somebody's")


_ENDS: Final = {
    "treatment": _treatment_ends,
    "differentiable": _share_ends,
    "radius": _radius_ends,
    "sensitivity": _change_ends,
}
_CONSISTENT: Final = {
    "treatment": _treatment,
    "differentiable": _differentiable,
    "radius": _radius,
    "sensitivity": _sensitivity,
}
